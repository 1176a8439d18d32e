"""A network namespace without a name: it is not the host, and no boot can find it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from eroute_translate.apply import target
from eroute_translate.apply.unit import install_unit, unit_name
from eroute_translate.cli import EXIT_DONE, EXIT_FAILED, main
from tests.translated import row


@pytest.fixture(autouse=True)
def nameless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Process 1 is in another namespace, and none has a name."""
    (tmp_path / "init").touch()
    (tmp_path / "named").mkdir()
    monkeypatch.setattr(target, "_INIT", tmp_path / "init")
    monkeypatch.setattr(target, "_NAMED", tmp_path / "named")


def test_it_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not target.survives_boot(None)
    assert target.target_folder(tmp_path, None).name.startswith("namespace-")
    assert target.survives_boot("a")
    monkeypatch.setattr(target, "_INIT", target._HERE)
    assert target.target_folder(tmp_path, None).name == "host"


def test_the_unit_of_the_host_is_none_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would install what was saved for the host, and nothing of this."""
    table = tmp_path / "table"
    table.write_text(row("10.0.0.0/8", "10.1.0.0/16", "%drop"), encoding="ascii")
    unit = tmp_path / "units" / unit_name(None)
    install_unit("of the host", unit)
    words = ["--state-folder", str(tmp_path / "state"), "--unit-folder", str(unit.parent)]
    assert main(["apply", "-q", "--yes", "--persist", *words, str(table)]) == EXIT_FAILED
    assert "has no name" in capsys.readouterr().err
    assert main(["restore", "--remove", *words]) == EXIT_DONE
    assert "there was no unit to remove" in capsys.readouterr().out
    assert unit.read_text(encoding="utf-8") == "of the host"
