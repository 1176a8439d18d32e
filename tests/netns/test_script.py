"""The outputs, run: what the kernel holds afterwards is what the JSON form says."""

from __future__ import annotations

import json
import random
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eroute_translate.cli import main
from eroute_translate.net import MASK_OF_LENGTH, Prefix, Selector, parse_address, parse_prefix
from eroute_translate.render import Target
from eroute_translate.xfrm.model import TEMPLATE_PROTOCOLS, Policy, Template
from eroute_translate.xfrm.read_text import read_policies
from tests.netns.spaces import execute, ip, namespaces, need
from tests.translated import ROOT, rendered, row

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.kernel

MANUAL = (
    row("172.31.252.0/24", "0.0.0.0/0", "tun0x130@192.168.43.1", 1867)
    + row("192.168.2.110/32", "192.168.2.120/32:25", "esp0x130@192.168.2.120:6", 746)
    + row("3049:1::/64", "::/0", "tun0x130@3058:4::5", 125)
    + row("192.168.6.0/24", "192.168.7.0/24", "%passthrough4", 42)
    + row("192.168.8.55/32", "192.168.9.47/24", "%hold", 2112)
    + row("192.168.2.110/32", "192.168.2.120/32", "esp0xe6de@192.168.2.120", 2001)
    + row("3049:1::110/128", "3049:1::120/128", "ah0xf5ed@3049:1::120", 1984)
)

SHUNTS = "".join(
    row(f"10.{number}.0.0/16", "10.99.0.0/16", said)
    for number, said in enumerate(
        ["%pass", "%drop", "%trap", "%trapsubnet", "%hold", "%passthrough4", "%unk-300"], 1
    )
) + row("10.8.0.0/16", "10.99.0.0/16:25", "%reject:6")

PORTS = (
    row("10.1.0.0/16:1024", "10.2.0.0/16:80", "tun0x1002@192.0.2.7:6")
    + row("10.1.0.0/16", "10.2.0.0/16:53", "%pass:17")
    + row("10.1.0.0/16", "10.2.0.0/16:53", "%trap")
    + row("10.1.0.0/16", "10.3.0.0/16", "%drop:47")
    + row("10.1.0.0/16", "10.3.0.0/16", "%drop:253")
    + row("10.0.8.0/255.255.249.0", "10.2.0.0/16", "%drop")
    + row("2001:db8:1::/64", "2001:db8:2::/64", "tun0x1002@192.0.2.7")
    + row("::/0", "::/0", "%drop")
)

GATEWAY = (ROOT / "docs/examples/gateway.eroute").read_text()


@pytest.fixture
def space() -> Iterator[str]:
    need("dash", "setpriv")
    with namespaces("script") as (name,):
        yield name


def run(space: str, script: str, path: Path, user: int | None = None) -> tuple[int, str]:
    file = path / "script.sh"
    file.write_text(script, encoding="utf-8", errors="surrogateescape")
    path.chmod(0o755)
    file.chmod(0o644)
    if user is not None:
        done = execute(space, "dash", text=script, user=user)
    else:
        done = execute(space, "dash", str(file))
    return done.returncode, done.stdout + done.stderr


def installed(space: str) -> list[Policy]:
    reading = read_policies(ip(space, "xfrm", "policy"))
    assert not reading.diagnostics
    return list(reading.policies)


def template_of(value: dict[str, Any]) -> Template:
    protocols = {name: number for number, name in TEMPLATE_PROTOCOLS.items()}
    family, source = parse_address(value["source"])
    return Template(
        protocols[value["protocol"]],
        value["mode"],
        family,
        source,
        parse_address(value["destination"])[1],
        value["reqid"],
        value["spi"],
        value["level"] == "use",
    )


def policy_of(value: dict[str, Any]) -> Policy:
    """A policy of the JSON form, by no code of the renderer."""
    selector = Selector(
        parse_prefix(value["source"]),
        parse_prefix(value["destination"]),
        value["protocol"],
        value["source_port"],
        value["destination_port"],
    )
    templates = tuple(template_of(t) for t in value["templates"])
    return Policy(value["direction"], selector, value["priority"], value["action"], templates)


def promised(text: str, **given: Any) -> list[Policy]:
    document = json.loads(rendered(text, Target.JSON, **given))
    values = [p for e in document["eroutes"] for p in e["policies"]]
    return [policy_of(value) for value in values + document["extra_policies"]]


def dump(space: str) -> list[str]:
    """All policies with index and limits, one a line, without counters and times."""
    text = ip(space, "-s", "-o", "xfrm", "policy")
    lines = [re.sub(r"lifetime current:.*?(?=\\\ttmpl|$)", "", line) for line in text.splitlines()]
    assert all("index" in line for line in lines)
    return sorted(lines)


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "manual": (MANUAL, {}),
    "manual, local": (MANUAL, {"local": "192.168.2.110 3049:1::110 172.31.252.1"}),
    "manual, as klips": (MANUAL, {"inbound": "klips", "template_by": "spi"}),
    "shunts": (SHUNTS, {}),
    "ports": (PORTS, {}),
    "gateway": (GATEWAY, {"local": "172.31.252.1"}),
    "gateway, routed": (GATEWAY, {"bypass": "172.31.252.0/24", "routed": "192.168.0.0/16"}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_script_leaves_what_json_says(space: str, name: str, tmp_path: Path) -> None:
    text, given = CASES[name]
    script = rendered(text, Target.IP_XFRM, **given)
    assert run(space, script, tmp_path) == (0, "")
    wanted = promised(text, **given)
    assert len(wanted) == len(set(wanted)) > 0
    assert sorted(installed(space)) == sorted(wanted)

    before = dump(space)
    assert run(space, script, tmp_path) == (0, "")
    assert dump(space) == before


@pytest.mark.parametrize("name", CASES)
def test_the_batch_leaves_the_same(space: str, name: str) -> None:
    text, given = CASES[name]
    ip(space, "-batch", "-", text=rendered(text, Target.IP_BATCH, **given))
    assert sorted(installed(space)) == sorted(promised(text, **given))


def thousand_rows() -> str:
    rng = random.Random(7)
    rows: dict[tuple[str, str], str] = {}
    while len(rows) < 1000:
        family = rng.choice((4, 6))
        base = parse_address("10.0.0.0" if family == 4 else "2001:db8::")[1]
        width, length = (32, rng.randint(12, 32)) if family == 4 else (128, rng.randint(40, 128))
        ends = []
        for _ in range(2):
            mask = MASK_OF_LENGTH[family][length]
            address = (base | rng.getrandbits(width - 8 if family == 4 else width - 32)) & mask
            if family == 6:
                address &= ~(0xFF << 56)
            ends.append(str(Prefix(family, address, mask)))
        peer = f"192.0.2.{rng.randint(1, 9)}" if family == 4 else f"2001:db8::{rng.randint(1, 9):x}"
        said = rng.choice([f"tun0x{rng.randint(256, 999):x}@{peer}"] * 3 + ["%pass", "%drop"])
        suffix = ""
        if family == 4 and rng.random() < 0.3:
            suffix = f":{rng.choice((6, 17))}"
            ends[1] += f":{rng.randint(1, 65535)}"
        rows[ends[0], ends[1]] = row(ends[0], ends[1], said + suffix)
    return "".join(rows.values())


def test_a_thousand_rows(space: str, tmp_path: Path) -> None:
    text = thousand_rows()
    given: dict[str, Any] = {"local": "192.0.2.100 2001:db8::100", "partial": True}
    wanted = sorted(promised(text, **given))
    assert len(wanted) > 2000
    script = rendered(text, Target.IP_XFRM, **given)
    assert run(space, script, tmp_path) == (0, "")
    assert sorted(installed(space)) == wanted
    before = dump(space)
    ip(space, "-batch", "-", text=rendered(text, Target.IP_BATCH, **given))
    assert dump(space) == before


REFUSED = row("10.1.0.0/16", "10.2.0.0/16", "tun0x1002@") + row(
    "10.1.0.0/16", "10.3.0.0/16", "%pass"
)


def test_a_refused_row_stops_everything(space: str, tmp_path: Path) -> None:
    for target in (Target.IP_XFRM, Target.MAST):
        code, output = run(space, rendered(REFUSED, target), tmp_path)
        assert code == 12
        assert "nothing was installed" in output
        assert "table:1" in output
    assert not installed(space)
    assert execute(space, "ip", "-batch", "-", text=rendered(REFUSED, Target.IP_BATCH)).returncode
    assert not installed(space)


def test_allow_partial_blocks_what_was_refused(space: str, tmp_path: Path) -> None:
    script = rendered(REFUSED, Target.IP_XFRM, partial=True)
    assert run(space, script, tmp_path) == (0, "")
    found = [p for p in installed(space) if str(p.selector.destination) == "10.2.0.0/16"]
    assert [(p.direction, p.action, p.templates) for p in found] == [("out", "block", ())]
    assert sorted(installed(space)) == sorted(promised(REFUSED, partial=True))


def test_without_root_the_script_says_so(space: str, tmp_path: Path) -> None:
    code, output = run(space, rendered(MANUAL, Target.IP_XFRM), tmp_path, user=65534)
    assert code == 1
    assert "run this as root" in output
    assert not installed(space)


def test_policies_of_others_are_not_touched_unasked(space: str, tmp_path: Path) -> None:
    other = "src 192.168.6.0/24 dst 192.168.7.0/24 dir out priority 7 action block"
    ip(space, "xfrm", "policy", "add", *other.split())
    before = installed(space)
    code, output = run(space, rendered(MANUAL, Target.IP_XFRM), tmp_path)
    assert code == 1
    assert "policies here that are not ours: 1" in output
    assert installed(space) == before


@pytest.mark.parametrize(("name", "code"), [("HUP", 129), ("INT", 130), ("TERM", 143)])
@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_a_script_that_is_interrupted_says_how_far_it_came(
    shell: str, name: str, code: int, tmp_path: Path
) -> None:
    need(shell)
    ip_of_ours = tmp_path / "ip"
    ip_of_ours.write_text(
        f'#!/bin/sh\ncase $* in *" update "*) kill -{name} $PPID ;; esac\n', encoding="ascii"
    )
    ip_of_ours.chmod(0o755)
    script = tmp_path / "script.sh"
    script.write_text(rendered(GATEWAY, Target.IP_XFRM, reject_rule=False), encoding="utf-8")
    done = subprocess.run(
        # What runs the tests may ignore signals, and its children then with it.
        ["env", "--default-signal", f"PATH={tmp_path}:/usr/bin:/bin", shell, str(script)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "stopped before the end" in done.stderr) == (code, True)
    assert "Run this again" in done.stderr


def test_a_removal_knows_what_the_script_installed(
    space: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script counts its priorities from the base on, a single command by its selector."""
    table = row("10.1.0.0/16", "10.2.0.0/16", "tun0x1002@192.0.2.7")
    assert run(space, rendered(table, Target.IP_XFRM), tmp_path) == (0, "")
    other = "src 10.2.0.0/16 dst 10.1.0.0/16 dir fwd priority 7"
    ip(space, "xfrm", "policy", "update", *other.split())
    words = ["eroute", "--del", "--eraf", "inet", "--src", "10.1.0.0/16", "--dst", "10.2.0.0/16"]
    assert main(["ipsec", "-q", *words]) == 0
    assert run(space, capsys.readouterr().out, tmp_path)[0] == 0
    assert [(p.direction, p.priority) for p in installed(space)] == [("fwd", 7)]


HOSTILE = [
    "a'b\"c.eroute",
    "$(touch {mark})`touch {mark}`",
    "x\ntouch {mark}\n",
    "';touch {mark};'",
    "x\r\ntouch {mark}",
    "END-OF-RULES\ntouch {mark}\n",
    "\nEND-OF-RULES\ntouch {mark}\n",
    "\\\ntouch {mark}",
    "x\u2028touch {mark}\x1b]0;t\x07",
    "\udcff%s%n\x00 {mark}",
    "ä" * 90 + "\\",
    '"; drop; comment "',
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("partial", [False, True])
def test_nothing_in_a_name_is_executed(
    space: str, name: str, partial: bool, tmp_path: Path
) -> None:
    mark = tmp_path / "executed"
    name = name.replace("{mark}", str(mark))
    identity = f"`touch$IFS{mark}`;'\\"
    text = row("10.9.0.0/16", "10.99.0.0/16", f"%pass ({identity}) ({identity})")
    text = SHUNTS + text + (REFUSED if partial else "")
    assert identity in text
    for target in (Target.IP_XFRM, Target.MAST):
        script = rendered(text, target, name, partial=partial)
        code, output = run(space, script, tmp_path)
        assert not mark.exists()
        if target is Target.IP_XFRM:
            assert code == 0, output
    for target in (Target.IP_BATCH, Target.NFTABLES):
        output = rendered(text, target, name, partial=partial)
        program = ["ip", "-batch", "-"] if target is Target.IP_BATCH else ["nft", "-f", "-"]
        done = execute(space, *program, text=output)
        assert done.returncode == 0, done.stderr
    refused = rendered(text + REFUSED, Target.IP_XFRM, name)
    assert run(space, refused, tmp_path)[0] == 12
    assert not mark.exists()


@pytest.mark.parametrize("name", ["plain", 'it\'s `$(date)` "x"\n'])
@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("target", [Target.IP_XFRM, Target.MAST])
def test_shellcheck_is_content(target: Target, partial: bool, name: str, tmp_path: Path) -> None:
    need("shellcheck")
    text = MANUAL + SHUNTS + (REFUSED if partial else "")
    file = tmp_path / "script.sh"
    file.write_text(rendered(text, target, name, partial=partial))
    done = execute_here("shellcheck", "--shell=sh", "--severity=style", str(file))
    assert done == (0, "")


def execute_here(*command: str) -> tuple[int, str]:
    import subprocess

    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("text", [SHUNTS, GATEWAY, MANUAL], ids=["shunts", "gateway", "none"])
def test_nftables_takes_the_rules(space: str, text: str) -> None:
    need("nft")
    output = rendered(text, Target.NFTABLES)
    done = execute(space, "nft", "-c", "-f", "-", text=output)
    assert (done.returncode, done.stderr) == (0, "")
    for _ in range(2):
        assert execute(space, "nft", "-f", "-", text=output).returncode == 0
    listed = execute(space, "nft", "list", "ruleset").stdout
    assert listed.count("reject with") == text.count("%reject")


@pytest.mark.parametrize("way", ["file", "standard input"])
def test_what_an_earlier_table_left_is_told(space: str, tmp_path: Path, way: str) -> None:
    """An old %pass lets go in clear what the new table protects."""
    need("nft")
    wide = row("10.0.0.0/8", "192.168.0.0/16", "tun0x1002@203.0.113.7")
    scripts = [
        rendered(wide + more, Target.IP_XFRM)
        for more in (
            row("10.1.0.0/16", "192.168.1.0/24", "%pass"),
            "",
            row("10.1.0.0/16", "192.168.1.0/24", "%reject"),
        )
    ]

    def told(script: str) -> tuple[int, str]:
        if way == "file":
            return run(space, script, tmp_path)
        done = execute(space, "dash", text=script)
        return done.returncode, done.stdout + done.stderr

    assert told(scripts[0]) == (0, "")
    again = told(scripts[0])
    code, text = told(scripts[1])
    if way == "file":
        assert again == (0, "")
        assert (code, "but also 3 of an earlier table, which may win" in text) == (1, True)
        assert "stopped before the end" not in text
    else:
        assert again[0] == code == 0
        assert "those that are not among these stay, and may win" in text
    ip(space, "xfrm", "policy", "flush")
    assert told(scripts[2]) == (0, "")
    ip(space, "xfrm", "policy", "flush")
    code, text = told(scripts[1])
    assert (code, "nft delete table inet eroute_translate" in text) == (1, True)
    # Both at once: neither hides the other.
    assert told(scripts[0])[0] == 1
    code, text = told(scripts[1])
    assert (code, "nft delete table inet eroute_translate" in text) == (1, True)
    assert ("of an earlier table, which may win" if way == "file" else "and may win") in text
