"""A connection in the making: what is found on the way, and how well it is carried."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ...diagnostics import Diagnostic, Severity, Span
from ..model import Kind
from .model import FILL_IN
from .public_key import PublicKey

_RANK: Final = {kind.value: rank for rank, kind in enumerate(Kind)}


@dataclass(slots=True)
class Draft:
    """A connection in the making: gathers its findings, and how well it is carried."""

    name: str
    span: Span
    kind: str = Kind.EXACT.value
    findings: list[Diagnostic] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    public_keys: list[PublicKey] = field(default_factory=list)

    def tell(
        self,
        code: str,
        message: str,
        span: Span | None = None,
        *,
        severity: Severity = Severity.WARNING,
        hint: str = "",
    ) -> None:
        """A finding about it: a note leaves it *noted*, a warning *approximated*."""
        kinds = {
            Severity.NOTE: Kind.NOTED,
            Severity.WARNING: Kind.APPROXIMATED,
            Severity.ERROR: Kind.REFUSED,
        }
        self.kind = max(self.kind, kinds[severity].value, key=lambda kind: _RANK[kind])
        self.findings.append(
            Diagnostic(code, severity, f"{self.name}: {message}", span or self.span, hint=hint)
        )

    def note(self, code: str, message: str, span: Span | None = None, hint: str = "") -> None:
        """Something to know that changes nothing for the packets."""
        self.tell(code, message, span, severity=Severity.NOTE, hint=hint)

    def refuse(self, message: str, span: Span | None = None, hint: str = "") -> None:
        """It cannot be carried."""
        self.tell("ET251", message, span, severity=Severity.ERROR, hint=hint)

    def fill_in(self, what: str, why: str, span: Span | None = None) -> str:
        """Leave a place for the user: returns what stands there."""
        self.missing.append(what)
        self.findings.append(
            Diagnostic(
                "ET250",
                Severity.ERROR,
                f"{self.name}: {what} is not known, {why}",
                span or self.span,
                hint=f"write it where {FILL_IN} stands; the daemon refuses the connection until"
                " then",
            )
        )
        return FILL_IN

    def tell_keyed_by_hand(self) -> None:
        """Its SAs had no key daemon."""
        self.tell(
            "ET264",
            "it is keyed by hand; a key daemon negotiates, and its peer has to do so too",
            hint="its own keys go on with --to ip-xfrm",
        )

    def note_shunt(self, *, rejects: bool) -> None:
        """Its packets are not protected: both daemons make such policies for all directions."""
        self.note(
            "ET261",
            "the daemon's policies hold for packets coming in too, and its own order decides; KLIPS"
            " asked packets going out alone" + (", and answered with ICMP" if rejects else ""),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """The findings as lines of a comment."""
        skipped = len(self.name) + 2
        return tuple(f"{d.code} {d.message[skipped:]}" for d in self.findings)
