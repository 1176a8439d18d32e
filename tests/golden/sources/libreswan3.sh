#!/bin/sh
# libreswan 3.x: IPv6, inbound policy by --addin, transport mode.
ENC=0x000102030405060708090a0b0c0d0e0f1011121314151617
AUTH=0x000102030405060708090a0b0c0d0e0f
ME=2001:db8:1:2::45
PEER=2001:db8:1:2::23
ipsec tncfg --attach --virtual ipsec0 --physical eth1
ip -6 addr add $ME/64 dev eth1
ip -6 addr add 2001:db8:0:1::1/64 dev eth0
ipsec spi --said tun:1000@$PEER --ip6 --src $ME --dst $PEER
ipsec spi --said esp:f2818484@$PEER --src $ME --esp 3des-md5-96 --enckey $ENC --authkey $AUTH
ipsec spigrp --said tun:1000@$PEER esp:f2818484@$PEER
ipsec spi --said tun:1001@$ME --ip6 --src $PEER --dst $ME
ipsec spi --said esp:afaae4b1@$ME --src $PEER --esp 3des-md5-96 --enckey $ENC --authkey $AUTH
ipsec spigrp --said tun:1001@$ME esp:afaae4b1@$ME
ipsec eroute --add --eraf inet6 --src 2001:db8:0:1::/64 --dst 2001:db8:0:2::/64 --said tun:1000@$PEER
ipsec eroute --addin --eraf inet6 --src 2001:db8:0:2::/64 --dst 2001:db8:0:1::/64 --said tun:1001@$ME
ip -6 route add 2001:db8:0:2::/64 dev ipsec0
