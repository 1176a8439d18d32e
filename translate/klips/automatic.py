"""The eroutes of automatically keyed connections, as pluto installed them (pluto/kernel.c).

An established connection has the SAIDs of its group; their SPIs change with each negotiation, so
they are 0 here: not known.  Routed but idle ones have ``%trap``, which asks the key daemon: so does
the policy that comes out of either, and both are carried as the group.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from ..diagnostics import Collector, Diagnostic, Severity
from ..net import Prefix, Selector
from .association import Address
from .connection import Connection
from .eroute import Eroute, Form
from .policy_groups import GROUP_CONNECTIONS, GroupMember
from .said import SA_AH, SA_COMP, SA_ESP, SA_IPIP, SHUNTS, Said
from .sides import GROUPS, Sides, read_sides

SHUNT_TYPES: Final = {
    "passthrough": "%pass",
    "pass": "%pass",
    "drop": "%drop",
    "reject": "%reject",
}
"""Types of connections that negotiate nothing, and what pluto installed for them."""

NOT_STARTED: Final = ("ignore", "manual")


def eroutes_of(
    connection: Connection,
    local: Collection[Address],
    groups: Mapping[str, Sequence[GroupMember]],
    collector: Collector,
    *,
    default: Address | None = None,
) -> list[Eroute]:
    """The eroutes of one connection while it is up or routed."""
    auto = connection.value("auto", "ignore")
    if auto in NOT_STARTED and connection.included:
        return []  # others take it over with also; by itself it was never meant to be there
    if auto in NOT_STARTED and connection.name in GROUP_CONNECTIONS:
        return []  # the way in which opportunistic encryption is turned off (no_oe.conf)
    if auto in NOT_STARTED:
        collector.add(
            Diagnostic(
                "ET171",
                Severity.WARNING,
                f"the connection {connection.name} has auto={auto}: nothing started it, and it has"
                " no eroute here",
                connection.span,
                hint="set auto=start if it was started by hand",
            )
        )
        return []
    sides = read_sides(connection, local, collector, default=default)
    if sides is None:
        return []
    if not sides.ours.clients:
        collector.add(
            Diagnostic(
                "ET168",
                Severity.ERROR,
                f"the address of this gateway in {connection.name} is not known",
                connection.span,
                hint="say --local with an address of this gateway",
            )
        )
        return []
    if sides.theirs.word in GROUPS:
        return list(_of_group(connection, sides, groups, collector))
    kind = connection.value("type", "tunnel")
    shunt = SHUNT_TYPES.get(kind)
    if sides.theirs.address is None and (shunt is None or not sides.theirs.clients):
        if sides.theirs.word == "%opportunistic" and sides.theirs.clients:
            return list(_rows(connection, sides, (SHUNTS["%trap"],)))
        collector.add(
            Diagnostic(
                "ET169",
                Severity.WARNING,
                f"the peer of {connection.name} is {sides.theirs.word}: it has no eroute until one"
                " comes, and the key daemon makes the policies then",
                connection.span,
            )
        )
        return []
    if shunt is not None:
        return list(_rows(connection, sides, (SHUNTS[shunt],)))
    if sides.theirs.address is None:
        return []
    return list(_rows(connection, sides, tuple(_group(connection, kind, sides.theirs.address))))


def _group(connection: Connection, kind: str, peer: Address) -> Iterator[Said]:
    """[tun] [comp] [esp] [ah] to the peer, from the inside out."""
    family, number = peer
    if kind != "transport":
        yield Said(SA_IPIP, 0, family, number)
    if connection.value("compress", "no") == "yes":
        yield Said(SA_COMP, 0, family, number)
    # auth=ah authenticates by AH beside ESP; phase2=ah has no ESP at all.
    if connection.value("phase2", "esp") != "ah":
        yield Said(SA_ESP, 0, family, number)
    if "ah" in (connection.value("auth"), connection.value("phase2")):
        yield Said(SA_AH, 0, family, number)


def _rows(connection: Connection, sides: Sides, saids: tuple[Said, ...]) -> Iterator[Eroute]:
    for selector in sides.selectors():
        yield Eroute(selector, saids, connection.span, form=Form.COMMAND.value)


def _of_group(
    connection: Connection,
    sides: Sides,
    groups: Mapping[str, Sequence[GroupMember]],
    collector: Collector,
) -> Iterator[Eroute]:
    """A connection for each line of the file that has the connection's name."""
    members = groups.get(connection.name)
    if members is None:
        collector.add(
            Diagnostic(
                "ET163",
                Severity.WARNING,
                f"the policy group {connection.name} has no file: nothing is in it",
                connection.span,
                hint=f"give ipsec.d/policies/{connection.name} too",
            )
        )
        return
    shunt = SHUNT_TYPES.get(connection.value("type", "tunnel"), "%trap")
    seen: set[tuple[Prefix, Prefix]] = set()
    for member in sorted(members, key=lambda m: (m.network.address, m.network.mask)):
        for near in sides.ours.clients:
            place = (near, member.network)
            if near.family == 4 and place not in seen:
                seen.add(place)
                yield Eroute(
                    Selector(near, member.network),
                    (SHUNTS[shunt],),
                    member.span,
                    form=Form.COMMAND.value,
                )
