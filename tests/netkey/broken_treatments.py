"""Faults in what becomes of a packet: actions, templates, states, answers."""

from __future__ import annotations

from typing import Final

from eroute_translate import firewall
from eroute_translate.klips.said import (
    SPI_DROP,
    SPI_HOLD,
    SPI_PASS,
    SPI_REJECT,
    SPI_TRAP,
    SPI_TRAPSUBNET,
)
from eroute_translate.mapping import associations, mapper, precedence, translation
from eroute_translate.mapping.algorithms import IcvLength
from eroute_translate.mapping.model import (
    ALLOW,
    BLOCK,
    IN,
    OUT,
    TRANSPORT_MODE,
    TUNNEL_MODE,
    Inbound,
    Step,
)
from eroute_translate.mapping.protection import Protection
from eroute_translate.net import IPPROTO_AH, Selector

from .breaks import (
    Mutant,
    all_steps,
    another_code,
    around,
    blocks_incoming,
    both,
    carried_with,
    each_policy,
    instead,
    is_ours,
    keyed,
    let_through,
    options_with,
    policies,
    printed,
    protection,
    shunt,
    steps,
    templates,
    turned,
    without,
)

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
            instead(mapper, "is_made_by_kernel", lambda _: False),
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
        printed(instead(Selector, "mirrored", lambda self: self)),
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
        instead(mapper.Mapper, "_mirrors_itself", lambda *_: False),
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
        instead(mapper, "_holes", lambda _: set()),
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
        "no reject rule",
        ("reject",),
        instead(translation, "firewall_rules", lambda *_: ()),
        nft=True,
    ),
    Mutant(
        "another ICMP code", ("reject",), around(firewall, "nft_reject", another_code), nft=True
    ),
    Mutant(
        "stronger eroutes are rejected too",
        ("reject",),
        around(
            translation,
            "firewall_rules",
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
