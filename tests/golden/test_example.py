"""One gateway told three times: by a capture, by a script, and by ipsec.conf.

All three give the same policies, those for the routes included.  The capture has no keys, so its
states wait for the key daemon; with the script or the configuration beside it, it gives the same
states as they do.  ``KNOWS`` says exactly what a source knows and another one cannot.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from eroute_translate.cli.mapping_options import mapping_options
from eroute_translate.cli.parser import build_parser
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
    """Three for the eroute; behind it the block for its route, and our own IKE, ESP and AH."""
    first, *others = [list(translated(name, local="192.0.2.1")[0].policies()) for name in SOURCES]
    assert [policy.action for policy in first].count("block") == 1
    assert len(first) == 3 + 1 + 4
    assert all(policies == first for policies in others)


def test_script_and_configuration_give_the_same_states() -> None:
    script = translated("gateway.sh", local="192.0.2.1")[0]
    configuration = translated("ipsec.conf", local="192.0.2.1")[0]
    assert len(states(script)) == 2
    assert states(script) == states(configuration)


KNOWS = {
    "keys": {"gateway.sh", "ipsec.conf"},
    "counts": {"barf.txt"},
    "version": {"barf.txt"},
    "lifetimes used": {"barf.txt"},
    "order of insertion": {"gateway.sh"},
    "routes": {"barf.txt", "gateway.sh", "ipsec.conf"},
    "all routes": {"barf.txt"},
    "addresses": {"gateway.sh"},
    "attachments": {"barf.txt", "gateway.sh", "ipsec.conf"},
    "mtu": {"barf.txt"},
    "groups": {"barf.txt", "gateway.sh", "ipsec.conf"},
    "side without --local": {"barf.txt", "gateway.sh"},
    "sysctls": {"ipsec.conf"},
    "connections": {"ipsec.conf"},
}
"""Which source knows what; what is not here all three know, and the policies come out the same."""


@pytest.mark.parametrize("fact", KNOWS)
def test_what_a_source_cannot_know(fact: str) -> None:
    assert {name for name in SOURCES if _knows(name, fact)} == KNOWS[fact]


def _knows(name: str, fact: str) -> bool:
    translation, codes = translated(name, local="192.0.2.1")
    host = translation.host
    match fact:
        case "keys":
            assert ("ET240" in codes) != bool(states(translation))
            return bool(states(translation))
        case "counts":
            return any(eroute.count for eroute in host.eroutes)
        case "version":
            return bool(host.version)
        case "lifetimes used":
            return any(a.lifetimes.bytes.count for a in host.associations)
        case "order of insertion":
            return host.insertion_known
        case "routes":
            assert "ET214" not in codes
            return bool(host.routed)
        case "all routes":
            return bool(translation.scope.whole)
        case "addresses":
            return bool(host.addresses)
        case "attachments":
            return [(a.device, a.physical) for a in host.attachments][:1] == [("ipsec0", "eth0")]
        case "mtu":
            return any(attachment.mtu for attachment in host.attachments)
        case "groups":
            return len(host.groups) == 2
        case "side without --local":
            return "ET168" not in _codes_without_local(name)
        case "sysctls":
            return bool(host.parameters)
        case _:
            return host.configuration is not None


def _codes_without_local(name: str) -> list[str]:
    arguments = build_parser().parse_args(["convert", str(FOLDER / name)])
    return [item.code for item in read_host(arguments)[1].items]


@pytest.mark.parametrize("beside", ["gateway.sh", "ipsec.conf"])
def test_a_capture_with_keys_beside_it_gives_all(beside: str) -> None:
    both, codes = translated("barf.txt", beside, local="192.0.2.1")
    alone = translated(beside, local="192.0.2.1")[0]
    assert states(both) == states(alone)
    assert list(both.policies()) == list(alone.policies())
    assert "ET146" in codes


def test_the_addresses_of_the_script_tell_the_side_of_the_connection() -> None:
    assert translated("gateway.sh", "ipsec.conf")[0].host.configuration is not None


def test_policies_without_keys_ask_and_let_nothing_pass() -> None:
    """No SPI, so that a key daemon is asked; until it answers the packet is dropped."""
    capture, _ = translated("barf.txt", local="192.0.2.1")
    out = [p for p in capture.policies() if p.direction == "out" and p.templates]
    assert len(out) == 1
    for template in out[0].templates:
        assert (template.spi, template.optional) == (0, False)
        assert template.reqid
    assert not [carried.state for carried in capture.states if carried.state]
