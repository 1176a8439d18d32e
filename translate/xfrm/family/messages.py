"""The messages of XFRM, and the class of each type."""

from __future__ import annotations

from typing import Any, Final

from .attributes import Attributes, Body, SadHash, SpdCount, SpdHash, Threshold, nlmsg
from .constants import (
    XFRM_MSG_ACQUIRE,
    XFRM_MSG_ALLOCSPI,
    XFRM_MSG_DELPOLICY,
    XFRM_MSG_DELSA,
    XFRM_MSG_EXPIRE,
    XFRM_MSG_FLUSHPOLICY,
    XFRM_MSG_FLUSHSA,
    XFRM_MSG_GETAE,
    XFRM_MSG_GETDEFAULT,
    XFRM_MSG_GETPOLICY,
    XFRM_MSG_GETSA,
    XFRM_MSG_GETSADINFO,
    XFRM_MSG_GETSPDINFO,
    XFRM_MSG_MAPPING,
    XFRM_MSG_MIGRATE,
    XFRM_MSG_NEWAE,
    XFRM_MSG_NEWPOLICY,
    XFRM_MSG_NEWSA,
    XFRM_MSG_NEWSADINFO,
    XFRM_MSG_NEWSPDINFO,
    XFRM_MSG_POLEXPIRE,
    XFRM_MSG_REPORT,
    XFRM_MSG_SETDEFAULT,
    XFRM_MSG_UPDPOLICY,
    XFRM_MSG_UPDSA,
)
from .structures import (
    AcquireStruct,
    AsyncEventStruct,
    DefaultStruct,
    ExpireStruct,
    FlagsStruct,
    FlushStatesStruct,
    MappingStruct,
    PolicyExpireStruct,
    PolicyIdStruct,
    PolicyStruct,
    ReportStruct,
    SpiRangeStruct,
    StateIdStruct,
    StateStruct,
)


class PolicyMessage(Body, Attributes):
    """NEWPOLICY and UPDPOLICY, and the answer to GETPOLICY."""

    body = PolicyStruct


class PolicyIdMessage(Body, Attributes):
    """DELPOLICY and GETPOLICY, by index if that is not 0, else by selector."""

    body = PolicyIdStruct


class PolicyFlushMessage(Body, Attributes):
    """FLUSHPOLICY; also GETPOLICY as a dump, which needs no body."""


class StateMessage(Body, Attributes):
    """NEWSA and UPDSA, and the answer to GETSA and ALLOCSPI."""

    body = StateStruct


class StateIdMessage(Body, Attributes):
    """DELSA and GETSA."""

    body = StateIdStruct


class StateDumpMessage(Body, Attributes):
    """GETSA as a dump: attributes alone (net/xfrm/xfrm_user.c:xfrm_dump_sa)."""


class StateFlushMessage(Body, nlmsg):
    """FLUSHSA."""

    body = FlushStatesStruct


class SpiRangeMessage(Body, Attributes):
    """ALLOCSPI."""

    body = SpiRangeStruct


class AcquireMessage(Body, Attributes):
    """ACQUIRE: a state is wanted for a packet, and the policy that wants it."""

    body = AcquireStruct


class ExpireMessage(Body, Attributes):
    """EXPIRE: a limit of a state is reached, the soft or the hard one."""

    body = ExpireStruct


class PolicyExpireMessage(Body, Attributes):
    """POLEXPIRE: a limit of a policy is reached."""

    body = PolicyExpireStruct


class AsyncEventMessage(Body, Attributes):
    """NEWAE and GETAE: counters of a state."""

    body = AsyncEventStruct


class ReportMessage(Body, Attributes):
    """REPORT."""

    body = ReportStruct


class MappingMessage(Body, Attributes):
    """MAPPING: a peer behind NAT came from another port."""

    body = MappingStruct


class DefaultMessage(Body, nlmsg):
    """SETDEFAULT, GETDEFAULT and its answer: what happens without a policy."""

    body = DefaultStruct


class SpdInfoMessage(Body, nlmsg):
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


class SadInfoMessage(Body, nlmsg):
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
