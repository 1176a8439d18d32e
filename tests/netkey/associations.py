"""A KLIPS host with its associations at the gateway, and by hand what answers it at the peer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eroute_translate.diagnostics import Span
from eroute_translate.klips.association import Association, Group
from eroute_translate.klips.eroute import Eroute
from eroute_translate.klips.host import KlipsHost
from eroute_translate.klips.said import SA_AH, SA_COMP, SA_ESP, SA_IPIP, Said
from eroute_translate.mapping.model import Options
from eroute_translate.mapping.translation import translate
from eroute_translate.net import Prefix, Selector, parse_address, parse_prefix
from eroute_translate.render import Page, Target, render
from eroute_translate.secret import Secret

from .bed import V4, Addresses, Bed

if TYPE_CHECKING:
    from collections.abc import Sequence

OUT, BACK = 0x1001, 0x2001
PLACE = Span("host", 1)

# Cipher of KLIPS, its key length, block and IV in octets, the kernel's name.
CIPHERS = {
    "3des": (192, 8, 8, "cbc(des3_ede)"),
    "des": (64, 8, 8, "cbc(des)"),
    "aes": (128, 16, 16, "cbc(aes)"),
    "aes256": (256, 16, 16, "cbc(aes)"),
    "blowfish": (128, 8, 8, "cbc(blowfish)"),
    "cast": (128, 8, 8, "cbc(cast5)"),
    "serpent": (128, 16, 16, "cbc(serpent)"),
    "twofish": (128, 16, 16, "cbc(twofish)"),
    "null": (0, 1, 0, "ecb(cipher_null)"),
}
# Authenticator, key length, the kernel's name, the check value's octets by RFC 4868.
HASHES = {
    "md5": (128, "hmac(md5)", 12),
    "sha1": (160, "hmac(sha1)", 12),
    "sha2_256": (256, "hmac(sha256)", 16),
    "sha2_384": (384, "hmac(sha384)", 24),
    "sha2_512": (512, "hmac(sha512)", 32),
    "ripemd": (160, "hmac(rmd160)", 12),
}


def key(bits: int) -> Secret:
    return Secret(bytes(range(1, bits // 8 + 1)))


def said(protocol: int, spi: int, address: str) -> Said:
    family, number = parse_address(address)
    return Said(protocol, spi, family, number)


class Side:
    """The KLIPS host at the gateway: two groups of the same protocols, and an eroute."""

    def __init__(self, net: Addresses, protocols: Sequence[int], **more: Any) -> None:
        self.net = net
        self.tunnel = protocols[0] == SA_IPIP
        self.protocols = protocols
        self.more = more

    def host(self, **host: Any) -> KlipsHost:
        net = self.net
        near, far = parse_prefix(net.sender_net), parse_prefix(net.receiver_net)
        if not self.tunnel:
            near, far = (
                Prefix(*parse_address(address), (1 << (32 if net is V4 else 128)) - 1)
                for address in (net.gateway, net.peer)
            )
        groups = [
            tuple(said(protocol, spi, end) for protocol in self.protocols)
            for spi, end in ((OUT, net.peer), (BACK, net.gateway))
        ]
        return KlipsHost(
            (Eroute(Selector(near, far), groups[0], PLACE),),
            associations=tuple(self._associations(groups, near, far)),
            groups=tuple(Group(group, PLACE) for group in groups),
            **host,
        )

    def _associations(
        self, groups: Sequence[tuple[Said, ...]], near: Prefix, far: Prefix
    ) -> list[Association]:
        made = []
        for group, source, inbound in (
            (groups[0], self.net.gateway, False),
            (groups[1], self.net.peer, True),
        ):
            for name in group:
                fields: dict[str, Any] = {}
                if name.protocol == SA_IPIP and inbound:
                    fields["policy"] = (far, near)
                if name.protocol in (SA_ESP, SA_AH):
                    fields = dict(self.more)
                if name.protocol == SA_AH:
                    fields.pop("encryption", None)
                    fields.pop("encryption_key", None)
                    fields.pop("encapsulation", None)
                if name.protocol == SA_COMP:
                    fields["compression"] = "deflate"
                made.append(Association(name, PLACE, inbound, parse_address(source), **fields))
        return made


def esp(cipher: str, digest: str) -> dict[str, Any]:
    bits = CIPHERS[cipher][0]
    fields: dict[str, Any] = {"encryption": cipher.removesuffix("256")}
    if bits:
        fields["encryption_key"] = key(bits)
    if digest:
        fields["authentication"] = digest
        fields["authentication_key"] = key(HASHES[digest][0])
    return fields


def install(bed: Bed, host: KlipsHost, **given: Any) -> None:
    translation = translate(host, Options(**given))
    assert not translation.refused
    assert not [c for c in translation.states if c.kind == "refused"], translation.states
    page = Page(translation, ("host",), ())
    bed.gateway.run("dash", text="".join(render(page, Target.IP_XFRM)))


def words(cipher: str, digest: str, octets: int) -> str:
    """What ``ip`` is told at the peer."""
    text = ""
    if digest:
        bits, name, _ = HASHES[digest]
        text += f" auth-trunc {name} 0x{key(bits).reveal().hex()} {octets * 8}"
    if cipher:
        bits, _, _, name = CIPHERS[cipher]
        text += f" enc {name} " + (f"0x{key(bits).reveal().hex()}" if bits else '""')
    return text


def answer(bed: Bed, net: Addresses, steps: Sequence[tuple[str, str, str]], more: str = "") -> None:
    """The peer by hand: protocol, mode and algorithms of each step, from the inside out."""
    near, far = net.sender_net, net.receiver_net
    if steps[0][1] == "transport":
        near, far = net.gateway, net.peer
    ends = {"tunnel": (net.gateway, net.peer), "transport": (None, None)}
    lines = []
    for spi, source, target in ((OUT, net.gateway, net.peer), (BACK, net.peer, net.gateway)):
        lines += [
            f"xfrm state add src {source} dst {target} proto {protocol} spi {spi:#x} reqid 9"
            f" mode {mode}{algorithms}{more if protocol == 'esp' else ''}"
            for protocol, mode, algorithms in steps
        ]
    for direction, source, target in (("out", far, near), ("in", near, far), ("fwd", near, far)):
        line = f"xfrm policy add src {source} dst {target} dir {direction}"
        for protocol, mode, _ in steps:
            here, there = ends[mode]
            if direction == "out":
                here, there = there, here
            place = f"src {here} dst {there} " if here else ""
            use = " level use" if protocol == "comp" and direction != "out" else ""
            line += f" tmpl {place}proto {protocol} reqid 9 mode {mode}{use}"
        lines.append(line)
    bed.peer.ip(*lines)
