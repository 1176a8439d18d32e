"""What the verbs print for programs follows its schema, and the schema says all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

from eroute_translate.cli import main
from tests.unit.test_render import TABLES

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "schema"
SCHEMAS: dict[str, Any] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.json")
}
REGISTRY: Registry[Any] = Registry().with_resources(
    [(schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()]
)
MANUAL = """\
ipsec spi --af inet --edst 192.0.2.2 --spi 0x1234 --proto esp --src 192.0.2.1 \\
  --esp 3des-md5-96 --enckey 0x000102030405060708090a0b0c0d0e0f1011121314151617 \\
  --authkey 0x18191a1b1c1d1e1f2021222324252627
ipsec eroute --add --eraf inet --src 10.1.0.0/16 --dst 10.2.0.0/16 --said esp0x1234@192.0.2.2
"""
LIVE = """\
src 10.1.0.0/16 dst 10.2.0.0/16
\tdir out priority 7
src 0.0.0.0/0 dst 0.0.0.0/0
\tdir out priority 9 mark 0x5/0xff
\ttmpl src 192.0.2.1 dst 192.0.2.9
\t\tproto esp reqid 16389 mode tunnel
"""


def follows(document: object, schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema, registry=REGISTRY).validate(document)


def objects(schema: object) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("type") == "object":
            yield schema
        for inner in schema.values():
            yield from objects(inner)


@pytest.mark.parametrize("name", ["check-1", "plan-2"])
def test_a_schema_is_strict_and_describes_every_field(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    for place in objects(SCHEMAS[name]):
        assert place["additionalProperties"] is False
        assert place["required"] == list(place["properties"])
        assert all(field["description"] for field in place["properties"].values())


@pytest.mark.parametrize("name", [*TABLES, "empty"])
def test_check_and_its_diagnostics(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "x.eroute"
    table.write_text(TABLES.get(name, ""), encoding="utf-8")
    main(["check", "--format", "json", str(table)])
    told = capsys.readouterr()
    follows(json.loads(told.out), SCHEMAS["check-1"])
    main(["convert", "--format", "json", str(table)])
    one = {"$ref": f"{SCHEMAS['ruleset-1']['$id']}#/$defs/diagnostic"}
    for line in capsys.readouterr().err.splitlines():
        follows(json.loads(line), one)


@pytest.mark.parametrize("name", [*TABLES, "manual"])
def test_plan(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, live = tmp_path / "x.eroute", tmp_path / "live"
    table.write_text(TABLES.get(name, MANUAL), encoding="utf-8")
    live.write_text(LIVE, encoding="ascii")
    words = ["--format", "json", "--allow-partial", "--against", str(live), str(table)]
    assert main(["plan", *words]) in (10, 15)
    document = json.loads(capsys.readouterr().out)
    follows(document, SCHEMAS["plan-2"])
    assert document["changes"] or document["conflicts"]
    assert bool(document["states"]) == (name == "manual")
