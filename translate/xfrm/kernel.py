"""The policies of a running kernel, many at a time.

Blocks of messages go out in one send, with an acknowledgement asked for the last alone: failures
are always told.  The dump is read with large buffers.  See docs/xfrm.md, "Speed".
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from .errors import KernelError, hint_for
from .layout import (
    DELPOLICY,
    GETPOLICY,
    NEWPOLICY,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLMSG_DONE,
    NLMSG_ERROR,
    UPDPOLICY,
    message,
    messages,
    pack_key,
    pack_policy,
    unpack_policy,
)
from .model import Policy

NETLINK_XFRM: Final = 6
SOL_NETLINK: Final = 270
NETLINK_CAP_ACK: Final = 10
NETLINK_EXT_ACK: Final = 11
SO_RCVBUFFORCE: Final = 33
SO_SNDBUFFORCE: Final = 32

CLONE_NEWNET: Final = 0x40000000

BLOCK: Final = 256
"""Messages in one send: larger ones keep the kernel from growing its hash tables meanwhile."""

BUFFER: Final = 32_768
"""Bytes of one read; the kernel fills up to this much with a dump."""

RECEIVE_BUFFER: Final = 4 << 20
TIMEOUT: Final = 10.0
"""Seconds without a word from the kernel after which the connection counts as lost."""


class LostError(KernelError):
    """The connection to the kernel broke or stalled; what was done is not known."""

    def __init__(self, asked: str) -> None:
        super().__init__(errno.ENOTCONN, asked, "the connection to the kernel was lost")


def _refusal(error: OSError, asked: str) -> KernelError:
    number = error.errno or errno.EIO
    return KernelError(number, asked, "", hint_for(number))


class Wire(Protocol):
    """A datagram socket, or something in its place."""

    def send(self, data: bytes, /) -> int:
        """Send one datagram."""

    def recv(self, size: int, /) -> bytes:
        """Receive one datagram; ``TimeoutError`` after the time that was set."""

    def close(self) -> None:
        """Close it."""


def open_socket(netns: str | None = None) -> socket.socket:
    """A NETLINK_XFRM socket here or in a named namespace.

    Raises :class:`KernelError`: no such namespace, no permission, no XFRM in this kernel.
    """
    if netns is None:
        return _socket()
    path = Path("/run/netns", netns)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        number = error.errno or errno.ENOENT
        raise KernelError(number, f"network namespace {netns}") from None
    try:
        return _in_thread(lambda: _enter(descriptor))
    finally:
        os.close(descriptor)


def _enter(descriptor: int) -> socket.socket:
    enter_namespace(descriptor)
    return _socket()


def enter_namespace(descriptor: int) -> None:
    """Move this thread into the network namespace of an open file (setns(2)).

    Raises :class:`KernelError`.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise KernelError(ctypes.get_errno(), "entering the network namespace")


def _in_thread(work: Callable[[], socket.socket]) -> socket.socket:
    """Run in a thread of its own: a namespace belongs to a thread, and ours keeps its own."""
    result: list[socket.socket] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def _socket() -> socket.socket:
    try:
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_XFRM)
    except OSError as error:
        raise _refusal(error, "opening NETLINK_XFRM") from None
    made.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
    made.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
    for forced, usual in (
        (SO_RCVBUFFORCE, socket.SO_RCVBUF),
        (SO_SNDBUFFORCE, socket.SO_SNDBUF),
    ):
        try:
            made.setsockopt(socket.SOL_SOCKET, forced, RECEIVE_BUFFER)
        except OSError:
            made.setsockopt(socket.SOL_SOCKET, usual, RECEIVE_BUFFER)
    made.settimeout(TIMEOUT)
    made.bind((0, 0))
    return made


class XfrmKernel:
    """The policies of one network namespace.  Methods raise :class:`KernelError`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._wire.close()

    def dump(self) -> list[Policy]:
        """All policies, socket policies included, newest first as the kernel lists them."""
        self._sequence += 1
        sequence = self._sequence
        self._send(message(GETPOLICY, NLM_F_DUMP, sequence, bytes(64)), "listing policies")
        found: list[Policy] = []
        while True:
            for kind, _, number, body in messages(self._receive("listing policies")):
                if number != sequence:
                    continue
                if kind == NLMSG_DONE:
                    return found
                if kind == NLMSG_ERROR:
                    raise _error(body, 0, "listing policies")
                if kind == NEWPOLICY:
                    found.append(unpack_policy(body))

    def install(self, policies: Sequence[Policy], *, seconds: int = 0) -> None:
        """Create policies, or replace those with the same key."""
        self._blocks(policies, UPDPOLICY, lambda p: pack_policy(p, seconds), "installing")

    def create(self, policies: Sequence[Policy]) -> None:
        """Create policies; one whose key is taken is an error, and the kernel's is kept."""
        self._blocks(policies, NEWPOLICY, pack_policy, "adding")

    def remove(self, policies: Sequence[Policy]) -> None:
        """Remove policies, by index where it is known."""
        self._blocks(policies, DELPOLICY, pack_key, "removing")

    def _blocks(
        self,
        policies: Sequence[Policy],
        kind: int,
        pack: Callable[[Policy], bytes],
        what: str,
    ) -> None:
        for start in range(0, len(policies), BLOCK):
            self._block(policies[start : start + BLOCK], kind, pack, what)

    def _block(
        self,
        policies: Sequence[Policy],
        kind: int,
        pack: Callable[[Policy], bytes],
        what: str,
    ) -> None:
        first = self._sequence + 1
        last = self._sequence = self._sequence + len(policies)
        parts = [
            message(kind, NLM_F_ACK if first + n == last else 0, first + n, pack(policy))
            for n, policy in enumerate(policies)
        ]
        self._send(b"".join(parts), what)
        failure: KernelError | None = None
        while True:
            for answer, flags, number, body in messages(self._receive(what)):
                if answer != NLMSG_ERROR or not first <= number <= last:
                    continue
                (code,) = struct.unpack_from("=i", body)
                if code and failure is None:
                    policy = policies[number - first]
                    name = f"{what} {policy.selector} {policy.direction}"
                    failure = _error(body, flags, name)
                if number == last:
                    if failure is not None:
                        raise failure
                    return

    def _send(self, data: bytes, what: str) -> None:
        try:
            self._wire.send(data)
        except OSError as error:
            raise _refusal(error, what) from None

    def _receive(self, what: str) -> bytes:
        try:
            data = self._wire.recv(BUFFER)
        except TimeoutError:
            raise LostError(what) from None
        except OSError as error:
            raise _refusal(error, what) from None
        if not data:
            raise LostError(what)
        return data


def _error(body: memoryview, flags: int, what: str) -> KernelError:
    """Make an error of ``struct nlmsgerr`` and its extended ack."""
    (code,) = struct.unpack_from("=i", body)
    text = ""
    if flags & 0x200:  # NLM_F_ACK_TLVS
        offset = 20
        if not flags & 0x100:  # NLM_F_CAPPED: the quoted request is its header alone
            (quoted,) = struct.unpack_from("=I", body, 4)
            offset = 4 + (quoted + 3 & ~3)
        while offset + 4 <= len(body):
            length, kind = struct.unpack_from("=HH", body, offset)
            if length < 4:
                break
            if kind == 1:  # NLMSGERR_ATTR_MSG
                text = (
                    bytes(body[offset + 4 : offset + length])
                    .rstrip(b"\0")
                    .decode("utf-8", "replace")
                )
            offset += length + 3 & ~3
    return KernelError(-code, what, text, hint_for(-code, text))
