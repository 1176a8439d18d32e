"""Policies found in a dump by their bytes, without decoding it.

A dump of a gateway is mostly what is wanted already.  To compare bytes is several times faster than
to decode them, and what is left over, which others installed or changed, is little.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final, NamedTuple

from .decode import decode_policies
from .encode import encode_installs
from .model import Policy
from .wire import LENGTH_AND_TYPE, MAIN_TYPE, NEWPOLICY, POLICY_SIZE, UNLIMITED, UPDPOLICY

_AT_ONCE: Final = 512
_SELECTOR: Final = slice(16, 72)


class Sieve:
    """Policies, and where each stands among those that were given; equal ones count once.

    An *identity* is what a policy says: its message without header, lifetimes, counters and index,
    and without XFRMA_POLICY_TYPE, which only some kernels tell.  A policy that says more than an
    identity can (a limit) is never found.  Raises ``ValueError`` for what XFRM cannot hold.
    """

    def __init__(self, policies: Iterable[Policy]) -> None:
        walk = iter(policies)
        places: dict[bytes, int] = {}
        self.policies: list[Policy] = []
        while part := list(islice(walk, _AT_ONCE)):
            for policy, message in zip(part, encode_installs(part), strict=True):
                place = len(self.policies)
                # With octets of its own it says more than an identity can.
                if policy.octets or places.setdefault(_identity(message), place) == place:
                    self.policies.append(policy)
        self._places = places

    def __len__(self) -> int:
        return len(self.policies)

    def sift(
        self, datagrams: Iterable[bytes], known: Sieve | None = None
    ) -> tuple[bytearray, list[Policy]]:
        """Mark, by place, those that are in a dump; return the marks and all others, decoded.

        Others that ``known`` has are those of it, index included: they take no memory again.
        Raises ``ValueError`` for datagrams that cannot be read.
        """
        found = bytearray(len(self.policies))
        others: list[Policy] = []
        for data in datagrams:
            places = self._all_of(data)
            if places is None:
                others += self._one_by_one(data, found, known)
            else:
                for place in places:
                    found[place] = 1
        return found, others

    def _all_of(self, data: bytes) -> list[int] | None:
        """The places of a datagram whose messages are all alike and all known; else ``None``.

        That is the usual one, and takes no step of the interpreter for a message.  Messages of one
        length, as each says, stand where this looks for them.
        """
        if len(data) < POLICY_SIZE:
            return None
        length, kind = LENGTH_AND_TYPE.unpack_from(data)
        if length < POLICY_SIZE or length % 4 or len(data) % length:
            return None
        typed = data[length - len(MAIN_TYPE) : length] == MAIN_TYPE
        form = _form(length, typed=typed)
        plain = (length, kind, UNLIMITED, MAIN_TYPE) if typed else (length, kind, UNLIMITED)
        if kind not in (NEWPOLICY, UPDPOLICY) or set(form.frame.iter_unpack(data)) != {plain}:
            return None
        places = list(map(self._places.get, map(b"".join, form.identity.iter_unpack(data))))
        return None if None in places else places  # type: ignore[return-value]  # no None is left

    def _one_by_one(self, data: bytes, found: bytearray, known: Sieve | None) -> list[Policy]:
        others: list[Policy] = []
        unknown: list[bytes] = []
        for start, end in _policies(data):
            typed = data[end - len(MAIN_TYPE) : end] == MAIN_TYPE
            identity = b"".join(_form(end - start, typed=typed).identity.unpack_from(data, start))
            if data[start + 72 : start + 136] != UNLIMITED:
                unknown.append(data[start : end + 3 & ~3])
            elif (place := self._places.get(identity)) is not None:
                found[place] = 1
            elif known is not None and (place := known._places.get(identity)) is not None:
                others.append(known.policies[place])
            else:
                unknown.append(data[start : end + 3 & ~3])
        return others + decode_policies(b"".join(unknown)) if unknown else others


class _Form(NamedTuple):
    """Layouts of a policy's message of one length: what must be alike, and the identity."""

    frame: struct.Struct
    identity: struct.Struct


@lru_cache(maxsize=256)
def _form(length: int, *, typed: bool) -> _Form:
    tail = len(MAIN_TYPE) if typed else 0
    said = length - 176 - tail
    return _Form(
        struct.Struct(f"=IH66x64s{length - 136 - tail}x" + (f"{tail}s" if tail else "")),
        struct.Struct(f"=16x56s96x4s4x{said}s{tail}x"),
    )


def _policies(data: bytes) -> Iterator[tuple[int, int]]:
    """Begin and end of the policies of a datagram; ``ValueError`` for lengths that cannot be."""
    following, size, head = 0, len(data), LENGTH_AND_TYPE.unpack_from
    while following + 16 <= size:
        start = following
        length, kind = head(data, start)
        end = start + length
        if length < 16 or end > size:
            raise ValueError("a message of the kernel is cut")
        following = end + 3 & ~3
        if kind in (NEWPOLICY, UPDPOLICY):
            if length < POLICY_SIZE:
                raise ValueError("a policy of the kernel is cut")
            yield start, end


def _identity(message: bytes) -> bytes:
    return message[16:72] + message[168:172] + message[176:]


def _chosen(datagrams: Iterable[bytes], take: Callable[[bytes, int], bool]) -> Iterator[Policy]:
    for data in datagrams:
        for start, end in _policies(data):
            if take(data, start):
                yield from decode_policies(data[start:end])


def with_selector_of(policies: Sequence[Policy], datagrams: Iterable[bytes]) -> Iterator[Policy]:
    """The policies of a dump that have the selector of one of these; nothing else is decoded."""
    selectors = {message[_SELECTOR] for message in encode_installs(policies, exact=True)}
    return _chosen(datagrams, lambda data, start: data[start + 16 : start + 72] in selectors)


def with_user(user: int, datagrams: Iterable[bytes]) -> Iterator[Policy]:
    """The policies of a dump whose selector has this user; nothing else is decoded."""
    word = struct.pack("=I", user)
    return _chosen(datagrams, lambda data, start: data[start + 68 : start + 72] == word)
