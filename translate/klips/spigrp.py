"""Rows of ``ipsec_spigrp``: chains of associations (ipsec_spigrp(5)), and what they mean.

Until Openswan 2.6.13 the kernel printed a chain once, from the inside out, in both directions.
From 2.6.14 on every association starts a row of its own with the rest of its chain behind it,
and inbound chains run from the outside in (pfkey_x_grpsa_parse links them in that sense).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final

from ..diagnostics import Collector, Diagnostic, Severity, Span
from .association import Association, Group
from .procline import ProcLine
from .said import PRINTED_SAID, SA_AH, SA_COMP, SA_ESP, SA_IPIP, Said, parse_printed_said
from .stack import parse_version

_UNPRINTABLE: Final = "(error)"
_MEMBER: Final = r"(?:(?:ah|esp|tun|comp|int|unk[0-9])[^\s=]*|\(error\))"
_START: Final = r"(?:a|es?|tu?|c|com?|in?|un?)"
_SHAPE: Final = re.compile(
    rf" ?(?:{PRINTED_SAID}|\(error\))(?: {{1,2}}{_MEMBER})*(?: {_START})? ?\Z", re.ASCII
)
_WORD: Final = re.compile(r"\S+")
_FROM_INSIDE: Final = {SA_IPIP: 0, SA_COMP: 1, SA_ESP: 2, SA_AH: 3}
"""Where a protocol stands in a chain that Pluto or ``ipsec manual`` made."""


def looks_like_group(line: str) -> bool:
    """Whether a line has SAIDs alone, parted by single blanks, as a row of ``ipsec_spigrp``.

    The last one may be cut.  The kernel ends a row with a blank, which copies often lose.
    """
    return _SHAPE.match(line) is not None


def read_group(line: str, span: Span, collector: Collector) -> Group | None:
    """Read one row; ``None``, with an error, if one of its SAIDs cannot be read.

    A SAID that KLIPS could not print is a member all the same, so that the chain is known to be
    longer than what can be translated.
    """
    row = ProcLine(line, span)
    saids = []
    for word in _WORD.finditer(line):
        if word[0] == _UNPRINTABLE:
            collector.add(
                row.problem(
                    "ET133",
                    Severity.ERROR,
                    *word.span(),
                    "KLIPS could not print a SAID of this chain",
                    hint="take the chain from what set it up",
                )
            )
        try:
            said = parse_printed_said(word[0])
            if said.is_shunt or said.is_passthrough:
                raise ValueError(f"{word[0]!r} is no association")
        except ValueError as error:
            cut = word.end() == len(line)
            collector.add(
                row.problem(
                    "ET131" if cut else "ET130",
                    Severity.ERROR,
                    *word.span(),
                    str(error),
                    "SAIDs parted by blanks",
                    "take the table again, whole",
                )
            )
            return None
        saids.append(said)
    if not saids:
        collector.add(row.problem("ET130", Severity.ERROR, 0, len(line), "this row is empty"))
        return None
    return Group(tuple(saids), span)


def format_group(group: Group) -> str:
    """Print a chain as the kernel does, without a line end: a blank follows each SAID."""
    return "".join(
        f" {_UNPRINTABLE} " if said.unknown == _UNPRINTABLE else f"{said} " for said in group.saids
    )


def chains(
    groups: Iterable[Group],
    associations: Mapping[Said, Association],
    version: str,
    collector: Collector | None = None,
) -> tuple[Group, ...]:
    """The longest chains of a table, each from the inside out, in the order of their rows.

    ``version`` is the line of ``ipsec_version``, empty if not known.  A chain whose tail has a
    row of its own is from 2.6.14 or later, whatever the version says.  Where neither version
    and direction nor the protocols decide, the chain stays as printed, with a warning.
    """
    rows: dict[tuple[Said, ...], Group] = {}
    for group in groups:
        rows.setdefault(group.saids, group)
    tails = _tails(rows)
    known = parse_version(version)
    modern = None if known is None else known.since(openswan=(2, 6, 14), libreswan=(3,))
    if tails:
        modern = True
    problems: list[Diagnostic] = []
    found = tuple(
        _from_inside(group, modern, associations, problems)
        for saids, group in rows.items()
        if saids not in tails
    )
    problems += _shared(found)
    if collector is not None:
        for problem in problems:
            collector.add(problem)
    return found


def _tails(rows: Iterable[tuple[Said, ...]]) -> set[tuple[Said, ...]]:
    """The rows that another row ends in: read backwards they sort right before a longer one."""
    backwards = sorted(saids[::-1] for saids in rows)
    return {one[::-1] for one, other in pairwise(backwards) if other[: len(one)] == one}


def _from_inside(
    group: Group,
    modern: bool | None,
    associations: Mapping[Said, Association],
    problems: list[Diagnostic],
) -> Group:
    saids = group.saids
    if len(saids) == 1:
        return group
    turned = group._replace(saids=saids[::-1])
    directions = {a.inbound for said in saids if (a := associations.get(said)) is not None}
    directions.discard(None)
    inbound = directions.pop() if len(directions) == 1 else None
    reversed_by_version = False if modern is False else inbound and modern
    reversed_by_protocols = _runs_inwards(saids)
    if reversed_by_protocols is None:
        if reversed_by_version is None:
            problems.append(_unsure(group, "neither version and direction nor protocols tell"))
        return turned if reversed_by_version else group
    if reversed_by_version is not None and reversed_by_version != reversed_by_protocols:
        problems.append(_unsure(group, "the protocols say another one than version and direction"))
    return turned if reversed_by_protocols else group


def _runs_inwards(saids: tuple[Said, ...]) -> bool | None:
    """Whether a chain runs from the outside in, by its protocols; ``None`` if they do not tell."""
    ranks = [_FROM_INSIDE.get(said.protocol, -1) for said in saids]
    ordered = sorted(ranks)
    if -1 in ranks or ordered[0] == ordered[-1]:
        return None
    if ranks == ordered:
        return False
    return True if ranks == ordered[::-1] else None


def _unsure(group: Group, reason: str) -> Diagnostic:
    return ProcLine(format_group(group).rstrip(), group.span).problem(
        "ET134",
        Severity.WARNING,
        0,
        len(format_group(group).rstrip()),
        f"the order of this chain is not certain: {reason}",
        hint="compare it with what set it up; a tunnel is the innermost, then IPCOMP, ESP, AH",
    )


def _shared(found: tuple[Group, ...]) -> list[Diagnostic]:
    """Associations that stand in two chains: the table changed while it was read."""
    problems = []
    owner: dict[Said, Group] = {}
    for group in found:
        for said in group.saids:
            first = owner.setdefault(said, group)
            if first is not group and said.unknown != _UNPRINTABLE:
                problems.append(
                    ProcLine(format_group(group).rstrip(), group.span).problem(
                        "ET135",
                        Severity.WARNING,
                        0,
                        len(format_group(group).rstrip()),
                        f"{said} stands in the chain of {first.span} too",
                        hint="the table changed while it was read, or two were joined",
                    )
                )
                break
    return problems
