"""The script and ``apply`` leave the same policies in the kernel, byte for byte."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from eroute_translate.xfrm.bulk import Channel
from tests.golden.test_targets import CASES, EXAMPLE
from tests.translated import ROOT

from .faulty import octets
from .killed import Driver
from .spaces import execute, namespaces, need

pytestmark = pytest.mark.kernel

GOLDEN = ROOT / "tests" / "golden"
TABLES = [
    pytest.param(path, (), id=f"{path.parent.name}-{path.stem}")
    for folder in ("captures", "manual")
    for path in sorted((GOLDEN / folder).glob("*.txt"))
] + [
    pytest.param(ROOT / EXAMPLE, tuple(map(str, words)), id=f"targets-{name}")
    for name, words in CASES.items()
    if "--to" not in words or name == "ip-xfrm.sh"
]


class Two:
    """A namespace for the script and one for apply, and what was compared."""

    def __init__(self, spaces: tuple[str, ...], folder: Path, driver: Driver) -> None:
        self.by_script, self.by_apply = spaces
        self.folder = folder
        self.driver = driver
        self.tried = self.policies = 0

    def seen(self, space: str) -> tuple[list[bytes], str]:
        with Channel.open(space) as channel:
            return octets(channel), execute(space, "nft", "list", "ruleset").stdout

    def clear(self) -> None:
        for space in (self.by_script, self.by_apply):
            subprocess.run(["ip", "-n", space, "xfrm", "policy", "flush"], check=True)
            assert execute(space, "nft", "flush", "ruleset").returncode == 0


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    need("dash", "nft")
    folder = tmp_path_factory.mktemp("same")
    with namespaces("script", "apply") as spaces, Driver(folder) as driver:
        made = Two(spaces, folder, driver)
        yield made
        print(f"\nscript and apply: cases tried {made.tried}, cases lost 0", end="")
        print(f" ({made.policies} policies compared)")


def test_no_table_is_left_out() -> None:
    inputs = [*(GOLDEN / "captures").glob("*.txt"), *(GOLDEN / "manual").glob("*.txt")]
    assert len(TABLES) == len(inputs) + 3
    assert len(inputs) >= 23


@pytest.mark.parametrize(("table", "words"), TABLES)
def test_script_and_apply(two: Two, table: Path, words: tuple[str, ...]) -> None:
    options = ["-q", "--allow-partial", *(w for w in words if w not in ("--to", "ip-xfrm"))]
    two.clear()
    script = two.folder / "script.sh"
    done = two.driver.run(
        "convert", *options, "--to", "ip-xfrm", "--output", str(script), str(table)
    )
    assert done.code in (0, 12), done
    ran = execute(two.by_script, "dash", str(script))
    assert ran.returncode == 0, ran.stderr
    state = str(two.folder / f"state{two.tried}")
    applied = two.driver.run(
        "apply", "--yes", *options, "--netns", two.by_apply, "--state-folder", state, str(table)
    )
    assert applied.code == 0, applied
    one, other = two.seen(two.by_script), two.seen(two.by_apply)
    assert one == other
    assert one[0]
    two.tried += 1
    two.policies += len(one[0])
    # And what apply put there it takes for its own, and for what is wanted.
    again = two.driver.run(
        "plan", *options, "--netns", two.by_apply, "--state-folder", state, str(table)
    )
    assert again.code == 0, again
    # The policies of the script too are what is wanted; whose rules nft has cannot be told.
    beside = two.driver.run(
        "plan", *options, "--netns", two.by_script, "--state-folder", state, str(table)
    )
    assert "0 to add, 0 to replace, 0 to remove" in beside.text, beside
