"""Small shell scripts of any shape, harmless and certain to end, in which ``ipsec`` is a stub.

They ask no program but the shell itself, so that bash and dash can run them with an empty PATH.
"""

from __future__ import annotations

from random import Random
from typing import Final

VARIABLES: Final = ("x", "y", "z")
PLAIN: Final = ("a", "b", "7", "10.0.0.0/8", "a.b.c")
_VALUES: Final = ("a", "b", "''", "7", "'a b'", "10.0.0.0/8", "a,b,c", "' b  c '", "a.b.c", "a:b")
_PATTERNS: Final = ("*", "a*", "b", "7|a", "?", "'a b'", "*.*", '"$x"', "[ab]")
_TRIMS: Final = ("%/*", "%%.*", "#*.", "##*/", "#a", "%b", "%,*", "##*,")


class Scripts:
    """Writes scripts with a source of chance."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.count = 0
        self.functions: list[str] = []
        self.loops = 0
        self.in_function = False

    def script(self) -> str:
        """A whole script."""
        lines = ["x=a; y='b c'; z=7"]
        if self.chance.random() < 0.7:
            lines.append("set -- a 'b c'")
        for _ in range(self.chance.randint(3, 7)):
            lines += self.statement(0)
        return "\n".join([*lines, self.call()]) + "\n"

    def call(self) -> str:
        """A call of the stub, with a number of its own."""
        self.count += 1
        words = [self.word() for _ in range(self.chance.randint(0, 3))]
        return " ".join(["ipsec", f"n{self.count}", *words])

    def name(self) -> str:
        """The name of a variable."""
        return self.chance.choice(VARIABLES)

    def expansion(self) -> str:
        """What a word may ask for."""
        name, pick = self.name(), self.chance.randrange(16)
        if pick < 5:
            return f"${name}"
        if pick < 7:
            return self.chance.choice(("$1", "$2", "$#", "${2}", "${1:-none}"))
        operand = self.chance.choice(("q", "", "'p q'", "$y", "7"))
        forms = (
            f"${{{name}:-{operand}}}",
            f"${{{name}-{operand}}}",
            f"${{{name}:+{operand}}}",
            f"${{{name}+{operand}}}",
            f"${{{name}:={self.chance.choice(PLAIN)}}}",
            f"${{#{name}}}",
            f"${{{name}{self.chance.choice(_TRIMS)}}}",
            f"${{{name}{self.chance.choice(_TRIMS)}}}",
        )
        return self.chance.choice(forms)

    def word(self) -> str:
        """One word of a command."""
        match self.chance.randrange(12):
            case 0:
                return self.chance.choice(_VALUES)
            case 1 | 2 | 3:
                return self.expansion()
            case 4 | 5:
                return f'"{self.expansion()}"'
            case 6:
                return f"p{self.expansion()}.{self.expansion()}"
            case 7:
                return self.chance.choice(('"$@"', "$@", '"$*"', "$*"))
            case 8:
                sums = ("2+3*4", "7/2", "-7%3", "1 < 2", "$#+1", "3-5")
                return f"$(({self.chance.choice(sums)}))"
            case 9:
                return self.chance.choice(
                    ("$(echo a b)", '"$(echo a  b)"', f"$(echo ${self.name()})")
                )
            case 10:
                return self.chance.choice(
                    ("\\$x", "'$x'", 'a"b c"d', "\\a", '"\\a\\$"', "'a'\\''b'")
                )
        return self.chance.choice(PLAIN)

    def test(self) -> str:
        """A question, which now and then only a running shell can answer."""
        pick = self.chance.randrange(14)
        name = self.name()
        if pick < 5:
            sign = self.chance.choice(("=", "!="))
            return f'[ "${name}" {sign} {self.chance.choice(PLAIN)} ]'
        forms = (
            f'[ -n "${name}" ]',
            f'[ -z "${{{name}:-}}" ]',
            "[ $# -gt 1 ]",
            'test "$1" = a',
            "true",
            "false",
            "[ -d /. ]",
            "[ -e /nonexistent ]",
            f'! [ "${name}" = a ]',
        )
        return forms[pick - 5]

    def block(self, depth: int) -> list[str]:
        """Some statements, indented."""
        lines: list[str] = []
        for _ in range(self.chance.randint(1, 3)):
            lines += self.statement(depth + 1)
        return ["  " + line if "<<" not in "".join(lines) else line for line in lines]

    def statement(self, depth: int) -> list[str]:
        """One statement."""
        pick = self.chance.randrange(34 if depth < 3 else 20)
        name = self.name()
        if pick < 6:
            return [self.call()]
        if pick < 9:
            return [f"{name}={self.chance.choice((*_VALUES, self.word(), self.word()))}"]
        if pick < 20:
            return self.small(pick, name)
        if pick < 23:
            return self.choice(depth)
        if pick < 28:
            return self.loop(depth)
        if pick < 30:
            return self.function(depth)
        if pick == 30:
            return ["(", *self.block(depth), ")"]
        if pick == 31:
            return ["{", *self.block(depth), "}"]
        if pick == 32:
            sign = self.chance.choice(("&&", "||"))
            return [f"{self.test()} {sign} {{", *self.block(depth), "}"]
        return self.case(depth)

    def small(self, pick: int, name: str) -> list[str]:
        """A statement of one line."""
        match pick:
            case 9:
                words = [self.word() for _ in range(self.chance.randint(0, 3))]
                return [" ".join(["set --", *words])]
            case 10:
                return [self.chance.choice(("[ $# -gt 0 ] && shift", "shift $#", f"unset {name}"))]
            case 11:
                signs = self.chance.choice(("&&", "||"))
                return [f"{self.test()} {signs} {self.call()}"]
            case 12:
                first, second = self.chance.choice(("&&", "||")), self.chance.choice(("&&", "||"))
                return [f"{self.test()} {first} {self.test()} {second} {self.call()}"]
            case 13 | 14 if self.functions:
                return [f"{self.chance.choice(self.functions)} {self.word()} {self.word()}"]
            case 15:
                value = self.chance.choice(("1", '"$y"', "$z"))
                forms = (f"eval '{self.call_without_quotes()}'", f"eval {name}={value}")
                return [self.chance.choice(forms)]
            case 16:
                ifs = self.chance.choice(
                    ("IFS=:", "IFS=,", "IFS=.", "unset IFS", "IFS=", "IFS=' ,'")
                )
                return [ifs, self.call(), self.chance.choice(("unset IFS", "IFS=' '", ":"))]
            case 17 if self.loops:
                level = self.chance.choice(("", "", " 2"))
                leave = self.chance.choice(("break", "continue")) + level
                return [self.chance.choice((leave, f"{self.test()} && {leave}"))]
            case 18 if self.in_function:
                leave = self.chance.choice(("return", f"{self.test()} && return", f"local {name}"))
                return [self.chance.choice((leave, f"local {name}={self.chance.choice(PLAIN)}"))]
            case 19 if self.chance.random() < 0.3:
                known = self.chance.choice(('[ "$x" = a ]', "[ $# -gt 1 ]", '[ -n "$y" ]'))
                return [f"{known} && exit"]
        number = self.chance.choice(("1+2", "$#*2", "8"))
        return [f"{name}=$(({number}))", self.call()]

    def call_without_quotes(self) -> str:
        """A call that may stand in single quotes."""
        return self.call().replace("'", "")

    def choice(self, depth: int) -> list[str]:
        """``if``."""
        lines = [f"if {self.test()}; then", *self.block(depth)]
        if self.chance.random() < 0.4:
            lines += [f"elif {self.test()}; then", *self.block(depth)]
        if self.chance.random() < 0.5:
            lines += ["else", *self.block(depth)]
        return [*lines, "fi"]

    def case(self, depth: int) -> list[str]:
        """``case``."""
        subject = self.chance.choice(('"$1"', "$x", '"$y"', "$z$x"))
        lines = [f"case {subject} in"]
        for _ in range(self.chance.randint(1, 3)):
            lines += [f"{self.chance.choice(_PATTERNS)})", *self.block(depth), ";;"]
        return [*lines, "esac"]

    def loop(self, depth: int) -> list[str]:
        """A loop that ends."""
        self.loops += 1
        body = self.block(depth)
        self.loops -= 1
        counter = f"i{self.chance.randrange(10**6)}"
        match self.chance.randrange(7):
            case 0 | 1:
                words = " ".join(self.word() for _ in range(self.chance.randint(1, 3)))
                return [f"for {self.name()} in {words}; do", *body, "done"]
            case 2:
                return [f"for {self.name()}; do", *body, "done"]
            case 3:
                head = [f"{counter}=0", f"while [ ${counter} -lt 2 ]; do"]
                return [*head, f"  {counter}=$(({counter}+1))", *body, "done"]
            case 4:
                head = [f"{counter}=0", f"until [ ${counter} -ge 2 ]; do"]
                return [*head, f"  {counter}=$(({counter}+1))", *body, "done"]
            case 5:
                text = ["a b c", "$x d", "e:f"]
                end = self.chance.choice(("E", "'E'"))
                return ["while read -r x y; do", *body, f"done <<{end}", *text, "E"]
        printed = self.chance.choice(("echo a b", "echo $y", "printf 'a b\\nc d\\n'"))
        return [f"{printed} | while read {self.name()} {self.name()}; do", *body, "done"]

    def function(self, depth: int) -> list[str]:
        """A function that calls only older ones, and a call of it."""
        held = self.in_function, self.loops
        self.in_function, self.loops = True, 0
        body = self.block(depth)
        self.in_function, self.loops = held
        name = f"f{self.chance.randrange(10**6)}"
        self.functions.append(name)
        return [f"{name}() {{", *body, "}", f"{name} {self.word()} {self.word()}"]
