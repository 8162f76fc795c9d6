"""Names are the terms of the field (CONTRIBUTING, "How we write"): what an earlier version called something by a
picture, or by a word with several meanings, stays renamed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path
    for folder in ("airflow_provider_pacs", "tests", "dags")
    for path in (ROOT / folder).rglob("*.py")
    if path not in (Path(__file__).resolve(), ROOT / "tests" / "contract" / "statements.py")
)
NAMES = {
    **dict.fromkeys(("room", "rooms", "house", "way", "ways"), "module, architecture, flow"),
    **dict.fromkeys(("told", "found", "one", "given"), "what it holds"),
    **dict.fromkeys(("reading", "readings"), "ReadPlan, ReadChoice"),
    **dict.fromkeys(("shape", "shapes", "shape_of", "TableShape"), "ResolvedTable"),
    **dict.fromkeys(("family", "Family", "LADDER", "ladder", "pin", "Pin", "Stamps"), "strategy"),
    **dict.fromkeys(("watch", "watched", "Watch", "_watch"), "ChangeProbe"),
    **dict.fromkeys(("_scope", "scope_type"), "root_key"),
    **dict.fromkeys(("held", "held_back"), "pending_deletes, blocked, or what it holds"),
    **dict.fromkeys(("lane", "Lane", "Order"), "DriverThread, BulkQuery"),
    **dict.fromkeys(("abilities", "Abilities", "rights", "Right"), "SourceFeatures, permissions, privileges"),
    **dict.fromkeys(("judge", "judged", "Judge", "JudgeContext"), "validate, ValidationContext, parse"),
    **dict.fromkeys(("verdict", "verdicts", "Verdict", "Report"), "ErrorRule, PreflightReport, result"),
    **dict.fromkeys(("leaf", "leaves"), "partition"),
    **dict.fromkeys(("ghost", "ghosts"), "extra_in_target"),
    **dict.fromkeys(("settle", "settled"), "deduplicate, finish"),
    **dict.fromkeys(("visit", "Visit"), "PreflightContext"),
    **dict.fromkeys(
        ("begun_again", "told_to_airflow", "recorded_failure", "ended_by_errors", "not_overtaken"),
        "a verb: retry_on_deadlock, translate_errors, audit_failures, fail_run_on_error, abort_if_superseded",
    ),
    **dict.fromkeys(("Counter", "Optional"), "ProgressReporter, OptionalGrant"),
}
"""Name -> what it is called instead."""
WORDS = re.compile(
    r"(?<![a-z])(told|ghosts?|verdicts?|judged?|lanes?|leaf|abilities|ladder)(?![a-z])", re.IGNORECASE
)
"""Not as a part of a name either."""
KEPT = {
    "verdict_table": "a column of pacs_ops.run_entity, which a released migration made",
    "verdict_rows": "a column of pacs_ops.run_entity, which a released migration made",
    "JUDGE_HOLDER": "a party of the sandbox whose address a court keeps secret",
}


def bound_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """What a module calls something: functions, classes, parameters, variables, attributes, aliases.

    Names of tests are sentences, and those of an `ast.NodeVisitor` are given.
    """
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if not name.startswith(("test_", "visit_")):
                    yield name, node.lineno
            case ast.ClassDef(name=name) | ast.arg(arg=name):
                yield name, node.lineno
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.alias(asname=str(name)):
                yield name, node.lineno if hasattr(node, "lineno") else 0


def misnamed(tree: ast.AST) -> list[str]:
    """`line: name -> what to call it` of every name that is one of them."""
    return [
        f"{line}: {name} -> {NAMES.get(name, 'see style of names')}"
        for name, line in bound_names(tree)
        if name not in KEPT and (name in NAMES or WORDS.search(name.replace("_", " ")))
    ]


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("found = 1", True),
        ("def record_verdict(): ...", True),
        ("def read(told): ...", True),
        ("self.verdict_table = 1", False),
        ("class OptionalGrant: ...", False),
        ("def test_a_person_is_told(): ...", False),
        ("for one in rows: ...", True),
        ("one_process = True", False),
        ("leaflet = 1", False),
    ],
)
def test_the_check_notices_a_name(code: str, named: bool) -> None:
    assert bool(misnamed(ast.parse(code))) is named


@pytest.mark.parametrize("folder", sorted({path.relative_to(ROOT).parts[0] for path in FILES}))
def test_names_are_the_terms_of_the_field(folder: str) -> None:
    wrong = {
        str(path.relative_to(ROOT)): names
        for path in FILES
        if path.relative_to(ROOT).parts[0] == folder
        and (names := misnamed(ast.parse(path.read_text("utf-8"))))
    }
    assert wrong == {}
