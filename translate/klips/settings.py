"""The settings that ipsec.conf took while there was KLIPS (ipsec.conf(5)), all versions.

``side`` stands for left and right alike.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Final

_SETUP: Final = """
interfaces klipsdebug plutodebug plutoopts plutostderrlog plutowait plutoload plutostart dumpdir
manualstart pluto prepluto postpluto fragicmp hidetos uniqueids overridemtu packetdefault
no_eroute_pass opportunistic forwardcontrol rp_filter nat_traversal virtual_private keep_alive
force_keepalive disable_port_floating nocrsend strictcrlpolicy crlcheckinterval nhelpers oe
protostack myid mynid syslog secctx_attr_value secctx-attr-value listen ikeport nflog-all
logfile logtime logappend plutofork curl-iface curl-timeout ddos-mode ddos-ike-threshold
max-halfopen-ike ike-socket-bufsize perpeerlog perpeerlogdir statsbin ipsecdir secretsfile
plutorestartoncrash xfrmlifetime shuntlifetime fips seccomp drop-oppo-null ocsp-enable
ocsp-strict ocsp-timeout ocsp-uri ocsp-trustname crl-strict dnssec-enable dnssec-rootkey-file
global-redirect global-redirect-to nssdir
"""

SETUP_SETTINGS: Final = frozenset(_SETUP.split())
"""What ``config setup`` took."""

_CONN: Final = """
side sidesubnet sidesubnets sidesubnetwithin sidenexthop sidefirewall sideupdown sideid
sidersasigkey sidersasigkey2 sidecert sideca sidesendcert sidegroups sideprotoport sidesourceip
sidexauthserver sidexauthclient sidexauthusername sideusername sidemodecfgserver
sidemodecfgclient sideaddresspool sidespi sideespspi sideahspi siderevmyid sidesendkey
sidesendcert sideckaid sideauth sidecat sidevti type auto keyexchange auth authby esp ah ike
phase2 phase2alg espenckey espauthkey ahkey espreplay_window ahreplay_window spi spibase pfs
pfsgroup compress keylife ikelifetime salifetime lifetime rekey rekeymargin rekeyfuzz
keyingtries disablearrivalcheck failureshunt negotiationshunt dpddelay dpdtimeout dpdaction
aggrmode xauth modecfgpull modecfgdns modecfgdns1 modecfgdns2 modecfgdomain modecfgbanner
forceencaps encapsulation nat_keepalive nat-keepalive ikev2 ikepad ikefrag ike_frag
fragmentation esn overlapip metric mtu priority reqid connalias sha2_truncbug sha2-truncbug
sareftrack narrowing initial_contact initial-contact cisco_unity cisco-unity fake-strongswan
send_vendorid send-vendorid labeled_ipsec labeled-ipsec policy_label policy-label
remote_peer_type remote-peer-type xauthby xauthfail ipsec-interface vti-interface vti-routing
vti-shared mark mark-in mark-out replay-window tfc nic-offload decap-dscp nopmtudisc conn_authby
connaddrfamily clientaddrfamily hostaddrfamily dmvpn retransmit-timeout retransmit-interval
no-esp-tfc ms-dh-downgrade dns-match-id pam-authorize accept-redirect send-redirect
nm_configured nm-configured loopback
"""

CONN_SETTINGS: Final = frozenset(_CONN.split())
"""What a ``conn`` section took, but for the keys of manual keying."""


_STRONGSWAN: Final = """
charonstart charondebug cachecrls pkcs11module pkcs11initargs pkcs11keepstate pkcs11proxy eapdir
mobike installpolicy eap eap_identity aaa_identity inactivity reauth mediation mediated_by me_peerid
lifebytes lifepackets margintime marginbytes marginpackets closeaction modeconfig
sideauth2 sideid2 sidecert2 sideca2 sidehostaccess sideallowany sidedns sideikeport
"""

STRONGSWAN_SETTINGS: Final = frozenset(_STRONGSWAN.split())
"""What strongSwan 2 and 4 took besides, mostly for a daemon that never spoke to KLIPS."""


def known_as(name: str, names: frozenset[str]) -> bool:
    """Whether a setting is among these; later versions wrote it with either sign."""
    return bool(names & {name, name.replace("-", "_"), name.replace("_", "-")})


def near(text: str, names: Collection[str]) -> str:
    """The known setting that was probably meant, or nothing."""
    found = difflib.get_close_matches(text, sorted(names), 1, 0.8)
    return found[0] if found else ""


def sideless(name: str) -> tuple[str, str]:
    """A setting without its side, and the side: ``leftsubnet`` is ``sidesubnet`` and ``left``."""
    for side in ("left", "right"):
        if name.startswith(side):
            return f"side{name[len(side) :]}", side
    return name, ""
