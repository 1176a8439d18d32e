"""Reads a shell script that set a KLIPS host up, by playing its commands on a model of the host.

The commands are evaluated (:mod:`.shell`), never run.  A command of KLIPS's tools that depends on
more than the text of the script is refused with its place, since leaving it out could mean a
weaker policy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ..diagnostics import Collector, Diagnostic, DiscreetCollector, Severity, Span
from .association import Association, Group
from .capture import clean_lines
from .command import parse_eroute_command
from .eroute import Eroute
from .eroute_options import Action, ErouteCommand
from .interface import Attachment
from .listing import Listing, UnreadRow
from .network_commands import COMMANDS, Network
from .reading import Reading, Standing
from .said import SA_IPIP, SPI_PASS, Said
from .scripted_table import ScriptedTable
from .shell import read_shell
from .shell_commands import ShellWord, SimpleCommand
from .shell_grammar import ShellMissingError
from .small_commands import parse_klipsdebug_command, parse_spigrp_command, parse_tncfg_command
from .spi_command import parse_spi_command
from .transcript import typed_lines
from .words import Word

TOOLS: Final = ("eroute", "spi", "spigrp", "tncfg", "klipsdebug")
_OPAQUE: Final = ("eval", ".", "source", "sh", "bash", "ash", "dash", "ksh")
_ELSEWHERE: Final = ("ssh", "rsh")

_PRINTS: Final = frozenset(
    {"echo", "printf", "logger", "grep", "egrep", "fgrep", "awk", "sed", "man", "which", "type"}
    | {"alias", "ssh", "scp"}
)
"""Commands whose words are not run, or not on this host."""

_OF_EROUTE: Final = ("--eraf", "--said", "--edst", "--transport-proto")
"""Options that no other program has."""

_ANYWHERE: Final = re.compile(
    r"(?:\bipsec|\$\{?\w+\}?)[\s\"']+(eroute|spi|spigrp|tncfg)[\s\"']+-"
    r"|/(?:eroute|spi|spigrp|tncfg)\s+-"
)
"""A call of a tool inside of other words."""


def read_script(data: bytes, name: str, collector: Collector) -> Reading:
    """Play a script (or a transcript, whose prompts are taken away); nothing is raised."""
    collector = DiscreetCollector(collector)
    lines = typed_lines(clean_lines(data, name, collector))
    player = _Player(name, collector, dict(enumerate(lines, 1)))
    try:
        script = read_shell("\n".join(lines) + "\n", name)
    except ShellMissingError as error:
        collector.add(Diagnostic("ET155", Severity.ERROR, str(error), Span(name, 1)))
        return Reading(name)
    for problem in script.errors[:20]:
        player.tell(
            "ET155",
            Severity.ERROR,
            f"{problem.text}: commands near it may be missing",
            problem.span,
            hint="correct it, or give the tables that the script made instead",
        )
    if script.assumed is not None:
        player.tell(
            "ET158",
            Severity.WARNING,
            f"the script asks for its first parameter; it is read as with {script.assumed.text}",
            script.assumed.span,
            hint="look whether the host was set up in this way",
        )
    for command in script.commands:
        player.play(command)
    return player.reading()


class _Player:
    """The model of the host: what is there after the commands so far."""

    def __init__(self, name: str, collector: Collector, lines: dict[int, str]) -> None:
        self.name = name
        self.collector = collector
        self.lines = lines
        self.eroutes = ScriptedTable()
        self.unread: list[UnreadRow] = []
        self.associations: dict[Said, Association] = {}
        self.chains: list[list[Said]] = []
        self.places: dict[Said, Span] = {}
        self.attachments: dict[str, Attachment] = {}
        self.network = Network()
        self.inward: set[Said] = set()
        self.counts: dict[str, int] = {}
        self.refused: dict[str, int] = {}

    def tell(
        self, code: str, severity: Severity, message: str, span: Span, *, hint: str = ""
    ) -> None:
        """Say something about a place; the line itself is not shown, for it may hold a key."""
        self.collector.add(Diagnostic(code, severity, message, span, hint=hint))

    # -- commands

    def play(self, command: SimpleCommand) -> None:
        """Do what a command did to KLIPS and beside it; programs of no interest do nothing."""
        words = [word.text for word in command.words]
        name = (words[0] or "").rpartition("/")[2]
        rest = command.words[1:]
        if name == "ipsec" and rest:
            tool = rest[0].text
            if tool is None:
                self._refuse(command, "ipsec", "the name of the tool is not known")
                return
            name, rest = tool, rest[1:]
            if name in ("manual", "auto", "setup", "look", "barf", "whack", "pluto"):
                self._other(command, name)
                return
        if name in TOOLS:
            self._tool(command, name, rest)
        elif name in COMMANDS:
            self._around(command, name, words[1:])
        elif self._hidden(command, name, words[1:]):
            pass
        elif name in _OPAQUE and rest:
            self.tell(
                "ET157",
                Severity.WARNING,
                f"what {name} brings in is not read: variables and commands of it are missing",
                command.span,
                hint="put its text in the place of this line",
            )

    def _hidden(self, command: SimpleCommand, name: str, words: Sequence[str | None]) -> bool:
        """Refuse what runs a tool of KLIPS in a way that is not followed; whether it does."""
        if name in _ELSEWHERE and _ANYWHERE.search(" ".join(word or "" for word in words)):
            self.tell(
                "ET157",
                Severity.WARNING,
                f"{name} runs it on another host: it is no part of this one",
                command.span,
                hint="give it alone, where that host is to be translated",
            )
        if name in _PRINTS or (name == "trap" and not {"EXIT", "0"}.intersection(words)):
            return False
        if not name:
            options = any((word or "").split("=")[0] in _OF_EROUTE for word in words)
            if not options and (not words or words[0] not in TOOLS):
                return False
            tool = words[0] if words[0] in TOOLS else "eroute"
            self._refuse(command, tool or "eroute", "the name of the program is not known")
            return True
        lines = range(command.span.line, (command.span.end_line or command.span.line) + 1)
        text = " ".join(word or "" for word in (name, *words))
        if name == "eval":
            text = "\n".join([text, *(self.lines.get(number, "") for number in lines)])
        found = _ANYWHERE.search(text + " -" if name in ("xargs", "parallel") else text)
        if found is None:
            return False
        self._refuse(command, found[1] or "eroute", f"{name} runs it")
        return True

    def _other(self, command: SimpleCommand, name: str) -> None:
        if name in ("manual", "auto", "setup", "whack"):
            self.tell(
                "ET157",
                Severity.WARNING,
                f"ipsec {name} works on ipsec.conf, which a script does not hold",
                command.span,
                hint="give ipsec.conf too",
            )

    def _tool(self, command: SimpleCommand, name: str, words: Sequence[ShellWord]) -> None:
        unknown = next((word for word in words if word.text is None), None)
        if command.doubt or unknown is not None:
            span = command.span if unknown is None else unknown.span
            reason = command.doubt or "a word that only a running shell knows"
            if words:  # without any the tool lists its table
                self._refuse(command, name, reason, span)
            return
        given = [Word(word.text or "", word.span) for word in words]
        self.counts[name] = self.counts.get(name, 0) + 1
        before = len(self.collector.errors)
        match name:
            case "eroute":
                self._eroute(given, command.span)
            case "spi":
                self._spi(given, command.span)
            case "spigrp":
                self._spigrp(given, command.span)
            case "tncfg":
                self._tncfg(given, command.span)
            case _:
                parse_klipsdebug_command(given, self.collector, command.span)
        if len(self.collector.errors) > before:
            self.counts[name] -= 1
            self.refused[name] = self.refused.get(name, 0) + 1

    def _refuse(
        self, command: SimpleCommand, name: str, reason: str, span: Span | None = None
    ) -> None:
        self.refused[name] = self.refused.get(name, 0) + 1
        self.unread.append(UnreadRow(*(span or command.span)))
        self.tell(
            "ET154",
            Severity.ERROR,
            f"what `ipsec {name}` did here is not certain: {reason}",
            span or command.span,
            hint="write the value out, or give the tables that the script made instead",
        )

    def _eroute(self, words: Sequence[Word], place: Span) -> None:
        before = len(self.collector.errors)
        command = parse_eroute_command(words, self.collector, self.lines)
        if command is None:
            if len(self.collector.errors) > before:
                self.unread.append(UnreadRow(*place))
            return
        match command.action:
            case Action.CLEAR:
                self.eroutes.clear()
                self.unread.clear()
            case Action.ADD | Action.REPLACE:
                self._add(command, place)
            case Action.DELETE:
                self._delete(command, place)
            case Action.ADD_IN | Action.REPLACE_IN:
                if command.eroute is not None:
                    self._accept(command.eroute)

    def _add(self, command: ErouteCommand, place: Span) -> None:
        eroute = command.eroute
        if eroute is None:
            return
        eroute = eroute._replace(span=place)
        if command.action is Action.REPLACE:
            # The old one goes, and the new one is the youngest.
            other = self.eroutes.alone_with_another_mask(eroute)
            if other is None:
                self.eroutes.delete(eroute)
            else:
                self._replace_another(other, eroute)
        if not self.eroutes.add(eroute):
            self.tell(
                "ET156",
                Severity.WARNING,
                f"there is an eroute {eroute.selector} already: --add was refused (EEXIST)",
                place,
                hint="--replace changes it",
            )

    def _replace_another(self, other: Eroute, eroute: Eroute) -> None:
        """A --replace that finds one eroute of its key, with another mask.

        The kernel took that one away for tools from mid-2007 on; older ones only added.
        """
        passes = other.said.spi == SPI_PASS if other.said.is_shunt else other.said.is_passthrough
        what = (
            f"--replace {eroute.selector} finds {other.selector} (line {other.span.line}) alone"
            " with its addresses: tools from mid-2007 on took that one away, whatever its mask;"
            " older ones left it"
        )
        if passes:
            self.eroutes.change(other._replace(defect="ET154"))
        self.tell(
            "ET154" if passes else "ET156",
            Severity.ERROR if passes else Severity.WARNING,
            f"{what}, and it would pass in clear" if passes else f"{what}, and it is kept",
            eroute.span,
            hint="delete the one that is not to be there, or give the table that the script made",
        )

    def _delete(self, command: ErouteCommand, place: Span) -> None:
        if command.eroute is None:
            return
        selector = command.eroute.selector
        found = self.eroutes.delete(command.eroute)
        if found is None:
            self.tell("ET156", Severity.NOTE, f"there is no eroute {selector} to delete", place)
        elif found.selector != selector:
            self.tell(
                "ET156",
                Severity.WARNING,
                f"--del {selector} deleted {found.selector} (line {found.span.line}): it stood"
                " alone with its addresses, and KLIPS did not look at its mask",
                place,
                hint="name the eroute that is to be deleted with its own mask",
            )

    def _accept(self, eroute: Eroute) -> None:
        """``--addin``: what the IP-in-IP SA of a group accepts, which makes it an inbound one."""
        said = eroute.said
        chain = next((c for c in self.chains if said in c), [said])
        self.inward.update(chain)
        for member in chain:
            association = self.associations.get(member)
            if association is not None and member.protocol == SA_IPIP:
                accepted = (eroute.selector.source, eroute.selector.destination)
                self.associations[member] = replace(association, policy=accepted)

    def _spi(self, words: Sequence[Word], place: Span) -> None:
        command = parse_spi_command(words, self.collector, place)
        if command is None:
            return
        if command.action == "clear":
            self.associations.clear()
            self.chains.clear()
        elif command.action == "del" and command.said is not None:
            self.associations.pop(command.said, None)
            left = ([s for s in chain if s != command.said] for chain in self.chains)
            self.chains = [chain for chain in left if len(chain) > 1]
        elif command.association is not None:
            said = command.association.said
            if said in self.associations:
                self.tell(
                    "ET156",
                    Severity.WARNING,
                    f"there is an association {said} already: this one was refused (EEXIST)",
                    place,
                )
                return
            self.associations[said] = command.association

    def _spigrp(self, words: Sequence[Word], place: Span) -> None:
        command = parse_spigrp_command(words, self.collector, place)
        if command is None or not command.saids:
            return
        missing = [said for said in command.saids if said not in self.associations]
        if missing:
            self.tell(
                "ET156",
                Severity.WARNING,
                f"there is no association {missing[0]}: the group was refused",
                place,
            )
            return
        for said in command.saids:
            self.places[said] = place
        if len(command.saids) == 1:
            self.chains = [c for c in self.chains if command.saids[0] not in c]
            return
        chain = list(command.saids)
        # Commands may build a chain pair by pair: tun comp, then comp esp.
        for other in list(self.chains):
            if other[-1] == chain[0]:
                self.chains.remove(other)
                chain = other + chain[1:]
            elif other[0] == chain[-1]:
                self.chains.remove(other)
                chain = chain + other[1:]
        self.chains.append(chain)

    def _tncfg(self, words: Sequence[Word], place: Span) -> None:
        command = parse_tncfg_command(words, self.collector, place)
        if command is None:
            return
        match command.action:
            case "attach":
                self.attachments[command.virtual] = Attachment(
                    command.virtual, command.physical, place
                )
            case "detach" | "delete":
                self.attachments.pop(command.virtual, None)
            case "clear":
                self.attachments.clear()

    # -- what stands around

    def _around(self, command: SimpleCommand, name: str, words: Sequence[str | None]) -> None:
        known = [word for word in words if word is not None]
        if command.doubt or len(known) < len(words):
            if name == "route" or any(word in ("route", "rule", "r", "ro") for word in known):
                self.tell(
                    "ET172",
                    Severity.WARNING,
                    f"what this {name} command did is not certain, and it has no part here:"
                    f" {command.doubt or 'it holds a word that only a running shell knows'}",
                    command.span,
                    hint="give what `ip route` prints on the host, or say --routed NETWORK",
                )
            return
        try:
            self.network.play(name, known, command.span)
        except ValueError as error:
            self.tell(
                "ET156",
                Severity.NOTE,
                f"this {name} command tells nothing here: {error}",
                command.span,
            )

    # -- the result

    def reading(self) -> Reading:
        """What is there at the end."""
        eroutes = self.eroutes.eroutes
        listing = Listing(self.name, eroutes, self.unread)
        reading = Reading(
            self.name,
            listing=listing if listing.rows else None,
            insertion_known=True,
            standing=Standing.SCRIPT,
        )
        used = {said for eroute in eroutes for said in eroute.saids}
        for association in self.associations.values():
            chain = next((c for c in self.chains if association.said in c), [association.said])
            inbound = True if self.inward & set(chain) else False if used & set(chain) else None
            reading.associations.append(replace(association, inbound=inbound))
        reading.groups = [
            Group(tuple(chain), self.places.get(chain[0], Span(self.name, 1)))
            for chain in self.chains
        ]
        reading.attachments = list(self.attachments.values())
        reading.addresses = self.network.addresses
        reading.routes = self.network.routes
        reading.rules = self.network.rules
        counts = self.counts | {
            "route": len(self.network.routes),
            "rule": len(self.network.rules),
            "address": len(self.network.addresses),
        }
        reading.accounted = {name: n for name, n in counts.items() if n}
        reading.refused = dict(self.refused)
        return reading
