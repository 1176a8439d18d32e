"""Protection: tunnel and transport mode, bundles, and the policies for packets coming in.

An eroute names the innermost SA of a group; KLIPS applies it and then each next one outward: the
IP-in-IP header of ``tun``, then ``comp``, ``esp``, ``ah``.  XFRM has no SA for the inner header:
the first template carries tunnel mode and its endpoints instead (ip-xfrm(8), xfrm_tmpl).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from ..klips.said import PREFIX_OF, SA_IPIP, Said
from ..net import IPPROTO_AH, IPPROTO_COMP, IPPROTO_ESP
from .model import (
    ALLOW,
    BLOCK,
    TRANSPORT_MODE,
    TUNNEL_MODE,
    Inbound,
    Kind,
    Options,
    Rule,
    Step,
    TemplateBy,
    Treatment,
    Weight,
)

TUNNEL: Final = Rule(
    name="tunnel",
    eroute="tun…",
    klips="Puts the packet into an IP header to edst, then applies the other SAs of the group.",
    xfrm="out, in and fwd policies; the first template in tunnel mode between the gateways, the"
    " others in transport mode.",
    difference="None on the wire. Where KLIPS dropped for want of an SA, XFRM asks the key daemon"
    " and drops. With --inbound strict, clear text from the other side is dropped.",
    reason="An outer header is part of an ESP, AH or IPCOMP state in XFRM, not a state of its own.",
    tested="tests/netns/test_script.py, tests/unit/test_mapping.py",
)

TUNNEL_ASSUMED: Final = Rule(
    name="tunnel-assumed",
    eroute="tun… without its group",
    klips="As tunnel; which SAs follow stands in ipsec_spigrp, not in the eroute.",
    xfrm="As tunnel with ESP, or with what --assume says.",
    difference="If the group was another one, no state fits: packets are dropped, not sent.",
    reason="Almost every tunnel is ESP; a wrong assumption fails closed.",
    tested="tests/golden, tests/unit/test_mapping.py",
)

TRANSPORT: Final = Rule(
    name="transport",
    eroute="esp…, ah…, or a group of them without tun",
    klips="Applies ESP or AH to the packet in place.",
    xfrm="out and in policies with templates in transport mode, without endpoints.",
    difference="With --inbound strict, clear text from the other side is dropped.",
    reason="Transport mode ends at this host, so there is nothing to forward.",
    tested="tests/golden, tests/netns/test_script.py, tests/unit/test_mapping.py",
)

COMPRESSION: Final = Rule(
    name="compression",
    eroute="comp… alone",
    klips="Compresses the packet in place; small packets stay as they are. Protects nothing.",
    xfrm="An out policy with an IPCOMP template in transport mode, an in policy with level use.",
    difference="None.",
    reason="Packets that did not shrink come without an IPCOMP header.",
    tested="tests/unit/test_mapping.py",
)

GROUP: Final = Rule(
    name="group",
    eroute="a group that XFRM cannot express",
    klips="Applied whatever spigrp had put together.",
    xfrm="Refused: the script stops. With --allow-partial an out policy that blocks.",
    difference="The traffic is blocked.",
    reason="Groups other than [tun] [comp] [esp] [ah] have no counterpart that is certain.",
    tested="tests/unit/test_mapping.py",
)

BARE_TUNNEL: Final = Rule(
    name="bare-tunnel",
    eroute="tun… whose group is known to hold nothing else",
    klips="Puts the packet into an IP header to edst and sends that in clear.",
    xfrm="Refused: the script stops. With --allow-partial an out policy that blocks.",
    difference="The traffic is blocked until a tunnel interface carries it.",
    reason="IP-in-IP is no transform of XFRM; a tunnel interface (ip link … type ipip) does it.",
    tested="tests/unit/test_associations.py",
)

RULES: Final = (TUNNEL, TUNNEL_ASSUMED, TRANSPORT, COMPRESSION, GROUP, BARE_TUNNEL)

_ORDER: Final = (IPPROTO_COMP, IPPROTO_ESP, IPPROTO_AH)


class _Group(NamedTuple):
    """A group taken apart: the tunnel's far end, then what protects."""

    tunnel: Said | None
    protocols: tuple[int, ...]
    assumed: bool


def take_apart(saids: Sequence[Said], assume: tuple[int, ...]) -> _Group | None:
    """Part a group into tunnel and protection; ``None`` when XFRM has no counterpart."""
    tunnel = saids[0] if saids[0].protocol == SA_IPIP else None
    rest = saids[1:] if tunnel is not None else saids
    protocols = tuple(said.protocol for said in rest)
    ranks = [_ORDER.index(p) for p in protocols if p in _ORDER]
    if len(ranks) != len(protocols) or ranks != sorted(set(ranks)):
        return None
    if any(said.family != saids[0].family for said in rest):
        return None
    if tunnel is not None and not protocols:
        return _Group(tunnel, assume, assumed=True)
    return _Group(tunnel, protocols, assumed=False)


class Protection:
    """Treatments of protecting eroutes, one for each kind of group, and the reqids of groups."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.local: dict[int, int] = {}
        for family, address in options.ends or options.local:
            # Two addresses of one family: which of them faced the peer is not known.
            self.local[family] = 0 if family in self.local else address
        self.reqids: dict[tuple[Said, ...], int] = {}
        self._kinds: dict[tuple[object, ...], Treatment] = {}

    def reqid(self, saids: tuple[Said, ...]) -> int:
        """The reqid of a group: numbered as the groups come, or the one that the user gave."""
        if self.options.reqid is not None:
            return self.options.reqid
        number = self.reqids.get(saids)
        if number is None:
            number = self.reqids[saids] = self.options.reqid_base + 1 + len(self.reqids)
        return number

    def treatment(
        self,
        saids: tuple[Said, ...],
        family: int,
        *,
        mirrors_itself: bool,
        source: int = 0,
        bare: bool = False,
    ) -> Treatment:
        """The treatment of an eroute to this group.

        ``source`` is the outer source of its associations where it is known, 0 elsewhere;
        ``bare`` tells that the group is known to be an IP-in-IP header alone.

        ``mirrors_itself`` tells that the selector and its mirror image meet: then packets that
        set out from here match the inbound policies too, which must not ask for protection.
        """
        key: tuple[object, ...] = (
            saids[0][0] if len(saids) == 1 else tuple([(said[0], said[2]) for said in saids]),
            saids[0][2],
            family,
            mirrors_itself,
            source,
            bare,
        )
        known = self._kinds.get(key)
        if known is None:
            known = self._kinds[key] = self._make(saids, family, mirrors_itself, source, bare)
        return known

    def _make(
        self, saids: tuple[Said, ...], family: int, mirrors_itself: bool, source: int, bare: bool
    ) -> Treatment:
        group = take_apart(saids, self.options.assume)
        if bare:
            # Its end here is for the commands of the finding alone.
            local = source or self.local.get(saids[0].family, 0)
            return _refusal(BARE_TUNNEL, "ET244", "ET222")._replace(local=local)
        if group is None or (group.tunnel is None and saids[0].family != family):
            return _refusal(GROUP, "ET217", "ET222")
        strict = self.options.inbound is Inbound.STRICT
        tunnelled = group.tunnel is not None
        local = (source or self.local.get(saids[0].family, 0)) if tunnelled else 0
        steps = tuple(
            Step(
                protocol,
                TUNNEL_MODE if tunnelled and place == 0 else TRANSPORT_MODE,
                not strict or mirrors_itself or protocol == IPPROTO_COMP,
            )
            for place, protocol in enumerate(group.protocols)
        )
        compressed = group.protocols == (IPPROTO_COMP,)
        codes = tuple(
            code
            for code, holds in (
                ("ET201", tunnelled and not local),
                ("ET202", group.assumed),
                ("ET218", self._by_spi and group.assumed),
                ("ET211", compressed),
                ("ET212", strict and not mirrors_itself and not compressed),
                ("ET213", strict and mirrors_itself and not compressed),
            )
            if holds
        )
        return Treatment(
            Kind.NOTED.value if codes else Kind.EXACT.value,
            self._rule(group).name,
            ALLOW,
            steps,
            True,
            tunnelled,
            Weight.PASS if compressed else Weight.PROTECT,
            codes,
            local,
            self._by_spi and not group.assumed,
        )

    @property
    def _by_spi(self) -> bool:
        return self.options.template_by is TemplateBy.SPI

    @staticmethod
    def _rule(group: _Group) -> Rule:
        if group.assumed:
            return TUNNEL_ASSUMED
        if group.tunnel is not None:
            return TUNNEL
        return COMPRESSION if group.protocols == (IPPROTO_COMP,) else TRANSPORT


def _refusal(rule: Rule, *codes: str) -> Treatment:
    return Treatment(Kind.REFUSED.value, rule.name, BLOCK, (), False, False, Weight.BLOCK, codes)


def describe(saids: Sequence[Said]) -> str:
    """The protocols of a group, for a message: ``tun+esp``."""
    return "+".join(PREFIX_OF.get(said.protocol, str(said.protocol)) for said in saids)
