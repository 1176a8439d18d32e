"""The grammars of ``ipsec spigrp``, ``ipsec tncfg`` and ``ipsec klipsdebug`` (manual pages, 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from ..diagnostics import Collector, Span
from .address import FAMILIES, parse_klips_address
from .said import SA_PROTOCOLS, Said, parse_said
from .tool_options import (
    Given,
    Grammar,
    RefusedError,
    choice,
    number,
    only_informs,
    read_options,
    tell,
)
from .words import Word

SPIGRP: Final = Grammar("spigrp", ("said", "debug", "help", "version"), ("label", "optionsfrom"))
TNCFG: Final = Grammar(
    "tncfg",
    ("attach", "detach", "clear", "debug", "help", "version"),
    ("virtual", "physical", "create", "delete", "label", "optionsfrom"),
    single_dash=True,
)
KLIPSDEBUG: Final = Grammar(
    "klipsdebug",
    ("all", "none", "debug", "help", "version"),
    ("set", "clear", "label", "optionsfrom"),
)

GROUP_LIMIT: Final = 4
"""SAs that ``ipsec spigrp`` takes; more overran its array."""

DEBUG_FLAGS: Final = (
    "tunnel",
    "tncfg",
    "xmit",
    "tunnel-xmit",
    "netlink",
    "xform",
    "eroute",
    "spi",
    "radij",
    "esp",
    "ah",
    "rcv",
    "pfkey",
    "comp",
    "verbose",
    "all",
)


class SpigrpCommand(NamedTuple):
    """SAs from the inside out; a single one is taken out of its group; none lists the table."""

    saids: tuple[Said, ...]
    span: Span


class TncfgCommand(NamedTuple):
    """``attach``, ``detach``, ``clear``, ``create``, ``delete`` or ``list``."""

    action: str
    span: Span
    virtual: str = ""
    physical: str = ""


class KlipsdebugCommand(NamedTuple):
    """``set``, ``clear``, ``all``, ``none`` or ``list``; it changes no packet."""

    action: str
    span: Span
    flag: str = ""


def parse_spigrp_command(
    words: Sequence[Word], collector: Collector, place: Span
) -> SpigrpCommand | None:
    """Read the words after ``ipsec spigrp``; ``None`` with a diagnostic when it was refused."""
    try:
        given = _common(SPIGRP, words)
        if "said" in given.options:
            saids = tuple(_said(word) for word in given.rest)
        else:
            saids = tuple(_quadruples(given.rest))
        if len(saids) > GROUP_LIMIT:
            raise RefusedError(f"a group holds {GROUP_LIMIT} SAs at most", given.rest[-1])
    except RefusedError as error:
        tell(collector, SPIGRP, words, error, place)
        return None
    return SpigrpCommand(saids, place)


def _common(grammar: Grammar, words: Sequence[Word]) -> Given:
    given = read_options(grammar, words)
    if "optionsfrom" in given.options:
        word = given.options["optionsfrom"]
        raise RefusedError("options in another file are not read: write them out here", word)
    only_informs(given)
    return given


def _said(word: Word) -> Said:
    try:
        return parse_said(word.text)
    except ValueError as error:
        raise RefusedError(str(error), word, "tun0x1002@203.0.113.7") from None


def _quadruples(words: Sequence[Word]) -> list[Said]:
    """``af dst spi proto``, once for each SA."""
    if len(words) % 4:
        raise RefusedError(
            "SAs come as four words each: af dst spi proto", words[-1], "or --said SAID …"
        )
    found = []
    for at in range(0, len(words), 4):
        af, dst, spi, proto = words[at : at + 4]
        family = FAMILIES[choice(af, FAMILIES, "address family")]
        protocol = SA_PROTOCOLS[choice(proto, SA_PROTOCOLS, "protocol of an SA")]
        try:
            _, destination = parse_klips_address(dst.text, family)
        except ValueError as error:
            raise RefusedError(str(error), dst) from None
        found.append(Said(protocol, number(spi, 0, 0xFFFFFFFF), family, destination))
    return found


def parse_tncfg_command(
    words: Sequence[Word], collector: Collector, place: Span
) -> TncfgCommand | None:
    """Read the words after ``ipsec tncfg``; ``None`` with a diagnostic when it was refused."""
    try:
        return _tncfg(_common(TNCFG, words), place)
    except RefusedError as error:
        tell(collector, TNCFG, words, error, place)
        return None


def _tncfg(given: Given, place: Span) -> TncfgCommand:
    if given.rest:
        raise RefusedError("ipsec tncfg takes options alone", given.rest[0])
    action = _action(given, "attach", "detach", "clear", "create", "delete")
    if not action:
        return TncfgCommand("list", place)
    if action in ("create", "delete"):
        return TncfgCommand(action, place, given.options[action].text)
    for name in ("virtual", "physical")[: {"attach": 2, "detach": 1, "clear": 0}[action]]:
        if name not in given.options:
            raise RefusedError(f"--{action} needs --{name}", given.options[action])
    return TncfgCommand(action, place, given.value("virtual") or "", given.value("physical") or "")


def _action(given: Given, *names: str) -> str:
    """The one option of these that is given, empty where none is."""
    actions = [name for name in names if name in given.options]
    if len(actions) > 1:
        raise RefusedError(
            f"--{actions[0]} and --{actions[1]} are two actions", given.options[actions[1]]
        )
    return actions[0] if actions else ""


def parse_klipsdebug_command(
    words: Sequence[Word], collector: Collector, place: Span
) -> KlipsdebugCommand | None:
    """Read the words after ``ipsec klipsdebug``; ``None`` with a diagnostic when refused."""
    try:
        given = _common(KLIPSDEBUG, words)
        if given.rest:
            raise RefusedError("ipsec klipsdebug takes options alone", given.rest[0])
        action = _action(given, "set", "clear", "all", "none")
        if not action:
            return KlipsdebugCommand("list", place)
        flag = ""
        if action in ("set", "clear"):
            flag = choice(given.options[action], DEBUG_FLAGS, "debugging flag")
    except RefusedError as error:
        tell(collector, KLIPSDEBUG, words, error, place)
        return None
    return KlipsdebugCommand(action, place, flag)
