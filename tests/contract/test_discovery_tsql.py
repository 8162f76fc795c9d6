"""What a look at an unknown source sends: catalog questions that are constants, and one bounded SELECT of
counts per table, whatever its names.
"""

from __future__ import annotations

import pytest

from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.preflight.queries import SAMPLE_ROWS
from airflow_provider_pacs.sync.preflight.sample_patterns import sample_query
from airflow_provider_pacs.sync.schema.columns import SourceColumn
from airflow_provider_pacs.sync.schema.inventory import (
    ALL_COLUMNS,
    UNIQUE_INDEXES,
    WITHHELD_COLUMNS,
    InventoryTable,
)
from tests.contract import statements
from tests.contract.test_emitted_tsql import FUNCTIONS_OF_2012, NODES_THAT_WRITE_OR_HINT
from tests.contract.tsql_parser import TsqlParser

TYPES = {"uuid": "uniqueidentifier", "text": "varchar", "numeric": "money", "integer": "int",
         "boolean": "bit", "timestamp": "datetime"}  # fmt: skip


def odd_table(entity: Entity, odd: str, **types: str) -> tuple[InventoryTable, dict[str, str | None]]:
    """A table whose every name is odd, and the mapping of each column of the entity."""
    names = {column.name: f"{odd}{number}"[:128] for number, column in enumerate(entity.columns)}
    columns = {
        names[c.name]: SourceColumn(names[c.name], types.get(c.name, TYPES[c.type]), 8, 0, 0, True)
        for c in entity.columns
        if c.type != "json"
    }
    return InventoryTable(odd, odd, False, columns), {
        c.name: names[c.name] for c in entity.columns if c.type != "json"
    }


@pytest.mark.parametrize("odd", [name for name in statements.ODD_NAMES if len(name) < 120])
def test_a_sample_is_one_bounded_select_of_counts(odd: str, tsql: TsqlParser) -> None:
    """No value of a row leaves the server: every column of the answer is a count."""
    texts = [
        sample_query(entity, *odd_table(entity, odd, **types))[0]
        for entity in load_entities().values()
        for types in ({}, {"state": "text", "zip_code": "ntext", "tax_year": "varchar"})
    ]
    for sql, result in zip(texts, tsql.parse_all(texts), strict=True):
        (select,) = result.statements()
        assert select.type == "SelectStatement", sql
        assert not NODES_THAT_WRITE_OR_HINT & select.kinds.keys(), sql
        assert select.functions <= FUNCTIONS_OF_2012 | {"LEN"}, sql
        assert len(select.tables) == 1, sql
        assert f"TOP ({SAMPLE_ROWS})" in sql
        assert sql.count("COUNT_BIG(") == sql.partition(" FROM (")[0].count(" AS ["), sql


def test_the_catalog_is_asked_in_plain_selects(tsql: TsqlParser) -> None:
    texts = [ALL_COLUMNS, UNIQUE_INDEXES, WITHHELD_COLUMNS]
    for sql, result in zip(texts, tsql.parse_all(texts), strict=True):
        (select,) = result.statements()
        assert select.type == "SelectStatement", sql
        assert select.functions <= FUNCTIONS_OF_2012, sql
