"""The page for the person who signs a change: what is carried, what is not, what was proved.

Markdown that reads as it stands.  The page has no clock in it, so that two of them can be compared.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .codes import TITLES
from .diagnostics import Diagnostic, Severity, visible
from .klips.eroute import format_eroute
from .mapping.model import Kind, Options, Outcome
from .net import format_address
from .report import read_summary
from .xfrm.model import TEMPLATE_PROTOCOLS
from .xfrm.text import policy_arguments

if TYPE_CHECKING:
    from .render import Page

PLACES: Final = 20
"""Places of one message that are named before the rest is only counted."""

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>#|~])")
_TICKS: Final = re.compile("`+")


@dataclass(frozen=True, slots=True)
class Proved:
    """What the proof came to: all its lines, the one that concludes, and what it leaves out."""

    lines: tuple[str, ...]
    conclusion: str
    equal: bool
    limits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a plan would change on a target: its lines, the last one counts; and how many clash."""

    target: str
    lines: tuple[str, ...]
    conflicts: int


@dataclass(frozen=True, slots=True)
class Group:
    """Findings of one code that say the same."""

    message: str
    hint: str
    places: tuple[str, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Findings:
    """All findings of one code, ``groups`` in the order in which they were found."""

    code: str
    severity: str
    title: str
    groups: tuple[Group, ...]


def report(
    page: Page, digests: Mapping[str, str], proved: Proved, changes: Changes | None = None
) -> Iterator[str]:
    """Print the page in pieces.  ``digests`` are SHA-256 of the files by name, in hexadecimal."""
    from .render import render_template

    translation = page.translation
    directions = Counter(policy.direction for policy in translation.policies())
    context = page.context() | {
        "policies": directions.total(),
        "directions": {name: directions[name] for name in ("out", "in", "fwd")},
        "conclusion": proved.conclusion,
        "proof": proved.lines,
        "limits": proved.limits,
        "changes": None if changes is None else changes.lines,
        "target": "" if changes is None else changes.target,
        "to_decide": list(_to_decide(page, proved, changes)),
        "digests": digests,
        "read": read_summary(translation.host),
        "klips": translation.host.version,
        "settings": _settings(translation.options),
        "refused": list(_refused(page)),
        "findings": grouped(page.findings),
        "prose": prose,
        "code": code,
        "entry": entry,
    }
    return render_template("report.md.j2", context)


def prose(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", visible(text))


def code(text: str) -> str:
    """Text as Markdown's code, also in a cell of a table: more backticks than it has around it."""
    shown = visible(text)
    ticks = "`" * (max(map(len, _TICKS.findall(shown)), default=0) + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") or not shown else ""
    return f"{ticks}{space}{shown}{space}{ticks}".replace("|", "\\|")


def entry(outcome: Outcome) -> str:
    """One eroute with what became of it, and its policies as ``ip xfrm`` has them."""
    eroute, treatment = outcome.eroute, outcome.treatment
    codes = f" ({', '.join(treatment.codes)})" if treatment.codes else ""
    what = "an exception" if outcome.exception else treatment.kind
    reason = f": {prose(outcome.reason)}" if outcome.reason else ""
    head = f"{code(f'{eroute.span}: {format_eroute(eroute)}')}\n{what}, rule {treatment.rule}"
    policies = "".join(f"policy {policy_arguments(policy)}\n" for policy in outcome.policies)
    block = f"\n```text\n{policies}```\n" if policies else ""
    return f"{head}{codes}{reason}\n{block}"


def grouped(findings: Sequence[Diagnostic]) -> list[Findings]:
    """Findings by code, the worst first; those that say the same are told once, with all places."""
    ranks = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}
    by_code: dict[tuple[str, Severity], dict[tuple[str, str], list[str]]] = {}
    for item in findings:
        same = by_code.setdefault((item.code, item.severity), {})
        places = same.setdefault((item.message, item.hint), [])
        if item.span is not None:
            places.append(str(item.span))
    ordered = sorted(by_code.items(), key=lambda pair: (ranks[pair[0][1]], pair[0][0]))
    return [
        Findings(
            name,
            severity.value,
            TITLES[name],
            tuple(
                Group(message, hint, tuple(places[:PLACES]), max(0, len(places) - PLACES))
                for (message, hint), places in same.items()
            ),
        )
        for (name, severity), same in ordered
    ]


def _refused(page: Page) -> Iterator[tuple[str, str]]:
    """Entries that are not carried, and why."""
    said: dict[str, str] = {}
    for item in page.findings:
        if item.severity is Severity.ERROR:
            said.setdefault(str(item.span), item.message)
    for row in page.translation.host.unread:
        place = f"{row.file}:{row.line}"
        yield place, said.get(place, "it could not be read")
    for outcome in page.translation.outcomes:
        if outcome.kind == Kind.REFUSED:
            eroute = outcome.eroute
            reason = outcome.reason or said.get(str(eroute.span), f"rule {outcome.treatment.rule}")
            yield f"{eroute.span}: {format_eroute(eroute)}", reason


def _to_decide(page: Page, proved: Proved, changes: Changes | None) -> Iterator[str]:
    translation = page.translation
    if translation.refused:
        yield f"not carried: {translation.refused} of {translation.host.rows} entries"
    for item in page.findings:
        if item.severity is Severity.ERROR:
            place = f"{code(str(item.span))}: " if item.span else ""
            yield f"{item.code}, {place}{prose(item.message)}"
    different = translation.counts[Kind.APPROXIMATED.value]
    if different:
        yield f"carried with a difference, which a finding names: {different} entries"
    if not proved.equal:
        yield f"the proof found packets with another fate: {prose(proved.conclusion)}"
    if changes is not None and changes.conflicts:
        yield f"taken by others on {prose(changes.target)}: {changes.conflicts} places of ours"
    protects = any(outcome.treatment.steps for outcome in translation.outcomes)
    if protects and not any(carried.state for carried in translation.states):
        yield (
            "no SA comes with these policies: until a key daemon runs or states are added, what is"
            " to be protected is dropped"
        )


def _settings(options: Options) -> dict[str, str]:
    """The options of the mapping, as the command line names them, defaults too."""

    def listed(values: Iterable[object]) -> str:
        return " ".join(map(str, values)) or "none"

    return {
        "--local": listed(format_address(*address) for address in options.local),
        "--inbound": options.inbound,
        "--assume": "+".join(TEMPLATE_PROTOCOLS[number] for number in options.assume),
        "--template-by": options.template_by,
        "reject rule": "yes" if options.reject_rule else "no",
        "--bypass": listed(options.bypass),
        "--routed": listed(options.routed),
        "--scope": options.scope,
        "--priority-base": str(options.priority_base),
        "--reqid-base": str(options.reqid_base),
        "--reqid": str(options.reqid or "one for each group"),
        "--icv": options.icv or "by the version",
    }
