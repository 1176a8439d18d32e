"""Reads what the user gave: files of every kind, folders, archives, standard input."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from glob import glob
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from ..diagnostics import Collector, Diagnostic, Severity, Span
from ..klips.assembly import host_of_readings
from ..klips.association import Address
from ..klips.capture import clean_lines
from ..klips.configuration import read_written
from ..klips.host import KlipsHost
from ..klips.kind_of_text import TextKind, kind_of_text
from ..klips.reading import Reading
from ..klips.script import read_script
from ..klips.sections import same_host
from ..klips.source import read_source
from ..klips.tree import is_archive, read_archive, read_tree, unpacked_text
from ..klips.written import WrittenConfiguration
from ..net import Prefix


def read_host(
    arguments: argparse.Namespace, digests: dict[str, str] | None = None
) -> tuple[KlipsHost, Collector, list[str], bool]:
    """Read all files; return the host, what was found, the names, and whether all were read.

    ``digests`` takes the SHA-256 of each file by its name, in hexadecimal.
    """
    collector = Collector()
    readings: list[Reading] = []
    names: list[str] = []
    complete = True
    for name in arguments.files or ["-"]:
        shown = "<standard input>" if name == "-" else name
        names.append(shown)
        try:
            if name != "-" and Path(name).is_dir():
                readings.extend(read_tree(Path(name), collector))
                continue
            data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        except (OSError, ValueError) as error:
            complete = False
            collector.add(_unreadable(shown, error))
            continue
        if digests is not None:
            digests[shown] = sha256(data).hexdigest()
        data = unpacked_text(data)
        if is_archive(data):
            readings.extend(read_archive(BytesIO(data), shown, collector))
            continue
        match kind_of_text(data):
            case TextKind.CONFIGURATION:
                path = Path(name if name != "-" else ".")
                readings.append(Reading(shown, written=_written(path, shown, data, collector)))
            case TextKind.SCRIPT:
                readings.append(read_script(data, shown, collector))
            case TextKind.CAPTURE:
                readings.extend(read_source(data, shown, collector))
    complete = complete and not any(item.code in ("ET108", "ET144") for item in collector.items)
    readings = _read_configurations(readings, arguments.local, collector)
    host = host_of_readings(readings, arguments.table, collector, host=arguments.host)
    if not host.rows:
        collector.add(
            Diagnostic(
                "ET115",
                Severity.ERROR,
                "no eroute was found" + (f" in {', '.join(names)}" if len(names) < 4 else ""),
                expected="rows such as 0 10.0.0.0/8 -> 192.168.1.0/24 => tun0x1002@203.0.113.7",
                hint=_what_to_give(host),
            )
        )
    return host, collector, names, complete


def _what_to_give(host: KlipsHost) -> str:
    """What to do where there is no eroute."""
    if any(a.inbound is False and a.policy is not None for a in host.associations):
        return (
            "this is a MAST host (its outbound SAs have a policy=): rules of iptables chose the"
            " SAs, and are not read. Write an eroute for each of them: the two networks of its"
            " policy=, and its SAID"
        )
    return (
        "give the output of `ipsec eroute` or of `cat /proc/net/ipsec_eroute`, a script of ipsec"
        " commands, or ipsec.conf"
    )


def _unreadable(shown: str, error: OSError | ValueError) -> Diagnostic:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return Diagnostic(
        "ET108",
        Severity.ERROR,
        f"cannot read {shown}: {reason}",
        Span(shown, 1),
        hint="proc files of KLIPS are readable by root alone; check name and rights",
    )


def _local(given: Sequence[Address], readings: Sequence[Reading]) -> tuple[Address, ...]:
    """Addresses of this gateway: those that were named, else those of the interfaces read."""
    if given:
        return tuple(given)
    found = [
        (item.network.family, item.network.address)
        for reading in readings
        for item in reading.addresses
    ]
    sources = [
        association.source
        for reading in readings
        for association in reading.associations
        if association.inbound is False and association.source is not None
    ]
    return tuple(dict.fromkeys([*found, *sources]))


def _default(readings: Sequence[Reading]) -> Address | None:
    """What ``%defaultroute`` stood for: the address of the interface of the default route."""
    below = {a.device: a.physical for reading in readings for a in reading.attachments}
    devices = {
        below.get(route.device, route.device)
        for reading in readings
        for route in reading.routes
        if route.table == "main" and route.destination == Prefix(4, 0, 0) and route.device
    }
    found = {
        (item.network.family, item.network.address)
        for reading in readings
        for item in reading.addresses
        if item.device in devices and item.network.family == 4
    }
    return found.pop() if len(devices) == len(found) == 1 else None


def _written(path: Path, shown: str, data: bytes, collector: Collector) -> WrittenConfiguration:
    """An ipsec.conf that was given by itself, with the policy groups beside it."""
    written = WrittenConfiguration(shown, list(enumerate(clean_lines(data, shown, collector), 1)))
    written.include = _includer(path.parent)
    for file in sorted((path.parent / "ipsec.d" / "policies").glob("*")):
        if file.is_file():
            lines = clean_lines(file.read_bytes(), str(file), collector)
            written.group(file.name, str(file)).extend(enumerate(lines, 1))
    return written


def _read_configurations(
    readings: list[Reading], given: Sequence[Address], collector: Collector
) -> list[Reading]:
    """The readings with those of the configurations behind them.

    A configuration does not say which side of a connection this gateway is: addresses do.
    """
    found = []
    for holder in readings:
        if holder.written is None:
            continue
        mine = [r for r in readings if not r.host or same_host(r.host, holder.host)]
        mine = mine if holder.host else readings
        outweighed = any(r.listing is not None and r.listing.rows for r in mine)
        local = _local(given, mine)
        default = None if given else _default(mine)
        reading = read_written(
            holder.written, local, collector, outweighed=outweighed, default=default
        )
        reading.host = holder.host
        found.append(reading)
    return [*readings, *found]


def _includer(folder: Path) -> Callable[[str, str], Sequence[tuple[str, bytes]]]:
    """Finds included files below the folder of ipsec.conf, and nowhere else."""
    root = folder.resolve()

    def include(pattern: str, source: str) -> Sequence[tuple[str, bytes]]:
        below = Path(source).parent.resolve()
        if pattern.startswith("/"):
            # What was /etc on the old host is the folder that was given.
            pattern = pattern.removeprefix(str(root)).removeprefix("/etc").lstrip("/")
            below = root
        # Any text is a pattern to this one, as to the glob(3) of the old host.
        names = sorted(glob(pattern, root_dir=below)) if "\0" not in pattern else []  # noqa: PTH207
        files = [(below / name).resolve() for name in names]
        inside = [path for path in files if path.is_relative_to(root) and path.is_file()]
        return [(str(path), path.read_bytes()) for path in inside]

    return include
