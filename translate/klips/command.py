"""The command line of ``ipsec eroute``: the whole option grammar of ipsec_eroute(8).

The tool used getopt_long(3): unique abbreviations, ``--option value`` and ``--option=value``, any
order.  What the tool of its time would not have done as it was told is said, and translated as it
was meant, as long as that is certain.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from ..diagnostics import Collector, Diagnostic, Severity, Span
from ..net import IPPROTO_TCP, IPPROTO_UDP, PROTOCOL_NUMBERS, Prefix, Selector
from .address import format_subnet, parse_klips_address, parse_subnet
from .eroute import Eroute, Form
from .said import PREFIXES, SA_INT, Said, format_said, parse_said


class Word(NamedTuple):
    """One word of a command line and its place."""

    text: str
    span: Span


class Action(StrEnum):
    """What a command does; ``LIST`` is no action at all, and the tool printed the table."""

    ADD = "add"
    ADD_IN = "addin"
    REPLACE = "replace"
    REPLACE_IN = "replacein"
    DELETE = "del"
    CLEAR = "clear"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class ErouteCommand:
    """One command.

    ``eroute`` is ``None`` for ``CLEAR`` and ``LIST``; for ``DELETE`` it has no SAID.
    """

    action: Action
    eroute: Eroute | None
    span: Span
    label: str = ""
    debug: bool = False


ACTIONS: Final = {
    "add": Action.ADD,
    "addin": Action.ADD_IN,
    "replace": Action.REPLACE,
    "replacein": Action.REPLACE_IN,
    "del": Action.DELETE,
    "clear": Action.CLEAR,
}
VALUES: Final = (
    "eraf",
    "src",
    "dst",
    "transport-proto",
    "src-port",
    "dst-port",
    "said",
    "af",
    "edst",
    "spi",
    "proto",
    "label",
    "optionsfrom",
)
FLAGS: Final = (*ACTIONS, "debug", "help", "version")

# /etc/services of the time, as far as eroutes were ever made for them: a fixed table, so that a
# command means the same on every host.
SERVICES: Final = {
    "ftp-data": 20,
    "ftp": 21,
    "ssh": 22,
    "telnet": 23,
    "smtp": 25,
    "time": 37,
    "domain": 53,
    "bootps": 67,
    "bootpc": 68,
    "tftp": 69,
    "http": 80,
    "www": 80,
    "kerberos": 88,
    "pop3": 110,
    "sunrpc": 111,
    "nntp": 119,
    "ntp": 123,
    "netbios-ns": 137,
    "netbios-dgm": 138,
    "netbios-ssn": 139,
    "imap": 143,
    "imap2": 143,
    "snmp": 161,
    "snmp-trap": 162,
    "bgp": 179,
    "ldap": 389,
    "https": 443,
    "microsoft-ds": 445,
    "isakmp": 500,
    "syslog": 514,
    "printer": 515,
    "route": 520,
    "ldaps": 636,
    "imaps": 993,
    "pop3s": 995,
    "l2tp": 1701,
    "l2f": 1701,
    "pptp": 1723,
    "radius": 1812,
    "nfs": 2049,
    "mysql": 3306,
    "ipsec-nat-t": 4500,
    "sip": 5060,
    "postgresql": 5432,
}

_FAMILIES: Final = {"inet": 4, "inet6": 6}
_SPI_FIRST: Final = 0x100


def parse_eroute_command(words: Sequence[Word], collector: Collector) -> ErouteCommand | None:
    """Read the words after ``ipsec eroute``.

    Every problem goes to the collector; ``None`` when one of them is an error.
    """
    reader = _Reader(words, collector)
    reader.read()
    return reader.finish()


class _Reader:
    """One command being read."""

    def __init__(self, words: Sequence[Word], collector: Collector) -> None:
        self.words = words
        self.collector = collector
        self.line = _line(words)
        self.values: dict[str, Word] = {}
        self.actions: list[tuple[Action, Word]] = []
        self.debug = False
        self.order: list[str] = []
        self.failed = False

    # -- diagnostics

    def error(self, code: str, word: Word | None, message: str, expected: str, hint: str) -> None:
        self.failed = True
        self._say(code, Severity.ERROR, word, message, expected, hint)

    def warn(self, word: Word | None, message: str, hint: str = "") -> None:
        self._say("ET123", Severity.WARNING, word, message, "", hint)

    def _say(
        self,
        code: str,
        severity: Severity,
        word: Word | None,
        message: str,
        expected: str,
        hint: str,
    ) -> None:
        span = word.span if word is not None else self._whole()
        self.collector.add(Diagnostic(code, severity, message, span, self.line, expected, hint))

    def _whole(self) -> Span:
        if not self.words:
            return Span("<command line>", 1)
        first, last = self.words[0].span, self.words[-1].span
        same_line = first.line == last.line
        return first._replace(
            end_column=last.end_column if same_line else first.end_column, end_line=last.line
        )

    # -- getopt_long

    def read(self) -> None:
        """Sort the words into actions and values."""
        index = 0
        while index < len(self.words):
            word = self.words[index]
            index += 1
            if word.text == "--":
                for extra in self.words[index:]:
                    self._stray(extra)
                return
            if not word.text.startswith("--"):
                self._stray(word)
                continue
            name, equals, given = word.text[2:].partition("=")
            option = self._option(name, word)
            if option is None:
                continue
            if option in FLAGS:
                if equals:
                    self.error("ET120", word, f"--{option} takes no value", f"--{option}", "")
                self._flag(option, word)
                continue
            if not equals:
                if index >= len(self.words):
                    self.error("ET121", word, f"--{option} needs a value", f"--{option} VALUE", "")
                    continue
                value = self.words[index]
                index += 1
            else:
                start = word.span.column + len(word.text) - len(given)
                value = Word(given, word.span._replace(column=start))
            self._value(option, word, value)

    def _stray(self, word: Word) -> None:
        self.error(
            "ET120",
            word,
            f"{word.text!r} belongs to no option",
            "an option",
            "ipsec eroute takes options alone; quote a value that has blanks",
        )

    def _option(self, name: str, word: Word) -> str | None:
        """The option that a name or a unique abbreviation means."""
        known = (*FLAGS, *VALUES)
        if name in known:
            return name
        fitting = [option for option in known if name and option.startswith(name)]
        if len(fitting) == 1:
            return fitting[0]
        self.error(
            "ET120",
            word,
            f"--{name} is ambiguous: {', '.join('--' + o for o in fitting)}"
            if fitting
            else f"--{name} is no option of ipsec eroute",
            "one of " + ", ".join("--" + o for o in known),
            "",
        )
        return None

    def _flag(self, option: str, word: Word) -> None:
        if option == "debug":
            self.debug = True
        elif option in ACTIONS:
            self.actions.append((ACTIONS[option], word))
        # --help and --version print and do nothing else: like a list, no change.

    def _value(self, option: str, word: Word, value: Word) -> None:
        if option == "optionsfrom":
            self.error(
                "ET120",
                word,
                "--optionsfrom is not read: its file may not be the one of the old host",
                "the options themselves",
                "put the options of the file on the command line",
            )
            return
        if option in self.values:
            self.error("ET120", word, f"--{option} stands twice", f"--{option} once", "")
            return
        self.values[option] = value
        self.order.append(option)

    # -- meaning

    def finish(self) -> ErouteCommand | None:
        """Make the command of what was read."""
        action = self._action()
        eroute: Eroute | None = None
        label = self.values["label"].text if "label" in self.values else ""
        if action in (Action.CLEAR, Action.LIST):
            unused = [o for o in self.order if o != "label"]
            if unused and not self.failed:
                what = "--clear" if action is Action.CLEAR else "no action"
                self.error(
                    "ET121",
                    self.values[unused[0]],
                    f"--{unused[0]} with {what}",
                    "one of --add, --replace, --del",
                    "name the action",
                )
        else:
            eroute = self._eroute(action)
        if self.failed:
            return None
        return ErouteCommand(action, eroute, self._whole(), label, self.debug)

    def _action(self) -> Action:
        if not self.actions:
            return Action.LIST
        for other, word in self.actions[1:]:
            self.error(
                "ET120",
                word,
                f"--{other} beside --{self.actions[0][0]}",
                "exactly one action",
                "",
            )
        action, word = self.actions[0]
        if action is Action.REPLACE:
            self._say(
                "ET123",
                Severity.NOTE,
                word,
                "tools before mid-2007 took --replace for --add; later ones failed when there was"
                " no eroute to replace",
                "",
                "",
            )
        if action in (Action.ADD_IN, Action.REPLACE_IN):
            self.warn(word, f"--{action} did what it says from Openswan 2.6.34 on only")
        return action

    def _eroute(self, action: Action) -> Eroute | None:
        family = self._family("eraf")
        source = self._subnet("src", family)
        destination = self._subnet("dst", family)
        protocol = self._protocol()
        source_port = self._port("src-port", source)
        destination_port = self._port("dst-port", destination)
        self._check_ports(protocol, source_port, destination_port)
        said = None if action is Action.DELETE else self._said()
        if source is None or destination is None or self.failed:
            return None
        one, other = source[0], destination[0]
        if one.family != other.family:
            self.error(
                "ET104",
                self.values["dst"],
                "--src and --dst are of two address families",
                "two subnets of one family",
                "",
            )
            return None
        self._check_order(one.family, source_port or destination_port)
        if protocol and one.family == 6:
            self.warn(
                self.values["transport-proto"],
                "a protocol on an IPv6 eroute never worked: the kernel wrote it into the source"
                " address; it is taken as it was meant",
            )
        selector = Selector(one, other, protocol, source_port, destination_port)
        saids = () if said is None else (said,)
        return Eroute(selector, saids, self._whole(), None, None, Form.COMMAND.value)

    def _family(self, option: str) -> int | None:
        word = self.values.get(option)
        if word is None:
            return None
        family = _FAMILIES.get(word.text)
        if family is None:
            self.error("ET122", word, f"{word.text!r} is no address family", "inet or inet6", "")
        return family

    def _subnet(self, option: str, family: int | None) -> tuple[Prefix, int] | None:
        word = self.values.get(option)
        if word is None:
            self.error("ET121", None, f"--{option} is missing", f"--{option} ADDRESS/BITS", "")
            return None
        text, port = word.text, 0
        head, colon, tail = text.rpartition(":")
        mask = head.partition("/")[2]
        if colon and "/" in head and mask and ":" not in mask:
            text = head
            number = _c_number(tail)
            if number is None or number > 0xFFFF:
                self._bad_port(word, tail)
            else:
                port = number
        try:
            prefix = parse_subnet(text, family)
        except ValueError as error:
            mixed = family is not None and ("IPv6" in str(error)) != (family == 6)
            self.error(
                "ET104" if mixed else "ET102",
                word,
                f"--{option}: {error}",
                "ADDRESS/BITS, ADDRESS/MASK or %default",
                "host names are not looked up: write the address",
            )
            return None
        # The tool clears host bits before it sends.
        return prefix.network, port

    def _protocol(self) -> int:
        word = self.values.get("transport-proto")
        if word is None:
            return 0
        number = PROTOCOL_NUMBERS.get(word.text.lower())
        if number is None:
            number = _c_number(word.text)
        if number is None or number > 255:
            self.error(
                "ET105",
                word,
                f"{word.text!r} is no transport protocol",
                "a name from /etc/protocols, or 0 to 255",
                "",
            )
            return 0
        return number

    def _port(self, option: str, subnet: tuple[Prefix, int] | None) -> int:
        word = self.values.get(option)
        inline = 0 if subnet is None else subnet[1]
        if word is None:
            return inline
        number = SERVICES.get(word.text)
        if number is None:
            number = _c_number(word.text)
        if number is None or number > 0xFFFF:
            self._bad_port(word, word.text)
            return 0
        if inline and inline != number:
            self.error(
                "ET105", word, f"port {number} here and {inline} behind the subnet", "one port", ""
            )
        return number

    def _bad_port(self, word: Word, text: str) -> None:
        self.error(
            "ET105",
            word,
            f"{text!r} is no port",
            "0 to 65535, or a well-known name",
            "the tool let larger numbers wrap; write the number that was meant",
        )

    def _check_ports(self, protocol: int, source_port: int, destination_port: int) -> None:
        if (source_port or destination_port) and protocol not in (IPPROTO_TCP, IPPROTO_UDP):
            self.error(
                "ET121",
                self.values.get("transport-proto"),
                "ports need a protocol that has them",
                "--transport-proto tcp or udp",
                "",
            )

    def _check_order(self, family: int, port: int) -> None:
        """--src and --dst are read at once, with the family known by then."""
        if "eraf" not in self.values:
            if port:
                self.warn(
                    None,
                    "without --eraf the tool dropped the ports silently; they are taken as they"
                    " were meant",
                )
            return
        late = [o for o in ("src", "dst") if self.order.index(o) < self.order.index("eraf")]
        if late:
            self.warn(
                self.values["eraf"],
                f"--eraf stands behind --{late[0]}, where the tool did not know the family yet",
            )
        if _FAMILIES[self.values["eraf"].text] != family:
            self.error("ET104", self.values["eraf"], "--eraf is another family than --src", "", "")

    # -- the SA

    def _said(self) -> Said | None:
        parts = [o for o in ("af", "edst", "spi", "proto") if o in self.values]
        word = self.values.get("said")
        if word is not None:
            for option in parts:
                self.error(
                    "ET120",
                    self.values[option],
                    f"--{option} beside --said",
                    "--said alone, or --af --edst --spi --proto",
                    "",
                )
            try:
                return self._usable(parse_said(word.text), word)
            except ValueError as error:
                self.error("ET103", word, str(error), "a SAID", "")
                return None
        missing = [o for o in ("af", "edst", "spi", "proto") if o not in self.values]
        if missing:
            self.error(
                "ET121",
                None,
                "the SA is not named: " + ", ".join(f"--{o}" for o in missing) + " missing"
                if parts
                else "the SA is not named",
                "--said SAID, or --af --edst --spi --proto",
                "",
            )
            return None
        return self._said_of_parts()

    def _said_of_parts(self) -> Said | None:
        family = self._family("af")
        spi_word, proto_word = self.values["spi"], self.values["proto"]
        edst_word = self.values["edst"]
        spi = _c_number(spi_word.text)
        if spi is None or spi > 0xFFFFFFFF:
            self.error("ET122", spi_word, f"{spi_word.text!r} is no SPI", "32 bits", "")
        protocol = PREFIXES.get(proto_word.text)
        if protocol is None or protocol == SA_INT:
            self.error(
                "ET122",
                proto_word,
                f"{proto_word.text!r} is no protocol of an SA",
                "ah, esp, tun or comp",
                "",
            )
        destination = None
        if family is not None:
            try:
                destination = parse_klips_address(edst_word.text, family)[1]
            except ValueError as error:
                self.error("ET102", edst_word, f"--edst: {error}", "an address", "")
        if self.failed or protocol is None or spi is None:
            return None
        if family is None or destination is None:
            return None
        return self._usable(Said(protocol, spi, family, destination), spi_word)

    def _usable(self, said: Said, word: Word) -> Said | None:
        """The tool refused SPIs below 0x100, and with them %passthrough, which it lists."""
        if said.unknown:
            self.error("ET103", word, f"{word.text!r} names no SA and no shunt", "a SAID", "")
            return None
        if said.protocol == SA_INT:
            return said
        if said.is_passthrough:
            self.warn(word, "the tool listed %passthrough but refused to install it")
        elif said.spi < _SPI_FIRST:
            self.warn(word, f"the tool refused SPIs below {_SPI_FIRST:#x} (RFC 4303 reserves them)")
        return said


def _c_number(text: str) -> int | None:
    """A number as strtoul(3) reads it with base 0, or ``None``."""
    if not text.isascii() or not text or len(text) > 20 or "_" in text or text[0] in "+- ":
        return None
    try:
        if text[0] == "0" and text[1:].isdecimal():
            return int(text, 8)
        return int(text, 0)
    except ValueError:
        return None


def _line(words: Sequence[Word]) -> str:
    """The source line that the words stand in, blanks where nothing is known."""
    line = ""
    for word in words:
        if word.span.line != words[0].span.line:
            break
        line = line.ljust(word.span.column - 1) + word.text
    return line


def format_eroute_command(command: ErouteCommand) -> str:
    """Print a command in one fixed form, quoted for a shell."""
    words = ["ipsec", "eroute"]
    if command.debug:
        words.append("--debug")
    if command.action is not Action.LIST:
        words.append(f"--{command.action}")
    eroute = command.eroute
    if eroute is not None:
        selector = eroute.selector
        words += ["--eraf", "inet" if selector.family == 4 else "inet6"]
        words += ["--src", format_subnet(selector.source)]
        words += ["--dst", format_subnet(selector.destination)]
        for option, number in (
            ("--transport-proto", selector.protocol),
            ("--src-port", selector.source_port),
            ("--dst-port", selector.destination_port),
        ):
            if number:
                words += [option, str(number)]
        if eroute.saids:
            words += ["--said", format_said(eroute.said)]
    if command.label:
        words += ["--label", command.label]
    return shlex.join(words)
