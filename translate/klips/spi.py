"""Rows of ``ipsec_spi``: one security association each (ipsec_spi(5)).

The printer is ipsec_spi_format in ipsec_proc.c; FreeS/WAN 1.91 to libreswan 3.32 print the same
items in the same order, later ones more of them.  Keys are never among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

from ..diagnostics import Collector, Severity, Span
from ..net import Prefix
from .address import (
    format_klips_address,
    format_subnet,
    parse_printed_address,
    parse_printed_subnet,
)
from .association import NO_LIMITS, Association, Encapsulation
from .lifetime import LIFE, format_lifetimes, parse_lifetimes
from .procline import ProcLine
from .said import PRINTED_SAID, Said, parse_printed_said
from .transform import Transform, format_transform, parse_transform

T = TypeVar("T")

_NUMBER: Final = r"-?[0-9]{1,20}"
_HEX: Final = r"0x[0-9a-fA-F]{1,64}"
FIELDS: Final = {
    "dir": r"in|out",
    "src": r"\S+",
    "policy": r"\S+",
    "iv_bits": r"[0-9]{1,9}bits",
    "iv": r"0x[0-9a-fA-F]*",
    "ooowin": r"[0-9]{1,9}",
    "ooo_errs": _NUMBER,
    "seq": _NUMBER,
    "bit": _HEX,
    "max_seq_diff": _NUMBER,
    "flags": r"0x[0-9a-fA-F]{1,8}<[^\s<>]*>",
    "alen": r"[0-9]{1,9}",
    "aklen": r"[0-9]{1,9}",
    "auth_errs": _NUMBER,
    "eklen": r"[0-9]{1,9}",
    "encr_size_errs": _NUMBER,
    "encr_pad_errs": _NUMBER,
    "jiffies": _NUMBER,
    LIFE: r"\S*",
    "idle": _NUMBER,
    "ratio": rf"{_NUMBER}:{_NUMBER}",
    "natencap": r"none|nonike|nonesp|unknown|na",
    "natsport": r"[0-9]{1,5}",
    "natdport": r"[0-9]{1,5}",
    "refcount": _NUMBER,
    "ref": _NUMBER,
    "refhim": _NUMBER,
    "outif": r"\S+:-?[0-9]{1,10}",
    "reftable": _NUMBER,
    "refentry": _NUMBER,
}
"""Every field of every version in the order of the printer, with the form of its value."""

_ORDER: Final = {name: index for index, name in enumerate(FIELDS)}
_FORMS: Final = {name: re.compile(form, re.ASCII) for name, form in FIELDS.items()}
_PUBLIC: Final = frozenset(FIELDS)
_TRANSFORM: Final = "transform"
_NEEDS_NEXT: Final = {"iv_bits": "iv", "natsport": "natdport", "refcount": "ref"}
"""Fields that the kernel never prints without the other one."""

_HEAD: Final = re.compile(
    rf"\s*(?P<said>{PRINTED_SAID}|\(error\))\s+(?P<transform>(?:AH|ESP|IPIP|COMP|UNKNOWN)\w*)"
    r"(?P<colon>:(?=\s|\Z)|\Z)",
    re.ASCII,
)
_FRAGMENT: Final = re.compile(
    r"\A\s*\S+ \S+: dir=(?:in|out)(?!\S)"
    r"|(?<!\S)(?:dir|src|policy|iv|bit|flags|[ae]k?len|jiffies|max_seq_diff)=\S{1,200} {1,2}"
    r"life\(c,s,h\)="
    r"|(?<!\S)natsport=\S{1,9} natdport=",
    re.ASCII,
)
_WORD: Final = re.compile(r"\S+")
_SAID_WORD: Final = re.compile(rf"{PRINTED_SAID}\Z", re.ASCII)


def looks_like_association(line: str) -> bool:
    """Whether a line is a row of ``ipsec_spi``, a whole one or a part that was cut or torn."""
    return _HEAD.match(line) is not None or _FRAGMENT.search(line) is not None


def read_association(line: str, span: Span, collector: Collector) -> Association | None:
    """Read one row.

    What is damaged or missing is an error, and a field that no version prints a warning; the
    rest of the row is kept.  ``None`` unless SAID, transform and direction are certain.
    A policy that cannot be read is ``None`` too: the flag 8 (INFLOW) of a tunnel says that it
    had one.
    """
    row = _Row(line, span, collector)
    head = row.head()
    if head is None:
        return None
    said, transform = head
    row.split_fields()
    direction = row.take("dir", str, "")
    if not direction:
        if "dir" not in row.refused:
            row.error("ET131", len(line), len(line), "this row is cut: its direction is missing")
        return None
    policy = row.policy()
    source = row.take("src", parse_printed_address, None)
    if source is not None and source[0] != said.family:
        row.refuse("ET104", "src", "the source is of another address family than the SAID")
        source = None
    association = Association(
        said,
        span,
        direction == "in",
        source,
        transform.encryption,
        transform.authentication,
        transform.compression,
        row.take("eklen", int, 0),
        row.take("alen", int, 0),
        row.take("ooowin", int, 0),
        row.take("seq", _unsigned, 0),
        policy,
        row.take("flags", _flags, 0),
        row.take(LIFE, parse_lifetimes, NO_LIMITS),
        row.encapsulation(),
        reference=row.take("ref", int, 0),
    )
    derived = _derived(association)
    own = format_transform(transform._replace(protocol=said.protocol))
    texts = {_TRANSFORM: row.transform} if row.transform != own else {}
    texts |= {k: t.text for k, t in row.tokens.items() if k != "dir" and derived.get(k) != t.text}
    return replace(association, shown=tuple(texts.items()))


def format_association(association: Association) -> str:
    """Print an association as the kernel does, without a line end.

    A row that was read whole comes back byte for byte.  Of an association from another source
    only what is known is printed; without a direction there is no ``dir=``.
    """
    a = association
    texts = _derived(a) | dict(a.shown)
    transform = Transform(a.said.protocol, a.encryption, a.authentication, a.compression)
    name = texts.get(_TRANSFORM) or format_transform(transform)
    fields = "".join(f" {key}={texts[key]}" for key in FIELDS if key in texts)
    return f"{a.said} {name}:{fields}"


def _derived(a: Association) -> dict[str, str]:
    """What the fields of an association print, by name."""
    texts = {LIFE: format_lifetimes(a.lifetimes)}
    if a.inbound is not None:
        texts["dir"] = "in " if a.inbound else "out"
    if a.source is not None:
        texts["src"] = format_klips_address(*a.source)
    if a.policy is not None:
        texts["policy"] = "->".join(map(format_subnet, a.policy))
    numbers = {
        "ooowin": a.replay_window,
        "seq": a.sequence - (1 << 32) if a.sequence >> 31 else a.sequence,
        "alen": a.authentication_bits,
        "eklen": a.encryption_bits,
        "ref": a.reference,
    }
    texts |= {name: str(number) for name, number in numbers.items() if number}
    if a.flags:
        texts["flags"] = f"0x{a.flags:x}<>"
    if a.encapsulation is not None:
        kind, source, destination = a.encapsulation
        texts |= {"natencap": kind, "natsport": str(source), "natdport": str(destination)}
    return texts


def _policy(text: str) -> tuple[Prefix, Prefix]:
    source, arrow, destination = text.partition("->")
    if not arrow:
        raise ValueError("no -> between the subnets")
    pair = parse_printed_subnet(source), parse_printed_subnet(destination)
    if pair[0].family != pair[1].family:
        raise ValueError("the subnets are of two address families")
    return pair


def _unsigned(text: str) -> int:
    """A counter of 32 bits as it was before it was printed with a sign."""
    number = int(text)
    if not -(1 << 31) <= number < 1 << 32:
        raise ValueError("does not fit 32 bits")
    return number & 0xFFFFFFFF


def _flags(text: str) -> int:
    return int(text.partition("<")[0], 16)


def _port(text: str) -> int:
    if int(text) > 65535:
        raise ValueError("a port is at most 65535")
    return int(text)


class _Token(NamedTuple):
    """The value of a field and the place of the whole field in the line."""

    text: str
    start: int
    end: int


class _Row:
    """One row on its way to an association."""

    def __init__(self, line: str, span: Span, collector: Collector) -> None:
        self.line = ProcLine(line, span, _PUBLIC)
        self.collector = collector
        self.tokens: dict[str, _Token] = {}
        self.refused: set[str] = set()
        self.transform = ""
        self.behind_head = 0

    def error(self, code: str, start: int, end: int, message: str, expected: str = "") -> None:
        hint = "take the table again, whole" if code == "ET131" else "correct the row"
        self.collector.add(
            self.line.problem(code, Severity.ERROR, start, end, message, expected, hint)
        )

    def warning(self, code: str, start: int, end: int, message: str, hint: str) -> None:
        self.collector.add(
            self.line.problem(code, Severity.WARNING, start, end, message, hint=hint)
        )

    def head(self) -> tuple[Said, Transform] | None:
        """SAID and transform; reports what is wrong with them."""
        text = self.line.text
        match = _HEAD.match(text)
        if match is None:
            self.error("ET130", 0, len(text), "the head of this row is damaged", "SAID TRANSFORM:")
            return None
        if not match["colon"]:
            self.error("ET131", len(text), len(text), "this row is cut behind its SAID")
            return None
        if match["said"] == "(error)":
            self.error("ET133", *match.span("said"), "KLIPS could not print the SAID of this SA")
            return None
        self.transform = match["transform"]
        self.behind_head = match.end()
        part = "said"
        try:
            said = parse_printed_said(match["said"])
            part = _TRANSFORM
            transform = parse_transform(match[_TRANSFORM])
            if transform.protocol not in (None, said.protocol):
                raise ValueError(f"{match[_TRANSFORM]} does not fit the SAID {said}")
        except ValueError as error:
            self.error("ET130", *match.span(part), str(error), "SAID TRANSFORM:")
            return None
        if not transform.names_all:
            self.warning(
                "ET133",
                *match.span(_TRANSFORM),
                "KLIPS did not know the protocol or an algorithm of this SA",
                "no XFRM state can be made of it: look at what set it up",
            )
        return said, transform

    def split_fields(self) -> None:
        """Part the fields; report what is none, and what is missing at the end."""
        text = self.line.text
        words = list(_WORD.finditer(text, self.behind_head))
        whole = any(word[0].startswith(f"{LIFE}=") for word in words)
        cut = "" if whole else f"there is no {LIFE}="
        highest = -1
        for word in words:
            name, equals, value = word[0].partition("=")
            if word.end() == len(text) and (not equals or not whole) and self._is_start(word[0]):
                # Of the last word of a cut row nobody knows how it went on.
                if name == "dir" and value in ("in", "out"):
                    self.tokens[name] = _Token(value, *word.span())
                cut = cut or f"{word[0]!r} goes on"
                break
            if _SAID_WORD.match(word[0]):
                self.error("ET130", *word.span(), "another row stands on this line", "a field")
                break
            if not equals:
                self.error("ET130", *word.span(), f"{name[:40]!r} is no field", "NAME=VALUE")
            elif name not in FIELDS:
                self.warning(
                    "ET132",
                    word.start(),
                    word.start() + len(name),
                    f"no known version of KLIPS prints {name[:40]!r}; it was passed over",
                    "a patched kernel, or an edited row; the rest of the row is kept",
                )
            elif name in self.tokens or name in self.refused:
                self._stands_twice(name, value, word)
            else:
                self._add(name, _Token(value, *word.span()))
                if _ORDER[name] < highest:
                    self.warning(
                        "ET136",
                        *word.span(),
                        f"{name} does not stand where KLIPS prints it",
                        "two rows may have been torn: take the table again",
                    )
                highest = max(highest, _ORDER[name])
        cut = cut or self._missing()
        if cut and "dir" in self.tokens:
            self.error("ET131", len(text), len(text), f"this row is cut: {cut}")

    @staticmethod
    def _is_start(word: str) -> bool:
        """Whether a word can be the start of a field."""
        name, equals, _ = word.partition("=")
        return name in FIELDS if equals else any(field.startswith(name) for field in FIELDS)

    def _add(self, name: str, token: _Token) -> None:
        if _FORMS[name].fullmatch(token.text) is None:
            self.refused.add(name)
            self.error(
                "ET130", token.start, token.end, f"the value of {name} cannot be read", name + "="
            )
            return
        self.tokens[name] = token

    def _stands_twice(self, name: str, value: str, word: re.Match[str]) -> None:
        self.error("ET136", *word.span(), f"{name} stands twice in this row")
        if name == "dir" and name in self.tokens and self.tokens[name].text != value:
            del self.tokens[name]
            self.refused.add(name)

    def _missing(self) -> str:
        """A field that the kernel would have printed behind another one."""
        natencap = self.tokens.get("natencap")
        needed = dict(_NEEDS_NEXT)
        if natencap is not None:
            needed["natencap"] = "natsport" if natencap.text != "na" else "refcount"
            needed["natdport"] = "refcount"
        for name, following in needed.items():
            present = name in self.tokens
            if present and following not in self.tokens and following not in self.refused:
                return f"there is no {following}="
        return ""

    def take(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """The value of a field; what cannot be read is reported and forgotten."""
        token = self.tokens.get(name)
        if token is None:
            return default
        try:
            return parse(token.text)
        except ValueError as error:
            self.refuse("ET130", name, f"the value of {name} cannot be read: {error}")
            return default

    def refuse(self, code: str, name: str, message: str) -> None:
        """Report a field and forget it."""
        token = self.tokens.pop(name)
        self.refused.add(name)
        self.error(code, token.start, token.end, message)

    def encapsulation(self) -> Encapsulation | None:
        """NAT traversal, if this SA has it."""
        token = self.tokens.get("natencap")
        source, destination = self.take("natsport", _port, 0), self.take("natdport", _port, 0)
        if token is None or token.text in ("none", "na"):
            return None
        if token.text == "unknown":
            self.error(
                "ET133", token.start, token.end, "KLIPS did not know the NAT traversal of this SA"
            )
            return None
        return Encapsulation(token.text, source, destination)

    def policy(self) -> tuple[Prefix, Prefix] | None:
        """The subnets of the policy, unless the printer hid a part of a mask.

        mask6tobits stops at the first hole, and what it prints is then wider than what held.
        """
        pair = self.take("policy", _policy, None)
        if pair is None or not any(
            end.family == 6 and end.length is not None and end.has_host_bits for end in pair
        ):
            return pair
        token = self.tokens["policy"]
        self.error(
            "ET112",
            token.start,
            token.end,
            "a subnet of the policy has bits outside its mask: KLIPS printed only the mask's head",
        )
        return None
