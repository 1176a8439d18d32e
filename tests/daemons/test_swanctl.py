"""What strongSwan's own programs make of our swanctl.conf: swanctl and a charon that listens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eroute_translate.cli import main
from eroute_translate.mapping.daemons.proposals import Daemon, judge, spell_for_strongswan
from tests.daemons.proposals import CANDIDATES
from tests.daemons.room import CHARON, OUTWARD, needs, run
from tests.translated import ROOT

FILES = Path(__file__).parent / "files"
pytestmark = [pytest.mark.kernel, needs("strongswan")]

LOAD = CHARON + 'swanctl --load-conns --file "$2" && echo code 0 || echo code $?\n'
LIST = "swanctl --list-conns --raw\necho ----\nip xfrm policy list nosock\n"


def converted(name: str, folder: Path, *options: str) -> Path:
    target = folder / "swanctl.conf"
    words = ["convert", "-q", "--to", "swanctl", "--local", "192.0.2.1", *options]
    assert main([*words, "-o", str(target), str(FILES / name)]) in (0, 12)
    return target


def connections(raw: str) -> dict[str, str]:
    return dict(re.findall(r"^list-conn event \{(\S+) \{(.*)\}\}$", raw, re.MULTILINE))


def test_each_connection_is_loaded_as_it_was_meant(tmp_path: Path) -> None:
    done = run("strongswan", LOAD + LIST, converted("office.conf", tmp_path))
    assert "successfully loaded 5 connections" in done.stdout
    assert "code 0" in done.stdout
    found = connections(done.stdout)
    # office, smtp and closed are shunts: children of one connection.
    assert sorted(found) == ["berlin", "l2tp", "office", "signed", "vienna"]
    assert "version=IKEv1 " in found["berlin"]
    assert "version=IKEv2 " in found["vienna"]
    assert "id=198.51.100.1 class=pre-shared key" in found["berlin"]
    assert "local-ts=[10.1.0.0/16] remote-ts=[10.2.0.0/16]" in found["berlin"]
    assert "mode=TUNNEL rekey_time=28500 " in found["berlin"]
    assert "dpd_delay=30 dpd_timeout=120" in found["berlin"]
    assert "dpd_action=trap" in found["berlin"]
    assert "remote-ts=[10.3.0.0/16]" in found["vienna"]
    assert "remote-ts=[10.4.0.0/16]" in found["vienna"]
    assert "id=gw.example.org" in found["vienna"]
    assert "id=C=AT, O=Example, CN=vienna" in found["vienna"]
    assert "mode=TRANSPORT" in found["l2tp"]
    assert "local-ts=[dynamic[udp/l2f]] remote-ts=[dynamic[udp]]" in found["l2tp"]
    assert "mode=PASS" in found["office"]
    assert found["office"].count("mode=DROP") == 2
    assert "remote-ts=[10.9.0.0/16[tcp/smtp]]" in found["office"]


def test_traps_and_shunts_are_in_the_kernel(tmp_path: Path) -> None:
    done = run("strongswan", LOAD + OUTWARD + LIST, converted("office.conf", tmp_path))
    policies = done.stdout.split("----\n")[1]
    pattern = r"^src (\S+) dst (\S+)(.*)\n\tdir out(.*)priority.*\n(?=(.*))"
    outward = re.findall(pattern, policies, re.MULTILINE)
    found = {
        (near, far): (more.strip(), action.strip(), "tmpl" in after)
        for near, far, more, action, after in outward
    }
    assert found == {
        ("10.1.0.0/16", "10.2.0.0/16"): ("", "", True),
        ("10.1.0.0/16", "10.3.0.0/16"): ("", "", True),
        ("10.1.0.0/16", "10.4.0.0/16"): ("", "", True),
        ("10.1.0.0/16", "10.5.0.0/16"): ("", "", True),
        ("10.1.0.0/16", "10.1.0.0/16"): ("", "", False),
        ("10.1.0.0/16", "10.9.0.0/16"): ("proto tcp dport 25", "action block", False),
        ("10.1.0.0/16", "10.10.0.0/16"): ("", "action block", False),
    }
    assert "proto ah" in policies


def test_what_is_to_be_filled_in_is_refused(tmp_path: Path) -> None:
    done = run("strongswan", LOAD + LIST, converted("keys.conf", tmp_path))
    assert "code 22" in done.stdout
    assert "loaded 0 of 4 connections, 4 failed to load" in done.stderr + done.stdout
    assert connections(done.stdout) == {}
    assert done.stdout.split("----\n")[1] == ""


BESIDE = """
export SWANCTL_DIR=/run/swanctl
mkdir -p /run/swanctl/pubkey /run/swanctl/private
cp "$2" /run/swanctl/swanctl.conf
"""
LOAD_BESIDE = "swanctl --load-conns --file swanctl/swanctl.conf && echo code 0 || echo code $?\n"
RECIPE = re.compile(r"^```sh\n(umask 077\n.*?)^```", re.DOTALL | re.MULTILINE)


def test_raw_keys_are_loaded_from_the_files_that_are_told(tmp_path: Path) -> None:
    """By the commands that stand beside the keys, and that of the handbook for our private key."""
    target = converted("raw.conf", tmp_path)
    commands = re.findall(r"^#   (sed .*)$", target.read_text("utf-8"), re.MULTILINE)
    assert len(commands) == 2
    commands += RECIPE.findall((ROOT / "docs" / "daemons.md").read_text("utf-8"))
    assert len(commands) == 3
    script = "\n".join(commands).replace("/etc/swanctl/", "/run/swanctl/")
    script = script.replace("/etc/ipsec.secrets", str(FILES / "raw.secrets"))
    script = script.replace(" FILE ", ' "$2" ') + "\nswanctl --load-creds --noprompt\n"
    done = run("strongswan", CHARON + BESIDE + script + LOAD_BESIDE + LIST, target)
    assert "loaded private key from '/run/swanctl/private/west.der'" in done.stdout
    assert "successfully loaded 1 connections" in done.stdout
    (connection,) = connections(done.stdout).values()
    assert connection.count("class=public key") == 2
    assert "local-ts=[10.1.0.0/16] remote-ts=[10.3.0.0/16]" in connection


def test_raw_keys_whose_files_are_missing_load_nothing(tmp_path: Path) -> None:
    done = run("strongswan", CHARON + BESIDE + LOAD_BESIDE + LIST, converted("raw.conf", tmp_path))
    assert "loaded 0 of 1 connections, 1 failed to load" in done.stderr + done.stdout
    assert connections(done.stdout) == {}


def test_a_table_gives_its_shunts_and_connections_that_wait(tmp_path: Path) -> None:
    target = converted("../../../docs/examples/gateway.eroute", tmp_path, "--allow-partial")
    done = run("strongswan", LOAD + LIST, target)
    assert "loaded 1 of 3 connections, 2 failed to load" in done.stderr + done.stdout
    found = connections(done.stdout)
    assert list(found) == ["eroute-2"]
    # %pass, %reject, and the refused %trap, whose traffic is dropped.
    assert re.findall(r"mode=(\w+)", found["eroute-2"]) == ["PASS", "DROP", "DROP"]


def test_a_refused_entry_stops_the_whole_file(tmp_path: Path) -> None:
    target = converted("../../../docs/examples/gateway.eroute", tmp_path)
    done = run("strongswan", LOAD + LIST, target)
    assert connections(done.stdout) == {}
    assert done.stdout.split("----\n")[1] == ""


@pytest.mark.parametrize("ike", [True, False])
def test_our_judgement_of_proposals_is_its_own(ike: bool) -> None:
    plain = [p for p in CANDIDATES if ike or p.group]
    kept = set(judge(plain, Daemon.SWANCTL, ike=ike).proposals)
    texts = [
        (f"proposals = {spell_for_strongswan(p)}", "")
        if ike
        else ("", f"esp_proposals = {spell_for_strongswan(p)}")
        for p in plain
    ]
    script = "".join(
        f"cat >/run/x.conf <<'END'\nconnections {{ x {{\n remote_addrs = 198.51.100.1\n {head}\n"
        f" local {{ auth = psk\n }}\n remote {{ auth = psk\n }}\n children {{ x {{\n {body}\n }} }}"
        f" }} }}\nEND\nswanctl --load-conns --file /run/x.conf >/run/out 2>&1 && echo {n}\n"
        for n, (head, body) in enumerate(texts)
    )
    taken = {plain[int(n)] for n in run("strongswan", CHARON + script + "true\n").stdout.split()}
    assert kept <= taken
    # It reads more than it can do: the names of ciphers that no module of it has, for one.
    left_out = {p.encryption for p in taken - kept} | {p.integrity for p in taken - kept}
    assert left_out <= {"blowfish", "cast", "serpent", "twofish", "sha1"}
