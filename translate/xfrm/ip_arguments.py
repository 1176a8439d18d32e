"""Words of an ``ip`` command as its parser takes them: numbers, prefixes, keywords.

After iproute2, lib/utils.c (get_u32, get_prefix, get_addr_ipv4, get_netmask, invarg).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from ..net import ALL_ONES, LENGTH_OF_MASK, MASK_OF_LENGTH, WIDTH, Prefix, parse_address

_NUMBER: Final = re.compile(r"\s*\+?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)", re.ASCII)


class IpRefusesError(Exception):
    """``ip`` ends with an error; ``at`` is the number of the word it stumbles over."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at


class Arguments:
    """The words of a command, taken one after the other.  ``family`` is that of ``ip -4``, or 0."""

    def __init__(
        self, words: Sequence[str], family: int = 0, devices: Mapping[str, int] | None = None
    ) -> None:
        self.words = words
        self.at = 0
        self.family = family
        self.anywhere = family or 4
        """The family of a policy without selector, whatever its templates are."""
        self.devices = devices or {}

    def peek(self) -> str | None:
        """The next word, ``None`` at the end."""
        return self.words[self.at] if self.at < len(self.words) else None

    def take(self) -> str:
        """The next word."""
        if self.at >= len(self.words):
            raise IpRefusesError(len(self.words), "the command line is not complete")
        self.at += 1
        return self.words[self.at - 1]

    def wrong(self, message: str) -> IpRefusesError:
        """Make the exception for the word just taken."""
        return IpRefusesError(self.at - 1, message)

    def number(self, limit: int, what: str) -> int:
        """A number as strtoul(3) reads it with base 0."""
        word = self.take()
        value = unsigned(word)
        if value is None:
            raise self.wrong(f"{what} {word!r} is no number")
        if value > limit:
            raise self.wrong(f"{what} {word} is above {limit}")
        return value

    def one_of(self, what: str, *choices: str) -> str:
        """A word out of a few."""
        word = self.take()
        if word not in choices:
            raise self.wrong(f"{what} {word!r} is none of {', '.join(choices)}")
        return word

    def prefix(self, what: str) -> Prefix:
        """An address with or without length; ``any`` only where the family is known."""
        word = self.take()
        address_text, slash, length_text = word.partition("/")
        if word in ("any", "all", "default"):
            if not self.family:
                raise self.wrong(f"{what} {word} says no address family; write 0.0.0.0/0 or ::/0")
            return Prefix(self.family, 0, 0)
        try:
            family, address = _address(address_text)
            if self.family and family != self.family:
                raise self.wrong(f"{what} {word} is not of IPv{self.family}")
            mask = _mask(family, length_text) if slash else ALL_ONES[family]
        except ValueError:
            raise self.wrong(f"{what} {word!r} is no prefix") from None
        return Prefix(family, address, mask)


def unsigned(word: str) -> int | None:
    """A number as strtoul(3) reads it with base 0: decimal, 0x hexadecimal, 0 octal."""
    if not _NUMBER.fullmatch(word):
        return None
    text = word.strip().lstrip("+")
    octal = len(text) > 1 and text.startswith("0") and text[1] not in "xX"
    return int(text, 8 if octal else 0)


def _address(text: str) -> tuple[int, int]:
    """``10.1`` is 10.1.0.0 for ip (get_addr_ipv4); parts may be octal or hexadecimal."""
    if ":" in text:
        return parse_address(text, 6)
    parts = text.split(".")
    if not 1 <= len(parts) <= 4:
        raise ValueError(text)
    address = 0
    for part in [*parts, *["0"] * (4 - len(parts))]:
        value = unsigned(part)
        if value is None or value > 0xFF:
            raise ValueError(text)
        address = address << 8 | value
    return 4, address


def _mask(family: int, text: str) -> int:
    length = unsigned(text)
    if length is not None and length <= WIDTH[family]:
        return MASK_OF_LENGTH[family][length]
    if family == 4 and "." in text:
        _, mask = parse_address(text, 4)
        if mask in LENGTH_OF_MASK[4]:
            return mask
    raise ValueError(text)
