"""Which packets a KLIPS host sent into ``ipsecN``: its routes, read as its kernel read them.

KLIPS saw only what the routing table sent into a device of its own (docs/klips.md).  The longest
prefix decides; a longer route by another device takes its part out again.  Only the main table is
followed.  Whatever makes that uncertain (a routing rule, two devices for one destination, a table
that is not whole) is a doubt, and what it touches is neither ``into`` nor ``around``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from ..diagnostics import Span
from ..net import ALL_ONES, LENGTH_OF_MASK, Prefix, without
from .interface import InterfaceAddress, Route, RoutingRule, is_virtual

MAIN: Final = ("main", "254")
_ORDINARY: Final = {("local", 0), ("255", 0), ("main", 32766), ("254", 32766), ("default", 32767)}
_ORDINARY_6: Final = {("253", 32767)}
_SAREF_BIT: Final = 0x80000000
_PARTIAL_LEAST: Final = {4: 8, 6: 16}
"""Shorter prefixes are next to a default route: other routes of the host lie inside for certain."""


class Doubt(NamedTuple):
    """Something that leaves open where packets went.

    ``source`` and ``destination`` bound the packets that are meant, ``None`` for any;
    ``by_rule`` tells that another table may have decided, and ``maybe_into`` that it may have led
    into ``ipsecN`` what the main table sends elsewhere.
    """

    text: str
    span: Span
    source: Prefix | None = None
    destination: Prefix | None = None
    by_rule: bool = False
    maybe_into: bool = False


class Reach(NamedTuple):
    """What went into ``ipsecN``.

    ``into`` are the routes whose destinations went there; none lies inside another.  ``around``
    are networks that left by another device: those inside one of ``into``, and the networks that
    the gateway itself is on.  They are disjoint from the longer routes into ``ipsecN`` inside
    them.  ``whole`` are the families whose table is whole.  Where it is not, ``near`` are the
    sources of eroutes inside one of ``into``: most likely networks behind this gateway, whose
    routes are not known.  ``doubts`` say what is not certain.
    """

    into: tuple[Route, ...] = ()
    around: tuple[tuple[Prefix, Span], ...] = ()
    doubts: tuple[Doubt, ...] = ()
    whole: frozenset[int] = frozenset()
    near: tuple[Prefix, ...] = ()


def best_routes(routes: Iterable[Route]) -> dict[Prefix, list[Route]]:
    """The routes of the main table by destination: those with the lowest metric, as printed.

    The kernel takes the first of them; several next hops of one route stand here too.
    """
    best: dict[Prefix, list[Route]] = {}
    for route in routes:
        if route.table not in MAIN or route.kind in ("local", "broadcast", "multicast", "anycast"):
            continue
        if is_virtual(route.device) and _is_own_address(route):
            continue
        held = best.setdefault(route.destination.network, [])
        if held and route.metric < held[0].metric:
            held.clear()
        if not held or route.metric == held[0].metric:
            held.append(route)
    return best


def _is_own_address(route: Route) -> bool:
    """IPv6 shows each address of a device as a route; the local table comes before it."""
    return route.origin == "kernel" and route.destination.mask == ALL_ONES[route.destination.family]


def reach_of(
    routes: Sequence[Route],
    rules: Sequence[RoutingRule],
    addresses: Sequence[InterfaceAddress],
    sources: Iterable[Prefix] = (),
    *,
    printed: bool,
) -> Reach:
    """Follow the routes of a host.

    ``sources`` are those of its eroutes; ``printed`` tells that the kernel printed the table.  It
    is taken as whole when it has a route to each of the sources, by another device.
    """
    doubts = [*_rules_in_doubt(routes, rules)]
    routes = [_with_device(route, addresses) for route in routes]
    into: list[Route] = []
    around: list[tuple[Prefix, Span]] = []
    near: list[Prefix] = []
    whole: set[int] = set()
    own = {source.network for source in sources}
    for family in (4, 6):
        best = best_routes(route for route in routes if route.destination.family == family)
        if not best:
            continue
        verdicts = {destination: _verdict(found) for destination, found in best.items()}
        behind = {source for source in own if source.family == family}
        if printed and _ELSEWHERE in verdicts.values() and not _unseen(behind, verdicts):
            whole.add(family)
        else:
            for address in addresses:
                network = address.network.network
                if network.family == family and network not in best and _is_link(address):
                    best[network] = [Route(network, address.device, address.span)]
                    verdicts[network] = _ELSEWHERE
            _doubt_wide(verdicts, best, doubts, family)
            near += sorted(_unseen(behind, verdicts))
        doubts += _two_ways(verdicts, best)
        parents = _parents(verdicts)
        into += _into(parents, verdicts, best)
        around += _around(parents, verdicts, best)
    return Reach(tuple(into), tuple(around), tuple(doubts), frozenset(whole), tuple(near))


def _with_device(route: Route, addresses: Sequence[InterfaceAddress]) -> Route:
    """A route of a script may name the next hop alone: the first interface on its link is meant."""
    gateway = route.gateway
    if route.device or gateway is None:
        return route
    for device, network, *_ in addresses:
        if network.family == gateway[0] and network.contains(gateway[1]):
            return route._replace(device=device)
    return route


def _unseen(sources: Iterable[Prefix], verdicts: Mapping[Prefix, str]) -> set[Prefix]:
    """Sources of eroutes to which no route but a default one leads by another device.

    A source with a route of its own into ``ipsecN`` is one that this gateway relays for.
    """
    seen = {d for d, verdict in verdicts.items() if verdict == _ELSEWHERE and d.mask}
    masks = {d.mask for d in seen}
    # By address and then mask: what follows a prefix and begins inside it lies inside it.
    inner = sorted(
        (d.address, d.mask) for d, verdict in verdicts.items() if d in seen or verdict == _INTO
    )
    left: set[Prefix] = set()
    for source in sources:
        family, address, mask = source
        if any(Prefix(family, address & m, m) in seen for m in masks if m & mask == m):
            continue
        place = bisect_left(inner, (address, mask))
        if place == len(inner) or not source.contains(inner[place][0]):
            left.add(source)
    return left


def _two_ways(
    verdicts: Mapping[Prefix, str], best: Mapping[Prefix, Sequence[Route]]
) -> Iterator[Doubt]:
    for destination, verdict in verdicts.items():
        if verdict == _UNCLEAR:
            yield Doubt(
                f"two routes to {destination}, one of them into ipsecN",
                best[destination][0].span,
                destination=destination,
            )


_INTO: Final = "into"
_ELSEWHERE: Final = "elsewhere"
_NOWHERE: Final = "nowhere"
_UNCLEAR: Final = "unclear"
_WIDE: Final = "wide"


def _verdict(found: Sequence[Route]) -> str:
    devices = [route.device for route in found if route.device]
    if not devices:
        return _NOWHERE if found[0].kind != "unicast" else _UNCLEAR
    virtual = [is_virtual(device) for device in devices]
    if all(virtual):
        return _INTO
    # On a link that both are on, the interface below came up first: its route holds.
    linked = not virtual[0] and all(route.gateway is None and route.device for route in found)
    return _UNCLEAR if any(virtual) and not linked else _ELSEWHERE


def _is_link(address: InterfaceAddress) -> bool:
    length = LENGTH_OF_MASK[address.network.family].get(address.network.mask, 0)
    host = 32 if address.network.family == 4 else 128
    return not is_virtual(address.device) and address.device != "lo" and 0 < length < host


def _doubt_wide(
    verdicts: dict[Prefix, str],
    best: Mapping[Prefix, Sequence[Route]],
    doubts: list[Doubt],
    family: int,
) -> None:
    """Without the whole table nobody knows which networks lie beside a default route."""
    for destination, verdict in verdicts.items():
        length = LENGTH_OF_MASK[family].get(destination.mask, 0)
        if verdict == _INTO and length < _PARTIAL_LEAST[family]:
            verdicts[destination] = _WIDE
            doubts.append(
                Doubt(
                    f"{destination} is routed into ipsecN, but not all routes of the host are"
                    " known: networks of its own may lie inside",
                    best[destination][0].span,
                    destination=destination,
                )
            )


def _parents(destinations: Iterable[Prefix]) -> dict[Prefix, Prefix | None]:
    """For each destination the longest other one that it lies in; the widest come first."""
    known = set(destinations)
    masks = sorted({d.mask for d in known}, reverse=True)
    parents: dict[Prefix, Prefix | None] = {}
    for destination in sorted(known, key=lambda d: (d.mask, d.address)):
        family, address, mask = destination
        wider = (Prefix(family, address & m, m) for m in masks if m < mask)
        parents[destination] = next((prefix for prefix in wider if prefix in known), None)
    return parents


def _into(
    parents: Mapping[Prefix, Prefix | None],
    verdicts: Mapping[Prefix, str],
    best: Mapping[Prefix, Sequence[Route]],
) -> Iterator[Route]:
    """The widest destinations that lead into ``ipsecN``."""
    inside: set[Prefix] = set()
    for destination, parent in parents.items():
        if parent is not None and (parent in inside or verdicts[parent] == _INTO):
            inside.add(destination)
        elif verdicts[destination] == _INTO:
            yield best[destination][0]


def _around(
    parents: Mapping[Prefix, Prefix | None],
    verdicts: Mapping[Prefix, str],
    best: Mapping[Prefix, Sequence[Route]],
) -> Iterator[tuple[Prefix, Span]]:
    """Networks behind other devices, without the longer routes that lead elsewhere again."""
    inner: dict[Prefix, list[Prefix]] = {}
    for destination, parent in parents.items():
        if parent is not None:
            inner.setdefault(parent, []).append(destination)
    taken: set[Prefix] = set()
    for destination, parent in parents.items():
        route = best[destination][0]
        if verdicts[destination] != _ELSEWHERE or not destination.mask or route.device == "lo":
            continue
        beside = parent is not None and (parent in taken or verdicts[parent] in (_INTO, _WIDE))
        if not beside and route.gateway is not None:
            continue
        taken.add(destination)
        for part in without(destination, inner.get(destination, ())):
            yield part, route.span


def _rules_in_doubt(routes: Sequence[Route], rules: Sequence[RoutingRule]) -> Iterator[Doubt]:
    """Rules that may send packets by another table than the main one."""
    for rule in rules:
        place = (rule.table, rule.priority)
        if place in _ORDINARY or place in _ORDINARY_6:
            continue
        if rule.table in MAIN or rule.table == "default":
            plain = rule.mark is None and not rule.inverted and not rule.others
            if plain and rule.source is None and rule.destination is None and not rule.incoming:
                continue
        if rule.mark is not None and rule.mark[0] & _SAREF_BIT:
            continue  # MAST's own, for packets that carry an SAref
        if rule.incoming.startswith("mast"):
            continue
        known = [r for r in routes if r.table == rule.table]
        yield Doubt(
            f"a routing rule sends packets by table {rule.table}",
            rule.span,
            None if rule.inverted else rule.source,
            None if rule.inverted else rule.destination,
            True,
            not known or any(is_virtual(route.device) for route in known),
        )
