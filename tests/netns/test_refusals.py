"""What is told when the kernel refuses: its words, what to do, and the line that it comes from."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sys
from pathlib import Path

import pytest

from eroute_translate.cli import applying, main
from eroute_translate.xfrm.bulk import Channel

from .faulty import faulty, octets
from .spaces import execute, need

pytestmark = pytest.mark.kernel

TABLE = """\
12 172.31.252.0/24 -> 192.168.7.0/24 => tun0x1002@203.0.113.7
0 172.31.252.0/24 -> 192.168.8.0/24 => %drop
"""
KEYED = """\
ipsec spi --af inet --edst 192.0.2.2 --spi 0x1234 --proto esp --src 192.0.2.1 \\
  --esp 3des-md5-96 --enckey 0x000102030405060708090a0b0c0d0e0f1011121314151617 \\
  --authkey 0x18191a1b1c1d1e1f2021222324252627
ipsec spi --af inet --edst 192.0.2.2 --spi 0x1234 --proto tun --src 192.0.2.1 \\
  --dst 192.0.2.2 --ip4
ipsec spigrp inet 192.0.2.2 0x1234 tun inet 192.0.2.2 0x1234 esp
ipsec eroute --add --eraf inet --src 10.1.0.0/16 --dst 10.2.0.0/16 --said tun0x1234@192.0.2.2
"""


def words(netns: str, folder: Path, *more: str) -> list[str]:
    return ["--netns", netns, "--state-folder", str(folder / "state"), "-q", *more]


def test_a_refused_policy_names_its_row(
    netns: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The kernel itself refuses a message that was spoilt on its way."""
    need("nft")
    table = tmp_path / "old.eroute"
    table.write_text(TABLE, encoding="ascii")
    with Channel.open(netns) as good:
        before = octets(good)
        named = set()
        for poison in range(4):
            channels = [faulty(netns, poison=poison)[0]]

            def kernel_of(_: object, channels: list[Channel] = channels) -> Channel:
                return channels.pop() if channels else Channel.open(netns)

            monkeypatch.setattr(applying, "kernel_of", kernel_of)
            code = main(["apply", "--yes", *words(netns, tmp_path, str(table))])
            told = capsys.readouterr().err
            assert code == 14
            assert "EINVAL" in told
            assert "Invalid policy direction" in told, "the words of the extended ack"
            named.add(told.partition(f"it comes from {table}:")[2].partition("\n")[0])
            assert "everything is as it was" in told
            assert octets(good) == before
        assert named == {"1", "2"}


def test_a_refused_state_names_its_module_and_its_line(
    netns: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need("nft")
    script = tmp_path / "start.sh"
    script.write_text(KEYED, encoding="ascii")
    code = main(["apply", "--yes", *words(netns, tmp_path, str(script))])
    told = capsys.readouterr().err
    if code == 0:
        pytest.skip("this kernel has ESP and its ciphers: nothing is refused")
    assert code == 14, told
    assert "modprobe esp4" in told or "modprobe des_generic" in told
    assert f"it comes from {script}:1" in told
    assert "0001020304" not in told
    with Channel.open(netns) as channel:
        assert channel.dump() == []


def test_a_kernel_without_xfrm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(errno.EPROTONOSUPPORT, os.strerror(errno.EPROTONOSUPPORT))

    monkeypatch.setattr("eroute_translate.xfrm.connection.socket.socket", refuse)
    assert main(["status", "--state-folder", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "NETLINK_XFRM" in told
    assert "modprobe xfrm_user" in told


@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_without_the_capability(netns: str, tmp_path: Path, verb: str) -> None:
    """Root in all but one: it is named."""
    if shutil.which("setpriv") is None:
        pytest.skip("the program setpriv (util-linux) is not installed")
    table = tmp_path / "old.eroute"
    table.write_text(TABLE, encoding="ascii")
    without = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    program = [sys.executable, "-m", "eroute_translate", verb]
    program += ["--yes"] if verb == "apply" else []
    target = ["--state-folder", str(tmp_path / "state"), "-q", str(table)]
    done = execute(netns, *without, *program, *target)
    assert done.returncode == 1, done
    assert "EPERM" in done.stderr
    assert "CAP_NET_ADMIN" in done.stderr
    assert not (tmp_path / "state" / "host" / "transaction").exists()
