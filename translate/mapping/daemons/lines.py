"""Settings of ipsec.conf that both daemons take as they stand, and the times, in seconds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from ...klips.connection import Connection, Setting
from ...klips.host import KlipsHost
from ...klips.settings import sideless
from .draft import Draft
from .model import Line
from .proposals import Daemon
from .settings import CONNECTION_FATES, SETUP_FATES, Fate, How

_MASKED: Final = "*" * 16
"""What a reader left of a long word that may be a key."""


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
                connection.span_of(name),
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
