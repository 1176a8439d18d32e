"""The documentation says what the code does.

``UPDATE_DOCS=1`` rewrites the generated parts: the table of rules in docs/mapping.md and the
outputs in all Markdown files.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import eroute_translate.mapping
from eroute_translate import cli
from eroute_translate.cli.parser import build_parser
from eroute_translate.codes import TITLES
from eroute_translate.diagnostics import Collector
from eroute_translate.klips.assembly import host_of_listings
from eroute_translate.klips.table import read_listings
from eroute_translate.mapping.model import Options, Rule
from eroute_translate.mapping.translation import translate
from eroute_translate.render import Page, Target, _filters
from eroute_translate.xfrm.text import key_arguments

if TYPE_CHECKING:
    from types import ModuleType

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "translate"
UPDATE: Final = bool(os.environ.get("UPDATE_DOCS"))
EXAMPLE: Final = "docs/examples/gateway.eroute"


def files(*suffixes: str) -> list[Path]:
    """Files of the repository, without caches and the virtual environment."""
    found: list[Path] = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(
            f
            for f in folders
            if (not f.startswith(".") or f == ".ci")
            and f not in {"__pycache__", "build", "dist"}
            and not f.endswith(".egg-info")
        )
        found.extend(
            Path(folder, name)
            for name in sorted(names)
            if name != ".git"  # of a linked worktree it names the repository's own path
            if not suffixes or name.endswith(tuple(suffixes))
        )
    return found


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


MARKDOWN: Final = [name_of(path) for path in files(".md")]
SOURCES: Final = [name_of(p) for p in files(".py") if PACKAGE in p.parents]


# -- the table of rules


def mapping_modules() -> list[ModuleType]:
    """The modules that have rules: the order of a reader first, then whatever else there is."""
    order = ["shunts", "protection", "masks", "exemptions", "mast"]
    names = [m.name for m in pkgutil.iter_modules(eroute_translate.mapping.__path__)]
    names.sort(key=lambda n: (order.index(n) if n in order else len(order), n))
    modules = [importlib.import_module(f"eroute_translate.mapping.{name}") for name in names]
    return [module for module in modules if hasattr(module, "RULES")]


def all_rules() -> list[Rule]:
    return [rule for module in mapping_modules() for rule in module.RULES]


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def rule_table() -> str:
    head = ["rule", "eroute", "what KLIPS did", "what XFRM does", "difference", "why", "tested"]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for rule in all_rules():
        tested = ", ".join(f"`{name}`" for name in rule.tested.split(", "))
        cells = [rule.eroute, rule.klips, rule.xfrm, rule.difference, rule.reason]
        cells = [f'<a id="{rule.name}"></a>`{rule.name}`', *map(cell, cells), tested]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_table_of_rules_is_that_of_the_code() -> None:
    path = ROOT / "docs/mapping.md"
    text = path.read_text(encoding="utf-8")
    begin, end = "<!-- rules: begin -->\n", "\n<!-- rules: end -->"
    head, _, rest = text.partition(begin)
    _, found, tail = rest.partition(end)
    assert found, "docs/mapping.md has lost its marks"
    expected = head + begin + rule_table() + end + tail
    if UPDATE:
        path.write_text(expected, encoding="utf-8")
    assert UPDATE or text == expected, "run this test with UPDATE_DOCS=1"


def test_every_rule_is_in_the_rules_of_its_module_under_a_name_of_its_own() -> None:
    for module in mapping_modules():
        made = [value for value in vars(module).values() if isinstance(value, Rule)]
        assert {rule.name for rule in made} == {rule.name for rule in module.RULES}
    names = [rule.name for rule in all_rules()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.name)
def test_a_rule_says_everything_and_its_tests_exist(rule: Rule) -> None:
    for text in (rule.eroute, rule.klips, rule.xfrm, rule.difference, rule.reason, rule.tested):
        assert text.strip()
    missing = [name for name in rule.tested.split(", ") if not (ROOT / name).exists()]
    assert not missing


# -- outputs of the program

OUTPUT: Final = re.compile(
    r"(<!-- output: ([^|\n]+) \| ([^\n]+) -->\n```\n)(.*?)(```\n)", re.DOTALL
)


def output_of(command: str) -> str:
    words = shlex.split(command)
    if words[0] == "cat":
        return read(words[1])
    assert words[0] == "eroute-translate"
    environment = {k: v for k, v in os.environ.items() if k != "FORCE_COLOR"} | {
        "LC_ALL": "C.UTF-8"
    }
    process = subprocess.run(
        [sys.executable, "-m", "eroute_translate", *words[1:]],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def part_of(output: str, which: str) -> str:
    """All of an output, or so many lines from the first one that begins with a text."""
    if which == "all":
        return output.rstrip("\n") + "\n"
    match = re.fullmatch(r'([0-9]+) from "(.*)"', which)
    assert match, which
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(match[2]))
    return "\n".join(lines[start : start + int(match[1])]) + "\n"


@pytest.mark.parametrize("name", [n for n in MARKDOWN if "<!-- output:" in read(n)])
def test_outputs_in_the_documentation_are_those_of_the_program(name: str) -> None:
    text = read(name)
    pieces = OUTPUT.findall(text)
    assert len(pieces) == text.count("<!-- output:"), "a mark without its block"
    for _, command, which, shown, _ in pieces:
        expected = part_of(output_of(command), which)
        if UPDATE:
            text = text.replace(
                f"<!-- output: {command} | {which} -->\n```\n{shown}```\n",
                f"<!-- output: {command} | {which} -->\n```\n{expected}```\n",
            )
        else:
            assert shown == expected, f"{command}: run this test with UPDATE_DOCS=1"
    if UPDATE:
        (ROOT / name).write_text(text, encoding="utf-8")


def test_the_undo_of_the_readme_removes_exactly_what_the_script_installs(tmp_path: Path) -> None:
    script = tmp_path / "gateway.sh"
    script.write_text(output_of(f"eroute-translate convert {EXAMPLE}"), encoding="utf-8")
    line = next(n.strip() for n in read("README.md").splitlines() if n.strip().startswith("sed -n"))
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True)
    undo = (tmp_path / "undo.sh").read_text(encoding="utf-8").splitlines()
    host = host_of_listings(
        read_listings(read(EXAMPLE).encode(), EXAMPLE, Collector()), None, Collector()
    )
    policies = translate(host, Options()).policies()
    assert undo == sorted({f"ip xfrm policy delete {key_arguments(p)}" for p in policies})


def test_the_commands_of_the_readme_are_there() -> None:
    text = read("README.md")
    assert f"./dev run convert {EXAMPLE}\n./dev test\n" in text
    assert os.access(ROOT / "dev", os.X_OK)
    assert "./dev test" in read(".ci/run")


# -- lists that the documentation keeps


def test_every_code_has_its_paragraph() -> None:
    text = read("docs/findings.md")
    heads = re.findall(r'^<a id="(ET\d+)"></a>\n\n### (ET\d+): (.+)\n\n(\S.*)', text, re.MULTILINE)
    assert [(anchor, code, title) for anchor, code, title, _ in heads] == [
        (code, code, title) for code, title in TITLES.items()
    ]
    assert text.count("\n### ") == len(TITLES)


def test_every_exit_code_is_documented() -> None:
    documented = {
        name: int(code)
        for code, name in re.findall(
            r"^\| (\d+) \| `(EXIT_\w+)` \|", read("docs/exit-codes.md"), re.MULTILINE
        )
    }
    assert documented == {n: v for n, v in vars(cli).items() if n.startswith("EXIT_")}


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    parser = build_parser()
    yield "", parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def test_every_option_is_documented_and_no_other() -> None:
    text = read("docs/options.md")
    words = set(re.findall(r"`(--?[a-zA-Z][a-z-]*)", text))
    # The options of KLIPS's own tool stand in their own section.
    own = set(re.findall(r"`(--?[a-zA-Z][a-z-]*)", text.partition("## ipsec eroute")[0]))
    known: set[str] = set()
    for verb, parser in parsers():
        if verb:
            assert f"| `{verb}` |" in text
        known.update(o for action in parser._actions for o in action.option_strings)
    assert not known - words, "not documented"
    assert not own - known, "documented, but not there"
    for target in Target:
        assert f"`{target.value}`:" in text


def test_every_variable_and_filter_of_templates_is_documented() -> None:
    text = read("docs/templates.md")
    translation = translate(host_of_listings([], None, Collector()), Options())
    page = Page(translation, (), ())
    variables, _, filters = text.partition("## Variables")[2].partition("## Filters")
    listed = re.findall(r"^\| `(\w+)` \|", variables, re.MULTILINE)
    assert sorted(listed) == sorted(page.context() | page.mast_context())
    listed = re.findall(r"^\| `(\w+)(?:\(\w+\))?` \|", filters, re.MULTILINE)
    assert sorted(listed) == sorted(_filters())


# -- links and words


def anchors(text: str) -> set[str]:
    """Anchors of a Markdown page: explicit ones, and headings as forges name them."""
    found = set(re.findall(r'<a id="([^"]+)">', text))
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(plain.replace(" ", "-"))
    return found


@pytest.mark.parametrize("name", MARKDOWN)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    text = page.read_text(encoding="utf-8")
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target) if target else page
        exists = path.exists()
        if exists and anchor and path.suffix == ".md":
            exists = anchor in anchors(path.read_text(encoding="utf-8"))
        if not exists:
            broken.append(link)
    assert not broken


def test_the_code_names_documentation_that_exists() -> None:
    missing = set()
    for path in [*files(".py", ".j2", ".toml"), ROOT / "dev"]:
        for name in re.findall(r"\bdocs/[\w./-]*\w", path.read_text(encoding="utf-8")):
            if not (ROOT / name).exists() and not list(ROOT.glob(f"{name}*")):
                missing.add(f"{name_of(path)}: {name}")
    assert not missing


def test_text_files_speak_of_the_project_alone() -> None:
    """No word of how the repository came about, and no path of the machine it was made on."""
    words = re.compile(r"\b(?:sess" + r"ion|iss" + r"ue|ag" + r"ent)s?\b", re.IGNORECASE)
    of_the_system = re.compile(
        r"\b(?:login|ssh) sess" + r"ions?\b|\bsess" + r"ion (?:of its own|leader)"
        # pytest's own word, in its plugins and fixtures
        r"|(?i:\bsess" + r"ion)(?=[.:,)\"])|\.sess" + r"ion\b|once per sess" + r"ion"
    )
    paths = re.compile(r"(?<![\w.])/(?:wo" + r"rk|ho" + r"me|ro" + r"ot)/")
    found: list[str] = []
    for path in files():
        if path.name == "LICENSE":
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found.extend(
            f"{name_of(path)}:{number}: {line.strip()[:80]}"
            for number, line in enumerate(text.splitlines(), 1)
            if words.search(of_the_system.sub("", line)) or paths.search(line)
        )
    assert not found


# -- the house

FLOORS: Final = {
    "codes": 0,
    "cubes": 0,
    "diagnostics": 0,
    "net": 0,
    "secret": 0,
    "klips": 1,
    "xfrm": 1,
    "mapping": 2,
    "apply": 3,
    "daemon_text": 3,
    "equivalence": 3,
    "explain": 3,
    "firewall": 3,
    "json_forms": 3,
    "render": 3,
    "report": 3,
    "report_page": 3,
    "script_lines": 3,
    "cli": 4,
    "__main__": 5,
}
NETLINK: Final = {
    "translate/xfrm/family/attributes.py",
    "translate/xfrm/monitor.py",
    "translate/xfrm/socket.py",
}


def imports(name: str) -> Iterator[tuple[str, ast.stmt]]:
    """What a module imports, as dotted names; relative ones as ``.`` and the rest."""
    package = Path(name).relative_to("translate").parent.parts
    for node in ast.walk(ast.parse(read(name))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if not node.level:
                yield node.module or "", node
                continue
            above = package[: len(package) - node.level + 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from ((".".join(("", *above, imported)), node) for imported in names)


def room(path: str) -> str:
    return path.strip("./").replace("/", ".").split(".")[0]


@pytest.mark.parametrize("name", SOURCES)
def test_imports_point_down(name: str) -> None:
    own = room(name.removeprefix("translate/").removesuffix(".py"))
    if own == "__init__":
        assert not [target for target, _ in imports(name) if target.startswith(".")]
        return
    assert own in FLOORS, f"give {own} a floor"
    for target, node in imports(name):
        assert not target.startswith("eroute_translate"), f"line {node.lineno}: not relative"
        other = room(target)
        if not target.startswith(".") or other in (own, "__version__"):
            continue
        assert FLOORS[other] <= FLOORS[own], f"line {node.lineno}: {own} imports {other}"
        assert {own, other} != {"klips", "xfrm"}, f"line {node.lineno}: {own} imports {other}"


@pytest.mark.parametrize("name", SOURCES)
def test_pyroute2_is_imported_late(name: str) -> None:
    if name in NETLINK:
        return
    tree = ast.parse(read(name))
    late = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
        if any(n.split(".")[0] in ("pyroute2", "jinja2") for n in names):
            assert id(node) in late | types, f"{name}: {ast.unparse(node)}"


def test_the_command_line_starts_without_heavy_modules() -> None:
    program = (
        "import sys, eroute_translate.cli.run;"
        "print([m for m in ('pyroute2', 'jinja2', 'asyncio') if m in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"


def without_docstring(tree: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[str]:
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from without_docstring(node, f"{prefix}{node.name}.")


@pytest.mark.parametrize("name", SOURCES)
def test_everything_public_has_a_docstring(name: str) -> None:
    tree = ast.parse(read(name))
    assert ast.get_docstring(tree), "the module"
    assert not list(without_docstring(tree))
