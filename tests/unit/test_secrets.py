"""No key of a host shows anywhere but where it is asked for by name.

Every verb and target runs over inputs that hold keys, sound and damaged, and its output is searched
for each key in every spelling.  A script holds keys, since that is what it is for: on its way to
standard output or into a file, and nowhere else.
"""

from __future__ import annotations

import base64
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest

from eroute_translate.cli import main
from eroute_translate.render import Target
from tests.netns.spaces import namespaces

CIPHER_KEY = bytes(range(0x41, 0x41 + 24))
HASH_KEY = bytes(range(0x61, 0x61 + 16))
KEYS = (CIPHER_KEY, HASH_KEY)


def script(cipher: str, digest: str) -> str:
    return f"""\
ipsec tncfg --attach --virtual ipsec0 --physical eth0
ipsec spi --said tun0x1000@198.51.100.1 --ip4 --src 192.0.2.1 --dst 198.51.100.1
ipsec spi --said esp0x1002@198.51.100.1 --src 192.0.2.1 --esp 3des-md5-96 \
--enckey {cipher} --authkey {digest}
ipsec spigrp --said tun0x1000@198.51.100.1 esp0x1002@198.51.100.1
ipsec eroute --add --eraf inet --src 10.1.0.0/16 --dst 10.2.0.0/16 --said tun0x1000@198.51.100.1
"""


def conf(cipher: str, digest: str, **more: str) -> str:
    settings = {"espenckey": cipher, "espauthkey": digest, **more}
    lines = "".join(f"\t{name}={value}\n" for name, value in settings.items())
    return f"""\
config setup
\tinterfaces="ipsec0=eth0"

conn keyed
\tleft=192.0.2.1
\tleftsubnet=10.1.0.0/16
\tright=198.51.100.1
\trightsubnet=10.2.0.0/16
\tspibase=0x1230
\tesp=3des-md5-96
{lines}"""


HEX = f"0x{CIPHER_KEY.hex()}", f"0x{HASH_KEY.hex()}"
BASE64 = f"0s{base64.b64encode(CIPHER_KEY).decode()}", f"0s{base64.b64encode(HASH_KEY).decode()}"
TEXT = f"0t{CIPHER_KEY.decode()}", f"0t{HASH_KEY.decode()}"

SOUND = {
    "hex.sh": script(*HEX),
    "base64.sh": script(*BASE64),
    "text.sh": script(*TEXT),
    "hex.conf": conf(*HEX),
    "base64.conf": conf(*BASE64),
    "groups.conf": conf("_".join([HEX[0][:10], HEX[0][10:]]), HEX[1]),
}
DAMAGED = {
    "odd.sh": script(HEX[0] + "f", HEX[1]),
    "long.sh": script(HEX[0] + "ffff", HEX[1] + "ff"),
    "short.sh": script(HEX[0][:-2], HEX[1][:-4]),
    "nomark.sh": script(HEX[0][2:], HEX[1][2:]),
    "swapped.sh": script(HEX[1], HEX[0]),
    "digit.sh": script(HEX[0] + "g0", HEX[1]),
    "option.sh": script(HEX[0], HEX[1]).replace("--enckey ", "--enckeys "),
    "glued.sh": script(HEX[0], HEX[1]).replace("--enckey ", "--enckey=").replace("3des-", "4des-"),
    "quote.sh": script(f"'{HEX[0]}", HEX[1]),
    "expansion.sh": script(f"$(echo {HEX[0]})", HEX[1]),
    "odd.conf": conf(HEX[0] + "f", HEX[1]),
    "long.conf": conf(HEX[0] + "ffff", HEX[1]),
    "name.conf": conf(HEX[0], HEX[1]).replace("espenckey", "espencky"),
    "blank.conf": conf(HEX[0], HEX[1]).replace("espenckey=", "espenckey "),
    "margin.conf": conf(HEX[0], HEX[1]).replace("\tespenckey", "espenckey"),
    "broken64.conf": conf(BASE64[0] + "=", BASE64[1]),
    "moved.conf": conf("0x00", HEX[1], leftid=HEX[0]),
    "proposal.conf": conf(HEX[0], HEX[1]).replace("3des-md5-96", HEX[0]),
}


def spellings(key: bytes) -> Iterator[str]:
    """What to look for: any piece of eight octets is too much."""
    digits, text = key.hex(), key.decode("ascii")
    sixty_four = base64.b64encode(key).decode()
    for start in range(0, len(key) - 7, 4):
        yield digits[2 * start : 2 * start + 16]
        yield digits[2 * start : 2 * start + 16].upper()
        yield text[start : start + 8]
        yield repr(list(key[start : start + 8]))[1:-1]
    for start in range(0, len(sixty_four) - 11, 4):
        yield sixty_four[start : start + 12]


NEEDLES = tuple(dict.fromkeys(itertools.chain(*map(spellings, KEYS))))


def shown(text: str) -> list[str]:
    return [needle for needle in NEEDLES if needle in text.replace("_", "")]


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def run(*words: str) -> Done:
    """The program in this process; what it raises is an error of the test."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as usage:
            code = int(usage.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {}
    for name, text in (SOUND | DAMAGED).items():
        found[name] = tmp_path / name
        found[name].write_text(text, encoding="ascii")
    return found


def test_the_search_finds_what_it_looks_for() -> None:
    for text in (*HEX, *BASE64, *TEXT, HEX[0].upper(), str(list(CIPHER_KEY))):
        assert shown(f"a {text} b")
    assert shown(conf("_".join([HEX[0][:10], HEX[0][10:]]), "0x00"))


SCRIPTS = (Target.IP_XFRM, Target.IP_BATCH)
OPTIONS: tuple[tuple[str, ...], ...] = (("-q",), ("--format", "json"), ("--allow-partial", "-v"))


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
@pytest.mark.parametrize("target", Target)
def test_convert(target: Target, options: tuple[str, ...], files: dict[str, Path]) -> None:
    for name, path in files.items():
        done = run("convert", "--to", target, "--local", "192.0.2.1", *options, str(path))
        assert not shown(done.stderr), (name, done.stderr)
        lines = done.stdout.splitlines()
        if target in SCRIPTS:
            lines = [line for line in lines if not line.startswith("xfrm state add ")]
        assert not shown("\n".join(lines)), (name, done.stdout)


@pytest.mark.parametrize("name", SOUND)
def test_a_script_holds_its_keys_and_json_only_by_name(name: str, files: dict[str, Path]) -> None:
    words = ["convert", "-q", "--local", "192.0.2.1", str(files[name])]
    assert all(key.hex() in run(*words).stdout for key in KEYS)
    assert not shown(run(*words, "--to", "json").stdout)
    assert all(key.hex() in run(*words, "--to", "json", "--show-keys").stdout for key in KEYS)


@pytest.mark.parametrize(
    "words",
    [
        ("check",),
        ("check", "-v"),
        ("check", "--format", "json"),
        ("explain", "--src", "10.1.0.1", "--dst", "10.2.0.1"),
        ("verify",),
        ("verify", "--format", "json"),
        ("report", "-v"),
    ],
    ids=" ".join,
)
def test_reports(words: tuple[str, ...], files: dict[str, Path]) -> None:
    for name, path in files.items():
        done = run(words[0], "--local", "192.0.2.1", *words[1:], str(path))
        assert not shown(done.stdout + done.stderr), (name, done.stdout, done.stderr)


SELECTOR = "src 10.1.0.0/16 dst 10.2.0.0/16 dir out"
COMMANDS = "".join(
    f"ip xfrm {line}\n"
    for line in (
        f"policy add {SELECTOR} priority 3",
        f"state add src 1.2.3.4 dst 5.6.7.8 proto esp spi 0x1234 enc cbc(des3_ede) {HEX[0]}",
        f"policy add {SELECTOR} enc cbc(des3_ede) {HEX[0]}",
        f"policy add {SELECTOR} priority {HEX[0]}",
        f"policy add {SELECTOR} {HEX[0]}",
        f"policy add {SELECTOR} tmpl src {HEX[0][2:]}",
        f"{HEX[0]} add",
    )
)
PRINTED = f"""\
src 10.1.0.0/16 dst 10.2.0.0/16
\tdir out priority 3
src 1.2.3.4 dst 5.6.7.8
\tproto esp spi 0x00001234 reqid 0 mode tunnel
\tenc cbc(des3_ede) {HEX[0]}
{HEX[0]}
"""


@pytest.mark.parametrize("text", [COMMANDS, COMMANDS.replace("ip xfrm", "xfrm"), PRINTED])
@pytest.mark.parametrize(
    "words",
    [("verify", "{}", "--against", "{}"), ("plan", "--against", "{}", "{table}")],
    ids=["verify", "plan"],
)
def test_policies_that_were_given_beside_states(
    text: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    path, table = tmp_path / "policies", tmp_path / "table.eroute"
    path.write_text(text, encoding="ascii")
    table.write_text("0 10.1.0.0/16 -> 10.2.0.0/16 => %pass\n", encoding="ascii")
    for more in (("-v",), ("--format", "json")):
        done = run(*[word.format(path, table=table) for word in words], *more)
        assert done.stderr
        assert not shown(done.stdout + done.stderr), (done.stdout, done.stderr)


@pytest.mark.parametrize(
    "text",
    [
        "{{ states }}{{ outcomes }}",
        "{{ states[0].state.encryption.key }}{{ states[0].state }}",
        "{{ states[0].state.encryption.key.nothing }}",
        "{{ states[0].state | json }}",
        "{{ states[0].state.encryption.key + 1 }}",
        "{% for s in states %}{{ s | ip_xfrm_state }}{% endfor %}",
    ],
)
def test_a_template_that_fails_or_prints_too_much(
    text: str, files: dict[str, Path], tmp_path: Path
) -> None:
    template = tmp_path / "own.j2"
    template.write_text(text)
    done = run("convert", "--local", "192.0.2.1", "--template", str(template), str(files["hex.sh"]))
    assert not shown(done.stdout + done.stderr), done.stdout + done.stderr


def test_a_direct_command_line() -> None:
    done = run("ipsec", "eroute", "--add", "--enckey", HEX[0], "--said", "esp0x1002@198.51.100.1")
    assert done.returncode
    assert not shown(done.stderr)


def test_files_with_keys_are_for_their_owner_alone(files: dict[str, Path], tmp_path: Path) -> None:
    source = str(files["hex.sh"])
    old = os.umask(0)
    try:
        for target in (*SCRIPTS, Target.JSON):
            output = tmp_path / target
            words = ["convert", "-q", "--to", target, "--local", "192.0.2.1", "-o", str(output)]
            run(*words, source)
            assert output.stat().st_mode & 0o777 == 0o600
            # One that was there, with wider rights, does not keep them.
            output.chmod(0o644)
            run(*words, source)
            assert output.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(old)


def redirected(path: Path, mode: int, *words: str) -> str:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    os.fchmod(descriptor, mode)
    with os.fdopen(descriptor, "wb") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "eroute_translate", "convert", "--local", "192.0.2.1", *words],
            stdout=stream,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    return done.stderr


def test_who_redirects_keys_into_an_open_file_is_warned(
    files: dict[str, Path], tmp_path: Path
) -> None:
    output = tmp_path / "open"
    source = str(files["hex.sh"])
    assert "ET268" in redirected(output, 0o644, source)
    assert "ET268" in redirected(output, 0o640, "--to", "ip-batch", source)
    assert "ET268" not in redirected(output, 0o600, source)
    assert "ET268" not in redirected(output, 0o644, "--to", "json", source)
    assert "ET268" in redirected(output, 0o644, "--to", "json", "--show-keys", source)
    assert "ET268" not in redirected(output, 0o644, "docs/examples/gateway.eroute")


def test_a_device_is_written_to_and_not_replaced(files: dict[str, Path], tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reader:
        run("convert", "-q", "--local", "192.0.2.1", "-o", str(pipe), str(files["hex.sh"]))
        assert pipe.is_fifo()
        assert reader.stdout is not None
        assert reader.stdout.read().startswith("#!/bin/sh")
    link, output = tmp_path / "link", tmp_path / "behind"
    link.symlink_to(output)
    run("convert", "-q", "--local", "192.0.2.1", "-o", str(link), str(files["hex.sh"]))
    assert link.is_symlink()
    assert output.stat().st_mode & 0o777 == 0o600


@pytest.mark.kernel
def test_a_kernel_that_refuses_states(files: dict[str, Path], tmp_path: Path) -> None:
    """This kernel has no ESP, or takes the states: neither shows a key."""
    with namespaces("keys") as (space,):
        folder = tmp_path / "state"
        where = ["--netns", space, "--state-folder", str(folder)]
        for verb, *more in (
            ("plan",),
            ("plan", "--format", "json"),
            ("apply", "--yes"),
            ("apply", "--yes", "--interface", "xfrm"),
            ("status",),
            ("rollback", "--yes"),
        ):
            words = [verb, *more, *where]
            if verb in ("plan", "apply"):
                words += ["--local", "192.0.2.1", str(files["hex.sh"])]
            done = run(*words)
            assert not shown(done.stdout + done.stderr), (words, done.stdout, done.stderr)
        for path in folder.rglob("*"):
            assert not path.stat().st_mode & 0o077, path
