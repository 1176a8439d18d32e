"""Tables translated onto the gateway of the bed, and by hand what answers them at the peer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from eroute_translate.cli.direct import words_of
from eroute_translate.diagnostics import Collector
from eroute_translate.klips.command import parse_eroute_command
from eroute_translate.klips.host import KlipsHost
from eroute_translate.mapping.translation import Translation, translate
from eroute_translate.render import Page, Target, render
from tests.translated import options, page

from .spd import Algorithms, Mode, Policy, State, Template

if TYPE_CHECKING:
    from .bed import Addresses, Bed, Host

Protocol = Literal["esp", "ah", "comp"]
FIRST: Final = 1_000_001
"""The reqid of the first group of a table."""
AWAY: Final = {"esp": 0x1001, "ah": 0x1101, "comp": 0x1201}
"""SPIs of what leaves the gateway."""
BACK: Final = {"esp": 0x2001, "ah": 0x2101, "comp": 0x2201}
_SHA1: Final = ("hmac(sha1)", bytes(range(20)), 96)
_ALGORITHMS: Final = {
    "esp": Algorithms(("cbc(aes)", bytes(range(16))), _SHA1),
    "ah": Algorithms(authentication=_SHA1),
    "comp": Algorithms(compression="deflate"),
}
ANY: Final = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - the address of any template


def look(source: str, target: str, peer: str, *protocols: Protocol, tunnel: bool = True) -> str:
    """A row as ``ipsec look`` prints it: with the whole group, from the inside out."""
    group = [f"tun0x1002@{peer}"] if tunnel else []
    group += [f"{protocol}{AWAY[protocol]:#x}@{peer}" for protocol in protocols]
    return f"{source:<18} -> {target:<18} => {' '.join(group)}  (5)\n"


def install(gateway: Host, table: str, *, partial: bool = False, **given: Any) -> None:
    """Translate a table and run the result, in one process."""
    _run(gateway, page(table, partial=partial, **given))


def command(gateway: Host, *commands: str, **given: Any) -> None:
    """The same for ``ipsec eroute`` commands: for IPv6 ports, which no table can show."""
    translation = command_translation(*commands, **given)
    _run(gateway, Page(translation, ("commands",), (), allow_partial=False))


def command_translation(*commands: str, **given: Any) -> Translation:
    collector = Collector()
    read = [parse_eroute_command(words_of(text.split()), collector) for text in commands]
    eroutes = tuple(one.eroute for one in read if one and one.eroute)
    assert len(eroutes) == len(commands), collector.items
    host = KlipsHost(eroutes, insertion_known=True)
    return translate(host, options(**given))


def _run(gateway: Host, page: Page) -> None:
    gateway.ip(*"".join(render(page, Target.IP_BATCH)).splitlines())


def states(
    near: str, far: str, *protocols: Protocol, mode: Mode = "tunnel", reqid: int = FIRST
) -> list[State]:
    """A group of SAs, from the inside out, in both ways between two hosts."""
    return [
        State(
            source,
            target,
            protocol,
            spis[protocol],
            _ALGORITHMS[protocol],
            "transport" if place else mode,
            reqid,
        )
        for source, target, spis in ((near, far, AWAY), (far, near, BACK))
        for place, protocol in enumerate(protocols)
    ]


def templates(
    near: str,
    far: str,
    *protocols: Protocol,
    mode: Mode = "tunnel",
    reqid: int = FIRST,
    inbound: bool = False,
) -> tuple[Template, ...]:
    anything = ANY[6 if ":" in near else 4]
    return tuple(
        Template(
            anything if place or mode == "transport" else near,
            anything if place or mode == "transport" else far,
            protocol,
            "transport" if place else mode,
            reqid,
            # What was too small to be compressed comes without an IPCOMP header (RFC 3173, 2.2).
            use=inbound and protocol == "comp",
        )
        for place, protocol in enumerate(protocols)
    )


def policies(
    here: str,
    there: str,
    near: str,
    far: str,
    *protocols: Protocol,
    mode: Mode = "tunnel",
    priority: int = 10,
    only: int = 0,
    reqid: int = FIRST,
) -> list[Policy]:
    """What a key daemon installs at ``here`` for the nets ``near`` and ``far``."""
    out = templates(here, there, *protocols, mode=mode, reqid=reqid)
    back = templates(there, here, *protocols, mode=mode, reqid=reqid, inbound=True)
    ways: list[Literal["in", "fwd"]] = ["in"] if mode == "transport" else ["in", "fwd"]
    return [
        Policy("out", near, far, out, priority=priority, protocol=only),
        *(Policy(way, far, near, back, priority=priority, protocol=only) for way in ways),
    ]


def answer(
    bed: Bed,
    net: Addresses,
    *protocols: Protocol,
    near: str = "",
    far: str = "",
    mode: Mode = "tunnel",
    outer: Addresses | None = None,
    only: int = 0,
    reqid: int = FIRST,
) -> None:
    """SAs at both gateways, with the reqid that the table's templates have; policies at the peer.

    ``near`` and ``far`` are as the gateway sees them; in transport mode they are the gateways.
    """
    outer = outer or net
    width = 128 if ":" in net.gateway else 32
    if mode == "transport":
        near, far = f"{net.gateway}/{width}", f"{net.peer}/{width}"
    near, far = near or net.sender_net, far or net.receiver_net
    for host in (bed.gateway, bed.peer):
        host.xfrm.add(*states(outer.gateway, outer.peer, *protocols, mode=mode, reqid=reqid))
    bed.peer.xfrm.add(
        *policies(
            outer.peer, outer.gateway, far, near, *protocols, mode=mode, only=only, reqid=reqid
        )
    )
