"""The systemd unit that restores what was saved (systemd.unit(5), systemd.service(5))."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

UNIT_FOLDER: Final = Path("/etc/systemd/system")
WANTED_BY: Final = "sysinit.target.wants"


class UnitError(Exception):
    """The unit could not be written or removed; the text says why."""


def unit_path(netns: str | None, folder: Path = UNIT_FOLDER) -> Path:
    """The unit of a target: each has its own, so that none takes another one's place."""
    if netns is None:
        return folder / "eroute-translate.service"
    # What a unit's name has no room for is written as systemd-escape(1) does.
    escaped = "".join(
        character
        if character.isascii() and (character.isalnum() or character in ":_.-")
        else "".join(f"\\x{octet:02x}" for octet in os.fsencode(character))
        for character in netns
    )
    return folder / f"eroute-translate-{escaped}.service"


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
            link.symlink_to(path)
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
