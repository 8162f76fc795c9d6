"""The catalog of a server: what DuckDB stores for the declared tables, the system tables, and the names of both."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import duckdb
import pyarrow as pa

from airflow_provider_pacs.sandbox.catalog import system_tables
from airflow_provider_pacs.sandbox.catalog.declarations import Declarations
from airflow_provider_pacs.sandbox.catalog.sqltypes import CHARACTER, duck
from airflow_provider_pacs.sandbox.catalog.tables import Source, Table, quoted, stored_name
from airflow_provider_pacs.sandbox.model import Column, SqlType


class Catalog(Declarations):
    """Declarations that DuckDB holds. Declare first, then `publish`; publish again after a later declaration."""

    def find(self, database: str, schema: str, name: str) -> Source | None:
        """A table of the user or of the system, or None where SQL Server would say 208."""
        known = self.databases.get(database.lower())
        if known is None:
            return None
        table = self.table(known.name, schema, name)
        if table is not None:
            return Source(table.stored, table.columns, table, table.name)
        spec = system_tables.SPECS.get(f"{schema.lower()}.{name.lower()}")
        if spec is None:
            return None
        return Source(stored_name(known.name, schema.lower(), name.lower()), spec.columns, None, name)

    def create_tables(self, con: duckdb.DuckDBPyConnection) -> None:
        """Creates the DuckDB tables of the declared tables that do not exist yet."""
        for table in self._tables.values():
            con.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(f'{table.database}.{table.schema}')}")
            con.execute(
                f"CREATE TABLE IF NOT EXISTS {table.stored} "
                f"({', '.join(_definition(table, c) for c in table.columns)})"
            )

    def publish_databases(self, con: duckdb.DuckDBPyConnection) -> None:
        """Fills the system tables that tell of all databases, in each of them."""
        for database in self.databases.values():
            for key in system_tables.OF_THE_SERVER:
                schema, name = key.split(".")
                spec = system_tables.SPECS[key]
                _fill(con, stored_name(database.name, schema, name), spec.columns, spec.rows(self, database))

    def publish(self, con: duckdb.DuckDBPyConnection, only: str = "") -> None:
        """Fills the system tables from the declarations, of every database or of one."""
        for database in [self.databases[only.lower()]] if only else self.databases.values():
            for schema in ("sys", "information_schema"):
                con.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(f'{database.name}.{schema}')}")
            for key, spec in system_tables.SPECS.items():
                schema, name = key.split(".")
                _fill(con, stored_name(database.name, schema, name), spec.columns, spec.rows(self, database))


def _definition(table: Table, column: Column) -> str:
    computed = table.computed.get(column.name)
    if computed is not None:
        return f"{quoted(column.name)} {duck(column.type)} GENERATED ALWAYS AS ({computed}) VIRTUAL"
    default = table.defaults.get(column.name)
    text = f"{quoted(column.name)} {duck(column.type)}{'' if column.nullable else ' NOT NULL'}"
    return text if default is None else f"{text} DEFAULT {_constant(default, column.type)}"


def _constant(default: str, kind: SqlType) -> str:
    """A default's literal as DuckDB writes it: `((0))`, `('F')`; T-SQL makes 0 of an empty text that becomes
    a number.
    """
    text = default.strip("()")
    if text == "''" and kind.name not in CHARACTER:
        text = "0"
    return f"CAST({text} AS {duck(kind)})"


def _fill(
    con: duckdb.DuckDBPyConnection, stored: str, columns: tuple[Column, ...], rows: Iterable[tuple[Any, ...]]
) -> None:
    con.execute(
        f"CREATE OR REPLACE TABLE {stored} ({', '.join(f'{quoted(c.name)} {duck(c.type)}' for c in columns)})"
    )
    result = list(rows)
    if not result:
        return
    cells = [
        f"tsql.guid36(c{n})" if c.type.name == "uniqueidentifier" else f"CAST(c{n} AS {duck(c.type)})"
        for n, c in enumerate(columns)
    ]
    con.register(
        "system_rows",
        pa.table({f"c{n}": pa.array(values) for n, values in enumerate(zip(*result, strict=True))}),
    )
    con.execute(f"INSERT INTO {stored} SELECT {', '.join(cells)} FROM system_rows")
    con.unregister("system_rows")
