"""Every code of a diagnostic or finding, with its title.

The one list of them; ``docs/findings.md`` has a paragraph for each, and a test compares the two.
Codes are never reused.
"""

from __future__ import annotations

from typing import Final

TITLES: Final = {
    # 1xx: reading
    "ET101": "a row has the shape of an eroute but cannot be read",
    "ET102": "an address or mask cannot be read",
    "ET103": "a SAID cannot be read",
    "ET104": "the address families of a row do not fit together",
    "ET105": "a port or protocol is out of range",
    "ET106": "a row or table is cut",
    "ET107": "a line is too long to be a row",
    "ET108": "a file cannot be read",
    "ET109": "the input is binary",
    "ET110": "the kernel repeated part of its table and lost the rest",
    "ET111": "the input holds more than one table",
    "ET112": "the kernel damaged an IPv6 row when it printed it",
    "ET113": "the same selector stands twice",
    "ET114": "lines that nothing reads were passed over",
    "ET115": "nothing to translate",
    "ET116": "a packet count is out of range",
    "ET117": "there is text behind the end of a row",
    # 12x: ipsec eroute commands
    "ET120": "an option of ipsec eroute is unknown or stands in the wrong place",
    "ET121": "an ipsec eroute command is incomplete",
    "ET122": "the value of an option cannot be read",
    "ET123": "the tool of that time would not have done what the command says",
    "ET124": "ipsec eroute --clear has no counterpart that spares others' policies",
    # 13x: the other proc tables
    "ET130": "a row of another KLIPS table cannot be read",
    "ET131": "a row of another KLIPS table is cut",
    "ET132": "an SA has a field that no version of KLIPS prints",
    "ET133": "KLIPS could not name an SA or its algorithms",
    "ET134": "the order of a chain of SAs is not certain",
    "ET135": "an SA stands in two chains",
    "ET136": "the fields of an SA do not stand as KLIPS prints them",
    # 14x: captures
    "ET140": "a route cannot be read",
    "ET141": "a routing rule cannot be read",
    "ET142": "an address of an interface cannot be read",
    "ET143": "the input holds more than one host",
    "ET144": "a folder or archive cannot be read whole",
    "ET145": "files that hold no table were passed over",
    # 15x: scripts of shell commands
    # 16x: ipsec.conf
    # 2xx: mapping
    "ET201": "the local gateway is not known",
    "ET202": "the group behind a tunnel SAID is not known",
    "ET203": "%trap and %hold are what XFRM does by itself",
    "ET204": "%reject needs a firewall rule for its ICMP answer",
    "ET205": "%passthrough: the manual page and the kernel disagree",
    "ET206": "a SAID that KLIPS did not know dropped every packet",
    "ET207": "the mask has holes",
    "ET208": "the address has bits outside its mask",
    "ET209": "an IPv6 row shows byte 8 of its source as protocol",
    "ET210": "transport mode to another host than the selector's",
    "ET211": "compression alone protects nothing",
    "ET212": "inbound packets must come protected now",
    "ET213": "the selector covers its own mirror image",
    "ET214": "KLIPS saw only packets routed into ipsecN",
    "ET215": "the host's own IKE, ESP and AH are exempt",
    "ET216": "IPv6 neighbour discovery is exempt",
    "ET217": "a group that XFRM cannot express",
    "ET218": "an SPI that a template cannot carry",
    "ET219": "--del takes protection away",
    "ET220": "a target cannot express an eroute",
    "ET221": "an eroute of the kernel's own, covered by its %trap",
    "ET222": "a refused eroute is blocked",
    "ET223": "a bypassed network",
    "ET224": "a key daemon's policies win over ours",
    # 24x: associations
    "ET240": "the keys of an association are not known",
    "ET241": "the length of a SHA-2 check value depends on the version",
    "ET242": "an association is not tied to one eroute",
    "ET243": "an association is refused",
    "ET244": "IP-in-IP without protection",
    "ET245": "a weak algorithm",
    "ET246": "the outer header of a tunnel",
    "ET247": "UDP encapsulation of the draft",
    "ET248": "a limit that XFRM does not have",
    "ET249": "a reserved SPI, or a CPI of more than 16 bits",
    # 3xx: precedence
    "ET301": "two eroutes cross, and the dump does not tell which one won",
    "ET302": "two eroutes cross, and no order of priorities gives what KLIPS did",
    "ET303": "the order that KLIPS used cannot be kept for all pairs",
    "ET304": "an eroute that no packet reaches",
    "ET305": "too many crossing eroutes to look at each",
    "ET306": "the band of priorities or the range of reqids is too small",
}
