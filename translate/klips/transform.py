"""Names of transforms as ``ipsec_spi`` prints them: ``ESP_AES_HMAC_SHA1``, ``COMP_DEFLATE``.

The names are those of the macro IPS_XFORM_NAME (include/openswan/ipsec_xform.h) from FreeS/WAN
1.91 to libreswan 3.32: protocol, cipher or compression, authenticator, each glued to the next.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from .association import AUTHENTICATIONS, COMPRESSIONS, ENCRYPTIONS
from .said import SA_AH, SA_COMP, SA_ESP, SA_IPIP

UNKNOWN: Final = "unknown"
"""An algorithm that KLIPS printed as not known to itself, without its number."""

PROTOCOLS: Final = {"AH": SA_AH, "ESP": SA_ESP, "IPIP": SA_IPIP, "COMP": SA_COMP}
UNKNOWN_PROTOCOL: Final = "UNKNOWN_proto"
_NAME_OF: Final = {number: name for name, number in PROTOCOLS.items()}

_SHAPE: Final = re.compile(
    r"(?P<protocol>AH|ESP|IPIP|COMP|UNKNOWN_proto)"
    rf"(?:_(?P<compression>{'|'.join(n.upper() for n in COMPRESSIONS)}|UNKNOWN_comp))?"
    rf"(?:_(?P<encryption>{'|'.join(n.upper() for n in ENCRYPTIONS)}|ID[0-9]{{1,3}}|UNKNOWN_encr))?"
    rf"(?:_(?P<authentication>HMAC_(?:{'|'.join(n.upper() for n in AUTHENTICATIONS)})"
    r"|(?:HMAC_)?ID[0-9]{1,3}|UNKNOWN_auth))?\Z",
    re.ASCII,
)


class Transform(NamedTuple):
    """``protocol`` is ``None`` where KLIPS did not know it; algorithms as in Association."""

    protocol: int | None
    encryption: str = ""
    authentication: str = ""
    compression: str = ""

    @property
    def names_all(self) -> bool:
        """Whether KLIPS knew all of it by name or number."""
        return self.protocol is not None and UNKNOWN not in self[1:]


def parse_transform(text: str) -> Transform:
    """Read the name of a transform.  Raises ``ValueError``."""
    match = _SHAPE.match(text)
    if match is None or (match["compression"] and match["protocol"] != "COMP"):
        raise ValueError(f"{text!r} is not the name of a transform")
    encryption = _algorithm(match["encryption"])
    authentication = _algorithm(match["authentication"])
    protocol = PROTOCOLS.get(match["protocol"])
    if protocol == SA_AH and not authentication:
        # AH has no cipher: a number that stands alone is its authenticator.
        encryption, authentication = "", encryption
    return Transform(protocol, encryption, authentication, _algorithm(match["compression"]))


def _algorithm(text: str | None) -> str:
    if not text:
        return ""
    if text.startswith("UNKNOWN_"):
        return UNKNOWN
    return text.removeprefix("HMAC_").lower()


def format_transform(transform: Transform) -> str:
    """Print the name of a transform as the kernel does."""
    parts = [_NAME_OF.get(transform.protocol or 0, UNKNOWN_PROTOCOL)]
    for name, unknown in (
        (transform.compression, "UNKNOWN_comp"),
        (transform.encryption, "UNKNOWN_encr"),
    ):
        if name:
            parts.append(unknown if name == UNKNOWN else name.upper())
    name = transform.authentication
    if name == UNKNOWN:
        parts.append("UNKNOWN_auth")
    elif name:
        parts.append(name.upper() if name.startswith("id") else f"HMAC_{name.upper()}")
    return "_".join(parts)
