"""A text that calls the tools of KLIPS: a shell script, or a transcript with prompts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_SHEBANG: Final = re.compile(r"#!\s*\S*/(ba|da|k|a)?sh\b")
_CALL: Final = re.compile(
    r"^[^#|\n]*?(?:^|[\s;&({/\"'`])(?:ipsec|\"?\$\{?\w+\}?\"?|`[^`\n]*`|\$\([^)\n]*\))[\s\"']+"
    r"(eroute|spi|spigrp|tncfg|klipsdebug)[\s\"']+-|^[^#|\n]*\s--(?:eraf|said|edst)[\s=]",
    re.MULTILINE,
)
_TOOL_PATH: Final = re.compile(
    r"^\s*(?:\S*/)?(eroute|spi|spigrp|tncfg|klipsdebug)\s+--", re.MULTILINE
)
_PROMPT: Final = re.compile(
    r"^(?:\[[^\]\n]{1,80}\][#$]|[\w.@:~/-]{1,60} ?[#$]|\$|\+{1,5}|>)\s+"
    r"(?=(?:\S*/)?(?:ipsec|ip|route|ifconfig|eroute|spi|spigrp|tncfg|klipsdebug|set|export|[A-Za-z_]\w*=)(?:\s|$))"
)


def looks_like_script(text: str) -> bool:
    """Whether a text calls the tools of KLIPS with options, and prints no tables."""
    if _SHEBANG.match(text):
        return bool(_CALL.search(text) or _TOOL_PATH.search(text))
    commands = "\n".join(without_prompts(text.splitlines()))
    return bool(_CALL.search(commands)) and " => " not in text


def without_prompts(lines: Sequence[str]) -> list[str]:
    """The lines of a transcript as they were typed; those of a script as they are."""
    if lines and _SHEBANG.match(lines[0]):
        return list(lines)
    return [_PROMPT.sub("", line) for line in lines]
