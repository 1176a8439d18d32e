"""What the small proc files of KLIPS say: version, debug flags, counters, PF_KEY's tables.

Only the version is read, which decides how other tables are to be read.  The recognisers of the
others let a reader of captures account for every line.  Some of these files hold a bare
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


_DEBUG: Final = re.compile(r"\s*debug_([a-z]{2,16})=([0-9a-f]{8})\.\s*\Z", re.ASCII)


def looks_like_debug(line: str) -> bool:
    """Whether a line is a row of ``ipsec_klipsdebug``: ``debug_tunnel=00000010.``"""
    return _DEBUG.match(line) is not None


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


def looks_like_pf_key(line: str) -> bool:
    """Whether a line is the heading or a row of ``/proc/net/pf_key``."""
    return bool(_SOCKET_HEADER.match(line) or _SOCKET.match(line))


def looks_like_supported(line: str) -> bool:
    """Whether a line is the heading or a row of ``/proc/net/pf_key_supported``."""
    return bool(_SUPPORTED_HEADER.match(line) or _SUPPORTED.match(line))


def looks_like_registered(line: str) -> bool:
    """Whether a line is the heading or a row of ``/proc/net/pf_key_registered``."""
    return bool(_REGISTERED_HEADER.match(line) or _REGISTERED.match(line))


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


def looks_like_natt(line: str) -> bool:
    """Whether a line can be ``natt``: 0, 1 (the old patch) or 2 (UDP encapsulation sockets)."""
    return _NATT.match(line) is not None


def looks_like_ocf(line: str) -> bool:
    """Whether a line can be ``ocf``: 1 with hardware cryptography built in, else 0."""
    return _OCF.match(line) is not None


def looks_like_saref(line: str) -> bool:
    """Whether a line is one of ``saref``."""
    return _SAREF.match(line) is not None


_XFORM: Final = re.compile(
    r"\s*VERSION=[0-9]{1,10} TYPE=([0-9]{1,5}) ID=([0-9]{1,5}) NAME=(\S*) REFCNT=-?[0-9]{1,10}"
    r"((?: [A-Z]+=[0-9a-fA-F-]{1,16})+)\s*\Z",
    re.ASCII,
)


def looks_like_xform(line: str) -> bool:
    """Whether a line is a row of ``xforms``."""
    return _XFORM.match(line) is not None
