"""C structures as the types of fields, and the kinds of their members."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final


class Key(bytes):
    """A key: bytes that never show themselves."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<key of {len(self) * 8} bits>"

    __str__ = __repr__


_FORMATS: Final = {
    "u8": "B",
    "u16": "H",
    "u32": "I",
    "u64": "Q",
    "s32": "i",
    "be16": "H",
    "be32": "I",
    "address": "16s",
    "name": "64s",
}
_TO_WIRE: Final[dict[str, Callable[[Any], Any]]] = {
    "be16": socket.htons,
    "be32": socket.htonl,
    "name": lambda text: text.encode("ascii"),
}
_FROM_WIRE: Final[dict[str, Callable[[Any], Any]]] = {
    "be16": socket.ntohs,
    "be32": socket.ntohl,
    "name": lambda data: data.rstrip(b"\0").decode("ascii", "replace"),
}


def pack_address(value: str | bytes) -> bytes:
    """Make an xfrm_address_t of text; bytes are taken as they are."""
    if not isinstance(value, str):
        return bytes(value or b"")
    family = socket.AF_INET6 if ":" in value else socket.AF_INET
    return socket.inet_pton(family, value)


def unpack_address(family: int, data: bytes) -> str | bytes:
    """Text of an xfrm_address_t; the bytes themselves where the family is none."""
    if family == socket.AF_INET:
        return socket.inet_ntop(family, data[:4])
    if family == socket.AF_INET6:
        return socket.inet_ntop(family, data)
    return data


class Struct:
    """A C structure as the type of a field: names with kinds, packed in one step.

    A kind is a name of :data:`_FORMATS`, another structure, or ``N pad``.  ``family`` is the path
    to the field that says what the addresses are; where the caller leaves it out, it is taken from
    the first address.  What is left out is 0, or stands in ``defaults``.
    """

    layout: ClassVar[tuple[tuple[str, str | type[Struct]], ...]] = ()
    family: ClassVar[tuple[str, ...]] = ("family",)
    defaults: ClassVar[Mapping[str, Any]] = {}
    size: ClassVar[int] = 0
    _struct: ClassVar[struct.Struct]
    _fields: ClassVar[tuple[tuple[str, str], ...]]
    _nested: ClassVar[tuple[tuple[str, type[Struct]], ...]]

    def __init_subclass__(cls) -> None:
        text = "="
        fields = []
        for name, kind in cls.layout:
            if not isinstance(kind, str):
                text += f"{kind.size}s"
                fields.append((name, "struct"))
            elif kind.endswith(" pad"):
                text += f"{int(kind[:-4])}x"
            else:
                text += _FORMATS[kind]
                fields.append((name, kind))
        cls._struct = struct.Struct(text)
        cls._fields = tuple(fields)
        cls._nested = tuple((n, k) for n, k in cls.layout if not isinstance(k, str))
        cls.size = cls._struct.size

    @classmethod
    def decode_from(cls, data: bytes | bytearray, offset: int) -> tuple[dict[str, Any], int]:
        """Read one from ``data``; return it and the offset behind it."""
        value: dict[str, Any] = {}
        for (name, kind), raw in zip(
            cls._fields, cls._struct.unpack_from(data, offset), strict=True
        ):
            value[name] = _FROM_WIRE[kind](raw) if kind in _FROM_WIRE else raw
        for name, nested in cls._nested:
            value[name] = nested.decode_from(value[name], 0)[0]
        family = cls._family_of(value)
        for name, kind in cls._fields:
            if kind == "address":
                value[name] = unpack_address(family, value[name])
        return value, offset + cls.size

    @classmethod
    def encode_into(cls, data: bytearray, offset: int, value: Mapping[str, Any] | None) -> int:
        """Write one at the end of ``data``; return the offset behind it."""
        data[offset:] = cls.pack(value or {})
        return offset + cls.size

    @classmethod
    def pack(cls, value: Mapping[str, Any]) -> bytes:
        """The bytes of one."""
        packed = []
        nested = dict(cls._nested)
        for name, kind in cls._fields:
            item: Any = value.get(name)
            if item is None:
                item = cls._implied(name, value)
            if kind == "struct":
                item = nested[name].pack(item or {})
            elif kind == "address":
                item = pack_address(item)
            elif item and kind in _TO_WIRE:
                item = _TO_WIRE[kind](item)
            elif kind == "name":
                item = b""
            packed.append(item)
        return cls._struct.pack(*packed)

    @classmethod
    def _implied(cls, name: str, value: Mapping[str, Any]) -> object:
        """What a field is that was left out."""
        if (name,) == cls.family:
            for other, kind in cls._fields:
                if kind == "address" and isinstance(value.get(other), str):
                    return socket.AF_INET6 if ":" in value[other] else socket.AF_INET
        return cls.defaults.get(name, 0)

    @classmethod
    def _family_of(cls, value: Mapping[str, Any]) -> int:
        found: Any = value
        for name in cls.family:
            if name not in found:
                return 0
            found = found[name]
        return int(found)
