"""Sets of policies from files and from the kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ..diagnostics import Collector, Diagnostic, DiscreetCollector, Severity, Span
from ..equivalence.compare import Spd
from ..klips.shell import read_shell
from ..klips.shell_grammar import ShellMissingError
from ..xfrm.command_text import is_batch, looks_like_commands, looks_like_policies
from ..xfrm.commands import read_batch, read_commands
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

    It may be what ``ip xfrm policy`` prints, a batch for ``ip``, or a shell script.  Raises
    ``OSError``.
    """
    collector = DiscreetCollector(collector)  # a script may add states, too
    text = path.read_text(encoding="utf-8", errors="replace")
    sample = text[:_SAMPLE]
    if looks_like_policies(sample):
        return _printed(text, str(path), collector)
    if not looks_like_commands(sample):
        return None
    if is_batch(sample):
        reading = read_batch(text, str(path), _devices)
    else:
        try:
            script = read_shell(text, str(path))
        except ShellMissingError as error:
            collector.add(Diagnostic("ET155", Severity.ERROR, str(error), Span(str(path), 1)))
            return Spd(())
        for problem in script.errors:
            collector.add(
                Diagnostic("ET155", Severity.ERROR, problem.text, problem.span, hint=_BY_HAND)
            )
        reading = read_commands(script.commands, _devices)
    for item in reading.diagnostics:
        collector.add(item)
    return Spd(reading.policies, reading.defaults)


_BY_HAND: Final = (
    "run the script in a namespace of its own, and give what ip xfrm policy prints there"
)


def _printed(text: str, file: str, collector: Collector) -> Spd:
    reading = read_policies(text, file, _devices)
    for item in reading.diagnostics:
        collector.add(item)
    # ip prints the newest first; policies of sockets are for these sockets alone.
    return Spd(tuple(p for p in reversed(reading.policies) if " " not in p.direction))


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
