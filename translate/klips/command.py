"""The command line of ``ipsec eroute``: the whole option grammar of ipsec_eroute(8).

The tool used getopt_long(3): unique abbreviations, ``--option value`` and ``--option=value``, any
order.  What the tool of its time would not have done as it was told is said, and translated as it
was meant, as long as that is certain.  ``--help`` and ``--version`` alone change nothing and are
read as ``LIST``; beside anything else they are an error, since the tool would have done nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from ..diagnostics import Collector, Severity
from ..net import IPPROTO_TCP, IPPROTO_UDP, PROTOCOL_NUMBERS, Prefix, Selector
from .address import format_subnet, parse_subnet
from .eroute import Eroute, Form
from .eroute_options import ACTIONS, Action, ErouteCommand
from .eroute_said import SA_FORMS, SA_OPTIONS, SaidReader
from .said import format_said
from .services import SERVICES
from .words import Word, c_number, listed, near

_PROTOCOLS: Final = PROTOCOL_NUMBERS | {"ip": 0}

_NAME_THE_ACTION: Final = "say what to do: --add, --replace or --del"
_SUBNET: Final = "ADDRESS/BITS, ADDRESS/MASK or %default"


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


class _Reader(SaidReader):
    """One command being understood."""

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
                    listed(ACTIONS),
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
        given = [o for o in ("said", *SA_OPTIONS) if o in self.values]
        if action is Action.DELETE:
            if given:
                self.note(
                    self.values[given[0]],
                    "--del finds the eroute by its selector; the SA is not looked at",
                    "--del with --src, --dst, protocol and ports",
                    "nothing is to be done: whatever SA the eroute names, it is removed",
                )
            return
        missing = [o for o in SA_OPTIONS if o not in self.values and o not in self.broken]
        if "said" in self.values or "said" in self.broken or not missing:
            return
        if given or self.broken & set(SA_OPTIONS):
            message = "the SA is named in part: " + ", ".join(f"--{o}" for o in missing)
            self.error(
                "ET121", None, f"{message} missing", SA_FORMS, "add what is missing, or --said"
            )
        else:
            self.error(
                "ET121",
                None,
                "the SA is not named",
                SA_FORMS,
                "name the SA, or a shunt such as --said %pass or --said %drop",
            )

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

    def _protocol(self) -> int | None:
        """The protocol, 0 for none, ``None`` for one that cannot be read."""
        word = self.values.get("transport-proto")
        if word is None:
            return None if "transport-proto" in self.broken else 0
        number = _PROTOCOLS.get(word.text.lower())
        if number is None:
            number = c_number(word.text)
        if number is not None and number <= 255:
            return number
        self.error(
            "ET122" if number is None else "ET105",
            word,
            f"--transport-proto: {word.text!r} is no protocol"
            if number is None
            else f"protocol {word.text} is above 255",
            "tcp, udp, another name of /etc/protocols, or 0 to 255",
            near(word.text.lower(), _PROTOCOLS) or "write the number of the protocol",
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
            number = c_number(text)
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
                near(text, names) or "write the number; /etc/services is not read",
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
