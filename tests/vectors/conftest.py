"""Where the answers of the real KLIPS lookup are: all 60 000, or a sample of 2 400 beside this."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAME = "klips-lookup.jsonl.gz"


SAMPLE = Path(__file__).with_name("sample.jsonl.gz")
"""Every 25th table of them."""


def vectors_file() -> Path:
    """The file named by EROUTE_TRANSLATE_VECTORS, or shared/vectors beside the checkout."""
    named = os.environ.get("EROUTE_TRANSLATE_VECTORS")
    checkout = Path(__file__).resolve().parents[2]
    candidates = [Path(named)] if named else []
    candidates += [checkout.parent / "shared" / "vectors", Path.cwd().parent / "shared" / "vectors"]
    for candidate in candidates:
        path = candidate / NAME if candidate.is_dir() else candidate
        if path.is_file():
            return path
    if named:
        pytest.fail(f"EROUTE_TRANSLATE_VECTORS names no folder with {NAME}")
    return SAMPLE


@pytest.fixture(scope="session")
def tables() -> list[dict[str, Any]]:
    """Every table of the vectors: eroutes, printed, packets, winner."""
    path = vectors_file()
    found = list(_read(path))
    assert len(found) == (100 if path == SAMPLE else 2500)
    return found


def answers_in(tables: list[dict[str, Any]]) -> int:
    """How many packets there are, each with the row that KLIPS took."""
    return sum(len(table["packets"]) for table in tables)


def _read(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="ascii") as stream:
        for line in stream:
            yield json.loads(line)
