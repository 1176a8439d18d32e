"""One packet walked through both lookups, with the reasons."""

from __future__ import annotations

from collections.abc import Iterator

from .diagnostics import visible
from .klips.decision import KlipsDecision, decide
from .klips.eroute import Eroute, format_eroute
from .klips.lookup import Step
from .klips.said import SA_INT, SHUNT_NAMES
from .mapping.model import Outcome
from .mapping.translation import Translation
from .net import Packet
from .xfrm.lookup import Candidate, Decision, Verdict, lookup
from .xfrm.model import Policy
from .xfrm.text import policy_arguments

_STEPS = {
    Step.EXACT: "the packet is the key of a row, bit for bit: the first row with that key",
    Step.LEAF: "the descent in the tree ended at its key, and its mask agrees",
    Step.MASK: "the list of masks: {tried} tried until one gave a row",
    Step.NONE: "neither the leaf nor any of the masks gave a row",
}

_FATES = {
    "%pass": "sent in clear",
    "%drop": "dropped",
    "%reject": "dropped, with an ICMP error to the sender",
    "%hold": "kept until the key daemon answers",
    "%trap": "kept, and the key daemon asked",
    "%trapsubnet": "kept, and the key daemon asked",
}


def klips_fate(decision: KlipsDecision) -> str:
    """What became of the packet in KLIPS, in words."""
    eroute = decision.eroute
    if decision.exempt:
        return "sent in clear: it is the host's own IKE, ESP or AH"
    if eroute is None:
        return "dropped, if it was routed into ipsecN; otherwise KLIPS never saw it"
    if eroute.defect:
        return "not known: the SAID could not be read"
    said = eroute.said
    if said.protocol == SA_INT:
        return _FATES.get(SHUNT_NAMES.get(said.spi, ""), "dropped: KLIPS knows no such shunt")
    if said.unknown:
        return "dropped: KLIPS knows no such SA"
    if said.is_passthrough:
        return "dropped by the kernel's code; sent in clear by the manual page"
    return f"protected by {' '.join(str(s) for s in eroute.saids)}"


def xfrm_fate(decision: Decision) -> str:
    """What becomes of the packet in XFRM, in words."""
    if decision.winner is None:
        return "passes in clear: no policy covers it"
    if decision.action == "block":
        return "dropped"
    if not decision.templates:
        return "passes in clear"
    words = " then ".join(
        f"{t.mode} {_PROTOCOLS[t.protocol]}{' if it is there' if t.optional else ''}"
        for t in decision.templates
    )
    return f"protected: {words}; without an SA dropped, and the key daemon asked"


_PROTOCOLS = {50: "ESP", 51: "AH", 108: "IPCOMP"}


def walk(translation: Translation, packet: Packet, direction: str) -> Iterator[str]:
    """The lines of the explanation."""
    yield f"packet {packet}, direction {direction}"
    yield ""
    if direction == "out":
        yield from _klips_walk(decide(translation.host, packet, translation.options.local))
    else:
        yield "KLIPS: packets coming in were not looked up; protected ones were checked against"
        yield "  their SA, clear ones were accepted"
    yield ""
    policies, owners = _policies(translation)
    decision = lookup(policies, direction, packet)
    yield f"XFRM: {xfrm_fate(decision)}"
    if not decision.candidates:
        yield "  no policy matches"
    for candidate in decision.candidates:
        yield from _candidate(candidate, owners)


def _klips_walk(decision: KlipsDecision) -> Iterator[str]:
    yield f"KLIPS: {klips_fate(decision)}"
    if decision.eroute is not None:
        yield f"  {_row(decision.eroute)}"
    yield f"  found by: {_STEPS[decision.match.step].format(tried=decision.match.masks_tried)}"
    others = [e for e in decision.possible if e is not decision.eroute]
    if others:
        yield "  or, if the eroutes were added in another order:"
        for eroute in others:
            yield f"  {_row(eroute)}"


def _row(eroute: Eroute) -> str:
    return visible(f"{eroute.span}: {format_eroute(eroute)}")


def _policies(translation: Translation) -> tuple[list[Policy], dict[int, Outcome]]:
    policies = list(translation.extra)
    owners: dict[int, Outcome] = {}
    for outcome in (*translation.exceptions, *translation.outcomes):
        for policy in outcome.policies:
            owners[len(policies)] = outcome
            policies.append(policy)
    return policies, owners


def _candidate(candidate: Candidate, owners: dict[int, Outcome]) -> Iterator[str]:
    wins = candidate.verdict in (Verdict.WINS, Verdict.APPLIES_TOO)
    verdict = candidate.verdict.value if wins else f"loses: {candidate.verdict.value}"
    yield f"  {policy_arguments(candidate.policy)}"
    outcome = owners.get(candidate.position)
    origin = (
        "from --bypass, --routed or the routes"
        if outcome is None
        else f"rule {outcome.treatment.rule}, {outcome.eroute.span}"
    )
    yield f"    {verdict} ({origin})"
