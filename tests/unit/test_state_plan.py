"""States in a plan and in a transaction, against a kernel in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from eroute_translate.apply.journal import Journal, Saved
from eroute_translate.apply.kernel import ApplyError
from eroute_translate.apply.plan import Plan, Verb, make_plan
from eroute_translate.apply.states import plan_states, same_state
from eroute_translate.apply.transaction import apply, roll_back
from eroute_translate.cli.plan_text import WholePlan, plan_lines
from eroute_translate.net import Prefix, Selector
from eroute_translate.secret import Secret
from eroute_translate.xfrm.model import (
    Algorithm,
    Limits,
    Policy,
    Replay,
    State,
    Template,
    UdpEncapsulation,
)
from tests.fake_kernel import FakeFirewall, FakeKernel, Fault

KEY = Secret(bytes(range(16)))
AES, SHA1 = Algorithm("cbc(aes)", KEY), Algorithm("hmac(sha1)", Secret(bytes(range(20))), 96)
EMPTY = Plan((), (), (), (), 0, 0)


def state(spi: int, **more: object) -> State:
    return State(50, 4, 1, 2, spi, "tunnel", 7, AES, SHA1)._replace(**more)  # type: ignore[arg-type]


FULL = state(
    0x1001,
    replay_window=32,
    selector=Selector(Prefix(4, 0x0A000000, 0xFF000000), Prefix(4, 0, 0), 6, 0, 25),
    flags=("noecn",),
    extra_flags=("dont-encap-dscp",),
    limits=Limits(1, 2, 3, 4, 5, 6, 7, 8),
    encapsulation=UdpEncapsulation("espinudp", 4500, 4501),
    mark=(1, 255),
    if_id=3,
    replay=Replay(4, 5, 6),
)
POLICY = Policy(
    "out",
    Selector(Prefix(4, 0, 0), Prefix(4, 0, 0)),
    10,
    templates=(Template(50, "tunnel", 4, 1, 2, 7),),
)


def test_how_far_a_state_came_is_no_difference() -> None:
    assert same_state(FULL, FULL._replace(replay=Replay(99)))
    assert not same_state(FULL, FULL._replace(reqid=8))
    assert not same_state(
        FULL, FULL._replace(encryption=Algorithm("cbc(aes)", Secret(bytes(15) + b"1")))
    )


def test_a_kernel_in_lockdown_shows_no_keys() -> None:
    assert same_state(FULL, FULL._replace(encryption=Algorithm("cbc(aes)", Secret(bytes(16)))))


def test_a_plan_of_states() -> None:
    a, b, c, d = state(1), state(2), state(3), state(4)
    other = b._replace(reqid=9)
    plan = plan_states([a, b, c], [other, c, d], {b.key: other, d.key: d})
    assert [(change.verb, change.key) for change in plan.changes] == [
        (Verb.ADD, a.key),
        (Verb.REPLACE, b.key),
        (Verb.REMOVE, d.key),
    ]
    assert plan.kept == 1
    foreign = plan_states([b], [other], {})
    assert not foreign.changes
    assert len(foreign.conflicts) == 1
    assert plan_states([b], [other], {}, replace_foreign=True).changes
    with pytest.raises(ValueError, match=r"two of the state src 0\.0\.0\.1"):
        plan_states([b, other], [], {})


def test_a_state_that_somebody_changed_is_not_ours_any_more() -> None:
    """As for policies: a key daemon may have taken the SPI of one whose life was over."""
    mine, gone = state(1), state(2)
    theirs = [mine._replace(reqid=9), gone._replace(reqid=9)]
    owned = {mine.key: mine, gone.key: gone}
    plan = plan_states([state(1, reqid=8)], theirs, owned)
    assert not plan.changes
    assert [(c.verb, c.old) for c in plan.conflicts] == [
        (Verb.REPLACE, theirs[0]),
        (Verb.REMOVE, theirs[1]),
    ]
    named = plan_states([state(1, reqid=8)], theirs, owned, replace_foreign=True)
    assert len(named.changes) == 2
    assert not named.conflicts


def test_a_foreign_state_that_could_not_be_put_back_is_never_replaced() -> None:
    theirs = state(1, reqid=9, more=(18,))
    for wanted, owned in (([state(1)], {}), ([], {theirs.key: state(1)})):
        plan = plan_states(wanted, [theirs], owned, replace_foreign=True)
        assert not plan.changes
        assert [change.old for change in plan.conflicts] == [theirs]
        (line, _) = plan_lines(WholePlan(EMPTY, plan, firewall_changes=False))
        assert "could not be put back" in line


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "host", "this boot")


def carry_out(journal: Journal, kernel: FakeKernel, wanted: list[State], **more: object) -> None:
    plan = make_plan([POLICY], kernel.each(), journal.read_owned())
    states = plan_states(wanted, kernel.dump_states(), journal.read_owned_states())
    with journal.locked():
        apply(
            kernel,
            journal,
            plan,
            firewall=FakeFirewall(),
            states=states,
            **more,  # type: ignore[arg-type]
        )


def test_states_stand_before_their_policies(journal: Journal) -> None:
    kernel = FakeKernel()
    seen: list[int] = []
    kernel.watch = lambda: seen.append(len(kernel.states))
    carry_out(journal, kernel, [FULL, state(2)])
    assert seen == [2]
    assert journal.read_owned_states() == {FULL.key: FULL, state(2).key: state(2)}


def test_the_journal_keeps_all_of_a_state_and_is_its_owners_alone(journal: Journal) -> None:
    kernel = FakeKernel()
    carry_out(journal, kernel, [FULL], confirm_within=60.0)
    record = journal.read()
    assert record is not None
    assert record.states[0].new == FULL
    assert {path.stat().st_mode & 0o77 for path in journal.folder.iterdir()} == {0}
    assert journal.folder.stat().st_mode & 0o77 == 0
    assert KEY.reveal().hex() not in repr(record)


@pytest.mark.parametrize("message", range(60))
def test_a_fault_at_any_message_leads_back(journal: Journal, message: int) -> None:
    first, second = [state(1), state(2)], [state(2, reqid=9), state(3)]
    kernel = FakeKernel()
    carry_out(journal, kernel, first)
    before = dict(kernel.states), dict(kernel.policies)
    kernel.messages = 0

    def trouble(number: int) -> None:
        if number == message:
            raise Fault("refused")

    kernel.trouble = trouble
    try:
        carry_out(journal, kernel, second)
    except (ApplyError, Fault):
        assert (kernel.states, kernel.policies) == before
        assert journal.read() is None
    else:
        assert set(kernel.states.values()) == set(second)
        assert kernel.messages <= message


def test_a_rollback_puts_states_back(journal: Journal) -> None:
    kernel = FakeKernel()
    old = state(2, replay=Replay(50))
    carry_out(journal, kernel, [state(1), old])
    carry_out(journal, kernel, [state(2, reqid=9), state(3)], confirm_within=60.0)
    record = journal.read()
    assert record is not None
    with journal.locked():
        roll_back(kernel, journal, record, FakeFirewall())
    assert set(kernel.states.values()) == {state(1), old}
    assert journal.read_owned_states() == {s.key: s for s in (state(1), old)}


def test_somebody_elses_change_of_a_state_is_left_alone(journal: Journal) -> None:
    kernel = FakeKernel()
    carry_out(journal, kernel, [state(1)], confirm_within=60.0)
    theirs = state(1, reqid=1234)
    kernel.states[theirs.key] = theirs
    record = journal.read()
    assert record is not None
    with journal.locked(), pytest.raises(ApplyError, match="is over") as caught:
        roll_back(kernel, journal, record, FakeFirewall())
    assert "spi 0x1" in caught.value.left[0]
    assert list(kernel.states.values()) == [theirs]


def test_what_is_saved_counts_once_it_is_final(journal: Journal) -> None:
    kernel = FakeKernel()
    wanted = Saved((POLICY,), (state(1),), "rules")
    carry_out(journal, kernel, [state(1)], save=wanted, confirm_within=60.0)
    assert journal.read_saved() is None
    record = journal.read()
    assert record is not None
    with journal.locked():
        roll_back(kernel, journal, record, FakeFirewall())
    assert journal.read_saved() is None
    carry_out(journal, kernel, [state(1)], save=wanted)
    assert journal.read_saved() == wanted


def test_a_crash_between_the_last_two_steps_is_ended_later(journal: Journal) -> None:
    kernel = FakeKernel()
    carry_out(journal, kernel, [state(1)], confirm_within=60.0)
    journal.write_owned([POLICY], [state(1)], "rules")
    journal.write_saved(Saved([POLICY], [state(1)], "rules"))
    assert journal.read_owned_states() == {}
    assert journal.read_saved() is None
    # The record is gone, and the power with it.
    (journal.folder / "transaction").unlink()
    assert journal.read_owned() == {POLICY.key: POLICY}
    assert journal.read_owned_rules() == "rules"
    saved = journal.read_saved()
    assert saved is not None
    assert saved.states == (state(1),)
    assert sorted(path.name for path in journal.folder.iterdir()) == ["lock", "owned", "saved"]


def test_what_was_written_for_an_end_that_never_came_is_forgotten(journal: Journal) -> None:
    kernel = FakeKernel()
    carry_out(journal, kernel, [state(1)], confirm_within=60.0)
    journal.write_owned([POLICY])
    journal.forget()
    assert journal.read_owned() == {}


def test_a_plan_tells_that_sequence_numbers_begin_again() -> None:
    old = state(1, replay=Replay(50))
    for new, told in ((state(1, reqid=9), True), (state(1), False)):
        plan = WholePlan(EMPTY, plan_states([new], [old], {old.key: old}), firewall_changes=False)
        assert any("sequence numbers begin again" in line for line in plan_lines(plan)) == told
