"""Security Association identifiers: ``proto af SPI @ edst`` and the magic names.

The grammar is that of ttosa and satot (ipsec_ttosa(3)): ``tun0x130@192.168.43.1``,
``tun.130@192.168.43.1``, ``esp:f5ed@3049:1::120``, ``esp507@10.0.0.1`` (decimal), ``ah0777@…``
(octal), and ``%pass`` and its kin.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ..net import IPPROTO_AH, IPPROTO_COMP, IPPROTO_ESP, QUAD_TEXTS
from .address import QUAD, format_klips_address, parse_klips_address

SA_AH: Final = IPPROTO_AH
SA_ESP: Final = IPPROTO_ESP
SA_IPIP: Final = 4
SA_COMP: Final = IPPROTO_COMP
SA_INT: Final = 61
"""Protocol of the shunts (include/openswan.h)."""

PREFIXES: Final = {"ah": SA_AH, "esp": SA_ESP, "tun": SA_IPIP, "comp": SA_COMP, "int": SA_INT}
PREFIX_OF: Final = {number: name for name, number in PREFIXES.items()}
SA_PROTOCOLS: Final = {name: number for name, number in PREFIXES.items() if number != SA_INT}
"""What the tools take for the protocol of an SA."""

SPI_FIRST: Final = 0x100
"""The tools refuse lower SPIs (IANA has reserved them)."""

SPI_PASS: Final = 256
SPI_DROP: Final = 257
SPI_REJECT: Final = 258
SPI_HOLD: Final = 259
SPI_TRAP: Final = 260
SPI_TRAPSUBNET: Final = 261

SHUNT_NAMES: Final = {
    SPI_PASS: "%pass",
    SPI_DROP: "%drop",
    SPI_REJECT: "%reject",
    SPI_HOLD: "%hold",
    SPI_TRAP: "%trap",
    SPI_TRAPSUBNET: "%trapsubnet",
}


class Said(NamedTuple):
    """One SAID.  ``spi`` is unsigned; shunts have protocol ``SA_INT``, edst 0 and family 4.

    ``unknown`` keeps the text that KLIPS printed for what it did not know itself: ``%unk-262``,
    ``unk770x100@1.2.3.4``, ``(error)``.
    """

    protocol: int
    spi: int
    family: int
    destination: int
    unknown: str = ""

    @property
    def is_shunt(self) -> bool:
        """Whether this is one of the magic SAIDs with a meaning of its own."""
        return self.protocol == SA_INT

    @property
    def is_passthrough(self) -> bool:
        """``%passthrough`` is a tunnel SAID with SPI and destination 0."""
        return self.protocol == SA_IPIP and not self.spi and not self.destination

    def __str__(self) -> str:
        return format_said(self)


PASSTHROUGH4: Final = Said(SA_IPIP, 0, 4, 0)
PASSTHROUGH6: Final = Said(SA_IPIP, 0, 6, 0)
SHUNTS: Final = {name: Said(SA_INT, spi, 4, 0) for spi, name in SHUNT_NAMES.items()}
MAGIC: Final = SHUNTS | {
    "%passthrough": PASSTHROUGH4,
    "%passthrough4": PASSTHROUGH4,
    "%passthrough6": PASSTHROUGH6,
}

_MARKED: Final = re.compile(r"(ah|esp|tun|comp|int)([.:])([0-9a-fA-F]{1,16})@(.+)\Z", re.ASCII)
_NUMBERED: Final = re.compile(
    r"(ah|esp|tun|comp|int)(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})@(.+)\Z", re.ASCII
)
PRINTED_SAID: Final = (
    r"(?:(?:ah|esp|tun|comp|int|unk[0-9]{1,3})"
    r"(?:0[xX][^\s@=]{0,40}|[.:][0-9a-fA-F]{1,40}|[0-9]{1,40})@[^\s@=]+)"
)
"""What has the shape of a SAID with an address, though its parts may be damaged (a pattern)."""

_UNKNOWN_SHUNT: Final = re.compile(r"%unk-(-?[0-9]{1,10})\Z", re.ASCII)
_UNKNOWN_PROTOCOL: Final = re.compile(r"unk([0-9]{1,3})0x([0-9a-f]{1,8})@(.+)\Z", re.ASCII)


def parse_said(text: str) -> Said:
    """Read a SAID in any spelling that ttosa takes, or that satot printed for an unknown one.

    Raises ``ValueError`` with what was expected.  An SPI above 32 bits is refused, though ttosa
    cut it silently: the SA it names is not the one that was meant.
    """
    magic = MAGIC.get(text)
    if magic is not None:
        return magic
    marked = _MARKED.match(text)
    if marked is not None:
        prefix, mark, digits, address = marked.groups()
        return _assemble(text, prefix, int(digits, 16), address, 4 if mark == "." else 6)
    numbered = _NUMBERED.match(text)
    if numbered is not None:
        prefix, digits, address = numbered.groups()
        return _assemble(text, prefix, _c_number(digits), address, None)
    return _parse_unknown(text)


def parse_printed_said(text: str) -> Said:
    """Read a SAID that the kernel printed; ttosa would read a cut 192.16 as 192.16.0.0.

    Raises ``ValueError``.
    """
    address = text.rpartition("@")[2]
    if "@" in text and ":" not in address and not QUAD.match(address):
        raise ValueError(f"the address {address!r} of the SAID does not have four bytes")
    return parse_said(text)


def _c_number(digits: str) -> int:
    """A number as strtoul(3) reads it with base 0."""
    if digits[:2] in ("0x", "0X"):
        return int(digits, 16)
    if digits[0] == "0" and len(digits) > 1:
        try:
            return int(digits, 8)
        except ValueError:
            raise ValueError(f"{digits!r} starts with 0 but is not an octal number") from None
    return int(digits)


def _assemble(text: str, prefix: str, spi: int, address: str, family: int | None) -> Said:
    if spi > 0xFFFFFFFF:
        raise ValueError(f"the SPI of {text!r} is above 32 bits")
    family, destination = parse_klips_address(address, family)
    if prefix == "int":
        # The family and address of a shunt mean nothing; KLIPS prints the name alone.
        return _shunt(spi)
    return Said(PREFIXES[prefix], spi, family, destination)


def _shunt(spi: int) -> Said:
    if spi in SHUNT_NAMES:
        return Said(SA_INT, spi, 4, 0)
    signed = spi - (1 << 32) if spi >= 1 << 31 else spi
    return Said(SA_INT, spi, 4, 0, f"%unk-{signed}"[:9])


def _parse_unknown(text: str) -> Said:
    if text == "(error)":
        return Said(0, 0, 4, 0, text)
    shunt = _UNKNOWN_SHUNT.match(text)
    if shunt is not None:
        # The kernel cuts this form at nine characters, so the number may be only its head.
        return Said(SA_INT, int(shunt.group(1)) & 0xFFFFFFFF, 4, 0, text)
    unknown = _UNKNOWN_PROTOCOL.match(text)
    if unknown is not None:
        number, spi, address = unknown.groups()
        if int(number) > 255:
            raise ValueError(f"protocol {number} of {text!r} is above 255")
        family, destination = parse_klips_address(address)
        return Said(int(number), int(spi, 16), family, destination, text)
    raise ValueError(
        f"{text!r} is not a SAID: ah, esp, comp, tun or int, then 0xSPI, .SPI, :SPI or a decimal"
        " SPI, then @ and an address; or one of %pass %drop %reject %hold %trap %trapsubnet"
        " %passthrough"
    )


def format_said(said: Said) -> str:
    """Print a SAID as /proc does (satot, format 'x')."""
    protocol, spi, family, destination, unknown = said
    if unknown:
        return unknown
    if protocol == SA_INT:
        return SHUNT_NAMES[spi]
    if not spi and said.is_passthrough:
        return f"%passthrough{family}"
    address = QUAD_TEXTS[destination] if family == 4 else format_klips_address(family, destination)
    return f"{PREFIX_OF[protocol]}{hex(spi)}@{address}"
