"""For which packets the kernel takes a policy, as sets of packets.

The lookup of :mod:`.lookup` turned round, for one direction and one family.  Policies are ranked:
the lower priority number first, then the older one.  A policy is taken for the packets of its
selector that no policy of a lower rank number matches.

Above the bits of a packet a point has the mark of the packet (32 bits), the if_id (32) and the
index of the interface (32), so that two databases can be compared whole; a search for packets
without any fixes them to 0.  Where a policy of type ``sub`` allows, one of type ``main`` is asked
besides; such pairs are ranked as entries of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from ..cubes import (
    EVERYTHING,
    POINT_BITS,
    PORT_BITS,
    PORTS,
    PROTOCOL,
    PROTOCOL_SHIFT,
    Cube,
    CubeIndex,
    cube_of,
    inside,
    meet,
)
from .lookup import IPPROTO_MH, PORT_PROTOCOLS
from .model import Policy

FIELD_BITS: Final = 32
_FIELD: Final = (1 << FIELD_BITS) - 1


class Entry(NamedTuple):
    """What the kernel may take: a policy, a policy of type sub with one of type main, or none.

    ``policies`` is empty for the entry of the default, which is the last.
    """

    cube: Cube
    policies: tuple[Policy, ...]


class PolicyRegions:
    """The policies of one direction and family, the oldest first.

    ``beside`` are those of type main that are asked beside one of type sub, where they are not the
    same: for forwarded packets the kernel takes those for ``in``.
    """

    def __init__(
        self, policies: Sequence[Policy], family: int, beside: Sequence[Policy] | None = None
    ) -> None:
        self.family = family
        self.entries = tuple(_ranked(policies, family, policies if beside is None else beside))
        self.index = CubeIndex(entry.cube for entry in self.entries)
        best: dict[int, int] = {}
        for mask, table in self.index.by_mask.items():
            best[mask] = min(table.values())
        self._by_best = sorted(best, key=lambda mask: best[mask])
        self._best = best

    def touching(self, box: Cube) -> Iterator[int]:
        """The entries that may be taken in a box: none that stands behind one that covers it."""
        worst = self.cover(box)
        for rank in self.index.touching(box):
            if rank <= worst:
                yield rank

    def cover(self, box: Cube) -> int:
        """The first entry whose selector holds a whole box; those behind it are not taken there."""
        exact = box[1] & PROTOCOL == PROTOCOL and _reads_ports(box[0])
        covering = self.index.covering(box)
        last = len(self.entries) - 1
        if exact:
            return min(covering, default=last)
        cubes = self.index.cubes
        return min((rank for rank in covering if not cubes[rank][1] & PORTS), default=last)

    def before(self, rank: int, box: Cube) -> Iterator[Cube]:
        """The selectors of entries that take packets of a box from this one.

        Those with ports are left out unless the box is of one protocol.  The cubes are good for
        packets of the box alone: ports that its protocol has not are taken out of them.
        """
        fixed = box[1] & PROTOCOL == PROTOCOL
        blind = _blind(box[0] >> PROTOCOL_SHIFT & 0xFF)
        cubes = self.index.cubes
        for other in self.index.touching(box):
            value, mask = cubes[other]
            if other < rank and (not mask & PORTS or (fixed and not value & blind)):
                yield (value, mask & ~blind) if fixed else (value, mask)

    def before_portless(self, rank: int, box: Cube) -> Iterator[Cube]:
        """Selectors with ports that take packets of protocols without them from this entry.

        Such packets have the ports 0.  The cubes say nothing of protocols that have ports.
        """
        cubes = self.index.cubes
        for other in self.index.touching(box):
            value, mask = cubes[other]
            if other < rank and mask & PORTS and not value & PORTS:
                yield value, mask & ~PORTS

    def first(self, point: int) -> int:
        """The entry that is taken for a packet."""
        seen = _seen(point)
        found = len(self.entries) - 1
        for mask in self._by_best:
            if self._best[mask] > found:
                break
            rank = self.index.by_mask[mask].get(seen & mask)
            if rank is not None and rank < found:
                found = rank
        return found

    def why_not(self, rank: int, point: int, box: Cube) -> Cube | None:
        """A cube with this point in which an entry is not taken, ``None`` if it is taken here.

        One that covers the box is preferred; the point must lie in the entry's cube.
        """
        seen = _seen(point)
        value, mask = self.entries[rank].cube
        if (seen ^ value) & mask:
            # The ports of a protocol that has none: the entry is not for any packet of it.
            return _as_seen((seen & mask, mask), point)
        found = self.first(point)
        if found == rank:
            return None
        cube = self.entries[found].cube
        if not inside(box, cube):
            cover = self.cover(box)
            if cover < rank:
                return self.entries[cover].cube
        return _as_seen(cube, point)


def _ranked(policies: Sequence[Policy], family: int, beside: Sequence[Policy]) -> Iterator[Entry]:
    """The entries in the order in which the kernel prefers them, the default last."""
    mine = _preferred(policies, family)
    main = [(cube_of_policy(p), p) for p in mine if p.ptype != "sub"]
    second = main
    if beside is not policies:
        second = [(cube_of_policy(p), p) for p in _preferred(beside, family) if p.ptype != "sub"]
    for policy in mine:
        if policy.ptype != "sub":
            continue
        cube = cube_of_policy(policy)
        if policy.action != "block":
            for other, asked in second:
                both = meet(cube, other)
                if both is not None:
                    yield Entry(both, (policy, asked))
        yield Entry(cube, (policy,))
    for cube, policy in main:
        yield Entry(cube, (policy,))
    yield Entry(EVERYTHING, ())


def _preferred(policies: Sequence[Policy], family: int) -> list[Policy]:
    order = sorted(range(len(policies)), key=lambda i: (policies[i].priority, i))
    return [policies[i] for i in order if policies[i].selector.family == family]


def cube_of_policy(policy: Policy) -> Cube:
    """The packets of a policy's selector, mark, if_id and interface."""
    value, mask = cube_of(policy.selector)
    sport_mask, dport_mask = policy.full_port_masks
    ports = sport_mask << PORT_BITS | dport_mask
    selector = policy.selector
    mask = mask & ~PORTS | ports
    value = value & ~PORTS | (
        (selector.source_port << PORT_BITS | selector.destination_port) & ports
    )
    base = POINT_BITS[selector.family]
    extras = (policy.mark[0] & policy.mark[1], policy.mark[1]), (policy.if_id, _FIELD)
    for place, (field, field_mask) in enumerate(extras):
        value |= field << base + FIELD_BITS * place
        mask |= field_mask << base + FIELD_BITS * place
    if policy.ifindex:
        value |= policy.ifindex << base + 2 * FIELD_BITS
        mask |= _FIELD << base + 2 * FIELD_BITS
    return value, mask


def unmarked(family: int) -> Cube:
    """The packets without mark and if_id, on whatever interface."""
    return 0, (1 << 2 * FIELD_BITS) - 1 << POINT_BITS[family]


def extras_of(family: int, point: int) -> tuple[int, int, int]:
    """Mark, if_id and index of the interface of a point."""
    high = point >> POINT_BITS[family]
    return high & _FIELD, high >> FIELD_BITS & _FIELD, high >> 2 * FIELD_BITS & _FIELD


def _reads_ports(point: int) -> bool:
    return (point >> PROTOCOL_SHIFT & 0xFF) in PORT_PROTOCOLS


def _blind(protocol: int) -> int:
    """The bits of the ports that the kernel takes for 0 with a protocol."""
    if protocol in PORT_PROTOCOLS:
        return 0
    return 0xFFFF if protocol == IPPROTO_MH else PORTS


def _seen(point: int) -> int:
    """The point as the kernel has it: what a protocol has no ports for is 0."""
    return point & ~_blind(point >> PROTOCOL_SHIFT & 0xFF)


def _as_seen(cube: Cube, point: int) -> Cube:
    """A cube of points as the kernel has them, around one, as a cube of packets."""
    value, mask = cube
    if not mask & PORTS:
        return cube
    mask = mask & ~_blind(point >> PROTOCOL_SHIFT & 0xFF) | PROTOCOL
    return (value & ~PROTOCOL | point & PROTOCOL) & mask, mask
