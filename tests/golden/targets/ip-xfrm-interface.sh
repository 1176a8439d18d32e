#!/bin/sh
# Policies for `ip xfrm`, translated from KLIPS eroutes by eroute-translate 0.1.0.
#
# Input:  tests/golden/example/barf.txt, tests/golden/example/gateway.sh
# Result: 1 entries: 0 exact, 1 noted, 0 approximated, 0 refused.
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
#   ET146 note tests/golden/example/gateway.sh:28: one eroute follows from the commands in tests/golden/example/gateway.sh: those of the table in tests/golden/example/barf.txt are translated, which are nearer to what the kernel had [translate it alone to see its own]
#   ET245 warning tests/golden/example/barf.txt:19: 2 associations, the first of them here: the algorithm is weak, and a kernel may be built without it or refuse it in FIPS mode
#   ET246 note tests/golden/example/barf.txt:19: 2 associations, the first of them here: the outer header is as KLIPS made it: DF cleared, TOS hidden unless hidetos=no, nothing copied back on the way in
#   ET274 note tests/golden/example/barf.txt:19: a packet with DF that does not fit into the tunnel is dropped, with an ICMP error; KLIPS sent it in fragments, with the error as well unless fragicmp=no [ICMP must reach the senders, or their MSS be bounded at the gateway]
#   ET275 note tests/golden/example/barf.txt:19: whether TOS was hidden is not known; it is taken as hidden, as KLIPS's startup did [give ipsec.conf (hidetos) or /proc/sys/net/ipsec/tos too]
#   ET265 warning tests/golden/example/barf.txt:28: ipsec0: firewall rules that name it go on (packets show there in clear, before and after protection); its MTU is that of the device below unless it was smaller, and KLIPS's 16260 is not kept; hidetos and fragicmp are flags of the states, whatever the interface; clear text on other interfaces is accepted as KLIPS did, unless rp_filter is strict; a key daemon has to be told the if_id [Linux 4.19 or newer with CONFIG_XFRM_INTERFACE]
set -eu

fail() {
	echo "eroute-translate: $1" >&2
	exit 1
}
command -v ip >/dev/null || fail 'ip is missing: install iproute2'
[ -r /etc/protocols ] || fail '/etc/protocols is missing: install netbase'
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

# --interface xfrm: links in the place of ipsecN. They are down, and nothing is routed into them,
# until the policies are there.
link() {
	if ip link show dev "$1" >/dev/null 2>&1; then
		ip -details link show dev "$1" | grep -Eq "if_id $3( |\$)" || fail "there is an interface $1 that is not the xfrm link with if_id $3: remove or rename it"
	else
		ip link add name "$1" type xfrm dev "$2" if_id "$3" || fail "no link $1: the kernel needs CONFIG_XFRM_INTERFACE (Linux 4.19 or newer), and $2 has to be there"
	fi
}
link ipsec0 eth0 0xf4241

# States come before the policies that need them. Keys go through a pipe, since everybody on the
# host can read command lines. A state that is there stays as it is, with its sequence numbers.
state() {
	if ip xfrm state get "$@" >/dev/null 2>&1; then
		echo "eroute-translate: the state $* is there already and stays as it is" >&2
		cat >/dev/null
	else
		ip -batch -
	fi
}

# tests/golden/example/barf.txt:19: esp0x1002@198.51.100.1
state src 192.0.2.1 dst 198.51.100.1 proto esp spi 0x1002 <<'END-OF-STATE'
xfrm state add src 192.0.2.1 dst 198.51.100.1 proto esp spi 0x1002 reqid 1000001 mode tunnel flag noecn nopmtudisc extra-flag dont-encap-dscp auth-trunc hmac(md5) 0x000102030405060708090a0b0c0d0e0f 96 enc cbc(des3_ede) 0x000102030405060708090a0b0c0d0e0f1011121314151617 if_id 0xf4241
END-OF-STATE

# tests/golden/example/barf.txt:21: esp0x1003@192.0.2.1
state src 198.51.100.1 dst 192.0.2.1 proto esp spi 0x1003 <<'END-OF-STATE'
xfrm state add src 198.51.100.1 dst 192.0.2.1 proto esp spi 0x1003 reqid 1000001 mode tunnel flag noecn auth-trunc hmac(md5) 0x000102030405060708090a0b0c0d0e0f 96 enc cbc(des3_ede) 0x000102030405060708090a0b0c0d0e0f1011121314151617 if_id 0xf4241
END-OF-STATE

# tests/golden/example/barf.txt:18: tun0x1000@198.51.100.1: ipip

# tests/golden/example/barf.txt:20: tun0x1001@192.0.2.1: ipip

# tests/golden/example/barf.txt:7: 5          10.1.0.0/16        -> 10.2.0.0/16        => tun0x1000@198.51.100.1
# noted, rule tunnel
ip xfrm policy update src 10.1.0.0/16 dst 10.2.0.0/16 dir out if_id 0xf4241 priority 1000000002 tmpl src 192.0.2.1 dst 198.51.100.1 proto esp reqid 1000001 mode tunnel
ip xfrm policy update src 10.2.0.0/16 dst 10.1.0.0/16 dir in if_id 0xf4241 priority 1000000002 tmpl src 198.51.100.1 dst 192.0.2.1 proto esp reqid 1000001 mode tunnel
ip xfrm policy update src 10.2.0.0/16 dst 10.1.0.0/16 dir fwd if_id 0xf4241 priority 1000000002 tmpl src 198.51.100.1 dst 192.0.2.1 proto esp reqid 1000001 mode tunnel

# The links go up, then the peers are routed around them, then the old routes lead into them.
# A route of somebody else to the same place is not replaced: the script stops there.
route() {
	case $1 in *:*) family=-6 ;; *) family=-4 ;; esac
	[ -n "$(ip "$family" route show exact "$@")" ] || ip "$family" route add "$@"
}
ip link set dev ipsec0 up
route 10.2.0.0/16 dev ipsec0

# What an earlier table had put here is not removed, and may win over what stands above.
trap - EXIT
left=0
if command -v nft >/dev/null && nft list table inet eroute_translate >/dev/null 2>&1; then
	echo 'eroute-translate: all policies are in place, but also the nftables table inet eroute_translate of an earlier table, which drops what is no longer %reject: nft delete table inet eroute_translate' >&2
	left=1
fi
[ "$earlier" -gt 0 ] || exit "$left"
[ -f "$0" ] && mine=$(grep -c '^ip xfrm policy update' "$0") || mine=0
if [ "$mine" -eq 0 ]; then
	echo "eroute-translate: $earlier policies of ours were here before; those that are not among these stay, and may win: eroute-translate verify --live" >&2
elif there=$(policies 1) && [ "$there" -gt "$mine" ]; then
	fail "all policies are in place, but also $((there - mine)) of an earlier table, which may win over them: remove those, first of all any that pass. eroute-translate verify --live shows what they change"
fi
exit "$left"
