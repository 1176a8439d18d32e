"""``--strict``: an entry that is carried with a difference is an exit code, with every verb."""

from __future__ import annotations

from pathlib import Path

import pytest

from eroute_translate.cli import EXIT_DIFFERENT, main
from tests.translated import row

TABLE = row("10.1.0.0/16", "10.2.0.0/16", "%reject")
DIFFERENT = "--no-reject-rule"


@pytest.mark.parametrize("verb", ["check", "convert", "verify", "report", "plan", "apply"])
def test_an_approximated_entry_is_told(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "table.eroute"
    path.write_text(TABLE, encoding="ascii")
    assert main([verb, "-q", "--strict", DIFFERENT, str(path)]) == EXIT_DIFFERENT
    shown = capsys.readouterr()
    if verb in ("plan", "apply"):
        assert "nothing was done, since --strict was given" in shown.err
        assert shown.out == ""


@pytest.mark.parametrize("verb", ["check", "convert", "verify", "report"])
def test_without_it_and_without_such_an_entry_all_is_done(verb: str, tmp_path: Path) -> None:
    path = tmp_path / "table.eroute"
    path.write_text(TABLE, encoding="ascii")
    assert main([verb, "-q", DIFFERENT, str(path)]) == 0
    assert main([verb, "-q", "--strict", str(path)]) == 0
