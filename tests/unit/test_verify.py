"""The verb ``verify``: what it compares, what it says, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from eroute_translate.cli import main

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = str(ROOT / "docs" / "examples" / "gateway.eroute")
LOCAL = ["--local", "198.51.100.9"]

TABLE = """\
12         10.1.0.0/16        -> 10.2.0.0/16        => tun0x1002@203.0.113.7
0          10.1.0.0/16        -> 10.2.3.0/24        => %drop
"""
POLICIES = """\
src 10.1.0.0/16 dst 10.2.3.0/24
\tdir out action block priority 5 ptype main
src 10.1.0.0/16 dst 10.2.0.0/16
\tdir out priority 9 ptype main
\ttmpl src 198.51.100.9 dst 203.0.113.7
\t\tproto esp reqid 16389 mode tunnel
src 10.2.0.0/16 dst 10.1.0.0/16
\tdir fwd priority 9 ptype main
\ttmpl src 203.0.113.7 dst 198.51.100.9
\t\tproto esp reqid 16389 mode tunnel
src 10.2.0.0/16 dst 10.1.0.0/16
\tdir in priority 9 ptype main
\ttmpl src 203.0.113.7 dst 198.51.100.9
\t\tproto esp reqid 16389 mode tunnel
"""


@pytest.fixture
def table(tmp_path: Path) -> str:
    return written(tmp_path / "gateway.eroute", TABLE)


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def verified(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["verify", "-q", *words])
    return code, capsys.readouterr().out


def proof(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """The JSON form, which follows its schema."""
    code, output = verified(capsys, "--format", "json", *words)
    document = json.loads(output)
    schema = json.loads((ROOT / "docs" / "schema" / "proof-1.json").read_text())
    jsonschema.validate(document, schema)
    return code, document


def regions(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(c["direction"], region) for c in document["checks"] for region in c["regions"]]


def test_our_own_translation_is_equal(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([EXAMPLE], [*LOCAL, EXAMPLE], ["--inbound", "klips", EXAMPLE]):
        code, output = verified(capsys, *words)
        assert code == 0
        assert output.splitlines()[-1].startswith("equal: every packet meets the same fate")


def test_scope_and_bypass_have_their_part_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    scope = ["--routed", "192.168.0.0/16", "--bypass", "172.31.252.0/24"]
    code, output = verified(capsys, *LOCAL, *scope, EXAMPLE)
    assert code == 0
    assert "routed into ipsecN is not known" not in output


def test_policies_of_somebody_else(
    table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = written(tmp_path / "same", POLICIES)
    assert verified(capsys, *LOCAL, table, "--against", same)[0] == 0


@pytest.mark.parametrize(
    ("old", "new", "direction", "klips", "xfrm", "weaker"),
    [
        ("priority 5", "priority 10", "out", "dropped", "protected", True),
        ("action block ", "", "out", "dropped", "clear", True),
        ("10.2.3.0/24", "10.2.3.0/25", "out", "dropped", "protected", True),
        ("10.2.3.0/24", "10.2.2.0/23", "out", "protected", "dropped", False),
        ("dst 203.0.113.7", "dst 203.0.113.8", "out", "protected", "protected", False),
        ("dir in", "dir out", "in", "protected", "clear", True),
        ("proto esp reqid 16389 mode tunnel", "proto comp mode tunnel", "", "protected", "", False),
    ],
)
def test_a_changed_policy_is_found_with_a_packet(
    table: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
    direction: str,
    klips: str,
    xfrm: str,
    weaker: bool,
) -> None:
    assert old in POLICIES
    changed = written(tmp_path / "changed", POLICIES.replace(old, new))
    code, document = proof(capsys, *LOCAL, table, "--against", changed)
    assert code == 13
    assert not document["equal"]
    found = [r for d, r in regions(document) if direction in ("", d)]
    fates = [[side["kind"] for side in region["sides"]] for region in found]
    assert any(one == klips and other in (xfrm, other) for one, other in fates)
    if direction:
        assert [klips, xfrm] in fates
        assert any(region["weaker"] for region in found) is weaker
    for region in found:
        assert region["certain"]
        assert region["sides"][0]["eroute"]["file"] == table


def test_the_text_names_packet_rows_and_policies(
    table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = written(tmp_path / "changed", POLICIES.replace("priority 5", "priority 10"))
    code, output = verified(capsys, *LOCAL, table, "--against", changed)
    assert code == 13
    assert "packet 10.1.0.1 -> 10.2.3.1 udp port 40000 -> 40000, direction out" in output
    assert f"{table}:2: 0          10.1.0.0/16        -> 10.2.3.0/24        => %drop" in output
    assert "src 10.1.0.0/16 dst 10.2.0.0/16 dir out priority 9 tmpl" in output
    assert "weaker" in output
    # The block stands behind the tunnel now, which covers it.
    assert "reached by no packet:" in output
    assert "dir out action block priority 10" in output


@pytest.mark.parametrize("target", ["ip-xfrm", "ip-batch"])
def test_our_own_script_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    script = str(tmp_path / "script")
    assert main(["convert", "-q", "--to", target, *LOCAL, "-o", script, EXAMPLE]) == 0
    code, output = verified(capsys, *LOCAL, EXAMPLE, "--against", script)
    assert code == 0, output
    assert verified(capsys, script, "--against", script)[0] == 0


def test_somebody_s_script(table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In variables and a loop; the block is forgotten, and the packet is found."""
    text = """#!/bin/sh
    LAN=10.1.0.0/16 FAR=10.2.0.0/16 PEER=203.0.113.7
    ip xfrm policy flush
    ip xfrm policy add src $LAN dst $FAR dir out tmpl dst $PEER proto esp reqid 1 mode tunnel
    for d in in fwd; do
      ip xfrm policy add src $FAR dst $LAN dir $d tmpl src $PEER proto esp reqid 1 mode tunnel
    done
    """
    script = tmp_path / "script.sh"
    script.write_text(text)
    code, document = proof(capsys, *LOCAL, table, "--against", str(script))
    assert code == 13
    ((direction, region),) = regions(document)
    assert (direction, region["selector"]["destination"]) == ("out", "10.2.3.0/24")
    assert region["weaker"]
    script.write_text(
        text + "ip xfrm policy add src $LAN dst 10.2.3.0/24 dir out action block priority 0\n"
    )
    # At equal priority the older one wins, and the tunnel is older.
    assert verified(capsys, *LOCAL, table, "--against", str(script))[0] == 13
    script.write_text(
        text.replace("dir out ", "dir out priority 9 ") + script.read_text()[len(text) :]
    )
    assert verified(capsys, *LOCAL, table, "--against", str(script))[0] == 0


def test_a_script_that_cannot_be_followed_is_no_proof(
    table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script.sh"
    script.write_text(
        "ip xfrm policy add src $UNKNOWN dst 10.2.0.0/16 dir out\n"
        "ip xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out action block\n"
    )
    code = main(["verify", *LOCAL, table, "--against", str(script)])
    captured = capsys.readouterr()
    assert code == 1
    assert f"{script}:1" in captured.err


def test_two_days_of_one_host(
    table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rekeyed = written(tmp_path / "rekeyed", TABLE.replace("0x1002", "0x1777"))
    assert verified(capsys, table, "--against", rekeyed)[0] == 0
    other = written(tmp_path / "other", TABLE.replace("%drop", "%pass"))
    code, document = proof(capsys, table, "--against", other)
    assert code == 13
    ((direction, region),) = regions(document)
    assert direction == "out"
    assert region["weaker"]
    assert region["selector"]["destination"] == "10.2.3.0/24"
    assert [side["eroute"]["line"] for side in region["sides"]] == [2, 2]


def test_a_family_that_only_one_side_has_differs(
    table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    six = "0          2001:db8:1::/48    -> 2001:db8:2::/48    => tun0x1002@2001:db8::7\n"
    both = written(tmp_path / "both", TABLE + six)
    code, document = proof(capsys, table, "--against", both)
    assert code == 13
    ((_, region),) = regions(document)
    assert region["packet"]["source"] == "2001:db8:1::1"
    code, document = proof(capsys, both, "--against", table)
    assert code == 13
    blocking = POLICIES + "src ::/0 dst ::/0\n\tdir out action block priority 5 ptype main\n"
    code, document = proof(capsys, *LOCAL, table, "--against", written(tmp_path / "six", blocking))
    assert code == 13
    assert {d for d, _ in regions(document)} == {"out"}


def test_two_sets_of_policies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = written(tmp_path / "one", POLICIES)
    same = POLICIES.replace("priority ", "priority 1")
    assert verified(capsys, one, "--against", written(tmp_path / "same", same))[0] == 0
    marked = POLICIES.replace("priority 5 ptype main", "priority 5 ptype main \n\tmark 0x7/0xff")
    code, document = proof(capsys, one, "--against", written(tmp_path / "marked", marked))
    assert code == 13
    ((_, region),) = regions(document)
    assert region["packet"]["mark"] & 0xFF != 7
    assert region["weaker"]


def test_an_unknown_order_of_insertion_is_not_equal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crossing = written(
        tmp_path / "crossing",
        "1          10.0.0.0/8         -> 192.168.1.0/24     => tun0x1001@203.0.113.1\n"
        "1          10.1.0.0/16        -> 192.168.0.0/16     => tun0x1002@203.0.113.2\n"
        "1          10.1.2.0/24        -> 99.0.0.0/8         => tun0x1003@203.0.113.3\n",
    )
    code, document = proof(capsys, *LOCAL, crossing)
    assert code == 13
    found = regions(document)
    assert found
    assert all(not r["certain"] and r["decided"] and r["findings"] == ["ET301"] for _, r in found)


def test_refused_entries_end_with_12(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = written(tmp_path / "damaged", TABLE + "7          10.9.0.0/16 -> 10.8.0.0/1\n")
    code, output = verified(capsys, *LOCAL, damaged)
    assert code == 12
    assert "could not be read: no part of the proof" in output


def test_a_repeated_table_is_not_called_equal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The kernel printed its first page again and again: what else it had is not known."""
    rows = [
        f"0          10.{i}.0.0/16        -> 192.168.{i}.0/24     => %drop\n" for i in range(60)
    ]
    path = written(tmp_path / "t.eroute", "".join(rows * 2))
    code, text = verified(capsys, path)
    assert code == 12, text


@pytest.mark.parametrize(
    "words",
    [
        ["--against", "x", "--live", EXAMPLE],
        ["--against", "x", "--netns", "n", EXAMPLE],
        ["--against", "-"],
    ],
)
def test_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert verified(capsys, *words)[0] == 2


def test_policies_alone_need_something_to_compare_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verified(capsys, written(tmp_path / "one", POLICIES))[0] == 2


def test_what_no_packet_reaches_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two halves take all packets of the whole; a counter of 0 says that none came."""
    rows = "".join(
        f"{count:<10} 10.1.0.0/16        -> {far:<18} => {said}\n"
        for count, far, said in (
            (7, "10.2.0.0/25", "%drop"),
            (0, "10.2.0.0/24", "%pass"),
            (7, "10.2.0.128/25", "%drop"),
        )
    )
    dead = written(tmp_path / "dead", rows)
    code, output = verified(capsys, *LOCAL, dead)
    assert code == 0
    reached = output.split("reached by no packet:")[1].split("no packets were counted")[0]
    assert f"KLIPS: {dead}:2" in reached
    assert "XFRM: src 10.1.0.0/16 dst 10.2.0.0/24 dir out" in reached
    assert "%drop" not in reached
    assert f"{dead}:2" in output.split("no packets were counted")[1]
    _, document = proof(capsys, *LOCAL, dead)
    assert [place["line"] for place in document["uncounted"]] == [2]
    (out,) = (check for check in document["checks"] if check["direction"] == "out")
    assert [len(side) for side in out["unreached"]] == [1, 1]
