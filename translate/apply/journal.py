"""What we did and what we own, on disk, so that nothing depends on a process staying alive.

A *record* is written before the first message to the kernel and synced; it holds every policy and
state as it was, so that a rollback needs nothing else.  What is ours, and what the next boot is to
install, are written beside under a name that counts for nothing; removing the record is the moment
at which a transaction becomes final, and only then do those files get their names.  A crash between
the two is ended by whoever looks next.

Files of one target (the host, or a namespace) in its folder below the state folder:

``transaction``  the transaction under way or waiting for its confirmation; absent otherwise
``owned``        what we installed last, all that is ever replaced or removed (``owned.next``)
``saved``        what the next boot is to install (``saved.next``)
``lock``         held by whoever works on the target (flock(2))
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..xfrm.decode import decode_policies
from ..xfrm.model import Policy, PolicyKey, State, StateKey
from ..xfrm.sieve import Sieve
from .firewall import same_rules
from .plan import Change, Verb
from .states import StateChange
from .stored import JournalError, damaged, load, state_in, state_out, store, sync_folder


def clock() -> float:
    """Seconds since the boot, time asleep included; unlike other clocks nobody sets this one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class LockedError(JournalError):
    """Somebody else works on the same target."""


class Phase(StrEnum):
    """How far a transaction came."""

    APPLYING = "applying"
    UNCONFIRMED = "unconfirmed"
    ROLLING_BACK = "rolling-back"


@dataclass(frozen=True, slots=True)
class Record:
    """One transaction: its changes in order, and the guard around them.

    ``boot`` names the boot of the kernel it was made on: policies do not survive one.  ``deadline``
    is when it is rolled back without a confirmation, by :func:`clock`; 0 is never.
    ``firewall_before`` is our table as nft lists it, ``firewall_after`` the text of the new one.
    """

    identity: str
    phase: Phase
    changes: tuple[Change, ...]
    guard: tuple[Policy, ...]
    boot: str
    deadline: float = 0.0
    firewall_before: str = ""
    firewall_after: str = ""
    states: tuple[StateChange, ...] = ()


class Saved(NamedTuple):
    """What the next boot is to install: policies, states, and the text of the firewall table."""

    policies: Sequence[Policy]
    states: Sequence[State]
    firewall: str


class Journal:
    """The files of one target.  Methods raise :class:`JournalError`.

    ``boot`` names the life of the target: what was recorded in another one is gone.
    """

    def __init__(self, folder: Path, boot: str) -> None:
        self.folder = folder
        self.boot = boot
        self._transaction = folder / "transaction"
        self._owned = folder / "owned"
        self._saved = folder / "saved"
        self._committed = ""

    def prepare(self) -> None:
        """Make the folder, for its owner alone; what is synced in it must not lose its place."""
        try:
            above = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in above:
                sync_folder(path.parent)
        except OSError as error:
            raise JournalError(f"cannot make {self.folder}: {error.strerror}") from None

    @contextmanager
    def locked(self, *, wait: bool = False) -> Iterator[None]:
        """Hold the lock; :class:`LockedError` when another process has it and ``wait`` is off."""
        self.prepare()
        try:
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(f"cannot open {self.folder}/lock: {error.strerror}") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise LockedError(
                    f"another eroute-translate works here (lock {self.folder}/lock): try again when"
                    " it has ended"
                ) from None
            yield
        finally:
            os.close(descriptor)

    # -- the transaction

    def write(self, record: Record) -> None:
        """Write the transaction and sync it: only then may the kernel be told."""
        document = {
            "identity": record.identity,
            "phase": record.phase.value,
            "verbs": "".join([_LETTERS[change.verb] for change in record.changes]),
            "guards": len(record.guard),
            "boot": record.boot,
            "deadline": record.deadline,
            "firewall_before": record.firewall_before,
            "firewall_after": record.firewall_after,
            "states": [_state_change_out(change) for change in record.states],
        }
        store(self._transaction, document, _policies_of(record))

    def read(self) -> Record | None:
        """The transaction under way, or ``None``."""
        loaded = load(self._transaction)
        if loaded is None:
            return None
        document, pieces = loaded
        try:
            policies = _decoded(pieces)
            guard = tuple(next(policies) for _ in range(document["guards"]))
            record = Record(
                document["identity"],
                Phase(document["phase"]),
                tuple(_changes_in(document["verbs"], policies)),
                guard,
                document["boot"],
                float(document["deadline"]),
                str(document["firewall_before"]),
                str(document["firewall_after"]),
                tuple(_state_change_in(item) for item in document["states"]),
            )
            if next(policies, None) is not None:
                raise ValueError("there are more policies than changes")
        except (KeyError, TypeError, ValueError, IndexError, StopIteration, RuntimeError) as error:
            raise damaged(self._transaction, repr(error)) from None
        return record

    def stamp(self) -> tuple[int, int, int] | None:
        """What tells whether the transaction was written since; ``None`` when there is none."""
        try:
            found = self._transaction.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def forget(self) -> None:
        """The transaction never was: nothing that was written for its end counts."""
        self._remove(_next(self._owned), _next(self._saved), self._transaction)

    def finish(self, identity: str = "") -> None:
        """The transaction is final: what was written for its end counts from now on.

        Once the record is gone there is no way back; :meth:`settle` does what is left then.
        """
        self._committed = identity
        self._remove(self._transaction)
        self.settle()

    def committed(self, record: Record) -> bool:
        """Whether the record of a transaction was removed by :meth:`finish`."""
        return self._committed == record.identity and self.stamp() is None

    def settle(self) -> None:
        """Give the files of a final transaction their names."""
        if self._transaction.exists():
            return
        try:
            for path in (self._owned, self._saved):
                if not _next(path).exists():
                    continue
                # Somebody who only looks may do the same at the same time.
                with suppress(FileNotFoundError):
                    _next(path).replace(path)
                    sync_folder(self.folder)
        except OSError as error:
            raise JournalError(f"cannot write {self.folder}: {error.strerror}") from None

    def _remove(self, *paths: Path) -> None:
        for path in paths:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise JournalError(f"cannot remove {path}: {error.strerror}") from None
        if self.folder.exists():
            sync_folder(self.folder)

    # -- what is ours

    def write_owned(
        self, policies: Iterable[Policy], states: Iterable[State] = (), firewall: str = ""
    ) -> None:
        """Write what is ours once the transaction is final; ``firewall`` is our table's text."""
        document = {
            "boot": self.boot,
            "firewall": firewall,
            "states": [state_out(state) for state in states],
        }
        store(_next(self._owned), document, policies)

    def owned_messages(self) -> Iterator[bytes]:
        """The policies that are ours, in pieces; none after a reboot, which they do not survive."""
        loaded = self._load_owned()
        return iter(()) if loaded is None else loaded[1]

    def owned_policies(self) -> Iterator[Policy]:
        """The policies that are ours, one by one."""
        return _decoded(self.owned_messages())

    def read_owned(self) -> dict[PolicyKey, Policy]:
        """The policies that are ours, by their keys."""
        try:
            return {policy.key: policy for policy in self.owned_policies()}
        except ValueError as error:
            raise damaged(self._owned, str(error)) from None

    def owned_before(self) -> list[Policy]:
        """The policies that were ours on an earlier boot, as far as a record of them is left."""
        try:
            loaded = load(self._owned)
            if loaded is None or loaded[0].get("boot") == self.boot:
                return []
            return list(_decoded(loaded[1]))
        except (JournalError, ValueError):
            return []

    def read_owned_states(self) -> dict[StateKey, State]:
        """The states that are ours; none after a reboot."""
        loaded = self._load_owned()
        if loaded is None:
            return {}
        return {state.key: state for state in self._states_in(self._owned, loaded[0])}

    def read_owned_rules(self) -> str:
        """The text of the firewall table that we loaded last, empty for none."""
        loaded = self._load_owned()
        return "" if loaded is None else str(loaded[0].get("firewall", ""))

    def _load_owned(self) -> tuple[dict[str, Any], Iterator[bytes]] | None:
        self.settle()
        loaded = load(self._owned)
        if loaded is None or loaded[0].get("boot") != self.boot:
            return None
        return loaded

    # -- what the next boot installs

    def write_saved(self, saved: Saved) -> None:
        """Write what the next boot is to install once the transaction is final."""
        states = [state_out(state) for state in saved.states]
        store(_next(self._saved), {"firewall": saved.firewall, "states": states}, saved.policies)

    def read_saved(self) -> Saved | None:
        """What the next boot is to install, or ``None``."""
        self.settle()
        loaded = load(self._saved)
        if loaded is None:
            return None
        document, pieces = loaded
        try:
            return Saved(
                tuple(_decoded(pieces)),
                tuple(self._states_in(self._saved, document)),
                str(document["firewall"]),
            )
        except (KeyError, ValueError) as error:
            raise damaged(self._saved, repr(error)) from None

    def has_saved(self, policies: Sieve, saved: Saved) -> bool | None:
        """Whether the next boot installs just that, in whatever order; ``None`` for nothing at all.

        ``policies`` are those of ``saved``.  The file is read in pieces: it may be large, and this
        is asked when as much is in memory already.
        """
        self.settle()
        loaded = load(self._saved)
        if loaded is None:
            return None
        document, pieces = loaded
        found = 0
        try:
            for piece in pieces:
                marks, others = policies.sift([piece])
                if others:
                    return False
                found += marks.count(1)
            states = {state.key: state for state in self._states_in(self._saved, document)}
            return (
                found == len(policies)
                and states == {state.key: state for state in saved.states}
                and same_rules(str(document["firewall"]), saved.firewall)
            )
        except (KeyError, ValueError) as error:
            raise damaged(self._saved, repr(error)) from None

    def forget_saved(self) -> None:
        """Install nothing at the next boot."""
        self._remove(self._saved, _next(self._saved))

    @staticmethod
    def _states_in(path: Path, document: Mapping[str, Any]) -> list[State]:
        try:
            return [state_in(item) for item in document["states"]]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise damaged(path, repr(error)) from None


_LETTERS: Final = {Verb.ADD: "a", Verb.REPLACE: "r", Verb.REMOVE: "d"}
_VERBS: Final = {letter: verb for verb, letter in _LETTERS.items()}


def _next(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def _policies_of(record: Record) -> Iterator[Policy]:
    """Guards, then the old and the new policy of each change."""
    yield from record.guard
    for change in record.changes:
        if change.old is not None:
            yield change.old
        if change.new is not None:
            yield change.new


def _decoded(pieces: Iterable[bytes]) -> Iterator[Policy]:
    for piece in pieces:
        yield from decode_policies(piece)


def _changes_in(letters: str, policies: Iterator[Policy]) -> Iterator[Change]:
    for letter in letters:
        verb = _VERBS[letter]
        old = None if verb is Verb.ADD else next(policies)
        new = None if verb is Verb.REMOVE else next(policies)
        policy = new or old
        if policy is None:
            raise ValueError("a change without a policy")
        yield Change(verb, policy.key, old, new)


def _state_change_out(change: StateChange) -> list[object]:
    old = None if change.old is None else state_out(change.old)
    new = None if change.new is None else state_out(change.new)
    return [change.verb.value, old, new]


def _state_change_in(item: list[Any]) -> StateChange:
    old = None if item[1] is None else state_in(item[1])
    new = None if item[2] is None else state_in(item[2])
    state = new or old
    if state is None:
        raise ValueError("a change without a state")
    return StateChange(Verb(item[0]), state.key, old, new)
