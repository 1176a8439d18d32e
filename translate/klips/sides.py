"""The two sides of a connection, left and right, and which is this gateway (ipsec.conf(5))."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from ..diagnostics import Collector, Diagnostic, Severity
from ..net import Prefix, Selector, parse_protocol
from .address import host, parse_klips_address, parse_subnet
from .association import Address
from .connection import Connection, Setting
from .services import SERVICES

UNKNOWN_PEERS: Final = frozenset(
    {"%any", "%any4", "%any6", "0.0.0.0", "::", "%opportunistic"}  # noqa: S104 - as written there
)
"""Values of left or right that name no one host."""

GROUPS: Final = frozenset({"%group", "%opportunisticgroup"})


@dataclass(frozen=True, slots=True)
class Side:
    """One side.  ``address`` is ``None`` for what names no one host; ``word`` is what stood there.

    ``clients`` are the networks behind it, the host itself where none are written.
    """

    name: str
    word: str
    address: Address | None
    clients: tuple[Prefix, ...]
    protocol: int = 0
    port: int = 0


@dataclass(frozen=True, slots=True)
class Sides:
    """A connection as one of its gateways sees it."""

    ours: Side
    theirs: Side

    @property
    def protocol(self) -> int:
        """The transport protocol that either side names, 0 for any."""
        return self.ours.protocol or self.theirs.protocol

    def selectors(self) -> Iterator[Selector]:
        """Packets going out: each network of ours with each of theirs of its family."""
        ours, theirs = self.ours, self.theirs
        for near in ours.clients:
            for far in theirs.clients:
                if near.family == far.family:
                    yield Selector(near, far, self.protocol, ours.port, theirs.port)


class _UnreadableError(Exception):
    def __init__(self, message: str, setting: Setting | None, expected: str = "") -> None:
        super().__init__(message)
        self.setting = setting
        self.expected = expected


def read_sides(
    connection: Connection,
    local: Collection[Address],
    collector: Collector,
    *,
    default: Address | None = None,
) -> Sides | None:
    """Both sides, with ours found by the addresses of this gateway or by ``%defaultroute``.

    ``default`` is the address of the interface of the default route, where it is known.
    ``None`` with a diagnostic when a side cannot be read, or nobody can tell which one is ours.
    """
    try:
        left = _side(connection, "left", local, default)
        right = _side(connection, "right", local, default)
    except _UnreadableError as error:
        setting = error.setting
        collector.add(
            Diagnostic(
                "ET167",
                Severity.ERROR,
                f"the connection {connection.name} has no eroute: {error}",
                connection.span if setting is None else setting.span,
                "" if setting is None else setting.shown,
                expected=error.expected,
            )
        )
        return None
    ours = _which(left, right, local)
    if ours is None:
        collector.add(
            Diagnostic(
                "ET168",
                Severity.ERROR,
                f"which side of {connection.name} is this gateway is not known",
                connection.span,
                hint="say --local with an address of this gateway",
            )
        )
        return None
    return Sides(left, right) if ours is left else Sides(right, left)


def _which(left: Side, right: Side, local: Collection[Address]) -> Side | None:
    mine = [side for side in (left, right) if side.address in local and side.address is not None]
    if len(mine) == 1:
        return mine[0]
    marked = [side for side in (left, right) if side.word == "%defaultroute"]
    if len(marked) == 1:
        return marked[0]
    nobody = [side for side in (left, right) if side.word in UNKNOWN_PEERS | GROUPS]
    if len(nobody) == 1:
        return right if nobody[0] is left else left
    return None


def _side(
    connection: Connection, name: str, local: Collection[Address], default: Address | None
) -> Side:
    setting = connection.settings.get(name)
    if setting is None or not setting.value:
        raise _UnreadableError(f"it has no {name}=", setting, "an address, %defaultroute or %any")
    word = setting.value
    address = _address(connection, name, setting, local, default)
    clients = tuple(_clients(connection, name, address))
    protocol, port = _protoport(connection.settings.get(f"{name}protoport"))
    return Side(name, word, address, clients, protocol, port)


def _address(
    connection: Connection,
    name: str,
    setting: Setting,
    local: Collection[Address],
    default: Address | None,
) -> Address | None:
    word = setting.value
    if word == "%defaultroute":
        family = _family_of_other(connection, name)
        if default is not None and default[0] == family:
            return default
        ours = [address for address in local if address[0] == family]
        return ours[0] if len(ours) == 1 else None
    if word in UNKNOWN_PEERS or word in GROUPS:
        return None
    try:
        return parse_klips_address(word)
    except ValueError:
        what = "a name is not looked up, for it may have changed"
        if word.startswith("%"):
            what = "what the interface had is not known"
        raise _UnreadableError(
            f"{name}={word} is no address; {what}", setting, "the address that it stands for"
        ) from None


def _family_of_other(connection: Connection, name: str) -> int:
    other = connection.value("right" if name == "left" else "left")
    return 6 if ":" in other else 4


def _clients(connection: Connection, name: str, address: Address | None) -> Iterator[Prefix]:
    setting = connection.settings.get(f"{name}subnets") or connection.settings.get(f"{name}subnet")
    if setting is None:
        if address is not None:
            yield host(*address)
        return
    value = setting.value.strip("{} ")
    if value.startswith(("vhost:", "vnet:")):
        return  # a road warrior behind NAT: known when it comes
    for text in value.replace(",", " ").split():
        try:
            if "/" in text:
                yield parse_subnet(text, 6 if ":" in text else 4).network
            else:
                yield host(*parse_klips_address(text))
        except ValueError as error:
            raise _UnreadableError(
                f"{setting.name} cannot be read: {error}", setting, "ADDRESS/BITS"
            ) from None


def _protoport(setting: Setting | None) -> tuple[int, int]:
    """``17/1701``, ``udp/l2tp``, ``6``, ``17/%any``: protocol and port, 0 for any."""
    if setting is None or not setting.value:
        return 0, 0
    name, _, port = setting.value.partition("/")
    try:
        protocol = parse_protocol(name)
        number = 0 if port in ("", "%any", "any", "0") else _port(port)
    except ValueError as error:
        raise _UnreadableError(
            f"{setting.name} cannot be read: {error}", setting, "PROTOCOL/PORT, such as 17/1701"
        ) from None
    return protocol, number


def _port(text: str) -> int:
    if text in SERVICES:
        return SERVICES[text]
    if text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= 0xFFFF:
        return int(text)
    raise ValueError(f"{text!r} is not a port")
