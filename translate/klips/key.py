"""Keys as the tools take them (ttodata(3)): ``0x`` hexadecimal, ``0s`` base64, ``0t`` text.

And text as it may be shown: with stars in the place of what looks like a key.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from ..secret import Secret

_KEY_SETTING: Final = re.compile(r"(left|right)?(espenckey|espauthkey|ahkey)\Z")


_SPELT: Final = r"(?:0[xst][0-9A-Za-z+/]{16,}|[0-9A-Za-z+/]{24,})={0,2}"
_KEY: Final = re.compile(rf"(?<![0-9A-Za-z+/]){_SPELT}", re.ASCII)
"""A key in the spellings of ``ipsec spi``, or without its mark."""

_NAMELESS: Final = re.compile(rf"(?<![0-9A-Za-z+/=]){_SPELT}", re.ASCII)
_LONG: Final = re.compile(r"[0-9A-Za-z+/_]{16,}", re.ASCII)
"""What may be a key in a text that does not have its form."""


def without_keys(text: str, *, strict: bool = False, named: bool = True) -> str:
    """Stars, as many, for what looks like a key.

    ``strict`` takes every long word for one; without ``named`` what stands behind an equals sign
    is left, for who has looked at it already.
    """
    return (_LONG if strict else _KEY if named else _NAMELESS).sub(_stars, text)


def _stars(match: re.Match[str]) -> str:
    return "*" * len(match[0])


def is_key_setting(name: str) -> bool:
    """Whether a setting of ipsec.conf holds a key of manual keying."""
    return _KEY_SETTING.match(name) is not None


def is_public_key(name: str) -> bool:
    """Whether a setting holds a public key, which may be shown."""
    return "rsasigkey" in name


def parse_key(text: str) -> Secret:
    """Read a key.  Raises ``ValueError``, whose text never holds any of it."""
    kind, rest = text[:2].lower(), text[2:]
    if kind == "0x":
        digits = rest.replace("_", "")
        if not digits or len(digits) % 2:
            raise ValueError("a key in hexadecimal has an even number of digits, and some")
        try:
            return Secret(bytes.fromhex(digits))
        except ValueError:
            raise ValueError("it holds something that is no hexadecimal digit") from None
    if kind == "0s":
        try:
            octets = base64.b64decode(rest, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("it is no base64") from None
        if not octets:
            raise ValueError("it is empty")
        return Secret(octets)
    if kind == "0t" and rest:
        return Secret(rest.encode("utf-8", "surrogateescape"))
    raise ValueError("it begins with none of 0x, 0s and 0t")
