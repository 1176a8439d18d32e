#!/bin/sh
# FreeS/WAN 1.x: SAs as four words, no --said, net-tools around.
PATH=/usr/local/lib/ipsec:$PATH; export PATH
me=203.0.113.7
him=198.51.100.9
enc=0x000102030405060708090a0b0c0d0e0f1011121314151617
auth=0x000102030405060708090a0b0c0d0e0f

ifconfig eth1 10.1.0.1 netmask 255.255.255.0
ifconfig eth0 $me netmask 255.255.255.0 broadcast 203.0.113.255
route add default gw 203.0.113.1 dev eth0

ipsec klipsdebug --none
ipsec tncfg --attach --virtual ipsec0 --physical eth0
ifconfig ipsec0 $me netmask 255.255.255.0

spi --af inet --edst $him --spi 0x200 --proto tun --src $me --dst $him --ip4
spi --af inet --edst $him --spi 0x200 --proto esp --src $me \
	--esp 3des-md5-96 --enckey $enc --authkey $auth
spigrp inet $him 0x200 tun inet $him 0x200 esp

spi --af inet --edst $me --spi 0x201 --proto tun --src $him --dst $me --ip4
spi --af inet --edst $me --spi 0x201 --proto esp --src $him \
	--esp 3des-md5-96 --enckey $enc --authkey $auth
spigrp inet $me 0x201 tun inet $me 0x201 esp

eroute --add --eraf inet --src 10.1.0.0/24 --dst 10.2.0.0/24 \
	--af inet --edst $him --spi 0x200 --proto tun
route add -net 10.2.0.0 netmask 255.255.255.0 gw 203.0.113.1 dev ipsec0
