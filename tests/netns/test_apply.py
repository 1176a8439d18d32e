"""apply, confirm and rollback against the running kernel, killed on the way."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from eroute_translate.cli.target import journal_of, kernel_again
from eroute_translate.xfrm.errors import KernelError

pytestmark = pytest.mark.kernel

TABLE = """\
12         172.31.252.0/24    -> 192.168.7.0/24     => tun0x1002@203.0.113.7
3          172.31.252.0/24    -> 192.168.7.9/32:25  => %reject:6
0          172.31.252.0/24    -> 192.168.8.0/24     => %pass
5          172.31.252.0/24    -> 192.168.0.0/16     => %drop
"""
OTHER = """\
12         172.31.252.0/24    -> 192.168.7.0/24     => tun0x1002@203.0.113.7
5          172.31.252.0/24    -> 192.168.0.0/16     => tun0x1003@203.0.113.8
"""
BIG = "".join(
    f"1 10.{n >> 8}.{n & 255}.0/24 -> 192.168.{n & 255}.0/24 => tun0x{n + 256:x}@203.0.113.7\n"
    for n in range(3000)
)


class Host:
    """A namespace, a state folder, and the program on them."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder

    def command(self, verb: str, *words: str, table: str | None = None) -> list[str]:
        command = [sys.executable, "-m", "eroute_translate", verb, *words]
        command += ["--netns", self.name, "--state-folder", str(self.folder / "state")]
        if table is not None:
            path = self.folder / "table.eroute"
            path.write_text(table, encoding="ascii")
            command += ["-q", str(path)]
        return command

    def run(self, verb: str, *words: str, table: str | None = None) -> tuple[int, str]:
        done = subprocess.run(
            self.command(verb, *words, table=table),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return done.returncode, done.stdout + done.stderr

    def policies(self) -> list[str]:
        """One line for each policy, without what changes from second to second."""
        text = subprocess.run(
            ["ip", "netns", "exec", self.name, "ip", "-o", "xfrm", "policy"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return sorted(text.splitlines())

    def rules(self) -> str:
        return subprocess.run(
            ["ip", "netns", "exec", self.name, "nft", "list", "ruleset"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    @property
    def pending(self) -> bool:
        return (self.folder / "state" / f"netns-{self.name}" / "transaction").exists()

    def settled(self, wanted: list[str]) -> bool:
        """Wait for the watchdog to have done its work."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if not self.pending and self.policies() == wanted:
                return True
            time.sleep(0.05)
        return False


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    for program in ("ip", "nft"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    name = f"et-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield Host(name, tmp_path)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_a_whole_life(host: Host) -> None:
    assert host.run("plan", table=TABLE)[0] == 10
    assert host.policies() == []
    assert host.run("apply", "--yes", table=TABLE)[0] == 0
    first = host.policies()
    assert first
    assert "reject" in host.rules()
    code, text = host.run("apply", "--yes", table=TABLE)
    assert (code, "nothing to change" in text) == (0, True)
    assert host.policies() == first
    assert host.run("plan", table=TABLE)[0] == 0
    assert host.run("apply", "--yes", table=OTHER)[0] == 0
    assert host.policies() != first
    assert "reject" not in host.rules()
    assert host.run("status")[0] == 0


def test_a_table_that_was_cut_does_not_uncover(host: Host) -> None:
    tunnels = "".join(TABLE.splitlines(keepends=True)[:2])
    assert host.run("apply", "--yes", table=tunnels + OTHER.splitlines()[1])[0] == 0
    before = host.policies()
    code, text = host.run("plan", table=tunnels)
    assert (code, "* in clear afterwards: 172.31.252.0/24 -> 192.168.0.0/16" in text) == (10, True)
    assert '"uncovered": [\n  {' in host.run("plan", "--format", "json", table=tunnels)[1]
    code, text = host.run("apply", "--yes", table=tunnels)
    assert code == 12
    assert "172.31.252.0/24 -> 192.168.0.0/16 is protected now" in text
    assert host.policies() == before
    code, text = host.run("apply", "--yes", "--allow-clear", table=tunnels)
    assert (code, "in clear afterwards" in text) == (0, True)
    assert host.policies() != before


def test_the_script_and_apply_leave_the_same(host: Host) -> None:
    assert host.run("apply", "--yes", table=TABLE)[0] == 0
    applied, rules = host.policies(), host.rules()
    subprocess.run(["ip", "netns", "exec", host.name, "ip", "xfrm", "policy", "flush"], check=True)
    subprocess.run(["ip", "netns", "exec", host.name, "nft", "flush", "ruleset"], check=True)
    script = subprocess.run(
        [sys.executable, "-m", "eroute_translate", "convert", "-q", "table.eroute"],
        cwd=host.folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    subprocess.run(["ip", "netns", "exec", host.name, "sh"], input=script, text=True, check=True)
    assert host.policies() == applied
    assert host.rules().replace("table.eroute", "") == rules.replace(
        str(host.folder / "table.eroute"), ""
    )


def test_without_a_confirmation_everything_goes_back(host: Host) -> None:
    host.run("apply", "--yes", table=OTHER)
    before = host.policies()
    code, text = host.run("apply", "--yes", "--confirm-within", "2s", table=TABLE)
    assert code == 0
    assert "eroute-translate confirm" in text
    assert host.policies() != before
    assert host.settled(before)
    assert "reject" not in host.rules()


def test_a_confirmation_keeps(host: Host) -> None:
    host.run("apply", "--yes", "--confirm-within", "2s", table=TABLE)
    after = host.policies()
    assert host.run("confirm")[0] == 0
    time.sleep(2.3)
    assert host.policies() == after
    code, text = host.run("confirm")
    assert (code, "not confirmed in time was taken back" in text) == (3, True)


def test_within_a_namespace_it_is_the_target(host: Host) -> None:
    """Else two of them, and the host, would share a journal, and end what the others began."""
    path = host.folder / "table.eroute"
    path.write_text(TABLE, encoding="ascii")

    program = [sys.executable, "-m", "eroute_translate"]
    folder = ("--state-folder", str(host.folder / "state"))

    def within(name: str, *words: str) -> tuple[int, str]:
        done = subprocess.run(
            ["ip", "netns", "exec", name, *program, *words],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    other = f"{host.name}-b"
    subprocess.run(["ip", "netns", "add", other], check=True)
    try:
        apply = ("apply", "-q", "--yes", *folder, str(path))
        code, text = within(host.name, *apply, "--confirm-within", "60s")
        assert (code, f"eroute-translate confirm --netns {host.name}" in text) == (0, True)
        assert within(other, *apply)[0] == 0
        assert host.pending
        assert host.run("confirm")[0] == 0
        assert within(host.name, "status", *folder)[0] == 0
        assert host.run("status")[0] == 0
    finally:
        subprocess.run(["ip", "netns", "del", other], check=True)


def test_another_namespace_of_the_name_is_not_the_target(host: Host) -> None:
    arguments = argparse.Namespace(netns=host.name, state_folder=str(host.folder))
    journal = journal_of(arguments)
    kernel_again(arguments, journal).close()
    subprocess.run(["ip", "netns", "del", host.name], check=True)
    subprocess.run(["ip", "netns", "add", host.name], check=True)
    with pytest.raises(KernelError, match="another one has its name"):
        kernel_again(arguments, journal)


def test_rollback_by_hand(host: Host) -> None:
    host.run("apply", "--yes", "--confirm-within", "60s", table=TABLE)
    assert host.run("apply", "--yes", table=OTHER)[0] == 15
    assert host.run("rollback")[0] == 2, "it asks on a terminal or takes --yes"
    assert host.run("rollback", "--yes")[0] == 0
    assert host.policies() == []


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_at_any_time_leaves_all_or_nothing(host: Host, name: str) -> None:
    host.run("apply", "--yes", table=BIG)
    after = host.policies()
    host.run("apply", "--yes", "--allow-clear", table=OTHER)
    before = host.policies()
    cases = caught = 0
    for delay in range(3):
        process = subprocess.Popen(
            # Under nohup(1), or in the background of a script, signals are ignored by inheritance.
            ["env", "--default-signal", *host.command("apply", "--yes", table=BIG)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        # From the moment at which the first policies are there.
        end = time.monotonic() + 20
        while not host.pending and process.poll() is None and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(delay * 0.03)
        process.send_signal(signal.Signals[name])
        process.wait()
        cases += 1
        if not host.pending and host.policies() == after:
            # It was final already, whether or not there was time to say so.
            host.run("apply", "--yes", "--allow-clear", table=OTHER)
            assert host.policies() == before
            continue
        assert process.returncode != 0
        caught += 1
        assert host.settled(before), (name, delay)
    print(f"\n{cases} times {name}, {caught} of them on the way, 0 lost")
    assert caught


def test_policies_of_others_stay(host: Host) -> None:
    ip = ["ip", "netns", "exec", host.name, "ip", "xfrm", "policy"]
    subprocess.run(
        [
            *ip,
            *[
                "add",
                "src",
                "172.31.252.0/24",
                "dst",
                "192.168.8.0/24",
                "dir",
                "out",
                "priority",
                "7",
            ],
        ],
        check=True,
    )
    theirs = host.policies()
    assert host.run("plan", table=TABLE)[0] == 15
    code, text = host.run("apply", "--yes", table=TABLE)
    assert code == 15
    assert "--replace-foreign" in text
    assert host.policies() == theirs


def test_what_is_missing_is_named(host: Host, tmp_path: Path) -> None:
    table = tmp_path / "table.eroute"
    table.write_text(TABLE, encoding="ascii")
    for words in (["status"], ["verify", "-q", str(table)]):
        done = subprocess.run(
            [sys.executable, "-m", "eroute_translate", *words, "--netns", "no-such-space"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "no-such-space" in done.stderr
        assert "see: ip netns list" in done.stderr
    full = tmp_path / "full"
    full.write_text("a file, not a folder", encoding="ascii")
    done = subprocess.run(
        [*host.command("apply", "--yes", table=TABLE), "--state-folder", str(full / "below")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert host.policies() == []


def test_what_is_advised_names_the_same_journal(host: Host) -> None:
    state = str(host.folder / "state")
    code, text = host.run("apply", "--yes", "--confirm-within", "60s", table=TABLE)
    advice = f"eroute-translate confirm --netns {host.name} --state-folder {state}"
    assert (code, advice in text) == (0, True)
    code, text = host.run("status")
    assert (code, advice in text) == (15, True)
    assert "rollback --netns" in text
    words = advice.split()[1:]
    done = subprocess.run([sys.executable, "-m", "eroute_translate", *words], check=False)
    assert done.returncode == 0


def test_a_lost_firewall_table_is_told_and_brought_back(host: Host) -> None:
    assert host.run("apply", "--yes", table=TABLE)[0] == 0
    subprocess.run(["ip", "netns", "exec", host.name, "nft", "flush", "ruleset"], check=True)
    code, text = host.run("status")
    assert (code, "? table inet eroute_translate of nftables" in text) == (15, True)
    code, text = host.run("apply", "--yes", table=TABLE)
    assert (code, text) == (0, "changes of the nftables table are in place\n")
    assert "reject" in host.rules()
    assert host.run("status")[0] == 0


def test_without_nft_nothing_is_begun(host: Host) -> None:
    bare = {**os.environ, "PATH": str(host.folder)}

    def run(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            host.command(*words, table=TABLE),
            capture_output=True,
            text=True,
            env=bare,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    code, text = run("plan")
    assert (code, "* nft is missing" in text) == (10, True)
    code, text = run("apply", "--yes")
    assert (code, "nft is missing" in text, "nothing was done" in text) == (1, True, True)
    assert host.policies() == []
    assert run("apply", "--yes", "--no-reject-rule")[0] == 0


def test_an_empty_table_leaves_what_is_in_place(host: Host) -> None:
    assert host.run("apply", "--yes", table=TABLE)[0] == 0
    before = host.policies()
    for text in ("", "\n", "garbage\n"):
        code, told = host.run("apply", "--yes", "--allow-clear", "--allow-partial", table=text)
        assert (code, "what is in place is left as it is" in told) == (3, True)
        assert host.policies() == before


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_harm_nothing(host: Host, closed: str) -> None:
    command = host.command("apply", "--yes", table=TABLE)
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh"]
    assert subprocess.run([*shell, *command], check=False).returncode == 0
    assert host.policies()
    assert host.run("status")[0] == 0
    for verb in ("convert", "check", "report", "verify", "explain"):
        words = [*command[:3], verb, "-q", command[-1]]
        words += ["--src", "10.0.0.1", "--dst", "10.0.0.2"] if verb == "explain" else []
        done = subprocess.run(
            [*shell, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert done.returncode in ((1,) if ">&-" in closed.split() else (0, 13))


def test_a_reader_that_went_away_changes_no_exit_code_of_apply(host: Host) -> None:
    command = host.command("apply", "--yes", table=TABLE)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
    assert host.policies()


def test_a_rollback_that_is_overdue_is_told(host: Host) -> None:
    host.run("apply", "--yes", "--confirm-within", "2s", table=TABLE)
    assert "taken back in" in host.run("status")[1]
    assert "waits for its confirmation" in host.run("plan", table=TABLE)[1]
    # Nobody but the process that was to take it back.
    command = "\0".join(host.command("apply", "--yes", "--confirm-within", "2s")[1:6]).encode()
    found = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if command in path.read_bytes() and host.name.encode() in path.read_bytes()
    ]
    assert len(found) == 1
    os.kill(found[0], signal.SIGKILL)
    time.sleep(4.5)
    code, text = host.run("status")
    assert (code, "the process that was to do it is gone" in text) == (15, True)
    assert host.run("rollback", "--yes")[0] == 0
    assert host.policies() == []


def test_an_apply_of_an_earlier_boot_waits_for_nobody(host: Host) -> None:
    host.run("apply", "--yes", "--confirm-within", "60s", table=TABLE)
    subprocess.run(["ip", "netns", "del", host.name], check=True)
    subprocess.run(["ip", "netns", "add", host.name], check=True)
    code, text = host.run("status")
    assert (code, "before the last boot" in text) == (0, True)
    code, text = host.run("rollback")
    assert (code, "before the last boot" in text, "nothing to take back" in text) == (3, True, True)
    assert host.run("apply", "--yes", table=TABLE)[0] == 0


def test_the_same_table_in_another_file_changes_nothing(host: Host) -> None:
    assert host.run("apply", "--yes", table=TABLE)[0] == 0
    other = host.folder / "other.eroute"
    other.write_text("\n" + TABLE, encoding="ascii")
    assert host.run("plan", "-q", str(other))[0] == 0


def test_what_others_let_pass_is_told(host: Host) -> None:
    """A script's policies are not ours: an old %pass of it stays, and wins."""
    words = "src 172.31.252.7/32 dst 192.168.7.0/24 dir out priority 1000000000"
    command = ["ip", "-n", host.name, "xfrm", "policy", "add", *words.split()]
    subprocess.run(command, check=True)
    command = [word for word in host.command("apply", "--yes", table=TABLE) if word != "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "1 policies of others let pass in clear, and win over ours" in done.stdout
