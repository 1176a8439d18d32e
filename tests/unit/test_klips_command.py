"""The option grammar of ipsec_eroute(8): every option, every abbreviation, every error."""

from __future__ import annotations

import pytest

from eroute_translate.diagnostics import Collector, Diagnostic, Severity, Span, render_text
from eroute_translate.klips.command import format_eroute_command, parse_eroute_command
from eroute_translate.klips.eroute import Eroute
from eroute_translate.klips.eroute_options import ACTIONS, FLAGS, VALUES, Action, ErouteCommand
from eroute_translate.klips.said import PASSTHROUGH4, PASSTHROUGH6, SHUNTS, Said
from eroute_translate.klips.words import Word
from eroute_translate.net import Prefix, Selector, parse_prefix

PLACE = "<command line>"
START = len("ipsec eroute ") + 1
BASE = "--add --eraf inet --src 10.1.0.0/16 --dst 10.2.0.0/16"
ADD = f"{BASE} --said tun0x1002@192.0.2.1"
BASE6 = "--add --eraf inet6 --src 2001:db8:1::/48 --dst 2001:db8:2::/48"
PORTS = "--transport-proto tcp --src-port 1024 --dst-port 25"
TUNNEL = Said(4, 0x1002, 4, 0xC0000201)


def words_of(line: list[str]) -> list[Word]:
    words, column = [], START
    for text in line:
        words.append(Word(text, Span(PLACE, 1, column, column + len(text), 1)))
        column += len(text) + 1
    return words


def read(line: str | list[str]) -> tuple[ErouteCommand | None, list[Diagnostic]]:
    collector = Collector()
    words = line.split() if isinstance(line, str) else line
    command = parse_eroute_command(words_of(words), collector)
    for item in collector.items:
        assert item.span is not None
        assert item.message
        assert item.excerpt == " ".join(["ipsec eroute", *words])
        assert item.expected
        assert item.hint
        assert render_text(item)
    assert (command is None) == bool(collector.errors)
    return command, collector.items


def good(line: str | list[str]) -> ErouteCommand:
    command, items = read(line)
    assert command is not None, [item.message for item in items]
    return command


def eroute_of(line: str) -> Eroute:
    eroute = good(line).eroute
    assert eroute is not None
    return eroute


def silent(line: str) -> ErouteCommand:
    command, items = read(line)
    assert command is not None
    assert items == []
    return command


def errors(line: str | list[str]) -> list[tuple[str, str]]:
    """Codes of the errors, each with the text it points at."""
    command, items = read(line)
    assert command is None
    found = []
    for item in items:
        if item.severity is Severity.ERROR:
            assert item.span is not None
            found.append((item.code, item.excerpt[item.span.column - 1 : item.span.end_column - 1]))
    return found


def findings(line: str) -> list[tuple[str, Severity, str]]:
    _, items = read(line)
    return [(item.code, item.severity, item.message) for item in items]


# -- every option


def test_add() -> None:
    command = silent(ADD)
    assert command.action is Action.ADD
    assert command.span == Span(PLACE, 1, START, START + len(ADD), 1)
    assert command.label == ""
    assert not command.debug
    assert command.eroute is not None
    assert command.eroute == Eroute(
        Selector(parse_prefix("10.1.0.0/16"), parse_prefix("10.2.0.0/16")),
        (TUNNEL,),
        command.span,
        form="command",
    )


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_actions(name: str) -> None:
    command = good("--clear") if name == "clear" else good(ADD.replace("--add", f"--{name}"))
    assert command.action is ACTIONS[name]
    assert (command.eroute is None) == (name == "clear")


@pytest.mark.parametrize("line", ["", "--debug", "--label x", "--debug --label=x"])
def test_no_action_is_a_list(line: str) -> None:
    command = silent(line)
    assert command.action is Action.LIST
    assert command.eroute is None


@pytest.mark.parametrize("name", ["help", "version"])
def test_help_and_version(name: str) -> None:
    command, items = read(f"--{name}")
    assert command is not None
    assert command.action is Action.LIST
    assert [(i.code, i.severity) for i in items] == [("ET120", Severity.NOTE)]
    assert errors(f"{ADD} --{name}") == [("ET120", f"--{name}")]


def test_delete_names_no_sa() -> None:
    command = silent(BASE.replace("--add", "--del"))
    assert command.eroute is not None
    assert command.eroute.saids == ()
    line = ADD.replace("--add", "--del")
    deleted, items = read(line)
    assert deleted is not None
    assert deleted.eroute is not None
    assert deleted.eroute.saids == ()
    assert [(i.code, i.severity) for i in items] == [("ET123", Severity.NOTE)]


def test_protocol_and_ports() -> None:
    assert eroute_of(f"{ADD} {PORTS}").selector[2:] == (6, 1024, 25)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("tcp", 6),
        ("UDP", 17),
        ("ip", 0),
        ("0", 0),
        ("17", 17),
        ("0x11", 17),
        ("021", 17),
        ("255", 255),
        ("esp", 50),
        ("ipencap", 4),
    ],
)
def test_transport_protocols(text: str, number: int) -> None:
    assert eroute_of(f"{ADD} --transport-proto {text}").selector.protocol == number


@pytest.mark.parametrize(
    ("text", "number"),
    [("smtp", 25), ("domain", 53), ("0x19", 25), ("031", 25), ("65535", 65535), ("0", 0)],
)
def test_ports(text: str, number: int) -> None:
    selector = eroute_of(f"{ADD} --transport-proto udp --dst-port {text}").selector
    assert selector.destination_port == number
    selector = eroute_of(f"{ADD} --transport-proto udp --src-port {text}").selector
    assert selector.source_port == number


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("%default", "0.0.0.0/0"),
        ("0/0", "0.0.0.0/0"),
        ("10/8", "10.0.0.0/8"),
        ("10.1/16", "10.1.0.0/16"),
        ("10.0.0.0/255.255.0.0", "10.0.0.0/16"),
        ("10.0.0.0/0xffff0000", "10.0.0.0/16"),
        ("0x0a000000/8", "10.0.0.0/8"),
        ("192.168.9.47/24", "192.168.9.0/24"),
    ],
)
def test_subnets(text: str, prefix: str) -> None:
    command = silent(f"--add --eraf inet --src {text} --dst {text} --said %pass")
    assert command.eroute is not None
    assert command.eroute.selector == Selector(parse_prefix(prefix), parse_prefix(prefix))


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("%default", "::/0"),
        ("2001:db8::1/64", "2001:db8::/64"),
        ("3049:1::110/128", "3049:1::110/128"),
    ],
)
def test_subnets_of_ipv6(text: str, prefix: str) -> None:
    command = silent(f"--add --eraf inet6 --src {text} --dst {text} --said %pass")
    assert command.eroute is not None
    assert command.eroute.selector == Selector(parse_prefix(prefix), parse_prefix(prefix))


def test_port_behind_the_subnet() -> None:
    line = (
        "--add --eraf inet --src 10.0.0.0/8:1024 --dst 10.0.0.0/255.0.0.0:0x19 --said %pass"
        " --transport-proto tcp"
    )
    assert eroute_of(line).selector[2:] == (6, 1024, 25)
    assert eroute_of(f"{line} --dst-port 25").selector.destination_port == 25
    assert errors(f"{line} --dst-port 26") == [("ET120", "26")]
    six = f"{BASE6}:80 --said %pass --transport-proto udp"
    assert eroute_of(six).selector == Selector(
        parse_prefix("2001:db8:1::/48"), parse_prefix("2001:db8:2::/48"), 17, 0, 80
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tun0x1002@192.0.2.1", TUNNEL),
        ("tun.1002@192.0.2.1", TUNNEL),
        ("tun4098@192.0.2.1", TUNNEL),
        ("ah:f5ed@3049:1::120", Said(51, 0xF5ED, 6, 0x3049_0001 << 96 | 0x120)),
        ("comp0x3d0@10", Said(108, 0x3D0, 4, 10 << 24)),
        *SHUNTS.items(),
    ],
)
def test_saids(text: str, said: Said) -> None:
    command = silent(f"{BASE} --said {text}")
    assert command.eroute is not None
    assert command.eroute.saids == (said,)


@pytest.mark.parametrize(("name", "number"), [("ah", 51), ("esp", 50), ("tun", 4), ("comp", 108)])
def test_sa_in_parts(name: str, number: int) -> None:
    command = silent(f"{BASE} --af inet --edst 192.0.2.1 --spi 0x1002 --proto {name}")
    assert command.eroute is not None
    assert command.eroute.said == Said(number, 0x1002, 4, 0xC0000201)


def test_sa_in_parts_of_ipv6() -> None:
    eroute = eroute_of(f"{BASE6} --proto esp --spi 256 --edst 2001:db8::1 --af inet6")
    assert eroute.said == Said(50, 0x100, 6, 0x20010DB8 << 96 | 1)


def test_label_and_debug() -> None:
    command = good([*ADD.split(), "--label", "west to east", "--debug"])
    assert command.label == "west to east"
    assert command.debug
    assert good(f"{ADD} --label --debug").label == "--debug"


def test_optionsfrom_is_not_read() -> None:
    assert errors("--add --optionsfrom /etc/ipsec.d/eroutes") == [("ET120", "--optionsfrom")]
    assert errors("--optionsfrom=x --dst 10.0.0.0") == [
        ("ET120", "--optionsfrom=x"),
        ("ET121", "--optionsfrom=x --dst 10.0.0.0"),
        ("ET102", "10.0.0.0"),
    ]


# -- getopt_long


@pytest.mark.parametrize("option", [*FLAGS, *VALUES])
def test_every_unique_abbreviation(option: str) -> None:
    """A name that several options start with is ambiguous, but for an exact one."""
    known = (*FLAGS, *VALUES)
    for end in range(1, len(option)):
        short = option[:end]
        fitting = [name for name in known if name.startswith(short)]
        _, items = read([f"--{short}", "x"] if option in VALUES else [f"--{short}"])
        ambiguous = any("ambiguous" in item.message for item in items)
        assert ambiguous == (len(fitting) > 1 and short not in known), short
        assert not any("no option" in item.message for item in items)


def test_abbreviations_mean_the_same() -> None:
    short = (
        "--add --era inet --src 10.1.0.0/16 --dst 10.2.0.0/16 --t tcp --src-p 1024 --dst-p 25"
        " --sai tun0x1002@192.0.2.1"
    )
    assert eroute_of(short).selector == eroute_of(f"{ADD} {PORTS}").selector
    assert good("--c").action is Action.CLEAR
    parts = f"{BASE} --af inet --ed 192.0.2.1 --sp 0x1002 --p tun"
    assert eroute_of(parts).said == TUNNEL


@pytest.mark.parametrize("option", ["--a", "--ad", "--re", "--d", "--de", "--s", "--e", "--src-"])
def test_ambiguous_or_unique(option: str) -> None:
    _, items = read(option)
    if option == "--src-":
        assert [i.code for i in items] == ["ET121"]  # --src-port without a value
    else:
        assert [i.code for i in items] == ["ET120"]
        assert "ambiguous" in items[0].message


def test_ambiguous_options_are_listed() -> None:
    _, items = read("--de")
    assert items[0].expected == "one of --del, --debug"


def test_equals_sign() -> None:
    line = (
        "--add --eraf=inet --src=10.1.0.0/16 --dst=10.2.0.0/16 --said=tun0x1002@192.0.2.1"
        " --transport-proto=tcp --src-port=1024 --dst-port=25"
    )
    assert eroute_of(line).selector == eroute_of(f"{ADD} {PORTS}").selector
    assert errors(line.replace("10.1.0.0/16", "10.1.0.0/33")) == [("ET102", "10.1.0.0/33")]
    assert good(f"{ADD} --label=a=b").label == "a=b"
    assert good("--label=").label == ""


def test_any_order() -> None:
    line = (
        "--said tun0x1002@192.0.2.1 --dst-port 25 --src-port 1024 --transport-proto tcp"
        " --eraf inet --dst 10.2.0.0/16 --src 10.1.0.0/16 --add"
    )
    assert silent(line).eroute is not None
    assert eroute_of(line).selector == eroute_of(f"{ADD} {PORTS}").selector


def test_double_dash_ends_the_options() -> None:
    assert good(f"{ADD} --").action is Action.ADD
    assert errors(f"{ADD} -- --debug") == [("ET120", "--debug")]


@pytest.mark.parametrize("word", ["10.0.0.0/8", "-a", "-", "add", ""])
def test_words_that_belong_to_no_option(word: str) -> None:
    assert errors([*ADD.split(), word]) == [("ET120", word)]
    assert errors([word, *ADD.split()]) == [("ET120", word)]


@pytest.mark.parametrize("word", ["--bogus", "--=x", "--ADD", "--srcport"])
def test_unknown_options(word: str) -> None:
    assert errors(f"{ADD} {word}") == [("ET120", word)]


def test_value_of_an_unknown_option_is_no_second_problem() -> None:
    assert errors(f"{ADD} --remote 10.0.0.1") == [("ET120", "--remote")]


def test_a_near_miss_is_named() -> None:
    _, items = read(f"{ADD} --transport-protocol tcp")
    assert "--transport-proto" in items[0].hint


@pytest.mark.parametrize("option", FLAGS)
def test_flags_take_no_value(option: str) -> None:
    line = f"--{option}=1" if option in ("clear", "help", "version") else f"{ADD} --{option}=1"
    assert ("ET120", f"--{option}=1") in errors(line)


@pytest.mark.parametrize("option", VALUES)
def test_options_without_their_value(option: str) -> None:
    assert errors(f"--{option}") == [("ET121", f"--{option}")]


@pytest.mark.parametrize("option", [o for o in VALUES if o != "optionsfrom"])
def test_options_that_stand_twice(option: str) -> None:
    values = {"eraf": "inet", "src": "0/0", "dst": "0/0", "af": "inet", "edst": "10.0.0.1"}
    values |= {"transport-proto": "tcp", "src-port": "1", "dst-port": "1", "spi": "0x100"}
    values |= {"proto": "esp", "said": "%pass", "label": "x"}
    value = values[option]
    found = errors(f"--{option} {value} --{option} {value}")
    assert ("ET120", f"--{option}") in found


# -- actions


def test_exactly_one_action() -> None:
    assert errors(f"{ADD} --del") == [("ET120", "--del")]
    assert errors(f"{ADD} --add") == [("ET120", "--add")]
    assert errors("--clear --replace --del")[:2] == [("ET120", "--replace"), ("ET120", "--del")]


def test_options_without_an_action() -> None:
    line = ADD.replace("--add ", "")
    assert errors(line) == [("ET121", line)]


def test_options_beside_clear() -> None:
    assert errors("--clear --eraf inet --src 0/0") == [("ET120", "inet"), ("ET120", "0/0")]
    assert good("--clear --debug --label x").action is Action.CLEAR


@pytest.mark.parametrize("option", ["src", "dst"])
@pytest.mark.parametrize("action", ["add", "replace", "addin", "replacein", "del"])
def test_subnets_are_needed(option: str, action: str) -> None:
    words = ADD.split()
    at = words.index(f"--{option}")
    words[at : at + 2] = []
    words[0] = f"--{action}"
    line = " ".join(words)
    assert errors(line) == [("ET121", line)]


def test_an_sa_is_needed() -> None:
    assert errors(BASE) == [("ET121", BASE)]


@pytest.mark.parametrize("left_out", ["af", "edst", "spi", "proto"])
def test_all_parts_of_the_sa_are_needed(left_out: str) -> None:
    parts = {"af": "inet", "edst": "192.0.2.1", "spi": "0x1002", "proto": "tun"}
    del parts[left_out]
    line = f"{BASE} " + " ".join(f"--{name} {value}" for name, value in parts.items())
    assert errors(line) == [("ET121", line)]
    _, items = read(line)
    assert f"--{left_out} missing" in items[0].message


def test_said_and_parts() -> None:
    assert errors(f"{ADD} --af inet --spi 0x100") == [("ET120", "inet"), ("ET120", "0x100")]


# -- values


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0",
        "10.0.0.0/33",
        "10.0.0.256/8",
        "10.0.0.0/255.0.255.0",
        "east.example/24",
        "%any",
        "/8",
        "[::1]/128",
        "1:2/48",
        "2001:db8::/ffff::",
        "0:0/0",
        "%default:80",
    ],
)
def test_bad_subnets(text: str) -> None:
    line = f"--add --eraf inet --src {text} --dst 0/0 --said %pass"
    assert errors(line) == [("ET102", text)]


@pytest.mark.parametrize("text", ["2001:db8::/129", "2001:db8::/ffff::"])
def test_bad_subnets_of_ipv6_are_no_mix_of_families(text: str) -> None:
    line = f"--add --eraf inet6 --src {text} --dst ::/0 --said %pass"
    assert errors(line) == [("ET102", text)]


def test_default_needs_a_family() -> None:
    line = "--add --src %default --dst 10.0.0.0/8 --said %pass"
    assert errors(line) == [("ET102", "%default")]


def test_families_that_do_not_fit() -> None:
    line = "--add --src 2001:db8::/32 --dst 10.0.0.0/8 --said %pass"
    assert errors(line) == [("ET104", "10.0.0.0/8")]
    line = "--add --eraf inet6 --src 10.0.0.0/8 --dst 2001:db8::/32 --said %pass"
    assert errors(line) == [("ET104", "10.0.0.0/8")]
    line = "--add --eraf inet --src 10.0.0.0/8 --dst 2001:db8::/32 --said %pass"
    assert errors(line) == [("ET104", "2001:db8::/32")]
    line = f"{BASE} --af inet --edst 2001:db8::1 --spi 0x100 --proto esp"
    assert errors(line) == [("ET104", "2001:db8::1")]
    line = f"{BASE} --af inet6 --edst 192.0.2.1 --spi 0x100 --proto esp"
    assert errors(line) == [("ET104", "192.0.2.1")]


def test_families_of_the_gateways_may_differ() -> None:
    eroute = eroute_of(f"{BASE6} --said tun0x1002@192.0.2.1")
    assert (eroute.selector.family, eroute.said.family) == (6, 4)


@pytest.mark.parametrize("option", ["eraf", "af"])
@pytest.mark.parametrize("text", ["4", "INET", "ipv6", "inet4", ""])
def test_bad_families(option: str, text: str) -> None:
    parts = {"eraf": "inet", "af": "inet"} | {option: text}
    words = f"--add --eraf {parts['eraf']} --src 0/0 --dst 0/0".split(" ")
    words += ["--af", parts["af"], *["--edst", "10.0.0.1", "--spi", "0x100", "--proto", "esp"]]
    assert errors(words) == [("ET122", text)]


def test_a_bad_family_is_told_once() -> None:
    line = "--add --eraf ipv4 --src %default --dst %default --said %pass"
    assert errors(line) == [("ET122", "ipv4")]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("256", "ET105"),
        ("0x100", "ET105"),
        ("-1", "ET122"),
        ("08", "ET122"),
        ("0b110", "ET122"),
        ("0o21", "ET122"),
        ("1_7", "ET122"),
        ("tcpp", "ET122"),
        ("6 ", "ET122"),
        ("\u0666", "ET122"),
        ("9" * 5000, "ET122"),
    ],
)
def test_bad_protocols(text: str, code: str) -> None:
    assert errors([*ADD.split(), "--transport-proto", text]) == [(code, text)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("65536", "ET105"),
        ("99999", "ET105"),
        ("0x10000", "ET105"),
        ("9" * 64, "ET105"),
        ("9" * 5000, "ET122"),
        ("-1", "ET122"),
        ("25,26", "ET122"),
        ("0b11", "ET122"),
        ("\t25", "ET122"),
        ("", "ET122"),
        ("mail-of-mine", "ET122"),
    ],
)
@pytest.mark.parametrize("option", ["src-port", "dst-port"])
def test_bad_ports(text: str, code: str, option: str) -> None:
    line = [*ADD.split(), "--transport-proto", "tcp", f"--{option}", text]
    assert errors(line) == [(code, text)]


def test_a_port_that_wrapped_is_told() -> None:
    _, items = read(f"{ADD} --transport-proto tcp --dst-port 99999")
    assert "34463" in items[0].hint


@pytest.mark.parametrize(
    ("tail", "code"), [("99999", "ET105"), ("smtp", "ET122"), ("", "ET122"), ("0b1", "ET122")]
)
def test_bad_ports_behind_subnets(tail: str, code: str) -> None:
    text = f"10.0.0.0/8:{tail}"
    line = f"--add --eraf inet --src {text} --dst 0/0 --said %pass --transport-proto tcp"
    assert errors(line) == [(code, text)]


def test_ports_need_a_protocol_with_ports() -> None:
    assert errors(f"{ADD} --dst-port 25") == [("ET121", "25")]
    assert errors(f"{ADD} --dst-port 25 --transport-proto sctp") == [("ET122", "25")]
    assert errors(f"{ADD} --src-port 8 --transport-proto icmp") == [("ET122", "8")]
    line = "--add --eraf inet --src 10.0.0.0/8:7 --dst 0/0:9 --said %pass"
    assert errors(line) == [("ET121", "10.0.0.0/8:7"), ("ET121", "0/0:9")]
    assert eroute_of(f"{ADD} --dst-port 0").selector.destination_port == 0


@pytest.mark.parametrize(
    "text",
    [
        "tun0x1002",
        "ESP0x1002@192.0.2.1",
        "%PASS",
        "%none",
        "esp0x1002@east.example",
        "esp0x100000001@192.0.2.1",
        "tun.130@2001:db8::1",
        "esp0x1002@192.0.2.1:17",
        "int0x50@0.0.0.0",
        "%unk-262",
        "unk770x100@1.2.3.4",
        "(error)",
        "",
    ],
)
def test_bad_saids(text: str) -> None:
    assert errors([*BASE.split(), "--said", text]) == [("ET103", text)]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"edst": "east.example"}, "ET102"),
        ({"edst": "192.0.2.256"}, "ET102"),
        ({"spi": "0x100000000"}, "ET122"),
        ({"spi": "1002h"}, "ET122"),
        ({"spi": "-1"}, "ET122"),
        ({"proto": "int"}, "ET122"),
        ({"proto": "ESP"}, "ET122"),
        ({"proto": "tcp"}, "ET122"),
    ],
)
def test_bad_parts_of_the_sa(change: dict[str, str], code: str) -> None:
    parts = {"af": "inet", "edst": "192.0.2.1", "spi": "0x1002", "proto": "esp"} | change
    line = f"{BASE} " + " ".join(f"--{name} {value}" for name, value in parts.items())
    assert errors(line) == [(code, next(iter(change.values())))]


def test_all_problems_are_told() -> None:
    line = (
        "stray --bogus --eraf inet7 --src 10.0.0.0 --dst 10.0.0.0/99 --transport-proto nope"
        " --src-port 70000 --dst-port nope --af inet5 --edst east --spi x --proto y --add"
    )
    assert errors(line) == [
        ("ET120", "stray"),
        ("ET120", "--bogus"),
        ("ET122", "inet7"),
        ("ET102", "10.0.0.0"),
        ("ET102", "10.0.0.0/99"),
        ("ET122", "nope"),
        ("ET105", "70000"),
        ("ET122", "nope"),
        ("ET122", "inet5"),
        ("ET102", "east"),
        ("ET122", "x"),
        ("ET122", "y"),
    ]


def test_a_bad_said_hides_no_mix_of_families() -> None:
    line = "--add --src 10.0.0.0/8 --dst 2001:db8::/32 --said nothing"
    assert sorted(code for code, _ in errors(line)) == ["ET103", "ET104"]


# -- what the tool of that time would have done


def test_eraf_behind_the_subnets() -> None:
    line = "--add --src 10.1.0.0/16 --dst 10.2.0.0/16 --eraf inet --said %pass"
    (found,) = findings(line)
    assert found[:2] == ("ET123", Severity.WARNING)
    (found,) = findings(f"{line} {PORTS}")
    assert found[:2] == ("ET123", Severity.WARNING)
    assert "dropped the ports" in found[2]
    assert eroute_of(f"{line} {PORTS}").selector[2:] == (6, 1024, 25)
    between = "--add --src 10.1.0.0/16 --eraf inet --dst 10.2.0.0/16 --said %pass"
    assert len(findings(between)) == 1


def test_default_before_eraf_is_taken_as_meant() -> None:
    line = "--add --src %default --dst %default --eraf inet6 --said %pass"
    assert eroute_of(line).selector.source == Prefix(6, 0, 0)


def test_no_eraf() -> None:
    line = ADD.replace("--eraf inet ", "")
    (found,) = findings(line)
    assert found[:2] == ("ET123", Severity.NOTE)
    (found,) = findings(f"{line} {PORTS}")
    assert found[:2] == ("ET123", Severity.WARNING)
    assert "dropped the ports" in found[2]
    assert eroute_of(f"{line} {PORTS}").selector[2:] == (6, 1024, 25)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("%passthrough", PASSTHROUGH4),
        ("%passthrough4", PASSTHROUGH4),
        ("%passthrough6", PASSTHROUGH6),
        ("tun0@0.0.0.0", PASSTHROUGH4),
    ],
)
def test_passthrough(text: str, said: Said) -> None:
    line = f"{BASE} --said {text}"
    assert eroute_of(line).said == said
    assert [found[:2] for found in findings(line)] == [("ET123", Severity.NOTE)]


def test_small_spis() -> None:
    for tail in ("--said tun0xff@192.0.2.1", "--af inet --edst 192.0.2.1 --spi 255 --proto tun"):
        line = f"{BASE} {tail}"
        assert eroute_of(line).said.spi == 0xFF
        assert [found[:2] for found in findings(line)] == [("ET123", Severity.WARNING)]
    assert findings(f"{BASE} --said tun0x100@192.0.2.1") == []


@pytest.mark.parametrize(
    ("action", "severity"),
    [
        ("replace", Severity.NOTE),
        ("addin", Severity.WARNING),
        ("replacein", Severity.WARNING),
    ],
)
def test_actions_that_changed_with_the_version(action: str, severity: Severity) -> None:
    (found,) = findings(ADD.replace("--add", f"--{action}"))
    assert found[:2] == ("ET123", severity)


def test_protocol_on_ipv6() -> None:
    line = f"{BASE6} --said %pass --transport-proto tcp"
    (found,) = findings(line)
    assert found[:2] == ("ET123", Severity.WARNING)
    assert eroute_of(line).selector.protocol == 6


# -- places


def test_excerpts_of_a_command_over_two_lines() -> None:
    words = [
        Word("--add", Span("rc.local", 3, 18, 23, 3)),
        Word("--src", Span("rc.local", 4, 5, 10, 4)),
        Word("10.0.0.0", Span("rc.local", 4, 11, 19, 4)),
        Word("--dst=0/0", Span("rc.local", 4, 20, 31, 4)),  # quoted in the source
    ]
    collector = Collector()
    assert parse_eroute_command(words, collector) is None
    bad = next(item for item in collector.items if item.code == "ET102")
    assert bad.excerpt == "    --src 10.0.0.0 --dst=0/0"
    lines = {3: "ipsec eroute    --add \\", 4: "    --src 10.0.0.0 '--dst=0/0'"}
    collector = Collector()
    assert parse_eroute_command(words, collector, lines) is None
    bad = next(item for item in collector.items if item.code == "ET102")
    assert bad.excerpt == lines[4]
    missing = next(item for item in collector.items if item.code == "ET121")
    assert missing.excerpt == lines[3]
    assert missing.span == Span("rc.local", 3, 18, 23, 4)


def test_wild_columns_make_no_huge_excerpt() -> None:
    words = [Word("x", Span("f", 1, 10**12, 10**12 + 1, 1)), Word("y", Span("f", 1, 2, 3, 1))]
    collector = Collector()
    parse_eroute_command(words, collector)
    assert {item.excerpt for item in collector.items} == {" x y"}


# -- printing


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        (ADD, f"ipsec eroute {ADD}"),
        ("--clear", "ipsec eroute --clear"),
        ("", "ipsec eroute"),
        ("--debug", "ipsec eroute --debug"),
        (
            f"{ADD} --dst-port smtp --transport-proto tcp",
            "ipsec eroute --add --eraf inet --src 10.1.0.0/16 --dst 10.2.0.0/16"
            " --transport-proto 6 --dst-port 25 --said tun0x1002@192.0.2.1",
        ),
        (
            "--del --eraf inet6 --src %default --dst 2001:db8::1/64",
            "ipsec eroute --del --eraf inet6 --src ::/0 --dst 2001:db8::/64",
        ),
    ],
)
def test_printed(line: str, printed: str) -> None:
    assert format_eroute_command(good(line)) == printed


def test_printed_labels_are_quoted() -> None:
    command = good([*ADD.split(), "--label", "it's $HOME"])
    assert format_eroute_command(command).endswith(""" --label 'it'"'"'s $HOME'""")
