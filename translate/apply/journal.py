"""What we did and what we own, on disk, so that nothing depends on a process staying alive.

A *record* is written before the first message to the kernel and synced; it holds every policy as
it was, so that a rollback needs nothing else.  A file is replaced as a whole (written beside,
synced, renamed, folder synced), so that it is either the old or the new one; a checksum tells a
damaged one.

Files of one target (the host, or a namespace) in its folder below the state folder:

``transaction``  the transaction under way or waiting for its confirmation; absent otherwise
``owned``        what we installed last, the only policies that are ever replaced or removed
``lock``         held by whoever works on the target (flock(2))
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from ..net import Prefix, Selector
from ..xfrm.model import Policy, PolicyKey, Template
from .plan import Change, Verb

STATE_FOLDER: Final = Path("/var/lib/eroute-translate")
VERSION: Final = 1


class JournalError(Exception):
    """A journal cannot be read, written or trusted; the text says which and what to do."""


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

    ``deadline`` is the time (epoch seconds) at which it is rolled back without a confirmation, 0
    for none.  ``boot`` names the boot of the kernel it was made on: policies do not survive one.
    """

    identity: str
    phase: Phase
    changes: tuple[Change, ...]
    guard: tuple[Policy, ...]
    owned_before: tuple[Policy, ...]
    boot: str
    deadline: float = 0.0
    firewall_before: str = ""
    firewall_after: str = ""


class Journal:
    """The files of one target.  Methods raise :class:`JournalError`.

    ``boot`` names the life of the target: what was recorded in another one is gone.
    """

    def __init__(self, folder: Path, boot: str) -> None:
        self.folder = folder
        self.boot = boot

    @property
    def _transaction(self) -> Path:
        return self.folder / "transaction"

    @property
    def _owned(self) -> Path:
        return self.folder / "owned"

    def prepare(self) -> None:
        """Make the folder, for its owner alone."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
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
                    f"another eroute-translate works here (lock {self.folder}/lock)"
                ) from None
            yield
        finally:
            os.close(descriptor)

    def write(self, record: Record) -> None:
        """Write the transaction and sync it: only then may the kernel be told."""
        self._store(
            self._transaction,
            {
                "identity": record.identity,
                "phase": record.phase.value,
                "changes": [_change_out(change) for change in record.changes],
                "guard": [_policy_out(policy) for policy in record.guard],
                "owned_before": [_policy_out(policy) for policy in record.owned_before],
                "boot": record.boot,
                "deadline": record.deadline,
                "firewall_before": record.firewall_before,
                "firewall_after": record.firewall_after,
            },
        )

    def read(self) -> Record | None:
        """The transaction under way, or ``None``."""
        document = self._load(self._transaction)
        if document is None:
            return None
        try:
            return Record(
                document["identity"],
                Phase(document["phase"]),
                tuple(_change_in(item) for item in document["changes"]),
                tuple(_policy_in(item) for item in document["guard"]),
                tuple(_policy_in(item) for item in document["owned_before"]),
                document["boot"],
                float(document["deadline"]),
                str(document["firewall_before"]),
                str(document["firewall_after"]),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise self._damaged(self._transaction, repr(error)) from None

    def stamp(self) -> tuple[int, int, int] | None:
        """What tells whether the transaction was written since; ``None`` when there is none."""
        try:
            found = self._transaction.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def forget(self) -> None:
        """The transaction is over."""
        try:
            self._transaction.unlink(missing_ok=True)
            self._sync_folder()
        except OSError as error:
            raise JournalError(f"cannot remove {self._transaction}: {error.strerror}") from None

    def write_owned(self, policies: Mapping[PolicyKey, Policy]) -> None:
        """Record what is ours now."""
        self._store(
            self._owned,
            {"boot": self.boot, "policies": [_policy_out(p) for p in policies.values()]},
        )

    def read_owned(self) -> dict[PolicyKey, Policy]:
        """What is ours; nothing after a reboot, for policies do not survive it."""
        document = self._load(self._owned)
        if document is None or document.get("boot") != self.boot:
            return {}
        try:
            policies = [_policy_in(item) for item in document["policies"]]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise self._damaged(self._owned, repr(error)) from None
        return {policy.key: policy for policy in policies}

    def _store(self, path: Path, document: Mapping[str, object]) -> None:
        body = json.dumps(document, separators=(",", ":")).encode()
        head = f"eroute-translate {VERSION} {hashlib.sha256(body).hexdigest()}\n".encode()
        beside = path.with_name(f".{path.name}.new")
        try:
            descriptor = os.open(
                beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
            )
            try:
                view = memoryview(head + body)
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            beside.replace(path)
            self._sync_folder()
        except OSError as error:
            # On a full disk what was begun is in the way of what comes next.
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            raise JournalError(f"cannot write {path}: {error.strerror}") from None

    def _load(self, path: Path) -> dict[str, Any] | None:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise JournalError(f"cannot read {path}: {error.strerror}") from None
        head, _, body = data.partition(b"\n")
        words = head.split()
        if len(words) != 3 or words[0] != b"eroute-translate":
            raise self._damaged(path, "it does not begin as a journal does")
        if words[1] != str(VERSION).encode():
            raise JournalError(f"{path} was written by another version of eroute-translate")
        if hashlib.sha256(body).hexdigest().encode() != words[2]:
            raise self._damaged(path, "its checksum is wrong")
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise self._damaged(path, str(error)) from None
        if not isinstance(document, dict):
            raise self._damaged(path, "it holds no record")
        return document

    @staticmethod
    def _damaged(path: Path, why: str) -> JournalError:
        return JournalError(
            f"{path} is damaged ({why}): it cannot tell what was changed. Compare `ip xfrm policy`"
            " with what you want, then remove the file"
        )

    def _sync_folder(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def target_folder(state: Path, netns: str | None) -> Path:
    """The folder of a target: ``host``, or ``netns-NAME``.  Raises ``ValueError``."""
    if netns is None:
        return state / "host"
    if not netns or "/" in netns or netns.startswith("."):
        raise ValueError(f"{netns!r} is not the name of a network namespace")
    return state / f"netns-{netns}"


def life_of(netns: str | None) -> str:
    """The kernel's name for this boot (random(4)), and the namespace's own number.

    Raises :class:`JournalError` when there is no such namespace.
    """
    path = Path("/proc/self/ns/net") if netns is None else Path("/run/netns", netns)
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        found = path.stat()
        # Numbers of namespaces are used again; the inode of a named one is made with its name.
        made = "" if netns is None else f" {found.st_ctime_ns}"
        return f"{boot} {found.st_ino}{made}"
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}") from None


def _change_out(change: Change) -> list[object]:
    old = None if change.old is None else _policy_out(change.old)
    new = None if change.new is None else _policy_out(change.new)
    return [change.verb.value, old, new]


def _change_in(item: list[Any]) -> Change:
    old = None if item[1] is None else _policy_in(item[1])
    new = None if item[2] is None else _policy_in(item[2])
    policy = new or old
    if policy is None:
        raise ValueError("a change without a policy")
    return Change(Verb(item[0]), policy.key, old, new)


def _policy_out(policy: Policy) -> list[object]:
    """A policy as nested lists of numbers and strings; NamedTuples are lists to JSON."""
    return [*policy[:-1], policy.octets.hex()]


def _policy_in(item: list[Any]) -> Policy:
    direction, selector, priority, action, templates, mark, if_id, masks, *key, octets = item
    source, destination, protocol, source_port, destination_port = selector
    policy = Policy(
        direction,
        Selector(Prefix(*source), Prefix(*destination), protocol, source_port, destination_port),
        priority,
        action,
        tuple(Template(*template) for template in templates),
        (mark[0], mark[1]),
        if_id,
        None if masks is None else (masks[0], masks[1]),
        *key,  # interface, index, type and user
    )
    return policy._replace(octets=bytes.fromhex(octets))
