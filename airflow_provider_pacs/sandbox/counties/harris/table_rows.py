"""Fills a declared table with whole rows from a query that names only some of its columns.

What is not named becomes NULL, its default, or nothing much.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from airflow_provider_pacs.sandbox.catalog.sqltypes import NUMBER, duck
from airflow_provider_pacs.sandbox.catalog.tables import Table, quoted
from airflow_provider_pacs.sandbox.counties.harris.tables import tables
from airflow_provider_pacs.sandbox.model import Column

NEXT_VERSION = "unhex(lpad(hex(nextval('tsql.rv')), 16, '0'))"


def dice(con: duckdb.DuckDBPyConnection, seed: int) -> None:
    """Defines `dice(what, a, b)`: a number below a million that depends on its arguments and the seed alone."""
    con.execute(
        f"CREATE OR REPLACE TEMP MACRO dice(what, a, b) AS CAST(md5_number_lower('{seed}:' || what || ':' "
        "|| a || ':' || b) % 1000000 AS BIGINT)"
    )


def fill(con: duckdb.DuckDBPyConnection, name: str, source: str, columns: dict[str, str]) -> None:
    """Inserts the rows of `source` (the text of FROM and what follows) into a table.

    Raises:
        KeyError: a named column is not the table's.
        ValueError: a column needs a value and has none.
    """
    table = tables()[name]
    for column in columns:
        if all(column != c.name for c in table.columns):
            raise KeyError(f"{name} has no column {column}")
    cells = {c.name: text for c in table.columns if (text := _cell(table, c, columns)) is not None}
    con.execute(
        f"INSERT INTO {table.stored} ({', '.join(map(quoted, cells))}) SELECT {', '.join(cells.values())} "
        f"FROM {source}"
    )


def pick(number: str, choices: Sequence[str]) -> str:
    """DuckDB text that takes one of `choices` by a number."""
    listed = ", ".join("'" + c.replace("'", "''") + "'" for c in choices)
    return f"([{listed}])[({number}) % {len(choices)} + 1]"


def _cell(table: Table, column: Column, texts: dict[str, str]) -> str | None:
    if column.name in texts:
        return _padded(texts[column.name], column)
    if column.type.name == "rowversion":
        return NEXT_VERSION
    if column.nullable or column.name in table.defaults or column.name in table.computed:
        return None
    if column.type.name in NUMBER:
        return f"CAST(0 AS {duck(column.type)})"
    if column.type.name in ("char", "varchar"):
        return _padded("'F'" if column.type.name == "char" else "''", column)
    raise ValueError(f"{table.name}.{column.name} needs a value")


def _padded(text: str, column: Column) -> str:
    cast = f"CAST({text} AS {duck(column.type)})"
    return f"rpad({cast}, {column.type.length}, ' ')" if column.type.name == "char" else cast
