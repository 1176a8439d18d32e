"""What a file holds that nobody has named: a capture, a script, or an ipsec.conf."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from ..diagnostics import Collector
from .capture import clean_lines
from .conf import looks_like_conf
from .script_text import looks_like_script

_SAMPLE: Final = 1 << 16
"""Octets that are looked at.  An ipsec.conf with more comments than that in front is rare."""

_CAPTURED: Final = re.compile(
    r"^\+ _{10,} |-> +\S+ +=> +\S|^\S+@\S+ (?:ESP|AH|IPIP|COMP)\S*: (?:dir=|src=|life)"
    r"|^ipsec[0-9]+ ?-> ?\S+ mtu=|^Kernel IP(?:v6)? routing table"
    r"|^[^\s#][^\n#$>]{0,80}[#$>] +(?:sudo +)?(?:cat|more|less|e?grep) [^\n]*ipsec\.conf *$"
    r"|^==> [^\n]*ipsec\.conf <==$",
    re.MULTILINE,
)
"""Lines that the kernel or ``ipsec barf`` printed, or a prompt: they may hold an ipsec.conf too."""


class TextKind(Enum):
    """How a text is read."""

    CAPTURE = "capture"
    SCRIPT = "script"
    CONFIGURATION = "configuration"


def kind_of_text(data: bytes) -> TextKind:
    """Tell by its first lines, after the same cleaning that its reader does."""
    text = "\n".join(clean_lines(data[:_SAMPLE], "", Collector()))
    if _CAPTURED.search(text):
        return TextKind.CAPTURE
    if looks_like_conf(text):
        return TextKind.CONFIGURATION
    return TextKind.SCRIPT if looks_like_script(text) else TextKind.CAPTURE
