"""Round trips of ``ipsec eroute`` commands, and no word list that the parser cannot bear."""

from __future__ import annotations

import shlex
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from eroute_translate.diagnostics import Collector, Severity, Span, render_text
from eroute_translate.klips.command import format_eroute_command, parse_eroute_command
from eroute_translate.klips.eroute import Eroute, Form
from eroute_translate.klips.eroute_options import FLAGS, VALUES, Action, ErouteCommand
from eroute_translate.klips.said import PASSTHROUGH4, PASSTHROUGH6, SHUNTS, Said
from eroute_translate.klips.words import Word
from eroute_translate.net import MASK_OF_LENGTH, WIDTH, Prefix, Selector

SPAN = Span("<command line>", 1)


def words_of(texts: list[str]) -> list[Word]:
    words, column = [], 1
    for text in texts:
        words.append(Word(text, Span("<command line>", 1, column, column + len(text), 1)))
        column += len(text) + 1
    return words


@st.composite
def prefixes(draw: st.DrawFn, family: int) -> Prefix:
    width = WIDTH[family]
    mask = MASK_OF_LENGTH[family][draw(st.integers(0, width))]
    return Prefix(family, draw(st.integers(0, (1 << width) - 1)) & mask, mask)


@st.composite
def selectors(draw: st.DrawFn) -> Selector:
    family = draw(st.sampled_from((4, 6)))
    source, destination = draw(prefixes(family)), draw(prefixes(family))
    protocol = draw(st.one_of(st.just(0), st.sampled_from((6, 17)), st.integers(0, 255)))
    port = st.integers(0, 0xFFFF) if protocol in (6, 17) else st.just(0)
    return Selector(source, destination, protocol, draw(port), draw(port))


@st.composite
def saids(draw: st.DrawFn) -> Said:
    family = draw(st.sampled_from((4, 6)))
    address = draw(st.integers(0, (1 << WIDTH[family]) - 1))
    said = Said(
        draw(st.sampled_from((4, 50, 51, 108))), draw(st.integers(0, 0xFFFFFFFF)), family, address
    )
    magic = st.sampled_from((*SHUNTS.values(), PASSTHROUGH4, PASSTHROUGH6))
    return draw(st.one_of(st.just(said), magic))


@st.composite
def commands(draw: st.DrawFn) -> ErouteCommand:
    action = draw(st.sampled_from(Action))
    eroute = None
    if action not in (Action.CLEAR, Action.LIST):
        named = () if action is Action.DELETE else (draw(saids()),)
        eroute = Eroute(draw(selectors()), named, SPAN, form=Form.COMMAND.value)
    label = draw(st.text())
    return ErouteCommand(action, eroute, SPAN, label=label, debug=draw(st.booleans()))


def without_places(command: ErouteCommand) -> ErouteCommand:
    eroute = command.eroute
    return replace(
        command, span=SPAN, eroute=None if eroute is None else eroute._replace(span=SPAN)
    )


@given(commands())
def test_what_is_printed_is_read_back(command: ErouteCommand) -> None:
    line = format_eroute_command(command)
    texts = shlex.split(line)
    assert texts[:2] == ["ipsec", "eroute"]
    collector = Collector()
    again = parse_eroute_command(words_of(texts)[2:], collector)
    assert again is not None, [item.message for item in collector.items]
    assert without_places(again) == command
    assert format_eroute_command(again) == line


OPTION = st.sampled_from([f"--{name}" for name in (*FLAGS, *VALUES)])
PLAUSIBLE = st.sampled_from(
    (
        "inet",
        "inet6",
        "%default",
        "10.0.0.0/8",
        "10/8:25",
        "2001:db8::/32",
        "2001:db8::/32:80",
        "tcp",
        "udp",
        "smtp",
        "0x19",
        "99999",
        "%pass",
        "%passthrough",
        "%unk-262",
        "tun0x1002@192.0.2.1",
        "esp:130@2001:db8::1",
        "192.0.2.1",
        "2001:db8::1",
        "esp",
        "--",
        "-",
        "",
    )
)
WILD = st.text(st.characters(codec=None), max_size=30)
SHAPED = st.text("0123456789abcdefx%:./@-=_ \t\n\0", max_size=30)
TEXT = st.one_of(
    OPTION,
    PLAUSIBLE,
    WILD,
    SHAPED,
    st.builds("{}={}".format, OPTION, st.one_of(PLAUSIBLE, WILD, SHAPED)),
    st.builds(lambda option, end: option[:end], OPTION, st.integers(0, 18)),
)
SPANS = st.builds(
    Span,
    st.sampled_from(("<command line>", "a", "b")),
    st.integers(0, 5),
    st.integers(-3, 10**12),
    st.integers(-3, 10**12),
    st.integers(0, 5),
)


def check(words: list[Word]) -> None:
    collector = Collector()
    command = parse_eroute_command(words, collector)
    assert (command is None) == bool(collector.errors)
    for item in collector.items:
        assert item.span is not None
        assert item.message
        assert item.expected
        assert item.hint
        assert item.severity in Severity
        render_text(item)
    if command is not None:
        format_eroute_command(command)


@given(st.lists(TEXT, max_size=30))
def test_no_words_make_it_raise(texts: list[str]) -> None:
    check(words_of(texts))


@given(st.lists(st.tuples(OPTION, st.one_of(PLAUSIBLE, SHAPED)), max_size=14))
def test_no_options_make_it_raise(pairs: list[tuple[str, str]]) -> None:
    check(words_of([text for pair in pairs for text in pair]))


@given(st.lists(st.builds(Word, TEXT, SPANS), max_size=8))
def test_no_places_make_it_raise(words: list[Word]) -> None:
    check(words)
