"""Whole files of every kind, damaged as files get damaged: read, translated and printed.

Nothing raises, every entry is counted once, and no key is shown.
"""

from __future__ import annotations

import gzip
from pathlib import Path

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from eroute_translate.diagnostics import Collector, Severity
from eroute_translate.klips.conf import read_conf
from eroute_translate.klips.configuration import reading_of_configuration
from eroute_translate.klips.host import KlipsHost, host_of_readings
from eroute_translate.klips.kind_of_text import TextKind, kind_of_text
from eroute_translate.klips.reading import Reading
from eroute_translate.klips.script import read_script
from eroute_translate.klips.source import read_source
from eroute_translate.klips.tree import unpacked_text
from eroute_translate.mapping.model import Options
from eroute_translate.mapping.translation import translate
from eroute_translate.net import parse_address
from eroute_translate.render import Page, Target, render
from eroute_translate.report import read_summary, summary

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = [
    path
    for folder in ("hosts", "captures", "example")
    for path in sorted((GOLDEN / folder).iterdir())
    if path.suffix != ".json"
]
TEXTS = {path.name: path.read_bytes() for path in FILES}
SECRETS = ("000102030405060708090a0b0c0d0e0f",)
LOCAL = parse_address("192.0.2.1")

WORDS = st.sampled_from(
    [b" => ", b" -> ", b"%pass", b"dev ipsec0", b"\tspi=0x200", b"conn x", b"\x1b[K", b"\xff",
     b"\0", b"\r", b"@", b"0x", b"ipsec eroute --clear", b"from all lookup 7", b"/33",
     b"--said", b"'"]
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A file with lines cut, lost, doubled, moved, or with something strange in them."""
    name = draw(st.sampled_from(sorted(TEXTS)))
    lines = TEXTS[name].split(b"\n")
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["cut", "lose", "double", "move", "insert", "end", "join"])):
            case "cut":
                lines[at] = lines[at][: draw(st.integers(0, 60))]
            case "lose":
                lines[at] = b""
            case "double":
                lines.insert(at, lines[at])
            case "move":
                lines.append(lines[at])
            case "insert":
                column = draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:column] + draw(WORDS) + lines[at][column:]
            case "end":
                del lines[at + 1 :]
            case _:
                lines[at : at + 2] = [b"".join(lines[at : at + 2])]
    data = b"\n".join(lines)
    match draw(st.sampled_from(["plain", "plain", "crlf", "utf-16", "gzip", "margin"])):
        case "crlf":
            data = data.replace(b"\n", b"\r\n")
        case "utf-16":
            data = data.decode("latin-1").encode("utf-16")
        case "gzip":
            data = gzip.compress(data, 1)
        case "margin":
            data = b"> " + data.replace(b"\n", b"\n> ")
        case _:
            pass
    return name, data


def read(name: str, data: bytes, collector: Collector) -> KlipsHost:
    data = unpacked_text(data)
    kind = kind_of_text(data)
    event(kind.value)
    readings: list[Reading]
    if kind is TextKind.CONFIGURATION:
        found = read_conf(data, name, collector)
        readings = [reading_of_configuration(found, [LOCAL], collector, name)]
    elif kind is TextKind.SCRIPT:
        readings = [read_script(data, name, collector)]
    else:
        readings = read_source(data, name, collector)
    return host_of_readings(readings, None, collector)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=250)
@given(damaged())
def test_damaged_files_are_read_translated_and_printed(case: tuple[str, bytes]) -> None:
    name, data = case
    collector = Collector()
    host = read(name, data, collector)
    translation = translate(host, Options(local=(LOCAL,)))
    assert sum(translation.counts.values()) == host.rows
    lost = sum(host.refused.values()) + len(host.unread)
    errors = [item for item in collector.items if item.severity is Severity.ERROR]
    if lost:
        assert collector.items, "entries were refused without a word"
    if host.unread:
        assert errors
    page = Page(translation, (name,), tuple(collector.items))
    script = "".join(render(page, Target.IP_XFRM))
    if errors or translation.refused:
        assert "exit 12" in script.split("fail()")[0]
    document = "".join(render(page, Target.JSON))
    told = "".join(i.message + i.excerpt + i.hint + i.expected for i in page.findings)
    told += summary(translation) + "".join(read_summary(host)) + document
    assert not [secret for secret in SECRETS if secret in told.replace("_", "")]


def test_every_file_is_known_for_what_it_is() -> None:
    kinds = {name: kind_of_text(unpacked_text(data)) for name, data in TEXTS.items()}
    assert kinds.pop("gateway.sh") is TextKind.SCRIPT
    assert kinds.pop("ipsec.conf") is TextKind.CONFIGURATION
    assert set(kinds.values()) == {TextKind.CAPTURE}
