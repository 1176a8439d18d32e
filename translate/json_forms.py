"""Values as the JSON form has them; docs/schema/ruleset-1.json describes every field."""

from __future__ import annotations

import json
from typing import Final

from .diagnostics import Diagnostic, visible
from .klips.eroute import format_eroute
from .mapping.associations import Carried
from .mapping.links import Link, LinkRoute
from .mapping.model import Outcome
from .net import format_address
from .xfrm.model import TEMPLATE_PROTOCOLS, Algorithm, Policy, State, Template

FORMAT_VERSION: Final = 1
"""Version of the JSON form; see docs/schema/ruleset-1.json."""


def to_json(value: object) -> str:
    """A JSON value on one line, keys in a fixed order."""
    return json.dumps(value, ensure_ascii=True, sort_keys=True)


def policy_json(policy: Policy) -> dict[str, object]:
    """A policy as the JSON form has it."""
    selector = policy.selector
    document: dict[str, object] = {
        "direction": policy.direction,
        "source": str(selector.source),
        "destination": str(selector.destination),
        "protocol": selector.protocol,
        "source_port": selector.source_port,
        "destination_port": selector.destination_port,
        "priority": policy.priority,
        "action": policy.action,
        "templates": [_template_json(template) for template in policy.templates],
        "if_id": policy.if_id,
    }
    return document


def link_json(link: Link) -> dict[str, object]:
    """An interface of ``--interface xfrm`` as the JSON form has it."""
    return {
        "name": visible(link.name),
        "physical": visible(link.physical),
        "if_id": link.if_id,
        "mtu": link.mtu or None,
    }


def route_json(route: LinkRoute) -> dict[str, object]:
    """A route beside the policies as the JSON form has it."""
    return {
        "destination": str(route.destination),
        "device": visible(route.device),
        "gateway": None if route.gateway is None else format_address(*route.gateway),
        "source": None if route.source is None else format_address(*route.source),
        "metric": route.metric or None,
        "table": visible(route.table),
    }


def association_json(carried: Carried, show_keys: bool = False) -> dict[str, object]:
    """One association with what became of it, as the JSON form has it."""
    association, state = carried.association, carried.state
    return {
        "file": visible(association.span.file),
        "line": association.span.line,
        "said": visible(str(association.said)),
        "outcome": carried.kind,
        "findings": list(carried.codes),
        "reason": carried.reason,
        "state": None if state is None else state_json(state, show_keys=show_keys),
    }


def state_json(state: State, *, show_keys: bool = False) -> dict[str, object]:
    """A state as the JSON form has it: keys by their length, unless they are asked for."""

    def algorithm_json(algorithm: Algorithm | None) -> dict[str, object] | None:
        if algorithm is None:
            return None
        name, key, bits = algorithm
        shown = key.reveal().hex() if show_keys else None
        return {"name": name, "key_bits": key.bits, "icv_bits": bits, "key": shown}

    encapsulation = state.encapsulation
    return {
        "protocol": TEMPLATE_PROTOCOLS[state.protocol],
        "source": format_address(state.family, state.source),
        "destination": format_address(state.family, state.destination),
        "spi": state.spi,
        "mode": state.mode,
        "reqid": state.reqid,
        "encryption": algorithm_json(state.encryption),
        "authentication": algorithm_json(state.authentication),
        "compression": state.compression or None,
        "replay_window": state.replay_window,
        "selector": None if state.selector is None else str(state.selector),
        "flags": [*state.flags, *state.extra_flags],
        "limits": {name: number for name, number in state.limits._asdict().items() if number},
        "encapsulation": None if encapsulation is None else list(encapsulation),
        "if_id": state.if_id,
    }


def _template_json(template: Template) -> dict[str, object]:
    return {
        "protocol": TEMPLATE_PROTOCOLS[template.protocol],
        "mode": template.mode,
        "source": format_address(template.family, template.source),
        "destination": format_address(template.family, template.destination),
        "reqid": template.reqid,
        "spi": template.spi,
        "level": "use" if template.optional else "required",
    }


def eroute_json(outcome: Outcome) -> dict[str, object]:
    """One entry of the input with its outcome, as the JSON form has it."""
    eroute, treatment = outcome.eroute, outcome.treatment
    selector = eroute.selector
    return {
        "file": visible(eroute.span.file),
        "line": eroute.span.line,
        "klips": visible(format_eroute(eroute)),
        "count": eroute.count,
        "source": str(selector.source),
        "destination": str(selector.destination),
        "protocol": selector.protocol,
        "source_port": selector.source_port,
        "destination_port": selector.destination_port,
        "saids": [visible(str(said)) for said in eroute.saids],
        "identities": None
        if eroute.identities is None
        else [visible(text) for text in eroute.identities],
        "outcome": treatment.kind,
        "rule": treatment.rule,
        "findings": list(treatment.codes),
        "reason": outcome.reason,
        "policies": [policy_json(policy) for policy in outcome.policies],
    }


def diagnostic_json(item: Diagnostic) -> dict[str, object]:
    """A diagnostic as the JSON form has it."""
    span = item.span
    return {
        "code": item.code,
        "severity": item.severity.value,
        "message": visible(item.message),
        "file": None if span is None else visible(span.file),
        "line": None if span is None else span.line,
        "column": None if span is None else span.column,
        "end_column": None if span is None else max(span.column, span.end_column),
        "excerpt": visible(item.excerpt[:200]),
        "expected": item.expected,
        "hint": visible(item.hint),
        "related": [
            {"file": visible(s.file), "line": s.line, "message": visible(t)}
            for s, t in item.related
        ],
    }
