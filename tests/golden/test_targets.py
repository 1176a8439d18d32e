"""Every target's output for the example, letter for letter.

``pytest tests/golden/test_targets.py --update-golden`` writes them anew; read the difference.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from eroute_translate.cli import main
from eroute_translate.render import Target
from tests.translated import ROOT

FOLDER = Path(__file__).parent / "targets"
EXAMPLE = "docs/examples/gateway.eroute"
LOCAL = ["--local", "172.31.252.1", "--local", "192.168.43.9"]

BARF = "tests/golden/example/barf.txt"
SCRIPT = "tests/golden/example/gateway.sh"
OFFICE, KEYS = "tests/daemons/files/office.conf", "tests/daemons/files/keys.conf"
OURS = ["--local", "192.0.2.1"]

CASES = {
    "ip-xfrm.sh": ["--to", Target.IP_XFRM],
    "ip-batch.txt": ["--to", Target.IP_BATCH],
    "mast.sh": ["--to", Target.MAST],
    "nftables.nft": ["--to", Target.NFTABLES],
    "ruleset.json": ["--to", Target.JSON],
    "ip-xfrm-routed.sh": ["--routed", "192.168.0.0/16", "--inbound", "klips", *LOCAL],
    "ip-xfrm-bypass.sh": ["--bypass", "172.31.252.0/24", "--assume", "comp+esp", *LOCAL],
}


OTHERS = {
    "ip-xfrm-interface.sh": (["--interface", "xfrm", *OURS], [BARF, SCRIPT]),
    "ip-batch-interface.txt": (["--to", "ip-batch", "--interface", "xfrm", *OURS], [BARF]),
    "ruleset-interface.json": (["--to", "json", "--interface", "xfrm", *OURS], [BARF]),
    "office.swanctl.conf": (["--to", "swanctl", *OURS], [OFFICE]),
    "office.ipsec.conf": (["--to", "libreswan", *OURS], [OFFICE]),
    "raw.swanctl.conf": (["--to", "swanctl", *OURS], ["tests/daemons/files/raw.conf"]),
}
"""Other inputs than the example; the outputs are whole."""
INCOMPLETE = {
    "keys.swanctl.conf": (["--to", "swanctl", *OURS], [KEYS]),
    "keys.ipsec.conf": (["--to", "libreswan", *OURS], [KEYS]),
    "gateway.swanctl.conf": (["--to", "swanctl", *LOCAL], [EXAMPLE]),
    "gateway.ipsec.conf": (["--to", "libreswan", "--allow-partial", *LOCAL], [EXAMPLE]),
}
"""Something is to be filled in, or is refused."""
ALL = {name: (words, [EXAMPLE]) for name, words in CASES.items()} | OTHERS | INCOMPLETE


@pytest.mark.parametrize("name", ALL)
def test_output(
    name: str,
    update_golden: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    words, files = ALL[name]
    assert main(["convert", "-q", *words, *files]) == (12 if name in INCOMPLETE else 0)
    output = capsys.readouterr().out
    if update_golden:
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / name).write_text(output)
    assert output == (FOLDER / name).read_text()


def test_no_golden_output_is_left_over() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(ALL)
