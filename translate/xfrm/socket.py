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
import time
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_interface
from typing import Any, Final, Literal, NoReturn, Self, TypedDict, Unpack

from pyroute2.netlink import NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_ERROR
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nlsocket import Marshal, NetlinkSocket

from . import messages as m
from .bulk import open_socket
from .errors import KernelError, hint_for

NETLINK_XFRM: Final = 6
_SOL_NETLINK: Final = 270
_NETLINK_ADD_MEMBERSHIP: Final = 1
_SO_RCVBUFFORCE: Final = 33
_SOL_SOCKET: Final = 1

PROTOCOLS: Final = {"esp": 50, "ah": 51, "comp": 108, "route2": 43, "hao": 60, "ipsec-any": 255}
MODES: Final = {"transport": 0, "tunnel": 1, "ro": 2, "in_trigger": 3, "beet": 4, "iptfs": 5}
DIRECTIONS: Final = {"in": 0, "out": 1, "fwd": 2}
GROUPS: Final = {
    "acquire": m.XFRMNLGRP_ACQUIRE,
    "expire": m.XFRMNLGRP_EXPIRE,
    "state": m.XFRMNLGRP_SA,
    "policy": m.XFRMNLGRP_POLICY,
    "aevent": m.XFRMNLGRP_AEVENTS,
    "report": m.XFRMNLGRP_REPORT,
    "migrate": m.XFRMNLGRP_MIGRATE,
    "mapping": m.XFRMNLGRP_MAPPING,
}
"""Multicast groups by the names of ``ip xfrm monitor``."""

_LARGEST_DATAGRAM: Final = 1 << 16
_DEFAULTS: Final = {
    "block": m.XFRM_USERPOLICY_BLOCK,
    "accept": m.XFRM_USERPOLICY_ACCEPT,
}
_DEFAULT_NAMES: Final = {number: name for name, number in _DEFAULTS.items()}

Message = m.nlmsg
"""A decoded message of pyroute2: a dictionary with ``get_attr``."""


class TemplateSpec(TypedDict, total=False):
    """One template; ``level`` is ``required`` or ``use``."""

    src: str
    dst: str
    proto: str
    reqid: int
    spi: int
    mode: str
    level: str


class SelectorSpec(TypedDict, total=False):
    """What packets must look like; a mask that is not given is that of the whole port, or none."""

    src: str
    dst: str
    proto: int
    sport: int
    dport: int
    sport_mask: int
    dport_mask: int
    ifindex: int
    user: int


class PolicySpec(SelectorSpec, total=False):
    """A policy.  ``limits`` are fields of ``xfrm_lifetime_cfg``."""

    dir: str
    index: int
    priority: int
    action: str
    flags: int
    ptype: str
    mark: tuple[int, int]
    if_id: int
    tmpl: Iterable[TemplateSpec]
    limits: Mapping[str, int]


class StateSpec(TypedDict, total=False):
    """A state.  Algorithms are a name and a key, then the bits that are sent of a value.

    ``encap`` is type, source port, destination port and original address.
    """

    src: str
    dst: str
    proto: str
    spi: int
    reqid: int
    mode: str
    seq: int
    flags: int
    extra_flags: int
    replay_window: int
    esn_window: int
    sel: SelectorSpec
    limits: Mapping[str, int]
    auth: tuple[str, bytes]
    auth_trunc: tuple[str, bytes, int]
    crypt: tuple[str, bytes]
    aead: tuple[str, bytes, int]
    comp: str
    encap: tuple[int, int, int, str]
    mark: tuple[int, int]
    output_mark: tuple[int, int]
    if_id: int
    tfcpad: int
    coaddr: str
    min: int
    max: int


PolicyCommand = Literal["add", "update", "delete", "get", "dump", "flush"]
StateCommand = Literal["add", "update", "delete", "get", "dump", "flush", "allocspi"]

_POLICY_TYPES: Final = {
    "add": m.XFRM_MSG_NEWPOLICY,
    "update": m.XFRM_MSG_UPDPOLICY,
    "delete": m.XFRM_MSG_DELPOLICY,
    "get": m.XFRM_MSG_GETPOLICY,
    "dump": m.XFRM_MSG_GETPOLICY,
    "flush": m.XFRM_MSG_FLUSHPOLICY,
}
_STATE_TYPES: Final = {
    "add": m.XFRM_MSG_NEWSA,
    "update": m.XFRM_MSG_UPDSA,
    "delete": m.XFRM_MSG_DELSA,
    "get": m.XFRM_MSG_GETSA,
    "dump": m.XFRM_MSG_GETSA,
    "flush": m.XFRM_MSG_FLUSHSA,
    "allocspi": m.XFRM_MSG_ALLOCSPI,
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
            message = _with(m.PolicyFlushMessage(), {}, _key_attributes(spec))
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
            message = _with(m.StateFlushMessage(), {"proto": protocol}, [])
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
        message = self._one(m.SpdInfoMessage(), m.XFRM_MSG_GETSPDINFO, "get SPD info")
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
        message = _with(m.SpdInfoMessage(), {}, attributes)
        self._ask(message, m.XFRM_MSG_NEWSPDINFO, NLM_F_ACK, "set SPD thresholds")

    def sad_info(self) -> dict[str, Any]:
        """The number of states and the size of their hash."""
        message = self._one(m.SadInfoMessage(), m.XFRM_MSG_GETSADINFO, "get SAD info")
        return {
            "sadcnt": message.get_attr("XFRMA_SAD_CNT"),
            **dict(message.get_attr("XFRMA_SAD_HINFO") or {}),
        }

    def default_policy(self) -> dict[str, str]:
        """What happens where no policy matches: ``accept`` or ``block``, by direction."""
        message = self._one(m.DefaultMessage(), m.XFRM_MSG_GETDEFAULT, "get the default policy")
        return {
            name: _DEFAULT_NAMES.get(message[name], str(message[name]))
            for name in ("in", "fwd", "out")
        }

    def set_default_policy(self, **directions: str) -> None:
        """Set it for some directions: ``set_default_policy(out="block")``; ``in`` by ``**``."""
        value = {name: _DEFAULTS[action] for name, action in directions.items()}
        message = _with(m.DefaultMessage(), value, [])
        self._ask(message, m.XFRM_MSG_SETDEFAULT, NLM_F_ACK, "set the default policy")

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


class XfrmMonitor:
    """Events of XFRM: decoded messages, as they come.

    A listener of the group ``acquire`` is a key manager to the kernel: it makes larval states for
    packets that need one (net/xfrm/xfrm_user.c:xfrm_is_alive).
    """

    def __init__(self, *groups: str, netns: str = "", buffer: int = 1 << 22) -> None:
        self._socket = open_socket(netns)
        self._marshal = Marshal()
        self._marshal.msg_map = dict(m.MESSAGES)
        try:
            self._socket.setsockopt(_SOL_SOCKET, _SO_RCVBUFFORCE, buffer)
            self._socket.bind((0, 0))
            for group in groups or GROUPS:
                self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, GROUPS[group])
        except OSError as error:
            self._socket.close()
            code = error.errno or errno.EIO
            raise KernelError(code, "listen to events of XFRM", hint=hint_for(code)) from error

    def fileno(self) -> int:
        """For select and poll."""
        return self._socket.fileno()

    def events(self, timeout: float | None = None) -> Iterator[tuple[str, Message]]:
        """Yield the name of each event (``NEWPOLICY``, ``ACQUIRE``) and its message.

        Ends when none comes for ``timeout`` seconds in all; goes on for ever without it.  Raises
        :class:`KernelError` with ENOBUFS when events were lost, and can be called again then.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            self._socket.settimeout(None if end is None else max(end - time.monotonic(), 1e-6))
            try:
                data = self._socket.recv(_LARGEST_DATAGRAM)
            except (TimeoutError, BlockingIOError):
                return
            except OSError as error:
                code = error.errno or errno.EIO
                hint = hint_for(code)
                raise KernelError(code, "receive events of XFRM", hint=hint) from error
            for message in self._marshal.parse(data):
                kind = message["header"]["type"]
                yield m.NAMES.get(kind, str(kind)), message

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# -------------------------------------------------------------------------- requests from words


def _with(
    message: Any,  # noqa: ANN401 - a message of pyroute2
    fields: Mapping[str, object],
    attributes: list[tuple[str, Any]],
) -> Any:  # noqa: ANN401
    message.update(fields)
    message["attrs"] = attributes
    return message


def _selector(spec: SelectorSpec) -> dict[str, Any]:
    """``xfrm_selector``, with the bits below the prefixes cleared."""
    source, destination = spec.get("src"), spec.get("dst")
    if source is None or destination is None:
        other = source or destination or "0.0.0.0/0"
        everything = "::/0" if ":" in other else "0.0.0.0/0"
        source, destination = source or everything, destination or everything
    near, far = ip_interface(source).network, ip_interface(destination).network
    sport, dport = spec.get("sport", 0), spec.get("dport", 0)
    return {
        "saddr": str(near.network_address),
        "daddr": str(far.network_address),
        "prefixlen_s": near.prefixlen,
        "prefixlen_d": far.prefixlen,
        "proto": spec.get("proto", 0),
        "sport": sport,
        "dport": dport,
        "sport_mask": spec.get("sport_mask", 0xFFFF if sport else 0),
        "dport_mask": spec.get("dport_mask", 0xFFFF if dport else 0),
        "ifindex": spec.get("ifindex", 0),
        "user": spec.get("user", 0),
    }


def _key_attributes(spec: PolicySpec | StateSpec) -> list[tuple[str, Any]]:
    """The attributes that are part of what names a policy or a state."""
    attributes: list[tuple[str, Any]] = []
    if spec.get("ptype", "main") == "sub":
        attributes.append(("XFRMA_POLICY_TYPE", {"type": m.XFRM_POLICY_TYPE_SUB}))
    value, mask = spec.get("mark") or (0, 0)
    if mask:
        attributes.append(("XFRMA_MARK", {"v": value & mask, "m": mask}))
    if spec.get("if_id"):
        attributes.append(("XFRMA_IF_ID", spec["if_id"]))
    return attributes


def _template(spec: TemplateSpec) -> dict[str, Any]:
    source, destination = spec.get("src", ""), spec.get("dst", "")
    nothing = "::" if ":" in source + destination else "0.0.0.0"  # noqa: S104 - any address
    return {
        "saddr": source or nothing,
        "daddr": destination or nothing,
        "proto": PROTOCOLS[spec.get("proto", "esp")],
        "reqid": spec.get("reqid", 0),
        "spi": spec.get("spi", 0),
        "mode": MODES[spec.get("mode", "transport")],
        "optional": spec.get("level") == "use",
    }


def policy_message(spec: PolicySpec) -> m.PolicyMessage:
    """The message of NEWPOLICY or UPDPOLICY."""
    fields = {
        "sel": _selector(spec),
        "lft": dict(spec.get("limits", {})),
        "priority": spec.get("priority", 0),
        "index": spec.get("index", 0),
        "dir": DIRECTIONS[spec.get("dir", "out")],
        "action": ("allow", "block").index(spec.get("action", "allow")),
        "flags": spec.get("flags", 0),
    }
    templates = [_template(template) for template in spec.get("tmpl", ())]
    attributes = [("XFRMA_TMPL", templates)] if templates else []
    message: m.PolicyMessage = _with(
        m.PolicyMessage(), fields, [*attributes, *_key_attributes(spec)]
    )
    return message


def policy_id_message(spec: PolicySpec) -> m.PolicyIdMessage:
    """The message of DELPOLICY or GETPOLICY."""
    fields = {
        "sel": _selector(spec),
        "index": spec.get("index", 0),
        "dir": DIRECTIONS[spec.get("dir", "out")],
    }
    message: m.PolicyIdMessage = _with(m.PolicyIdMessage(), fields, _key_attributes(spec))
    return message


def _state(spec: StateSpec) -> dict[str, Any]:
    destination = spec.get("dst", "0.0.0.0")  # noqa: S104 - any address
    anything = "::" if ":" in destination else "0.0.0.0"  # noqa: S104
    return {
        "sel": _selector(spec["sel"]) if "sel" in spec else {},
        "daddr": destination,
        "saddr": spec.get("src", anything),
        "spi": spec.get("spi", 0),
        "proto": PROTOCOLS[spec.get("proto", "esp")],
        "lft": dict(spec.get("limits", {})),
        "seq": spec.get("seq", 0),
        "reqid": spec.get("reqid", 0),
        "mode": MODES[spec.get("mode", "transport")],
        "replay_window": spec.get("replay_window", 0),
        "flags": spec.get("flags", 0),
    }


def _algorithms(spec: StateSpec) -> Iterator[tuple[str, dict[str, Any]]]:
    if "auth" in spec:
        name, key = spec["auth"]
        yield "XFRMA_ALG_AUTH", {"alg_name": name, "alg_key": m.Key(key)}
    if "crypt" in spec:
        name, key = spec["crypt"]
        yield "XFRMA_ALG_CRYPT", {"alg_name": name, "alg_key": m.Key(key)}
    if "auth_trunc" in spec:
        name, key, bits = spec["auth_trunc"]
        value = {"alg_name": name, "alg_key": m.Key(key), "alg_trunc_len": bits}
        yield "XFRMA_ALG_AUTH_TRUNC", value
    if "aead" in spec:
        name, key, bits = spec["aead"]
        yield "XFRMA_ALG_AEAD", {"alg_name": name, "alg_key": m.Key(key), "alg_icv_len": bits}
    if "comp" in spec:
        yield "XFRMA_ALG_COMP", {"alg_name": spec["comp"]}


def state_message(spec: StateSpec) -> m.StateMessage:
    """The message of NEWSA or UPDSA."""
    attributes: list[tuple[str, Any]] = [*_algorithms(spec), *_key_attributes(spec)]
    if "encap" in spec:
        kind, sport, dport, original = spec["encap"]
        attributes.append(
            (
                "XFRMA_ENCAP",
                {
                    "encap_type": kind,
                    "encap_sport": sport,
                    "encap_dport": dport,
                    "encap_oa": original,
                },
            )
        )
    if "esn_window" in spec:
        window = spec["esn_window"]
        words = [0] * ((window + 31) // 32)
        attributes.append(("XFRMA_REPLAY_ESN_VAL", {"replay_window": window, "bmp": words}))
    if "output_mark" in spec:
        mark, mask = spec["output_mark"]
        attributes += [("XFRMA_SET_MARK", mark), ("XFRMA_SET_MARK_MASK", mask)]
    for attribute, value in (
        ("XFRMA_SA_EXTRA_FLAGS", spec.get("extra_flags")),
        ("XFRMA_TFCPAD", spec.get("tfcpad")),
        ("XFRMA_COADDR", spec.get("coaddr")),
    ):
        if value is not None:
            attributes.append((attribute, value))
    message: m.StateMessage = _with(m.StateMessage(), _state(spec), attributes)
    return message


def state_id_message(spec: StateSpec) -> m.StateIdMessage:
    """The message of DELSA or GETSA: destination, protocol, SPI and mark name a state."""
    state = _state(spec)
    fields = {name: state[name] for name in ("daddr", "spi", "proto")}
    attributes = _key_attributes(spec)
    if "src" in spec:
        attributes.append(("XFRMA_SRCADDR", spec["src"]))
    message: m.StateIdMessage = _with(m.StateIdMessage(), fields, attributes)
    return message


def spi_range_message(spec: StateSpec) -> m.SpiRangeMessage:
    """The message of ALLOCSPI: any SPI, or one of a range."""
    fields = {
        "info": _state(spec),
        "min": spec.get("min", 0x100),
        "max": spec.get("max", 0xFFFFFFFF),
    }
    message: m.SpiRangeMessage = _with(m.SpiRangeMessage(), fields, _key_attributes(spec))
    return message
