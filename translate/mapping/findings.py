"""What a person has to know about a translation: one finding for each code, not for each row.

The paragraph of each code is in docs/findings.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from ..diagnostics import Diagnostic, Severity
from ..klips.eroute import Eroute
from ..klips.said import Said
from ..net import (
    IPPROTO_AH,
    IPPROTO_COMP,
    IPPROTO_ESP,
    IPPROTO_ICMPV6,
    Selector,
    format_address,
)
from .model import Inbound, Options, Outcome

_WARNING, _NOTE, _ERROR = Severity.WARNING, Severity.NOTE, Severity.ERROR

DAEMON_PRIORITIES: Final = 100_000
"""strongSwan takes numbers from about here, libreswan from about a million (docs/xfrm.md)."""

_TEXTS: Final = {
    "ET201": (
        _WARNING,
        "the local gateway is not known; the kernel takes the address of the route to the peer",
        "say --local ADDRESS",
    ),
    "ET202": (
        _WARNING,
        "the group behind the tunnel is not known; {assumed} is assumed, and if it was another one"
        " no packet leaves",
        "look into ipsec_spigrp, or say --assume",
    ),
    "ET203": (
        _NOTE,
        "asks the key daemon, as XFRM does by itself: packets are dropped until it answers",
        "a key daemon has to run on this host",
    ),
    "ET205": (
        _WARNING,
        "%passthrough is carried as pass, as the manual page says; the kernel's code would have"
        " dropped the packets",
        "",
    ),
    "ET206": (
        _WARNING,
        "KLIPS did not know this SAID itself and dropped the packets; they are blocked",
        "",
    ),
    "ET207": (
        _NOTE,
        "the mask has holes; it is taken apart into prefixes where they are few enough",
        "",
    ),
    "ET208": (
        _WARNING,
        "the address has bits outside its mask; the prefix without them is carried. KLIPS may have"
        " found the eroute for a part of it only",
        "correct the address if a host was meant",
    ),
    "ET209": (
        _WARNING,
        "byte 8 of the IPv6 source may be the protocol of an eroute that the kernel corrupted; it"
        " is carried as the kernel used it: for this source and any protocol",
        "compare it with the configuration that made it",
    ),
    "ET210": (
        _WARNING,
        "transport mode, but the selector is not the host of the SA: XFRM looks for an SA with"
        " each packet's own destination",
        "",
    ),
    "ET211": (_WARNING, "compression alone protects nothing: packets go in clear", ""),
    "ET212": (
        _NOTE,
        "packets coming in must be protected now; KLIPS also accepted them in clear",
        "--inbound klips gives what KLIPS did",
    ),
    "ET213": (
        _WARNING,
        "the selector covers its own mirror image, so that packets inside it (between hosts of the"
        " local network, say) are caught in both directions; inbound protection is not asked for",
        "--bypass NETWORK takes out what was never routed into ipsecN",
    ),
    "ET214": (
        _WARNING,
        "KLIPS saw only packets routed into ipsecN and dropped there what no eroute covered; XFRM"
        " sees every packet and passes what no policy covers",
        "--routed NETWORK names what was routed into ipsecN, --bypass NETWORK what was not",
    ),
    "ET215": (
        _NOTE,
        "the host's own IKE, ESP and AH to the peer are exempt{guard}",
        "",
    ),
    "ET216": (_NOTE, "IPv6 neighbour discovery on the link is exempt", ""),
    "ET217": (
        _ERROR,
        "XFRM has no counterpart for this group of SAs",
        "a group is [tun] [comp] [esp] [ah], in this order",
    ),
    "ET218": (
        _WARNING,
        "the tunnel's SPI is not the SPI of the ESP behind it; the template names the reqid alone",
        "",
    ),
    "ET223": (
        _NOTE,
        "what is named with --bypass passes before all eroutes, in every direction",
        "",
    ),
    "ET224": (
        _WARNING,
        "policies of a key daemon have lower numbers than ours and win, so that an eroute that"
        " passes or blocks does not stand against them",
        "--priority-base 1000 puts ours before them, if no eroute asks the daemon",
    ),
    "ET221": (
        _NOTE,
        "made by the kernel for one pair of hosts, with a wrong mask; carried for the pair",
        "",
    ),
    "ET244": (
        _ERROR,
        "the group is an IP-in-IP header alone: it protects nothing and is no policy of XFRM",
        "",
    ),
    "ET272": (
        _WARNING,
        "no route led (all of) its destination into ipsecN, so that KLIPS let packets to it pass by"
        " other routes, unseen; they meet the policy now",
        "look whether the routes are of the time when the tunnel was up",
    ),
    "ET304": (
        _NOTE,
        "KLIPS compared ports of TCP and UDP alone, so that no packet ever reached this eroute;"
        " nothing is installed for it",
        "",
    ),
    "ET222": (
        _ERROR,
        "refused; with --allow-partial its traffic is blocked",
        "",
    ),
}


def exceptional(
    eroutes: Sequence[Eroute],
    settled: Collection[frozenset[int]],
    selectors: Mapping[int, Sequence[Selector]],
) -> Iterator[Diagnostic]:
    """What is said of pairs that no order of priorities could carry, and exceptions do."""
    count = sum(len(found) for found in selectors.values())
    for pair in sorted(settled, key=sorted):
        one, other = (eroutes[position] for position in sorted(pair))
        yield Diagnostic(
            "ET307",
            _NOTE,
            f"{one.selector} ({one.said}) and {other.selector} ({other.said}) cross, and no order"
            f" of priorities gives what KLIPS did; {count} exceptions before all others do",
            one.span,
            related=((other.span, "the eroute that it crosses"),),
        )


def summaries(
    outcomes: Sequence[Outcome], options: Options, known: Collection[int] = ()
) -> Iterator[Diagnostic]:
    """One diagnostic for each code that some outcome has, at the first of them.

    ``options`` are those that the user gave, ``known`` the families whose routes were read.
    """
    first: dict[str, Outcome] = {}
    count: dict[str, int] = {}
    by_codes: dict[tuple[str, ...], list[Outcome]] = {}
    shielded: list[Outcome] = []
    for outcome in outcomes:
        by_codes.setdefault(outcome[1][7], []).append(outcome)
        if outcome[4]:
            shielded.append(outcome)
    groups = [*by_codes.items(), *((_shield_codes(o), [o]) for o in shielded)]
    for codes, members in groups:
        for code in codes:
            count[code] = count.get(code, 0) + len(members)
            if code not in first or members[0].eroute.span < first[code].eroute.span:
                first[code] = members[0]
    unbounded = [] if options.routed else [o for o in outcomes if o.eroute[0][0][0] not in known]
    if unbounded and "ET214" not in count:
        first["ET214"], count["ET214"] = unbounded[0], len(unbounded)
    if outcomes and options.bypass:
        first["ET223"], count["ET223"] = outcomes[0], 1
    shunted = [o for members in by_codes.values() for o in members[:1] if not o.treatment.steps]
    if shunted and options.priority_base > DAEMON_PRIORITIES:
        first["ET224"], count["ET224"] = shunted[0], 1
    # Told one by one: pairs (exceptional), and tunnels with their commands.
    for code in sorted(count.keys() - {"ET307", "ET244"}):
        yield _summary(code, first[code], count[code], options)
    yield from _bare_tunnels(by_codes)
    yield from _refusals(outcomes)


def _shield_codes(outcome: Outcome) -> tuple[str, ...]:
    discovery = any(s.selector.protocol == IPPROTO_ICMPV6 for s in outcome.shields)
    ike = any(s.selector.protocol != IPPROTO_ICMPV6 for s in outcome.shields)
    return ("ET215",) * ike + ("ET216",) * discovery


def _summary(code: str, outcome: Outcome, count: int, options: Options) -> Diagnostic:
    if code == "ET204":
        severity, text, hint = _reject(options)
    else:
        severity, text, hint = _TEXTS[code]
    if code == "ET202":
        names = {IPPROTO_ESP: "ESP", IPPROTO_AH: "AH", IPPROTO_COMP: "IPCOMP"}
        text = text.format(assumed=" and ".join(names[p] for p in options.assume))
    if code == "ET201" and len(options.local) > 1:
        text = "which --local address faced the peer is not known; the kernel takes the address"
        text += " of the route to the peer"
        hint = "give one --local for each family, if that is not right"
    if code == "ET215":
        guarded = any(s.direction == "fwd" for s in outcome.shields)
        text = text.format(
            guard="; forwarded ones are blocked, since without --local they look the same"
            if guarded
            else ""
        )
        severity = _WARNING if guarded else _NOTE
        hint = "say --local ADDRESS" if guarded else ""
    if code == "ET212" and options.inbound is not Inbound.STRICT:
        hint = ""
    prefix = f"{count} eroutes, the first of them here: " if count > 1 else ""
    return Diagnostic(code, severity, prefix + text, outcome.eroute.span, hint=hint)


def _reject(options: Options) -> tuple[Severity, str, str]:
    if options.reject_rule:
        return (
            _NOTE,
            "blocked, and a firewall rule answers forwarded packets with ICMP as KLIPS did; a local"
            " sender gets EPERM",
            "--no-reject-rule leaves the firewall rule out",
        )
    return _WARNING, "blocked without the ICMP answer that KLIPS gave", ""


def _bare_tunnels(by_codes: Mapping[tuple[str, ...], Sequence[Outcome]]) -> Iterator[Diagnostic]:
    """Each IP-in-IP header without protection, with the commands of the interface for it."""
    found = [o for codes, members in by_codes.items() if "ET244" in codes for o in members]
    severity, text, _ = _TEXTS["ET244"]
    for number, outcome in enumerate(sorted(found, key=lambda o: o.eroute.span), 1):
        yield Diagnostic(
            "ET244", severity, text, outcome.eroute.span, hint=_tunnel_commands(outcome, number)
        )


_TUNNELS: Final = {
    (4, 4): "type ipip",
    (4, 6): "type sit",
    (6, 4): "type ip6tnl mode ipip6",
    (6, 6): "type ip6tnl mode ip6ip6",
}
"""Kinds of links by the family outside and inside (ip-link(8))."""


def _tunnel_commands(outcome: Outcome, number: int) -> str:
    said, selector = outcome.eroute.said, outcome.eroute.selector
    name = f"ipip{number}"
    local = outcome.treatment.local
    here = format_address(said.family, local) if local else "LOCAL-ADDRESS"
    there = format_address(said.family, said.destination)
    kind = _TUNNELS[said.family, selector.family]
    return (
        f"what KLIPS did is: ip link add name {name} {kind} local {here} remote {there}; ip link"
        f" set dev {name} up; ip route add {selector.destination.network} dev {name} (for packets"
        f" from {selector.source.network} alone: a routing rule and a table of its own)"
    )


def _refusals(outcomes: Sequence[Outcome]) -> Iterator[Diagnostic]:
    """Each refused eroute that has a reason of its own."""
    for outcome in outcomes:
        if outcome.reason and outcome.kind == "refused":
            yield Diagnostic(
                "ET222",
                _ERROR,
                f"{outcome.eroute.selector} is refused: {outcome.reason}",
                outcome.eroute.span,
            )


def limits(
    options: Options, last: int, reqids: Mapping[tuple[Said, ...], int]
) -> Iterator[Diagnostic]:
    """The numbers must fit: priorities and reqids have 32 bits."""
    if last >= 1 << 32:
        yield Diagnostic(
            "ET306",
            _ERROR,
            f"priorities would reach {last}, above 32 bits",
            hint="take a lower --priority-base",
        )
    top = max(reqids.values(), default=options.reqid_base)
    if top >= 1 << 32:
        yield Diagnostic(
            "ET306",
            _ERROR,
            f"reqids would reach {top}, above 32 bits",
            hint="take a lower --reqid-base",
        )
