"""Bulk bytes against the message classes, and there and back again."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eroute_translate.net import MASK_OF_LENGTH, WIDTH, Prefix, Selector, format_address
from eroute_translate.xfrm.decode import decode_policies, unmodelled
from eroute_translate.xfrm.encode import encode_installs, encode_removals
from eroute_translate.xfrm.family import constants as c
from eroute_translate.xfrm.family import messages as m
from eroute_translate.xfrm.model import Policy, Template
from eroute_translate.xfrm.text import MODES

u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
families = st.sampled_from((4, 6))


def addresses(family: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << WIDTH[family]) - 1)


@st.composite
def prefixes(draw: st.DrawFn, family: int, host_bits: bool) -> Prefix:
    mask = MASK_OF_LENGTH[family][draw(st.integers(0, WIDTH[family]))]
    address = draw(addresses(family))
    return Prefix(family, address if host_bits else address & mask, mask)


@st.composite
def templates(draw: st.DrawFn) -> Template:
    family = draw(families)
    return Template(
        draw(st.integers(0, 255)),
        draw(st.sampled_from(MODES)),
        family,
        draw(addresses(family)),
        draw(addresses(family)),
        draw(u32),
        draw(u32),
        draw(st.booleans()),
    )


@st.composite
def policies(draw: st.DrawFn, host_bits: bool = False) -> Policy:
    """Any policy, written the one way that :class:`Policy` has for it."""
    family = draw(families)
    masks = draw(st.none() | st.tuples(u16, u16))
    ports = draw(st.tuples(u16, u16) | st.just((0, 0)))
    if masks is not None:
        if not host_bits:
            ports = (ports[0] & masks[0], ports[1] & masks[1])
        if masks == tuple(0xFFFF if port else 0 for port in ports):
            masks = None
    selector = Selector(
        draw(prefixes(family, host_bits)),
        draw(prefixes(family, host_bits)),
        draw(st.integers(0, 255)),
        *ports,
    )
    mask = draw(u32 | st.just(0))
    return Policy(
        draw(st.sampled_from(("in", "out", "fwd"))),
        selector,
        draw(u32),
        draw(st.sampled_from(("allow", "block"))),
        tuple(draw(st.lists(templates(), max_size=6))),
        (draw(u32) & mask, mask),
        draw(u32 | st.just(0)),
        masks,
        draw(st.integers(-(1 << 31), (1 << 31) - 1) | st.just(0)),
        draw(u32),
        draw(st.sampled_from(("main", "sub"))),
        draw(u32),
    )


# What the message classes are given, written down beside wire.py and not with it.


def selector_fields(policy: Policy, exact: bool = False) -> dict[str, Any]:
    source, destination = policy.selector.source, policy.selector.destination
    if not exact:
        source, destination = source.network, destination.network
    source_mask, destination_mask = policy.full_port_masks
    source_port, destination_port = policy.selector.source_port, policy.selector.destination_port
    if not exact:
        source_port, destination_port = (
            source_port & source_mask,
            destination_port & destination_mask,
        )
    return {
        "saddr": format_address(source.family, source.address),
        "daddr": format_address(destination.family, destination.address),
        "prefixlen_s": source.length,
        "prefixlen_d": destination.length,
        "proto": policy.selector.protocol,
        "sport": source_port,
        "dport": destination_port,
        "sport_mask": source_mask,
        "dport_mask": destination_mask,
        "ifindex": policy.ifindex,
        "user": policy.user,
    }


def template_fields(template: Template) -> dict[str, Any]:
    return {
        "saddr": format_address(template.family, template.source),
        "daddr": format_address(template.family, template.destination),
        "proto": template.protocol,
        "mode": MODES.index(template.mode),
        "reqid": template.reqid,
        "spi": template.spi,
        "optional": template.optional,
    }


def by_classes(
    kind: int, policy: Policy, sequence: int, seconds: int = 0, exact: bool = False
) -> bytes:
    removing = kind == c.XFRM_MSG_DELPOLICY
    message: Any = m.PolicyIdMessage() if removing else m.PolicyMessage()
    message["sel"] = selector_fields(policy, exact)
    message["dir"] = {"in": 0, "out": 1, "fwd": 2}[policy.direction]
    message["index"] = policy.index
    attributes: list[tuple[str, Any]] = []
    if not removing:
        message["lft"] = {"hard_add_expires_seconds": seconds}
        message["priority"] = policy.priority
        message["action"] = {"allow": 0, "block": 1}[policy.action]
        if policy.templates:
            attributes.append(("XFRMA_TMPL", [template_fields(t) for t in policy.templates]))
    if policy.ptype == "sub":
        attributes.append(("XFRMA_POLICY_TYPE", {"type": 1}))
    if policy.mark[1]:
        attributes.append(("XFRMA_MARK", {"v": policy.mark[0], "m": policy.mark[1]}))
    if policy.if_id:
        attributes.append(("XFRMA_IF_ID", policy.if_id))
    message["attrs"] = attributes
    message["header"] = {"type": kind, "flags": 1, "sequence_number": sequence, "pid": 0}
    message.encode()
    return bytes(message.data)


@settings(deadline=None)
@given(st.lists(policies(host_bits=True), max_size=3), u16, st.booleans(), u16, st.booleans())
def test_the_bytes_are_those_of_the_message_classes(
    some: list[Policy], first: int, replace: bool, seconds: int, exact: bool
) -> None:
    kind = c.XFRM_MSG_UPDPOLICY if replace else c.XFRM_MSG_NEWPOLICY
    made = encode_installs(some, first, replace=replace, seconds=seconds, exact=exact)
    assert made == [by_classes(kind, p, first + i, seconds, exact) for i, p in enumerate(some)]
    removals = encode_removals(some, first, exact=exact)
    assert removals == [
        by_classes(c.XFRM_MSG_DELPOLICY, p, first + i, exact=exact) for i, p in enumerate(some)
    ]


@settings(deadline=None)
@given(st.lists(policies(), max_size=4))
def test_there_and_back(some: list[Policy]) -> None:
    encoded = encode_installs(some)
    assert decode_policies(b"".join(encoded)) == some
    for message in encoded:
        assert unmodelled(message) == ()


@settings(deadline=None)
@given(policies(host_bits=True))
def test_bits_outside_the_masks_are_cleared_unless_they_are_asked_for(policy: Policy) -> None:
    selector = policy.selector
    (cleared,) = decode_policies(encode_installs([policy])[0])
    assert cleared.selector.source == selector.source.network
    assert cleared.selector.destination == selector.destination.network
    masks = policy.full_port_masks
    assert cleared.full_port_masks == masks
    assert cleared.selector.source_port == selector.source_port & masks[0]
    assert cleared.selector.destination_port == selector.destination_port & masks[1]
    assert decode_policies(encode_installs([policy], exact=True)[0]) == [policy]


@settings(deadline=None)
@given(policies())
def test_message_classes_read_what_they_wrote(policy: Policy) -> None:
    data = encode_installs([policy])[0]
    message: Any = m.PolicyMessage(data)
    message.decode()
    family = socket.AF_INET6 if policy.selector.family == 6 else socket.AF_INET
    assert message["sel"] == selector_fields(policy) | {"family": family}
    assert message["priority"] == policy.priority
    read = message.get_attr("XFRMA_TMPL") or []
    assert [
        {name: t[name] for name in template_fields(p)}
        for t, p in zip(read, policy.templates, strict=True)
    ] == [template_fields(t) for t in policy.templates]
    assert (message.get_attr("XFRMA_IF_ID") or 0) == policy.if_id


@settings(deadline=None)
@given(st.data(), policies())
def test_any_bytes_are_policies_or_a_value_error(data: st.DataObject, policy: Policy) -> None:
    message = bytearray(encode_installs([policy])[0])
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(message)))
    for damaged in (bytes(message), bytes(message[:cut]), bytes(message[cut:])):
        try:
            decode_policies(damaged)
        except ValueError:
            continue


@pytest.mark.parametrize("change", [{"direction": "socket in"}, {"action": "x"}, {"priority": -1}])
def test_what_xfrm_cannot_hold(change: dict[str, Any]) -> None:
    everything = Prefix(4, 0, 0)
    policy = Policy("out", Selector(everything, everything), 1)._replace(**change)
    with pytest.raises(ValueError, match="XFRM cannot hold it"):
        encode_installs([policy])
    holes = policy._replace(selector=Selector(Prefix(4, 0, 0xFF00FF00), everything))
    with pytest.raises(ValueError, match="XFRM cannot hold it"):
        encode_removals([holes])


@settings(deadline=None)
@given(policies(), st.integers(0, 0xFF), st.integers(0, 0xFFFFFFFF), st.booleans())
def test_what_has_no_field_is_kept_in_octets(
    policy: Policy, flags: int, packets: int, algorithms: bool
) -> None:
    """A limit, flags and algorithm masks come back, counters do not, the index is the policy's."""
    message = bytearray(encode_installs([policy])[0])
    struct.pack_into("=Q", message, 16 + 56 + 16, packets)
    message[178] = flags
    if algorithms and policy.templates:
        message[184 + 4 + 52] = 0
    counted = bytearray(message)
    counted[136:168] = bytes(range(32))
    (read,) = decode_policies(bytes(counted))
    assert read.octets
    (again,) = encode_installs([read], 9, replace=False)
    struct.pack_into("=HHI", message, 4, 19, 1, 9)
    assert again == bytes(message)
    assert read._replace(octets=b"") == policy
    assert decode_policies(again) == [read]
    (moved,) = encode_installs([read._replace(index=0x1234)])
    assert decode_policies(moved) == [read._replace(index=0x1234)]
