"""The structures of include/uapi/linux/xfrm.h."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from .constants import XFRM_INF
from .structure import Struct

_ALL_ALGORITHMS: Final = 0xFFFFFFFF


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


class MarkStruct(Struct):
    """``xfrm_mark``."""

    layout = (("v", "u32"), ("m", "u32"))


class EncapStruct(Struct):
    """``xfrm_encap_tmpl``."""

    layout = (
        ("encap_type", "u16"),
        ("encap_sport", "be16"),
        ("encap_dport", "be16"),
        ("__pad", "2 pad"),
        ("encap_oa", "address"),
    )


class PolicyTypeStruct(Struct):
    """``xfrm_userpolicy_type``."""

    layout = (
        ("type", "u8"),
        ("__pad0", "1 pad"),
        ("reserved1", "u16"),
        ("reserved2", "u8"),
        ("__pad1", "1 pad"),
    )


class AlgorithmStruct(Struct):
    """``xfrm_algo``."""

    layout = (("alg_name", "name"), ("alg_key_len", "u32"))


class AuthStruct(Struct):
    """``xfrm_algo_auth``."""

    layout = (("alg_name", "name"), ("alg_key_len", "u32"), ("alg_trunc_len", "u32"))


class AeadStruct(Struct):
    """``xfrm_algo_aead``."""

    layout = (("alg_name", "name"), ("alg_key_len", "u32"), ("alg_icv_len", "u32"))


class ReplayStruct(Struct):
    """``xfrm_replay_state``."""

    layout = (("oseq", "u32"), ("seq", "u32"), ("bitmap", "u32"))


class ReplayEsnStruct(Struct):
    """``xfrm_replay_state_esn``."""

    layout = (
        ("bmp_len", "u32"),
        ("oseq", "u32"),
        ("seq", "u32"),
        ("oseq_hi", "u32"),
        ("seq_hi", "u32"),
        ("replay_window", "u32"),
    )


class OffloadStruct(Struct):
    """``xfrm_user_offload``."""

    layout = (("ifindex", "s32"), ("flags", "u8"), ("__pad", "3 pad"))


class AddressFilterStruct(Struct):
    """``xfrm_address_filter``."""

    layout = (
        ("saddr", "address"),
        ("daddr", "address"),
        ("family", "u16"),
        ("splen", "u8"),
        ("dplen", "u8"),
    )


class SecurityStruct(Struct):
    """``xfrm_user_sec_ctx``."""

    layout = (
        ("len", "u16"),
        ("exttype", "u16"),
        ("ctx_alg", "u8"),
        ("ctx_doi", "u8"),
        ("ctx_len", "u16"),
    )


class SpdCountStruct(Struct):
    """``xfrmu_spdinfo``."""

    layout = (
        ("incnt", "u32"),
        ("outcnt", "u32"),
        ("fwdcnt", "u32"),
        ("inscnt", "u32"),
        ("outscnt", "u32"),
        ("fwdscnt", "u32"),
    )


class SpdHashStruct(Struct):
    """``xfrmu_spdhinfo``."""

    layout = (("spdhcnt", "u32"), ("spdhmcnt", "u32"))


class SadHashStruct(Struct):
    """``xfrmu_sadhinfo``."""

    layout = (("sadhcnt", "u32"), ("sadhmcnt", "u32"))


class ThresholdStruct(Struct):
    """``xfrmu_spdhthresh``."""

    layout = (("lbits", "u8"), ("rbits", "u8"))
