"""A KLIPS host as the configuration of a key daemon: every connection and every eroute."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from ...diagnostics import Diagnostic, Severity, Span
from ...klips.connection import Connection
from ...klips.eroute import Eroute
from ...klips.host import KlipsHost
from ...net import IPPROTO_TCP, IPPROTO_UDP, Selector
from ..algorithms import IcvLength, icv_of_version
from ..model import Kind, Options
from . import libreswan, swanctl
from .draft import Draft
from .lines import setup_lines
from .model import DaemonConfiguration, DaemonConnection, Line, Shown, Wanted
from .proposals import Daemon
from .public_key import PublicKey
from .shown import eroutes_left, here, local_addresses, shown_of
from .wanted import connections_of, wanted_of

_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")
_NO_SPAN: Final = Span("", 0)


@dataclass(slots=True)
class _Making:
    """The configuration so far.

    ``accounted`` are the selectors of connections of ipsec.conf, whose eroutes are theirs;
    ``old_ike`` tells that one of them speaks IKEv1.  ``secrets`` are in order, each once, and
    ``public_keys`` by their names.
    """

    host: KlipsHost
    options: Options
    daemon: Daemon
    partial: bool
    connections: list[DaemonConnection] = field(default_factory=list)
    findings: list[Diagnostic] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    accounted: set[Selector] = field(default_factory=set)
    old_ike: bool = False
    secrets: dict[tuple[str, str], None] = field(default_factory=dict)
    public_keys: dict[str, PublicKey] = field(default_factory=dict)

    def draft(self, name: str, span: Span) -> Draft:
        """A draft under a name that both daemons take, and that no other has."""
        plain = wanted = _NAME.sub("-", name) or "unnamed"
        number = 2
        while plain in self.names:
            plain = f"{wanted}-{number}"
            number += 1
        self.names.add(plain)
        return Draft(plain, span)

    def done(self, draft: Draft, connection: DaemonConnection) -> None:
        """Add a connection, with what was found in making it."""
        self.connections.append(connection)
        self.findings.extend(draft.findings)


def configure(
    host: KlipsHost, options: Options, daemon: Daemon, *, partial: bool = False
) -> DaemonConfiguration:
    """Map a host for a daemon.  Pure.

    With ``partial`` the traffic of what is refused is dropped by a shunt where it is known.
    """
    making = _Making(host, options, daemon, partial)
    setup = Draft("config setup", _setup_span(host))
    lines = setup_lines(host, setup, daemon)
    making.findings.extend(setup.findings)
    for connection in connections_of(host):
        _configured(making, connection)
    spans = {connection.span for connection in connections_of(host)}
    for number, eroute in enumerate(eroutes_left(host, making.accounted, spans), 1):
        parts = _by_protocol(eroute)
        for part in parts:
            _shown(making, part, number)
        if not parts:
            making.findings.append(
                Diagnostic(
                    "ET304",
                    Severity.NOTE,
                    "KLIPS compared ports of TCP and UDP alone: no packet reached this eroute, and"
                    " it is left out",
                    eroute.span,
                )
            )
    if daemon is Daemon.LIBRESWAN and making.old_ike:
        lines.append(Line("ikev1-policy", "accept"))
    making.findings.extend(_order(making.connections))
    return DaemonConfiguration(
        daemon,
        tuple(lines),
        tuple(making.connections),
        tuple(making.findings),
        tuple(making.secrets),
        tuple(making.public_keys.values()),
    )


def _setup_span(host: KlipsHost) -> Span:
    settings = {} if host.configuration is None else host.configuration.setup
    return next((setting.span for setting in settings.values()), _NO_SPAN)


def _order(connections: Sequence[DaemonConnection]) -> Iterator[Diagnostic]:
    """Both daemons compute priorities from prefix lengths, protocols and ports."""
    if len(connections) > 1:
        yield Diagnostic(
            "ET262",
            Severity.NOTE,
            "the daemon orders its policies by itself: finer networks first, as KLIPS did where"
            " connections are nested; where two of them cross, another one may win",
            connections[0].span,
            hint="`check` names the eroutes that cross (ET301 to ET303)",
        )


# -- connections of ipsec.conf


def _configured(making: _Making, connection: Connection) -> None:
    draft = making.draft(connection.name, connection.span)
    local = local_addresses(making.host, making.options)
    wanted = wanted_of(connection, local, making.daemon, draft)
    if wanted.sides is not None:
        making.accounted.update(wanted.sides.selectors())
    short = not wanted.is_shunt and _short_icv(making, connection, wanted, draft)
    if making.daemon is Daemon.LIBRESWAN:
        lines = libreswan.lines_of(connection, wanted, draft, short_icv=short)
        parts: swanctl.Parts = (lines, [], [])
    else:
        parts = swanctl.parts_of(
            connection, wanted, draft, short_icv=short, unique=_unique(making.host)
        )
    if draft.kind == Kind.REFUSED.value:
        parts = _blocked(making, wanted, draft)
    elif not wanted.is_shunt:
        making.old_ike |= wanted.version == 1
        if wanted.authentication == "psk":
            making.secrets[_identities(connection, wanted)] = None
        for key in draft.public_keys:
            making.public_keys.setdefault(key.name, key)
    _finish(making, draft, parts)


def _unique(host: KlipsHost) -> bool:
    """``uniqueids``, which was on unless the file said no."""
    setting = None if host.configuration is None else host.configuration.setup.get("uniqueids")
    return setting is None or setting.value != "no"


def _finish(making: _Making, draft: Draft, parts: swanctl.Parts) -> None:
    lines, sections, children = parts
    making.done(
        draft,
        DaemonConnection(
            draft.name,
            draft.span,
            draft.kind,
            tuple(lines),
            tuple(sections),
            tuple(children),
            tuple(draft.missing),
            draft.notes,
        ),
    )


def _blocked(making: _Making, wanted: Wanted, draft: Draft) -> swanctl.Parts:
    """Nothing, or with ``partial`` shunts that drop the traffic of a refused connection."""
    if not making.partial or wanted.sides is None:
        return [], [], []
    return _drop(making, draft, list(wanted.sides.selectors()))


def _drop(making: _Making, draft: Draft, selectors: list[Selector]) -> swanctl.Parts:
    """Shunts that drop all of these; a connection of libreswan takes lists of networks."""
    if not selectors:
        return [], [], []
    ours = here(selectors[0].family, making.host, making.options)
    shown = [Shown(Wanted("drop", None, "trap"), selector, ours, None) for selector in selectors]
    if making.daemon is Daemon.LIBRESWAN:
        lines = libreswan.lines_of_shown(shown[0], draft)
        if len(selectors) > 1:
            lines = [libreswan.several(line, selectors) for line in lines]
        return lines, [], []
    parts = [swanctl.parts_of_shown(each, draft) for each in shown]
    children = [child for _, _, found in parts for child in found]
    if len(children) > 1:
        children = [
            child._replace(name=f"{draft.name}-{number}")
            for number, child in enumerate(children, 1)
        ]
    return parts[0][0], [], children


def _identities(connection: Connection, wanted: Wanted) -> tuple[str, str]:
    """The identities of both sides: what is written, else the address."""
    sides = wanted.sides
    names = ("left", "right") if sides is None else (sides.ours.name, sides.theirs.name)
    found = [connection.value(f"{name}id") or connection.value(name) for name in names]
    return found[0], found[1]


def _short_icv(making: _Making, connection: Connection, wanted: Wanted, draft: Draft) -> bool:
    """Whether check values of SHA-2-256 have to be cut to 96 bits, as classic KLIPS did."""
    hashes = {p.integrity for p in wanted.esp or () if p.integrity.startswith("sha2")}
    written = connection.settings.get("sha2-truncbug") or connection.settings.get("sha2_truncbug")
    if not hashes or wanted.protocol == "ah":
        if written is not None:
            draft.note("ET260", f"{written.name}: no SHA-2 of ESP is named here", written.span)
        return False
    told = icv_of_version(making.host.version)
    if written is not None:
        short = written.value == "yes"
    else:
        short = (making.options.icv or told or IcvLength.CLASSIC) is IcvLength.CLASSIC
    if not short:
        return False
    certain = written is not None or making.options.icv is not None
    tell = draft.note if certain and hashes == {"sha2_256"} else draft.tell
    tell(
        "ET260",
        "check values of SHA-2-256 are cut to 96 bits, as classic KLIPS did"
        + ("" if hashes <= {"sha2_256"} else "; those of longer hashes cannot be cut here"),
        None if written is None else written.span,
        hint="" if certain else "--icv rfc, if the peer follows RFC 4868",
    )
    return "sha2_256" in hashes


# -- eroutes


def _by_protocol(eroute: Eroute) -> list[Eroute]:
    """KLIPS compared ports of TCP and UDP alone: one without a protocol was for both of them."""
    selector = eroute.selector
    if not (selector.source_port or selector.destination_port):
        return [eroute]
    if selector.protocol:
        return [eroute] if selector.protocol in (IPPROTO_TCP, IPPROTO_UDP) else []
    return [
        eroute._replace(selector=selector._replace(protocol=protocol))
        for protocol in (IPPROTO_TCP, IPPROTO_UDP)
    ]


def _shown(making: _Making, eroute: Eroute, number: int) -> None:
    draft = making.draft(f"eroute-{number}", eroute.span)
    shown = shown_of(eroute, making.host, making.options, making.daemon, draft)
    sound = not eroute.defect and all(
        prefix.length is not None and not prefix.has_host_bits for prefix in eroute.selector[:2]
    )
    if draft.kind == Kind.REFUSED.value:
        parts: swanctl.Parts = ([], [], [])
        if making.partial and sound:
            parts = _drop(making, draft, [eroute.selector])
    elif making.daemon is Daemon.LIBRESWAN:
        parts = (libreswan.lines_of_shown(shown, draft), [], [])
    else:
        parts = swanctl.parts_of_shown(shown, draft)
    _finish(making, draft, parts)
