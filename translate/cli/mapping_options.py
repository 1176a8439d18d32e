"""The options of the mapping, and the value made of them."""

from __future__ import annotations

import argparse

from ..mapping.algorithms import IcvLength
from ..mapping.model import Inbound, Options, Scoping, TemplateBy
from ..net import IPPROTO_ESP
from .argument_types import address, group_of_protocols, network, number

_Group = argparse._ArgumentGroup


def add_mapping(parser: argparse.ArgumentParser) -> None:
    """Every option of the mapping."""
    group = parser.add_argument_group("mapping")
    _treatment(group)
    _reach(group)
    _numbers(group)
    _limits(group)


def _treatment(group: _Group) -> None:
    """What becomes of a packet of an eroute."""
    group.add_argument(
        "--local",
        type=address,
        action="append",
        default=[],
        metavar="ADDRESS",
        help="an address of this gateway (repeatable)",
    )
    group.add_argument(
        "--inbound",
        type=Inbound,
        choices=list(Inbound),
        default=Inbound.STRICT,
        metavar="strict|klips",
        help="strict: what should come protected must; klips: clear text is accepted as before"
        " (default: strict)",
    )
    group.add_argument(
        "--assume",
        type=group_of_protocols,
        default=(IPPROTO_ESP,),
        metavar="GROUP",
        help="what a tunnel without a known group holds: esp, ah, comp+esp, ... (default: esp)",
    )
    group.add_argument(
        "--template-by",
        type=TemplateBy,
        choices=list(TemplateBy),
        default=TemplateBy.REQID,
        metavar="reqid|spi",
        help="how templates name their SA (default: reqid)",
    )
    group.add_argument(
        "--no-reject-rule",
        action="store_true",
        help="leave out the firewall rule that answers for %%reject",
    )


def _reach(group: _Group) -> None:
    """Which packets went into ipsecN."""
    group.add_argument(
        "--bypass",
        type=network,
        action="append",
        default=[],
        metavar="NETWORK",
        help="a network that was never routed into ipsecN (repeatable)",
    )
    group.add_argument(
        "--routed",
        type=network,
        action="append",
        default=[],
        metavar="NETWORK",
        help="a destination that was routed into ipsecN; what no eroute covers there is blocked"
        " (repeatable)",
    )
    group.add_argument(
        "--scope",
        type=Scoping,
        choices=list(Scoping),
        default=Scoping.ROUTES,
        metavar="routes|eroutes",
        help="routes: routes that were read bound the policies, and what they led into ipsecN and"
        " no eroute covers is blocked; eroutes: the eroutes alone decide (default: routes)",
    )


def _numbers(group: _Group) -> None:
    """The numbers that are ours, and those of check values."""
    group.add_argument(
        "--priority-base",
        type=number(1, 0xFFFFFFFF),
        default=1_000_000_000,
        metavar="NUMBER",
        help="start of our band of priorities (default: 1000000000)",
    )
    group.add_argument(
        "--reqid-base",
        type=number(1, 0xFFFFFFFF),
        default=1_000_000,
        metavar="NUMBER",
        help="start of our range of reqids (default: 1000000)",
    )
    group.add_argument(
        "--reqid",
        type=number(1, 0xFFFFFFFF),
        metavar="NUMBER",
        help="one reqid for all templates",
    )
    group.add_argument(
        "--icv",
        type=IcvLength,
        choices=list(IcvLength),
        metavar="96|rfc",
        help="check values of SHA-2: 96 bits, or half the hash (default: by the version that was"
        " read, else 96)",
    )


def _limits(group: _Group) -> None:
    """How much work, and how many policies, a table may take."""
    group.add_argument(
        "--mask-limit",
        type=number(1, 65536),
        default=64,
        metavar="NUMBER",
        help="prefixes that a mask with holes may become (default: 64)",
    )
    group.add_argument(
        "--crossing-limit",
        type=number(0, 1 << 40),
        default=200_000,
        metavar="NUMBER",
        help="pairs of crossing eroutes to look at (default: 200000)",
    )
    group.add_argument(
        "--exception-limit",
        type=number(0, 10_000),
        default=64,
        metavar="NUMBER",
        help="exceptions before all others that crossing eroutes may take (default: 64)",
    )


def mapping_options(arguments: argparse.Namespace) -> Options:
    """The options of the mapping."""
    return Options(
        local=tuple(arguments.local),
        inbound=arguments.inbound,
        template_by=arguments.template_by,
        assume=arguments.assume,
        reject_rule=not arguments.no_reject_rule,
        bypass=tuple(arguments.bypass),
        routed=tuple(arguments.routed),
        priority_base=arguments.priority_base,
        reqid_base=arguments.reqid_base,
        reqid=arguments.reqid,
        mask_limit=arguments.mask_limit,
        crossing_limit=arguments.crossing_limit,
        exception_limit=arguments.exception_limit,
        icv=arguments.icv,
        scope=arguments.scope,
    )
