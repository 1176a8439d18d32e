"""What one word of the command line has to be: addresses, networks, numbers, times.

Each function raises ``argparse.ArgumentTypeError`` with what is expected.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

from ..klips.interface import is_virtual
from ..net import IPPROTO_AH, IPPROTO_COMP, IPPROTO_ESP, Prefix, parse_address, parse_prefix
from ..render import Target

_ASSUMED: Final = {"esp": IPPROTO_ESP, "ah": IPPROTO_AH, "comp": IPPROTO_COMP}


def address(text: str) -> tuple[int, int]:
    """An IPv4 or IPv6 address, as family and number."""
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def target(text: str) -> Target:
    """What is printed, by its name."""
    try:
        return Target(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(Target)}") from None


def network(text: str) -> Prefix:
    """A network without host bits."""
    try:
        prefix = parse_prefix(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if prefix.has_host_bits:
        raise argparse.ArgumentTypeError(f"{text} has bits outside its mask: {prefix.network}?")
    return prefix


def group_of_protocols(text: str) -> tuple[int, ...]:
    """``comp+esp+ah`` or a part of it: IP protocol numbers from the inside out."""
    order = [word for word in ("comp", "esp", "ah") if word in text.split("+")]
    if not order or "+".join(order) != text:
        raise argparse.ArgumentTypeError(
            "it takes comp, esp, ah, or several of them in this order: comp+esp+ah"
        )
    return tuple(_ASSUMED[word] for word in order)


def number(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers (decimal, 0x, 0o, 0b) from ``low`` to ``high``, both included."""

    def read(text: str) -> int:
        try:
            value = int(text, 0)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not from {low} to {high}")
        return value

    return read


def seconds(text: str) -> float:
    """A time (``90``, ``90s``, ``5m``, ``1h``) in seconds, above 0."""
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    digits = text[:-1] if unit else text
    if not (digits.isascii() and digits.isdecimal()) or int(digits) == 0 or len(digits) > 6:
        raise argparse.ArgumentTypeError("it takes a number of seconds, such as 90, 90s or 5m")
    return float(int(digits) * (unit or 1))


def attachment(text: str) -> tuple[str, str]:
    """``ipsecN=DEVICE``: the virtual device, and the physical one below it."""
    device, _, physical = text.partition("=")
    if not is_virtual(device) or not physical:
        raise argparse.ArgumentTypeError("it takes ipsecN=DEVICE, such as ipsec0=eth0")
    return device, physical
