"""Policies as the arguments that ``ip xfrm policy`` takes (iproute2, ip/xfrm_policy.c).

What it prints itself is read by :mod:`.read_text`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from ..net import (
    IPPROTO_COMP,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    LENGTH_OF_MASK,
    Prefix,
    format_address,
    format_prefix,
)
from .model import TEMPLATE_PROTOCOLS, Policy, Template

IPPROTO_DCCP: Final = 33
IPPROTO_GRE: Final = 47
IPPROTO_SCTP: Final = 132
IPPROTO_MH: Final = 135

PORT_PROTOCOLS: Final = frozenset({0, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_DCCP})
"""Protocols with which ``ip xfrm`` takes ``sport`` and ``dport``; 0 is any protocol."""

TYPE_PROTOCOLS: Final = frozenset({IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_MH})
"""Protocols with which it takes ``type`` and ``code``, which stand in the ports."""

TEMPLATE_NAMES: Final = TEMPLATE_PROTOCOLS | {43: "route2", 60: "hao", 255: "ipsec-any"}
"""All protocols of a template (ip/ipxfrm.c:xfrmproto_types)."""

MODES: Final = ("transport", "tunnel", "ro", "in_trigger", "beet", "iptfs")
"""Modes of a template, by number (linux/xfrm.h: XFRM_MODE_TRANSPORT = 0)."""

LIMITS: Final = (
    "time-soft",
    "time-hard",
    "time-use-soft",
    "time-use-hard",
    "byte-soft",
    "byte-hard",
    "packet-soft",
    "packet-hard",
)
"""Names of limits, in the order of :class:`.model.Limits` (ip/ipxfrm.c:xfrm_lifetime_cfg_parse)."""

MAX_TEMPLATES: Final = 6
"""The kernel refuses more (XFRM_MAX_DEPTH)."""

FULL: Final = 0xFFFF
U32: Final = 0xFFFFFFFF


# ------------------------------------------------------------------------------------ printing

# The only protocols printed by name: their names mean the same number on every host.
_PRINTED_NAMES: Final = {
    IPPROTO_ICMP: "icmp",
    IPPROTO_TCP: "tcp",
    IPPROTO_UDP: "udp",
    IPPROTO_DCCP: "dccp",
    IPPROTO_GRE: "gre",
    IPPROTO_ICMPV6: "ipv6-icmp",
    IPPROTO_SCTP: "sctp",
}

_CACHED: Final = 1 << 18


class _SelectorTexts(dict[Prefix, str]):
    """Texts of prefixes that a policy can have; a hit calls no Python function."""

    def __missing__(self, prefix: Prefix) -> str:
        text = format_prefix(prefix)
        if prefix[2] not in LENGTH_OF_MASK[prefix[0]]:
            raise ValueError(f"{text}: XFRM has no masks with holes")
        if len(self) < _CACHED:
            self[prefix] = text
        return text


def templates_text(templates: tuple[Template, ...]) -> str:
    """All templates of a policy, each with a blank in front.

    Raises ``ValueError`` for more than the kernel takes.
    """
    if len(templates) > MAX_TEMPLATES:
        raise ValueError(f"{len(templates)} templates, and the kernel takes {MAX_TEMPLATES}")
    return "".join([" " + template_arguments(template) for template in templates])


class _TemplateTexts(dict[tuple[Template, ...], str]):
    """Texts of templates already printed."""

    def __missing__(self, templates: tuple[Template, ...]) -> str:
        text = templates_text(templates)
        if len(self) < _CACHED:
            self[templates] = text
        return text


SELECTOR_TEXTS: Final = _SelectorTexts()
"""Prefixes as `ip` takes them; ``ValueError`` for a mask with holes."""
_template_texts: Final = _TemplateTexts()
_DIRECTION_TEXTS: Final = {name: f" dir {name}" for name in ("out", "in", "fwd")}
_ACTION_TEXTS: Final = {"allow": "", "block": " action block"}


def policy_arguments(policy: Policy, device: str = "", *, numeric: bool = False) -> str:
    """Print a policy as the arguments of ``ip xfrm policy update`` (or ``add``).

    ``device`` is the name of the interface behind ``ifindex``; without it the name is ``ifN``,
    which ``ip`` takes for index N unless an interface has that name.  ``numeric`` prints the
    protocol as a number, for a host without /etc/protocols, where ``ip`` knows no names.  Raises
    ``ValueError`` with the reason for what ``ip`` cannot express.  A mark is printed as the
    kernel stores it, ``value & mask`` (xfrm_policy_insert); ``index`` is the kernel's to choose.
    """
    (
        direction,
        selector,
        priority,
        action,
        templates,
        mark,
        if_id,
        port_masks,
        ifindex,
        _,
        ptype,
        _,
        _,
    ) = policy
    source, destination, protocol, source_port, destination_port = selector
    if source[0] != destination[0]:
        raise ValueError("source and destination are of two address families")
    if protocol or source_port or destination_port or port_masks or ifindex or device:
        rest = selector_rest(
            protocol, source_port, destination_port, port_masks, ifindex, device, numeric
        )
    else:
        rest = ""
    if if_id or mark[1] or ptype != "main":
        rest += _direction(direction) + _key_rest(mark, if_id, ptype)
    else:
        rest += _DIRECTION_TEXTS.get(direction) or _direction(direction)
    if not 0 <= priority <= U32:
        raise ValueError(f"priority {priority} is not a number of 32 bits")
    verdict = _ACTION_TEXTS.get(action)
    if verdict is None:
        raise ValueError(f"{action!r} is not an action")
    return (
        f"src {SELECTOR_TEXTS[source]} dst {SELECTOR_TEXTS[destination]}{rest}{verdict}"
        f" priority {priority}{_template_texts[templates]}"
    )


def key_arguments(policy: Policy, device: str = "", *, numeric: bool = False) -> str:
    """Print what names a policy: the arguments of ``ip xfrm policy delete`` (or ``get``).

    Raises ``ValueError`` as :func:`policy_arguments` does, and for a mark that is 0 under its
    mask: delete and get leave such a mark out and would name another policy (iproute2,
    xfrm_policy_get_or_delete); only ``index N dir D`` names it.
    """
    selector = policy.selector
    if selector.source.family != selector.destination.family:
        raise ValueError("source and destination are of two address families")
    value, mask = policy.mark
    if mask and not value & mask:
        raise ValueError(f"ip xfrm policy delete cannot name the mark 0/{mask:#x}")
    rest = selector_rest(*selector[2:], policy.port_masks, policy.ifindex, device, numeric)
    return (
        f"src {SELECTOR_TEXTS[selector.source]} dst {SELECTOR_TEXTS[selector.destination]}"
        f"{rest}{_direction(policy.direction)}"
        f"{_key_rest(policy.mark, policy.if_id, policy.ptype)}"
    )


def template_arguments(template: Template) -> str:
    """Print one template, beginning with ``tmpl``; ID (src, dst, proto, spi) stands together.

    Both addresses are always printed, since they tell ``ip`` the family of the template.
    """
    name = TEMPLATE_NAMES.get(template.protocol)
    if name is None or name == "ipsec-any":
        raise ValueError(f"a template cannot have protocol {template.protocol}")
    if template.mode not in MODES:
        raise ValueError(f"{template.mode!r} is not a mode")
    if not 0 <= template.reqid <= U32 or not 0 <= template.spi <= U32:
        raise ValueError("reqid and SPI have 32 bits")
    if template.spi and template.protocol not in TEMPLATE_PROTOCOLS:
        raise ValueError(f"a template with protocol {name} has no SPI")
    if template.protocol == IPPROTO_COMP and template.spi > FULL:
        raise ValueError(f"SPI {template.spi:#x} is too large for comp (RFC 3173: 16 bits)")
    source = format_address(template.family, template.source)
    destination = format_address(template.family, template.destination)
    spi = f" spi {template.spi:#010x}" if template.spi else ""
    words = template_words(f"{name}{spi}", template.reqid, template.mode, template.optional)
    return f"tmpl src {source} dst {destination} {words}"


def template_words(protocol: str, reqid: int, mode: str, optional: bool) -> str:
    """What stands behind the addresses of a template; ``protocol`` may have the SPI behind it."""
    level = " level use" if optional else ""
    return f"proto {protocol} reqid {reqid} mode {mode}{level}"


def _direction(direction: str) -> str:
    text = _DIRECTION_TEXTS.get(direction)
    if text is None:
        raise ValueError(f"ip cannot make a policy with direction {direction!r}")
    return text


@lru_cache(maxsize=1 << 12)
def _key_rest(mark: tuple[int, int], if_id: int, ptype: str) -> str:
    """Print the part of the key behind the direction; each piece with a blank in front."""
    value, mask = mark
    if not 0 <= mask <= U32 or not 0 <= if_id <= U32:
        raise ValueError("mark and if_id have 32 bits")
    if ptype not in ("main", "sub"):
        raise ValueError(f"{ptype!r} is not a policy type")
    text = f" mark {value & mask:#x} mask {mask:#x}" if mask else ""
    if if_id:
        text += f" if_id {if_id:#x}"
    return text + (" ptype sub" if ptype == "sub" else "")


@lru_cache(maxsize=1 << 12)
def selector_rest(
    protocol: int,
    source_port: int,
    destination_port: int,
    port_masks: tuple[int, int] | None,
    ifindex: int,
    device: str,
    numeric: bool,
) -> str:
    """Print device, protocol and ports, the latter two in one group (UPSPEC)."""
    text = ""
    if device or ifindex:
        device = device or f"if{ifindex}"
        if not device.isprintable() or any(c in " \"'\\/#" for c in device):
            raise ValueError(f"{device!r} cannot be the name of a device for ip")
        text = f" dev {device}"
    if not 0 <= protocol <= 0xFF:
        raise ValueError(f"protocol {protocol} is not a number of 8 bits")
    if protocol:
        text += f" proto {protocol if numeric else _PRINTED_NAMES.get(protocol, protocol)}"
    if port_masks is None:
        port_masks = (FULL if source_port else 0, FULL if destination_port else 0)
    for port, mask in ((source_port, port_masks[0]), (destination_port, port_masks[1])):
        if mask not in (0, FULL) or not 0 <= port <= FULL or port & ~mask:
            raise ValueError(f"ip cannot express the port {port:#x} with the mask {mask:#x}")
    return text + _ports(protocol, source_port, destination_port, *port_masks)


def _ports(
    protocol: int, source: int, destination: int, source_mask: int, destination_mask: int
) -> str:
    """Print ports, ICMP type and code, or the GRE key."""
    if not source_mask and not destination_mask:
        return ""
    if protocol == IPPROTO_GRE:
        if not (source_mask and destination_mask):
            raise ValueError("ip cannot express half a GRE key")
        return f" key {source << 16 | destination}"
    if protocol in TYPE_PROTOCOLS:
        words = ("type", "code")
        if source > 0xFF or destination > 0xFF:
            raise ValueError("an ICMP type or code has 8 bits")
    elif protocol in PORT_PROTOCOLS:
        words = ("sport", "dport")
        if (source_mask and not source) or (destination_mask and not destination):
            raise ValueError("ip takes port 0 for any port, and cannot express port 0 itself")
    else:
        raise ValueError(f"ip takes no ports with protocol {protocol}")
    text = f" {words[0]} {source}" if source_mask else ""
    return f"{text} {words[1]} {destination}" if destination_mask else text
