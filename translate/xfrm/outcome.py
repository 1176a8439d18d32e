"""What became of a run of messages."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import KernelError, reason
from .model import Policy, State


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that the kernel refused; ``index`` is its place among those that were given."""

    index: int
    errno: int
    text: str = ""

    def __str__(self) -> str:
        return f"number {self.index}: {reason(self.errno, self.text)}"


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a run of messages.

    Those below ``answered`` were carried out, except ``failures``.  From there up to ``sent`` it
    is not known (the connection broke), and the rest was never sent.  Nothing of ``failures`` was
    carried out, wherever it stands.
    """

    total: int
    answered: int
    sent: int
    failures: tuple[Failure, ...] = ()

    @property
    def done(self) -> int:
        """How many are known to be carried out."""
        return self.answered - sum(1 for f in self.failures if f.index < self.answered)

    @property
    def unknown(self) -> range:
        """Those of which nothing is known; a failure of one of them stands in ``failures``."""
        return range(self.answered, self.sent)

    @property
    def complete(self) -> bool:
        """Whether every message was carried out."""
        return self.answered == self.total and not self.failures


class BulkError(KernelError):
    """A run of messages was not carried out as a whole; ``report`` says how far it came.

    ``refused`` is the first policy or state that the kernel refused, if it was that.
    """

    def __init__(
        self,
        number: int,
        asked: str,
        report: Report,
        text: str,
        hint: str,
        refused: Policy | State | None = None,
    ) -> None:
        super().__init__(number, asked, text, hint)
        self.report = report
        self.refused = refused

    def __str__(self) -> str:
        report = self.report
        counts = [f"{report.done} of {report.total} done"]
        if len(report.failures) > 1:
            counts.append(f"{len(report.failures)} refused")
        if report.unknown:
            counts.append(f"{len(report.unknown)} unknown")
        return f"{super().__str__()} ({', '.join(counts)})"


class MeanwhileError(KernelError):
    """Somebody else changed policies between our look and our change; theirs stay."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        first = policies[0]
        text = f"{len(policies)} changed by somebody else meanwhile, and left to them"
        super().__init__(
            errno.ESTALE, f"change the policy {first.selector} {first.direction}", text
        )


class BrokenError(Exception):
    """The connection to the kernel is of no use any more."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(what)
        self.number = number
