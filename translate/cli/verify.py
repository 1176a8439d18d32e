"""The verb ``verify``: every packet meets the same fate, or here is one that does not."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..apply.ruleset import origins
from ..diagnostics import Collector
from ..equivalence.compare import Spd, compare_hosts, compare_policies, prove
from ..equivalence.exact import translate_exactly
from ..equivalence.report import lines, proof_json
from ..mapping.translation import Translation
from . import (
    EXIT_DIFFERENT,
    EXIT_DIFFERS,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_NOTHING,
    EXIT_REFUSED,
    EXIT_USAGE,
)
from .mapping_options import mapping_options
from .policies import read_spd, spd_of_kernel
from .progress import Progress
from .sources import read_host
from .terminal import show_as_asked

if TYPE_CHECKING:
    from ..equivalence.result import Proof
    from ..klips.host import KlipsHost


def verify(arguments: argparse.Namespace) -> int:
    """Prove, print, and return the exit code."""
    problem = _usage(arguments)
    if problem:
        print(f"eroute-translate verify: {problem}", file=sys.stderr)
        return EXIT_USAGE
    collector = Collector()
    own = _spd_of_files(arguments.files, collector)
    against = _spd_of_files([arguments.against] if arguments.against else [], collector)
    readable = not collector.errors
    if own is not None:
        show_as_asked(arguments, collector.items)
        if against is None and not arguments.live:
            print(
                "eroute-translate verify: policies are compared with policies: --against FILE or"
                " --live",
                file=sys.stderr,
            )
            return EXIT_USAGE
        other = spd_of_kernel(arguments.netns) if against is None else against
        names = (arguments.files[0], _name(arguments))
        with Progress("comparing") as progress:
            proof = compare_policies(own, other, progress)
        return _tell(arguments, proof, names, None, readable)
    host, found, _, complete = read_host(arguments)
    if not host.rows:
        show_as_asked(arguments, found.items)
        return EXIT_NOTHING if complete else EXIT_FAILED
    translation = translate_exactly(host, mapping_options(arguments))
    for item in (*found.items, *translation.findings):
        collector.add(item)
    if arguments.against and against is None:
        return _two_hosts(arguments, host, collector, complete)
    show_as_asked(arguments, collector.items)
    spd = spd_of_kernel(arguments.netns) if arguments.live else against
    names = ("KLIPS", "XFRM" if spd is None else _name(arguments))
    with Progress("proving") as progress:
        proof = prove(translation, spd, progress)
    ours = translation if spd is None else None
    code = _tell(arguments, proof, names, ours, complete and readable, host)
    if code == EXIT_DONE and found.errors:
        return EXIT_REFUSED  # what could not be read may be missing on both sides
    if code == EXIT_DONE and arguments.strict and translation.counts["approximated"]:
        return EXIT_DIFFERENT
    return code


def _two_hosts(
    arguments: argparse.Namespace, host: KlipsHost, collector: Collector, complete: bool
) -> int:
    given = argparse.Namespace(**{**vars(arguments), "files": [arguments.against]})
    other, found, _, whole = read_host(given)
    for item in found.items:
        collector.add(item)
    show_as_asked(arguments, collector.items)
    if not other.rows:
        return EXIT_NOTHING if whole else EXIT_FAILED
    names = (arguments.files[0] if arguments.files else "<standard input>", arguments.against)
    with Progress("comparing") as progress:
        proof = compare_hosts(host, other, progress)
    unread = len(host.unread) + len(other.unread)
    code = _tell(arguments, proof, names, None, complete and whole)
    return EXIT_REFUSED if unread and code == EXIT_DONE else code


def _usage(arguments: argparse.Namespace) -> str:
    if arguments.against and (arguments.live or arguments.netns):
        return "--against and --live (or --netns) name two things to compare with; give one"
    if arguments.netns:
        arguments.live = True
    if arguments.against == "-" and (not arguments.files or "-" in arguments.files):
        return "only one side can be standard input"
    return ""


def _spd_of_files(files: list[str], collector: Collector) -> Spd | None:
    """The policies of one file, ``None`` when it is of KLIPS."""
    if len(files) != 1 or files[0] == "-" or not Path(files[0]).is_file():
        return None
    return read_spd(Path(files[0]), collector)


def _name(arguments: argparse.Namespace) -> str:
    if arguments.against:
        return str(arguments.against)
    return f"the kernel ({arguments.netns})" if arguments.netns else "the kernel"


def _tell(
    arguments: argparse.Namespace,
    proof: Proof,
    names: tuple[str, str],
    translation: Translation | None,
    sound: bool,
    host: KlipsHost | None = None,
) -> int:
    places = {} if translation is None else origins(translation)
    if arguments.format == "json":
        print(proof_json(proof, names, places))
    else:
        for line in lines(proof, names, everything=arguments.verbose, origins=places):
            print(line)
    if not sound:
        return EXIT_FAILED
    if not proof.equal:
        return EXIT_DIFFERS
    if host is not None and (host.unread or (translation is not None and translation.refused)):
        return EXIT_REFUSED
    return EXIT_DONE
