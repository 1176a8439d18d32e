"""Associations to states: addresses, modes, algorithms, check values, flags, reqids, refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eroute_translate.diagnostics import Span
from eroute_translate.klips.association import (
    Association,
    Encapsulation,
    Group,
    Lifetime,
    Lifetimes,
)
from eroute_translate.klips.eroute import Eroute
from eroute_translate.klips.host import KlipsHost
from eroute_translate.klips.said import Said, parse_said
from eroute_translate.mapping.algorithms import IcvLength, icv_of_version
from eroute_translate.mapping.model import Options
from eroute_translate.mapping.outer_header import outer_header
from eroute_translate.mapping.translation import Translation, translate
from eroute_translate.net import Prefix, Selector, parse_address, parse_prefix
from eroute_translate.secret import Secret
from eroute_translate.xfrm.model import Limits, Replay, State, UdpEncapsulation

HERE, THERE = parse_address("192.0.2.1"), parse_address("198.51.100.1")
NEAR, FAR = parse_prefix("10.1.0.0/16"), parse_prefix("10.2.0.0/16")
KEY3DES, KEYMD5 = Secret(bytes(range(24))), Secret(bytes(range(16)))


def said(text: str) -> Said:
    return parse_said(text)


def tun(name: str, *, inbound: bool, policy: tuple[Prefix, Prefix] | None = None) -> Association:
    return Association(
        said(name), Span("spi", 1), inbound, THERE if inbound else HERE, policy=policy
    )


def esp(name: str, *, inbound: bool = False, **more: object) -> Association:
    base = Association(
        said(name),
        Span("spi", 2),
        inbound,
        THERE if inbound else HERE,
        encryption="3des",
        authentication="md5",
        encryption_bits=192,
        authentication_bits=128,
        encryption_key=KEY3DES,
        authentication_key=KEYMD5,
    )
    return replace(base, **more)  # type: ignore[arg-type]


OUT_GROUP = (said("tun0x1002@198.51.100.1"), said("esp0x2001@198.51.100.1"))
IN_GROUP = (said("tun0x1001@192.0.2.1"), said("esp0x2002@192.0.2.1"))


def host(*associations: Association, **more: object) -> KlipsHost:
    saids = {association.said for association in associations}
    groups = [g for g in (OUT_GROUP, IN_GROUP) if set(g) <= saids]
    fields: dict[str, object] = {
        "groups": tuple(Group(group, Span("spigrp", 1)) for group in groups),
        "associations": associations,
    }
    eroute = Eroute(Selector(NEAR, FAR), OUT_GROUP, Span("eroute", 1))
    return KlipsHost((eroute,), **(fields | more))  # type: ignore[arg-type]


TUNNEL = (
    tun("tun0x1002@198.51.100.1", inbound=False),
    esp("esp0x2001@198.51.100.1"),
    tun("tun0x1001@192.0.2.1", inbound=True, policy=(FAR, NEAR)),
    esp("esp0x2002@192.0.2.1", inbound=True),
)


def states(translation: Translation) -> list[State]:
    return [carried.state for carried in translation.states if carried.state is not None]


def codes(translation: Translation) -> set[str]:
    return {finding.code for finding in translation.findings}


def test_a_tunnel_becomes_two_states_that_fit_its_policies() -> None:
    translation = translate(host(*TUNNEL), Options())
    out, inward = states(translation)
    assert [c.kind for c in translation.states] == ["ipip", "carried", "ipip", "carried"]
    assert (out.source, out.destination) == (HERE[1], THERE[1])
    assert (inward.source, inward.destination) == (THERE[1], HERE[1])
    assert out.mode == inward.mode == "tunnel"
    policy = next(p for p in translation.policies() if p.direction == "out")
    assert policy.templates[0].reqid == out.reqid == inward.reqid
    assert (policy.templates[0].source, policy.templates[0].destination) == (HERE[1], THERE[1])
    assert out.encryption is not None
    assert (out.encryption.name, out.encryption.key) == ("cbc(des3_ede)", KEY3DES)
    assert out.authentication is not None
    assert out.authentication[::2] == ("hmac(md5)", 96)


def test_an_association_tells_the_local_gateway() -> None:
    assert "ET201" not in codes(translate(host(*TUNNEL), Options()))
    bare = KlipsHost((Eroute(Selector(NEAR, FAR), OUT_GROUP, Span("eroute", 1)),))
    assert "ET201" in codes(translate(bare, Options()))


def test_without_keys_the_daemon_is_asked() -> None:
    keyless = [
        a if a.said.protocol == 4 else replace(a, encryption_key=None, authentication_key=None)
        for a in TUNNEL
    ]
    translation = translate(host(*keyless), Options())
    assert states(translation) == []
    assert [c.kind for c in translation.states] == ["ipip", "asked", "ipip", "asked"]
    assert "ET240" in codes(translation)
    assert all(t.spi == 0 for p in translation.policies() for t in p.templates)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("FreeS/WAN version: 2.06", IcvLength.CLASSIC),
        ("Openswan version: 2.6.38", IcvLength.CLASSIC),
        ("Libreswan version: 3.13", IcvLength.CLASSIC),
        ("Libreswan version: 3.14", IcvLength.RFC),
        ("Libreswan version: 3.20-12-gdeadbee", IcvLength.RFC),
        ("Libreswan version: v3.32", IcvLength.RFC),
        ("Libreswan version: git", None),
        ("", None),
    ],
)
def test_the_version_tells_the_check_value(version: str, expected: IcvLength | None) -> None:
    assert icv_of_version(version) is expected


@pytest.mark.parametrize(
    ("version", "option", "bits"),
    [
        ("", None, 96),
        ("Openswan version: 2.6.38", None, 96),
        ("Libreswan version: 3.20", None, 128),
        ("Libreswan version: 3.20", IcvLength.CLASSIC, 96),
        ("Openswan version: 2.6.38", IcvLength.RFC, 128),
    ],
)
def test_check_values_of_sha2(version: str, option: IcvLength | None, bits: int) -> None:
    sha2: dict[str, Any] = {"authentication": "sha2_256", "authentication_key": Secret(bytes(32))}
    out = esp("esp0x2001@198.51.100.1", **sha2)
    translation = translate(host(TUNNEL[0], out, version=version), Options(icv=option))
    found = states(translation)[0].authentication
    assert found is not None
    assert found.bits == bits
    assert "ET241" in codes(translation)


def test_ah_is_always_cut_to_96_bits() -> None:
    group = (said("ah0x300@198.51.100.1"),)
    ah = Association(
        group[0],
        Span("spi", 1),
        inbound=False,
        source=HERE,
        authentication="sha2_256",
        authentication_key=Secret(bytes(32)),
    )
    selector = Selector(Prefix(*HERE, 0xFFFFFFFF), Prefix(*THERE, 0xFFFFFFFF))
    table = KlipsHost(
        (Eroute(selector, group, Span("eroute", 1)),),
        associations=(ah,),
        version="Libreswan version: 3.20",
    )
    (state,) = states(translate(table, Options()))
    assert state.mode == "transport"
    assert state.authentication is not None
    assert state.authentication.bits == 96


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"encryption": "idea"}, "no cipher for idea"),
        ({"encryption": "id7"}, "no cipher for id7"),
        ({"encryption_key": Secret(bytes(8))}, "64 bits, not 192"),
        ({"authentication_key": Secret(bytes(20))}, "160 bits, not 128"),
        ({"authentication": "id9"}, "no authenticator for id9"),
        ({"source": None, "inbound": True}, "source address is not known"),
    ],
)
def test_what_cannot_be_carried_is_refused(change: dict[str, Any], reason: str) -> None:
    bad = esp("esp0x2001@198.51.100.1", **change)
    translation = translate(host(bad, groups=()), Options())
    (carried,) = translation.states
    assert carried.kind == "refused"
    assert reason in carried.reason
    assert "ET243" in codes(translation)
    secret = KEY3DES.reveal().hex()
    assert not any(secret in f.message + f.excerpt for f in translation.findings)


def test_a_bundle_has_one_tunnel_and_transport_behind_it() -> None:
    saids = (
        said("tun0x1002@198.51.100.1"),
        said("comp0x3001@198.51.100.1"),
        said("esp0x2001@198.51.100.1"),
        said("ah0x4001@198.51.100.1"),
    )
    comp = Association(saids[1], Span("spi", 3), inbound=False, source=HERE, compression="deflate")
    ah = Association(
        saids[3],
        Span("spi", 4),
        inbound=False,
        source=HERE,
        authentication="sha1",
        authentication_key=Secret(bytes(20)),
    )
    table = KlipsHost(
        (Eroute(Selector(NEAR, FAR), saids, Span("eroute", 1)),),
        associations=(TUNNEL[0], comp, TUNNEL[1], ah),
        groups=(Group(saids, Span("spigrp", 1)),),
    )
    found = states(translate(table, Options()))
    assert [(s.protocol, s.mode) for s in found] == [
        (108, "tunnel"),
        (50, "transport"),
        (51, "transport"),
    ]
    assert len({s.reqid for s in found}) == 1
    assert found[0].compression == "deflate"


def test_ip_in_ip_alone_is_refused() -> None:
    alone = (said("tun0x1002@198.51.100.1"),)
    table = KlipsHost(
        (Eroute(Selector(NEAR, FAR), alone, Span("eroute", 1)),),
        associations=(TUNNEL[0],),
        groups=(Group(alone, Span("spigrp", 1)),),
    )
    translation = translate(table, Options())
    assert translation.outcomes[0].treatment.rule == "bare-tunnel"
    finding = next(d for d in translation.findings if d.code == "ET244")
    assert finding.hint.startswith(
        "what KLIPS did is: ip link add name ipip1 type ipip local 192.0.2.1 remote 198.51.100.1;"
        " ip link set dev ipip1 up; ip route add 10.2.0.0/16 dev ipip1"
    )
    assert [(p.direction, p.action) for p in translation.policies()] == [("out", "block")]
    assert translation.refused == 1


def test_the_outer_header_is_as_klips_made_it() -> None:
    hidden = states(translate(host(*TUNNEL), Options()))
    assert hidden[0].flags == ("noecn", "nopmtudisc")
    assert hidden[0].extra_flags == ("dont-encap-dscp",)
    assert hidden[1].flags == ("noecn",)
    shown = states(translate(host(*TUNNEL, parameters={"tos": "0"}), Options()))
    assert (shown[0].flags, shown[0].extra_flags) == (("nopmtudisc",), ())


@pytest.mark.parametrize(
    ("mode", "family", "tos", "inbound", "flags", "extra", "codes"),
    [
        ("tunnel", 4, "1", False, "noecn nopmtudisc", "dont-encap-dscp", "ET246 ET274"),
        ("tunnel", 4, "", False, "noecn nopmtudisc", "dont-encap-dscp", "ET246 ET274 ET275"),
        ("tunnel", 4, "0", False, "nopmtudisc", "", "ET246 ET274"),
        ("tunnel", 4, "0", True, "noecn", "", "ET246"),
        ("tunnel", 6, "0", False, "noecn", "dont-encap-dscp", "ET246 ET274"),
        ("tunnel", 6, "", True, "noecn", "", "ET246"),
        ("transport", 4, "1", False, "", "", ""),
    ],
)
def test_flags_of_the_outer_header(
    mode: str, family: int, tos: str, inbound: bool, flags: str, extra: str, codes: str
) -> None:
    parameters = {"tos": tos} if tos else {}
    found = outer_header(mode, family, parameters, inbound=inbound)
    assert [" ".join(part) for part in found] == [flags, extra, codes]


def test_sequence_numbers_are_of_the_time_of_reading() -> None:
    counting = (TUNNEL[0], replace(TUNNEL[1], sequence=7), *TUNNEL[2:])
    assert "ET276" in codes(translate(host(*counting), Options()))
    assert "ET276" not in codes(translate(host(*TUNNEL), Options()))


def test_lifetimes_windows_and_numbers() -> None:
    life = Lifetimes(
        Lifetime(0, 1, 2), Lifetime(0, 3, 4), Lifetime(0, 5, 6), Lifetime(0, 7, 8), Lifetime(9, 10)
    )
    out = esp("esp0x2001@198.51.100.1", lifetimes=life, replay_window=32, sequence=77)
    translation = translate(host(TUNNEL[0], out), Options())
    (state,) = states(translation)
    assert state.limits == Limits(5, 6, 7, 8, 3, 4, 10, 0)
    assert state.replay_window == 32
    assert state.replay == Replay(sent=77)
    assert "ET248" in codes(translation)


@pytest.mark.parametrize(
    ("kind", "word", "code"), [("nonesp", "espinudp", ""), ("nonike", "espinudp-nonike", "ET247")]
)
def test_nat_traversal(kind: str, word: str, code: str) -> None:
    out = esp("esp0x2001@198.51.100.1", encapsulation=Encapsulation(kind, 4500, 4501))
    translation = translate(host(TUNNEL[0], out), Options())
    (state,) = states(translation)
    assert state.encapsulation == UdpEncapsulation(word, 4500, 4501)
    assert (code in codes(translation)) is bool(code)


def test_reserved_numbers_are_told() -> None:
    comp = Association(
        said("comp0x123456@198.51.100.1"), Span("spi", 1), inbound=False, source=HERE
    )
    low = esp("esp0x20@198.51.100.1")
    translation = translate(host(comp, low, groups=()), Options())
    assert [s.spi for s in states(translation)] == [0x3456, 0x20]
    assert "ET249" in codes(translation)


def test_an_inbound_group_is_tied_by_what_it_accepts() -> None:
    other = parse_prefix("10.3.0.0/16")
    second = (said("tun0x1004@198.51.100.1"), said("esp0x2003@198.51.100.1"))
    eroutes = (
        Eroute(Selector(NEAR, other), second, Span("eroute", 1)),
        Eroute(Selector(NEAR, FAR), OUT_GROUP, Span("eroute", 2)),
    )
    table = replace(host(*TUNNEL), eroutes=eroutes)
    translation = translate(table, Options())
    reqids = {o.eroute.saids: o.reqid for o in translation.outcomes}
    assert [s.reqid for s in states(translation)] == [reqids[OUT_GROUP], reqids[OUT_GROUP]]
    assert "ET242" not in codes(translation)
    loose = replace(table, associations=(*TUNNEL[:2], replace(TUNNEL[2], policy=None), TUNNEL[3]))
    assert "ET242" in codes(translate(loose, Options()))
