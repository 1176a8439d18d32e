"""One line of a proc table as a diagnostic shows it.

No kernel that is known printed keys, but patched ones and edited captures might.  So the value
of a field whose name is not known is left out of every excerpt, and so is what looks like a key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ..diagnostics import Diagnostic, Severity, Span
from .key import without_keys

_NAMED: Final = re.compile(r"(?P<name>[^\s=]{1,80})=(?P<value>\S+)")
_NO_FIELDS: Final[Mapping[str, re.Pattern[str]]] = {}


class ProcLine:
    """A line, its place, and the form of each field whose value may be shown."""

    __slots__ = ("_excerpt", "_public", "span", "text")

    def __init__(
        self, text: str, span: Span, public: Mapping[str, re.Pattern[str]] = _NO_FIELDS
    ) -> None:
        self.text: Final = text
        self.span: Final = span
        self._public: Final = public
        self._excerpt: str | None = None

    def problem(
        self,
        code: str,
        severity: Severity,
        start: int,
        end: int,
        message: str,
        expected: str = "",
        hint: str = "",
    ) -> Diagnostic:
        """What is to be said of the characters from ``start`` to ``end`` (0-based, excluded)."""
        return Diagnostic(
            code,
            severity,
            message,
            self.span._replace(column=start + 1, end_column=max(end, start + 1) + 1),
            excerpt=self.excerpt(),
            expected=expected,
            hint=hint,
        )

    def excerpt(self) -> str:
        """The line with every value that may be a key replaced by stars of the same number."""
        if self._excerpt is None:
            self._excerpt = without_keys(_NAMED.sub(self._value, self.text), named=False)
        return self._excerpt

    def shown(self, start: int, end: int) -> str:
        """The first 40 characters of a part of the excerpt."""
        return self.excerpt()[start:end][:40]

    def _value(self, match: re.Match[str]) -> str:
        name, value = match.groups()
        form = self._public.get(name)
        if form is None:
            return f"{name}={'*' * len(value)}"
        return match[0] if form.fullmatch(value) else f"{name}={without_keys(value, strict=True)}"
