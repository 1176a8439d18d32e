"""Sets of packets as ternary cubes, and the search for a packet that a set of cubes leaves.

A *point* is one packet as a string of bits: source, destination, protocol (8 bits), source port
and destination port (16 each), in network order; 104 bits for IPv4 and 296 for IPv6.  A *cube* is
``(value, mask)``: the points that agree with ``value`` in the bits of ``mask``; ``value`` has no
bit outside of ``mask``.  Above these bits a side may put further ones (a mark, say); a cube that
knows nothing of them leaves them free.

Header space analysis (Kazemian and others, NSDI 2012) calls these wildcard expressions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from .net import WIDTH, Packet, Prefix, Selector

Cube = tuple[int, int]

PORT_BITS: Final = 16
PROTOCOL_SHIFT: Final = 32
DESTINATION_SHIFT: Final = 40
PORTS: Final = (1 << PROTOCOL_SHIFT) - 1
"""The bits of both ports."""

PROTOCOL: Final = 0xFF << PROTOCOL_SHIFT
POINT_BITS: Final = {family: 2 * width + DESTINATION_SHIFT for family, width in WIDTH.items()}
"""How many bits a point has, by family."""

EVERYTHING: Final[Cube] = (0, 0)

SEARCH_STEPS: Final = 20_000
"""Steps of one search for a point before it is given up; real tables need a handful."""


class SearchGaveUp(Exception):  # noqa: N818 - a limit, not a fault
    """The search for a point took too long; ``point`` is where it stood."""

    def __init__(self, point: int) -> None:
        super().__init__("the search for a packet took too long")
        self.point = point


def cube_of(selector: Selector) -> Cube:
    """The packets of a selector; 0 means any protocol or port, host bits are cut off."""
    source, destination, protocol, source_port, destination_port = selector
    width = WIDTH[source[0]]
    mask = (source[2] << width | destination[2]) << DESTINATION_SHIFT
    value = (source[1] << width | destination[1]) << DESTINATION_SHIFT & mask
    if protocol:
        value |= protocol << PROTOCOL_SHIFT
        mask |= PROTOCOL
    if source_port:
        value |= source_port << PORT_BITS
        mask |= 0xFFFF << PORT_BITS
    if destination_port:
        value |= destination_port
        mask |= 0xFFFF
    return value, mask


def selector_of(family: int, cube: Cube) -> Selector | None:
    """The selector that says the same as a cube; ``None`` when there is none.

    Prefixes may have masks with holes; protocol and ports must be fixed whole, and not to 0, or
    left free.
    """
    value, mask = cube
    width, ones = WIDTH[family], (1 << WIDTH[family]) - 1
    protocol_mask = mask >> PROTOCOL_SHIFT & 0xFF
    sport_mask, dport_mask = mask >> PORT_BITS & 0xFFFF, mask & 0xFFFF
    protocol = value >> PROTOCOL_SHIFT & 0xFF
    sport, dport = value >> PORT_BITS & 0xFFFF, value & 0xFFFF
    for part, part_mask, whole in (
        (protocol, protocol_mask, 0xFF),
        (sport, sport_mask, 0xFFFF),
        (dport, dport_mask, 0xFFFF),
    ):
        if part_mask and (part_mask != whole or not part):
            return None
    high, high_mask = value >> DESTINATION_SHIFT, mask >> DESTINATION_SHIFT
    return Selector(
        Prefix(family, high >> width & ones, high_mask >> width & ones),
        Prefix(family, high & ones, high_mask & ones),
        protocol,
        sport,
        dport,
    )


def point_of(packet: Packet) -> int:
    """The bits of a packet as it is, ports of whatever protocol included."""
    point = (packet.source << WIDTH[packet.family] | packet.destination) << DESTINATION_SHIFT
    return (
        point
        | packet.protocol << PROTOCOL_SHIFT
        | packet.source_port << PORT_BITS
        | packet.destination_port
    )


def packet_of(family: int, point: int) -> Packet:
    """The packet that a point is; bits above those of a packet are left out."""
    width = WIDTH[family]
    ones = (1 << width) - 1
    return Packet(
        family,
        point >> DESTINATION_SHIFT + width & ones,
        point >> DESTINATION_SHIFT & ones,
        point >> PROTOCOL_SHIFT & 0xFF,
        point >> PORT_BITS & 0xFFFF,
        point & 0xFFFF,
    )


def disjoint(one: Cube, other: Cube) -> bool:
    """Whether no point lies in both cubes."""
    return bool((one[0] ^ other[0]) & one[1] & other[1])


def meet(one: Cube, other: Cube) -> Cube | None:
    """The points that lie in both cubes, ``None`` when there are none."""
    if (one[0] ^ other[0]) & one[1] & other[1]:
        return None
    return one[0] | other[0], one[1] | other[1]


def inside(inner: Cube, outer: Cube) -> bool:
    """Whether every point of the first cube lies in the second."""
    return not outer[1] & ~inner[1] and not (inner[0] ^ outer[0]) & outer[1]


def holds(cube: Cube, point: int) -> bool:
    """Whether a point lies in a cube."""
    return not (cube[0] ^ point) & cube[1]


def search(box: Cube, why_not: Callable[[int, Cube], Cube | None], steps: int) -> int | None:
    """A point of the box that nothing speaks against, or ``None`` when there is none.

    ``why_not(point, box)`` gives a cube that holds the point and whose points are all out of
    question, or ``None`` when the point is good; where it has a choice, a cube that holds the
    whole box saves steps.  Exact: the rest of the box is what leaves the cube by one of the bits
    that the box has free, and all these ways out are tried, the widest first.  Raises
    :class:`SearchGaveUp` after that many ``steps``.
    """
    stack = [box]
    while stack:
        if not steps:
            raise SearchGaveUp(stack[-1][0])
        steps -= 1
        value, fixed = stack.pop()
        against = why_not(value, (value, fixed))
        if against is None:
            return value
        free = against[1] & ~fixed
        ways: list[Cube] = []
        while free:
            # Ways out: the first k free bits as the cube has them, the next one not.
            bit = 1 << free.bit_length() - 1
            free ^= bit
            ways.append((value ^ bit, fixed | bit))
            fixed |= bit
        stack.extend(reversed(ways))
    return None


def search_among(
    box: Cube,
    taken: Iterable[Cube],
    why_not: Callable[[int, Cube], Cube | None],
    steps: int,
) -> int | None:
    """As :func:`search`, with cubes that are known from the start to be out of question.

    At each step the cube that leaves the box the fewest ways out is taken (the shortest clause of
    a satisfiability problem), so that crossing cubes do not multiply.  ``why_not`` is asked for
    points that no cube takes.
    """
    value, fixed = box
    stack = [(value, fixed, [c for c in taken if not (c[0] ^ value) & c[1] & fixed])]
    while stack:
        if not steps:
            raise SearchGaveUp(stack[-1][0])
        steps -= 1
        value, fixed, cubes = stack.pop()
        alive = []
        best, fewest = EVERYTHING, 1 << 30
        for cube in cubes:
            if (cube[0] ^ value) & cube[1] & fixed:
                continue
            ways = (cube[1] & ~fixed).bit_count()
            if ways < fewest:
                best, fewest = cube, ways
                if not ways:
                    break
            alive.append(cube)
        else:
            if not alive:
                against = why_not(value, (value, fixed))
                if against is None:
                    return value
                best = against
                alive = [against]
            free = best[1] & ~fixed
            outs = []
            while free:
                bit = 1 << free.bit_length() - 1
                free ^= bit
                agreeing = value & ~bit | best[0] & bit
                outs.append((agreeing ^ bit, fixed | bit, alive))
                value, fixed = agreeing, fixed | bit
            stack.extend(reversed(outs))
    return None


def find_point(box: Cube, taken: Iterable[Cube], steps: int = SEARCH_STEPS) -> int | None:
    """A point of the box that lies in none of the cubes taken, or ``None``.

    Raises :class:`SearchGaveUp`.
    """
    rivals = [cube for cube in taken if not disjoint(box, cube)]

    def why_not(point: int, _: Cube) -> Cube | None:
        return next((cube for cube in rivals if not (cube[0] ^ point) & cube[1]), None)

    return search(box, why_not, steps)


_FEW: Final = 8
"""Cubes of one mask that are looked at one by one rather than through a table of their own."""


class CubeIndex:
    """Finds cubes among many: a tuple space, one table for each mask (Srinivasan and others, 1999).

    A cube is known by its number, its place in the sequence given.  Of several that are the same
    the first one stands for all; the others are in ``repeated``.
    """

    def __init__(self, cubes: Iterable[Cube]) -> None:
        self.cubes = list(cubes)
        self.by_mask: dict[int, dict[int, int]] = {}
        self.repeated: dict[int, int] = {}
        """Number of a cube that stands earlier too, and of that earlier one."""
        self._parts: dict[tuple[int, int], dict[int, list[int]]] = {}
        for number, (value, mask) in enumerate(self.cubes):
            first = self.by_mask.setdefault(mask, {}).setdefault(value, number)
            if first != number:
                self.repeated[number] = first

    def touching(self, box: Cube) -> Iterator[int]:
        """The cubes that share a point with a box."""
        for mask in self.by_mask:
            yield from self.touching_with(mask, box)

    def touching_with(self, mask: int, box: Cube) -> Iterable[int]:
        """The cubes of one mask that share a point with a box."""
        value, fixed = box
        table = self.by_mask[mask]
        part = mask & fixed
        if part == mask:
            number = table.get(value & mask)
            return () if number is None else (number,)
        if len(table) <= _FEW:
            return [number for other, number in table.items() if not (other ^ value) & part]
        return self._part(mask, part).get(value & part, ())

    def covering(self, box: Cube) -> Iterator[int]:
        """The cubes that hold a whole box."""
        value, fixed = box
        for mask, table in self.by_mask.items():
            if mask & fixed == mask:
                number = table.get(value & mask)
                if number is not None:
                    yield number

    def _part(self, mask: int, part: int) -> dict[int, list[int]]:
        """The cubes of one mask by the bits of ``part``."""
        table = self._parts.get((mask, part))
        if table is None:
            table = {}
            for value, number in self.by_mask[mask].items():
                table.setdefault(value & part, []).append(number)
            self._parts[mask, part] = table
        return table
