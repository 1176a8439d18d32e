"""The systemd unit that restores what was saved (systemd.unit(5), systemd.service(5))."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

UNIT_FOLDER: Final = Path("/etc/systemd/system")
WANTED_BY: Final = "sysinit.target.wants"
_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.-")


class UnitError(Exception):
    """The unit could not be written or removed; the text says why."""


def unit_name(netns: str | None) -> str:
    """The unit of a target: one for the host, one for each namespace, escaped (systemd.unit(5))."""
    if netns is None:
        return "eroute-translate.service"
    octets = netns.encode("utf-8", "surrogateescape")
    escaped = "".join([chr(o) if chr(o) in _PLAIN else f"\\x{o:02x}" for o in octets])
    return f"eroute-translate-netns-{escaped}.service"


def install_unit(text: str, path: Path) -> None:
    """Write the unit and enable it; raises :class:`UnitError`.

    Enabling is the link that ``systemctl enable`` would make, so that it also works where systemd
    does not run (an image that is being built).
    """
    folder = path.parent
    beside = path.with_name(f".{path.name}.new")
    link = folder / WANTED_BY / path.name
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, encoding="utf-8")
        beside.chmod(0o644)
        _sync(beside)
        beside.replace(path)
        if not link.is_symlink():
            link.symlink_to(path.absolute())
        _sync(link.parent)
        _sync(folder)
    except OSError as error:
        raise UnitError(f"cannot write {path}: {error.strerror}") from None
    _reload(folder)


def remove_unit(path: Path) -> bool:
    """Disable and remove the unit; tell whether it was there.  Raises :class:`UnitError`."""
    there = path.exists()
    try:
        (path.parent / WANTED_BY / path.name).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UnitError(f"cannot remove {path}: {error.strerror}") from None
    if there:
        _reload(path.parent)
    return there


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reload(folder: Path) -> None:
    """Tell a running systemd of it; one that does not run reads it when it starts."""
    if folder != UNIT_FOLDER or shutil.which("systemctl") is None:
        return
    if Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "daemon-reload"], check=False)  # noqa: S607 - found by PATH
