"""The ipsec.conf of a host as it was found in a capture, a folder or an archive: not read yet.

A configuration does not tell which side of its connections this gateway is.  So its text is kept
until everything else has been read, and with it the addresses of the gateway.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from ..diagnostics import Span
from .conf import Include

Lines = list[tuple[int, str]]
"""Clean lines with their numbers in the file that they stand in."""

_CONF: Final = re.compile(r"(?:\A|/)(?:ipsec/conf|[^/\s]*ipsec\.conf)\Z")
_GROUP: Final = re.compile(r"ipsec(?:\.d)?/policies/([^/\s]+)\Z")


def is_conf(name: str) -> bool:
    """Whether a file, or the section of a barf, of this name is an ipsec.conf."""
    return _CONF.search(name) is not None


def policy_group_of(name: str) -> str:
    """The policy group whose file, or section of a barf, has this name, or nothing."""
    match = _GROUP.search(name)
    return "" if match is None else match[1]


@dataclass(slots=True)
class WrittenConfiguration:
    """An ipsec.conf, with the files of its policy groups: their names and lines.

    ``source`` is the file that it was found in, ``section`` the number of the section of a capture.
    ``cut`` is the place where a capture ends in the middle of it, so that its last setting cannot
    be trusted.
    """

    source: str
    lines: Lines = field(default_factory=list)
    groups: dict[str, tuple[str, Lines]] = field(default_factory=dict)
    include: Include | None = None
    section: int = 0
    cut: Span | None = None

    def group(self, name: str, file: str) -> Lines:
        """The lines of a policy group, to be added to."""
        return self.groups.setdefault(name, (file, []))[1]
