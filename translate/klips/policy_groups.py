"""Policy groups: the files of ``ipsec.d/policies/`` and the connections behind them.

A file has an IPv4 subnet or address on each line (pluto: foodgroups.c).  The connections of the
five groups are built in (oeconns.c).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from ..diagnostics import Collector, Diagnostic, Severity, Span
from ..net import Prefix
from .address import host, parse_klips_address, parse_subnet
from .capture import clean_lines

GROUP_CONNECTIONS: Final[dict[str, dict[str, str]]] = {
    "clear": {"type": "passthrough", "authby": "never", "auto": "route"},
    "block": {"type": "reject", "authby": "never", "auto": "route"},
    "private": {"type": "tunnel", "failureshunt": "drop", "auto": "route"},
    "private-or-clear": {"type": "tunnel", "failureshunt": "passthrough", "auto": "route"},
    "clear-or-private": {"type": "passthrough", "failureshunt": "passthrough", "auto": "route"},
    "packetdefault": {"type": "tunnel", "failureshunt": "passthrough", "auto": "route"},
}
"""The built-in connections by name, with what a file of the user's may change."""


class GroupMember(NamedTuple):
    """A line of a group: a destination network."""

    network: Prefix
    span: Span


def read_policy_group(data: bytes, name: str, collector: Collector) -> list[GroupMember]:
    """Read one file; a line that cannot be read is a diagnostic, for its traffic has no policy."""
    return read_policy_group_lines(
        enumerate(clean_lines(data, name, collector), 1), name, collector
    )


def read_policy_group_lines(
    lines: Iterable[tuple[int, str]], name: str, collector: Collector
) -> list[GroupMember]:
    """The same for clean lines with their numbers."""
    found: list[GroupMember] = []
    for number, line in lines:
        text = line.partition("#")[0].strip()
        if not text:
            continue
        span = Span(name, number, line.index(text[0]) + 1, line.index(text[0]) + 1 + len(text))
        try:
            if "/" in text:
                network = parse_subnet(text, 4).network
            else:
                network = host(*parse_klips_address(text, 4))
        except ValueError as error:
            collector.add(
                Diagnostic(
                    "ET166",
                    Severity.ERROR,
                    f"a line of a policy group cannot be read: {error}",
                    span,
                    line,
                    expected="an IPv4 subnet or address",
                )
            )
            continue
        found.append(GroupMember(network, span))
    return found
