"""Policies of a proved Ruleset broken on purpose: whatever changes a decision is found.

Whether a mutant changes a decision is found out by trying packets, all that can matter: of each
address, protocol and port that any selector names, the values at which a selector begins or ends.
With prefixes and whole ports that is exact, and it has no part of the proof's methods.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Final

import pytest

from eroute_translate.equivalence.compare import Spd, compare_policies, prove
from eroute_translate.equivalence.result import Region
from eroute_translate.mapping.model import Options
from eroute_translate.mapping.translation import Translation, translate
from eroute_translate.net import ALL_ONES, MASK_OF_LENGTH, WIDTH, Packet, Prefix
from eroute_translate.xfrm.lookup import PolicyIndex
from eroute_translate.xfrm.model import Policy

from .tables import LOCAL, host

RULESETS: Final = {4: 15, 6: 5}
MUTANTS: Final = 25
"""Of each proved Ruleset."""


def proved(rng: random.Random, family: int) -> Translation:
    """A small table whose translation the proof finds equal."""
    options = Options(local=((family, LOCAL[family]),))
    while True:
        translation = translate(host(rng, family, rng.choice((2, 3, 4)), odd=False), options)
        if not translation.disputes and prove(translation, _spd(translation)).equal:
            return translation


def _spd(translation: Translation) -> Spd:
    return Spd(tuple(translation.policies()))


def mutants(rng: random.Random, policies: list[Policy]) -> Iterator[tuple[str, list[Policy]]]:
    """One thing changed in one policy."""
    for _ in range(MUTANTS):
        place = rng.randrange(len(policies))
        policy = policies[place]
        kind, changed = mutate(rng, policy, policies)
        if changed.key != policy.key and any(p.key == changed.key for p in policies):
            continue  # it would replace another one
        yield kind, [*policies[:place], changed, *policies[place + 1 :]]


def mutate(rng: random.Random, policy: Policy, policies: list[Policy]) -> tuple[str, Policy]:
    selector = policy.selector
    kind = rng.choice(("bit", "length", "port", "priority", "direction", "action"))
    if kind in ("bit", "length"):
        change = _bit if kind == "bit" else _length
        if rng.random() < 0.5:
            selector = selector._replace(source=change(rng, selector.source))
        else:
            selector = selector._replace(destination=change(rng, selector.destination))
        return kind, policy._replace(selector=selector)
    if kind == "port":
        if selector.protocol not in (6, 17):
            return kind, policy._replace(selector=selector._replace(protocol=17, source_port=25))
        if rng.random() < 0.5:
            port = rng.choice([p for p in (0, 25, 500) if p != selector.source_port])
            return kind, policy._replace(selector=selector._replace(source_port=port))
        port = rng.choice([p for p in (0, 53, 500) if p != selector.destination_port])
        return kind, policy._replace(selector=selector._replace(destination_port=port))
    if kind == "priority":
        other = rng.choice(policies).priority + rng.choice((-1, 1))
        return kind, policy._replace(priority=other)
    if kind == "direction":
        directions = [d for d in ("in", "out", "fwd") if d != policy.direction]
        return kind, policy._replace(direction=rng.choice(directions))
    action = "allow" if policy.action == "block" else "block"
    return kind, policy._replace(action=action)


def _bit(rng: random.Random, prefix: Prefix) -> Prefix:
    length = prefix.mask.bit_count()
    if not length:
        return Prefix(
            prefix.family, 1 << WIDTH[prefix.family] - 1, MASK_OF_LENGTH[prefix.family][1]
        )
    bit = 1 << WIDTH[prefix.family] - 1 - rng.randrange(length)
    return prefix._replace(address=prefix.address ^ bit)


def _length(rng: random.Random, prefix: Prefix) -> Prefix:
    length = prefix.mask.bit_count()
    most = WIDTH[prefix.family]
    changed = rng.choice([n for n in (length - 1, length + 1) if 0 <= n <= most])
    mask = MASK_OF_LENGTH[prefix.family][changed]
    return Prefix(prefix.family, prefix.address & mask, mask)


def edges(prefixes: set[Prefix]) -> list[int]:
    """An address of each interval between the ends of prefixes."""
    starts = {0}
    for family, address, mask in prefixes:
        network = address & mask
        starts |= {network, (network | ALL_ONES[family] ^ mask) + 1}
    return sorted(start for start in starts if start <= ALL_ONES[next(iter(prefixes)).family])


def packets(policies: list[Policy]) -> Iterator[Packet]:
    """Packets of every kind that some policy tells from others."""
    family = policies[0].selector.family
    sources = edges({p.selector.source for p in policies})
    destinations = edges({p.selector.destination for p in policies})
    protocols = sorted({p.selector.protocol for p in policies} - {0} | {99})
    for protocol in protocols:
        near, far = [0], [0]
        if protocol in (6, 17, 58):
            near = sorted({p.selector.source_port for p in policies} | {7})
            far = sorted({p.selector.destination_port for p in policies} | {7})
        for ends in product(sources, destinations, near, far):
            yield Packet(family, ends[0], ends[1], protocol, *ends[2:])


def fate(index: PolicyIndex, direction: str, packet: Packet) -> tuple[object, ...]:
    """What XFRM does, as far as it can be seen: nothing, a drop, or its templates."""
    decision = index.lookup(direction, packet)
    return decision.action or "allow", decision.templates


def changed_at(before: list[Policy], after: list[Policy]) -> dict[str, Packet]:
    """For each direction a packet that the two treat differently."""
    found: dict[str, Packet] = {}
    one, other = PolicyIndex(before), PolicyIndex(after)
    for packet in packets([*before, *after]):
        for direction in ("out", "in", "fwd"):
            if direction not in found and fate(one, direction, packet) != fate(
                other, direction, packet
            ):
                found[direction] = packet
    return found


def leaves_otherwise(before: list[Policy], after: list[Policy]) -> bool:
    """Whether a packet that leaves meets another fate, neighbour discovery aside."""
    one, other = PolicyIndex(before), PolicyIndex(after)
    return any(
        packet.protocol != 58 and fate(one, "out", packet) != fate(other, "out", packet)
        for packet in packets([*before, *after])
    )


def true_witness(region: Region, direction: str, before: list[Policy], after: list[Policy]) -> bool:
    """Whether the decisions about the witness of a region changed."""
    fates = [fate(PolicyIndex(p), direction, region.packet) for p in (before, after)]
    return fates[0] != fates[1]


@pytest.mark.parametrize("family", [4, 6])
def test_every_mutant_that_changes_a_decision_is_found(family: int) -> None:
    """Against the Ruleset itself, and against the table of eroutes."""
    rng = random.Random(family)
    counts: Counter[str] = Counter()
    for _ in range(RULESETS[family]):
        translation = proved(rng, family)
        policies = list(translation.policies())
        if not policies:
            continue
        counts["proved Rulesets"] += 1
        for kind, mutant in mutants(rng, policies):
            counts["mutants"] += 1
            changes = changed_at(policies, mutant)
            proof = prove_policies(policies, mutant)
            differing = {direction for direction, regions in proof.items() if regions}
            assert differing == set(changes), (kind, changes, differing)
            for direction, regions in proof.items():
                for region in regions:
                    assert region.decided
                    assert true_witness(region, direction, policies, mutant), (kind, region)
            if not changes:
                continue
            counts["that change a decision"] += 1
            counts[f"by {kind}"] += 1
            counts["found"] += 1
            failed = against_eroutes(translation, mutant, policies)
            counts["found from the eroutes too"] += failed
            if leaves_otherwise(policies, mutant):
                counts["of what leaves"] += 1
                assert failed, (kind, changes)
    print(f"\n{dict(counts)}")
    assert counts["found"] == counts["that change a decision"] > 10 * RULESETS[family]
    assert min(counts[f"by {k}"] for k in ("bit", "length", "port", "direction", "action")) > 2
    # Some change only what the eroutes leave open: what comes in under a %drop, for one.
    assert counts["found from the eroutes too"] >= counts["of what leaves"] > 10


def prove_policies(before: list[Policy], after: list[Policy]) -> dict[str, list[Region]]:
    """The differences of two sets of policies, by direction."""
    proof = compare_policies(Spd(tuple(before)), Spd(tuple(after)))
    found: dict[str, list[Region]] = {"out": [], "in": [], "fwd": []}
    for check in proof.checks:
        found[check.direction].extend(check.regions)
    return found


def against_eroutes(translation: Translation, mutant: list[Policy], before: list[Policy]) -> bool:
    """Whether the proof from the eroutes fails; its witnesses are packets that changed."""
    proof = prove(translation, Spd(tuple(mutant)))
    for check in proof.checks:
        if check.direction in ("out", "in", "fwd"):
            for region in check.regions:
                assert true_witness(region, check.direction, before, mutant), region
    return not proof.equal
