"""Connections for key daemons: what becomes of each setting, and of what only tables show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eroute_translate.cli import main
from eroute_translate.daemon_text import DaemonPage, render_daemon
from eroute_translate.diagnostics import Collector, Severity
from eroute_translate.klips.assembly import host_of_readings
from eroute_translate.klips.conf import read_conf
from eroute_translate.klips.configuration import reading_of_configuration
from eroute_translate.klips.host import KlipsHost
from eroute_translate.klips.settings import CONN_SETTINGS, SETUP_SETTINGS
from eroute_translate.klips.source import read_source
from eroute_translate.mapping.algorithms import IcvLength
from eroute_translate.mapping.daemons.configuration import configure
from eroute_translate.mapping.daemons.model import FILL_IN, DaemonConfiguration, DaemonConnection
from eroute_translate.mapping.daemons.proposals import Daemon, Proposal, parse_proposals
from eroute_translate.mapping.daemons.settings import CONNECTION_FATES, SETUP_FATES, How
from eroute_translate.mapping.model import Options
from eroute_translate.net import parse_address

OPTIONS = Options(local=(parse_address("192.0.2.1"),))
BASE = {
    "left": "192.0.2.1",
    "leftsubnet": "10.1.0.0/16",
    "right": "198.51.100.1",
    "rightsubnet": "10.2.0.0/16",
    "authby": "secret",
    "ike": "aes128-sha1;modp2048",
    "esp": "aes128-sha1",
    "auto": "route",
}


def host_of(text: str) -> KlipsHost:
    collector = Collector()
    configuration = read_conf(text.encode(), "ipsec.conf", collector)
    reading = reading_of_configuration(configuration, OPTIONS.local, collector, "ipsec.conf")
    return host_of_readings([reading], None, collector)


def conf(settings: dict[str, str] | None = None, setup: dict[str, str] | None = None) -> str:
    head = "".join(f"\t{name}={value}\n" for name, value in (setup or {}).items())
    merged = {name: value for name, value in (BASE | (settings or {})).items() if value}
    body = "".join(f"\t{name}={value}\n" for name, value in merged.items())
    return (f"config setup\n{head}\n" if head else "") + f"conn x\n{body}"


def made(
    daemon: Daemon,
    more: dict[str, str] | None = None,
    *,
    partial: bool = False,
    options: Options = OPTIONS,
    **settings: str,
) -> tuple[DaemonConnection, list[str]]:
    text = conf(settings | (more or {}))
    found = configure(host_of(text), options, daemon, partial=partial)
    (connection,) = found.connections
    return connection, [d.code for d in found.findings]


def values(connection: DaemonConnection) -> dict[str, str]:
    sections = chain(connection.sections, connection.children)
    lines = chain(connection.lines, *(section.lines for section in sections))
    return {line.name: line.value for line in lines}


def texts(found: DaemonConfiguration) -> Iterator[str]:
    for connection in found.connections:
        yield connection.kind
        for part in (*connection.sections, *connection.children):
            yield from (f"{line.name}={line.value}" for line in part.lines)
        yield from (f"{line.name}={line.value}" for line in connection.lines)
    yield from (f"{line.name}={line.value}" for line in found.setup)
    yield from (f"{d.code} {d.message}" for d in found.findings)


OTHER_VALUES = {
    "side": "198.51.100.9",
    "sidesubnet": "10.7.0.0/16",
    "sidesubnets": "{10.7.0.0/16 10.8.0.0/16}",
    "sideprotoport": "17/1701",
    "sideid": "@else.example.org",
    "sidersasigkey": "%cert",
    "sidecert": "gw.pem",
    "sidesendcert": "always",
    "sidenexthop": "192.0.2.254",
    "type": "transport",
    "auto": "add",
    "authby": "rsasig",
    "ike": "3des-md5;modp1536",
    "esp": "3des-md5",
    "phase2alg": "3des-md5",
    "ah": "md5",
    "phase2": "ah",
    "pfs": "no",
    "pfsgroup": "modp4096",
    "ikev2": "insist",
    "keyexchange": "ike2",
    "auth": "ah",
    "dpdaction": "clear",
    "keyingtries": "3",
    "rekey": "no",
    "rekeyfuzz": "10%",
    "failureshunt": "passthrough",
    "negotiationshunt": "drop",
    "fragmentation": "force",
    "ikefrag": "yes",
    "ike_frag": "yes",
    "sha2-truncbug": "no",
    "sha2_truncbug": "no",
}
"""A value that is not the one of the base; ``yes`` or 77 elsewhere."""
NEEDS = {
    "phase2alg": {"esp": ""},
    "ah": {"phase2": "ah"},
    "sha2-truncbug": {"esp": "aes128-sha2_256"},
    "sha2_truncbug": {"esp": "aes128-sha2_256"},
    "dpddelay": {"dpdtimeout": "90"},
    "dpdtimeout": {"dpddelay": "30"},
    "dpdaction": {"dpddelay": "30", "dpdtimeout": "90"},
    "sidersasigkey": {"authby": "rsasig", "leftcert": "a.pem", "rightcert": "b.pem"},
    "sidecert": {"authby": "rsasig"},
    "sidesendcert": {"authby": "rsasig", "leftcert": "a.pem"},
}
NUMBERS = {"keylife", "salifetime", "lifetime", "ikelifetime", "rekeymargin", "dpddelay"}
SILENT = {(Daemon.SWANCTL, "sidersasigkey")}
"""%cert beside a certificate: it is what the certificate says already."""


@pytest.mark.parametrize("daemon", Daemon)
def test_each_setting_is_carried_or_told(daemon: Daemon) -> None:
    fates = CONNECTION_FATES[daemon]
    assert fates.keys() >= CONN_SETTINGS
    for shared in sorted(CONN_SETTINGS - {"espenckey", "espauthkey", "ahkey"}):
        name = shared.replace("side", "left", 1) if shared.startswith("side") else shared
        if shared == "side":
            name = "right"
        default = "77" if shared in NUMBERS | {"dpdtimeout"} else "yes"
        value = OTHER_VALUES.get(shared, default)
        needs = NEEDS.get(shared, {})
        without = configure(host_of(conf({name: BASE.get(name, ""), **needs})), OPTIONS, daemon)
        changed = configure(host_of(conf({**needs, name: value})), OPTIONS, daemon)
        if (daemon, shared) not in SILENT:
            assert list(texts(changed)) != list(texts(without)), name
        if fates[shared].how in (How.VOID, How.LOSS, How.REFUSE):
            told = [d for d in changed.findings if d.message.startswith(f"x: {name} ")]
            assert told, name
        if fates[shared].how is How.REFUSE:
            assert changed.counts["refused"] == 1, name


@pytest.mark.parametrize("daemon", Daemon)
def test_each_setting_of_the_setup_is_carried_or_told(daemon: Daemon) -> None:
    fates = SETUP_FATES[daemon]
    assert fates.keys() >= SETUP_SETTINGS
    without = list(texts(configure(host_of(conf()), OPTIONS, daemon)))
    for name in sorted(SETUP_SETTINGS):
        changed = configure(host_of(conf(setup={name: "no"})), OPTIONS, daemon)
        assert list(texts(changed)) != without, name


@pytest.mark.parametrize("daemon", Daemon)
@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"authby": ""}, "auth"),
        ({"authby": "secret|rsasig"}, "auth"),
        ({"ike": "nonsense-md5"}, "ike"),
        ({"esp": "null-md5"}, "esp"),
        ({"esp": "des-md5"}, "esp"),
        ({"leftid": "@" + "averylongnamewithoutanydot" * 2}, "leftid"),
        ({"authby": "rsasig", "leftrsasigkey": "%dns"}, "rsasigkey"),
    ],
)
def test_what_is_not_known_is_left_to_the_user(
    daemon: Daemon, settings: dict[str, str], what: str
) -> None:
    connection, codes = made(daemon, settings)
    assert "ET250" in codes
    assert any(what in missing for missing in connection.missing) or what == "auth"
    parts = (*connection.sections, *connection.children)
    lines = chain(connection.lines, *(part.lines for part in parts))
    assert FILL_IN in {line.value for line in lines}


@pytest.mark.parametrize("daemon", Daemon)
@pytest.mark.parametrize("authby", ["never", "null"])
def test_nobody_is_let_in_without_authentication(daemon: Daemon, authby: str) -> None:
    connection, codes = made(daemon, authby=authby)
    assert connection.kind == "refused"
    assert not connection.lines
    assert "ET251" in codes


@pytest.mark.parametrize("daemon", Daemon)
def test_a_refused_connection_is_dropped_only_by_name(daemon: Daemon) -> None:
    connection, _ = made(daemon, auth="ah")
    assert not connection.lines
    blocked, _ = made(
        daemon, auth="ah", partial=True, rightsubnet="", rightsubnets="{10.7.0.0/16 10.8.0.0/16}"
    )
    found = values(blocked)
    assert found.get("mode", found.get("type")) == "drop"
    if daemon is Daemon.SWANCTL:
        assert [child.lines[1].value for child in blocked.children] == [
            "10.7.0.0/16",
            "10.8.0.0/16",
        ]
    else:
        assert found["rightsubnets"] == "10.7.0.0/16,10.8.0.0/16"


@pytest.mark.parametrize("daemon", Daemon)
def test_no_clear_text_in_the_place_of_an_sa(daemon: Daemon) -> None:
    connection, codes = made(daemon, failureshunt="passthrough", negotiationshunt="passthrough")
    assert "passthrough" not in values(connection).values()
    assert codes.count("ET259") == 2


def test_versions_of_ike() -> None:
    def version(daemon: Daemon, word: str) -> str:
        found = values(made(daemon, ikev2=word)[0])
        return found.get("version") or found["ikev2"]

    assert [version(Daemon.SWANCTL, w) for w in ("", "permit", "propose", "insist")] == [
        *("1", "1", "0", "2")
    ]
    assert [version(Daemon.LIBRESWAN, w) for w in ("", "permit", "propose", "insist")] == [
        *("no", "no", "yes", "yes")
    ]
    assert "ET256" not in made(Daemon.SWANCTL, ikev2="insist")[1]


def test_the_group_of_perfect_forward_secrecy() -> None:
    def group(**settings: str) -> str:
        return values(made(Daemon.SWANCTL, settings)[0])["esp_proposals"]

    assert group() == "aes128-sha1-modp2048"
    assert group(pfsgroup="modp1536") == "aes128-sha1-modp1536"
    assert group(pfs="no") == "aes128-sha1"
    assert group(ike="3des-md5-modp1024,aes128-sha1-modp1536") == "aes128-sha1-modp1536"
    assert group(ike="") == FILL_IN


def test_check_values_of_sha2() -> None:
    def cut(**settings: str) -> bool:
        found = values(made(Daemon.SWANCTL, {"esp": "aes128-sha2_256", **settings})[0])
        return found.get("sha256_96") == "yes"

    assert cut()
    assert cut(sha2_truncbug="yes")
    assert not cut(sha2_truncbug="no")
    options = Options(local=OPTIONS.local, icv=IcvLength.RFC)
    connection, codes = made(Daemon.LIBRESWAN, options=options, esp="aes128-sha2_256")
    assert "sha2-truncbug" not in values(connection)
    assert "ET260" not in codes


def test_identities_are_written_out_for_strongswan() -> None:
    connection, _ = made(Daemon.SWANCTL)
    local, remote = (dict(section.lines) for section in connection.sections)
    assert local["id"] == "192.0.2.1"
    # Without one strongSwan would take any identity.
    assert remote["id"] == "198.51.100.1"


TABLE = """\
0 10.1.0.0/16 -> 10.2.0.0/16 => tun0x1000@198.51.100.1
0 10.1.0.0/16 -> 10.3.0.0/16:25 => %pass
0 10.1.0.0/16 -> 10.4.0.0/16:25 => %drop:17
0 10.1.0.0/16 -> 10.5.0.0/16:25 => %drop:50
0 10.1.0.0/16 -> 10.6.0.0/16 => %trap
"""


@pytest.mark.parametrize("daemon", Daemon)
def test_a_table_alone(daemon: Daemon) -> None:
    collector = Collector()
    host = host_of_readings(read_source(TABLE.encode(), "table", collector), None, collector)
    found = configure(host, OPTIONS, daemon)
    names = [connection.name for connection in found.connections]
    # Ports without a protocol were for TCP and UDP, ports of ESP for nobody.
    assert names == ["eroute-1", "eroute-2", "eroute-2-2", "eroute-3", "eroute-5"]
    codes = [d.code for d in found.findings]
    assert "ET304" in codes
    assert found.counts["incomplete"] == 1
    assert found.counts["refused"] == 1
    first = values(found.connections[0])
    assert FILL_IN in (first.get("auth"), first.get("authby"))
    second, third = values(found.connections[1]), values(found.connections[2])
    assert {second.get("remote_ts", second.get("rightprotoport")),
            third.get("remote_ts", third.get("rightprotoport"))} in (
        {"10.3.0.0/16[6/25]", "10.3.0.0/16[17/25]"},
        {"6/25", "17/25"},
    )  # fmt: skip


@pytest.mark.parametrize("daemon", Daemon)
def test_a_connection_accounts_for_its_eroutes(daemon: Daemon) -> None:
    collector = Collector()
    readings = read_source(TABLE.encode(), "table", collector)
    configuration = read_conf(conf().encode(), "ipsec.conf", collector)
    readings.append(reading_of_configuration(configuration, OPTIONS.local, collector, "ipsec.conf"))
    found = configure(host_of_readings(readings, None, collector), OPTIONS, daemon)
    names = [connection.name for connection in found.connections]
    assert names == ["x", "eroute-1", "eroute-1-2", "eroute-2", "eroute-4"]


def test_a_host_without_sides_is_libreswans_alone() -> None:
    host = host_of(conf({"left": "192.0.2.7"}))
    libreswan = configure(host, OPTIONS, Daemon.LIBRESWAN)
    assert libreswan.counts["refused"] == 0
    assert configure(host, OPTIONS, Daemon.SWANCTL).counts["refused"] == 1


@pytest.mark.parametrize("daemon", Daemon)
def test_findings_say_whose_they_are(daemon: Daemon) -> None:
    found = configure(host_of(conf({"esp": "3des-md5", "auto": "start"})), OPTIONS, daemon)
    assert all(d.message.startswith("x: ") for d in found.findings)
    assert all(d.severity is not Severity.ERROR for d in found.findings)
    assert all(note.startswith("ET") for note in found.connections[0].notes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3des-md5-96", [Proposal("3des", 0, "md5")]),
        ("3des-md5-modp1024!", [Proposal("3des", 0, "md5", "modp1024")]),
        ("aes-128-sha1", [Proposal("aes", 128, "sha1")]),
        ("aes256-sha2_256;dh14", [Proposal("aes", 256, "sha2_256", "modp2048")]),
        ("3des, aes128-sha1", [Proposal("3des"), Proposal("aes", 128, "sha1")]),
    ],
)
def test_proposals(text: str, expected: list[Proposal]) -> None:
    assert list(parse_proposals(text)) == expected


@pytest.mark.parametrize("text", ["", "!", "3des-md5;modp", "rot13-md5", "aes128-crc"])
def test_proposals_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_proposals(text)


@pytest.mark.parametrize("target", ["swanctl", "libreswan"])
def test_a_command_line_alone(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eroute", "--add", "--eraf", "inet", "--src", "10.1.0.0/16", "--dst", "10.2.0.0/16"]
    assert main(["ipsec", "-q", "--to", target, *words, "--said", "tun0x1002@203.0.113.7"]) == 12
    assert FILL_IN in capsys.readouterr().out
    assert main(["ipsec", "-q", "--to", target, *words, "--said", "%pass"]) == 0
    assert FILL_IN not in capsys.readouterr().out.partition("connections {")[2]
    words[1] = "--del"
    assert main(["ipsec", "-q", "--to", target, *words]) == 2
    assert capsys.readouterr().out == ""


HOSTILE = st.text(
    st.characters(exclude_categories=["Cs", "Zl", "Zp"], exclude_characters="\n\r"), max_size=30
)
NAMES = sorted(name for name in CONN_SETTINGS if name != "side")


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(list(Daemon)),
    st.dictionaries(st.sampled_from(NAMES), HOSTILE, max_size=6),
    st.text("abcXYZ09 \"#{}=;$`\\'.-_", min_size=1, max_size=12),
)
def test_no_value_breaks_out_of_its_place(daemon: Daemon, found: dict[str, str], name: str) -> None:
    """Whatever stands in a setting: no crash, and no line or section of its making."""
    lines = "".join(
        f"\t{(key.replace('side', 'left', 1) if key.startswith('side') else key)}={value}\n"
        for key, value in found.items()
    )
    host = host_of(conf().replace("conn x", f"conn {name}") + lines)
    page = DaemonPage(configure(host, OPTIONS, daemon), host, ("ipsec.conf",), ())
    text = "".join(render_daemon(page))
    for line in text.splitlines():
        plain = line.strip()
        if not plain or plain.startswith("#"):
            continue
        if daemon is Daemon.LIBRESWAN:
            assert re.fullmatch(
                r"refused|config setup|conn [A-Za-z0-9_-]+"
                r'|[A-Za-z0-9-]+=([A-Za-z0-9%@.,:;/_+*!-]*|"[^"]*")',
                plain,
            ), line
        else:
            assert re.fullmatch(
                r'\}|\}refused\{|[A-Za-z0-9_-]+ \{|[a-z0-9_]+ = ([^"{}#=]*|"([^"\\]|\\["\\])*")',
                plain,
            ), line
