"""The command line of ``ipsec eroute``: the whole option grammar of ipsec_eroute(8).

The tool used getopt_long(3): unique abbreviations, ``--option value`` and ``--option=value``, any
order.  What the tool of its time would not have done as it was told is said, and translated as it
was meant, as long as that is certain.  ``--help`` and ``--version`` alone change nothing and are
read as ``LIST``; beside anything else they are an error, since the tool would have done nothing.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
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
_SA_PROTOCOLS: Final = {name: n for name, n in PREFIXES.items() if n != SA_INT}
_PROTOCOLS: Final = PROTOCOL_NUMBERS | {"ip": 0}
_SA_OPTIONS: Final = ("af", "edst", "spi", "proto")
_OPTIONS: Final = (*FLAGS, *VALUES)
_SPI_FIRST: Final = 0x100

COMMAND_LINE: Final = "<command line>"
"""The file of a span that points into the arguments of this program."""

_GAP: Final = 4096
_C_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]{1,64}|[0-9]{1,64}", re.ASCII)

_NAME_THE_ACTION: Final = "say what to do: --add, --replace or --del"
_SUBNET: Final = "ADDRESS/BITS, ADDRESS/MASK or %default"
_SA: Final = "--said SAID, or all of --af --edst --spi --proto"


def parse_eroute_command(
    words: Sequence[Word], collector: Collector, lines: Mapping[int, str] | None = None
) -> ErouteCommand | None:
    """Read the words after ``ipsec eroute``.

    Every problem goes to the collector; ``None`` when one of them is an error.  ``lines`` holds
    the source text by line number for the excerpts; without it the words are joined again.
    """
    reader = _Reader(words, collector, lines or {})
    reader.read()
    return reader.finish()


class _Reader:
    """One command being read."""

    def __init__(
        self, words: Sequence[Word], collector: Collector, lines: Mapping[int, str]
    ) -> None:
        self.words = words
        self.collector = collector
        self.lines = lines
        self.values: dict[str, Word] = {}
        self.actions: list[tuple[Action, Word]] = []
        self.information: list[tuple[str, Word]] = []
        self.debug = False
        self.failed = False
        # Options without their value and names that mean none: reported already, so that what
        # they leave open is not reported as missing once more.
        self.broken: set[str] = set()
        self.misnamed = False

    # -- diagnostics

    def error(self, code: str, word: Word | None, message: str, expected: str, hint: str) -> None:
        self.failed = True
        self._say(code, Severity.ERROR, word, message, expected, hint)

    def warn(self, word: Word | None, message: str, expected: str, hint: str) -> None:
        self._say("ET123", Severity.WARNING, word, message, expected, hint)

    def note(self, word: Word | None, message: str, expected: str, hint: str) -> None:
        self._say("ET123", Severity.NOTE, word, message, expected, hint)

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
        excerpt = self.lines.get(span.line) or _line(self.words, span)
        self.collector.add(Diagnostic(code, severity, message, span, excerpt, expected, hint))

    def _whole(self) -> Span:
        if not self.words:
            return Span(COMMAND_LINE, 1)
        first, last = self.words[0].span, self.words[-1].span
        on_line = [w.span for w in self.words if w.span[:2] == first[:2]]
        end_line = last.line if last.line > first.line else first.end_line
        return first._replace(end_column=on_line[-1].end_column, end_line=end_line)

    # -- getopt_long

    def read(self) -> None:
        """Sort the words into actions and values."""
        index, total = 0, len(self.words)
        while index < total:
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
                # What follows was most likely meant as its value.
                if not equals and index < total and not self.words[index].text.startswith("-"):
                    index += 1
            elif option in FLAGS:
                self._flag(option, word, has_value=bool(equals))
            elif equals:
                self._value(option, word, _after_equals(word, given))
            elif index < total:
                self._value(option, word, self.words[index])
                index += 1
            else:
                self.broken.add(option)
                self.error(
                    "ET121",
                    word,
                    f"--{option} needs a value",
                    f"--{option} VALUE",
                    f"write the value behind it, or take --{option} away",
                )

    def _stray(self, word: Word) -> None:
        short = word.text.startswith("-") and word.text != "-"
        self.error(
            "ET120",
            word,
            f"{word.text!r}: ipsec eroute has no short options"
            if short
            else f"{word.text!r} belongs to no option",
            "an option that starts with --",
            "quote a value that has blanks; nothing stands behind the options",
        )

    def _option(self, name: str, word: Word) -> str | None:
        """The option that a name or a unique abbreviation means."""
        if name in _OPTIONS:
            return name
        fitting = [option for option in _OPTIONS if name and option.startswith(name)]
        if len(fitting) == 1:
            return fitting[0]
        self.misnamed = True
        if fitting:
            self.error(
                "ET120",
                word,
                f"--{name} is ambiguous",
                _choice(fitting),
                "write the whole name of the option",
            )
        else:
            near = difflib.get_close_matches(name[:40], _OPTIONS, 1)
            self.error(
                "ET120",
                word,
                f"--{name} is no option of ipsec eroute",
                _choice(_OPTIONS),
                f"did you mean --{near[0]}?" if near else "see ipsec_eroute(8)",
            )
        return None

    def _flag(self, option: str, word: Word, *, has_value: bool) -> None:
        if has_value:
            self.error(
                "ET120",
                word,
                f"--{option} takes no value",
                f"--{option}",
                "take away the = and what follows it",
            )
        if option == "debug":
            self.debug = True
        elif option in ACTIONS:
            self.actions.append((ACTIONS[option], word))
        else:
            self.information.append((option, word))

    def _value(self, option: str, word: Word, value: Word) -> None:
        if option == "optionsfrom":
            self.broken.update(VALUES)
            self.error(
                "ET120",
                word,
                "--optionsfrom is not read: its file may not be the one of the old host",
                "the options themselves",
                "put the options of the file on the command line",
            )
        elif option in self.values:
            self.error(
                "ET120",
                word,
                f"--{option} stands twice",
                f"--{option} once",
                "make a command of its own for each eroute",
            )
        else:
            self.values[option] = value

    # -- meaning

    def finish(self) -> ErouteCommand | None:
        """Make the command of what was read."""
        action = self._action()
        eroute = self._eroute(action)
        if self.failed:
            return None
        label = self.values["label"].text if "label" in self.values else ""
        return ErouteCommand(action, eroute, self._whole(), label, self.debug)

    def _action(self) -> Action:
        self._check_information()
        idle = [option for option in self.values if option != "label"]
        if not self.actions:
            if idle and not self.misnamed:
                self.error(
                    "ET121",
                    None,
                    "no action: " + ", ".join(f"--{o}" for o in idle) + " would change nothing",
                    _choice(ACTIONS),
                    _NAME_THE_ACTION,
                )
            return Action.LIST
        action, word = self.actions[0]
        for other, place in self.actions[1:]:
            self.error(
                "ET120",
                place,
                f"--{other} stands twice" if other is action else f"--{other} beside --{action}",
                "exactly one action",
                "make a command of its own for each action",
            )
        if action is Action.CLEAR:
            for option in idle:
                self.error(
                    "ET120",
                    self.values[option],
                    f"--{option} means nothing to --clear, which removes all eroutes",
                    "--clear alone",
                    "to remove one eroute say --del",
                )
        self._note_version(action, word)
        return action

    def _check_information(self) -> None:
        for option, word in self.information:
            if self.actions or self.values:
                self.error(
                    "ET120",
                    word,
                    f"with --{option} the tool printed and ended, and did nothing else",
                    "a command that does something",
                    f"take --{option} away",
                )
            else:
                self._say(
                    "ET120",
                    Severity.NOTE,
                    word,
                    f"--{option} prints and ends: there is nothing to translate",
                    "a command that does something",
                    _NAME_THE_ACTION,
                )

    def _note_version(self, action: Action, word: Word) -> None:
        if action is Action.REPLACE:
            self.note(
                word,
                "tools before mid-2007 took --replace for --add; later ones failed where there was"
                " no eroute to replace",
                "--add, where no eroute of this selector stands yet",
                "nothing is to be done: the policy is made or replaced, whichever it needs",
            )
        if action in (Action.ADD_IN, Action.REPLACE_IN):
            until_2_4 = (
                "up to 2.4 it added an ordinary outbound eroute, then it was refused"
                if action is Action.ADD_IN
                else "older tools do not know it"
            )
            self.warn(
                word,
                f"--{action} set the inbound policy of a tunnel from Openswan 2.6.34 on only;"
                f" {until_2_4}",
                "a tool of Openswan 2.6.34 or newer, or of libreswan",
                "look at the version of the old host, and at the eroutes it really had",
            )

    def _eroute(self, action: Action) -> Eroute | None:
        """Read all values that are there, whatever the action, so that every problem is told."""
        family = self._family("eraf")
        source = self._subnet("src", family)
        destination = self._subnet("dst", family)
        protocol = self._protocol()
        source_port = self._port("src-port", source)
        destination_port = self._port("dst-port", destination)
        said = self._said()
        if action in (Action.LIST, Action.CLEAR):
            return None
        self._check_complete(action)
        self._check_ports(protocol, source_port, destination_port)
        self._check_order(bool(source_port or destination_port))
        if source is None or destination is None or protocol is None:
            return None
        one, other = source[0], destination[0]
        if one.family != other.family:
            self.error(
                "ET104",
                self.values["dst"],
                f"--src is IPv{one.family} and --dst is IPv{other.family}",
                "two IPv4 or two IPv6 subnets",
                "KLIPS keeps one table for each family; write both subnets in one of them",
            )
            return None
        if protocol and one.family == 6:
            self.warn(
                self.values["transport-proto"],
                "a protocol on an IPv6 eroute never worked: the kernel wrote it into the source"
                " address; it is taken as it was meant",
                "no --transport-proto on an IPv6 eroute",
                "what the old host did differs: it selected any protocol of other sources",
            )
        if self.failed:
            return None
        selector = Selector(one, other, protocol, source_port or 0, destination_port or 0)
        saids = () if said is None or action is Action.DELETE else (said,)
        return Eroute(selector, saids, self._whole(), None, None, Form.COMMAND.value)

    def _check_complete(self, action: Action) -> None:
        for option in ("src", "dst"):
            if option not in self.values and option not in self.broken:
                self.error(
                    "ET121",
                    None,
                    f"--{option} is missing",
                    f"--{option} {_SUBNET}",
                    "for any address say %default, with --eraf before it",
                )
        given = [o for o in ("said", *_SA_OPTIONS) if o in self.values]
        if action is Action.DELETE:
            if given:
                self.note(
                    self.values[given[0]],
                    "--del finds the eroute by its selector; the SA is not looked at",
                    "--del with --src, --dst, protocol and ports",
                    "nothing is to be done: whatever SA the eroute names, it is removed",
                )
            return
        missing = [o for o in _SA_OPTIONS if o not in self.values and o not in self.broken]
        if "said" in self.values or "said" in self.broken or not missing:
            return
        if given or self.broken & set(_SA_OPTIONS):
            message = "the SA is named in part: " + ", ".join(f"--{o}" for o in missing)
            self.error("ET121", None, f"{message} missing", _SA, "add what is missing, or --said")
        else:
            self.error(
                "ET121",
                None,
                "the SA is not named",
                _SA,
                "name the SA, or a shunt such as --said %pass or --said %drop",
            )

    def _family(self, option: str) -> int | None:
        word = self.values.get(option)
        if word is None:
            return None
        family = _FAMILIES.get(word.text)
        if family is None:
            self.error(
                "ET122",
                word,
                f"--{option}: {word.text!r} is no address family",
                "inet or inet6",
                "inet is IPv4, inet6 is IPv6",
            )
        return family

    def _subnet(self, option: str, family: int | None) -> tuple[Prefix, int] | None:
        """A subnet without its host bits, as the tool sends it, and the port behind it."""
        word = self.values.get(option)
        if word is None or (family is None and word.text == "%default" and "eraf" in self.values):
            return None  # what is wrong with --eraf is told already
        text, port = word.text, 0
        head, colon, tail = text.rpartition(":")
        mask = head.partition("/")[2]
        if colon and mask and ":" not in mask:
            text = head
            port = self._number_of_port(word, tail, {}) or 0
        try:
            prefix = parse_subnet(text, None if text != "%default" else family)
        except ValueError as error:
            self.error(
                "ET102",
                word,
                f"--{option}: {error}",
                _SUBNET,
                "--eraf inet or --eraf inet6 must stand before it"
                if text == "%default"
                else "write the address in numbers; host names are not looked up",
            )
            return None
        if family is not None and prefix.family != family:
            self._mixed(option, word, prefix.family, "eraf")
            return None
        return prefix.network, port

    def _mixed(self, option: str, word: Word, found: int, stated: str) -> None:
        said = self.values[stated].text
        self.error(
            "ET104",
            word,
            f"--{option} is an IPv{found} address, but --{stated} says {said}",
            f"an IPv{10 - found} address",
            f"say --{stated} {'inet' if found == 4 else 'inet6'}, or write the other address",
        )

    def _protocol(self) -> int | None:
        """The protocol, 0 for none, ``None`` for one that cannot be read."""
        word = self.values.get("transport-proto")
        if word is None:
            return None if "transport-proto" in self.broken else 0
        number = _PROTOCOLS.get(word.text.lower())
        if number is None:
            number = _c_number(word.text)
        if number is not None and number <= 255:
            return number
        self.error(
            "ET122" if number is None else "ET105",
            word,
            f"--transport-proto: {word.text!r} is no protocol"
            if number is None
            else f"protocol {word.text} is above 255",
            "tcp, udp, another name of /etc/protocols, or 0 to 255",
            _near(word.text.lower(), _PROTOCOLS) or "write the number of the protocol",
        )
        return None

    def _port(self, option: str, subnet: tuple[Prefix, int] | None) -> int | None:
        """The port, 0 for any, ``None`` for one that cannot be read."""
        word = self.values.get(option)
        inline = 0 if subnet is None else subnet[1]
        if word is None:
            return inline
        number = self._number_of_port(word, word.text, SERVICES)
        if inline and number is not None and number != inline:
            self.error(
                "ET120",
                word,
                f"--{option} {number} contradicts port {inline} behind the subnet",
                "one port",
                f"keep --{option} and take the port behind the subnet away",
            )
        return number

    def _number_of_port(self, word: Word, text: str, names: Mapping[str, int]) -> int | None:
        number = names.get(text)
        if number is None:
            number = _c_number(text)
        if number is not None and number <= 0xFFFF:
            return number
        if number is not None:
            self.error(
                "ET105",
                word,
                f"port {text} is above 65535",
                "0 to 65535",
                f"the tool took {number & 0xFFFF} for it; write the port that was meant",
            )
        else:
            self.error(
                "ET122",
                word,
                f"{text!r} is no port, and no service that is known here",
                "0 to 65535, or the name of a well-known service" if names else "0 to 65535",
                _near(text, names) or "write the number; /etc/services is not read",
            )
        return None

    def _check_ports(
        self, protocol: int | None, source_port: int | None, destination_port: int | None
    ) -> None:
        if protocol in (None, IPPROTO_TCP, IPPROTO_UDP):
            return
        for port, side in ((source_port, "src"), (destination_port, "dst")):
            if port:
                word = self.values.get(f"{side}-port") or self.values.get(side)
                self.error(
                    "ET122" if protocol else "ET121",
                    word,
                    f"port {port} with protocol {protocol}, which KLIPS knows no ports of"
                    if protocol
                    else f"port {port} without a protocol: the tool refused it",
                    "--transport-proto tcp or --transport-proto udp",
                    "name TCP or UDP (make two commands for both), or take the port away",
                )

    def _check_order(self, ports: bool) -> None:
        """``--src`` and ``--dst`` were read at once, with the family known by then."""
        order = list(self.values)
        eraf = self.values.get("eraf")
        if eraf is None:
            if "eraf" in self.broken:
                return
            if ports:
                self.warn(
                    None,
                    "without --eraf the tool dropped the ports silently; they are taken as they"
                    " were meant",
                    "--eraf inet or --eraf inet6 before --src and --dst",
                    "the eroute of the old host was wider: all ports; look at its table",
                )
            else:
                self.note(
                    None,
                    "tools before 2.6.33 refused a command without --eraf; the family is taken"
                    " from the addresses",
                    "--eraf inet or --eraf inet6 before --src and --dst",
                    "nothing is to be done",
                )
            return
        late = [o for o in ("src", "dst") if o in order and order.index(o) < order.index("eraf")]
        if late:
            self.warn(
                eraf,
                "--eraf stands behind " + " and ".join(f"--{o}" for o in late) + ", which the tool"
                " had read by then"
                + (": it dropped the ports silently; they are taken as they were meant" * ports),
                "--eraf before --src and --dst",
                "look at the table of the old host: its eroute had all ports"
                if ports
                else "tools before 2.6.33 refused the command in this order",
            )

    # -- the SA

    def _said(self) -> Said | None:
        """The SA as it is named; what is missing is told elsewhere."""
        parts = self._said_of_parts()
        word = self.values.get("said")
        if word is None:
            return None if parts is None else self._usable(parts, self.values["spi"])
        for option in _SA_OPTIONS:
            if option in self.values:
                self.error(
                    "ET120",
                    self.values[option],
                    f"--{option} beside --said",
                    _SA,
                    f"take --{option} away: --said names the whole SA",
                )
        try:
            return self._usable(parse_said(word.text), word)
        except ValueError as error:
            self.error(
                "ET103",
                word,
                f"--said: {error}",
                "a SAID such as tun0x1002@192.0.2.1, or %pass, %drop, %reject, %trap",
                "write the address in numbers; host names are not looked up",
            )
            return None

    def _said_of_parts(self) -> Said | None:
        family = self._family("af")
        destination = self._edst(family)
        spi = self._spi()
        protocol = self._sa_protocol()
        if family is None or destination is None or spi is None or protocol is None:
            return None
        return Said(protocol, spi, family, destination)

    def _edst(self, family: int | None) -> int | None:
        word = self.values.get("edst")
        if word is None:
            return None
        try:
            found, address = parse_klips_address(word.text)
        except ValueError as error:
            self.error(
                "ET102",
                word,
                f"--edst: {error}",
                "an address",
                "write the address in numbers; host names are not looked up",
            )
            return None
        if family is not None and found != family:
            self._mixed("edst", word, found, "af")
            return None
        return address

    def _spi(self) -> int | None:
        word = self.values.get("spi")
        if word is None:
            return None
        spi = _c_number(word.text)
        if spi is not None and spi <= 0xFFFFFFFF:
            return spi
        self.error(
            "ET122",
            word,
            f"--spi: {word.text!r} is no number"
            if spi is None
            else f"SPI {word.text} is above 32 bits",
            "a number from 0x100 to 0xffffffff",
            "hexadecimal starts with 0x, octal with 0",
        )
        return None

    def _sa_protocol(self) -> int | None:
        word = self.values.get("proto")
        if word is None:
            return None
        protocol = _SA_PROTOCOLS.get(word.text)
        if protocol is None:
            transport = word.text.lower() in PROTOCOL_NUMBERS
            self.error(
                "ET122",
                word,
                f"--proto: {word.text!r} is no protocol of an SA",
                "ah, esp, tun or comp",
                "the protocol of the packets is --transport-proto"
                if transport and word.text.lower() not in _SA_PROTOCOLS
                else "write it in lower case, as in a SAID",
            )
        return protocol

    def _usable(self, said: Said, word: Word) -> Said | None:
        """The tool refused SPIs below 0x100, and with them %passthrough, which it lists."""
        if said.unknown:
            self.error(
                "ET103",
                word,
                f"{word.text!r} names no SA and no shunt",
                "a SAID such as tun0x1002@192.0.2.1, or %pass, %drop, %reject, %trap",
                "KLIPS prints this for an eroute that it does not know itself",
            )
            return None
        if said.is_passthrough:
            self.note(
                word,
                "the tool lists %passthrough but refused to install it: its SPI is below 0x100",
                "%pass",
                "say --said %pass, if packets are to pass in clear",
            )
        elif said.spi < _SPI_FIRST:
            self.warn(
                word,
                f"the tool refused SPI {said.spi:#x}: those below {_SPI_FIRST:#x} are reserved",
                "an SPI from 0x100",
                "look at the spi table of the old host for the SA that was meant",
            )
        return said


def _after_equals(word: Word, given: str) -> Word:
    """The value of ``--option=value``; quotes in the source may hide where it begins."""
    span = word.span
    if span.end_column - span.column == len(word.text):
        span = span._replace(column=span.end_column - len(given))
    return Word(given, span)


def _choice(options: Iterable[str]) -> str:
    return "one of " + ", ".join(f"--{option}" for option in options)


def _near(text: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(text[:40], names, 1)
    return f"did you mean {near[0]}? Otherwise write the number" if near else ""


def _c_number(text: str) -> int | None:
    """A number as strtoul(3) reads it with base 0, without sign and blanks, or ``None``."""
    if not _C_NUMBER.fullmatch(text):
        return None
    if text[:2] in ("0x", "0X"):
        return int(text, 16)
    try:
        return int(text, 8 if text[0] == "0" else 10)
    except ValueError:
        return None


def _line(words: Sequence[Word], place: Span) -> str:
    """The source line of a place: the words of that line, each in its column."""
    line = ""
    for word in words:
        span = word.span
        if span[:2] != place[:2]:
            continue
        gap = span.column - 1 - len(line)
        if not line and span.file == COMMAND_LINE:
            line = {13: "ipsec eroute ", 7: "eroute "}.get(gap, "")
            gap -= len(line)
        line += (" " * gap if 0 <= gap <= _GAP else " ") + word.text
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
