"""The attributes of XFRM messages, and what they have in common with messages."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pyroute2.netlink.exceptions import NetlinkDataDecodeError

from .structure import Key, Struct, pack_address, unpack_address
from .structures import (
    AddressFilterStruct,
    AeadStruct,
    AlgorithmStruct,
    AuthStruct,
    EncapStruct,
    LifetimeNow,
    MarkStruct,
    OffloadStruct,
    PolicyStruct,
    PolicyTypeStruct,
    ReplayEsnStruct,
    ReplayStruct,
    SadHashStruct,
    SecurityStruct,
    SpdCountStruct,
    SpdHashStruct,
    StateStruct,
    TemplateStruct,
    ThresholdStruct,
)

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

    Base = nlmsg
else:
    from pyroute2.netlink import nla, nlmsg

    Base = object


class Body(Base):
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


class Attribute(Body, nla):
    """An attribute that is a structure."""


class Mark(Attribute):
    """``xfrm_mark``."""

    body = MarkStruct


class Keyed(Attribute):
    """An algorithm with its key behind it."""

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


class Algorithm(Keyed):
    """``xfrm_algo``: a name and a key, whose length is told in bits."""

    body = AlgorithmStruct


class AuthAlgorithm(Keyed):
    """``xfrm_algo_auth``: with the length of the value that is sent, in bits."""

    body = AuthStruct


class AeadAlgorithm(Keyed):
    """``xfrm_algo_aead``: with the length of the check value, in bits."""

    body = AeadStruct


class Encap(Attribute):
    """``xfrm_encap_tmpl``."""

    body = EncapStruct


class PolicyType(Attribute):
    """``xfrm_userpolicy_type``, six bytes."""

    body = PolicyTypeStruct


class StateAttribute(Attribute):
    """The whole state, in the notification of its removal."""

    body = StateStruct


class PolicyAttribute(Attribute):
    """The whole policy, in the notification of its removal."""

    body = PolicyStruct


class LifetimeAttribute(Attribute):
    """``xfrm_lifetime_cur``."""

    body = LifetimeNow


class Replay(Attribute):
    """``xfrm_replay_state``."""

    body = ReplayStruct


class ReplayEsn(Attribute):
    """``xfrm_replay_state_esn``; the bitmap is a list of u32."""

    body = ReplayEsnStruct
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


class Offload(Attribute):
    """``xfrm_user_offload``."""

    body = OffloadStruct


class AddressFilter(Attribute):
    """``xfrm_address_filter``."""

    body = AddressFilterStruct


class SecurityContext(Attribute):
    """``xfrm_user_sec_ctx`` and the context itself."""

    body = SecurityStruct
    tail = "ctx"


class Address(nla):
    """An ``xfrm_address_t`` alone: text, of the family that its message says."""

    def ft_decode(self, offset: int) -> None:
        """Read it."""
        data = bytes(self.data[offset : self.offset + self.length])
        self.pop("attrs", None)
        self.pop("value", None)
        self.value = unpack_address(family_of_message(self.parent), data)

    def ft_encode(self, offset: int) -> tuple[int, int]:
        """Write it, with zeros behind an IPv4 address."""
        self.data.extend(pack_address(self.value).ljust(16, b"\0"))
        return offset + 16, 0


def family_of_message(message: Mapping[str, Any]) -> int:
    """The family that a message speaks of, wherever it says it; 0 for none."""
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


class Attributes(nlmsg):
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


class SpdCount(Attribute):
    """``xfrmu_spdinfo``: numbers of policies, and of those of sockets."""

    body = SpdCountStruct


class SpdHash(Attribute):
    """``xfrmu_spdhinfo``: the mask of the hash by index, and how far it may grow."""

    body = SpdHashStruct


class Threshold(Attribute):
    """``xfrmu_spdhthresh``: prefixes as long as this are hashed."""

    body = ThresholdStruct


class SadHash(Attribute):
    """``xfrmu_sadhinfo``."""

    body = SadHashStruct
