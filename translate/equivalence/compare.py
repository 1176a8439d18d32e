"""What is held against what: a KLIPS host, a set of policies, each direction and family.

The result is plain: regions of packets that the two sides treat differently, no two of which share
a packet, and what no packet reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from ..klips.crossing import Relation
from ..klips.host import KlipsHost
from ..klips.regions import Table, table_of
from ..mapping.model import FWD, IN, OUT
from ..mapping.translation import Translation
from ..xfrm.model import Policy
from ..xfrm.regions import unmarked
from .fate import Fate, Kind, agree, same_in_klips, same_in_xfrm
from .proof import Agree, differences
from .reference import FORWARDED, klips_side, local_known, reference
from .result import Check, Proof
from .unreached import unreached_eroutes, unreached_policies
from .witness import Declared, regions
from .xfrm_side import NO_REQIDS, ForwardedInClear, Reqids, XfrmSide, reqids_of

DIRECTIONS: Final = (OUT, IN, FWD)

Progress = Callable[[int, int], None]


def _quiet(_done: int, _all: int) -> None:
    """Tell nobody."""


class Spd(NamedTuple):
    """A set of policies, the oldest first, and what becomes of packets without one.

    ``defaults`` is ``allow`` or ``block`` by direction, ``allow`` where it says nothing.
    """

    policies: tuple[Policy, ...]
    defaults: Mapping[str, str] = {}


def prove(translation: Translation, spd: Spd | None = None, progress: Progress = _quiet) -> Proof:
    """Hold a KLIPS host against the Ruleset made of it, or against other policies.

    With our own Ruleset reqids tell which group of SAs a policy asks for; with others protocol,
    mode and far end are compared.
    """
    host = translation.host
    reqids, declared = NO_REQIDS, None
    if spd is None:
        spd = Spd(tuple(translation.policies()))
        reqids, declared = reqids_of(translation), _declared(translation)
    checks: list[Check] = []
    for family in (6, 4):
        table = table_of(host, family)
        mine = [policy for policy in spd.policies if policy.selector.family == family]
        if table.positions or mine:
            one = Spd(tuple(mine), spd.defaults)
            checks += _checks(translation, table, one, reqids, declared, progress)
    uncounted = tuple(eroute for eroute in host.eroutes if eroute.count == 0)
    return Proof(tuple(checks), tuple(_limits(translation)), uncounted)


def _checks(
    translation: Translation,
    table: Table,
    spd: Spd,
    reqids: Reqids,
    declared: Declared | None,
    progress: Progress,
) -> Iterator[Check]:
    """The comparisons of one family."""
    host, options, family = translation.host, translation.options, table.family
    asked = unmarked(family)
    out: XfrmSide | None = None
    for direction in DIRECTIONS:
        turned = direction in (IN, FWD)
        right = _side(spd, direction, family, reqids, mirrored=turned)
        out = out or right
        left = reference(host, table, options, direction)
        found = differences(left, right, _agreeing(direction), asked, progress)
        differing = regions(
            found, left, right, (host, None), family, turned=turned, declared=declared
        )
        dead = unreached_eroutes(left, host) if direction == OUT else ()
        pieces = (len(left.pieces), len(right.pieces))
        yield Check(direction, family, pieces, differing, (dead, unreached_policies(right)))
    if out is not None and not local_known(options, family):
        left = reference(host, table, options, FORWARDED)
        pairs = ForwardedInClear(_side(spd, FWD, family, reqids), out)
        found = differences(left, pairs, _never_clear, asked, progress)
        differing = regions(found, left, pairs, (host, None), family, declared=declared)
        yield Check(FORWARDED, family, (len(left.pieces), len(pairs.pieces)), differing)


def _side(
    spd: Spd, direction: str, family: int, reqids: Reqids = NO_REQIDS, *, mirrored: bool = False
) -> XfrmSide:
    return XfrmSide(
        spd.policies,
        direction,
        family,
        mirrored=mirrored,
        default=spd.defaults.get(direction, "allow"),
        reqids=reqids,
    )


def _agreeing(direction: str) -> Agree:
    def agreeing(expected: Fate, actual: Fate) -> bool:
        return agree(expected, actual, direction)

    return agreeing


def _never_clear(expected: Fate, _actual: Fate) -> bool:
    return expected.kind in (Kind.ANY, Kind.CLEAR)


def compare_policies(left: Spd, right: Spd, progress: Progress = _quiet) -> Proof:
    """Hold two sets of policies against each other, marks, if_ids and interfaces included."""
    checks = []
    for family in (6, 4):
        for direction in DIRECTIONS:
            sides = [_side(spd, direction, family) for spd in (left, right)]
            if all(len(side.pieces) == 1 for side in sides) and family == 6:
                continue  # no policy on either side
            found = differences(sides[0], sides[1], same_in_xfrm, progress=progress)
            differing = regions(found, sides[0], sides[1], (None, None), family)
            unreached = unreached_policies(sides[0]), unreached_policies(sides[1])
            pieces = (len(sides[0].pieces), len(sides[1].pieces))
            checks.append(Check(direction, family, pieces, differing, unreached))
    return Proof(tuple(checks))


def compare_hosts(left: KlipsHost, right: KlipsHost, progress: Progress = _quiet) -> Proof:
    """Hold two KLIPS hosts, or two days of one, against each other; SPIs are not compared."""
    checks = []
    for family in (6, 4):
        tables = table_of(left, family), table_of(right, family)
        if not any(table.positions for table in tables):
            continue
        one, other = klips_side(left, tables[0]), klips_side(right, tables[1])
        found = differences(one, other, same_in_klips, progress=progress)
        differing = regions(found, one, other, (left, right), family)
        unreached = unreached_eroutes(one, left), unreached_eroutes(other, right)
        pieces = (len(one.pieces), len(other.pieces))
        checks.append(Check(OUT, family, pieces, differing, unreached))
    return Proof(tuple(checks))


def _limits(translation: Translation) -> Iterator[str]:
    host, options = translation.host, translation.options
    if host.unread:
        count = len(host.unread)
        what = "1 entry of the input" if count == 1 else f"{count} entries of the input"
        yield f"{what} could not be read: no part of the proof"
    if not options.routed and any(
        _has(host, f) for f in (4, 6) if f not in translation.scope.known
    ):
        yield (
            "what was routed into ipsecN is not known: packets that no eroute covers are taken for"
            " ones that KLIPS never saw (ET214)"
        )
    if any(not local_known(options, f) for f in (4, 6) if _has(host, f)):
        yield (
            "without --local nobody can tell this host's IKE, ESP and AH from forwarded ones; what"
            " is forwarded in that form may be blocked (ET215)"
        )


def _has(host: KlipsHost, family: int) -> bool:
    return any(eroute.selector.family == family for eroute in host.eroutes)


_DISPUTED: Final = {
    Relation.UNKNOWN: "ET301",
    Relation.SPLIT: "ET302",
    Relation.SECOND: "ET303",
}
_TELLING: Final = frozenset({"ET205", "ET207", "ET208", "ET221", "ET222"})
"""Findings that say of one eroute that it is not carried as it was."""


def _declared(translation: Translation) -> dict[int, tuple[str, ...]]:
    """Findings of the translation by eroute: what is known to differ."""
    found: dict[int, set[str]] = {}
    for dispute in translation.disputes:
        for position in (dispute.winner, dispute.loser):
            found.setdefault(position, set()).add(_DISPUTED[dispute.relation])
    for position, outcome in enumerate(translation.outcomes):
        told = _TELLING.intersection(outcome.treatment.codes)
        if told:
            found.setdefault(position, set()).update(told)
    return {position: tuple(sorted(codes)) for position, codes in found.items()}
