"""States: bulk bytes against the message classes, and there and back again."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eroute_translate.net import MASK_OF_LENGTH, WIDTH, Prefix, Selector, format_address
from eroute_translate.secret import Secret
from eroute_translate.xfrm.family import constants as c
from eroute_translate.xfrm.family import messages as m
from eroute_translate.xfrm.family.structure import Key
from eroute_translate.xfrm.model import Algorithm, Limits, Replay, State, UdpEncapsulation
from eroute_translate.xfrm.state_wire import (
    ENCAPSULATIONS,
    EXTRA_FLAGS,
    FLAGS,
    decode_states,
    encode_state_removals,
    encode_states,
)
from eroute_translate.xfrm.text import MODES

u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
keys = st.binary(max_size=64).map(Secret)
names = st.sampled_from(("cbc(aes)", "cbc(des3_ede)", "ecb(cipher_null)", "hmac(md5)", "x" * 63))


@st.composite
def prefixes(draw: st.DrawFn, family: int) -> Prefix:
    mask = MASK_OF_LENGTH[family][draw(st.integers(0, WIDTH[family]))]
    return Prefix(family, draw(st.integers(0, (1 << WIDTH[family]) - 1)) & mask, mask)


@st.composite
def selectors(draw: st.DrawFn) -> Selector:
    family = draw(st.sampled_from((4, 6)))
    near, far = draw(prefixes(family)), draw(prefixes(family))
    return Selector(near, far, draw(st.integers(0, 255)), draw(u16), draw(u16))


@st.composite
def states(draw: st.DrawFn) -> State:
    """Any state, written the one way that :class:`State` has for it."""
    family = draw(st.sampled_from((4, 6)))
    address = st.integers(0, (1 << WIDTH[family]) - 1)
    window = draw(st.integers(0, 96))
    mask = draw(u32)
    bits = max(32, window)
    sequence = st.integers(0, 0xFFFFFFFF)
    replay = Replay(draw(sequence), draw(sequence), draw(st.integers(0, (1 << bits) - 1)))
    return State(
        draw(st.sampled_from((50, 51, 108))),
        family,
        draw(address),
        draw(address),
        draw(st.integers(1, 0xFFFFFFFF)),
        draw(st.sampled_from(MODES)),
        draw(u32),
        draw(st.none() | st.builds(Algorithm, names, keys, st.just(0))),
        draw(st.none() | st.builds(Algorithm, names, keys, st.integers(1, 512))),
        draw(st.sampled_from(("", "deflate"))),
        window,
        draw(st.none() | selectors()),
        tuple(sorted(draw(st.sets(st.sampled_from(tuple(FLAGS)))), key=FLAGS.__getitem__)),
        tuple(sorted(draw(st.sets(st.sampled_from(tuple(EXTRA_FLAGS)))), key=EXTRA_FLAGS.get)),  # type: ignore[arg-type]
        draw(st.builds(Limits, *[u32] * 8)),
        draw(
            st.none()
            | st.builds(UdpEncapsulation, st.sampled_from(tuple(ENCAPSULATIONS)), u16, u16)
        ),
        (draw(u32) & mask, mask),
        draw(u32),
        replay,
    )


def fields(state: State) -> dict[str, Any]:
    """The structure of a state in the words of the message classes."""
    limits = state.limits
    found = {
        "daddr": format_address(state.family, state.destination),
        "saddr": format_address(state.family, state.source),
        "spi": state.spi,
        "proto": state.protocol,
        "family": 10 if state.family == 6 else 2,
        "lft": {
            "soft_byte_limit": limits.bytes_soft or c.XFRM_INF,
            "hard_byte_limit": limits.bytes_hard or c.XFRM_INF,
            "soft_packet_limit": limits.packets_soft or c.XFRM_INF,
            "hard_packet_limit": limits.packets_hard or c.XFRM_INF,
            "soft_add_expires_seconds": limits.add_soft,
            "hard_add_expires_seconds": limits.add_hard,
            "soft_use_expires_seconds": limits.use_soft,
            "hard_use_expires_seconds": limits.use_hard,
        },
        "reqid": state.reqid,
        "mode": MODES.index(state.mode),
        "replay_window": 0 if state.replay_window > 32 else state.replay_window,
        "flags": sum(FLAGS[flag] for flag in state.flags),
    }
    if state.selector is not None:
        source, destination, protocol, sport, dport = state.selector
        found["sel"] = {
            "saddr": format_address(source.family, source.address),
            "daddr": format_address(source.family, destination.address),
            "prefixlen_s": source.length,
            "prefixlen_d": destination.length,
            "proto": protocol,
            "sport": sport,
            "dport": dport,
            "sport_mask": 0xFFFF if sport else 0,
            "dport_mask": 0xFFFF if dport else 0,
        }
    return found


def attributes(state: State) -> list[tuple[str, Any]]:
    """The attributes of a state in the words of the message classes, in the order of the bytes."""
    made: list[tuple[str, Any]] = []
    value: dict[str, Any]
    if state.encryption is not None:
        key = Key(state.encryption.key.reveal())
        made.append(("XFRMA_ALG_CRYPT", {"alg_name": state.encryption.name, "alg_key": key}))
    if state.compression:
        made.append(("XFRMA_ALG_COMP", {"alg_name": state.compression}))
    if state.encapsulation is not None:
        kind, sport, dport = state.encapsulation
        value = {"encap_type": ENCAPSULATIONS[kind], "encap_sport": sport, "encap_dport": dport}
        made.append(("XFRMA_ENCAP", value))
    sent, received, bitmap = state.replay
    wide = state.replay_window > 32
    if any(state.replay) and not wide:
        made.append(("XFRMA_REPLAY_VAL", {"oseq": sent, "seq": received, "bitmap": bitmap}))
    if state.authentication is not None:
        name, secret, bits = state.authentication
        key = Key(secret.reveal())
        value = {"alg_name": name, "alg_key": key, "alg_trunc_len": bits}
        made.append(("XFRMA_ALG_AUTH_TRUNC", value))
    if state.mark[1]:
        made.append(("XFRMA_MARK", {"v": state.mark[0], "m": state.mark[1]}))
    if wide:
        words = [
            bitmap >> 32 * place & 0xFFFFFFFF for place in range((state.replay_window + 31) // 32)
        ]
        value = {"oseq": sent, "seq": received, "replay_window": state.replay_window, "bmp": words}
        made.append(("XFRMA_REPLAY_ESN_VAL", value))
    extra = sum(EXTRA_FLAGS[flag] for flag in state.extra_flags)
    if extra:
        made.append(("XFRMA_SA_EXTRA_FLAGS", extra))
    if state.if_id:
        made.append(("XFRMA_IF_ID", state.if_id))
    return made


def encoded(message: Any, kind: int, sequence: int, parts: dict[str, Any]) -> bytes:
    message.update(parts)
    message["header"] = {"type": kind, "flags": 1, "sequence_number": sequence, "pid": 0}
    message.encode()
    return bytes(message.data)


@settings(deadline=None, max_examples=60)
@given(st.lists(states(), max_size=3), u16)
def test_the_bytes_are_those_of_the_message_classes(some: list[State], first: int) -> None:
    assert encode_states(some, first) == [
        encoded(
            m.StateMessage(),
            c.XFRM_MSG_NEWSA,
            first + place,
            {**fields(state), "attrs": attributes(state)},
        )
        for place, state in enumerate(some)
    ]
    assert encode_state_removals(some, first) == [
        encoded(
            m.StateIdMessage(),
            c.XFRM_MSG_DELSA,
            first + place,
            {
                **{name: fields(state)[name] for name in ("daddr", "spi", "proto", "family")},
                "attrs": [pair for pair in attributes(state) if pair[0] == "XFRMA_MARK"],
            },
        )
        for place, state in enumerate(some)
    ]


@settings(deadline=None, max_examples=60)
@given(st.lists(states(), max_size=3))
def test_there_and_back(some: list[State]) -> None:
    data = b"".join(encode_states(some))
    assert decode_states(data) == some


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        ("XFRMA_ALG_AEAD", {"alg_name": "x", "alg_key": Key(b"k" * 20), "alg_icv_len": 128}, 18),
        ("XFRMA_SET_MARK", 7, 29),
        ("XFRMA_TFCPAD", 9, 22),
        ("XFRMA_REPLAY_ESN_VAL", {"oseq_hi": 1, "replay_window": 32, "bmp": [0]}, 23),
        ("XFRMA_REPLAY_ESN_VAL", {"seq_hi": 1, "replay_window": 32, "bmp": [0]}, 23),
    ],
)
def test_what_could_not_be_made_again_is_told(name: str, value: object, number: int) -> None:
    plain = State(50, 4, 1, 2, 3, "tunnel", 4)
    parts = {**fields(plain), "attrs": [(name, value)]}
    data = encoded(m.StateMessage(), c.XFRM_MSG_NEWSA, 1, parts)
    assert [state.more for state in decode_states(data)] == [(number,)]
    assert [state.more for state in decode_states(encode_states([plain])[0])] == [()]


@settings(deadline=None, max_examples=60)
@given(states())
def test_message_classes_read_it_and_show_no_key(state: State) -> None:
    message: Any = m.StateMessage(encode_states([state])[0])
    message.decode()
    read = dict(message)
    for name, value in fields(state).items():
        if isinstance(value, dict):
            assert value.items() <= read[name].items()
        else:
            assert read[name] == value
    shown = repr(message)
    for algorithm in (state.encryption, state.authentication):
        if algorithm is not None and len(algorithm.key.reveal()) > 8:
            assert repr(algorithm.key.reveal()) not in shown
            assert algorithm.key.reveal().hex() not in re.sub(r"[^0-9a-f]", "", shown)
