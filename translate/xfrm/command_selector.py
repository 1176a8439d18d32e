"""The words of one selector of an ``ip xfrm`` command, as ip takes them or refuses them.

After iproute2, ip/ipxfrm.c (xfrm_selector_parse, xfrm_selector_upspec_parse).  The words stand
together, those of protocol and ports in one group.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ..net import Prefix, Selector, parse_address
from .ip_arguments import Arguments
from .protocol_names import protocol_of
from .text import IPPROTO_GRE, PORT_PROTOCOLS, TYPE_PROTOCOLS

_U8, _U16, _U32 = 0xFF, 0xFFFF, 0xFFFFFFFF


class SelectorWords(NamedTuple):
    """A selector; the masks of its ports where they are not the usual ones, and its interface."""

    selector: Selector
    port_masks: tuple[int, int] | None
    ifindex: int


def read_selector(arguments: Arguments) -> SelectorWords:
    """``src``, ``dst``, ``dev`` and one group of protocol and ports, in whatever order.

    Raises :class:`IpRefusesError`.
    """
    ifindex = 0
    prefixes: dict[str, Prefix] = {}
    ports = _Ports()
    start, grouped = arguments.at, False
    while (word := arguments.peek()) is not None:
        if word in ("src", "dst"):
            arguments.take()
            prefixes[word] = arguments.prefix(word)
        elif word == "dev":
            arguments.take()
            ifindex = _device(arguments)
        elif word in _UPPER:
            if grouped:
                arguments.take()
                raise arguments.wrong("protocol and ports do not stand together")
            grouped = True
            ports.read(arguments)
        else:
            break
    if arguments.at == start:
        word = arguments.take()
        raise arguments.wrong(f"{word!r} is unknown")
    families = {prefix.family for prefix in prefixes.values()}
    if len(families) > 1:
        raise arguments.wrong("source and destination are of two address families")
    family = families.pop() if families else arguments.anywhere
    anywhere = Prefix(family, 0, 0)
    selector = Selector(
        prefixes.get("src", anywhere), prefixes.get("dst", anywhere), ports.protocol, *ports.numbers
    )
    usual = [_U16 if port else 0 for port in ports.numbers]
    port_masks = None if ports.masks == usual else (ports.masks[0], ports.masks[1])
    if not arguments.family and prefixes:
        arguments.family = family
    return SelectorWords(selector, port_masks, ifindex)


def _device(arguments: Arguments) -> int:
    name = arguments.take()
    index = arguments.devices.get(name)
    if index is None:
        match = re.fullmatch("if([1-9][0-9]{0,8})", name, re.ASCII)
        if match is None:
            raise arguments.wrong(f"the number of the interface {name} is not known")
        index = int(match[1])
    return index


_UPPER: Final = ("proto", "sport", "dport", "type", "code", "key")


class _Ports:
    """Protocol and ports; a port keeps the mask that an earlier one gave it, as in ip."""

    def __init__(self) -> None:
        self.protocol = 0
        self.numbers = [0, 0]
        self.masks = [0, 0]

    def read(self, arguments: Arguments) -> None:
        """Take one group of these words; :class:`IpRefusesError` where they do not fit together."""
        given: set[str] = set()
        while (word := arguments.peek()) in _UPPER and word is not None:
            arguments.take()
            given.add(word)
            if word == "proto":
                self.protocol = _protocol(arguments)
            elif word == "key":
                self._key(arguments)
            else:
                place = 0 if word in ("sport", "type") else 1
                icmp = word in ("type", "code")
                self.numbers[place] = arguments.number(_U8 if icmp else _U16, word)
                if icmp or self.numbers[place]:
                    self.masks[place] = _U16
        for words, protocols in (
            ({"sport", "dport"}, PORT_PROTOCOLS),
            ({"type", "code"}, TYPE_PROTOCOLS),
            ({"key"}, (IPPROTO_GRE,)),
        ):
            if given & words and self.protocol not in protocols:
                named = " and ".join(sorted(given & words))
                raise arguments.wrong(f"{named} cannot stand with protocol {self.protocol}")

    def _key(self, arguments: Arguments) -> None:
        if "." in (arguments.peek() or ""):
            word = arguments.take()
            try:
                _, key = parse_address(word, 4)
            except ValueError:
                raise arguments.wrong(f"{word} is no key") from None
        else:
            key = arguments.number(_U32, "key")
        self.numbers, self.masks = [key >> 16, key & _U16], [_U16, _U16]


def _protocol(arguments: Arguments) -> int:
    word = arguments.take()
    if word == "any":
        return 0
    number = protocol_of(word)
    if number is None:
        arguments.at -= 1
        number = arguments.number(_U8, "protocol")
    return number
