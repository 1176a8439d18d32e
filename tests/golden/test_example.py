"""One gateway told three times: by a capture, by a script, and by ipsec.conf.

All three give the same policies.  The capture has no keys, so its states wait for the key daemon;
with the script or the configuration beside it, it gives the same states as they do.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from eroute_translate.cli.options import build_parser, mapping_options
from eroute_translate.cli.sources import read_host
from eroute_translate.diagnostics import Severity
from eroute_translate.mapping.translation import Translation, translate
from eroute_translate.xfrm.model import State

FOLDER = Path(__file__).parent / "example"
SOURCES = ("barf.txt", "gateway.sh", "ipsec.conf")


def translated(*names: str, local: str = "") -> tuple[Translation, list[str]]:
    words = ["convert", *(str(FOLDER / name) for name in names)]
    if local:
        words += ["--local", local]
    arguments = build_parser().parse_args(words)
    host, collector, _, complete = read_host(arguments)
    assert complete
    found = translate(host, mapping_options(arguments))
    items = [*collector.items, *found.findings]
    assert not [item for item in items if item.severity is Severity.ERROR], items
    return found, [item.code for item in items]


def states(translation: Translation) -> set[State]:
    return {carried.state for carried in translation.states if carried.state is not None}


def test_all_sources_give_the_same_policies() -> None:
    first, *others = [list(translated(name, local="192.0.2.1")[0].policies()) for name in SOURCES]
    assert len(first) == 3
    assert all(policies == first for policies in others)


def test_script_and_configuration_give_the_same_states() -> None:
    script = translated("gateway.sh", local="192.0.2.1")[0]
    configuration = translated("ipsec.conf", local="192.0.2.1")[0]
    assert len(states(script)) == 2
    assert states(script) == states(configuration)


def test_a_capture_does_not_know_the_keys() -> None:
    capture, codes = translated("barf.txt", local="192.0.2.1")
    assert states(capture) == set()
    assert "ET240" in codes


@pytest.mark.parametrize("beside", ["gateway.sh", "ipsec.conf"])
def test_a_capture_with_keys_beside_it_gives_all(beside: str) -> None:
    both, codes = translated("barf.txt", beside)
    alone = translated(beside, local="192.0.2.1")[0]
    assert states(both) == states(alone)
    assert list(both.policies()) == list(alone.policies())
    assert "ET146" in codes


def test_the_addresses_of_the_script_tell_the_side_of_the_connection() -> None:
    assert translated("gateway.sh", "ipsec.conf")[0].host.configuration is not None
