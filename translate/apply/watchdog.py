"""The process that rolls back when nobody else can.

It is started before the first change, in a session of its own, without a terminal, and reads from
a pipe whose other end only the applying process has.  When that end closes without a word the
applying process was killed, and everything is taken back at once.  After the word that the changes
are in place it waits for the confirmation, which removes the record, or for the deadline.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from typing import Final

from .journal import Journal, Phase, clock
from .kernel import Kernel, Table
from .stored import JournalError
from .transaction import roll_back

IN_PLACE: Final = b"+"
"""The word that the changes are in place."""

TRIES: Final = 20
PAUSE: Final = 0.5
"""A rollback that fails, or a record that cannot be read (out of memory, say), is tried again after
this time."""


class Watchdog:
    """The applying process's handle on its watchdog."""

    def __init__(self, pipe: int, process: int) -> None:
        self._pipe = pipe
        self.process = process

    def in_place(self) -> bool:
        """Tell it that the transaction was carried out, or rolled back; whether it still lives."""
        try:
            os.write(self._pipe, IN_PLACE)
        except BrokenPipeError:
            return False
        finally:
            self.close()
        return True

    def close(self) -> None:
        """Close the pipe; without :meth:`in_place` before, that is an alarm."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1


def start(
    journal: Journal, identity: str, connect: Callable[[], Kernel], firewall: Table
) -> Watchdog:
    """Start the watchdog of one transaction and return when it is ready.

    ``connect`` opens a kernel connection of the watchdog's own, in the same namespace.  Raises
    ``OSError`` when no process can be made or the watchdog cannot reach the kernel.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    ready_in, ready_out = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        # Whatever goes wrong or whatever signal comes, this copy of the program must end here.
        try:
            # The middle process: its child is nobody's, so that no shell waits for it or kills it.
            os.setsid()
            if os.fork() == 0:
                os.close(writing)
                os.close(ready_in)
                _run(journal, identity, connect, firewall, reading, ready_out)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(reading)
    os.close(ready_out)
    word = os.read(ready_in, 16)
    os.close(ready_in)
    if not word:
        os.close(writing)
        raise OSError("the process that would roll back could not be started")
    return Watchdog(writing, int(word))


def _run(
    journal: Journal,
    identity: str,
    connect: Callable[[], Kernel],
    firewall: Table,
    reading: int,
    ready: int,
) -> None:
    """The watchdog's life; never returns."""
    status = 1
    try:
        _detach(keep=(reading, ready))
        kernel = connect()
        os.write(ready, str(os.getpid()).encode())
        os.close(ready)
        status = _watch(journal, identity, kernel, connect, firewall, reading)
    finally:
        os._exit(status)


def _detach(keep: tuple[int, ...]) -> None:
    """Let go of everything that dies with the terminal."""
    for name in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGQUIT):
        signal.signal(name, signal.SIG_IGN)
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    # The lock of the applying process must not live on here.
    highest = max((0, 1, 2, *keep)) + 1
    for descriptor in range(3, highest):
        if descriptor not in keep:
            try:
                os.close(descriptor)
            except OSError:
                continue
    os.closerange(highest, 65536)


def _watch(
    journal: Journal,
    identity: str,
    kernel: Kernel,
    connect: Callable[[], Kernel],
    firewall: Table,
    reading: int,
) -> int:
    word = _read(reading)
    if word != IN_PLACE:
        return _roll_back(journal, identity, kernel, connect, firewall)
    record = None
    stamp: object = ""
    tries = 0
    while True:
        # The record's deadline, not ours.  It is read again when it was written again: it may be
        # long.
        found = journal.stamp()
        if found != stamp:
            try:
                record = journal.read()
            except JournalError:
                tries += 1
                if tries > TRIES:
                    return 1
                time.sleep(PAUSE)
                continue
            stamp, tries = found, 0
        if record is None or record.identity != identity:
            return 0
        if record.phase is not Phase.UNCONFIRMED or clock() >= record.deadline:
            return _roll_back(journal, identity, kernel, connect, firewall)
        time.sleep(min(0.2, max(0.01, record.deadline - clock())))


def _read(reading: int) -> bytes:
    while True:
        select.select([reading], [], [])
        return os.read(reading, 1)


def _roll_back(
    journal: Journal,
    identity: str,
    kernel: Kernel,
    connect: Callable[[], Kernel],
    firewall: Table,
) -> int:
    for attempt in range(TRIES):
        try:
            if attempt:
                kernel = connect()  # the connection may be what is lost
            with journal.locked(wait=True):
                record = journal.read()
                if record is None or record.identity != identity:
                    return 0
                roll_back(kernel, journal, record, firewall)
            return 0
        except Exception:  # noqa: BLE001 - whatever it was, there is nobody else to try again
            time.sleep(PAUSE)
    return 1
