"""The addresses of the gateway, where the input tells them and the user does not.

A list of interfaces is taken, as ``ip addr`` and ``ifconfig`` print it, since it holds all of them;
which tunnels start from, attachments and SAs tell.  Without a list the sources of SAs are taken if
one interface alone was attached to KLIPS: then IKE had no other address to come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ..diagnostics import Diagnostic, Severity
from ..klips.host import KlipsHost
from ..net import format_address
from .exemptions import LINK_LOCAL
from .model import Options

_LOOPBACK: Final = "lo"


def with_addresses(host: KlipsHost, options: Options) -> Options:
    """The options with the addresses that were read; ``--local`` outweighs them."""
    if options.local:
        return options
    found = [
        (item.network.family, item.network.address)
        for item in host.addresses
        if item.device != _LOOPBACK
    ]
    own = [a for a in dict.fromkeys(found) if a[0] == 4 or not LINK_LOCAL.contains(a[1])]
    if not own:
        attached = [attachment for attachment in host.attachments if attachment.physical]
        own = list(host.local_addresses) if len(attached) == 1 else []
    if not own:
        return options
    ends = tuple(address for address in host.local_addresses if address in own)
    return replace(options, local=tuple(own), ends=ends)


def address_findings(given: Options, options: Options) -> Iterator[Diagnostic]:
    """What is said of addresses that were taken from the input."""
    if given.local or not options.local:
        return
    shown = ", ".join(format_address(*address) for address in options.local)
    yield Diagnostic(
        "ET225",
        Severity.NOTE,
        f"the addresses of this gateway are taken from the input: {shown}",
        hint="say --local for each if they are others now",
    )
