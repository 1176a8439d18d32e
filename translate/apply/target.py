"""What is changed: this host or a network namespace, and where its journal is.

A namespace may go and another one of the same name may come; what was done to the first one is gone
with it.
"""

from __future__ import annotations

from contextlib import suppress
from os.path import samestat
from pathlib import Path
from typing import Final

from .stored import JournalError

STATE_FOLDER: Final = Path("/var/lib/eroute-translate")
"""Where the journals of all targets are, unless another folder is named."""

_HERE: Final = Path("/proc/self/ns/net")
_INIT: Final = Path("/proc/1/ns/net")
_NAMED: Final = Path("/run/netns")


def name_of_here() -> str | None:
    """The name of this process's network namespace; ``None`` for that of process 1, or for none.

    ``ip netns exec NAME`` and ``--netns NAME`` are to be one target, which is not the host's.
    """
    try:
        here = _HERE.stat()
        with suppress(OSError):  # process 1 may not be ours to look at
            if samestat(here, _INIT.stat()):
                return None
        for path in sorted(_NAMED.iterdir()):
            with suppress(OSError):  # gone meanwhile
                if samestat(path.stat(), here):
                    return path.name
    except OSError:
        return None
    return None


def survives_boot(netns: str | None) -> bool:
    """Whether the next boot can have the target: not one in a namespace without a name.

    ``netns`` is its name, ``None`` where :func:`name_of_here` found none.
    """
    if netns is None:
        with suppress(OSError):  # process 1 may not be ours to look at
            return samestat(_HERE.stat(), _INIT.stat())
    return True


def target_folder(state: Path, netns: str | None) -> Path:
    """The folder of a target: ``host``, ``netns-NAME``, or ``namespace-NUMBER`` without a name.

    Raises ``ValueError``.
    """
    if netns is None:
        return state / ("host" if survives_boot(None) else f"namespace-{_HERE.stat().st_ino}")
    if not netns or "/" in netns or netns.startswith("."):
        raise ValueError(f"{netns!r} is not the name of a network namespace")
    return state / f"netns-{netns}"


def life_of(netns: str | None) -> str:
    """The kernel's name for this boot (random(4)), and the namespace's own number.

    Raises :class:`JournalError` when there is no such namespace.
    """
    path = _HERE if netns is None else _NAMED / netns
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        found = path.stat()
        # Numbers of namespaces are used again; the inode of a named one is made with its name.
        made = "" if netns is None else f" {found.st_ctime_ns}"
        return f"{boot} {found.st_ino}{made}"
    except OSError as error:
        hint = "" if netns is None else " (see: ip netns list)"
        raise JournalError(f"{path}: {error.strerror}{hint}") from None
