"""``convert`` for a key daemon: its own summary, findings and exit code."""

from __future__ import annotations

import argparse

from ..daemon_text import DAEMON_OF, DaemonPage, daemon_summary, render_daemon
from ..diagnostics import Collector, Severity
from ..klips.host import KlipsHost
from ..mapping.daemons.configuration import configure
from ..render import Target
from ..report import read_summary
from . import EXIT_DIFFERENT, EXIT_DONE, EXIT_FAILED, EXIT_NOTHING, EXIT_REFUSED
from .mapping_options import mapping_options
from .terminal import show_as_asked, tell_summary, write_output


def convert_for_daemon(
    arguments: argparse.Namespace,
    host: KlipsHost,
    collector: Collector,
    names: list[str],
    complete: bool,
) -> int:
    """Print the configuration of the daemon; return the exit code (docs/exit-codes.md)."""
    configuration = configure(
        host,
        mapping_options(arguments),
        DAEMON_OF[Target(arguments.to)],
        partial=arguments.allow_partial,
    )
    page = DaemonPage(
        configuration, host, tuple(names), tuple(collector.items), arguments.allow_partial
    )
    empty = not configuration.connections
    if not empty:
        write_output(render_daemon(page), arguments.output)
    show_as_asked(arguments, collector.items if empty else page.findings)
    if empty:
        return EXIT_NOTHING if complete else EXIT_FAILED
    code = EXIT_DONE
    if not complete:
        code = EXIT_FAILED
    elif host.unread or any(item.severity is Severity.ERROR for item in page.findings):
        code = EXIT_REFUSED
    elif arguments.strict and configuration.counts["approximated"]:
        code = EXIT_DIFFERENT
    tell_summary(arguments, code, (*read_summary(host), daemon_summary(configuration)))
    return code
