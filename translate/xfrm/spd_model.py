"""A security policy database in memory, changed as ``ip xfrm policy`` changes the kernel's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from ..cubes import Cube, CubeIndex
from ..diagnostics import Severity, Span, visible
from .command_words import PolicyWords, parse_filter, parse_key, parse_policy
from .ip_arguments import Arguments, IpRefusesError
from .model import Policy, PolicyKey
from .regions import cube_of_policy
from .text import MAX_TEMPLATES


class Held(NamedTuple):
    """A policy of the model: when it first came, and when it was last put in."""

    policy: Policy
    born: int
    placed: int
    span: Span


class Note(NamedTuple):
    """What is to be said about a command: code, severity, message, hint, and a place of its own."""

    code: str
    severity: Severity
    message: str
    hint: str = ""
    span: Span | None = None


class KernelRefusesError(Exception):
    """The kernel answers with an error."""

    def __init__(
        self, code: str, message: str, severity: Severity = Severity.ERROR, hint: str = ""
    ) -> None:
        super().__init__(message)
        self.note = Note(code, severity, message, hint)


class Database:
    """The policies so far."""

    def __init__(self) -> None:
        self.held: dict[PolicyKey, Held] = {}
        self.defaults: dict[str, str] = {}
        self.flushed: set[str] = set()
        self._clock = 0
        self._notes: list[Note] = []

    def change(self, verb: str, arguments: Arguments, span: Span) -> list[Note]:
        """Do what a command says; what is to be said about it.

        Raises :class:`.IpRefusesError` and :class:`KernelRefusesError`.
        """
        self._notes = []
        _VERBS[verb](self, arguments, span)
        return self._notes

    def _note(self, code: str, message: str, severity: Severity = Severity.ERROR) -> None:
        self._notes.append(Note(code, severity, message))

    def _add(self, arguments: Arguments, span: Span) -> None:
        self._put(arguments, span, replace=False)

    def _update(self, arguments: Arguments, span: Span) -> None:
        self._put(arguments, span, replace=True)

    def _put(self, arguments: Arguments, span: Span, *, replace: bool) -> None:
        given = parse_policy(arguments)
        if not given.direction:
            raise IpRefusesError(len(arguments.words), "it names no direction")
        policy = given.policy(arguments.anywhere)
        reason = _refused(policy, given)
        if reason:
            raise KernelRefusesError("ET342", f"the kernel refuses this policy: {reason}")
        if given.unmodelled:
            self._note(
                "ET347",
                f"{given.unmodelled} is part of this policy, and no part of what is compared",
            )
        if any(name in given.limits for name in ("time-hard", "time-use-hard")):
            self._note(
                "ET345", "this policy goes away by itself when its time is over", Severity.WARNING
            )
        self._store(policy, given, span, replace=replace)

    def _store(self, policy: Policy, given: PolicyWords, span: Span, *, replace: bool) -> None:
        key = policy.key
        had = self.held.get(key)
        if had is not None and not replace:
            raise KernelRefusesError(
                "ET342",
                "the kernel refuses this policy: one with this selector and direction is there"
                f" since {visible(had.span.file)}:{had.span.line}",
                hint="whatever else they say, two policies cannot have one key; update replaces",
            )
        self._clock += 1
        index = given.index or 0
        if had is not None:
            index = had.policy.index
        elif index and any(held.policy.index == index for held in self.held.values()):
            index = 0  # the kernel takes another one
        self.held.pop(key, None)
        self.held[key] = Held(
            policy._replace(index=index), had.born if had else self._clock, self._clock, span
        )

    def _delete(self, arguments: Arguments, _span: Span) -> None:
        given = parse_key(arguments)
        if given.index is not None:
            self._delete_index(given)
            return
        key = given.policy(arguments.anywhere).key
        if key not in self.held:
            raise KernelRefusesError(
                "ET343",
                "no command above made what this one deletes",
                Severity.WARNING,
                "a script that is run with -e ends here",
            )
        del self.held[key]

    def _delete_index(self, given: PolicyWords) -> None:
        for key, held in self.held.items():
            if held.policy.index == given.index and held.policy.direction == given.direction:
                del self.held[key]
                return
        if not self.held:
            raise KernelRefusesError(
                "ET343", "no command above made what this one deletes", Severity.WARNING
            )
        raise KernelRefusesError(
            "ET341", "a policy command is left out: it deletes by an index that the kernel chose"
        )

    def _deleteall(self, arguments: Arguments, _span: Span) -> None:
        given = parse_filter(arguments)
        if given.index is not None or given.flags is not None or given.ifindex:
            raise KernelRefusesError(
                "ET341", "which policies this deletes cannot be told from commands alone"
            )
        gone = {key for key, held in self.held.items() if _filtered(held.policy, given)}
        if any(self.held[key].policy.ptype == "sub" for key in gone):
            raise KernelRefusesError(
                "ET341", "deleteall stops half way when it meets a policy of type sub"
            )
        self.held = {key: held for key, held in self.held.items() if key not in gone}
        if not arguments.words:
            self.flushed |= {"main", "sub"}

    def _flush(self, arguments: Arguments, _span: Span) -> None:
        ptype = "main"
        while arguments.peek() is not None:
            arguments.one_of("word", "ptype")
            ptype = arguments.one_of("ptype", "main", "sub")
        self.held = {key: held for key, held in self.held.items() if held.policy.ptype != ptype}
        if not self.held:
            self.flushed.add(ptype)

    def _setdefault(self, arguments: Arguments, _span: Span) -> None:
        wanted: dict[str, str] = {}
        while arguments.peek() is not None:
            direction = arguments.one_of("direction", "in", "fwd", "out")
            if direction in wanted:
                raise arguments.wrong(f"{direction} stands twice")
            verdict = arguments.one_of("verdict", "block", "accept")
            wanted[direction] = "allow" if verdict == "accept" else verdict
        if not wanted:
            raise IpRefusesError(0, "it names no direction")
        self.defaults |= wanted

    def _set_thresholds(self, arguments: Arguments, _span: Span) -> None:
        """``set hthresh4 L R``: how the kernel stores policies, which decides nothing."""
        while arguments.peek() is not None:
            width = 32 if arguments.one_of("word", "hthresh4", "hthresh6") == "hthresh4" else 128
            for _ in range(2):
                arguments.number(width, "threshold")

    def ties(self) -> Iterator[Note]:
        """Updates after which the kernel may have kept a policy's place, where it matters."""
        groups: dict[tuple[object, ...], dict[Cube, list[Held]]] = {}
        for held in self.held.values():
            policy = held.policy
            group = (policy.direction, policy.ptype, policy.selector.family, policy.priority)
            cubes = groups.setdefault(group, {})
            cubes.setdefault(cube_of_policy(policy), []).append(held)
        for cubes in groups.values():
            updated = [h for helds in cubes.values() for h in helds if h.born != h.placed]
            if not updated:
                continue
            known = list(cubes)
            index = CubeIndex(known)
            for held in updated:
                for number in index.touching(cube_of_policy(held.policy)):
                    rival = next((o for o in cubes[known[number]] if _tied(held, o)), None)
                    if rival is not None:
                        yield _tie(held, rival)
                        break


_VERBS: Final[dict[str, Callable[[Database, Arguments, Span], None]]] = {
    "add": Database._add,
    "update": Database._update,
    "delete": Database._delete,
    "deleteall": Database._deleteall,
    "flush": Database._flush,
    "set": Database._set_thresholds,
    "setdefault": Database._setdefault,
}


def _tie(held: Held, rival: Held) -> Note:
    return Note(
        "ET348",
        Severity.WARNING,
        f"this update and {visible(rival.span.file)}:{rival.span.line} have one priority and"
        " share packets, and which of them the kernel takes for the older one is not certain",
        "give them different priorities",
        held.span,
    )


def _tied(one: Held, other: Held) -> bool:
    """Whether the age of two policies is not certain, and matters."""
    if one is other or one.born >= other.placed or other.born >= one.placed:
        return False
    return (one.policy.action, one.policy.templates) != (
        other.policy.action,
        other.policy.templates,
    )


def _refused(policy: Policy, given: PolicyWords) -> str:
    """Why the kernel refuses a policy (xfrm_user.c:verify_newpolicy_info, validate_tmpl)."""
    if given.index and given.index & 7 != ("in", "out", "fwd").index(policy.direction):
        return "the index is one of another direction"
    if len(policy.templates) > MAX_TEMPLATES:
        return f"it has more than {MAX_TEMPLATES} templates"
    family = policy.selector.family
    for template in policy.templates:
        if template.protocol in (0, 255):
            return "the protocol of a template is none that XFRM has"
        if template.mode in ("tunnel", "beet"):
            if template.optional and policy.direction == "out":
                return f"{template.mode} mode with level use cannot stand in an outbound policy"
        elif template.family != family:
            return f"a template in {template.mode} mode cannot change the address family"
        family = template.family
    return ""


def _filtered(policy: Policy, given: PolicyWords) -> bool:
    """Whether ``deleteall`` takes a policy (xfrm_policy.c:xfrm_policy_filter_match)."""
    for wanted, had in (
        (given.direction, policy.direction),
        (given.ptype, policy.ptype),
        (given.action, policy.action),
    ):
        if wanted and wanted != had:
            return False
    if given.priority is not None and given.priority != policy.priority:
        return False
    wanted_selector = given.selector
    if wanted_selector is None:
        return True
    selector = policy.selector
    if wanted_selector.family != selector.family:
        return False
    for wanted_prefix, prefix in zip(wanted_selector[:2], selector[:2], strict=True):
        if (wanted_prefix.address ^ prefix.address) & wanted_prefix.mask:
            return False
    masks = given.port_masks or tuple(0xFFFF if p else 0 for p in wanted_selector[3:])
    return wanted_selector.protocol in (0, selector.protocol) and not any(
        (wanted_port ^ port) & mask
        for wanted_port, port, mask in zip(wanted_selector[3:], selector[3:], masks, strict=True)
    )
