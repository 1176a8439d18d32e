"""Events of XFRM, as they come."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from typing import Final, Self

from pyroute2.netlink.nlsocket import Marshal

from .connection import open_socket
from .errors import KernelError, hint_for
from .family import constants as c
from .family import messages as m
from .family.attributes import nlmsg

_SOL_NETLINK: Final = 270
_NETLINK_ADD_MEMBERSHIP: Final = 1
_SO_RCVBUFFORCE: Final = 33
_SOL_SOCKET: Final = 1
_LARGEST_DATAGRAM: Final = 1 << 16

GROUPS: Final = {
    "acquire": c.XFRMNLGRP_ACQUIRE,
    "expire": c.XFRMNLGRP_EXPIRE,
    "state": c.XFRMNLGRP_SA,
    "policy": c.XFRMNLGRP_POLICY,
    "aevent": c.XFRMNLGRP_AEVENTS,
    "report": c.XFRMNLGRP_REPORT,
    "migrate": c.XFRMNLGRP_MIGRATE,
    "mapping": c.XFRMNLGRP_MAPPING,
}
"""Multicast groups by the names of ``ip xfrm monitor``."""


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

    def events(self, timeout: float | None = None) -> Iterator[tuple[str, nlmsg]]:
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
                yield c.NAMES.get(kind, str(kind)), message

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
