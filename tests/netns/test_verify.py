"""``verify`` against a running kernel: proved after script and apply, refuted after a change."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from eroute_translate.cli import main

from .spaces import execute

pytestmark = pytest.mark.kernel

LOCAL = ["--local", "203.0.113.99"]
TABLE = """\
#!/bin/sh
ipsec eroute --add --eraf inet --src 10.0.0.0/8 --dst 192.168.1.0/24 --said tun0x1001@203.0.113.1
ipsec eroute --add --eraf inet --src 10.1.0.0/16 --dst 192.168.0.0/16 --said tun0x1002@203.0.113.2
ipsec eroute --add --eraf inet --src 10.1.2.0/24 --dst 99.0.0.0/8 --said %drop
ipsec eroute --add --eraf inet --src 10.1.2.0/24 --dst 99.0.0.0/16 --transport-proto tcp \\
  --dst-port 443 --said %pass
ipsec eroute --add --eraf inet6 --src 2001:db8:1::/48 --dst 2001:db8:2::/48 --said %trap
"""


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "gateway.sh"
    path.write_text(TABLE)
    return str(path)


def verified(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["verify", "-q", *LOCAL, *words])
    return code, capsys.readouterr().out


def policy(netns: str, *words: str) -> None:
    subprocess.run(["ip", "-n", netns, "xfrm", "policy", *words], check=True)


@pytest.mark.parametrize("way", ["script", "apply"])
def test_what_was_installed_is_proved(
    netns: str, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], way: str
) -> None:
    code, output = verified(capsys, "--netns", netns, table)
    assert code == 13, "nothing is installed yet"
    if way == "script":
        script = tmp_path / "script.sh"
        assert main(["convert", "-q", *LOCAL, "-o", str(script), table]) == 0
        assert execute(netns, "sh", str(script)).returncode == 0
    else:
        state = ["--state-folder", str(tmp_path / "state"), "--netns", netns]
        assert main(["apply", "-q", "--yes", *LOCAL, *state, table]) == 0
    capsys.readouterr()
    code, output = verified(capsys, "--netns", netns, table)
    assert code == 0, output
    # 64 exceptions for the pair that crosses are among what was proved.
    listed = subprocess.run(
        ["ip", "-n", netns, "xfrm", "policy", "list"], capture_output=True, text=True, check=True
    ).stdout
    assert listed.count("\nsrc") > 200


def test_a_change_of_the_kernel_is_found(
    netns: str, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state-folder", str(tmp_path / "state"), "--netns", netns]
    assert main(["apply", "-q", "--yes", *LOCAL, *state, table]) == 0
    capsys.readouterr()
    policy(netns, "add", "src", "10.1.2.0/25", "dst", "99.1.0.0/16", "dir", "out")
    code, output = verified(capsys, "--netns", netns, table)
    assert code == 13
    assert "packet 10.1.2.1 -> 99.1.0.1" in output
    assert "weaker" in output
    policy(netns, "delete", "src", "10.1.2.0/25", "dst", "99.1.0.0/16", "dir", "out")
    assert verified(capsys, "--netns", netns, table)[0] == 0


def test_the_default_has_its_part_in_it(
    netns: str, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state-folder", str(tmp_path / "state"), "--netns", netns]
    assert main(["apply", "-q", "--yes", *LOCAL, *state, table]) == 0
    capsys.readouterr()
    policy(netns, "setdefault", "out", "block")
    code, output = verified(capsys, "--netns", netns, table)
    assert code == 13
    assert "no eroute and no policy covers it" in output


def test_the_kernel_against_a_file_of_policies(
    netns: str, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text of ip says the same as the kernel's own messages."""
    state = ["--state-folder", str(tmp_path / "state"), "--netns", netns]
    assert main(["apply", "-q", "--yes", *LOCAL, *state, table]) == 0
    capsys.readouterr()
    text = subprocess.run(
        ["ip", "-n", netns, "xfrm", "policy"], capture_output=True, text=True, check=True
    ).stdout
    printed = tmp_path / "printed"
    printed.write_text(text)
    assert main(["verify", str(printed), "--netns", netns]) == 0
    assert main(["verify", "-q", *LOCAL, table, "--against", str(printed)]) == 0
    policy(netns, "delete", "src", "10.1.2.0/24", "dst", "99.0.0.0/8", "dir", "out")
    assert main(["verify", str(printed), "--netns", netns]) == 13


def test_the_report_tells_what_would_change(
    netns: str, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = ["--state-folder", str(tmp_path / "state"), "--netns", netns]

    def page() -> tuple[int, str]:
        code = main(["report", "-q", *LOCAL, *target, table])
        return code, capsys.readouterr().out

    code, text = page()
    assert code == 0
    assert f"## Changes on the namespace {netns}\n" in text
    assert "\n+ src 10.1.2.0/24 dst 99.0.0.0/8 dir out action block" in text
    assert main(["apply", "-q", "--yes", *LOCAL, *target, table]) == 0
    capsys.readouterr()
    code, text = page()
    assert code == 0
    assert "\n0 to add, 0 to replace, 0 to remove, " in text
    key = ["src", "10.1.2.0/24", "dst", "99.0.0.0/8", "dir", "out"]
    policy(netns, "delete", *key)
    policy(netns, "add", *key, "priority", "7")
    code, text = page()
    assert code == 15
    assert f"- taken by others on the namespace {netns}: 1 places of ours" in text
    (journal,) = (tmp_path / "state").glob("*")
    for path in journal.iterdir():
        if path.is_file():
            path.write_bytes(b"damaged" + path.read_bytes())
    assert main(["report", "-q", *LOCAL, *target, table]) == 1
    told = capsys.readouterr()
    assert not told.out
    assert told.err.startswith("eroute-translate report: ")
