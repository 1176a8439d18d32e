"""Many policies at once: blocks of messages in one send, one ack for a block.

Why it is done like this (measured, and net/netlink/af_netlink.c:netlink_rcv_skb): the messages of
one send are carried out in their order, and one that fails does not stop the others.  Failures are
always reported, success only with NLM_F_ACK.  So the last message of a block alone asks for an
ack, and whatever else comes back is a failure.  Each answer is a datagram that takes 832 bytes of
the receive buffer, so a block is never larger than the failures that the buffer can hold.

No pyroute2 here: a socket, and the bytes of :mod:`.wire`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol, Self, TypeVar

from .errors import NO_XFRM, KernelError, hint_for, reason
from .model import Policy, State
from .state_wire import (
    decode_states,
    encode_state_dump,
    encode_state_removals,
    encode_states,
    name_of,
)
from .wire import (
    HEADER,
    NEWPOLICY,
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    attributes,
    decode_policies,
    encode_dump,
    encode_installs,
    encode_questions,
    encode_removals,
    messages,
)

T = TypeVar("T")

BLOCK: Final = 512
"""Messages in one send: more do not pay, and the kernel cannot grow its tables meanwhile."""

ANSWER_BYTES: Final = 1024
"""Room that one answer takes of a receive buffer, rounded up (832 measured)."""

POLICY_BYTES: Final = 5120
"""Room that a policy takes which is an answer, at most: a page and its head."""

DUMP_BUFFER: Final = 1 << 15
"""The kernel fills as much as a reader of a dump offers, up to this (netlink_dump)."""

PAUSE: Final = 0.002
"""Rest for each doubling of the kernel's tables, in seconds: see :class:`Pacing`."""

TIMEOUT: Final = 30.0
"""Seconds until a kernel that does not answer is an error."""

_NETLINK_XFRM: Final = 6
_SOL_NETLINK: Final = 270
_NETLINK_CAP_ACK: Final = 10
_NETLINK_EXT_ACK: Final = 11
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_CLONE_NEWNET: Final = 0x40000000
_NLM_F_CAPPED: Final = 0x100
_NLM_F_ACK_TLVS: Final = 0x200
_NLMSGERR_ATTR_MSG: Final = 1


class Transport(Protocol):
    """What carries the bytes: a netlink socket, or in a test one that fails at a chosen place."""

    def send(self, data: bytes | bytearray, /) -> int:
        """Hand over a block; return how much of it was taken."""

    def recv(self, size: int, /) -> bytes:
        """One datagram; ``TimeoutError`` when none comes in time."""

    def close(self) -> None:
        """Give the socket back."""


# ----------------------------------------------------------------------------- opening a socket


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


def _enlarge(opened: socket.socket, size: int) -> int:
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


# ------------------------------------------------------------------------------ what is reported


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that the kernel refused; ``index`` is its place among those that were given."""

    index: int
    errno: int
    text: str = ""

    def __str__(self) -> str:
        return f"number {self.index}: {reason(self.errno, self.text)}"


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a run of messages.

    Those below ``answered`` were carried out, except ``failures``.  From there up to ``sent`` it
    is not known (the connection broke), and the rest was never sent.  Nothing of ``failures`` was
    carried out, wherever it stands.
    """

    total: int
    answered: int
    sent: int
    failures: tuple[Failure, ...] = ()

    @property
    def done(self) -> int:
        """How many are known to be carried out."""
        return self.answered - sum(1 for f in self.failures if f.index < self.answered)

    @property
    def unknown(self) -> range:
        """Those of which nothing is known; a failure of one of them stands in ``failures``."""
        return range(self.answered, self.sent)

    @property
    def complete(self) -> bool:
        """Whether every message was carried out."""
        return self.answered == self.total and not self.failures


class BulkError(KernelError):
    """A run of messages was not carried out as a whole; ``report`` says how far it came.

    ``refused`` is the first policy or state that the kernel refused, if it was that.
    """

    def __init__(
        self,
        number: int,
        asked: str,
        report: Report,
        text: str,
        hint: str,
        refused: Policy | State | None = None,
    ) -> None:
        super().__init__(number, asked, text, hint)
        self.report = report
        self.refused = refused

    def __str__(self) -> str:
        report = self.report
        counts = [f"{report.done} of {report.total} done"]
        if len(report.failures) > 1:
            counts.append(f"{len(report.failures)} refused")
        if report.unknown:
            counts.append(f"{len(report.unknown)} unknown")
        return f"{super().__str__()} ({', '.join(counts)})"


class MeanwhileError(KernelError):
    """Somebody else changed policies between our look and our change; theirs stay."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        first = policies[0]
        text = f"{len(policies)} changed by somebody else meanwhile, and left to them"
        super().__init__(
            errno.ESTALE, f"change the policy {first.selector} {first.direction}", text
        )


class _BrokenError(Exception):
    """The connection to the kernel is of no use any more."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(what)
        self.number = number


# ---------------------------------------------------------------------------------------- pacing


class Pacing:
    """Gives the kernel time to grow its tables while they are being filled.

    They begin with 8 chains and double, one step at a time, in a work item that runs on the CPU
    that inserts, and not within a send; a fast sender outruns it, and every insertion then walks
    long chains (net/xfrm/xfrm_policy.c:xfrm_hash_resize).  So each doubling of what was sent in a
    direction ends a block, and the next block waits until ``pause`` has passed since; packing the
    block counts as waiting.  Tables never shrink: who fills them again need not wait.
    """

    def __init__(self, pause: float = PAUSE, first: int = 64) -> None:
        self.pause = pause
        self.first = first
        self._sent: dict[str, int] = {}
        self._until = 0.0

    def room(self, direction: str) -> int:
        """How many may still be sent in a direction before the next rest."""
        if not self.pause:
            return 1 << 30
        sent = self._sent.get(direction, 0)
        edge = self.first
        while edge <= sent:
            edge *= 2
        return edge - sent

    def rest(self) -> None:
        """Wait out what is left of a rest."""
        left = self._until - time.perf_counter()
        if left > 0:
            time.sleep(left)
        self._until = 0.0

    def sent(self, direction: str, count: int) -> None:
        """Remember what was sent."""
        if not self.pause:
            return
        if self.room(direction) <= count:
            self._until = time.perf_counter() + self.pause
        self._sent[direction] = self._sent.get(direction, 0) + count


# ----------------------------------------------------------------------------------- the channel


class Channel:
    """A connection to XFRM for many policies at once.

    It can be used again after any error but a lost socket: answers that come late, of a run that
    a signal interrupted, are known by their numbers and passed over.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        block: int = BLOCK,
        pacing: Pacing | None = None,
    ) -> None:
        self._transport = transport
        self._block = max(1, block)
        self._pacing = pacing or Pacing()
        self._sequence = 1
        self._dumping = 0

    @classmethod
    def open(cls, netns: str = "", *, block: int = BLOCK, timeout: float = TIMEOUT) -> Channel:
        """Connect, in a named network namespace where one is given; :class:`KernelError`."""
        opened = open_socket(netns)
        try:
            opened.settimeout(timeout)
            opened.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
            opened.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
            room = _enlarge(opened, max(block, 256) * ANSWER_BYTES)
        except OSError as error:
            opened.close()
            raise KernelError(error.errno or 0, "prepare a NETLINK_XFRM socket") from error
        return cls(opened, block=min(block, room // ANSWER_BYTES))

    def close(self) -> None:
        """Close the socket."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- policies

    def install(
        self,
        policies: Sequence[Policy],
        *,
        replace: bool = True,
        seconds: int = 0,
        exact: bool = False,
    ) -> None:
        """Create policies, or with ``replace`` create or replace them.

        With ``seconds`` the kernel removes them after that time.  Raises :class:`BulkError` after
        the first block with a policy that the kernel refused, or when the connection breaks, and
        ``ValueError`` for what XFRM cannot hold, before anything of its block is sent.
        """

        def encode(part: Sequence[Policy], sequence: int) -> list[bytes]:
            return encode_installs(part, sequence, replace=replace, seconds=seconds, exact=exact)

        verb = "install" if replace else "add"
        _require(verb, policies, self.run(policies, encode, asked=verb, lane=_direction))

    def remove(self, policies: Sequence[Policy], *, exact: bool = False) -> None:
        """Remove policies, by index where they have one; a missing one is an error, ENOENT."""

        def encode(part: Sequence[Policy], sequence: int) -> list[bytes]:
            return encode_removals(part, sequence, exact=exact)

        _require("remove", policies, self.run(policies, encode, asked="remove"))

    def exchange(self, changes: Sequence[tuple[Policy | None, Policy | None]]) -> None:
        """Add (no old), replace, or remove (no new) policies, if the old ones are what is there.

        The kernel cannot compare and exchange, but carries out one send without letting another
        process in between (net/xfrm/xfrm_user.c:xfrm_netlink_rcv holds a mutex).  So a question
        stands before each change, and its answer is what the change displaced.  Where that is not
        ``old``, counters aside, it is put back at once.  Raises :class:`MeanwhileError` after
        that, :class:`BulkError` after the first block with a change that was refused.
        """
        added = [new for old, new in changes if old is None and new is not None]
        if len(added) == len(changes):
            self.install(added, replace=False)
            return
        at = 0
        while at < len(changes):
            _, new = changes[at]
            lane = new[0] if new else ""
            count = _that_fit(changes[at : at + self._block], self._block * ANSWER_BYTES)
            part = changes[at : at + min(count, self._pacing.room(lane))]
            displaced = self._exchange(part, at, len(changes))
            self._pacing.sent(lane, len(part))
            if displaced:
                self._put_back(displaced)
                raise MeanwhileError([theirs or ours for theirs, ours in displaced])
            at += len(part)

    def _exchange(
        self, part: Sequence[tuple[Policy | None, Policy | None]], at: int, total: int
    ) -> list[tuple[Policy | None, Policy]]:
        """Send one block; return what was displaced unseen, ``None`` for nothing, and by what."""
        first, asked = self._take(len(part)), self._take(len(part))
        block: list[bytes] = []
        for number, (old, new) in enumerate(part):
            if old is not None:
                question = old if new is None else old._replace(index=0)
                block += encode_questions([question], asked + number)
            if new is not None:
                block += encode_installs([new], first + number, replace=old is not None)
            elif old is not None:
                block += encode_removals([old], first + number)
        failures: list[Failure] = []
        found: dict[int, Policy] = {}
        try:
            self._finish_dump()
            self._pacing.rest()
            self._send(_with_ack(block))
            self._read_acks(first, len(part), at, failures, (asked, found))
        except _BrokenError as error:
            report = Report(total, at, at + len(part), tuple(failures))
            hint = hint_for(error.number)
            noun = f"change {total} policies"
            raise BulkError(error.number, noun, report, str(error), hint) from error
        refused = {failure.index - at for failure in failures}
        displaced: list[tuple[Policy | None, Policy]] = []
        for number, (old, new) in enumerate(part):
            if old is None or number in refused:
                continue
            theirs = found.get(number)
            if theirs is None or theirs._replace(index=old.index) != old:
                displaced.append((theirs, new or old))
        if failures:
            self._put_back(displaced)
            old, new = part[failures[0].index - at]
            _refused(
                "change", new or old, Report(total, at + len(part), at + len(part), tuple(failures))
            )
        return displaced

    def _put_back(self, displaced: Sequence[tuple[Policy | None, Policy]]) -> None:
        """Give others back what a change of ours displaced; ``None`` is: they had removed it."""
        self.install([theirs for theirs, _ in displaced if theirs is not None])
        self.remove([ours._replace(index=0) for theirs, ours in displaced if theirs is None])

    def dump(self) -> list[Policy]:
        """All policies of the namespace, those of sockets too; the newest first."""
        return list(self.each())

    def each(self) -> Iterator[Policy]:
        """The same one by one: for many policies of which few are kept."""
        for data in self._dump():
            yield from decode_policies(data)

    def datagrams(self) -> Iterator[bytes]:
        """The datagrams of a dump, as they come: for :func:`..xfrm.wire.sift`."""
        return self._dump()

    def _dump(self, request: Callable[[int], bytes] = encode_dump) -> Iterator[bytes]:
        """Read all policies, or what else ``request`` asks for.

        Those that are installed meanwhile are missed: they stand in front of the place that the
        kernel has come to (net/xfrm/xfrm_policy.c:xfrm_policy_walk).
        """
        try:
            self._finish_dump()
            sequence = self._take(1)
            self._send(request(sequence))
            self._dumping = sequence
            yield from self._answers_of_dump(sequence)
        except _BrokenError as error:
            raise KernelError(error.number, _LIST, str(error)) from error

    def _finish_dump(self) -> None:
        """Read the rest of a dump that a signal interrupted: the kernel has room for one."""
        if self._dumping:
            for _ in self._answers_of_dump(self._dumping):
                pass

    # ---- states

    def install_states(self, states: Sequence[State]) -> None:
        """Create states; one that is there already is an error, EEXIST.

        Raises :class:`BulkError` with the state, and the algorithm or module that is missing, in
        its text; no key is in it.
        """
        self._states("add", states, encode_states)

    def remove_states(self, states: Sequence[State]) -> None:
        """Remove states; a missing one is an error, ESRCH."""
        self._states("remove", states, encode_state_removals)

    def _states(
        self,
        verb: str,
        states: Sequence[State],
        encode: Callable[[Sequence[State], int], Sequence[bytes]],
    ) -> None:
        report = self.run(states, encode, asked=verb, noun="states")
        if report.complete:
            return
        first = report.failures[0]
        state = states[first.index]
        algorithms = {"comp": state.compression}
        if state.encryption is not None:
            algorithms["crypt"] = algorithms["aead"] = state.encryption.name
        if state.authentication is not None:
            algorithms["auth"] = algorithms["auth_trunc"] = state.authentication.name
        hint = hint_for(
            first.errno,
            first.text,
            protocol=state.protocol,
            family=state.family,
            algorithms=algorithms,
        )
        raise BulkError(
            first.errno, f"{verb} the {name_of(state)}", report, first.text, hint, state
        )

    def dump_states(self) -> list[State]:
        """All states of the namespace, larval ones left out."""
        found: list[State] = []
        for data in self._dump(encode_state_dump):
            found += decode_states(data)
        return found

    # ---- messages

    def run(
        self,
        items: Sequence[T],
        encode: Callable[[Sequence[T], int], Sequence[bytes]],
        *,
        asked: str,
        stop: bool = True,
        lane: Callable[[T], str] | None = None,
        noun: str = "policies",
    ) -> Report:
        """Send a message for each item, in blocks.

        ``encode`` makes the messages of a part of the items, numbered from a sequence number on,
        without NLM_F_ACK.  With ``stop`` nothing is sent after a block with a failure.  ``lane``
        tells the direction of a policy that is installed, for the pacing.  Raises
        :class:`BulkError` when the connection breaks.
        """
        total = len(items)
        failures: list[Failure] = []
        at = sent = 0
        try:
            self._finish_dump()
            while at < total and not (stop and failures):
                direction = lane(items[at]) if lane else ""
                count = min(self._block, total - at)
                if lane:
                    count = min(count, self._pacing.room(direction))
                sequence = self._take(count)
                block = encode(items[at : at + count], sequence)
                if lane:
                    self._pacing.rest()
                sent = at + count
                self._send(_with_ack(block))
                if lane:
                    self._pacing.sent(direction, count)
                self._read_acks(sequence, count, at, failures)
                at = sent
        except _BrokenError as error:
            report = Report(total, at, sent, tuple(failures))
            hint = hint_for(error.number)
            what = f"{asked} {total} {noun}"
            raise BulkError(error.number, what, report, str(error), hint) from error
        return Report(total, at, sent, tuple(failures))

    def _take(self, count: int) -> int:
        """Sequence numbers for so many messages."""
        if self._sequence + count > 0xFFFFFFFF:
            self._sequence = 1
        first = self._sequence
        self._sequence += count
        return first

    def _send(self, data: bytes | bytearray) -> None:
        try:
            taken = self._transport.send(data)
        except TimeoutError:
            raise _BrokenError(errno.ETIMEDOUT, "the kernel does not take a message") from None
        except OSError as error:
            raise _BrokenError(error.errno or errno.EIO, "sending failed") from error
        if taken != len(data):
            raise _BrokenError(errno.EIO, f"{taken} of {len(data)} bytes were taken")

    def _receive(self, size: int) -> bytes:
        try:
            data = self._transport.recv(size)
        except TimeoutError:
            raise _BrokenError(errno.ETIMEDOUT, "the kernel does not answer") from None
        except OSError as error:
            lost = error.errno == errno.ENOBUFS
            what = "answers of the kernel were lost" if lost else "receiving failed"
            raise _BrokenError(error.errno or errno.EIO, what) from error
        if not data:
            raise _BrokenError(errno.ECONNRESET, "the socket was closed")
        return data

    def _read_acks(
        self,
        first: int,
        count: int,
        base: int,
        failures: list[Failure],
        questions: tuple[int, dict[int, Policy]] | None = None,
    ) -> None:
        """Read until the answer to the last message of a block.

        ``questions`` is the number of the first of as many questions, and room for the answers.
        """
        last = first + count - 1
        while True:
            for kind, sequence, start, end, data in self._answers(_ACK_BUFFER):
                if (
                    kind == NEWPOLICY
                    and questions
                    and questions[0] <= sequence < questions[0] + count
                ):
                    (questions[1][sequence - questions[0]],) = decode_policies(data[start:end])
                if kind != NLMSG_ERROR or not first <= sequence <= last:
                    continue  # late answers of a run that was interrupted
                code, text = _parse_error(data, start, end)
                if code:
                    failures.append(Failure(base + sequence - first, code, text))
                if sequence == last:
                    return

    def _answers(self, size: int) -> Iterator[tuple[int, int, int, int, bytes]]:
        """Type, sequence, start and end of each message of the next datagram, and its bytes."""
        data = self._receive(size)
        try:
            for kind, start, end in messages(data):
                sequence = HEADER.unpack_from(data, start)[3]
                yield kind, sequence, start, end, data
        except ValueError as error:
            raise _BrokenError(errno.EBADMSG, str(error)) from error

    def _answers_of_dump(self, sequence: int) -> Iterator[bytes]:
        """Datagrams of a dump, up to the one that ends it."""
        while True:
            data = self._receive(DUMP_BUFFER)
            if len(data) < HEADER.size:
                raise _BrokenError(errno.EBADMSG, "a message of the kernel is cut")
            _, kind, _, number, _ = HEADER.unpack_from(data)
            if number != sequence:
                continue
            if kind == NLMSG_ERROR:
                self._dumping = 0
                code, text = _parse_error(data, 0, len(data))
                raise KernelError(code, _LIST, text, hint_for(code, text))
            yield data
            if kind == NLMSG_DONE or _may_end(data, sequence):
                try:
                    ends = [(s, e) for k, s, e in messages(data) if k == NLMSG_DONE]
                except ValueError as error:
                    raise _BrokenError(errno.EBADMSG, str(error)) from error
                for start, end in ends:
                    self._dumping = 0
                    code, text = _parse_error(data, start, end)
                    if code:
                        raise KernelError(code, _LIST, text, hint_for(code, text))
                    return


_LIST: Final = "list what the kernel has"


def _may_end(data: bytes, sequence: int) -> bool:
    """Whether a datagram of a dump looks as if NLMSG_DONE, 20 bytes, were its last message."""
    if len(data) < 36:
        return False
    length, kind, _, number, _ = HEADER.unpack_from(data, len(data) - 20)
    return (length, kind, number) == (20, NLMSG_DONE, sequence)


def _that_fit(changes: Sequence[tuple[Policy | None, Policy | None]], room: int) -> int:
    """How many changes have answers that fit into the receive buffer, at least one."""
    for count, (old, _) in enumerate(changes):
        room -= ANSWER_BYTES if old is None else ANSWER_BYTES + POLICY_BYTES
        if room < 0:
            return max(1, count)
    return len(changes)


_ACK_BUFFER: Final = 1 << 14


def _direction(policy: Policy) -> str:
    return policy[0]


def _with_ack(block: Sequence[bytes]) -> bytearray:
    """One buffer of a block, with an ack for its last message."""
    data = bytearray(b"".join(block))
    flags = len(data) - len(block[-1]) + 6
    struct.pack_into("=H", data, flags, NLM_F_REQUEST | NLM_F_ACK)
    return data


def _parse_error(data: bytes, start: int, end: int) -> tuple[int, str]:
    """Errno and text of an NLMSG_ERROR or NLMSG_DONE (linux/netlink.h: nlmsgerr, extended ack)."""
    _, kind, flags, _, _ = HEADER.unpack_from(data, start)
    if end - start < HEADER.size + 4:
        return 0, ""
    (code,) = struct.unpack_from("=i", data, start + HEADER.size)
    text = ""
    if flags & _NLM_F_ACK_TLVS:
        offset = start + HEADER.size + 4
        if kind == NLMSG_ERROR:
            quoted = HEADER.size if flags & _NLM_F_CAPPED else HEADER.unpack_from(data, offset)[0]
            offset += quoted + 3 & ~3
        for attribute, payload in attributes(data[offset:end]):
            if attribute == _NLMSGERR_ATTR_MSG:
                text = payload.rstrip(b"\0").decode("utf-8", "replace")
    return abs(code), text


def _require(verb: str, policies: Sequence[Policy], report: Report) -> None:
    """Raise unless all was carried out."""
    if report.complete:
        return
    _refused(verb, policies[report.failures[0].index], report)


def _refused(verb: str, policy: Policy | None, report: Report) -> NoReturn:
    first = report.failures[0]
    asked = (
        f"{verb} a policy"
        if policy is None
        else f"{verb} the policy {policy.selector} {policy.direction}"
    )
    hint = hint_for(first.errno, first.text)
    raise BulkError(first.errno, asked, report, first.text, hint, policy)
