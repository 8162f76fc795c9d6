"""What a check sends beyond constants is one bounded SELECT, whatever the names; what `pacs grants` prints
grants reading, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.preflight import queries
from airflow_provider_pacs.sync.preflight.feed_scripts import capture_script, journal_script
from airflow_provider_pacs.sync.preflight.followed import index_statement
from airflow_provider_pacs.sync.preflight.grants import (
    change_tracking_script,
    mapped_tables,
    source_grants,
)
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.tables import SourceTable, source_tables
from airflow_provider_pacs.sync.schema.tsql import quote
from tests.contract import statements
from tests.contract.test_emitted_tsql import FUNCTIONS_OF_2012, NODES_THAT_WRITE_OR_HINT
from tests.contract.tsql_parser import TsqlParser

TABLES = statements.all_shapes()
ONE_LINE = [name for name in statements.ODD_NAMES if name.isprintable()]


def all_looks(table: SourceTable, columns: Sequence[str] = ()) -> Iterator[str]:
    """Every statement about a table's data, for these columns (default: each of them), and for any run of
    columns at once.
    """
    yield queries.count_query(table)
    for column in columns or table.columns:
        yield queries.stamps_query(table, column)
        yield queries.values_query(table, column)
        yield queries.distinct_query(table, column)
        yield queries.duplicates_query(table, column)
        yield queries.collisions_query(table, column)
    for size in (len(table.columns),) if columns else range(1, len(table.columns) + 1):
        for start in range(len(table.columns) - size + 1):
            yield queries.dates_query(table, table.columns[start : start + size])
            yield queries.empty_query(table, table.columns[start : start + size])


def test_every_look_is_one_bounded_select(tsql: TsqlParser) -> None:
    texts = sorted(
        {
            sql
            for resolved in TABLES
            for table in source_tables(resolved)
            for sql in all_looks(table, table.key or table.columns[:1])
        }
    )
    for sql, result in zip(texts, tsql.parse_all(texts), strict=True):
        *declares, select = result.statements()
        assert {each.type for each in declares} <= {"DeclareVariableStatement"}, sql
        assert select.type == "SelectStatement", sql
        assert not select.into, sql
        for each in (*declares, select):
            assert not NODES_THAT_WRITE_OR_HINT & each.kinds.keys(), sql
            assert each.functions <= FUNCTIONS_OF_2012, sql
        assert len(select.tables) == 1, sql
        assert f"TOP ({queries.MOST_ROWS})" in sql or sql.startswith("SELECT COUNT_BIG(*) AS n FROM "), sql


def names(rename: str) -> list[SourceTable]:
    return list(source_tables(statements.make_shape(rename=statements.odd(rename))))


def test_an_index_on_a_stamp_is_as_the_server_wants_it(tsql: TsqlParser) -> None:
    """A check prints it for the database's administrator, whatever the names."""
    texts = set()
    for shape in TABLES:
        table = source_tables(shape)[0]
        texts.add(index_statement(table.schema, table.name, shape.map.change_column or "x"))
    assert {result.statements()[0].type for result in tsql.parse_all(sorted(texts))} == {
        "CreateIndexStatement"
    }


def test_what_is_printed_for_a_feed_is_tsql(tsql: TsqlParser) -> None:
    """One statement a line; for CDC nothing but its documented procedures and SELECT on its own tables."""
    generic = CountyConfig.model_validate({"county": "benton_wa"})
    harris = CountyConfig.model_validate({"county": "benton_wa", "source": {"profile": "harris_pacs_9"}})
    scripts = {
        "cdc": (capture_script(generic, 5).statements, {"ExecuteStatement", "GrantStatement"}),
        "change_log": (journal_script(harris).statements, {"GrantStatement"}),
    }
    for made, allowed in scripts.values():
        types = [result.statements() for result in tsql.parse_all(made)]
        assert {each.type for read in types for each in read} == allowed
        assert all(len(read) == 1 for read in types)
        assert all("GRANT SELECT ON OBJECT::" in sql for sql in made if sql.startswith("GRANT"))


def test_grants_let_a_login_read_the_mapped_columns_and_nothing_else(tsql: TsqlParser) -> None:
    """Story 27: the job writes to nobody's PACS: the login can't."""
    config = CountyConfig.model_validate({"county": "benton_wa"})
    made = source_grants(mapped_tables(config))
    parsed = [result.statements() for result in tsql.parse_all(made.statements)]
    assert all(len(statements) == 1 for statements in parsed)
    types = [statements[0].type for statements in parsed]
    assert types[:3] == ["CreateUserStatement", "CreateRoleStatement", "AlterRoleStatement"]
    assert types[3:] == ["GrantStatement"] * 8 + ["DenyStatement"]
    granted = [
        re.match(r"GRANT ([A-Z ]+) ON OBJECT::", sql) for sql in made.statements if sql.startswith("GRANT")
    ]
    assert {match[1] for match in granted if match} == {"SELECT", "VIEW DEFINITION"}
    assert made.statements[-1] == "DENY INSERT, UPDATE, DELETE, ALTER TO [tf_reader];"
    (owner,) = [
        sql for sql in made.statements if sql.startswith("GRANT SELECT ON OBJECT::[dbo].[PropertyOwner] ")
    ]
    columns = (
        "[OwnerID], [PropertyID], [OwnerName], [OwnerType], [OwnershipPercentage], [StartDate], "
        "[EndDate], "
        "[LastModified]"
    )
    assert owner == f"GRANT SELECT ON OBJECT::[dbo].[PropertyOwner] ({columns}) TO [tf_reader];"
    more = [made.login_statement, *(each.statement for each in made.optional)]
    assert [result.statements()[0].type for result in tsql.parse_all(more)] == ["CreateLoginStatement"] + [
        "GrantStatement"
    ] * 6


@pytest.mark.parametrize("name", ONE_LINE)
def test_a_hostile_name_stays_a_name_in_a_grant(tsql: TsqlParser, name: str) -> None:
    made = source_grants(names(name), login=name[:100])
    types = [result.statements() for result in tsql.parse_all(made.statements)]
    assert [[statement.type for statement in each] for each in types] == [
        ["CreateUserStatement"],
        ["CreateRoleStatement"],
        ["AlterRoleStatement"],
    ] + [["GrantStatement"]] * 2 + [["DenyStatement"]]
    script = "\n".join(made.lines())
    whole = tsql.parse(script).statements()
    assert [statement.type for statement in whole] == [statement.type for each in types for statement in each]
    assert quote(name[:100]) in made.statements[0]


@pytest.mark.parametrize("name", ["Property", *ONE_LINE])
def test_the_script_of_change_tracking_is_what_it_says(tsql: TsqlParser, name: str) -> None:
    """Each statement by itself and the script as a whole; `CURRENT` is known since SQL Server 2012."""
    raw = {"county": "benton_wa", "sync": {"entities": ["property"]}, "tables": {"property": {"table": name}}}
    made = change_tracking_script(CountyConfig.model_validate(raw))
    expected = [
        "AlterDatabaseSetStatement",
        "AlterTableChangeTrackingModificationStatement",
        "GrantStatement",
        "GrantStatement",
    ]
    assert [[each.type for each in v.statements()] for v in tsql.parse_all(made.statements)] == [
        [kind] for kind in expected
    ]
    assert [each.type for each in tsql.parse("\n".join(made.lines())).statements()] == expected
    (optional,) = made.optional
    assert [each.type for each in tsql.parse(optional.statement).statements()] == expected[:1]


@pytest.mark.parametrize("name", ["line\nbreak", "x\r\nGO\r\ny", "tab\there", "sep\u2028x", "nel\x85x"])
def test_a_line_end_in_a_name_is_refused_because_a_script_is_lines(name: str) -> None:
    """A client splits a script at a line `GO`, and a comment ends with its line, whatever stands in brackets."""
    with pytest.raises(ConfigError, match="line end"):
        source_grants(names("fine"), login=name)
    (table,) = names("fine")
    for changed in (replace(table, name=name), replace(table, schema=name), replace(table, columns=(name,))):
        with pytest.raises(ConfigError, match="line end"):
            source_grants([changed])
