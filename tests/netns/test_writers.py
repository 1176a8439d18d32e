"""Somebody else changes policies at the same time: theirs stay, and the operator is told."""

from __future__ import annotations

import random
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eroute_translate.apply import transaction
from eroute_translate.apply.journal import Journal
from eroute_translate.apply.kernel import ApplyError
from eroute_translate.apply.order import GUARD_USER
from eroute_translate.apply.plan import Verb, make_plan
from eroute_translate.xfrm.bulk import Channel
from eroute_translate.xfrm.model import Policy, PolicyKey
from eroute_translate.xfrm.outcome import BulkError, MeanwhileError
from eroute_translate.xfrm.wire import DIRECTIONS
from tests.fake_kernel import FakeFirewall

from .faulty import ESP4, Case, case, closing, faulty, fill, given, hold, limited, plan_of

pytestmark = pytest.mark.kernel

CASE = case(60)
DEEDS = ("replace", "remove", "add")
Contents = dict[PolicyKey, Policy]


@pytest.fixture
def journal() -> Iterator[Journal]:
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        made = Journal(Path(folder) / "host", "this boot")
        made.prepare()
        yield made


def contents(channel: Channel) -> Contents:
    found = {p.key: p._replace(index=0) for p in channel.dump()}
    assert not any(p.user == GUARD_USER for p in found.values())
    return found


def of(*groups: tuple[Policy, ...]) -> Contents:
    return {p.key: p for group in groups for p in group}


class Other:
    """Somebody else, with a connection of his own: does one thing to one policy of ours."""

    def __init__(self, channel: Channel, what: Case, seed: int) -> None:
        self.channel = channel
        self.random = random.Random(seed)
        plan = plan_of(channel, what)
        self.change = self.random.choice(plan.changes)
        self.deed = self.random.choice(DEEDS)
        self.theirs: Policy | None = None
        self.done = False

    def act(self) -> None:
        """Replace or remove it, or stand in its place, whatever is there now."""
        present = next(
            (p for p in self.channel.dump() if p.key == self.change.key and not p.octets), None
        )
        policy = self.change.new or self.change.old
        assert policy is not None
        if self.deed == "remove":
            if present is None:
                return
            self.channel.remove([present])
            self.theirs = None
        else:
            theirs = policy._replace(priority=77_777, action="block", templates=(), index=0)
            self.theirs = limited(theirs) if self.random.random() < 0.3 else theirs
            self.channel.install([self.theirs])
        self.done = True

    def expected(self, base: Contents) -> Contents:
        """What is to be there beside the rest."""
        if not self.done:
            return base
        merged = {k: p for k, p in base.items() if k != self.change.key}
        if self.theirs is not None:
            merged[self.change.key] = self.theirs
        return merged


@pytest.mark.parametrize(("block", "by_index"), [(1, False), (512, False), (512, True)])
@pytest.mark.parametrize("when", ["apply", "rollback"])
def test_a_change_before_every_send(
    netns: str,
    journal: Journal,
    when: str,
    block: int,
    by_index: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before each message of the way there, and of the way back, one policy is changed."""
    if by_index:
        monkeypatch.setattr(transaction, "MANY_REPLACED", 0)
    tried = told = finished = 0
    with Channel.open(netns) as good:
        old, new = of(CASE.foreign, CASE.old), of(CASE.foreign, CASE.new)
        rounds = 1 if block == 1 else 12
        at = 0
        while at < 1000:
            fill(good, CASE)
            hold(journal, CASE.owned)
            plan = plan_of(good, CASE)
            for seed in range(rounds):
                other = Other(good, CASE, at * 100 + seed)
                forward, under = faulty(netns, block=block, poison=-1 if when == "apply" else 62)
                back, beneath = faulty(netns, block=block)

                def act(number: int, at: int = at, other: Other = other) -> None:
                    if number == at:
                        other.act()

                (under if when == "apply" else beneath).before = act
                error: ApplyError | None = None
                with closing(forward, back):
                    try:
                        transaction.apply(
                            forward,
                            journal,
                            plan,
                            firewall=FakeFirewall(),
                            connect=given(back),
                        )
                    except ApplyError as caught:
                        error = caught
                    ended = (under if when == "apply" else beneath).sends <= at
                tried += 1
                found = contents(good)
                base = new if error is None else old
                wanted = [other.expected(base)]
                both_removed = other.deed == "remove" and other.change.verb is Verb.REMOVE
                if both_removed and error is not None:
                    wanted.append(base)  # he and we removed the same: the way back restores it
                assert found in wanted, (at, seed, other.deed, other.change.verb, str(error))
                assert journal.stamp() is None
                if error is not None and when == "apply":
                    told += 1
                    if not error.rolled_back:
                        assert error.left
                elif error is None:
                    finished += 1
                    later = make_plan(CASE.new, good.dump(), journal.read_owned())
                    # What we removed and they added then is theirs, and no matter of ours.
                    removed = other.change.verb is Verb.REMOVE
                    assert not other.done or removed or later.drifted or later.changes
                if found != old:
                    fill(good, CASE)
                    hold(journal, CASE.owned)
                    plan = plan_of(good, CASE)
            if ended:
                break
            at += 1
    print(f"\nchanges in {when}, block {block}: cases tried {tried}, cases lost 0")
    assert at > (60 if block == 1 else 5)


def test_a_change_between_the_plan_and_the_apply(netns: str, journal: Journal) -> None:
    """The operator was asked, and took his time: nothing is done then."""
    tried = 0
    with Channel.open(netns) as good:
        for seed in range(60):
            fill(good, CASE)
            plan = plan_of(good, CASE)
            other = Other(good, CASE, seed)
            other.act()
            before = contents(good)
            if not other.done:
                continue
            with pytest.raises(ApplyError, match="since the plan was made") as caught:
                transaction.apply(good, journal, plan, firewall=FakeFirewall())
            assert caught.value.rolled_back
            assert contents(good) == before
            assert journal.stamp() is None
            tried += 1
    print(f"\nchanges before apply: cases tried {tried}, cases lost 0")
    assert tried > 30


def test_an_exchange_by_index_puts_back_what_it_displaced(netns: str) -> None:
    """Removed by its index and added anew in one send; what was half done comes back."""
    one, two, three = CASE.old[:3]
    with Channel.open(netns) as good:
        good.install([one, two, three])
        there = {p.key: p for p in good.dump()}
        theirs = limited(two._replace(priority=5))
        good.install([theirs])
        new = [p._replace(priority=99) for p in (one, two, three)]
        with pytest.raises(MeanwhileError, match="1 changed by somebody else"):
            good.exchange([(there[p.key], p) for p in new], by_index=True)
        assert contents(good) == of((new[0], theirs, new[2]))
        good.remove([theirs])
        with pytest.raises(BulkError, match="EEXIST") as caught:
            good.exchange([(there[p.key], p) for p in (two, new[0])], by_index=True)
        assert caught.value.report.failures
    with Channel.open(netns) as good:
        good.remove(good.dump())
        good.install([one, two])
        there = {p.key: p for p in good.dump()}
        # The kernel refuses an addition after it has done the removal before it.
        bad = two._replace(templates=(two.templates or (ESP4,)) * 7)
        with pytest.raises(BulkError, match="XFRM_MAX_DEPTH"):
            good.exchange([(there[one.key], new[0]), (there[two.key], bad)], by_index=True)
        assert contents(good) == of((new[0], two))


@pytest.mark.parametrize("replaced", [True, False])
def test_an_index_that_another_policy_has_by_now(netns: str, replaced: bool) -> None:
    """Indexes of ours come again with each connection, so that one may be somebody else's soon."""
    one, two = CASE.old[:2]
    with Channel.open(netns) as good:
        good.install([one])
        (stale,) = good.dump()
        good.remove([stale])
        good.install([two._replace(index=stale.index & ~7 | DIRECTIONS.index(two.direction))])
        (theirs,) = good.dump()
        assert theirs.index == stale.index
        with pytest.raises(MeanwhileError):
            good.exchange([(stale, one._replace(priority=99) if replaced else None)], by_index=True)
        assert good.dump() == [theirs]


def test_exchange_puts_back_what_it_displaced(netns: str) -> None:
    """One send each: the answer to the question before each change tells what was there."""
    one, two, three = CASE.old[:3]
    with Channel.open(netns) as good:
        good.install([one, two, three])
        there = {p.key: p for p in good.dump()}
        theirs = limited(two._replace(priority=5))
        good.install([theirs])
        new = [p._replace(priority=99) for p in (one, two, three)]
        with pytest.raises(MeanwhileError, match="1 changed by somebody else"):
            good.exchange([(there[p.key], p) for p in new])
        assert contents(good) == of((new[0], theirs, new[2]))
        with pytest.raises(MeanwhileError):
            good.exchange([(there[two.key], None)])
        assert contents(good) == of((new[0], theirs, new[2]))
        good.remove([theirs])
        with pytest.raises(MeanwhileError):
            good.exchange([(there[two.key], new[1])])
        assert contents(good) == of((new[0], new[2]))


def test_many_answers_overflow_nothing(netns: str) -> None:
    many = [
        CASE.old[0]._replace(mark=(number, 0xFFFF), templates=CASE.old[1].templates * 6)
        for number in range(3000)
    ]
    with Channel.open(netns) as good:
        good.install(many)
        there = good.dump()
        good.exchange([(p, p._replace(priority=3)) for p in there])
        assert all(p.priority == 3 for p in good.dump())
        good.exchange([(p, None) for p in good.dump()])
        assert good.dump() == []


def test_another_process_writes_all_the_time(netns: str, journal: Journal) -> None:
    """ip adds and removes policies of its own while transactions go there and back."""
    lines = [
        f"policy {verb} src 172.20.{number}.0/24 dst 172.21.0.0/24 dir out{rest}"
        for number in range(40)
        for verb, rest in (("add", " priority 5"), ("update", " priority 6"), ("delete", ""))
    ]
    stop = threading.Event()
    batches: list[int] = []

    def write() -> None:
        while not stop.is_set():
            done = subprocess.run(
                ["ip", "-n", netns, "-batch", "-"],
                input="\n".join(f"xfrm {line}" for line in lines) + "\n",
                text=True,
                capture_output=True,
                check=False,
            )
            batches.append(done.returncode)

    with Channel.open(netns) as good:
        fill(good, CASE)
        old, new = of(CASE.foreign, CASE.old), of(CASE.foreign, CASE.new)
        writer = threading.Thread(target=write)
        writer.start()
        try:
            tried = 0
            for number in range(25):
                plan = plan_of(good, CASE)
                poison = 62 if number % 2 else -1
                channel, _ = faulty(netns, poison=poison, block=1 if number % 3 else 512)
                with closing(channel):
                    if poison >= 0:
                        with pytest.raises(ApplyError) as caught:
                            run(channel, journal, lambda: good)
                        assert caught.value.rolled_back
                    else:
                        assert plan.changes
                        run(channel, journal, lambda: good)
                found = {key: p for key, p in contents(good).items() if not _of_ip(p)}
                assert found == (old if poison >= 0 else new)
                if poison < 0:
                    good.exchange([(p, None) for p in good.dump() if p.key in of(CASE.new)])
                    good.install(CASE.old)
                tried += 1
        finally:
            stop.set()
            writer.join()
    assert batches
    assert not any(batches), "ip was never in our way, nor we in its"
    print(f"\nwriting all the time ({len(batches)} batches): cases tried {tried}, cases lost 0")


def _of_ip(policy: Policy) -> bool:
    return policy.selector.source.address >> 16 == (172 << 8) + 20


def run(channel: Channel, journal: Journal, connect: Callable[[], Channel]) -> None:
    plan = plan_of(connect(), CASE)
    transaction.apply(channel, journal, plan, firewall=FakeFirewall(), connect=connect)
