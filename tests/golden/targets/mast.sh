#!/bin/sh
# Marks for a MAST host, translated from KLIPS eroutes by eroute-translate 0.1.0.
#
# Input:  docs/examples/gateway.eroute
# Result: 6 entries: 0 exact, 6 noted, 0 approximated, 0 refused.
#
# On MAST there are no eroutes, and `ipsec policy` lists but cannot set. A packet is
# given the SAref of its SA in the mark; what is marked is routed to mast0. The rules
# stand in the order in which KLIPS chose: the first one that matches decides.
# Each SA must be made with the SAref named here (ipsec spi ... --sarefme N).
# A packet that no rule matches goes in clear by the normal route; KLIPS dropped it.
#   ET220 warning docs/examples/gateway.eroute:6: 1 eroutes ask the key daemon (%trap, %hold), which MAST cannot; packets are dropped until the daemon has put its own rule first
set -eu

# SArefs:
#       1  esp0x131@192.168.43.1
#       2  tun0x1002@203.0.113.7
#       3  tun0x130@192.168.43.1

# What is marked goes to mast0. This comes first, so that nothing marked takes another way.
ip rule show | grep -q 'fwmark 0x80000000/0x80000000 lookup 50' || ip rule add fwmark 0x80000000/0x80000000 lookup 50
ip rule show | grep -q 'iif mast0 lookup main' || ip rule add iif mast0 lookup main
ip route replace default dev mast0 table 50

# IPv4: a chain of our own, replaced as a whole, so that no packet meets half of it.
iptables-restore --noflush <<'END-OF-RULES'
*mangle
:EROUTES - [0:0]
# What is for this host itself was never routed into mast0.
-A EROUTES -m addrtype --dst-type LOCAL -j RETURN

# docs/examples/gateway.eroute:5: 746        192.168.43.9/32    -> 192.168.43.1/32    => esp0x131@192.168.43.1
# noted, rule transport (ET212)
-A EROUTES -s 192.168.43.9/32 -d 192.168.43.1/32 -m comment --comment "docs/examples/gateway.eroute:5" -m mark --mark 0/0x80000001 -j MARK --set-mark 0x80010000

# docs/examples/gateway.eroute:6: 1          172.31.252.0/24    -> 198.51.100.0/24    => %trap
# noted, rule trap (ET203)
-A EROUTES -s 172.31.252.0/24 -d 198.51.100.0/24 -m comment --comment "docs/examples/gateway.eroute:6" -m mark --mark 0/0x80000001 -j DROP

# docs/examples/gateway.eroute:4: 3          172.31.252.0/24    -> 192.168.7.9/32:25  => %reject:6
# noted, rule reject (ET204)
-A EROUTES -s 172.31.252.0/24 -d 192.168.7.9/32 -p 6 --dport 25 -m comment --comment "docs/examples/gateway.eroute:4" -m mark --mark 0/0x80000001 -j MARK --set-mark 0x1/0x1

# docs/examples/gateway.eroute:3: 12         172.31.252.0/24    -> 192.168.7.0/24     => tun0x1002@203.0.113.7
# noted, rule tunnel-assumed (ET201, ET202, ET212)
-A EROUTES -s 172.31.252.0/24 -d 192.168.7.0/24 -m comment --comment "docs/examples/gateway.eroute:3" -m mark --mark 0/0x80000001 -j MARK --set-mark 0x80020000

# docs/examples/gateway.eroute:2: 0          172.31.252.0/24    -> 172.31.252.0/24    => %pass
# noted, rule pass (ET214)
-A EROUTES -s 172.31.252.0/24 -d 172.31.252.0/24 -m comment --comment "docs/examples/gateway.eroute:2" -m mark --mark 0/0x80000001 -j RETURN

# docs/examples/gateway.eroute:1: 1867       172.31.252.0/24    -> 0.0.0.0/0          => tun0x130@192.168.43.1
# noted, rule tunnel-assumed (ET201, ET202, ET212)
-A EROUTES -s 172.31.252.0/24 -m comment --comment "docs/examples/gateway.eroute:1" -m mark --mark 0/0x80000001 -j MARK --set-mark 0x80030000
COMMIT
END-OF-RULES
# Our own IKE is never marked.
for port in 500 4500; do
	iptables -t mangle -C OUTPUT -p udp --sport "$port" -j ACCEPT 2>/dev/null || iptables -t mangle -I OUTPUT 1 -p udp --sport "$port" -j ACCEPT
done
for chain in OUTPUT FORWARD; do
	iptables -C "$chain" -m mark --mark 0x1/0x1 -j REJECT --reject-with icmp-admin-prohibited 2>/dev/null || iptables -I "$chain" 1 -m mark --mark 0x1/0x1 -j REJECT --reject-with icmp-admin-prohibited
done
# Last, when what is to be left alone is, and what is to be rejected is.
for chain in OUTPUT PREROUTING; do
	iptables -t mangle -C "$chain" -j EROUTES 2>/dev/null || iptables -t mangle -A "$chain" -j EROUTES
done

# What MAST has now:
ipsec policy --all --stack=mast
