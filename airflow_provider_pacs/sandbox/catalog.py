"""Declared T-SQL tables in; DuckDB tables, the system catalog's tables (filled from the declarations) and
name resolution out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import duckdb
import pyarrow as pa

from airflow_provider_pacs.sandbox import systables
from airflow_provider_pacs.sandbox.model import Column, SqlType
from airflow_provider_pacs.sandbox.sqltypes import CHARACTER, duck


@dataclass(frozen=True, slots=True)
class Index:
    """An index beside the primary key's; `constraint` marks the one of a UNIQUE constraint."""

    name: str
    columns: tuple[str, ...]
    unique: bool = False
    clustered: bool = False
    constraint: bool = False


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A reference to another table of the same database and schema."""

    name: str
    columns: tuple[str, ...]
    table: str
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A declared T-SQL table.

    Attributes:
        defaults: column name to the T-SQL text of its default, e.g. `((1))`.
        computed: column name to the DuckDB text that computes it.
        identity: the name of the IDENTITY column.
        key_name: of the primary key's constraint; PK_ and the table's name where it is empty.
    """

    database: str
    schema: str
    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    indexes: tuple[Index, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    defaults: dict[str, str] = field(default_factory=dict)
    object_id: int = 0
    computed: dict[str, str] = field(default_factory=dict)
    identity: str = ""
    key_name: str = ""

    @property
    def key(self) -> str:
        """The name of the primary key's constraint."""
        return self.key_name or f"PK_{self.name}"

    @property
    def writable(self) -> tuple[Column, ...]:
        """The columns that an INSERT without a list of columns fills."""
        return tuple(c for c in self.columns if c.name not in self.computed and c.type.name != "rowversion")

    @property
    def stored(self) -> str:
        """Its quoted name in DuckDB."""
        return stored_name(self.database, self.schema, self.name)

    def column(self, name: str) -> Column:
        """The column of that name, whatever its case."""
        return next(c for c in self.columns if c.name.lower() == name.lower())

    def position(self, name: str) -> int:
        """Its column_id."""
        return self.columns.index(self.column(name)) + 1


@dataclass(slots=True)
class Database:
    """One database of the server, as sys.databases shows it."""

    name: str
    database_id: int
    created: datetime
    snapshot: bool = True
    read_committed_snapshot: bool = False
    compatibility_level: int = 160
    read_only: bool = False
    cdc: bool = False
    schemas: list[str] = field(default_factory=list)

    def guid(self, purpose: str) -> UUID:
        """A stable identifier of the database for one purpose (`broker`, `database`, `fork`, `family`)."""
        return uuid5(NAMESPACE_URL, f"sandbox:{self.name}:{purpose}")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a table's rows are read: DuckDB text and the declared columns. `table` is None for system tables."""

    sql: str
    columns: tuple[Column, ...]
    table: Table | None = None
    name: str = ""


COLLATION = "SQL_Latin1_General_CP1_CI_AS"


def quoted(name: str) -> str:
    """A DuckDB identifier."""
    return '"' + name.replace('"', '""') + '"'


def stored_name(database: str, schema: str, table: str) -> str:
    """DuckDB has one database here: a T-SQL database and schema together name a DuckDB schema."""
    return f"{quoted(f'{database}.{schema}')}.{quoted(table)}"


class Catalog:
    """Databases and tables of the server.

    Declare first, then `publish`; publish again after a later declaration.
    """

    def __init__(self, created: datetime) -> None:
        self.databases: dict[str, Database] = {}
        self._tables: dict[tuple[str, str, str], Table] = {}
        self._declared = -1
        for number, name in enumerate(("master", "tempdb", "model", "msdb"), start=1):
            self.databases[name] = Database(name, number, created, snapshot=name in ("master", "msdb"))

    def add_database(self, name: str, created: datetime, **options: Any) -> Database:
        """A user database; `options` as the attributes of `Database`."""
        database = Database(
            name, max(known.database_id for known in self.databases.values()) + 1, created, **options
        )
        self.databases[name.lower()] = database
        return database

    def add_table(self, table: Table) -> Table:
        """Declares a table and gives it its object_id."""
        self._declared += 1
        number = 581577110 + 16 * 1000 * self._declared
        declared = replace(table, object_id=number)
        self.redefine(declared)
        return declared

    def redefine(self, table: Table) -> None:
        """The same table with other indexes or references; its object_id stays."""
        self._tables[(table.database.lower(), table.schema.lower(), table.name.lower())] = table

    def drop_table(self, table: Table) -> None:
        """Forgets a declared table; its object_id is never used again."""
        del self._tables[(table.database.lower(), table.schema.lower(), table.name.lower())]

    def tables(self, database: str) -> Iterator[Table]:
        """The tables of a database in the order of their declaration."""
        return (t for t in self._tables.values() if t.database.lower() == database.lower())

    def schemas(self, database: str) -> list[str]:
        """The schemas of a database, system schemas last."""
        return list(
            dict.fromkeys(
                [
                    "dbo",
                    *self.databases[database.lower()].schemas,
                    *(t.schema for t in self.tables(database)),
                    "guest",
                    "INFORMATION_SCHEMA",
                    "sys",
                ]
            )
        )

    def table(self, database: str, schema: str, name: str) -> Table | None:
        """A declared table, or None."""
        return self._tables.get((database.lower(), schema.lower(), name.lower()))

    def find(self, database: str, schema: str, name: str) -> Source | None:
        """A table of the user or of the system, or None where SQL Server would say 208."""
        known = self.databases.get(database.lower())
        if known is None:
            return None
        table = self.table(known.name, schema, name)
        if table is not None:
            return Source(table.stored, table.columns, table, table.name)
        spec = systables.SPECS.get(f"{schema.lower()}.{name.lower()}")
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
            for key in systables.OF_THE_SERVER:
                schema, name = key.split(".")
                spec = systables.SPECS[key]
                _fill(con, stored_name(database.name, schema, name), spec.columns, spec.rows(self, database))

    def publish(self, con: duckdb.DuckDBPyConnection, only: str = "") -> None:
        """Fills the system tables from the declarations, of every database or of one."""
        for database in [self.databases[only.lower()]] if only else self.databases.values():
            for schema in ("sys", "information_schema"):
                con.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(f'{database.name}.{schema}')}")
            for key, spec in systables.SPECS.items():
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
    found = list(rows)
    if not found:
        return
    cells = [
        f"tsql.guid36(c{n})" if c.type.name == "uniqueidentifier" else f"CAST(c{n} AS {duck(c.type)})"
        for n, c in enumerate(columns)
    ]
    con.register(
        "system_rows",
        pa.table({f"c{n}": pa.array(values) for n, values in enumerate(zip(*found, strict=True))}),
    )
    con.execute(f"INSERT INTO {stored} SELECT {', '.join(cells)} FROM system_rows")
    con.unregister("system_rows")


def column_bytes(kind: SqlType) -> tuple[int, int, int]:
    """max_length, precision and scale as sys.columns shows them."""
    fixed = {
        "bit": (1, 1, 0), "tinyint": (1, 3, 0), "smallint": (2, 5, 0), "int": (4, 10, 0), "bigint": (8, 19, 0), "real": (4, 24, 0), "float": (8,
        53, 0),
        "money": (8, 19, 4), "smallmoney": (4, 10, 4), "date": (3, 10, 0), "datetime": (8, 23, 3), "smalldatetime": (4, 16, 0),
        "uniqueidentifier": (16, 0, 0), "text": (16, 0, 0), "ntext": (16, 0, 0), "image": (16, 0, 0), "xml": (-1, 0, 0), "rowversion": (8, 0, 0),
    }  # fmt: skip
    if kind.name in fixed:
        return fixed[kind.name]
    if kind.name in ("decimal", "numeric"):
        return (
            (5 if kind.precision < 10 else 9 if kind.precision < 20 else 13 if kind.precision < 29 else 17),
            kind.precision,
            kind.scale,
        )
    if kind.name in ("datetime2", "time", "datetimeoffset"):
        size = {"datetime2": 6, "time": 3, "datetimeoffset": 8}[kind.name] + (
            0 if kind.scale < 3 else 1 if kind.scale < 5 else 2
        )
        whole = {"datetime2": 19, "time": 8, "datetimeoffset": 26}[kind.name]
        return size, whole + (kind.scale + 1 if kind.scale else 0), kind.scale
    return (
        (
            kind.length
            if kind.length < 0 or kind.name in ("char", "varchar", "binary", "varbinary")
            else 2 * kind.length
        ),
        0,
        0,
    )
