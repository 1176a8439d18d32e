"""What was read of a text, as plain JSON values that a person can check by eye."""

from __future__ import annotations

import json
from pathlib import Path

from eroute_translate.diagnostics import Collector
from eroute_translate.klips.eroute import Eroute
from eroute_translate.klips.said import Said
from eroute_translate.klips.table import read_listings
from eroute_translate.net import Prefix

HERE = Path(__file__).parent

Json = dict[str, object]


def prefix_json(prefix: Prefix) -> str:
    """In the spelling of inet_ntop(3), which the reader does not use."""
    return str(prefix)


def said_json(said: Said) -> Json:
    destination = Prefix(said.family, said.destination, 0)
    value: Json = {
        "protocol": said.protocol,
        "spi": said.spi,
        "edst": str(destination).partition("/")[0],
    }
    if said.unknown:
        value["unknown"] = said.unknown
    return value


def eroute_json(eroute: Eroute) -> Json:
    source, destination, protocol, source_port, destination_port = eroute.selector
    value: Json = {
        "lines": [eroute.span.line, eroute.span.end_line],
        "form": str(eroute.form),
        "count": eroute.count,
        "source": prefix_json(source),
        "destination": prefix_json(destination),
        "protocol": protocol,
        "ports": [source_port, destination_port],
        "identities": list(eroute.identities) if eroute.identities is not None else None,
    }
    if eroute.defect:
        value["defect"] = eroute.defect
    else:
        value["saids"] = [said_json(said) for said in eroute.saids]
    return value


def read_json(data: bytes) -> Json:
    collector = Collector()
    listings = read_listings(data, "capture", collector)
    return {
        "tables": [
            {
                "in_kernel_order": listing.in_kernel_order,
                "eroutes": [eroute_json(eroute) for eroute in listing.eroutes],
                "unread_lines": [row.line for row in listing.unread],
                "repeated_lines": [eroute.span.line for eroute in listing.repeats],
            }
            for listing in listings
        ],
        "diagnostics": [
            {
                "code": item.code,
                "severity": str(item.severity),
                "line": item.span.line if item.span else None,
                "columns": [item.span.column, item.span.end_column] if item.span else None,
            }
            for item in collector.items
        ],
    }


def golden(text: Path) -> Json:
    """The expected reading that lies beside the text."""
    value: Json = json.loads(text.with_suffix(".json").read_text())
    return value
