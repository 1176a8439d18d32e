"""Rows of ``ipsec_spi``: one security association each (ipsec_spi(5)).

FreeS/WAN 1.91 to libreswan 3.32 print the same items in the same order, later ones more of them.
Keys are never among them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from ..diagnostics import Collector, Span
from ..net import Prefix
from .address import (
    format_klips_address,
    format_subnet,
    parse_printed_address,
    parse_printed_subnet,
)
from .association import NO_LIMITS, Association, Encapsulation
from .lifetime import LIFE, format_lifetimes, parse_lifetimes
from .spi_fields import FIELDS, HEAD, SpiRow
from .transform import Transform, format_transform

_TRANSFORM: Final = "transform"
"""Name in ``shown`` of a transform that is spelled in another way than by later versions."""

_FRAGMENT: Final = re.compile(
    r"\A\s*\S+ \S+: dir=(?:in|out)(?!\S)"
    r"|(?<!\S)(?:dir|src|policy|iv|bit|flags|[ae]k?len|jiffies|max_seq_diff)=\S{1,200} {1,2}"
    r"life\(c,s,h\)="
    r"|(?<!\S)natsport=\S{1,9} natdport=",
    re.ASCII,
)


def looks_like_association(line: str) -> bool:
    """Whether a line is a row of ``ipsec_spi``, a whole one or a part that was cut or torn."""
    return HEAD.match(line) is not None or _FRAGMENT.search(line) is not None


def read_association(line: str, span: Span, collector: Collector) -> Association | None:
    """Read one row.

    What is damaged or missing is an error, and a field that no version prints a warning; the
    rest of the row is kept.  ``None`` unless SAID, transform and direction are certain.
    A policy that cannot be read is ``None`` too: the flag 8 (INFLOW) of a tunnel says that it
    had one.
    """
    row = SpiRow(line, span, collector)
    head = row.head()
    if head is None:
        return None
    said, transform = head
    row.split_fields()
    direction = row.take("dir", str, "")
    if not direction:
        if "dir" not in row.refused:
            row.error("ET131", len(line), len(line), "this row is cut: its direction is missing")
        return None
    policy = _policy_of(row)
    source = row.take("src", parse_printed_address, None)
    if source is not None and source[0] != said.family:
        row.refuse("ET104", "src", "the source is of another address family than the SAID")
        source = None
    association = Association(
        said,
        span,
        direction == "in",
        source,
        transform.encryption,
        transform.authentication,
        transform.compression,
        row.take("eklen", int, 0),
        row.take("alen", int, 0),
        row.take("ooowin", int, 0),
        row.take("seq", _unsigned, 0),
        policy,
        row.take("flags", _flags, 0),
        row.take(LIFE, parse_lifetimes, NO_LIMITS),
        _encapsulation(row),
        reference=row.take("ref", int, 0),
    )
    derived = _derived(association)
    own = format_transform(transform._replace(protocol=said.protocol))
    texts = {_TRANSFORM: row.transform} if row.transform != own else {}
    texts |= {k: t.text for k, t in row.tokens.items() if k != "dir" and derived.get(k) != t.text}
    return replace(association, shown=tuple(texts.items()))


def format_association(association: Association) -> str:
    """Print an association as the kernel does, without a line end.

    A row that was read whole comes back byte for byte.  Of an association from another source
    only what is known is printed; without a direction there is no ``dir=``.
    """
    a = association
    texts = _derived(a) | dict(a.shown)
    transform = Transform(a.said.protocol, a.encryption, a.authentication, a.compression)
    name = texts.get(_TRANSFORM) or format_transform(transform)
    fields = "".join(f" {key}={texts[key]}" for key in FIELDS if key in texts)
    return f"{a.said} {name}:{fields}"


def _derived(a: Association) -> dict[str, str]:
    """What the fields of an association print, by name."""
    texts = {LIFE: format_lifetimes(a.lifetimes)}
    if a.inbound is not None:
        texts["dir"] = "in " if a.inbound else "out"
    if a.source is not None:
        texts["src"] = format_klips_address(*a.source)
    if a.policy is not None:
        texts["policy"] = "->".join(map(format_subnet, a.policy))
    numbers = {
        "ooowin": a.replay_window,
        "seq": a.sequence - (1 << 32) if a.sequence >> 31 else a.sequence,
        "alen": a.authentication_bits,
        "eklen": a.encryption_bits,
        "ref": a.reference,
    }
    texts |= {name: str(number) for name, number in numbers.items() if number}
    if a.flags:
        texts["flags"] = f"0x{a.flags:x}<>"
    if a.encapsulation is not None:
        kind, source, destination = a.encapsulation
        texts |= {"natencap": kind, "natsport": str(source), "natdport": str(destination)}
    return texts


def _policy(text: str) -> tuple[Prefix, Prefix]:
    source, arrow, destination = text.partition("->")
    if not arrow:
        raise ValueError("no -> between the subnets")
    pair = parse_printed_subnet(source), parse_printed_subnet(destination)
    if pair[0].family != pair[1].family:
        raise ValueError("the subnets are of two address families")
    return pair


def _unsigned(text: str) -> int:
    """A counter of 32 bits as it was before it was printed with a sign."""
    number = int(text)
    if not -(1 << 31) <= number < 1 << 32:
        raise ValueError("does not fit 32 bits")
    return number & 0xFFFFFFFF


def _flags(text: str) -> int:
    return int(text.partition("<")[0], 16)


def _port(text: str) -> int:
    if int(text) > 65535:
        raise ValueError("a port is at most 65535")
    return int(text)


def _encapsulation(row: SpiRow) -> Encapsulation | None:
    """NAT traversal, if this SA has it."""
    kind = row.take("natencap", str, "none")
    source, destination = row.take("natsport", _port, 0), row.take("natdport", _port, 0)
    if kind in ("none", "na"):
        return None
    if kind == "unknown":
        row.complain("ET133", "natencap", "KLIPS did not know the NAT traversal of this SA")
        return None
    return Encapsulation(kind, source, destination)


def _policy_of(row: SpiRow) -> tuple[Prefix, Prefix] | None:
    """The subnets of the policy, unless the printer hid a part of a mask.

    mask6tobits stops at the first hole, and what it prints is then wider than what held.
    """
    pair = row.take("policy", _policy, None)
    if pair is None or not any(
        end.family == 6 and end.length is not None and end.has_host_bits for end in pair
    ):
        return pair
    row.complain(
        "ET112",
        "policy",
        "a subnet of the policy has bits outside its mask: KLIPS printed only the mask's head",
    )
    return None
