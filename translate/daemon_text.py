"""The configuration of a key daemon as text: syntax of swanctl.conf and of ipsec.conf."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from . import __version__
from .diagnostics import Diagnostic, Severity
from .mapping.daemons.proposals import TITLES, Daemon
from .mapping.model import Kind
from .render import Target, render_template

if TYPE_CHECKING:
    from .klips.host import KlipsHost
    from .mapping.daemons.model import DaemonConfiguration, DaemonConnection

DAEMON_OF: Final = {Target.SWANCTL: Daemon.SWANCTL, Target.LIBRESWAN: Daemon.LIBRESWAN}
"""The targets that are the configuration of a daemon."""

ABOUT_EROUTES: Final = frozenset({"ET115", "ET168", "ET169", "ET171"})
"""Diagnostics of the reader that say why a connection has no eroute: it needs none here."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9%@.,:/_+*\[\]!^-][A-Za-z0-9%@.,:/_+*\[\]! ^-]*\Z")
_BARE: Final = re.compile(r"[A-Za-z0-9%@.,:;/_+*!-]+\Z")


@dataclass(frozen=True, slots=True)
class DaemonPage:
    """What a template of a daemon is given, under the names of the fields.

    ``diagnostics`` are those of reading.  Those of the mapping are in ``configuration``.
    """

    configuration: DaemonConfiguration
    host: KlipsHost
    sources: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]
    allow_partial: bool = False

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        """Everything that was found, in reading and in meaning."""
        read = tuple(d for d in self.diagnostics if d.code not in ABOUT_EROUTES)
        return read + self.configuration.findings

    @property
    def stop_reasons(self) -> list[str]:
        """Why the daemon must not load it; what is only to be filled in stops by itself."""
        if self.allow_partial:
            return []
        reasons = [
            f"{d.span}: {d.message}" if d.span else d.message
            for d in self.findings
            if d.severity is Severity.ERROR and d.code != "ET250"
        ]
        if self.host.unread and not reasons:
            reasons.append(f"{len(self.host.unread)} rows are not read")
        return reasons

    @property
    def shown(self) -> list[DaemonConnection]:
        """The connections that are printed: a refused one only if it became a shunt."""
        return [c for c in self.configuration.connections if c.lines]

    @property
    def groups(self) -> list[list[DaemonConnection]]:
        """Those of :attr:`shown` that differ in their children alone, together.

        A daemon that answers looks for a child only in the connection that the peer's address and
        identity had led it to (charon, IKEv1).
        """
        found: dict[object, list[DaemonConnection]] = {}
        for connection in self.shown:
            found.setdefault((connection.lines, connection.sections), []).append(connection)
        return list(found.values())

    @property
    def refused(self) -> list[DaemonConnection]:
        """Those that are not carried."""
        return [c for c in self.configuration.connections if c.kind == Kind.REFUSED.value]

    def context(self) -> dict[str, object]:
        """The variables of a template."""
        return {
            "version": __version__,
            "sources": self.sources,
            "counts": self.configuration.counts,
            "setup": self.configuration.setup,
            "connections": self.shown,
            "groups": self.groups,
            "refused": self.refused,
            "secrets": self.configuration.secrets,
            "public_keys": self.configuration.public_keys,
            "general": [d for d in self.findings if not _belongs(d, self.configuration)],
            "stop_reasons": self.stop_reasons,
        }


def _belongs(item: Diagnostic, configuration: DaemonConfiguration) -> bool:
    """Whether a finding stands at its connection already."""
    name, _, _ = item.message.partition(": ")
    return any(connection.name == name for connection in configuration.connections)


def render_daemon(page: DaemonPage) -> Iterator[str]:
    """Print the configuration of a daemon, in pieces of some size."""
    names = {Daemon.SWANCTL: "swanctl.conf.j2", Daemon.LIBRESWAN: "ipsec.conf.j2"}
    return render_template(names[page.configuration.daemon], page.context())


def daemon_summary(configuration: DaemonConfiguration) -> str:
    """One line that accounts for every connection."""
    return f"for {TITLES[configuration.daemon]}: {format_counts(configuration.counts)}"


def format_counts(counts: Mapping[str, int]) -> str:
    """How many connections there are, and what became of them."""
    number = sum(counts.values())
    parts = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return f"{number} connection{'s' if number != 1 else ''}: {parts}"


def swanctl_value(text: str) -> str:
    """A value of swanctl.conf: plain where that is safe, else quoted (strongswan.conf(5))."""
    if _PLAIN.match(text) and text == text.strip():
        return text
    inner = "".join(c if c.isprintable() else " " for c in text)
    return '"' + inner.replace("\\", "\\\\").replace('"', '\\"') + '"'


def ipsec_conf_value(text: str) -> str:
    """A value of ipsec.conf: quoted if it holds blanks or signs; a quote cannot stand in one."""
    if _BARE.match(text):
        return text
    return '"' + "".join(c if c.isprintable() and c != '"' else " " for c in text) + '"'
