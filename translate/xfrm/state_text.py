"""States as ``ip xfrm state`` takes them (ip-xfrm(8))."""

from __future__ import annotations

from ..net import format_address
from .model import TEMPLATE_PROTOCOLS, Algorithm, Limits, State
from .text import LIMITS, SELECTOR_TEXTS, selector_rest

HIDDEN = "KEY-NOT-SHOWN"
"""What stands for a key that was not asked for."""


def state_id_arguments(state: State) -> str:
    """``src A dst B proto P spi N``: what tells a state from others, and no key."""
    source = format_address(state.family, state.source)
    destination = format_address(state.family, state.destination)
    protocol = TEMPLATE_PROTOCOLS.get(state.protocol, str(state.protocol))
    return f"src {source} dst {destination} proto {protocol} spi {state.spi:#x}"


def state_arguments(state: State, *, keys: bool = False) -> str:
    """What follows ``ip xfrm state add``.

    Without ``keys`` each key is replaced by :data:`HIDDEN`, which ``ip`` refuses.
    """
    words = [state_id_arguments(state)]
    if state.reqid:
        words.append(f"reqid {state.reqid}")
    words.append(f"mode {state.mode}")
    value, mask = state.mark
    if mask:
        words.append(f"mark {value & mask:#x} mask {mask:#x}")
    if state.replay_window:
        words.append(f"replay-window {state.replay_window}")
    if state.replay.sent:
        words.append(f"replay-oseq {state.replay.sent:#x}")
    if state.replay.received:
        words.append(f"replay-seq {state.replay.received:#x}")
    if state.flags:
        words.append(f"flag {' '.join(state.flags)}")
    if state.extra_flags:
        words.append(f"extra-flag {' '.join(state.extra_flags)}")
    if state.selector is not None:
        source, destination, protocol, sport, dport = state.selector
        words.append(
            f"sel src {SELECTOR_TEXTS[source]} dst {SELECTOR_TEXTS[destination]}"
            + selector_rest(protocol, sport, dport, None, 0, "", True)
        )
    if state.authentication is not None:
        name, _, bits = state.authentication
        words.append(f"auth-trunc {name} {_key(state.authentication, keys)} {bits}")
    if state.encryption is not None:
        name, _, bits = state.encryption
        kind, tail = ("aead", f" {bits}") if bits else ("enc", "")
        words.append(f"{kind} {name} {_key(state.encryption, keys)}{tail}")
    if state.compression:
        words.append(f"comp {state.compression}")
    if state.encapsulation is not None:
        kind, source_port, destination_port = state.encapsulation
        anywhere = "0.0.0.0" if state.family == 4 else "::"  # noqa: S104 - no original address
        words.append(f"encap {kind} {source_port} {destination_port} {anywhere}")
    words.extend(_limits(state.limits))
    if state.if_id:
        words.append(f"if_id {state.if_id:#x}")
    return " ".join(words)


def _key(algorithm: Algorithm, keys: bool) -> str:
    if not algorithm.key.bits:
        return '""'
    return f"0x{algorithm.key.reveal().hex()}" if keys else HIDDEN


def _limits(limits: Limits) -> list[str]:
    return [f"limit {name} {number}" for name, number in zip(LIMITS, limits, strict=True) if number]
