"""Faults at every message of a transaction, on the socket of the running kernel.

After each the whole dump of the namespace, others' policies included, is what it was or what was
wanted, no guard is left, and the journal is empty.
"""

from __future__ import annotations

import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eroute_translate.apply import transaction, watchdog
from eroute_translate.apply.journal import Journal, Record
from eroute_translate.apply.kernel import ApplyError
from eroute_translate.apply.order import GUARD_USER
from eroute_translate.xfrm.bulk import Channel
from tests.fake_kernel import FakeFirewall

from .faulty import (
    FAULTS,
    Case,
    Faulty,
    case,
    closing,
    faulty,
    fill,
    given,
    hold,
    limited,
    octets,
    plan_of,
)

pytestmark = pytest.mark.kernel

CASE = case()
GUARD = struct.pack("=I", GUARD_USER)


@pytest.fixture
def journal() -> Iterator[Journal]:
    """In memory where possible: thousands of syncs are not what is tested here."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        made = Journal(Path(folder) / "host", "this boot")
        made.prepare()
        yield made


class Bed:
    """A namespace with the old policies, a good connection, and what both states look like."""

    def __init__(self, space: str, journal: Journal, what: Case) -> None:
        self.space = space
        self.journal = journal
        self.what = what
        self.good = Channel.open(space)
        self.good.install([*what.foreign, *what.new])
        self.after = octets(self.good)
        fill(self.good, what)
        self.before = octets(self.good)
        self.plan = plan_of(self.good, what)
        self.tried = self.lost = self.finished = 0
        hold(journal, what.owned)
        self.owned_path = journal.folder / "owned"
        self.owned_before = self.owned_path.read_bytes()

    def apply(self, channel: Channel, *, connected: bool = True) -> None:
        transaction.apply(
            channel,
            self.journal,
            self.plan,
            firewall=FakeFirewall(),
            connect=(lambda: self.good) if connected else None,
        )

    def judge(self, error: ApplyError | None) -> None:
        """All old or all new, as was told; no guard; nothing pending; then all is old again."""
        self.tried += 1
        found = octets(self.good)
        told = self.after if error is None else self.before
        guards = [message for message in found if message[68:72] == GUARD]
        fine = found == told and not guards and self.journal.stamp() is None
        if error is None:
            self.finished += 1
            fine = fine and set(self.journal.read_owned()) == {p.key for p in self.what.new}
            fill(self.good, self.what)
            hold(self.journal, self.what.owned)
        else:
            owned = self.owned_path.read_bytes() == self.owned_before
            fine = fine and error.rolled_back and owned
        self.lost += not fine
        assert fine, (self.tried, str(error), len(found), len(guards), self.journal.read())

    def report(self, what: str) -> None:
        print(f"\n{what}: cases tried {self.tried}, cases lost {self.lost}")


@pytest.fixture
def bed(netns: str, journal: Journal) -> Iterator[Bed]:
    made = Bed(netns, journal, CASE)
    assert len(made.plan.changes) == 200
    with closing(made.good):
        yield made


def attempt(bed: Bed, channel: Channel, *, connected: bool = True) -> ApplyError | None:
    try:
        bed.apply(channel, connected=connected)
    except ApplyError as error:
        return error
    return None


@pytest.mark.parametrize("block", [1, 512])
@pytest.mark.parametrize("fault", FAULTS[:-1])
def test_a_fault_at_every_send_leads_back(bed: Bed, fault: str, block: int) -> None:
    """With a block of one, each send is one change: every boundary between two is met."""
    at = 0
    while True:
        channel, transport = faulty(bed.space, fault, at, block=block)
        with closing(channel):
            error = attempt(bed, channel)
        assert transport.struck == (error is not None)
        bed.judge(error)
        if error is None:
            break
        at += 1
    assert at == bed.tried - 1 > (200 if block == 1 else 5)
    bed.report(f"{fault}, block {block}")


@pytest.mark.parametrize(("block", "by_index"), [(1, False), (512, False), (512, True)])
def test_a_refusal_of_every_message_leads_back(
    bed: Bed, block: int, by_index: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By index a replacement is two messages, either of which may be refused."""
    if by_index:
        monkeypatch.setattr(transaction, "MANY_REPLACED", 0)
    poison, step = 0, 5 if block == 1 else 1
    while True:
        channel, transport = faulty(bed.space, poison=poison, block=block)
        with closing(channel):
            error = attempt(bed, channel)
        assert transport.struck == (error is not None)
        bed.judge(error)
        if error is None:
            break
        poison += step
    assert poison >= 200 + 2 + 60 * by_index  # the changes, and the guard in and out
    bed.report(f"refused, block {block}" + ", replaced by index" * by_index)


def test_a_fault_at_every_send_of_a_rollback_leaves_it_to_the_next(bed: Bed) -> None:
    """First the kernel refuses the last message, then the way back breaks too."""
    channel, transport = faulty(bed.space)
    with closing(channel):
        bed.apply(channel)
        last = transport.changes
    bed.judge(None)
    at, step = 0, 5
    while True:
        broken, under = faulty(bed.space, FAULTS[at % 4], at, block=1)
        channel, _ = faulty(bed.space, poison=last - 1)
        with closing(channel, broken), pytest.raises(ApplyError) as caught:
            transaction.apply(
                channel,
                bed.journal,
                bed.plan,
                firewall=FakeFirewall(),
                connect=given(broken),
            )
        if not under.struck:
            bed.judge(caught.value)
            break
        assert not caught.value.rolled_back
        assert caught.value.left
        record = bed.journal.read()
        assert record is not None
        transaction.roll_back(bed.good, bed.journal, record, FakeFirewall())
        bed.judge(ApplyError("by hand", rolled_back=True))
        at += step
    assert at > 200
    bed.report("rollback broken")


@pytest.mark.parametrize("fault", ["drop", "stall"])
def test_without_a_new_connection_the_record_waits(bed: Bed, fault: str) -> None:
    for at in range(2, 200, 9):
        channel, _ = faulty(bed.space, fault, at, block=1)
        with closing(channel):
            error = attempt(bed, channel, connected=False)
        assert error is not None
        record = bed.journal.read()
        if fault == "drop":
            assert not error.rolled_back
            assert record is not None
        if record is not None:
            transaction.roll_back(bed.good, bed.journal, record, FakeFirewall())
            error = ApplyError("by hand", rolled_back=True)
        bed.judge(error)
    bed.report(f"{fault} without a new connection")


def watched(
    journal: Journal, connect: Callable[[], Channel], dogs: list[watchdog.Watchdog]
) -> Callable[[Record], None]:
    """What starts a watchdog beside a transaction, and keeps it in ``dogs``."""

    def started(record: Record) -> None:
        dogs.append(watchdog.start(journal, record.identity, connect, FakeFirewall()))

    return started


def test_the_watchdog_connects_again(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own connection, too, breaks at the first sends; it finishes with another one."""
    monkeypatch.setattr(watchdog, "PAUSE", 0.01)
    for at in range(4):
        opened: list[Faulty] = []

        def connect(at: int = at, opened: list[Faulty] = opened) -> Channel:
            channel, transport = faulty(bed.space, "" if opened else "drop", at)
            opened.append(transport)
            return channel

        dogs: list[watchdog.Watchdog] = []
        firewall = FakeFirewall()
        broken, _ = faulty(bed.space, "drop", 2 + at)
        with closing(broken), pytest.raises(ApplyError) as caught:
            transaction.apply(
                broken,
                bed.journal,
                bed.plan,
                firewall=firewall,
                started=watched(bed.journal, connect, dogs),
            )
        assert not caught.value.rolled_back
        assert bed.journal.read() is not None
        dogs[0].close()  # the word does not come
        end = time.monotonic() + 10
        while bed.journal.read() is not None and time.monotonic() < end:
            time.sleep(0.01)
        bed.judge(ApplyError("by the watchdog", rolled_back=True))
    bed.report("watchdog's connection dropped")


def test_octets_of_foreign_policies_come_back(netns: str, journal: Journal) -> None:
    """With --replace-foreign: limits, flags and algorithm masks stand in the journal."""
    small = case(30)
    # A policy of others stands where each of ours belongs that is to be added.
    added = [p for p in small.new if p.key not in small.owned]
    theirs = tuple(limited(p._replace(priority=p.priority + 5)) for p in added)
    what = Case(small.old, small.new, (*small.foreign, *theirs))
    with Channel.open(netns) as good:
        good.install([*what.foreign, *what.old], replace=False)
        before = octets(good)
        conflicts = plan_of(good, what).conflicts
        assert {c.key for c in conflicts} == {p.key for p in added}
        plan = plan_of(good, what, replace_foreign=True)
        tried = 0
        for poison in range(10_000):
            channel, transport = faulty(netns, poison=poison, block=1 + 511 * (poison % 2))
            with closing(channel):
                try:
                    transaction.apply(channel, journal, plan, firewall=FakeFirewall())
                except ApplyError as error:
                    assert error.rolled_back  # noqa: PT017 - it succeeds in the end
                    assert octets(good) == before, poison
                    tried += 1
                    continue
            assert not transport.struck
            break
        # The record alone, as it was read from the disk, brings them back too.
        good.remove(good.dump())
        good.install([*what.foreign, *what.old], replace=False)
        channel, _ = faulty(netns)
        with closing(channel):
            transaction.apply(channel, journal, plan, firewall=FakeFirewall(), confirm_within=60)
        assert octets(good) != before
        record = journal.read()
        assert record is not None
        transaction.roll_back(good, journal, record, FakeFirewall())
        assert octets(good) == before
    print(f"\noctets of others: cases tried {tried + 1}, cases lost 0")
    assert tried > 30


def test_a_limit_counts_as_a_change(netns: str, journal: Journal) -> None:
    """A policy of ours that somebody gave a limit is theirs now; it would go away by itself."""
    what = case(30)
    with Channel.open(netns) as good:
        good.install(what.new)
        touched = limited(what.new[0])
        good.install([touched])
        plan = plan_of(good, Case(what.new, what.new, ()))
        assert plan.drifted == (what.new[0],)
        assert [c.key for c in plan.conflicts] == [touched.key]
        assert not plan.changes
