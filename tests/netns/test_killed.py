"""The program killed at every write of its journal, its disk full, its journal damaged."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eroute_translate.xfrm.bulk import Channel

from .faulty import octets
from .killed import Done, Driver
from .spaces import need

pytestmark = pytest.mark.kernel

BEFORE = """\
12 172.31.252.0/24 -> 192.168.7.0/24 => tun0x1002@203.0.113.7
5 172.31.252.0/24 -> 192.168.0.0/16 => tun0x1003@203.0.113.8
0 172.31.250.0/24 -> 192.168.1.0/24 => %pass
7 2001:db8:1::/48 -> 2001:db8:2::/48 => tun0x1004@2001:db8::7
"""
AFTER = """\
12 172.31.252.0/24 -> 192.168.7.0/24 => tun0x1009@203.0.113.9
3 172.31.252.0/24 -> 192.168.7.9/32:25 => %reject:6
0 172.31.252.0/24 -> 192.168.8.0/24 => %pass
5 172.31.252.0/24 -> 192.168.0.0/16 => %drop
7 2001:db8:1::/48 -> 2001:db8:2::/48 => tun0x1005@2001:db8::8
"""
FOREIGN = (
    "src",
    "10.9.0.0/16",
    "dst",
    "10.8.0.0/16",
    "dir",
    "out",
    "priority",
    "9",
    "limit",
    "packet-hard",
    "9999",
    "flag",
    "localok",
)


class Bed:
    """A namespace where the table BEFORE is applied beside a policy of somebody else."""

    def __init__(self, name: str, folder: Path, driver: Driver) -> None:
        self.name = name
        self.folder = folder
        self.driver = driver
        self.state = folder / "state"
        self.tried = self.lost = 0
        for file, text in (("before", BEFORE), ("after", AFTER)):
            (folder / file).write_text(text, encoding="ascii")
        self.channel = Channel.open(name)
        subprocess.run(["ip", "-n", name, "xfrm", "policy", "add", *FOREIGN], check=True)
        assert self.apply("after").code == 0
        self.after = self.seen()
        assert self.apply("before").code == 0
        self.before = self.seen()
        assert self.before != self.after

    def run(self, verb: str, *words: str, **how: object) -> Done:
        target = ["--netns", self.name, "--state-folder", str(self.state)]
        settle = verb == "apply"
        return self.driver.run(verb, *target, *words, **{"settle": settle, **how})

    def apply(self, file: str, *words: str, **how: object) -> Done:
        return self.run("apply", "--yes", "-q", *words, str(self.folder / file), **how)

    def seen(self) -> tuple[list[bytes], str]:
        rules = subprocess.run(
            ["ip", "netns", "exec", self.name, "nft", "list", "ruleset"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return octets(self.channel), rules

    @property
    def journal(self) -> Path:
        return self.state / f"netns-{self.name}"

    def judge(self, done: Done, where: object) -> bool:
        """All old or all new, ``status`` tells which, and ``rollback`` finishes; start again."""
        self.tried += 1
        pending = (self.journal / "transaction").exists()
        status = self.run("status")
        if pending:
            assert status.code == 15, (where, status)
            assert "rollback" in status.text
            assert self.run("rollback", "--yes").code in (0, 3), where  # 3: the watchdog was faster
        seen = self.seen()
        fine = seen in (self.before, self.after) and not (pending and seen != self.before)
        self.lost += not fine
        assert fine, (where, done, pending)
        if done.code in (0, 14, 1):  # it could tell: what it told is so
            told = "changes are in place" in done.text or "changes are kept" in done.text
            assert (seen == self.after) == told, (where, done)
        assert self.run("status").code == 0, where
        again = self.run("rollback", "--yes")
        assert (again.code, again.text) == (3, "nothing to take back\n"), (where, again)
        assert {p.name for p in self.journal.iterdir()} <= {
            "lock",
            "owned",
            ".transaction.new",
            ".owned.next.new",
        }
        if seen == self.after:
            assert self.apply("before").code == 0
            assert self.seen() == self.before
        return seen == self.after

    def report(self, what: str) -> None:
        print(f"\n{what}: cases tried {self.tried}, cases lost {self.lost}")


@pytest.fixture
def bed() -> Iterator[Bed]:
    """In memory where possible: a disk takes milliseconds for each of thousands of syncs."""
    need("nft")
    name = f"et-{uuid.uuid4().hex[:8]}"
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        with (
            tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder,
            Driver(Path(folder)) as driver,
        ):
            yield Bed(name, Path(folder), driver)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.parametrize(
    ("name", "times"),
    [("SIGKILL", ("before", "torn")), ("SIGTERM", ("after",)), ("SIGINT", ("before",))],
)
def test_a_signal_at_every_write_of_the_journal(
    bed: Bed, name: str, times: tuple[str, ...]
) -> None:
    """Between each two, and for SIGKILL in the middle of each write."""
    whole = bed.apply("after").points
    assert bed.apply("before").code == 0
    assert {"write", "fsync", "replace", "unlink"} <= set(whole)
    finished = 0
    final = whole.index("unlink")  # of the record: from there on nothing leads back
    for at, point in enumerate(whole):
        for when in times:
            if when == "torn" and point != "write":
                continue
            done = bed.apply("after", at=at, name=name, when=when)
            if name == "SIGKILL":
                assert done.code == -9
            else:
                too_late = at > final or (at == final and when == "after")
                assert done.code == (0 if too_late else 14), (at, when, done)
            finished += bed.judge(done, (at, point, when))
    bed.report(f"{name} at {len(whole)} points, {finished} of them after the last")


def test_sigkill_at_every_write_of_a_rollback_and_of_a_confirmation(bed: Bed) -> None:
    for verb in (("rollback", "--yes"), ("confirm",)):
        at = 0
        while True:
            assert bed.apply("after", "--confirm-within", "60s", settle=False).code == 0
            done = bed.run(*verb, at=at)
            assert done.code in (-9, 0)
            bed.judge(done, (verb, at))
            if done.code == 0:
                break
            at += 1
        assert at > 8
    bed.report("SIGKILL in rollback and confirm")


def test_the_watchdog_too_is_killed_at_every_write(bed: Bed) -> None:
    """Then nothing runs any more: status tells, and a rollback by hand finishes."""
    whole = bed.apply("after").points
    assert bed.apply("before").code == 0
    told = 0
    # The program dies when the changes are in place: at the first write of what is ours.
    program_at = whole.index("unlink") - 3
    at = 0
    while True:
        done = bed.apply("after", who="watchdog", at=at, program_at=program_at)
        assert done.code == -9
        pending = (bed.journal / "transaction").exists()
        told += pending
        bed.judge(done, at)
        if len(done.points) - program_at - 1 <= at:
            break
        at += 1
    assert told > 5
    bed.report("watchdog killed too")


@contextlib.contextmanager
def small_disk(folder: Path, pages: int) -> Iterator[None]:
    """A file system of so many pages of 4 KiB."""
    folder.mkdir(exist_ok=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={pages * 4}k,mode=700", "none", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(bed: Bed) -> None:
    """Room for so many pages: refused before the first message, or everything goes back.

    A filler takes what is left, then page by page is given back, so that the disk is full at the
    first byte of the record, within it, beside it, at the second write, or at what is ours.
    """
    refused = back = done_at = 0
    owned = (bed.journal / "owned").read_bytes()
    disk = bed.folder / "disk"
    for words in ((), ("--confirm-within", "60s")):
        pages = 0
        while True:
            pages += 1
            with small_disk(disk, pages + 8):
                bed.state = disk
                bed.journal.mkdir()
                (bed.journal / "lock").touch()
                (bed.journal / "owned").write_bytes(owned)
                fill_up(disk, leave=pages - 1)
                done = bed.apply("after", *words, settle=False)
                bed.tried += 1
                seen = bed.seen()
                if done.code == 0:
                    assert seen == bed.after
                    done_at += 1
                    (disk / "filler").unlink()
                    if words:
                        assert bed.run("rollback", "--yes").code == 0
                    else:
                        assert bed.apply("before").code == 0
                    assert bed.seen() == bed.before
                    break
                assert seen == bed.before, (pages, done)
                assert "No space left" in done.text
                assert not (bed.journal / "transaction").exists()
                assert (bed.journal / "owned").read_bytes() == owned
                assert done.code in (1, 14), done
                refused += done.code == 1
                back += done.code == 14
                assert bed.run("status").code == 0
    bed.report(f"full disk, {refused} refused before the first message, {back} taken back")
    assert refused
    assert back
    assert done_at == 2


def fill_up(disk: Path, leave: int) -> None:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    size = filler.stat().st_size
    os.truncate(filler, max(0, size - 4096 * leave))


def test_a_rollback_on_a_full_disk(bed: Bed) -> None:
    """The record that is there is enough, where none can be written."""
    disk = bed.folder / "disk"
    owned = (bed.journal / "owned").read_bytes()
    for way in ("by hand", "by the watchdog"):
        with small_disk(disk, 64):
            bed.state = disk
            bed.journal.mkdir()
            (bed.journal / "owned").write_bytes(owned)
            within = "60s" if way == "by hand" else "1s"
            assert bed.apply("after", "--confirm-within", within, settle=False).code == 0
            fill_up(disk, leave=0)
            if way == "by hand":
                assert bed.run("rollback", "--yes").code == 0
            else:
                wait_until(lambda: not (bed.journal / "transaction").exists())
            bed.tried += 1
            assert bed.seen() == bed.before
            assert not (bed.journal / "transaction").exists()
            assert (bed.journal / "owned").read_bytes() == owned
    bed.report("rollback on a full disk")


def wait_until(done: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_state_folder_by_a_relative_name(bed: Bed) -> None:
    """The watchdog leaves the working directory; it must find the record all the same."""
    command = [sys.executable, "-m", "eroute_translate", "apply", "--yes", "-q"]
    command += ["--netns", bed.name, "--state-folder", bed.state.name]
    command += ["--confirm-within", "1s", str(bed.folder / "after")]
    subprocess.run(command, cwd=bed.folder, check=True, stdout=subprocess.DEVNULL)
    assert bed.seen() == bed.after
    wait_until(lambda: not (bed.journal / "transaction").exists())
    assert bed.seen() == bed.before


def test_a_damaged_journal_changes_nothing(bed: Bed) -> None:
    """Cut at every length that is near, and many that are not; every bit of the head, others."""
    assert bed.apply("after", "--confirm-within", "60s", settle=False).code == 0
    path = bed.journal / "transaction"
    whole = path.read_bytes()
    broken = [whole[:length] for length in {*range(0, 100, 9), *range(100, len(whole), 4999)}]
    for bit in (0, 131, 139, 150, 160, 700, 801, 8 * len(whole) - 1):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        broken.append(bytes(flipped))
    seen = bed.seen()
    for data in broken:
        path.write_bytes(data)
        for verb in (["status"], ["rollback", "--yes"], ["confirm"]):
            done = bed.run(*verb)
            assert done.code == 1, (verb, done)
            assert str(path) in done.text
            assert "remove" in done.text or "another version" in done.text
        assert bed.apply("before", settle=False).code == 1
        assert path.read_bytes() == data
        bed.tried += 1
        assert bed.seen() == seen
    # What is ours may be damaged too; then nothing is guessed either.
    path.write_bytes(whole)
    ours = bed.journal / "owned"
    content = ours.read_bytes()
    ours.write_bytes(content[:-1])
    done = bed.run("status")
    assert done.code == 1
    assert str(ours) in done.text
    ours.write_bytes(content)
    assert bed.run("rollback", "--yes").code in (0, 3)
    bed.report("damaged journal")


def test_the_rollback_comes_when_everything_else_is_killed(bed: Bed) -> None:
    """The leader, its whole group, everything on its terminal, and the terminal itself."""
    for how in ("leader", "group", "terminal", "everything"):
        bed.tried += 1
        shell, terminal = pty.fork()
        if shell == 0:
            words = [sys.executable, "-m", "eroute_translate", "apply", "--yes", "-q"]
            words += ["--netns", bed.name, "--state-folder", str(bed.state)]
            words += ["--confirm-within", "1s", str(bed.folder / "after")]
            command = f"{' '.join(words)}; sleep 60"
            os.execv("/bin/sh", ["sh", "-c", command])  # noqa: S606 - fixed words
        said = b""
        while b"eroute-translate confirm" not in said:
            said += os.read(terminal, 4096)
        assert bed.seen() == bed.after
        match how:
            case "leader":
                os.kill(shell, signal.SIGKILL)
            case "group":
                os.killpg(shell, signal.SIGKILL)
            case "terminal":
                os.close(terminal)
            case _:
                os.killpg(shell, signal.SIGHUP)
                os.killpg(shell, signal.SIGKILL)
                os.close(terminal)
        wait_until(lambda: not (bed.journal / "transaction").exists())
        assert bed.seen() == bed.before, how
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell, signal.SIGKILL)
        os.waitpid(shell, 0)
        if how in ("leader", "group"):
            os.close(terminal)
        assert bed.run("status").code == 0
    bed.report("everything else killed")


def test_a_watchdog_that_was_killed_is_missed(bed: Bed) -> None:
    """Nobody would take the changes back in time, so they are taken back at once."""
    done = bed.apply("after", "--confirm-within", "60s", who="watchdog", at=-1, lost=True)
    assert done.code == 14, done
    assert "was killed" in done.text
    bed.judge(done, "watchdog lost")
