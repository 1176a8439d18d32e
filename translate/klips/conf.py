"""Reads ipsec.conf of the KLIPS era (ipsec.conf(5)): sections, ``also``, ``%default``, includes.

The reader opens no file: an ``include`` is resolved by whoever calls it.  Keys of manual keying
become secrets at once and stand in no diagnostic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from ..diagnostics import Collector, Diagnostic, DiscreetCollector, Severity, Span
from ..secret import Secret
from .capture import clean_lines
from .connection import Configuration, Connection, Setting
from .key import is_key_setting, is_public_key, parse_key, without_keys
from .policy_groups import GROUP_CONNECTIONS
from .settings import CONN_SETTINGS, SETUP_SETTINGS, STRONGSWAN_SETTINGS, known_as, near, sideless

INCLUDE_DEPTH: Final = 10
"""Includes within includes; more is a loop."""

DEFAULT: Final = "%default"

Include = Callable[[str, str], Sequence[tuple[str, bytes]]]
"""Pattern of an ``include`` and the file it stands in, to the names and octets of its files."""

_SECTION: Final = re.compile(r"(config|conn|ca|version|include)\b[ \t]*(.*)\Z")
_SETTING: Final = re.compile(r"[ \t]+([A-Za-z][A-Za-z0-9_-]*)[ \t]*=[ \t]*(.*)\Z")
_COMMENT: Final = re.compile(r"[ \t]#.*\Z")


def looks_like_conf(text: str) -> bool:
    """Whether a text is an ipsec.conf: the head of a section, and settings below it."""
    section = False
    for line in text.splitlines()[:2000]:
        if re.match(r"(config[ \t]+setup|conn[ \t]+\S+)[ \t]*(#.*)?\Z", line):
            section = True
        elif section and line.strip() and not line.lstrip().startswith("#"):
            return bool(_SETTING.match(line))
    return False


@dataclass(slots=True)
class _Section:
    kind: str
    name: str
    span: Span
    settings: dict[str, Setting] = field(default_factory=dict)
    also: list[Setting] = field(default_factory=list)
    keys: dict[str, Secret] = field(default_factory=dict)


def read_conf(
    data: bytes, name: str, collector: Collector, *, include: Include | None = None
) -> Configuration:
    """Read a file and what it includes.  Diagnostics go to the collector; nothing is raised."""
    lines = enumerate(clean_lines(data, name, DiscreetCollector(collector)), 1)
    return read_conf_lines(lines, name, collector, include=include)


def read_conf_lines(
    lines: Iterable[tuple[int, str]],
    name: str,
    collector: Collector,
    *,
    include: Include | None = None,
) -> Configuration:
    """The same for clean lines with their numbers, which may stand anywhere in a larger text."""
    reader = _Reader(collector, include)
    reader.read(lines, name, depth=0)
    return reader.configuration()


class _Reader:
    def __init__(self, collector: Collector, include: Include | None) -> None:
        self.collector = DiscreetCollector(collector)
        self.include = include
        self.sections: list[_Section] = []
        self.current: _Section | None = None

    def read(self, lines: Iterable[tuple[int, str]], name: str, depth: int) -> None:
        """Read the lines of one file; an included one goes on where its line stands."""
        for number, line in lines:
            span = Span(name, number, 1, len(line) + 1)
            text = line.rstrip()
            if not text.strip() or text.lstrip().startswith("#"):
                continue
            if text[0] in " \t":
                self._setting(text, span)
            else:
                self._head(text, span, depth)

    def _head(self, text: str, span: Span, depth: int) -> None:
        match = _SECTION.match(_without_comment(text))
        if match is None:
            self.current = None
            self._tell(
                "ET160",
                Severity.ERROR,
                "this line begins no section, and a setting is indented",
                span,
                text,
                expected="config setup, conn NAME, include FILE, or an indented name=value",
            )
            return
        kind, rest = match[1], match[2].strip()
        if kind == "include":
            self._include(rest, span, depth)
            return
        if kind == "version":
            return
        if kind == "ca":
            self.current = _Section("ca", rest, span)
            return
        wanted = "setup" if kind == "config" else "a name without blanks"
        if (kind == "config" and rest != "setup") or not rest or len(rest.split()) != 1:
            self.current = _Section("unknown", rest, span)
            self._tell(
                "ET160",
                Severity.ERROR,
                f"the head of a {kind} section cannot be read: its settings are not read",
                span,
                text,
                expected=f"{kind} and {wanted}",
            )
            return
        self.current = _Section(kind, rest, span)
        if kind == "conn" and rest != DEFAULT and any(s.name == rest for s in self._conns()):
            self._tell(
                "ET164",
                Severity.ERROR,
                f"there are two connections {rest!r}: the daemon took neither for sure",
                span,
                text,
                hint="give one of them another name, or remove it",
            )
        self.sections.append(self.current)

    def _include(self, pattern: str, span: Span, depth: int) -> None:
        problem = ""
        if depth >= INCLUDE_DEPTH:
            problem = f"more than {INCLUDE_DEPTH} includes within each other"
        elif self.include is None and pattern.endswith("/no_oe.conf"):
            self._no_oe(span)
            return
        elif self.include is None:
            problem = "files are not included here"
        if not problem and self.include is not None:
            try:
                files = self.include(pattern.strip('"'), span.file)
            except OSError as error:
                problem, files = error.strerror or str(error), ()
            if not files and not problem and not any(sign in pattern for sign in "*?["):
                if pattern.endswith("/no_oe.conf"):
                    self._no_oe(span)
                    return
                problem = "there is no such file"
            for name, data in files:
                self.read(enumerate(clean_lines(data, name, self.collector), 1), name, depth + 1)
        if problem:
            self._tell(
                "ET163",
                Severity.ERROR,
                f"cannot include {pattern}: {problem}",
                span,
                hint="give the folder that holds ipsec.conf, with all files that it includes",
            )

    def _no_oe(self, span: Span) -> None:
        """Take the file of the distribution for what it was: it turns the built-in groups off."""
        self._tell(
            "ET163",
            Severity.WARNING,
            "no_oe.conf is not at hand; it is taken as it was delivered, and turns opportunistic"
            " encryption off",
            span,
            hint="give the file too, if somebody changed it",
        )
        held = {section.name for section in self._conns()}
        for name in GROUP_CONNECTIONS:
            if name not in held:
                auto = Setting("auto", "ignore", span)
                self.sections.append(_Section("conn", name, span, {"auto": auto}))
        self.current = None

    def _setting(self, text: str, span: Span) -> None:
        match = _SETTING.match(text)
        if match is None:
            self._tell(
                "ET160",
                Severity.ERROR,
                "a setting cannot be read",
                span,
                text,
                expected="name=value",
            )
            return
        if self.current is None:
            self._tell(
                "ET160",
                Severity.ERROR,
                "a setting outside of any section",
                span,
                text,
                expected="config setup or conn NAME above it",
            )
            return
        section, name = self.current, match[1]
        if section.kind in ("ca", "unknown"):
            return
        value = _value(match[2])
        if not is_public_key(name):
            value = value if is_key_setting(name) else without_keys(value)
        place = Span(span.file, span.line, match.start(1) + 1, len(text) + 1)
        if is_key_setting(name):
            self._key(section, name, value, place)
            return
        setting = Setting(name, value, place)
        if name in ("also", "alsoflip"):
            section.also.append(setting)
            return
        known = SETUP_SETTINGS if section.kind == "config" else CONN_SETTINGS
        shared, side = sideless(name)
        if shared in STRONGSWAN_SETTINGS:
            self._tell(
                "ET161",
                Severity.NOTE,
                f"{name} is a setting of strongSwan; it is kept, and changes nothing here",
                place,
                text,
            )
        elif not known_as(shared, known):
            guess = near(shared, known)
            guess = side + guess.removeprefix("side") if side and guess[:4] == "side" else guess
            self._tell(
                "ET161",
                Severity.WARNING,
                f"{name} is no setting of {section.kind} sections of that time",
                place,
                text,
                hint=f"{guess} was meant?" if guess else "it is kept, and changes nothing here",
            )
        if name in section.settings:
            self._tell(
                "ET164",
                Severity.WARNING,
                f"{name} stands twice in this section; the last one counts",
                place,
                text,
            )
        section.settings[name] = setting

    def _key(self, section: _Section, name: str, value: str, place: Span) -> None:
        try:
            section.keys[name] = parse_key(value)
        except ValueError as error:
            if value.startswith("[sums to"):
                self._tell(
                    "ET165",
                    Severity.ERROR,
                    f"the key {name} is not here: ipsec barf put a sum in its place",
                    place,
                    hint="give ipsec.conf itself, or a script with the keys",
                )
                return
            self._tell(
                "ET165",
                Severity.ERROR,
                f"the key {name} cannot be read: {error}",
                place,
                expected="0x and hexadecimal digits, 0s and base64, or 0t and text",
            )

    def _conns(self) -> Iterator[_Section]:
        return (section for section in self.sections if section.kind == "conn")

    # -- putting together

    def configuration(self) -> Configuration:
        """Resolve ``%default`` and ``also``."""
        by_name: dict[str, _Section] = {}
        defaults = _Section("conn", DEFAULT, Span("", 0))
        setup: dict[str, Setting] = {}
        for section in self.sections:
            if section.kind == "config":
                setup.update(section.settings)
            elif section.name == DEFAULT:
                defaults.settings.update(section.settings)
                defaults.keys.update(section.keys)
                defaults.also.extend(section.also)
            else:
                by_name.setdefault(section.name, section)
        connections = tuple(
            self._connection(section, by_name, defaults) for section in by_name.values()
        )
        return Configuration(setup, connections)

    def _connection(
        self, section: _Section, by_name: dict[str, _Section], defaults: _Section
    ) -> Connection:
        settings = dict(section.settings)
        keys = dict(section.keys)
        seen = {section.name}
        waiting = [*section.also]
        while waiting:
            also = waiting.pop(0)
            other = by_name.get(also.value)
            if other is None or also.value in seen:
                why = "there is no such connection" if other is None else "it is taken over already"
                self._tell(
                    "ET162",
                    Severity.ERROR if other is None else Severity.WARNING,
                    f"also={also.value} in {section.name}: {why}",
                    also.span,
                )
                continue
            seen.add(also.value)
            flip = also.name == "alsoflip"
            for name, setting in other.settings.items():
                settings.setdefault(_flipped(name) if flip else name, setting)
            for name, key in other.keys.items():
                keys.setdefault(_flipped(name) if flip else name, key)
            waiting.extend(other.also)
        for name, setting in defaults.settings.items():
            settings.setdefault(name, setting)
        for name, key in defaults.keys.items():
            keys.setdefault(name, key)
        included = any(
            also.value == section.name for other in by_name.values() for also in other.also
        )
        return Connection(section.name, section.span, settings, keys, included)

    def _tell(
        self,
        code: str,
        severity: Severity,
        message: str,
        span: Span,
        excerpt: str = "",
        *,
        expected: str = "",
        hint: str = "",
    ) -> None:
        # What could not be read may hold a key anywhere.
        strict = code == "ET160"
        self.collector.add(
            Diagnostic(
                code,
                severity,
                without_keys(message, strict=strict),
                span,
                without_keys(excerpt, strict=strict),
                expected=without_keys(expected, strict=strict),
                hint=hint,
            )
        )


def _flipped(name: str) -> str:
    for one, other in (("left", "right"), ("right", "left")):
        if name.startswith(one):
            return other + name[len(one) :]
    return name


def _without_comment(text: str) -> str:
    return _COMMENT.sub("", text)


def _value(text: str) -> str:
    """The value, without quotes around it, or a comment behind it."""
    text = text.strip()
    if text.startswith('"'):
        end = text.find('"', 1)
        return text[1:end] if end > 0 else text[1:]
    return _without_comment(" " + text)[1:].rstrip() if "#" in text else text
