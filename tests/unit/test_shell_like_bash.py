"""What the words of a script come to, compared with what bash makes of the same script."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from eroute_translate.klips.shell import read_shell

SHOWS = "ipsec() { printf '%s|' \"$@\"; echo; }\n"

SCRIPT = r"""
IFS=:; p="a:b::c"; ipsec eroute $p "$p" lit:x
set -- $p; ipsec n $# "$@" "$*"
unset IFS
q=" x  y "; ipsec $q
IFS=", "; r="a , b,,c "; ipsec $r
IFS=$' \t\n'
i=5; while (( i > 2 )); do ((i--)); [ $i -eq 3 ] && continue; ipsec i $i; done
for a in 1 2; do for b in 1 2 3; do [ $b = 2 ] && continue 2; ipsec $a $b; done; done
for a in 1 2; do for b in 1 2 3; do [ $b = 2 ] && break 2; ipsec $a $b; done; done
while IFS=, read -r x y z; do ipsec "$x" "$y" "$z"; done <<E
1,2,3,4
 a , b
,,
E
ipsec $(echo a,b,c | cut -d, -f2-) $(echo a b | awk '{print $NF}') $(printf '%04x-%s' 255 q)
ipsec $(echo x-y | tr - _)
let "k = 0x10 + 2" "k *= 2"; ipsec $k $((k++)) $k $((++k)) $(( k % 7 )) $((-7/2))
set a b c; shift 2; ipsec $1 $#
read m n <<< "u v w"; ipsec "$m" "$n"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is missing")
def test_words_are_those_of_bash() -> None:
    run = subprocess.run(
        ["bash", "-c", SHOWS + SCRIPT], capture_output=True, text=True, check=True, timeout=30
    )
    script = read_shell(SCRIPT, "script")
    ours = [
        "".join(f"{word.text}|" for word in command.words[1:]) + command.doubt
        for command in script.commands
        if command.words[0].text == "ipsec"
    ]
    assert ours == run.stdout.splitlines()
    assert script.errors == []


# Each was read otherwise than bash and dash run it; what they print is what is to be read.
DIFFERENCES = [
    # The grammar parts these words.
    'f() { x=$1.$2.$3; y=$1@$2; ipsec "$x" $y; for i in $1@$2 q; do ipsec $i; done; }; f a b c',
    "f() { local q=$1@$2; ipsec $q $1.$2.$3@$1; }; f a b c",
    "set -- 1 2 3 4 5 6 7 8 9 A; ipsec $10 ${10}",
    "ipsec a\\\nb c",
    # Quotes in operands, and what is unset or empty.
    "z=1; ipsec ${z:+'p q'} \"${z:+'p q'}\" ${z:+\"p q\"}",
    "unset x; ipsec ${x-a} ${x:-b} ${x+c} e; x=; ipsec ${x-a} ${x:-b} ${x+c} e",
    "x='a*b'; ipsec ${x%'*b'} ${x%\"*b\"} ${x#'a?'} e",
    # Parameters.
    'IFS=,; set -- \'a b\' c; ipsec $* $@ "$*" "$@"',
    'IFS=; set -- \'a b\' c; ipsec $* $@ "$*" "$@"',
    "set -- a; set - b c; ipsec $1 $#",
    "set -- a b; (shift; ipsec $1); ipsec $1; echo q | { shift; ipsec $1; }; ipsec $1",
    # Shells of their own.
    "x=0; echo a | while read l; do x=1; ipsec $l; done; ipsec $x",
    "x=1; { x=2; } & wait; ipsec $x",
    "(f() { ipsec no; }); f; ipsec a",
    "x=1; sh=2; f() { x='a b'; (local x); }; f; ipsec $x",
    "for i in 1 2; do echo | { exit; }; ipsec $i; done",
    # A function has loops of its own.
    "f() { for j in 1 2; do break; done; }; for i in 1 2; do f; ipsec $i; done",
    "f() { ipsec 1; }; f; unset -f f; f; ipsec 2",
    # IFS that a turn sets.
    'printf \'a b\\nc:d e\\n\' | while read x y; do IFS=:; ipsec "$x" "$y"; done',
    "i=0; ipsec $((i=i+1)) && ipsec $i; echo $((i=i+1)) | read x; ipsec $i",
    # Conditions and patterns.
    "[ ! a = b ] && ipsec 1; [ ! a = a ] || ipsec 2",
    "x='a*'; case abc in \"$x\") ipsec 1;; $x) ipsec 2;; esac; case abc in '*') ipsec 3;; esac",
    'while read a b; do ipsec $a "$b"; x=$a; done <<E; ipsec $x\n1 2 3\n4\nE',
]


@pytest.mark.parametrize("script", DIFFERENCES)
@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_what_was_read_otherwise(shell: str, script: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is missing")
    run = subprocess.run(
        [program, "-c", f"{SHOWS}{script}\n"],
        capture_output=True,
        text=True,
        env={"PATH": "/nonexistent"},
        check=False,
        timeout=30,
    )
    read = read_shell(f"{script}\n", "script")
    ours = [
        "".join(f"{word.text}|" for word in command.words[1:]) + command.doubt
        for command in read.commands
        if command.words[0].text == "ipsec"
    ]
    assert ours == run.stdout.splitlines()
    assert read.errors == []
