"""A proof as text for people and as JSON for programs (docs/schema/proof-1.json)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final

from ..diagnostics import visible
from ..klips.eroute import Eroute, format_eroute
from ..net import Selector, format_address, protocol_name
from ..xfrm.model import Policy, PolicyKey
from ..xfrm.text import policy_arguments
from .reference import FORWARDED
from .result import Check, Proof, Region, Taker

FORMAT_VERSION: Final = 1

SHOWN: Final = 20
"""Regions and unreached rows that are printed whole before the rest is only counted."""


Origins = Mapping[PolicyKey, str]
"""Where each policy comes from, by its key."""


def lines(
    proof: Proof,
    names: tuple[str, str],
    *,
    everything: bool = False,
    origins: Origins | None = None,
) -> Iterator[str]:
    """The text; ``names`` are those of the two sides, ``origins`` says where policies are from."""
    number = 0
    for check in proof.checks:
        yield _headline(check)
        for region in check.regions:
            number += 1
            if everything or number <= SHOWN:
                yield from _region(number, region, check, names, origins or {})
    if not everything and number > SHOWN:
        yield f"... and {number - SHOWN} more (all of them with --verbose or --format json)"
    unreached = [line for check in proof.checks for line in _unreached(check, names, origins or {})]
    if unreached:
        yield ""
        yield "reached by no packet:"
        yield from (f"  {line}" for line in (unreached if everything else unreached[:SHOWN]))
        if not everything and len(unreached) > SHOWN:
            yield f"  ... and {len(unreached) - SHOWN} more"
    if proof.uncounted:
        yield ""
        count = len(proof.uncounted)
        yield f"no packets were counted by {count} {'eroute' if count == 1 else 'eroutes'}:"
        shown = proof.uncounted if everything else proof.uncounted[:SHOWN]
        yield from (visible(f"  {e.span}: {format_eroute(e)}") for e in shown)
        if len(shown) < count:
            yield f"  ... and {count - len(shown)} more"
    if proof.limits:
        yield ""
        yield from (f"not in the proof: {limit}" for limit in proof.limits)
    yield ""
    yield conclusion(proof)


def conclusion(proof: Proof) -> str:
    """One line with the result."""
    if proof.equal:
        compared = sum(check.pieces[0] for check in proof.checks)
        return f"equal: every packet meets the same fate ({compared} sets of packets compared)"
    regions = [region for check in proof.checks for region in check.regions]
    weaker = sum(region.weaker for region in regions)
    open_ = sum(not region.certain for region in regions)
    declared = sum(bool(region.declared) for region in regions)
    count = len(regions)
    what = "region of packets differs" if count == 1 else "regions of packets differ"
    parts = [f"{count} {what}", f"{weaker} of them weaker"]
    if open_:
        parts.append(f"{open_} depend on an order of insertion that nobody knows")
    if declared:
        parts.append(f"{declared} named by a finding")
    return "not equal: " + ", ".join(parts)


def _headline(check: Check) -> str:
    count = len(check.regions)
    result = (
        "equal" if not count else f"{count} {'region differs' if count == 1 else 'regions differ'}"
    )
    pieces = f"{check.pieces[0]} sets of packets against {check.pieces[1]}"
    return f"{_direction(check)}, IPv{check.family}: {result} ({pieces})"


def _direction(check: Check) -> str:
    return "fwd and then out, in clear" if check.direction == FORWARDED else check.direction


def _region(
    number: int, region: Region, check: Check, names: tuple[str, str], origins: Origins
) -> Iterator[str]:
    what = "weaker" if region.weaker else "different"
    if not region.decided:
        what = "not decided: the search took too long"
    elif not region.certain:
        what = f"may be {what}: the order of insertion is not known"
    codes = f", named by {', '.join(region.declared)}" if region.declared else ""
    yield f"  {number}. {what}{codes}"
    extra = "".join(
        f" {name} {value}"
        for name, value in (
            ("mark", region.mark),
            ("if_id", region.if_id),
            ("interface", region.interface),
        )
        if value
    )
    yield f"     packet {region.packet}{extra}, direction {_direction(check)}"
    for name, taker in zip(names, (region.left, region.right), strict=True):
        yield f"     {name}: {taker.fate}"
        yield from (f"       {line}" for line in _responsible(taker, origins))
    if region.selector is not None:
        yield f"     one of {region.selector}, as far as no stronger row or policy takes them"


def _responsible(taker: Taker, origins: Origins) -> Iterator[str]:
    if taker.eroute is not None:
        why = f" (exempt from it, {taker.code})" if taker.code else ""
        yield visible(f"{taker.eroute.span}: {format_eroute(taker.eroute)}{why}")
    elif taker.policies:
        for policy in taker.policies:
            yield _policy(policy, origins)
    elif taker.code:
        yield f"before all eroutes ({taker.code})"
    else:
        yield "no eroute and no policy covers it"


def _policy(policy: Policy, origins: Origins) -> str:
    place = origins.get(policy.key)
    text = policy_arguments(policy, f"if{policy.ifindex}" if policy.ifindex else "")
    return visible(f"{text} ({place})" if place else text)


def _unreached(check: Check, names: tuple[str, str], origins: Origins) -> Iterator[str]:
    for name, takers in zip(names, check.unreached, strict=True):
        for taker in takers:
            for line in _responsible(taker, origins):
                yield f"{name}: {line}"


# ------------------------------------------------------------------------------------------ JSON


def proof_json(proof: Proof, names: tuple[str, str], origins: Origins | None = None) -> str:
    """The JSON form."""
    document = {
        "format": "eroute-translate-proof",
        "version": FORMAT_VERSION,
        "sides": [visible(name) for name in names],
        "equal": proof.equal,
        "limits": list(proof.limits),
        "uncounted": [_eroute_json(eroute) for eroute in proof.uncounted],
        "checks": [_check_json(check, origins or {}) for check in proof.checks],
    }
    return json.dumps(document, indent=1, sort_keys=True)


def _check_json(check: Check, origins: Origins) -> dict[str, object]:
    return {
        "direction": check.direction,
        "family": check.family,
        "compared": list(check.pieces),
        "regions": [_region_json(region, origins) for region in check.regions],
        "unreached": [
            [_taker_json(taker, origins) for taker in takers] for takers in check.unreached
        ],
    }


def _region_json(region: Region, origins: Origins) -> dict[str, object]:
    packet = region.packet
    return {
        "packet": {
            **_addresses(packet.family, packet.source, packet.destination),
            "protocol": packet.protocol,
            "protocol_name": protocol_name(packet.protocol),
            "source_port": packet.source_port,
            "destination_port": packet.destination_port,
            "mark": region.mark,
            "if_id": region.if_id,
            "interface": region.interface,
        },
        "selector": None if region.selector is None else _selector_json(region.selector),
        "sides": [_taker_json(taker, origins) for taker in (region.left, region.right)],
        "weaker": region.weaker,
        "certain": region.certain,
        "decided": region.decided,
        "findings": list(region.declared),
    }


def _addresses(family: int, source: int, destination: int) -> dict[str, object]:
    return {
        "source": format_address(family, source),
        "destination": format_address(family, destination),
    }


def _selector_json(selector: Selector) -> dict[str, object]:
    return {
        "source": str(selector.source),
        "destination": str(selector.destination),
        "protocol": selector.protocol,
        "source_port": selector.source_port,
        "destination_port": selector.destination_port,
    }


def _taker_json(taker: Taker, origins: Origins) -> dict[str, object]:
    eroute = taker.eroute
    return {
        "fate": str(taker.fate),
        "kind": taker.fate.kind.value,
        "eroute": None if eroute is None else _eroute_json(eroute),
        "policies": [
            {
                "text": _policy(policy, {}),
                "origin": visible(origins.get(policy.key, "")),
            }
            for policy in taker.policies
        ],
        "finding": taker.code,
    }


def _eroute_json(eroute: Eroute) -> dict[str, object]:
    return {
        "file": visible(eroute.span.file),
        "line": eroute.span.line,
        "klips": visible(format_eroute(eroute)),
    }
