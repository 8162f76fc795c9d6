"""Microsoft's parser reads every statement by which the source side asks for settings, clocks, synonyms,
views, keys and columns, also in another database and with odd names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from airflow_provider_pacs.sync.profiles import load_tables
from airflow_provider_pacs.sync.schema import catalog, columns, features, objects, stamping
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.columns import SourceColumn, in_database
from airflow_provider_pacs.sync.schema.joined import CHANGED, SINCE, render
from airflow_provider_pacs.sync.schema.surrogate import with_surrogate
from tests.contract.tsql_parser import TsqlParser

ODD = "od]d 'name"


def constants() -> Iterator[str]:
    """Every constant statement of the modules."""
    for module in (catalog, columns, features, objects, stamping):
        for name, value in vars(module).items():
            if name.startswith("_") and isinstance(value, str) and value.startswith("SELECT"):
                yield value
    yield from (sql for sql, _ in features._TRIED)


def numbered(stamp: bool, name: str, entity: str = "owner") -> ResolvedTable:
    """A table whose keys are numbers."""
    table = replace(load_tables("generic")[entity], table=name)
    types = {
        "OwnerID": "bigint",
        "PropertyID": "int",
        "StartDate": "datetime2",
        "LastModified": "datetimeoffset",
    }
    known = {
        source: SourceColumn(source, types.get(source, "nchar"), 20, 10, 0 if "ID" in source else 7, True)
        for _, source in table.columns
    }
    known |= {"RowVer": SourceColumn("RowVer", "timestamp", 8, 0, 0, False)} if stamp else {}
    return ResolvedTable(table, known)


def moments(declared: str) -> ResolvedTable:
    """A table stamped by moments."""
    table = replace(load_tables("generic")["property"], table=ODD)
    return ResolvedTable(table, {"LastModified": SourceColumn("LastModified", declared, 8, 0, 7, True)})


def statements() -> list[str]:
    texts = list(constants())
    texts += [in_database(sql, ODD) for sql in texts if "sys." in sql]
    for options in ({}, {"future_layer": True}):
        for table in load_tables("harris_pacs_9", options=options).values():
            texts += [sql for _, sql in render(table).settings]
    extra = {"owner": {"extra": {"dba": "a.file_as_name"}}}
    texts.append(render(load_tables("harris_pacs_9", extra)["owner"]).sql)
    for stamp in (True, False):
        selection = with_surrogate(numbered(stamp, ODD)).selection
        assert selection is not None
        texts.append(selection.sql)
        texts += [probe.sql.replace(CHANGED, f"{probe.stamp} >= 0x00") for probe in selection.probes]
    root = with_surrogate(numbered(False, ODD, "property")).selection
    assert root is not None
    texts += [track.sql.replace(SINCE, "0") for track in root.tracks]
    for declared in ("datetime", "datetime2", "smalldatetime"):
        texts.append(stamping.next_cursor_query(moments(declared), "2026-01-15").sql)
        texts.append(stamping._newest_query(moments(declared), "2026-01-15", -480).sql)
    return texts


@pytest.mark.parametrize("number", range(2))
def test_microsofts_parser_reads_what_the_source_side_asks(tsql: TsqlParser, number: int) -> None:
    """Cases C17, C22, D5, D7, D12, D14, D16: SQL Server 2012 and later read each of them as we mean it."""
    texts = statements()[number::2]
    assert len(texts) > 15
    for result in tsql.parse_all(texts):
        *declared, last = result.statements()
        assert last.type == "SelectStatement", result.sql
        assert {statement.type for statement in declared} <= {"DeclareVariableStatement"}
        assert not any(statement.into for statement in result.statements())
