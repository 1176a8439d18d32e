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
        f"i=2; ((i++)); {DROP.replace('10.2.', '10.$i.')}",
        f"i=2; let i=i+1; {DROP.replace('10.2.', '10.$i.')}",
        f"i=2; x=$((i++)); {DROP.replace('10.2.', '10.$i.')}",
        f"i=2; while [ $i -lt 4 ]; do i=$((i+1)); done; {DROP.replace('10.2.', '10.$i.')}",
        f"i=2; for ((i=0;i<3;i++)); do :; done; {DROP.replace('10.2.', '10.$i.')}",
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
