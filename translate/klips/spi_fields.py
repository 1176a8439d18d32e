"""The fields of a row of ``ipsec_spi``: their names, order and forms, and how a row is parted.

The order is that of ipsec_spi_format in ipsec_proc.c, the union of all versions from FreeS/WAN
1.91 to libreswan 3.32.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from ..diagnostics import Collector, Severity, Span
from .lifetime import LIFE
from .procline import ProcLine
from .said import PRINTED_SAID, Said, parse_printed_said
from .transform import Transform, parse_transform

T = TypeVar("T")

_NUMBER: Final = r"-?[0-9]{1,20}"
_HEX: Final = r"0x[0-9a-fA-F]{1,64}"
FIELDS: Final = {
    "dir": r"in|out",
    "src": r"[0-9a-fA-F:.]{1,45}",
    "policy": r"[0-9a-fA-F:.]{1,45}/[0-9a-fA-F:.]{1,45}->[0-9a-fA-F:.]{1,45}/[0-9a-fA-F:.]{1,45}",
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
    LIFE: r"(?:[a-z]{1,9}\([0-9,-]{1,63}\))*",
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
_FOLLOWED: Final = {
    "iv_bits": "iv",
    "natencap": "natsport",
    "natsport": "natdport",
    "natdport": "refcount",
    "refcount": "ref",
}
"""Fields that the kernel never prints without another one behind them."""

_HINTS: Final = {
    "ET130": "the row was edited, or something was taken out of the capture: correct it",
    "ET131": "take the table again, whole",
    "ET136": "two rows may have been torn: take the table again",
}

_MOST_REPORTS: Final = 12
"""What is said of one row at most: a line of thousands of wrong words is no row."""

HEAD: Final = re.compile(
    rf"\s*(?P<said>{PRINTED_SAID}|\(error\))\s+(?P<transform>(?:AH|ESP|IPIP|COMP|UNKNOWN)\w*)"
    r"(?P<colon>:(?=\s|\Z)|\Z)",
    re.ASCII,
)
_WORD: Final = re.compile(r"\S+")
_SAID_WORD: Final = re.compile(rf"{PRINTED_SAID}\Z", re.ASCII)


class Token(NamedTuple):
    """The value of a field and the place of the whole field in the line."""

    text: str
    start: int
    end: int


def _goes_on(name: str, equals: str, value: str, *, whole: bool) -> bool:
    """Whether the last word of a line may have been longer: nobody knows then how it went on."""
    if not equals:
        return any(field.startswith(name) for field in FIELDS)
    if name == LIFE:
        return bool(value) and not value.endswith(")")
    return name in FIELDS and (not whole or name in _FOLLOWED)


class SpiRow:
    """One row on its way to an association."""

    def __init__(self, line: str, span: Span, collector: Collector) -> None:
        self.line = ProcLine(line, span, _FORMS)
        self.collector = collector
        self.tokens: dict[str, Token] = {}
        self.refused: set[str] = set()
        self.transform = ""
        self.behind_head = 0
        self.reports = 0

    def error(self, code: str, start: int, end: int, message: str, expected: str = "") -> None:
        """Report what makes a part of the row useless (0-based columns, the end excluded)."""
        hint = _HINTS.get(code, "take the SA from what set it up")
        self._report(code, Severity.ERROR, start, end, message, expected, hint)

    def warning(self, code: str, start: int, end: int, message: str, hint: str) -> None:
        """Report what the rest of the row does not suffer from."""
        self._report(code, Severity.WARNING, start, end, message, "", hint)

    def _report(
        self,
        code: str,
        severity: Severity,
        start: int,
        end: int,
        message: str,
        expected: str,
        hint: str,
    ) -> None:
        self.reports += 1
        if self.reports == _MOST_REPORTS:
            code, severity, expected = "ET130", Severity.ERROR, ""
            message, hint = "more of this row cannot be read", _HINTS["ET130"]
        if self.reports <= _MOST_REPORTS:
            self.collector.add(
                self.line.problem(code, severity, start, end, message, expected, hint)
            )

    def head(self) -> tuple[Said, Transform] | None:
        """SAID and transform; reports what is wrong with them."""
        text = self.line.text
        match = HEAD.match(text)
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
            part = "transform"
            transform = parse_transform(match["transform"])
            if transform.protocol not in (None, said.protocol):
                raise ValueError(f"{match['transform']} does not fit the SAID {said}")
        except ValueError as error:
            self.error("ET130", *match.span(part), str(error)[:200], "SAID TRANSFORM:")
            return None
        if not transform.names_all:
            self.warning(
                "ET133",
                *match.span("transform"),
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
        noise: list[tuple[int, int]] = []
        for word in words:
            name, equals, value = word[0].partition("=")
            if word.end() == len(text) and _goes_on(name, equals, value, whole=whole):
                if name == "dir" and value in ("in", "out"):
                    self.tokens[name] = Token(value, *word.span())
                cut = cut or f"{name!r} goes on"
                break
            if _SAID_WORD.match(word[0]):
                self.error("ET130", *word.span(), "another row stands on this line", "a field")
                break
            if equals:
                self._add_field(name, Token(value, *word.span()))
            elif noise and not text[noise[-1][1] : word.start()].strip():
                noise[-1] = (noise[-1][0], word.end())
            else:
                noise.append(word.span())
        cut = cut or self._missing()
        self._report_noise(noise, whole=not cut)
        if cut and "dir" in self.tokens:
            self.error("ET131", len(text), len(text), f"this row is cut: {cut}")

    def _report_noise(self, noise: list[tuple[int, int]], *, whole: bool) -> None:
        """Words that are no fields: behind a whole row they change nothing."""
        for start, end in noise:
            if whole and not self.line.text[end:].strip():
                hint = "look whether it belongs to the row"
                message = "there is text behind the end of the row; it was not read"
                self.warning("ET117", start, end, message, hint)
            else:
                shown = self.line.shown(start, end)
                self.error("ET130", start, end, f"{shown!r} is no field", "NAME=VALUE")

    def _add_field(self, name: str, token: Token) -> None:
        if name not in FIELDS:
            shown = self.line.shown(token.start, token.start + len(name))
            self.warning(
                "ET132",
                token.start,
                token.start + len(name),
                f"no known version of KLIPS prints {shown!r}; it was passed over",
                "a patched kernel, or an edited row; the rest of the row is kept",
            )
        elif name in self.tokens or name in self.refused:
            self.error("ET136", token.start, token.end, f"{name} stands twice in this row")
            if name == "dir" and name in self.tokens and self.tokens[name].text != token.text:
                del self.tokens[name]
                self.refused.add(name)
        elif _FORMS[name].fullmatch(token.text) is None:
            self.refused.add(name)
            self.error("ET130", token.start, token.end, f"the value of {name} cannot be read")
        else:
            if self.tokens and _ORDER[name] < max(_ORDER[other] for other in self.tokens):
                self.warning(
                    "ET136",
                    token.start,
                    token.end,
                    f"{name} does not stand where KLIPS prints it",
                    "two rows may have been torn: take the table again",
                )
            self.tokens[name] = token

    def _missing(self) -> str:
        """A field that the kernel would have printed behind another one."""
        for name, following in _FOLLOWED.items():
            token = self.tokens.get(name)
            if name == "natencap" and token is not None and token.text == "na":
                following = "refcount"  # a kernel without NAT traversal has no ports to print
            if token is not None and following not in self.tokens.keys() | self.refused:
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
            self.refuse("ET130", name, f"the value of {name} cannot be read: {error}"[:200])
            return default

    def complain(self, code: str, name: str, message: str) -> None:
        """Report a field; its text is kept for the printer."""
        token = self.tokens[name]
        self.error(code, token.start, token.end, message)

    def refuse(self, code: str, name: str, message: str) -> None:
        """Report a field and forget it."""
        self.complain(code, name, message)
        del self.tokens[name]
        self.refused.add(name)
