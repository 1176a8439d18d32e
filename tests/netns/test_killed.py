"""The program killed at every write of its journal, its disk full, its journal damaged."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
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
        return self.driver.run(verb, *target, *words, **how)

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
            assert self.run("rollback", "--yes").code == 0, where
        seen = self.seen()
        fine = seen in (self.before, self.after) and not (pending and seen != self.before)
        self.lost += not fine
        assert fine, (where, done, pending)
        if done.code in (0, 14, 1):  # it could tell: what it told is so
            assert (seen == self.after) == (done.code == 0), (where, done)
        assert self.run("status").code == 0, where
        again = self.run("rollback", "--yes")
        assert (again.code, again.text) == (3, "nothing to take back\n"), (where, again)
        assert {p.name for p in self.journal.iterdir()} <= {
            "lock",
            "owned",
            ".transaction.new",
            ".owned.new",
        }
        if seen == self.after:
            assert self.apply("before").code == 0
            assert self.seen() == self.before
        return seen == self.after

    def report(self, what: str) -> None:
        print(f"\n{what}: cases tried {self.tried}, cases lost {self.lost}")


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    need("nft")
    name = f"et-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        with Driver(tmp_path) as driver:
            yield Bed(name, tmp_path, driver)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_a_signal_at_every_write_of_the_journal(bed: Bed, name: str) -> None:
    """Before and after each, and for SIGKILL in the middle of each write."""
    whole = bed.apply("after").points
    assert bed.apply("before").code == 0
    assert {"write", "fsync", "replace", "unlink"} <= set(whole)
    finished = 0
    for at, point in enumerate(whole):
        for when in ("before", "after", "torn"):
            if when == "torn" and (name != "SIGKILL" or point != "write"):
                continue
            done = bed.apply("after", at=at, name=name, when=when)
            if name == "SIGKILL":
                assert done.code == -9
            else:
                assert done.code in (14, 130), (at, when, done)
            finished += bed.judge(done, (at, point, when))
    bed.report(f"{name} at {len(whole)} points, {finished} of them after the last")


def test_sigkill_at_every_write_of_a_rollback_and_of_a_confirmation(bed: Bed) -> None:
    for verb in (("rollback", "--yes"), ("confirm",)):
        at = 0
        while True:
            waiting = bed.driver.run  # the watchdog must not be waited for here
            assert waiting is not None
            done = _apply_unconfirmed(bed)
            assert done == 0
            done_verb = bed.run(*verb, at=at)
            _wait_for_watchdogs(bed)
            bed.judge(done_verb, (verb, at))
            if done_verb.code == 0:
                break
            at += 1
        assert at > 8
    bed.report("SIGKILL in rollback and confirm")


def _apply_unconfirmed(bed: Bed) -> int:
    import sys

    target = ["--netns", bed.name, "--state-folder", str(bed.state)]
    command = ["apply", "--yes", "-q", *target, "--confirm-within", "1s", str(bed.folder / "after")]
    return subprocess.run(
        [sys.executable, "-m", "eroute_translate", *command],
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ).returncode


def _wait_for_watchdogs(bed: Bed) -> None:
    import time

    end = time.monotonic() + 5
    while (bed.journal / "transaction").exists() and time.monotonic() < end:
        time.sleep(0.02)


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
