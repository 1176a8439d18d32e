"""What a transaction needs of the kernel and of the firewall, and how it fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from ..xfrm.model import Policy, State


class Kernel(Protocol):
    """What a transaction needs of the kernel; the real one is :class:`..xfrm.bulk.Channel`."""

    def each(self) -> Iterator[Policy]:
        """All policies, one by one, with the index of each."""

    def datagrams(self) -> Iterator[bytes]:
        """The same in the kernel's own messages, for :mod:`..xfrm.sieve`."""

    def exchange(
        self, changes: Sequence[tuple[Policy | None, Policy | None]], *, by_index: bool = False
    ) -> None:
        """Add, replace or remove, old and new of each; never what is not as ``old`` says.

        With ``by_index`` a replaced policy is removed by its index and added anew, in one send.
        """

    def install(self, policies: Sequence[Policy], *, seconds: int = 0) -> None:
        """Create or replace policies; with ``seconds`` the kernel removes them after that time."""

    def remove(self, policies: Sequence[Policy]) -> None:
        """Remove policies, by index where they have one; a missing one is an error."""

    def dump_states(self) -> list[State]:
        """All states; asked only where a plan has some."""

    def install_states(self, states: Sequence[State], /) -> None:
        """Create states; one that is there is an error."""

    def remove_states(self, states: Sequence[State], /) -> None:
        """Remove states; a missing one is an error."""


class Table(Protocol):
    """The firewall rules beside the policies; the real one is :class:`.firewall.Firewall`."""

    def read(self) -> str:
        """The rules as they are, empty for none."""

    def load(self, text: str) -> None:
        """Put rules in their place."""


class ApplyError(Exception):
    """A transaction failed.

    ``rolled_back`` tells that everything is as it was; otherwise ``left`` names what is not.
    """

    def __init__(self, message: str, *, rolled_back: bool, left: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.rolled_back = rolled_back
        self.left = tuple(left)
