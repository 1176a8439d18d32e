"""Standard streams that are closed, full or left by their reader: no traceback, an exit code."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.translated import ROOT

TABLE = str(ROOT / "docs/examples/gateway.eroute")
VERBS = ("check", "convert", "verify", "report", "explain")
PACKET = ("--src", "172.31.252.5", "--dst", "192.168.7.9")


def run(redirection: str, *words: str) -> tuple[int, str]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    program = [sys.executable, "-m", "eroute_translate", *words]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *program],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("redirection", "told"), [(">/dev/full", "No space left"), (">&-", "Bad file descriptor")]
)
@pytest.mark.parametrize("verb", VERBS)
def test_what_cannot_be_written_is_told(verb: str, redirection: str, told: str) -> None:
    code, text = run(redirection, verb, "-q", *(PACKET if verb == "explain" else ()), TABLE)
    assert code == 1
    assert told in text
    assert "Traceback" not in text
    assert "Exception ignored" not in text


def test_a_standard_input_that_is_closed_is_no_empty_one() -> None:
    code, text = run("<&-", "convert", "-q")
    assert code == 1
    assert "cannot read <standard input>" in text
    assert "Traceback" not in text


def test_nobody_has_to_listen() -> None:
    assert run("2>&-", "check", TABLE) == (0, "")
    assert run("<&- 2>&-", "check", TABLE) == (0, "")
