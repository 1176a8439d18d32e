"""The verb ``report``: the page for the person who signs the change."""

from __future__ import annotations

import argparse

from ..apply.ruleset import origins
from ..equivalence.compare import prove
from ..equivalence.exact import translate_exactly
from ..equivalence.report import conclusion, lines
from ..render import Page
from ..report import read_summary, summary
from ..report_page import Changes, Proved, report
from . import EXIT_DIFFERS, EXIT_DONE, EXIT_FAILED, EXIT_NOTHING, EXIT_STALE
from .mapping_options import mapping_options
from .progress import Progress, busy
from .run import exit_code
from .sources import read_host
from .terminal import show_as_asked, tell_summary, write_output


def report_verb(arguments: argparse.Namespace) -> int:
    """Translate, prove, and print the page; return the exit code."""
    digests: dict[str, str] = {}
    with busy("reading"):
        host, collector, names, complete = read_host(arguments, digests)
    if not host.rows:
        show_as_asked(arguments, collector.items)
        return EXIT_NOTHING if complete else EXIT_FAILED
    with busy("translating"):
        translation = translate_exactly(host, mapping_options(arguments))
    with Progress("proving") as progress:
        proof = prove(translation, None, progress)
    told = lines(
        proof, ("KLIPS", "XFRM"), everything=arguments.verbose, origins=origins(translation)
    )
    proved = Proved(tuple(told), conclusion(proof), proof.equal, tuple(proof.limits))
    page = Page(translation, tuple(names), tuple(collector.items))
    changes = None
    if arguments.live or arguments.netns:
        from .applying import plan_of_target
        from .plan_text import plan_lines
        from .target import FAILURES, failed

        try:
            with busy("comparing"):
                plan = plan_of_target(arguments, translation)
        except FAILURES as error:
            return failed(arguments, error)
        target = f"the namespace {arguments.netns}" if arguments.netns else "this host"
        changes = Changes(target, tuple(plan_lines(plan)), plan.conflicts)
    write_output(report(page, digests, proved, changes), arguments.output)
    show_as_asked(arguments, page.findings)
    code = exit_code(arguments, translation, page.findings, complete)
    if code != EXIT_FAILED and not proof.equal:
        code = EXIT_DIFFERS
    elif code == EXIT_DONE and changes is not None and changes.conflicts:
        code = EXIT_STALE
    accounts = (*read_summary(host), summary(translation), proved.conclusion)
    tell_summary(arguments, code, accounts)
    return code
