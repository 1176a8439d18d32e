"""Random scripts: the calls that are read are those that bash and dash make."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from eroute_translate.klips.shell import read_shell
from tests.property.shell_scripts import Scripts

SCRIPTS = 300
STUB = "ipsec() { printf '%s\\037' \"$@\"; printf '\\036'; }\nset -f\n"
EACH = "(. ./{}.sh) 2>/dev/null; printf '\\035'\n"
"""Not in a loop, which ``break 2`` of a script would leave."""
OPENS = ("exit", "return", "eval")
"""Where it is in doubt whether these run, what follows is read as if they did not."""

Call = tuple[str | None, ...]


def calls_of(shell: str, scripts: Sequence[str], folder: Path) -> list[list[Call]]:
    """The calls of the stub in each script, as a shell makes them; nothing else is there to run."""
    for place, script in enumerate(scripts):
        (folder / f"{place}.sh").write_text(script)
    run = subprocess.run(
        [shell, "-c", STUB + "".join(map(EACH.format, range(len(scripts))))],
        capture_output=True,
        env={"PATH": "/nonexistent"},
        cwd=folder,
        timeout=60,
        check=True,
    )
    outputs = run.stdout.decode().split("\x1d")[:-1]
    return [[tuple(c.split("\x1f")[:-1]) for c in o.split("\x1e")[:-1]] for o in outputs]


def read_calls(script: str) -> list[tuple[Call, bool]] | None:
    """The calls that are read, and whether each is certain; ``None`` beyond the grammar."""
    read = read_shell(script, "script")
    if read.errors:
        return None
    found: list[tuple[Call, bool]] = []
    certain = True
    for command in read.commands:
        words = tuple(word.text for word in command.words[1:])
        if command.words[0].text in OPENS:
            certain = False
        if command.words[0].text == "ipsec":
            found.append((words, certain and not command.doubt and None not in words))
    return found


def fits(call: Call, words: Call) -> bool:
    """Whether a call may be one whose words are not all known."""
    form = "".join(".*" if word is None else re.escape(word) + "\x1f" for word in words)
    return re.fullmatch(form, "".join(f"{word}\x1f" for word in call), re.DOTALL) is not None


def agrees(calls: list[Call], read: list[tuple[Call, bool]]) -> bool:
    """The certain calls are made in their order, and no call is made that is not read."""
    certain = [words for words, known in read if known]
    doubtful = [words for words, known in read if not known]
    if not doubtful:
        return calls == certain
    rest = iter(calls)
    return all(words in rest for words in certain) and all(
        call in certain or any(fits(call, words) for words in doubtful) for call in calls
    )


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_calls_are_those_of_a_shell(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is missing")
    scripts = [Scripts(Random(seed)).script() for seed in range(SCRIPTS)]
    made = calls_of(program, scripts, tmp_path)
    assert len(made) == SCRIPTS
    certain = beyond = 0
    for seed, (script, calls) in enumerate(zip(scripts, made, strict=True)):
        read = read_calls(script)
        if read is None:
            beyond += 1
            continue
        certain += all(known for _, known in read)
        assert agrees(calls, read), f"script {seed}:\n{script}\nmakes {calls}\nread: {read}"
    # Else the test would say nothing.
    assert certain > SCRIPTS // 4
    assert beyond < SCRIPTS // 20


def test_what_does_not_agree() -> None:
    a, b = ("a",), ("b",)
    assert agrees([a, b], [(a, True), (b, True)])
    assert not agrees([a], [(a, True), (b, True)])
    assert not agrees([b, a], [(a, True), (b, True), (b, False)])
    assert agrees([a, b, b], [(a, True), ((None,), False)])
    assert not agrees([a, b], [(a, True), (("c",), False)])
