"""States to the bytes of NETLINK_XFRM and back.

Layouts are those of include/uapi/linux/xfrm.h on 64-bit machines.  A host has few states beside
its policies, so clearness goes before speed here.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from typing import Final

from ..net import LENGTH_OF_MASK, MASK_OF_LENGTH, Prefix, Selector
from ..secret import Secret
from .model import TEMPLATE_PROTOCOLS, Algorithm, Limits, Replay, State, UdpEncapsulation
from .text import MODES
from .wire import (
    ATTRIBUTE,
    HEADER,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NO_LIMIT,
    XFRMA_IF_ID,
    XFRMA_MARK,
    attributes,
    messages,
)

NEWSA: Final = 16
DELSA: Final = 17
GETSA: Final = 18

FLAGS: Final = {
    "noecn": 1,
    "decap-dscp": 2,
    "nopmtudisc": 4,
    "wildrecv": 8,
    "icmp": 16,
    "af-unspec": 32,
    "align4": 64,
    "esn": 128,
}
"""``flag`` words of ip-xfrm(8) and their bits (XFRM_STATE_*)."""

EXTRA_FLAGS: Final = {"dont-encap-dscp": 1, "oseq-may-wrap": 2}
"""``extra-flag`` words and their bits (XFRM_SA_XFLAG_*)."""

ENCAPSULATIONS: Final = {"espinudp-nonike": 1, "espinudp": 2, "espintcp": 7}
"""``encap`` words and their numbers (include/uapi/linux/udp.h)."""

LEGACY_WINDOW: Final = 32
"""A wider replay window needs XFRMA_REPLAY_ESN_VAL, also with 32-bit sequence numbers."""

_SELECTOR: Final = struct.Struct("=16s16sHHHHHBBB3xiI")
_INFO: Final = struct.Struct("=56s16sIB3x16s8Q32x12xIIHBBB7x")
_ID: Final = struct.Struct("=16sIHBx")
_ALGORITHM: Final = struct.Struct("=64sI")
_AUTH: Final = struct.Struct("=64sII")
_ENCAP: Final = struct.Struct("=HHH2x16s")
_REPLAY: Final = struct.Struct("=III")
_ESN: Final = struct.Struct("=IIIIII")
_MARK: Final = struct.Struct("=II")
_NUMBER: Final = struct.Struct("=I")

_AUTH_PLAIN: Final = 1
_CRYPT: Final = 2
_COMP: Final = 3
_ENCAP_TYPE: Final = 4
_REPLAY_VAL: Final = 10
_AEAD: Final = 18
_AUTH_TRUNC: Final = 20
_REPLAY_ESN: Final = 23
_EXTRA_FLAGS: Final = 24

_PAD: Final = 27
_LAST_USED: Final = 15

_WHOLE: Final = frozenset(
    {
        _AUTH_PLAIN,
        _CRYPT,
        _COMP,
        _ENCAP_TYPE,
        _REPLAY_VAL,
        _LAST_USED,
        _AUTH_TRUNC,
        XFRMA_MARK,
        _REPLAY_ESN,
        _EXTRA_FLAGS,
        _PAD,
        XFRMA_IF_ID,
    }
)
"""Attributes of which a :class:`.model.State` keeps all that matters.  XFRMA_ALG_AEAD is none: made
again with the numbers of an earlier moment, such a state uses an initialization vector twice."""

_FAMILIES: Final = {4: int(socket.AF_INET), 6: int(socket.AF_INET6)}
_SIZES: Final = {4: 4, 6: 16}
_MODE_NUMBERS: Final = {name: number for number, name in enumerate(MODES)}


def encode_states(states: Iterable[State], sequence: int = 0) -> list[bytes]:
    """Make a NEWSA (create; EEXIST if there) for each state, numbered from ``sequence`` on.

    Raises ``ValueError`` for what XFRM cannot hold; no key is in its text.
    """
    return [_encode(state, sequence + place) for place, state in enumerate(states)]


def encode_state_removals(states: Iterable[State], sequence: int = 0) -> list[bytes]:
    """Make a DELSA for each state, by destination, SPI, protocol and mark."""
    made = []
    for place, state in enumerate(states):
        size = _SIZES[state.family]
        body = _ID.pack(
            state.destination.to_bytes(size),
            socket.htonl(state.spi),
            _FAMILIES[state.family],
            state.protocol,
        )
        value, mask = state.mark
        if mask:
            body += _attribute(XFRMA_MARK, _MARK.pack(value & mask, mask))
        made.append(
            HEADER.pack(HEADER.size + len(body), DELSA, NLM_F_REQUEST, sequence + place, 0) + body
        )
    return made


def encode_state_dump(sequence: int) -> bytes:
    """The request for all states; its form for a dump has no body."""
    return HEADER.pack(HEADER.size, GETSA, NLM_F_REQUEST | NLM_F_DUMP, sequence, 0)


def _encode(state: State, sequence: int) -> bytes:
    try:
        body = _info(state) + b"".join(_state_attributes(state))
    except (KeyError, struct.error, OverflowError) as error:
        raise ValueError(f"{name_of(state)}: XFRM cannot hold it: {error}") from None
    return HEADER.pack(HEADER.size + len(body), NEWSA, NLM_F_REQUEST, sequence, 0) + body


def name_of(state: State) -> str:
    """What to call a state in a message: no key is in it."""
    from .state_text import state_id_arguments

    return f"state {state_id_arguments(state)}"


def _info(state: State) -> bytes:
    size = _SIZES[state.family]
    limits = state.limits
    flags = 0
    for flag in state.flags:
        flags |= FLAGS[flag]
    return _INFO.pack(
        bytes(56) if state.selector is None else _pack_selector(state.selector),
        state.destination.to_bytes(size),
        socket.htonl(state.spi),
        state.protocol,
        state.source.to_bytes(size),
        limits.bytes_soft or NO_LIMIT,
        limits.bytes_hard or NO_LIMIT,
        limits.packets_soft or NO_LIMIT,
        limits.packets_hard or NO_LIMIT,
        limits.add_soft,
        limits.add_hard,
        limits.use_soft,
        limits.use_hard,
        0,
        state.reqid,
        _FAMILIES[state.family],
        _MODE_NUMBERS[state.mode],
        0 if state.replay_window > LEGACY_WINDOW else state.replay_window,
        flags,
    )


def _pack_selector(selector: Selector) -> bytes:
    source, destination, protocol, sport, dport = selector
    size, lengths = _SIZES[source.family], LENGTH_OF_MASK[source.family]
    return _SELECTOR.pack(
        (destination.address & destination.mask).to_bytes(size),
        (source.address & source.mask).to_bytes(size),
        socket.htons(dport),
        0xFFFF if dport else 0,
        socket.htons(sport),
        0xFFFF if sport else 0,
        _FAMILIES[source.family],
        lengths[destination.mask],
        lengths[source.mask],
        protocol,
        0,
        0,
    )


def _attribute(kind: int, payload: bytes) -> bytes:
    return ATTRIBUTE.pack(4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def _state_attributes(state: State) -> Iterable[bytes]:
    """In the order of the attribute numbers."""
    if state.encryption is not None:
        name, key, _ = state.encryption
        octets = key.reveal()
        yield _attribute(_CRYPT, _ALGORITHM.pack(name.encode(), key.bits) + octets)
    if state.compression:
        yield _attribute(_COMP, _ALGORITHM.pack(state.compression.encode(), 0))
    if state.encapsulation is not None:
        kind, source_port, destination_port = state.encapsulation
        yield _attribute(
            _ENCAP_TYPE,
            _ENCAP.pack(
                ENCAPSULATIONS[kind],
                socket.htons(source_port),
                socket.htons(destination_port),
                bytes(16),
            ),
        )
    sent, received, bitmap = state.replay
    wide = state.replay_window > LEGACY_WINDOW
    if any(state.replay) and not wide:
        yield _attribute(_REPLAY_VAL, _REPLAY.pack(sent, received, bitmap))
    if state.authentication is not None:
        name, key, bits = state.authentication
        packed = _AUTH.pack(name.encode(), key.bits, bits) + key.reveal()
        yield _attribute(_AUTH_TRUNC, packed)
    value, mask = state.mark
    if mask:
        yield _attribute(XFRMA_MARK, _MARK.pack(value & mask, mask))
    if wide:
        words = (state.replay_window + 31) // 32
        maps = [bitmap >> 32 * place & 0xFFFFFFFF for place in range(words)]
        yield _attribute(
            _REPLAY_ESN,
            _ESN.pack(words, sent, received, 0, 0, state.replay_window)
            + struct.pack(f"={words}I", *maps),
        )
    extra = 0
    for flag in state.extra_flags:
        extra |= EXTRA_FLAGS[flag]
    if extra:
        yield _attribute(_EXTRA_FLAGS, _NUMBER.pack(extra))
    if state.if_id:
        yield _attribute(XFRMA_IF_ID, _NUMBER.pack(state.if_id))


# ---------------------------------------------------------------------------------- decoding


def decode_states(data: bytes) -> list[State]:
    """All states of a datagram of a dump.

    Those that the kernel makes by itself are left out: larval ones (SPI 0, while a key daemon is
    asked), and the IP-in-IP state below an IPCOMP tunnel (net/ipv4/ipcomp.c:ipcomp_tunnel_create).
    Raises ``ValueError``.
    """
    try:
        return [
            state
            for kind, start, end in messages(data)
            if kind == NEWSA
            for state in (_decode(data[start + HEADER.size : end]),)
            if state.spi and state.protocol in TEMPLATE_PROTOCOLS
        ]
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"a state of the kernel cannot be read: {error}") from None


def _decode(body: bytes) -> State:
    (
        selector,
        destination,
        spi,
        protocol,
        source,
        bytes_soft,
        bytes_hard,
        packets_soft,
        packets_hard,
        add_soft,
        add_hard,
        use_soft,
        use_hard,
        _,
        reqid,
        af,
        mode,
        window,
        flags,
    ) = _INFO.unpack_from(body)
    family = 6 if af == socket.AF_INET6 else 4
    size = _SIZES[family]
    state = State(
        protocol,
        family,
        int.from_bytes(source[:size]),
        int.from_bytes(destination[:size]),
        socket.ntohl(spi),
        MODES[mode] if mode < len(MODES) else str(mode),
        reqid,
        replay_window=window,
        selector=_unpack_selector(selector),
        flags=tuple(name for name, bit in FLAGS.items() if flags & bit),
        limits=Limits(
            add_soft,
            add_hard,
            use_soft,
            use_hard,
            *(
                0 if number == NO_LIMIT else number
                for number in (bytes_soft, bytes_hard, packets_soft, packets_hard)
            ),
        ),
    )
    more = []
    for kind, payload in attributes(body[_INFO.size :]):
        state = _with_attribute(state, kind, payload)
        if kind not in _WHOLE or (kind == _REPLAY_ESN and any(_ESN.unpack_from(payload)[3:5])):
            more.append(kind)
    return state._replace(more=tuple(more)) if more else state


def _with_attribute(state: State, kind: int, payload: bytes) -> State:
    match kind:
        case 2:
            return state._replace(encryption=_algorithm(payload))
        case 1 if state.authentication is None:
            return state._replace(authentication=_algorithm(payload))
        case 20:
            name, bits, trunc = _AUTH.unpack_from(payload)
            key = Secret(payload[_AUTH.size : _AUTH.size + (bits + 7) // 8])
            return state._replace(authentication=Algorithm(_name(name), key, trunc))
        case 18:
            name, bits, check = _AUTH.unpack_from(payload)
            key = Secret(payload[_AUTH.size : _AUTH.size + (bits + 7) // 8])
            return state._replace(encryption=Algorithm(_name(name), key, check))
        case 3:
            return state._replace(compression=_algorithm(payload).name)
        case 4:
            number, source_port, destination_port, _ = _ENCAP.unpack_from(payload)
            kinds = {value: word for word, value in ENCAPSULATIONS.items()}
            return state._replace(
                encapsulation=UdpEncapsulation(
                    kinds.get(number, str(number)),
                    socket.ntohs(source_port),
                    socket.ntohs(destination_port),
                )
            )
        case 10:
            return state._replace(replay=Replay(*_REPLAY.unpack_from(payload)))
        case 23:
            words, sent, received, _, _, window = _ESN.unpack_from(payload)
            bitmap = 0
            for place, word in enumerate(struct.unpack_from(f"={words}I", payload, _ESN.size)):
                bitmap |= word << 32 * place
            return state._replace(replay_window=window, replay=Replay(sent, received, bitmap))
        case 21:
            return state._replace(mark=_MARK.unpack_from(payload))
        case 24:
            (number,) = _NUMBER.unpack_from(payload)
            found = tuple(name for name, bit in EXTRA_FLAGS.items() if number & bit)
            return state._replace(extra_flags=found)
        case 31:
            return state._replace(if_id=_NUMBER.unpack_from(payload)[0])
    return state


def _algorithm(payload: bytes) -> Algorithm:
    name, bits = _ALGORITHM.unpack_from(payload)
    return Algorithm(
        _name(name), Secret(payload[_ALGORITHM.size : _ALGORITHM.size + (bits + 7) // 8])
    )


def _name(octets: bytes) -> str:
    return octets.split(b"\0", 1)[0].decode("ascii")


def _unpack_selector(packed: bytes) -> Selector | None:
    """The selector of a state, ``None`` when it takes everything."""
    destination, source, dport, _, sport, _, af, far, near, protocol, _, _ = _SELECTOR.unpack(
        packed
    )
    if not (dport or sport or far or near or protocol):
        return None
    family = 6 if af == socket.AF_INET6 else 4
    size, masks = _SIZES[family], MASK_OF_LENGTH[family]
    return Selector(
        Prefix(family, int.from_bytes(source[:size]), masks[near]),
        Prefix(family, int.from_bytes(destination[:size]), masks[far]),
        protocol,
        socket.ntohs(sport),
        socket.ntohs(dport),
    )
