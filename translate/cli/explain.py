"""The verb ``explain``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ..diagnostics import Collector
from ..equivalence.exact import translate_exactly
from ..explain import walk
from ..net import Packet, parse_protocol
from . import EXIT_DONE, EXIT_FAILED, EXIT_NOTHING, EXIT_USAGE
from .mapping_options import mapping_options
from .terminal import show_as_asked

if TYPE_CHECKING:
    from ..klips.host import KlipsHost


def explain(
    arguments: argparse.Namespace,
    host: KlipsHost,
    collector: Collector,
    _names: list[str],
    complete: bool,
) -> int:
    """Print the walk of one packet through both lookups."""
    problem = _usage(arguments)
    if problem:
        print(f"eroute-translate explain: {problem}", file=sys.stderr)
        return EXIT_USAGE
    show_as_asked(arguments, collector.items)
    if not host.rows:
        return EXIT_NOTHING if complete else EXIT_FAILED
    family, source = arguments.src
    packet = Packet(
        family,
        source,
        arguments.dst[1],
        parse_protocol(arguments.protocol),
        arguments.sport,
        arguments.dport,
    )
    for line in walk(
        translate_exactly(host, mapping_options(arguments)), packet, arguments.direction
    ):
        print(line)
    return EXIT_DONE if complete else EXIT_FAILED


def _usage(arguments: argparse.Namespace) -> str:
    if arguments.src[0] != arguments.dst[0]:
        return "--src and --dst are of two address families"
    try:
        parse_protocol(arguments.protocol)
    except ValueError as error:
        return str(error)
    return ""
