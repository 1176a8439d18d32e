"""Which policy the kernel picks for a packet, and why the others lost.

After net/xfrm/xfrm_policy.c (xfrm_policy_match, __xfrm_policy_eval_candidates,
xfrm_expand_policies) and include/net/xfrm.h (__xfrm4_selector_match, xfrm_flowi_sport): the type
``sub`` is asked first; within a type the lowest priority number wins, and at equal priority the
**older** policy.  How narrow a selector is plays no part.

For a packet that is forwarded, the policy of type ``main`` that is asked beside one of type
``sub`` is one for ``in``: __xfrm_policy_check names that direction whatever it was asked for (seen
on 6.18).

A sequence of policies is their age, **oldest first**: the order in which they were added.  A dump
lists the newest first, so turn it round.  Socket policies, which come before all others, and
``net.ipv4.conf.*.disable_xfrm`` are no matter of the database and are left out here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from ..net import (
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    Packet,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .model import Policy, Template

IPPROTO_GRE: Final = 47
IPPROTO_SCTP: Final = 132
IPPROTO_MH: Final = 135
IPPROTO_UDPLITE: Final = 136

PORT_PROTOCOLS: Final = frozenset(
    {
        IPPROTO_ICMP,
        IPPROTO_TCP,
        IPPROTO_UDP,
        IPPROTO_GRE,
        IPPROTO_ICMPV6,
        IPPROTO_SCTP,
        IPPROTO_UDPLITE,
    }
)
"""Protocols of which the kernel compares two numbers with the ports of a selector."""


def flow_ports(packet: Packet) -> tuple[int, int]:
    """Return the two numbers that the kernel compares with the ports of a selector.

    Ports of TCP, UDP, UDP-Lite and SCTP; type and code of ICMP, the upper and the lower half of
    the key of GRE, the type of a mobility header.  All others, DCCP among them, have 0 and 0
    (xfrm_flowi_sport, xfrm_flowi_dport), so a selector with a port never matches them.
    """
    if packet.protocol in PORT_PROTOCOLS:
        return packet.source_port, packet.destination_port
    if packet.protocol == IPPROTO_MH:
        return packet.source_port, 0
    return 0, 0


class Mismatch(StrEnum):
    """The first thing that keeps a policy from a packet."""

    FAMILY = "another address family"
    IF_ID = "another if_id"
    MARK = "the mark differs"
    DESTINATION = "the destination lies outside"
    SOURCE = "the source lies outside"
    DESTINATION_PORT = "the destination port differs"
    SOURCE_PORT = "the source port differs"
    PROTOCOL = "another protocol"
    DEVICE = "another device"


def mismatch(
    policy: Policy,
    packet: Packet,
    mark: int = 0,
    if_id: int = 0,
    ifindex: int | None = None,
) -> Mismatch | None:
    """Say why a policy does not match a packet, or ``None`` if it does; in the kernel's order.

    The direction is not looked at.  ``ifindex`` is the interface of the route: the outgoing one
    for ``out`` and for ``fwd``, ``lo`` for ``in`` (seen on 6.18; __xfrm_decode_session looks at the
    incoming one for firewall rules alone).  ``None`` lets a policy that is bound to a device match
    on any.  For an IPv6 packet sent by this host it is the device that the socket is bound to, 0
    for none, since only IPv4 puts the device of the route into the flow (seen on 6.18).
    """
    source, destination, protocol, source_port, destination_port = policy.selector
    if source.family != packet.family:
        return Mismatch.FAMILY
    if policy.if_id != if_id:
        return Mismatch.IF_ID
    if (policy.mark[0] ^ mark) & policy.mark[1]:
        return Mismatch.MARK
    if (destination.address ^ packet.destination) & destination.mask:
        return Mismatch.DESTINATION
    if (source.address ^ packet.source) & source.mask:
        return Mismatch.SOURCE
    source_mask, destination_mask = policy.full_port_masks
    if source_mask or destination_mask:
        flow_source, flow_destination = flow_ports(packet)
        if (destination_port ^ flow_destination) & destination_mask:
            return Mismatch.DESTINATION_PORT
        if (source_port ^ flow_source) & source_mask:
            return Mismatch.SOURCE_PORT
    if protocol not in (0, packet.protocol):
        return Mismatch.PROTOCOL
    if ifindex is not None and policy.ifindex not in (0, ifindex):
        return Mismatch.DEVICE
    return None


def matches(
    policy: Policy,
    packet: Packet,
    mark: int = 0,
    if_id: int = 0,
    ifindex: int | None = None,
) -> bool:
    """Whether the selector, mark, if_id and device of a policy fit a packet."""
    return mismatch(policy, packet, mark, if_id, ifindex) is None


class Verdict(StrEnum):
    """What became of a policy that matches."""

    WINS = "wins"
    APPLIES_TOO = "applies together with the policy of type sub"
    PRIORITY = "its priority number is higher"
    AGE = "it is younger, at equal priority"
    NOT_ASKED = "a policy of type sub blocks, so type main is not asked"


class Candidate(NamedTuple):
    """A policy that matches, its place in the sequence, and why it won or lost."""

    policy: Policy
    position: int
    verdict: Verdict


class Decision(NamedTuple):
    """What the kernel does with a packet.

    ``winner`` is ``None`` when nothing matches: then the default of the namespace decides
    (``ip xfrm policy setdefault``, accept unless changed).  ``second`` is the policy of type main
    that applies besides a winner of type sub.  ``candidates`` are all policies that match, in the
    order in which the kernel prefers them; :class:`PolicyIndex` leaves them out.
    """

    winner: Policy | None
    second: Policy | None = None
    candidates: tuple[Candidate, ...] = ()

    @property
    def action(self) -> str | None:
        """``allow`` or ``block``; ``None`` leaves it to the default."""
        if self.winner is None:
            return None
        if self.second is not None and self.second.action == "block":
            return "block"
        return self.winner.action

    @property
    def templates(self) -> tuple[Template, ...]:
        """What must be, or must have been, done to the packet; those of type sub first."""
        if self.winner is None or self.action == "block":
            return ()
        if self.second is None:
            return self.winner.templates
        return self.winner.templates + self.second.templates


def lookup(
    policies: Sequence[Policy],
    direction: str,
    packet: Packet,
    mark: int = 0,
    if_id: int = 0,
    ifindex: int | None = None,
) -> Decision:
    """Look a packet up among ``policies``, the oldest first, and explain the result."""
    found = _matching(policies, direction, packet, mark, if_id, ifindex)
    if direction == FORWARDED and found and not found[0][0]:
        beside = _matching(policies, BESIDE_FORWARDED, packet, mark, if_id, ifindex)
        found = [place for place in found if not place[0]] + [p for p in beside if p[0]]
    candidates: list[Candidate] = []
    winner: Policy | None = None
    second: Policy | None = None
    best: Policy | None = None
    for is_main, priority, position in found:
        policy = policies[position]
        if winner is None:
            winner = best = policy
            verdict = Verdict.WINS
        elif is_main and winner.ptype == "sub" and winner.action == "block":
            verdict = Verdict.NOT_ASKED
        elif is_main and winner.ptype == "sub" and second is None:
            second = best = policy
            verdict = Verdict.APPLIES_TOO
        elif best is not None and priority > best.priority:
            verdict = Verdict.PRIORITY
        else:
            verdict = Verdict.AGE
        candidates.append(Candidate(policy, position, verdict))
    return Decision(winner, second, tuple(candidates))


FORWARDED: Final = "fwd"
BESIDE_FORWARDED: Final = "in"
"""Where the kernel looks for one of type main beside one of type sub for a forwarded packet."""


def _matching(
    policies: Sequence[Policy],
    direction: str,
    packet: Packet,
    mark: int,
    if_id: int,
    ifindex: int | None,
) -> list[tuple[bool, int, int]]:
    """Whether it is of type main, priority and position of those that match, the best first."""
    return sorted(
        (policy.ptype != "sub", policy.priority, position)
        for position, policy in enumerate(policies)
        if policy.direction == direction and matches(policy, packet, mark, if_id, ifindex)
    )


class _Shape(NamedTuple):
    """All that policies must have in common for one dict to tell which of them match."""

    source_mask: int
    destination_mask: int
    source_port_mask: int
    destination_port_mask: int
    any_protocol: bool
    mark_mask: int


_Rank = tuple[int, int]
"""Priority and position: the lower wins."""

_Ranked = tuple[_Rank, "Policy"]


class _Group:
    """The policies of one shape, by the bits under its masks; only what can win is kept."""

    __slots__ = ("best", "shape", "table")

    def __init__(self, shape: _Shape) -> None:
        self.shape = shape
        self.best: _Rank = (1 << 32, 0)
        self.table: dict[tuple[int, ...], list[_Ranked]] = {}

    def add(self, rank: _Rank, policy: Policy) -> None:
        """Put a policy in, unless one with its key is asked before it and always matches too."""
        source_mask, destination_mask, sport_mask, dport_mask, _, mark_mask = self.shape
        source, destination, protocol, source_port, destination_port = policy.selector
        key = (
            source.address & source_mask,
            destination.address & destination_mask,
            protocol,
            source_port & sport_mask,
            destination_port & dport_mask,
            policy.mark[0] & mark_mask,
            policy.if_id,
        )
        bucket = self.table.setdefault(key, [])
        # Of two policies with one key and no device both match or neither does.
        if all(
            rank < other or (had.ifindex and had.ifindex != policy.ifindex) for other, had in bucket
        ):
            bucket.append((rank, policy))
            bucket.sort(key=_rank_of)
            self.best = min(self.best, rank)


def _rank_of(item: _Ranked) -> _Rank:
    return item[0]


class PolicyIndex:
    """The same decision for many packets and big sets (a tuple space, one dict per shape).

    Groups are asked in the order of their best policy, and no further than one that could still
    win.  ``lookup`` gives no candidates; ask the function of that name for them.
    """

    def __init__(self, policies: Iterable[Policy]) -> None:
        """Take the policies, the oldest first."""
        shapes: dict[tuple[str, str, int], dict[_Shape, _Group]] = {}
        for position, policy in enumerate(policies):
            selector = policy.selector
            family = selector.source.family
            shape = _Shape(
                selector.source.mask,
                selector.destination.mask,
                *policy.full_port_masks,
                not selector.protocol,
                policy.mark[1],
            )
            groups = shapes.setdefault((policy.direction, policy.ptype, family), {})
            group = groups.get(shape)
            if group is None:
                group = groups[shape] = _Group(shape)
            group.add((policy.priority, position), policy)
        self._groups = {
            place: sorted(groups.values(), key=lambda group: group.best)
            for place, groups in shapes.items()
        }

    def lookup(
        self,
        direction: str,
        packet: Packet,
        mark: int = 0,
        if_id: int = 0,
        ifindex: int | None = None,
    ) -> Decision:
        """Look a packet up."""
        winner = self._best(direction, "sub", packet, mark, if_id, ifindex)
        if winner is None:
            return Decision(self._best(direction, "main", packet, mark, if_id, ifindex))
        if winner.action == "block":
            return Decision(winner)
        if direction == FORWARDED:
            direction = BESIDE_FORWARDED
        return Decision(winner, self._best(direction, "main", packet, mark, if_id, ifindex))

    def _best(
        self,
        direction: str,
        ptype: str,
        packet: Packet,
        mark: int,
        if_id: int,
        ifindex: int | None,
    ) -> Policy | None:
        groups = self._groups.get((direction, ptype, packet.family))
        if groups is None:
            return None
        found: Policy | None = None
        rank: _Rank = (1 << 32, 0)
        source, destination, protocol = packet.source, packet.destination, packet.protocol
        source_port, destination_port = flow_ports(packet)
        for group in groups:
            if group.best > rank:
                break
            source_mask, destination_mask, sport_mask, dport_mask, any_protocol, mark_mask = (
                group.shape
            )
            bucket = group.table.get(
                (
                    source & source_mask,
                    destination & destination_mask,
                    0 if any_protocol else protocol,
                    source_port & sport_mask,
                    destination_port & dport_mask,
                    mark & mark_mask,
                    if_id,
                )
            )
            for other, policy in bucket or ():
                if other > rank:
                    break
                if ifindex is None or policy.ifindex in (0, ifindex):
                    rank, found = other, policy
                    break
        return found
