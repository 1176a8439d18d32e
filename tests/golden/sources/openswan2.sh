#!/bin/sh
# Openswan 2.x: ports, compression, NAT traversal, lifetimes.
ENC=0x000102030405060708090a0b0c0d0e0f
AUTH=0x000102030405060708090a0b0c0d0e0f10111213
PEER=198.51.100.9
ipsec tncfg --attach --virtual ipsec0 --physical ppp0
ifconfig ppp0 203.0.113.7 pointopoint 203.0.113.1 netmask 255.255.255.255
ifconfig eth0 10.1.0.1 netmask 255.255.255.0
ipsec spi --said tun0x1006@$PEER --ip4 --src 203.0.113.7 --dst $PEER
ipsec spi --said comp0xa52c@$PEER --comp deflate --src 203.0.113.7
ipsec spi --said esp0xa7d8251a@$PEER --esp aes128-sha1 --enckey $ENC --authkey $AUTH \
	--src 203.0.113.7 --replay_window 64 --natt nonesp --sport 4500 --dport 4500 \
	--life soft-bytes=1000000,hard-addtime=28800
ipsec spigrp --said tun0x1006@$PEER comp0xa52c@$PEER esp0xa7d8251a@$PEER
ipsec eroute --add --eraf inet --src 10.1.0.0/24 --dst 10.2.0.0/24 --said tun0x1006@$PEER
ipsec eroute --add --eraf inet --src 10.1.0.0/24 --dst 10.2.0.0/24 \
	--transport-proto tcp --dst-port smtp --said %drop
route add -net 10.2.0.0/24 dev ipsec0
