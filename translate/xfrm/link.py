"""Blocks of messages to the kernel, and its answers.

Why it is done like this (measured, and net/netlink/af_netlink.c:netlink_rcv_skb): the messages of
one send are carried out in their order, and one that fails does not stop the others.  Failures are
always reported, success only with NLM_F_ACK.  So the last message of a block alone asks for an
ack, and whatever else comes back is a failure.  Each answer is a datagram that takes 832 bytes of
the receive buffer, so a block is never larger than the failures that the buffer can hold.

After each block the sender yields its CPU.  The tables of policies begin with 8 chains and double,
one step at a time, in a work item of the CPU that inserts, which waits for a grace period of RCU
(net/xfrm/xfrm_policy.c:xfrm_hash_resize).  A sender that never lets go is in a locked section
whenever the clock ticks: no quiescent state is seen, a doubling takes a tenth of a second, and
every insertion walks chains of hundreds meanwhile.  A switch of context is a quiescent state.

And the messages are encoded while the tables are small, when little else pays: a few are sent after
each lot that is encoded, as many as keep the tables growing, and most when all are ready.

No pyroute2 here: a socket, and the bytes of :mod:`.encode`.
"""

from __future__ import annotations

import errno
import os
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Self, TypeVar

from .connection import (
    NETLINK_CAP_ACK,
    NETLINK_EXT_ACK,
    SOL_NETLINK,
    Transport,
    enlarge,
    open_socket,
)
from .encode import encode_dump
from .errors import KernelError, hint_for
from .outcome import BrokenError, BulkError, Failure, Report
from .wire import (
    HEADER,
    NEWPOLICY,
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    attributes,
    messages,
)

T = TypeVar("T")


BLOCK: Final = 256
"""Messages in one send: more do not pay, and the kernel cannot grow its tables meanwhile."""

AHEAD: Final = 1 << 16
"""Messages that may be encoded and not yet sent: some 16 MB."""

_AT_ONCE: Final = 1024
"""Items that are encoded in one go."""

_MEANWHILE: Final = 64
"""Messages in one send while others are still to be encoded."""

ANSWER_BYTES: Final = 1024
"""Room that one answer takes of a receive buffer, rounded up (832 measured)."""

DUMP_BUFFER: Final = 1 << 15
"""The kernel fills as much as a reader of a dump offers, up to this (netlink_dump)."""

TIMEOUT: Final = 30.0
"""Seconds until a kernel that does not answer is an error."""

_NLM_F_CAPPED: Final = 0x100
_NLM_F_ACK_TLVS: Final = 0x200
_NLMSGERR_ATTR_MSG: Final = 1


class Link:
    """A connection to XFRM that carries blocks of messages.

    It can be used again after any error but a lost socket: answers that come late, of a run that
    a signal interrupted, are known by their numbers and passed over.
    """

    def __init__(self, transport: Transport, *, block: int = BLOCK) -> None:
        self.transport = transport
        self._block = max(1, block)
        self._sequence = 1
        self._dumping = 0

    @classmethod
    def open(cls, netns: str = "", *, block: int = BLOCK, timeout: float = TIMEOUT) -> Self:
        """Connect, in a named network namespace where one is given; :class:`KernelError`."""
        opened = open_socket(netns)
        try:
            opened.settimeout(timeout)
            opened.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
            opened.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
            room = enlarge(opened, max(block, 256) * ANSWER_BYTES)
        except OSError as error:
            opened.close()
            raise KernelError(error.errno or 0, "prepare a NETLINK_XFRM socket") from error
        return cls(opened, block=min(block, room // ANSWER_BYTES))

    def close(self) -> None:
        """Close the socket."""
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- dumps

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
        except BrokenError as error:
            raise KernelError(error.number, _LIST, str(error)) from error

    def _finish_dump(self) -> None:
        """Read the rest of a dump that a signal interrupted: the kernel has room for one."""
        if self._dumping:
            for _ in self._answers_of_dump(self._dumping):
                pass

    # ---- messages

    def run(
        self,
        items: Sequence[T],
        encode: Callable[[Sequence[T], int], Sequence[bytes]],
        *,
        asked: str,
        stop: bool = True,
        noun: str = "policies",
    ) -> Report:
        """Send a message for each item, in blocks.

        ``encode`` makes the messages of a part of the items, numbered from a sequence number on,
        without NLM_F_ACK.  With ``stop`` nothing is sent after a block with a failure.  Raises
        :class:`BulkError` when the connection breaks.
        """
        total = len(items)
        first = self._take(total)
        failures: list[Failure] = []
        ready: deque[tuple[bytearray, int]] = deque()
        early = min(total, AHEAD) // _AT_ONCE * _MEANWHILE
        encoded = at = sent = 0
        try:
            self._finish_dump()
            while at < total and not (stop and failures):
                lot = min(encoded + _AT_ONCE, total) if encoded - at < AHEAD else encoded
                while encoded < lot:
                    count = self._block if encoded >= early else min(_MEANWHILE, self._block)
                    block = encode(items[encoded : encoded + count], first + encoded)
                    ready.append((with_ack(block), len(block)))
                    encoded += len(block)
                data, count = ready.popleft()
                sent = at + count
                self._send(data)
                self._read_acks(first + at, count, at, failures)
                at = sent
        except BrokenError as error:
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
            taken = self.transport.send(data)
        except TimeoutError:
            raise BrokenError(errno.ETIMEDOUT, "the kernel does not take a message") from None
        except OSError as error:
            raise BrokenError(error.errno or errno.EIO, "sending failed") from error
        if taken != len(data):
            raise BrokenError(errno.EIO, f"{taken} of {len(data)} bytes were taken")

    def _receive(self, size: int) -> bytes:
        try:
            data = self.transport.recv(size)
        except TimeoutError:
            raise BrokenError(errno.ETIMEDOUT, "the kernel does not answer") from None
        except OSError as error:
            lost = error.errno == errno.ENOBUFS
            what = "answers of the kernel were lost" if lost else "receiving failed"
            raise BrokenError(error.errno or errno.EIO, what) from error
        if not data:
            raise BrokenError(errno.ECONNRESET, "the socket was closed")
        return data

    def _read_acks(
        self,
        first: int,
        count: int,
        base: int,
        failures: list[Failure],
        answers: Answers | None = None,
    ) -> None:
        """Read until the answer to the last message of a block, and note what else comes."""
        last = first + count - 1
        while True:
            data = self._receive(_ACK_BUFFER)
            for kind, sequence, start, end in _answers_of(data):
                if answers is not None and answers.take(kind, sequence, data[start:end]):
                    continue
                if kind != NLMSG_ERROR or not first <= sequence <= last:
                    continue  # late answers of a run that was interrupted
                code, text = _parse_error(data, start, end)
                if code:
                    failures.append(Failure(base + sequence - first, code, text))
                if sequence == last:
                    os.sched_yield()
                    return

    def _answers_of_dump(self, sequence: int) -> Iterator[bytes]:
        """Datagrams of a dump, up to the one that ends it."""
        while True:
            data = self._receive(DUMP_BUFFER)
            if len(data) < HEADER.size:
                raise BrokenError(errno.EBADMSG, "a message of the kernel is cut")
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
                    raise BrokenError(errno.EBADMSG, str(error)) from error
                for start, end in ends:
                    self._dumping = 0
                    code, text = _parse_error(data, start, end)
                    if code:
                        raise KernelError(code, _LIST, text, hint_for(code, text))
                    return


_LIST: Final = "list what the kernel has"


def _answers_of(data: bytes) -> list[tuple[int, int, int, int]]:
    """Type, sequence, start and end of each message of a datagram."""
    try:
        return [
            (kind, HEADER.unpack_from(data, start)[3], start, end)
            for kind, start, end in messages(data)
        ]
    except ValueError as error:
        raise BrokenError(errno.EBADMSG, str(error)) from error


class Answers:
    """What the kernel says of a block of exchanges beside its acks.

    ``asked`` and ``gone`` number the questions and the removals of what is replaced by index;
    ``found`` are the answers as they came, ``kept`` the removals that were refused, by place.
    """

    def __init__(self, asked: int, gone: int, count: int) -> None:
        self._asked = range(asked, asked + count)
        self._gone = range(gone, gone + count)
        self.found: dict[int, bytes] = {}
        self.kept: set[int] = set()

    def take(self, kind: int, sequence: int, message: bytes) -> bool:
        """Note an answer, if it is one of these."""
        if kind == NEWPOLICY and sequence in self._asked:
            self.found[sequence - self._asked.start] = message
            return True
        if kind == NLMSG_ERROR and sequence in self._gone:
            self.kept.add(sequence - self._gone.start)
            return True
        return kind == NLMSG_ERROR and sequence in self._asked


def _may_end(data: bytes, sequence: int) -> bool:
    """Whether a datagram of a dump looks as if NLMSG_DONE, 20 bytes, were its last message."""
    if len(data) < 36:
        return False
    length, kind, _, number, _ = HEADER.unpack_from(data, len(data) - 20)
    return (length, kind, number) == (20, NLMSG_DONE, sequence)


_ACK_BUFFER: Final = 1 << 14


def with_ack(block: Sequence[bytes], sequences: Sequence[int] = ()) -> bytearray:
    """One buffer of a block, with an ack for its last message; ``sequences`` number it anew."""
    data = bytearray().join(block)
    at = 0
    for message, sequence in zip(block, sequences, strict=False):
        struct.pack_into("=I", data, at + 8, sequence)
        at += len(message)
    struct.pack_into("=H", data, len(data) - len(block[-1]) + 6, NLM_F_REQUEST | NLM_F_ACK)
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
