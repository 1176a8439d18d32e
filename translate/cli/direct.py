"""The direct form: ``eroute-translate ipsec eroute --add ...``, after iptables-translate."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..daemon_text import DAEMON_OF, DaemonPage, render_daemon
from ..diagnostics import Collector, Diagnostic, Severity, Span
from ..klips.command import parse_eroute_command
from ..klips.eroute import Eroute
from ..klips.eroute_options import Action, ErouteCommand
from ..klips.host import KlipsHost
from ..klips.key import without_keys
from ..klips.lookup import KEY_BITS, row_of
from ..klips.said import SA_INT, SHUNTS
from ..klips.words import Word
from ..mapping.daemons.configuration import configure
from ..mapping.model import POLICIES_PER_PLACE, Options
from ..mapping.translation import translate
from ..net import WIDTH
from ..render import Page, Target, render, render_command, render_user_template
from . import EXIT_DONE, EXIT_NOTHING, EXIT_REFUSED, EXIT_USAGE
from .mapping_options import mapping_options
from .run import exit_code
from .terminal import show_as_asked, write_output

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACE = "<command line>"


def words_of(arguments: Sequence[str]) -> list[Word]:
    """The words of a command line with their columns in the line that they make."""
    words = []
    column = 1
    for text in arguments:
        words.append(Word(text, Span(PLACE, 1, column, column + len(text), 1)))
        column += len(text) + 1
    return words


def direct(arguments: argparse.Namespace) -> int:
    """Translate one ``ipsec eroute`` command line."""
    given = list(arguments.words)
    if not given or given[0] != "eroute":
        print(
            "eroute-translate ipsec: expected `ipsec eroute` and its options; for a table use"
            " `eroute-translate convert`",
            file=sys.stderr,
        )
        return EXIT_USAGE
    collector = Collector()
    command = parse_eroute_command(words_of(["ipsec", *given])[2:], collector)
    if command is None:
        _show(arguments, collector.items)
        return EXIT_REFUSED
    match command.action:
        case Action.LIST:
            _show(arguments, collector.items)
            print("ip xfrm policy list")
            return EXIT_DONE
        case Action.CLEAR:
            return _clear(arguments, command, collector)
        case Action.ADD_IN | Action.REPLACE_IN:
            return _inbound(arguments, command, collector)
        case _:
            return _one(arguments, command, collector)


def _one(arguments: argparse.Namespace, command: ErouteCommand, collector: Collector) -> int:
    """``--add``, ``--replace`` and ``--del``."""
    if command.eroute is None:
        raise ValueError("the command has no eroute")
    removing = command.action is Action.DELETE
    eroute = command.eroute
    if removing:
        # --del names no SAID.  A %trap has the selector and all exemptions of a shunt.
        eroute = eroute._replace(saids=(SHUNTS["%trap"],))
        collector.add(
            Diagnostic(
                "ET219",
                Severity.WARNING,
                "KLIPS dropped packets without an eroute; XFRM passes them in clear",
                command.span,
                hint="put another policy in its place first, if the traffic must not go in clear",
            )
        )
    host = KlipsHost((eroute,), insertion_known=True)
    translation = translate(host, _options(arguments, eroute))
    page = Page(translation, (PLACE,), tuple(collector.items), allow_partial=False)
    pieces: Iterator[str]
    if arguments.template:
        pieces = render_user_template(page, Path(arguments.template))
    elif arguments.to in DAEMON_OF:
        return _for_daemon(arguments, host, collector, removing=removing)
    elif removing:
        pieces = render_command(page, removing=True, least=arguments.priority_base)
    elif arguments.to is Target.IP_XFRM:
        pieces = render_command(page, removing=False)
    else:
        pieces = render(page, Target(arguments.to))
    code = exit_code(arguments, translation, page.findings, complete=True)
    if code != EXIT_REFUSED or arguments.to is not Target.IP_XFRM:
        write_output(pieces, None)
    _show(arguments, page.findings)
    return code


def _for_daemon(
    arguments: argparse.Namespace, host: KlipsHost, collector: Collector, *, removing: bool
) -> int:
    """A connection for a key daemon, most of it to be filled in."""
    if removing:
        print(
            "eroute-translate ipsec: a connection is taken out of the daemon's own file; --del"
            f" has no translation --to {arguments.to}",
            file=sys.stderr,
        )
        return EXIT_USAGE
    configuration = configure(host, mapping_options(arguments), DAEMON_OF[arguments.to])
    page = DaemonPage(configuration, host, (PLACE,), tuple(collector.items))
    write_output(render_daemon(page), None)
    _show(arguments, page.findings)
    errors = any(item.severity is Severity.ERROR for item in page.findings)
    return EXIT_REFUSED if errors else EXIT_DONE


def _options(arguments: argparse.Namespace, eroute: Eroute) -> Options:
    """Numbers for one eroute alone, so that commands translated one by one fit together.

    The priority follows from the selector, finer ones first; the reqid from the SPI.
    """
    options = mapping_options(arguments)
    mask = row_of(eroute.selector).mask
    longest = KEY_BITS[eroute.selector.family]
    source = eroute.selector.source.mask.bit_count()
    # The source decides before the rest, as larger keys win where two eroutes cross.
    place = (WIDTH[eroute.selector.family] - source) * (longest + 1) + longest - mask.bit_count()
    reqid = options.reqid
    if reqid is None and eroute.said.protocol != SA_INT:
        reqid = options.reqid_base + 1 + (eroute.said.spi & 0xFFFFF)
    return replace(
        options, priority_base=options.priority_base + POLICIES_PER_PLACE * place, reqid=reqid
    )


def _clear(arguments: argparse.Namespace, command: ErouteCommand, collector: Collector) -> int:
    if arguments.allow_flush:
        collector.add(
            Diagnostic(
                "ET124",
                Severity.WARNING,
                "this removes the policies of everybody on this host, and traffic goes in clear",
                command.span,
            )
        )
        _show(arguments, collector.items)
        print("ip xfrm policy flush ptype main")
        return EXIT_DONE
    collector.add(
        Diagnostic(
            "ET124",
            Severity.ERROR,
            "--clear removed all eroutes and KLIPS then dropped every packet; `ip xfrm policy"
            " flush` would remove the policies of others too and let packets pass in clear",
            command.span,
            hint="remove single eroutes with --del, or say --allow-flush",
        )
    )
    _show(arguments, collector.items)
    return EXIT_REFUSED


def _inbound(arguments: argparse.Namespace, command: ErouteCommand, collector: Collector) -> int:
    """``--addin``: a check of decapsulated packets, which the mirrored policies make anyway."""
    collector.add(
        Diagnostic(
            "ET123",
            Severity.NOTE,
            "--addin set the addresses that packets out of a tunnel may have; the in and fwd"
            " policies that come with the outbound eroute check that",
            command.span,
            hint="translate the outbound eroute (--add)",
        )
    )
    _show(arguments, collector.items)
    return EXIT_NOTHING


def _show(arguments: argparse.Namespace, items: Sequence[Diagnostic]) -> None:
    # A command line may hold a key, if it was one of ipsec spi.
    covered = [
        replace(item, message=without_keys(item.message), excerpt=without_keys(item.excerpt))
        for item in items
    ]
    show_as_asked(arguments, covered)
