"""A translation that does what KLIPS did where no order of priorities can: by exceptions.

KLIPS's choice between two eroutes that cross can change from packet to packet.  The proof finds the
packets for which the order of priorities gives another eroute than KLIPS took; each such set is
covered with selectors of which KLIPS took *all* packets by that eroute, as wide as they get, and
these go before all others.  So an exception is right whatever else the table holds.

Where that would take more selectors than ``--exception-limit``, the pair is left to the safer
eroute, as :mod:`..mapping.precedence` does, and the finding says how many it would have been.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ..cubes import Cube, SearchGaveUp, cube_of, holds, inside, packet_of, point_of, search
from ..klips.crossing import Relation
from ..klips.host import KlipsHost
from ..klips.regions import WITH_PORTS, Regions, table_of
from ..mapping.model import OUT, Options
from ..mapping.precedence import Crossed, Exceptions
from ..mapping.translation import Translation, crossed_in_host, translate
from ..net import MASK_OF_LENGTH, WIDTH, Packet, Prefix, Selector
from ..xfrm.model import PolicyKey
from ..xfrm.regions import unmarked
from .fate import Fate, agree
from .klips_side import KlipsSide
from .proof import Difference, differences
from .reference import reference
from .xfrm_side import XfrmSide, reqids_of

PAIRS: Final = 1_000
"""Crossing pairs that are looked at; a table with more of them is left to the safer eroutes."""

_STEPS: Final = 200
"""Steps to find out whether all of a selector is one eroute's."""

_QUESTIONS: Final = 800
"""Such questions before the pairs that are left are taken for too dear."""

_ROUNDS: Final = 6
"""How often pairs that take too many are left out before none gets exceptions."""

Pair = frozenset[int]


def translate_exactly(host: KlipsHost, options: Options) -> Translation:
    """Map every eroute, with exceptions where they are needed and few enough.  Pure."""
    crossed = crossed_in_host(host, options)
    plain = translate(host, options, crossed=crossed)
    settled = frozenset(
        frozenset((dispute.winner, dispute.loser))
        for dispute in plain.disputes
        if dispute.relation is not Relation.UNKNOWN
    )
    if not settled or len(settled) > PAIRS or not options.exception_limit:
        return plain
    needed: dict[Pair, int] = {}
    swapped: frozenset[Pair] = frozenset()
    for _ in range(_ROUNDS):
        if not settled:
            break
        trial = _Trial(host, options, crossed, settled, swapped)
        costs = trial.costs()
        dear = _too_dear(costs, options.exception_limit)
        if not dear:
            exceptions = Exceptions(trial.selectors(), settled, swapped, needed)
            return translate(host, options, exceptions, crossed)
        for pair in dear:
            needed[pair] = min(costs[pair], needed.get(pair, costs[pair]))
        # The other way round it may take few; what is too dear both ways is given up.
        settled -= dear & swapped
        swapped = (swapped | dear) & settled
    return translate(host, options, Exceptions(needed=needed), crossed)


def _too_dear(costs: dict[Pair, int], limit: int) -> frozenset[Pair]:
    """The pairs that do not fit into the limit, when the cheap ones are taken first."""
    total = 0
    dear = set()
    for pair, cost in sorted(costs.items(), key=lambda item: (item[1], sorted(item[0]))):
        total += cost
        if total > limit:
            dear.add(pair)
    return frozenset(dear)


@dataclass(slots=True)
class _Trial:
    """The exceptions that a set of pairs needs."""

    host: KlipsHost
    options: Options
    crossed: Mapping[int, Crossed]
    settled: frozenset[Pair]
    swapped: frozenset[Pair]
    found: dict[Pair, dict[int, list[Selector]]] = field(default_factory=dict)
    over: dict[Pair, int] = field(default_factory=dict)
    questions: int = 0

    def costs(self) -> dict[Pair, int]:
        """How many selectors each pair takes; above the limit, where the search stopped."""
        exceptions = Exceptions({}, self.settled, self.swapped)
        draft = translate(self.host, self.options, exceptions, self.crossed)
        owners: dict[PolicyKey, int] = {}
        for position, outcome in enumerate(draft.outcomes):
            for policy in outcome.policies:
                if policy.direction == OUT:
                    owners[policy.key] = position
        policies, reqids = list(draft.policies()), reqids_of(draft)
        for family in (6, 4):
            table = table_of(self.host, family)
            if not table.positions:
                continue
            left = reference(self.host, table, draft.options, OUT)
            right = XfrmSide(policies, OUT, family, reqids=reqids)
            owned = [
                owners.get(taken[0].key, -1) if (taken := right.policies_of(piece.origin)) else -1
                for piece in right.pieces
            ]
            only = self._partners(owned)
            found = differences(left, right, _agree, unmarked(family), classify=False, only=only)
            for difference in found:
                pair = frozenset((difference.left.origin, owned[difference.right.origin]))
                if pair in self.over:
                    continue
                if not difference.decided:
                    # Nobody knows what it would take: then it is not carried by exceptions.
                    self.over[pair] = self.options.exception_limit + 1
                else:
                    self._cover(pair, difference, left, right, table.regions, family)
        return {
            pair: self.over.get(pair) or sum(len(s) for s in self.found.get(pair, {}).values())
            for pair in self.settled
        }

    def _partners(self, owned: Sequence[int]) -> dict[int, set[int]]:
        """For each eroute of a pair the policies of the other one, each known by its eroute."""
        policies: dict[int, set[int]] = {}
        for rank, position in enumerate(owned):
            policies.setdefault(position, set()).add(rank)
        partners: dict[int, set[int]] = {}
        for pair in self.settled:
            one, other = pair
            partners.setdefault(one, set()).update(policies.get(other, ()))
            partners.setdefault(other, set()).update(policies.get(one, ()))
        return partners

    def selectors(self) -> dict[int, tuple[Selector, ...]]:
        """The selectors of each eroute's exceptions, by its position."""
        by_eroute: dict[int, dict[Selector, None]] = {}
        for parts in self.found.values():
            for position, selectors in parts.items():
                by_eroute.setdefault(position, {}).update(dict.fromkeys(selectors))
        return {position: tuple(selectors) for position, selectors in by_eroute.items()}

    def _cover(
        self,
        pair: Pair,
        difference: Difference,
        left: KlipsSide,
        right: XfrmSide,
        regions: Regions,
        family: int,
    ) -> None:
        """Cover a difference with selectors of which all packets are the winner's."""
        winner = difference.left.origin
        row = left.row_of(difference.numbers[0])
        chosen = self.found.setdefault(pair, {}).setdefault(winner, [])
        cubes = [cube_of(selector) for selector in chosen]

        def why_not(point: int, box: Cube) -> Cube | None:
            for cube in cubes:
                if holds(cube, point):
                    return cube
            one, other = difference.numbers
            return left.why_not(one, point, box) or right.why_not(other, point, box)

        while True:
            try:
                point = search(difference.box, why_not, _STEPS * 100)
            except SearchGaveUp:
                self.over[pair] = self.options.exception_limit + 1
                return
            if point is None:
                return
            selector = None
            if len(chosen) < self.options.exception_limit and self.questions < _QUESTIONS:
                selector, asked = widest(
                    regions,
                    row,
                    packet_of(family, point),
                    self.host.eroutes[winner].selector,
                    chosen[-1] if chosen else None,
                )
                self.questions += asked
            if selector is None:
                self.over[pair] = self.options.exception_limit + 1
                return
            chosen.append(selector)
            cubes.append(cube_of(selector))


def _agree(expected: Fate, actual: Fate) -> bool:
    return agree(expected, actual, OUT)


def widest(
    regions: Regions, row: int, packet: Packet, whole: Selector, like: Selector | None = None
) -> tuple[Selector | None, int]:
    """The widest selector around a packet of which KLIPS took all packets by one row.

    ``whole`` is the row's own selector.  ``None`` where no selector can say it: packets with port
    0, or of a protocol that stands for many.  ``like`` is one found before: of its form is often
    the next one too.  The number tells how often the table was asked.
    """
    asked = _Asked(regions, row)
    if like is not None:
        found_again = _of_form(asked, packet, whole, like)
        if found_again is not None:
            return found_again, asked.count
    for flow in _flows(packet, whole):
        found = [_widened(asked, packet, whole, order, flow) for order in ((0, 1), (1, 0))]
        best = max((s for s in found if s is not None), key=_size, default=None)
        if best is not None:
            return best, asked.count
    return None, asked.count


@dataclass(slots=True)
class _Asked:
    """Whether selectors are all of one row; counts the questions."""

    regions: Regions
    row: int
    count: int = 0

    def all_taken(self, selector: Selector) -> bool:
        """Whether KLIPS took every packet of a selector by the row; see :func:`all_taken`."""
        self.count += 1
        return all_taken(self.regions, self.row, cube_of(selector))


def _of_form(asked: _Asked, packet: Packet, whole: Selector, like: Selector) -> Selector | None:
    """The selector around a packet with the prefix lengths of another one, if none is wider."""
    near = like.source._replace(address=packet.source & like.source.mask)
    far = like.destination._replace(address=packet.destination & like.destination.mask)
    selector = like._replace(source=near, destination=far)
    if not holds(cube_of(selector), point_of(packet)) or not asked.all_taken(selector):
        return None
    wider = [selector._replace(source=_shorter(near)), selector._replace(destination=_shorter(far))]
    at_most = cube_of(whole)
    if any(inside(cube_of(s), at_most) and s != selector and asked.all_taken(s) for s in wider):
        return None
    return selector


def _shorter(prefix: Prefix) -> Prefix:
    mask = prefix.mask & prefix.mask << 1
    return Prefix(prefix.family, prefix.address & mask, mask)


def _flows(packet: Packet, whole: Selector) -> Iterator[tuple[int, int, int]]:
    """Protocol and ports, the widest first, that hold a packet and lie in a selector."""
    own = (whole.protocol, whole.source_port, whole.destination_port)
    yield own
    protocol = whole.protocol or packet.protocol
    if not protocol:
        return
    yield (protocol, whole.source_port, whole.destination_port)
    if protocol not in WITH_PORTS:
        return
    source, destination = packet.source_port, packet.destination_port
    if source:
        yield (protocol, source, whole.destination_port)
    if destination:
        yield (protocol, whole.source_port, destination)
    if source and destination:
        yield (protocol, source, destination)


def _size(selector: Selector) -> int:
    return -(selector.source.mask.bit_count() + selector.destination.mask.bit_count())


def _widened(
    asked: _Asked,
    packet: Packet,
    whole: Selector,
    order: tuple[int, int],
    flow: tuple[int, int, int],
) -> Selector | None:
    """Two prefixes around a packet, made as short as they get, one after the other."""
    family = packet.family
    addresses = (packet.source, packet.destination)
    least = [_whole_length(prefix.mask, family) for prefix in (whole.source, whole.destination)]
    lengths = [WIDTH[family], WIDTH[family]]

    def selector() -> Selector:
        near, far = (
            Prefix(family, address & MASK_OF_LENGTH[family][length], MASK_OF_LENGTH[family][length])
            for address, length in zip(addresses, lengths, strict=True)
        )
        return Selector(near, far, *flow)

    if not asked.all_taken(selector()):
        return None
    for place in order:
        low, high = least[place], lengths[place]
        while low < high:
            middle = (low + high) // 2
            lengths[place] = middle
            if asked.all_taken(selector()):
                high = middle
            else:
                low = middle + 1
        lengths[place] = high
    return selector()


def _whole_length(mask: int, family: int) -> int:
    """The shortest length of a prefix that lies in a mask, which may have holes."""
    width = WIDTH[family]
    return width - ((mask & -mask).bit_length() - 1) if mask else 0


def all_taken(regions: Regions, row: int, cube: Cube) -> bool:
    """Whether KLIPS took every packet of a cube by one row; false where it takes long to tell."""
    own = regions.cube(row)
    if own[1] & ~cube[1] or (own[0] ^ cube[0]) & own[1]:
        return False

    def taken(point: int, _: Cube) -> Cube | None:
        if regions.why_not(row, point) is not None or not regions.taken_for_certain(row, point):
            return None
        return regions.taken_around(row, point)

    try:
        return search(cube, taken, _STEPS) is None
    except SearchGaveUp:
        return False
