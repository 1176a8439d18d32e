"""Reader of what ``ip xfrm policy`` prints.

The form is that of iproute2, ip/xfrm_policy.c:xfrm_policy_print and ip/ipxfrm.c
(xfrm_selector_print, xfrm_policy_info_print, xfrm_tmpl_print), with and without ``-s`` and ``-o``.
``ip`` prints a port and not its mask, so only masks of all ones or none can be read from text.  A
dump lists the newest policy first; :mod:`.lookup` wants the oldest first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ..diagnostics import Diagnostic, Severity, Span
from ..net import (
    PROTOCOL_NUMBERS,
    Prefix,
    Selector,
    parse_address,
    parse_prefix,
    parse_protocol,
)
from .model import Policy, Template
from .text import FULL, IPPROTO_GRE, MODES, TEMPLATE_NAMES, TYPE_PROTOCOLS, U32
from .words import NUMBER, UnreadableError, Words, blocks_of

# Names that ip may print because the host's /etc/protocols has them (netbase and setup packages),
# beyond those of net.PROTOCOL_NUMBERS.
_MORE_NAMES: Final = {
    "ip": 0, "hopopt": 0, "ggp": 3, "ipv4": 4, "st": 5, "cbt": 7, "egp": 8, "igp": 9, "pup": 12,
    "hmp": 20, "xns-idp": 22, "rdp": 27, "iso-tp4": 29, "xtp": 36, "ddp": 37, "idpr-cmtp": 38,
    "ipv6-route": 43, "ipv6-frag": 44, "idrp": 45, "ipv6-crypt": 50, "ipv6-auth": 51, "skip": 57,
    "ipv6-nonxt": 59, "ipv6-opts": 60, "rspf": 73, "vmtp": 81, "ax.25": 93, "etherip": 97,
    "encap": 98, "isis": 124, "fc": 133, "mpls-in-ip": 137, "manet": 138, "hip": 139,
    "shim6": 140, "wesp": 141, "rohc": 142, "ethernet": 143, "aggfrag": 144, "nsh": 145,
}  # fmt: skip


def protocol_of(name: str) -> int | None:
    """The number of a protocol that /etc/protocols may name; ``None`` for what is no name of it."""
    name = name.lower()
    return PROTOCOL_NUMBERS.get(name, _MORE_NAMES.get(name))


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


@dataclass(slots=True)
class _Draft:
    """What is known of the policy being read."""

    devices: Mapping[str, int]
    prefixes: dict[str, Prefix] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    device: str = ""
    mark: tuple[int, int] = (0, 0)
    flags: int = 0
    templates: list[_DraftTemplate] = field(default_factory=list)
    limits: list[tuple[str, int]] = field(default_factory=list)
    extras: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class _DraftTemplate:
    """A template being read; its lines may be several."""

    words: Words
    addresses: list[tuple[int, int]] = field(default_factory=list)
    protocol: int | None = None
    spi: int = 0
    reqid: int = 0
    mode: str = ""
    optional: bool = False


def _read_block(block: list[Words], file: str, devices: Mapping[str, int]) -> PolicyEntry:
    draft = _Draft(devices)
    if block[0].peek() != "src":
        message = "this is no policy as ip xfrm prints it"
        raise UnreadableError(block[0], "ET101", message, "src PREFIX dst PREFIX")
    for position, words in enumerate(block):
        reader = _WHOLE_PIECES.get(words.peek())
        if reader is not None:
            reader(draft, words)
        elif words.peek() in _TEMPLATE_WORDS and position and draft.templates:
            _read_template_words(draft, words)
        elif not _LIFETIME.match(words.peek()):
            _read_policy_words(draft, words)
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


def _finish(draft: _Draft, end: Words) -> Policy:
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


def _finish_template(draft: _DraftTemplate, end: Words) -> Template:
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


def _read_policy_words(draft: _Draft, words: Words) -> None:
    while words.more():
        word = words.take("a keyword")
        reader = _POLICY_WORDS.get(word)
        if reader is None:
            raise words.wrong("ET101", f"unknown word {word}")
        reader(draft, words)


def _read_source(draft: _Draft, words: Words) -> None:
    """Read ``src A dst B`` at the beginning of an entry."""
    for name in ("src", "dst"):
        if name == "dst":
            words.one_of("word", "dst")
        word = words.take(f"the prefix of {name}")
        try:
            draft.prefixes[name] = parse_prefix(word)
        except ValueError as error:
            raise words.wrong("ET102", str(error), "ADDRESS/LENGTH") from None
    if draft.prefixes["src"].family != draft.prefixes["dst"].family:
        raise words.wrong("ET104", "source and destination are of two address families")


def _read_protocol(draft: _Draft, words: Words) -> None:
    word = words.take("a protocol")
    number = protocol_of(word)
    if number is None:
        try:
            number = parse_protocol(word)
        except ValueError as error:
            raise words.wrong("ET105", str(error), "a protocol") from None
    draft.numbers["proto"] = number


def _read_port(draft: _Draft, words: Words) -> None:
    name = words.words[words.at - 1]
    port = words.number_up_to(FULL, name, "ET105")
    protocol = draft.numbers.get("proto", 0)
    if protocol == IPPROTO_GRE or protocol in TYPE_PROTOCOLS:
        words.at -= 1
        raise words.wrong("ET105", f"{name} does not belong to protocol {protocol}")
    if port == 0:
        message = f"{name} 0 has a mask that ip does not print, so what it matches is not known"
        raise words.wrong("ET105", message, "a port from 1 to 65535")
    draft.numbers[name] = port


def _read_type(draft: _Draft, words: Words) -> None:
    name = words.words[words.at - 1]
    if draft.numbers.get("proto") not in TYPE_PROTOCOLS:
        raise words.wrong("ET105", f"{name} belongs to ICMP", "proto icmp")
    # Only 8 bits can match, but what another program stored under the mask is printed in full.
    draft.numbers[name] = words.number_up_to(FULL, name, "ET105")


def _read_key(draft: _Draft, words: Words) -> None:
    if draft.numbers.get("proto") != IPPROTO_GRE:
        raise words.wrong("ET105", "key belongs to GRE", "proto gre")
    if "." in words.peek():
        word = words.take("a key")
        try:
            _, draft.numbers["key"] = parse_address(word, 4)
        except ValueError:
            raise words.wrong("ET105", f"{word} is not a GRE key") from None
    else:
        draft.numbers["key"] = words.number_up_to(U32, "key", "ET105")


def _read_device(draft: _Draft, words: Words) -> None:
    name = words.take("the name of a device")
    index = draft.devices.get(name)
    if index is None:
        tail = name.removeprefix("if")
        if tail == name or not re.fullmatch("[1-9][0-9]{0,8}", tail, re.ASCII):
            raise words.wrong("ET101", f"the index of device {name} is not known")
        index = int(tail)
    draft.device = name
    draft.numbers["dev"] = index


_NUMBERED: Final = ("in", "out", "fwd", "socket in", "socket out", "socket fwd")
"""Directions by number: from 3 on those of sockets (linux/xfrm.h: XFRM_POLICY_MAX = 3)."""


def _read_direction(draft: _Draft, words: Words) -> None:
    word = words.take("a direction")
    if word not in ("in", "out", "fwd"):
        if word not in ("0", "1", "2", "3", "4", "5"):
            raise words.wrong("ET101", f"unknown direction {word}", "in, out or fwd")
        word = _NUMBERED[int(word)]
    draft.texts["dir"] = word


def _read_socket(draft: _Draft, words: Words) -> None:
    draft.texts["dir"] = "socket " + words.one_of("direction", "in", "out", "fwd")


def _read_action(draft: _Draft, words: Words) -> None:
    draft.texts["action"] = words.one_of("action", "allow", "block")


def _read_ptype(draft: _Draft, words: Words) -> None:
    draft.texts["ptype"] = words.one_of("type", "main", "sub")


def _read_u32(draft: _Draft, words: Words) -> None:
    name = words.words[words.at - 1]
    draft.numbers[name] = words.number_up_to(U32, name)


def _read_mark(draft: _Draft, words: Words) -> None:
    word = words.take("VALUE/MASK")
    value, _, mask = word.partition("/")
    numbers = [NUMBER.fullmatch(part) for part in (value, mask)]
    values = [int(m[1], 0 if m[1].startswith("0x") else 10) for m in numbers if m]
    if len(values) != 2 or max(values) > U32:
        raise words.wrong("ET101", f"{word} is not a mark", "VALUE/MASK")
    draft.mark = values[0], values[1]


_FLAGS: Final = {"localok": 1, "icmp": 2}


def _read_flags(draft: _Draft, words: Words) -> None:
    """Read names, then the unknown bits in hexadecimal, then (with -s) all bits in parentheses."""
    while words.more():
        word = words.peek()
        if word in _FLAGS:
            draft.flags |= _FLAGS[word]
        elif re.fullmatch("(0x)?[0-9a-f]{1,8}", word):
            draft.flags |= int(word, 16)
        elif not word.startswith("(0x"):
            return
        words.at += 1


def _read_share(_: _Draft, words: Words) -> None:
    words.take("a share")  # the kernel stores none and always says "any"


def _read_security(draft: _Draft, words: Words) -> None:
    words.one_of("word", "context")
    draft.extras.append(("security context", words.rest()))


def _read_offload(draft: _Draft, words: Words) -> None:
    words.one_of("word", "offload")
    words.one_of("word", "parameters:")
    draft.extras.append(("offload", words.rest()))


_POLICY_WORDS: Final[dict[str, Callable[[_Draft, Words], None]]] = {
    "src": _read_source,
    "proto": _read_protocol,
    "sport": _read_port,
    "dport": _read_port,
    "type": _read_type,
    "code": _read_type,
    "key": _read_key,
    "dev": _read_device,
    "uid": _read_u32,
    "dir": _read_direction,
    "socket": _read_socket,
    "action": _read_action,
    "index": _read_u32,
    "priority": _read_u32,
    "ptype": _read_ptype,
    "share": _read_share,
    "flag": _read_flags,
    "mark": _read_mark,
    "if_id": _read_u32,
    "security": _read_security,
    "crypto": _read_offload,
}

_LIFETIME: Final = re.compile(r"lifetime$|add$|use$|[0-9]+\(bytes\),$")
"""First words of the lines of ``-s`` that say how much a policy was used, which is not kept."""

_LIMIT: Final = re.compile(
    r"(limit:|expire add:|expire use:)"
    r" soft (\(INF\)|[0-9]{1,20})\((bytes|packets|sec)\),"
    r" hard (\(INF\)|[0-9]{1,20})\((bytes|packets|sec)\)",
    re.ASCII,
)
_LIMIT_NAMES: Final = {
    ("limit:", "bytes"): "byte",
    ("limit:", "packets"): "packet",
    ("expire add:", "sec"): "time",
    ("expire use:", "sec"): "time-use",
}


def _read_limit(draft: _Draft, words: Words) -> None:
    match = _LIMIT.fullmatch(" ".join(words.words))
    name = _LIMIT_NAMES.get((match[1], match[3])) if match else None
    if match is None or name is None or match[3] != match[5]:
        raise UnreadableError(words, "ET101", "the limit cannot be read", "soft N, hard N")
    for kind, value in (("soft", match[2]), ("hard", match[4])):
        if value != "(INF)" and not (name.startswith("time") and value == "0"):
            draft.limits.append((f"{name}-{kind}", int(value)))


def _read_template(draft: _Draft, words: Words) -> None:
    """Read a piece that begins with ``tmpl``."""
    words.take("tmpl")
    template = _DraftTemplate(words)
    for name in ("src", "dst"):
        words.one_of("word", name)
        word = words.take(f"the address of {name}")
        try:
            template.addresses.append(parse_address(word))
        except ValueError as error:
            raise words.wrong("ET102", str(error), "an address") from None
    if template.addresses[0][0] != template.addresses[1][0]:
        raise words.wrong("ET104", "the ends of the template are of two address families")
    draft.templates.append(template)
    _read_template_words(draft, words)


_TEMPLATE_WORDS: Final = frozenset(
    {"proto", "spi", "reqid", "mode", "level", "share", "enc-mask", "auth-mask", "comp-mask"}
)
_PROTOCOL_OF_NAME: Final = {name: number for number, name in TEMPLATE_NAMES.items()}


def _read_template_words(draft: _Draft, words: Words) -> None:
    template = draft.templates[-1]
    while words.more():
        word = words.take("a keyword")
        if word not in _TEMPLATE_WORDS:
            raise words.wrong("ET101", f"unknown word {word} in a template")
        match word:
            case "proto":
                name = words.one_of("protocol of a template", *_PROTOCOL_OF_NAME)
                template.protocol = _PROTOCOL_OF_NAME[name]
            case "spi":
                template.spi = words.number_up_to(U32, "spi")
            case "reqid":
                template.reqid = words.number_up_to(U32, "reqid")
            case "mode":
                template.mode = words.one_of("mode", *MODES)
            case "level":
                template.optional = words.one_of("level", "required", "use") == "use"
            case "share":
                words.take("a share")
            case mask:
                bits = words.take(mask)
                if bits != "ffffffff":
                    draft.extras.append((f"{mask} of template {len(draft.templates)}", bits))


_WHOLE_PIECES: Final[dict[str, Callable[[_Draft, Words], None]]] = {
    "tmpl": _read_template,
    "limit:": _read_limit,
    "expire": _read_limit,
}
