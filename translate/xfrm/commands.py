"""Somebody's own ``ip xfrm policy`` commands, played on a model of the database.

Commands come from a shell script, evaluated by whoever has a shell parser, or from the text of
``ip -batch``; nothing is ever run.  What only a running shell knows, what may not run, and what ip
or the kernel would have refused is told with its place, and no guess takes its part.

The database is taken to be empty before the first command.  The end is what policies are there,
the oldest first.  An update makes a policy the youngest; the kernel does so but for neighbours of
one chain of its tables (xfrm_policy_insert_list), so that a tie which hangs on it is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from ..diagnostics import Diagnostic, Severity, Span, visible
from .command_text import Command, CommandWord, batch_lines
from .command_words import verb_of
from .ip_arguments import Arguments, IpRefusesError
from .model import Policy, PolicyKey
from .spd_model import Database, KernelRefusesError, Note

_TOLD: Final = 100
"""Places that are told for one kind of trouble; more are only counted."""

_SAYING: Final = frozenset({"echo", "printf", "grep", "trap", "test", "[", "logger"})
"""Programs that may have ip in their arguments and do not run it; a trap runs at the end."""


class CommandReading(NamedTuple):
    """What commands leave behind.

    ``policies`` are the oldest first, ``defaults`` are ``allow`` or ``block`` by direction where
    they were set, ``places`` tell for each policy which command made it.  ``states`` counts
    commands about states, which are passed over.  ``commands`` counts those about policies.
    ``flushed`` tells whether everything that was there before is removed first.
    """

    policies: tuple[Policy, ...]
    defaults: Mapping[str, str]
    places: Mapping[PolicyKey, Span]
    diagnostics: tuple[Diagnostic, ...]
    commands: int = 0
    states: int = 0
    flushed: bool = False


def read_commands(
    commands: Iterable[Command], devices: Mapping[str, int] | None = None
) -> CommandReading:
    """Play the commands of a script; those of other programs are passed over.

    ``devices`` gives the number of each interface; without it only ``ifN`` is known.
    """
    player = _Player(devices or {})
    for command in commands:
        player.shell(command)
    return player.reading()


def read_batch(
    text: str, file: str = "-", devices: Mapping[str, int] | None = None
) -> CommandReading:
    """Play a file for ``ip -batch``."""
    player = _Player(devices or {})
    player.batch(text, file)
    return player.reading()


class _EndOfBatchError(Exception):
    """``ip`` ends here, and the rest of the batch never runs."""


_Words = Sequence[CommandWord]


class _Player:
    """The database so far."""

    def __init__(self, devices: Mapping[str, int]) -> None:
        self.devices = devices
        self.database = Database()
        self.diagnostics: list[Diagnostic] = []
        self.told: dict[str, int] = {}
        self.commands = 0
        self.states = 0

    def reading(self) -> CommandReading:
        """What the commands come to, policies in the order in which they were put in."""
        for note in self.database.ties():
            self.note(note, note.span)
        for code, count in self.told.items():
            if count > _TOLD:
                self.diagnostics.append(
                    Diagnostic(code, Severity.ERROR, f"and {count - _TOLD} more places like these")
                )
        held = self.database.held
        order = sorted(held.values(), key=lambda item: item.placed)
        return CommandReading(
            tuple(item.policy for item in order),
            dict(self.database.defaults),
            {key: item.span for key, item in held.items()},
            tuple(self.diagnostics),
            self.commands,
            self.states,
            {"main", "sub"} <= self.database.flushed,
        )

    def note(self, note: Note, span: Span | None) -> None:
        """Say what the database had to say of a command."""
        self.tell(note.code, note.message, span, note.severity, note.hint)

    def tell(
        self,
        code: str,
        message: str,
        span: Span | None,
        severity: Severity = Severity.ERROR,
        hint: str = "",
    ) -> None:
        """Say something of a place, at most so many times for one code (:data:`_TOLD`)."""
        count = self.told[code] = self.told.get(code, 0) + 1
        if count <= _TOLD:
            self.diagnostics.append(Diagnostic(code, severity, visible(message), span, hint=hint))

    # -- programs

    def shell(self, command: Command) -> None:
        """Play one command of a script."""
        words = list(command.words)
        while words and words[0].text in ("sudo", "command", "exec", "doas"):
            words = words[1:]
        if not words:
            return
        texts = [word.text for word in words]
        name = None if texts[0] is None else texts[0].rpartition("/")[2]
        if name is None:
            if any(text in ("xfrm", "policy") for text in texts[1:4]):
                self._unknown(words[0].span, "the program is not known")
            return
        if name == "ip":
            self._ip(command, words[1:])
        elif name not in _SAYING and (
            {"ip", "xfrm"} <= set(texts) or any("ip xfrm p" in (t or "") for t in texts[1:])
        ):
            self._elsewhere(command.span, f"{name} runs ip on its own terms")

    def _ip(self, command: Command, words: _Words) -> None:
        """``ip [options] xfrm ...``, or ``ip -batch``."""
        family, at, elsewhere = 0, 0, ""
        while at < len(words):
            text = words[at].text
            if text is None:
                self._unknown(words[at].span, "a word of ip is not known")
                return
            if not text.startswith("-"):
                break
            option = text[1:] if text.startswith("--") else text
            at += 1
            if option in ("-4", "-6"):
                family = int(option[1])
            elif _short_for(option, "-family", 2):
                value = words[at].text if at < len(words) else None
                at += 1
                family = {"inet": 4, "inet6": 6}.get(value or "", family)
                if value is None:
                    self._unknown(command.span, "the address family of ip is not known")
                    return
            elif option == "-n" or _short_for(option, "-netns", 3):
                at += 1
                elsewhere = "it works in another network namespace"
            elif _short_for(option, "-batch", 2):
                self._batch_of(command, words[at].text if at < len(words) else None, elsewhere)
                return
            elif _short_for(option, "-rcvbuf", 3) or _short_for(option, "-loops", 2):
                at += 1
        if at < len(words):
            self._object(command, words[at:], family, elsewhere)

    def _batch_of(self, command: Command, name: str | None, elsewhere: str) -> None:
        # The grammar of the shell parser loses a lone dash in front of a here-document.
        if name in ("-", None) and command.input is not None:
            if elsewhere:
                self._elsewhere(command.span, elsewhere)
                return
            self.batch(command.input, command.span.file, command.input_line, doubt=command.doubt)
            return
        what = "its standard input" if name == "-" else f"the file {name or '(not known)'}"
        self._elsewhere(command.span, f"what ip -batch does is in {what}, which is not read here")

    def batch(self, text: str, file: str, first: int = 1, doubt: str = "") -> None:
        """Play the lines of a batch; the first that ip refuses ends it."""
        lines = list(batch_lines(text, file, first))
        for number, line in enumerate(lines):
            left = len(lines) - number - 1
            if line.problem:
                self.tell("ET340", f"ip refuses this line: {line.problem}", line.span)
                self._batch_ends(line.span, left)
                return
            try:
                self._object(line._replace(doubt=doubt), line.words, 0, "", batch=True)
            except _EndOfBatchError:
                self._batch_ends(line.span, left)
                return

    def _batch_ends(self, place: Span, left: int) -> None:
        if left:
            self.tell(
                "ET344",
                f"the batch ends here, and the {left} commands below never run",
                place,
                hint="ip xfrm ends the program at the first error and after a list, with -force"
                " too (ip-xfrm(8) does not say so)",
            )

    # -- ip xfrm

    def _object(
        self,
        command: Command,
        words: _Words,
        family: int,
        elsewhere: str,
        *,
        batch: bool = False,
    ) -> None:
        first, second = (words[i].text if i < len(words) else "" for i in (0, 1))
        if first is None:
            self._unknown(words[0].span, "the object of ip is not known")
            return
        if not first or not "xfrm".startswith(first):
            if batch and first.startswith("-"):
                self.tell("ET340", "ip takes no options in a batch", words[0].span)
                raise _EndOfBatchError
            return
        if second is None:
            self._unknown(words[1].span, "what ip xfrm works on is not known")
            return
        if second and "state".startswith(second):
            self.states += 1
            verb = words[2].text if len(words) > 2 else "list"
            if batch and verb and any(w.startswith(verb) for w in ("list", "show", "deleteall")):
                raise _EndOfBatchError
            return
        if not second or not "policy".startswith(second):
            return
        verb_word = words[2].text if len(words) > 2 else "list"
        if verb_word is None:
            self._unknown(words[2].span, "what ip xfrm policy has to do is not known")
            return
        self._policy(command, verb_word, words[3:], family, elsewhere, batch=batch)

    def _policy(
        self,
        command: Command,
        verb_word: str,
        words: _Words,
        family: int,
        elsewhere: str,
        *,
        batch: bool,
    ) -> None:
        verb = verb_of(verb_word)
        if verb in ("count", "get", "getdefault", "help", "list"):
            if batch and verb in ("list", "help"):
                raise _EndOfBatchError
            return
        self.commands += 1
        unknown = next((word for word in words if word.text is None), None)
        if elsewhere:
            self._elsewhere(command.span, elsewhere)
            return
        if command.doubt:
            self._unknown(command.span, f"it stands in {command.doubt}")
            return
        if unknown is not None:
            self._unknown(unknown.span, "a word of it only a running shell knows")
            return
        arguments = Arguments([word.text or "" for word in words], family, self.devices)
        try:
            if verb is None:
                raise IpRefusesError(-1, f"ip xfrm policy has no {verb_word!r}")
            for note in self.database.change(verb, arguments, command.span):
                self.note(note, command.span)
        except IpRefusesError as error:
            at = error.at
            place = words[at].span if 0 <= at < len(words) else command.span
            self.tell("ET340", f"ip refuses this command: {error}", place)
            if batch:
                raise _EndOfBatchError from None
        except KernelRefusesError as error:
            self.note(error.note, command.span)
            if batch:
                raise _EndOfBatchError from None
        else:
            if batch and verb == "deleteall":
                raise _EndOfBatchError

    def _unknown(self, span: Span, why: str) -> None:
        self.tell(
            "ET341",
            f"a policy command is left out: {why}",
            span,
            hint="give the output of ip xfrm policy instead, which says what is there",
        )

    def _elsewhere(self, span: Span, why: str) -> None:
        self.tell(
            "ET346",
            f"a policy command is left out: {why}",
            span,
            hint="give that file, or the output of ip xfrm policy",
        )


def _short_for(word: str, option: str, least: int) -> bool:
    return len(word) >= least and option.startswith(word)
