"""What ``include`` of an ipsec.conf names on the disk: below its folder, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from eroute_translate.cli.sources import _includer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "etc"
    (made / "ipsec.d").mkdir(parents=True)
    for name in ("ipsec.conf", "ipsec.d/a.conf", "ipsec.d/b.conf", "ipsec.d/.hidden.conf"):
        (made / name).write_text(name, encoding="ascii")
    (tmp_path / "outside.conf").write_text("outside", encoding="ascii")
    return made


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("ipsec.d/*.conf", ["ipsec.d/a.conf", "ipsec.d/b.conf"]),
        ("/etc/ipsec.d/a*", ["ipsec.d/a.conf"]),
        ("/etc/ipsec.d/**.conf", ["ipsec.d/a.conf", "ipsec.d/b.conf"]),
        ("ipsec.d", []),
        ("../outside.conf", []),
        ("/outside.conf", []),
        ("..", []),
    ],
)
def test_what_is_found(folder: Path, pattern: str, expected: list[str]) -> None:
    found = _includer(folder)(pattern, str(folder / "ipsec.conf"))
    assert [data.decode() for _, data in found] == expected


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("*?[]!./\\abc\0~{},-", max_size=12))
@example("**x")
@example(".")
@example("./")
@example("/etc/.")
def test_any_text_is_a_pattern(folder: Path, pattern: str) -> None:
    for _, data in _includer(folder)(pattern, str(folder / "ipsec.conf")):
        assert data != b"outside"
