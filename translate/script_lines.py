"""Filters of the templates of scripts and units: comments, words, a line of ip for each policy."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from functools import cache
from typing import Final

from .diagnostics import visible
from .klips.eroute import format_eroute
from .mapping.links import LinkRoute
from .mapping.model import BLOCK, FWD, IN, OUT, TUNNEL_MODE, Outcome
from .net import LENGTH_OF_MASK, PREFIX_TEXTS, QUAD_TEXTS, Selector, format_address
from .xfrm.model import TEMPLATE_PROTOCOLS, Policy
from .xfrm.text import policy_arguments, template_words

_ANY: Final = "0.0.0.0"  # noqa: S104 - the template of any address


def comment(value: object) -> str:
    """Text for a comment: one line, nothing in it that a terminal or a shell acts upon."""
    return visible(str(value)).replace("\u2028", " ").replace("\u2029", " ")


def systemd_word(value: object, *, variables: bool = False) -> str:
    """One word of a unit file, quoted, specifiers taken literally (systemd.syntax(7)).

    ``variables`` is for command lines, where a dollar sign means one too (systemd.service(5)).

    Raises ``ValueError`` for text with control characters.
    """
    text = str(value)
    if not text.isprintable():
        raise ValueError(f"{text!r} cannot stand in a unit file")
    for sign, doubled in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%")):
        text = text.replace(sign, doubled)
    if variables:
        text = text.replace("$", "$$")
    return f'"{text}"'


def policy_lines(policies: Iterable[Policy], command: str, *, numeric: bool = False) -> str:
    """One line for each policy: the command and the policy's arguments."""
    if numeric:
        return "".join([f"{command} {policy_arguments(p, numeric=True)}\n" for p in policies])
    return "".join([f"{command} {policy_arguments(p)}\n" for p in policies])


def outcome_lines(
    outcome: Outcome, command: str, direction: str = "", *, numeric: bool = False
) -> str:
    """The lines of :func:`policy_lines` for the policies of one eroute, or of a direction alone.

    The common eroute has one selector, no ports, and three policies that share their parts; each
    part is then printed once.  A test holds the two functions equal.
    """
    eroute, treatment, selectors, reqid, shields, priority, _, shadowed, _, if_id = outcome
    steps = treatment[3]
    if (
        len(selectors) != 1
        or (shields or shadowed or treatment[9] or if_id)
        or not _is_plain(selectors[0])
        or (steps and eroute[1][0][2] == 6)
    ):
        policies = outcome.policies
        if direction:
            policies = tuple([policy for policy in policies if policy.direction == direction])
        return policy_lines(policies, command, numeric=numeric)
    out = inward = f" priority {priority}"
    if steps:
        local, remote = QUAD_TEXTS[treatment[8]], QUAD_TEXTS[eroute[1][0][3]]
        for protocol, mode, optional in steps:
            here, there = (local, remote) if mode == TUNNEL_MODE else (_ANY, _ANY)
            words = template_words(TEMPLATE_PROTOCOLS[protocol], reqid, mode, False)
            out = f"{out} tmpl src {here} dst {there} {words}"
            if optional:
                words = template_words(TEMPLATE_PROTOCOLS[protocol], reqid, mode, True)
            inward = f"{inward} tmpl src {there} dst {here} {words}"
    near, far = PREFIX_TEXTS[selectors[0][0]], PREFIX_TEXTS[selectors[0][1]]
    verdict = " action block" if treatment[2] == BLOCK else ""
    out = f"{command} src {near} dst {far} dir out{verdict}{out}\n"
    mirrored = f"{command} src {far} dst {near} dir "
    into = f"{mirrored}in{inward}\n" if treatment[4] else ""
    forward = f"{mirrored}fwd{inward}\n" if treatment[4] and treatment[5] else ""
    if direction:
        return {OUT: out, IN: into, FWD: forward}[direction]
    return f"{out}{into}{forward}"


def _is_plain(selector: Selector) -> bool:
    """Whether it has two IPv4 prefixes and nothing else."""
    source, destination, protocol, source_port, destination_port = selector
    if protocol or source_port or destination_port or source[0] != 4:
        return False
    return source[2] in LENGTH_OF_MASK[4] and destination[2] in LENGTH_OF_MASK[4]


def eroute_comment(outcome: Outcome) -> str:
    """The comment before the policies of an eroute: place, the row, and what became of it."""
    eroute, treatment = outcome[0], outcome[1]
    span = eroute[2]
    text = f"{span[0]}:{span[1]}: {format_eroute(eroute)}"
    if not text.isprintable():
        text = comment(text)
    kind = "an exception before all others" if outcome[8] else treatment[0]
    return f"# {text}\n# {_verdict(kind, treatment[1], treatment[7])}"


@cache
def _verdict(kind: str, rule: str, codes: tuple[str, ...]) -> str:
    listed = f" ({', '.join(codes)})" if codes else ""
    return f"{kind}, rule {rule}{listed}"


def route_arguments(route: LinkRoute) -> str:
    """``DESTINATION dev DEVICE ...`` as ``ip route add`` takes it (ip-route(8)), words quoted."""
    words = [f"{route.destination}"]
    if route.gateway is not None:
        words += ["via", format_address(*route.gateway)]
    words += ["dev", route.device]
    if route.source is not None:
        words += ["src", format_address(*route.source)]
    if route.metric:
        words += ["metric", str(route.metric)]
    if route.table not in ("main", "254"):
        words += ["table", route.table]
    return shlex.join(words)
