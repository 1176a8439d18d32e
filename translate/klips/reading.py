"""What one source (a file, a section of a capture, a script) says of one KLIPS host."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from .association import Association, Group
from .connection import Configuration
from .interface import Attachment, InterfaceAddress, Route, RoutingRule
from .listing import Listing
from .written import WrittenConfiguration

UNNAMED: Final = "#"
"""Stands in the name that a second host of a file gets when no line names it: ``barfs.txt#2``."""


class Standing(IntEnum):
    """How near to the kernel a source is: what the kernel printed outweighs what was meant."""

    TABLE = 0
    SCRIPT = 1
    CONFIGURATION = 2


@dataclass(slots=True)
class Reading:
    """Gathered by a reader; :func:`.assembly.host_of_readings` puts readings together.

    ``listing`` holds the eroutes; with ``insertion_known`` they stand in the order of their
    commands.  ``version`` is the line of ``ipsec_version``.  ``parameters`` are the sysctls of
    ``/proc/sys/net/ipsec`` (``tos``, ``icmp``, ``inbound_policy_check``).  ``accounted`` counts
    the entries that were read, ``refused`` those that could not be, by kind of table (``spi``,
    ``route``, ...).  ``written`` is an ipsec.conf that is to be read when the addresses of the
    gateway are known.
    """

    source: str
    host: str = ""
    listing: Listing | None = None
    insertion_known: bool = False
    associations: list[Association] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    addresses: list[InterfaceAddress] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    version: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    configuration: Configuration | None = None
    accounted: dict[str, int] = field(default_factory=dict)
    rules: list[RoutingRule] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    standing: Standing = Standing.TABLE
    written: WrittenConfiguration | None = None
