"""The page for the reviewer, letter for letter, and what it ends with.

``pytest tests/golden/test_report.py --update-golden`` writes the pages anew; read the difference.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from eroute_translate.cli import main
from tests.translated import ROOT

FOLDER = Path(__file__).parent / "reports"

CASES = {
    "example.md": (
        ["--local", "172.31.252.1", "--local", "192.168.43.9"],
        "docs/examples/gateway.eroute",
        0,
    ),
    "barf.md": (["--local", "192.0.2.1"], "tests/golden/example/barf.txt", 0),
    "script.md": ([], "tests/golden/example/gateway.sh", 0),
    "broken.md": ([], "broken.eroute", 13),
}
"""Options, input and exit code."""

BROKEN = """\
0          10.1.0.0/16        -> 10.2.0.0/16        => tun0x1002@198.51.100.1
0          10.1.0.0/24        -> 10.0.0.0/8         => %pass
0          10.1.|*_.0/24      -> 10.3.0.0/16        => %drop
0          10.9.0.0/16        -> 10.2.0.0/16        => tun0x1004@198.51.100.0`x`
"""


@pytest.mark.parametrize("name", CASES)
def test_page(
    name: str,
    update_golden: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words, source, code = CASES[name]
    monkeypatch.chdir(ROOT)
    if source == "broken.eroute":
        monkeypatch.chdir(tmp_path)
        Path(source).write_text(BROKEN, encoding="ascii")
    assert main(["report", "-q", *words, source]) == code
    output = capsys.readouterr().out
    if update_golden:
        (FOLDER / name).write_text(output, encoding="utf-8")
    assert output == (FOLDER / name).read_text(encoding="utf-8")


def test_the_page_can_be_written_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words, source, code = CASES["example.md"]
    page = tmp_path / "page.md"
    assert main(["report", "-q", *words, source, "-o", str(page)]) == code
    assert page.read_bytes() == (FOLDER / "example.md").read_bytes()
    assert page.stat().st_mode & 0o777 == 0o600


def test_without_an_eroute_there_is_no_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    assert main(["report", str(empty)]) == 3
    assert main(["report", str(tmp_path / "missing")]) == 1
    assert capsys.readouterr().out == ""
