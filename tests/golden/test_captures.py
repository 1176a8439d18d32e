"""Captures of every family of formats, each with what must be read of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from eroute_translate.cli import main
from tests.golden.reading import HERE, golden, read_json

CAPTURES = sorted((HERE / "captures").glob("*.txt"))

EXIT_CODES = {"console": 12, "ipv6_misprints": 12, "libreswan_proc": 12}
"""Of `check`, where it is not 0: entries that were refused, by the reader or (libreswan) because
XFRM has nothing for a mask with many holes and a bare ah between networks."""


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_capture_is_read(path: Path) -> None:
    assert read_json(path.read_bytes()) == golden(path)


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_exit_code(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(path)]) == EXIT_CODES.get(path.stem, 0)
    output = capsys.readouterr()
    errors = [item for item in golden_codes(path) if item[1] == "error"]
    for code, _ in errors:
        assert f"error[{code}]" in output.err + output.out


def golden_codes(path: Path) -> list[tuple[str, str]]:
    items = golden(path)["diagnostics"]
    assert isinstance(items, list)
    return [(item["code"], item["severity"]) for item in items]
