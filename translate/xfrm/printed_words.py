"""What each word of a policy that ``ip xfrm policy`` printed says (xfrm_policy_print, ip/ipxfrm.c).

A reader takes what follows its word, and puts it into a draft; it raises :class:`UnreadableError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ..net import Prefix, parse_address, parse_prefix, parse_protocol
from .protocol_names import protocol_of
from .text import FULL, IPPROTO_GRE, MODES, TEMPLATE_NAMES, TYPE_PROTOCOLS, U32
from .words import NUMBER, UnreadableError, Words


@dataclass(slots=True)
class PolicyDraft:
    """What is known of the policy being read."""

    devices: Mapping[str, int]
    prefixes: dict[str, Prefix] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    device: str = ""
    mark: tuple[int, int] = (0, 0)
    flags: int = 0
    templates: list[TemplateDraft] = field(default_factory=list)
    limits: list[tuple[str, int]] = field(default_factory=list)
    extras: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class TemplateDraft:
    """A template being read; its lines may be several."""

    addresses: list[tuple[int, int]] = field(default_factory=list)
    protocol: int | None = None
    spi: int = 0
    reqid: int = 0
    mode: str = ""
    optional: bool = False


def read_piece(draft: PolicyDraft, words: Words) -> None:
    """Put a piece of a line (:func:`.words.blocks_of`) into the draft."""
    word = words.peek()
    reader = _WHOLE_PIECES.get(word)
    if reader is not None:
        reader(draft, words)
    elif word in _TEMPLATE_WORDS and draft.templates:
        _read_template_words(draft, words)
    elif not _LIFETIME.match(word):
        _read_policy_words(draft, words)


def _read_policy_words(draft: PolicyDraft, words: Words) -> None:
    while words.more():
        word = words.take("a keyword")
        reader = _POLICY_WORDS.get(word)
        if reader is None:
            raise words.wrong("ET101", f"unknown word {word}")
        reader(draft, words)


def _read_source(draft: PolicyDraft, words: Words) -> None:
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


def _read_protocol(draft: PolicyDraft, words: Words) -> None:
    word = words.take("a protocol")
    number = protocol_of(word)
    if number is None:
        try:
            number = parse_protocol(word)
        except ValueError as error:
            raise words.wrong("ET105", str(error), "a protocol") from None
    draft.numbers["proto"] = number


def _read_port(draft: PolicyDraft, words: Words) -> None:
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


def _read_type(draft: PolicyDraft, words: Words) -> None:
    name = words.words[words.at - 1]
    if draft.numbers.get("proto") not in TYPE_PROTOCOLS:
        raise words.wrong("ET105", f"{name} belongs to ICMP", "proto icmp")
    # Only 8 bits can match, but what another program stored under the mask is printed in full.
    draft.numbers[name] = words.number_up_to(FULL, name, "ET105")


def _read_key(draft: PolicyDraft, words: Words) -> None:
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


def _read_device(draft: PolicyDraft, words: Words) -> None:
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


def _read_direction(draft: PolicyDraft, words: Words) -> None:
    word = words.take("a direction")
    if word not in ("in", "out", "fwd"):
        if word not in ("0", "1", "2", "3", "4", "5"):
            raise words.wrong("ET101", f"unknown direction {word}", "in, out or fwd")
        word = _NUMBERED[int(word)]
    draft.texts["dir"] = word


def _read_socket(draft: PolicyDraft, words: Words) -> None:
    draft.texts["dir"] = "socket " + words.one_of("direction", "in", "out", "fwd")


def _read_action(draft: PolicyDraft, words: Words) -> None:
    draft.texts["action"] = words.one_of("action", "allow", "block")


def _read_ptype(draft: PolicyDraft, words: Words) -> None:
    draft.texts["ptype"] = words.one_of("type", "main", "sub")


def _read_u32(draft: PolicyDraft, words: Words) -> None:
    name = words.words[words.at - 1]
    draft.numbers[name] = words.number_up_to(U32, name)


def _read_mark(draft: PolicyDraft, words: Words) -> None:
    word = words.take("VALUE/MASK")
    value, _, mask = word.partition("/")
    numbers = [NUMBER.fullmatch(part) for part in (value, mask)]
    values = [int(m[1], 0 if m[1].startswith("0x") else 10) for m in numbers if m]
    if len(values) != 2 or max(values) > U32:
        raise words.wrong("ET101", f"{word} is not a mark", "VALUE/MASK")
    draft.mark = values[0], values[1]


_FLAGS: Final = {"localok": 1, "icmp": 2}


def _read_flags(draft: PolicyDraft, words: Words) -> None:
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


def _read_share(_: PolicyDraft, words: Words) -> None:
    words.take("a share")  # the kernel stores none and always says "any"


def _read_security(draft: PolicyDraft, words: Words) -> None:
    words.one_of("word", "context")
    draft.extras.append(("security context", words.rest()))


def _read_offload(draft: PolicyDraft, words: Words) -> None:
    words.one_of("word", "offload")
    words.one_of("word", "parameters:")
    draft.extras.append(("offload", words.rest()))


_POLICY_WORDS: Final[dict[str, Callable[[PolicyDraft, Words], None]]] = {
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


def _read_limit(draft: PolicyDraft, words: Words) -> None:
    match = _LIMIT.fullmatch(" ".join(words.words))
    name = _LIMIT_NAMES.get((match[1], match[3])) if match else None
    if match is None or name is None or match[3] != match[5]:
        raise UnreadableError(words, "ET101", "the limit cannot be read", "soft N, hard N")
    for kind, value in (("soft", match[2]), ("hard", match[4])):
        if value != "(INF)" and not (name.startswith("time") and value == "0"):
            draft.limits.append((f"{name}-{kind}", int(value)))


def _read_template(draft: PolicyDraft, words: Words) -> None:
    """Read a piece that begins with ``tmpl``."""
    words.take("tmpl")
    template = TemplateDraft()
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


def _read_template_words(draft: PolicyDraft, words: Words) -> None:
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


_WHOLE_PIECES: Final[dict[str, Callable[[PolicyDraft, Words], None]]] = {
    "tmpl": _read_template,
    "limit:": _read_limit,
    "expire": _read_limit,
}
