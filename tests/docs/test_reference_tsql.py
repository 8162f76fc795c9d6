"""The reference statements of docs/reference/tsql are T-SQL, says the parser that Microsoft wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.tsql_parser import TsqlParser

FOLDER = Path(__file__).resolve().parents[2] / "airflow_provider_pacs" / "docs" / "reference" / "tsql"
STATEMENTS = sorted(FOLDER.glob("*.sql"))


@pytest.fixture(scope="module")
def parser() -> Iterator[TsqlParser]:
    """Microsoft's parser; where it is missing the tests fail and say what to run."""
    with TsqlParser() as running:
        yield running


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda path: path.stem)
def test_a_reference_statement_is_accepted_for_each_release(statement: Path, parser: TsqlParser) -> None:
    result = parser.parse(statement.read_text("utf-8"))
    assert {release: errors for release, errors in result.errors.items() if errors} == {}


def test_every_statement_is_in_the_index() -> None:
    index = (FOLDER / "README.md").read_text("utf-8")
    assert sorted(set(re.findall(r"\((\d\d_\w+\.sql)\)", index))) == [path.name for path in STATEMENTS]
