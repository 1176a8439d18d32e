"""What else decides over packets in a namespace, beside its policies.

Four things can make a sound set of policies mean something else: the default for packets without
a policy (``ip xfrm policy setdefault``), interfaces that pass XFRM by (``disable_xfrm``,
``disable_policy``: Documentation/networking/ip-sysctl.rst), policies of single sockets, and a key
daemon that is asked for associations and keeps policies of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from ..xfrm.connection import inside
from ..xfrm.errors import KernelError

_NETLINK_XFRM: Final = "6"
_ACQUIRE: Final = 1
"""XFRMNLGRP_ACQUIRE as a bit of the groups that /proc/net/netlink shows."""

_LOOPBACK: Final = "lo"
"""The kernel itself sets both switches for it (net/ipv4/devinet.c:inetdev_init)."""


class Listener(NamedTuple):
    """A process that the kernel asks for associations, by NETLINK_XFRM or PF_KEY."""

    process: int
    name: str
    way: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """``defaults`` by direction, empty where the kernel is too old to tell (before 5.14).

    ``unprotected`` are interfaces with ``disable_xfrm``: what leaves there is never protected or
    blocked.  ``unchecked`` those with ``disable_policy``: what comes in there is never checked.
    """

    defaults: Mapping[str, str] = field(default_factory=dict)
    unprotected: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    socket_policies: int = 0
    listeners: tuple[Listener, ...] = ()

    @property
    def blocking_defaults(self) -> list[str]:
        """Directions in which a packet without a policy is dropped."""
        return [name for name, action in self.defaults.items() if action == "block"]


def look_around(netns: str | None, sockets: int) -> Surroundings:
    """Read it all; ``sockets`` counts the policies of sockets.  Raises :class:`KernelError`."""
    defaults = _defaults(netns or "")
    with inside(netns or ""):  # /proc shows the namespace of who reads it
        return Surroundings(
            defaults,
            _interfaces("disable_xfrm"),
            _interfaces("disable_policy"),
            sockets,
            tuple(_listeners()),
        )


def _defaults(netns: str) -> dict[str, str]:
    from ..xfrm.socket import XfrmSocket

    try:
        with XfrmSocket(netns) as asked:
            return dict(asked.default_policy())
    except KernelError:
        return {}


def _interfaces(switch: str) -> tuple[str, ...]:
    """Interfaces, and ``all``, on which a switch of net.ipv4.conf is set; IPv6 has none."""
    found = []
    for path in sorted(Path("/proc/sys/net/ipv4/conf").glob(f"*/{switch}")):
        if path.parent.name in (_LOOPBACK, "default"):
            continue
        if _text(path).strip() not in ("", "0"):
            found.append(path.parent.name)
    return tuple(found)


def _listeners() -> list[Listener]:
    """Whoever listens for ACQUIRE: readers of that group, and all of PF_KEY."""
    ways: dict[str, str] = {}
    for line in _text(Path("/proc/thread-self/net/netlink")).splitlines()[1:]:
        words = line.split()
        if len(words) >= 10 and words[1] == _NETLINK_XFRM and int(words[3], 16) & _ACQUIRE:
            ways[words[-1]] = "NETLINK_XFRM"
    for line in _text(Path("/proc/thread-self/net/pfkey")).splitlines()[1:]:
        words = line.split()
        if len(words) >= 6:
            ways[words[-1]] = "PF_KEY"
    return sorted(_owners(ways)) if ways else []


def _owners(ways: Mapping[str, str]) -> Iterable[Listener]:
    """The processes that hold sockets with these inodes."""
    left = dict(ways)
    for folder in Path("/proc").glob("[0-9]*/fd"):
        if not left:
            return
        try:
            targets = [str(link.readlink()) for link in folder.iterdir()]
        except OSError:
            continue  # gone, or not ours to look at
        for target in targets:
            inode = target.removeprefix("socket:[").removesuffix("]")
            if inode in left and target.startswith("socket:["):
                name = _text(folder.parent / "comm").strip()
                yield Listener(int(folder.parent.name), name, left.pop(inode))
    for way in left.values():
        yield Listener(0, "", way)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def describe(around: Surroundings) -> list[str]:
    """One line for each thing that an engineer has to know, none when there is nothing."""
    lines = [
        f"disable_xfrm is set on {name}: what leaves there goes out in clear, whatever the"
        f" policies say; set net.ipv4.conf.{name}.disable_xfrm to 0"
        for name in around.unprotected
    ]
    lines += [
        f"disable_policy is set on {name}: what comes in there is never checked; set"
        f" net.ipv4.conf.{name}.disable_policy to 0"
        for name in around.unchecked
    ]
    if around.blocking_defaults:
        names = ", ".join(around.blocking_defaults)
        lines.append(f"setdefault: packets without a policy are dropped ({names})")
    if around.socket_policies:
        lines.append(
            f"{around.socket_policies} policies of single sockets come before all others, for"
            " the traffic of those sockets; a key daemon has them for IKE"
        )
    for process, name, way in around.listeners:
        who = f"{name} (process {process})" if process else "a process that cannot be seen"
        lines.append(f"{who} is asked for associations over {way}: it may keep policies of its own")
    return lines
