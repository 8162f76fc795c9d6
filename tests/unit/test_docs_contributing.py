"""CONTRIBUTING.md names files that exist, and its examples are as the code wants them."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "airflow_provider_pacs"
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
WALK = TEXT[TEXT.index("## Follow one property row") : TEXT.index("## Add an entity")]
MADE_BY_THE_EXAMPLES = {
    "sync/entities/permit.yaml",
    "sync/quality/suites/permit.yaml",
    "sync/reports/NAME.yaml",
    "sync/incremental/change_number.py",
    "cli/runs.py",
}


def example(heading: str, language: str) -> list[str]:
    """The examples below a heading."""
    section = TEXT[TEXT.index(f"## {heading}") :].split("\n## ")[0]
    blocks = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", section, re.MULTILINE | re.DOTALL)
    return ["".join(line.removeprefix(indent) for line in text.splitlines(True)) for indent, text in blocks]


def test_the_walk_from_plan_to_certify_needs_at_most_eight_files() -> None:
    files = re.findall(r"^\| (\d) \| `([^`]+)` \|", WALK, re.MULTILINE)
    assert [int(number) for number, _ in files] == list(range(1, len(files) + 1))
    assert len(files) <= 8
    assert files[0][1] == "sync/steps/plan.py"
    assert files[-1][1] == "sync/steps/certify.py"


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"`((?:sync|cli|operators|monitor|tests)/[\w./*]+)`", TEXT)) - MADE_BY_THE_EXAMPLES
    missing = {name for name in named if not list(PACKAGE.glob(name)) and not list(ROOT.glob(name))}
    assert missing == set()


def test_the_examples_entity_has_what_an_entity_needs() -> None:
    from airflow_provider_pacs.sync.entities import load_entities

    own, profile = (yaml.safe_load(text) for text in example("Add an entity", "yaml"))
    there: dict[str, Any] = yaml.safe_load((PACKAGE / "sync/entities/structure.yaml").read_text("utf-8"))
    assert set(own) <= set(there) | {"money", "money_by", "by_default"}
    assert own["parent"] in load_entities()
    assert own["name"] not in load_entities()
    assert set(profile[own["name"]]["columns"]) == set(own["columns"])


def test_the_examples_rule_is_a_rule() -> None:
    from airflow_provider_pacs.sync.quality.checks import CHECKS

    ((rule,),) = (yaml.safe_load(text) for text in example("Add a rule", "yaml"))
    assert set(rule) == {"id", "severity", "title", "check", "args"}
    assert rule["check"] in CHECKS


@pytest.mark.parametrize("heading", ["Add an incremental strategy", "Add a command"])
def test_the_examples_in_python_are_python(heading: str) -> None:
    for text in example(heading, "python"):
        ast.parse(text)


def test_the_examples_strategy_has_the_methods_of_one() -> None:
    protocol = PACKAGE / "sync/incremental/strategy.py"
    wanted = _methods(protocol.read_text("utf-8"), "IncrementalStrategy")
    methods = _methods(example("Add an incremental strategy", "python")[0], "ChangeNumber")
    assert methods | {"name", "shows_deletes"} == wanted | {"name", "shows_deletes"}


def _methods(code: str, name: str) -> set[str]:
    (class_,) = (
        node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ClassDef) and node.name == name
    )
    return {node.name for node in class_.body if isinstance(node, ast.FunctionDef)}
