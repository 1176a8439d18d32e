"""One end of a row: a subnet with an optional port, as kernels and manual pages print it."""

from __future__ import annotations

import re
from typing import Final

from ..net import ALL_ONES, MASK_OF_LENGTH, WIDTH, Prefix
from .address import parse_ipv6, parse_printed_address, parse_printed_mask

_PORT: Final = re.compile(r"[0-9]{1,10}\Z", re.ASCII)
_BRACKETED: Final = re.compile(r"\[([0-9a-f:]+)/([0-9]{1,3})\]:([0-9]{1,5})\Z", re.ASCII)


class RowRefusal(Exception):  # noqa: N818 - not an error of the program, caught below
    """One part of a row cannot be read."""

    def __init__(
        self, code: str, start: int, end: int, message: str, expected: str = "", hint: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.start = start
        self.end = end
        self.expected = expected
        self.hint = hint


def read_end(match: re.Match[str], name: str) -> tuple[Prefix, int]:
    """Read one end: a subnet with an optional port.  Raises :class:`RowRefusal`."""
    text, start = match[name], match.start(name)
    end = start + len(text)
    if "]" in text or "[" in text:
        return _bracketed(text, start)
    address, slash, tail = text.partition("/")
    if not slash:
        damaged = not text and ":" in match["source"]
        raise RowRefusal(
            "ET112" if damaged else "ET102",
            start,
            max(end, start + 1),
            f"the {name} has no mask" if text else f"the {name} is missing",
            "ADDRESS/BITS",
            "an IPv6 row with a destination port is printed like this; "
            "take the eroute from the script or the configuration that made it"
            if damaged
            else "",
        )
    family = 6 if ":" in address else 4
    mask_text, colon, port_text = tail, "", ""
    if family == 4 or _decimal_head(tail):
        mask_text, colon, port_text = tail.partition(":")
    try:
        value = parse_printed_address(address)[1] if family == 4 else _ipv6(address)
    except ValueError as error:
        raise _bad_address(family, name, text, start, str(error)) from None
    mask = _mask(family, mask_text, name, start + len(address) + 1)
    port = 0
    if colon:
        if not _PORT.match(port_text) or int(port_text) > 65535:
            raise RowRefusal(
                "ET105", end - len(port_text), end, f"{port_text!r} is not a port", "0 to 65535"
            )
        port = int(port_text)
    prefix = Prefix(family, value, mask)
    if family == 6:
        _check_ipv6(prefix, name, start, end)
    return prefix, port


def _bad_address(family: int, name: str, text: str, start: int, reason: str) -> RowRefusal:
    if family == 6 or ":" in text.partition("/")[0]:
        return RowRefusal(
            "ET112",
            start,
            start + len(text),
            f"the {name} is not an IPv6 subnet: {reason}",
            "ADDRESS/BITS",
            "KLIPS damages IPv6 rows that have ports when it prints them; take this eroute from "
            "the script or the configuration that made it",
        )
    return RowRefusal(
        "ET102",
        start,
        start + len(text),
        f"the {name} is not an IPv4 subnet: {reason}",
        "A.B.C.D/BITS",
        "check the row for a cut or a typing error",
    )


def _decimal_head(tail: str) -> bool:
    """Whether an IPv6 mask text is ``BITS:PORT``, not a mask in colons."""
    head, colon, port = tail.partition(":")
    return bool(colon) and head.isdecimal() and ":" not in port and int(head[:4]) <= 128


def _ipv6(text: str) -> int:
    """An IPv6 address; the manual page's own ``0:0`` for ``::`` is taken as it is meant."""
    return 0 if text == "0:0" else parse_ipv6(text)


def _mask(family: int, text: str, name: str, start: int) -> int:
    try:
        return parse_printed_mask(text, family)
    except ValueError:
        raise RowRefusal(
            "ET102",
            start,
            max(start + len(text), start + 1),
            f"{text!r} is not a mask of the {name}",
            f"0 to {WIDTH[family]}, or a mask",
        ) from None


def _check_ipv6(prefix: Prefix, name: str, start: int, end: int) -> None:
    """Refuse what the kernel's printer hides (goodmask.c:mask6tobits stops at the first hole)."""
    length = prefix.length
    if length is None or not prefix.has_host_bits:
        return
    raise RowRefusal(
        "ET112",
        start,
        end,
        f"the {name} has address bits outside /{length}: KLIPS printed only the head of its mask",
        "an address that ends where its mask ends",
        "an IPv6 eroute with a protocol was corrupt in the kernel itself; take it from the script"
        " or the configuration that made it",
    )


def _bracketed(text: str, start: int) -> tuple[Prefix, int]:
    """``[ADDRESS/BITS]:PORT``, of which the kernel overwrites the last digit of BITS.

    So ``/7]`` may be /70 to /79.  Read only if one length fits the address.
    """
    end = start + len(text)
    match = _BRACKETED.match(text)
    damaged = RowRefusal(
        "ET112",
        start,
        end,
        "KLIPS overwrote part of this IPv6 subnet when it printed the port",
        "[ADDRESS/BITS]:PORT with all digits",
        "take this eroute from the script or the configuration that made it",
    )
    if match is None:
        raise damaged
    try:
        address = parse_ipv6(match[1])
    except ValueError:
        raise damaged from None
    printed, port = int(match[2]), int(match[3])
    lengths = [n for n in (printed, *range(printed * 10, printed * 10 + 10)) if n <= WIDTH[6]]
    fitting = {n for n in lengths if not address & (ALL_ONES[6] ^ MASK_OF_LENGTH[6][n])}
    if len(fitting) != 1 or port > 65535:
        raise damaged
    return Prefix(6, address, MASK_OF_LENGTH[6][fitting.pop()]), port
