"""ipsec.conf where nobody gave it by itself: in a barf, behind a prompt, in a folder or archive."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from eroute_translate.cli import main

MARK = "+ " + "_" * 25

CONF = """\
version\t2.0
config setup
\tinterfaces="ipsec0=eth1"
conn %default
\tleft=192.0.2.1
\tleftsubnet=10.20.0.0/16
conn branch
\tright=203.0.113.9
\trightsubnet=10.30.0.0/16
\tauto=start
conn hole
\ttype=passthrough
\tright=203.0.113.9
\trightsubnet=10.30.4.0/24
\tauto=route
"""
"""Two eroutes: 10.20.0.0/16 to 10.30.0.0/16 protected, to 10.30.4.0/24 in clear."""

NO_OE = "".join(
    f"conn {name}\n\tauto=ignore\n"
    for name in ("block", "private", "private-or-clear", "clear-or-private", "clear")
)

ROW = "7          10.20.0.0/16       -> 10.30.0.0/16       => tun0x1002@203.0.113.9\n"


def barf(rows: str, conf: str = CONF, name: str = "gw1") -> str:
    return (
        f"{name}\nWed Mar  3 04:05:06 UTC 2010\n"
        f"{MARK} version\n+ ipsec --version\nLinux Openswan 2.4.4 (klips)\n"
        f"{MARK} /proc/net/ipsec_eroute\n+ test -r /proc/net/ipsec_eroute\n{rows}"
        f"{MARK} ifconfig-a\neth1      Link encap:Ethernet  HWaddr 00:0D:B9:01:02:04\n"
        "          inet addr:192.0.2.1  Bcast:192.0.2.255  Mask:255.255.255.0\n"
        f"{MARK} ipsec/conf\n+ ipsec _include /etc/ipsec.conf\n+ ipsec _keycensor\n\n"
        f"#< /etc/ipsec.conf 1\n{conf}\n#< /etc/ipsec.d/examples/no_oe.conf 1\n{NO_OE}\n"
        f'#> /etc/ipsec.conf 33\n{MARK} ipsec/secrets\n: PSK "[sums to ef67...]"\n'
        f"{MARK} ipsec/policies/block\n+ cat /etc/ipsec.d/policies/block\n# none\n"
        f"{MARK} date\n+ date\nWed Mar  3 04:05:07 UTC 2010\n"
    )


def checked(
    capsys: pytest.CaptureFixture[str], *words: str | Path, code: int = 0
) -> tuple[list[tuple[str, int]], list[dict[str, Any]]]:
    """The eroutes as KLIPS prints them with their lines, and the diagnostics."""
    assert main(["check", "--format", "json", "-v", *map(str, words)]) == code
    found = json.loads(capsys.readouterr().out)
    rows = [(" ".join(e["klips"].split()[1:]), e["line"]) for e in found["eroutes"]]
    return rows, found["diagnostics"]


def codes(diagnostics: list[dict[str, Any]]) -> set[str]:
    """The codes of reading, and those that are errors."""
    return {d["code"] for d in diagnostics if d["code"] < "ET2" or d["severity"] == "error"}


BRANCH = "10.20.0.0/16 -> 10.30.0.0/16 => tun0x0@203.0.113.9"
HOLE = "10.20.0.0/16 -> 10.30.4.0/24 => %pass"
EROUTES = [BRANCH, HOLE]


def rows_of(text: str, places: list[tuple[str, int]]) -> None:
    """Each eroute names the line of its connection."""
    lines = text.splitlines()
    named = [lines[line - 1] for _, line in places]
    assert named == ["conn branch", "conn hole"]


@pytest.mark.parametrize("form", ["plain", "archive"])
def test_a_barf_without_eroutes_tells_those_of_its_connections(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = barf("")
    path = tmp_path / "barf.txt"
    path.write_text(text)
    if form == "archive":
        path = tmp_path / "a.tgz"
        path.write_bytes(archive({"support/barf.txt": text}))
    rows, found = checked(capsys, path)
    assert [row for row, _ in rows] == EROUTES
    rows_of(text, rows)
    assert codes(found) == {"ET114", "ET147"}


def test_a_barf_with_eroutes_is_translated_by_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "barf.txt"
    path.write_text(barf(ROW, CONF + "conn unknown\n\tleft=gw.example.net\n\tauto=start\n"))
    rows, found = checked(capsys, path)
    assert [row for row, _ in rows] == [" ".join(ROW.split()[1:])]
    assert codes(found) == {"ET114", "ET146"}


def test_a_barf_that_is_cut_in_its_configuration_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = barf("")
    path = tmp_path / "barf.txt"
    path.write_text(text[: text.index("conn hole") + 30])
    rows, found = checked(capsys, path, code=12)
    assert rows[0][0] == BRANCH
    assert "ET106" in codes(found)


def test_each_host_has_its_own_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What one host printed does not outweigh the configuration of another."""
    path = tmp_path / "barfs.txt"
    path.write_text(barf(ROW) + barf("", name="gw2"))
    rows, _ = checked(capsys, "--host", "gw2", path)
    assert [row for row, _ in rows] == EROUTES
    rows, _ = checked(capsys, "--host", "gw1", path)
    assert [row for row, _ in rows] == [" ".join(ROW.split()[1:])]
    _, found = checked(capsys, path, code=12)
    assert "ET143" in codes(found)


def archive(files: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


OE = "conn clear\n\tright=%group\n\tleft=192.0.2.1\n\ttype=passthrough\n\tauto=route\n"

TREE = {
    "etc/ipsec.conf": CONF + "include /etc/ipsec.d/*.conf\ninclude ipsec/more.conf\n",
    "etc/ipsec.d/oe.conf": OE,
    "etc/ipsec/more.conf": (
        "conn more\n\tright=203.0.113.9\n\trightsubnet=10.31.0.0/16\n\tauto=start\n"
    ),
    "etc/ipsec.d/policies/clear": "203.0.113.128/25\n",
    "etc/ipsec.d/private/gw.conf": "conn secret\n",
    "etc/ipsec.secrets": ': PSK "not for you"\n',
}


@pytest.mark.parametrize("form", ["folder", "archive", "dotted"])
def test_a_folder_or_archive_of_a_configuration(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gw"
    if form == "folder":
        for name, text in TREE.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text)
    else:
        dot = "./" if form == "dotted" else ""
        path.write_bytes(archive({dot + name: text for name, text in TREE.items()}))
    rows, found = checked(capsys, "--local", "192.0.2.1", path)
    assert {row for row, _ in rows} == {
        *EROUTES,
        "10.20.0.0/16 -> 10.31.0.0/16 => tun0x0@203.0.113.9",
        "10.20.0.0/16 -> 203.0.113.128/25 => %pass",
    }
    assert codes(found) == {"ET145"}
    files = {d["file"] for d in found if d["code"] == "ET145"}
    assert files == {str(path)}


def test_a_console_that_shows_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    comment = "# /etc/ipsec.conf - Openswan IPsec configuration file\n# ipsec needs this\n"
    text = f"root@gw1:~# cat /etc/ipsec.conf\n{comment}{CONF}root@gw1:~# uptime\n"
    path = tmp_path / "console.txt"
    path.write_text(text)
    rows, _ = checked(capsys, "--local", "192.0.2.1", path)
    assert [row for row, _ in rows] == EROUTES
    rows_of(text, rows)
    path.write_text(text + f"root@gw1:~# cat /proc/net/ipsec_eroute\n{ROW}root@gw1:~# \n")
    rows, found = checked(capsys, path)
    assert [row for row, _ in rows] == [" ".join(ROW.split()[1:])]
    assert codes(found) == {"ET146"}


def test_what_grep_left_of_the_file_is_no_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "console.txt"
    path.write_text("root@gw1:~# grep left /etc/ipsec.conf\n\tleft=192.0.2.1\nroot@gw1:~# \n")
    assert main(["check", "-q", str(path)]) == 3
    assert "ET115" in capsys.readouterr().err


ROUTES = f"""\
{MARK} netstat-rn
Kernel IP routing table
Destination     Gateway         Genmask         Flags   MSS Window  irtt Iface
10.20.0.0       0.0.0.0         255.255.0.0     U         0 0          0 eth0
0.0.0.0         192.0.2.254     0.0.0.0         UG        0 0          0 {{device}}
{MARK} ifconfig-a
eth0      Link encap:Ethernet  HWaddr 00:0D:B9:01:02:03
          inet addr:10.20.0.1  Bcast:10.20.255.255  Mask:255.255.0.0
"""


@pytest.mark.parametrize(("device", "code"), [("eth1", 0), ("eth2", 12)])
def test_the_default_route_tells_which_address_is_ours(
    device: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = "conn a\n\tleft=%defaultroute\n\tright=203.0.113.9\n\tauto=start\n"
    text = barf("", conf).replace(f"{MARK} ifconfig-a\n", ROUTES.format(device=device), 1)
    path = tmp_path / "barf.txt"
    path.write_text(text)
    rows, found = checked(capsys, path, code=code)
    expected = ["192.0.2.1/32 -> 203.0.113.9/32 => tun0x0@203.0.113.9"]
    assert [row for row, _ in rows] == ([] if code else expected)
    assert ("ET168" in codes(found)) == bool(code)


def test_keys_that_barf_left_out_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = (
        "conn a\n\tleft=192.0.2.1\n\tright=203.0.113.9\n\tspi=0x200\n\tesp=3des-md5-96\n"
        '\tespenckey="[sums to 1a2b...]"\n'
    )
    path = tmp_path / "barf.txt"
    path.write_text(barf("", conf))
    _, found = checked(capsys, path, code=12)
    messages = [d["message"] for d in found if d["code"] == "ET165"]
    assert messages == ["the key espenckey is not here: ipsec barf put a sum in its place"]
    path.write_text(
        barf("7          192.0.2.1/32       -> 203.0.113.9/32     => tun0x200@203.0.113.9\n", conf)
    )
    rows, _ = checked(capsys, path)
    assert len(rows) == 1


def test_a_host_in_mast_mode_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "spi.txt"
    path.write_text(
        "tun0x1002@203.0.113.9 IPIP: dir=out src=192.0.2.1 policy=10.20.0.0/16->10.30.0.0/16"
        " flags=0x10<> life(c,s,h)=addtime(7,0,0) natencap=none natsport=0 natdport=0 refcount=4"
        " ref=16 refhim=9\n"
    )
    assert main(["check", "-q", str(path)]) == 3
    error = capsys.readouterr().err
    assert f"no eroute was found in {path}" in error
    assert "MAST" in error
