"""Rules of the mapping broken on purpose: each must change what becomes of a packet.

    python -m tests.netkey.mutants

A mutant replaces a function of the mapping while it runs; no file is touched. The fates of its
rules are then sent over the bed until one comes out otherwise than docs/on-the-wire.md says: the
mutant is killed. One that survives shows a rule that no packet tests.

From the host this boots the guest for those that need ESP, AH or IPCOMP, and runs those of the
firewall, which that kernel does not have, in namespaces of the running kernel.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from eroute_translate import firewall
from eroute_translate.klips.said import (
    SPI_DROP,
    SPI_HOLD,
    SPI_PASS,
    SPI_REJECT,
    SPI_TRAP,
    SPI_TRAPSUBNET,
)
from eroute_translate.mapping import associations, exemptions, masks, precedence, translation
from eroute_translate.mapping.algorithms import IcvLength
from eroute_translate.mapping.model import (
    ALLOW,
    BLOCK,
    FWD,
    IN,
    OUT,
    TRANSPORT_MODE,
    TUNNEL_MODE,
    Inbound,
    Scoping,
    Step,
)
from eroute_translate.mapping.protection import Protection
from eroute_translate.net import ALL_ONES, IPPROTO_AH, Selector
from eroute_translate.xfrm.errors import KernelError

from . import uml
from .bed import Bed
from .breaks import (
    Break,
    all_steps,
    another_code,
    around,
    blocks_incoming,
    both,
    bypassing,
    carried_with,
    each_policy,
    instead,
    is_ours,
    keyed,
    let_through,
    longer,
    loose_order,
    options_with,
    order,
    own_flows,
    policies,
    protection,
    routes_with,
    selectors,
    shields,
    shunt,
    steps,
    templates,
    turned,
    wider,
    without,
)
from .every_rule import FATES
from .observed import differences

if TYPE_CHECKING:
    from collections.abc import Callable


class Mutant(NamedTuple):
    """What is broken, and the rules whose fates have to show it."""

    name: str
    rules: tuple[str, ...]
    broken: Callable[[], Break]
    nft: bool = False


class Verdict(NamedTuple):
    """How a mutant ended: ``shown`` is the packet that gave it away, empty if it survived."""

    mutant: Mutant
    shown: str
    tried: int


SHUNTS: Final = (
    Mutant("%pass blocks", ("pass",), shunt(SPI_PASS, action=BLOCK)),
    Mutant("%pass has no holes for what comes in", ("pass",), shunt(SPI_PASS, inbound=False)),
    Mutant("%pass has no hole for what is forwarded", ("pass",), shunt(SPI_PASS, forwarded=False)),
    Mutant("%pass has holes with --inbound klips too", ("pass",), shunt(SPI_PASS, inbound=True)),
    Mutant("%drop passes", ("drop",), shunt(SPI_DROP, action=ALLOW)),
    Mutant("%drop blocks what comes in", ("drop",), policies(blocks_incoming)),
    Mutant("%reject passes", ("reject",), shunt(SPI_REJECT, action=ALLOW)),
    Mutant("%trap has no template", ("trap",), shunt(SPI_TRAP, steps=())),
    Mutant("%trap blocks", ("trap",), shunt(SPI_TRAP, action=BLOCK, steps=())),
    Mutant(
        "%trap asks for AH",
        ("trap",),
        shunt(SPI_TRAP, steps=(Step(IPPROTO_AH, "transport", False),)),
    ),
    Mutant("%trap asks of what comes in", ("trap",), shunt(SPI_TRAP, inbound=True, forwarded=True)),
    Mutant("%trapsubnet passes", ("trapsubnet",), shunt(SPI_TRAPSUBNET, steps=())),
    Mutant("%trapsubnet blocks", ("trapsubnet",), shunt(SPI_TRAPSUBNET, action=BLOCK, steps=())),
    Mutant("%hold passes", ("hold",), shunt(SPI_HOLD, steps=())),
    Mutant("%hold blocks", ("hold",), shunt(SPI_HOLD, action=BLOCK, steps=())),
    Mutant("%passthrough blocks", ("passthrough",), shunt("passthrough", action=BLOCK)),
    Mutant("unknown shunts pass", ("unknown",), shunt("unknown", action=ALLOW)),
    Mutant("unreadable rows pass", ("unreadable",), shunt("unreadable", action=ALLOW)),
    Mutant("unreadable rows are not refused", ("unreadable",), shunt("unreadable", kind="noted")),
    Mutant(
        "the %hold of the kernel is not known",
        ("kernel-hold",),
        both(
            instead(translation, "is_kernel_hold", lambda _: False),
            instead(precedence, "is_kernel_hold", lambda _: False),
        ),
    ),
)
TUNNELS: Final = (
    Mutant("transport mode for a tunnel", ("tunnel",), all_steps(mode=TRANSPORT_MODE)),
    Mutant("tunnel mode for every step", ("tunnel",), all_steps(mode=TUNNEL_MODE)),
    Mutant("no template", ("tunnel",), steps(lambda _: ())),
    Mutant("only the first template", ("tunnel",), steps(lambda old: old[:1])),
    Mutant("only the last template", ("tunnel",), steps(lambda old: old[-1:])),
    Mutant(
        "templates from the outside in",
        ("tunnel",),
        templates(lambda out, inward: (out[::-1], inward[::-1])),
    ),
    Mutant(
        "endpoints swapped on the way out",
        ("tunnel",),
        templates(lambda out, inward: (tuple(map(turned, out)), inward)),
    ),
    Mutant(
        "endpoints swapped on the way in",
        ("tunnel-assumed",),
        templates(lambda out, inward: (out, tuple(map(turned, inward)))),
    ),
    Mutant(
        "no policies for what comes in",
        ("tunnel",),
        protection(lambda t: t._replace(inbound=False)),
    ),
    Mutant("no fwd policies", ("tunnel",), protection(lambda t: t._replace(forwarded=False))),
    Mutant("no in policies", ("tunnel",), without(lambda p: p.direction == IN and is_ours(p))),
    Mutant("no out policies", ("tunnel",), without(lambda p: p.direction == OUT and is_ours(p))),
    Mutant(
        "out and in swapped",
        ("tunnel",),
        each_policy(
            lambda p: p._replace(direction={OUT: IN, IN: OUT}.get(p.direction, p.direction))
        ),
    ),
    Mutant(
        "policies for what comes in not mirrored",
        ("tunnel",),
        instead(Selector, "mirrored", lambda self: self),
    ),
    Mutant("every template optional", ("tunnel",), all_steps(optional=True)),
    Mutant("IPCOMP required of what comes in", ("tunnel",), all_steps(optional=False)),
    Mutant(
        "block for a tunnel",
        ("tunnel",),
        each_policy(
            lambda p: p._replace(action=BLOCK) if p.direction == OUT and p.templates else p
        ),
    ),
    Mutant(
        "one reqid for all groups", ("tunnel",), instead(Protection, "reqid", lambda *_: 1_000_001)
    ),
    Mutant(
        "another reqid",
        ("tunnel",),
        around(Protection, "reqid", lambda original, *given: original(*given) + 50),
    ),
    Mutant("the SPI left out", ("tunnel",), protection(lambda t: t._replace(by_spi=False))),
    Mutant(
        "the outer family is the inner one",
        ("tunnel",),
        templates(
            lambda out, inward: tuple(
                tuple(t._replace(family=10 - t.family) for t in side) for side in (out, inward)
            )  # type: ignore[arg-type,return-value]
        ),
    ),
    Mutant("AH assumed", ("tunnel-assumed",), options_with("assume", (IPPROTO_AH,))),
    Mutant(
        "--local is another address",
        ("tunnel-assumed",),
        protection(lambda t: t._replace(local=t.local + 77 if t.local else 0)),
    ),
    Mutant(
        "groups in any order are carried",
        ("group",),
        around(
            Protection,
            "_make",
            lambda original, self, saids, *given: original(
                self, saids[:1] + tuple(sorted(saids[1:], key=lambda s: -s.protocol)), *given
            ),
        ),
    ),
    Mutant("refused groups pass", ("group",), around(Protection, "_make", let_through)),
    Mutant(
        "a bare tunnel is taken for one with ESP",
        ("bare-tunnel",),
        around(
            Protection,
            "_make",
            lambda original, self, saids, family, mirrors, source, _bare: original(
                self, saids, family, mirrors, source, False
            ),
        ),
    ),
    Mutant("tunnel mode for transport", ("transport",), all_steps(mode=TUNNEL_MODE)),
    Mutant(
        "fwd policies for transport",
        ("transport",),
        protection(lambda t: t._replace(forwarded=True)),
    ),
    Mutant(
        "transport asks nothing of what comes in",
        ("transport",),
        protection(lambda t: t._replace(inbound=False)),
    ),
    Mutant("compression required of what comes in", ("compression",), all_steps(optional=False)),
    Mutant("compression left out", ("compression",), steps(lambda _: ())),
    Mutant(
        "strict taken for klips", ("tunnel", "direction"), options_with("inbound", Inbound.KLIPS)
    ),
    Mutant("klips taken for strict", ("tunnel",), options_with("inbound", Inbound.STRICT)),
    Mutant(
        "mirror images not seen",
        ("direction",),
        instead(translation._Mapper, "_mirrors_itself", lambda *_: False),
    ),
    Mutant(
        "mirror images everywhere",
        ("direction",),
        around(
            Protection,
            "treatment",
            lambda original, *given, **words: original(*given, **{**words, "mirrors_itself": True}),
        ),
    ),
    Mutant(
        "a %pass for the LAN does not count",
        ("direction",),
        instead(translation, "_holes", lambda _: set()),
    ),
)
SELECTORS: Final = (
    Mutant(
        "source and destination swapped",
        ("tunnel",),
        selectors(lambda s: s._replace(source=s.destination, destination=s.source)),
    ),
    Mutant(
        "prefixes longer",
        ("tunnel", "direction", "precedence", "mask-with-holes"),
        selectors(lambda s: s._replace(source=longer(s.source), destination=longer(s.destination))),
    ),
    Mutant(
        "prefixes shorter",
        ("precedence", "scope", "pass"),
        selectors(lambda s: s._replace(source=wider(s.source), destination=wider(s.destination))),
    ),
    Mutant("source port left out", ("ports",), selectors(lambda s: s._replace(source_port=0))),
    Mutant(
        "destination port left out", ("ports",), selectors(lambda s: s._replace(destination_port=0))
    ),
    Mutant(
        "ports swapped",
        ("ports",),
        selectors(
            lambda s: s._replace(source_port=s.destination_port, destination_port=s.source_port)
        ),
    ),
    Mutant("protocol left out", ("ports", "own-ike"), selectors(lambda s: s._replace(protocol=0))),
    Mutant(
        "ports of any protocol",
        ("ports",),
        instead(translation, "_with_ports", lambda treatment, selectors: (treatment, selectors)),
    ),
    Mutant(
        "ports without a protocol are those of UDP",
        ("ports",),
        around(
            translation,
            "_with_ports",
            lambda original, *given: ((made := original(*given))[0], made[1][-1:]),
        ),
    ),
    Mutant(
        "a mask with holes blocks what is around it",
        ("mask-with-holes",),
        instead(translation, "without_holes", lambda eroute: (masks.around(eroute.selector),)),
    ),
    Mutant(
        "only the first prefix of a mask",
        ("mask-with-holes",),
        around(translation, "without_holes", lambda original, eroute: original(eroute)[:1]),
    ),
    Mutant("no limit for masks", ("mask-with-holes",), options_with("mask_limit", 1 << 20)),
    Mutant(
        "host bits taken for a host",
        ("host-bits",),
        instead(
            translation,
            "_network_of",
            lambda s: s._replace(
                source=s.source.network,
                destination=s.destination._replace(mask=ALL_ONES[s.destination.family]),
            ),
        ),
    ),
    Mutant(
        "doubtful passes with host bits carried",
        ("host-bits",),
        both(
            instead(translation, "_unreached_passes", lambda *_: set()),
            instead(translation, "_doubtful_passes", lambda *_: set()),
        ),
    ),
)
OWN: Final = (
    Mutant("no exemption for IKE", ("own-ike",), own_flows(lambda _: False)),
    Mutant("none for port 500", ("own-ike",), own_flows(lambda f: f.source_port != 500)),
    Mutant("none for port 4500", ("own-ike",), own_flows(lambda f: f.source_port != 4500)),
    Mutant("none for ESP", ("own-ike",), own_flows(lambda f: f.protocol != 50)),
    Mutant("none for AH", ("own-ike",), own_flows(lambda f: f.protocol != 51)),
    Mutant(
        "nothing blocks forwarded IKE",
        ("own-ike",),
        shields("ike_shields", lambda s: s.direction != FWD),
    ),
    Mutant(
        "the peer's IKE must come protected",
        ("own-ike",),
        shields("ike_shields", lambda s: s.direction != IN),
    ),
    Mutant(
        "exempt whatever the destination",
        ("own-ike",),
        around(
            exemptions,
            "_own_flows",
            lambda original, selector, _peer, local: original(
                selector, selector.destination.network, local
            ),
        ),
    ),
    Mutant(
        "exempt for everybody although --local tells who",
        ("own-ike",),
        around(
            exemptions,
            "_own_flows",
            lambda original, selector, peer, _local: [
                (flow, True) for flow, _ in original(selector, peer, ())
            ],
        ),
    ),
    Mutant(
        "exemptions behind their eroute",
        ("own-ike",),
        policies(
            lambda o, old: [
                p._replace(priority=o.priority + 1) if p.priority != o.priority else p for p in old
            ]
        ),
    ),
    Mutant(
        "no neighbour discovery",
        ("neighbour-discovery",),
        instead(translation, "discovery_shields", lambda *_: ()),
    ),
    Mutant(
        "no solicitations",
        ("neighbour-discovery",),
        instead(exemptions, "DISCOVERY_TYPES", (133, 134, 136, 137)),
    ),
    Mutant(
        "no advertisements",
        ("neighbour-discovery",),
        instead(exemptions, "DISCOVERY_TYPES", (133, 134, 135, 137)),
    ),
    Mutant(
        "discovery is forwarded",
        ("neighbour-discovery",),
        shields("discovery_shields", lambda s: s.direction != FWD),
    ),
    Mutant(
        "discovery must come protected",
        ("neighbour-discovery",),
        shields("discovery_shields", lambda s: s.direction != IN),
    ),
)
ORDER: Final = (
    Mutant(
        "nothing blocks what no eroute covers",
        ("scope",),
        around(
            translation,
            "_extra_policies",
            lambda original, *given: [p for p in original(*given) if p.action != BLOCK],
        ),
    ),
    Mutant(
        "eroutes not cut to the routes",
        ("scope",),
        instead(translation._Mapper, "_scoped", lambda _self, selectors: selectors),
    ),
    Mutant(
        "what no eroute covers has no IKE",
        ("scope",),
        instead(translation, "uncovered_shields", lambda *_: ()),
    ),
    Mutant("--bypass ignored", ("scope",), bypassing(())),
    Mutant("--bypass without out", ("scope",), bypassing((IN, FWD))),
    Mutant("--bypass without in", ("scope",), bypassing((OUT, FWD))),
    Mutant("--bypass without fwd", ("scope",), bypassing((OUT, IN))),
    Mutant("routes into ipsecN ignored", ("routed-uncovered",), routes_with(blocked=())),
    Mutant("routes elsewhere ignored", ("never-routed",), routes_with(around=())),
    Mutant(
        "--scope eroutes ignored",
        ("routed-uncovered",),
        around(
            translation,
            "scope_of",
            lambda original, host, options: original(
                host, dataclasses.replace(options, scope=Scoping.ROUTES)
            ),
        ),
    ),
    Mutant("priorities turned round", ("precedence",), order(lambda old: old[::-1])),
    Mutant("priorities in the order of the table", ("precedence",), order(sorted)),
    Mutant(
        "the longest destination first", ("precedence",), around(translation, "decide", loose_order)
    ),
    Mutant(
        "one priority for all",
        ("precedence",),
        each_policy(lambda p: p._replace(priority=1_000_000_000)),
    ),
)
STATES: Final = (
    Mutant(
        "ICV always of 96 bits",
        ("associations",),
        instead(associations, "icv_bits", lambda *_, **__: 96),
    ),
    Mutant(
        "ICV by RFC 4868 whatever the version",
        ("associations",),
        instead(associations, "icv_of_version", lambda _: IcvLength.RFC),
    ),
    Mutant("--icv ignored", ("associations",), carried_with("icv", None)),
    Mutant(
        "states in transport mode",
        ("associations",),
        keyed(lambda s: s._replace(mode=TRANSPORT_MODE)),
    ),
    Mutant(
        "states with another reqid",
        ("associations",),
        keyed(lambda s: s._replace(reqid=s.reqid + 1)),
    ),
    Mutant(
        "states with another SPI", ("associations",), keyed(lambda s: s._replace(spi=s.spi + 1))
    ),
    Mutant(
        "states with source and destination swapped",
        ("associations",),
        keyed(lambda s: s._replace(source=s.destination, destination=s.source)),
    ),
)
FIREWALL: Final = (
    Mutant(
        "no reject rule", ("reject",), instead(translation, "_firewall", lambda *_: ()), nft=True
    ),
    Mutant(
        "another ICMP code", ("reject",), around(firewall, "nft_reject", another_code), nft=True
    ),
    Mutant(
        "stronger eroutes are rejected too",
        ("reject",),
        around(
            translation,
            "_firewall",
            lambda original, *given: [r for r in original(*given) if r.verdict == "reject"],
        ),
        nft=True,
    ),
    Mutant(
        "%reject has no policy",
        ("reject",),
        without(lambda p: p.direction == OUT and p.action == BLOCK),
        nft=True,
    ),
)

MUTANTS: Final = (*SHUNTS, *TUNNELS, *SELECTORS, *OWN, *ORDER, *STATES, *FIREWALL)


def judged(mutant: Mutant, bed: Bed) -> Verdict:
    """Send the fates of its rules until one shows the mutant."""
    tried = 0
    with mutant.broken():
        for fate in FATES:
            if fate.rule not in mutant.rules or fate.nft != mutant.nft:
                continue
            tried += 1
            try:
                found = differences(fate, bed, first=True)
            except KernelError as error:
                found = [f"{fate.rule}: {fate.table}: the kernel refuses it: {error}"]
            if found:
                return Verdict(mutant, found[0], tried)
    return Verdict(mutant, "", tried)


def run(nft: bool) -> list[Verdict]:
    """Judge all mutants of one kernel, and print each."""
    verdicts = []
    with Bed() as bed:
        for mutant in MUTANTS:
            if mutant.nft == nft:
                verdict = judged(mutant, bed)
                verdicts.append(verdict)
                word = f"killed by {verdict.shown}" if verdict.shown else "SURVIVED"
                print(f"{mutant.name}: {word}", flush=True)
    return verdicts


def main() -> int:
    """All mutants: here if this is the guest, else there and in namespaces of this kernel."""
    start = time.monotonic()
    if sys.argv[1:] == ["--inside"]:
        verdicts = run(nft=False)
        return _tell("in the guest", verdicts, start)
    command = [sys.executable, "-m", "tests.netkey.mutants", "--inside"]

    def write(data: bytes) -> None:
        sys.stdout.write(data.decode(errors="replace"))
        sys.stdout.flush()

    try:
        status = uml.run(command, write=write, limit=600)
    except uml.GuestError as error:
        print(f"mutants: {error}", file=sys.stderr)
        return error.status
    start = time.monotonic()
    return max(_tell("of the firewall", run(nft=True), start), status)


def _tell(where: str, verdicts: list[Verdict], start: float) -> int:
    survived = [v.mutant.name for v in verdicts if not v.shown]
    tried = sum(verdict.tried for verdict in verdicts)
    print(
        f"mutants {where}: tried {len(verdicts)}, killed {len(verdicts) - len(survived)},"
        f" survived {len(survived)}; {tried} fates in {time.monotonic() - start:.1f} s"
    )
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
