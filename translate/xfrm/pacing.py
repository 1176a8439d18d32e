"""Rests between blocks, while the kernel grows its tables."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

PAUSE: Final = 0.001
"""Seconds of a rest; a doubling takes some of them."""

CHAIN: Final = 4
"""Policies in a chain of the table by index, on average, from which on it is waited for."""

AT_ONCE: Final = 32
"""Messages of a block while the tables lag behind: each block has them grow by one step."""


class Tables(NamedTuple):
    """How many policies the kernel has, and how many chains its table by index."""

    policies: int
    chains: int


class Pacing:
    """Gives the kernel time to grow its tables while they are being filled.

    They begin with 8 chains and double, one step for an insertion that finds them too small, in a
    work item that runs on the CPU that inserts, and not within a send; a fast sender outruns it,
    and every insertion then walks long chains (net/xfrm/xfrm_policy.c:xfrm_hash_resize).  The
    table by index grows last.  So the kernel is asked for its size when as many were sent as its
    chains bear, and while they are too long, blocks are small and a rest follows each.  Tables
    never shrink: who fills them again does not wait.
    """

    def __init__(self, pause: float = PAUSE, chain: int = CHAIN) -> None:
        self.pause = pause
        self.chain = chain
        self._room = 0
        self._behind = False

    def reserve(self, count: int) -> int:
        """How many of so many may go into the next block."""
        return min(count, AT_ONCE) if self._behind else count

    def sent(self, count: int, ask: Callable[[], Tables | None]) -> None:
        """Remember that a block was sent, and rest where that pays.  ``ask`` asks the kernel."""
        self._room -= count
        if not self.pause or self._room > 0:
            return
        if self._lags(ask()):
            time.sleep(self.pause)
            self._lags(ask())

    def _lags(self, tables: Tables | None) -> bool:
        # A kernel that does not tell is not waited for.
        self._room = 1 << 30 if tables is None else tables.chains * self.chain - tables.policies
        self._behind = self._room <= 0
        return self._behind
