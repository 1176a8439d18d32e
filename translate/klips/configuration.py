"""What a host with this ipsec.conf had in its kernel, as far as the configuration tells.

Interfaces, sysctls, and for each connection its eroutes: with the associations where it is keyed by
hand, else as pluto had them while the connection was up or routed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from ..diagnostics import Collector, Diagnostic, DiscreetCollector, Severity, Span
from ..net import Prefix, Selector
from .association import Address
from .automatic import eroutes_of
from .conf import read_conf_lines
from .connection import Configuration, Connection, Setting
from .eroute import Eroute, Form
from .interface import Attachment, Route
from .listing import Listing, UnreadRow
from .manual_keying import is_manual, keyed
from .policy_groups import GROUP_CONNECTIONS, GroupMember, read_policy_group_lines
from .reading import Reading, Standing
from .said import SHUNTS
from .written import WrittenConfiguration

_PACKET_DEFAULTS = {"pass": "%pass", "reject": "%reject"}

_OF_EROUTES = frozenset({"ET113", "ET167", "ET168", "ET169", "ET171"})
"""Findings about the eroutes of connections: nothing to anybody when those of a table hold."""


def reading_of_configuration(
    configuration: Configuration,
    local: Collection[Address],
    collector: Collector,
    name: str,
    groups: Mapping[str, Sequence[GroupMember]] | None = None,
    *,
    default: Address | None = None,
) -> Reading:
    """Put the connections together.

    ``local`` are addresses of this gateway, as far as known, ``default`` the one that
    ``%defaultroute`` stands for.
    """
    members = groups or {}
    collector = DiscreetCollector(collector)
    reading = Reading(
        name,
        configuration=configuration,
        listing=Listing(name),
        standing=Standing.CONFIGURATION,
    )
    reading.parameters = _parameters(configuration.setup)
    reading.attachments = list(_attachments(configuration.setup, collector))
    eroutes: list[Eroute] = []
    lost: list[UnreadRow] = []
    refused = 0
    connections = (*configuration.connections, *_built_in(configuration, members))
    for connection in connections:
        before = len(collector.errors), len(eroutes)
        if connection.is_part:
            continue
        if is_manual(connection):
            made = keyed(connection, local, collector, default=default)
            reading.associations += made.associations
            reading.groups += made.groups
            eroutes += made.eroutes
        else:
            eroutes += eroutes_of(connection, local, members, collector, default=default)
        if len(collector.errors) > before[0]:
            refused += 1
            if len(eroutes) == before[1]:
                lost.append(UnreadRow(*connection.span))
    reading.routes = _routes(eroutes, reading.attachments)
    eroutes += _packet_default(configuration.setup)
    _fill(reading, eroutes, lost, collector)
    reading.refused = {"connection": refused} if refused else {}
    reading.accounted = {
        "connection": sum(not _is_off(c) for c in connections) - refused,
        "spi": len(reading.associations),
        "spigrp": len(reading.groups),
        "tncfg": len(reading.attachments),
    }
    return reading


def read_written(
    written: WrittenConfiguration,
    local: Collection[Address],
    collector: Collector,
    *,
    outweighed: bool,
    default: Address | None = None,
) -> Reading:
    """Read a configuration that was found, now that the addresses of this gateway are known.

    ``outweighed`` tells that the eroutes of the host come from what its kernel printed.
    """
    source = written.source
    found = Collector()
    configuration = read_conf_lines(written.lines, source, found, include=written.include)
    groups = {
        name: read_policy_group_lines(lines, file, found)
        for name, (file, lines) in written.groups.items()
    }
    reading = reading_of_configuration(configuration, local, found, source, groups, default=default)
    for item in found.items:
        if not outweighed:
            collector.add(item)
        elif item.code not in _OF_EROUTES:
            # Nothing that is carried depends on it but keys and settings.
            lower = Severity.WARNING if item.severity is Severity.ERROR else item.severity
            collector.add(replace(item, severity=lower))
    if written.section and reading.listing is not None and not outweighed:
        collector.add(
            Diagnostic(
                "ET147",
                Severity.NOTE,
                "the capture holds no eroute, and its ipsec.conf is read: the host had these"
                " eroutes while KLIPS ran and the connections were up",
                reading.listing.span,
                hint="take `ipsec eroute` while it runs, which tells what the kernel really has",
            )
        )
    if written.cut is not None and not outweighed:
        collector.add(
            Diagnostic(
                "ET106",
                Severity.ERROR,
                "the capture ends inside ipsec.conf: its last connection, and what stood behind"
                " it, may be missing or wrong",
                written.cut,
                hint="take the capture again, whole, or give ipsec.conf by itself",
            )
        )
        reading.listing = reading.listing or Listing(source)
        reading.listing.unread.append(UnreadRow(*written.cut))
    return reading


def _fill(
    reading: Reading, eroutes: Sequence[Eroute], lost: list[UnreadRow], collector: Collector
) -> None:
    """One eroute for a selector: a second connection for it is told, and the first one holds."""
    listing = reading.listing or Listing(reading.source)
    listing.unread.extend(lost)
    held: dict[Selector, Eroute] = {}
    for eroute in eroutes:
        first = held.setdefault(eroute.selector, eroute)
        if first is eroute:
            listing.eroutes.append(eroute)
            continue
        listing.repeats.append(eroute)
        if first.saids != eroute.saids:
            collector.add(
                Diagnostic(
                    "ET113",
                    Severity.WARNING,
                    f"two connections have the selector {eroute.selector}; the first one is taken",
                    eroute.span,
                    related=((first.span, "the first one"),),
                )
            )
    listing.in_kernel_order = False
    if not listing.rows:
        reading.listing = None


def _parameters(setup: Mapping[str, Setting]) -> dict[str, str]:
    """The sysctls that ``_startklips`` set from ``config setup``."""
    found = {"inbound_policy_check": "1"}
    found["tos"] = "0" if _value(setup, "hidetos", "yes") == "no" else "1"
    found["icmp"] = "0" if _value(setup, "fragicmp", "yes") == "no" else "1"
    return found


def _value(setup: Mapping[str, Setting], name: str, otherwise: str) -> str:
    setting = setup.get(name)
    return otherwise if setting is None else setting.value


def _attachments(setup: Mapping[str, Setting], collector: Collector) -> list[Attachment]:
    setting = setup.get("interfaces")
    if setting is None or setting.value in ("%none", "%defaultroute", ""):
        return []
    mtu = _value(setup, "overridemtu", "0")
    made = []
    for word in setting.value.split():
        if word == "%defaultroute":
            continue
        device, _, physical = word.partition("=")
        if not device or not physical:
            collector.add(
                Diagnostic(
                    "ET167",
                    Severity.ERROR,
                    f"interfaces= cannot be read: {word}",
                    setting.span,
                    setting.shown,
                    expected="ipsec0=eth0, or %defaultroute",
                )
            )
            continue
        made.append(Attachment(device, physical, setting.span, int(mtu) if mtu.isdecimal() else 0))
    return made


def _routes(eroutes: Sequence[Eroute], attachments: Sequence[Attachment]) -> list[Route]:
    """The routes that ``_updown`` made for connections: each peer's network into ``ipsecN``."""
    device = attachments[0].device if attachments else "ipsec0"
    protecting = [e for e in eroutes if not e.said.is_shunt and not e.defect]
    places = {eroute.selector.destination: eroute.span for eroute in reversed(protecting)}
    return [Route(destination, device, span) for destination, span in places.items()]


def _packet_default(setup: Mapping[str, Setting]) -> list[Eroute]:
    """``packetdefault`` of FreeS/WAN 1.x: an eroute for everything."""
    setting = setup.get("packetdefault")
    shunt = _PACKET_DEFAULTS.get("" if setting is None else setting.value)
    if shunt is None or setting is None:
        return []
    everything = Prefix(4, 0, 0)
    selector = Selector(everything, everything)
    return [Eroute(selector, (SHUNTS[shunt],), setting.span, form=Form.COMMAND.value)]


def _is_off(connection: Connection) -> bool:
    """Whether it is one of the built-in connections, turned off."""
    return connection.name in GROUP_CONNECTIONS and connection.value("auto") == "ignore"


def _built_in(
    configuration: Configuration, members: Mapping[str, Sequence[GroupMember]]
) -> list[Connection]:
    """The connections of policy groups that have a file but no section of their own."""
    named = {connection.name for connection in configuration.connections}
    made = []
    for name, settings in GROUP_CONNECTIONS.items():
        if name in named or name not in members:
            continue
        span = members[name][0].span if members[name] else Span(name, 1)
        values = {"left": "%defaultroute", "right": "%group", **settings}
        made.append(
            Connection(name, span, {key: Setting(key, v, span) for key, v in values.items()})
        )
    return made
