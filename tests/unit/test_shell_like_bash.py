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
