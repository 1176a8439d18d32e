"""The verbs that look at or change a running kernel: plan, apply, confirm, rollback, status."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from ..apply import watchdog
from ..apply.firewall import Firewall, FirewallError
from ..apply.journal import (
    Journal,
    Phase,
    Record,
    life_of,
    target_folder,
)
from ..apply.plan import make_plan, plan_of_dump
from ..apply.restore import restore
from ..apply.ruleset import origins, state_origins, wanted_policies, wanted_states
from ..apply.states import StatePlan, plan_states, same_state
from ..apply.stored import JournalError
from ..apply.surroundings import describe, look_around
from ..apply.transaction import (
    ApplyError,
    Result,
    apply,
    commit,
    owned_after,
    owned_states_of,
    roll_back,
)
from ..apply.unit import UnitError, install_unit, remove_unit
from ..equivalence.exact import translate_exactly
from ..mapping.translation import Translation
from ..render import render_firewall, render_unit
from ..report import summary
from ..xfrm.bulk import BulkError, Channel
from ..xfrm.errors import KernelError
from ..xfrm.model import Policy, State
from ..xfrm.state_wire import name_of
from ..xfrm.text import policy_arguments, read_policies
from . import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_LEFT,
    EXIT_NOTHING,
    EXIT_REFUSED,
    EXIT_ROLLED_BACK,
    EXIT_STALE,
    EXIT_USAGE,
    EXIT_WOULD_CHANGE,
)
from .options import mapping_options
from .plan_text import WholePlan, print_plan
from .run import exit_code
from .sources import read_host
from .terminal import show


def live(arguments: argparse.Namespace) -> int:
    """Run one of the verbs; failures of kernel and journal become exit codes."""
    verbs = {
        "plan": _plan,
        "apply": _apply,
        "confirm": _confirm,
        "rollback": _rollback,
        "status": _status,
        "restore": _restore,
    }
    try:
        return verbs[arguments.verb](arguments)
    except (KernelError, JournalError, FirewallError, UnitError, ValueError) as error:
        print(f"eroute-translate {arguments.verb}: {error}", file=sys.stderr)
        if isinstance(error, KernelError) and error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return EXIT_FAILED


def _journal(arguments: argparse.Namespace) -> Journal:
    # The watchdog leaves the working directory, so the path must not depend on it.
    folder = target_folder(Path(arguments.state_folder).absolute(), arguments.netns)
    return Journal(folder, life_of(arguments.netns))


def _kernel(arguments: argparse.Namespace) -> Channel:
    return Channel.open(arguments.netns or "")


def _translation(arguments: argparse.Namespace) -> tuple[Translation | None, int]:
    """The translation of the input, or ``None`` and the exit code that says why not."""
    if arguments.interface != "none":
        print(
            f"eroute-translate {arguments.verb}: links and routes are not made here, so that"
            " --interface xfrm is refused: `convert --interface xfrm` prints a script for it",
            file=sys.stderr,
        )
        return None, EXIT_USAGE
    host, collector, _, complete = read_host(arguments)
    if not host.rows:
        _show(arguments, collector.items)
        return None, EXIT_NOTHING if complete else EXIT_FAILED
    translation = translate_exactly(host, mapping_options(arguments))
    items = (*collector.items, *translation.findings)
    _show(arguments, items)
    code = exit_code(arguments, translation, items, complete)
    if code == EXIT_FAILED or (code == EXIT_REFUSED and not arguments.allow_partial):
        print(f"eroute-translate: {summary(translation)}; nothing was done", file=sys.stderr)
        return None, code
    return translation, EXIT_DONE


def _show(arguments: argparse.Namespace, items: Sequence[object]) -> None:
    show(
        items,  # type: ignore[arg-type]
        machine=arguments.format == "json",
        quiet=arguments.quiet,
        verbose=arguments.verbose,
    )


def _make(
    arguments: argparse.Namespace, journal: Journal, kernel: Channel, translation: Translation
) -> WholePlan:
    plan = plan_of_dump(
        wanted_policies(translation),
        kernel.datagrams(),
        journal.owned_messages(),
        replace_foreign=arguments.replace_foreign,
    )
    wanted, owned = wanted_states(translation), journal.read_owned_states()
    states = StatePlan()
    if wanted or owned:
        states = plan_states(
            wanted, kernel.dump_states(), owned, replace_foreign=arguments.replace_foreign
        )
    rules = render_firewall(translation)
    there = bool(Firewall(arguments.netns).read())
    return WholePlan(
        plan,
        states,
        firewall_changes=rules != journal.read_owned_rules() or bool(rules) != there,
        around=look_around(arguments.netns, plan.sockets),
        places=origins(translation),
        state_places=state_origins(translation),
    )


# -- plan


def _plan(arguments: argparse.Namespace) -> int:
    translation, code = _translation(arguments)
    if translation is None:
        return code
    if arguments.against:
        plan = _plan_against(arguments, translation)
        if plan is None:
            return EXIT_FAILED
    else:
        plan = _make(arguments, _journal(arguments), _kernel(arguments), translation)
    print_plan(plan, machine=arguments.format == "json")
    if plan.conflicts:
        return EXIT_STALE
    return EXIT_DONE if plan.empty else EXIT_WOULD_CHANGE


def _plan_against(arguments: argparse.Namespace, translation: Translation) -> WholePlan | None:
    """Against what ``ip xfrm policy`` printed on another host; nothing there is ours."""
    path = Path(arguments.against)
    reading = read_policies(path.read_text(encoding="utf-8", errors="replace"), str(path))
    for problem in reading.diagnostics:
        _show(arguments, [problem])
    if reading.diagnostics:
        print(
            f"eroute-translate plan: {path} could not be read as a whole; nothing is compared",
            file=sys.stderr,
        )
        return None
    plan = make_plan(
        wanted_policies(translation),
        [entry.policy for entry in reading.entries],
        {},
        replace_foreign=arguments.replace_foreign,
    )
    return WholePlan(
        plan,
        plan_states(wanted_states(translation), (), {}),
        firewall_changes=bool(translation.firewall),
        places=origins(translation),
        state_places=state_origins(translation),
    )


# -- apply


def _apply(arguments: argparse.Namespace) -> int:
    translation, code = _translation(arguments)
    if translation is None:
        return code
    journal = _journal(arguments)
    kernel = _kernel(arguments)
    with journal.locked():
        pending = _pending(journal)
        if pending is not None:
            print(_pending_text(pending, arguments), file=sys.stderr)
            return EXIT_STALE
        plan = _make(arguments, journal, kernel, translation)
        machine = arguments.format == "json"
        if plan.conflicts:
            print_plan(plan, machine=machine)
            print(
                "eroute-translate apply: what belongs to others stands where ours belongs; nothing"
                " was done. Look at it, or say --replace-foreign",
                file=sys.stderr,
            )
            return EXIT_STALE
        if plan.around.unprotected and not arguments.despite_disable_xfrm:
            for line in describe(plan.around):
                print(f"  {line}", file=sys.stderr)
            print(
                "eroute-translate apply: policies would not hold on every interface; nothing was"
                " done. --despite-disable-xfrm goes on",
                file=sys.stderr,
            )
            return EXIT_FAILED
        if plan.empty:
            print(f"nothing to change: {plan.policies.kept} policies are in place")
            return _persist_only(arguments, journal, translation)
        if not arguments.yes:
            print_plan(plan, machine=machine)
            if not _asked("apply", f"apply these {plan.changes} changes?"):
                return EXIT_USAGE
        return _carry_out(arguments, journal, kernel, plan, render_firewall(translation))


def _persist_only(arguments: argparse.Namespace, journal: Journal, translation: Translation) -> int:
    """Save what is in place already for the next boot."""
    if arguments.persist:
        journal.write_saved(
            journal.owned_policies(),
            journal.read_owned_states().values(),
            render_firewall(translation),
        )
        journal.finish()
        write_unit(arguments)
    return EXIT_DONE


def _asked(verb: str, question: str) -> bool:
    if not sys.stdin.isatty():
        print(
            f"eroute-translate {verb}: no terminal to ask on; say --yes to go on", file=sys.stderr
        )
        return False
    print(f"{question} [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _carry_out(
    arguments: argparse.Namespace,
    journal: Journal,
    kernel: Channel,
    plan: WholePlan,
    rules: str,
) -> int:
    dogs: list[watchdog.Watchdog] = []
    firewall = Firewall(arguments.netns)

    def started(record: Record) -> None:
        dogs.append(watchdog.start(journal, record.identity, lambda: _kernel(arguments), firewall))

    try:
        with _signals_raise():
            result = apply(
                kernel,
                journal,
                plan.policies,
                firewall=firewall,
                rules=rules,
                states=plan.states,
                persist=arguments.persist,
                confirm_within=arguments.confirm_within,
                progress=_Progress(),
                started=started,
                connect=lambda: _kernel(arguments),
            )
    except ApplyError as error:
        if error.rolled_back:
            for dog in dogs:
                dog.in_place()
            print(f"eroute-translate apply: {error}; everything is as it was", file=sys.stderr)
            _tell_cause(error, plan)
            return EXIT_ROLLED_BACK
        # The watchdog tries again as soon as we are gone.
        print(f"eroute-translate apply: {error}", file=sys.stderr)
        _tell_cause(error, plan)
        for text in error.left:
            print(f"  left: {text}", file=sys.stderr)
        return EXIT_LEFT
    if not all(dog.in_place() for dog in dogs) and result.deadline:
        return _unwatched(arguments, journal, firewall)
    if arguments.persist:
        write_unit(arguments)
    _tell_result(arguments, result)
    return EXIT_DONE


def _tell_cause(error: BaseException, plan: WholePlan) -> None:
    """Say where a refused policy or state came from, and what to do."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KernelError):
            item = cause.refused if isinstance(cause, BulkError) else None
            place = ""
            if isinstance(item, Policy):
                place = plan.places.get(item.key, "")
            elif isinstance(item, State):
                place = plan.state_places.get(item.key, "")
            if place:
                print(f"  it comes from {place}", file=sys.stderr)
            if cause.hint:
                print(f"  {cause.hint}", file=sys.stderr)
            return
        cause = cause.__cause__


def _unwatched(arguments: argparse.Namespace, journal: Journal, firewall: Firewall) -> int:
    """Nobody is left to take the changes back in time: that must not depend on the operator."""
    record = journal.read()
    if record is not None:
        roll_back(_kernel(arguments), journal, record, firewall)
    print(
        "eroute-translate apply: the process that would roll back was killed; everything is as it"
        " was",
        file=sys.stderr,
    )
    return EXIT_ROLLED_BACK


def _tell_result(arguments: argparse.Namespace, result: Result) -> None:
    print(f"{result.changes} changes are in place")
    if result.deadline:
        netns = f" --netns {arguments.netns}" if arguments.netns else ""
        until = time.strftime("%H:%M:%S", time.localtime(result.deadline))
        print(
            f"they are taken back at {until} unless you say\n  eroute-translate confirm{netns}",
            flush=True,
        )


@contextmanager
def _signals_raise() -> Iterator[None]:
    """SIGTERM and SIGHUP lead back like Ctrl-C does; a second one is ignored meanwhile."""

    def raise_once(number: int, _frame: FrameType | None) -> None:
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)
        raise KeyboardInterrupt(signal.Signals(number).name)

    # What nohup(1) made deaf stays so.
    names = [
        name
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(name) is not signal.SIG_IGN
    ]
    before = {name: signal.signal(name, raise_once) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


class _Progress:
    """A line on the terminal, for what takes more than a second."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if not sys.stderr.isatty() or time.monotonic() - self.began < 1:
            return
        end = "\n" if done == total else "\r"
        print(f"{done * 100 // total:3d} % of {total} changes", end=end, file=sys.stderr)


# -- confirm, rollback, status


def _pending_text(record: Record, arguments: argparse.Namespace) -> str:
    netns = f" --netns {arguments.netns}" if arguments.netns else ""
    what = {
        Phase.APPLYING: "an apply that did not end",
        Phase.UNCONFIRMED: "an apply that waits for its confirmation",
        Phase.ROLLING_BACK: "a rollback that did not end",
    }[record.phase]
    return (
        f"eroute-translate: there is {what} ({len(record.changes)} changes);"
        f" `eroute-translate confirm{netns}` keeps it, `eroute-translate rollback{netns}` takes it"
        " back"
    )


def _pending(journal: Journal) -> Record | None:
    """The transaction that is not over; one of an earlier boot is, and is forgotten aloud."""
    record = journal.read()
    if record is not None and record.boot != journal.boot:
        journal.forget()
        print(
            "eroute-translate: an apply before the last boot did not end; its policies are gone",
            file=sys.stderr,
        )
        return None
    return record


def _confirm(arguments: argparse.Namespace) -> int:
    journal = _journal(arguments)
    with journal.locked(wait=True):
        record = _pending(journal)
        if record is None:
            print("nothing waits for a confirmation")
            return EXIT_NOTHING
        if record.phase is not Phase.UNCONFIRMED:
            print(_pending_text(record, arguments), file=sys.stderr)
            return EXIT_STALE
        commit(journal, record)
    print(f"{len(record.changes)} changes are kept")
    return EXIT_DONE


def _rollback(arguments: argparse.Namespace) -> int:
    journal = _journal(arguments)
    with journal.locked(wait=True):
        record = journal.read()
        if record is None:
            print("nothing to take back")
            return EXIT_NOTHING
        question = f"take back {len(record.changes)} changes?"
        if not arguments.yes and not _asked("rollback", question):
            return EXIT_USAGE
        try:
            firewall = Firewall(arguments.netns)
            count = roll_back(_kernel(arguments), journal, record, firewall, _Progress())
        except ApplyError as error:
            print(f"eroute-translate rollback: {error}", file=sys.stderr)
            for text in error.left:
                print(f"  left: {text}", file=sys.stderr)
            return EXIT_LEFT
    print(f"{count} changes were taken back")
    return EXIT_DONE


def _status(arguments: argparse.Namespace) -> int:
    journal = _journal(arguments)
    kernel = _kernel(arguments)
    record = journal.read()
    owned, owned_states = journal.owned_policies(), journal.read_owned_states()
    if record is not None and record.phase is Phase.UNCONFIRMED:
        owned, owned_states = owned_after(journal, record), owned_states_of(journal, record)
    ours = list(owned)
    plan = plan_of_dump(ours, kernel.datagrams(), journal.owned_messages())
    live_states = {state.key: state for state in kernel.dump_states()} if owned_states else {}
    lost = [
        state
        for key, state in owned_states.items()
        if key not in live_states or not same_state(live_states[key], state)
    ]
    saved = journal.read_saved() if record is None else None
    if record is not None:
        print(_pending_text(record, arguments))
    print(f"{len(ours)} policies are ours, {plan.others} of others or changed")
    if owned_states:
        print(f"{len(owned_states)} states are ours")
    lost_policies = [c.new for c in (*plan.changes, *plan.conflicts) if c.new is not None]
    for policy in lost_policies:
        print(f"? {policy_arguments(policy)}  (ours, but changed or removed by somebody else)")
    for state in lost:
        print(f"? {name_of(state)}  (ours, but changed or removed, or its life is over)")
    for line in describe(look_around(arguments.netns, plan.sockets)):
        print(f"* {line}")
    if saved is not None:
        agrees = set(saved.policies) == {p._replace(index=0) for p in ours}
        print(
            f"the next boot installs {len(saved.policies)} policies"
            + ("" if agrees else ", which are not those that are in place now")
        )
    return EXIT_STALE if lost_policies or lost or record is not None else EXIT_DONE


# -- restore


def write_unit(arguments: argparse.Namespace) -> None:
    """Have the next boot restore what was saved."""
    program = Path(sys.argv[0]).resolve()
    command = [str(program)]
    if program.name == "__main__.py":
        command = [sys.executable, "-m", str(__package__).partition(".")[0]]
    folder = str(Path(arguments.state_folder).resolve())
    command += ["restore", "--state-folder", folder]
    if arguments.netns:
        command += ["--netns", arguments.netns]
    text = render_unit(command, folder)
    path = install_unit(text, Path(arguments.unit_folder))
    print(f"the next boot installs them before the network is up ({path})")


def _restore(arguments: argparse.Namespace) -> int:
    journal = _journal(arguments)
    if arguments.remove:
        there = remove_unit(Path(arguments.unit_folder))
        with journal.locked(wait=True):
            journal.forget_saved()
        print("the next boot installs nothing" if there else "there was no unit to remove")
        return EXIT_DONE
    with journal.locked(wait=True):
        saved = journal.read_saved()
        if saved is None:
            print("nothing was saved: `apply --persist` does it", file=sys.stderr)
            return EXIT_NOTHING
        restored = restore(
            _kernel(arguments), journal, saved, Firewall(arguments.netns), _Progress()
        )
    if restored.failure:
        print(
            f"eroute-translate restore: {restored.failure}; what the saved policies protected or"
            f" blocked is blocked now ({restored.blocked} policies)",
            file=sys.stderr,
        )
        return EXIT_FAILED
    changes = restored.result.changes if restored.result else 0
    print(f"{changes} changes are in place")
    return EXIT_DONE
