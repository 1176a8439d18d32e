"""A KLIPS host translated: every entry with its outcome, every policy with its eroute."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from operator import itemgetter
from typing import Final

from ..diagnostics import Diagnostic
from ..klips.host import KlipsHost
from ..xfrm.model import FirewallRule, Policy
from . import findings, forwarded
from .addresses import address_findings, with_addresses
from .association_findings import association_findings
from .associations import Carried, carry_associations
from .collisions import without_collisions
from .exemptions import outside_of
from .extra_policies import bypass_flows, extra_policies
from .host_bits import doubtful_passes, unreached_passes, with_host_bits
from .links import Interfaces
from .mapper import Drafts, Mapper, with_code
from .model import OUT, POLICIES_PER_PLACE, Kind, Options, Outcome, Treatment, Weight
from .precedence import (
    NO_EXCEPTIONS,
    Crossed,
    Dispute,
    Exceptions,
    Precedence,
    crossed_in,
    decide,
)
from .reject_rules import firewall_rules
from .scope import NO_SCOPE, Scope, scope_of

BAND: Final = 100_000_000
"""Priorities from the base on that are ours, unless the base is among those of key daemons."""


@dataclass(frozen=True, slots=True)
class Translation:
    """The whole result.

    ``options`` are those that were given, with what the routes of the host add to them.
    ``outcomes`` stand in the order of the input.  ``extra`` are policies that come from options or
    routes, not from eroutes.  ``firewall`` are the rules beside the policies, in their order.
    ``states`` are the associations and what became of each.  ``exceptions`` are parts of eroutes
    that stand before all others, for what no order of priorities gives.  ``scope`` is what the
    routes come to.  ``interfaces`` are links and routes of ``--interface xfrm``.
    """

    host: KlipsHost
    options: Options
    outcomes: tuple[Outcome, ...]
    extra: tuple[Policy, ...]
    firewall: tuple[FirewallRule, ...]
    findings: tuple[Diagnostic, ...]
    disputes: tuple[Dispute, ...]
    last_priority: int
    states: tuple[Carried, ...] = ()
    exceptions: tuple[Outcome, ...] = ()
    scope: Scope = NO_SCOPE
    interfaces: Interfaces | None = None

    @property
    def band(self) -> tuple[int, int]:
        """The first and last priority that are ours on the host, whatever the table."""
        base = self.options.priority_base
        return base, max(self.last_priority, base + BAND - 1 if base >= BAND else 0)

    @property
    def counts(self) -> dict[str, int]:
        """How many entries of the input became what; they add up to all of them."""
        kinds = Counter(outcome.treatment.kind for outcome in self.outcomes)
        kinds[Kind.REFUSED.value] += len(self.host.unread)
        kinds[Kind.NOTED.value] += len(self.host.repeats)
        return {kind.value: kinds[kind.value] for kind in Kind}

    @property
    def refused(self) -> int:
        """How many entries are not carried."""
        return self.counts[Kind.REFUSED.value]

    def policies(self) -> Iterator[Policy]:
        """All policies, in the order of installation."""
        yield from self.bypassed
        for outcome in self.in_install_order():
            yield from outcome.policies
        yield from self.uncovered

    @property
    def bypassed(self) -> tuple[Policy, ...]:
        """The policies for what never went into ipsecN, before those of all eroutes."""
        return self.extra[: len(bypass_flows(self.options))]

    @property
    def uncovered(self) -> tuple[Policy, ...]:
        """The policies for what was routed into ipsecN and no eroute covers.

        Installed last, although they are wide: what stops everything must not stand alone.
        """
        return self.extra[len(bypass_flows(self.options)) :]

    def in_install_order(self, direction: str = OUT) -> list[Outcome]:
        """Outcomes with the widest prefixes first, as their policies of a direction have them.

        What lets pass comes behind all else: a wide %pass that stood before the narrow eroutes
        under it were there would let their packets out in clear for so long.

        A wide prefix that comes late makes the kernel merge nodes of its trees: 50 000 policies
        take 0.4 s in this order and 52 s in the opposite one, whatever their priorities.
        """
        out = direction == OUT
        alike: dict[tuple[bool, int, int], list[Outcome]] = {}
        for outcome in chain(self.exceptions, self.outcomes):
            if outcome[2]:
                passes = outcome[1][6] == _PASS
                near, far = outcome[2][0][0][2], outcome[2][0][1][2]
                width = (passes, far, near) if out else (passes, near, far)
                alike.setdefault(width, []).append(outcome)
        # Sorted in groups: few widths are compared, and then numbers alone.
        return [o for width in sorted(alike) for o in sorted(alike[width], key=_priority)]


_PASS: Final = Weight.PASS.value
_priority: Final = itemgetter(5)


def translate(
    host: KlipsHost,
    options: Options,
    exceptions: Exceptions = NO_EXCEPTIONS,
    crossed: Mapping[int, Crossed] | None = None,
) -> Translation:
    """Map every eroute of the host.  Pure: same host and options, same result.

    ``exceptions`` are for :func:`..equivalence.exact.translate_exactly`, which finds them.
    ``crossed`` is what :func:`crossed_in_host` gives, for whoever translates a host several times.
    """
    if crossed is None:
        crossed = crossed_in_host(host, options)
    given = options
    options = with_addresses(host, given)
    scope = scope_of(host, options)
    options = scope.within(options)
    mapper = Mapper(options, host, scope)
    drafts = mapper.drafts(host.eroutes)
    precedence = _precedence(
        host, drafts.treatments, options, exceptions, crossed, host_bits=mapper.host_bits
    )
    bypass = bypass_flows(options)
    taken = [(direction, selector) for direction, selector, _ in bypass]
    first = options.priority_base + len(bypass) + POLICIES_PER_PLACE
    before = _exceptions(mapper, host, drafts, exceptions, first)
    first += POLICIES_PER_PLACE * len(before)
    outcomes = _outcomes(mapper, host, drafts, precedence, exceptions, first)
    _narrow(outcomes, precedence.disputes)
    forwarded.close(outcomes, before, precedence.crossed, options)
    numbers = range(len(outcomes), len(outcomes) + len(before))
    carried = without_collisions([*outcomes, *before], [*numbers, *precedence.order], taken)
    outcomes, before = carried[: len(outcomes)], carried[len(outcomes) :]
    behind = len(options.routed) + len(options.blocked)
    last = first + POLICIES_PER_PLACE * (len(outcomes) + behind)
    states = carry_associations(host, outcomes, options)
    found = [
        *findings.limits(options, last, mapper.protection.reqids),
        *precedence.findings,
        *findings.exceptional(host.eroutes, exceptions.settled, exceptions.selectors),
        *findings.summaries(outcomes, replace(options, bypass=given.bypass), scope.known),
        *address_findings(given, options),
        *scope.findings,
        *association_findings(states),
    ]
    return Translation(
        host,
        options,
        tuple(outcomes),
        tuple(extra_policies(options, bypass, [*before, *outcomes], last)),
        tuple(firewall_rules(outcomes, before, precedence, options)) if options.reject_rule else (),
        tuple(found),
        tuple(precedence.disputes),
        last,
        states,
        tuple(before),
        scope,
    )


def crossed_in_host(host: KlipsHost, options: Options) -> dict[int, Crossed]:
    """Where the eroutes of a host cross, by family; it hangs on no other option than the limit."""
    return crossed_in(
        host.eroutes,
        options.crossing_limit,
        in_kernel_order=host.in_kernel_order,
        insertion_known=host.insertion_known,
    )


def _precedence(
    host: KlipsHost,
    treatments: Sequence[Treatment],
    options: Options,
    exceptions: Exceptions,
    crossed: Mapping[int, Crossed],
    *,
    host_bits: bool,
) -> Precedence:
    """The order of the eroutes, and those that it cannot carry."""
    precedence = decide(host.eroutes, treatments, options, crossed=crossed, exceptions=exceptions)
    if host_bits:
        loose = with_host_bits(host)
        precedence.refused.update(unreached_passes(host, treatments, precedence, loose))
        precedence.refused.update(doubtful_passes(host, treatments, precedence, loose))
    return precedence


def _exceptions(
    mapper: Mapper,
    host: KlipsHost,
    drafts: Drafts,
    exceptions: Exceptions,
    first: int,
) -> list[Outcome]:
    """The parts of eroutes that go before all others, from a priority on."""
    parts = [(p, s) for p, selectors in sorted(exceptions.selectors.items()) for s in selectors]
    return [
        mapper.finish(
            host.eroutes[position],
            (with_code(drafts.treatments[position], "ET307", Kind.NOTED), (selector,), ""),
            first + POLICIES_PER_PLACE * number,
            refused=False,
            exception=True,
        )
        for number, (position, selector) in enumerate(parts)
    ]


def _outcomes(
    mapper: Mapper,
    host: KlipsHost,
    drafts: Drafts,
    precedence: Precedence,
    exceptions: Exceptions,
    first: int,
) -> list[Outcome]:
    """The outcome of each eroute, from a priority on."""
    treatments = drafts.treatments
    if exceptions.selectors:
        treatments = list(treatments)
    for position in exceptions.selectors:
        treatments[position] = with_code(treatments[position], "ET307", Kind.NOTED)
    places = array("Q", bytes(8 * len(treatments)))
    for place, position in enumerate(precedence.order):
        places[position] = place
    refused, reasons = precedence.refused, drafts.reasons
    rows = zip(host.eroutes, treatments, drafts.selectors, places, strict=True)
    return [
        mapper.finish(
            eroute,
            (treatment, selectors, reasons.get(position, "")),
            first + POLICIES_PER_PLACE * place,
            refused=position in refused,
        )
        for position, (eroute, treatment, selectors, place) in enumerate(rows)
    ]


def _narrow(outcomes: list[Outcome], disputes: Sequence[Dispute]) -> None:
    """Take out of the exemptions of disputed eroutes what the others of their pairs protect."""
    for dispute in disputes:
        winner, loser = outcomes[dispute.winner], outcomes[dispute.loser]
        said = loser.eroute.said
        if not winner.shields or not loser.treatment.steps or said.is_shunt:
            continue  # a shunt exempts to everybody, as the winner does at most
        shields = outside_of(winner.shields, loser.selectors, (said.family, said.destination))
        outcomes[dispute.winner] = winner._replace(shields=shields)
