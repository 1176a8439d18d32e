"""Rows of ``ipsec_tncfg``: which device is attached to which (ipsec_tncfg(5)).

``ipsec look`` shows them without blanks around the arrows, several in one line.  FreeS/WAN before
1.9 had no private mtu in parentheses.
"""

from __future__ import annotations

import re
from typing import Final

from ..diagnostics import Collector, Severity, Span
from .interface import Attachment
from .procline import ProcLine

_DEVICE: Final = r"(?:ipsec|mast)[0-9]{1,3}"
_MTU: Final = r"[0-9]{1,10}"
_START: Final = re.compile(rf"\s*{_DEVICE}(?:\s*->|\s*\Z)", re.ASCII)
_ROW: Final = re.compile(
    rf"(?P<device>{_DEVICE})(?:\s*->\s*(?P<physical>[^\s>=]+) mtu=(?P<mtu>{_MTU})"
    rf"(?:\((?P<effective>{_MTU})\))?\s*->\s*(?P<below>{_MTU})|(?=\s*\Z))(?!\S)",
    re.ASCII,
)
_NEXT: Final = re.compile(rf"(?<!\S){_DEVICE}\s*->", re.ASCII)
_FIELDS: Final = {"mtu": re.compile(r"[0-9()]{1,30}(?:->[0-9]{1,10})?", re.ASCII)}
_DETACHED: Final = "NULL"


def looks_like_attachment(line: str) -> bool:
    """Whether a line starts as a row of ``ipsec_tncfg`` or of its form in ``ipsec look``."""
    return _START.match(line) is not None


def read_attachments(line: str, span: Span, collector: Collector) -> list[Attachment]:
    """Read all rows of a line; what cannot be read is an error and hides no other row."""
    row = ProcLine(line, span, _FIELDS)
    found = []
    starts = [m.start() for m in _NEXT.finditer(line)]
    first = len(line) - len(line.lstrip())
    if not starts or starts[0] != first:
        starts.insert(0, first)
    for start, end in zip(starts, [*starts[1:], len(line)], strict=True):
        text = line[start:end].rstrip()
        match = _ROW.fullmatch(text)
        if match is None:
            cut = end == len(line) and text.count("->") < 2
            collector.add(
                row.problem(
                    "ET131" if cut else "ET130",
                    Severity.ERROR,
                    start,
                    start + len(text),
                    "this row is cut" if cut else "this is no row of ipsec_tncfg",
                    "ipsecN -> DEVICE mtu=N(N) -> N",
                    "take the table again, whole",
                )
            )
            continue
        place = span._replace(column=start + 1, end_column=start + len(text) + 1)
        found.append(_attachment(match, place))
    return found


def _attachment(match: re.Match[str], span: Span) -> Attachment:
    physical = match["physical"]
    if physical is None:
        return Attachment(match["device"], None, span, bare=True)
    return Attachment(
        match["device"],
        None if physical == _DETACHED else physical,
        span,
        int(match["mtu"]),
        int(match["effective"] or 0),
        int(match["below"]),
    )


def read_attachment(line: str, span: Span, collector: Collector) -> Attachment | None:
    """Read a line with one row; with several of them, or none, an error and ``None``."""
    found = read_attachments(line, span, collector)
    if len(found) > 1:
        collector.add(
            ProcLine(line, span, _FIELDS).problem(
                "ET130",
                Severity.ERROR,
                found[1].span.column - 1,
                found[1].span.end_column - 1,
                "another row stands on this line",
                "one row",
            )
        )
        return None
    return found[0] if found else None


def format_attachment(attachment: Attachment) -> str:
    """Print a row as the kernel does, without a line end."""
    a = attachment
    if a.bare:
        return a.device
    physical = a.physical or _DETACHED
    effective = f"({a.effective_mtu})" if a.effective_mtu or not a.mtu else ""
    return f"{a.device} -> {physical} mtu={a.mtu}{effective} -> {a.physical_mtu}"
