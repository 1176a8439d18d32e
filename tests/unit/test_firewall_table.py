"""The firewall table, with programs of our own in the place of nft(8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from eroute_translate.apply import firewall
from eroute_translate.apply.firewall import Firewall, FirewallError


def nft(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "nft"
    program.write_text(f"#!/bin/sh\n{body}\n", encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_without_nft_there_is_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Firewall(None).read() == ""
    Firewall(None).load("")
    with pytest.raises(FirewallError, match="--no-reject-rule"):
        Firewall(None).load("table inet eroute_translate {}")


def test_an_nft_that_does_not_end_is_no_empty_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a rollback would remove the table that it is to put back."""
    monkeypatch.setattr(firewall, "TIMEOUT", 0.1)
    nft(tmp_path, "exec sleep 60", monkeypatch)
    with pytest.raises(FirewallError, match="timed out"):
        Firewall(None).read()
    with pytest.raises(FirewallError, match="timed out"):
        Firewall(None).load("")


def test_an_nft_that_cannot_be_started_is_no_empty_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nft(tmp_path, "", monkeypatch)
    (tmp_path / "nft").write_bytes(b"\x7fELF cut")
    with pytest.raises(FirewallError, match="nft: "):
        Firewall(None).read()


def test_a_table_that_is_not_there_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nft(tmp_path, "echo 'Error: No such file or directory' >&2; exit 1", monkeypatch)
    assert Firewall(None).read() == ""
