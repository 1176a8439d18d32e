"""The SAIDs of a row, and the protocol behind the last of them."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ..net import Prefix
from .eroute import SOURCE_BYTE_8
from .row_ends import RowRefusal
from .said import Said, parse_printed_said, parse_said

_V4_SUFFIX: Final = re.compile(r"(.*[^:]):([0-9]{1,4})\Z", re.ASCII)


class Tail(NamedTuple):
    """What stands after ``=>``."""

    words: list[tuple[str, int]]
    identities: tuple[str, str] | None
    look_count: int | None
    start: int
    end: int


def read_saids(tail: Tail, source: Prefix) -> tuple[tuple[Said, ...], int]:
    """Read the SAIDs and the protocol behind the last one.  Raises :class:`RowRefusal`."""
    if not tail.words:
        raise RowRefusal(
            "ET106",
            tail.start,
            tail.start + 1,
            "the SAID is missing",
            "a SAID after =>",
            "take the table again, whole",
        )
    saids = []
    protocol = 0
    for index, (word, start) in enumerate(tail.words):
        last = index == len(tail.words) - 1
        body, suffix = _split_suffix(word, source, start) if last else (word, "")
        if suffix and source.family == 4:
            if int(suffix) > 255:
                raise RowRefusal(
                    "ET105",
                    start + len(body) + 1,
                    start + len(word),
                    f"protocol {suffix} is above 255",
                    "0 to 255",
                )
            protocol = int(suffix)
        saids.append(_said(body, start))
    return tuple(saids), protocol


def _said(text: str, start: int) -> Said:
    try:
        return parse_printed_said(text)
    except ValueError as error:
        raise RowRefusal(
            "ET103",
            start,
            start + len(text),
            str(error),
            "PROTOCOL0xSPI@ADDRESS or a magic SAID",
            "the row is cut, was edited, or its SPI was taken out of the capture",
        ) from None


def _split_suffix(word: str, source: Prefix, start: int) -> tuple[str, str]:
    """Part a SAID from the protocol glued to it.

    With an IPv6 edst the two collide (``…@2001:db8::1:6``).  The kernel prints byte 8 of an IPv6
    source there, and nothing when it is 0: that byte tells (facts in docs/klips.md).
    """
    if source.family == 6:
        byte = source.address >> SOURCE_BYTE_8 & 0xFF
        tail = f":{byte}"
        if byte and word.endswith(tail):
            return word[: -len(tail)], str(byte)
        if byte:
            raise RowRefusal(
                "ET112",
                start,
                start + len(word),
                f"KLIPS prints :{byte} behind the SAID of this source, and it is not there",
                f"SAID:{byte}",
                "the row was edited or is cut",
            )
        zero = word.endswith(":0") and word.startswith(("%", "ah.", "esp.", "tun.", "comp."))
        return (word[:-2], "") if zero else (word, "")
    if "@" in word and ":" in word.partition("@")[2].partition(":")[2]:
        # A 6-in-4 SAID: the address has colons of its own, and only an IPv4 row has a suffix.
        return _split_six_in_four(word, start)
    match = _V4_SUFFIX.match(word)
    return (match[1], match[2]) if match else (word, "")


def _split_six_in_four(word: str, start: int) -> tuple[str, str]:
    """An IPv4 eroute through an IPv6 tunnel: refuse when the suffix cannot be told apart."""
    readings = []
    match = _V4_SUFFIX.match(word)
    for body, suffix in ((word, ""), (match[1], match[2]) if match else ("", "")):
        try:
            parse_said(body)
        except ValueError:
            continue
        readings.append((body, suffix))
    if len(readings) > 1:
        raise RowRefusal(
            "ET112",
            start,
            start + len(word),
            "the end of this SAID can be read as part of the address or as a protocol",
            "an address that stands alone",
            "take this eroute from the script or the configuration that made it",
        )
    return readings[0] if readings else (word, "")
