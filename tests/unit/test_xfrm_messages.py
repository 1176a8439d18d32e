"""Messages of NETLINK_XFRM, errors, and the bulk path over connections that fail."""

from __future__ import annotations

import errno
import logging
import os
import pickle
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest
from pyroute2.netlink.exceptions import NetlinkDataDecodeError
from pyroute2.netlink.nlsocket import Marshal

from eroute_translate.net import Selector, parse_prefix
from eroute_translate.xfrm import link
from eroute_translate.xfrm.bulk import Channel
from eroute_translate.xfrm.encode import encode_installs, spare_index
from eroute_translate.xfrm.errors import KernelError, hint_for
from eroute_translate.xfrm.family import constants as c
from eroute_translate.xfrm.family import messages as m
from eroute_translate.xfrm.family.structure import Key
from eroute_translate.xfrm.family.structures import SelectorStruct, TemplateStruct
from eroute_translate.xfrm.model import Policy
from eroute_translate.xfrm.outcome import BulkError
from eroute_translate.xfrm.requests import (
    policy_id_message,
    policy_message,
    spi_range_message,
    state_id_message,
    state_message,
)

# ---------------------------------------------------------------------------------- messages

# linux/xfrm.h on x86-64.
SIZES = {
    "NEWSA": 224, "UPDSA": 224, "DELSA": 24, "GETSA": 24, "FLUSHSA": 1, "ALLOCSPI": 232,
    "NEWPOLICY": 168, "UPDPOLICY": 168, "DELPOLICY": 64, "GETPOLICY": 64, "FLUSHPOLICY": 0,
    "ACQUIRE": 280, "EXPIRE": 232, "POLEXPIRE": 176, "NEWAE": 48, "GETAE": 48, "REPORT": 60,
    "MIGRATE": 64, "NEWSADINFO": 4, "GETSADINFO": 4, "NEWSPDINFO": 4, "GETSPDINFO": 4,
    "MAPPING": 64, "SETDEFAULT": 3, "GETDEFAULT": 3,
}  # fmt: skip


def test_every_message_has_its_class_and_the_size_of_the_kernel() -> None:
    found = {c.NAMES[kind]: cls.body.size if cls.body else 0 for kind, cls in m.MESSAGES.items()}
    assert found == SIZES
    assert sorted(m.MESSAGES) == list(range(16, 41))
    assert TemplateStruct.size == 64
    assert SelectorStruct.size == 56


@pytest.mark.parametrize("kind", sorted(m.MESSAGES))
def test_zeros_of_the_right_size_are_read_and_written_back(kind: int) -> None:
    cls = m.MESSAGES[kind]
    size = 16 + (cls.body.size if cls.body else 0)
    data = struct.pack("=IHHII", size, kind, 0, 5, 0).ljust((size + 3) & ~3, b"\0")
    message = cls(data)
    message.decode()
    again = cls()
    again.load(message.dump())
    again.encode()
    assert bytes(again.data) == data
    cut = cls(struct.pack("=IHHII", 16, kind, 0, 5, 0))
    if cls.body:
        with pytest.raises(NetlinkDataDecodeError):
            cut.decode()


def full_state() -> m.StateMessage:
    return state_message(
        {
            "src": "192.0.2.1",
            "dst": "192.0.2.2",
            "proto": "esp",
            "spi": 0x1234,
            "reqid": 7,
            "mode": "tunnel",
            "seq": 9,
            "flags": 1,
            "extra_flags": 1,
            "replay_window": 32,
            "esn_window": 65,
            "sel": {"src": "10.0.0.0/8", "dst": "10.9.0.0/16", "proto": 6, "dport": 25},
            "limits": {"hard_packet_limit": 1000},
            "auth": ("hmac(md5)", b"sixteen secrets!"),
            "auth_trunc": ("hmac(sha256)", b"thirty-two bytes of a great secr", 128),
            "crypt": ("cbc(aes)", b"another secret.."),
            "aead": ("rfc4106(gcm(aes))", b"twenty bytes, secret", 128),
            "comp": "deflate",
            "encap": (2, 4500, 4501, "192.0.2.3"),
            "mark": (0xFF01, 0xFF),
            "output_mark": (5, 0xF),
            "if_id": 3,
            "tfcpad": 100,
            "coaddr": "192.0.2.9",
        }
    )


def encoded(message: Any, kind: int) -> bytes:
    message["header"] = {"type": kind, "flags": 5, "sequence_number": 1, "pid": 0}
    message.encode()
    return bytes(message.data)


def test_a_state_with_everything() -> None:
    data = encoded(full_state(), c.XFRM_MSG_NEWSA)
    (read,) = _marshal().parse(data)
    assert (read["daddr"], read["saddr"]) == ("192.0.2.2", "192.0.2.1")
    assert (read["spi"], read["reqid"], read["mode"], read["family"]) == (0x1234, 7, 1, 2)
    assert read["sel"]["dport_mask"] == 0xFFFF
    assert read["lft"]["hard_packet_limit"] == 1000
    assert read["lft"]["hard_byte_limit"] == c.XFRM_INF
    trunc = read.get_attr("XFRMA_ALG_AUTH_TRUNC")
    assert (trunc["alg_name"], trunc["alg_key_len"]) == ("hmac(sha256)", 256)
    assert (trunc["alg_trunc_len"], bytes(trunc["alg_key"])) == (
        128,
        b"thirty-two bytes of a great secr",
    )
    assert bytes(read.get_attr("XFRMA_ALG_AEAD")["alg_key"]) == b"twenty bytes, secret"
    assert read.get_attr("XFRMA_ALG_COMP")["alg_key_len"] == 0
    assert read.get_attr("XFRMA_ENCAP")["encap_dport"] == 4501
    assert read.get_attr("XFRMA_MARK") == {"v": 1, "m": 0xFF}
    assert read.get_attr("XFRMA_REPLAY_ESN_VAL")["bmp"] == [0, 0, 0]
    assert read.get_attr("XFRMA_COADDR") == "192.0.2.9"
    assert (read.get_attr("XFRMA_SET_MARK"), read.get_attr("XFRMA_SET_MARK_MASK")) == (5, 0xF)


def test_keys_never_show(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    message = full_state()
    shown = [repr(message), str(message)]
    data = encoded(message, c.XFRM_MSG_NEWSA)
    (read,) = _marshal().parse(data)
    shown += [repr(message), repr(read), repr(read["attrs"]), str(read.dump()), f"{read}"]
    # The kernel quotes a refused request in its answer.
    quoted = struct.pack("=IHHIIi", 20 + len(data), 2, 0, 1, 0, -22) + data
    shown += [repr(e) + str(e["header"]) for e in _marshal().parse(quoted)]
    broken = full_state()
    crypt = {"alg_name": "x", "alg_key": Key(b"hush-hush"), "alg_key_len": -1}
    broken["attrs"].append(("XFRMA_ALG_CRYPT", crypt))
    with pytest.raises(struct.error) as caught:
        encoded(broken, c.XFRM_MSG_NEWSA)
    shown += [repr(caught.value), caplog.text]
    for text in shown:
        assert "secret" not in text
        assert b"secret".hex() not in text
        assert "hush-hush" not in text
    assert "<key of 256 bits>" in repr(read)
    assert pickle.loads(pickle.dumps(Key(b"abc"))) == b"abc"  # noqa: S301


def test_addresses_of_both_families() -> None:
    message = policy_message(
        {
            "src": "2001:db8::7/32",
            "dst": "::/0",
            "dir": "in",
            "tmpl": [{"src": "192.0.2.1", "dst": "192.0.2.2", "proto": "ah", "level": "use"}],
        }
    )
    (read,) = _marshal().parse(encoded(message, c.XFRM_MSG_NEWPOLICY))
    assert (read["sel"]["saddr"], read["sel"]["daddr"]) == ("2001:db8::", "::")
    (template,) = read.get_attr("XFRMA_TMPL")
    assert (template["saddr"], template["family"], template["optional"]) == ("192.0.2.1", 2, 1)


def test_requests_by_name() -> None:
    read = _read(policy_id_message({"index": 9, "ptype": "sub"}), c.XFRM_MSG_DELPOLICY)
    assert (read["index"], read.get_attr("XFRMA_POLICY_TYPE")["type"]) == (9, 1)
    read = _read(state_id_message({"dst": "::1", "spi": 1, "src": "::2"}), c.XFRM_MSG_GETSA)
    assert (read["daddr"], read["family"]) == ("::1", 10)
    assert read.get_attr("XFRMA_SRCADDR") == "::2"
    read = _read(spi_range_message({"dst": "192.0.2.1"}), c.XFRM_MSG_ALLOCSPI)
    assert (read["min"], read["max"]) == (0x100, 0xFFFFFFFF)


def _read(message: Any, kind: int) -> Any:
    (read,) = _marshal().parse(encoded(message, kind))
    return read


def _marshal() -> Any:
    marshal = Marshal()
    marshal.msg_map = dict(m.MESSAGES)
    return marshal


def test_the_package_does_not_import_pyroute2() -> None:
    program = (
        "import sys, eroute_translate.xfrm, eroute_translate.xfrm.bulk\n"
        "sys.exit('pyroute2' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# ------------------------------------------------------------------------------------ errors


def test_what_an_error_says() -> None:
    error = KernelError(errno.EINVAL, "add policy x", "Invalid policy type", "look")
    assert str(error) == "add policy x: Invalid argument (EINVAL): Invalid policy type"
    assert isinstance(error, OSError)
    assert error.errno == errno.EINVAL
    assert error.hint == "look"


@pytest.mark.parametrize(
    ("number", "text", "more", "expected"),
    [
        (errno.EPERM, "", {}, "CAP_NET_ADMIN"),
        (errno.EPROTONOSUPPORT, "Requested type not found", {"protocol": 50}, "modprobe esp4"),
        (
            errno.EPROTONOSUPPORT,
            "Requested type not found",
            {"protocol": 108, "family": 6},
            "modprobe ipcomp6",
        ),
        (errno.EPROTONOSUPPORT, "Requested type not found", {"protocol": 43}, "no handler"),
        (
            errno.ENOSYS,
            "Requested CRYPT algorithm not found",
            {"algorithms": {"crypt": "cbc(des3_ede)"}},
            "no cbc(des3_ede): modprobe des_generic",
        ),
        (
            errno.ENOSYS,
            "Requested AUTH_TRUNC algorithm not found",
            {"algorithms": {"auth_trunc": "hmac(sha256)", "crypt": "x"}},
            "no hmac(sha256): modprobe sha256_generic",
        ),
        (
            errno.ENOSYS,
            "Requested AEAD algorithm not found",
            {"algorithms": {"aead": "rfc9(odd)"}},
            "/proc/crypto",
        ),
        (errno.ENOSYS, "Requested COMP algorithm not found", {}, "/proc/crypto"),
        (errno.EEXIST, "", {}, "whatever its priority"),
        (errno.EINVAL, "Invalid policy type", {}, ""),
    ],
)
def test_hints(number: int, text: str, more: dict[str, Any], expected: str) -> None:
    hint = hint_for(number, text, **more)
    assert expected in hint
    assert bool(expected) == bool(hint)


# ------------------------------------------------------------------------------ the bulk path


def policies(count: int, direction: str = "out") -> list[Policy]:
    return [
        Policy(
            direction,
            Selector(parse_prefix(f"10.0.{i >> 8}.{i & 255}/32"), parse_prefix("192.0.2.0/24")),
            i,
        )
        for i in range(count)
    ]


class FakeKernel:
    """Carries out blocks as the kernel does, and fails where it is told to.

    ``refuse`` maps the number of a message (over all sends) to an errno and a text.  ``breaks``
    is what happens at the answer of block ``at``.
    """

    def __init__(
        self,
        refuse: dict[int, tuple[int, str]] | None = None,
        breaks: str = "",
        at: int = -1,
        capped: bool = True,
    ) -> None:
        self.refuse = refuse or {}
        self.breaks = breaks
        self.at = at
        self.capped = capped
        self.sizes: list[int] = []
        self.answers: deque[bytes] = deque()
        self.messages = 0
        self.closed = False

    def send(self, data: bytes | bytearray, /) -> int:
        block = len(self.sizes)
        offset = count = 0
        self.sizes.append(0)
        if block == self.at:
            if self.breaks == "pipe":
                raise BrokenPipeError(errno.EPIPE, "gone")
            if self.breaks == "stuck":
                raise TimeoutError
            if self.breaks == "short":
                return len(data) - 1
        while offset < len(data):
            length, _, flags, sequence, _ = struct.unpack_from("=IHHII", data, offset)
            code, text = self.refuse.get(self.messages, (0, ""))
            if code or flags & 4:
                self.answers.append(
                    self.answer(bytes(data[offset : offset + length]), sequence, code, text)
                )
            offset += length
            count += 1
            self.messages += 1
        self.sizes[-1] = count
        return len(data)

    def answer(self, request: bytes, sequence: int, code: int, text: str) -> bytes:
        quoted = request[:16] if self.capped else request
        body = struct.pack("=i", -code) + quoted
        flags = 0x100 if self.capped else 0
        if text:
            flags |= 0x200
            said = text.encode() + b"\0"
            body += (struct.pack("=HH", 4 + len(said), 1) + said).ljust((len(said) + 7) & ~3, b"\0")
        return struct.pack("=IHHII", 16 + len(body), 2, flags, sequence, 0) + body

    def recv(self, size: int, /) -> bytes:
        if len(self.sizes) - 1 == self.at:
            if self.breaks == "stall":
                raise TimeoutError
            if self.breaks == "overrun":
                raise OSError(errno.ENOBUFS, "No buffer space available")
            if self.breaks == "closed":
                return b""
            if self.breaks == "garbage":
                return b"\xff" * 40
        return self.answers.popleft()[:size]

    def close(self) -> None:
        self.closed = True


def channel(kernel: FakeKernel, block: int = 10) -> Channel:
    return Channel(kernel, block=block)


def test_blocks_and_one_ack_for_each() -> None:
    kernel = FakeKernel()
    with channel(kernel) as opened:
        opened.install(policies(25))
        opened.remove(policies(3))
        opened.install([])
    assert kernel.sizes == [10, 10, 5, 3]
    assert kernel.closed
    assert not kernel.answers


@pytest.mark.parametrize("capped", [True, False])
def test_failures_are_named_and_nothing_follows_their_block(capped: bool) -> None:
    refuse = {12: (errno.EINVAL, "Invalid policy type"), 19: (errno.EEXIST, "")}
    kernel = FakeKernel(refuse, capped=capped)
    with pytest.raises(BulkError) as caught:
        channel(kernel).install(policies(40))
    report = caught.value.report
    assert kernel.sizes == [10, 10]
    assert [(f.index, f.errno, f.text) for f in report.failures] == [
        (12, errno.EINVAL, "Invalid policy type"),
        (19, errno.EEXIST, ""),
    ]
    assert (report.total, report.answered, report.sent, report.done) == (40, 20, 20, 18)
    assert str(caught.value) == (
        "install the policy 10.0.0.12/32 -> 192.0.2.0/24 out:"
        " Invalid argument (EINVAL): Invalid policy type (18 of 40 done, 2 refused)"
    )
    assert str(report.failures[1]) == "number 19: File exists (EEXIST)"


def test_going_on_after_failures() -> None:
    kernel = FakeKernel({3: (errno.EEXIST, ""), 39: (errno.EEXIST, "")})
    some = policies(40)
    report = channel(kernel).run(some, encode_installs, asked="add", stop=False)
    assert [f.index for f in report.failures] == [3, 39]
    assert (report.done, report.complete) == (38, False)


@pytest.mark.parametrize(
    ("breaks", "number", "what"),
    [
        ("stall", errno.ETIMEDOUT, "the kernel does not answer"),
        ("overrun", errno.ENOBUFS, "answers of the kernel were lost"),
        ("closed", errno.ECONNRESET, "the socket was closed"),
        ("garbage", errno.EBADMSG, "cut"),
        ("pipe", errno.EPIPE, "sending failed"),
        ("stuck", errno.ETIMEDOUT, "does not take"),
        ("short", errno.EIO, "bytes were taken"),
    ],
)
@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_connection_that_breaks(breaks: str, number: int, what: str, at: int) -> None:
    kernel = FakeKernel(breaks=breaks, at=at)
    with pytest.raises(BulkError) as caught:
        channel(kernel).install(policies(35))
    report = caught.value.report
    assert caught.value.errno == number
    assert what in caught.value.text
    assert report.done == report.answered == at * 10
    assert report.unknown == range(at * 10, min(35, at * 10 + 10))
    assert f"{at * 10} of 35 done, {len(report.unknown)} unknown" in str(caught.value)
    assert len(kernel.sizes) == at + 1


def test_late_answers_of_an_interrupted_run_are_passed_over() -> None:
    kernel = FakeKernel()
    opened = channel(kernel)
    read = kernel.recv

    def interrupted(_: int, /) -> bytes:
        raise KeyboardInterrupt

    kernel.recv = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        opened.install(policies(10))
    kernel.recv = read  # type: ignore[method-assign]
    opened.remove(policies(10))
    assert not kernel.answers


def test_what_cannot_be_encoded_stops_before_it_is_sent() -> None:
    kernel = FakeKernel()
    bad = policies(30)
    bad[15] = bad[15]._replace(direction="socket in")
    with pytest.raises(ValueError, match=r"10\.0\.0\.15/32"):
        channel(kernel).install(bad)
    assert not kernel.sizes


def test_the_cpu_is_let_go_after_each_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its answer and the next send: the kernel grows its tables there."""
    kernel = FakeKernel()
    sizes: list[int] = []
    monkeypatch.setattr(os, "sched_yield", lambda: sizes.append(len(kernel.sizes)))
    with channel(kernel, block=100) as opened:
        opened.install(policies(450))
    assert kernel.sizes == [100, 100, 100, 100, 50]
    assert sizes == [1, 2, 3, 4, 5]


def test_few_are_sent_while_others_are_still_encoded() -> None:
    kernel = FakeKernel()
    with channel(kernel, block=500) as opened:
        opened.install(policies(2500))
    # Two lots of 1024 with a few after each, the last lot, and then whole blocks.
    assert kernel.sizes == [64, 64, 500, 500, 500, 500, 372]


def test_only_so_many_are_encoded_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "AHEAD", 1024)
    kernel = FakeKernel()
    ahead = [0]

    def encode(part: Sequence[Policy], sequence: int) -> list[bytes]:
        ahead.append(sequence - 1 + len(part) - sum(kernel.sizes))
        return encode_installs(part, sequence)

    report = channel(kernel, block=500).run(policies(5000), encode, asked="add")
    assert report.complete
    assert sum(kernel.sizes) == 5000
    assert max(ahead) < 1024 + 1024 + 500  # a lot is begun when less than AHEAD are waiting


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("first", [1, 1000, 123_456])
def test_spare_indexes_fill_all_chains_alike(first: int, number: int) -> None:
    """At every size that the table may have when they come."""
    for chains in (1 << power for power in range(3, 15)):
        filled = [0] * chains
        for step in range(2 * chains):
            index = spare_index(first) + 256 * step | number
            filled[(index ^ index >> 8) & chains - 1] += 1
        assert set(filled) == {2}


def test_spare_indexes_stay_numbers_of_a_policy_of_that_direction() -> None:
    last = spare_index(0xFFFFFFFF) + 256 * link.AHEAD
    assert last < 1 << 32
    assert last & 7 == 0
    mixed = [
        Policy(way, Selector(parse_prefix(f"10.0.0.{i}"), parse_prefix("10.9.0.0/16")), 1)
        for i, way in enumerate(("in", "out", "fwd"))
    ]
    six = [
        p._replace(selector=Selector(parse_prefix("fe80::1"), parse_prefix("::/0"))) for p in mixed
    ]
    sent = encode_installs([*mixed, *six, mixed[0]._replace(index=8)], 5, spread=True)
    indexes = [struct.unpack_from("=I", message, 16 + 156)[0] for message in sent]
    assert indexes == [spare_index(5) + 256 * i | i % 3 for i in range(6)] + [8]
    plain = encode_installs([*mixed, *six], 5)
    assert {struct.unpack_from("=I", message, 16 + 156)[0] for message in plain} == {0}


class DumpingKernel(FakeKernel):
    """Answers a dump in datagrams that are given, with the numbers that they have to have."""

    def __init__(self, *bodies: list[tuple[int, bytes]]) -> None:
        super().__init__()
        self.bodies = bodies

    def send(self, data: bytes | bytearray, /) -> int:
        sequence = struct.unpack_from("=IHHII", data)[3]
        for body in self.bodies:
            self.answers.append(
                b"".join(
                    struct.pack("=IHHII", 16 + len(rest), kind, 2, sequence, 0) + rest
                    for kind, rest in body
                )
            )
        self.sizes.append(1)
        return len(data)


DONE = (3, struct.pack("=i", 0))


def dumped(count: int) -> list[tuple[int, bytes]]:
    return [(19, message[16:]) for message in encode_installs(policies(count))]


def test_dumps() -> None:
    assert channel(DumpingKernel([DONE])).dump() == []
    assert channel(DumpingKernel(dumped(3), dumped(2), [DONE])).dump() == policies(3) + policies(2)
    assert channel(DumpingKernel([*dumped(3), DONE])).dump() == policies(3)


@pytest.mark.parametrize("then", ["dump", "install"])
def test_a_dump_that_was_interrupted(then: str) -> None:
    kernel = DumpingKernel(dumped(3), dumped(2), [DONE])
    opened = channel(kernel)
    read = kernel.recv

    def one_and_no_more(size: int, /) -> bytes:
        if len(kernel.answers) < 3:
            raise KeyboardInterrupt
        return read(size)

    kernel.recv = one_and_no_more  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        opened.dump()
    kernel.recv = read  # type: ignore[method-assign]
    if then == "dump":
        assert len(opened.dump()) == 5
    else:
        kernel.send = FakeKernel.send.__get__(kernel)  # type: ignore[method-assign]
        opened.install(policies(3))
    assert not kernel.answers


def test_dumps_that_fail() -> None:
    refused = DumpingKernel([(2, struct.pack("=i", -errno.EPERM) + bytes(16))])
    with pytest.raises(KernelError, match="EPERM") as caught:
        channel(refused).dump()
    assert "CAP_NET_ADMIN" in caught.value.hint
    with pytest.raises(KernelError, match="ENOMEM"):
        channel(DumpingKernel(dumped(1), [(3, struct.pack("=i", -errno.ENOMEM))])).dump()
    stalled = FakeKernel(breaks="stall", at=0)
    with pytest.raises(KernelError, match="ETIMEDOUT"):
        channel(stalled).dump()
