"""Runs the program in a child that kills itself at a chosen write of its journal.

Only tests use it.  A driver reads cases from its standard input, a JSON object in a line each,
forks for each, and answers when the child and every process that it left behind (the watchdog)
have ended.  The program itself knows nothing of this: what is replaced are the functions that its
journal calls.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

from eroute_translate.apply import stored, watchdog
from eroute_translate.cli import main
from eroute_translate.cli.parser import build_parser

_PR_SET_CHILD_SUBREAPER = 36
POINTS = ("open", "write", "fsync", "close", "replace", "unlink")


class Done(NamedTuple):
    """How a run ended: its exit code (negative for a signal), what it said, points it passed."""

    code: int
    text: str
    points: list[str]


class Driver:
    """A child process of the tests that runs cases one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from tests.netns.killed import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def run(self, *argv: str, **how: Any) -> Done:
        """Run the program: ``at`` a point, ``name`` of a signal, ``when`` before, after or torn.

        ``who`` is ``program``, or ``watchdog`` for the process that watches over it.  With
        ``settle`` off the program alone is waited for, not its watchdog.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        points = self._folder / "points"
        points.write_bytes(b"")
        output = self._folder / "output"
        request = {"argv": argv, "output": str(output), "points": str(points), **how}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = int(self._process.stdout.readline())
        text = output.read_text(encoding="utf-8", errors="replace")
        return Done(answer, text, points.read_text(encoding="ascii").split())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class _Killing:
    """Stands in the place of ``os`` in the journal; counts what is done, and kills."""

    def __init__(self, how: dict[str, Any], points: str) -> None:
        self.at = how.get("at", -1)
        self.signal = signal.Signals[how.get("name", "SIGKILL")]
        self.when = how.get("when", "before")
        self.process = os.getpid()
        self.passed = 0
        self.points = os.open(points, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def __getattr__(self, name: str) -> Any:
        function = getattr(os, name)
        return self.wrap(name, function) if name in POINTS else function

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **words: Any) -> Any:
            if os.getpid() != self.process:
                return function(*arguments, **words)
            number = self.passed
            self.passed += 1
            os.write(self.points, f"{name}\n".encode())
            if number == self.at and self.when == "before":
                os.kill(self.process, self.signal)
            if number == self.at and self.when == "torn" and name == "write":
                function(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                os.kill(self.process, self.signal)
            done = function(*arguments, **words)
            if number == self.at and self.when == "after":
                os.kill(self.process, self.signal)
            return done

        return called


def serve() -> None:
    """The driver's life."""
    # Each child has them for nothing then.
    for name in ("cli.run", "cli.live", "render", "xfrm.socket"):
        importlib.import_module(f"eroute_translate.{name}")
    importlib.import_module("jinja2")
    build_parser()
    # What a killed child leaves behind becomes ours, so that we know when it is over.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for line in sys.stdin:
        how = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(how)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ChildProcessError):
            while how.get("settle", True):
                os.wait()
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(how: dict[str, Any]) -> None:
    """Be the program; never returns."""
    code = 70
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        output = os.open(how["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for number, target in ((null, 0), (output, 1), (output, 2)):
            os.dup2(number, target)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _replace(how)
        code = main(how["argv"])
    except SystemExit as error:
        code = int(error.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _replace(how: dict[str, Any]) -> None:
    points = how["points"]
    if "environment" in how:
        os.environ.update(how["environment"])
    if how.get("who", "program") == "program":
        _install(_Killing(how, points))
        return
    # The watchdog counts for itself, from its birth on; the program dies when it is asked to.
    original = watchdog._watch

    def watch(*arguments: Any) -> int:
        if how.get("lost"):
            os.kill(os.getpid(), signal.SIGKILL)
        _install(_Killing(how, points))
        return original(*arguments)

    watchdog._watch = watch  # type: ignore[assignment]
    _install(_Killing({"at": how.get("program_at", -1)}, points))


def _install(killing: _Killing) -> None:
    stored.os = killing  # type: ignore[assignment,attr-defined]
    replace, unlink = _ORIGINAL
    Path.replace = killing.wrap("replace", replace)  # type: ignore[method-assign]
    Path.unlink = killing.wrap("unlink", unlink)  # type: ignore[method-assign]


_ORIGINAL = (Path.replace, Path.unlink)
