"""A journal that was cut or changed: it never crashes the reader and is never believed."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eroute_translate.apply.journal import Journal, Phase, Record
from eroute_translate.apply.plan import Change, Verb
from eroute_translate.apply.stored import VERSION, JournalError
from eroute_translate.net import Selector, parse_prefix
from eroute_translate.xfrm.decode import decode_policies
from eroute_translate.xfrm.encode import encode_installs
from eroute_translate.xfrm.model import Policy, Template

SELECTOR = Selector(parse_prefix("10.0.0.0/8"), parse_prefix("192.168.1.0/24"), 6, 0, 25)
OURS = Policy("out", SELECTOR, 7, "allow", (Template(50, "tunnel", 4, 1, 2, reqid=7),))
(THEIRS,) = (
    policy._replace(index=17)
    for policy in decode_policies(encode_installs([OURS._replace(priority=9)], seconds=60)[0])
)
RECORD = Record(
    "1-2",
    Phase.UNCONFIRMED,
    (
        Change(Verb.REPLACE, OURS.key, THEIRS, OURS),
        Change(Verb.REMOVE, OURS._replace(direction="in").key, OURS._replace(direction="in"), None),
    ),
    (OURS._replace(user=5),),
    "boot 1",
    12.5,
    "table before\n",
    "table after\n",
)


@pytest.fixture
def journal() -> Iterator[Journal]:
    """In memory where possible: it is written many thousand times."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        made = Journal(Path(folder) / "host", "boot 1")
        made.prepare()
        made.write_owned([OURS, THEIRS])
        made.finish()
        made.write(RECORD)
        yield made


def refused(journal: Journal, path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(JournalError) as caught:
        _read(journal, path.name)
    return str(caught.value)


def _read(journal: Journal, name: str) -> None:
    if name == "owned":
        journal.read_owned()
        journal.read_owned_states()
    else:
        journal.read()


def headed(body: bytes) -> bytes:
    """A body with the right checksum before it."""
    return b"eroute-translate %d %s\n" % (VERSION, hashlib.sha256(body).hexdigest().encode()) + body


@pytest.mark.parametrize("name", ["transaction", "owned"])
def test_every_length_and_every_bit(journal: Journal, name: str) -> None:
    path = journal.folder / name
    whole = path.read_bytes()
    tried = 0
    try:
        for length in range(len(whole)):
            text = refused(journal, path, whole[:length])
            assert str(path) in text
            assert "remove the file" in text or "another version" in text
            tried += 1
        for bit in range(8 * len(whole)):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            assert str(path) in refused(journal, path, bytes(flipped))
            tried += 1
    finally:
        path.write_bytes(whole)
    assert journal.read() == RECORD
    print(f"\n{name} damaged: cases tried {tried}, cases lost 0")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400), st.booleans())
def test_any_bytes(tmp_path: Path, data: bytes, after_a_head: bool) -> None:
    """Also those whose checksum is right: somebody wrote them with an editor and a calculator."""
    made = Journal(tmp_path, "boot 1")
    if after_a_head:
        data = (
            b"eroute-translate %d " % VERSION
            + hashlib.sha256(data).hexdigest().encode()
            + b"\n"
            + data
        )
    for name in ("transaction", "owned"):
        assert str(tmp_path / name) in refused(made, tmp_path / name, data)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b"null",
        b"[" * 100_000,
        b'{"boot":"boot 1","states":[[]]}',
        b'{"boot":"boot 1","states":7}',
        b'{"boot":"boot 1","states":[]}\npolicies',
        b'{"boot":"boot 1","states":[]}\n' + bytes(200),
        b'{"boot":"boot 1","states":[]}\n' + b"\xff" * 200,
    ],
)
def test_documents_of_another_shape(tmp_path: Path, body: bytes) -> None:
    made = Journal(tmp_path, "boot 1")
    data = (
        b"eroute-translate %d " % VERSION + hashlib.sha256(body).hexdigest().encode() + b"\n" + body
    )
    assert "damaged" in refused(made, tmp_path / "transaction", data)
    if b"states" in body:
        assert "damaged" in refused(made, tmp_path / "owned", data)


def test_what_was_written_is_read(journal: Journal) -> None:
    assert journal.read() == RECORD
    assert journal.read_owned() == {OURS.key: THEIRS}
    assert Journal(journal.folder, "boot 2").read_owned() == {}
    before = journal.stamp()
    journal.write(RECORD)
    assert journal.stamp() != before


def test_the_folder_of_a_journal_is_on_the_disk_before_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("eroute_translate.apply.journal.sync_folder", synced.append)
    made = Journal(tmp_path / "state" / "host", "boot 1")
    made.prepare()
    assert synced == [tmp_path / "state", tmp_path]
    made.prepare()
    assert len(synced) == 2


def test_what_was_begun_is_removed_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Journal(tmp_path, "boot 1")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(JournalError, match="No space left"):
        made.write(RECORD)
    assert list(tmp_path.iterdir()) == []
