"""The SA of an ``ipsec eroute`` command: ``--said``, or its four parts."""

from __future__ import annotations

from typing import Final

from ..net import PROTOCOL_NUMBERS
from .address import FAMILIES, parse_klips_address
from .eroute_options import OptionReader
from .said import SA_PROTOCOLS, SPI_FIRST, Said, parse_said
from .words import Word, c_number

SA_OPTIONS: Final = ("af", "edst", "spi", "proto")
SA_FORMS: Final = "--said SAID, or all of --af --edst --spi --proto"


class SaidReader(OptionReader):
    """Adds the SA."""

    def _said(self) -> Said | None:
        """The SA as it is named; what is missing is told elsewhere."""
        parts = self._said_of_parts()
        word = self.values.get("said")
        if word is None:
            return None if parts is None else self._usable(parts, self.values["spi"])
        for option in SA_OPTIONS:
            if option in self.values:
                self.error(
                    "ET120",
                    self.values[option],
                    f"--{option} beside --said",
                    SA_FORMS,
                    f"take --{option} away: --said names the whole SA",
                )
        try:
            return self._usable(parse_said(word.text), word)
        except ValueError as error:
            self.error(
                "ET103",
                word,
                f"--said: {error}",
                "a SAID such as tun0x1002@192.0.2.1, or %pass, %drop, %reject, %trap",
                "write the address in numbers; host names are not looked up",
            )
            return None

    def _said_of_parts(self) -> Said | None:
        family = self._family("af")
        destination = self._edst(family)
        spi = self._spi()
        protocol = self._sa_protocol()
        if family is None or destination is None or spi is None or protocol is None:
            return None
        return Said(protocol, spi, family, destination)

    def _edst(self, family: int | None) -> int | None:
        word = self.values.get("edst")
        if word is None:
            return None
        try:
            found, address = parse_klips_address(word.text)
        except ValueError as error:
            self.error(
                "ET102",
                word,
                f"--edst: {error}",
                "an address",
                "write the address in numbers; host names are not looked up",
            )
            return None
        if family is not None and found != family:
            self._mixed("edst", word, found, "af")
            return None
        return address

    def _spi(self) -> int | None:
        word = self.values.get("spi")
        if word is None:
            return None
        spi = c_number(word.text)
        if spi is not None and spi <= 0xFFFFFFFF:
            return spi
        self.error(
            "ET122",
            word,
            f"--spi: {word.text!r} is no number"
            if spi is None
            else f"SPI {word.text} is above 32 bits",
            "a number from 0x100 to 0xffffffff",
            "hexadecimal starts with 0x, octal with 0",
        )
        return None

    def _sa_protocol(self) -> int | None:
        word = self.values.get("proto")
        if word is None:
            return None
        protocol = SA_PROTOCOLS.get(word.text)
        if protocol is None:
            transport = word.text.lower() in PROTOCOL_NUMBERS
            self.error(
                "ET122",
                word,
                f"--proto: {word.text!r} is no protocol of an SA",
                "ah, esp, tun or comp",
                "the protocol of the packets is --transport-proto"
                if transport and word.text.lower() not in SA_PROTOCOLS
                else "write it in lower case, as in a SAID",
            )
        return protocol

    def _usable(self, said: Said, word: Word) -> Said | None:
        """The tool refused SPIs below 0x100, and with them %passthrough, which it lists."""
        if said.unknown:
            self.error(
                "ET103",
                word,
                f"{word.text!r} names no SA and no shunt",
                "a SAID such as tun0x1002@192.0.2.1, or %pass, %drop, %reject, %trap",
                "KLIPS prints this for an eroute that it does not know itself",
            )
            return None
        if said.is_passthrough:
            self.note(
                word,
                "the tool lists %passthrough but refused to install it: its SPI is below 0x100",
                "%pass",
                "say --said %pass, if packets are to pass in clear",
            )
        elif said.spi < SPI_FIRST:
            self.warn(
                word,
                f"the tool refused SPI {said.spi:#x}: those below {SPI_FIRST:#x} are reserved",
                "an SPI from 0x100",
                "look at the spi table of the old host for the SA that was meant",
            )
        return said

    def _family(self, option: str) -> int | None:
        word = self.values.get(option)
        if word is None:
            return None
        family = FAMILIES.get(word.text)
        if family is None:
            self.error(
                "ET122",
                word,
                f"--{option}: {word.text!r} is no address family",
                "inet or inet6",
                "inet is IPv4, inet6 is IPv6",
            )
        return family

    def _mixed(self, option: str, word: Word, found: int, stated: str) -> None:
        said = self.values[stated].text
        self.error(
            "ET104",
            word,
            f"--{option} is an IPv{found} address, but --{stated} says {said}",
            f"an IPv{10 - found} address",
            f"say --{stated} {'inet' if found == 4 else 'inet6'}, or write the other address",
        )
