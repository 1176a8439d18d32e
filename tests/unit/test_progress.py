"""What a terminal shows of a long work, and what it does not."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest

from eroute_translate.cli import main, progress
from eroute_translate.cli.progress import Progress, busy


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still unless it is set."""
    clock = [100.0]
    monkeypatch.setattr("eroute_translate.cli.progress.time.monotonic", lambda: clock[0])
    return clock


def test_a_bar_after_a_second(now: list[float]) -> None:
    stream = Terminal()
    with Progress("sending changes", stream) as bar:
        bar(1, 10)
        assert stream.getvalue() == ""
        now[0] += 1.1
        bar(5, 10)
        assert stream.getvalue() == f"\r[{'#' * 15:<30}]  50% sending changes"
        bar(6, 10)  # not again at once
        assert "60%" not in stream.getvalue()
        now[0] += 0.2
        bar(10, 10)
        assert f"[{'#' * 30}] 100%" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_nothing_for_what_is_quick_or_elsewhere(now: list[float]) -> None:
    quick, file = Terminal(), io.StringIO()
    with Progress("x", quick) as bar:
        bar(10, 10)
    with Progress("x", file) as bar:
        now[0] += 9
        bar(5, 10)
        bar(0, 0)
    assert (quick.getvalue(), file.getvalue()) == ("", "")


def test_a_mark_for_work_without_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    quick, slow, file = Terminal(), Terminal(), io.StringIO()
    with busy("reading", quick):
        pass
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(progress, "EVERY", 0.001)
    with busy("reading", file):
        pass
    with busy("reading", slow):
        end = time.monotonic() + 10
        while slow.getvalue().count("reading") < 3 and time.monotonic() < end:
            time.sleep(0.001)
    assert (quick.getvalue(), file.getvalue()) == ("", "")
    assert slow.getvalue().count("###") >= 3
    assert slow.getvalue().endswith("\r\x1b[K")


def test_what_the_work_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="no table"), busy("reading", Terminal()):
        raise ValueError("no table")


@pytest.mark.parametrize("verb", ["convert", "report"])
def test_quiet_says_nothing_when_all_is_well(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "x.eroute"
    for text, code in (("%drop", 0), ("tun0x1002@", 12)):
        table.write_text(f"0 10.1.0.0/16 -> 10.2.0.0/16 => {text}\n", encoding="ascii")
        told = []
        for words in ([], ["-q"]):
            output = ["-o", str(tmp_path / "out")]
            assert main([verb, "--scope", "eroutes", *words, *output, str(table)]) in (code, 13)
            told.append(capsys.readouterr().err)
        assert "1 entry: " in told[0]
        assert ("1 entry: " in told[1]) == (code == 12)


def test_what_cannot_be_written_is_named_as_it_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, output = tmp_path / "x.eroute", tmp_path / "none" / "x.sh"
    table.write_text("0 10.1.0.0/16 -> 10.2.0.0/16 => %drop\n", encoding="ascii")
    assert main(["convert", "-q", "-o", str(output), str(table)]) == 1
    assert f"No such file or directory: '{output}'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["convert", "--to", "iptables", str(table)])
    assert "'iptables' is none of ip-xfrm, " in capsys.readouterr().err
