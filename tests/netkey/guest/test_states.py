"""States through the wire and through the text, in a kernel that has ESP, AH and IPCOMP."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from itertools import count

import pytest

from eroute_translate.mapping.algorithms import (
    AUTHENTICATORS,
    CIPHERS,
    COMPRESSIONS,
    IcvLength,
    icv_bits,
)
from eroute_translate.net import Prefix, Selector
from eroute_translate.secret import Secret
from eroute_translate.xfrm.bulk import Channel
from eroute_translate.xfrm.model import Algorithm, Limits, Replay, State, UdpEncapsulation
from eroute_translate.xfrm.state_text import state_arguments

NUMBERS = count()
HERE, THERE = 0xC0A80101, 0xC0A80102
MD5 = Algorithm("hmac(md5)", Secret(bytes(range(16))), 96)
SHA1 = Algorithm("hmac(sha1)", Secret(bytes(range(20))), 96)
TRIPLE = Algorithm("cbc(des3_ede)", Secret(bytes(range(24))))
AES = Algorithm("cbc(aes)", Secret(bytes(range(16))))
NULL = Algorithm("ecb(cipher_null)", Secret(b""))
INNER = Selector(Prefix(4, 0x0A000000, 0xFF000000), Prefix(4, 0x0B000000, 0xFF000000), 6, 0, 25)

STATES = {
    "esp": State(50, 4, HERE, THERE, 0x1001, "tunnel", 7, TRIPLE, MD5),
    "aes": State(50, 4, HERE, THERE, 0x1002, "transport", 7, AES, SHA1, replay_window=32),
    "wide": State(50, 4, HERE, THERE, 0x1003, "tunnel", 7, AES, SHA1, replay_window=64),
    "null": State(50, 4, HERE, THERE, 0x1004, "tunnel", 7, NULL, SHA1),
    "bare": State(50, 4, HERE, THERE, 0x1005, "tunnel", 7, TRIPLE),
    "ah": State(51, 4, HERE, THERE, 0x1006, "transport", 7, None, MD5),
    "comp": State(108, 4, HERE, THERE, 0x1007, "tunnel", 7, compression="deflate"),
    "six": State(50, 6, 1 << 64, 2 << 64, 0x1008, "tunnel", 7, AES, SHA1),
    "six-ah": State(51, 6, 1 << 64, 2 << 64, 0x1008, "transport", 7, None, SHA1),
    "limits": State(
        50, 4, HERE, THERE, 0x1009, "tunnel", 7, AES, SHA1, limits=Limits(9, 10, 11, 12, 13, 14, 15)
    ),
    "selector": State(50, 4, HERE, THERE, 0x100A, "transport", 7, AES, SHA1, selector=INNER),
    "flags": State(
        50,
        4,
        HERE,
        THERE,
        0x100B,
        "tunnel",
        7,
        AES,
        SHA1,
        flags=("noecn", "nopmtudisc"),
        extra_flags=("dont-encap-dscp",),
    ),
    "natt": State(
        50,
        4,
        HERE,
        THERE,
        0x100C,
        "tunnel",
        7,
        AES,
        SHA1,
        encapsulation=UdpEncapsulation("espinudp", 4500, 4501),
    ),
    "replay": State(
        50, 4, HERE, THERE, 0x100D, "tunnel", 7, AES, SHA1, replay_window=32, replay=Replay(5, 6)
    ),
    "mark": State(50, 4, HERE, THERE, 0x100E, "tunnel", 7, AES, SHA1, mark=(3, 255), if_id=9),
}


@pytest.fixture
def netns() -> str:
    """A namespace of its own for each test."""
    name = f"states-{next(NUMBERS)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    return name


@pytest.mark.parametrize("name", STATES)
def test_the_kernel_has_what_was_sent(netns: str, name: str) -> None:
    with Channel.open(netns) as channel:
        channel.install_states([STATES[name]])
        assert channel.dump_states() == [STATES[name]]
        channel.remove_states([STATES[name]])
        assert channel.dump_states() == []


@pytest.mark.parametrize("name", STATES)
def test_ip_takes_what_is_printed(netns: str, name: str) -> None:
    words = state_arguments(STATES[name], keys=True).replace('""', "").split()
    if "enc" in words and words[words.index("enc") + 1] == "ecb(cipher_null)":
        words.insert(words.index("enc") + 2, "")
    command = ["ip", "-n", netns, "xfrm", "state", "add", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stderr, words)
    with Channel.open(netns) as channel:
        assert channel.dump_states() == [STATES[name]]


def test_every_algorithm_of_the_mapping_is_one_that_the_kernel_takes(netns: str) -> None:
    """All names, key lengths and check values that states can get: none that XFRM refuses ships."""
    wanted = list(every_algorithm())
    with Channel.open(netns) as channel:
        channel.install_states(wanted)
        found = {state.key: state for state in channel.dump_states()}
    assert [found.get(state.key) for state in wanted] == wanted
    ciphers = {state.encryption.name for state in wanted if state.encryption is not None}
    assert ciphers == {cipher.name for cipher in CIPHERS.values()}


def every_algorithm() -> Iterator[State]:
    spis = count(0x2000)

    def state(protocol: int, cipher: Algorithm | None, digest: Algorithm | None) -> State:
        return State(protocol, 4, HERE, THERE, next(spis), "tunnel", 7, cipher, digest)

    for cipher in CIPHERS.values():
        for bits in cipher.key_bits:
            # A key of nothing but one octet is weak DES, which the kernel may refuse.
            yield state(50, Algorithm(cipher.name, Secret(bytes(range(bits // 8)))), SHA1)
    for name, found in AUTHENTICATORS.items():
        secret = Secret(bytes(range(found.key_bits // 8)))
        for icv in IcvLength:
            for in_esp in (True, False):
                digest = Algorithm(found.name, secret, icv_bits(name, in_esp=in_esp, icv=icv))
                yield state(50 if in_esp else 51, AES if in_esp else None, digest)
    for name in COMPRESSIONS.values():
        yield State(108, 4, HERE, THERE, next(spis), "tunnel", 7, compression=name)


def test_no_key_is_printed_unless_it_is_asked_for() -> None:
    for state in STATES.values():
        text = state_arguments(state) + repr(state)
        for algorithm in (state.encryption, state.authentication):
            if algorithm is not None and algorithm.key.bits:
                assert algorithm.key.reveal().hex() not in text
                assert repr(algorithm.key.reveal()) not in text


@pytest.mark.parametrize("wrong", ["no(such)", "cbc(nothing)"])
def test_an_algorithm_that_the_kernel_lacks_is_named(netns: str, wrong: str) -> None:
    from eroute_translate.xfrm.errors import KernelError

    state = STATES["aes"]._replace(encryption=Algorithm(wrong, Secret(bytes(16))))
    with Channel.open(netns) as channel:
        with pytest.raises(KernelError) as caught:
            channel.install_states([state])
        assert wrong in str(caught.value) + caught.value.hint
        assert "0x" + bytes(16).hex() not in str(caught.value)
