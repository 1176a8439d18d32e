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
from .eroute import COUNTER, Eroute
from .said import MAGIC, PREFIXES, Said

_QUAD: Final = r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}"
_KERNEL_ROW: Final = re.compile(
    rf"(-?[0-9]{{1,10}}) +({_QUAD}/[0-9]{{1,2}})(?::([1-9][0-9]{{0,4}}))? +->"
    rf" +({_QUAD}/[0-9]{{1,2}})(?::([1-9][0-9]{{0,4}}))? +=>"
    rf" +((?:tun|esp|ah|comp)0x[0-9a-f]{{1,8}}@{_QUAD}|%[a-z]+)(?::([1-9][0-9]{{0,2}}))?\Z",
    re.ASCII,
)
"""A sound IPv4 row exactly as /proc prints it; all other rows take the long way."""

_MASKS: Final = {
    text: mask
    for length, mask in enumerate(MASK_OF_LENGTH[4])
    for text in (f"{length}", f"{length:02}")
}
"""IPv4 masks by the text of their length."""

_REMEMBERED: Final = 1 << 16
"""Texts of one kind that are kept.  A table that has more of them names few of them again."""

_new: Final = tuple.__new__
"""Builds a NamedTuple from a tuple at half the price of calling its class."""
_UNPACK: Final = struct.Struct(">I").unpack


class KernelRows:
    """Reads the sound rows of one file; what it read stands in many rows only once in memory."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._prefixes = _Prefixes()
        self._saids = _Saids()

    def read(self, line: str, index: int) -> Eroute | None:
        """A sound row in one step; ``None`` sends the line the long way."""
        match = _KERNEL_ROW.match(line)
        if match is None:
            return None
        count, source, sport, destination, dport, said, proto = match.groups()
        protocol = source_port = destination_port = 0
        if proto or sport or dport:
            protocol, source_port = int(proto or 0), int(sport or 0)
            destination_port = int(dport or 0)
            if protocol > 255 or source_port > 65535 or destination_port > 65535:
                return None
        number = int(count)
        if not 0 <= number < COUNTER:
            if not -COUNTER // 2 <= number < 0:
                return None
            number += COUNTER
        try:
            saids = self._saids[said]
            near, far = self._prefixes[source], self._prefixes[destination]
        except (ValueError, KeyError):
            return None
        selector = _new(Selector, (near, far, protocol, source_port, destination_port))
        place = index + 1
        span = _new(Span, (self._file, place, 1, len(line) + 1, place))
        return _new(Eroute, (selector, saids, span, number, None, "proc", ""))


class _Prefixes(dict[str, Prefix]):
    """Texts of IPv4 prefixes already read; a table names the same subnets again and again."""

    def __missing__(self, text: str) -> Prefix:
        address, _, length = text.partition("/")
        prefix = _new(Prefix, (4, _quad(address), _MASKS[length]))
        if len(self) < _REMEMBERED:
            self[text] = prefix
        return prefix


class _Saids(dict[str, tuple[Said]]):
    """Texts of SAIDs already read, each as the group that a row of the kernel has."""

    def __missing__(self, text: str) -> tuple[Said]:
        name, _, rest = text.partition("0x")
        if rest:
            spi, _, destination = rest.partition("@")
            said = _new(Said, (PREFIXES[name], int(spi, 16), 4, _quad(destination), ""))
            if not said[1] and not said[3]:
                raise ValueError(text)
        else:
            said = MAGIC[text]
        if len(self) < _REMEMBERED:
            self[text] = (said,)
        return (said,)


def _quad(text: str) -> int:
    """Four decimal bytes as a number; leading zeros take the long way."""
    try:
        return _UNPACK(inet_pton(AF_INET, text))[0]  # type: ignore[no-any-return]
    except OSError:
        return parse_ipv4(text)
