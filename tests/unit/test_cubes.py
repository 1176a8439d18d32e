"""Cubes of packets, against the same questions asked of every point of a small space."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from eroute_translate.cubes import (
    EVERYTHING,
    Cube,
    CubeIndex,
    SearchGaveUp,
    cube_of,
    disjoint,
    find_point,
    holds,
    inside,
    meet,
    packet_of,
    point_of,
    search,
    search_among,
    selector_of,
)
from eroute_translate.net import Packet, Prefix, Selector, matches, parse_prefix

BITS = 7
POINTS = range(1 << BITS)


def random_cube(rng: random.Random) -> Cube:
    mask = rng.randrange(1 << BITS) & rng.randrange(1 << BITS)
    return rng.randrange(1 << BITS) & mask, mask


def points(cube: Cube) -> set[int]:
    return {point for point in POINTS if holds(cube, point)}


def test_the_algebra_of_cubes() -> None:
    rng = random.Random(1)
    for _ in range(300):
        one, other = random_cube(rng), random_cube(rng)
        both = meet(one, other)
        assert (points(both) if both else set()) == points(one) & points(other)
        assert disjoint(one, other) == (both is None)
        assert inside(one, other) == (points(one) <= points(other))


@pytest.mark.parametrize("count", [0, 1, 3, 8, 20])
def test_the_searches_find_a_point_or_prove_that_there_is_none(count: int) -> None:
    rng = random.Random(count)
    found = 0
    for _ in range(200):
        box = random_cube(rng)
        taken = [random_cube(rng) for _ in range(count)]
        left = points(box).difference(*(points(cube) for cube in taken))

        def why_not(point: int, _: Cube, taken: list[Cube] = taken) -> Cube | None:
            return next((cube for cube in taken if holds(cube, point)), None)

        known = taken[: count // 2]
        for result in (
            find_point(box, taken),
            search(box, why_not, 10_000),
            search_among(box, known, why_not, 10_000),
            search_among(box, taken, why_not, 10_000),
        ):
            assert (result in left) if left else result is None
        found += bool(left)
    assert found or count > 8


def test_a_search_that_takes_too_long_says_where_it_stood() -> None:
    cubes = [(value, 0x7F) for value in POINTS]
    with pytest.raises(SearchGaveUp) as gave_up:
        find_point(EVERYTHING, cubes, 5)
    assert gave_up.value.point in POINTS
    with pytest.raises(SearchGaveUp):
        search_among((0, 1 << 8), cubes, lambda _p, _b: None, 5)


def test_packets_selectors_and_points() -> None:
    narrow = Selector(parse_prefix("10.1.0.0/16"), parse_prefix("10.2.3.4/32"), 6, 25, 0)
    for selector in (narrow, Selector(parse_prefix("::/0"), parse_prefix("fd00::/8"), 17)):
        cube = cube_of(selector)
        assert selector_of(selector.family, cube) == selector
    packet = Packet(4, 0x0A010203, 0x0A020304, 6, 25, 7)
    assert packet_of(4, point_of(packet)) == packet
    assert holds(cube_of(narrow), point_of(packet))
    assert matches(narrow, packet)
    # Host bits are cut off, and what no selector can say is none.
    loose = Selector(Prefix(4, 0x0A000001, 0xFF000000), narrow.destination)
    assert cube_of(loose)[0] >> 72 == 0x0A000000
    assert selector_of(4, (0, 0xFF << 32)) is None
    assert selector_of(4, (1, 1)) is None


def test_the_index_finds_what_looking_at_each_finds() -> None:
    rng = random.Random(3)
    for _ in range(60):
        cubes = [random_cube(rng) for _ in range(rng.randrange(1, 60))]
        index = CubeIndex(cubes)
        first = [n for n, cube in enumerate(cubes) if cubes.index(cube) == n]
        assert set(index.repeated) == set(range(len(cubes))) - set(first)
        for _ in range(20):
            box = random_cube(rng)
            touching = sorted(index.touching(box))
            assert touching == [n for n in first if not disjoint(cubes[n], box)]
            assert sorted(index.covering(box)) == [n for n in first if inside(box, cubes[n])]
            assert all(a < b for a, b in pairwise(touching))
