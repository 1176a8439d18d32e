"""Whole captures of hosts, one barf and one look of each family, with what must be read of them.

``UPDATE_GOLDEN=1`` writes the readings anew; look at what changed before it is kept.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from eroute_translate.cli import main
from eroute_translate.diagnostics import Collector
from eroute_translate.klips.assembly import host_of_readings
from eroute_translate.klips.host import KlipsHost
from eroute_translate.klips.source import read_source
from eroute_translate.net import format_address
from tests.golden.reading import HERE, Json, golden

HOSTS = sorted((HERE / "hosts").glob("*.txt"))
UPDATE = bool(os.environ.get("UPDATE_GOLDEN"))


def address_text(address: tuple[int, int] | None) -> str | None:
    return None if address is None else format_address(*address)


def host_json(host: KlipsHost) -> Json:
    return {
        "name": host.name,
        "version": host.version,
        "eroutes": [
            {
                "line": eroute.span.line,
                "selector": str(eroute.selector),
                "count": eroute.count,
                "saids": " ".join(map(str, eroute.saids)),
            }
            for eroute in host.eroutes
        ],
        "unread": [row.line for row in host.unread],
        "associations": [
            {
                "line": a.span.line,
                "said": str(a.said),
                "inbound": a.inbound,
                "source": address_text(a.source),
                "algorithms": [a.encryption, a.authentication, a.compression],
                "bits": [a.encryption_bits, a.authentication_bits],
                "replay_window": a.replay_window,
                "sequence": a.sequence,
                "policy": [str(p) for p in a.policy] if a.policy else None,
            }
            for a in host.associations
        ],
        "groups": [" ".join(map(str, group.saids)) for group in host.groups],
        "attachments": [[a.device, a.physical, a.effective_mtu] for a in host.attachments],
        "addresses": [[a.device, str(a.network)] for a in host.addresses],
        "routes": [
            {
                "line": r.span.line,
                "route": f"{r.kind} {r.destination}",
                "via": address_text(r.gateway),
                "device": r.device,
                "source": address_text(r.source),
                "metric": r.metric,
                "table": r.table,
            }
            for r in host.routes
        ],
        "rules": [[r.priority, r.table] for r in host.rules],
        "parameters": dict(host.parameters),
        "local_addresses": [format_address(*address) for address in host.local_addresses],
        "routed": None if host.routed is None else [str(p) for p in host.routed],
        "accounted": dict(host.accounted),
        "refused": dict(host.refused),
    }


def read(path: Path) -> Json:
    collector = Collector()
    readings = read_source(path.read_bytes(), "capture", collector)
    host = host_of_readings(readings, None, collector)
    return host_json(host) | {
        "diagnostics": [
            [item.code, str(item.severity), item.span.line if item.span else None]
            for item in collector.items
        ]
    }


@pytest.mark.parametrize("path", HOSTS, ids=lambda path: path.stem)
def test_host_is_read(path: Path) -> None:
    found = read(path)
    if UPDATE:
        path.with_suffix(".json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    assert found == golden(path)


@pytest.mark.parametrize("family", ["freeswan1", "freeswan2", "openswan2", "libreswan3"])
def test_look_and_barf_of_a_host_tell_the_same(family: str) -> None:
    """The order of rows differs, and each shows something that the other leaves out."""
    look, barf = (golden(HERE / "hosts" / f"{family}_{form}.txt") for form in ("look", "barf"))
    for kind in ("eroutes", "associations"):
        one, other = (
            sorted(json.dumps({**entry, "line": 0}, sort_keys=True) for entry in source[kind])  # type: ignore[attr-defined]
            for source in (look, barf)
        )
        assert one
        assert one == other
    assert look["routed"] == barf["routed"]


def test_several_hosts_are_kept_apart(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(HERE / "hosts" / "two_hosts_console.txt")
    assert main(["check", path]) == 12
    output = capsys.readouterr()
    assert "error[ET143]" in output.err
    assert "--host: west, east" in output.err
    assert main(["check", path, "--host", "west.example.net"]) == 0
    assert main(["check", path, "--host", "north"]) == 3
    assert "holds no host 'north'" in capsys.readouterr().err
    assert main(["check", path, "--table", "1"]) == 0


def test_the_summary_counts_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(HERE / "hosts" / "openswan2_barf.txt")]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == (
        "read 2 eroutes, 6 associations, 6 groups, 2 attachments, 12 routes, 3 routing rules,"
        " 6 addresses, 4 parameters, 2 versions"
    )


def test_the_group_of_a_tunnel_is_no_longer_assumed(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("openswan2_barf", "freeswan1_barf", "libreswan3_barf"):
        main(["check", str(HERE / "hosts" / f"{name}.txt"), "--verbose"])
        assert "ET202" not in capsys.readouterr().err
