"""One printed table of eroutes."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..diagnostics import Span
from .eroute import Eroute


class UnreadRow(Span):
    """The place of a row of which not even the selector could be read."""

    __slots__ = ()


@dataclass(slots=True)
class Listing:
    """One printed table.

    ``eroutes`` in printed order; ``unread`` the rows that gave none; ``repeats`` rows that stand
    in the table already; ``in_kernel_order`` tells whether rows ascend as the kernel prints them
    (``ipsec look`` and ``sort`` lose that order).
    """

    file: str
    eroutes: list[Eroute] = field(default_factory=list)
    unread: list[UnreadRow] = field(default_factory=list)
    repeats: list[Eroute] = field(default_factory=list)
    in_kernel_order: bool = True

    @property
    def span(self) -> Span:
        """The place of the first row."""
        if self.eroutes:
            return self.eroutes[0].span
        return self.unread[0] if self.unread else Span(self.file, 1)

    @property
    def rows(self) -> int:
        """How many rows it has, readable or not."""
        return len(self.eroutes) + len(self.unread) + len(self.repeats)
