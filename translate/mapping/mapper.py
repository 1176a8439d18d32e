"""Each eroute by itself: its treatment, the selectors it is carried with, and its exemptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Final

from ..klips.eroute import SOURCE_BYTE_8, Eroute, Form
from ..klips.host import KlipsHost
from ..klips.kernel_hold import host_pair, is_made_by_kernel
from ..klips.said import SA_INT, SA_IPIP, SPI_PASS
from ..net import ALL_ONES, IPPROTO_TCP, IPPROTO_UDP, LENGTH_OF_MASK, Prefix, Selector
from .exemptions import discovery_shields, ike_shields, intersection
from .masks import HOLES, around, prefix_count, without_holes
from .model import Kind, Options, Outcome, Shield, Treatment
from .protection import Protection
from .scope import Scope
from .shunts import shunt_treatments

Draft = tuple[Treatment, tuple[Selector, ...], str]
"""The treatment of an eroute, its selectors, and the reason if it is refused."""


@dataclass(frozen=True, slots=True)
class Drafts:
    """Treatments and selectors of all eroutes; columns, since a million tuples take 80 MiB.

    ``reasons`` are those of the few that have one, by their position.
    """

    treatments: list[Treatment] = field(default_factory=list)
    selectors: list[tuple[Selector, ...]] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)


class Mapper:
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

    def drafts(self, eroutes: Sequence[Eroute]) -> Drafts:
        """What is known of each eroute before anything is known of others."""
        drafts = Drafts()
        for position, eroute in enumerate(eroutes):
            treatment, selectors, reason = self._draft(eroute)
            drafts.treatments.append(treatment)
            drafts.selectors.append(selectors)
            if reason:
                drafts.reasons[position] = reason
        return drafts

    def _draft(self, eroute: Eroute) -> Draft:
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
            treatment = with_code(treatment, "ET208", Kind.NOTED)
        else:
            selectors, reason = (selector,), ""
        if family == 6 and near >> SOURCE_BYTE_8 & 0xFF and eroute.form != Form.COMMAND:
            treatment = with_code(treatment, "ET209", Kind.NOTED)
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
                return with_code(treatment, "ET272", Kind.NOTED)
        return with_code(treatment, "ET214", Kind.NOTED) if treatment[0] == "exact" else treatment

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
            treatment = treatment if here else with_code(treatment, "ET210", Kind.APPROXIMATED)
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

    def _with_holes(self, eroute: Eroute, treatment: Treatment) -> Draft:
        selector = eroute.selector
        if is_made_by_kernel(eroute):
            return with_code(treatment, "ET221", Kind.NOTED), (host_pair(selector),), ""
        count = prefix_count(selector.source) * prefix_count(selector.destination)
        if count > self.options.mask_limit:
            reason = (
                f"the mask has holes: it would take {count} prefixes, and --mask-limit is"
                f" {self.options.mask_limit}; --allow-partial blocks the prefixes around it"
            )
            refusal = self.shunts["unreadable"]._replace(rule=HOLES.name, codes=("ET207",))
            return refusal, (around(selector),), reason
        if selector.source.has_host_bits or selector.destination.has_host_bits:
            treatment = with_code(treatment, "ET208", Kind.NOTED)
        return with_code(treatment, "ET207", Kind.NOTED), without_holes(eroute), ""

    def finish(
        self,
        eroute: Eroute,
        draft: Draft,
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
        return with_code(treatment, "ET304", Kind.NOTED), ()
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
def with_code(treatment: Treatment, code: str, kind: Kind) -> Treatment:
    """The treatment with one more thing to know; never better than it was."""
    worse = max(treatment.kind, kind.value, key=lambda k: _BADNESS[k])
    return treatment._replace(kind=worse, codes=(*treatment.codes, code))
