"""A NETLINK_XFRM socket on pyroute2: policies, states, defaults, thresholds and events.

The calls are those of pyroute2's IPRoute: ``policy("add", src=..., dst=..., dir="out")``.  For many
policies at once there is :mod:`.bulk`; a message of pyroute2 takes some 100 microseconds.

Not used of pyroute2: its own way into a namespace, which creates a missing one and needs 14 ms; and
its reader for events, since a socket of pyroute2 whose buffer overflowed once is of no use any
more, and cannot even be closed.
"""

from __future__ import annotations

import errno
import os
from typing import Any, Final, Literal, NoReturn, Unpack

from pyroute2.netlink import NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_ERROR
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nlsocket import NetlinkSocket

from .connection import open_socket
from .errors import KernelError, hint_for
from .family import constants as c
from .family import messages as m
from .family.attributes import nlmsg
from .requests import (
    PROTOCOLS,
    PolicySpec,
    StateSpec,
    filled,
    key_attributes,
    policy_id_message,
    policy_message,
    spi_range_message,
    state_id_message,
    state_message,
)

NETLINK_XFRM: Final = 6

_DEFAULTS: Final = {
    "block": c.XFRM_USERPOLICY_BLOCK,
    "accept": c.XFRM_USERPOLICY_ACCEPT,
}
_DEFAULT_NAMES: Final = {number: name for name, number in _DEFAULTS.items()}

Message = nlmsg
"""A decoded message of pyroute2: a dictionary with ``get_attr``."""


PolicyCommand = Literal["add", "update", "delete", "get", "dump", "flush"]
StateCommand = Literal["add", "update", "delete", "get", "dump", "flush", "allocspi"]

_POLICY_TYPES: Final = {
    "add": c.XFRM_MSG_NEWPOLICY,
    "update": c.XFRM_MSG_UPDPOLICY,
    "delete": c.XFRM_MSG_DELPOLICY,
    "get": c.XFRM_MSG_GETPOLICY,
    "dump": c.XFRM_MSG_GETPOLICY,
    "flush": c.XFRM_MSG_FLUSHPOLICY,
}
_STATE_TYPES: Final = {
    "add": c.XFRM_MSG_NEWSA,
    "update": c.XFRM_MSG_UPDSA,
    "delete": c.XFRM_MSG_DELSA,
    "get": c.XFRM_MSG_GETSA,
    "dump": c.XFRM_MSG_GETSA,
    "flush": c.XFRM_MSG_FLUSHSA,
    "allocspi": c.XFRM_MSG_ALLOCSPI,
}


class XfrmSocket(NetlinkSocket):  # type: ignore[misc]  # pyroute2 has no types
    """Asks XFRM, in a named network namespace where one is given.  Raises :class:`KernelError`."""

    def __init__(self, netns: str = "") -> None:
        number = open_socket(netns).detach()
        try:
            super().__init__(family=NETLINK_XFRM, fileno=number, ext_ack=True)
        except OSError as error:
            os.close(number)
            raise KernelError(error.errno or 0, "prepare a NETLINK_XFRM socket") from error
        self.register_policy(m.MESSAGES)

    def policy(self, command: PolicyCommand, **spec: Unpack[PolicySpec]) -> tuple[Message, ...]:
        """Add, update, delete, get, dump or flush policies; return what the kernel answered.

        ``update`` creates what is missing.  ``delete`` and ``get`` go by ``index`` where it is
        given, else by direction and the whole selector, with mark, if_id and type in both cases.
        ``flush`` takes the type alone.
        """
        kind = _POLICY_TYPES[command]
        asked = " ".join(
            [command, "policy", *(str(spec[n]) for n in ("src", "dst", "dir") if n in spec)]
        )
        if command == "dump":
            return self._ask(m.PolicyFlushMessage(), kind, NLM_F_DUMP, asked)
        if command == "flush":
            message = filled(m.PolicyFlushMessage(), {}, key_attributes(spec))
            return self._ask(message, kind, NLM_F_ACK, asked)
        if command in ("add", "update"):
            return self._ask(policy_message(spec), kind, NLM_F_ACK, asked)
        message = policy_id_message(spec)
        return self._ask(message, kind, NLM_F_ACK if command == "delete" else 0, asked)

    def state(self, command: StateCommand, **spec: Unpack[StateSpec]) -> tuple[Message, ...]:
        """Add, update, delete, get, dump or flush states, or take an SPI for one (allocspi)."""
        kind = _STATE_TYPES[command]
        asked = " ".join(
            [command, "state", *(str(spec[n]) for n in ("src", "dst", "proto") if n in spec)]
        )
        if spec.get("spi"):
            asked += f" spi {spec['spi']:#x}"
        flags = NLM_F_ACK
        message: Any
        if command == "dump":
            message, flags = m.StateDumpMessage(), NLM_F_DUMP
        elif command == "flush":
            protocol = PROTOCOLS[spec["proto"]] if "proto" in spec else 0
            message = filled(m.StateFlushMessage(), {"proto": protocol}, [])
        elif command in ("add", "update"):
            message = state_message(spec)
        elif command == "allocspi":
            message, flags = spi_range_message(spec), 0
        else:
            message = state_id_message(spec)
            flags = NLM_F_ACK if command == "delete" else 0
        return self._ask(message, kind, flags, asked, spec)

    def spd_info(self) -> dict[str, Any]:
        """Numbers of policies, the hash by index, and the thresholds of both families."""
        message = self._one(m.SpdInfoMessage(), c.XFRM_MSG_GETSPDINFO, "get SPD info")
        found: dict[str, Any] = {}
        for name in ("XFRMA_SPD_INFO", "XFRMA_SPD_HINFO"):
            found.update(message.get_attr(name) or {})
        for name, key in (("IPV4", "ipv4"), ("IPV6", "ipv6")):
            threshold = message.get_attr(f"XFRMA_SPD_{name}_HTHRESH")
            if threshold:
                found[key] = (threshold["lbits"], threshold["rbits"])
        return found

    def set_thresholds(
        self, ipv4: tuple[int, int] | None = None, ipv6: tuple[int, int] | None = None
    ) -> None:
        """Have policies hashed whose prefixes are at least so long, the local one first."""
        wanted = (("IPV4", ipv4), ("IPV6", ipv6))
        attributes = [
            (f"XFRMA_SPD_{name}_HTHRESH", {"lbits": bits[0], "rbits": bits[1]})
            for name, bits in wanted
            if bits is not None
        ]
        message = filled(m.SpdInfoMessage(), {}, attributes)
        self._ask(message, c.XFRM_MSG_NEWSPDINFO, NLM_F_ACK, "set SPD thresholds")

    def sad_info(self) -> dict[str, Any]:
        """The number of states and the size of their hash."""
        message = self._one(m.SadInfoMessage(), c.XFRM_MSG_GETSADINFO, "get SAD info")
        return {
            "sadcnt": message.get_attr("XFRMA_SAD_CNT"),
            **dict(message.get_attr("XFRMA_SAD_HINFO") or {}),
        }

    def default_policy(self) -> dict[str, str]:
        """What happens where no policy matches: ``accept`` or ``block``, by direction."""
        message = self._one(m.DefaultMessage(), c.XFRM_MSG_GETDEFAULT, "get the default policy")
        return {
            name: _DEFAULT_NAMES.get(message[name], str(message[name]))
            for name in ("in", "fwd", "out")
        }

    def set_default_policy(self, **directions: str) -> None:
        """Set it for some directions: ``set_default_policy(out="block")``; ``in`` by ``**``."""
        value = {name: _DEFAULTS[action] for name, action in directions.items()}
        message = filled(m.DefaultMessage(), value, [])
        self._ask(message, c.XFRM_MSG_SETDEFAULT, NLM_F_ACK, "set the default policy")

    def _one(self, message: Any, kind: int, asked: str) -> Any:  # noqa: ANN401 - pyroute2's
        """Ask for one answer."""
        answers = self._ask(message, kind, 0, asked)
        if not answers:
            raise KernelError(errno.ENODATA, asked)
        return answers[0]

    def _ask(
        self,
        message: Any,  # noqa: ANN401 - a message of pyroute2
        kind: int,
        flags: int,
        asked: str,
        spec: StateSpec | None = None,
    ) -> tuple[Message, ...]:
        """Send a request; return the answers without the ack.

        A request with an answer must not ask for an ack too: the answer ends the conversation, and
        pyroute2 would take the ack for an event.
        """
        try:
            answers = tuple(self.nlm_request(message, kind, NLM_F_REQUEST | flags))
        except NetlinkError as error:
            text = str(error.args[1]) if len(error.args) > 1 else ""
            _refuse(error.code, asked, "" if text == os.strerror(error.code) else text, spec, error)
        except OSError as error:
            _refuse(error.errno or errno.EIO, asked, "", spec, error)
        return tuple(answer for answer in answers if answer["header"]["type"] != NLMSG_ERROR)


def _refuse(code: int, asked: str, text: str, spec: StateSpec | None, cause: Exception) -> NoReturn:
    spec = spec or {}
    names = {
        kind: str(value[0])
        for kind in ("auth", "auth_trunc", "crypt", "aead")
        if isinstance(value := spec.get(kind), tuple)
    }
    names["comp"] = spec.get("comp", "")
    hint = hint_for(
        code,
        text,
        protocol=PROTOCOLS.get(spec.get("proto", ""), 0),
        family=6 if ":" in spec.get("dst", "") else 4,
        algorithms=names,
    )
    raise KernelError(code, asked, text, hint) from cause
