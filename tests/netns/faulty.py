"""A connection to the running kernel that breaks at a chosen send, and what it is tried on."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from eroute_translate.apply.journal import Journal
from eroute_translate.apply.plan import Plan, make_plan
from eroute_translate.net import Selector, parse_prefix
from eroute_translate.xfrm.bulk import Channel
from eroute_translate.xfrm.connection import Transport
from eroute_translate.xfrm.model import Policy, PolicyKey, Template
from eroute_translate.xfrm.wire import GETPOLICY, messages

FAULTS = ("send fails", "stall", "drop", "answers lost", "refused")


class Faulty:
    """Carries bytes to a real socket, and does something else at the send number ``at``.

    ``send fails``: nothing is sent, and sending is an error (several in turn).  ``stall``: the
    kernel never answers (it never sees the message).  ``drop``: the connection is gone for good,
    after the kernel has done the work or before, in turn.  ``answers lost``: the kernel has done
    the work, the answers did not fit.  ``refused``: the message number ``poison`` that changes
    something (counted over all sends) has a direction that does not exist.
    """

    def __init__(self, real: Transport, fault: str = "", at: int = -1, poison: int = -1) -> None:
        self.real = real
        self.fault = fault
        self.at = at
        self.poison = poison
        self.sends = 0
        self.changes = 0
        self.struck = False
        self.before: Callable[[int], None] = lambda _number: None
        self._gone = False
        self._lost = False

    def send(self, data: bytes | bytearray, /) -> int:
        number = self.sends
        self.sends += 1
        self.before(number)
        if self._gone:
            raise OSError(errno.ECONNRESET, "gone")
        data = self._poisoned(data)
        if number != self.at:
            return self.real.send(data)
        self.struck = True
        match self.fault:
            case "send fails":
                code = (errno.ENOBUFS, errno.EPERM, errno.EINVAL, errno.ENOMEM)[number % 4]
                raise OSError(code, os.strerror(code))
            case "stall":
                return len(data)
            case "drop":
                self._gone = True
                return len(data) if number % 2 else self.real.send(data)
            case "answers lost":
                self._lost = True
        return self.real.send(data)

    def _poisoned(self, data: bytes | bytearray) -> bytes | bytearray:
        poisoned = bytearray(data)
        for kind, start, end in messages(bytes(data)):
            if kind == GETPOLICY:
                continue
            if self.changes == self.poison:
                self.struck = True
                # The direction: in xfrm_userpolicy_id the last word, else behind the index.
                poisoned[start + (76 if kind == 20 else 176)] = 7
            self.changes += 1
            assert end <= len(data)
        return poisoned

    def recv(self, size: int, /) -> bytes:
        if self._gone:
            if self.sends % 4 < 2:
                return b""
            raise OSError(errno.ECONNRESET, "gone")
        data = self.real.recv(size)
        if self._lost:
            self._lost = False
            raise OSError(errno.ENOBUFS, "lost")
        return data

    def close(self) -> None:
        self.real.close()


def faulty(
    space: str, fault: str = "", at: int = -1, *, poison: int = -1, block: int = 512
) -> tuple[Channel, Faulty]:
    """A channel into a namespace, and the transport below it."""
    opened = Channel.open(space, timeout=0.005 if fault == "stall" else 10)
    transport = Faulty(opened.transport, fault, at, poison)
    return Channel(transport, block=block), transport


def octets(channel: Channel) -> list[bytes]:
    """The whole dump, without what changes by itself: counters, times, index, numbers."""
    found = []
    for data in channel.datagrams():
        for kind, start, end in messages(data):
            if kind not in (19, 25):
                continue
            message = bytearray(data[start:end])
            message[6:16] = bytes(10)
            message[136:168] = bytes(32)
            message[172:176] = bytes(4)
            found.append(bytes(message))
    return sorted(found)


# ------------------------------------------------------------------------------ what is changed

ESP4 = Template(50, "tunnel", 4, 0xC0000201, 0xC6336401, reqid=16385)
ESP6 = Template(50, "tunnel", 6, 1 << 120, 2 << 120, reqid=16389)
AH = Template(51, "transport", 4, reqid=7)


def policy(
    number: int, kind: str, *, six: bool = False, direction: str = "out", priority: int = 0
) -> Policy:
    """One policy of many; ``kind`` is pass, block or protect."""
    if six:
        source = f"2001:db8:{number:x}::/48"
        destination = "2001:db8:ffff::/48"
    else:
        source = f"10.{number >> 8}.{number & 255}.0/24"
        destination = f"192.168.{number & 255}.0/24"
    ports = (17, 0, 500 + number) if number % 5 == 0 else (6, 25, 0) if number % 7 == 0 else ()
    selector = Selector(parse_prefix(source), parse_prefix(destination), *ports)
    templates: tuple[Template, ...] = ()
    if kind == "protect":
        templates = (ESP6,) if six else (ESP4, AH) if number % 3 == 0 else (ESP4,)
    return Policy(
        direction,
        selector,
        priority or 1000 + number,
        "block" if kind == "block" else "allow",
        templates,
    )


class Case(NamedTuple):
    """What is there, what is wanted, what is ours of what is there, and others' policies."""

    old: tuple[Policy, ...]
    new: tuple[Policy, ...]
    foreign: tuple[Policy, ...]

    @property
    def owned(self) -> dict[PolicyKey, Policy]:
        return {p.key: p for p in self.old}


def case(changes: int = 200) -> Case:
    """A third of the changes each are adds, replaces and removes; some policies stay."""
    kinds = ("protect", "block", "pass", "protect")
    ways = ("out", "in", "fwd", "out")
    old: list[Policy] = []
    new: list[Policy] = []
    for number in range(changes + 20):
        made = policy(
            number, kinds[number % 4], six=number % 6 == 0, direction=ways[(number >> 2) % 4]
        )
        if number >= changes:
            old.append(made)
            new.append(made)
        elif number % 3 == 0:
            new.append(made)
        elif number % 3 == 1:
            old.append(made)
        else:
            old.append(made)
            other = policy(
                number, kinds[(number + 1) % 4], six=number % 6 == 0, direction=made.direction
            )
            new.append(other._replace(selector=made.selector, priority=made.priority - number % 2))
    foreign = [
        policy(40000 + number, kinds[number % 4], direction=ways[number % 4], priority=number + 1)
        for number in range(10)
    ]
    foreign += [
        policy(number, "protect", direction="out", priority=7)._replace(mark=(number, 0xFF))
        for number in range(3, 9)
    ]
    return Case(tuple(old), tuple(new), tuple(foreign))


def plan_of(channel: Channel, what: Case, *, replace_foreign: bool = False) -> Plan:
    return make_plan(what.new, channel.dump(), what.owned, replace_foreign=replace_foreign)


def fill(channel: Channel, what: Case) -> None:
    """Put the old policies there and nothing else."""
    channel.remove(channel.dump())
    channel.install([*what.foreign, *what.old], replace=False)


def limited(made: Policy) -> Policy:
    """A policy with a limit, a flag and algorithm masks, which :class:`Policy` has no field for."""
    from eroute_translate.xfrm.decode import decode_policies
    from eroute_translate.xfrm.encode import encode_installs

    message = bytearray(encode_installs([made])[0])
    struct.pack_into("=Q", message, 72 + 8, 1 << 40)
    struct.pack_into("=Q", message, 72 + 40, 3600)
    message[178] = 1
    if made.templates:
        struct.pack_into("=III", message, 184 + 4 + 52, 1, 2, 3)
    assert not made.mark[1]
    assert not made.if_id
    assert made.ptype == "main"
    message += struct.pack("=HHB7x", 10, 16, 0)  # XFRMA_POLICY_TYPE, as in each dump
    struct.pack_into("=I", message, 0, len(message))
    (read,) = decode_policies(bytes(message))
    assert read.octets
    return read


@contextlib.contextmanager
def closing(*channels: Channel) -> Iterator[None]:
    try:
        yield
    finally:
        for channel in channels:
            channel.close()


def hold(journal: Journal, owned: Mapping[PolicyKey, Policy]) -> None:
    """Have the journal say what is ours."""
    journal.prepare()
    journal.write_owned(owned.values())
    journal.finish()


def given(channel: Channel) -> Callable[[], Channel]:
    """What opens a connection: this one."""
    return lambda: channel
