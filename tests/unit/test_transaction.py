"""Transactions against a kernel in memory: all or nothing, and nothing in clear meanwhile."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from eroute_translate.apply import transaction, watchdog
from eroute_translate.apply.journal import Journal, LockedError, Phase, Record, clock
from eroute_translate.apply.kernel import ApplyError
from eroute_translate.apply.order import GUARD_SECONDS, GUARD_USER
from eroute_translate.apply.plan import Plan, Verb, make_plan
from eroute_translate.apply.stored import JournalError
from eroute_translate.apply.transaction import Result, commit
from eroute_translate.net import Packet, Selector, parse_address, parse_prefix
from eroute_translate.xfrm.model import Policy, PolicyKey, Template
from tests.fake_kernel import FakeFirewall, FakeKernel, Fault

ESP = (Template(50, "tunnel", 4, 1, 2, reqid=7),)


def apply(
    kernel: FakeKernel,
    journal: Journal,
    plan: Plan,
    ours: dict[PolicyKey, Policy],
    confirm_within: float = 0.0,
) -> Result:
    hold(journal, ours)
    return transaction.apply(
        kernel, journal, plan, firewall=FakeFirewall(), confirm_within=confirm_within
    )


def hold(journal: Journal, ours: dict[PolicyKey, Policy]) -> None:
    """Have the journal say that these are ours."""
    journal.prepare()
    journal.write_owned(ours.values())
    journal.finish()


def roll_back(kernel: FakeKernel, journal: Journal, record: Record) -> int:
    return transaction.roll_back(kernel, journal, record, FakeFirewall())


def policy(
    source: str, destination: str, priority: int, kind: str = "protect", direction: str = "out"
) -> Policy:
    action = "block" if kind == "block" else "allow"
    templates = ESP if kind == "protect" else ()
    selector = Selector(parse_prefix(source), parse_prefix(destination))
    return Policy(direction, selector, priority, action, templates)


OLD = [
    policy("10.0.0.0/8", "192.168.0.0/16", 50),
    policy("10.1.0.0/16", "192.168.1.0/24", 40, "pass"),
    policy("10.2.0.0/16", "192.168.2.0/24", 30, "block"),
    policy("10.3.0.0/16", "192.168.3.0/24", 20),
]
NEW = [
    policy("10.0.0.0/8", "192.168.0.0/16", 10),
    policy("10.1.0.0/16", "192.168.1.0/24", 60, "pass"),
    policy("10.3.0.0/16", "192.168.3.0/24", 5, "block"),
    policy("10.4.0.0/16", "192.168.4.0/24", 4, "pass"),
    policy("10.5.0.0/16", "0.0.0.0/0", 70),
]
FOREIGN = policy("172.16.0.0/12", "0.0.0.0/0", 1, "pass")


def packets() -> list[Packet]:
    found = []
    for second in range(7):
        for third in range(7):
            source = parse_address(f"10.{second}.0.1")[1]
            destination = parse_address(f"192.168.{third}.1")[1]
            found.append(Packet(4, source, destination))
    return found


def owned(policies: list[Policy]) -> dict[PolicyKey, Policy]:
    return {p.key: p for p in policies}


def plan_of(kernel: FakeKernel, wanted: list[Policy], ours: list[Policy]) -> Plan:
    return make_plan(wanted, kernel.policies.values(), owned(ours))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "host", "this boot")
    made.prepare()
    return made


def state(kernel: FakeKernel) -> set[Policy]:
    return set(kernel.policies.values())


def test_a_transaction_leaves_what_was_wanted(journal: Journal) -> None:
    kernel = FakeKernel([*OLD, FOREIGN])
    plan = plan_of(kernel, NEW, OLD)
    assert {c.verb for c in plan.changes} == set(Verb)
    apply(kernel, journal, plan, owned(OLD))
    assert state(kernel) == {*NEW, FOREIGN}
    assert journal.read() is None
    ours = journal.read_owned()
    assert set(ours.values()) == set(NEW)
    assert make_plan(NEW, kernel.policies.values(), ours).empty


@pytest.mark.parametrize("before", [OLD, []], ids=["update", "fresh"])
@pytest.mark.parametrize("after", [NEW, []], ids=["wanted", "nothing"])
def test_a_fault_at_every_message_leads_back(
    journal: Journal, before: list[Policy], after: list[Policy]
) -> None:
    """Every message may fail; then everything is as it was, and never was anything in clear."""
    whole = FakeKernel([*before, FOREIGN])
    apply(whole, journal, plan_of(whole, after, before), owned(before))
    cases = 0
    for fatal in range(whole.messages):
        kernel = FakeKernel([*before, FOREIGN])
        leaks = watch_for_leaks(kernel, before, after)
        plan = plan_of(kernel, after, before)

        def trouble(number: int, fatal: int = fatal) -> None:
            if number == fatal:
                raise Fault("no buffer space")

        kernel.trouble = trouble
        with pytest.raises(ApplyError) as caught:
            apply(kernel, journal, plan, owned(before))
        assert caught.value.rolled_back
        assert state(kernel) == {*before, FOREIGN}, fatal
        assert journal.read() is None
        assert not leaks
        cases += 1
    print(f"\n{cases} faults, 0 lost")
    assert cases == whole.messages


@pytest.mark.parametrize("before", [OLD, []], ids=["update", "fresh"])
def test_death_at_every_message_is_mended_later(journal: Journal, before: list[Policy]) -> None:
    """After a kill nothing of the process runs; the next one finds the record and rolls back."""
    whole = FakeKernel(before)
    apply(whole, journal, plan_of(whole, NEW, before), owned(before))
    for fatal in range(1, whole.messages):  # the first is a look, before anything is done
        kernel = FakeKernel(before)
        leaks = watch_for_leaks(kernel, before, NEW)
        plan = plan_of(kernel, NEW, before)

        def trouble(number: int, fatal: int = fatal) -> None:
            if number >= fatal:
                raise Fault("dead")

        kernel.trouble = trouble
        with pytest.raises(ApplyError) as caught:
            apply(kernel, journal, plan, owned(before))
        assert not caught.value.rolled_back
        kernel.trouble = lambda _number: None
        record = journal.read()
        assert record is not None
        roll_back(kernel, journal, record)
        assert state(kernel) == set(before)
        assert journal.read() is None
        assert not leaks


def watch_for_leaks(kernel: FakeKernel, before: list[Policy], after: list[Policy]) -> list[Packet]:
    """Packets that go in clear between two states in both of which they are kept."""
    old, new = FakeKernel(before), FakeKernel(after)
    kept = [p for p in packets() if not old.clear(p) and not new.clear(p)]
    leaks: list[Packet] = []
    kernel.watch = lambda: leaks.extend(p for p in kept if kernel.clear(p))
    return leaks


def test_somebody_elses_change_is_left_and_named(journal: Journal) -> None:
    kernel = FakeKernel(OLD)
    plan = plan_of(kernel, NEW, OLD)
    result = apply(kernel, journal, plan, owned(OLD), confirm_within=60)
    record = journal.read()
    assert record is not None
    assert (record.phase, record.identity) == (Phase.UNCONFIRMED, result.identity)
    theirs = NEW[0]._replace(priority=3)
    kernel.policies[theirs.key] = theirs
    with pytest.raises(ApplyError) as caught:
        roll_back(kernel, journal, record)
    assert len(caught.value.left) == 1
    assert theirs in state(kernel)
    assert state(kernel) - {theirs} == set(OLD) - {OLD[0]}


def test_confirming_makes_it_ours(journal: Journal) -> None:
    kernel = FakeKernel()
    apply(kernel, journal, plan_of(kernel, NEW, []), {}, confirm_within=60)
    record = journal.read()
    assert record is not None
    commit(journal, record)
    assert journal.read() is None
    assert set(journal.read_owned().values()) == set(NEW)


def test_foreign_policies_are_conflicts(journal: Journal) -> None:
    theirs = NEW[0]._replace(priority=3)
    plan = make_plan(NEW, [theirs], {})
    assert [c.old for c in plan.conflicts] == [theirs]
    named = make_plan(NEW, [theirs], {}, replace_foreign=True)
    assert not named.conflicts


def test_what_meets_ours_is_told() -> None:
    stronger = policy("10.0.0.0/16", "192.168.0.0/24", 1, "pass")
    weaker = policy("10.0.0.0/7", "192.168.0.0/15", 900)
    apart = policy("11.0.0.0/8", "192.168.0.0/24", 1)
    plan = make_plan(NEW, [stronger, weaker, apart], {})
    assert {(f.policy, f.wins) for f in plan.foreign} == {(stronger, True), (weaker, False)}


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "version", "noise"])
def test_a_damaged_journal_is_refused(journal: Journal, damage: str) -> None:
    kernel = FakeKernel()
    apply(kernel, journal, plan_of(kernel, NEW, []), {}, confirm_within=60)
    path = journal.folder / "transaction"
    data = bytearray(path.read_bytes())
    match damage:
        case "cut":
            del data[len(data) // 2 :]
        case "bit":
            data[-5] ^= 1
        case "empty":
            data.clear()
        case "version":
            data[16:17] = b"9"
        case _:
            data[:] = b"\0" * len(data)
    path.write_bytes(bytes(data))
    with pytest.raises(JournalError) as caught:
        journal.read()
    assert "transaction" in str(caught.value)


def test_the_lock_is_held_by_one(journal: Journal) -> None:
    with journal.locked(), pytest.raises(LockedError), journal.locked():
        pass


def test_nothing_is_told_to_the_kernel_before_the_record_is_written(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = FakeKernel()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(JournalError, match="No space left"):
        apply(kernel, journal, plan_of(kernel, NEW, []), {})
    assert not state(kernel)


def test_after_a_reboot_there_is_nothing_to_take_back(journal: Journal) -> None:
    kernel = FakeKernel()
    apply(kernel, journal, plan_of(kernel, NEW, []), {}, confirm_within=60)
    record = journal.read()
    assert record is not None
    later = Journal(journal.folder, "another boot")
    assert roll_back(FakeKernel(), later, record) == 0
    assert later.read() is None
    assert later.read_owned() == {}


def test_the_firewall_goes_with_the_policies(journal: Journal) -> None:
    """Rules that nft refuses take the policies back with them."""
    kernel, firewall = FakeKernel(OLD), FakeFirewall("old rules")
    firewall.refuses = True
    hold(journal, owned(OLD))
    with pytest.raises(ApplyError) as caught:
        transaction.apply(
            kernel,
            journal,
            plan_of(kernel, NEW, OLD),
            firewall=firewall,
            rules="new rules",
        )
    assert caught.value.rolled_back
    assert state(kernel) == set(OLD)
    assert firewall.text == "old rules"


def test_a_clock_that_is_set_neither_confirms_nor_takes_back(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NTP may set the clock of a gateway by years while a confirmation is awaited."""
    kernel = FakeKernel(OLD)
    hold(journal, owned(OLD))
    monkeypatch.setattr("time.time", lambda: 4e9)
    apply(kernel, journal, plan_of(kernel, NEW, OLD), owned(OLD), confirm_within=60)
    record = journal.read()
    assert record is not None
    reading, writing = os.pipe()
    os.write(writing, watchdog.IN_PLACE)
    for seconds, alive in ((60.0, True), (-1.0, False)):
        moved = replace(record, deadline=clock() + seconds)
        journal.write(moved)
        watching = threading.Thread(
            target=watchdog._watch,
            args=(journal, record.identity, kernel, lambda: kernel, FakeFirewall(), reading),
            daemon=True,
        )
        watching.start()
        watching.join(0.3 if alive else 10)
        assert watching.is_alive() == alive
        if alive:
            assert journal.read() is not None
            journal.forget()  # as a confirmation does
            watching.join(10)
            assert not watching.is_alive()
            assert state(kernel) == set(NEW)
            os.write(writing, watchdog.IN_PLACE)
    assert state(kernel) == set(OLD)


@pytest.mark.parametrize("where", ["record", "kernel"])
def test_a_watchdog_tries_again(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Out of memory or of descriptors: whatever it is, and it passes, nobody else takes it back."""
    kernel = FakeKernel(OLD)
    hold(journal, owned(OLD))
    apply(kernel, journal, plan_of(kernel, NEW, OLD), owned(OLD), confirm_within=0.1)
    record = journal.read()
    assert record is not None
    monkeypatch.setattr(watchdog, "PAUSE", 0.01)
    failures = [JournalError("cannot read: Too many open files")] if where == "record" else []
    read = journal.read

    def reading_fails() -> Record | None:
        if failures:
            raise failures.pop()
        return read()

    def trouble(number: int) -> None:
        if where == "kernel" and number < 2:
            raise MemoryError

    monkeypatch.setattr(journal, "read", reading_fails)
    kernel.messages = 0
    kernel.trouble = trouble
    reading, writing = os.pipe()
    os.write(writing, watchdog.IN_PLACE)
    assert (
        watchdog._watch(journal, record.identity, kernel, lambda: kernel, FakeFirewall(), reading)
        == 0
    )
    assert state(kernel) == set(OLD)
    assert read() is None


def test_a_guard_outlives_a_long_transaction(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel takes a guard away after a minute; each of these changes takes half of one."""
    now = [1000.0]
    ends = 0.0

    class SlowKernel(FakeKernel):
        def install(self, policies: Sequence[Policy], *, seconds: int = 0) -> None:
            nonlocal ends
            if any(policy.user == GUARD_USER for policy in policies):
                assert seconds == GUARD_SECONDS
                ends = now[0] + seconds
            super().install(policies, seconds=seconds)

        def exchange(
            self,
            changes: Sequence[tuple[Policy | None, Policy | None]],
            *,
            by_index: bool = False,
        ) -> None:
            super().exchange(changes, by_index=by_index)
            now[0] += GUARD_SECONDS / 2
            assert now[0] < ends, "the guard is gone"

    monkeypatch.setattr(transaction, "BLOCK", 1)
    monkeypatch.setattr(transaction, "clock", lambda: now[0])
    kernel = SlowKernel(OLD)
    apply(kernel, journal, plan_of(kernel, NEW, OLD), owned(OLD))
    assert state(kernel) == set(NEW)
    assert now[0] > 1000 + 2 * GUARD_SECONDS
