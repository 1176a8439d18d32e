"""Reader of what ``ip xfrm policy`` prints.

The form is that of iproute2, ip/xfrm_policy.c:xfrm_policy_print and ip/ipxfrm.c
(xfrm_selector_print, xfrm_policy_info_print, xfrm_tmpl_print), with and without ``-s`` and ``-o``.
``ip`` prints a port and not its mask, so only masks of all ones or none can be read from text.  A
dump lists the newest policy first; :mod:`.lookup` wants the oldest first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..diagnostics import Diagnostic, Severity, Span
from ..net import Selector
from .model import Policy, Template
from .printed_words import PolicyDraft, TemplateDraft, read_piece
from .text import FULL, IPPROTO_GRE, TYPE_PROTOCOLS
from .words import UnreadableError, Words, blocks_of


class PolicyEntry(NamedTuple):
    """A policy as ``ip`` printed it, its place, and what the model has no room for.

    ``device`` is the name of an interface, ``user`` the uid (stored by the kernel, never
    matched), ``flags`` XFRM_POLICY_LOCALOK = 1, XFRM_POLICY_ICMP = 2.  ``limits`` are those that
    are set, under the names of ``ip`` (``time-hard``); shown with ``-s`` only.  ``extras`` holds
    the security context, the device of an offload and algorithm masks other than all ones.
    """

    policy: Policy
    span: Span
    device: str = ""
    user: int = 0
    flags: int = 0
    limits: tuple[tuple[str, int], ...] = ()
    extras: tuple[tuple[str, str], ...] = ()


class Reading(NamedTuple):
    """All that was read from a text, in its order (newest first), and what could not be."""

    entries: tuple[PolicyEntry, ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The policies alone, in the order of the text."""
        return tuple(entry.policy for entry in self.entries)


def read_policies(text: str, file: str = "-", devices: Mapping[str, int] | None = None) -> Reading:
    """Read the output of ``ip [-s] [-o] xfrm policy [list]``.

    A socket policy has the direction ``socket in`` or ``socket out``.  ``devices`` gives the
    index of each interface; without it only ``ifN`` can be read, and a policy bound to another
    device is reported instead of being taken for one that is bound to none.
    """
    entries: list[PolicyEntry] = []
    diagnostics: list[Diagnostic] = []
    for block in blocks_of(text):
        try:
            entries.append(_read_block(block, file, devices or {}))
        except UnreadableError as error:
            diagnostics.append(error.diagnostic(file))
    if text and not text.endswith("\n"):
        last = text.count("\n") + 1
        diagnostics.append(
            Diagnostic(
                "ET106",
                Severity.WARNING,
                "the last line has no line end: its policy may be cut",
                Span(file, last),
            )
        )
    return Reading(tuple(entries), tuple(diagnostics))


def _read_block(block: list[Words], file: str, devices: Mapping[str, int]) -> PolicyEntry:
    draft = PolicyDraft(devices)
    if block[0].peek() != "src":
        message = "this is no policy as ip xfrm prints it"
        raise UnreadableError(block[0], "ET101", message, "src PREFIX dst PREFIX")
    for words in block:
        read_piece(draft, words)
    end = block[-1]
    end.at = len(end.words)
    span = Span(file, block[0].number, 1, len(block[0].line) + 1, end.number)
    return PolicyEntry(
        _finish(draft, end),
        span,
        draft.device,
        draft.numbers.get("uid", 0),
        draft.flags,
        tuple(draft.limits),
        tuple(draft.extras),
    )


def _finish(draft: PolicyDraft, end: Words) -> Policy:
    texts, numbers = draft.texts, draft.numbers
    for name, have in (("dst", draft.prefixes), ("dir", texts), ("priority", numbers)):
        if name not in have:
            raise UnreadableError(end, "ET106", f"the policy is cut: it has no {name}", name)
    source, destination = draft.prefixes["src"], draft.prefixes["dst"]
    protocol = numbers.get("proto", 0)
    if protocol == IPPROTO_GRE and "key" in numbers:
        ports = [numbers["key"] >> 16, numbers["key"] & FULL]
        masks = [FULL, FULL]
    else:
        words = ("type", "code") if protocol in TYPE_PROTOCOLS else ("sport", "dport")
        ports = [numbers.get(word, 0) for word in words]
        masks = [FULL if word in numbers else 0 for word in words]
    usual = [FULL if port else 0 for port in ports]
    return Policy(
        texts["dir"],
        Selector(source, destination, protocol, ports[0], ports[1]),
        numbers["priority"],
        texts.get("action", "allow"),
        tuple([_finish_template(template, end) for template in draft.templates]),
        draft.mark,
        numbers.get("if_id", 0),
        None if masks == usual else (masks[0], masks[1]),
        numbers.get("dev", 0),
        numbers.get("index", 0),
        texts.get("ptype", "main"),
    )


def _finish_template(draft: TemplateDraft, end: Words) -> Template:
    if draft.protocol is None or not draft.mode:
        raise UnreadableError(end, "ET106", "the template is cut", "proto, reqid and mode")
    (family, source), (_, destination) = draft.addresses
    return Template(
        draft.protocol,
        draft.mode,
        family,
        source,
        destination,
        draft.reqid,
        draft.spi,
        draft.optional,
    )
