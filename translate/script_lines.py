"""Filters of the templates of scripts and units: comments, words, a line of ip for each policy."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from socket import AF_INET, inet_ntop
from typing import Final

from .diagnostics import visible
from .klips.eroute import format_eroute
from .mapping.links import LinkRoute
from .mapping.model import BLOCK, TUNNEL_MODE, Outcome
from .net import format_address
from .xfrm.model import TEMPLATE_PROTOCOLS, Policy
from .xfrm.text import PREFIX_TEXTS, policy_arguments, template_words

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


def outcome_lines(outcome: Outcome, command: str) -> str:
    """The lines of :func:`policy_lines` for the policies of one eroute.

    The common eroute has one selector, no ports, and three policies that share their parts; each
    part is then printed once.  A test holds the two functions equal.
    """
    eroute, treatment, selectors, reqid, shields, priority, _, shadowed, _, if_id = outcome
    if len(selectors) != 1 or shields or shadowed or treatment[9] or if_id:
        return policy_lines(outcome.policies, command)
    source, destination, protocol, source_port, destination_port = selectors[0]
    if protocol or source_port or destination_port or source[0] == 6:
        return policy_lines(outcome.policies, command)
    out = inward = ""
    if treatment[3]:
        said = eroute[1][0]
        if said[2] == 6:
            return policy_lines(outcome.policies, command)
        local = inet_ntop(AF_INET, treatment[8].to_bytes(4))
        remote = inet_ntop(AF_INET, said[3].to_bytes(4))
        for step, mode, optional in treatment[3]:
            name = TEMPLATE_PROTOCOLS[step]
            here, there = (local, remote) if mode == TUNNEL_MODE else (_ANY, _ANY)
            out = f"{out} {template_words(here, there, name, reqid, mode, False)}"
            inward = f"{inward} {template_words(there, here, name, reqid, mode, optional)}"
    near, far = PREFIX_TEXTS[source], PREFIX_TEXTS[destination]
    verdict = " action block" if treatment[2] == BLOCK else ""
    text = f"{command} src {near} dst {far} dir out{verdict} priority {priority}{out}\n"
    if not treatment[4]:
        return text
    mirrored = f"{command} src {far} dst {near} dir "
    tail = f" priority {priority}{inward}\n"
    if treatment[5]:
        return f"{text}{mirrored}in{tail}{mirrored}fwd{tail}"
    return f"{text}{mirrored}in{tail}"


def eroute_comment(outcome: Outcome) -> str:
    """The comment before the policies of an eroute: place, the row, and what became of it."""
    eroute, treatment = outcome[0], outcome[1]
    span = eroute[2]
    text = f"{span[0]}:{span[1]}: {format_eroute(eroute)}"
    if not text.isprintable():
        text = comment(text)
    kind, rule, codes = treatment[0], treatment[1], treatment[7]
    listed = f" ({', '.join(codes)})" if codes else ""
    if outcome[8]:
        return f"# {text}\n# an exception before all others, rule {rule}{listed}"
    return f"# {text}\n# {kind}, rule {rule}{listed}"


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
