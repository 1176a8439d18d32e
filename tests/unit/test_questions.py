"""What apply and rollback ask and tell at the terminal, without a kernel."""

from __future__ import annotations

import argparse
import errno
import io
from pathlib import Path

import pytest

from eroute_translate.apply.firewall import Firewall
from eroute_translate.apply.journal import Journal, Phase, Record
from eroute_translate.apply.plan import Change, Verb
from eroute_translate.apply.states import StateChange
from eroute_translate.apply.target import STATE_FOLDER
from eroute_translate.apply.unit import UNIT_FOLDER
from eroute_translate.cli import EXIT_LEFT, applying, target
from eroute_translate.cli.parser import build_parser
from eroute_translate.net import Selector, parse_prefix
from eroute_translate.xfrm.errors import KernelError
from eroute_translate.xfrm.model import Policy, State
from tests.fake_kernel import FakeKernel
from tests.unit.test_transaction import apply, plan_of


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answer", "expected"), [("y\n", True), ("YES\n", True), ("n\n", False), ("", False)]
)
def test_a_no_is_told(
    answer: str,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert target.asked("apply", "apply these 3 changes?") == expected
    shown = capsys.readouterr()
    assert shown.out == "apply these 3 changes? [y/N] "
    assert ("nothing was done" in shown.err) != expected


def test_states_are_counted_as_apply_counts_them(tmp_path: Path) -> None:
    policy = Policy("out", Selector(parse_prefix("10.0.0.0/8"), parse_prefix("10.1.0.0/16")), 7)
    state = State(50, 4, 1, 2, 0x1001, "tunnel")
    record = Record(
        "1-1",
        Phase.ROLLING_BACK,
        (Change(Verb.ADD, policy.key, None, policy),),
        (),
        "this boot",
        0.0,
        states=(StateChange(Verb.ADD, state.key, None, state),),
    )
    arguments = argparse.Namespace(netns=None, state_folder=str(tmp_path))
    assert "(2 changes)" in target.pending_text(record, arguments)


def test_without_a_terminal_yes_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert not target.asked("apply", "?")
    assert "--yes" in capsys.readouterr().err


def test_a_lost_watchdog_and_a_policy_that_somebody_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is left is named, as with any other rollback."""
    journal = Journal(tmp_path / "host", "this boot")
    kernel = FakeKernel()
    wanted = Policy("out", Selector(parse_prefix("10.0.0.0/8"), parse_prefix("10.1.0.0/16")), 7)
    apply(kernel, journal, plan_of(kernel, [wanted], []), {}, confirm_within=60)
    kernel.policies[wanted.key] = wanted._replace(priority=3)
    firewall = Firewall(None)
    monkeypatch.setattr(firewall, "load", lambda _text: None)
    monkeypatch.setattr(applying, "kernel_again", lambda *_: kernel)
    assert applying._unwatched(argparse.Namespace(), journal, firewall) == EXIT_LEFT
    shown = capsys.readouterr().err
    assert "was killed" in shown
    assert "left: 10.0.0.0/8 -> 10.1.0.0/16 out" in shown


def test_a_lost_watchdog_and_a_kernel_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody takes the changes back any more, and that is not to pass for a mere failure."""
    journal = Journal(tmp_path / "host", "this boot")
    kernel = FakeKernel()
    wanted = Policy("out", Selector(parse_prefix("10.0.0.0/8"), parse_prefix("10.1.0.0/16")), 7)
    apply(kernel, journal, plan_of(kernel, [wanted], []), {}, confirm_within=60)

    def lost(*_: object) -> FakeKernel:
        raise KernelError(errno.ESTALE, "enter the network namespace a again")

    monkeypatch.setattr(applying, "kernel_again", lost)
    arguments = argparse.Namespace(netns="a", state_folder=str(tmp_path))
    assert applying._unwatched(arguments, journal, Firewall(None)) == EXIT_LEFT
    shown = capsys.readouterr().err
    assert "was killed, and the changes are in place yet" in shown
    assert f"`eroute-translate rollback --netns a --state-folder {tmp_path}`" in shown


def test_the_folders_that_are_not_named_are_those_of_the_options() -> None:
    """Advice leaves ``--state-folder`` out where it is the default."""
    arguments = build_parser().parse_args(["status"])
    assert (arguments.state_folder, arguments.unit_folder) == (str(STATE_FOLDER), str(UNIT_FOLDER))
