"""What a person has to know about the associations of a host (docs/findings.md, ET24x)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ..diagnostics import Diagnostic, Severity
from .associations import Carried, describe

_TEXTS: Final = {
    "ET240": (
        Severity.NOTE,
        "the keys are not known: no state is made, and the policy asks the key daemon",
        "a script of `ipsec spi` commands or the manual keys of ipsec.conf hold them",
    ),
    "ET241": (
        Severity.WARNING,
        "check values of SHA-2 have 96 bits in classic KLIPS, half the hash from libreswan 3.14 on",
        "--icv 96 or --icv rfc, as the peer has it",
    ),
    "ET242": (
        Severity.WARNING,
        "it belongs to no eroute, or to several with groups of their own: the reqid is that of the"
        " first, or none, and packets may be dropped on their way in",
        "",
    ),
    "ET245": (
        Severity.WARNING,
        "the algorithm is weak, and a kernel may be built without it or refuse it in FIPS mode",
        "",
    ),
    "ET246": (
        Severity.NOTE,
        "the outer header is as KLIPS made it: DF cleared, TOS hidden unless hidetos=no, nothing"
        " copied back on the way in",
        "",
    ),
    "ET247": (
        Severity.WARNING,
        "UDP encapsulation of the draft (non-IKE marker): kernels from 6.7 on have none",
        "have the peer speak RFC 3948",
    ),
    "ET248": (Severity.NOTE, "a limit on allocations has no counterpart and is left out", ""),
    "ET249": (
        Severity.WARNING,
        "an SPI below 0x100 is reserved, a CPI has 16 bits: the low bits are carried",
        "",
    ),
    "ET274": (
        Severity.NOTE,
        "a packet with DF that does not fit into the tunnel is dropped, with an ICMP error; KLIPS"
        " sent it in fragments, with the error as well unless fragicmp=no",
        "ICMP must reach the senders, or their MSS be bounded at the gateway",
    ),
    "ET275": (
        Severity.NOTE,
        "whether TOS was hidden is not known; it is taken as hidden, as KLIPS's startup did",
        "give ipsec.conf (hidetos) or /proc/sys/net/ipsec/tos too",
    ),
    "ET276": (
        Severity.WARNING,
        "sequence numbers go on where they were when they were read: what was sent since then is"
        " sent with numbers that a peer with a replay window drops",
        "read them after KLIPS has stopped, or have the peer make its association anew",
    ),
}


def association_findings(carried: Sequence[Carried]) -> Iterator[Diagnostic]:
    """One finding for each code at the first association that has it, and one for each refusal."""
    first: dict[str, Carried] = {}
    count: dict[str, int] = {}
    for item in carried:
        for code in item.codes:
            first.setdefault(code, item)
            count[code] = count.get(code, 0) + 1
    for code in sorted(count):
        if code not in _TEXTS:
            continue
        severity, text, hint = _TEXTS[code]
        many = f"{count[code]} associations, the first of them here: " if count[code] > 1 else ""
        yield Diagnostic(code, severity, many + text, first[code].association.span, hint=hint)
    for item in carried:
        if "ET243" in item.codes:
            yield Diagnostic(
                "ET243",
                Severity.ERROR,
                f"the {describe(item.association)} is refused: {item.reason}",
                item.association.span,
            )
