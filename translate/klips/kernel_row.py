"""A sound row of the kernel in one step: most rows of most tables, and so the fast way.

Anything else takes the long way of :mod:`.row`, which knows every form and says what is wrong.
"""

from __future__ import annotations

import re
import struct
from socket import AF_INET, inet_pton
from typing import Final

from ..diagnostics import Span
from ..net import MASK_OF_LENGTH, Prefix, Selector
from .address import parse_ipv4
from .eroute import Eroute
from .said import MAGIC, PREFIXES, Said

_QUAD: Final = r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}"
KERNEL_ROW: Final = re.compile(
    rf"(-?[0-9]{{1,10}}) +({_QUAD}/[0-9]{{1,2}})(?::([1-9][0-9]{{0,4}}))? +->"
    rf" +({_QUAD}/[0-9]{{1,2}})(?::([1-9][0-9]{{0,4}}))? +=>"
    rf" +(?:(tun|esp|ah|comp)0x([0-9a-f]{{1,8}})@({_QUAD})|(%[a-z]+))(?::([1-9][0-9]{{0,2}}))?\Z",
    re.ASCII,
)
"""A sound IPv4 row exactly as /proc prints it; all other rows take the long way."""

_MASKS: Final = MASK_OF_LENGTH[4]
_new: Final = tuple.__new__
"""Builds a NamedTuple from a tuple at half the price of calling its class."""
_UNPACK: Final = struct.Struct(">I").unpack


class PrefixCache(dict[str, Prefix]):
    """Texts of IPv4 prefixes already read; a table names the same subnets again and again."""

    def __missing__(self, text: str) -> Prefix:
        address, _, length = text.partition("/")
        try:
            mask = _MASKS[int(length)]
        except IndexError:
            raise ValueError(text) from None
        prefix = _new(Prefix, (4, _quad(address), mask))
        self[text] = prefix
        return prefix


def _quad(text: str) -> int:
    """Four decimal bytes as a number; leading zeros take the long way."""
    try:
        return _UNPACK(inet_pton(AF_INET, text))[0]  # type: ignore[no-any-return]
    except OSError:
        return parse_ipv4(text)


def read_kernel_row(
    match: re.Match[str], file: str, index: int, prefixes: dict[str, Prefix]
) -> Eroute | None:
    """A sound row in one step; ``None`` sends it the long way to its diagnostic."""
    count, source, sport, destination, dport, name, spi, edst, shunt, proto = match.groups()
    line = index + 1
    try:
        if name is not None:
            said = _new(Said, (PREFIXES[name], int(spi, 16), 4, _quad(edst), ""))
            if not said[1] and not said[3]:
                return None
        else:
            said = MAGIC[shunt]
        selector = _new(
            Selector,
            (
                prefixes[source],
                prefixes[destination],
                int(proto) if proto else 0,
                int(sport) if sport else 0,
                int(dport) if dport else 0,
            ),
        )
    except (ValueError, KeyError):
        return None
    if selector[2] > 255 or selector[3] > 65535 or selector[4] > 65535:
        return None
    number = int(count)
    if not -0x80000000 <= number <= 0xFFFFFFFF:
        return None
    return _new(
        Eroute,
        (
            selector,
            (said,),
            _new(Span, (file, line, 1, match.end() + 1, line)),
            number & 0xFFFFFFFF,
            None,
            "proc",
            "",
        ),
    )
