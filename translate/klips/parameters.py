"""The sysctls of KLIPS, in ``/proc/sys/net/ipsec``: ``tos``, ``icmp`` and their like.

``ipsec barf`` prints them as ``name:value`` under a heading, ``sysctl -a`` as
``net.ipsec.name = value``; a file of its own holds the value alone.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from .sections import Kind, Section


class Parameter(NamedTuple):
    """The name of a sysctl and its value as text."""

    name: str
    value: str


_OF_SYSCTL: Final = re.compile(r"\s*net[./]ipsec[./]([a-z_0-9]+) ?= ?(-?[0-9]+)\s*\Z", re.ASCII)
_OF_BARF: Final = re.compile(r"(?:/proc/sys/net/ipsec/)?([a-z_0-9]+):(-?[0-9]+)\s*\Z", re.ASCII)
_VALUE: Final = re.compile(r"\s*(-?[0-9]{1,11})\s*\Z", re.ASCII)
_FILE: Final = re.compile(r"sys/net/ipsec/([a-z_0-9]+)\Z", re.ASCII)


def looks_like_parameter(line: str, section: Section) -> bool:
    """Whether a line tells a sysctl of KLIPS; a lone value is one below the name of its file."""
    return _match(line, section) is not None


def read_parameter(line: str, section: Section) -> Parameter | None:
    """The sysctl of a line that looks like one."""
    return _match(line, section)


def _match(line: str, section: Section) -> Parameter | None:
    match = _OF_SYSCTL.match(line)
    if match is None and (
        section.kind is Kind.PARAMETER or line.startswith("/proc/sys/net/ipsec/")
    ):
        match = _OF_BARF.match(line)
    if match is not None:
        return Parameter(match[1], match[2])
    name = _FILE.search(section.name)
    value = _VALUE.match(line)
    if section.kind is Kind.PARAMETER and name is not None and value is not None:
        return Parameter(name[1], value[1])
    return None
