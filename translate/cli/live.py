"""The verbs that look at or change a running kernel: plan, apply, confirm, rollback, status."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from ..apply import watchdog
from ..apply.firewall import Firewall, FirewallError
from ..apply.journal import (
    Journal,
    JournalError,
    Phase,
    Record,
    life_of,
    target_folder,
)
from ..apply.plan import SOCKET_DIRECTIONS, Change, Plan, Verb, make_plan
from ..apply.ruleset import origins, wanted_policies
from ..apply.transaction import ApplyError, Result, apply, commit, owned_after, roll_back
from ..mapping.translation import Translation, translate
from ..render import policy_json, render_firewall
from ..report import summary
from ..xfrm.bulk import Channel
from ..xfrm.errors import KernelError
from ..xfrm.model import Policy, PolicyKey
from ..xfrm.text import policy_arguments
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
from .run import exit_code, read_host
from .terminal import show, wants_colour

GLYPHS = {Verb.ADD: "+", Verb.REPLACE: "~", Verb.REMOVE: "-"}
COLOURS = {Verb.ADD: "\x1b[32m", Verb.REPLACE: "\x1b[33m", Verb.REMOVE: "\x1b[31m"}


def live(arguments: argparse.Namespace) -> int:
    """Run one of the verbs; failures of kernel and journal become exit codes."""
    verbs = {
        "plan": _plan,
        "apply": _apply,
        "confirm": _confirm,
        "rollback": _rollback,
        "status": _status,
    }
    try:
        return verbs[arguments.verb](arguments)
    except (KernelError, JournalError, FirewallError, ValueError) as error:
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
    host, collector, _, complete = read_host(arguments)
    if not host.rows:
        _show(arguments, collector.items)
        return None, EXIT_NOTHING if complete else EXIT_FAILED
    translation = translate(host, mapping_options(arguments))
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
) -> tuple[Plan, dict[PolicyKey, Policy]]:
    owned = journal.read_owned()
    plan = make_plan(
        wanted_policies(translation),
        kernel.dump(),
        owned,
        replace_foreign=arguments.replace_foreign,
    )
    return plan, owned


# -- plan


def _plan(arguments: argparse.Namespace) -> int:
    translation, code = _translation(arguments)
    if translation is None:
        return code
    journal = _journal(arguments)
    plan, _ = _make(arguments, journal, _kernel(arguments), translation)
    _print_plan(arguments, plan, origins(translation))
    if plan.conflicts:
        return EXIT_STALE
    return EXIT_DONE if plan.empty else EXIT_WOULD_CHANGE


def _print_plan(arguments: argparse.Namespace, plan: Plan, places: Mapping[PolicyKey, str]) -> None:
    if arguments.format == "json":
        print(json.dumps(_plan_json(plan, places), indent=1, sort_keys=True))
        return
    colour = wants_colour(sys.stdout)
    for change in plan.changes:
        print(_line(change, places, colour=colour))
    for change in plan.conflicts:
        if change.old is not None:
            print(f"! {policy_arguments(change.old)}  (of somebody else, in the place of ours)")
    for policy in plan.drifted:
        print(f"? {policy_arguments(policy)}  (ours, but changed or removed by somebody else)")
    for foreign in plan.foreign:
        wins = "wins over" if foreign.wins else "loses to"
        print(f"  {policy_arguments(foreign.policy)}  (of somebody else, {wins} ours)")
    counts = {verb: sum(c.verb is verb for c in plan.changes) for verb in Verb}
    print(
        f"{counts[Verb.ADD]} to add, {counts[Verb.REPLACE]} to replace,"
        f" {counts[Verb.REMOVE]} to remove, {plan.kept} in place"
        + (f", {len(plan.conflicts)} in conflict" if plan.conflicts else "")
    )


def _line(change: Change, places: Mapping[PolicyKey, str], *, colour: bool) -> str:
    policy = change.new or change.old
    if policy is None:
        raise ValueError("a change without a policy")
    place = places.get(change.key, "")
    before = "" if change.verb is not Verb.REPLACE or change.old is None else _was(change.old)
    text = f"{GLYPHS[change.verb]} {policy_arguments(policy)}{before}"
    if place:
        text += f"  # {place}"
    return f"{COLOURS[change.verb]}{text}\x1b[0m" if colour else text


def _was(policy: Policy) -> str:
    return f"  (was {policy.action}, priority {policy.priority})"


def _plan_json(plan: Plan, places: Mapping[PolicyKey, str]) -> dict[str, object]:
    def change_json(change: Change) -> dict[str, object]:
        return {
            "verb": change.verb.value,
            "old": None if change.old is None else policy_json(change.old),
            "new": None if change.new is None else policy_json(change.new),
            "origin": places.get(change.key),
        }

    return {
        "format": "eroute-translate-plan",
        "version": 1,
        "changes": [change_json(change) for change in plan.changes],
        "conflicts": [change_json(change) for change in plan.conflicts],
        "drifted": [policy_json(policy) for policy in plan.drifted],
        "foreign": [
            {"policy": policy_json(f.policy), "ours": policy_json(f.ours), "wins": f.wins}
            for f in plan.foreign
        ],
        "kept": plan.kept,
    }


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
        plan, owned = _make(arguments, journal, kernel, translation)
        if plan.conflicts:
            _print_plan(arguments, plan, origins(translation))
            print(
                "eroute-translate apply: policies of others stand where ours belong; nothing was"
                " done. Look at them, or say --replace-foreign",
                file=sys.stderr,
            )
            return EXIT_STALE
        same_rules = bool(translation.firewall) == bool(Firewall(arguments.netns).read())
        if plan.empty and same_rules:
            print(f"nothing to change: {plan.kept} policies are in place")
            return EXIT_DONE
        if not arguments.yes and not _agreed(arguments, plan, translation):
            return EXIT_USAGE
        rules = render_firewall(translation)
        return _carry_out(arguments, journal, kernel, plan, owned, rules)


def _agreed(arguments: argparse.Namespace, plan: Plan, translation: Translation) -> bool:
    _print_plan(arguments, plan, origins(translation))
    return _asked("apply", f"apply these {len(plan.changes)} changes?")


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
    plan: Plan,
    owned: Mapping[PolicyKey, Policy],
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
                plan,
                owned,
                firewall=firewall,
                rules=rules,
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
            return EXIT_ROLLED_BACK
        # The watchdog tries again as soon as we are gone.
        print(f"eroute-translate apply: {error}", file=sys.stderr)
        for text in error.left:
            print(f"  left: {text}", file=sys.stderr)
        return EXIT_LEFT
    if not all(dog.in_place() for dog in dogs) and result.deadline:
        return _unwatched(arguments, journal, firewall)
    _tell_result(arguments, result)
    return EXIT_DONE


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
    record = journal.read()
    owned = journal.read_owned()
    if record is not None and record.phase is Phase.UNCONFIRMED:
        owned = owned_after(record)
    policies = [p for p in _kernel(arguments).dump() if p.direction not in SOCKET_DIRECTIONS]
    plan = make_plan(owned.values(), policies, owned)
    if record is not None:
        print(_pending_text(record, arguments))
    print(f"{len(owned)} policies are ours, {len(policies) - plan.kept} of others or changed")
    for policy in plan.drifted:
        print(f"? {policy_arguments(policy)}  (ours, but changed or removed by somebody else)")
    return EXIT_STALE if plan.drifted or record is not None else EXIT_DONE
