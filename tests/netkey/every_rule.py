"""The fates of docs/on-the-wire.md: at least one for every rule of docs/mapping.md."""

from __future__ import annotations

from typing import Final

from .fates import KLIPS, Fate, Peer, Probe, alone, forwarded, only_v4, only_v6
from .translated import FIRST

TO_FAR: Final = Probe("here", "there")
FROM_FAR: Final = Probe("there", "here", ports=(9, 40000))
IN_CLEAR: Final = FROM_FAR._replace(injected=True)
TO_OTHER: Final = Probe("here", "other")
FROM_OTHER: Final = Probe("other", "here", ports=(9, 40000))
THRICE: Final = TO_FAR._replace(times=3)
LARGE: Final = TO_FAR._replace(size=600)
BETWEEN: Final = Probe("gateway", "peer")
BACK_BETWEEN: Final = Probe("peer", "gateway")
TO_ELSEWHERE: Final = Probe("here", "elsewhere")
IKE, NAT_IKE, NO_IKE = (Probe("here", "there", ports=(port, 500)) for port in (500, 4500, 501))
IKE_OTHER: Final = Probe("here", "other", ports=(500, 500))
PEER_IKE, PEER_NAT_IKE, NO_PEER_IKE = (
    Probe("gateway", "peer", ports=(port, 500)) for port in (500, 4500, 501)
)

TUNNEL: Final = "lan -> far => tun"
BUNDLE: Final = "lan -> far => tun+comp+esp"
PAIR: Final = "gateway -> peer => "
HOLE: Final = f"{TUNNEL}; lan -> part => %pass"
EVERYTHING: Final = "all -> all => tun"
FROM_LAN: Final = "lan -> all => tun"

ALL_OF_FAR: Final = Peer(far="far")
PART: Final = Peer(far="part")
PROTECTED_PAIR: Final = Peer(("esp",), "gateway", "peer", only=17, ike=True)
AH: Final = Peer(("ah",))
ESP_AH: Final = Peer(("esp", "ah"))
COMP_ESP: Final = Peer(("comp", "esp"))
HOSTS, HOSTS_AH, HOSTS_ESP_AH, HOSTS_COMP_ESP, HOSTS_COMP = (
    Peer(group, "gateway", "peer", "transport")
    for group in (("esp",), ("ah",), ("esp", "ah"), ("comp", "esp"), ("comp",))
)

CLEAR: Final = "clear, arrives"
ESP: Final = "ESP 0x1001 tunnel ICV 96, arrives"
ESP_BACK: Final = "ESP 0x2001 tunnel ICV 96: accepted"
NOT_OURS: Final = "ESP 0x2001 tunnel ICV 96: dropped (InTmplMismatch)"
ACCEPTED: Final = "clear: accepted"
REFUSED: Final = "clear: dropped (InTmplMismatch)"
NOTHING: Final = "refused, nothing installed"
STOPPED: Final = "dropped (OutPolBlock)"
BLOCKED: Final = (STOPPED, "dropped (OutPolBlock), EPERM")
ASKED: Final = "asks once for ESP to there; dropped (OutNoStates)"
ASKED_PEER: Final = "asks once for ESP to peer; dropped (OutNoStates)"
OWN: Final = ("dropped (InPolBlock)", CLEAR)
"""A packet that this host may send and nobody behind it."""
FOUND: Final = f"ICMPv6 135 goes in clear; ICMPv6 136 comes in clear; {ESP}"

SHUNTS: Final = (
    Fate("pass", "lan -> far => %pass", TO_FAR, CLEAR, peer=None),
    Fate("pass", HOLE, TO_OTHER, CLEAR),
    Fate("pass", HOLE, FROM_OTHER._replace(injected=True), ACCEPTED),
    Fate("pass", HOLE, FROM_OTHER, NOT_OURS, peer=ALL_OF_FAR),
    Fate("pass", HOLE, FROM_OTHER, ESP_BACK, KLIPS, ALL_OF_FAR),
    Fate("drop", "lan -> far => %drop", TO_FAR, BLOCKED, peer=None),
    Fate("drop", "lan -> far => %drop", IN_CLEAR, ACCEPTED, peer=None),
    Fate("reject", "lan -> far => %reject", TO_FAR, BLOCKED, peer=None),
    *(
        Fate(name, f"lan -> far => %{name}", probe, seen)
        for name in ("trap", "trapsubnet", "hold")
        for probe, seen in ((THRICE, ASKED), (IN_CLEAR, ACCEPTED))
    ),
    Fate("passthrough", f"{TUNNEL}; lan -> part => %passthrough", TO_OTHER, CLEAR),
    *(
        Fate("unknown", f"lan -> far => {name}", TO_FAR, BLOCKED, peer=None)
        for name in ("%unk-300", "unk", "(error)")
    ),
    Fate("unreadable", "lan -> far => tun0x1002@", TO_FAR, NOTHING, peer=None),
    Fate("unreadable", "lan -> far => tun0x1002@", TO_FAR, BLOCKED, peer=None, partial=True),
)
REJECTED: Final = (
    Fate(
        "reject",
        "lan -> far => %reject",
        TO_FAR,
        ("dropped, ICMP 3/13", BLOCKED[1], "dropped, ICMP 1/1", BLOCKED[1]),
        peer=None,
        nft=True,
    ),
    Fate(
        "reject",
        "lan -> far => %reject; lan -> part => %pass",
        TO_OTHER,
        CLEAR,
        peer=None,
        nft=True,
    ),
    Fate(
        "reject",
        "lan -> far => %reject",
        TO_FAR,
        BLOCKED,
        {"reject_rule": False},
        None,
        nft=True,
    ),
)
TUNNELS: Final = (
    Fate("tunnel", "lan -> far => tun+esp", TO_FAR, ESP),
    Fate("tunnel", "lan -> far => tun+esp", FROM_FAR, ESP_BACK),
    Fate("tunnel", "lan -> far => tun+esp", IN_CLEAR, REFUSED),
    Fate("tunnel", "lan -> far => tun+esp", IN_CLEAR, ACCEPTED, KLIPS),
    Fate("tunnel", "lan -> far => tun+esp", FROM_FAR, ESP_BACK, KLIPS),
    Fate("tunnel", "lan -> far => tun+esp", THRICE, ASKED_PEER, peer=None),
    Fate("tunnel", "lan -> far => tun+ah", TO_FAR, "AH 0x1101 tunnel ICV 96, arrives", peer=AH),
    Fate(
        "tunnel",
        "lan -> far => tun+esp+ah",
        TO_FAR,
        "AH 0x1101 transport (ESP 0x1001 tunnel ICV 96) ICV 96, arrives",
        peer=ESP_AH,
    ),
    Fate(
        "tunnel",
        "lan -> far => tun+esp+ah",
        FROM_FAR,
        "AH 0x2101 transport (ESP 0x2001 tunnel ICV 96) ICV 96: accepted",
        peer=ESP_AH,
    ),
    Fate(
        "tunnel",
        BUNDLE,
        LARGE,
        "ESP 0x1001 transport (IPCOMP 0x1201 tunnel) ICV 96, arrives",
        peer=COMP_ESP,
    ),
    Fate("tunnel", BUNDLE, TO_FAR, ESP, peer=COMP_ESP),
    Fate("tunnel", BUNDLE, FROM_FAR, ESP_BACK, peer=COMP_ESP),
    Fate("tunnel", BUNDLE, IN_CLEAR, REFUSED, peer=COMP_ESP),
    Fate("tunnel", "lan -> far => tun+esp@beyond", TO_FAR, ESP, peer=Peer(other_family=True)),
    Fate("tunnel", f"{TUNNEL}; lan -> part => tun2", FROM_OTHER, NOT_OURS, peer=ALL_OF_FAR),
    *(
        Fate("tunnel", "lan -> far => tun+esp", TO_FAR, seen, given, newer=FIRST)
        for seen, given in (
            (ESP.replace("0x1001", "0x4001"), {}),
            (ESP, {"template_by": "spi"}),
        )
    ),
    Fate("tunnel-assumed", TUNNEL, TO_FAR, ESP),
    Fate("tunnel-assumed", TUNNEL, TO_FAR, ESP, {"local": "gateway"}),
    Fate("tunnel-assumed", TUNNEL, FROM_FAR, ESP_BACK, {"local": "gateway"}),
    Fate("tunnel-assumed", TUNNEL, TO_FAR, ASKED_PEER, peer=AH),
    Fate(
        "tunnel-assumed", TUNNEL, TO_FAR, "AH 0x1101 tunnel ICV 96, arrives", {"assume": (51,)}, AH
    ),
    Fate("tunnel-assumed", EVERYTHING, TO_FAR, ESP),
    Fate("group", "lan -> far => tun+esp+comp", TO_FAR, NOTHING, peer=None),
    Fate("group", "lan -> far => tun+esp+comp", TO_FAR, BLOCKED, peer=None, partial=True),
    Fate("bare-tunnel", TUNNEL, TO_FAR, NOTHING, peer=None, source="host"),
    Fate("bare-tunnel", TUNNEL, TO_FAR, BLOCKED, source="host", partial=True),
)
TRANSPORTS: Final = (
    Fate(
        "transport",
        f"{PAIR}esp",
        BETWEEN,
        alone("ESP 0x1001 transport ICV 96, arrives"),
        peer=HOSTS,
    ),
    Fate(
        "transport",
        f"{PAIR}esp",
        BACK_BETWEEN,
        alone("ESP 0x2001 transport ICV 96: accepted"),
        peer=HOSTS,
    ),
    *(
        Fate("transport", f"{PAIR}esp", BACK_BETWEEN._replace(injected=True), alone(seen), given)
        for seen, given in ((REFUSED, {}), (ACCEPTED, KLIPS))
    ),
    Fate(
        "transport",
        f"{PAIR}ah",
        BETWEEN,
        alone("AH 0x1101 transport ICV 96, arrives"),
        peer=HOSTS_AH,
    ),
    Fate(
        "transport",
        f"{PAIR}esp+ah",
        BETWEEN,
        alone("AH 0x1101 transport (ESP 0x1001 transport ICV 96) ICV 96, arrives"),
        peer=HOSTS_ESP_AH,
    ),
    Fate(
        "transport",
        f"{PAIR}comp+esp",
        BETWEEN._replace(size=600),
        alone("ESP 0x1001 transport (IPCOMP 0x1201 transport) ICV 96, arrives"),
        peer=HOSTS_COMP_ESP,
    ),
    Fate("transport", "lan -> there => esp@there", THRICE, ASKED, peer=None),
    Fate("transport", "lan -> there => esp@there", IN_CLEAR, (ACCEPTED, REFUSED), peer=None),
    Fate(
        "compression",
        f"{PAIR}comp",
        BETWEEN._replace(size=600),
        alone("IPCOMP 0x1201 transport, arrives"),
        peer=HOSTS_COMP,
    ),
    Fate("compression", f"{PAIR}comp", BETWEEN, alone(CLEAR), peer=HOSTS_COMP),
    Fate(
        "compression",
        "lan -> there => comp@there",
        THRICE,
        "asks once for COMP to there; dropped (OutNoStates)",
        peer=None,
    ),
    Fate(
        "compression",
        f"{PAIR}comp",
        BACK_BETWEEN._replace(injected=True),
        alone(ACCEPTED),
        peer=HOSTS_COMP,
    ),
)
SELECTORS: Final = (
    *(
        Fate(
            "ports",
            f"{TUNNEL}; lan -> far => %drop --transport-proto udp --src-port 1024 --dst-port 53",
            TO_FAR._replace(ports=ports),
            seen,
            source="commands",
        )
        for ports, seen in (((1024, 53), BLOCKED), ((1024, 54), ESP), ((1025, 53), ESP))
    ),
    *(
        Fate(
            "ports",
            f"{TUNNEL}; lan -> far:53 => %pass",
            Probe("here", "there", protocol, (7, 53)),
            only_v4(CLEAR, CLEAR),
            peer=None,
        )
        for protocol in ("udp", "tcp")
    ),
    *(
        Fate(
            "ports",
            f"{TUNNEL}; lan -> far:53 => {said}",
            Probe("here", "there", "sctp", (7, 53)),
            only_v4(ESP, ""),
        )
        for said in ("%pass", "%pass:132")
    ),
    *(
        Fate("mask-with-holes", "lan -> holes => %drop", Probe("here", word), seen, peer=None)
        for word, seen in (("in-mask", BLOCKED), ("in-hole", CLEAR))
    ),
    *(
        Fate(
            "mask-with-holes",
            "lan -> holes => %drop",
            Probe("here", "in-hole"),
            seen,
            {"mask_limit": 1},
            None,
            partial=partial,
        )
        for partial, seen in ((False, NOTHING), (True, BLOCKED))
    ),
    *(
        Fate("host-bits", "lan -> loose => %drop", Probe("here", word), only_v4(*seen), peer=None)
        for word, seen in (("in-loose", BLOCKED), ("beside", (CLEAR, CLEAR)))
    ),
    *(
        Fate(
            "host-bits",
            "lan -> far => %drop; lan -> low => %drop; lan -> loose => %pass",
            Probe("here", "in-loose"),
            only_v4(*seen),
            peer=None,
            partial=partial,
        )
        for partial, seen in ((False, (NOTHING, NOTHING)), (True, BLOCKED))
    ),
    Fate("host-bits", "lan -> loose => %drop", TO_FAR, only_v6(NOTHING, NOTHING), peer=None),
    *(
        Fate(
            "kernel-hold",
            f"lan -> far => {said}; here/mapped -> there/mapped => %hold",
            TO_FAR,
            only_v6(ASKED, ASKED),
        )
        for said in ("%pass", "tun")
    ),
)
OWN_TRAFFIC: Final = (
    *(
        Fate("own-ike", f"{PAIR}tun", probe, alone(seen), peer=PROTECTED_PAIR)
        for probe, seen in (
            (PEER_IKE, CLEAR),
            (PEER_NAT_IKE, CLEAR),
            (NO_PEER_IKE, ESP),
            (Probe("gateway", "peer", "esp"), "as it is"),
            (Probe("gateway", "peer", "ah"), "as it is"),
            (Probe("peer", "gateway", ports=(500, 500), injected=True), ACCEPTED),
            (Probe("peer", "gateway", ports=(500, 4500), injected=True), ACCEPTED),
            (Probe("peer", "gateway", ports=(500, 9), injected=True), REFUSED),
        )
    ),
    *(
        Fate(
            "own-ike",
            "lan -> peer => tun",
            probe,
            seen,
            given,
            Peer(far="peer", ike=not given),
        )
        for probe in (PEER_IKE._replace(source="here"), PEER_NAT_IKE._replace(source="here"))
        for given, seen in (({}, OWN), ({"local": "gateway"}, ESP))
    ),
    *(
        Fate("own-ike", f"lan -> far => {said}", probe, seen, peer=None)
        for said, other in (("%drop", BLOCKED), ("%trap", ASKED))
        for probe, seen in ((IKE, OWN), (NAT_IKE, OWN), (NO_IKE, other))
    ),
    Fate("own-ike", "lan -> far => %drop", IKE, (STOPPED, CLEAR), {"local": "inside"}, None),
    *(
        Fate("own-ike", f"lan -> far => {said}; part -> lan => %pass", IKE_OTHER, OWN, peer=None)
        for said in ("%drop", "%trap")
    ),
    Fate("own-ike", EVERYTHING, IKE, ESP),
    Fate(
        "neighbour-discovery",
        EVERYTHING,
        TO_FAR,
        only_v6(FOUND, FOUND),
        {"bypass": "lan"},
        Peer(only=17),
        strangers=True,
    ),
    Fate(
        "neighbour-discovery",
        f"{TUNNEL}; all -> all => %drop",
        TO_FAR,
        only_v6(FOUND, FOUND),
        {"bypass": "lan"},
        strangers=True,
    ),
    Fate(
        "neighbour-discovery",
        f"{PAIR}tun",
        BETWEEN,
        only_v6("", FOUND),
        peer=PROTECTED_PAIR,
        strangers=True,
    ),
    *(
        Fate(
            "neighbour-discovery",
            f"all -> all => {said}",
            Probe("here", "there", kind),
            only_v6("dropped (InPolBlock)", ""),
            peer=None,
        )
        for said in ("tun", "%drop")
        for kind in ("solicitation", "advertisement", "redirect")
    ),
)
ROUTED: Final = {"routed": "far"}
SCOPE: Final = (
    Fate("scope", "lan -> part => tun", TO_OTHER, ESP, ROUTED, PART),
    Fate("scope", "lan -> part => tun", TO_FAR, BLOCKED, ROUTED, None),
    Fate("scope", "lan -> part => tun", IN_CLEAR, ACCEPTED, ROUTED, None),
    Fate("scope", "lan -> part => tun", TO_ELSEWHERE, "clear", ROUTED, None),
    Fate("scope", "lan -> part => tun", IKE, OWN, ROUTED, None),
    Fate("scope", TUNNEL, TO_FAR, CLEAR, {"routed": "part"}, None),
    Fate("scope", f"{TUNNEL}; lan -> other => %drop", TO_OTHER, CLEAR, {"bypass": "part"}),
    Fate(
        "scope",
        f"{TUNNEL}; lan -> other => %drop",
        FROM_OTHER._replace(injected=True),
        ACCEPTED,
        {"bypass": "part"},
    ),
    Fate("direction", EVERYTHING, FROM_FAR, ESP_BACK, {"bypass": "lan"}),
    Fate("direction", EVERYTHING, IN_CLEAR, alone(ACCEPTED)),
    Fate("direction", FROM_LAN, IN_CLEAR, REFUSED, {"bypass": "lan"}),
    Fate("direction", f"{FROM_LAN}; lan -> lan => %pass", IN_CLEAR, REFUSED),
    Fate("direction", FROM_LAN, TO_FAR, ESP, {"bypass": "lan"}),
)
INTO_FAR: Final = "lan dev eth1; neighbours dev eth0; far dev ipsec0; all dev eth0"
INTO_ALL: Final = "lan dev eth1; neighbours dev eth0; part dev eth0; all dev ipsec0"
ROUTES: Final = (
    *(
        Fate("routed-uncovered", "lan -> part => tun", probe, seen, peer=PART, routes=INTO_FAR)
        for probe, seen in (
            (TO_OTHER, ESP),
            (TO_FAR, BLOCKED),
            (IN_CLEAR, ACCEPTED),
            (IKE, OWN),
            (TO_ELSEWHERE, "clear"),
        )
    ),
    Fate(
        "routed-uncovered",
        "lan -> part => tun",
        TO_FAR,
        CLEAR,
        {"scope": "eroutes"},
        PART,
        routes=INTO_FAR,
    ),
    *(
        Fate("never-routed", FROM_LAN, probe, seen, routes=INTO_ALL)
        for probe, seen in (
            (TO_FAR, ESP),
            (TO_OTHER, CLEAR),
            (FROM_OTHER._replace(injected=True), ACCEPTED),
            (IN_CLEAR, REFUSED),
        )
    ),
)
NESTED: Final = (
    "all -> all => %drop; lan -> far => tun; lan -> part => %drop; lan -> other => %pass"
)
ORDER: Final = (
    *(
        Fate("precedence", NESTED, probe, seen)
        for probe, seen in (
            (TO_FAR, ESP),
            (TO_OTHER, CLEAR),
            (Probe("here", "in-part"), BLOCKED),
            (TO_ELSEWHERE, BLOCKED),
        )
    ),
    *(
        Fate("precedence", table, Probe("behind", "other"), forwarded(seen), peer=PART)
        for table, seen in (
            ("near-part -> far => tun; lan -> part => %drop", ESP),
            ("near-part -> far => %drop; lan -> part => tun", STOPPED),
        )
    ),
    Fate(
        "precedence",
        f"{TUNNEL}; lan -> part => tun2",
        TO_OTHER,
        "ESP 0x4001 tunnel ICV 96",
        peer=ALL_OF_FAR,
        newer=FIRST + 1,
    ),
)
SAS: Final = (
    *(
        Fate(
            "associations",
            f"lan -> far => tun+esp, {cipher}-{digest}{', ' + version if version else ''}",
            probe,
            f"ESP {0x1001 if probe is TO_FAR else 0x2001:#x} tunnel ICV {icv}"
            + (", arrives" if probe is TO_FAR else ": accepted"),
            {"icv": "96"} if overruled else {},
            source=f"{cipher} {digest} {icv} {version}",
        )
        for cipher, digest, icv, version, overruled in (
            ("3des", "md5", 96, "", False),
            ("aes", "sha1", 96, "", False),
            ("aes", "sha2_256", 96, "Openswan version: 2.6.38", False),
            ("aes", "sha2_256", 128, "Libreswan version: 3.20", False),
            ("aes", "sha2_256", 96, "Libreswan version: 3.20", True),
            ("aes", "sha2_384", 192, "Libreswan version: 3.20", False),
            ("aes", "sha2_512", 256, "Libreswan version: 3.20", False),
        )
        for probe in (TO_FAR, FROM_FAR)
        if probe is TO_FAR or digest == "md5"
    ),
)

FATES: Final = (
    *SHUNTS,
    *REJECTED,
    *TUNNELS,
    *TRANSPORTS,
    *SELECTORS,
    *OWN_TRAFFIC,
    *SCOPE,
    *ROUTES,
    *ORDER,
    *SAS,
)
