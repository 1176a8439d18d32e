#!/bin/bash
# FreeS/WAN 2.x: a loop over peers, a shunt for each network that must not leave.
ME=203.0.113.7
up() { # number peer network
	ipsec spi --clear
	ipsec spi --said "tun0x$1@$2" --ip4 --src "$ME" --dst "$2"
	ipsec spi --said "ah0x$1@$2" --src "$ME" --ah hmac-sha1-96 \
		--authkey 0x000102030405060708090a0b0c0d0e0f10111213
	ipsec spigrp --said "tun0x$1@$2" "ah0x$1@$2"
	ipsec eroute --replace --eraf inet --src 10.1.0.0/24 --dst "$3" --said "tun0x$1@$2"
	ip route add "$3" dev ipsec0
}

ipsec eroute --clear
ipsec tncfg --attach --virtual ipsec0 --physical eth0
ip addr add $ME/24 dev eth0
ip addr add 10.1.0.1/24 dev eth1
for net in 10.66.0.0/16 10.67.0.0/16; do
	ipsec eroute --add --eraf inet --src 0.0.0.0/0 --dst $net --said %drop
	ip route add $net dev ipsec0
done
ipsec eroute --add --eraf inet --src 10.1.0.0/24 --dst 10.1.0.0/24 --said %pass
up 1000 198.51.100.9 10.2.0.0/24
