"""The outputs as text: the JSON form, templates of users, one spelling for one input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from eroute_translate.cli import main
from eroute_translate.render import RenderError, Target, render_user_template
from eroute_translate.script_lines import outcome_lines, policy_lines
from eroute_translate.xfrm.model import Direction
from tests.translated import ROOT, page, rendered, row

SCHEMA = json.loads((ROOT / "docs/schema/ruleset-1.json").read_text())
GATEWAY = ROOT / "docs/examples/gateway.eroute"

TABLES = {
    "gateway": GATEWAY.read_text(),
    "shunts": "".join(
        row(f"10.{n}.0.0/16", "10.2.0.0/16", said)
        for n, said in enumerate(["%pass", "%drop", "%reject", "%hold", "%trap", "%unk-300"], 1)
    ),
    "refused": row("10.1.0.0/16", "10.2.0.0/16", "tun0x1002@") + "x => y\n",
    "holes": row("10.0.8.0/255.255.249.0", "10.2.0.0/16:25", "%drop:6")
    + row("10.1.0.7/255.0.0.255", "10.2.0.0/16", "%drop"),
    "identities": row("10.1.0.0/16", "10.2.0.0/16", "%pass (@east\x1b[1m) (é\"'<&>)"),
    "v6": row("2001:db8:1::/64", "::/0", "tun0x1002@192.0.2.7") + row("::/0", "::/0", "%reject"),
    "crossing": row("10.1.0.0/16", "0.0.0.0/0", "%trap") + row("0.0.0.0/0", "10.2.0.0/16", "%pass"),
    "repeats": row("10.1.0.0/16", "10.2.0.0/16", "%pass") * 2,
    "cut": "10.1.0.0/16 -> 10.2.0.0/16 => tun0x1002@192.0.2.7 esp0x1@192.0.2.7  (-1)\n",
    "priority": row("10.1.0.0/16", "10.2.0.0/16", "%pass"),
}
GIVEN: dict[str, dict[str, Any]] = {
    "gateway": {"local": "172.31.252.1", "bypass": "172.31.252.0/24", "template_by": "spi"},
    "v6": {"routed": "2001:db8:2::/48", "local": "2001:db8:1::1"},
}


def test_the_schema_is_strict_and_describes_every_field() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for place in (SCHEMA, *SCHEMA["$defs"].values()):
        assert place["additionalProperties"] is False
        assert place["required"] == list(place["properties"])
        for name, field in place["properties"].items():
            assert field.get("description") or field["$ref"], name


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("name", TABLES)
def test_json_follows_its_schema(name: str, partial: bool) -> None:
    text = rendered(TABLES[name], Target.JSON, "x\n\udcff", partial=partial, **GIVEN.get(name, {}))
    document = json.loads(text)
    jsonschema.validate(document, SCHEMA, jsonschema.Draft202012Validator)
    assert text.isascii()
    entries = len(document["eroutes"]) + len(document["unread"]) + len(document["repeats"])
    assert sum(document["counts"].values()) == entries
    assert document["runnable"] == (partial or name not in {"refused", "holes"}) or (
        name in {"crossing", "identities", "cut", "repeats"}
    )


@pytest.mark.parametrize("name", TABLES)
def test_the_fast_lines_are_the_lines(name: str) -> None:
    choices: list[dict[str, Any]] = [
        {},
        {"template_by": "spi"},
        {"local": "172.31.252.1"},
        {"inbound": "klips"},
    ]
    for given in choices:
        for outcome in page(TABLES[name], **given).translation.outcomes:
            policies = outcome.policies
            assert outcome_lines(outcome, "x") == policy_lines(policies, "x")
            for direction in Direction:
                mine = [policy for policy in policies if policy.direction == direction]
                lines = outcome_lines(outcome, "x", direction.value, numeric=True)
                assert lines == policy_lines(mine, "x", numeric=True)


@pytest.mark.parametrize("target", list(Target))
def test_same_input_same_bytes(target: Target) -> None:
    outputs = set()
    for seed in ("0", "1", "4711"):
        done = subprocess.run(
            [sys.executable, "-m", "eroute_translate", "convert", "--to", target, str(GATEWAY)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=False,
        )
        # What a key daemon has to be told is not in the table, so that it is to be filled in.
        assert done.returncode == (12 if target in (Target.SWANCTL, Target.LIBRESWAN) else 0)
        outputs.add((done.stdout, done.stderr))
    assert len(outputs) == 1


# ------------------------------------------------------------------------- templates of users


def convert(template: str, path: Path, *more: str) -> int:
    file = path / "own.j2"
    file.write_text(template)
    return main(["convert", "-q", "--template", str(file), *more, str(GATEWAY)])


def test_a_template_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    template = (
        "{% for o in outcomes %}\n{{ o.eroute.said }} {{ o.policies | length }}\n{% endfor %}\n"
    )
    assert convert(template, tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["tun0x130@192.168.43.1 13", "%pass 3"]


def test_our_own_templates_are_templates_of_users_too() -> None:
    """All variables and filters are there, in the sandbox as well."""
    given = page(GATEWAY.read_text())
    folder = ROOT / "templates"
    for name, target in (("ip-batch.j2", Target.IP_BATCH), ("ruleset.json.j2", Target.JSON)):
        assert "".join(render_user_template(given, folder / name)) == rendered(
            GATEWAY.read_text(), target
        )


BROKEN = {
    "syntax": ("fine\n{% for x in %}\n", ":2: "),
    "unknown tag": ("\n\n{% nothing %}", ":3: "),
    "unknown variable": ("fine\n\n{{ nothing }}", ":3: 'nothing' is undefined"),
    "unknown attribute": ("{{ version.nothing }}", ":1: "),
    "unknown filter": ("{{ version | nothing }}", ":1: "),
    "include": ("{% include 'x' %}", ":1: "),
    "division": ("\n{{ 1 // 0 }}", ":2: ZeroDivisionError"),
    "huge range": ("\n{% for x in range(10 ** 9) %}{% endfor %}", ":2: OverflowError"),
    "key": ("{{ version | sh(1, 2, 3) }}", ":1: TypeError"),
    "recursion": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", ":1: RecursionError"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_template_names_file_and_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template, wanted = BROKEN[name]
    target = tmp_path / "out"
    assert convert(template, tmp_path, "-o", str(target)) == 1
    error = capsys.readouterr().err
    assert f"own.j2{wanted}" in error
    assert "Traceback" not in error
    assert not target.exists()


@pytest.mark.parametrize(
    "trick",
    [
        "{{ version.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ outcomes[0].__init__.__globals__ }}",
        "{{ outcomes[0]._replace(priority=1) }}",
        "{{ in_install_order.__func__.__globals__ }}",
        "{{ in_install_order.__self__ }}",
        "{{ '{0.__class__}'.format(version) }}",
        "{{ version | attr('__class__') }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ self._TemplateReference__context }}",
        "{{ ('{0' ~ '.__class__}') | format_map({}) }}",
        "{% import '/etc/passwd' as x %}",
        "{{ counts.update({'exact': 0}) }}",
        "{{ sources.append('x') }}",
    ],
)
def test_tricks_are_refused(trick: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(trick, tmp_path) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "own.j2" in output.err


def test_a_template_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "-q", "--template", "/nonexistent.j2", str(GATEWAY)]) == 1
    assert "/nonexistent.j2" in capsys.readouterr().err


def test_a_binary_template(tmp_path: Path) -> None:
    file = tmp_path / "own.j2"
    file.write_bytes(b"\xff\xfe{{")
    with pytest.raises(RenderError, match=r"own\.j2"):
        list(render_user_template(page(GATEWAY.read_text()), file))
