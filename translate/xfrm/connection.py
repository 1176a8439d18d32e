"""NETLINK_XFRM sockets in network namespaces, without pyroute2."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from .errors import NO_XFRM, KernelError, hint_for

SOL_NETLINK: Final = 270
NETLINK_CAP_ACK: Final = 10
NETLINK_EXT_ACK: Final = 11
_NETLINK_XFRM: Final = 6
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_CLONE_NEWNET: Final = 0x40000000
_HERE: Final = "/proc/thread-self/ns/net"


class Transport(Protocol):
    """What carries the bytes: a netlink socket, or in a test one that fails at a chosen place."""

    def send(self, data: bytes | bytearray, /) -> int:
        """Hand over a block; return how much of it was taken."""

    def recv(self, size: int, /) -> bytes:
        """One datagram; ``TimeoutError`` when none comes in time."""

    def close(self) -> None:
        """Give the socket back."""


def open_socket(netns: str = "") -> socket.socket:
    """Open a NETLINK_XFRM socket, in a named network namespace where one is given.

    ``netns`` is a name of /run/netns or a path; a socket stays where it was made.  Raises
    :class:`KernelError`.
    """
    with inside(netns):
        return _create()


@contextmanager
def inside(netns: str) -> Iterator[None]:
    """Take this thread into a network namespace, and back at the end; not at all without a name.

    Neither a thread of its own nor a way back that is closed at once: what both leave to RCU holds
    up the growth of the kernel's tables, by 20 and 10 ms of 140 for 50 000 policies.  Raises
    :class:`KernelError`, for want of a way back before it has left.
    """
    if not netns:
        yield
        return
    home = _way_back()
    try:
        enter_namespace(netns)  # in here: a signal may come when it has just been entered
        yield
    finally:
        _enter(home, "come back from a network namespace")


_ways_back: Final[dict[tuple[int, str], int]] = {}
"""Namespaces that threads live in: process and name, and a descriptor that is open until it ends.

A copy of the process (fork) opens its own, since it may have closed what it was born with.
"""


def _way_back() -> int:
    """A descriptor of the namespace that this thread is in, if it may come back there."""
    asked = "keep the network namespace to come back to"
    try:
        here = os.getpid(), str(Path(_HERE).readlink())
        if here not in _ways_back:
            _ways_back[here] = os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError(error.errno or 0, asked, hint="/proc has to be mounted") from error
    _enter(_ways_back[here], asked)  # whoever may not come back learns it here
    return _ways_back[here]


def enter_namespace(netns: str) -> None:
    """Take this thread into a network namespace for good: a name of /run/netns or a path."""
    path = netns if "/" in netns else f"/run/netns/{netns}"
    asked = f"enter the network namespace {netns}"
    try:
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        hint = "see: ip netns list" if error.errno == errno.ENOENT else ""
        raise KernelError(error.errno or 0, asked, hint=hint) from error
    try:
        _enter(number, asked)
    finally:
        os.close(number)


def _enter(number: int, asked: str) -> None:
    """setns(2), which Python has from 3.12 on only."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(number, _CLONE_NEWNET):
        code = ctypes.get_errno()
        hint = "CAP_SYS_ADMIN is needed: run it as root" if code == errno.EPERM else ""
        raise KernelError(code, asked, hint=hint)


def _create() -> socket.socket:
    try:
        return socket.socket(
            socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_XFRM
        )
    except OSError as error:
        unknown = error.errno in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT)
        hint = NO_XFRM if unknown else hint_for(error.errno or 0)
        raise KernelError(error.errno or 0, "open a NETLINK_XFRM socket", hint=hint) from error


def enlarge(opened: socket.socket, size: int) -> int:
    """Give a socket buffers of that size, if it may have them; return the size for answers."""
    for forced, plain in (
        (_SO_RCVBUFFORCE, socket.SO_RCVBUF),
        (_SO_SNDBUFFORCE, socket.SO_SNDBUF),
    ):
        try:
            opened.setsockopt(socket.SOL_SOCKET, forced, size)
        except OSError:  # no CAP_NET_ADMIN, or net.core.rmem_max is all there is
            opened.setsockopt(socket.SOL_SOCKET, plain, size)
    return opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
