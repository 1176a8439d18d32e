"""Policies found by their bytes are those that decoding would find."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from eroute_translate.xfrm.decode import decode_policies
from eroute_translate.xfrm.encode import encode_installs
from eroute_translate.xfrm.model import Policy
from eroute_translate.xfrm.sieve import Sieve, with_selector_of, with_user
from eroute_translate.xfrm.wire import MAIN_TYPE

from .test_wire_bytes import policies

NOISE = bytes(range(1, 37))


def as_dumped(policy: Policy, *, typed: bool) -> bytes:
    """As the kernel lists it: with counters, an index, and on some kernels its type."""
    message = bytearray(encode_installs([policy], replace=False)[0])
    message[136:168] = NOISE[:32]
    message[172:176] = NOISE[32:]
    if typed and policy.ptype == "main" and not policy.mark[1] and not policy.if_id:
        message += MAIN_TYPE
    message[:4] = len(message).to_bytes(4, "little")
    return bytes(message)


def limited(policy: Policy, *, typed: bool) -> bytes:
    """The same with a limit, which makes it another."""
    message = bytearray(as_dumped(policy, typed=typed))
    message[72:80] = (1 << 40).to_bytes(8, "little")
    return bytes(message)


def plain(policy: Policy) -> Policy:
    return policy._replace(index=0)


@settings(max_examples=200)
@given(
    st.lists(policies(), max_size=8, unique_by=lambda p: encode_installs([p])[0]),
    st.lists(policies(), max_size=4),
    st.booleans(),
    st.integers(1, 5),
    st.randoms(use_true_random=False),
    st.data(),
)
def test_found_and_others(
    wanted: list[Policy],
    others: list[Policy],
    typed: bool,
    size: int,
    dice: object,
    data: st.DataObject,
) -> None:
    """Whatever stands beside what, and however the messages are cut into datagrams."""
    kinds = [data.draw(st.sampled_from(("there", "gone", "limited"))) for _ in wanted]
    listed = [as_dumped(p, typed=typed) for p, k in zip(wanted, kinds, strict=True) if k == "there"]
    listed += [
        limited(p, typed=typed) for p, k in zip(wanted, kinds, strict=True) if k == "limited"
    ]
    listed += [as_dumped(p, typed=typed) for p in others]
    dice.shuffle(listed)  # type: ignore[attr-defined]
    datagrams = [b"".join(listed[at : at + size]) for at in range(0, len(listed), size)]
    everything = [p for datagram in datagrams for p in decode_policies(datagram)]
    sieve = Sieve(wanted)
    marks, left = sieve.sift(datagrams)
    known = {message[16:] for message in encode_installs([plain(p) for p in wanted])}
    expected = [
        p for p in everything if p.octets or encode_installs([plain(p)])[0][16:] not in known
    ]
    assert sorted(map(repr, left)) == sorted(map(repr, expected))
    _, again = sieve.sift(datagrams, Sieve(p for p in left if not p.octets))
    assert sorted(map(repr, map(plain, again))) == sorted(map(repr, map(plain, left)))
    there = {encode_installs([plain(p)])[0] for p in everything if not p.octets}
    assert [bool(mark) for mark in marks] == [
        encode_installs([plain(p)])[0] in there for p in sieve.policies
    ]


@settings(max_examples=60)
@given(st.lists(policies(), min_size=1, max_size=6), st.integers(0, 5))
def test_chosen_without_decoding_the_rest(listed: list[Policy], at: int) -> None:
    datagram = b"".join(as_dumped(p, typed=True) for p in listed)
    everything = decode_policies(datagram)
    chosen = listed[at % len(listed)]
    selector = encode_installs([chosen])[0][16:72]
    assert list(with_selector_of([chosen], [datagram])) == [
        p for p in everything if encode_installs([p], exact=True)[0][16:72] == selector
    ]
    assert list(with_user(chosen.user, [datagram])) == [
        p for p in everything if p.user == chosen.user
    ]
