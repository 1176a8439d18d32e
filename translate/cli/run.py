"""The verbs."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path

from ..daemon_text import DAEMON_OF
from ..diagnostics import Diagnostic, Severity
from ..equivalence.exact import translate_exactly
from ..mapping.interfaces import with_interfaces
from ..mapping.translation import Translation
from ..render import Page, RenderError, Target, render, render_user_template
from ..report import check_json, read_summary, summary
from ..xfrm.errors import KernelError
from . import (
    EXIT_DIFFERENT,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_NOTHING,
    EXIT_REFUSED,
    EXIT_USAGE,
)
from .mapping_options import mapping_options
from .parser import build_parser
from .progress import busy
from .sources import read_host
from .terminal import (
    exposed,
    give_up_output,
    open_standard_streams,
    show_as_asked,
    tell_summary,
    write_output,
)

WITH_LINKS = (Target.IP_XFRM, Target.IP_BATCH, Target.JSON)
"""The targets that can make links and routes beside the policies."""


def run(argv: Sequence[str]) -> int:
    """Parse the arguments, run the verb, return the exit code."""
    open_standard_streams()
    arguments = build_parser().parse_args(argv)
    # One run, no cycles worth collecting: the collector would walk the whole table many times.
    gc.disable()
    try:
        code = _verb(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        give_up_output()  # the reader went away
        return EXIT_FAILED
    except (OSError, RenderError) as error:
        print(f"eroute-translate: {error}", file=sys.stderr)
        if isinstance(error, KernelError) and error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        give_up_output()
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 128 + 2


def _verb(arguments: argparse.Namespace) -> int:
    match arguments.verb:
        case "convert":
            return _convert(arguments)
        case "check":
            return _check(arguments)
        case "explain":
            from .explain import explain

            return explain(arguments, *read_host(arguments))
        case "verify":
            from .verify import verify

            return verify(arguments)
        case "report":
            from .report import report_verb

            return report_verb(arguments)
        case "plan" | "apply" | "confirm" | "rollback" | "status" | "restore":
            from .live import live

            return live(arguments)
        case _:
            from .direct import direct

            return direct(arguments)


def _convert(arguments: argparse.Namespace) -> int:
    if arguments.interface == "xfrm" and arguments.to not in WITH_LINKS:
        print(
            f"eroute-translate convert: --to {arguments.to} has no place for links and routes;"
            f" --interface xfrm goes with {', '.join(WITH_LINKS)}",
            file=sys.stderr,
        )
        return EXIT_USAGE
    with busy("reading"):
        host, collector, names, complete = read_host(arguments)
    if Target(arguments.to) in DAEMON_OF and not arguments.template:
        from .daemons import convert_for_daemon

        return convert_for_daemon(arguments, host, collector, names, complete)
    if not host.rows:
        show_as_asked(arguments, collector.items)
        return EXIT_NOTHING if complete else EXIT_FAILED
    with busy("translating"):
        translation = translate_exactly(host, mapping_options(arguments))
    if arguments.interface == "xfrm":
        translation = with_interfaces(translation, arguments.attach)
    page = Page(
        translation,
        tuple(names),
        tuple(collector.items),
        arguments.allow_partial,
        arguments.show_keys,
    )
    if arguments.template:
        pieces = render_user_template(page, Path(arguments.template))
    else:
        pieces = render(page, Target(arguments.to))
    warnings = _exposed_keys(arguments, page)
    write_output(pieces, arguments.output)
    show_as_asked(arguments, (*page.findings, *warnings))
    code = exit_code(arguments, translation, page.findings, complete)
    tell_summary(arguments, code, (*read_summary(host), summary(translation)))
    return code


def _exposed_keys(arguments: argparse.Namespace, page: Page) -> tuple[Diagnostic, ...]:
    """A warning if keys go into a file that others may read."""
    scripts = (Target.IP_XFRM, Target.IP_BATCH)
    holds = arguments.to in scripts or arguments.show_keys or bool(arguments.template)
    if not holds or not any(carried.state for carried in page.translation.states):
        return ()
    who = exposed(arguments.output)
    if not who:
        return ()
    return (
        Diagnostic(
            "ET268",
            Severity.WARNING,
            f"the output holds keys, and its file has {who}: others may read them",
            hint="write it with -o FILE, which has mode 0600, or set umask 077 before, and chmod"
            " 0600 this one now",
        ),
    )


def _check(arguments: argparse.Namespace) -> int:
    with busy("reading"):
        host, collector, names, complete = read_host(arguments)
    with busy("translating"):
        translation = translate_exactly(host, mapping_options(arguments))
    items = (*collector.items, *translation.findings)
    if arguments.format == "json":
        print(check_json(translation, items, names))
    else:
        show_as_asked(arguments, items)
        for line in (*read_summary(host), summary(translation)):
            print(line)
    if not host.rows:
        return EXIT_NOTHING if complete else EXIT_FAILED
    return exit_code(arguments, translation, items, complete)


def exit_code(
    arguments: argparse.Namespace,
    translation: Translation,
    items: Sequence[Diagnostic],
    complete: bool,
) -> int:
    """The exit code of a translation (docs/exit-codes.md)."""
    if not complete:
        return EXIT_FAILED
    if translation.refused or any(item.severity is Severity.ERROR for item in items):
        return EXIT_REFUSED
    if arguments.strict and translation.counts["approximated"]:
        return EXIT_DIFFERENT
    return EXIT_DONE
