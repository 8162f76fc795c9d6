"""What the README promises on its first screens, and the words that the docs use."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
DOCS = ROOT / "airflow_provider_pacs" / "docs"
PROSE = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / ".github").rglob("*.md")])
METAPHORS = re.compile(
    r"\b(house|rooms?|walls?|lanes?|judges?|judged|judging|told|ladder|ghosts?)\b|\bmap of the house\b",
    re.IGNORECASE,
)
INSTALL = README[README.index("## Install it") : README.index("## What you get")]


def test_a_picture_stands_above_the_fold() -> None:
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", "\n".join(README.splitlines()[:8]))
    assert (ROOT / picture).is_file()


@pytest.mark.parametrize(
    "heading",
    ["Install it into your Airflow", "What you get", "How it works", "Architecture", "Known limitations"],
)
def test_the_headings_are_plain(heading: str) -> None:
    assert f"\n## {heading}\n" in README


def test_the_readme_says_where_the_package_comes_from() -> None:
    """Case F1: no index has it; `make wheel` makes the file, and this is its name."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert "not on PyPI yet" in INSTALL
    assert "make wheel" in INSTALL
    assert f"pip install dist/airflow_provider_pacs-{version}-py3-none-any.whl" in INSTALL
    assert not re.search(r"pip install ['\"]?airflow-provider-pacs", README)


@pytest.mark.parametrize("name", ["pacs_counties.py", "pacs_county_errors.py"])
def test_both_dag_files_are_in_the_first_steps(name: str) -> None:
    """Case F2: with the first file alone nobody would see that a county's file is broken."""
    shown = {statements(block) for block in re.findall(r"```python\n(.*?)```", INSTALL, re.DOTALL)}
    assert f"`{name}`" in INSTALL
    assert statements((ROOT / "dags" / name).read_text("utf-8")) in shown


def statements(code: str) -> str:
    """The code without its docstring, whatever its indent."""
    body = ast.parse("if True:\n" + code if code.startswith(" ") else code).body
    body = body[0].body if isinstance(body[0], ast.If) else body
    return "\n".join(
        ast.unparse(node)
        for node in body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    )


def test_a_connection_is_shown_in_each_of_airflows_forms() -> None:
    connections = dict(re.findall(r"(AIRFLOW_CONN_\w+)='(\{.*?\})'", INSTALL))
    assert set(connections) == {"AIRFLOW_CONN_PACS_BENTON_WA", "AIRFLOW_CONN_TERRAFUSION"}
    assert {json.loads(text)["conn_type"] for text in connections.values()} == {"pacs", "postgres"}
    assert json.loads(connections["AIRFLOW_CONN_TERRAFUSION"])["extra"]["sslmode"] == "verify-full"
    assert INSTALL.count("airflow connections add") == 2
    assert "Admin → Connections" in INSTALL


def test_the_readme_says_where_county_files_are_looked_for() -> None:
    for place in (
        "`[pacs] counties_path`",
        "`AIRFLOW__PACS__COUNTIES_PATH`",
        "`dags/counties`",
        "`--counties`",
    ):
        assert place in INSTALL


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_prose_is_plain(page: Path) -> None:
    """A metaphor costs every reader a translation. Code in backticks is spared: it is the code's to change."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
    assert sorted({word[0].lower() for word in METAPHORS.finditer(text)}) == []
