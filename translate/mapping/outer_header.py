"""The outer header of tunnels: DF, TOS and ECN as KLIPS made them, as far as flags of states go.

KLIPS wrote an outer IPv4 header with DF cleared, and the TOS byte copied whole (sysctl ``tos`` 0,
``hidetos=no``) or zero; an outer IPv6 header with traffic class and flow label zero.  On
decapsulation it copied nothing back (ipsec_xmit.c, ipsec_rcv.c; docs/klips.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .model import TUNNEL_MODE


class OuterHeader(NamedTuple):
    """Flags and extra flags of a state, and the codes of what they do not give."""

    flags: tuple[str, ...] = ()
    extra_flags: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()


def outer_header(
    mode: str, family: int, parameters: Mapping[str, str], *, inbound: bool
) -> OuterHeader:
    """The flags that come nearest.  ``family`` is that of the outer header.

    ``nopmtudisc`` clears DF (xfrm4_tunnel_encap_add), ``dont-encap-dscp`` zeroes the byte and
    ``noecn`` keeps ECN out of it, both ways.
    """
    if mode != TUNNEL_MODE:
        return OuterHeader()
    if inbound:
        return OuterHeader(("noecn",), codes=("ET246",))
    if family == 6:
        return OuterHeader(("noecn",), ("dont-encap-dscp",), ("ET246", "ET274"))
    told = parameters.get("tos", "")
    codes = ("ET246", "ET274") if told else ("ET246", "ET274", "ET275")
    if told == "0":
        return OuterHeader(("nopmtudisc",), (), codes)
    return OuterHeader(("noecn", "nopmtudisc"), ("dont-encap-dscp",), codes)
