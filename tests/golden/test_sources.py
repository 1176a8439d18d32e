"""Scripts, configurations, folders and archives of each family of versions, as a whole.

``UPDATE_GOLDEN=1`` writes the readings of scripts and configurations anew; look at what changed.
"""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from pathlib import Path

import pytest

from eroute_translate.diagnostics import Collector
from eroute_translate.klips.conf import read_conf
from eroute_translate.klips.configuration import reading_of_configuration
from eroute_translate.klips.host import host_of_readings
from eroute_translate.klips.script import read_script
from eroute_translate.klips.source import read_source
from eroute_translate.klips.tree import read_archive, read_tree
from eroute_translate.net import parse_address
from tests.golden.reading import HERE, Json, golden
from tests.golden.test_hosts import host_json

UPDATE = bool(os.environ.get("UPDATE_GOLDEN"))
FAMILIES = ("freeswan1", "freeswan2", "openswan2", "libreswan3")
LOCAL = (parse_address("203.0.113.7"), parse_address("2001:db8:1:2::45"))
KEYS = ("00010203", "13121110")


def read(path: Path) -> Json:
    collector = Collector()
    if path.suffix == ".sh":
        reading = read_script(path.read_bytes(), "script", collector)
    else:
        found = read_conf(path.read_bytes(), "ipsec.conf", collector)
        reading = reading_of_configuration(found, LOCAL, collector, "ipsec.conf")
    host = host_of_readings([reading], None, collector)
    keyed = [str(a.said) for a in host.associations if a.encryption_key or a.authentication_key]
    return host_json(host) | {
        "keyed": keyed,
        "diagnostics": [
            [item.code, str(item.severity), item.span.line if item.span else None]
            for item in collector.items
        ],
    }


@pytest.mark.parametrize("kind", ["sh", "conf"])
@pytest.mark.parametrize("family", FAMILIES)
def test_scripts_and_configurations(family: str, kind: str) -> None:
    path = HERE / "sources" / f"{family}.{kind}"
    expected = path.with_name(f"{family}_{kind}.json")
    found = read(path)
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    assert not [key for key in KEYS if key in text]
    if UPDATE:
        expected.write_text(text)
    assert found == json.loads(expected.read_text())


# -- the files that a barf was made of

FLAT = {
    "ipsec_eroute": "proc/net/ipsec_eroute",
    "ipsec_spi": "proc/net/ipsec_spi",
    "ipsec_spigrp": "proc/net/ipsec_spigrp",
    "ipsec_tncfg": "proc/net/ipsec_tncfg",
    "ipsec_version": "proc/net/ipsec_version",
    "netstat-rn": "netstat-rn.txt",
    "ip-route-list": "ip-route.txt",
    "ip-6-route-list": "ip-6-route.txt",
    "ip-rule-list": "ip-rule.txt",
}
HIERARCHY = FLAT | {
    "ipsec_eroute": "proc/net/ipsec/eroute/all",
    "ipsec_spi": "proc/net/ipsec/spi/all",
    "ipsec_spigrp": "proc/net/ipsec/spigrp/all",
    "ipsec_tncfg": "proc/net/ipsec/tncfg",
    "ipsec_version": "proc/net/ipsec/version",
}
_HEAD = re.compile(r"\+ _{20,} (\S+)\n(?:\+ .*\n|\+ \n)*", re.MULTILINE)


def files_of(family: str, layout: dict[str, str]) -> dict[str, str]:
    """The sections of a barf as the files of the host."""
    text = (HERE / "hosts" / f"{family}_barf.txt").read_text()
    heads = list(_HEAD.finditer(text))
    found = {}
    for head, after in zip(heads, [*heads[1:], None], strict=True):
        name = head[1].rpartition("/")[2]
        content = text[head.end() : after.start() if after else len(text)]
        if name in layout and content:
            found[layout[name]] = content
    return found


def comparable(value: Json) -> Json:
    """What does not depend on where the rows stood, and on what only a barf holds."""
    text = json.dumps(value)
    plain: Json = json.loads(re.sub(r'"line": \d+', '"line": 0', text))
    kept = ("eroutes", "associations", "groups", "attachments", "rules", "routed")
    return {name: plain[name] for name in kept}


def devices(value: Json) -> set[str]:
    routes: list[dict[str, object]] = value["routes"]  # type: ignore[assignment]
    return {f"{route['route']} {route['device']}" for route in routes}


@pytest.mark.parametrize("layout", [FLAT, HIERARCHY], ids=["flat", "hierarchy"])
@pytest.mark.parametrize("family", FAMILIES)
def test_folders_and_archives_tell_what_the_barf_told(
    family: str, layout: dict[str, str], tmp_path: Path
) -> None:
    files = files_of(family, layout)
    assert len(files) >= 5
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            path = tmp_path / "gw" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            archive.add(path, f"gw/{name}")
    collector = Collector()
    barf = read_source((HERE / "hosts" / f"{family}_barf.txt").read_bytes(), "barf", Collector())
    expected = host_json(host_of_readings(barf, None, Collector()))
    folder = host_of_readings(read_tree(tmp_path / "gw", collector), None, collector)
    packed.seek(0)
    tar = host_of_readings(read_archive(packed, "gw.tgz", collector), None, collector)
    assert not collector.errors
    for host in (folder, tar):
        found = host_json(host)
        assert comparable(found) == comparable(expected)
        # A barf shows its routes twice, by netstat and by ip; of two files one is taken.
        assert devices(found) <= devices(expected)
    assert folder.version == (files.get(layout["ipsec_version"], "").strip())


def test_no_golden_reading_is_left_over() -> None:
    expected = {
        f"{family}{end}"
        for family in FAMILIES
        for end in (".sh", ".conf", "_sh.json", "_conf.json")
    }
    assert {path.name for path in (HERE / "sources").iterdir()} == expected
    assert golden(HERE / "hosts" / "openswan2_barf.txt")["eroutes"]
