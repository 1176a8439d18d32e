"""How far a long work has come, on a terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Self, TextIO

PATIENCE: Final = 1.0
"""Seconds before anything is shown: what is over by then needs no bar."""

EVERY: Final = 0.1
"""Seconds between two pictures."""

_WIDTH: Final = 30
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """A bar, if that is a terminal, for what takes more than a second.

    It is a context, which clears the line at its end, and is called with how many of how many are
    done.
    """

    def __init__(self, what: str, stream: TextIO | None = None) -> None:
        self.what = what
        self.stream = stream or sys.stderr
        self._next = time.monotonic() + PATIENCE
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __call__(self, done: int, total: int) -> None:
        """Tell how far it is."""
        now = time.monotonic()
        if now < self._next or not self.stream.isatty():
            return
        self._next = now + EVERY
        share = done / total if total else 1.0
        bar = "#" * int(share * _WIDTH)
        print(f"\r[{bar:<{_WIDTH}}] {share:4.0%} {self.what}", end="", file=self.stream)
        self.stream.flush()
        self._shown = True

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print(_CLEAR, end="", file=self.stream)
            self.stream.flush()


@contextmanager
def busy(what: str, stream: TextIO | None = None) -> Iterator[None]:
    """A mark that moves, if that is a terminal, while something takes more than a second.

    For work of which nobody counts the steps.
    """
    shown_on = stream or sys.stderr
    if not shown_on.isatty():
        yield
        return
    over = threading.Event()

    def show() -> None:
        pause, step = PATIENCE, 0
        while not over.wait(pause):
            pause, step = EVERY, step + 1
            place = abs(_WIDTH - 3 - step % (2 * (_WIDTH - 3)))
            bar = " " * place + "###"
            print(f"\r[{bar:<{_WIDTH}}]      {what}", end="", file=shown_on)
            shown_on.flush()
        if step:
            print(_CLEAR, end="", file=shown_on)
            shown_on.flush()

    thread = threading.Thread(target=show, name="busy", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
