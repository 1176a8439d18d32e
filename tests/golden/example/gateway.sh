#!/bin/sh
# The gateway of the example, set up by hand.
ME=192.0.2.1
PEER=198.51.100.1
KEY=0x000102030405060708090a0b0c0d0e0f1011121314151617
AUTH=0x000102030405060708090a0b0c0d0e0f

ip addr add $ME/24 dev eth0
ip addr add 10.1.0.1/16 dev eth1
ipsec klipsdebug --none
ipsec tncfg --attach --virtual ipsec0 --physical eth0
ifconfig ipsec0 $ME netmask 255.255.255.0 up

# spi of esp, where to, where from
esp() {
	ipsec spi --said "esp$1@$2" --src "$3" --esp 3des-md5-96 \
		--enckey $KEY --authkey $AUTH
}

ipsec spi --said tun0x1000@$PEER --ip4 --src $ME --dst $PEER
esp 0x1002 $PEER $ME
ipsec spigrp --said tun0x1000@$PEER esp0x1002@$PEER

ipsec spi --said tun0x1001@$ME --ip4 --src $PEER --dst $ME
esp 0x1003 $ME $PEER
ipsec spigrp --said tun0x1001@$ME esp0x1003@$ME

ipsec eroute --add --eraf inet --src 10.1.0.0/16 --dst 10.2.0.0/16 --said tun0x1000@$PEER
ip route add 10.2.0.0/16 dev ipsec0
