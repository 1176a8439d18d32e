"""Policies and states of an xfrm interface: what is routed into it is protected, and only that.

Only the Debian kernel under QEMU has such links (``./dev test-qemu``), so this file is collected
there alone.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from eroute_translate.klips.interface import Attachment, Route
from eroute_translate.klips.said import SA_ESP, SA_IPIP
from eroute_translate.mapping.interfaces import with_interfaces
from eroute_translate.mapping.translation import translate
from eroute_translate.net import parse_prefix
from eroute_translate.render import Page, Target, render
from tests.netkey import associations, wire
from tests.netkey.unsealed import described
from tests.translated import options

if TYPE_CHECKING:
    from tests.netkey.bed import Addresses, Bed

LINK = 7


def test_what_is_routed_into_an_xfrm_interface(bed: Bed, net: Addresses) -> None:
    side = associations.Side(net, (SA_IPIP, SA_ESP), **associations.esp("aes", "sha1"))
    translation = translate(side.host(), options())
    states = [c.state._replace(if_id=LINK) for c in translation.states if c.state]
    policies = [policy._replace(if_id=LINK) for policy in translation.policies()]
    bed.gateway.channel.install_states(states)
    bed.gateway.channel.install(policies)
    assert {state.if_id for state in bed.gateway.channel.dump_states()} == {LINK}
    associations.answer(bed, net, [("esp", "tunnel", associations.words("aes", "sha1", 12))])
    # No route leads into it yet: its policies are for nobody.
    with bed.wire.capture() as middle:
        bed.sender.send(wire.udp(net.sender, net.other))
        assert [described(p) for p in middle.settled() if not p.outgoing] == ["clear"]
    bed.gateway.give(
        f"link add ipsec0 type xfrm dev outside if_id {LINK}",
        "link set ipsec0 up",
        f"route add {net.receiver_net} dev ipsec0",
    )
    with bed.wire.capture() as middle, bed.lan.capture() as lan:
        bed.sender.send(wire.echo(net.sender, net.receiver))
        lan.first(lambda p: p.source == net.receiver and p.type in (0, 129))
        seen = [described(p) for p in middle.settled()]
    assert seen == ["ESP 0x1001 tunnel ICV 96", "ESP 0x2001 tunnel ICV 96"]


def test_the_script_of_interface_xfrm(bed: Bed, net: Addresses) -> None:
    """Link, states, policies and route; what no eroute covers is dropped there, as in KLIPS."""
    side = associations.Side(net, (SA_IPIP, SA_ESP), **associations.esp("aes", "sha1"))
    host = side.host(
        attachments=(Attachment("ipsec0", "outside", associations.PLACE),),
        routes=(Route(parse_prefix(net.receiver_net), "ipsec0", associations.PLACE),),
    )
    translation = with_interfaces(translate(host, options()))
    page = Page(translation, ("host",), ())
    assert not page.stop_reasons
    associations.answer(bed, net, [("esp", "tunnel", associations.words("aes", "sha1", 12))])
    try:
        bed.gateway.script("".join(render(page, Target.IP_XFRM)))
        with bed.wire.capture() as middle, bed.lan.capture() as lan:
            bed.sender.send(wire.echo(net.sender, net.receiver))
            lan.first(lambda p: p.source == net.receiver and p.type in (0, 129))
            seen = [described(p) for p in middle.settled()]
        assert seen == ["ESP 0x1001 tunnel ICV 96", "ESP 0x2001 tunnel ICV 96"]
        with bed.wire.capture() as middle, bed.gateway.udp(net.gateway) as sender:
            # Routed into the link, and no eroute is for this source.
            with contextlib.suppress(OSError):
                sender.sendto(b"uncovered", (net.receiver, 9))
            assert not [p for p in middle.settled() if p.source == net.gateway]
    finally:
        bed.gateway.ip("link delete ipsec0")
