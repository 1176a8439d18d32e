"""One line of a proc table as a diagnostic shows it.

No kernel that is known printed keys, but patched ones and edited captures might: a value whose
name is not known is left out of every excerpt.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ..diagnostics import Diagnostic, Severity, Span

_NAMED: Final = re.compile(r"(?P<name>[^\s=]{1,80})=(?P<value>\S+)")
_LONG_NUMBER: Final = re.compile(r"(?<![0-9a-zA-Z=])(?:0x[0-9a-fA-F]{16,}|[0-9a-fA-F]{32,})")


class ProcLine(NamedTuple):
    """A line, its place, and the names of the fields whose values may be shown."""

    text: str
    span: Span
    public: frozenset[str] = frozenset()

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
        named = _NAMED.sub(self._masked, self.text)
        return _LONG_NUMBER.sub(lambda m: "*" * len(m[0]), named)

    def _masked(self, match: re.Match[str]) -> str:
        if match["name"] in self.public:
            return match[0]
        return f"{match['name']}={'*' * len(match['value'])}"
