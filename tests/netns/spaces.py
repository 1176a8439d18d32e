"""Namespaces and virtual cables of these tests; each is removed when its test ends."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
_numbers = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)


def need(*programs: str) -> None:
    """Skip aloud where the kernel or a program cannot be had."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    for program in ("ip", *programs):
        if shutil.which(program) is None:
            pytest.skip(f"the program {program} is not installed")


@contextlib.contextmanager
def namespaces(*roles: str) -> Iterator[tuple[str, ...]]:
    """Fresh namespaces with ``lo`` up."""
    need()
    made: list[str] = []
    try:
        for role in roles:
            name = f"et-{role}-{os.getpid()}-{next(_numbers)}"
            done = subprocess.run(
                ["ip", "netns", "add", name], capture_output=True, text=True, check=False
            )
            if done.returncode:
                pytest.skip(f"no network namespace: {done.stderr.strip()}")
            made.append(name)
            ip(name, "link", "set", "lo", "up")
        yield tuple(made)
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=True)


def ip(space: str, *arguments: str, text: str | None = None) -> str:
    done = subprocess.run(
        ["ip", "-n", space, *arguments], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}{done.stdout}"
    return done.stdout


def execute(
    space: str, *command: str, text: str = "", user: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program in a namespace."""
    words = ["ip", "netns", "exec", space]
    if user is not None:
        words += ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return subprocess.run(
        [*words, *command], input=text, capture_output=True, text=True, check=False
    )


def inside(space: str, work: Callable[[], T]) -> T:
    """Run something in a thread that lives in the namespace."""

    def enter_and_work() -> T:
        with Path(f"/run/netns/{space}").open("rb") as file:
            if _libc.setns(file.fileno(), 0x40000000):
                raise OSError(ctypes.get_errno(), "setns")
        return work()

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(enter_and_work).result()


def sysctl(space: str, **values: int) -> None:
    """Set values of /proc/sys/net; ``__`` stands for a slash."""

    def write() -> None:
        for name, value in values.items():
            Path("/proc/sys/net", *name.split("__")).write_text(str(value))

    inside(space, write)


def cable(one: str, other: str, ends: tuple[str, str], addresses: tuple[str, str]) -> None:
    """Join two namespaces; addresses may be several words, of both families."""
    ip(one, "link", "add", ends[0], "type", "veth", "peer", "name", ends[1], "netns", other)
    for space, end, texts in zip((one, other), ends, addresses, strict=True):
        for text in texts.split():
            extra = ["nodad"] if ":" in text else []
            ip(space, "address", "add", text, "dev", end, *extra)
        ip(space, "link", "set", end, "up")


def gateway_between(left: str, gateway: str, right: str) -> None:
    """10.1.0.2 and 2001:db8:1::2 on the left, 10.2.0.2 and 2001:db8:2::2 on the right."""
    for space in (left, gateway, right):
        # Link-local addresses are good at once, without a second of duplicate detection.
        sysctl(space, ipv6__conf__default__dad_transmits=0)
    cable(
        left,
        gateway,
        ("l0", "g0"),
        ("10.1.0.2/24 2001:db8:1::2/64", "10.1.0.1/24 2001:db8:1::1/64"),
    )
    cable(
        gateway,
        right,
        ("g1", "r0"),
        ("10.2.0.1/24 2001:db8:2::1/64", "10.2.0.2/24 2001:db8:2::2/64"),
    )
    sysctl(gateway, ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
    # One answer to each packet, however many there were.
    sysctl(gateway, ipv4__icmp_ratemask=0, ipv6__icmp__ratelimit=0)
    for side, number in ((left, 1), (right, 2)):
        ip(side, "route", "add", "default", "via", f"10.{number}.0.1")
        ip(side, "-6", "route", "add", "default", "via", f"2001:db8:{number}::1")
    _await_first_packet(left, right)


def _await_first_packet(left: str, right: str) -> None:
    """A new link takes up to a second until IPv6 is routed over it."""

    def make() -> socket.socket:
        return socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)

    with inside(left, make) as here, inside(right, make) as there:
        there.bind(("::", 5))
        there.settimeout(0.02)
        for _ in range(200):
            here.sendto(b"?", ("2001:db8:2::2", 5))
            with contextlib.suppress(TimeoutError):
                there.recv(1)
                return
    raise AssertionError("no packet gets from one end to the other")
