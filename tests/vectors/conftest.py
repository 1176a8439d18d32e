"""Where the answers of the real KLIPS lookup are, when they are there."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAME = "klips-lookup.jsonl.gz"


def vectors_file() -> Path | None:
    """The file named by EROUTE_TRANSLATE_VECTORS, or shared/vectors beside the checkout."""
    named = os.environ.get("EROUTE_TRANSLATE_VECTORS")
    checkout = Path(__file__).resolve().parents[2]
    candidates = [Path(named)] if named else []
    candidates += [checkout.parent / "shared" / "vectors", Path.cwd().parent / "shared" / "vectors"]
    for candidate in candidates:
        path = candidate / NAME if candidate.is_dir() else candidate
        if path.is_file():
            return path
    return None


@pytest.fixture(scope="session")
def tables() -> list[dict[str, Any]]:
    """Every table of the vectors: eroutes, printed, packets, winner."""
    path = vectors_file()
    if path is None:
        pytest.skip(f"{NAME} is not here: set EROUTE_TRANSLATE_VECTORS to its folder")
    return list(_read(path))


def _read(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="ascii") as stream:
        for line in stream:
            yield json.loads(line)
