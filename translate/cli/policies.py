"""Sets of policies from files and from the kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ..diagnostics import Collector
from ..equivalence.compare import Spd
from ..xfrm.read_text import read_policies

_SAMPLE: Final = 1 << 16


class DeviceNumbers(dict[str, int]):
    """Numbers for the names of interfaces, the same name the same number in all files."""

    def get(self, name: str, default: int | None = None) -> int | None:  # type: ignore[override]
        """The number of a name; a new one for a new name."""
        return self.setdefault(name, len(self) + 1) if name else default


_devices: Final = DeviceNumbers()


def read_spd(path: Path, collector: Collector) -> Spd | None:
    """The policies of a file, ``None`` when it holds none; what cannot be read is told.

    Raises ``OSError``.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    if not looks_like_policies(text[:_SAMPLE]):
        return None
    reading = read_policies(text, str(path), _devices)
    for item in reading.diagnostics:
        collector.add(item)
    # ip prints the newest first.
    return Spd(tuple(p for p in reversed(reading.policies) if " " not in p.direction))


def looks_like_policies(sample: str) -> bool:
    """Whether a text is what ``ip xfrm policy`` prints."""
    lines = [line for line in sample.splitlines() if line.strip()]
    return bool(lines) and lines[0].startswith("src ") and " dst " in lines[0]


def spd_of_kernel(netns: str | None) -> Spd:
    """The policies of a running kernel and its defaults.  Raises :class:`.KernelError`."""
    from ..apply.surroundings import look_around
    from ..xfrm.bulk import Channel

    channel = Channel.open(netns or "")
    try:
        policies = channel.dump()
    finally:
        channel.close()
    around = look_around(netns, 0)
    # A dump lists the newest first; policies of sockets are for these sockets alone.
    return Spd(
        tuple(p for p in reversed(policies) if p.direction in ("in", "out", "fwd")),
        dict(around.defaults),
    )
