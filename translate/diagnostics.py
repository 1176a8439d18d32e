"""Places in the input, and what is to be said about them.

A :class:`Diagnostic` says what is wrong with a place in the input, or what a person has to know
about its meaning (then it is called a finding).  Its code is stable, and each code has its
paragraph in ``docs/findings.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from .codes import TITLES
from .secret import starred


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Span(NamedTuple):
    """A place in the input: 1-based line and columns, the end column excluded.

    ``end_line`` differs from ``line`` only for a row that was wrapped over lines.
    """

    file: str
    line: int
    column: int = 1
    end_column: int = 0
    end_line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing to tell the user.

    ``excerpt`` is the offending line as it may be shown: control characters already made
    visible, keys already left out.  ``expected`` says what should have stood there, ``hint``
    what to do.  Raises ``KeyError`` at once for a code without a paragraph.
    """

    code: str
    severity: Severity
    message: str
    span: Span | None = None
    excerpt: str = ""
    expected: str = ""
    hint: str = ""
    related: tuple[tuple[Span, str], ...] = ()

    def __post_init__(self) -> None:
        TITLES[self.code]


@dataclass(slots=True)
class Collector:
    """Gathers diagnostics; decides nothing."""

    items: list[Diagnostic] = field(default_factory=list)

    def add(self, item: Diagnostic) -> None:
        """Remember one diagnostic."""
        self.items.append(item)

    @property
    def errors(self) -> list[Diagnostic]:
        """Those that are errors."""
        return [item for item in self.items if item.severity is Severity.ERROR]


class DiscreetCollector(Collector):
    """Gathers into another collector, with stars where a text may be a key.

    For sources that hold keys: where a line end is lost, a key can become part of any word.
    """

    def __init__(self, other: Collector) -> None:
        super().__init__(other.items)

    def add(self, item: Diagnostic) -> None:
        """Remember one diagnostic without keys; columns stay where they are."""
        texts = (item.message, item.excerpt, item.expected, item.hint)
        message, excerpt, expected, hint = map(starred, texts)
        self.items.append(
            replace(item, message=message, excerpt=excerpt, expected=expected, hint=hint)
        )


EXCERPT_LIMIT = 200
"""Characters of a line that are shown; a longer line is cut around the place that matters."""


def visible(text: str) -> str:
    """Make control characters, broken bytes and line ends visible, so that a terminal is safe."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c
        if c.isprintable()
        else f"\\x{ord(c) & 0xFF:02x}"
        if ord(c) < 0x100 or "\udc80" <= c <= "\udcff"
        else "\ufffd"
        for c in text
    )


def render_text(item: Diagnostic, *, colour: bool = False) -> str:
    """Print a diagnostic in the form of the compilers: code, place, excerpt, caret, hint."""
    red, bold, dim, off = (
        ({"error": "\x1b[31;1m", "warning": "\x1b[33;1m", "note": "\x1b[36;1m"}[item.severity])
        if colour
        else "",
        "\x1b[1m" if colour else "",
        "\x1b[2m" if colour else "",
        "\x1b[0m" if colour else "",
    )
    lines = [f"{red}{item.severity}[{item.code}]{off}{bold}: {visible(item.message)}{off}"]
    if item.span is not None:
        span = item.span
        where = f"{visible(span.file)}:{span.line}:{span.column}"
        lines.append(f"{dim}  --> {off}{where}")
        if item.excerpt:
            shown, caret, width = _window(item.excerpt, span)
            gutter = " " * len(str(span.line))
            lines.append(f"{dim} {span.line} | {off}{shown}")
            mark = "^" * max(1, width)
            expected = f" expected {item.expected}" if item.expected else ""
            lines.append(f"{dim} {gutter} | {off}{' ' * caret}{red}{mark}{expected}{off}")
    if item.expected and not (item.span is not None and item.excerpt):
        lines.append(f"{dim}   = {off}expected: {item.expected}")
    lines.extend(f"{dim}   = {off}{visible(text)} ({visible(str(s))})" for s, text in item.related)
    if item.hint:
        lines.append(f"{dim}   = {off}help: {visible(item.hint)}")
    return "\n".join(lines)


def _window(excerpt: str, span: Span) -> tuple[str, int, int]:
    """Cut a long line around the place; return the text, the caret's column and its width."""
    start = max(0, span.column - 1)
    end = max(start + 1, span.end_column - 1)
    if end > len(excerpt):
        end = max(start + 1, len(excerpt))
    low = max(0, start - EXCERPT_LIMIT // 2) if len(excerpt) > EXCERPT_LIMIT else 0
    cut = excerpt[low : low + EXCERPT_LIMIT]
    before = visible(cut[: start - low])
    inside = visible(cut[start - low : end - low])
    after = visible(cut[end - low :])
    head = "..." if low else ""
    tail = "..." if low + EXCERPT_LIMIT < len(excerpt) else ""
    return head + before + inside + after + tail, len(head) + len(before), len(inside)
