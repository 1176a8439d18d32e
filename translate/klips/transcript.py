"""What a person typed: scripts and transcripts are told from tables, and prompts are taken away."""

from __future__ import annotations

import re
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

_STRONG_PROMPT: Final = re.compile(
    r"(?:\[[\w.-]+@[^\]\n]{1,80}\]|[\w.-]+@[\w.-]+:[^\s#$]{0,60}) ?[#$](?: |\Z)"
)
"""A prompt that is none of a comment: ``[root@gw root]#``, ``root@gw:~#``."""

_FENCE: Final = re.compile(r"\s*(?:```|~~~)\s*\w*\s*\Z")


def looks_like_script(text: str) -> bool:
    """Whether a text calls the tools of KLIPS with options, and prints no tables."""
    if _SHEBANG.match(text):
        return bool(_CALL.search(text) or _TOOL_PATH.search(text))
    commands = "\n".join([_PROMPT.sub("", line) for line in text.splitlines()])
    return bool(_CALL.search(commands)) and " => " not in text


def typed_lines(lines: list[str]) -> list[str]:
    """What a person typed of a transcript, or of a text with fences; the rest is blanked out.

    A line with a call of KLIPS's tools stays, wherever it stands.
    """
    if lines and _SHEBANG.match(lines[0]):
        return lines
    if any(_FENCE.match(line) for line in lines):
        fenced, kept = False, []
        for line in lines:
            fence = _FENCE.match(line) is not None
            fenced ^= fence
            kept.append(line if not fence and (fenced or _CALL.search(line)) else "")
        lines = kept
    if not any(_STRONG_PROMPT.match(line) for line in lines):
        return [_PROMPT.sub("", line) for line in lines]
    typed, goes_on = [], False
    for line in lines:
        match = _STRONG_PROMPT.match(line)
        command = line[match.end() :] if match is not None else _PROMPT.sub("", line)
        answers = match is None and not goes_on and not line.startswith("> ")
        if answers and not _CALL.search(command):
            command = ""
        elif line.startswith("> "):
            command = line[2:]
        goes_on = command.endswith("\\")
        typed.append(command)
    return typed
