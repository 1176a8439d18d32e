"""Lines that no reader knows: prompts, logs, tables of other programs.  Counted, never hidden."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ..diagnostics import Collector, Diagnostic, Severity, Span

_MAY_BE_SECRET: Final = re.compile(
    r"key|psk|rsa|secret|pass(?:word|phrase)|xauth|\b0[xst][0-9a-z+/=_]{16,}", re.IGNORECASE
)
"""Words of lines that are not quoted: a capture may hold keys and passwords."""


class Noise:
    """Counts the lines of one text that nothing reads, and remembers the first."""

    def __init__(self, lines: Sequence[str], name: str) -> None:
        self._lines = lines
        self._name = name
        self.count = 0
        self._first = 0
        self._shown = ""

    def take(self, index: int, *, secret: bool = False) -> bool:
        """Count the line at an index; ``secret`` ones are never quoted.  Returns ``False``."""
        if not self.count:
            line = self._lines[index]
            self._first = index + 1
            self._shown = "" if secret or _MAY_BE_SECRET.search(line) else line
        self.count += 1
        return False

    def report(self, collector: Collector, what: tuple[str, str], hint: str) -> None:
        """Say how many there are (ET114); ``what`` is the verb and its object, for one and more."""
        if not self.count:
            return
        one, more = what
        collector.add(
            Diagnostic(
                "ET114",
                Severity.NOTE,
                f"{self.count} lines {more} and were passed over"
                if self.count > 1
                else f"one line {one} and was passed over",
                Span(self._name, self._first),
                excerpt=self._shown,
                hint=hint,
            )
        )
