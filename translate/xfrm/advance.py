"""Values made in advance: the next one in a thread, while the last one is used."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def in_advance(values: Iterator[T]) -> Generator[T]:
    """The same values, each made while the caller is busy with the one before.

    That pays where the caller waits for the kernel, as in send(2).  Close the generator when not
    all is taken: its thread ends then.  What ``values`` raises is raised here.
    """
    wanted: SimpleQueue[bool] = SimpleQueue()
    made: SimpleQueue[tuple[T] | BaseException | None] = SimpleQueue()

    def make() -> None:
        while wanted.get():
            try:
                made.put((next(values),))
            except StopIteration:
                made.put(None)
            except BaseException as error:  # noqa: BLE001 - raised again by the caller
                made.put(error)

    thread = threading.Thread(target=make, name="in advance", daemon=True)
    thread.start()
    try:
        wanted.put(True)
        while (found := made.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            wanted.put(True)
            yield found[0]
    finally:
        wanted.put(False)
        thread.join()
