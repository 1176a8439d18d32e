"""States, policies and their counters over NETLINK_XFRM, packed by hand for the test bed.

The bed judges what the project installs, so it does not use the project's own messages; and a
process ``ip`` costs 40 ms in the guest, where one of these messages costs less than one. Layouts
and numbers: ``include/uapi/linux/xfrm.h``.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import select
import socket
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self

from .wire import NUMBERS, PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Iterator

Mode = Literal["transport", "tunnel", "beet"]
Direction = Literal["in", "out", "fwd"]

_NETLINK_XFRM: Final = 6
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST, _ACK, _CREATE, _DUMP = 1, 4, 0x400, 0x300
_NEWSA, _GETSA, _NEWPOLICY, _GETPOLICY = 0x10, 0x12, 0x13, 0x15
_ACQUIRE, _FLUSHSA, _FLUSHPOLICY, _SETDEFAULT = 0x17, 0x1C, 0x1D, 0x27
_GROUP_ACQUIRE: Final = 1
_CRYPT, _COMP, _TMPL, _AEAD, _AUTH_TRUNC = 2, 3, 5, 18, 20
_ACCEPT: Final = 2

_SELECTOR: Final = struct.Struct("=16s16s2s2s2s2sHBBB3xII")
_ID: Final = struct.Struct("=16s4sB3x")
_LIFETIME: Final = struct.pack("=8Q", *[(1 << 64) - 1] * 4, *[0] * 4)
_CURRENT: Final = struct.Struct("=4Q")
_MODES: Final[dict[str, int]] = {"transport": 0, "tunnel": 1, "beet": 4}
_DIRECTIONS: Final[dict[str, int]] = {"in": 0, "out": 1, "fwd": 2}
_ACTIONS: Final[dict[str, int]] = {"allow": 0, "block": 1}


def _name(table: dict[str, int], number: int) -> str:
    return next((name for name, value in table.items() if value == number), str(number))


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def _address(family: int, data: bytes) -> str:
    return socket.inet_ntop(family, data[: 16 if family == socket.AF_INET6 else 4])


@dataclass(frozen=True, slots=True)
class Algorithms:
    """The kernel's names, each with its key; for authentication and AEAD the ICV's bits too."""

    encryption: tuple[str, bytes] | None = None
    authentication: tuple[str, bytes, int] | None = None
    aead: tuple[str, bytes, int] | None = None
    compression: str | None = None


@dataclass(frozen=True, slots=True)
class State:
    """One SA as ``ip xfrm state add`` takes it."""

    source: str
    target: str
    protocol: Literal["esp", "ah", "comp", "ipip", "ipv6"]
    spi: int
    """Of IPCOMP the CPI, below 0x10000."""
    algorithms: Algorithms
    mode: Mode = "tunnel"
    reqid: int = 0
    anti_replay: int = 0


@dataclass(frozen=True, slots=True)
class Template:
    source: str
    target: str
    protocol: Literal["esp", "ah", "comp", "ipip", "ipv6"]
    mode: Mode = "tunnel"
    reqid: int = 0
    spi: int = 0
    use: bool = False
    """``level use``: optional, where the default is required."""


@dataclass(frozen=True, slots=True)
class Policy:
    direction: Direction
    source: str
    """A prefix, as is the target."""
    target: str
    templates: tuple[Template, ...] = ()
    action: Literal["allow", "block"] = "allow"
    priority: int = 0
    protocol: int = 0
    source_port: int = 0
    target_port: int = 0


@dataclass(frozen=True, slots=True)
class StateCount:
    """A state the kernel has: which, and what went through it."""

    target: str
    protocol: str
    spi: int
    mode: str
    reqid: int
    bytes: int
    packets: int
    replayed: int
    unverified: int
    """Packets whose integrity check failed."""


@dataclass(frozen=True, slots=True)
class PolicyUse:
    """A policy the kernel has, and when it was last used (0: never; its counters stay 0)."""

    direction: str
    source: str
    target: str
    action: str
    priority: int
    index: int
    used_at: int


@dataclass(frozen=True, slots=True)
class Acquire:
    """The kernel asks for a state: the template, the packet's selector, the policy's priority."""

    source: str
    target: str
    protocol: str
    packet_source: str
    packet_target: str
    priority: int
    index: int


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def _selector(policy: Policy) -> bytes:
    source, target = ipaddress.ip_network(policy.source), ipaddress.ip_network(policy.target)
    return _SELECTOR.pack(
        target.network_address.packed,
        source.network_address.packed,
        policy.target_port.to_bytes(2, "big"),
        b"\xff\xff" if policy.target_port else b"\0\0",
        policy.source_port.to_bytes(2, "big"),
        b"\xff\xff" if policy.source_port else b"\0\0",
        socket.AF_INET6 if source.version == 6 else socket.AF_INET,
        target.prefixlen,
        source.prefixlen,
        policy.protocol,
        0,
        0,
    )


def _template(template: Template) -> bytes:
    return (
        _ID.pack(
            _packed(template.target), template.spi.to_bytes(4, "big"), NUMBERS[template.protocol]
        )
        + struct.pack("=HH16s", _family(template.target), 0, _packed(template.source))
        + struct.pack("=IBBBx", template.reqid, _MODES[template.mode], 0, template.use)
        + b"\xff" * 12
    )


def _policy(policy: Policy) -> bytes:
    body = _selector(policy) + _LIFETIME + bytes(32)
    body += struct.pack(
        "=IIBBBB4x",
        policy.priority,
        0,
        _DIRECTIONS[policy.direction],
        _ACTIONS[policy.action],
        0,
        0,
    )
    if policy.templates:
        body += _attribute(_TMPL, b"".join(map(_template, policy.templates)))
    return body


def _state(state: State) -> bytes:
    family = _family(state.target)
    # A state of an empty selector takes what its policy gives it, of either family.
    body = bytes(_SELECTOR.size)
    body += _ID.pack(_packed(state.target), state.spi.to_bytes(4, "big"), NUMBERS[state.protocol])
    body += _packed(state.source).ljust(16, b"\0") + _LIFETIME + bytes(32 + 12)
    body += struct.pack(
        "=IIHBBB7x", 0, state.reqid, family, _MODES[state.mode], state.anti_replay, _flags(state)
    )
    algorithms = state.algorithms
    if algorithms.encryption:
        name, key = algorithms.encryption
        body += _attribute(_CRYPT, struct.pack("=64sI", name.encode(), len(key) * 8) + key)
    for kind, algorithm in ((_AUTH_TRUNC, algorithms.authentication), (_AEAD, algorithms.aead)):
        if algorithm:
            name, key, icv = algorithm
            body += _attribute(kind, struct.pack("=64sII", name.encode(), len(key) * 8, icv) + key)
    if algorithms.compression:
        body += _attribute(_COMP, struct.pack("=64sI", algorithms.compression.encode(), 0))
    return body


def _flags(state: State) -> int:
    # XFRM_STATE_AF_UNSPEC: without it a tunnel refuses inner packets of the other family.
    return 32 if state.mode == "tunnel" else 0


class Database:
    """The SPD and SAD of the network namespace in which this is made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_XFRM)
        self._socket.bind((0, 0))
        self._socket.settimeout(5)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def _messages(self, kind: int, flags: int, body: bytes) -> Iterator[tuple[int, bytes]]:
        self._sequence += 1
        head = struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | flags, self._sequence, 0)
        self._socket.send(head + body)
        while True:
            data = self._socket.recv(1 << 16)
            at = 0
            while at < len(data):
                length, got, _, sequence, _ = struct.unpack_from("=IHHII", data, at)
                payload = data[at + 16 : at + length]
                at += (length + 3) & ~3
                if sequence != self._sequence or got == _NLMSG_DONE:
                    if got == _NLMSG_DONE:
                        return
                    continue
                if got == _NLMSG_ERROR:
                    error = -struct.unpack_from("=i", payload)[0]
                    if error:
                        raise OSError(error, os.strerror(error))
                    return
                yield got, payload

    def _do(self, kind: int, body: bytes, flags: int = 0) -> None:
        for _ in self._messages(kind, flags | _ACK, body):
            pass

    def add(self, *entries: State | Policy) -> None:
        for entry in entries:
            if isinstance(entry, State):
                self._do(_NEWSA, _state(entry), _CREATE)
            else:
                self._do(_NEWPOLICY, _policy(entry), _CREATE)

    def flush_states(self) -> None:
        self._flush(_FLUSHSA, bytes([0]))  # IPSEC_PROTO_ANY

    def flush_policies(self) -> None:
        self._flush(_FLUSHPOLICY, b"")

    def _flush(self, kind: int, body: bytes) -> None:
        with contextlib.suppress(ProcessLookupError):  # ESRCH: there was nothing
            self._do(kind, body)

    def accept_by_default(self) -> None:
        self._do(_SETDEFAULT, bytes([_ACCEPT] * 3))

    def states(self) -> list[StateCount]:
        found = []
        for _, data in self._messages(_GETSA, _DUMP, b""):
            family, mode = struct.unpack_from("=HB", data, 212)
            spent = _CURRENT.unpack_from(data, 160)
            _, replayed, unverified, _, reqid = struct.unpack_from("=5I", data, 192)
            found.append(
                StateCount(
                    target=_address(family, data[56:72]),
                    protocol=PROTOCOLS.get(data[76], str(data[76])),
                    spi=int.from_bytes(data[72:76], "big"),
                    mode=_name(_MODES, mode),
                    reqid=reqid,
                    bytes=spent[0],
                    packets=spent[1],
                    replayed=replayed,
                    unverified=unverified,
                )
            )
        return found

    def state(self, spi: int) -> StateCount:
        """The one state of this SPI."""
        (found,) = (state for state in self.states() if state.spi == spi)
        return found

    def policies(self) -> list[PolicyUse]:
        return [_policy_use(data) for _, data in self._messages(_GETPOLICY, _DUMP, b"")]


def _policy_use(data: bytes) -> PolicyUse:
    selector = _SELECTOR.unpack_from(data)
    family = selector[6]
    priority, index, direction, action = struct.unpack_from("=IIBB", data, 152)
    return PolicyUse(
        direction=_name(_DIRECTIONS, direction),
        source=f"{_address(family, selector[1])}/{selector[8]}",
        target=f"{_address(family, selector[0])}/{selector[7]}",
        action=_name(_ACTIONS, action),
        priority=priority,
        index=index,
        used_at=_CURRENT.unpack_from(data, 120)[3],
    )


class KeyManager:
    """Listens for acquires in the network namespace in which it is made, and answers none.

    Without a listener the kernel does not wait for a state, it fails at once.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_XFRM)
        self._socket.bind((0, _GROUP_ACQUIRE))
        self._socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def acquires(self, quiet: float = 0.05) -> list[Acquire]:
        """Those that came since the last call, once none has come for ``quiet`` seconds."""
        found: list[Acquire] = []
        end = time.monotonic() + quiet
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._socket], [], [], left)[0]:
                return found
            data = self._socket.recv(1 << 16)
            (kind,) = struct.unpack_from("=H", data, 4)
            if kind == _ACQUIRE:
                found.append(_acquire(data[16:]))
                end = time.monotonic() + quiet


def _acquire(data: bytes) -> Acquire:
    selector = _SELECTOR.unpack_from(data, 40)
    policy = _policy_use(data[96:264])
    # The template may be of another family than the packet; addresses of the first are shorter.
    outer = socket.AF_INET6 if any(data[4:16]) or any(data[28:40]) else socket.AF_INET
    return Acquire(
        source=_address(outer, data[24:40]),
        target=_address(outer, data[0:16]),
        protocol=PROTOCOLS.get(data[20], str(data[20])),
        packet_source=_address(selector[6], selector[1]),
        packet_target=_address(selector[6], selector[0]),
        priority=policy.priority,
        index=policy.index,
    )
