"""The values of a key daemon's configuration: what is written, and what a connection asks for.

What is not known (how to authenticate, above all) is :data:`FILL_IN`, which both daemons refuse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from ...diagnostics import Diagnostic, Span
from ...klips.association import Address
from ...klips.sides import Sides
from ...net import Prefix, Selector, format_address
from ..model import Kind
from .proposals import Daemon, Proposal
from .public_key import PublicKey

FILL_IN: Final = "FILL-IN"
"""What stands where the user has to write something.  No daemon takes it for a value."""


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
    ``public_keys`` are files that connections name.
    """

    daemon: Daemon
    setup: tuple[Line, ...]
    connections: tuple[DaemonConnection, ...]
    findings: tuple[Diagnostic, ...]
    secrets: tuple[tuple[str, str], ...] = ()
    public_keys: tuple[PublicKey, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many connections became what; those that are not complete by themselves."""
        found = dict.fromkeys(("exact", "noted", "approximated", "incomplete", "refused"), 0)
        for connection in self.connections:
            incomplete = connection.missing and connection.kind != Kind.REFUSED.value
            found["incomplete" if incomplete else connection.kind] += 1
        return found


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


class Shown(NamedTuple):
    """An eroute that no connection accounts for, as a connection.

    ``ours`` is the address of this gateway, ``None`` where it is not known; ``peer`` that of the
    other one, ``None`` for a shunt.
    """

    wanted: Wanted
    selector: Selector
    ours: Address | None
    peer: Address | None


def address_text(address: Address) -> str:
    """An address as both daemons read it."""
    return format_address(*address)


def prefix_text(prefix: Prefix) -> str:
    """A network as both daemons read it."""
    return str(prefix.network)
