"""Which part of a text a line stands in: headings of captures, prompts, and whose they are.

A capture of a host is a pile of tables: ``ipsec barf`` and ``ipsec look``, a console with prompts,
what ``tail`` and ``head`` print of several files.  Rows are known by their shape; the section
tells what a shape cannot (the table of a route, the name of a sysctl) and where one host ends and
another begins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

from .routes import NO_CONTEXT, RouteContext


class Kind(StrEnum):
    """What a section holds, as far as its heading tells."""

    ANY = ""
    EROUTE = "eroute"
    SPI = "spi"
    SPIGRP = "spigrp"
    TNCFG = "tncfg"
    VERSION = "version"
    ROUTE = "route"
    RULE = "rule"
    ADDRESS = "address"
    PARAMETER = "parameter"
    CONFIGURATION = "configuration"
    """ipsec.conf, policy groups, secrets: kept from the readers of tables."""
    LOG = "log"
    """What somebody reported, not a table: a row quoted in it does not hold."""


class Section(NamedTuple):
    """A stretch of lines below one heading.

    ``place`` numbers the hosts of a text in the order in which they appear, ``host`` is the name
    (empty if no line tells it).  ``number`` counts sections; ``name`` is what the heading says:
    a file, a command.  ``barf`` tells that lines starting with ``+`` are the shell's trace.
    ``partial`` tells that the command itself left rows out (``grep``, ``dev eth0``).
    """

    kind: Kind = Kind.ANY
    name: str = ""
    host: str = ""
    place: int = 0
    number: int = 0
    barf: bool = False
    partial: bool = False
    routes: RouteContext = NO_CONTEXT


NO_SECTION: Final = Section()
"""The start of a text that nothing is known of."""


_HOST: Final = r"[A-Za-z][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)*"
_MONTH: Final = r"[^\W\d_]{3,5}\.?"
_DATE: Final = (
    rf"[^\W\d_]{{2,4}}[.,]* +(?:{_MONTH} +[0-9]{{1,2}}\.?|[0-9]{{1,2}}\.? +{_MONTH})"
    r"(?: +[0-9]{4})?,? +[0-9]{1,2}:[0-9]{2}:[0-9]{2}"
    r"(?: [AP]M)?(?: [A-Z0-9+:-]{1,6})?(?: [0-9]{4})?"
)
BARF_HEADING: Final = re.compile(r"\+ _{10,} +(\S.*?)\s*\Z")
DATE_LINE: Final = re.compile(rf"{_DATE}\s*\Z")
"""What ``date`` prints: a head of ``ipsec barf``, and what stands between two prints of a table."""

_HOST_LINE: Final = re.compile(rf"({_HOST})\s*\Z", re.ASCII)
LOOK_HEADING: Final = re.compile(rf"({_HOST}) +{_DATE}\s*\Z")
_LOOK_HEADING_OF_COMMAND: Final = re.compile(rf"({_HOST}) +\S.*\Z", re.ASCII)
FILE_HEADING: Final = re.compile(r"==> (\S.*?) <==\s*\Z")
_BRACKET_PROMPT: Final = re.compile(rf"\[\w+@({_HOST}) [^\]]*\][#$>](?: (.*))?\Z")
_STRONG_PROMPT: Final = re.compile(rf"(?:\w+@)?({_HOST}):[^\s#$>]*[#$>](?:\s(.*))?\Z")
_AT_PROMPT: Final = re.compile(rf"\w+@({_HOST}) ?[#$>](?: (.*))?\Z")
_WEAK_PROMPT: Final = re.compile(rf"({_HOST}) [#$](?: (.*))?\Z", re.ASCII)
_NAMELESS_PROMPT: Final = re.compile(
    r"[#$] +(.*(?:ipsec|/proc/net|\bip +-?\w|netstat|ifconfig).*)\Z"
)

_COMMAND: Final = re.compile(
    r"(?:sudo +)?(?:/\S*/)?(?:cat|more|less|head|tail|e?grep|netstat|route|ifconfig|sysctl"
    r"|ip +(?:-|addr|a\b|route|r\b|ru)"
    r"|ipsec +(?:eroute|spi|spigrp|tncfg|look|barf|auto|verify|whack|version|--version))\b"
)
"""What a person types at a prompt, as a comment does not begin."""

_HEADINGS_OF_LOOK: Final = {
    "ROUTING TABLES": Kind.ROUTE,
    "ROUTING TABLE": Kind.ROUTE,
    "IPSEC mangle TABLES": Kind.ANY,
    "NEW_IPSEC_CONN mangle TABLES": Kind.ANY,
    "mangle TABLES": Kind.ANY,
    "NSS_CERTIFICATES": Kind.CONFIGURATION,
}

_FIRST_OF_BARF: Final = frozenset({"version", "proc/version", "proc/net/ipsec_eroute"})
"""Headings after which a barf that shows them again is another barf."""

_KIND_OF_FILE: Final = (
    (re.compile(r"(?:ipsec_|ipsec/)eroute(?:/all)?\Z"), Kind.EROUTE),
    (re.compile(r"(?:ipsec_|ipsec/)spi(?:/all)?\Z"), Kind.SPI),
    (re.compile(r"(?:ipsec_|ipsec/)spigrp(?:/all)?\Z"), Kind.SPIGRP),
    (re.compile(r"(?:ipsec_|ipsec/)tncfg\Z"), Kind.TNCFG),
    (re.compile(r"(?:ipsec_|ipsec/)version\Z"), Kind.VERSION),
    (re.compile(r"sys/net/ipsec(?:/|-star)"), Kind.PARAMETER),
    (re.compile(r"ipsec\.conf|ipsec\.secrets|ipsec\.d/|ipsec/(?:conf|secrets|policies|list)"),
     Kind.CONFIGURATION),
    (re.compile(r"var/log/|(?:\A|/)(?:plog|klog|ps|ls-\w+|updowns|directory|status|dmesg)\Z"
                r"|ipsec/(?:ls-|updowns|status|directory|doc)"), Kind.LOG),
    (re.compile(r"netstat-|ip-(?:6-)?route|(?:\A|/)routes?\Z"), Kind.ROUTE),
    (re.compile(r"ip-(?:6-)?rule"), Kind.RULE),
    (re.compile(r"ifconfig|ip-(?:6-)?addr"), Kind.ADDRESS),
)  # fmt: skip

_VERBS_OF_IPSEC: Final = {
    "eroute": Kind.EROUTE,
    "spi": Kind.SPI,
    "spigrp": Kind.SPIGRP,
    "tncfg": Kind.TNCFG,
    "version": Kind.VERSION,
    "--version": Kind.VERSION,
    "auto": Kind.LOG,
    "whack": Kind.LOG,
}


def kind_of_file(name: str) -> Kind:
    """What a file of a host, or the section of a barf that is named after it, holds."""
    for pattern, kind in _KIND_OF_FILE:
        if pattern.search(name):
            return kind
    return Kind.ANY


def same_host(one: str, other: str) -> bool:
    """Whether two names are of one host: a short name is the same as its long form."""
    if "." in one and "." in other:
        return one.lower() == other.lower()
    return one.partition(".")[0].lower() == other.partition(".")[0].lower()


LOOK: Final = "ipsec look"
"""Name of the section that a head of ``ipsec look`` begins: a table of its own follows."""


class Sectioner:
    """Goes through the lines of a text that are no eroutes; knows the section of each.

    ``section`` is the one of the line that was given last.
    """

    def __init__(self, lines: Sequence[str], section: Section = NO_SECTION) -> None:
        self._lines = lines
        self.section = section
        self._places = section.place
        self._seen: set[str] = set()
        self._bare_prompt = False
        self._awaits_look = False

    def heading(self, index: int) -> bool:
        """Whether the line at an index is a heading, a prompt or the shell's trace."""
        line = self._lines[index]
        awaits, self._awaits_look = self._awaits_look, False
        bare, self._bare_prompt = self._bare_prompt, False
        if self.section.barf and line.startswith("+"):
            return self._trace(line)
        if (match := BARF_HEADING.match(line)) is not None:
            self._barf(match[1])
            return True
        if (match := FILE_HEADING.match(line)) is not None:
            self._begin(kind_of_file(match[1]), match[1])
            return True
        if self._head(index, line, awaits=awaits):
            return True
        if ("#" in line or "$" in line or ">" in line) and self._prompt(line):
            return True
        if bare and line.startswith(" ") and len(line) > 1 and line[1] != " ":
            # Some consoles show the command on the line behind the prompt.
            self._command(line.strip())
            return True
        kind = _HEADINGS_OF_LOOK.get(line.strip())
        if kind is not None:
            self._begin(kind, line.strip())
            return True
        return False

    def _trace(self, line: str) -> bool:
        match = BARF_HEADING.match(line)
        if match is not None:
            self._barf(match[1])
        return True

    def _barf(self, name: str) -> None:
        plain = name.lstrip("/")
        first = plain in _FIRST_OF_BARF
        if not self.section.barf:
            self._seen = set()
        elif first and plain in self._seen:
            self._host("", always=True)
            self._seen = set()
        if first:
            self._seen.add(plain)
        self._begin(kind_of_file(plain), name, barf=True)

    def _head(self, index: int, line: str, *, awaits: bool) -> bool:
        """The head of ``ipsec look`` on one line, or of ``ipsec barf`` on two."""
        match = LOOK_HEADING.match(line)
        if match is None and awaits:
            # A date in another form, or taken out of a published log: the name must be known.
            match = _LOOK_HEADING_OF_COMMAND.match(line)
            if match is not None and not same_host(match[1], self.section.host):
                match = None
        if match is not None:
            self._host(match[1])
            self._begin(Kind.ANY, LOOK)
            return True
        if (match := _HOST_LINE.match(line)) is not None and self._date_and_barf(index + 1):
            self._host(match[1])
            self._seen = set()
            self._begin(Kind.ANY, "ipsec barf", barf=True)
            return True
        return self.section.barf and DATE_LINE.match(line) is not None

    def _date_and_barf(self, index: int) -> bool:
        following = self._lines[index : index + 3]
        return (
            len(following) > 1
            and DATE_LINE.match(following[0]) is not None
            and any(BARF_HEADING.match(line) for line in following[1:])
        )

    def _prompt(self, line: str) -> bool:
        for pattern in (_BRACKET_PROMPT, _STRONG_PROMPT, _AT_PROMPT, _WEAK_PROMPT):
            match = pattern.match(line)
            # A barf holds configuration and logs, in which much looks like a short prompt.
            written = self.section.barf or self.section.kind is Kind.CONFIGURATION
            if match is None or (written and pattern is _WEAK_PROMPT):
                continue
            self._host(match[1])
            self._command((match[2] or "").strip())
            return True
        match = None if self.section.barf else _NAMELESS_PROMPT.match(line)
        if match is not None and self.section.kind is Kind.CONFIGURATION:
            # A comment of ipsec.conf looks like such a prompt.
            match = match if _COMMAND.match(match[1]) else None
        if match is not None:
            self._command(match[1])
        return match is not None

    def _command(self, command: str) -> None:
        self._bare_prompt = not command
        words = command.removeprefix("sudo ").split()
        kind, routes, partial = _of_command(words)
        name = command if kind is not Kind.CONFIGURATION else _file_of(words, partial=partial)
        self._begin(kind, name, routes=routes, partial=partial)
        program = words[0].rpartition("/")[2] if words else ""
        self._awaits_look = program == "ipsec" and words[1:2] == ["look"]

    def _host(self, name: str, *, always: bool = False) -> None:
        """Go over to the host of this name; a short name is the same as its long form."""
        held = self.section.host
        if not always and (not held or same_host(held, name)):
            if not held:
                self.section = self.section._replace(host=name)
            return
        self._places += 1
        self.section = Section(host=name, place=self._places, number=self.section.number)

    def named(self, name: str) -> None:
        """Take over a host name that a row told (``hostname/fqdn`` of a barf)."""
        self.section = self.section._replace(host=name)

    def _begin(
        self,
        kind: Kind,
        name: str,
        *,
        barf: bool = False,
        routes: RouteContext = NO_CONTEXT,
        partial: bool = False,
    ) -> None:
        old = self.section
        self.section = Section(
            kind, name, old.host, old.place, old.number + 1, barf, partial, routes
        )


def _file_of(words: list[str], *, partial: bool) -> str:
    """The file that a command shows; none where it left lines out, other than comments."""
    if partial and "-v" not in words:
        return "configuration"
    return next(word for word in words if kind_of_file(word) is Kind.CONFIGURATION)


def _of_command(words: list[str]) -> tuple[Kind, RouteContext, bool]:
    """What a command prints, and what its rows leave out."""
    context = RouteContext()
    if not words or any(word in (";", "&&", "||") or word.endswith(";") for word in words):
        return Kind.ANY, context, True
    program = words[0].rpartition("/")[2]
    partial = "|" in words
    match program:
        case "ipsec":
            return _VERBS_OF_IPSEC.get(" ".join(words[1:2]), Kind.ANY), context, partial
        case "cat" | "sort" | "head" | "tail" | "more" | "less":
            files = [word for word in words[1:] if "/" in word or "ipsec" in word]
            kind = kind_of_file(files[0]) if len(files) == 1 else Kind.ANY
            return kind, context, partial or program in ("head", "tail")
        case "grep" | "egrep":
            return kind_of_file(words[-1]), context, True
        case "dmesg" | "journalctl" | "ps" | "ls" | "find":
            return Kind.LOG, context, partial
        case "netstat" | "route":
            return Kind.ROUTE, context, partial
        case "ifconfig":
            return Kind.ADDRESS, context, partial
        case "ip":
            return _of_ip(words[1:], partial=partial)
        case _:
            return Kind.ANY, context, True


def _of_ip(words: list[str], *, partial: bool) -> tuple[Kind, RouteContext, bool]:
    family = 6 if "-6" in words or "inet6" in words else 4
    words = [word for word in words if not word.startswith("-") and word != "inet6"]
    first = words[0] if words else ""
    if first and "rule".startswith(first) and len(first) > 1:
        return Kind.RULE, RouteContext(family), partial
    if first and "address".startswith(first):
        return Kind.ADDRESS, RouteContext(family), partial
    if first and "route".startswith(first):
        pairs = dict(pairwise(words))
        table = pairs.get("table", "main")
        context = RouteContext(family, "main" if table == "all" else table, pairs.get("dev", ""))
        filtered = not {"show", "list", "ls", "lst", "table", table}.issuperset(words[1:])
        return Kind.ROUTE, context, partial or filtered
    return Kind.ANY, RouteContext(), True
