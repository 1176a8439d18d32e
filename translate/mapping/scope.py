"""The routes of a KLIPS host as a bound of its policies (docs/mapping.md, Scope).

Two things follow from the routes that were read.  What they led into ``ipsecN`` and no eroute
covered was dropped, so it is blocked behind all eroutes.  What they led elsewhere never met an
eroute, so a network of the gateway's own is taken out of the wider eroutes around it.  An eroute
itself is never cut down to the routes: they may have been read at another moment than the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ..diagnostics import Diagnostic, Severity, Span
from ..klips.host import KlipsHost
from ..klips.reach import Doubt, Reach
from ..net import ALL_ONES, LENGTH_OF_MASK, MASK_OF_LENGTH, Prefix, Selector, without
from .exemptions import LINK_LOCAL
from .model import Options, Rule, Scoping

UNCOVERED: Final = Rule(
    name="routed-uncovered",
    eroute="none, for a packet that a route led into ipsecN",
    klips="Dropped it without a notice, but for the host's own IKE, ESP and AH.",
    xfrm="An out policy that blocks, behind all eroutes, for each destination that was routed into"
    " ipsecN; before it out policies that allow what is exempt.",
    difference="None where the routes are certain; what is not certain passes.",
    reason="A block too many can cut the gateway off.",
    tested="tests/unit/test_scope.py, tests/property/test_scope.py",
)

AROUND: Final = Rule(
    name="never-routed",
    eroute="any, where a network inside its destination left by another interface",
    klips="Never saw it: it left in clear, and came in unchecked.",
    xfrm="Policies before all eroutes allow packets to the network out, and from it in and fwd.",
    difference="None; a part for which an eroute of its own was made stays with that eroute.",
    reason="The links of the gateway itself must stay reachable under an eroute for everything.",
    tested="tests/unit/test_scope.py, tests/property/test_scope.py",
)

RULES: Final = (UNCOVERED, AROUND)

ON_LINK: Final = (
    Prefix(4, 224 << 24, MASK_OF_LENGTH[4][24]),
    Prefix(4, ALL_ONES[4], ALL_ONES[4]),
    Prefix(6, 0xFF01 << 112, MASK_OF_LENGTH[6][16]),
    Prefix(6, 0xFF02 << 112, MASK_OF_LENGTH[6][16]),
    LINK_LOCAL,
)
"""Never leave the link, and the socket names its interface: no route led them into ``ipsecN``."""

_SHOWN: Final = 6


@dataclass(frozen=True, slots=True)
class Scope:
    """What the routes of a host come to.

    ``known`` are the families whose routes were read, ``whole`` those with all of them.
    ``around`` never met an eroute, ``blocked`` did and found none; ``spared`` lies inside
    ``blocked``, and is left alone.
    """

    known: frozenset[int] = frozenset()
    whole: frozenset[int] = frozenset()
    around: tuple[Prefix, ...] = ()
    blocked: tuple[Prefix, ...] = ()
    spared: tuple[Selector, ...] = ()
    findings: tuple[Diagnostic, ...] = ()
    _into: frozenset[Prefix] = frozenset()
    _masks: tuple[int, ...] = field(default=())

    def holds(self, destination: Prefix) -> bool:
        """Whether all of a destination was routed into ``ipsecN``, own networks left aside."""
        family, address, mask = destination
        return any(
            mask & shorter == shorter and Prefix(family, address & shorter, shorter) in self._into
            for shorter in self._masks
        )

    def within(self, options: Options) -> Options:
        """The options with what the routes add to them."""
        bypass = tuple(dict.fromkeys([*options.bypass, *self.around]))
        return replace(options, bypass=bypass, blocked=self.blocked, spared=self.spared)


NO_SCOPE: Final = Scope()
"""No route was read, or they have no part in it."""


def scope_of(host: KlipsHost, options: Options) -> Scope:
    """What the routes of a host come to; ``--routed`` outweighs them."""
    if options.scope is Scoping.EROUTES or options.routed or not host.routes:
        return NO_SCOPE
    reach = host.reach
    families = frozenset(route.destination.family for route in host.routes)
    into = _together(route.destination.network for route in reach.into)
    anything = [d for d in reach.doubts if d.source is None and d.destination is None]
    blocked = () if anything else into
    around = _around(host, reach, into)
    spared = [*_spared(reach.doubts, blocked), *_on_link(into, blocked)]
    for source in reach.near:
        if any(b.covers(source) for b in blocked):
            inner = [p for p in into if source.covers(p)]
            left = without(source, inner)
            spared.extend(Selector(Prefix(part.family, 0, 0), part) for part in left)
    taken = {prefix for prefix, _ in around}
    for network, _ in reach.around:
        if network not in taken and any(b.covers(network) for b in blocked):
            left = without(network, [p for p in taken if network.covers(p)])
            spared.extend(Selector(Prefix(part.family, 0, 0), part) for part in left)
    return Scope(
        families,
        reach.whole,
        tuple(prefix for prefix, _ in around),
        blocked,
        tuple(dict.fromkeys(spared)),
        tuple(_findings(reach, blocked, around)),
        frozenset(into),
        tuple(sorted({prefix.mask for prefix in into})),
    )


def _together(prefixes: Iterable[Prefix]) -> tuple[Prefix, ...]:
    """Halves of one prefix put together, such as 0.0.0.0/1 and 128.0.0.0/1."""
    left = set(prefixes)
    waiting = sorted(left, key=lambda p: p.mask)
    while waiting:
        prefix = waiting.pop()
        family, address, mask = prefix
        if not mask or prefix not in left:
            continue
        bit = mask & ~(mask << 1)
        other = Prefix(family, address ^ bit, mask)
        if other in left:
            left -= {prefix, other}
            whole = Prefix(family, address & ~bit, mask ^ bit)
            left.add(whole)
            waiting.append(whole)
    return tuple(sorted(left))


def _around(host: KlipsHost, reach: Reach, into: Sequence[Prefix]) -> list[tuple[Prefix, Span]]:
    """The networks that some eroute or block would catch, without what an eroute is meant for.

    An eroute whose destination lies inside such a network was made for that destination: it keeps
    all of it.
    """
    if any(doubt.maybe_into and doubt.destination is None for doubt in reach.doubts):
        return []
    doubtful = [d.destination for d in reach.doubts if d.maybe_into and d.destination is not None]
    networks = dict(reach.around)
    masks = sorted({prefix.mask for prefix in networks})
    meant: dict[Prefix, set[Prefix]] = {}
    wider: set[Prefix] = set()
    for eroute in host.eroutes:
        family, address, mask = eroute[0][1]
        own = Prefix(family, address & mask, mask)
        for shorter in masks:
            held = Prefix(family, address & shorter, shorter)
            if mask & shorter == shorter and held in networks:
                meant.setdefault(held, set()).add(own)
        if mask not in LENGTH_OF_MASK[family] or mask < max(masks, default=0):
            wider.add(own)
    found: list[tuple[Prefix, Span]] = []
    for network, span in reach.around:
        caught = any(p.overlaps(network) and not network.covers(p) for p in wider)
        if not caught and not any(p.covers(network) for p in into):
            continue
        found.extend((p, span) for p in without(network, [*meant.get(network, ()), *doubtful]))
    return found


def _spared(doubts: Sequence[Doubt], blocked: Sequence[Prefix]) -> Iterator[Selector]:
    """Inside the blocked destinations, what may have gone elsewhere."""
    for doubt in doubts:
        for network in blocked:
            anywhere = Prefix(network.family, 0, 0)
            source = doubt.source or anywhere
            destination = doubt.destination or network
            if source.family != network.family or not destination.overlaps(network):
                continue
            # Of routes the longer one counts, so that a wider one in doubt changes nothing here.
            if doubt.by_rule or network.covers(destination):
                inner = destination if network.covers(destination) else network
                yield Selector(source.network, inner.network)


def _on_link(into: Sequence[Prefix], blocked: Sequence[Prefix]) -> Iterator[Selector]:
    for link in ON_LINK:
        if any(b.covers(link) for b in blocked) and not any(link.covers(p) for p in into):
            yield Selector(Prefix(link.family, 0, 0), link)


def _findings(
    reach: Reach, blocked: Sequence[Prefix], around: Sequence[tuple[Prefix, Span]]
) -> Iterator[Diagnostic]:
    if blocked:
        yield Diagnostic(
            "ET270",
            Severity.WARNING,
            f"packets to {_listed(blocked)} were routed into ipsecN, where KLIPS dropped what no"
            " eroute covered; they are blocked, those of this host too",
            reach.into[0].span,
            hint="look whether the way by which you reach this host is among them; --scope eroutes"
            " blocks nothing, --routed and --bypass say by hand what was routed",
            related=_places([(r.destination.network, r.span) for r in reach.into], "into ipsecN"),
        )
    if around:
        networks = list(dict.fromkeys(prefix for prefix, _ in around))
        yield Diagnostic(
            "ET271",
            Severity.NOTE,
            f"packets to {_listed(networks)} left by another interface and never met an eroute;"
            " they are taken out of the wider eroutes around them, in all directions",
            around[0][1],
            hint="--scope eroutes leaves them in",
            related=_places(around, "by another interface"),
        )
    for doubt in reach.doubts:
        yield Diagnostic(
            "ET273",
            Severity.WARNING,
            f"{doubt.text}: what it touches is not blocked behind the eroutes",
            doubt.span,
            hint="--routed NETWORK and --bypass NETWORK say what was routed into ipsecN",
        )


def _listed(prefixes: Sequence[Prefix]) -> str:
    shown = ", ".join(str(prefix) for prefix in prefixes[:_SHOWN])
    more = len(prefixes) - _SHOWN
    return f"{shown} and {more} more networks" if more > 0 else shown


def _places(found: Sequence[tuple[Prefix, Span]], what: str) -> tuple[tuple[Span, str], ...]:
    spans = {span: f"{prefix} {what}" for prefix, span in reversed(found)}
    return tuple(sorted(spans.items()))[:_SHOWN]
