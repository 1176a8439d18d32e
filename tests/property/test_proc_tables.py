"""Readers of the other proc tables: what is printed reads back, and no input is lost or raises."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eroute_translate.diagnostics import Collector, Span
from eroute_translate.klips import stack
from eroute_translate.klips.association import (
    AUTHENTICATIONS,
    COMPRESSIONS,
    ENCRYPTIONS,
    Association,
    Encapsulation,
    Group,
    Lifetime,
    Lifetimes,
)
from eroute_translate.klips.interface import Attachment
from eroute_translate.klips.said import SA_AH, SA_COMP, SA_ESP, SA_IPIP, Said
from eroute_translate.klips.spi import (
    format_association,
    looks_like_association,
    read_association,
)
from eroute_translate.klips.spigrp import chains, format_group, looks_like_group, read_group
from eroute_translate.klips.tncfg import (
    format_attachment,
    looks_like_attachment,
    read_attachment,
    read_attachments,
)
from eroute_translate.net import ALL_ONES, MASK_OF_LENGTH, WIDTH, Prefix

SPAN = Span("f", 1)
RELAXED = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


def addresses(family: int) -> st.SearchStrategy[int]:
    """Random ones, and those with few bits set, which print with runs of zeros."""
    few = st.sets(st.integers(0, WIDTH[family] - 1), max_size=6)
    return st.integers(0, ALL_ONES[family]) | few.map(lambda bits: sum(1 << bit for bit in bits))


def saids(protocol: int, family: int) -> st.SearchStrategy[Said]:
    return st.builds(
        Said,
        st.just(protocol),
        st.integers(1, 0xFFFFFFFF),
        st.just(family),
        addresses(family),
        st.just(""),
    )


@st.composite
def prefixes(draw: st.DrawFn, family: int) -> Prefix:
    mask = draw(st.sampled_from(MASK_OF_LENGTH[family]))
    return Prefix(family, draw(addresses(family)) & mask, mask)


NUMBER = st.sampled_from(["1", "17", "-5", "4294967295", "0"])
LIMIT = st.integers(0, 3) | st.integers(0, (1 << 64) - 1)
ID = st.integers(0, 255).map(lambda number: f"id{number}")
SHOWN = {
    "iv_bits": st.just("64bits"),
    "iv": st.just("0x0123456789abcdef"),
    "ooo_errs": NUMBER,
    "bit": st.just("0xff") | st.just("0x00000000001"),
    "max_seq_diff": NUMBER,
    "aklen": st.just("160"),
    "auth_errs": NUMBER,
    "encr_size_errs": NUMBER,
    "encr_pad_errs": NUMBER,
    "jiffies": st.just("4294937296"),
    "idle": NUMBER,
    "ratio": st.just("4096:1012"),
}


@st.composite
def associations(draw: st.DrawFn) -> Association:
    """Associations as the rows of all versions have them."""
    family = draw(st.sampled_from([4, 6]))
    protocol = draw(st.sampled_from([SA_ESP, SA_AH, SA_IPIP, SA_COMP]))
    encryption = authentication = compression = ""
    if protocol == SA_ESP:
        encryption = draw(st.just("") | st.sampled_from(ENCRYPTIONS) | ID)
    if protocol in (SA_AH, SA_ESP) and (encryption or protocol == SA_AH):
        authentication = draw(st.sampled_from(AUTHENTICATIONS) | ID)
    if protocol == SA_COMP:
        compression = draw(st.sampled_from(COMPRESSIONS))
    # A kind that nobody used and that has no limit is not printed; neither is a count of 1.
    life = st.builds(Lifetime, LIMIT.filter(lambda n: n != 1), LIMIT, LIMIT)
    shown = draw(st.fixed_dictionaries({}, optional=SHOWN))
    if ("iv" in shown) != ("iv_bits" in shown):
        shown = {k: v for k, v in shown.items() if k not in ("iv", "iv_bits")}
    encapsulation, reference = None, 0
    if draw(st.booleans()):
        kind = draw(st.sampled_from(["na", "none", "nonike", "nonesp"]))
        ports = draw(st.tuples(st.integers(0, 65535), st.integers(0, 65535)))
        if kind in ("nonike", "nonesp"):
            encapsulation = Encapsulation(kind, *ports)
        else:
            shown["natencap"] = kind
        if kind == "none":
            shown |= {"natsport": "0", "natdport": "0"}
    if encapsulation or "natencap" in shown or draw(st.booleans()):
        shown["refcount"] = "4"
        reference = draw(st.integers(-1, 0x7FFF))
        if not reference:
            shown["ref"] = "0"
        shown |= draw(
            st.fixed_dictionaries({}, optional={"refhim": NUMBER, "outif": st.just("mast0:3")})
        )
    policy = None
    if protocol == SA_IPIP and draw(st.booleans()):
        policy = draw(st.tuples(prefixes(family), prefixes(family)))
    return Association(
        draw(saids(protocol, family)),
        SPAN,
        draw(st.booleans()),
        draw(st.none() | addresses(family).map(lambda number: (family, number))),
        encryption,
        authentication,
        compression,
        draw(st.sampled_from([0, 128, 192, 256])),
        draw(st.sampled_from([0, 128, 160, 256, 512])),
        draw(st.sampled_from([0, 32, 64])),
        draw(st.integers(0, 0xFFFFFFFF)),
        policy,
        draw(st.sampled_from([0, 8, 16])),
        draw(st.builds(Lifetimes, life, life, life, life, life)),
        encapsulation,
        reference=reference,
        shown=tuple(shown.items()),
    )


def same(association: Association | None) -> tuple[object, ...] | None:
    """Everything of an association, its texts in the order of their names."""
    if association is None:
        return None
    fields = [getattr(association, name) for name in Association.__slots__ if name != "shown"]
    return (*fields, sorted(association.shown))


@RELAXED
@given(associations())
def test_an_association_reads_back(association: Association) -> None:
    collector = Collector()
    line = format_association(association)
    assert looks_like_association(line)
    result = read_association(line, SPAN, collector)
    assert not collector.items
    assert same(result) == same(association)
    assert result is not None
    assert format_association(result) == line


@st.composite
def groups(draw: st.DrawFn) -> Group:
    family = draw(st.sampled_from([4, 6]))
    one = st.sampled_from([SA_ESP, SA_AH, SA_IPIP, SA_COMP]).flatmap(lambda p: saids(p, family))
    return Group(tuple(draw(st.lists(one, min_size=1, max_size=4))), SPAN)


@RELAXED
@given(groups(), st.booleans())
def test_a_group_reads_back(group: Group, blank: bool) -> None:
    collector = Collector()
    line = format_group(group) if blank else format_group(group).rstrip()
    assert looks_like_group(line)
    assert not looks_like_association(line)
    assert read_group(line, SPAN, collector) == group
    assert not collector.items


@RELAXED
@given(st.lists(groups(), max_size=6), st.booleans())
def test_chains_are_the_rows_that_no_other_row_ends_in(rows: list[Group], inbound: bool) -> None:
    """As Openswan 2.6.14 prints them: every tail of every chain has a row of its own."""
    # One association is in one chain.
    used: set[Said] = set()
    kept: list[Group] = []
    for row in rows:
        if len(set(row.saids)) == len(row.saids) and not used & set(row.saids):
            used |= set(row.saids)
            kept.append(row)
    table = [
        Group(row.saids[start:], SPAN) for row in reversed(kept) for start in range(len(row.saids))
    ]
    known = {said: Association(said, SPAN, inbound) for said in used}
    result = chains(table, known, "Openswan version: 2.6.38", Collector())
    assert {frozenset(group.saids) for group in result} == {frozenset(row.saids) for row in kept}
    assert {min(g.saids, g.saids[::-1]) for g in result} == {
        min(row.saids, row.saids[::-1]) for row in kept
    }


ATTACHMENTS = st.builds(
    Attachment,
    st.integers(0, 63).map(lambda number: f"ipsec{number}"),
    st.none() | st.sampled_from(["eth0", "ppp0", "eth1.100", "wlan0", "br-lan"]),
    st.just(SPAN),
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.just(False),
)


@RELAXED
@given(st.lists(ATTACHMENTS, min_size=1, max_size=4))
def test_attachments_read_back(attachments: list[Attachment]) -> None:
    collector = Collector()
    for attachment in attachments:
        line = format_attachment(attachment)
        assert looks_like_attachment(line)
        result = read_attachment(line, SPAN, collector)
        assert result is not None
        assert result._replace(span=SPAN) == attachment
    compressed = " ".join(format_attachment(a).replace(" -> ", "->") for a in attachments)
    results = read_attachments(compressed, SPAN, collector)
    assert [a._replace(span=SPAN) for a in results] == attachments
    assert not collector.items


ROWS = (
    associations().map(format_association)
    | groups().map(format_group)
    | ATTACHMENTS.map(format_attachment)
)
READERS: list[tuple[Callable[[str], bool], Callable[[str, Span, Collector], object]]] = [
    (looks_like_association, read_association),
    (looks_like_group, read_group),
    (looks_like_attachment, read_attachments),
]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A row with some of it taken out, put in or doubled, or two of them torn into one."""
    text = draw(ROWS)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 12)) | st.just(len(text)))
        piece = draw(
            st.text(st.sampled_from(" =:.,()<>->@/0x1fabdirlens\t\0é\udc80"), max_size=4)
            | ROWS.map(lambda row: row[len(row) // 2 :])
            | st.just(text[start:end] * 2)
        )
        text = text[:start] + piece + text[end:]
    return text


def check(line: str) -> None:
    """Every reader gives a value or an error; a place lies in the line."""
    for looks_like, read in READERS:
        collector = Collector()
        value = read(line, SPAN, collector)
        assert value or collector.errors
        for item in collector.items:
            assert item.span is not None
            assert 1 <= item.span.column <= item.span.end_column <= len(line) + 2
            assert len(item.excerpt) == len(line)
            assert len(item.message) <= 500
        looks_like(line)


@RELAXED
@given(mutated())
def test_mutated_rows_never_raise_and_never_vanish(line: str) -> None:
    check(line)


@RELAXED
@given(st.text(max_size=200) | st.text("tunespahcom0x1@.: dir=in", max_size=60))
def test_random_text_never_raises(line: str) -> None:
    check(line)
    for name in dir(stack):
        if name.startswith(("looks_like_", "read_", "parse_")):
            getattr(stack, name)(line)
