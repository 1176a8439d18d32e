"""What is known of one KLIPS host, put together from everything that was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..net import Prefix
from .association import Address, Association, Group
from .connection import Configuration
from .eroute import Eroute
from .interface import Attachment, InterfaceAddress, Route, RoutingRule, is_virtual
from .listing import UnreadRow
from .reach import Reach, best_routes, reach_of
from .said import Said


@dataclass(frozen=True, slots=True)
class KlipsHost:
    """The eroutes of a host, and all else that its captures tell.

    ``eroutes`` in printed order, or in the order of their commands when ``insertion_known``; the
    SAIDs of each are its whole group where the group is known.  ``in_kernel_order`` tells that
    rows with one key stand in the order in which KLIPS tries them.  ``repeats`` are rows that
    stand twice and are carried once.  ``groups`` run from the inside out.  ``version`` is the line
    of ``ipsec_version``, ``parameters`` the sysctls of ``/proc/sys/net/ipsec``.  ``routes_printed``
    tells that the kernel printed the routes, and that all of them could be read.  ``accounted``
    and ``refused`` count the entries of the input by kind of table, those of other hosts included.
    """

    eroutes: tuple[Eroute, ...]
    unread: tuple[UnreadRow, ...] = ()
    repeats: tuple[Eroute, ...] = ()
    in_kernel_order: bool = True
    insertion_known: bool = False
    name: str = ""
    associations: tuple[Association, ...] = ()
    groups: tuple[Group, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    addresses: tuple[InterfaceAddress, ...] = ()
    routes: tuple[Route, ...] = ()
    rules: tuple[RoutingRule, ...] = ()
    version: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    configuration: Configuration | None = None
    routes_printed: bool = False
    accounted: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    _sources: dict[Said, Address] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        for association in self.associations:
            if association.source is not None:
                self._sources[association.said] = association.source

    @property
    def rows(self) -> int:
        """Entries of the input: each of them gets one outcome."""
        return len(self.eroutes) + len(self.unread) + len(self.repeats)

    @property
    def local_addresses(self) -> tuple[Address, ...]:
        """The addresses of this gateway that its tunnels start from, as far as they are known.

        Those of the physical interfaces below ``ipsecN`` (without link-local ones), else of
        ``ipsecN`` itself, which takes over the addresses of the interface below; without any, the
        sources of outbound SAs.  Empty if nothing tells.
        """
        below = {attachment.physical for attachment in self.attachments}
        found = [a for a in self.addresses if a.device in below] or [
            a for a in self.addresses if is_virtual(a.device)
        ]
        local = [(a.network.family, a.network.address) for a in found]
        local = [address for address in local if not _is_link_local(address)]
        if not local:
            local = [a.source for a in self.associations if a.inbound is False and a.source]
        return tuple(dict.fromkeys(local))

    def source_of(self, said: Said) -> Address | None:
        """The outer source address of an SA, ``None`` where it is not known."""
        return self._sources.get(said)

    @property
    def routed(self) -> tuple[Prefix, ...] | None:
        """Destinations whose best route leads into ``ipsecN`` (main table, as they are printed).

        Of several routes to one destination the one with the lowest metric holds, then the first.
        A longer destination with a route elsewhere takes its part out again, which is for the
        caller to see in ``routes``.  ``None`` if no route is known.
        """
        if not self.routes:
            return None
        best = best_routes(self.routes)
        return tuple(d for d, found in best.items() if is_virtual(found[0].device))

    @property
    def reach(self) -> Reach:
        """Which packets went into ``ipsecN``, and which did not (computed anew at each call)."""
        sources = dict.fromkeys(eroute[0][0] for eroute in self.eroutes)
        return reach_of(
            self.routes, self.rules, self.addresses, sources, printed=self.routes_printed
        )


def _is_link_local(address: Address) -> bool:
    return address[0] == 6 and address[1] >> 118 == 0xFE80 >> 6
