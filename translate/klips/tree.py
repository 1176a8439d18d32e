"""A folder or tar archive of what a host held: its proc files, and captures beside them.

Read are ``ipsec_eroute`` and its kin from ``/proc/net``, the files of ``/proc/net/ipsec`` and
``/proc/sys/net/ipsec``, ``ipsec.conf`` with what it includes, and text files whose name says that
they hold routes, addresses, a barf or a look.  A folder above such a path
(``gw1/proc/net/...``) is a host of its own.
"""

from __future__ import annotations

import io
import re
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase as fnmatch
from pathlib import Path, PurePosixPath
from typing import IO, Final, NamedTuple

from ..diagnostics import Collector, Diagnostic, Severity, Span
from .capture import clean_lines
from .reading import Reading
from .sections import Kind, Section, kind_of_file
from .source import read_source
from .written import WrittenConfiguration, policy_group_of

FILE_LIMIT: Final = 256 << 20
"""Octets of one file; a table of a million eroutes has some 80 MiB."""

TOTAL_LIMIT: Final = 1 << 30
"""Octets of all files, and of an archive when it is unpacked."""

FILES_LIMIT: Final = 100_000
"""Files that are looked at: a folder given by mistake must not be walked for an hour."""

_GZIP: Final = b"\x1f\x8b"
_MAGIC: Final = slice(257, 262)
"""Where a header of tar says ``ustar``."""

_BLOCK: Final = 512
"""Octets of a block of tar; a block of zeros ends an archive."""

_OF_KLIPS: Final = re.compile(
    r"(?:\A|/)(?P<path>(?:proc/)?(?:net/)?(?:ipsec_(?:eroute|spi|spigrp|tncfg|version)"
    r"|ipsec/(?:(?:eroute|spi|spigrp)/all|tncfg|version))"
    r"|(?:proc/)?sys/net/ipsec/[a-z_0-9]+)\Z"
)
_CAPTURE: Final = re.compile(
    r"(?:\A|/)(?P<path>[^/]*(?:barf|ipsec[-_.]look|netstat|ip[-_](?:6[-_])?route|routes?\.txt"
    r"|ip[-_](?:6[-_])?addr|ip[-_](?:6[-_])?rule|ifconfig|eroute|spigrp|tncfg|ipsec[-_]spi)"
    r"[^/]*)\Z"
)
_CONFIGURATION: Final = re.compile(r"(?:\A|/)(?P<path>(?:etc/)?ipsec(?:\.conf|\.d/.*|/.*\.conf))\Z")
"""ipsec.conf, its policy groups, and what it may include."""

_SECRET: Final = re.compile(r"secrets|private|\.(?:pem|key|der|p12|db)\Z")
"""Files that hold keys, or data bases of them."""

_UNREAD: Final = re.compile(r"\.(?:gz|bz2|xz|zip|py|[ch]|o|ko|[1-9])\Z")


_Files = dict[str, tuple[str, bytes]]
"""What ``/etc`` of a host holds of ipsec.conf: by path below it, the name that is shown, octets."""


class _File(NamedTuple):
    """A file of the tree: its path in it, and how to get its octets (at most so many)."""

    path: str
    read: Callable[[int], bytes]


def is_archive(data: bytes) -> bool:
    """Whether these octets begin a tar archive, packed with gzip or plain."""
    return data[:2] == _GZIP or data[_MAGIC] == b"ustar"


def unpacked_text(data: bytes) -> bytes:
    """A text that was packed with gzip by itself, unpacked; anything else as it is."""
    if data[:2] != _GZIP:
        return data
    found = _unpacked(io.BytesIO(data), "", Collector())
    return data if found is None or found[_MAGIC] == b"ustar" else found


def read_tree(path: Path, collector: Collector) -> list[Reading]:
    """Read a folder, or a file that is a tar archive (also packed with gzip).

    Links and devices are left alone, nothing is unpacked to disk.  What cannot be read is a
    diagnostic (ET108, ET144); files whose name tells nothing are counted (ET145).
    """
    name = str(path)
    if path.is_dir():
        return _read_files(name, _folder(path, name, collector), collector)
    try:
        with path.open("rb") as file:
            return read_archive(file, name, collector)
    except OSError as error:
        _incomplete(name, f"cannot read {name}: {error.strerror}", collector)
        return []


def read_archive(file: IO[bytes], name: str, collector: Collector) -> list[Reading]:
    """Read a tar archive, plain or packed with gzip, or a packed text; see :func:`read_tree`."""
    data = _unpacked(file, name, collector)
    if data is None:
        return []
    if data[_MAGIC] != b"ustar":
        # A text that was packed by itself.
        return read_source(data, name, collector)
    return _read_files(name, _members(data, name, collector), collector)


def _unpacked(file: IO[bytes], name: str, collector: Collector) -> bytes | None:
    import gzip

    try:
        data = file.read(TOTAL_LIMIT + 1)
        if data[:2] == _GZIP:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as unpacked:
                data = unpacked.read(TOTAL_LIMIT + 1)
    except (OSError, EOFError, zlib.error) as error:
        _incomplete(name, f"the archive is damaged: {error}", collector)
        return None
    if len(data) > TOTAL_LIMIT:
        _incomplete(name, f"the archive holds more than {TOTAL_LIMIT} octets", collector)
        return None
    return data


def _members(data: bytes, name: str, collector: Collector) -> Iterator[_File]:
    import tarfile

    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for number, member in enumerate(archive):
                if number >= FILES_LIMIT:
                    _incomplete(name, f"it holds more than {FILES_LIMIT} files", collector)
                    return
                if not member.isreg():
                    continue
                content = archive.extractfile(member)
                if content is not None:
                    yield _File(str(PurePosixPath(member.name)), _member(content))
            end = archive.offset
        if data[end : end + _BLOCK] != bytes(_BLOCK):
            _incomplete(name, "the archive is cut: its end is missing", collector)
    except (tarfile.TarError, OSError, EOFError, ValueError, UnicodeError) as error:
        _incomplete(name, f"the archive is damaged: {error}", collector)


def _member(content: IO[bytes]) -> Callable[[int], bytes]:
    import tarfile

    def read(limit: int) -> bytes:
        try:
            return content.read(limit)
        except tarfile.TarError as error:
            raise EOFError(f"the archive is cut or damaged here: {error}") from error

    return read


def _folder(path: Path, name: str, collector: Collector) -> Iterator[_File]:
    import os

    seen = 0
    for folder, folders, names in os.walk(path, onerror=lambda e: _unreadable(e, collector)):
        folders.sort()
        for file in sorted(names):
            seen += 1
            if seen > FILES_LIMIT:
                _incomplete(name, f"it holds more than {FILES_LIMIT} files", collector)
                return
            whole = Path(folder, file)
            try:
                regular = stat.S_ISREG(whole.lstat().st_mode)
            except OSError as error:
                _unreadable(error, collector)
                continue
            if regular:
                yield _File(whole.relative_to(path).as_posix(), _reader(whole))


def _reader(path: Path) -> Callable[[int], bytes]:
    def read(limit: int) -> bytes:
        with path.open("rb") as file:
            return file.read(limit)

    return read


def _read_files(tree: str, files: Iterator[_File], collector: Collector) -> list[Reading]:
    """Read the files whose name tells what they hold; hosts are told apart by the path above."""
    hosts: dict[str, list[Reading]] = {}
    contents: set[tuple[str, Kind, bytes]] = set()
    configurations: dict[str, _Files] = {}
    total = passed = 0
    for path, read in files:
        match = None if _UNREAD.search(path) else _OF_KLIPS.search(path) or _CAPTURE.search(path)
        configuration = None if match or _is_secret(path) else _CONFIGURATION.search(path)
        match = match or configuration
        if match is None:
            passed += 1
            continue
        shown = f"{tree}/{path}"
        try:
            data = read(FILE_LIMIT + 1)
        except (OSError, EOFError, zlib.error, ValueError) as error:
            _unreadable(error, collector, shown)
            continue
        total += len(data)
        if len(data) > FILE_LIMIT or total > TOTAL_LIMIT:
            _incomplete(shown, f"{shown} is larger than what is read", collector)
            continue
        above = path[: match.start("path")].rstrip("/")
        if configuration is not None:
            place = match["path"].removeprefix("etc/")
            configurations.setdefault(above, {}).setdefault(place, (shown, data))
            continue
        kind = kind_of_file(match["path"])
        # /proc/net/ipsec_eroute is the same file as /proc/net/ipsec/eroute/all.
        key = (above, kind, data)
        if kind is not Kind.ANY and kind is not Kind.PARAMETER and key in contents:
            continue
        contents.add(key)
        section = Section(kind, match["path"])
        hosts.setdefault(above, []).extend(read_source(data, shown, collector, section))
    for above, found in configurations.items():
        if _MAIN in found:
            hosts.setdefault(above, []).append(_configuration(found, collector))
    if not hosts:
        _unreadable(ValueError("this directory or archive holds no file of KLIPS"), collector, tree)
    if passed:
        _passed_over(tree, passed, collector)
    for above, readings in hosts.items():
        if len(hosts) > 1:
            for reading in readings:
                reading.host = reading.host or _name_of(above)
    return [reading for readings in hosts.values() for reading in readings]


_MAIN: Final = "ipsec.conf"


def _is_secret(path: str) -> bool:
    """Whether the name of a file says that it holds keys; ``private`` is a policy group, too."""
    return not policy_group_of(path) and _SECRET.search(path) is not None


def _configuration(files: _Files, collector: Collector) -> Reading:
    """The ipsec.conf of a host, to be read when its addresses are known."""
    name, data = files[_MAIN]
    places = {shown: path for path, (shown, _) in files.items()}

    def include(pattern: str, source: str) -> Sequence[tuple[str, bytes]]:
        # Patterns are below /etc, or below the folder of the file that names them.
        folder = PurePosixPath(places.get(source, _MAIN)).parent
        below = pattern.removeprefix("/etc").lstrip("/") if pattern[:1] == "/" else folder / pattern
        return [file for path, file in sorted(files.items()) if fnmatch(path, str(below))]

    written = WrittenConfiguration(name, list(enumerate(clean_lines(data, name, collector), 1)))
    written.include = include
    for path, (shown, octets) in sorted(files.items()):
        if group := policy_group_of(path):
            written.group(group, shown).extend(enumerate(clean_lines(octets, shown, collector), 1))
    return Reading(name, written=written)


def _name_of(above: str) -> str:
    """The host of a folder: its last part that is no part of a file system."""
    parts = [part for part in above.split("/") if part not in ("", ".", "proc", "net", "sys")]
    return "/".join(parts) or "(top)"


def _unreadable(error: Exception, collector: Collector, name: str = "") -> None:
    shown = name or str(getattr(error, "filename", "") or "a file")
    reason = getattr(error, "strerror", "") or str(error)
    collector.add(
        Diagnostic(
            "ET108",
            Severity.ERROR,
            f"cannot read {shown}: {reason}",
            Span(shown, 1),
            hint="proc files of KLIPS are readable by root alone; check name and rights",
        )
    )


def _incomplete(name: str, message: str, collector: Collector) -> None:
    collector.add(
        Diagnostic(
            "ET144",
            Severity.ERROR,
            message,
            Span(name, 1),
            expected="a folder, or a tar archive (plain or packed with gzip), of files of a host",
            hint="unpack it and give the files of the host alone",
        )
    )


def _passed_over(tree: str, count: int, collector: Collector) -> None:
    collector.add(
        Diagnostic(
            "ET145",
            Severity.NOTE,
            f"{count} files were passed over: their names are not those of KLIPS tables"
            if count > 1
            else "one file was passed over: its name is not that of a KLIPS table",
            Span(tree, 1),
            hint="give a capture with another name by itself",
        )
    )
