"""What libreswan's own programs make of our ipsec.conf: the reader, algparse, pluto."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eroute_translate.cli import main
from eroute_translate.klips.settings import CONN_SETTINGS, SETUP_SETTINGS
from eroute_translate.mapping.daemons.proposals import Daemon, Proposal, judge, spell
from eroute_translate.mapping.daemons.settings import CONNECTION_FATES, SETUP_FATES, How
from tests.daemons.proposals import CANDIDATES
from tests.daemons.room import OUTWARD, PLUTO, needs, run

FILES = Path(__file__).parent / "files"
pytestmark = [pytest.mark.kernel, needs("libreswan")]

CHECK = '/usr/libexec/ipsec/addconn --config "$2" --checkconfig\n'


def converted(name: str, folder: Path, *options: str) -> Path:
    target = folder / "ipsec.conf"
    words = ["convert", "-q", "--to", "libreswan", "--local", "192.0.2.1", *options]
    assert main([*words, "-o", str(target), str(FILES / name)]) in (0, 12)
    return target


def test_a_complete_file_is_read_without_a_word(tmp_path: Path) -> None:
    done = run("libreswan", CHECK, converted("office.conf", tmp_path))
    assert (done.stdout, done.stderr) == ("", "")


def test_the_reader_sees_what_was_meant(tmp_path: Path) -> None:
    target = converted("office.conf", tmp_path)
    shown = run("libreswan", '/usr/libexec/ipsec/readwriteconf --config "$2"', target).stdout
    conns = {part.split("\n", 1)[0]: part for part in shown.split("\nconn ")[1:]}
    assert list(conns) == ["berlin", "vienna", "l2tp", "signed", "office", "smtp", "closed"]
    assert "\tikev2=never" in conns["berlin"] or "\tikev2=no" in conns["berlin"]
    assert "\tcompress=yes" in conns["berlin"]
    assert "\tike=aes128-sha1;modp1536" in conns["berlin"]
    assert "\tphase2=ah" in conns["signed"]
    assert "\ttype=reject" in conns["smtp"]
    assert "\ttype=passthrough" in conns["office"]


def test_pluto_loads_each_connection_and_installs_the_shunts(tmp_path: Path) -> None:
    target = converted("office.conf", tmp_path)
    script = PLUTO + OUTWARD + "cat /run/pluto.log; echo ----; ip xfrm policy list nosock"
    log, policies = run("libreswan", script, target).stdout.split("----\n")
    added = set(
        re.findall(r'"([a-z0-9/]+)": added (?:IKEv[12]|passthrough|reject|drop) connection', log)
    )
    assert {"berlin", "vienna/0x1", "vienna/0x2", "l2tp", "signed"} <= added, log
    assert {"office", "smtp", "closed"} <= added, log
    assert "failed to add" not in log
    pattern = r"^src (\S+) dst (\S+)(.*)\n\tdir out(.*)priority"
    outward = re.findall(pattern, policies, re.MULTILINE)
    found = {(near, far): (more.strip(), action.strip()) for near, far, more, action in outward}
    assert found["10.1.0.0/16", "10.1.0.0/16"] == ("", "")
    assert found["10.1.0.0/16", "10.9.0.0/16"] == ("proto tcp dport 25", "action block")
    assert found["10.1.0.0/16", "10.10.0.0/16"] == ("", "action block")
    for far in ("10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"):
        assert ("10.1.0.0/16", far) in found


def test_pluto_refuses_what_is_to_be_filled_in(tmp_path: Path) -> None:
    target = converted("keys.conf", tmp_path)
    script = PLUTO + "cat /run/pluto.log; echo ----; ip xfrm policy list nosock"
    log, policies = run("libreswan", script, target).stdout.split("----\n")
    for name in ("unsaid", "certificate", "manual"):
        assert f'"{name}": added' not in log
    assert "10.3.0.0" not in policies
    assert "10.6.0.0" not in policies


def test_a_table_gives_connections_that_wait_for_the_user(tmp_path: Path) -> None:
    target = converted("../../../docs/examples/gateway.eroute", tmp_path, "--allow-partial")
    done = run("libreswan", CHECK, target)
    told = re.findall(r"while loading '(.*)': connection authby= value is unknown", done.stderr)
    assert told == ["eroute-1", "eroute-3", "eroute-5"], done.stderr


def test_a_refused_entry_stops_the_whole_file(tmp_path: Path) -> None:
    target = converted("../../../docs/examples/gateway.eroute", tmp_path)
    done = run("libreswan", CHECK, target, check=False)
    assert done.returncode == 3
    assert "syntax error [refused]" in done.stderr


@pytest.mark.parametrize("ike", [True, False])
def test_its_judge_of_proposals_agrees(ike: bool) -> None:
    kind = "ike" if ike else "esp"
    plain = [p if ike else p._replace(group="") for p in CANDIDATES]
    wanted = [p for p in dict.fromkeys(plain) if p.encryption not in ("null", "des")]
    kept = set(judge(wanted, Daemon.LIBRESWAN, ike=ike).proposals)
    script = "".join(
        f"/usr/libexec/ipsec/algparse '{kind}={spell(p)}' >/run/out 2>&1 && echo {n}\n"
        for n, p in enumerate(wanted)
    )
    taken = {wanted[int(n)] for n in run("libreswan", script + "true\n").stdout.split()}
    assert kept == taken


def test_it_takes_every_setting_that_goes_on_as_it_stands() -> None:
    conn = "conn x\n\tleft=192.0.2.1\n\tright=198.51.100.1\n\tauthby=secret\n"
    heads = {
        f"{conn}\t{fate.name.replace('side', 'left', 1)}"
        for fate in CONNECTION_FATES[Daemon.LIBRESWAN].values()
        if fate.how is How.SAME
    } | {
        f"config setup\n\t{fate.name}"
        for fate in SETUP_FATES[Daemon.LIBRESWAN].values()
        if fate.how is How.SAME
    }
    script = "".join(
        f"known=no\nfor value in yes 1; do\nprintf '%s\\n' '{head}='$value >/run/x.conf\n"
        "/usr/libexec/ipsec/addconn --config /run/x.conf --checkconfig >/run/out 2>&1 || true\n"
        "grep -E 'syntax error|obsolete|unexpected keyword' /run/out || { known=yes; break; }\n"
        f"[ $known = yes ] || echo {head.split()[-1]}: refused\ndone\n"
        for head in sorted(heads)
    )
    output = run("libreswan", script).stdout
    # Neither is a good value for all of them; what matters is that the name is known.
    assert ": refused" not in output


@pytest.mark.parametrize("daemon", Daemon)
def test_no_setting_is_forgotten(daemon: Daemon) -> None:
    assert set(CONNECTION_FATES[daemon]) >= CONN_SETTINGS
    assert set(SETUP_FATES[daemon]) >= SETUP_SETTINGS


def test_a_proposal_without_a_hash_is_no_error() -> None:
    assert judge([Proposal("aes", 128)], Daemon.LIBRESWAN, ike=False).proposals
