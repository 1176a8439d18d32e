"""Bad input through the command line: a clear word, the rest translated, and the exit code."""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path

import pytest

from eroute_translate.cli import main
from tests.unit.klips_text import row

A = row("10.0.0.0/8", "192.168.1.0/24")
B = row("10.1.0.0/16", "192.168.2.0/24", "%drop")
GOOD = "src 10.0.0.0/8 dst 192.168.1.0/24 dir out"
OPTIONS = ["--local", "198.51.100.1", "--format", "json", "-v"]

Found = list[tuple[str, int | None, int | None]]


class Run:
    """What one command gave."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        items = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
        self.items = [item for item in items if item["code"] < "ET200"]
        self.codes = [item["code"] for item in self.items]


@pytest.fixture
def convert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> object:
    def run(data: bytes | str, *options: str) -> Run:
        path = tmp_path / "table"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        code = main(["convert", *OPTIONS, *options, str(path)])
        output = capsys.readouterr()
        return Run(code, output.out, output.err)

    return run


class Convert:
    """The type of the fixture."""

    def __call__(self, data: bytes | str, *options: str) -> Run:
        raise NotImplementedError


def test_sound_table(convert: Convert) -> None:
    run = convert(A + B)
    assert (run.code, run.codes) == (0, [])
    assert GOOD in run.out


def test_file_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = tmp_path / "good"
    good.write_text(A)
    for bad, word in ((tmp_path / "absent", "No such file"), (tmp_path, "directory")):
        assert main(["convert", str(good), str(bad)]) == 1
        output = capsys.readouterr()
        assert GOOD in output.out
        assert "error[ET108]" in output.err
        assert word in output.err
        assert main(["check", str(bad)]) == 1
        assert "error[ET115]" in capsys.readouterr().err
    assert main(["convert", "a\0b"]) == 1
    assert "ET108" in capsys.readouterr().err


def test_file_without_rights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert main(["check", str(tmp_path / "ipsec_eroute")]) == 1
    err = capsys.readouterr().err
    assert "Permission denied" in err
    assert "readable by root alone" in err


def test_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(A.encode() + b"\xff\n")))
    assert main(["check", "-v", "-"]) == 0
    assert "<standard input>:2" in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"", b"\n", b"no table\n", b"ipsec0->eth1 mtu=16260\n"])
def test_nothing_to_translate(convert: Convert, data: bytes) -> None:
    run = convert(data)
    assert (run.code, run.out) == (3, "")
    assert run.codes[-1] == "ET115"


def test_binary_garbage(convert: Convert) -> None:
    garbage = bytes((n * 7919 >> 3) & 0xFF for n in range(60_000)).replace(b">", b"?")
    run = convert(garbage)
    assert run.code == 3
    assert run.codes[0] == "ET109"
    run = convert(garbage + b"\n" + A.encode())
    assert run.code == 12
    assert GOOD in run.out
    assert run.codes[0] == "ET109"


@pytest.mark.parametrize("filler", [b"A", b"\xff", b"10 10.0.0.0/8 -> 10.1.0.0/16 => %drop "])
def test_a_line_of_100_megabytes(convert: Convert, filler: bytes) -> None:
    line = filler * (100_000_000 // len(filler))
    start = time.perf_counter()
    run = convert(line + b"\n" + A.encode())
    assert time.perf_counter() - start < 10
    assert run.code == 12
    assert GOOD in run.out
    assert "ET107" in run.codes
    long = next(item for item in run.items if item["code"] == "ET107")
    assert str(len(line)) in long["message"]
    assert len(long["excerpt"]) < 1000


def test_nul_bytes(convert: Convert) -> None:
    run = convert(A.encode() + b"\0" * 100 + B.encode() + A.replace("10.0", "10.9").encode())
    assert run.code in (0, 12)
    assert GOOD in run.out
    assert "dst 192.168.2.0/24 dir out action block" in run.out


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_other_encodings(convert: Convert, encoding: str) -> None:
    run = convert((A + B).encode(encoding))
    assert (run.code, run.codes) == (0, [])
    assert GOOD in run.out


@pytest.mark.parametrize(
    ("bad", "code", "column"),
    [
        (row("10.2.0.0/16", "192.168.9.0/24", "gre0x1@203.0.113.7"), "ET103", 56),
        (row("10.2.0.0/16", "2001:db8::/32"), "ET104", 12),
        (row("10.2.0.0/16", "192.168.9.0/24", "%drop:300"), "ET105", 62),
        (row("10.2.0.0/16:70000", "192.168.9.0/24"), "ET105", 24),
        ("10 10.2.0.0/16 -> 192.168\n", "ET106", 1),
        (row("10.2.0.0/16", "192.168.9.0/24", ""), "ET106", 55),
        (row("[2001:db8::/3]:80", "2001:db8::/32"), "ET112", 12),
    ],
)
def test_one_bad_row(convert: Convert, bad: str, code: str, column: int) -> None:
    run = convert(A + bad + B)
    assert run.code == 12
    assert [(i["code"], i["line"], i["column"]) for i in run.items] == [(code, 2, column)]
    assert GOOD in run.out
    assert "dst 192.168.2.0/24 dir out action block" in run.out


def test_partial_script_stops_unless_it_was_asked_for(convert: Convert) -> None:
    bad = row("10.2.0.0/16", "192.168.9.0/24", "gre0x1@203.0.113.7")
    assert "exit" in convert(A + bad).out.split("ip xfrm policy")[0]
    partial = convert(A + bad, "--allow-partial")
    assert partial.code == 12
    assert "src 10.2.0.0/16 dst 192.168.9.0/24 dir out action block" in partial.out


def test_two_tables(convert: Convert) -> None:
    heading = "gw# ipsec eroute\n"
    equal = convert(heading + A + B + heading + A + B)
    assert (equal.code, equal.codes) == (0, ["ET114", "ET111"])
    superset = convert(heading + A + heading + A + B)
    assert (superset.code, superset.codes) == (0, ["ET114", "ET111"])
    different = convert(heading + A + heading + B)
    assert different.code == 12
    assert "ET111" in different.codes
    assert GOOD not in different.out
    chosen = convert(heading + A + heading + B, "--table", "1")
    assert chosen.code == 0
    assert GOOD in chosen.out


def test_a_table_that_its_kernel_repeated(convert: Convert) -> None:
    page = "".join(row(f"10.{n}.0.0/16", "192.168.1.0/24") for n in range(68))
    run = convert(page + page)
    assert (run.code, run.codes) == (12, ["ET110"])
    assert run.items[0]["line"] == 69
    assert "src 10.67.0.0/16 dst 192.168.1.0/24 dir out" in run.out


def test_a_capture_cut_inside_a_row(convert: Convert) -> None:
    for size in range(len(A) + B.index("->") + 2, len(A + B) - 3):
        run = convert((A + B)[:size])
        assert run.code == 12, (A + B)[:size]
        assert GOOD in run.out


@pytest.mark.parametrize("size", [13, 20, 23, 30, 31])
def test_a_capture_cut_before_the_arrow(convert: Convert, size: int) -> None:
    run = convert((A + B)[: len(A) + size])
    assert "ET106" in run.codes
    assert run.code == 12


def test_a_capture_cut_inside_its_last_word_says_so(convert: Convert) -> None:
    run = convert((B + A.replace("113.7", "113.77"))[:-2])
    assert run.codes == ["ET106"]
    assert run.items[0]["severity"] == "warning"


@pytest.mark.parametrize("size", [512, 4096, 8192])
def test_a_capture_cut_at_a_block_is_refused(convert: Convert, size: int) -> None:
    """Pastes lack a line end too, but seldom at a whole number of blocks."""
    last = row("10.9.0.0/16", "192.168.9.0/24", "tun0x1002@203.0.113.11")[:-1]
    heading = "#" * (size - len(A) - len(last) - 1)
    run = convert(f"{heading}\n{A}{last}")
    assert run.code == 12
    assert [(i["code"], i["severity"], i["line"]) for i in run.items if i["code"] == "ET106"] == [
        ("ET106", "error", 3)
    ]
    assert GOOD in run.out
    assert "tmpl src 198.51.100.1 dst 203.0.113.11 " not in run.out
    assert "dst 192.168.9.0/24 dir out action block" in run.out
    whole = convert(f"{heading}\n{A}{last}\n")
    assert (whole.code, whole.codes) == (0, ["ET114"])


def test_text_of_the_capture_cannot_speak_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "table"
    path.write_bytes(
        A.encode() + b"10 10.2.0.0/16 -> 192.168.9.0/24 => \x9b31m\xc2\x9b2J\xe2\x80\xae\n"
    )
    assert main(["check", str(path)]) == 12
    output = capsys.readouterr()
    text = output.out + output.err
    assert "ET103" in text
    assert "\x9b" not in text
    assert "\u202e" not in text
