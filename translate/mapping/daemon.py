"""A KLIPS host as connections for a key daemon: what its ipsec.conf says, and what its tables show.

A connection of ipsec.conf is carried with all its settings.  An eroute that no connection accounts
for becomes one of its own: a shunt whole, a tunnel with its peer, networks and algorithms.  What is
not known (how to authenticate, above all) is :data:`FILL_IN`, which both daemons refuse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ..diagnostics import Collector, Diagnostic, Severity, Span
from ..klips.association import Address, Association
from ..klips.automatic import SHUNT_TYPES
from ..klips.connection import Connection, Setting
from ..klips.eroute import Eroute
from ..klips.host import KlipsHost
from ..klips.manual_keying import is_manual
from ..klips.said import (
    SA_AH,
    SA_COMP,
    SA_ESP,
    SA_IPIP,
    SPI_DROP,
    SPI_HOLD,
    SPI_PASS,
    SPI_REJECT,
    SPI_TRAP,
    SPI_TRAPSUBNET,
    Said,
)
from ..klips.settings import sideless
from ..klips.sides import GROUPS, Sides, read_sides
from ..net import Prefix, Selector, format_address
from .daemon_settings import CONNECTION_FATES, SETUP_FATES, Fate, How
from .model import Kind, Options
from .proposals import (
    Daemon,
    Proposal,
    judge,
    parse_group,
    parse_proposals,
    proposals_of,
    strength,
)

FILL_IN: Final = "FILL-IN"
"""What stands where the user has to write something.  No daemon takes it for a value."""

_MASKED: Final = "*" * 16
"""What a reader left of a long word that may be a key."""


class Line(NamedTuple):
    """One setting of the target."""

    name: str
    value: str


class Section(NamedTuple):
    """A named part of a connection: the settings of one side, or a child."""

    name: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class DaemonConnection:
    """One connection of the target.

    ``kind`` is an outcome (exact, noted, approximated, refused); ``missing`` names what the user
    has to fill in.  ``notes`` are the texts of its findings, with their codes.  ``sections`` are
    those below a connection of swanctl.conf; libreswan has none.
    """

    name: str
    span: Span
    kind: str
    lines: tuple[Line, ...]
    sections: tuple[Section, ...] = ()
    children: tuple[Section, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DaemonConfiguration:
    """The whole file: ``config setup`` (libreswan alone), connections, findings.

    ``secrets`` are pairs of identities whose shared secret the daemon needs; no secret is here.
    """

    daemon: Daemon
    setup: tuple[Line, ...]
    connections: tuple[DaemonConnection, ...]
    findings: tuple[Diagnostic, ...]
    secrets: tuple[tuple[str, str], ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many connections became what; those that are not complete by themselves."""
        found = dict.fromkeys(("exact", "noted", "approximated", "incomplete", "refused"), 0)
        for connection in self.connections:
            incomplete = connection.missing and connection.kind != Kind.REFUSED.value
            found["incomplete" if incomplete else connection.kind] += 1
        return found


_RANK: Final = {kind.value: rank for rank, kind in enumerate(Kind)}


@dataclass(slots=True)
class Draft:
    """A connection in the making: gathers its findings, and how well it is carried."""

    name: str
    span: Span
    kind: str = Kind.EXACT.value
    findings: list[Diagnostic] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def tell(
        self,
        code: str,
        message: str,
        span: Span | None = None,
        *,
        severity: Severity = Severity.WARNING,
        hint: str = "",
    ) -> None:
        """A finding about it: a note leaves it *noted*, a warning *approximated*."""
        kinds = {
            Severity.NOTE: Kind.NOTED,
            Severity.WARNING: Kind.APPROXIMATED,
            Severity.ERROR: Kind.REFUSED,
        }
        self.kind = max(self.kind, kinds[severity].value, key=lambda kind: _RANK[kind])
        self.findings.append(
            Diagnostic(code, severity, f"{self.name}: {message}", span or self.span, hint=hint)
        )

    def note(self, code: str, message: str, span: Span | None = None, hint: str = "") -> None:
        """Something to know that changes nothing for the packets."""
        self.tell(code, message, span, severity=Severity.NOTE, hint=hint)

    def refuse(self, message: str, span: Span | None = None, hint: str = "") -> None:
        """It cannot be carried."""
        self.tell("ET251", message, span, severity=Severity.ERROR, hint=hint)

    def fill_in(self, what: str, why: str, span: Span | None = None) -> str:
        """Leave a place for the user: returns what stands there."""
        self.missing.append(what)
        self.findings.append(
            Diagnostic(
                "ET250",
                Severity.ERROR,
                f"{self.name}: {what} is not known, {why}",
                span or self.span,
                hint=f"write it where {FILL_IN} stands; the daemon refuses the connection until"
                " then",
            )
        )
        return FILL_IN

    @property
    def notes(self) -> tuple[str, ...]:
        """The findings as lines of a comment."""
        skipped = len(self.name) + 2
        return tuple(f"{d.code} {d.message[skipped:]}" for d in self.findings)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a connection asks for, in words that belong to no daemon.

    ``kind`` is ``tunnel``, ``transport``, ``passthrough``, ``drop`` or ``reject``; ``start`` one
    of ``none``, ``trap`` and ``start``; ``version`` 1, 2, or 0 for both.  ``authentication`` is
    ``psk``, ``rsa`` or :data:`FILL_IN`.  ``ike`` and ``esp`` are ``None`` where nothing was
    written (the daemon's own list holds then), and empty where nothing of what was written is
    left.  ``group`` is that of perfect forward secrecy, empty where it is not known; ``pfs``
    whether it was on.  ``protocol`` is ``esp`` or ``ah``.
    """

    kind: str
    sides: Sides | None
    start: str = "none"
    version: int = 1
    authentication: str = ""
    ike: tuple[Proposal, ...] | None = None
    esp: tuple[Proposal, ...] | None = None
    protocol: str = "esp"
    pfs: bool = True
    group: str = ""
    compress: bool = False

    @property
    def is_shunt(self) -> bool:
        """Whether nothing is negotiated."""
        return self.kind in ("passthrough", "drop", "reject")


def connections_of(host: KlipsHost) -> tuple[Connection, ...]:
    """The connections of ipsec.conf that stand for themselves, policy groups left out.

    What is in a group is told by its eroutes, one for each line of its file.
    """
    if host.configuration is None:
        return ()
    return tuple(
        connection
        for connection in host.configuration.connections
        if not connection.is_part
        and not GROUPS & {connection.value("left"), connection.value("right")}
    )


def local_addresses(host: KlipsHost, options: Options) -> tuple[Address, ...]:
    """Addresses of this gateway: those that were named, else those that were read."""
    if options.local:
        return options.local
    found = [(item.network.family, item.network.address) for item in host.addresses]
    return tuple(dict.fromkeys([*found, *host.local_addresses]))


# -- what ipsec.conf says


def wanted_of(
    connection: Connection, local: tuple[Address, ...], daemon: Daemon, draft: Draft
) -> Wanted:
    """Read a connection of ipsec.conf; what is wrong with it goes to the draft."""
    problems = Collector()
    sides = read_sides(connection, local, problems)
    known = all(item.code == "ET168" for item in problems.items)
    if not known or (sides is None and daemon is Daemon.SWANCTL):
        for item in problems.items:
            draft.refuse(item.message, item.span, item.hint)
    kind = _kind_of(connection, draft)
    if kind in ("passthrough", "drop", "reject"):
        auto = connection.value("auto", "ignore")
        return Wanted(kind, sides, "none" if _STARTS.get(auto, "none") == "none" else "trap")
    protocol = _protocol(connection, draft)
    ike = _list_of(connection, "ike", draft, daemon)
    esp = _list_of(connection, "ah" if protocol == "ah" else "esp", draft, daemon)
    pfs = connection.value("pfs", "yes") != "no"
    return Wanted(
        kind,
        sides,
        "trap" if is_manual(connection) else _start(connection, draft),
        _version(connection, daemon, draft),
        _authentication(connection, draft),
        ike,
        esp,
        protocol,
        pfs,
        _pfs_group(connection, ike, esp, draft, daemon) if pfs else "",
        connection.value("compress", "no") == "yes",
    )


def _kind_of(connection: Connection, draft: Draft) -> str:
    kind = connection.value("type", "tunnel")
    if kind in SHUNT_TYPES:
        return "passthrough" if kind == "pass" else kind
    if kind not in ("tunnel", "transport"):
        draft.refuse(f"type={kind} is not known", _span(connection, "type"))
    return kind


def _span(connection: Connection, name: str) -> Span:
    setting = connection.settings.get(name)
    return connection.span if setting is None else setting.span


_STARTS: Final = {
    "ignore": "none",
    "manual": "none",
    "add": "none",
    "route": "trap",
    "ondemand": "trap",
    "start": "start",
    "up": "start",
    "keep": "start",
}


def _start(connection: Connection, draft: Draft) -> str:
    auto = connection.value("auto", "ignore")
    if _STARTS.get(auto) == "start":
        draft.note(
            "ET259",
            f"auto={auto}: until the first SA is there packets go their way in clear, as they did",
            _span(connection, "auto"),
            hint="auto=ondemand, in the old file too, holds them from the beginning",
        )
    if auto not in _STARTS:
        draft.refuse(f"auto={auto} is not known", _span(connection, "auto"))
    return _STARTS.get(auto, "none")


def _version(connection: Connection, daemon: Daemon, draft: Draft) -> int:
    """IKEv1, unless ``ikev2`` says more; ``permit`` and no word at all began with IKEv1."""
    word = connection.value("ikev2", "permit")
    span = _span(connection, "ikev2")
    if connection.value("keyexchange", "ike") not in ("ike", ""):
        draft.tell(
            "ET256",
            f"keyexchange={connection.value('keyexchange')} is not of that time: IKEv1 is taken",
            _span(connection, "keyexchange"),
        )
    if word in ("insist", "yes"):
        return 2
    if word == "propose":
        if daemon is Daemon.SWANCTL:
            return 0
        draft.tell("ET256", "ikev2=propose fell back to IKEv1; the daemon insists on IKEv2", span)
        return 2
    hint = "have the peer speak IKEv2, and set it here too"
    draft.tell(
        "ET256", "it began with IKEv1, which is carried and no longer maintained", span, hint=hint
    )
    if connection.value("aggrmode", "no") == "yes":
        draft.tell(
            "ET257",
            "aggressive mode shows the identities, and a shared secret can be guessed from it",
            _span(connection, "aggrmode"),
            hint="have the peer use main mode or IKEv2",
        )
    return 1


def _protocol(connection: Connection, draft: Draft) -> str:
    if connection.value("auth") == "ah":
        draft.refuse("AH beside ESP (auth=ah) is negotiated no more", _span(connection, "auth"))
    word = connection.value("phase2", "esp")
    if word not in ("esp", "ah"):
        draft.refuse(f"phase2={word} is not known", _span(connection, "phase2"))
    if word == "ah":
        draft.tell("ET253", "AH encrypts nothing", _span(connection, "phase2"))
    return word


_RAW_KEYS: Final = ("%cert", "%dns", "%dnsondemand", "%dnsonload", "%none", "")


def has_raw_key(connection: Connection, side: str) -> bool:
    """Whether a public key of this side stands in the file."""
    return connection.value(f"{side}rsasigkey") not in _RAW_KEYS


def _authentication(connection: Connection, draft: Draft) -> str:
    word = connection.value("authby")
    span = _span(connection, "authby")
    if is_manual(connection):
        draft.tell(
            "ET264",
            "it is keyed by hand; a key daemon negotiates, and its peer has to do so too",
            hint="its own keys go on with --to ip-xfrm",
        )
        return draft.fill_in("how to authenticate", "for manual keying had no need of it", span)
    if word == "secret":
        return "psk"
    named = any(
        connection.value(f"{side}{name}") not in ("", "%none")
        for side in ("left", "right")
        for name in ("rsasigkey", "cert", "ckaid")
    )
    if word == "rsasig" or (not word and named):
        return "rsa"
    if word in ("null", "never"):
        draft.refuse(f"authby={word} with a tunnel authenticates nobody", span)
        return FILL_IN
    why = f"for authby={word} is no one method" if word else "for there is no authby="
    return draft.fill_in("how to authenticate", why, span)


def _list_of(
    connection: Connection, protocol: str, draft: Draft, daemon: Daemon
) -> tuple[Proposal, ...] | None:
    """``ike``, ``esp`` (or ``phase2alg``) or ``ah``, as the daemon takes it."""
    names = ("ike",) if protocol == "ike" else (protocol, "phase2alg")
    name = next((n for n in names if connection.value(n)), "")
    if not name:
        if not is_manual(connection):
            draft.tell(
                "ET255",
                f"no {names[0]}= is written: the daemon offers its own list, and the old one"
                " offered 3DES and AES with MD5 and SHA-1, and small groups",
                hint=f"write {names[0]}= if the peer is as old",
            )
        return None
    span = _span(connection, name)
    try:
        found = parse_proposals(
            connection.value(name), protocol="ah" if protocol == "ah" else "esp"
        )
    except ValueError as error:
        draft.fill_in(f"{names[0]}=", f"for {name}= cannot be read: {error}", span)
        return ()
    return judged(found, protocol, draft, daemon, span)


def judged(
    proposals: tuple[Proposal, ...], protocol: str, draft: Draft, daemon: Daemon, span: Span
) -> tuple[Proposal, ...]:
    """What the daemon takes of a list, with a finding for each proposal that it would not offer."""
    kept, remarks = judge(proposals, daemon, ike=protocol == "ike")
    for left_out, text in remarks:
        draft.tell("ET254" if left_out else "ET253", f"{protocol} proposal {text}", span)
    if not kept:
        draft.fill_in(f"{protocol}=", "for the daemon takes none of the old proposals", span)
    return kept


def _pfs_group(
    connection: Connection,
    ike: tuple[Proposal, ...] | None,
    esp: tuple[Proposal, ...] | None,
    draft: Draft,
    daemon: Daemon,
) -> str:
    """The group of perfect forward secrecy: ``pfsgroup``, else that of ``esp``, else of IKE."""
    written = connection.value("pfsgroup")
    if written:
        span = _span(connection, "pfsgroup")
        try:
            group = parse_group(written)
        except ValueError as error:
            draft.fill_in("pfsgroup", f"for it cannot be read: {error}", span)
            return ""
        if judged((Proposal("aes", 128, "sha2_256", group),), "esp", draft, daemon, span):
            return group
        return ""
    # Phase 2 took the group that phase 1 had agreed upon; one has to be chosen before.
    groups = [p.group for p in esp or () if p.group] or [p.group for p in ike or () if p.group]
    return max(groups, key=strength, default="")


# -- settings


def value_of(connection: Connection, name: str, draft: Draft) -> str:
    """The value of a setting; one that a reader hid because it may be a key is to be filled in."""
    value = connection.value(name)
    if _MASKED in value:
        return draft.fill_in(f"{name}=", "for it looked like a key and was not read", None)
    return value


def settle(
    settings: Mapping[str, Setting], fates: Mapping[str, Fate], draft: Draft
) -> Iterator[tuple[Fate, str, Setting]]:
    """The settings that go on as they stand, with the side; a finding for each of the others."""
    for name, setting in settings.items():
        shared, side = sideless(name)
        fate = fates.get(shared)
        match fate:
            case None:
                draft.tell("ET252", f"{name} is not known and is left out", setting.span)
            case Fate(How.SAME):
                yield fate, side, setting
            case Fate(How.VOID, _, why):
                draft.note("ET252", f"{name} is left out: {why}", setting.span)
            case Fate(How.LOSS, _, why):
                draft.tell("ET252", f"{name} is left out: {why}", setting.span)
            case Fate(How.REFUSE, _, why):
                draft.refuse(f"{name} cannot be carried: {why}", setting.span)
            case _:
                continue


def same_lines(connection: Connection, draft: Draft, daemon: Daemon) -> list[Line]:
    """The settings that the daemon takes as they stand; see :func:`settle` for the rest."""
    found = []
    for fate, side, setting in settle(connection.settings, CONNECTION_FATES[daemon], draft):
        name = side + fate.name.removeprefix("side") if side else fate.name
        found.append(Line(name, value_of(connection, setting.name, draft)))
    return found


def setup_lines(host: KlipsHost, draft: Draft, daemon: Daemon) -> list[Line]:
    """What ``config setup`` becomes."""
    settings = {} if host.configuration is None else host.configuration.setup
    fates = SETUP_FATES[daemon]
    return [Line(fate.name, setting.value) for fate, _, setting in settle(settings, fates, draft)]


# -- times

_TIME: Final = re.compile(r"([0-9]{1,9})(\.[0-9]{1,3})?[ ]*([smhdw]?)\Z")
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def seconds(connection: Connection, names: Iterable[str], otherwise: int, draft: Draft) -> int:
    """A time of ipsec.conf in seconds; what cannot be read is told, and the default holds."""
    name = next((n for n in names if connection.value(n)), "")
    match = _TIME.match(connection.value(name).lower()) if name else None
    if match is None:
        if name:
            draft.tell(
                "ET259",
                f"{name}={connection.value(name)} is no time: {otherwise}s is taken",
                _span(connection, name),
            )
        return otherwise
    return int(float(match[1] + (match[2] or "")) * _UNITS[match[3]])


class Life(NamedTuple):
    """Times in seconds: of the IKE SA, of the child, and how long before them a new one is made."""

    ike: int
    child: int
    margin: int
    fuzz: float
    rekey: bool


def life_of(connection: Connection, draft: Draft) -> Life:
    """The times of a connection, with the defaults of ipsec.conf(5) of that time written out."""
    fuzz = connection.value("rekeyfuzz", "100%").removesuffix("%")
    return Life(
        seconds(connection, ("ikelifetime",), 3600, draft),
        seconds(connection, ("keylife", "salifetime", "lifetime"), 8 * 3600, draft),
        seconds(connection, ("rekeymargin",), 540, draft),
        int(fuzz) / 100 if fuzz.isdecimal() and len(fuzz) < 6 else 1.0,
        connection.value("rekey", "yes") != "no",
    )


# -- what the tables show


class Shown(NamedTuple):
    """An eroute that no connection accounts for, as a connection.

    ``ours`` is the address of this gateway, ``None`` where it is not known; ``peer`` that of the
    other one, ``None`` for a shunt.
    """

    wanted: Wanted
    selector: Selector
    ours: Address | None
    peer: Address | None


def eroutes_left(host: KlipsHost, accounted: Iterable[Selector], spans: set[Span]) -> list[Eroute]:
    """The eroutes that no connection of the configuration gave."""
    held = set(accounted)
    return [e for e in host.eroutes if e.span not in spans and e.selector not in held]


def shown_of(
    eroute: Eroute, host: KlipsHost, options: Options, daemon: Daemon, draft: Draft
) -> Shown:
    """What is known of a connection from its eroute and from the SAs of its group."""
    said = eroute.said
    selector = eroute.selector
    if selector.source.has_host_bits or selector.destination.has_host_bits or eroute.defect:
        draft.refuse("its selector or SAID is no sound one: see its other findings")
    for prefix in (selector.source, selector.destination):
        if prefix.length is None:
            draft.refuse("its mask has holes, and no daemon takes one")
    if said.is_shunt or said.is_passthrough or said.unknown:
        kind = "passthrough" if said.is_passthrough else "drop"
        if said.is_shunt:
            kind = _SHUNTS.get(said.spi, "drop")
        if kind == "trap":
            draft.refuse(
                "%trap and %hold asked for a connection that the tables do not name",
                hint="give ipsec.conf too, or write the connection for these networks",
            )
            kind = "drop"
        return Shown(
            Wanted(kind, None, "trap"), selector, here(selector.family, host, options), None
        )
    members = [a for a in host.associations if a.said in eroute.saids]
    return _protected(eroute, members, host, options, daemon, draft)


_SHUNTS: Final = {
    SPI_PASS: "passthrough",
    SPI_DROP: "drop",
    SPI_REJECT: "reject",
    SPI_TRAP: "trap",
    SPI_TRAPSUBNET: "trap",
    SPI_HOLD: "trap",
}


def _protected(
    eroute: Eroute,
    members: list[Association],
    host: KlipsHost,
    options: Options,
    daemon: Daemon,
    draft: Draft,
) -> Shown:
    said = eroute.said
    protocols = [member.protocol for member in eroute.saids]
    kind = "tunnel" if SA_IPIP in protocols else "transport"
    if protocols == [SA_IPIP] and members and host.groups:
        draft.refuse("the group is an IP-in-IP header alone, which protects nothing")
    elif protocols == [SA_IPIP]:
        protocols += options.assume
        draft.tell("ET202", "the group behind the tunnel is not known: --assume tells what it was")
    if SA_ESP in protocols and SA_AH in protocols:
        draft.refuse("AH beside ESP is negotiated no more")
    if protocols != [SA_IPIP] and SA_ESP not in protocols and SA_AH not in protocols:
        draft.refuse("compression alone is not negotiated")
    if any(a.encryption_key is not None or a.authentication_key is not None for a in members):
        draft.tell(
            "ET264",
            "it is keyed by hand; a key daemon negotiates, and its peer has to do so too",
            hint="its own keys go on with --to ip-xfrm",
        )
    protocol = "esp" if SA_ESP in protocols else "ah"
    used = proposals_of(a for a in members if a.said.protocol in (SA_ESP, SA_AH))
    draft.note(
        "ET263",
        "no connection of ipsec.conf says more than its eroute: the IKE version is the daemon's"
        " default",
    )
    authentication = draft.fill_in("how to authenticate", "for the tables do not tell it")
    draft.missing.append("the identities, the IKE version")
    wanted = Wanted(
        kind,
        None,
        "trap",
        0,
        authentication,
        None,
        judged(used, protocol, draft, daemon, eroute.span) if used else None,
        protocol,
        pfs=True,
        compress=SA_COMP in protocols,
    )
    return Shown(wanted, eroute.selector, _near_end(said, host, options), _far_end(said))


def _near_end(said: Said, host: KlipsHost, options: Options) -> Address | None:
    return host.source_of(said) or here(said.family, host, options)


def here(family: int, host: KlipsHost, options: Options) -> Address | None:
    """The one address of this gateway, ``None`` where there are several or none."""
    ours = [address for address in local_addresses(host, options) if address[0] == family]
    return ours[0] if len(ours) == 1 else None


def _far_end(said: Said) -> Address:
    return said.family, said.destination


def address_text(address: Address) -> str:
    """An address as both daemons read it."""
    return format_address(*address)


def prefix_text(prefix: Prefix) -> str:
    """A network as both daemons read it."""
    return str(prefix.network)
