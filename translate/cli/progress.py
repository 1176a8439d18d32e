"""How far a long work has come, on a terminal."""

from __future__ import annotations

import sys
import time
from typing import Final

PATIENCE: Final = 1.0
"""Seconds before anything is shown: what is over by then needs no bar."""

EVERY: Final = 0.1
_WIDTH: Final = 30


class Progress:
    """A bar on standard error, if that is a terminal, for what takes more than a second.

    It is called with how many of how many are done; ``what`` names them.
    """

    def __init__(self, what: str = "changes") -> None:
        self._what = what
        self._next = time.monotonic() + PATIENCE
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        """Show it, not more than some times a second."""
        now = time.monotonic()
        if not sys.stderr.isatty() or (now < self._next and not (self._shown and done >= total)):
            return
        self._next = now + EVERY
        share = done / total if total else 1.0
        bar = "#" * int(share * _WIDTH)
        text = f"{bar:<{_WIDTH}} {share:4.0%} of {total} {self._what}"
        # The line is cleared at the end, so that what is said next stands alone.
        print(f"\r{text}" if done < total else f"\r{'':<{len(text)}}\r", end="", file=sys.stderr)
        sys.stderr.flush()
        self._shown = done < total
