"""What is told to the person at the terminal: diagnostics, the summary, a walk for one packet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from .diagnostics import Diagnostic, Severity, render_text, visible
from .json_forms import FORMAT_VERSION, diagnostic_json, eroute_json

if TYPE_CHECKING:
    from .klips.host import KlipsHost
    from .mapping.translation import Translation

REPEATS: int = 20
"""Diagnostics of one code that are printed whole before the rest is only counted."""


def print_diagnostics(
    items: Iterable[Diagnostic], *, colour: bool, least: Severity, everything: bool = False
) -> str:
    """Print diagnostics for people; more than :data:`REPEATS` of one code are counted."""
    ranks = {Severity.NOTE: 0, Severity.WARNING: 1, Severity.ERROR: 2}
    seen: dict[str, int] = {}
    parts: list[str] = []
    for item in items:
        if ranks[item.severity] < ranks[least]:
            continue
        seen[item.code] = seen.get(item.code, 0) + 1
        if everything or seen[item.code] <= REPEATS:
            parts.append(render_text(item, colour=colour))
    parts.extend(
        f"... and {count - REPEATS} more of {code} (all of them with --verbose or --format json)"
        for code, count in seen.items()
        if count > REPEATS and not everything
    )
    return "\n".join(parts)


def summary(translation: Translation) -> str:
    """One line that accounts for every entry of the input."""
    counts = translation.counts
    host = translation.host
    parts = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    word = "entry" if host.rows == 1 else "entries"
    return f"{host.rows} {word}: {parts}"


_NOUNS: Final = {
    "eroute": ("eroute", "eroutes"),
    "connection": ("connection", "connections"),
    "spi": ("association", "associations"),
    "spigrp": ("group", "groups"),
    "tncfg": ("attachment", "attachments"),
    "route": ("route", "routes"),
    "rule": ("routing rule", "routing rules"),
    "address": ("address", "addresses"),
    "parameter": ("parameter", "parameters"),
    "version": ("version", "versions"),
    "klipsdebug": ("debug setting", "debug settings"),
}
"""Kinds of entries of a capture, in the order in which they are told: one, and more."""


def read_summary(host: KlipsHost) -> tuple[str, ...]:
    """A line that says how many entries of each kind the input held, whichever host they are of.

    Empty for an input of eroutes alone, which the summary of the translation tells all about.
    """
    if not {*host.accounted, *host.refused} - {"eroute"}:
        return ()
    parts = []
    for kind, nouns in _NOUNS.items():
        count, refused = host.accounted.get(kind, 0), host.refused.get(kind, 0)
        if count or refused:
            text = f"{count} {nouns[count != 1]}"
            parts.append(f"{text} ({refused} refused)" if refused else text)
    return (f"read {', '.join(parts)}",) if parts else ()


def check_json(
    translation: Translation, items: Sequence[Diagnostic], sources: Sequence[str]
) -> str:
    """The result of ``check --format json``."""
    document = {
        "format": "eroute-translate-check",
        "version": FORMAT_VERSION,
        "sources": [visible(name) for name in sources],
        "counts": translation.counts,
        "eroutes": [eroute_json(outcome) for outcome in translation.outcomes],
        "diagnostics": [diagnostic_json(item) for item in items],
    }
    return json.dumps(document, indent=1, sort_keys=True)
