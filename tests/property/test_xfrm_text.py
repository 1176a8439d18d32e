"""Round trips of ``ip xfrm policy`` text: what iproute2 prints is read back as it was."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from eroute_translate.net import (
    MASK_OF_LENGTH,
    WIDTH,
    Prefix,
    Selector,
    format_address,
    format_prefix,
)
from eroute_translate.xfrm.model import Policy, Template
from eroute_translate.xfrm.read_text import read_policies
from eroute_translate.xfrm.text import (
    MODES,
    TEMPLATE_NAMES,
    TYPE_PROTOCOLS,
    key_arguments,
    policy_arguments,
)

U32 = st.integers(0, 0xFFFFFFFF)
PORT = st.integers(0, 0xFFFF)
PROTOCOL_TEXTS = {1: "icmp", 4: "ipencap", 6: "tcp", 17: "udp", 47: "gre", 58: "ipv6-icmp"}


@st.composite
def prefixes(draw: st.DrawFn, family: int) -> Prefix:
    width = WIDTH[family]
    length = draw(st.integers(0, width))
    return Prefix(family, draw(st.integers(0, (1 << width) - 1)), MASK_OF_LENGTH[family][length])


@st.composite
def templates(draw: st.DrawFn) -> Template:
    family = draw(st.sampled_from((4, 6)))
    address = st.integers(0, (1 << WIDTH[family]) - 1)
    protocol = draw(st.sampled_from([n for n in TEMPLATE_NAMES if n != 255]))
    largest = {50: 0xFFFFFFFF, 51: 0xFFFFFFFF, 108: 0xFFFF}.get(protocol, 0)
    return Template(
        protocol,
        draw(st.sampled_from(MODES)),
        family,
        draw(address),
        draw(address),
        draw(U32),
        draw(st.integers(0, largest)),
        draw(st.booleans()),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Draw a policy that ``ip`` can make."""
    family = draw(st.sampled_from((4, 6)))
    protocol = draw(st.sampled_from((0, 1, 4, 6, 17, 33, 47, 50, 58, 132, 135, 253)))
    ports, masks = (0, 0), (0, 0)
    if protocol in (0, 6, 17, 33, 132):
        ports = (draw(PORT), draw(PORT))
        masks = (0xFFFF if ports[0] else 0, 0xFFFF if ports[1] else 0)
    elif protocol in TYPE_PROTOCOLS or (protocol == 47 and draw(st.booleans())):
        masks = (0xFFFF, 0xFFFF)
        if protocol != 47:
            masks = (draw(st.sampled_from((0, 0xFFFF))), draw(st.sampled_from((0, 0xFFFF))))
        largest = 0xFFFF if protocol == 47 else 0xFF
        ports = (
            draw(st.integers(0, largest)) if masks[0] else 0,
            draw(st.integers(0, largest)) if masks[1] else 0,
        )
    usual = (0xFFFF if ports[0] else 0, 0xFFFF if ports[1] else 0)
    mask = draw(st.one_of(st.just(0), U32))
    return Policy(
        draw(st.sampled_from(("out", "in", "fwd"))),
        Selector(draw(prefixes(family)), draw(prefixes(family)), protocol, *ports),
        draw(U32),
        draw(st.sampled_from(("allow", "block"))),
        tuple(draw(st.lists(templates(), max_size=3))),
        (draw(U32) & mask, mask),
        draw(st.one_of(st.just(0), U32)),
        None if masks == usual else masks,
        draw(st.sampled_from((0, 0, 0, 1, 77))),
        ptype=draw(st.sampled_from(("main", "main", "sub"))),
    )


def like_iproute2(policy: Policy, *, stats: bool = False, oneline: bool = False) -> str:
    """Print as xfrm_policy_info_print of iproute2 6.1 does."""
    selector = policy.selector
    line = f"src {format_prefix(selector.source)} dst {format_prefix(selector.destination)} "
    protocol = selector.protocol
    if protocol:
        line += f"proto {PROTOCOL_TEXTS.get(protocol, protocol)} "
    ports = selector.source_port, selector.destination_port
    masks = policy.port_masks or ports
    if protocol == 47 and any(masks):
        line += f"key {ports[0] << 16 | ports[1]} "
    elif any(masks):
        names = ("type", "code") if protocol in TYPE_PROTOCOLS else ("sport", "dport")
        for name, port, mask in zip(names, ports, masks, strict=True):
            line += f"{name} {port} " if mask else ""
    line += f"dev if{policy.ifindex} " if policy.ifindex else ""
    line += "uid 0" if stats else ""
    lines = [line, f"\tdir {policy.direction} "]
    if policy.action == "block" or stats:
        lines[1] += f"action {policy.action} "
    lines[1] += f"index {policy.index} " if stats else ""
    lines[1] += f"priority {policy.priority} ptype {policy.ptype} "
    if stats:
        lines[1] += "share any flag  (0x00000000)"
        lines += [
            "\tlifetime config:",
            "\t  limit: soft (INF)(bytes), hard (INF)(bytes)",
            "\t  limit: soft (INF)(packets), hard (INF)(packets)",
            "\t  expire add: soft 0(sec), hard 0(sec)",
            "\t  expire use: soft 0(sec), hard 0(sec)",
            "\tlifetime current:",
            "\t  0(bytes), 0(packets)",
            "\t  add 2026-11-23 13:11:39 use 2026-11-23 13:11:40",
        ]
    value, mask = policy.mark
    if value or mask:
        lines.append(f"\tmark {value:#x}/{mask:#x} ".replace("0x0/", "0/"))
    for template in policy.templates:
        lines += _template_like_iproute2(template, stats=stats)
    if policy.if_id:
        lines.append(f"\tif_id {policy.if_id:#x}")
    return ("\\" if oneline else "\n").join(lines) + ("\\\n" if oneline else "\n")


def _template_like_iproute2(template: Template, *, stats: bool) -> list[str]:
    ends = [format_address(template.family, a) for a in (template.source, template.destination)]
    line = f"\t\tproto {TEMPLATE_NAMES[template.protocol]} "
    if template.spi or stats:
        line += f"spi 0x{template.spi:08x}" + (f"({template.spi}) " if stats else " ")
    line += f"reqid {template.reqid}" + (f"(0x{template.reqid:08x}) " if stats else " ")
    lines = [f"\ttmpl src {ends[0]} dst {ends[1]}", f"{line}mode {template.mode}"]
    if stats or template.optional:
        level = f"\t\tlevel {'use' if template.optional else 'required'} "
        lines.append(level + ("share any " if stats else ""))
    if stats:
        lines.append("\t\tenc-mask ffffffff auth-mask ffffffff comp-mask ffffffff")
    return lines


@given(st.lists(policies(), max_size=4), st.booleans(), st.booleans())
def test_what_iproute2_prints_is_read(some: list[Policy], stats: bool, oneline: bool) -> None:
    if stats:
        some = [policy._replace(index=8 * n + 1) for n, policy in enumerate(some)]
    text = "".join([like_iproute2(policy, stats=stats, oneline=oneline) for policy in some])
    reading = read_policies(text)
    assert reading.diagnostics == ()
    assert list(reading.policies) == some


@given(policies(), st.booleans())
def test_arguments_are_the_words_of_one_line(policy: Policy, numeric: bool) -> None:
    text = policy_arguments(policy, numeric=numeric)
    assert text.isprintable()
    assert "  " not in text
    assert text == text.strip()
    words = text.split()
    assert words[0::2][:2] == ["src", "dst"]
    # ID of a template and the selector stand together, or ip refuses them (facts 4.2).
    assert text.count(" dir ") == 1
    assert " sport" not in text.partition(" dir ")[2]
    value, mask = policy.mark
    if value or not mask:
        head = key_arguments(policy, numeric=numeric)
        assert text.startswith(head)


@given(policies())
def test_equal_texts_mean_equal_policies(policy: Policy) -> None:
    words = policy_arguments(policy)
    other = policy._replace(priority=policy.priority ^ 1)
    assert policy_arguments(other) != words
    assert policy_arguments(other._replace(priority=policy.priority)) == words


@given(st.text(alphabet="srcdtmpl 0123456789/.:\\\n\tx()", max_size=200))
def test_the_reader_never_raises(text: str) -> None:
    read_policies(text)


@settings(max_examples=200)
@given(policies(), st.data())
def test_a_damaged_text_never_raises(policy: Policy, data: st.DataObject) -> None:
    text = like_iproute2(policy, stats=data.draw(st.booleans()))
    words = text.split(" ")
    place = data.draw(st.integers(0, len(words) - 1))
    words[place] = data.draw(st.sampled_from(["", "x", "-1", "\x00", "é", "0x", "src", "²"]))
    reading = read_policies(" ".join(words))
    assert len(reading.entries) + len(reading.diagnostics) <= 4
    for item in reading.diagnostics:
        assert item.span is not None
