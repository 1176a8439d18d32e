"""A command of KLIPS inside of another command is played or refused, never lost."""

from __future__ import annotations

import pytest

from eroute_translate.diagnostics import Collector
from eroute_translate.klips.kind_of_text import TextKind, kind_of_text
from eroute_translate.klips.script import read_script

HOLE = "ipsec eroute --add --eraf inet --src 10.9.0.0/16 --dst 10.9.0.0/16 --said %pass\n"
OPTIONS = "--add --eraf inet --src 10.1.0.0/16 --dst 10.2.0.0/16 --said %drop"
DROP = f"ipsec eroute {OPTIONS}"


def destinations(text: str) -> tuple[list[str], list[str]]:
    """The destinations of the eroutes, and the codes of what was said."""
    collector = Collector()
    reading = read_script(text.encode(), "script", collector)
    listing = reading.listing
    found = [] if listing is None else [str(e.selector.destination) for e in listing.eroutes]
    return found, [item.code for item in collector.items]


@pytest.mark.parametrize(
    "text",
    [
        f"sudo {DROP}",
        f"sudo -u root -n {DROP}",
        f"sudo env LANG=C nice -n 5 {DROP}",
        f"time -p {DROP}",
        f"exec {DROP}",
        f"command {DROP}",
        f"nohup {DROP} &",
        f"timeout -k 1 5 {DROP}",
        f"eval {DROP}",
        f'eval "{DROP}"',
        f'X="ipsec eroute"; eval $X {OPTIONS}',
        f"sh -c '{DROP}'",
        f'sudo /bin/bash -ec "{DROP}"',
        f"su - root -c '{DROP}'",
        f"sh <<EOF\n{DROP}\nEOF",
        f"alias er='ipsec eroute'\ner {OPTIONS}",
        f"X=$({DROP})",
        f'X="$({DROP} 2>&1)"',
        f"X=`{DROP}`",
        f"echo `{DROP}`",
        f'if [ -z "$({DROP})" ]; then echo; fi',
        f'case "$({DROP})" in x) ;; esac',
        f"for i in $({DROP}); do :; done",
        f"while ! {DROP}; do sleep 1; done",
        f"until {DROP}; do sleep 1; done",
        f"while read s d; do\n{DROP.replace('10.2.0.0/16', '$d')}\ndone <<EOF\n1 10.2.0.0/16\nEOF",
        f"for i in {{2..2}}; do {DROP.replace('10.2.', '10.$i.')}; done",
        f"for i in `seq 2 2`; do {DROP.replace('10.2.', '10.$i.')}; done",
        f"for i in $(seq 2); do :; done; {DROP.replace('10.2.', '10.$i.')}",
        f"i=1; i=$((i + 1)); {DROP.replace('10.2.', '10.$i.')}",
        f"i=1; ((i++)); {DROP.replace('10.2.', '10.$i.')}",
        f"i=1; let i=i+1; {DROP.replace('10.2.', '10.$i.')}",
        f"i=2; x=$((i++)); {DROP.replace('10.2.', '10.$x.')}",
        f"i=0; while [ $i -lt 2 ]; do i=$((i+1)); done; {DROP.replace('10.2.', '10.$i.')}",
        f"i=0; until test $i -ge 2; do i=`expr $i + 1`; done; {DROP.replace('10.2.', '10.$i.')}",
        f"for ((i=0;i<2;i++)); do :; done; {DROP.replace('10.2.', '10.$i.')}",
        f"for i in 1 2 3; do [ $i = 2 ] || continue; {DROP.replace('10.2.', '10.$i.')}; done",
        f"for i in 2 3; do [ $i = 3 ] && break; {DROP.replace('10.2.', '10.$i.')}; done",
        f"set a b 10.2.0.0/16 c; shift 2; {DROP.replace('10.2.0.0/16', '$1')}",
        f"f() {{ while [ $# -gt 0 ]; do {DROP.replace('10.2.0.0/16', '$1')}; shift; done; }}\n"
        "f 10.2.0.0/16",
        f"p=a,10.2.0.0/16; IFS=,; set -- $p; unset IFS; {DROP.replace('10.2.0.0/16', '$2')}",
        f"IFS=$' \\t\\n'; {DROP}",
        f"p=a,10.2.0.0/16; d=`echo $p | cut -d, -f2`; {DROP.replace('10.2.0.0/16', '$d')}",
        f"p=a,10.2.0.0/16; d=$(echo $p | awk -F, '{{print $2}}'); "
        f"{DROP.replace('10.2.0.0/16', '$d')}",
        f"d=$(printf '10.%d.0.0/%x' 2 22); {DROP.replace('10.2.0.0/16', '$d')}",
        f"IFS=: read a d <<EOF\na:10.2.0.0/16\nEOF\n{DROP.replace('10.2.0.0/16', '$d')}",
        f"N=10.2.0.0/16; while read d; do {DROP.replace('10.2.0.0/16', '$d')}\ndone <<EOF\n$N\nEOF",
        f"cat <<EOF | while read d; do\n10.2.0.0/16\nEOF\n"
        f"{DROP.replace('10.2.0.0/16', '$d')}\ndone",
        f"cat <<'EOF' |\n10.2.0.0/16\nEOF\nwhile read d; do\n"
        f"{DROP.replace('10.2.0.0/16', '$d')}\ndone",
        f"echo '{DROP}' | sh",
        f"cat <<EOF | sh\n{DROP}\nEOF",
    ],
)
def test_what_is_played(text: str) -> None:
    assert destinations(f"{HOLE}{text}\n") == (["10.9.0.0/16", "10.2.0.0/16"], [])


@pytest.mark.parametrize(
    "text",
    [
        f"$IPSEC eroute {OPTIONS}",
        f"$EROUTE {OPTIONS}",
        f"`which ipsec` eroute {OPTIONS}",
        f'eval "$CMD eroute {OPTIONS}"',
        f"chroot /mnt {DROP}",
        f"echo x | xargs {DROP}",
        "echo --clear | xargs ipsec eroute",
        f"trap '{DROP}' EXIT",
        # What a command sets is not known afterwards.
        f"d=10.2.0.0/16; read d; {DROP.replace('10.2.0.0/16', '$d')}",
        # Whether a turn of a loop comes so far.
        f"for i in 1; do [ -f /etc/$i ] && continue; {DROP}; done",
        f"i=1; while [ $i -lt 3 ]; do i=$((i+1)); [ -f /x ] && i=9; done; "
        f"{DROP.replace('10.2.', '10.$i.')}",
        f"while [ $i != 3 ]; do {DROP}; done",
        f"[ -f /x ] && shift; f() {{ [ -f /x ] && shift; {DROP.replace('10.2.0.0/16', '$1')}; }}; "
        "f 10.2.0.0/16 10.3.0.0/16",
        # What a shell reads from a pipe.
        f"awk '{{print \"{DROP} $1\"}}' /etc/tunnels | sh",
        f"cat <<EOF | sed s/a/b/ | bash\n{DROP}\nEOF",
    ],
)
def test_what_is_refused(text: str) -> None:
    assert destinations(f"{HOLE}{text}\n") == (["10.9.0.0/16"], ["ET154"])


@pytest.mark.parametrize(
    "text",
    [
        "echo usage: ipsec eroute --add",
        f"ssh gw2 {DROP}",
        f"trap '{DROP}' INT",
        "command -v ipsec eroute",
        "$LOGGER -t ipsec started",
        "eval `dircolors`",
        "x=$(ipsec eroute | wc -l)",
    ],
)
def test_what_is_left_alone(text: str) -> None:
    assert destinations(f"{HOLE}{text}\n")[0] == ["10.9.0.0/16"]
    assert "ET154" not in destinations(f"{HOLE}{text}\n")[1]


def test_small_shells_leave_braces_as_they_are() -> None:
    text = f"for i in {{2..3}}; do {DROP.replace('10.2.', '10.$i.')}; done\n"
    assert destinations(f"#!/bin/bash\n{text}") == (["10.2.0.0/16", "10.3.0.0/16"], [])
    assert destinations(f"#!/bin/sh\n{text}")[0] == []


INIT = f"""\
#!/bin/sh
IPSEC=/usr/sbin/ipsec
start() {{
    $IPSEC eroute {OPTIONS}
}}
case "$1" in
start) start ;;
stop) $IPSEC eroute --clear ;;
restart) $0 stop; $0 start ;;
*) echo "usage: $0 start|stop" ; exit 1 ;;
esac
"""


def test_a_script_of_init_is_read_as_it_starts() -> None:
    assert kind_of_text(INIT.encode()) is TextKind.SCRIPT
    assert destinations(INIT) == (["10.2.0.0/16"], ["ET158"])
    # Another word tells nothing.
    assert destinations(INIT.replace("start)", "go)")) == ([], ["ET154", "ET154"])


@pytest.mark.parametrize(
    "text",
    [
        f'#!/bin/sh\nIPSEC=ipsec\n"$IPSEC" eroute {OPTIONS}\n',
        f"#!/bin/sh\n${{IPSEC}} eroute {OPTIONS}\n",
        f"#!/bin/sh\n$EROUTE {OPTIONS}\n",
        f"#!/bin/sh\nPATH=/usr/lib/ipsec:$PATH\neroute {OPTIONS}\n",
        f"# by hand\n$IPSEC eroute {OPTIONS}\n",
    ],
)
def test_scripts_are_known_whatever_the_program_is_called(text: str) -> None:
    assert kind_of_text(text.encode()) is TextKind.SCRIPT


def test_no_part_of_a_script_is_lost_behind_a_document_without_an_end() -> None:
    assert destinations(f"{HOLE}cat <<EOF\nx\nE0F\n{DROP}\n") == (["10.9.0.0/16"], ["ET155"])


def test_what_runs_on_another_host_is_said() -> None:
    assert destinations(f"{HOLE}ssh gw2 '{DROP}'\n") == (["10.9.0.0/16"], ["ET157"])
    assert destinations(f"{HOLE}sh /etc/more.sh\n") == (["10.9.0.0/16"], ["ET157"])


def test_a_loop_without_end_is_said() -> None:
    text = f"i=0; while [ $i -lt 9 ]; do :; done; {DROP}\n"
    assert destinations(text) == (["10.2.0.0/16"], ["ET155"])


TRANSCRIPTS = [
    "[root@gw root]# {}\n[root@gw root]# echo x\n(x: bad\n[root@gw root]#\n",
    "root@gw:~# {}\nLast (one\nroot@gw:~# ",
    "root@gw:/etc# for d in a b; do\n> {}\n> done\nroot@gw:/etc# exit\n",
    "Do this:\n\n```sh\n{}\n```\n\nDon't (ever) forget.\n",
    "~~~\n$ {}\n~~~\n",
]


@pytest.mark.parametrize("text", TRANSCRIPTS)
def test_a_transcript_and_a_fenced_script(text: str) -> None:
    text = text.format(DROP)
    assert kind_of_text(text.encode()) is TextKind.SCRIPT
    found, codes = destinations(text)
    assert found == ["10.2.0.0/16"]
    assert set(codes) <= {"ET156"}


@pytest.mark.parametrize("outside", [DROP, f"    {DROP}"])
def test_a_command_beside_the_fence_is_not_lost(outside: str) -> None:
    found, codes = destinations(f"Do (this):\n\n{outside}\n\n```\n{HOLE}```\n")
    assert (found, codes) == (["10.2.0.0/16", "10.9.0.0/16"], [])
