#!/bin/sh
# Policies for `ip xfrm`, translated from KLIPS eroutes by eroute-translate 0.1.0.
#
# Input:  docs/examples/gateway.eroute
# Result: 6 entries: 2 exact, 4 noted, 0 approximated, 0 refused.
#
# Run it as root on the gateway (in a namespace: ip netns exec NAME sh THIS-FILE).
# It only adds or updates the policies below; running it again changes nothing.
# The lowest priority number wins; the order here has no part in it. What protects or
# blocks comes before what lets pass, and widest prefixes first, which is the fastest.
#
# The connection over which you run this may be among what is protected or blocked
# from then on: ask `eroute-translate explain` for it, and have a way back.
#
# What to know (docs/findings.md explains each code):
#   ET201 warning docs/examples/gateway.eroute:1: 2 eroutes, the first of them here: which --local address faced the peer is not known; the kernel takes the address of the route to the peer [give one --local for each family, if that is not right]
#   ET202 warning docs/examples/gateway.eroute:1: 2 eroutes, the first of them here: the group behind the tunnel is not known; ESP is assumed, and if it was another one no packet leaves [look into ipsec_spigrp, or say --assume]
#   ET203 note docs/examples/gateway.eroute:6: asks the key daemon, as XFRM does by itself: packets are dropped until it answers [a key daemon has to run on this host]
#   ET204 note docs/examples/gateway.eroute:4: blocked, and a firewall rule answers forwarded packets with ICMP as KLIPS did; a local sender gets EPERM [--no-reject-rule leaves the firewall rule out]
#   ET215 note docs/examples/gateway.eroute:1: 2 eroutes, the first of them here: the host's own IKE, ESP and AH to the peer are exempt
#   ET224 warning docs/examples/gateway.eroute:2: policies of a key daemon have lower numbers than ours and win, so that an eroute that passes or blocks does not stand against them [--priority-base 1000 puts ours before them, if no eroute asks the daemon]
set -eu

fail() {
	echo "eroute-translate: $1" >&2
	exit 1
}
command -v ip >/dev/null || fail 'ip is missing: install iproute2'
[ -r /etc/protocols ] || fail '/etc/protocols is missing: install netbase'
command -v nft >/dev/null || fail 'nft is missing, and the ICMP answers of %reject need it: install nftables, or translate with --no-reject-rule'
ip xfrm policy count >/dev/null || fail 'the kernel refused to show its policies: run this as root, on a kernel with XFRM'
# How many policies have priorities of ours (1), or others (0).
policies() {
	ip xfrm policy | awk -v ours="$1" '$1 == "dir" && $2 ~ /^(in|out|fwd)$/ { for (i = 3; i < NF; i++) if ($i == "priority") n[$(i + 1) >= 1000000000 && $(i + 1) <= 1099999999]++ } END { print n[ours] + 0 }'
}
others=$(policies 0)
earlier=$(policies 1)
[ "$others" -eq 0 ] || [ "${REPLACE_OTHERS:-no}" = yes ] || fail "policies here that are not ours: $others (priorities not from 1000000000 to 1099999999): one with a selector and direction from below would be replaced. Compare with \`ip xfrm policy\`; REPLACE_OTHERS=yes goes on"
trap 'test $? -eq 0 || echo "eroute-translate: stopped before the end: the policies down to that command are in place, the others are not. Run this again, or remove them" >&2' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# docs/examples/gateway.eroute:1: 1867       172.31.252.0/24    -> 0.0.0.0/0          => tun0x130@192.168.43.1
# noted, rule tunnel-assumed (ET201, ET202)
ip xfrm policy update src 172.31.252.1/32 dst 192.168.43.1/32 proto udp sport 500 dir out priority 1000000011
ip xfrm policy update src 172.31.252.1/32 dst 192.168.43.1/32 proto udp sport 4500 dir out priority 1000000011
ip xfrm policy update src 172.31.252.1/32 dst 192.168.43.1/32 proto 50 dir out priority 1000000011
ip xfrm policy update src 172.31.252.1/32 dst 192.168.43.1/32 proto 51 dir out priority 1000000011
ip xfrm policy update src 172.31.252.0/24 dst 192.168.0.0/16 dir out priority 1000000012 tmpl src 0.0.0.0 dst 192.168.43.1 proto esp reqid 1000001 mode tunnel
ip xfrm policy update src 192.168.0.0/16 dst 172.31.252.0/24 dir in priority 1000000012 tmpl src 192.168.43.1 dst 0.0.0.0 proto esp reqid 1000001 mode tunnel level use
ip xfrm policy update src 192.168.0.0/16 dst 172.31.252.0/24 dir fwd priority 1000000012 tmpl src 192.168.43.1 dst 0.0.0.0 proto esp reqid 1000001 mode tunnel level use

# docs/examples/gateway.eroute:3: 12         172.31.252.0/24    -> 192.168.7.0/24     => tun0x1002@203.0.113.7
# noted, rule tunnel-assumed (ET201, ET202)
ip xfrm policy update src 172.31.252.0/24 dst 192.168.7.0/24 dir out priority 1000000008 tmpl src 0.0.0.0 dst 203.0.113.7 proto esp reqid 1000002 mode tunnel
ip xfrm policy update src 192.168.7.0/24 dst 172.31.252.0/24 dir in priority 1000000008 tmpl src 203.0.113.7 dst 0.0.0.0 proto esp reqid 1000002 mode tunnel level use
ip xfrm policy update src 192.168.7.0/24 dst 172.31.252.0/24 dir fwd priority 1000000008 tmpl src 203.0.113.7 dst 0.0.0.0 proto esp reqid 1000002 mode tunnel level use

# docs/examples/gateway.eroute:4: 3          172.31.252.0/24    -> 192.168.7.9/32:25  => %reject:6
# noted, rule reject (ET204)
ip xfrm policy update src 172.31.252.0/24 dst 192.168.7.9/32 proto tcp dport 25 dir out action block priority 1000000006

# docs/examples/gateway.eroute:5: 746        192.168.43.9/32    -> 192.168.43.1/32    => esp0x131@192.168.43.1
# exact, rule transport
ip xfrm policy update src 192.168.43.9/32 dst 192.168.43.1/32 proto udp sport 500 dir out priority 1000000001
ip xfrm policy update src 192.168.43.9/32 dst 192.168.43.1/32 proto udp sport 4500 dir out priority 1000000001
ip xfrm policy update src 192.168.43.9/32 dst 192.168.43.1/32 proto 50 dir out priority 1000000001
ip xfrm policy update src 192.168.43.9/32 dst 192.168.43.1/32 proto 51 dir out priority 1000000001
ip xfrm policy update src 192.168.43.9/32 dst 192.168.43.1/32 dir out priority 1000000002 tmpl src 0.0.0.0 dst 0.0.0.0 proto esp reqid 1000003 mode transport
ip xfrm policy update src 192.168.43.1/32 dst 192.168.43.9/32 dir in priority 1000000002 tmpl src 0.0.0.0 dst 0.0.0.0 proto esp reqid 1000003 mode transport level use

# What was routed into ipsecN and no eroute covers. Last, since alone it would stop everything.
ip xfrm policy update src 172.31.252.1/32 dst 192.168.0.0/16 proto udp sport 500 dir out priority 1000000015
ip xfrm policy update src 172.31.252.1/32 dst 192.168.0.0/16 proto udp sport 4500 dir out priority 1000000015
ip xfrm policy update src 172.31.252.1/32 dst 192.168.0.0/16 proto 50 dir out priority 1000000015
ip xfrm policy update src 172.31.252.1/32 dst 192.168.0.0/16 proto 51 dir out priority 1000000015
ip xfrm policy update src 192.168.43.9/32 dst 192.168.0.0/16 proto udp sport 500 dir out priority 1000000015
ip xfrm policy update src 192.168.43.9/32 dst 192.168.0.0/16 proto udp sport 4500 dir out priority 1000000015
ip xfrm policy update src 192.168.43.9/32 dst 192.168.0.0/16 proto 50 dir out priority 1000000015
ip xfrm policy update src 192.168.43.9/32 dst 192.168.0.0/16 proto 51 dir out priority 1000000015
ip xfrm policy update src 0.0.0.0/0 dst 192.168.0.0/16 dir out action block priority 1000000016

# docs/examples/gateway.eroute:2: 0          172.31.252.0/24    -> 172.31.252.0/24    => %pass
# exact, rule pass
# No policy: no packet of KLIPS ever reached it

# docs/examples/gateway.eroute:6: 1          172.31.252.0/24    -> 198.51.100.0/24    => %trap
# noted, rule trap (ET203)
# No policy: no packet of KLIPS ever reached it

# KLIPS answered what %reject dropped with an ICMP error; XFRM blocks without one.
nft -f - <<'END-OF-RULES'
table inet eroute_translate
delete table inet eroute_translate
table inet eroute_translate {
	chain answers {
		type filter hook prerouting priority filter; policy accept;
		fib daddr type != unicast return
		meta nfproto ipv4 ip saddr 172.31.252.0/24 ip daddr 192.168.7.9/32 meta l4proto 6 th dport 25 reject with icmp type admin-prohibited comment "docs/examples/gateway.eroute:4"
	}
}
END-OF-RULES

# What an earlier table had put here is not removed, and may win over what stands above.
trap - EXIT
left=0
[ "$earlier" -gt 0 ] || exit "$left"
[ -f "$0" ] && mine=$(grep -c '^ip xfrm policy update' "$0") || mine=0
if [ "$mine" -eq 0 ]; then
	echo "eroute-translate: $earlier policies of ours were here before; those that are not among these stay, and may win: eroute-translate verify --live" >&2
elif there=$(policies 1) && [ "$there" -gt "$mine" ]; then
	fail "all policies are in place, but also $((there - mine)) of an earlier table, which may win over them: remove those, first of all any that pass. eroute-translate verify --live shows what they change"
fi
exit "$left"
