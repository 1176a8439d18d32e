"""Connections of an ipsec.conf of the KLIPS era (ipsec.conf(5)), after ``also``, ``%default``."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..diagnostics import Span
from ..secret import Secret


@dataclass(frozen=True, slots=True)
class Setting:
    """One ``name=value`` line, with the quotes of the value taken away."""

    name: str
    value: str
    span: Span

    @property
    def shown(self) -> str:
        """The setting as its line had it, in the columns of its place."""
        return f"{' ' * (self.span.column - 1)}{self.name}={self.value}"


@dataclass(frozen=True, slots=True)
class Connection:
    """A ``conn`` section with all that it takes over from others.

    ``settings`` by name, left and right as written (``left``, ``rightsubnet``, ...), the last
    one of a name winning as it did in the daemon's reader.  A setting that holds a key of manual
    keying (``espenckey``, ``leftahkey``, ...) is in ``keys``, as octets, and never in
    ``settings``.  ``included`` tells that another one takes it over with ``also``.
    """

    name: str
    span: Span
    settings: dict[str, Setting]
    keys: dict[str, Secret] = field(default_factory=dict)
    included: bool = False

    @property
    def is_part(self) -> bool:
        """Whether it is only there to be taken over: it lacks a side, and cannot be loaded."""
        return self.included and not {"left", "right"} <= self.settings.keys()

    def value(self, name: str, otherwise: str = "") -> str:
        """The value of a setting, or ``otherwise``."""
        setting = self.settings.get(name)
        return otherwise if setting is None else setting.value

    def span_of(self, name: str) -> Span:
        """The place of a setting, that of the whole connection where it is not written."""
        setting = self.settings.get(name)
        return self.span if setting is None else setting.span


@dataclass(frozen=True, slots=True)
class Configuration:
    """An ipsec.conf: ``config setup`` and the connections, in the order of the file."""

    setup: dict[str, Setting] = field(default_factory=dict)
    connections: tuple[Connection, ...] = ()
