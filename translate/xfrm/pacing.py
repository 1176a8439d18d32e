"""Rests between blocks, while the kernel grows its tables."""

from __future__ import annotations

import time
from typing import Final

PAUSE: Final = 0.002
"""Rest for each doubling of the kernel's tables, in seconds: see :class:`Pacing`."""


class Pacing:
    """Gives the kernel time to grow its tables while they are being filled.

    They begin with 8 chains and double, one step at a time, in a work item that runs on the CPU
    that inserts, and not within a send; a fast sender outruns it, and every insertion then walks
    long chains (net/xfrm/xfrm_policy.c:xfrm_hash_resize).  So each doubling of what was sent in a
    direction ends a block, and the next block waits until ``pause`` has passed since; packing the
    block counts as waiting.  Tables never shrink: who fills them again need not wait.
    """

    def __init__(self, pause: float = PAUSE, first: int = 64) -> None:
        self.pause = pause
        self.first = first
        self._sent: dict[str, int] = {}
        self._until = 0.0

    def reserve(self, direction: str, count: int) -> tuple[int, bool]:
        """How many of so many may go into the next block, and whether a rest follows it."""
        if not self.pause:
            return count, False
        sent = self._sent.get(direction, 0)
        edge = self.first
        while edge <= sent:
            edge *= 2
        count = min(count, edge - sent)
        self._sent[direction] = sent + count
        return count, sent + count == edge

    def rest(self) -> None:
        """Wait out what is left of a rest."""
        left = self._until - time.perf_counter()
        if left > 0:
            time.sleep(left)
        self._until = 0.0

    def begin(self) -> None:
        """A rest begins now."""
        self._until = time.perf_counter() + self.pause
