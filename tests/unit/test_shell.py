"""Shell scripts evaluated without being run: words, flow, and what only a running shell knows."""

from __future__ import annotations

import pytest

from eroute_translate.klips.shell import read_shell


def words(text: str) -> list[list[str | None]]:
    return [[word.text for word in command.words] for command in read_shell(text, "s").commands]


def doubts(text: str) -> list[bool]:
    return [bool(command.doubt) for command in read_shell(text, "s").commands]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b  c", ["a", "b", "c"]),
        ("a 'b c' \"d e\" f\\ g", ["a", "b c", "d e", "f g"]),
        ("X=1; a $X ${X} \"$X\" '$X'", ["a", "1", "1", "1", "$X"]),
        ('X="1 2"; a $X "$X"', ["a", "1", "2", "1 2"]),
        ("X=; a $X b", ["a", "b"]),
        ('X=; a "$X" b', ["a", "", "b"]),
        ("a \\\n  b", ["a", "b"]),
        ("a # b", ["a"]),
        ("X=5; a esp0x$X@10.0.0.$X", ["a", "esp0x5@10.0.0.5"]),
        ("X=5 Y=6; a $X@$Y", ["a", "5@6"]),
        ("a ${N:-7} ${N-8}", ["a", "7", "8"]),
        ("N=3; a ${N:-7} ${N:+set} ${M:+set} ${#N}", ["a", "3", "set", "1"]),
        ("a ${N:=7} $N", ["a", "7", "7"]),
        ("N=10.0.0.0/8; a ${N%/*} ${N#*/} ${N%%.*} ${N##*.}", ["a", "10.0.0.0", "8", "10", "0/8"]),
        ("X=a; X=${X}b; X+=c; a $X", ["a", "abc"]),
        ("export X=1; readonly Y=2; a $X $Y", ["a", "1", "2"]),
        ("X=1; unset X; a b$X", ["a", "b"]),
        ('set -- 1 \'2 3\'; a $1 "$2" "$@" $#', ["a", "1", "2 3", "1", "2 3", "2"]),
        ("set -- 1 2; shift; a $1", ["a", "2"]),
        ("set -- 1 2 3; shift 2; a $1", ["a", "3"]),
        ('a "x\\"y\\$z"', ["a", 'x"y$z']),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text)[-1] == expected


@pytest.mark.parametrize(
    "text",
    [
        "a $(date)",
        "X=$(date); a ${X:+y}",
        "a `date`",
        "a $UNKNOWN",
        "a $((1+x))",
        "a x$1",
        'a "$(b)c"',
        "a ${X?no}",
    ],
)
def test_what_only_a_running_shell_knows(text: str) -> None:
    assert None in words(text)[-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a; b\nc", ["a", "b", "c"]),
        ("a && b", ["a", "b"]),
        ("a || b", ["a"]),
        ("true && b", ["b"]),
        ("false || b", ["b"]),
        ("false && b", []),
        ("false && a || b", ["b"]),
        ("true || a && b", ["b"]),
        ("if false && a; then b; fi", []),
        ("if true || a; then b; fi", ["b"]),
        ("X=$(a) && b", ["a", "b"]),
        ("a | b", ["a", "b"]),
        ("a & b", ["a", "b"]),
        ("{ a; b; }", ["a", "b"]),
        ("(a; b)", ["a", "b"]),
        ("! a", ["a"]),
        ("a > x 2>&1", ["a"]),
        ("a; exit; b", ["a"]),
        ("if true; then a; else b; fi", ["a"]),
        ("if false; then a; else b; fi", ["b"]),
        ("X=1; if [ $X = 1 ]; then a; elif [ $X = 2 ]; then b; fi", ["a"]),
        ("X=2; if [ $X = 1 ]; then a; elif [ $X = 2 ]; then b; else c; fi", ["b"]),
        ("X=3; if [ $X = 1 ]; then a; elif [ $X = 2 ]; then b; else c; fi", ["c"]),
        ("X=3; if [ $X -gt 2 ]; then a; fi", ["a"]),
        ('X=; [ -n "$X" ] && a', []),
        ('X=; [ -z "$X" ] && a', ["a"]),
        ('X=; test -z "$X" && a', ["a"]),
        ('X=y; [ "$X" != y ] || a', ["a"]),
        ("for i in 1 2 3; do a; done", ["a", "a", "a"]),
        ("X='1 2'; for i in $X; do a; done", ["a", "a"]),
        ("f() { a; }; f; f", ["a", "a"]),
        ("f() { return; a; }; f; b", ["b"]),
        ("X=up; case $X in up|start) a;; *) b;; esac", ["a"]),
        ("X=zz; case $X in up|start) a;; *) b;; esac", ["b"]),
        ("cat <<E\nipsec eroute\nE\na", ["cat", "a"]),
        ("for i in 1 2 3; do [ $i = 2 ] && continue; a; done; b", ["a", "a", "b"]),
        ("for i in 1 2 3; do [ $i = 2 ] && break; a; done; b", ["a", "b"]),
        (
            "for i in 1 2; do for j in 1 2; do [ $j = 2 ] && continue 2; a; done; b; done",
            ["a", "a"],
        ),
        ("while read x; do [ $x = 2 ] && continue; a; done <<E\n1\n2\nE\nb", ["a", "b"]),
    ],
)
def test_flow(text: str, expected: list[str]) -> None:
    assert [command[0] for command in words(text)] == expected


@pytest.mark.parametrize(
    "text",
    [
        "if [ -f /x ]; then a; fi",
        "[ -f /x ] && a",
        "[ -f /x ] && a || true",
        "[ -f /x ] && b && a",
        "if [ -f /x ] && a; then b; fi",
        "grep x /y >/dev/null 2>&1 || a",
        "b | grep -q x || a",
        "(b; grep -q x /y) && a",
        'if [ "$UNKNOWN" = 1 ]; then a; fi',
        "case $1 in x) a;; esac",
        "while read x; do a; done",
        "until b; do a; done",
        "for i in $(b); do a; done",
        "for i in $UNKNOWN; do a; done",
        "for i in 1 2; do [ -f /x ] || continue; a; done",
        "for i in 1 2; do if [ -f /x ]; then break; fi; a; done",
        "for i in 1; do for j in 1; do [ -f /x ] && break 2; done; a; done",
        "for i in 1; do for j in 1; do [ -f /x ] && continue 2; done; a; done",
        "for i in 1; do for j in 1; do for k in 1; do [ -f /x ] && break 3; done; done; a; done",
    ],
)
def test_what_may_not_run_is_in_doubt(text: str) -> None:
    script = read_shell(text, "s")
    assert [c.doubt for c in script.commands if c.words[0].text == "a"] != []
    assert all(c.doubt for c in script.commands if c.words[0].text == "a")


def test_doubt_about_a_round_ends_with_its_loop() -> None:
    text = "for i in 1 2; do a; [ -f /x ] && break; done; b"
    assert doubts(text) == [False, True, False]
    assert doubts(text.replace("break", "continue")) == [False, False, False]


def test_variables_of_a_function_end_with_it() -> None:
    text = "f() { local X=2 Y; a $X; X=3; Z=4; }; X=1; f; a $X $Z"
    assert words(text) == [["a", "2"], ["a", "1", "4"]]
    assert words("f() { local X=2; }; f; a $X") == [["a", None]]


def test_what_is_set_in_doubt_is_not_known_afterwards() -> None:
    assert words("X=1; if [ -f /x ]; then X=2; fi; a $X")[-1] == ["a", None]
    assert words("X=1; while b; do X=2; done; a $X")[-1] == ["a", None]
    assert words("X=1; if [ -f /x ]; then unset X; fi; a $X")[-1] == ["a", None]
    assert words("set -- 1 2; [ -f /x ] && shift; a $1")[-1] == ["a", None]
    assert words("set -- 1 2; shift 3; a $1")[-1] == ["a", None]


def test_a_subshell_sets_nothing_outside() -> None:
    assert words("X=1; (X=2); a $X")[-1] == ["a", "1"]


def test_functions_have_parameters_of_their_own() -> None:
    text = 'f() { a "$@" $#; }\nset -- 9\nf 1 "2 3"\na $1'
    assert words(text) == [["a", "1", "2 3", "2"], ["a", "9"]]


def test_places() -> None:
    (command,) = read_shell("\n  ipsec spi \\\n  --said x\n", "file").commands
    assert [(w.span.file, w.span.line, w.span.column) for w in command.words] == [
        ("file", 2, 3),
        ("file", 2, 9),
        ("file", 3, 3),
        ("file", 3, 10),
    ]


def test_what_never_ends_ends() -> None:
    assert len(words("f() { a; f; }; f")) < 100
    assert read_shell("(" * 5000 + "a", "s").commands is not None


def test_a_place_without_sense_is_told() -> None:
    assert read_shell("a\nif then fi fi (\nb\n", "s").errors
    assert read_shell("a\nb\nc )\nd", "s").errors[0].span.line == 3
    assert not read_shell("a\nb\n", "s").errors


def test_characters_that_the_scanner_cannot_bear() -> None:
    """Above 255 it reads outside of its tables, and most of them end in a crash."""
    text = "".join(f"echo ${{{chr(0x100 + 0x10F0F * n)} a\n" for n in range(16))
    for _ in range(50):
        read_shell(text, "s")
    commands = read_shell("echo \u20ac\U0001f600z \xe9\n", "s").commands
    assert [word.text for word in commands[0].words] == ["echo", "\xbf_\xbf\xbfz", "\xe9"]
    assert commands[0].words[1].span.end_column == 14


def test_a_loop_that_may_have_been_left_says_nothing_of_what_follows_it() -> None:
    script = read_shell("for i in 1; do for j in 1; do [ -f /x ] && break 2; done; done; a", "s")
    assert [c.doubt for c in script.commands if c.words[0].text == "a"] == [""]


@pytest.mark.parametrize(
    "text",
    [
        'f() { a "$2"; }; f $(date) x',
        'f() { a $#; }; f "$UNKNOWN" $(date)',
        'set -- $UNKNOWN x; a "$2"',
        'set -- "$@" x; a $#',
        'set -- b; [ -e /q ] && set -- c; a "$1"',
        "X=1; sh -c 'a $X'",
        "sh -c 'a $1' name x",
        "X=1; eval X=$(date); a $X",
        "for X in 1 2; do [ -e /q ] && break; done; a $X",
        "X=1; [ -e /q ] && b ${X:=2} ${Y:=3}; a ${Y}",
        "X=1; f() { local X; a $X; }; f",
        "X=1; f() { a $X; }; X=2 f; b",
        "X=1; X=2 eval 'a $X'",
    ],
)
def test_words_that_are_not_known_behind_others(text: str) -> None:
    assert None in next(found for found in words(text) if found[0] == "a")


@pytest.mark.parametrize(
    "text",
    [
        "if [ -e /q ]; then f() { a; }; fi; f",
        "f() { [ -e /q ]; }; f && a",
        "f() { return 1; }; f && a",
        "f() { return 1; }; f || a",
        "case x in $UNKNOWN) a;; esac",
        "case x in $UNKNOWN) b;; *) a;; esac",
        "for i in 1; do (break; a); done",
        "[[ abc = a* ]] && a",
        "X='a*'; [[ abc = $X ]] && a",
        "[ -n x -a ! y = z ] && a",
        "[[ -z '' && x = x ]] && a",
        "[[ x = x && -z '' ]] && a",
    ],
)
def test_calls_in_doubt(text: str) -> None:
    found = [c for c in read_shell(text, "s").commands if c.words[0].text == "a"]
    assert found
    assert all(command.doubt for command in found)


def test_a_function_of_two_bodies() -> None:
    text = "f() { a; }; if [ -e /q ]; then f() { b; }; fi; f"
    assert words(text)[-2:] == [["a"], ["b"]]
    assert doubts(text)[-2:] == [True, True]
