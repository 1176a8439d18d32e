"""Manually keyed connections: what ``ipsec manual --up`` made of them (ipsec_manual(8))."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from ..diagnostics import Collector, Diagnostic, Severity
from ..net import Selector
from ..secret import Secret
from .algorithm_names import parse_algorithms
from .association import Address, Association, Group
from .automatic import SHUNT_TYPES
from .connection import Connection
from .eroute import Eroute, Form
from .row import refuse
from .said import SA_AH, SA_ESP, SA_IPIP, SHUNTS, SPI_FIRST, Said
from .sides import Side, Sides, read_sides

MANUAL_SETTINGS: Final = frozenset({"spi", "spibase", "espenckey", "espauthkey", "ahkey"})
"""A connection with one of these is keyed by hand."""


class Keyed(NamedTuple):
    """What one connection becomes: associations, groups from the inside out, eroutes."""

    associations: tuple[Association, ...] = ()
    groups: tuple[Group, ...] = ()
    eroutes: tuple[Eroute, ...] = ()


class _IncompleteError(Exception):
    """Something is missing or cannot be; no key is in the text."""


def is_manual(connection: Connection) -> bool:
    """Whether a connection has what manual keying needs."""
    return bool(connection.keys) or any(name in connection.settings for name in MANUAL_SETTINGS)


def keyed(
    connection: Connection,
    local: Collection[Address],
    collector: Collector,
    *,
    default: Address | None = None,
) -> Keyed:
    """The associations in both directions, their groups, and the outbound eroute."""
    sides = read_sides(connection, local, collector, default=default)
    if sides is None:
        return Keyed()
    try:
        return _keyed(connection, sides)
    except _IncompleteError as error:
        collector.add(
            Diagnostic(
                "ET170",
                Severity.ERROR,
                f"the manual keying of {connection.name} cannot be carried: {error}",
                connection.span,
            )
        )
        # Its packets are known all the same, so that they can be blocked.
        rows = _eroutes(connection, sides, (SHUNTS["%drop"],))
        return Keyed(eroutes=tuple(refuse(eroute, "ET170") for eroute in rows))


def _keyed(connection: Connection, sides: Sides) -> Keyed:
    ours, theirs = sides.ours, sides.theirs
    kind = connection.value("type", "tunnel")
    shunt = SHUNT_TYPES.get(kind)
    if shunt is not None:
        return Keyed(eroutes=tuple(_eroutes(connection, sides, (SHUNTS[shunt],))))
    if ours.address is None or theirs.address is None:
        raise _IncompleteError("the address of a gateway is not known")
    protocols = _protocols(connection, kind)
    out = _group(connection, theirs, protocols)
    inward = _group(connection, ours, protocols)
    associations = [
        *_associations(connection, out, ours, theirs, inbound=False),
        *_associations(connection, inward, theirs, ours, inbound=True),
    ]
    groups = tuple(Group(group, connection.span) for group in (out, inward) if len(group) > 1)
    return Keyed(tuple(associations), groups, tuple(_eroutes(connection, sides, out)))


def _protocols(connection: Connection, kind: str) -> list[int]:
    protocols = [SA_IPIP] if kind == "tunnel" else []
    if connection.value("esp"):
        protocols.append(SA_ESP)
    if connection.value("ah"):
        protocols.append(SA_AH)
    if protocols in ([], [SA_IPIP]):
        raise _IncompleteError("it has neither esp= nor ah=")
    return protocols


_DIGITS: Final = {SA_IPIP: 0, SA_ESP: 2, SA_AH: 4}
"""Last digits of SPIs from ``spibase`` for what goes to the right; one more for the other way."""


def _group(connection: Connection, target: Side, protocols: list[int]) -> tuple[Said, ...]:
    """The SAIDs of what goes to one side, from the inside out."""
    if target.address is None:
        raise _IncompleteError("the address of a gateway is not known")
    family, number = target.address
    return tuple(
        Said(protocol, _spi(connection, protocol, protocols, target), family, number)
        for protocol in protocols
    )


def _spi(connection: Connection, protocol: int, protocols: list[int], target: Side) -> int:
    """``spi`` for all, or ``spibase`` and a digit by protocol and direction.

    ``rightespspi`` is the SPI of what goes to the right, and so on.
    """
    names = {SA_ESP: "espspi", SA_AH: "ahspi"}
    own = connection.value(f"{target.name}{names[protocol]}") if protocol in names else ""
    if own:
        return _number(own)
    whole = connection.value("spi")
    if whole:
        return _number(whole)
    base = connection.value("spibase")
    if not base:
        raise _IncompleteError("it has neither spi= nor spibase=")
    start = _number(base)
    if start & 0xF:
        raise _IncompleteError("spibase must end in the digit 0")
    digit = _DIGITS[protocol] if SA_IPIP in protocols else 2 * protocols.index(protocol)
    return start | digit | (target.name == "left")


def _number(text: str) -> int:
    try:
        number = int(text, 16) if text.lower().startswith("0x") else int(text, 10)
    except ValueError:
        raise _IncompleteError(f"{text!r} is not a number") from None
    if not SPI_FIRST <= number <= 0xFFFFFFFF:
        raise _IncompleteError(f"the SPI {number:#x} is not from 0x100 to 0xffffffff")
    return number


def _associations(
    connection: Connection, group: tuple[Said, ...], source: Side, target: Side, *, inbound: bool
) -> list[Association]:
    made = []
    for said in group:
        fields: dict[str, object] = {}
        if said.protocol == SA_ESP:
            fields = _algorithms(connection, "esp", target)
            fields["replay_window"] = _window(connection, "espreplay_window")
        elif said.protocol == SA_AH:
            fields = _algorithms(connection, "ah", target)
            fields["replay_window"] = _window(connection, "ahreplay_window")
        made.append(
            Association(
                said,
                connection.span,
                inbound,
                source.address,
                **fields,  # type: ignore[arg-type]  # names and types of the two functions above
            )
        )
    return made


def _window(connection: Connection, name: str) -> int:
    value = connection.value(name, "0")
    if not value.isdecimal() or int(value) > 64:
        raise _IncompleteError(f"{name}={value} is not from 0 to 64")
    return int(value)


def _algorithms(connection: Connection, protocol: str, target: Side) -> dict[str, object]:
    """Names and keys; ``leftespenckey`` is the key of what goes to the left."""
    text = connection.value(protocol)
    try:
        encryption, authentication, bits = parse_algorithms(text, protocol)
    except ValueError as error:
        raise _IncompleteError(str(error)) from None
    fields: dict[str, object] = {}
    if encryption:
        key = _key(connection, "espenckey", target) if encryption != "null" else Secret(b"")
        if bits and key.bits != bits:
            raise _IncompleteError(f"esp={text} needs a key of {bits} bits, not {key.bits}")
        fields.update(encryption=encryption, encryption_key=key, encryption_bits=key.bits)
    if authentication:
        name = "ahkey" if protocol == "ah" else "espauthkey"
        key = _key(connection, name, target)
        fields.update(
            authentication=authentication, authentication_key=key, authentication_bits=key.bits
        )
    return fields


def _key(connection: Connection, name: str, target: Side) -> Secret:
    found = connection.keys.get(f"{target.name}{name}") or connection.keys.get(name)
    if found is None:
        raise _IncompleteError(f"the key {name} is missing")
    return found


def _eroutes(connection: Connection, sides: Sides, saids: tuple[Said, ...]) -> list[Eroute]:
    return [
        Eroute(Selector(near, far), saids, connection.span, form=Form.COMMAND.value)
        for near in sides.ours.clients
        for far in sides.theirs.clients
        if near.family == far.family
    ]
