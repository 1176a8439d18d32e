"""Names of ports, as scripts and ipsec.conf wrote them."""

from __future__ import annotations

from typing import Final

# /etc/services of the time, as far as eroutes were ever made for them: a fixed table, so that a
# command means the same on every host.
SERVICES: Final = {
    "ftp-data": 20,
    "ftp": 21,
    "ssh": 22,
    "telnet": 23,
    "smtp": 25,
    "time": 37,
    "domain": 53,
    "bootps": 67,
    "bootpc": 68,
    "tftp": 69,
    "http": 80,
    "www": 80,
    "kerberos": 88,
    "pop3": 110,
    "sunrpc": 111,
    "nntp": 119,
    "ntp": 123,
    "netbios-ns": 137,
    "netbios-dgm": 138,
    "netbios-ssn": 139,
    "imap": 143,
    "imap2": 143,
    "snmp": 161,
    "snmp-trap": 162,
    "bgp": 179,
    "ldap": 389,
    "https": 443,
    "microsoft-ds": 445,
    "isakmp": 500,
    "syslog": 514,
    "printer": 515,
    "route": 520,
    "ldaps": 636,
    "imaps": 993,
    "pop3s": 995,
    "l2tp": 1701,
    "l2f": 1701,
    "pptp": 1723,
    "radius": 1812,
    "nfs": 2049,
    "mysql": 3306,
    "ipsec-nat-t": 4500,
    "sip": 5060,
    "postgresql": 5432,
}
