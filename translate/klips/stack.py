"""What the small proc files of KLIPS say: version, debug flags, counters, PF_KEY's tables.

None of it is translated but the version, which decides how other tables are to be read.  The
recognisers let a reader of captures account for every line.  Some of these files hold a bare
number, so their recognisers mean something only where the file is known.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

PROJECTS: Final = {"FreeS/WAN": "freeswan", "Openswan": "openswan", "Libreswan": "libreswan"}
"""Names in ``ipsec_version``, and as they are asked for here."""

_FIRST: Final = {"freeswan": (1,), "openswan": (2,), "libreswan": (3,)}
"""The first versions of each project."""

_VERSION: Final = re.compile(
    r"\s*(FreeS/WAN|Openswan|Libreswan)(?: IPsec)? version:\s*(\S.*?)\s*\Z", re.ASCII
)
_BANNER: Final = re.compile(
    r"\s*Linux (FreeS/WAN|Openswan|Libreswan) (\S+)(?: \((klips|mast)\).*)?\s*\Z", re.ASCII
)
_KERNEL_PART: Final = re.compile(r"U[^/\s]+/K(\S+)")
_NUMBERS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})*", re.ASCII)


class Version(NamedTuple):
    """A version of KLIPS: ``openswan``, ``(2, 6, 38)`` and the text behind the project's name.

    ``numbers`` is empty where the text has none (``cvs``).
    """

    project: str
    numbers: tuple[int, ...]
    text: str

    def since(
        self,
        *,
        freeswan: tuple[int, ...] | None = None,
        openswan: tuple[int, ...] | None = None,
        libreswan: tuple[int, ...] | None = None,
    ) -> bool | None:
        """Whether this is the given version of its project or a later one.

        A project that is not given does not have it.  ``None`` where the numbers are not known.
        """
        floor = {"freeswan": freeswan, "openswan": openswan, "libreswan": libreswan}[self.project]
        if floor is None:
            return False
        if floor <= _FIRST[self.project]:
            return True
        return self.numbers >= floor if self.numbers else None


def looks_like_version(line: str) -> bool:
    """Whether a line is that of ``ipsec_version`` or ``ipsec --version`` on a KLIPS host."""
    return read_version(line) is not None


def read_version(line: str) -> str | None:
    """The line without blanks at its ends if it names a version of KLIPS, for parse_version."""
    return line.strip() if parse_version(line) is not None else None


def parse_version(text: str) -> Version | None:
    """Read ``Openswan version: 2.6.38`` or ``Linux Openswan U2.6.38/K2.6.38 (klips)``.

    Of a banner with two versions that of the kernel part counts.
    """
    match = _VERSION.match(text) or _BANNER.match(text)
    if match is None:
        return None
    shown = match[2]
    kernel = _KERNEL_PART.match(shown)
    if kernel is not None:
        if match.re is _BANNER and match[3] is None:
            return None  # the number may be that of a kernel with another stack
        shown = kernel[1]
    numbers = _NUMBERS.search(shown)
    return Version(
        PROJECTS[match[1]],
        tuple(map(int, numbers[0].split("."))) if numbers else (),
        shown,
    )


DEBUG_NAMES: Final = (
    "tunnel",
    "netlink",
    "xform",
    "eroute",
    "spi",
    "radij",
    "esp",
    "ah",
    "rcv",
    "pfkey",
)
_DEBUG: Final = re.compile(r"\s*debug_([a-z]{2,16})=([0-9a-f]{8})\.\s*\Z", re.ASCII)


class DebugFlags(NamedTuple):
    """A row of ``ipsec_klipsdebug``."""

    name: str
    bits: int


def looks_like_debug(line: str) -> bool:
    """Whether a line is a row of ``ipsec_klipsdebug``: ``debug_tunnel=00000010.``"""
    return _DEBUG.match(line) is not None


def read_debug(line: str) -> DebugFlags | None:
    """Read a row of ``ipsec_klipsdebug``."""
    match = _DEBUG.match(line)
    return None if match is None else DebugFlags(match[1], int(match[2], 16))


_POINTER: Final = r"(?:0x[0-9a-f]{1,16}|[0-9a-f]{8,16}|\(null\)|\(nil\))"
_SOCKET_HEADER: Final = re.compile(
    r"\s*sock\s+pid(?:\s+[a-zA-Z]{1,9}){4,16}\s+Type\s+St\s*\Z", re.ASCII
)
_SOCKET: Final = re.compile(rf"\s*{_POINTER}\s+[0-9]{{1,10}}\s+(?:[01]\s+)?{_POINTER}\s", re.ASCII)
_SUPPORTED_HEADER: Final = re.compile(
    r"\s*satype\s+exttype\s+alg_id\s+ivlen\s+minbits\s+maxbits(?:\s+name)?\s*\Z", re.ASCII
)
_SUPPORTED: Final = re.compile(
    r"\s*([0-9]{1,2})\s+(1[45])\s+([0-9]{1,3})\s+([0-9]{1,5})\s+([0-9]{1,5})\s+([0-9]{1,5})"
    r"(?:\s+([^\s=]+))?\s*\Z",
    re.ASCII,
)
_REGISTERED_HEADER: Final = re.compile(r"\s*satype\s+socket\s+pid\s+sk\s*\Z", re.ASCII)
_REGISTERED: Final = re.compile(
    rf"\s*([0-9]{{1,2}})\s+{_POINTER}\s+([0-9]{{1,10}})\s+{_POINTER}\s*\Z", re.ASCII
)


class SupportedAlgorithm(NamedTuple):
    """A row of ``pf_key_supported``; ``extension`` 14 is authentication, 15 encryption.

    Lengths are in bits.  ``name`` is there from Openswan 2.4 on.
    """

    satype: int
    extension: int
    algorithm: int
    iv_bits: int
    minimum_bits: int
    maximum_bits: int
    name: str = ""


class RegisteredSocket(NamedTuple):
    """A row of ``pf_key_registered``: a key daemon that wants to hear of an SA type."""

    satype: int
    process: int


def looks_like_pf_key(line: str) -> bool:
    """Whether a line is the heading or a row of ``/proc/net/pf_key``."""
    return bool(_SOCKET_HEADER.match(line) or _SOCKET.match(line))


def looks_like_supported(line: str) -> bool:
    """Whether a line is the heading or a row of ``/proc/net/pf_key_supported``."""
    return bool(_SUPPORTED_HEADER.match(line) or _SUPPORTED.match(line))


def read_supported(line: str) -> SupportedAlgorithm | None:
    """Read a row of ``pf_key_supported``; ``None`` for its heading and other lines."""
    match = _SUPPORTED.match(line)
    if match is None:
        return None
    satype, extension, algorithm, iv, minimum, maximum = map(int, match.groups()[:6])
    return SupportedAlgorithm(satype, extension, algorithm, iv, minimum, maximum, match[7] or "")


def looks_like_registered(line: str) -> bool:
    """Whether a line is the heading or a row of ``/proc/net/pf_key_registered``."""
    return bool(_REGISTERED_HEADER.match(line) or _REGISTERED.match(line))


def read_registered(line: str) -> RegisteredSocket | None:
    """Read a row of ``pf_key_registered``; ``None`` for its heading and other lines."""
    match = _REGISTERED.match(line)
    return None if match is None else RegisteredSocket(int(match[1]), int(match[2]))


_COUNTER: Final = re.compile(r"\s*(?:([0-9a-f]{8})|(-?[0-9]{1,10}))\s*\Z", re.ASCII)
_NATT: Final = re.compile(r"\s*([012])\s*\Z", re.ASCII)
_OCF: Final = re.compile(r"\s*([01])\s*\Z", re.ASCII)
_SAREF: Final = re.compile(
    r"\s*(?:(refinfo|bindref) patch applied|saref (enabled|disabled)(?: \(([^)]*)\))?)\s*\Z",
    re.ASCII,
)


def looks_like_trap_count(line: str) -> bool:
    """Whether a line can be ``stats/trap_count`` or ``stats/trap_sendcount``: a bare number."""
    return _COUNTER.match(line) is not None


def read_trap_count(line: str, version: Version | None = None) -> int | None:
    """Read a counter: eight hex digits, but decimal in Openswan 2.6.43 to 3.0.

    Eight digits are hex unless the version says otherwise.
    """
    match = _COUNTER.match(line)
    if match is None:
        return None
    decimal = version is not None and version.since(openswan=(2, 6, 43))
    if match[2] is not None or (decimal and match[1].isdecimal()):
        return int(match[2] or match[1])
    return int(match[1], 16)


def looks_like_natt(line: str) -> bool:
    """Whether a line can be ``natt``: 0, 1 (the old patch) or 2 (UDP encapsulation sockets)."""
    return _NATT.match(line) is not None


def read_natt(line: str) -> int | None:
    """Read ``natt``."""
    match = _NATT.match(line)
    return None if match is None else int(match[1])


def looks_like_ocf(line: str) -> bool:
    """Whether a line can be ``ocf``: 1 with hardware cryptography built in, else 0."""
    return _OCF.match(line) is not None


def looks_like_saref(line: str) -> bool:
    """Whether a line is one of ``saref``."""
    return _SAREF.match(line) is not None


def read_saref(line: str) -> bool | None:
    """Whether SArefs are enabled; ``None`` for the lines of ``saref`` that do not say so."""
    match = _SAREF.match(line)
    return None if match is None or match[2] is None else match[2] == "enabled"


_XFORM_FIELD: Final = re.compile(r"([A-Z]+)=(\S*)", re.ASCII)
_XFORM: Final = re.compile(
    r"\s*VERSION=[0-9]{1,10} TYPE=([0-9]{1,5}) ID=([0-9]{1,5}) NAME=(\S*) REFCNT=-?[0-9]{1,10}"
    r"((?: [A-Z]+=[0-9a-fA-F-]{1,16})+)\s*\Z",
    re.ASCII,
)


class Xform(NamedTuple):
    """A row of ``xforms``: a loaded algorithm; ``kind`` is 14 or 15 as above.

    Block and IV lengths as the row has them, key lengths in bits, 0 where the row has none.
    """

    kind: int
    number: int
    name: str
    block_size: int = 0
    iv_length: int = 0
    minimum_bits: int = 0
    maximum_bits: int = 0


def looks_like_xform(line: str) -> bool:
    """Whether a line is a row of ``xforms``."""
    return _XFORM.match(line) is not None


def read_xform(line: str) -> Xform | None:
    """Read a row of ``xforms``; fields that the kernel prints twice are the same both times."""
    match = _XFORM.match(line)
    if match is None:
        return None
    fields = dict(_XFORM_FIELD.findall(match[4]))
    names = ("BLOCKSIZE", "IVLEN", "KEYMINBITS", "KEYMAXBITS")
    numbers = [int(text) if (text := fields.get(n, "")).isdecimal() else 0 for n in names]
    return Xform(int(match[1]), int(match[2]), match[3], *numbers)
