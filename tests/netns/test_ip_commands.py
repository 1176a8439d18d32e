"""Commands for ``ip xfrm policy``, played by us and run by ip: the same policies are left."""

from __future__ import annotations

import random
import subprocess
from collections import Counter

import pytest

from eroute_translate.xfrm.commands import read_batch
from eroute_translate.xfrm.read_text import read_policies

from .spaces import ip

pytestmark = pytest.mark.kernel

BATCHES = 250

ADDRESSES = ("10.0.0.0/8", "10.1/16", "10.1.2.3", "0/0", "10.0.0.1/0x18", "fd00::/16", "::/0")
ODD = (
    "any",
    "10.0.0.0/33",
    "1.2.3",
    "fd00::1/129",
    "010.0.0.1",
    "256.0.0.1",
    "10.1.0.0/255.255.0.0",
)


def word(rng: random.Random) -> str:
    """One piece of a policy, now and then one that ip does not take."""
    address = rng.choice(ADDRESSES if rng.random() < 0.97 else ODD)
    number = rng.choice(("0", "1", "7", "0x10", "010", "500", "+3"))
    if rng.random() < 0.02:
        number = rng.choice(("-1", "08", "70000", "4294967296", "x", "0x"))
    selectors = (
        f"src {address}",
        f"dst {address}",
        f"src {address} dst {rng.choice(ADDRESSES[:3])}",
        f"src {address} proto tcp dport {number}",
        "proto icmp type 8 code 0",
        "proto 47 key 1.2.3.4",
        f"proto {rng.choice(('udp', 'esp', '0x6', 'any', 'ICMP', 'nosuch'))}",
        f"sport {number}",
        f"dev lo src {address}",
        "type 3",
    )
    others = (
        f"priority {number}",
        f"mark {number}",
        f"mark {number} mask {rng.choice(('0xff', '0'))}",
        f"if_id {number}",
        f"action {rng.choice(('block', 'allow', 'blo'))}",
        f"ptype {rng.choice(('main', 'sub'))}",
        f"index {number}",
        "flag icmp",
        "flag 0x1",
        f"limit byte-soft {number}",
        "nosuch",
    )
    ident = rng.choice(
        (
            "proto esp",
            "src 1.2.3.4 dst 5.6.7.8 proto ah",
            "proto comp spi 0x1000",
            "dst ::1 proto esp",
        )
    )
    templates = (
        f"tmpl {ident} mode {rng.choice(('tunnel', 'tun', 'transport', 'beet', 'b'))}",
        f"tmpl {ident} reqid {number} mode tunnel level {rng.choice(('use', 'required'))}",
        f"tmpl reqid {number} {ident}",
        "tmpl mode tunnel",
        "tmpl proto hao spi 5",
    )
    return rng.choice(rng.choice((selectors, others, others, templates)))


def line(rng: random.Random) -> str:
    verb = rng.choice(("add", "update", "update", "u", "a", "delete", "d"))
    if rng.random() < 0.03:
        return rng.choice(
            (
                "xfrm policy flush",
                "xfrm policy list",
                "xfrm policy deleteall dir in",
                "xfrm p delall",
                "xfrm policy set hthresh4 16 16",
                "xfrm policy setdefault fwd block",
                "xfrm policy count # never mind",
                "xfrm policy nosuch",
            )
        )
    direction = rng.choice(("out", "out", "in", "fwd"))
    parts = [f"dir {direction}"] if rng.random() < 0.98 else []
    if verb.startswith("d"):
        parts.append(f"src {rng.choice(ADDRESSES)}" if rng.random() < 0.9 else "index 9")
    else:
        # Few selectors, so that keys meet.
        if rng.random() < 0.7:
            parts.append(f"src {rng.choice(ADDRESSES)}")
            parts += [word(rng) for _ in range(rng.randrange(3))]
        else:
            parts += [word(rng) for _ in range(rng.randrange(4))]
    rng.shuffle(parts)
    joined = " ".join(parts)
    if rng.random() < 0.1:
        joined = joined.replace(" ", " \\\n ", 1)
    return f"xfrm policy {verb} {joined}"


def test_batches_leave_what_ip_leaves(netns: str) -> None:
    """Random batches, good and bad, against iproute2 and the kernel."""
    rng = random.Random(20)
    counts: Counter[str] = Counter()
    ip(netns, "link", "set", "lo", "up")
    for _ in range(BATCHES):
        text = "".join(line(rng) + "\n" for _ in range(rng.randrange(1, 9)))
        ip(netns, "xfrm", "policy", "flush")
        ip(netns, "xfrm", "policy", "flush", "ptype", "sub")
        ip(netns, "xfrm", "policy", "setdefault", "in", "accept", "fwd", "accept", "out", "accept")
        done = subprocess.run(
            ["ip", "-n", netns, "-batch", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        played = read_batch(text, "batch", {"lo": 1})
        there = read_policies(ip(netns, "xfrm", "policy"), devices={"lo": 1})
        readable = [e.policy._replace(index=0) for e in there.entries]
        ours = [p._replace(index=0) for p in played.policies]
        # What ip prints of a port 0 under a mask cannot be read; both sides leave it out.
        ours = [p for p in ours if not _port_zero(p.selector[2:], p.port_masks)]
        if any(d.code == "ET341" for d in played.diagnostics):
            counts["not known"] += 1
            continue
        assert set(readable) == set(ours), (text, done.stderr, played.diagnostics)
        refused = any(d.code in ("ET340", "ET342", "ET343") for d in played.diagnostics)
        assert refused == (done.returncode != 0), (text, done.stderr, played.diagnostics)
        counts["policies"] += len(ours)
        counts["refused batches" if refused else "accepted batches"] += 1
    print(dict(counts))
    assert counts["policies"] > BATCHES / 2
    assert min(counts["refused batches"], counts["accepted batches"]) > BATCHES / 10


def _port_zero(upper: tuple[int, int, int], masks: tuple[int, int] | None) -> bool:
    protocol, *ports = upper
    if masks is None or protocol in (1, 47, 58, 135):
        return False
    return any(mask and not port for port, mask in zip(ports, masks, strict=True))
