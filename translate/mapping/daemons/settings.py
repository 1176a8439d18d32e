"""What becomes of each setting of an ipsec.conf of the KLIPS era in the configuration of a daemon.

The tables name every setting of that time (a test compares them), so that none is dropped without a
word.  What libreswan still takes was tried with its own reader, version 4.10
(``addconn --checkconfig``).
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from .proposals import Daemon


class How(Enum):
    """What is done with a setting."""

    READ = "read"
    """Understood, and carried in the target's own terms."""

    SAME = "same"
    """Carried as it stands, under the name of the target."""

    VOID = "void"
    """Left out: there is nothing to set any more, and nothing changes (a note)."""

    LOSS = "loss"
    """Left out although it did something (a warning)."""

    REFUSE = "refuse"
    """Without it the connection would protect less, or something else: it is refused."""


class Fate(NamedTuple):
    """What becomes of a setting: ``name`` in the target, ``why`` for the finding."""

    how: How
    name: str = ""
    why: str = ""


def _fates(how: How, names: str, why: str = "") -> dict[str, Fate]:
    return {name: Fate(how, name, why) for name in names.split()}


def _renamed(**names: str) -> dict[str, Fate]:
    return {old: Fate(How.SAME, new) for old, new in names.items()}


_READ: Final = _fates(
    How.READ,
    "side sidesubnet sidesubnets sideid sideprotoport type auto authby ike esp phase2alg ah phase2"
    " pfs pfsgroup compress keylife salifetime lifetime ikelifetime rekey rekeymargin rekeyfuzz"
    " keyingtries ikev2 keyexchange auth dpddelay dpdtimeout dpdaction aggrmode sidersasigkey"
    " sidecert sidesendcert sidenexthop forceencaps encapsulation sha2_truncbug sha2-truncbug"
    " failureshunt negotiationshunt fragmentation ikefrag ike_frag",
)
"""Settings that both daemons have, with names and values of their own."""

_MANUAL: Final = _fates(
    How.VOID,
    "sidespi sideespspi sideahspi espenckey espauthkey espreplay_window ahreplay_window spi spibase"
    " ahkey",
    "it is for manual keying",
)
_COMMON: Final = (
    _READ
    | _MANUAL
    | _fates(How.VOID, "disablearrivalcheck", "XFRM always checks packets against their policy")
    | _fates(How.VOID, "sareftrack", "marks of SAs were for MAST")
    | _fates(How.VOID, "siderevmyid sidesendkey", "it did nothing for the packets")
    | _fates(
        How.LOSS, "sideupdown", "the old script routes into ipsecN, and there is no such interface"
    )
    | _fates(
        How.LOSS, "sidefirewall", "the daemon opens no firewall: allow the traffic of this tunnel"
    )
    | _fates(How.REFUSE, "sidegroups", "it limits who may connect, and nothing takes its place")
    | _fates(How.REFUSE, "sidesubnetwithin", "no daemon has it: name the networks, or use a pool")
    | _fates(How.REFUSE, "labeled_ipsec labeled-ipsec policy_label", "labels narrow the policies")
    | _fates(
        How.LOSS,
        "loopback dmvpn dns-match-id conn_authby xauth no-esp-tfc sidersasigkey2",
        "today's daemons do not have it",
    )
)

_LIBRESWAN: Final = (
    _COMMON
    | _fates(
        How.SAME,
        "accept-redirect cisco-unity clientaddrfamily connalias decap-dscp esn fake-strongswan"
        " hostaddrfamily ikepad initial-contact ipsec-interface mark mark-in mark-out metric"
        " modecfgbanner modecfgdns modecfgpull ms-dh-downgrade mtu narrowing nat-keepalive"
        " nic-offload nm-configured nopmtudisc overlapip pam-authorize policy-label priority"
        " remote-peer-type replay-window reqid retransmit-interval retransmit-timeout"
        " send-redirect send-vendorid tfc vti-interface vti-routing vti-shared xauthby xauthfail"
        " sideca sideauth sideaddresspool sidecat sideckaid sidemodecfgclient sidemodecfgserver"
        " sideusername sidexauthclient sidexauthserver sidexauthusername sidevti sidesourceip",
    )
    | _renamed(
        cisco_unity="cisco-unity",
        initial_contact="initial-contact",
        nat_keepalive="nat-keepalive",
        send_vendorid="send-vendorid",
        remote_peer_type="remote-peer-type",
        nm_configured="nm-configured",
        connaddrfamily="hostaddrfamily",
        modecfgdomain="modecfgdomains",
    )
    | _fates(How.LOSS, "modecfgdns1 modecfgdns2", "it is modecfgdns=ADDRESS,ADDRESS now")
)

_SWANCTL: Final = (
    _COMMON
    | _fates(
        How.REFUSE,
        "sidexauthserver sidexauthclient sidexauthusername sideusername sidemodecfgserver"
        " sidemodecfgclient sideaddresspool xauthby pam-authorize",
        "XAUTH and addresses for the peer are not carried: a section of its own, and a pool",
    )
    | _fates(
        How.REFUSE,
        "mark mark-in mark-out ipsec-interface vti-interface vti-routing vti-shared sidevti sidecat"
        " policy-label",
        "the policies would take other packets than those that were meant",
    )
    | _fates(How.REFUSE, "sideca", "a certification authority is named by its file (cacerts)")
    | _fates(How.REFUSE, "sideckaid sideauth", "keys and methods are named in another way")
    | _fates(
        How.LOSS,
        "modecfgpull modecfgdns modecfgdns1 modecfgdns2 modecfgdomain modecfgbanner xauthfail",
        "it is for addresses that a peer asks for",
    )
    | _fates(
        How.LOSS,
        "esn narrowing metric mtu priority reqid replay-window tfc nic-offload decap-dscp"
        " nopmtudisc",
        "the daemon has its own default; see the children section of swanctl.conf(5)",
    )
    | _fates(
        How.LOSS,
        "accept-redirect send-redirect cisco-unity cisco_unity fake-strongswan ikepad"
        " initial-contact initial_contact ms-dh-downgrade nat-keepalive nat_keepalive"
        " send-vendorid send_vendorid retransmit-interval retransmit-timeout connalias",
        "it is a matter of the whole daemon: see strongswan.conf(5)",
    )
    | _fates(
        How.VOID,
        "clientaddrfamily hostaddrfamily connaddrfamily overlapip remote_peer_type"
        " remote-peer-type nm_configured nm-configured",
        "the daemon needs no such word",
    )
    | _fates(How.VOID, "sidesourceip", "routes of the daemon take an address of the local network")
)

CONNECTION_FATES: Final = {Daemon.LIBRESWAN: _LIBRESWAN, Daemon.SWANCTL: _SWANCTL}
"""By daemon, each setting of a connection; ``side`` stands for left and right."""

_SETUP_COMMON: Final = (
    _fates(How.VOID, "interfaces", "policies need no interface of their own (--interface xfrm)")
    | _fates(How.VOID, "klipsdebug protostack overridemtu", "there is no KLIPS any more")
    | _fates(How.LOSS, "hidetos", "what is copied to the outer header is up to the daemon: DSCP is")
    | _fates(How.LOSS, "fragicmp", "packets that are too big are answered with ICMP, always")
    | _fates(
        How.VOID,
        "plutodebug plutoopts plutostderrlog plutowait plutoload plutostart dumpdir pluto syslog"
        " secctx_attr_value secctx-attr-value logfile logtime logappend plutofork perpeerlog"
        " perpeerlogdir statsbin ipsecdir secretsfile plutorestartoncrash fips seccomp nssdir"
        " nhelpers ike-socket-bufsize nflog-all curl-iface curl-timeout",
        "it is about running the old daemon",
    )
    | _fates(How.VOID, "packetdefault no_eroute_pass", "its eroute is a shunt of its own here")
    | _fates(
        How.LOSS,
        "manualstart prepluto postpluto forwardcontrol rp_filter opportunistic oe myid mynid",
        "whatever it started or set has to be done on the new host by hand",
    )
    | _fates(
        How.VOID,
        "nat_traversal disable_port_floating force_keepalive",
        "NAT traversal is always on",
    )
    | _fates(How.LOSS, "strictcrlpolicy nocrsend keep_alive ikeport", "set it in the new daemon")
)
_SETUP_NEWER: Final = (
    "virtual_private uniqueids crlcheckinterval listen ddos-mode ddos-ike-threshold"
    " max-halfopen-ike xfrmlifetime shuntlifetime drop-oppo-null ocsp-enable ocsp-strict"
    " ocsp-timeout ocsp-uri ocsp-trustname crl-strict dnssec-enable dnssec-rootkey-file"
    " global-redirect global-redirect-to"
)
SETUP_FATES: Final = {
    Daemon.LIBRESWAN: _SETUP_COMMON
    | _fates(How.SAME, _SETUP_NEWER)
    | _renamed(virtual_private="virtual-private"),
    Daemon.SWANCTL: _SETUP_COMMON
    | _fates(How.LOSS, _SETUP_NEWER, "it is a matter of the whole daemon: see strongswan.conf(5)")
    | _fates(How.READ, "uniqueids"),
}
"""By daemon, each setting of ``config setup``."""
