"""``--interface xfrm``: an interface to route into, as there was one under KLIPS.

The policies and states of an eroute get the if_id of the interface that its packets were routed
into; nothing else in the host meets them.  The kernel drops what is routed into such an interface
and finds no policy there, or one without templates (net/xfrm/xfrm_interface_core.c:xfrmi_xmit2:
no state, so a link failure): as KLIPS did, but for ``%pass``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from ..diagnostics import Diagnostic, Severity
from ..klips.association import Address
from ..klips.host import KlipsHost
from ..klips.interface import Attachment, Route, is_virtual
from ..klips.said import SA_INT
from ..net import ALL_ONES, Prefix
from .collisions import without_collisions
from .links import Interfaces, Link, LinkRoute
from .model import BLOCK, Kind, Outcome, Treatment, Weight
from .translation import Translation

_PREFIX: Final = "ipsec"
_DEVICE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,14}\Z")
_NOT_HERE: Final = frozenset(
    {
        "ET212",
        "ET213",
        "ET214",
        "ET215",
        "ET216",
        "ET223",
        "ET224",
        "ET270",
        "ET271",
        "ET272",
        "ET273",
    }
)
"""Findings about policies that every packet meets; these meet what is routed into an interface."""


def with_interfaces(
    translation: Translation, attached: Iterable[tuple[str, str]] = ()
) -> Translation:
    """The same translation, bound to interfaces.  Pure.

    ``attached`` are pairs of virtual and physical device, where the input does not tell them.
    """
    host = translation.host
    links = _links(host, tuple(attached), translation.options.reqid_base)
    found: list[Diagnostic] = []
    if not links:
        found.append(
            Diagnostic(
                "ET266",
                Severity.ERROR,
                "no ipsecN is attached in the input, so that there is no interface to make",
                hint="give ipsec_tncfg or `ipsec look` too, or say --attach ipsec0=eth0",
            )
        )
    count = len(translation.outcomes)
    every = (*translation.outcomes, *translation.exceptions)
    carried = _apart([_bound(outcome, links, host, found) for outcome in every])
    outcomes, exceptions = tuple(carried[:count]), tuple(carried[count:])
    by_reqid = {o.reqid: o.if_id for o in outcomes if o.reqid and o.if_id}
    states = tuple(
        item
        if item.state is None
        else item._replace(state=item.state._replace(if_id=by_reqid.get(item.state.reqid, 0)))
        for item in translation.states
    )
    routes = tuple(_routes(host, links))
    around = tuple(_around(host, links, outcomes, routes, found))
    found += _to_know(host, links, routes, outcomes)
    kept = [d for d in translation.findings if d.code not in _NOT_HERE]
    return replace(
        translation,
        outcomes=outcomes,
        exceptions=exceptions,
        extra=(),
        states=states,
        findings=(*kept, *found),
        interfaces=Interfaces(links, around, routes),
    )


def _links(host: KlipsHost, attached: tuple[tuple[str, str], ...], base: int) -> tuple[Link, ...]:
    """One link for each attached ``ipsecN``; the if_id follows from its number."""
    devices: dict[str, Attachment | None] = {name: None for name, _ in attached}
    physical = dict(attached)
    for attachment in host.attachments:
        name = attachment.device
        if attachment.physical and name not in physical and is_virtual(name):
            devices[name] = attachment
            physical[name] = attachment.physical
    return tuple(
        Link(name, physical[name], base + 1 + int(name[len(_PREFIX) :]), _mtu(attachment))
        for name, attachment in devices.items()
        if _DEVICE.match(physical[name])
    )


def _mtu(attachment: Attachment | None) -> int:
    """``overridemtu``, or what ``ifconfig`` had made smaller than the physical device's."""
    if attachment is None:
        return 0
    mtu, below = attachment.mtu, attachment.physical_mtu
    # The driver's own 16260 says nothing: packets were cut by the device below.
    return mtu if 576 <= mtu < (below or 9000) else 0


# -- eroutes


def _bound(
    outcome: Outcome, links: tuple[Link, ...], host: KlipsHost, found: list[Diagnostic]
) -> Outcome:
    link = _link_of(outcome, links, host)
    span = outcome.eroute.span
    if link is None:
        if links:
            found.append(
                Diagnostic(
                    "ET266",
                    Severity.ERROR,
                    f"which interface {outcome.eroute.selector} was routed into is not known",
                    span,
                    hint="give the routing table too",
                )
            )
        return _blocked(outcome, links[0].if_id if links else 0)
    passes = not outcome.treatment.steps and outcome.treatment.action != BLOCK
    if passes and outcome.selectors:
        destination = outcome.eroute.selector.destination.network
        found.append(
            Diagnostic(
                "ET266",
                Severity.ERROR,
                f"%pass for {outcome.eroute.selector} has no counterpart: the kernel drops what is"
                " routed into an xfrm interface and is not protected",
                span,
                hint=f"route it around: ip route add {destination} dev {link.physical} (or ip rule"
                f" add from {outcome.eroute.selector.source.network} to {destination} and a table"
                " of its own)",
            )
        )
        return _blocked(outcome, link.if_id)
    old = outcome.treatment
    codes = tuple(code for code in old.codes if code not in _NOT_HERE)
    return outcome._replace(
        treatment=old._replace(codes=codes), if_id=link.if_id, shields=(), shadowed=()
    )


def _blocked(outcome: Outcome, if_id: int) -> Outcome:
    old = outcome.treatment
    codes = (*old.codes, "ET266")
    refused = Treatment(Kind.REFUSED.value, old.rule, BLOCK, (), False, False, Weight.BLOCK, codes)
    return outcome._replace(treatment=refused, if_id=if_id, shields=(), shadowed=(), reqid=0)


def _apart(outcomes: list[Outcome]) -> list[Outcome]:
    """One place for each selector and direction of a link: the strongest policy gets it."""
    for if_id in dict.fromkeys(outcome.if_id for outcome in outcomes):
        bound = [place for place, outcome in enumerate(outcomes) if outcome.if_id == if_id]
        order = sorted(bound, key=lambda place: outcomes[place].priority)
        outcomes = without_collisions(outcomes, order, ())
    return outcomes


def _link_of(outcome: Outcome, links: tuple[Link, ...], host: KlipsHost) -> Link | None:
    """The only link; else the one that the destination was routed into; else that of the source."""
    if len(links) == 1:
        return links[0]
    by_name = {link.name: link for link in links}
    destination = outcome.eroute.selector.destination.network
    into = [r for r in _into(host, by_name) if r.destination.network.covers(destination)]
    best = max(into, key=lambda route: route.destination.mask, default=None)
    if best is not None:
        return by_name[best.device]
    said = outcome.eroute.said
    source = None if said.protocol == SA_INT else host.source_of(said)
    devices = {
        item.device
        for item in host.addresses
        if source == (item.network.family, item.network.address)
    }
    fitting = [link for link in links if {link.physical, link.name} & devices]
    return fitting[0] if len(fitting) == 1 else None


# -- routes


def _into(host: KlipsHost, names: Iterable[str]) -> list[Route]:
    """Routes into some devices that held: ``ipsecN`` had the networks of the device below too.

    Of several routes to one destination the one with the lowest metric holds, then the first.
    """
    wanted = set(names)
    best: dict[tuple[str, Prefix], Route] = {}
    for route in host.routes:
        place = (route.table, route.destination.network)
        held = best.get(place)
        if held is None or route.metric < held.metric:
            best[place] = route
    return [r for r in best.values() if r.kind == "unicast" and r.device in wanted]


def _routes(host: KlipsHost, links: tuple[Link, ...]) -> Iterator[LinkRoute]:
    """The old routes into ``ipsecN``.  Gateways are left out: the link has no neighbours."""
    for route in _into(host, [link.name for link in links]):
        yield LinkRoute(
            route.destination.network,
            route.device,
            source=route.source,
            metric=route.metric,
            table=route.table,
        )


def _around(
    host: KlipsHost,
    links: tuple[Link, ...],
    outcomes: tuple[Outcome, ...],
    routes: tuple[LinkRoute, ...],
    found: list[Diagnostic],
) -> Iterator[LinkRoute]:
    """Routes to peers that would themselves be routed into the link: the kernel drops such loops.

    KLIPS gave protected packets to the physical device and to the gateway of the route.
    """
    physical = {link.name: link.physical for link in links}
    for peer in _peers(outcomes):
        host_route = Prefix(peer[0], peer[1], ALL_ONES[peer[0]])
        covering = [r for r in routes if r.destination.covers(host_route)]
        others = [
            r
            for r in host.routes
            if r.device not in physical and r.destination.network.covers(host_route)
        ]
        best = max(covering, key=lambda r: r.destination.mask, default=None)
        if best is None or any(r.destination.mask > best.destination.mask for r in others):
            continue
        gateway = _gateway(host, best, peer)
        if gateway is None:
            found.append(
                Diagnostic(
                    "ET267",
                    Severity.ERROR,
                    f"the peer {host_route} lies in what is routed into {best.device}, and the way"
                    " around is not known: its packets would be dropped as a loop",
                    hint=f"ip route add {host_route} via GATEWAY dev {physical[best.device]}",
                )
            )
            continue
        yield LinkRoute(host_route, physical[best.device], gateway)


def _peers(outcomes: tuple[Outcome, ...]) -> list[Address]:
    return list(
        dict.fromkeys(
            (o.eroute.said.family, o.eroute.said.destination)
            for o in outcomes
            if o.treatment.steps and o.eroute.said.protocol != SA_INT
        )
    )


def _gateway(host: KlipsHost, best: LinkRoute, peer: Address) -> Address | None:
    for route in host.routes:
        if (
            route.device == best.device
            and route.destination.network == best.destination
            and route.gateway is not None
            and route.gateway != peer
        ):
            return route.gateway
    return None


# -- findings


def _to_know(
    host: KlipsHost,
    links: tuple[Link, ...],
    routes: tuple[LinkRoute, ...],
    outcomes: tuple[Outcome, ...],
) -> Iterator[Diagnostic]:
    if not links:
        return
    names = ", ".join(link.name for link in links)
    yield Diagnostic(
        "ET265",
        Severity.WARNING,
        f"{names}: firewall rules that name it go on (packets show there in clear, before and after"
        " protection); its MTU is that of the device below unless it was smaller, and KLIPS's 16260"
        " is not kept; hidetos and fragicmp are flags of the states, whatever the interface; clear"
        " text on other interfaces is accepted as KLIPS did, unless rp_filter is strict; a key"
        " daemon has to be told the if_id",
        host.attachments[0].span if host.attachments else None,
        hint="Linux 4.19 or newer with CONFIG_XFRM_INTERFACE",
    )
    if not routes:
        yield Diagnostic(
            "ET267",
            Severity.WARNING,
            f"no route into {names} was read: nothing goes there until you add some",
            hint="; ".join(
                f"ip route add {o.eroute.selector.destination.network} dev {links[0].name}"
                for o in outcomes[:3]
                if o.treatment.steps
            ),
        )
