"""One eroute, and how KLIPS prints it (ipsec_eroute(5); ipsec_radij.c:ipsec_rj_walker_procprint)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from ..diagnostics import Span
from ..net import Prefix, Selector
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
    count: int | None = None
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


def format_end(prefix: Prefix, port: int) -> str:
    """Print a subnet, and its port where it has one."""
    return f"{format_subnet(prefix)}:{port}" if port else format_subnet(prefix)


def format_eroute(eroute: Eroute) -> str:
    """Print an eroute in the format of the kernel (or of ``ipsec look``), without line end.

    For IPv6 the kernel's own printer damages ports and protocol (facts in docs/klips.md); here
    they are printed as it prints IPv4, and such rows are never read back as sound.
    """
    selector = eroute.selector
    source = format_end(selector.source, selector.source_port)
    destination = format_end(selector.destination, selector.destination_port)
    suffix = protocol_suffix(selector)
    if eroute.form == Form.LOOK:
        chain = " ".join(format_said(said) for said in eroute.saids)
        # A chain taken from spigrp ends in a blank; a lone SAID taken from the eroute does not.
        gap = " " if eroute.said.is_shunt or suffix else "  "
        tail = "" if eroute.count is None else f"{gap}({format_count(eroute.count)})"
        return f"{source:<18} -> {destination:<18} => {chain}{suffix}{tail}"
    count = format_count(eroute.count or 0)
    text = f"{count:<10} {source:<18} -> {destination:<18} => {format_said(eroute.said)}{suffix}"
    if eroute.identities is not None:
        text += f" ({eroute.identities[0]}) ({eroute.identities[1]})"
    return text


SOURCE_BYTE_8: Final = 56
"""Shift of byte 8 of an IPv6 source, which the kernel takes for the protocol (docs/klips.md)."""


def protocol_suffix(selector: Selector) -> str:
    """What the kernel prints after the SAID.

    For IPv4 the protocol when it is not 0; for IPv6 byte 8 of the source address, since the
    printer reads the offset that the protocol has in an IPv4 key.
    """
    if selector.family == 4:
        return f":{selector.protocol}" if selector.protocol else ""
    byte = selector.source.address >> SOURCE_BYTE_8 & 0xFF
    return f":{byte}" if byte else ""
