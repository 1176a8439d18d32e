"""The verbs ``plan`` and ``apply``: a translation against the kernel, shown or carried out."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from ..apply import watchdog
from ..apply.firewall import NFT_IS_MISSING, Firewall, FirewallError, same_rules
from ..apply.journal import Journal, Record, Saved, clock
from ..apply.kernel import ApplyError
from ..apply.plan import make_plan, plan_of_dump
from ..apply.ruleset import origins, state_origins, wanted_policies, wanted_states
from ..apply.states import StatePlan, plan_states
from ..apply.stored import JournalError
from ..apply.surroundings import describe, look_around
from ..apply.transaction import Result, apply, roll_back
from ..apply.uncovered import uncovered
from ..apply.unit import UnitError
from ..diagnostics import Collector, DiscreetCollector
from ..equivalence.exact import translate_exactly
from ..mapping.translation import Translation
from ..render import render_firewall
from ..report import summary
from ..xfrm.bulk import Channel
from ..xfrm.errors import KernelError
from ..xfrm.model import Policy, State
from ..xfrm.outcome import BulkError
from ..xfrm.read_text import read_policies
from ..xfrm.sieve import Sieve
from . import (
    EXIT_DIFFERENT,
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
from .mapping_options import mapping_options
from .persist import unit_to_write, write_unit
from .plan_text import WholePlan, others_that_pass, print_plan, uncovered_lines
from .progress import Progress, busy
from .run import exit_code
from .sources import read_host
from .target import (
    FAILURES,
    asked,
    counted,
    journal_of,
    kernel_again,
    kernel_of,
    of_earlier_boot,
    pending_of,
    pending_text,
    same_target,
)
from .terminal import show_as_asked, told_or_not


def _translation(arguments: argparse.Namespace) -> tuple[Translation | None, int]:
    """The translation of the input, or ``None`` and the exit code that says why not."""
    if arguments.interface != "none":
        print(
            f"eroute-translate {arguments.verb}: links and routes are not made here, so that"
            " --interface xfrm is refused: `convert --interface xfrm` prints a script for it",
            file=sys.stderr,
        )
        return None, EXIT_USAGE
    with busy("reading"):
        host, collector, _, complete = read_host(arguments)
    if not host.rows:
        show_as_asked(arguments, collector.items)
        print("eroute-translate: no eroutes; what is in place is left as it is", file=sys.stderr)
        return None, EXIT_NOTHING if complete else EXIT_FAILED
    with busy("translating"):
        translation = translate_exactly(host, mapping_options(arguments))
    items = (*collector.items, *translation.findings)
    show_as_asked(arguments, items)
    code = exit_code(arguments, translation, items, complete)
    stops = code in (EXIT_FAILED, EXIT_DIFFERENT)
    if stops or (code == EXIT_REFUSED and not arguments.allow_partial):
        why = ", since --strict was given" if code == EXIT_DIFFERENT else ""
        print(f"eroute-translate: {summary(translation)}; nothing was done{why}", file=sys.stderr)
        return None, code
    return translation, EXIT_DONE


def _make(
    arguments: argparse.Namespace, journal: Journal, kernel: Channel, translation: Translation
) -> WholePlan:
    plan = plan_of_dump(
        Sieve(wanted_policies(translation)),
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
    firewall = Firewall(arguments.netns)
    there = bool(firewall.read())
    around = look_around(arguments.netns, plan.sockets)
    return WholePlan(
        plan,
        states,
        firewall_changes=not same_rules(rules, journal.read_owned_rules()) or bool(rules) != there,
        around=around,
        uncovered=uncovered(plan, around.defaults),
        lacks_nft=bool(rules) and not firewall.available,
        places=origins(translation),
        state_places=state_origins(translation),
    )


def plan_verb(arguments: argparse.Namespace) -> int:
    """Show what would change; return the exit code."""
    translation, code = _translation(arguments)
    if translation is None:
        return code
    if arguments.against:
        plan = _plan_against(arguments, translation)
        if plan is None:
            return EXIT_FAILED
    else:
        journal = journal_of(arguments)
        record = journal.read()
        if record is not None and not of_earlier_boot(record, journal):
            print(pending_text(record, arguments), file=sys.stderr)
        with busy("comparing"):
            plan = plan_of_target(arguments, translation)
        # What is only needed to carry it out is let go, for a large plan takes much to print.
        plan = replace(plan, policies=replace(plan.policies, wanted=None, live=()))
    print_plan(plan, machine=arguments.format == "json")
    if plan.conflicts:
        return EXIT_STALE
    return EXIT_DONE if plan.empty else EXIT_WOULD_CHANGE


def plan_of_target(arguments: argparse.Namespace, translation: Translation) -> WholePlan:
    """What ``apply`` would change now; raises :class:`KernelError`, ``ValueError`` and others."""
    return _make(arguments, journal_of(arguments), kernel_of(arguments), translation)


def _plan_against(arguments: argparse.Namespace, translation: Translation) -> WholePlan | None:
    """Against what ``ip xfrm policy`` printed on another host; nothing there is ours."""
    path = Path(arguments.against)
    reading = read_policies(path.read_text(encoding="utf-8", errors="replace"), str(path))
    found = DiscreetCollector(Collector())  # beside policies it may hold states
    for problem in reading.diagnostics:
        found.add(problem)
    show_as_asked(arguments, found.items)
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


def apply_verb(arguments: argparse.Namespace) -> int:
    """Carry it out; return the exit code."""
    translation, code = _translation(arguments)
    if translation is None:
        return code
    journal = journal_of(arguments)
    if arguments.persist:
        unit_to_write(arguments)
    kernel = kernel_of(arguments)
    with journal.locked():
        pending = pending_of(journal)
        if pending is not None:
            print(pending_text(pending, arguments), file=sys.stderr)
            return EXIT_STALE
        with busy("comparing"):
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
        if plan.lacks_nft:
            raise FirewallError(f"{NFT_IS_MISSING}; nothing was done")
        if plan.empty:
            print(f"nothing to change: {plan.policies.kept} policies are in place")
            if arguments.persist:
                return _persist_only(arguments, journal, _saved(plan, translation))
            return EXIT_DONE
        if not arguments.yes:
            print_plan(plan, machine=machine)
            clear = ", after which what was kept leaves in clear" if plan.uncovered else ""
            if not asked("apply", f"apply these {counted(plan.changes)}{clear}?"):
                return EXIT_USAGE
        elif plan.uncovered and not _clear_allowed(arguments, plan):
            return EXIT_REFUSED
        return _carry_out(arguments, journal, kernel, plan, _saved(plan, translation))


def _clear_allowed(arguments: argparse.Namespace, plan: WholePlan) -> bool:
    """Tell what would leave in clear, and whether that was allowed by name."""
    for line in uncovered_lines(plan.uncovered):
        print(f"  {line}", file=sys.stderr)
    if not arguments.allow_clear:
        print(
            "eroute-translate apply: no eroute covers any more what is protected or blocked now;"
            " nothing was done. A table that was cut looks like that: take it again, whole."
            " --allow-clear goes on",
            file=sys.stderr,
        )
    return bool(arguments.allow_clear)


def _saved(plan: WholePlan, translation: Translation) -> Saved:
    """All that is wanted, whoever installed it: it is gone with the next boot."""
    wanted = plan.policies.wanted
    policies = wanted_policies(translation) if wanted is None else wanted.policies
    return Saved(tuple(policies), tuple(wanted_states(translation)), render_firewall(translation))


def _persist_only(arguments: argparse.Namespace, journal: Journal, saved: Saved) -> int:
    """Save what is in place already for the next boot; return the exit code."""
    journal.write_saved(saved)
    journal.finish()
    return _unit_written(arguments, confirmed=True)


def _carry_out(
    arguments: argparse.Namespace,
    journal: Journal,
    kernel: Channel,
    plan: WholePlan,
    saved: Saved,
) -> int:
    dogs: list[watchdog.Watchdog] = []
    firewall = Firewall(arguments.netns)

    def started(record: Record) -> None:
        dogs.append(
            watchdog.start(
                journal, record.identity, lambda: kernel_again(arguments, journal), firewall
            )
        )

    try:
        with signals_raise(), Progress("sending changes") as progress:
            result = apply(
                kernel,
                journal,
                plan.policies,
                firewall=firewall,
                rules=saved.firewall,
                states=plan.states,
                save=saved if arguments.persist else None,
                confirm_within=arguments.confirm_within,
                progress=progress,
                started=started,
                connect=lambda: kernel_again(arguments, journal),
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
    with told_or_not():
        _tell_result(arguments, result)
        passing = others_that_pass(plan)
        if passing and not arguments.quiet:
            print(
                f"{passing} policies of others let pass in clear, and win over ours where both"
                " match: `plan` names them"
            )
        policies = plan.policies.wanted or Sieve(saved.policies)
        if not arguments.persist and (told := _of_next_boot(journal, policies, saved)):
            print(told)
    if arguments.persist:
        return _unit_written(arguments, confirmed=not result.deadline)
    return EXIT_DONE


def _of_next_boot(journal: Journal, policies: Sieve, saved: Saved) -> str:
    """What to say when the next boot will not install what is in place; else empty."""
    try:
        differs = journal.has_saved(policies, saved) is False
    except JournalError as error:
        return f"the next boot cannot install what was saved before: {error}, or say --persist"
    if differs:
        return "the next boot installs what was saved before, not these: --persist saves them"
    return ""


def _unit_written(arguments: argparse.Namespace, *, confirmed: bool) -> int:
    """Write the unit, when the changes are in place already; return the exit code."""
    try:
        write_unit(arguments, confirmed=confirmed)
    except UnitError as error:
        print(
            f"eroute-translate apply: {error}; the policies are in place, but no unit installs them"
            " at the next boot",
            file=sys.stderr,
        )
        return EXIT_FAILED
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
    told = "eroute-translate apply: the process that would roll back was killed"
    try:
        record = journal.read()
        if record is not None:
            roll_back(kernel_again(arguments, journal), journal, record, firewall)
    except ApplyError as error:
        print(f"{told}; {error}", file=sys.stderr)
        for text in error.left:
            print(f"  left: {text}", file=sys.stderr)
        return EXIT_LEFT
    except FAILURES as error:
        print(
            f"{told}, and the changes are in place yet: {error};"
            f" `eroute-translate rollback{same_target(arguments)}` takes them back",
            file=sys.stderr,
        )
        return EXIT_LEFT
    print(f"{told}; everything is as it was", file=sys.stderr)
    return EXIT_ROLLED_BACK


def _tell_result(arguments: argparse.Namespace, result: Result) -> None:
    print(f"{counted(result.changes)} are in place")
    if result.deadline:
        until = time.strftime("%H:%M:%S", time.localtime(time.time() + result.deadline - clock()))
        print(
            f"they are taken back at {until} unless you say\n"
            f"  eroute-translate confirm{same_target(arguments)}",
            flush=True,
        )


@contextmanager
def signals_raise() -> Iterator[None]:
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
