"""A KLIPS host translated: every entry with its outcome, every policy with its eroute."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Final

from ..diagnostics import Diagnostic
from ..klips.eroute import SOURCE_BYTE_8, Eroute, Form
from ..klips.host import KlipsHost
from ..klips.kernel_hold import host_pair, is_kernel_hold
from ..klips.lookup import row_of
from ..klips.said import SA_INT, SA_IPIP, SPI_HOLD, SPI_PASS, SPI_REJECT
from ..net import ALL_ONES, IPPROTO_TCP, IPPROTO_UDP, LENGTH_OF_MASK, Prefix, Selector
from ..xfrm.model import FirewallRule, Policy
from . import findings
from .addresses import address_findings, with_addresses
from .association_findings import association_findings
from .associations import Carried, carry_associations
from .collisions import without_collisions
from .exemptions import discovery_shields, ike_shields, intersection, outside_of
from .extra_policies import bypass_flows, extra_policies
from .links import Interfaces
from .masks import HOLES, around, prefix_count, without_holes
from .model import (
    OUT,
    POLICIES_PER_PLACE,
    Kind,
    Options,
    Outcome,
    Shield,
    Treatment,
    Weight,
)
from .precedence import (
    NO_EXCEPTIONS,
    Crossed,
    Dispute,
    Exceptions,
    Precedence,
    crossed_in,
    decide,
)
from .protection import Protection
from .scope import NO_SCOPE, Scope, scope_of
from .shunts import shunt_treatments

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
    mapper = _Mapper(options, host, scope)
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
        tuple(_firewall(outcomes, before, precedence, options)) if options.reject_rule else (),
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


_Draft = tuple[Treatment, tuple[Selector, ...], str]


@dataclass(frozen=True, slots=True)
class _Drafts:
    """Treatments and selectors of all eroutes; columns, since a million tuples take 80 MiB.

    ``reasons`` are those of the few that have one, by their position.
    """

    treatments: list[Treatment] = field(default_factory=list)
    selectors: list[tuple[Selector, ...]] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)


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
        loose = _with_host_bits(host)
        precedence.refused.update(_unreached_passes(host, treatments, loose))
        precedence.refused.update(_doubtful_passes(host, treatments, precedence, loose))
    return precedence


def _exceptions(
    mapper: _Mapper,
    host: KlipsHost,
    drafts: _Drafts,
    exceptions: Exceptions,
    first: int,
) -> list[Outcome]:
    """The parts of eroutes that go before all others, from a priority on."""
    parts = [(p, s) for p, selectors in sorted(exceptions.selectors.items()) for s in selectors]
    return [
        mapper.finish(
            host.eroutes[position],
            (_add(drafts.treatments[position], "ET307", Kind.NOTED), (selector,), ""),
            first + POLICIES_PER_PLACE * number,
            refused=False,
            exception=True,
        )
        for number, (position, selector) in enumerate(parts)
    ]


def _outcomes(
    mapper: _Mapper,
    host: KlipsHost,
    drafts: _Drafts,
    precedence: Precedence,
    exceptions: Exceptions,
    first: int,
) -> list[Outcome]:
    """The outcome of each eroute, from a priority on."""
    treatments = drafts.treatments
    if exceptions.selectors:
        treatments = list(treatments)
    for position in exceptions.selectors:
        treatments[position] = _add(treatments[position], "ET307", Kind.NOTED)
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


class _Mapper:
    """Chooses the treatment of each eroute; holds what is the same for a whole table."""

    def __init__(self, options: Options, host: KlipsHost, scope: Scope) -> None:
        self.options = options
        self.scope = scope
        self.protection = Protection(options)
        self.host_bits = False
        self.holes = _holes(host)
        self.trap_reqid = options.reqid_base if options.reqid is None else options.reqid
        self.shunts = shunt_treatments(options.inbound, reject_rule=options.reject_rule)
        self.sources = {
            association.said: association.source[1]
            for association in host.associations
            if association.source is not None
        }
        grouped = bool(host.groups)
        self.bare = {a.said for a in host.associations if grouped and a.said.protocol == SA_IPIP}

    def drafts(self, eroutes: Sequence[Eroute]) -> _Drafts:
        """What is known of each eroute before anything is known of others."""
        drafts = _Drafts()
        for position, eroute in enumerate(eroutes):
            treatment, selectors, reason = self._draft(eroute)
            drafts.treatments.append(treatment)
            drafts.selectors.append(selectors)
            if reason:
                drafts.reasons[position] = reason
        return drafts

    def _draft(self, eroute: Eroute) -> _Draft:
        """The treatment and the selectors, before anything is known of other eroutes."""
        selector = eroute[0]
        treatment = self._treatment(eroute)
        (family, near, near_mask), (_, far, far_mask) = selector[0], selector[1]
        lengths = LENGTH_OF_MASK[family]
        if near_mask not in lengths or far_mask not in lengths:
            treatment, selectors, reason = self._with_holes(eroute, treatment)
            self.host_bits = True
        elif near & ~near_mask or far & ~far_mask:
            selectors, reason = (_network_of(selector),), ""
            self.host_bits = True
            treatment = _add(treatment, "ET208", Kind.NOTED)
        else:
            selectors, reason = (selector,), ""
        if family == 6 and near >> SOURCE_BYTE_8 & 0xFF and eroute.form != Form.COMMAND:
            treatment = _add(treatment, "ET209", Kind.NOTED)
        if selector[3] or selector[4]:
            treatment, selectors = _with_ports(treatment, selectors)
        if self.options.routed:
            selectors = self._scoped(selectors)
        else:
            treatment = self._reached(selector, treatment)
        return treatment, selectors, reason

    def _reached(self, selector: Selector, treatment: Treatment) -> Treatment:
        """Exact for what went into ipsecN; what did not, or is not known, is said."""
        scope, family = self.scope, selector[0][0]
        if family in scope.known:
            if scope.holds(selector[1]):
                return treatment
            if family in scope.whole:
                return _add(treatment, "ET272", Kind.NOTED)
        return _add(treatment, "ET214", Kind.NOTED) if treatment[0] == "exact" else treatment

    def _scoped(self, selectors: tuple[Selector, ...]) -> tuple[Selector, ...]:
        """Only what was routed into ipsecN."""
        scoped: list[Selector] = []
        for selector in selectors:
            for prefix in self.options.routed:
                part = intersection(selector.destination, prefix)
                if part is not None:
                    scoped.append(selector._replace(destination=part))
        return tuple(dict.fromkeys(scoped))

    def _treatment(self, eroute: Eroute) -> Treatment:
        selector, saids = eroute[0], eroute[1]
        said = saids[0]
        if eroute[6]:
            return self.shunts["unreadable"]
        if said[0] == SA_INT:
            return self.shunts.get(said[1]) or self.shunts["unknown"]
        if said[4]:
            return self.shunts["unknown"]
        if not said[1] and said.is_passthrough:
            return self.shunts["passthrough"]
        source, destination = selector[0], selector[1]
        family = source[0]
        # Only a selector whose ends overlap can meet its own mirror image.
        mirrors = not (source[1] ^ destination[1]) & source[2] & destination[2]
        if mirrors:
            mirrors = self._mirrors_itself(selector)
        treatment = self.protection.treatment(
            saids,
            family,
            mirrors_itself=mirrors,
            source=self.sources.get(said, 0),
            bare=len(saids) == 1 and said in self.bare,
        )
        if treatment[4] and not treatment[5]:
            # Transport mode writes no new destination: the SA is for edst, the packet goes on to
            # wherever it was going.
            here = destination[2] == ALL_ONES[family] and destination[1] == said[3]
            treatment = treatment if here else _add(treatment, "ET210", Kind.APPROXIMATED)
        return treatment

    def _mirrors_itself(self, selector: Selector) -> bool:
        """Whether packets that set out from here look like ones that come in."""
        source, destination = selector[0], selector[1]
        if not selector.overlaps(selector.mirrored()):
            return False
        shared = intersection(source.network, destination.network)
        if shared is None or any(b.covers(shared) for b in self.options.bypass):
            return False
        # A %pass for the shared part is the finer eroute, so it comes first in all directions.
        return (shared, shared) not in self.holes

    def _with_holes(self, eroute: Eroute, treatment: Treatment) -> _Draft:
        selector = eroute.selector
        holding = eroute.said.protocol == SA_INT and eroute.said.spi == SPI_HOLD
        if holding and is_kernel_hold(selector):
            return _add(treatment, "ET221", Kind.NOTED), (host_pair(selector),), ""
        count = prefix_count(selector.source) * prefix_count(selector.destination)
        if count > self.options.mask_limit:
            reason = (
                f"the mask has holes: it would take {count} prefixes, and --mask-limit is"
                f" {self.options.mask_limit}; --allow-partial blocks the prefixes around it"
            )
            refusal = self.shunts["unreadable"]._replace(rule=HOLES.name, codes=("ET207",))
            return refusal, (around(selector),), reason
        if selector.source.has_host_bits or selector.destination.has_host_bits:
            treatment = _add(treatment, "ET208", Kind.NOTED)
        return _add(treatment, "ET207", Kind.NOTED), without_holes(eroute), ""

    def finish(
        self,
        eroute: Eroute,
        draft: _Draft,
        priority: int,
        *,
        refused: bool,
        exception: bool = False,
    ) -> Outcome:
        """Add the priority and the exemptions; block what had to be refused."""
        treatment, selectors, reason = draft
        if refused:
            treatment = self.shunts["unreadable"]._replace(
                rule=treatment.rule, codes=(*treatment.codes, "ET222")
            )
            reason = "it would pass in clear what KLIPS may have protected"
        reqid = 0
        if treatment[3]:
            shunt = eroute[1][0][0] == SA_INT
            reqid = self.trap_reqid if shunt else self.protection.reqid(eroute[1])
        shields: tuple[Shield, ...] = ()
        if (treatment[6] or treatment[3]) and selectors and treatment[0] != "refused":
            if len(selectors) == 1 and selectors[0] == eroute[0]:
                shields = self._shields(eroute, treatment, eroute[0])
            else:
                # Only what is carried: cut to the routes, without host bits and holes.
                parts = [self._shields(eroute, treatment, s) for s in selectors]
                shields = tuple(dict.fromkeys(chain.from_iterable(parts)))
        return _new(
            Outcome,
            (eroute, treatment, selectors, reqid, shields, priority, reason, (), exception, 0),
        )

    def _shields(
        self, eroute: Eroute, treatment: Treatment, selector: Selector
    ) -> tuple[Shield, ...]:
        shields = ike_shields(eroute, selector, treatment, self.options.local)
        if selector[0][0] == 6:
            shields += discovery_shields(selector, treatment)
        return shields


_new: Final = tuple.__new__
"""Builds a NamedTuple at half the price of calling its class; there is one for each eroute."""


def _network_of(selector: Selector) -> Selector:
    """The selector without host bits."""
    return selector._replace(
        source=selector.source.network, destination=selector.destination.network
    )


def _with_ports(
    treatment: Treatment, selectors: tuple[Selector, ...]
) -> tuple[Treatment, tuple[Selector, ...]]:
    """KLIPS compared ports of TCP and UDP alone (ipsec_xmit.c:ipsec_extract_ports)."""
    protocol = selectors[0].protocol
    if protocol in (IPPROTO_TCP, IPPROTO_UDP):
        return treatment, selectors
    if protocol:
        return _add(treatment, "ET304", Kind.NOTED), ()
    return treatment, tuple(
        selector._replace(protocol=protocol)
        for selector in selectors
        for protocol in (IPPROTO_TCP, IPPROTO_UDP)
    )


def _holes(host: KlipsHost) -> set[tuple[Prefix, Prefix]]:
    """The %pass eroutes for whole subnets."""
    return {
        (eroute.selector.source, eroute.selector.destination)
        for eroute in host.eroutes
        if eroute.said.protocol == SA_INT
        and eroute.said.spi == SPI_PASS
        and not (eroute.selector[2] or eroute.selector[3] or eroute.selector[4])
    }


_BADNESS = {kind.value: place for place, kind in enumerate(Kind)}


@cache
def _add(treatment: Treatment, code: str, kind: Kind) -> Treatment:
    """The treatment with one more thing to know; never better than it was."""
    worse = max(treatment.kind, kind.value, key=lambda k: _BADNESS[k])
    return treatment._replace(kind=worse, codes=(*treatment.codes, code))


def _with_host_bits(host: KlipsHost) -> list[int]:
    """Eroutes with address bits outside their masks."""
    return [
        position
        for position, (((_, near, near_mask), (_, far, far_mask), *_), *_) in enumerate(
            host.eroutes
        )
        if near & ~near_mask or far & ~far_mask
    ]


def _unreached_passes(
    host: KlipsHost, treatments: Sequence[Treatment], loose: Sequence[int]
) -> set[int]:
    """Passing eroutes with host bits that KLIPS did not find for all of their prefix."""
    refused: set[int] = set()
    keys: dict[int, set[int]] = {}
    for position in loose:
        eroute = host.eroutes[position]
        if treatments[position].weight != Weight.PASS:
            continue
        key, mask = row_of(eroute.selector)
        family = eroute.selector.family
        if family not in keys:
            keys[family] = {
                row_of(e.selector)[0] for e in host.eroutes if e.selector.family == family
            }
        tested = 0
        for other in keys[family] - {key}:
            tested |= 1 << (key ^ other).bit_length() - 1
        if tested & ~mask:
            refused.add(position)
    return refused


def _doubtful_passes(
    host: KlipsHost,
    treatments: Sequence[Treatment],
    precedence: Precedence,
    loose: Sequence[int],
) -> set[int]:
    """Passing eroutes before a safer one with host bits, which KLIPS may have found first.

    Its key lies deeper in the tree than its mask tells, also below narrower eroutes.
    """
    refused: set[int] = set()
    place = {position: at for at, position in enumerate(precedence.order)}
    for position in loose:
        eroute = host.eroutes[position]
        key, mask = row_of(eroute.selector)
        if treatments[position].weight == Weight.PASS:
            continue
        family = eroute.selector.family
        crossed = precedence.crossed[family]
        for other in crossed.crossings.touching((key & mask, mask)):
            stronger = crossed.members[other]
            if treatments[stronger].weight == Weight.PASS and place[stronger] < place[position]:
                refused.add(stronger)
    return refused


def _firewall(
    outcomes: Sequence[Outcome],
    exceptions: Sequence[Outcome],
    precedence: Precedence,
    options: Options,
) -> Iterator[FirewallRule]:
    """The rules that answer for %reject, and before them the stronger eroutes that they meet."""
    rejecting = {
        position
        for position, outcome in enumerate(outcomes)
        if outcome.eroute.said.protocol == SA_INT
        and outcome.eroute.said.spi == SPI_REJECT
        and outcome.kind != Kind.REFUSED.value
    }
    if not rejecting:
        return
    for network in options.bypass:
        anywhere = Prefix(network.family, 0, 0)
        yield FirewallRule("return", Selector(anywhere, network), "never routed into ipsecN")
    for exception in exceptions:
        said = exception.eroute.said
        rejects = said.protocol == SA_INT and said.spi == SPI_REJECT
        for selector in exception.selectors:
            verdict = "reject" if rejects else "return"
            yield FirewallRule(verdict, selector, str(exception.eroute.span))
    shields: set[int] = set()
    for position in rejecting:
        family = outcomes[position].eroute.selector.family
        crossed = precedence.crossed[family]
        row = row_of(outcomes[position].eroute.selector)
        for other in crossed.crossings.touching((row[0] & row[1], row[1])):
            stronger = crossed.members[other]
            if (
                stronger not in rejecting
                and outcomes[stronger].priority < outcomes[position].priority
            ):
                shields.add(stronger)
    for position in precedence.order:
        if position in rejecting or position in shields:
            outcome = outcomes[position]
            verdict = "reject" if position in rejecting else "return"
            for selector in outcome.selectors:
                yield FirewallRule(verdict, selector, str(outcome.eroute.span))
