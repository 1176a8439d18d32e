"""Tables of a few neighbouring prefixes, where rows cross, chain and have host bits."""

from __future__ import annotations

import random
from collections import Counter
from typing import Final

import pytest

from eroute_translate.cubes import packet_of, point_of
from eroute_translate.diagnostics import Span
from eroute_translate.equivalence.exact import translate_exactly
from eroute_translate.equivalence.fate import Kind
from eroute_translate.klips.eroute import Eroute
from eroute_translate.klips.host import KlipsHost
from eroute_translate.klips.lookup import ExistsError, RadixTable, key_of_packet, row_of
from eroute_translate.klips.regions import table_of
from eroute_translate.klips.said import SA_INT, SA_IPIP, SPI_DROP, SPI_PASS, Said
from eroute_translate.mapping.model import Options
from eroute_translate.net import MASK_OF_LENGTH, Packet, Prefix, Selector

from .tables import ELSEWHERE, PEERS, Given, Promise

BASE: Final = 10 << 24
SIZES: Final = (2, 3, 4, 6, 8, 12)
TABLES: Final = 800
PACKETS: Final = 120


def prefix(rng: random.Random, host_bits: float) -> Prefix:
    lengths = (0, 8, 24, 25, 26, 27) if rng.random() < 0.2 else (28, 28, 29, 29, 30, 31, 32)
    mask = MASK_OF_LENGTH[4][rng.choice(lengths)]
    address = BASE | rng.randrange(16)
    return Prefix(4, address if rng.random() < host_bits else address & mask, mask)


def host(rng: random.Random, *, insertion_known: bool) -> KlipsHost:
    """Of the order of a dump, with host bits in some tables, or of the order of insertion."""
    host_bits = 0.0 if insertion_known else rng.choice((0, 0, 0.1, 0.3, 0.6))
    table = RadixTable(4)
    kept: list[Eroute] = []
    for number in range(rng.choice(SIZES)):
        protocol = sport = dport = 0
        if rng.random() < 0.3:
            protocol = rng.choice((6, 17, 1))
            if protocol != 1:
                sport, dport = rng.choice((0, 0, 25)), rng.choice((0, 25, 53))
        ends = prefix(rng, host_bits), prefix(rng, host_bits)
        selector = Selector(*ends, protocol, sport, dport)
        chosen = rng.random()
        said = Said(SA_INT, SPI_PASS if chosen < 0.6 else SPI_DROP, 4, 0)
        if chosen < 0.3:
            said = Said(SA_IPIP, 0x1000 + number, 4, PEERS[4] + number % 3)
        try:
            table.add(row_of(selector), len(kept))
        except ExistsError:
            continue
        kept.append(Eroute(selector, (said,), Span("t", number + 1)))
    if insertion_known:
        return KlipsHost(tuple(kept), insertion_known=True)
    return KlipsHost(tuple(kept[i] for i in table.printed()), in_kernel_order=True)


def packet(rng: random.Random) -> Packet:
    protocol = rng.choice((6, 17, 1, 99))
    ports = (rng.choice((0, 25, 7)), rng.choice((0, 25, 53, 9))) if protocol in (6, 17) else (0, 0)
    return Packet(4, BASE | rng.randrange(17), BASE | rng.randrange(17), protocol, *ports)


@pytest.mark.parametrize("insertion_known", [False, True])
def test_nothing_passes_that_klips_may_have_stopped_or_protected(*, insertion_known: bool) -> None:
    """Not by the order of priorities, nor by exceptions; what is refused is blocked here."""
    rng = random.Random(6 + insertion_known)
    counts: Counter[str] = Counter()
    for number in range(TABLES):
        kept = host(rng, insertion_known=insertion_known)
        translation = translate_exactly(kept, Options(local=((4, ELSEWHERE[4]),)))
        given = Given(list(translation.policies()))
        promise = Promise(kept, translation.options, 4)
        for _ in range(PACKETS):
            sent = packet(rng)
            rows = promise.rows(sent)
            fates = promise.fates(sent, "out")
            if rows and any(fate.kind is not Kind.CLEAR for fate in fates):
                assert given.fate(sent, "out").kind is not Kind.CLEAR, (number, sent)
                counts["packets"] += 1
        counts["exceptions"] += len(translation.exceptions)
        counts["disputes"] += len(translation.disputes)
        counts["refused"] += translation.refused
    print(f"\n{dict(counts)}")
    assert counts["packets"] > 10_000
    assert counts["disputes"] > 50


@pytest.mark.parametrize("insertion_known", [False, True])
def test_a_cube_around_a_packet_is_all_of_its_row(*, insertion_known: bool) -> None:
    """What is taken, and what may be, for one packet holds for all of the cube around it."""
    rng = random.Random(8 + insertion_known)
    counts: Counter[str] = Counter()
    for number in range(TABLES):
        kept = host(rng, insertion_known=insertion_known)
        regions = table_of(kept, 4).regions
        for _ in range(10):
            point = point_of(packet(rng))
            possible = regions.possible(point)
            for row in possible:
                cubes = [regions.possible_around(row, point)]
                if possible == {row}:
                    cubes.append(regions.taken_around(row, point))
                for certain, (value, mask) in enumerate(cubes):
                    for _ in range(6):
                        other = value | rng.getrandbits(104) & rng.getrandbits(104) & ~mask
                        sent = packet_of(4, other)
                        found = regions.table.possible(key_of_packet(sent))
                        assert row in found, (number, sent, row)
                        assert not certain or found == {row}, (number, sent, row)
                        counts["certain" if certain else "possible"] += 1
    print(f"\n{dict(counts)}")
    assert min(counts.values()) > 10_000
