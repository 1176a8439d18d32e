"""NETLINK_XFRM sockets in network namespaces, without pyroute2."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import threading
from typing import Final, Protocol

from .errors import NO_XFRM, KernelError, hint_for

SOL_NETLINK: Final = 270
NETLINK_CAP_ACK: Final = 10
NETLINK_EXT_ACK: Final = 11
_NETLINK_XFRM: Final = 6
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_CLONE_NEWNET: Final = 0x40000000


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

    ``netns`` is a name of /run/netns or a path.  The namespace is entered by a thread that ends
    at once, so the caller stays where it is.  Raises :class:`KernelError`.
    """
    if not netns:
        return _create()
    made: list[socket.socket | KernelError] = []

    def enter() -> None:
        try:
            enter_namespace(netns)
            made.append(_create())
        except KernelError as error:
            made.append(error)

    thread = threading.Thread(target=enter, name=f"netns {netns}")
    thread.start()
    thread.join()
    if isinstance(made[0], KernelError):
        raise made[0]
    return made[0]


def enter_namespace(netns: str) -> None:
    """Take this thread into a namespace; Python has setns(2) from 3.12 on only."""
    path = netns if "/" in netns else f"/run/netns/{netns}"
    asked = f"enter the network namespace {netns}"
    try:
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        hint = "see: ip netns list" if error.errno == errno.ENOENT else ""
        raise KernelError(error.errno or 0, asked, hint=hint) from error
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(number, _CLONE_NEWNET):
            code = ctypes.get_errno()
            hint = "CAP_SYS_ADMIN is needed: run it as root" if code == errno.EPERM else ""
            raise KernelError(code, asked, hint=hint)
    finally:
        os.close(number)


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
