"""The files of the journal: policies as the kernel's own messages, states by their fields.

A file is a head line with a checksum, a line of JSON, and then policies back to back, each in the
bytes that install it (:mod:`..xfrm.encode`).  So nothing that a policy says is lost, and a file of
many policies is written and read in pieces, never as one text in memory.

States stand in the JSON line with their keys, since a rollback needs those; the files belong to
their owner alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

from ..net import Prefix, Selector
from ..secret import Secret
from ..xfrm.encode import encode_installs
from ..xfrm.model import Algorithm, Limits, Policy, Replay, State, UdpEncapsulation
from ..xfrm.wire import HEADER

VERSION: Final = 3
# Raise it only with a reader for the version before: the next boot restores what that one saved.
_MAGIC: Final = b"eroute-translate"
_HEAD: Final = b"%s %d %s\n"
_NO_SUM: Final = b"0" * 64
_AT_ONCE: Final = 512


class JournalError(Exception):
    """A journal cannot be read, written or trusted; the text says which and what to do."""


def store(path: Path, document: Mapping[str, object], policies: Iterable[Policy]) -> None:
    """Replace a file as a whole: write beside, sync, rename, sync the folder.

    The old or the new file is there whatever happens.  Raises :class:`JournalError`.
    """
    beside = path.with_name(f".{path.name}.new")
    checksum = hashlib.sha256()
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write(descriptor, _HEAD % (_MAGIC, VERSION, _NO_SUM))
            for piece in _pieces(document, policies):
                checksum.update(piece)
                _write(descriptor, piece)
            os.lseek(descriptor, 0, os.SEEK_SET)
            _write(descriptor, _HEAD % (_MAGIC, VERSION, checksum.hexdigest().encode()))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        beside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        # On a full disk what was begun is in the way of what comes next.
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise JournalError(f"cannot write {path}: {error.strerror}") from None


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _pieces(document: Mapping[str, object], policies: Iterable[Policy]) -> Iterator[bytes]:
    yield json.dumps(document, separators=(",", ":")).encode() + b"\n"
    walk = iter(policies)
    while part := list(islice(walk, _AT_ONCE)):
        yield b"".join(encode_installs(part, exact=True))


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load(path: Path) -> tuple[dict[str, Any], Iterator[bytes]] | None:
    """The document of a file, and its policies in pieces of whole messages; ``None`` if absent.

    The checksum is proved before anything is returned.  Raises :class:`JournalError`, also while
    the pieces are taken.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalError(f"cannot read {path}: {error.strerror}") from None
    try:
        _prove(path, file)
        document = json.loads(file.readline())
        if not isinstance(document, dict):
            raise damaged(path, "it holds no record")
    except (ValueError, RecursionError) as error:
        file.close()
        raise damaged(path, str(error)) from None
    except OSError as error:
        file.close()
        raise JournalError(f"cannot read {path}: {error.strerror}") from None
    except JournalError:
        file.close()
        raise
    return document, _read_pieces(path, file)


def _prove(path: Path, file: BinaryIO) -> None:
    """Check head and checksum, and leave the file at its document."""
    words = file.readline(256).split()
    if len(words) != 3 or words[0] != _MAGIC:
        raise damaged(path, "it does not begin as a journal does")
    if words[1] != str(VERSION).encode():
        raise JournalError(
            f"{path} was written by another version of eroute-translate: end with that version what"
            " it began, or compare `ip xfrm policy` with what you want and remove the file"
        )
    start = file.tell()
    checksum = hashlib.sha256()
    while piece := file.read(1 << 20):
        checksum.update(piece)
    if checksum.hexdigest().encode() != words[2]:
        raise damaged(path, "its checksum is wrong")
    file.seek(start)


def _read_pieces(path: Path, file: BinaryIO) -> Iterator[bytes]:
    """Whole messages, some hundred at a time."""
    with file:
        left = b""
        while piece := file.read(1 << 16):
            data = left + piece
            end = 0
            while end + HEADER.size <= len(data):
                length = HEADER.unpack_from(data, end)[0]
                if length < HEADER.size:
                    raise damaged(path, "a policy in it is cut")
                if end + length > len(data):
                    break
                end += length
            yield data[:end]
            left = data[end:]
        if left:
            raise damaged(path, "a policy in it is cut")


def damaged(path: Path, why: str) -> JournalError:
    """What to say of a file that cannot be trusted."""
    return JournalError(
        f"{path} is damaged ({why}), and nothing in it is used. Compare `ip xfrm policy` with what"
        " you want, then remove the file"
    )


def state_out(state: State) -> dict[str, object]:
    """A state by its fields, the keys in hexadecimal: only the files of the journal hold them."""
    document = state._asdict()
    for name in ("encryption", "authentication"):
        algorithm = document[name]
        if algorithm is not None:
            document[name] = [algorithm.name, algorithm.key.reveal().hex(), algorithm.bits]
    return document


def state_in(item: Mapping[str, Any]) -> State:
    """The state again; raises ``KeyError``, ``TypeError`` or ``ValueError``."""
    fields = dict(item)
    for name in ("encryption", "authentication"):
        if fields[name] is not None:
            word, key, bits = fields[name]
            fields[name] = Algorithm(word, Secret(bytes.fromhex(key)), bits)
    if fields["selector"] is not None:
        source, destination, *rest = fields["selector"]
        fields["selector"] = Selector(Prefix(*source), Prefix(*destination), *rest)
    if fields["encapsulation"] is not None:
        fields["encapsulation"] = UdpEncapsulation(*fields["encapsulation"])
    return State(
        **fields
        | {
            "limits": Limits(*fields["limits"]),
            "replay": Replay(*fields["replay"]),
            "flags": tuple(fields["flags"]),
            "extra_flags": tuple(fields["extra_flags"]),
            "mark": tuple(fields["mark"]),
            "more": tuple(fields.get("more", ())),
        }
    )
