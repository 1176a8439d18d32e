"""Text of ``ip xfrm policy``: reader of what it prints, printer of the arguments it takes.

The printed form is that of iproute2, ip/xfrm_policy.c:xfrm_policy_print and ip/ipxfrm.c
(xfrm_selector_print, xfrm_policy_info_print, xfrm_tmpl_print), with and without ``-s`` and ``-o``.
``ip`` prints a port and not its mask, so only masks of all ones or none can be read from text.  A
dump lists the newest policy first; :mod:`.lookup` wants the oldest first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from ..diagnostics import Diagnostic, Severity, Span
from ..net import (
    IPPROTO_COMP,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    LENGTH_OF_MASK,
    PROTOCOL_NUMBERS,
    Prefix,
    Selector,
    format_address,
    format_prefix,
    parse_address,
    parse_prefix,
    parse_protocol,
)
from .model import TEMPLATE_PROTOCOLS, Policy, Template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

IPPROTO_DCCP: Final = 33
IPPROTO_GRE: Final = 47
IPPROTO_SCTP: Final = 132
IPPROTO_MH: Final = 135

PORT_PROTOCOLS: Final = frozenset({0, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_DCCP})
"""Protocols with which ``ip xfrm`` takes ``sport`` and ``dport``; 0 is any protocol."""

TYPE_PROTOCOLS: Final = frozenset({IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_MH})
"""Protocols with which it takes ``type`` and ``code``, which stand in the ports."""

TEMPLATE_NAMES: Final = TEMPLATE_PROTOCOLS | {43: "route2", 60: "hao", 255: "ipsec-any"}
"""All protocols of a template (ip/ipxfrm.c:xfrmproto_types)."""

MODES: Final = ("transport", "tunnel", "ro", "in_trigger", "beet", "iptfs")
"""Modes of a template, by number (linux/xfrm.h: XFRM_MODE_TRANSPORT = 0)."""

MAX_TEMPLATES: Final = 6
"""The kernel refuses more (XFRM_MAX_DEPTH)."""

_FULL: Final = 0xFFFF
_U32: Final = 0xFFFFFFFF

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

# ------------------------------------------------------------------------------------ printing

# The only protocols printed by name: their names mean the same number on every host.
_PRINTED_NAMES: Final = {
    IPPROTO_ICMP: "icmp",
    IPPROTO_TCP: "tcp",
    IPPROTO_UDP: "udp",
    IPPROTO_DCCP: "dccp",
    IPPROTO_GRE: "gre",
    IPPROTO_ICMPV6: "ipv6-icmp",
    IPPROTO_SCTP: "sctp",
}

_CACHED: Final = 1 << 18


class _PrefixTexts(dict[Prefix, str]):
    """Texts of prefixes; a hit costs one look into a dict and no call of a Python function."""

    def __missing__(self, prefix: Prefix) -> str:
        text = format_prefix(prefix)
        if prefix[2] not in LENGTH_OF_MASK[prefix[0]]:
            raise ValueError(f"{text}: XFRM has no masks with holes")
        if len(self) < _CACHED:
            self[prefix] = text
        return text


def templates_text(templates: tuple[Template, ...]) -> str:
    """All templates of a policy, each with a blank in front.

    Raises ``ValueError`` for more than the kernel takes.
    """
    if len(templates) > MAX_TEMPLATES:
        raise ValueError(f"{len(templates)} templates, and the kernel takes {MAX_TEMPLATES}")
    return "".join([" " + template_arguments(template) for template in templates])


class _TemplateTexts(dict[tuple[Template, ...], str]):
    """Texts of templates already printed."""

    def __missing__(self, templates: tuple[Template, ...]) -> str:
        text = templates_text(templates)
        if len(self) < _CACHED:
            self[templates] = text
        return text


PREFIX_TEXTS: Final = _PrefixTexts()
"""Prefixes as `ip` takes them; ``ValueError`` for a mask with holes."""
_template_texts: Final = _TemplateTexts()
_DIRECTION_TEXTS: Final = {name: f" dir {name}" for name in ("out", "in", "fwd")}
_ACTION_TEXTS: Final = {"allow": "", "block": " action block"}


def policy_arguments(policy: Policy, device: str = "", *, numeric: bool = False) -> str:
    """Print a policy as the arguments of ``ip xfrm policy update`` (or ``add``).

    ``device`` is the name of the interface behind ``ifindex``; without it the name is ``ifN``,
    which ``ip`` takes for index N unless an interface has that name.  ``numeric`` prints the
    protocol as a number, for a host without /etc/protocols, where ``ip`` knows no names.  Raises
    ``ValueError`` with the reason for what ``ip`` cannot express.  A mark is printed as the
    kernel stores it, ``value & mask`` (xfrm_policy_insert); ``index`` is the kernel's to choose.
    """
    (
        direction,
        selector,
        priority,
        action,
        templates,
        mark,
        if_id,
        port_masks,
        ifindex,
        _,
        ptype,
        _,
        _,
    ) = policy
    source, destination, protocol, source_port, destination_port = selector
    if source[0] != destination[0]:
        raise ValueError("source and destination are of two address families")
    if protocol or source_port or destination_port or port_masks or ifindex or device:
        rest = selector_rest(
            protocol, source_port, destination_port, port_masks, ifindex, device, numeric
        )
    else:
        rest = ""
    if if_id or mark[1] or ptype != "main":
        rest += _direction(direction) + _key_rest(mark, if_id, ptype)
    else:
        rest += _DIRECTION_TEXTS.get(direction) or _direction(direction)
    if not 0 <= priority <= _U32:
        raise ValueError(f"priority {priority} is not a number of 32 bits")
    verdict = _ACTION_TEXTS.get(action)
    if verdict is None:
        raise ValueError(f"{action!r} is not an action")
    return (
        f"src {PREFIX_TEXTS[source]} dst {PREFIX_TEXTS[destination]}{rest}{verdict}"
        f" priority {priority}{_template_texts[templates]}"
    )


def key_arguments(policy: Policy, device: str = "", *, numeric: bool = False) -> str:
    """Print what names a policy: the arguments of ``ip xfrm policy delete`` (or ``get``).

    Raises ``ValueError`` as :func:`policy_arguments` does, and for a mark that is 0 under its
    mask: delete and get leave such a mark out and would name another policy (iproute2,
    xfrm_policy_get_or_delete); only ``index N dir D`` names it.
    """
    selector = policy.selector
    if selector.source.family != selector.destination.family:
        raise ValueError("source and destination are of two address families")
    value, mask = policy.mark
    if mask and not value & mask:
        raise ValueError(f"ip xfrm policy delete cannot name the mark 0/{mask:#x}")
    rest = selector_rest(*selector[2:], policy.port_masks, policy.ifindex, device, numeric)
    return (
        f"src {PREFIX_TEXTS[selector.source]} dst {PREFIX_TEXTS[selector.destination]}"
        f"{rest}{_direction(policy.direction)}"
        f"{_key_rest(policy.mark, policy.if_id, policy.ptype)}"
    )


def template_arguments(template: Template) -> str:
    """Print one template, beginning with ``tmpl``; ID (src, dst, proto, spi) stands together.

    Both addresses are always printed, since they tell ``ip`` the family of the template.
    """
    name = TEMPLATE_NAMES.get(template.protocol)
    if name is None or name == "ipsec-any":
        raise ValueError(f"a template cannot have protocol {template.protocol}")
    if template.mode not in MODES:
        raise ValueError(f"{template.mode!r} is not a mode")
    if not 0 <= template.reqid <= _U32 or not 0 <= template.spi <= _U32:
        raise ValueError("reqid and SPI have 32 bits")
    if template.spi and template.protocol not in TEMPLATE_PROTOCOLS:
        raise ValueError(f"a template with protocol {name} has no SPI")
    if template.protocol == IPPROTO_COMP and template.spi > _FULL:
        raise ValueError(f"SPI {template.spi:#x} is too large for comp (RFC 3173: 16 bits)")
    source = format_address(template.family, template.source)
    destination = format_address(template.family, template.destination)
    spi = f" spi {template.spi:#010x}" if template.spi else ""
    return template_words(
        source, destination, f"{name}{spi}", template.reqid, template.mode, template.optional
    )


def template_words(
    source: str, destination: str, protocol: str, reqid: int, mode: str, optional: bool
) -> str:
    """A template of parts already printed; ``protocol`` may have the SPI behind it."""
    level = " level use" if optional else ""
    return f"tmpl src {source} dst {destination} proto {protocol} reqid {reqid} mode {mode}{level}"


def _direction(direction: str) -> str:
    text = _DIRECTION_TEXTS.get(direction)
    if text is None:
        raise ValueError(f"ip cannot make a policy with direction {direction!r}")
    return text


@lru_cache(maxsize=1 << 12)
def _key_rest(mark: tuple[int, int], if_id: int, ptype: str) -> str:
    """Print the part of the key behind the direction; each piece with a blank in front."""
    value, mask = mark
    if not 0 <= mask <= _U32 or not 0 <= if_id <= _U32:
        raise ValueError("mark and if_id have 32 bits")
    if ptype not in ("main", "sub"):
        raise ValueError(f"{ptype!r} is not a policy type")
    text = f" mark {value & mask:#x} mask {mask:#x}" if mask else ""
    if if_id:
        text += f" if_id {if_id:#x}"
    return text + (" ptype sub" if ptype == "sub" else "")


@lru_cache(maxsize=1 << 12)
def selector_rest(
    protocol: int,
    source_port: int,
    destination_port: int,
    port_masks: tuple[int, int] | None,
    ifindex: int,
    device: str,
    numeric: bool,
) -> str:
    """Print device, protocol and ports, the latter two in one group (UPSPEC)."""
    text = ""
    if device or ifindex:
        device = device or f"if{ifindex}"
        if not device.isprintable() or any(c in " \"'\\/#" for c in device):
            raise ValueError(f"{device!r} cannot be the name of a device for ip")
        text = f" dev {device}"
    if not 0 <= protocol <= 0xFF:
        raise ValueError(f"protocol {protocol} is not a number of 8 bits")
    if protocol:
        text += f" proto {protocol if numeric else _PRINTED_NAMES.get(protocol, protocol)}"
    if port_masks is None:
        port_masks = (_FULL if source_port else 0, _FULL if destination_port else 0)
    for port, mask in ((source_port, port_masks[0]), (destination_port, port_masks[1])):
        if mask not in (0, _FULL) or not 0 <= port <= _FULL or port & ~mask:
            raise ValueError(f"ip cannot express the port {port:#x} with the mask {mask:#x}")
    return text + _ports(protocol, source_port, destination_port, *port_masks)


def _ports(
    protocol: int, source: int, destination: int, source_mask: int, destination_mask: int
) -> str:
    """Print ports, ICMP type and code, or the GRE key."""
    if not source_mask and not destination_mask:
        return ""
    if protocol == IPPROTO_GRE:
        if not (source_mask and destination_mask):
            raise ValueError("ip cannot express half a GRE key")
        return f" key {source << 16 | destination}"
    if protocol in TYPE_PROTOCOLS:
        words = ("type", "code")
        if source > 0xFF or destination > 0xFF:
            raise ValueError("an ICMP type or code has 8 bits")
    elif protocol in PORT_PROTOCOLS:
        words = ("sport", "dport")
        if (source_mask and not source) or (destination_mask and not destination):
            raise ValueError("ip takes port 0 for any port, and cannot express port 0 itself")
    else:
        raise ValueError(f"ip takes no ports with protocol {protocol}")
    text = f" {words[0]} {source}" if source_mask else ""
    return f"{text} {words[1]} {destination}" if destination_mask else text


# ------------------------------------------------------------------------------------- reading


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
    for block in _blocks(text):
        try:
            entries.append(_read_block(block, file, devices or {}))
        except _UnreadableError as error:
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


_WORD: Final = re.compile(r"[^ \t]+")
_NUMBER: Final = re.compile(r"(0x[0-9a-fA-F]{1,16}|[0-9]{1,20})(\([0-9a-fx]+\))?", re.ASCII)


class _UnreadableError(Exception):
    """What keeps an entry from being read, and where."""

    def __init__(self, words: _Words, code: str, message: str, expected: str = "") -> None:
        super().__init__(message)
        self.words = words
        self.at = words.at
        self.code = code
        self.message = message
        self.expected = expected

    def diagnostic(self, file: str) -> Diagnostic:
        words = self.words
        places = [m.span() for m in _WORD.finditer(words.line)]
        if words.first + self.at < len(places):
            start, end = places[words.first + self.at]
        else:
            start, end = len(words.line), len(words.line) + 1
        return Diagnostic(
            self.code,
            Severity.ERROR,
            self.message,
            Span(file, words.number, start + 1, end + 1),
            excerpt=words.line,
            expected=self.expected,
        )


class _Words:
    """The words of one piece of a line, taken one after the other.

    ``-o`` joins the lines of a policy with a backslash, so a line has several pieces; ``first``
    is the number of words in front of this one.
    """

    __slots__ = ("at", "first", "line", "number", "words")

    def __init__(self, number: int, line: str, first: int, words: list[str]) -> None:
        self.number = number
        self.line = line
        self.first = first
        self.words = words
        self.at = 0

    def more(self) -> bool:
        return self.at < len(self.words)

    def peek(self) -> str:
        return self.words[self.at] if self.at < len(self.words) else ""

    def take(self, expected: str) -> str:
        if self.at >= len(self.words):
            raise _UnreadableError(self, "ET106", "the policy is cut here", expected)
        self.at += 1
        return self.words[self.at - 1]

    def wrong(self, code: str, message: str, expected: str = "") -> _UnreadableError:
        """Make the exception for the word just taken."""
        self.at -= 1
        return _UnreadableError(self, code, message, expected)

    def number_up_to(self, limit: int, what: str, code: str = "ET101") -> int:
        word = self.take(f"the number of {what}")
        match = _NUMBER.fullmatch(word)
        value = int(match[1], 0 if match[1].startswith("0x") else 10) if match else limit + 1
        if value > limit:
            raise self.wrong(code, f"{what} {word} is out of range", f"a number up to {limit}")
        return value

    def one_of(self, what: str, *choices: str) -> str:
        word = self.take(" or ".join(choices))
        if word not in choices:
            raise self.wrong("ET101", f"unknown {what} {word}", " or ".join(choices))
        return word

    def rest(self) -> str:
        text = " ".join(self.words[self.at :])
        self.at = len(self.words)
        return text


def _blocks(text: str) -> Iterator[list[_Words]]:
    """Cut the text into policies: each begins with the word ``src`` (a template with ``tmpl``)."""
    block: list[_Words] = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r").replace("\t", " ")
        if "\\" in line:
            pieces = line.split("\\")
            line = line.replace("\\", " ")
        else:
            pieces = [line]
        first = 0
        for piece in pieces:
            words = [word for word in piece.split(" ") if word]
            if not words:
                continue
            if words[0] == "src" and block:
                yield block
                block = []
            block.append(_Words(number, line, first, words))
            first += len(words)
    if block:
        yield block


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

    words: _Words
    addresses: list[tuple[int, int]] = field(default_factory=list)
    protocol: int | None = None
    spi: int = 0
    reqid: int = 0
    mode: str = ""
    optional: bool = False


def _read_block(block: list[_Words], file: str, devices: Mapping[str, int]) -> PolicyEntry:
    draft = _Draft(devices)
    if block[0].peek() != "src":
        message = "this is no policy as ip xfrm prints it"
        raise _UnreadableError(block[0], "ET101", message, "src PREFIX dst PREFIX")
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


def _finish(draft: _Draft, end: _Words) -> Policy:
    texts, numbers = draft.texts, draft.numbers
    for name, have in (("dst", draft.prefixes), ("dir", texts), ("priority", numbers)):
        if name not in have:
            raise _UnreadableError(end, "ET106", f"the policy is cut: it has no {name}", name)
    source, destination = draft.prefixes["src"], draft.prefixes["dst"]
    protocol = numbers.get("proto", 0)
    if protocol == IPPROTO_GRE and "key" in numbers:
        ports = [numbers["key"] >> 16, numbers["key"] & _FULL]
        masks = [_FULL, _FULL]
    else:
        words = ("type", "code") if protocol in TYPE_PROTOCOLS else ("sport", "dport")
        ports = [numbers.get(word, 0) for word in words]
        masks = [_FULL if word in numbers else 0 for word in words]
    usual = [_FULL if port else 0 for port in ports]
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


def _finish_template(draft: _DraftTemplate, end: _Words) -> Template:
    if draft.protocol is None or not draft.mode:
        raise _UnreadableError(end, "ET106", "the template is cut", "proto, reqid and mode")
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


def _read_policy_words(draft: _Draft, words: _Words) -> None:
    while words.more():
        word = words.take("a keyword")
        reader = _POLICY_WORDS.get(word)
        if reader is None:
            raise words.wrong("ET101", f"unknown word {word}")
        reader(draft, words)


def _read_source(draft: _Draft, words: _Words) -> None:
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


def _read_protocol(draft: _Draft, words: _Words) -> None:
    word = words.take("a protocol")
    number = _MORE_NAMES.get(word.lower()) if word not in PROTOCOL_NUMBERS else None
    if number is None:
        try:
            number = parse_protocol(word)
        except ValueError as error:
            raise words.wrong("ET105", str(error), "a protocol") from None
    draft.numbers["proto"] = number


def _read_port(draft: _Draft, words: _Words) -> None:
    name = words.words[words.at - 1]
    port = words.number_up_to(_FULL, name, "ET105")
    protocol = draft.numbers.get("proto", 0)
    if protocol == IPPROTO_GRE or protocol in TYPE_PROTOCOLS:
        words.at -= 1
        raise words.wrong("ET105", f"{name} does not belong to protocol {protocol}")
    if port == 0:
        message = f"{name} 0 has a mask that ip does not print, so what it matches is not known"
        raise words.wrong("ET105", message, "a port from 1 to 65535")
    draft.numbers[name] = port


def _read_type(draft: _Draft, words: _Words) -> None:
    name = words.words[words.at - 1]
    if draft.numbers.get("proto") not in TYPE_PROTOCOLS:
        raise words.wrong("ET105", f"{name} belongs to ICMP", "proto icmp")
    # Only 8 bits can match, but what another program stored under the mask is printed in full.
    draft.numbers[name] = words.number_up_to(_FULL, name, "ET105")


def _read_key(draft: _Draft, words: _Words) -> None:
    if draft.numbers.get("proto") != IPPROTO_GRE:
        raise words.wrong("ET105", "key belongs to GRE", "proto gre")
    if "." in words.peek():
        word = words.take("a key")
        try:
            _, draft.numbers["key"] = parse_address(word, 4)
        except ValueError:
            raise words.wrong("ET105", f"{word} is not a GRE key") from None
    else:
        draft.numbers["key"] = words.number_up_to(_U32, "key", "ET105")


def _read_device(draft: _Draft, words: _Words) -> None:
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


def _read_direction(draft: _Draft, words: _Words) -> None:
    word = words.take("a direction")
    if word not in ("in", "out", "fwd"):
        if word not in ("0", "1", "2", "3", "4", "5"):
            raise words.wrong("ET101", f"unknown direction {word}", "in, out or fwd")
        word = _NUMBERED[int(word)]
    draft.texts["dir"] = word


def _read_socket(draft: _Draft, words: _Words) -> None:
    draft.texts["dir"] = "socket " + words.one_of("direction", "in", "out", "fwd")


def _read_action(draft: _Draft, words: _Words) -> None:
    draft.texts["action"] = words.one_of("action", "allow", "block")


def _read_ptype(draft: _Draft, words: _Words) -> None:
    draft.texts["ptype"] = words.one_of("type", "main", "sub")


def _read_u32(draft: _Draft, words: _Words) -> None:
    name = words.words[words.at - 1]
    draft.numbers[name] = words.number_up_to(_U32, name)


def _read_mark(draft: _Draft, words: _Words) -> None:
    word = words.take("VALUE/MASK")
    value, _, mask = word.partition("/")
    numbers = [_NUMBER.fullmatch(part) for part in (value, mask)]
    values = [int(m[1], 0 if m[1].startswith("0x") else 10) for m in numbers if m]
    if len(values) != 2 or max(values) > _U32:
        raise words.wrong("ET101", f"{word} is not a mark", "VALUE/MASK")
    draft.mark = values[0], values[1]


_FLAGS: Final = {"localok": 1, "icmp": 2}


def _read_flags(draft: _Draft, words: _Words) -> None:
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


def _read_share(_: _Draft, words: _Words) -> None:
    words.take("a share")  # the kernel stores none and always says "any"


def _read_security(draft: _Draft, words: _Words) -> None:
    words.one_of("word", "context")
    draft.extras.append(("security context", words.rest()))


def _read_offload(draft: _Draft, words: _Words) -> None:
    words.one_of("word", "offload")
    words.one_of("word", "parameters:")
    draft.extras.append(("offload", words.rest()))


_POLICY_WORDS: Final[dict[str, Callable[[_Draft, _Words], None]]] = {
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


def _read_limit(draft: _Draft, words: _Words) -> None:
    match = _LIMIT.fullmatch(" ".join(words.words))
    name = _LIMIT_NAMES.get((match[1], match[3])) if match else None
    if match is None or name is None or match[3] != match[5]:
        raise _UnreadableError(words, "ET101", "the limit cannot be read", "soft N, hard N")
    for kind, value in (("soft", match[2]), ("hard", match[4])):
        if value != "(INF)" and not (name.startswith("time") and value == "0"):
            draft.limits.append((f"{name}-{kind}", int(value)))


def _read_template(draft: _Draft, words: _Words) -> None:
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


def _read_template_words(draft: _Draft, words: _Words) -> None:
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
                template.spi = words.number_up_to(_U32, "spi")
            case "reqid":
                template.reqid = words.number_up_to(_U32, "reqid")
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


_WHOLE_PIECES: Final[dict[str, Callable[[_Draft, _Words], None]]] = {
    "tmpl": _read_template,
    "limit:": _read_limit,
    "expire": _read_limit,
}
