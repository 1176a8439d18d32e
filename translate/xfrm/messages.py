"""NETLINK_XFRM for pyroute2: messages and attributes as nlmsg and nla classes.

Layouts are those of include/uapi/linux/xfrm.h on 64-bit machines; names of fields and attributes
are the kernel's.  The ``id`` of the kernel's structures is spread into its owner (``daddr``,
``spi``, ``proto``), the other structures are dictionaries of their own: ``sel``, ``lft``,
``curlft``.  Addresses are text where the structure says their family, else bytes.

Nothing here knows the rest of this project, so that it can be taken into pyroute2 as it stands; it
works with pyroute2 from 0.7.2 on.  Keys are :class:`Key`, which prints its length only.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pyroute2.netlink.exceptions import NetlinkDataDecodeError

if TYPE_CHECKING:

    class nlmsg(dict[str, Any]):  # noqa: N801 - pyroute2 has no types: what is used of its class
        """A message."""

        nla_map: ClassVar[tuple[tuple[int, str, str], ...]]
        data: bytearray
        offset: int
        length: int
        parent: Mapping[str, Any]
        value: Any

        def __init__(self, data: bytes | None = None) -> None:
            """Empty, or what is to be decoded."""

        def decode(self) -> None:
            """Read ``data``."""

        def encode(self) -> None:
            """Write ``data``."""

        def get_attr(self, attr: str) -> Any:  # noqa: ANN401 - each attribute has its own type
            """The value of an attribute, or ``None``."""

        def setvalue(self, value: Mapping[str, Any]) -> nlmsg:
            """Take fields and attributes."""

        def decode_nlas(self, offset: int) -> None:
            """Read attributes."""

    class nla(nlmsg):  # noqa: N801
        """An attribute."""

    _Base = nlmsg
else:
    from pyroute2.netlink import nla, nlmsg

    _Base = object

# Types of messages (linux/xfrm.h: XFRM_MSG_BASE = 0x10).
XFRM_MSG_NEWSA: Final = 16
XFRM_MSG_DELSA: Final = 17
XFRM_MSG_GETSA: Final = 18
XFRM_MSG_NEWPOLICY: Final = 19
XFRM_MSG_DELPOLICY: Final = 20
XFRM_MSG_GETPOLICY: Final = 21
XFRM_MSG_ALLOCSPI: Final = 22
XFRM_MSG_ACQUIRE: Final = 23
XFRM_MSG_EXPIRE: Final = 24
XFRM_MSG_UPDPOLICY: Final = 25
XFRM_MSG_UPDSA: Final = 26
XFRM_MSG_POLEXPIRE: Final = 27
XFRM_MSG_FLUSHSA: Final = 28
XFRM_MSG_FLUSHPOLICY: Final = 29
XFRM_MSG_NEWAE: Final = 30
XFRM_MSG_GETAE: Final = 31
XFRM_MSG_REPORT: Final = 32
XFRM_MSG_MIGRATE: Final = 33
XFRM_MSG_NEWSADINFO: Final = 34
XFRM_MSG_GETSADINFO: Final = 35
XFRM_MSG_NEWSPDINFO: Final = 36
XFRM_MSG_GETSPDINFO: Final = 37
XFRM_MSG_MAPPING: Final = 38
XFRM_MSG_SETDEFAULT: Final = 39
XFRM_MSG_GETDEFAULT: Final = 40

# Multicast groups; the mask for bind(2) is ``1 << (group - 1)``.
XFRMNLGRP_ACQUIRE: Final = 1
XFRMNLGRP_EXPIRE: Final = 2
XFRMNLGRP_SA: Final = 3
XFRMNLGRP_POLICY: Final = 4
XFRMNLGRP_AEVENTS: Final = 5
XFRMNLGRP_REPORT: Final = 6
XFRMNLGRP_MIGRATE: Final = 7
XFRMNLGRP_MAPPING: Final = 8

XFRM_POLICY_IN: Final = 0
XFRM_POLICY_OUT: Final = 1
XFRM_POLICY_FWD: Final = 2

XFRM_POLICY_ALLOW: Final = 0
XFRM_POLICY_BLOCK: Final = 1

XFRM_POLICY_TYPE_MAIN: Final = 0
XFRM_POLICY_TYPE_SUB: Final = 1

XFRM_USERPOLICY_UNSPEC: Final = 0
XFRM_USERPOLICY_BLOCK: Final = 1
XFRM_USERPOLICY_ACCEPT: Final = 2

XFRM_INF: Final = (1 << 64) - 1
"""No limit of bytes or packets; the limits of time say that with 0."""

_ALL_ALGORITHMS: Final = 0xFFFFFFFF


class Key(bytes):
    """A key: bytes that never show themselves."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<key of {len(self) * 8} bits>"

    __str__ = __repr__


# ------------------------------------------------------------------------------- structures

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


class SelectorStruct(Struct):
    """``xfrm_selector``: the pad, the unused part of an IPv4 address and host bits are compared."""

    layout = (
        ("daddr", "address"),
        ("saddr", "address"),
        ("dport", "be16"),
        ("dport_mask", "be16"),
        ("sport", "be16"),
        ("sport_mask", "be16"),
        ("family", "u16"),
        ("prefixlen_d", "u8"),
        ("prefixlen_s", "u8"),
        ("proto", "u8"),
        ("__pad", "3 pad"),
        ("ifindex", "s32"),
        ("user", "u32"),
    )


class LifetimeLimits(Struct):
    """``xfrm_lifetime_cfg``; without limits unless they are given."""

    layout = (
        ("soft_byte_limit", "u64"),
        ("hard_byte_limit", "u64"),
        ("soft_packet_limit", "u64"),
        ("hard_packet_limit", "u64"),
        ("soft_add_expires_seconds", "u64"),
        ("hard_add_expires_seconds", "u64"),
        ("soft_use_expires_seconds", "u64"),
        ("hard_use_expires_seconds", "u64"),
    )
    defaults: ClassVar[Mapping[str, Any]] = {
        "soft_byte_limit": XFRM_INF,
        "hard_byte_limit": XFRM_INF,
        "soft_packet_limit": XFRM_INF,
        "hard_packet_limit": XFRM_INF,
    }


class LifetimeNow(Struct):
    """``xfrm_lifetime_cur``."""

    layout = (("bytes", "u64"), ("packets", "u64"), ("add_time", "u64"), ("use_time", "u64"))


class Statistics(Struct):
    """``xfrm_stats``."""

    layout = (("replay_window", "u32"), ("replay", "u32"), ("integrity_failed", "u32"))


class PolicyStruct(Struct):
    """``xfrm_userpolicy_info``."""

    layout = (
        ("sel", SelectorStruct),
        ("lft", LifetimeLimits),
        ("curlft", LifetimeNow),
        ("priority", "u32"),
        ("index", "u32"),
        ("dir", "u8"),
        ("action", "u8"),
        ("flags", "u8"),
        ("share", "u8"),
        ("__pad", "4 pad"),
    )


class PolicyIdStruct(Struct):
    """``xfrm_userpolicy_id``."""

    layout = (("sel", SelectorStruct), ("index", "u32"), ("dir", "u8"), ("__pad", "3 pad"))


class TemplateStruct(Struct):
    """``xfrm_user_tmpl``: every algorithm is allowed unless masks are given."""

    layout = (
        ("daddr", "address"),
        ("spi", "be32"),
        ("proto", "u8"),
        ("__pad0", "3 pad"),
        ("family", "u16"),
        ("__pad1", "2 pad"),
        ("saddr", "address"),
        ("reqid", "u32"),
        ("mode", "u8"),
        ("share", "u8"),
        ("optional", "u8"),
        ("__pad2", "1 pad"),
        ("aalgos", "u32"),
        ("ealgos", "u32"),
        ("calgos", "u32"),
    )
    defaults: ClassVar[Mapping[str, Any]] = {
        "aalgos": _ALL_ALGORITHMS,
        "ealgos": _ALL_ALGORITHMS,
        "calgos": _ALL_ALGORITHMS,
    }


class StateStruct(Struct):
    """``xfrm_usersa_info``."""

    layout = (
        ("sel", SelectorStruct),
        ("daddr", "address"),
        ("spi", "be32"),
        ("proto", "u8"),
        ("__pad0", "3 pad"),
        ("saddr", "address"),
        ("lft", LifetimeLimits),
        ("curlft", LifetimeNow),
        ("stats", Statistics),
        ("seq", "u32"),
        ("reqid", "u32"),
        ("family", "u16"),
        ("mode", "u8"),
        ("replay_window", "u8"),
        ("flags", "u8"),
        ("__pad1", "7 pad"),
    )


class StateIdStruct(Struct):
    """``xfrm_usersa_id``."""

    layout = (
        ("daddr", "address"),
        ("spi", "be32"),
        ("family", "u16"),
        ("proto", "u8"),
        ("__pad", "1 pad"),
    )


class SpiRangeStruct(Struct):
    """``xfrm_userspi_info``; both ends are in the order of the host."""

    layout = (("info", StateStruct), ("min", "u32"), ("max", "u32"))


class AcquireStruct(Struct):
    """``xfrm_user_acquire``."""

    layout = (
        ("daddr", "address"),
        ("spi", "be32"),
        ("proto", "u8"),
        ("__pad0", "3 pad"),
        ("saddr", "address"),
        ("sel", SelectorStruct),
        ("policy", PolicyStruct),
        ("aalgos", "u32"),
        ("ealgos", "u32"),
        ("calgos", "u32"),
        ("seq", "u32"),
    )
    family = ("sel", "family")


class ExpireStruct(Struct):
    """``xfrm_user_expire``."""

    layout = (("state", StateStruct), ("hard", "u8"), ("__pad", "7 pad"))


class PolicyExpireStruct(Struct):
    """``xfrm_user_polexpire``."""

    layout = (("pol", PolicyStruct), ("hard", "u8"), ("__pad", "7 pad"))


class FlushStatesStruct(Struct):
    """``xfrm_usersa_flush``; protocol 0 is all."""

    layout = (("proto", "u8"),)


class AsyncEventStruct(Struct):
    """``xfrm_aevent_id``."""

    layout = (
        ("daddr", "address"),
        ("spi", "be32"),
        ("family", "u16"),
        ("proto", "u8"),
        ("__pad", "1 pad"),
        ("saddr", "address"),
        ("flags", "u32"),
        ("reqid", "u32"),
    )


class ReportStruct(Struct):
    """``xfrm_user_report``."""

    layout = (("proto", "u8"), ("__pad", "3 pad"), ("sel", SelectorStruct))


class MappingStruct(Struct):
    """``xfrm_user_mapping``."""

    layout = (
        ("daddr", "address"),
        ("spi", "be32"),
        ("family", "u16"),
        ("proto", "u8"),
        ("__pad", "1 pad"),
        ("reqid", "u32"),
        ("old_saddr", "address"),
        ("new_saddr", "address"),
        ("old_sport", "be16"),
        ("new_sport", "be16"),
    )


class FlagsStruct(Struct):
    """The u32 in front of the attributes of GETSADINFO and GETSPDINFO."""

    layout = (("flags", "u32"),)


class DefaultStruct(Struct):
    """``xfrm_userpolicy_default``; 0 leaves a direction as it is."""

    layout = (("in", "u8"), ("fwd", "u8"), ("out", "u8"))


class _MarkStruct(Struct):
    layout = (("v", "u32"), ("m", "u32"))


class _EncapStruct(Struct):
    layout = (
        ("encap_type", "u16"),
        ("encap_sport", "be16"),
        ("encap_dport", "be16"),
        ("__pad", "2 pad"),
        ("encap_oa", "address"),
    )


class _PolicyTypeStruct(Struct):
    layout = (
        ("type", "u8"),
        ("__pad0", "1 pad"),
        ("reserved1", "u16"),
        ("reserved2", "u8"),
        ("__pad1", "1 pad"),
    )


class _AlgorithmStruct(Struct):
    layout = (("alg_name", "name"), ("alg_key_len", "u32"))


class _AuthStruct(Struct):
    layout = (("alg_name", "name"), ("alg_key_len", "u32"), ("alg_trunc_len", "u32"))


class _AeadStruct(Struct):
    layout = (("alg_name", "name"), ("alg_key_len", "u32"), ("alg_icv_len", "u32"))


class _ReplayStruct(Struct):
    layout = (("oseq", "u32"), ("seq", "u32"), ("bitmap", "u32"))


class _ReplayEsnStruct(Struct):
    layout = (
        ("bmp_len", "u32"),
        ("oseq", "u32"),
        ("seq", "u32"),
        ("oseq_hi", "u32"),
        ("seq_hi", "u32"),
        ("replay_window", "u32"),
    )


class _OffloadStruct(Struct):
    layout = (("ifindex", "s32"), ("flags", "u8"), ("__pad", "3 pad"))


class _AddressFilterStruct(Struct):
    layout = (
        ("saddr", "address"),
        ("daddr", "address"),
        ("family", "u16"),
        ("splen", "u8"),
        ("dplen", "u8"),
    )


class _SecurityStruct(Struct):
    layout = (
        ("len", "u16"),
        ("exttype", "u16"),
        ("ctx_alg", "u8"),
        ("ctx_doi", "u8"),
        ("ctx_len", "u16"),
    )


class _SpdCountStruct(Struct):
    layout = (
        ("incnt", "u32"),
        ("outcnt", "u32"),
        ("fwdcnt", "u32"),
        ("inscnt", "u32"),
        ("outscnt", "u32"),
        ("fwdscnt", "u32"),
    )


class _SpdHashStruct(Struct):
    layout = (("spdhcnt", "u32"), ("spdhmcnt", "u32"))


class _SadHashStruct(Struct):
    layout = (("sadhcnt", "u32"), ("sadhmcnt", "u32"))


class _ThresholdStruct(Struct):
    layout = (("lbits", "u8"), ("rbits", "u8"))


# ------------------------------------------------------------------------------- attributes


class _Body(_Base):
    """What nlmsg and nla need to carry a :class:`Struct`, and perhaps bytes behind it."""

    body: ClassVar[type[Struct] | None] = None
    tail: ClassVar[str] = ""
    """Name of the field for what stands behind the structure."""

    def ft_decode(self, offset: int) -> None:
        """Read the structure, then the attributes."""
        end = self.offset + self.length
        body = self.body
        if body is not None:
            if offset + body.size > end:
                raise NetlinkDataDecodeError(
                    ValueError(f"{end - offset} bytes, and {body.size} are needed")
                )
            value, offset = body.decode_from(self.data, offset)
            self.update(value)
        if self.tail:
            self[self.tail] = self.decode_tail(bytes(self.data[offset:end]))
        if self.nla_map:
            self.decode_nlas((offset + 3) & ~3)
        else:
            self.pop("attrs", None)
        self.pop("value", None)

    def ft_encode(self, offset: int) -> tuple[int, int]:
        """Write the structure; return the offset of the attributes and how much of it is pad."""
        if self.body is not None:
            offset = self.body.encode_into(self.data, offset, self.body_value())
        if self.tail:
            tail = self.encode_tail(self.get(self.tail))
            self.data.extend(tail)
            offset += len(tail)
        pad = -offset % 4
        self.data.extend(bytes(pad))
        return offset + pad, pad

    def body_value(self) -> dict[str, Any]:
        """The fields of the structure; those that follow from others may be added here."""
        return dict(self)

    def decode_tail(self, data: bytes) -> object:
        """The value of the bytes behind the structure."""
        return data

    def encode_tail(self, value: Any) -> bytes:  # noqa: ANN401 - each tail has its own type
        """The bytes behind the structure."""
        return bytes(value or b"")


class _Attribute(_Body, nla):
    """An attribute that is a structure."""


class Mark(_Attribute):
    """``xfrm_mark``."""

    body = _MarkStruct


class _Keyed(_Attribute):
    tail = "alg_key"

    def setvalue(self, value: Mapping[str, Any]) -> nlmsg:
        """Take the fields, and cover the key."""
        return super().setvalue({**value, "alg_key": Key(value.get("alg_key") or b"")})

    def body_value(self) -> dict[str, Any]:
        """Add the length of the key."""
        value = dict(self)
        value.setdefault("alg_key_len", len(value.get("alg_key") or b"") * 8)
        return value

    def decode_tail(self, data: bytes) -> Key:
        """The key, without the pad."""
        return Key(data[: (self["alg_key_len"] + 7) // 8])


class Algorithm(_Keyed):
    """``xfrm_algo``: a name and a key, whose length is told in bits."""

    body = _AlgorithmStruct


class AuthAlgorithm(_Keyed):
    """``xfrm_algo_auth``: with the length of the value that is sent, in bits."""

    body = _AuthStruct


class AeadAlgorithm(_Keyed):
    """``xfrm_algo_aead``: with the length of the check value, in bits."""

    body = _AeadStruct


class Encap(_Attribute):
    """``xfrm_encap_tmpl``."""

    body = _EncapStruct


class PolicyType(_Attribute):
    """``xfrm_userpolicy_type``, six bytes."""

    body = _PolicyTypeStruct


class StateAttribute(_Attribute):
    """The whole state, in the notification of its removal."""

    body = StateStruct


class PolicyAttribute(_Attribute):
    """The whole policy, in the notification of its removal."""

    body = PolicyStruct


class LifetimeAttribute(_Attribute):
    """``xfrm_lifetime_cur``."""

    body = LifetimeNow


class Replay(_Attribute):
    """``xfrm_replay_state``."""

    body = _ReplayStruct


class ReplayEsn(_Attribute):
    """``xfrm_replay_state_esn``; the bitmap is a list of u32."""

    body = _ReplayEsnStruct
    tail = "bmp"

    def body_value(self) -> dict[str, Any]:
        """Add the length of the bitmap."""
        value = dict(self)
        value.setdefault("bmp_len", len(value.get("bmp") or ()))
        return value

    def decode_tail(self, data: bytes) -> list[int]:
        """The words of the bitmap."""
        return list(struct.unpack_from(f"={len(data) // 4}I", data))

    def encode_tail(self, value: list[int] | None) -> bytes:
        """The words of the bitmap."""
        words = list(value or ())
        return struct.pack(f"={len(words)}I", *words)


class Offload(_Attribute):
    """``xfrm_user_offload``."""

    body = _OffloadStruct


class AddressFilter(_Attribute):
    """``xfrm_address_filter``."""

    body = _AddressFilterStruct


class SecurityContext(_Attribute):
    """``xfrm_user_sec_ctx`` and the context itself."""

    body = _SecurityStruct
    tail = "ctx"


class Address(nla):
    """An ``xfrm_address_t`` alone: text, of the family that its message says."""

    def ft_decode(self, offset: int) -> None:
        """Read it."""
        data = bytes(self.data[offset : self.offset + self.length])
        self.pop("attrs", None)
        self.pop("value", None)
        self.value = unpack_address(_family_of_message(self.parent), data)

    def ft_encode(self, offset: int) -> tuple[int, int]:
        """Write it, with zeros behind an IPv4 address."""
        self.data.extend(pack_address(self.value).ljust(16, b"\0"))
        return offset + 16, 0


def _family_of_message(message: Mapping[str, Any]) -> int:
    for path in (("family",), ("state", "family"), ("info", "family"), ("sel", "family")):
        value: Any = message
        for name in path:
            value = value[name] if isinstance(value, dict) and name in value else None
        if isinstance(value, int):
            return value
    return 0


class Templates(nla):
    """An array of ``xfrm_user_tmpl`` without headers: a list of dictionaries."""

    def ft_decode(self, offset: int) -> None:
        """Read as many as there are whole ones."""
        end = self.offset + self.length
        templates = []
        while offset + TemplateStruct.size <= end:
            template, offset = TemplateStruct.decode_from(self.data, offset)
            templates.append(template)
        self.pop("attrs", None)
        self.pop("value", None)
        self.value = templates

    def ft_encode(self, offset: int) -> tuple[int, int]:
        """Write them one behind the other."""
        for template in self.value:
            offset = TemplateStruct.encode_into(self.data, offset, template)
        return offset, 0


class _Attributes(nlmsg):
    """What may follow any message about policies and states (enum xfrm_attr_type_t)."""

    Address = Address
    AddressFilter = AddressFilter
    AeadAlgorithm = AeadAlgorithm
    Algorithm = Algorithm
    AuthAlgorithm = AuthAlgorithm
    Encap = Encap
    LifetimeAttribute = LifetimeAttribute
    Mark = Mark
    Offload = Offload
    PolicyAttribute = PolicyAttribute
    PolicyType = PolicyType
    Replay = Replay
    ReplayEsn = ReplayEsn
    SecurityContext = SecurityContext
    StateAttribute = StateAttribute
    Templates = Templates

    nla_map = (
        (1, "XFRMA_ALG_AUTH", "Algorithm"),
        (2, "XFRMA_ALG_CRYPT", "Algorithm"),
        (3, "XFRMA_ALG_COMP", "Algorithm"),
        (4, "XFRMA_ENCAP", "Encap"),
        (5, "XFRMA_TMPL", "Templates"),
        (6, "XFRMA_SA", "StateAttribute"),
        (7, "XFRMA_POLICY", "PolicyAttribute"),
        (8, "XFRMA_SEC_CTX", "SecurityContext"),
        (9, "XFRMA_LTIME_VAL", "LifetimeAttribute"),
        (10, "XFRMA_REPLAY_VAL", "Replay"),
        (11, "XFRMA_REPLAY_THRESH", "uint32"),
        (12, "XFRMA_ETIMER_THRESH", "uint32"),
        (13, "XFRMA_SRCADDR", "Address"),
        (14, "XFRMA_COADDR", "Address"),
        (15, "XFRMA_LASTUSED", "uint64"),
        (16, "XFRMA_POLICY_TYPE", "PolicyType"),
        (17, "XFRMA_MIGRATE", "cdata"),
        (18, "XFRMA_ALG_AEAD", "AeadAlgorithm"),
        (19, "XFRMA_KMADDRESS", "cdata"),
        (20, "XFRMA_ALG_AUTH_TRUNC", "AuthAlgorithm"),
        (21, "XFRMA_MARK", "Mark"),
        (22, "XFRMA_TFCPAD", "uint32"),
        (23, "XFRMA_REPLAY_ESN_VAL", "ReplayEsn"),
        (24, "XFRMA_SA_EXTRA_FLAGS", "uint32"),
        (25, "XFRMA_PROTO", "uint8"),
        (26, "XFRMA_ADDRESS_FILTER", "AddressFilter"),
        (27, "XFRMA_PAD", "cdata"),
        (28, "XFRMA_OFFLOAD_DEV", "Offload"),
        (29, "XFRMA_SET_MARK", "uint32"),
        (30, "XFRMA_SET_MARK_MASK", "uint32"),
        (31, "XFRMA_IF_ID", "uint32"),
        (32, "XFRMA_MTIMER_THRESH", "uint32"),
        (33, "XFRMA_SA_DIR", "uint8"),
        (34, "XFRMA_NAT_KEEPALIVE_INTERVAL", "uint32"),
        (35, "XFRMA_SA_PCPU", "uint32"),
        (36, "XFRMA_IPTFS_DROP_TIME", "uint32"),
        (37, "XFRMA_IPTFS_REORDER_WINDOW", "uint16"),
        (38, "XFRMA_IPTFS_DONT_FRAG", "flag"),
        (39, "XFRMA_IPTFS_INIT_DELAY", "uint32"),
        (40, "XFRMA_IPTFS_MAX_QSIZE", "uint32"),
        (41, "XFRMA_IPTFS_PKT_SIZE", "uint32"),
    )


# --------------------------------------------------------------------------------- messages


class PolicyMessage(_Body, _Attributes):
    """NEWPOLICY and UPDPOLICY, and the answer to GETPOLICY."""

    body = PolicyStruct


class PolicyIdMessage(_Body, _Attributes):
    """DELPOLICY and GETPOLICY, by index if that is not 0, else by selector."""

    body = PolicyIdStruct


class PolicyFlushMessage(_Body, _Attributes):
    """FLUSHPOLICY; also GETPOLICY as a dump, which needs no body."""


class StateMessage(_Body, _Attributes):
    """NEWSA and UPDSA, and the answer to GETSA and ALLOCSPI."""

    body = StateStruct


class StateIdMessage(_Body, _Attributes):
    """DELSA and GETSA."""

    body = StateIdStruct


class StateDumpMessage(_Body, _Attributes):
    """GETSA as a dump: attributes alone (net/xfrm/xfrm_user.c:xfrm_dump_sa)."""


class StateFlushMessage(_Body, nlmsg):
    """FLUSHSA."""

    body = FlushStatesStruct


class SpiRangeMessage(_Body, _Attributes):
    """ALLOCSPI."""

    body = SpiRangeStruct


class AcquireMessage(_Body, _Attributes):
    """ACQUIRE: a state is wanted for a packet, and the policy that wants it."""

    body = AcquireStruct


class ExpireMessage(_Body, _Attributes):
    """EXPIRE: a limit of a state is reached, the soft or the hard one."""

    body = ExpireStruct


class PolicyExpireMessage(_Body, _Attributes):
    """POLEXPIRE: a limit of a policy is reached."""

    body = PolicyExpireStruct


class AsyncEventMessage(_Body, _Attributes):
    """NEWAE and GETAE: counters of a state."""

    body = AsyncEventStruct


class ReportMessage(_Body, _Attributes):
    """REPORT."""

    body = ReportStruct


class MappingMessage(_Body, _Attributes):
    """MAPPING: a peer behind NAT came from another port."""

    body = MappingStruct


class DefaultMessage(_Body, nlmsg):
    """SETDEFAULT, GETDEFAULT and its answer: what happens without a policy."""

    body = DefaultStruct


class SpdCount(_Attribute):
    """``xfrmu_spdinfo``: numbers of policies, and of those of sockets."""

    body = _SpdCountStruct


class SpdHash(_Attribute):
    """``xfrmu_spdhinfo``: the mask of the hash by index, and how far it may grow."""

    body = _SpdHashStruct


class Threshold(_Attribute):
    """``xfrmu_spdhthresh``: prefixes as long as this are hashed."""

    body = _ThresholdStruct


class SpdInfoMessage(_Body, nlmsg):
    """GETSPDINFO, its answer, and NEWSPDINFO, which sets the thresholds."""

    body = FlagsStruct
    SpdCount = SpdCount
    SpdHash = SpdHash
    Threshold = Threshold
    nla_map = (
        (1, "XFRMA_SPD_INFO", "SpdCount"),
        (2, "XFRMA_SPD_HINFO", "SpdHash"),
        (3, "XFRMA_SPD_IPV4_HTHRESH", "Threshold"),
        (4, "XFRMA_SPD_IPV6_HTHRESH", "Threshold"),
    )


class SadHash(_Attribute):
    """``xfrmu_sadhinfo``."""

    body = _SadHashStruct


class SadInfoMessage(_Body, nlmsg):
    """GETSADINFO and its answer."""

    body = FlagsStruct
    SadHash = SadHash
    nla_map = (
        (1, "XFRMA_SAD_CNT", "uint32"),
        (2, "XFRMA_SAD_HINFO", "SadHash"),
    )


MESSAGES: Final[dict[int, type[Any]]] = {
    XFRM_MSG_NEWSA: StateMessage,
    XFRM_MSG_DELSA: StateIdMessage,
    XFRM_MSG_GETSA: StateIdMessage,
    XFRM_MSG_NEWPOLICY: PolicyMessage,
    XFRM_MSG_DELPOLICY: PolicyIdMessage,
    XFRM_MSG_GETPOLICY: PolicyIdMessage,
    XFRM_MSG_ALLOCSPI: SpiRangeMessage,
    XFRM_MSG_ACQUIRE: AcquireMessage,
    XFRM_MSG_EXPIRE: ExpireMessage,
    XFRM_MSG_UPDPOLICY: PolicyMessage,
    XFRM_MSG_UPDSA: StateMessage,
    XFRM_MSG_POLEXPIRE: PolicyExpireMessage,
    XFRM_MSG_FLUSHSA: StateFlushMessage,
    XFRM_MSG_FLUSHPOLICY: PolicyFlushMessage,
    XFRM_MSG_NEWAE: AsyncEventMessage,
    XFRM_MSG_GETAE: AsyncEventMessage,
    XFRM_MSG_REPORT: ReportMessage,
    XFRM_MSG_MIGRATE: PolicyIdMessage,
    XFRM_MSG_NEWSADINFO: SadInfoMessage,
    XFRM_MSG_GETSADINFO: SadInfoMessage,
    XFRM_MSG_NEWSPDINFO: SpdInfoMessage,
    XFRM_MSG_GETSPDINFO: SpdInfoMessage,
    XFRM_MSG_MAPPING: MappingMessage,
    XFRM_MSG_SETDEFAULT: DefaultMessage,
    XFRM_MSG_GETDEFAULT: DefaultMessage,
}
"""The class of each type, for ``register_policy`` or a Marshal's ``msg_map``."""

NAMES: Final = {
    number: name.removeprefix("XFRM_MSG_")
    for name, number in list(globals().items())
    if name.startswith("XFRM_MSG_")
}
"""Names of the types."""
