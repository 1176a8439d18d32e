"""Requests in words, as pyroute2's IPRoute takes them, to messages of pyroute2."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_interface
from typing import Any, Final, TypedDict

from .family import constants as c
from .family import messages as m
from .family.structure import Key

PROTOCOLS: Final = {"esp": 50, "ah": 51, "comp": 108, "route2": 43, "hao": 60, "ipsec-any": 255}
MODES: Final = {"transport": 0, "tunnel": 1, "ro": 2, "in_trigger": 3, "beet": 4, "iptfs": 5}
DIRECTIONS: Final = {"in": 0, "out": 1, "fwd": 2}


class TemplateSpec(TypedDict, total=False):
    """One template; ``level`` is ``required`` or ``use``."""

    src: str
    dst: str
    proto: str
    reqid: int
    spi: int
    mode: str
    level: str


class SelectorSpec(TypedDict, total=False):
    """What packets must look like; a mask that is not given is that of the whole port, or none."""

    src: str
    dst: str
    proto: int
    sport: int
    dport: int
    sport_mask: int
    dport_mask: int
    ifindex: int
    user: int


class PolicySpec(SelectorSpec, total=False):
    """A policy.  ``limits`` are fields of ``xfrm_lifetime_cfg``."""

    dir: str
    index: int
    priority: int
    action: str
    flags: int
    ptype: str
    mark: tuple[int, int]
    if_id: int
    tmpl: Iterable[TemplateSpec]
    limits: Mapping[str, int]


class StateSpec(TypedDict, total=False):
    """A state.  Algorithms are a name and a key, then the bits that are sent of a value.

    ``encap`` is type, source port, destination port and original address.
    """

    src: str
    dst: str
    proto: str
    spi: int
    reqid: int
    mode: str
    seq: int
    flags: int
    extra_flags: int
    replay_window: int
    esn_window: int
    sel: SelectorSpec
    limits: Mapping[str, int]
    auth: tuple[str, bytes]
    auth_trunc: tuple[str, bytes, int]
    crypt: tuple[str, bytes]
    aead: tuple[str, bytes, int]
    comp: str
    encap: tuple[int, int, int, str]
    mark: tuple[int, int]
    output_mark: tuple[int, int]
    if_id: int
    tfcpad: int
    coaddr: str
    min: int
    max: int


def filled(
    message: Any,  # noqa: ANN401 - a message of pyroute2
    fields: Mapping[str, object],
    attributes: list[tuple[str, Any]],
) -> Any:  # noqa: ANN401
    """A message with these fields and attributes."""
    message.update(fields)
    message["attrs"] = attributes
    return message


def _selector(spec: SelectorSpec) -> dict[str, Any]:
    """``xfrm_selector``, with the bits below the prefixes cleared."""
    source, destination = spec.get("src"), spec.get("dst")
    if source is None or destination is None:
        other = source or destination or "0.0.0.0/0"
        everything = "::/0" if ":" in other else "0.0.0.0/0"
        source, destination = source or everything, destination or everything
    near, far = ip_interface(source).network, ip_interface(destination).network
    sport, dport = spec.get("sport", 0), spec.get("dport", 0)
    return {
        "saddr": str(near.network_address),
        "daddr": str(far.network_address),
        "prefixlen_s": near.prefixlen,
        "prefixlen_d": far.prefixlen,
        "proto": spec.get("proto", 0),
        "sport": sport,
        "dport": dport,
        "sport_mask": spec.get("sport_mask", 0xFFFF if sport else 0),
        "dport_mask": spec.get("dport_mask", 0xFFFF if dport else 0),
        "ifindex": spec.get("ifindex", 0),
        "user": spec.get("user", 0),
    }


def key_attributes(spec: PolicySpec | StateSpec) -> list[tuple[str, Any]]:
    """The attributes that are part of what names a policy or a state."""
    attributes: list[tuple[str, Any]] = []
    if spec.get("ptype", "main") == "sub":
        attributes.append(("XFRMA_POLICY_TYPE", {"type": c.XFRM_POLICY_TYPE_SUB}))
    value, mask = spec.get("mark") or (0, 0)
    if mask:
        attributes.append(("XFRMA_MARK", {"v": value & mask, "m": mask}))
    if spec.get("if_id"):
        attributes.append(("XFRMA_IF_ID", spec["if_id"]))
    return attributes


def _template(spec: TemplateSpec) -> dict[str, Any]:
    source, destination = spec.get("src", ""), spec.get("dst", "")
    nothing = "::" if ":" in source + destination else "0.0.0.0"  # noqa: S104 - any address
    return {
        "saddr": source or nothing,
        "daddr": destination or nothing,
        "proto": PROTOCOLS[spec.get("proto", "esp")],
        "reqid": spec.get("reqid", 0),
        "spi": spec.get("spi", 0),
        "mode": MODES[spec.get("mode", "transport")],
        "optional": spec.get("level") == "use",
    }


def policy_message(spec: PolicySpec) -> m.PolicyMessage:
    """The message of NEWPOLICY or UPDPOLICY."""
    fields = {
        "sel": _selector(spec),
        "lft": dict(spec.get("limits", {})),
        "priority": spec.get("priority", 0),
        "index": spec.get("index", 0),
        "dir": DIRECTIONS[spec.get("dir", "out")],
        "action": ("allow", "block").index(spec.get("action", "allow")),
        "flags": spec.get("flags", 0),
    }
    templates = [_template(template) for template in spec.get("tmpl", ())]
    attributes = [("XFRMA_TMPL", templates)] if templates else []
    message: m.PolicyMessage = filled(
        m.PolicyMessage(), fields, [*attributes, *key_attributes(spec)]
    )
    return message


def policy_id_message(spec: PolicySpec) -> m.PolicyIdMessage:
    """The message of DELPOLICY or GETPOLICY."""
    fields = {
        "sel": _selector(spec),
        "index": spec.get("index", 0),
        "dir": DIRECTIONS[spec.get("dir", "out")],
    }
    message: m.PolicyIdMessage = filled(m.PolicyIdMessage(), fields, key_attributes(spec))
    return message


def _state(spec: StateSpec) -> dict[str, Any]:
    destination = spec.get("dst", "0.0.0.0")  # noqa: S104 - any address
    anything = "::" if ":" in destination else "0.0.0.0"  # noqa: S104
    return {
        "sel": _selector(spec["sel"]) if "sel" in spec else {},
        "daddr": destination,
        "saddr": spec.get("src", anything),
        "spi": spec.get("spi", 0),
        "proto": PROTOCOLS[spec.get("proto", "esp")],
        "lft": dict(spec.get("limits", {})),
        "seq": spec.get("seq", 0),
        "reqid": spec.get("reqid", 0),
        "mode": MODES[spec.get("mode", "transport")],
        "replay_window": spec.get("replay_window", 0),
        "flags": spec.get("flags", 0),
    }


def _algorithms(spec: StateSpec) -> Iterator[tuple[str, dict[str, Any]]]:
    if "auth" in spec:
        name, key = spec["auth"]
        yield "XFRMA_ALG_AUTH", {"alg_name": name, "alg_key": Key(key)}
    if "crypt" in spec:
        name, key = spec["crypt"]
        yield "XFRMA_ALG_CRYPT", {"alg_name": name, "alg_key": Key(key)}
    if "auth_trunc" in spec:
        name, key, bits = spec["auth_trunc"]
        value = {"alg_name": name, "alg_key": Key(key), "alg_trunc_len": bits}
        yield "XFRMA_ALG_AUTH_TRUNC", value
    if "aead" in spec:
        name, key, bits = spec["aead"]
        yield "XFRMA_ALG_AEAD", {"alg_name": name, "alg_key": Key(key), "alg_icv_len": bits}
    if "comp" in spec:
        yield "XFRMA_ALG_COMP", {"alg_name": spec["comp"]}


def state_message(spec: StateSpec) -> m.StateMessage:
    """The message of NEWSA or UPDSA."""
    attributes: list[tuple[str, Any]] = [*_algorithms(spec), *key_attributes(spec)]
    if "encap" in spec:
        kind, sport, dport, original = spec["encap"]
        attributes.append(
            (
                "XFRMA_ENCAP",
                {
                    "encap_type": kind,
                    "encap_sport": sport,
                    "encap_dport": dport,
                    "encap_oa": original,
                },
            )
        )
    if "esn_window" in spec:
        window = spec["esn_window"]
        words = [0] * ((window + 31) // 32)
        attributes.append(("XFRMA_REPLAY_ESN_VAL", {"replay_window": window, "bmp": words}))
    if "output_mark" in spec:
        mark, mask = spec["output_mark"]
        attributes += [("XFRMA_SET_MARK", mark), ("XFRMA_SET_MARK_MASK", mask)]
    for attribute, value in (
        ("XFRMA_SA_EXTRA_FLAGS", spec.get("extra_flags")),
        ("XFRMA_TFCPAD", spec.get("tfcpad")),
        ("XFRMA_COADDR", spec.get("coaddr")),
    ):
        if value is not None:
            attributes.append((attribute, value))
    message: m.StateMessage = filled(m.StateMessage(), _state(spec), attributes)
    return message


def state_id_message(spec: StateSpec) -> m.StateIdMessage:
    """The message of DELSA or GETSA: destination, protocol, SPI and mark name a state."""
    state = _state(spec)
    fields = {name: state[name] for name in ("daddr", "spi", "proto")}
    attributes = key_attributes(spec)
    if "src" in spec:
        attributes.append(("XFRMA_SRCADDR", spec["src"]))
    message: m.StateIdMessage = filled(m.StateIdMessage(), fields, attributes)
    return message


def spi_range_message(spec: StateSpec) -> m.SpiRangeMessage:
    """The message of ALLOCSPI: any SPI, or one of a range."""
    fields = {
        "info": _state(spec),
        "min": spec.get("min", 0x100),
        "max": spec.get("max", 0xFFFFFFFF),
    }
    message: m.SpiRangeMessage = filled(m.SpiRangeMessage(), fields, key_attributes(spec))
    return message
