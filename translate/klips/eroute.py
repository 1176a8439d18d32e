"""One eroute, and how KLIPS prints it (ipsec_eroute(5); ipsec_radij.c).

The printer of the kernel is ipsec_rj_walker_procprint.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from ..diagnostics import Span
from ..net import PREFIX_TEXTS, Selector
from .address import format_subnet
from .said import Said, format_said


class Form(StrEnum):
    """Which program printed the row."""

    PROC = "proc"
    """``/proc/net/ipsec_eroute``: the count in front."""

    LOOK = "look"
    """``ipsec look``: the whole group after ``=>``, the count behind in parentheses."""

    COMMAND = "command"
    """An ``ipsec eroute`` command line."""


class Eroute(NamedTuple):
    """One row of the table.

    ``count`` is packets sent, unsigned 32 bits, ``None`` where the row has none.  ``selector``
    holds addresses and masks as they stand, host bits and holes included.  ``saids`` is the
    group from the inside out; a proc row knows only the first.  ``identities`` are the two
    strings in parentheses of the manual page, ``None`` where absent.  ``defect`` is the code of the
    diagnostic that refused the row although its selector could be read; its SAID is then unknown.
    """

    selector: Selector
    saids: tuple[Said, ...]
    span: Span
    count: int | None = None  # type: ignore[assignment]  # hides tuple.count
    identities: tuple[str, str] | None = None
    form: str = "proc"
    defect: str = ""

    @property
    def said(self) -> Said:
        """The SAID that the eroute names: the innermost of its group."""
        return self.saids[0]


COUNTER: Final = 1 << 32
"""Counters are unsigned 32 bits, but printed with %d: they turn negative at half of it."""


def format_count(count: int) -> str:
    """Print a packet count as the kernel does: signed."""
    return str(count - COUNTER if count >= COUNTER // 2 else count)


def format_eroute(eroute: Eroute) -> str:
    """Print an eroute in the format of the kernel (or of ``ipsec look``), without line end.

    For IPv6 the kernel's own printer damages ports and protocol (facts in docs/klips.md); here
    they are printed as it prints IPv4, and such rows are never read back as sound.
    """
    selector, saids, _, count, identities, form, _ = eroute
    near, far, protocol, source_port, destination_port = selector
    if near[0] == 4:
        # The two spellings of a prefix agree for IPv4.
        source, destination = PREFIX_TEXTS[near], PREFIX_TEXTS[far]
        suffix = f":{protocol}" if protocol else ""
    else:
        source, destination = format_subnet(near), format_subnet(far)
        suffix = protocol_suffix(selector)
    if source_port:
        source = f"{source}:{source_port}"
    if destination_port:
        destination = f"{destination}:{destination_port}"
    if form == "look":
        return f"{source:<18} -> {destination:<18} => {_look_tail(saids, suffix, count)}"
    # Methods pad in half the time of a format.
    number = format_count(count or 0).ljust(10)
    source, destination = source.ljust(18), destination.ljust(18)
    text = f"{number} {source} -> {destination} => {format_said(saids[0])}{suffix}"
    return text if identities is None else f"{text} ({identities[0]}) ({identities[1]})"


def _look_tail(saids: tuple[Said, ...], suffix: str, count: int | None) -> str:
    chain = " ".join([format_said(said) for said in saids])
    if count is None:
        return f"{chain}{suffix}"
    # A chain taken from spigrp ends in a blank; a lone SAID taken from the eroute does not.
    gap = " " if saids[0].is_shunt or suffix else "  "
    return f"{chain}{suffix}{gap}({format_count(count)})"


SOURCE_BYTE_8: Final = 56
"""Shift of byte 8 of an IPv6 source, which the kernel takes for the protocol (docs/klips.md)."""


def protocol_suffix(selector: Selector) -> str:
    """What the kernel prints after the SAID.

    For IPv4 the protocol when it is not 0; for IPv6 byte 8 of the source address, since the
    printer reads the offset that the protocol has in an IPv4 key.
    """
    if selector[0][0] == 4:
        return f":{selector[2]}" if selector[2] else ""
    byte = selector.source.address >> SOURCE_BYTE_8 & 0xFF
    return f":{byte}" if byte else ""
