"""The parser itself: it is here, it refuses what is no T-SQL of that version, and it sees what other tests
rely on it to see.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract import tsql_parser
from tests.contract.tsql_parser import TsqlParser, with_parameters


def test_the_parser_is_here() -> None:
    """No skip: without the parser nobody checks our T-SQL."""
    assert not tsql_parser.missing(), tsql_parser.missing()


@pytest.mark.parametrize("stamp", [None, "another recipe"])
def test_a_missing_parser_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stamp: str | None
) -> None:
    if stamp:
        (tmp_path / "stamp").write_text(stamp)
    monkeypatch.setattr(tsql_parser, "PLACE", tmp_path)
    with pytest.raises(AssertionError, match="run `make scriptdom`"):
        TsqlParser()


@pytest.mark.parametrize(
    ("sql", "versions"),
    [
        ("SELECT a FROM t LIMIT 1", {"2012", "2016", "2019"}),
        ("SELECT a FROM t WHERE (a, b) > (1, 2)", {"2012", "2016", "2019"}),
        ("SELECT 1 FROM CHANGETABLE(CHANGES t, @v + 1) AS c", {"2012", "2016", "2019"}),
        ("DROP TABLE IF EXISTS t", {"2012"}),
        ("SELECT a AT TIME ZONE 'UTC' FROM t", {"2012"}),
        ("SELECT [a FROM t", {"2012", "2016", "2019"}),
        ("SELECT [" + "x" * 129 + "] FROM t", {"2012", "2016", "2019"}),
        ("SELECT a FROM t", set()),
    ],
)
def test_it_refuses_what_the_version_does_not_know(tsql: TsqlParser, sql: str, versions: set[str]) -> None:
    assert set(tsql.parse(sql).errors) == versions


def test_a_typing_error_may_be_another_statement(tsql: TsqlParser) -> None:
    """Why no test is content with "no errors"."""
    assert [statement.type for statement in tsql.parse("SELEC 1").statements()] == ["ExecuteStatement"]


def test_batches_are_told_apart(tsql: TsqlParser) -> None:
    with pytest.raises(AssertionError, match="2 batches"):
        tsql.parse("SELECT 1\nGO\nSELECT 2").statements()


def test_it_sees_names_hints_and_writes(tsql: TsqlParser) -> None:
    sql = (
        "SELECT s.[a]]b] AS [x], COUNT_BIG(*), CONVERT(datetime2(7), s.c) FROM [d o].[t] AS s WITH "
        "(NOLOCK) "
        "OPTION (RECOMPILE)"
    )
    (statement,) = tsql.parse(sql).statements()
    assert statement.tables == (("d o", "t"),)
    assert statement.columns == (("s", "a]b"), (), ("s", "c"))
    assert statement.aliases == ("x", None, None)
    assert statement.functions == {"COUNT_BIG"}
    assert statement.types == {"datetime2"}
    assert statement.kinds["TableHint"] == statement.kinds["OptimizerHint"] == 1
    assert not statement.into
    assert tsql.parse("SELECT a INTO b FROM c").statements()[0].into
    kinds = [
        tsql.parse(sql).statements()[0].type
        for sql in ("DELETE t", "UPDATE t SET a = 1", "INSERT t VALUES (1)", "TRUNCATE TABLE t")
    ]
    assert kinds == ["DeleteStatement", "UpdateStatement", "InsertStatement", "TruncateTableStatement"]


def test_markers_are_numbered_only_where_they_are_markers() -> None:
    sql = "SELECT ?, '?''?', [?]]?], \"?\", -- ?\n /* ? */ ? FROM t"
    assert with_parameters(sql) == "SELECT @P1, '?''?', [?]]?], \"?\", -- ?\n /* ? */ @P2 FROM t"
