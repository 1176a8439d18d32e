"""The runner: output, exit status, scratch folder, and each way in which a guest can fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.netkey import uml

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.netkey


@pytest.fixture
def _usable() -> None:
    reason = uml.missing()
    if reason:
        pytest.skip(f"no user-mode Linux guest: {reason}")


def guest(script: str, *, limit: float = 30.0, scratch: Path | None = None) -> tuple[int, str]:
    output = bytearray()
    status = uml.run(["sh", "-c", script], write=output.extend, limit=limit, scratch=scratch)
    return status, output.decode()


@pytest.fixture
def halls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], set[Path]]:
    """The folders of the guests of this test: others may run beside."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return lambda: set(folder.glob("netkey-*"))


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uml, "PROGRAMS", {**uml.PROGRAMS, "no-such-kernel": "package-of-it"})
    assert "package-of-it" in (uml.missing() or "")
    with pytest.raises(uml.GuestMissingError, match="package-of-it"):
        guest("true")


@pytest.mark.usefixtures("_usable")
def test_output_status_and_files(tmp_path: Path, halls: Callable[[], set[Path]]) -> None:
    """One boot: the output, both streams, is unchanged; only the scratch folder is kept."""
    here = Path(__file__).resolve()
    before = halls()
    status, output = guest(
        f"""
        printf 'a\\tb\\r\\n\\033[1m'; echo error >&2
        head -c 100000 /dev/zero | tr '\\0' x
        cmp {here} {here} && echo kept > "$NETKEY_SCRATCH/file"
        echo lost > /opt/netkey-lost && rm -f {here} && test ! -e {here}
        mkdir /tmp/host && mount -t hostfs none /tmp/host && touch /tmp/host/opt/netkey-lost 2>&1
        modprobe -n esp4 && exit 42
        """,
        scratch=tmp_path,
    )
    assert status == 42
    assert output.startswith("a\tb\r\n\033[1merror\n" + "x" * 100000)
    assert "Read-only file system" in output
    assert (tmp_path / "file").read_text() == "kept\n"
    assert here.exists()
    assert not Path("/opt/netkey-lost").exists()
    assert halls() == before


@pytest.mark.usefixtures("_usable")
def test_a_panic_is_told_as_one() -> None:
    with pytest.raises(uml.GuestDiedError, match=r"panicked(.|\n)*sysrq triggered crash"):
        guest("echo c > /proc/sysrq-trigger")


@pytest.mark.usefixtures("_usable")
def test_over_time_although_it_does_not_want_to_end() -> None:
    with pytest.raises(uml.GuestOverTimeError, match=r"longer than 0\.5 s"):
        guest("trap '' TERM; while :; do sleep 1; done", limit=0.5)


@pytest.mark.usefixtures("_usable")
def test_a_hang_is_told_from_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real-time process without any limit leaves the one processor to nobody else."""
    monkeypatch.setattr(uml, "REACTION", 4.0)
    with pytest.raises(uml.GuestHungError, match="the guest hangs"):
        guest(
            "echo -1 > /proc/sys/kernel/sched_rt_runtime_us; "
            "exec chrt -f 99 sh -c 'while :; do :; done'",
            limit=0.5,
        )


@pytest.mark.usefixtures("_usable")
def test_not_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uml, "BOOT_LIMIT", 0.3)
    with pytest.raises(uml.GuestNotUpError, match=r"not up after 0\.3 s"):
        guest("true")


@pytest.mark.usefixtures("_usable")
def test_a_killed_runner_takes_its_guest_along(halls: Callable[[], set[Path]]) -> None:
    before = halls()
    runner = subprocess.Popen(
        [sys.executable, "-m", "tests.netkey.uml", "--", "sh", "-c", "echo up; sleep 60"],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert runner.stdout is not None
    with runner, runner.stdout:
        assert runner.stdout.readline() == b"up\n"
        (hall,) = halls() - before
        assert kernels(hall)
        runner.kill()
    end = time.monotonic() + 5
    while kernels(hall):
        assert time.monotonic() < end
        time.sleep(0.05)
    shutil.rmtree(hall)  # the one thing that a runner killed like this cannot do


def kernels(hall: Path) -> list[Path]:
    """The processes of the guest that began with this folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = place.read_bytes()
        except OSError:  # it has just ended
            continue
        if str(hall / "spec.json").encode() in line:
            found.append(place)
    return found
