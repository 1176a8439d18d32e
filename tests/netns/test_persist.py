"""What a reboot needs, what else decides in a namespace, and plans against other hosts."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from eroute_translate.apply.unit import install_unit, unit_name
from tests.netns.spaces import inside, ip
from tests.netns.test_apply import OTHER, TABLE, Host, host
from tests.unit.test_schemas import SCHEMAS, follows

__all__ = ["host"]

pytestmark = pytest.mark.kernel


def unit_folder(host: Host) -> Path:
    return host.folder / "units"


def persist(host: Host, table: str = TABLE) -> list[str]:
    code, text = host.run(
        "apply", "--yes", "--persist", "--unit-folder", str(unit_folder(host)), table=table
    )
    assert code == 0, text
    return host.policies()


def reboot(host: Host) -> None:
    """A namespace of the same name, as empty as a kernel after its start."""
    subprocess.run(["ip", "netns", "del", host.name], check=True)
    subprocess.run(["ip", "netns", "add", host.name], check=True)


def test_a_reboot_restores_what_was_saved(host: Host) -> None:
    first, rules = persist(host), host.rules()
    name = unit_name(host.name)
    unit = (unit_folder(host) / name).read_text(encoding="utf-8")
    assert (unit_folder(host) / "sysinit.target.wants" / name).resolve().name == name
    command = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    words = [word.strip('"') for word in command.removeprefix("ExecStart=").split()]
    assert words[-2:] == ["--netns", host.name]
    where = f"--netns {host.name} --state-folder {host.folder / 'state'}"
    assert f"`eroute-translate restore --remove {where}` takes it away" in unit
    reboot(host)
    assert host.policies() == []
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert host.policies() == first
    assert host.rules() == rules
    code, text = host.run("status", "--unit-folder", str(unit_folder(host)))
    assert (code, "the next boot installs" in text, "no unit" in text) == (0, True, False)
    assert "no unit" in host.run("status")[1]
    assert host.run("restore")[0] == 0
    assert host.policies() == first


@pytest.mark.parametrize("more", ["", "7 10.0.0.0/8 -> 10.9.0.0/16 => %drop\n"])
def test_what_a_script_had_installed_is_saved_too(host: Host, more: str) -> None:
    """It is in place and not ours, so that nothing, or only ``more``, is to change."""
    path = host.folder / "table.eroute"
    path.write_text(TABLE, encoding="ascii")
    script = subprocess.run(
        [sys.executable, "-m", "eroute_translate", "convert", "-q", str(path)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    subprocess.run(["ip", "netns", "exec", host.name, "sh"], input=script, text=True, check=True)
    whole = persist(host, TABLE + more)
    text = host.run("status")[1]
    assert f"the next boot installs {len(whole)} policies\n" in text
    reboot(host)
    assert host.run("restore")[0] == 0
    assert host.policies() == whole


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_reads_the_unit(host: Host) -> None:
    persist(host)
    unit = unit_folder(host) / unit_name(host.name)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_unit_of_a_namespace_leaves_that_of_the_host(host: Host) -> None:
    """At the next boot the host would send in clear."""
    folder = unit_folder(host)
    ours = folder / unit_name(None)
    install_unit("of the host", ours)
    persist(host)
    assert ours.read_text(encoding="utf-8") == "of the host"
    assert host.run("restore", "--remove", "--unit-folder", str(folder))[0] == 0
    assert [path.name for path in folder.rglob("*.service")] == ["eroute-translate.service"] * 2


def test_the_name_of_a_unit_is_one() -> None:
    assert unit_name("a b/\u00e4%@\udcff") == (
        r"eroute-translate-netns-a\x20b\x2f\xc3\xa4\x25\x40\xff.service"
    )


def test_only_what_is_confirmed_is_saved(host: Host) -> None:
    words = ("apply", "--yes", "--persist", "--unit-folder", str(unit_folder(host)))
    code, text = host.run(*words, "--confirm-within", "60s", table=TABLE)
    assert (code, "once you have confirmed, the next boot" in text) == (0, True)
    assert host.run("rollback", "--yes")[0] == 0
    code, text = host.run("status", "--unit-folder", str(unit_folder(host)))
    assert (code, "installs nothing, though there is a unit" in text) == (0, True)
    reboot(host)
    assert host.run("restore")[0] == 3
    assert host.policies() == []


def test_a_restore_that_fails_blocks(host: Host) -> None:
    persist(host)
    reboot(host)
    # Somebody took the place of one of ours before the unit ran.
    taken = "src 172.31.252.0/24 dst 192.168.7.0/24 dir out priority 7"
    ip(host.name, "xfrm", "policy", "add", *taken.split())
    code, text = host.run("restore")
    assert code == 1
    assert "is blocked now" in text
    lines = [line for line in host.policies() if "priority 7 " not in line]
    assert lines
    assert all("action block" in line for line in lines)
    # The way out: look, decide, apply again.
    assert host.run("apply", "--yes", "--replace-foreign", table=TABLE)[0] == 0
    assert any("tmpl" in line for line in host.policies())


def test_nothing_is_installed_once_it_is_removed(host: Host) -> None:
    first = persist(host)
    assert host.run("restore", "--remove", "--unit-folder", str(unit_folder(host)))[0] == 0
    assert host.policies() == first
    assert list(unit_folder(host).rglob("*.service")) == []
    code, text = host.run("restore", "--remove", "--unit-folder", str(unit_folder(host)))
    assert (code, text) == (0, "the next boot installs nothing; there was no unit to remove\n")
    reboot(host)
    assert host.run("restore")[0] == 3


def test_what_was_ours_is_blocked_when_what_was_saved_is_damaged(host: Host) -> None:
    """Nothing of what was protected on the last boot may leave in clear on this one."""
    lines = persist(host)
    passing = sum("tmpl" not in line and "block" not in line for line in lines)
    assert 0 < passing < len(lines)
    state = host.folder / "state" / f"netns-{host.name}"
    saved = state / "saved"
    saved.write_bytes(saved.read_bytes()[:-3])
    reboot(host)
    code, text = host.run("restore")
    assert (code, "checksum" in text, "or `apply --persist`" in text) == (1, True, True)
    blocked = host.policies()
    assert len(blocked) == len(lines) - passing
    assert all("action block" in line for line in blocked)
    assert f"blocked now ({len(blocked)} policies)" in text
    # Once more by hand: what is there stays, and stays ours.
    code, text = host.run("restore")
    assert (code, "nothing more is blocked" in text) == (1, True)
    assert host.policies() == blocked
    code, text = host.run("status")
    assert (code, f"{len(blocked)} policies are ours" in text) == (1, True)
    code, text = host.run("apply", "--yes", table=TABLE)
    assert (code, "the next boot cannot install what was saved" in text) == (0, True)
    assert host.policies() == lines
    assert persist(host) == lines
    reboot(host)
    assert host.run("restore")[0] == 0


def test_a_restore_by_hand_takes_no_protection_away(host: Host) -> None:
    persist(host)
    more = TABLE + "7 10.0.0.0/8 -> 10.9.0.0/16 => %drop\n"
    assert host.run("apply", "--yes", table=more)[0] == 0
    before = host.policies()
    code, text = host.run("restore")
    assert (code, "protect or block what no saved one does" in text) == (1, True)
    assert "nothing was done" in text
    assert host.policies() == before


def test_nothing_can_be_blocked_when_both_records_are_damaged(host: Host) -> None:
    persist(host)
    for name in ("saved", "owned"):
        path = host.folder / "state" / f"netns-{host.name}" / name
        path.write_bytes(path.read_bytes()[:-3])
    reboot(host)
    code, text = host.run("restore")
    assert (code, "nothing more is blocked" in text) == (1, True)
    assert host.policies() == []


def test_disable_xfrm_stops_apply(host: Host) -> None:
    ip(host.name, "link", "add", "d0", "type", "veth", "peer", "name", "d1")
    switch = Path("/proc/sys/net/ipv4/conf/d0/disable_xfrm")
    inside(host.name, lambda: switch.write_text("1"))
    code, text = host.run("plan", table=TABLE)
    assert (code, "disable_xfrm is set on d0" in text) == (10, True)
    code, text = host.run("apply", "--yes", table=TABLE)
    assert (code, "--despite-disable-xfrm" in text) == (1, True)
    assert host.policies() == []
    assert host.run("apply", "--yes", "--despite-disable-xfrm", table=TABLE)[0] == 0


def test_what_else_decides_is_told(host: Host) -> None:
    ip(host.name, *["xfrm", "policy", "setdefault", "out", "block"])
    listener = inside(host.name, lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 6))
    listener.bind((0, 1))
    code, text = host.run("plan", "--format", "json", table=TABLE)
    assert code == 10
    document = json.JSONDecoder().raw_decode(text[text.index("{\n") :])[0]
    follows(document, SCHEMAS["plan-2"])
    around = document["surroundings"]
    assert around["defaults"]["out"] == "block"
    assert [found["way"] for found in around["listeners"]] == ["NETLINK_XFRM"]
    listener.close()
    text = host.run("plan", table=TABLE)[1]
    assert "setdefault: packets without a policy are dropped (out)" in text
    assert "NETLINK_XFRM" not in text


def test_a_plan_against_the_text_of_another_host(host: Host) -> None:
    assert host.run("apply", "--yes", table=TABLE)[0] == 0
    text = host.folder / "policies.txt"
    text.write_text(ip(host.name, "xfrm", "policy"), encoding="ascii")
    code, same = host.run("plan", "--no-reject-rule", "--against", str(text), table=TABLE)
    assert (code, "0 to add, 0 to replace, 0 to remove" in same) == (0, True)
    code, other = host.run("plan", "--against", str(text), table=OTHER)
    assert code == 15
    assert "in conflict" in other
    text.write_text("src 10.0.0.0/8 dst nowhere dir out\n", encoding="ascii")
    code, bad = host.run("plan", "--against", str(text), table=TABLE)
    assert (code, "nothing is compared" in bad) == (1, True)


def test_changed_firewall_rules_alone_are_a_change(host: Host) -> None:
    assert host.run("apply", "--yes", table=TABLE)[0] == 0
    subprocess.run(["ip", "netns", "exec", host.name, "nft", "flush", "ruleset"], check=True)
    code, text = host.run("plan", table=TABLE)
    assert (code, "table inet eroute_translate" in text) == (10, True)
    assert host.run("apply", "--yes", table=TABLE)[0] == 0
    assert "reject" in host.rules()
    assert host.run("plan", table=TABLE)[0] == 0


def test_firewall_rules_alone_are_told_as_such(host: Host) -> None:
    assert host.run("apply", "--yes", table=TABLE)[0] == 0
    for verb, told in (("rollback", "were taken back"), ("confirm", "are kept")):
        subprocess.run(["ip", "netns", "exec", host.name, "nft", "flush", "ruleset"], check=True)
        code, text = host.run("apply", "--yes", "--confirm-within", "60s", table=TABLE)
        assert (code, "changes of the nftables table are in place" in text) == (0, True)
        assert "(changes of the nftables table)" in host.run("status")[1]
        words = ("--yes",) if verb == "rollback" else ()
        assert host.run(verb, *words) == (0, f"changes of the nftables table {told}\n")


def test_each_target_has_a_unit_of_its_own(host: Host) -> None:
    persist(host)
    other = Host(f"{host.name}-b", host.folder)
    subprocess.run(["ip", "netns", "add", other.name], check=True)
    try:
        persist(other, OTHER)
    finally:
        subprocess.run(["ip", "netns", "del", other.name], check=True)
    names = {path.name: path.read_text() for path in unit_folder(host).glob("*.service")}
    assert set(names) == {unit_name(host.name), unit_name(other.name)}
    assert f'"{host.name}"\n' in names[unit_name(host.name)]


@pytest.mark.parametrize("before", ["fresh", "in place"])
def test_a_unit_that_cannot_be_written_is_told_beside_what_was_done(
    host: Host, before: str
) -> None:
    if before == "in place":
        assert host.run("apply", "--yes", table=TABLE)[0] == 0
    words = ["--persist", "--unit-folder", "/proc/none", "--confirm-within", "60s"]
    code, text = host.run("apply", "--yes", *words, table=TABLE)
    assert code == 1
    assert "no unit installs them at the next boot" in text
    assert ("changes are in place" in text) == (before == "fresh")
    assert ("eroute-translate confirm" in text) == (before == "fresh")


def test_what_is_confirmed_is_saved(host: Host) -> None:
    words = ("apply", "--yes", "--persist", "--unit-folder", str(unit_folder(host)))
    code, text = host.run(*words, "--confirm-within", "60s", table=TABLE)
    assert (code, "once you have confirmed, the next boot" in text) == (0, True)
    assert host.run("confirm")[0] == 0
    first = host.policies()
    code, text = host.run("apply", "--yes", table=OTHER)
    assert (code, "installs what was saved before, not these" in text) == (0, True)
    code, text = host.run("apply", "--yes", table=TABLE)
    assert (code, "next boot" in text) == (0, False)
    reboot(host)
    assert host.run("restore")[0] == 0
    assert host.policies() == first
