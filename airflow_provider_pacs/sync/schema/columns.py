"""The source's catalog -> the columns of its tables.

A view that the endpoint lacks or denies means "unknown", never a failure.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_pacs.sync.runtime.errors import ConfigError, DataError, FatalError
from airflow_provider_pacs.sync.schema.tsql import qualified, quote
from airflow_provider_pacs.sync.source.port import SourceReader

log = logging.getLogger(__name__)

_SYS_COLUMNS = """SELECT c.name AS name, COALESCE(bt.name, ty.name) AS type_name, c.max_length AS max_length,
       c.precision AS precision, c.scale AS scale, c.is_nullable AS is_nullable, c.object_id AS object_id,
       o.type AS kind
FROM sys.columns AS c
LEFT JOIN sys.objects AS o ON o.object_id = c.object_id
JOIN sys.types AS ty ON ty.user_type_id = c.user_type_id
LEFT JOIN sys.types AS bt ON bt.user_type_id = c.system_type_id
WHERE c.object_id = OBJECT_ID(?)
ORDER BY c.column_id"""

_SYS_COLUMNS_OF_TWELVE = """SELECT sc.name AS schema_name, o.name AS table_name, c.name AS name,
  COALESCE(bt.name, ty.name) AS type_name,
       c.max_length AS max_length, c.precision AS precision, c.scale AS scale, c.is_nullable AS is_nullable,
       c.object_id AS object_id, o.type AS kind
FROM sys.columns AS c
JOIN sys.objects AS o ON o.object_id = c.object_id
JOIN sys.schemas AS sc ON sc.schema_id = o.schema_id
JOIN sys.types AS ty ON ty.user_type_id = c.user_type_id
LEFT JOIN sys.types AS bt ON bt.user_type_id = c.system_type_id
WHERE c.object_id IN (OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?),
  OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?))
ORDER BY c.object_id, c.column_id"""

_ISCHEMA_COLUMNS = """SELECT c.COLUMN_NAME AS name, c.DATA_TYPE AS type_name, c.CHARACTER_MAXIMUM_LENGTH AS
  max_length,
       COALESCE(c.NUMERIC_PRECISION, 0) AS precision, COALESCE(c.DATETIME_PRECISION, c.NUMERIC_SCALE, 0) AS
         scale, c.IS_NULLABLE AS is_nullable, CASE WHEN t.TABLE_TYPE = 'VIEW' THEN 'V' ELSE 'U' END AS kind
FROM INFORMATION_SCHEMA.COLUMNS AS c
LEFT JOIN INFORMATION_SCHEMA.TABLES AS t ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME
WHERE c.TABLE_SCHEMA = ? AND c.TABLE_NAME = ?
ORDER BY c.ORDINAL_POSITION"""

_PLAIN_TYPES = frozenset(
    "bigint bit date datetime float geography geometry hierarchyid image int money ntext real smalldatetime "
    "smallint smallmoney sql_variant text "
    "tinyint uniqueidentifier xml".split()
)
"""Types that are declared by their name alone. Any other is a county's own, whose name may be anything."""

TEXTS = frozenset({"char", "varchar", "nchar", "nvarchar", "text", "ntext", "xml"})
NUMBERS = frozenset(
    {"tinyint", "smallint", "int", "bigint", "decimal", "numeric", "money", "smallmoney", "float", "real"}
)
DATES = frozenset({"date", "smalldatetime", "datetime", "datetime2", "datetimeoffset"})
OTHERS = frozenset({"uniqueidentifier", "bit", "time"})
BYTES = frozenset(
    {
        "binary",
        "varbinary",
        "image",
        "timestamp",
        "rowversion",
        "geometry",
        "geography",
        "hierarchyid",
        "sql_variant",
    }
)
"""T-SQL types by what their values are; those of BYTES have no value that a canonical column can hold."""

_WITHHELD = """SELECT sc.name AS schema_name, o.name AS table_name, c.name AS name, c.encryption_type AS
  encryption
FROM sys.columns AS c
JOIN sys.objects AS o ON o.object_id = c.object_id
JOIN sys.schemas AS sc ON sc.schema_id = o.schema_id
WHERE c.object_id IN (OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?),
  OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?))
  AND (c.is_masked = 1 OR c.encryption_type IS NOT NULL)
ORDER BY c.object_id, c.column_id"""
"""From SQL Server 2016 on; an older server does not know these columns (207), and has neither."""

_MAY_UNMASK = """SELECT HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'UNMASK') AS everything, HAS_PERMS_BY_NAME(?,
  'OBJECT', 'UNMASK') AS this_table"""
"""NULL for a securable on which the server does not know the right: on a table before SQL Server 2022."""


ROWVERSIONS = frozenset({"timestamp", "rowversion"})
"""What the catalog calls a rowversion column's type."""


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """One column as the source's catalog declares it. `max_length` is in bytes (sys.columns), -1 for
    (max).
    """

    name: str
    type_name: str
    max_length: int
    precision: int
    scale: int
    nullable: bool

    @property
    def is_lob(self) -> bool:
        return self.type_name in {"text", "ntext", "image", "xml"} or (
            self.max_length == -1 and self.type_name in {"varchar", "nvarchar", "varbinary"}
        )

    @property
    def declared(self) -> str:
        """The type as T-SQL writes it in a DECLARE, e.g. `datetime2(7)`."""
        if self.type_name in {"datetime2", "datetimeoffset", "time"}:
            return f"{self.type_name}({self.scale})"
        if self.type_name in {"decimal", "numeric"}:
            return f"{self.type_name}({self.precision}, {self.scale})"
        if self.type_name in {"varchar", "char", "varbinary", "binary"}:
            return f"{self.type_name}({'max' if self.max_length == -1 else self.max_length})"
        if self.type_name in {"nvarchar", "nchar"}:
            return f"{self.type_name}({'max' if self.max_length == -1 else self.max_length // 2})"
        if self.type_name in {"timestamp", "rowversion"}:
            return "varbinary(8)"
        return self.type_name if self.type_name in _PLAIN_TYPES else quote(self.type_name)


def optional_query(
    reader: SourceReader, sql: str, params: tuple[object, ...] = ()
) -> list[dict[str, Any]] | None:
    """Rows of a catalog query, or None where the endpoint lacks the view, denies it or does not know the
    syntax.

    Raises:
        RetryableError: the connection itself failed: that is never "unknown".
        ConfigError: there is no connection: the login, the database, the certificate or the driver is wrong.
            Only PACS-003 is about the view.
    """
    try:
        return reader.query(sql, params)
    except (ConfigError, FatalError, DataError) as error:
        if isinstance(error, ConfigError) and error.code != "PACS-003":
            raise
        log.info("The source does not answer a catalog query (%s); treated as unknown.", error)
        return None


@dataclass(frozen=True, slots=True)
class Withheld:
    """A column whose values the server does not show as they are stored: why, and what would help."""

    text: str
    remedy: str
    instead: str = ""

    def error(self, setting: str) -> ConfigError:
        """What reading it would be; `setting` is where the county's file names columns."""
        remedy = f"{self.remedy} map other columns in {setting}{self.instead}"
        return ConfigError(self.text, remedy=remedy.strip(), code="PACS-003")


def withheld_columns(
    reader: SourceReader, tables: Sequence[tuple[str, str]], database: str | None = None
) -> dict[tuple[str, str], dict[str, Withheld]]:
    """(schema, table) in lower case -> column in lower case -> why its values are not what is stored.

    A masked column's values are made up by the server, an encrypted one's are no values: neither may
    overwrite real ones (case 82).

    Args:
        reader: an open reader.
        tables: (schema, table), twelve a statement.
        database: another database of the server, for what a synonym stands for.
    """
    withheld: dict[tuple[str, str], dict[str, Withheld]] = {}
    for some in _twelve(tables, database):
        for row in optional_query(reader, in_database(_WITHHELD, database), some) or []:
            if (why := _why_withheld(reader, row, database)) is not None:
                withheld.setdefault(_place(row), {})[str(row["name"]).lower()] = why
    return withheld


def _why_withheld(reader: SourceReader, row: dict[str, Any], database: str | None) -> Withheld | None:
    name = f"{row['schema_name']}.{row['table_name']}"
    if row["encryption"] is not None:
        text = f"table {name} has {row['name']!r} under Always Encrypted, which is not read here"
        return Withheld(text, "", ", such as those of a view without encryption")
    quoted = _quoted(row["schema_name"], row["table_name"], database)
    allowed = (optional_query(reader, _MAY_UNMASK, (quoted,)) or [{}])[0]
    if allowed.get("this_table") == 1 or (allowed.get("everything") == 1 and database is None):
        return None
    text = f"table {name} masks {row['name']!r} from this login: what it reads is not what is stored"
    return Withheld(text, "GRANT UNMASK to the login, or")


def refuse_withheld(withheld: Mapping[str, Withheld], columns: Iterable[str], setting: str) -> None:
    """Refuse to read what is not what is stored.

    Args:
        withheld: of one table, as `withheld_columns` says it.
        columns: those that are read.
        setting: where the county's file names others.

    Raises:
        ConfigError: PACS-003, the first such column.
    """
    for column in columns:
        if (why := withheld.get(column.lower())) is not None:
            raise why.error(setting)


@dataclass(frozen=True, slots=True)
class TableColumns:
    """A table, view or synonym's base as the catalog has it.

    Attributes:
        columns: in the table's order.
        object_id: its number; None where it is unknown.
        kind: its type in sys.objects, such as `U` for a table and `V` for a view; None where it is unknown.
    """

    columns: tuple[SourceColumn, ...]
    object_id: int | None = None
    kind: str | None = None


def columns_of_several(
    reader: SourceReader, tables: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], TableColumns] | None:
    """(schema, table), both in lower case -> columns, twelve tables a statement; None where the view is
    denied or missing.
    """
    rows_of: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for some in _twelve(tables):
        rows = optional_query(reader, _SYS_COLUMNS_OF_TWELVE, some)
        if rows is None:
            return None
        for row in rows:
            rows_of.setdefault(_place(row), []).append(row)
    return {place: _table_columns(rows) for place, rows in rows_of.items()}


def columns_of(
    reader: SourceReader, schema: str, table: str, database: str | None = None
) -> TableColumns | None:
    """A table's columns: none where there is no such table, None where nobody says.

    Args:
        reader: an open reader.
        schema: the table's schema.
        table: its name.
        database: another database of the server, for what a synonym stands for.
    """
    quoted = _quoted(schema, table, database)
    rows = optional_query(reader, in_database(_SYS_COLUMNS, database), (quoted,))
    if rows is None:
        rows = optional_query(reader, in_database(_ISCHEMA_COLUMNS, database), (schema, table))
    return None if rows is None else _table_columns(rows)


def _table_columns(rows: list[dict[str, Any]]) -> TableColumns:
    numbers, kinds = ({row.get(name) for row in rows} for name in ("object_id", "kind"))
    kind = kinds.pop() if len(kinds) == 1 else None
    return TableColumns(
        tuple(_column(row) for row in rows),
        numbers.pop() if len(numbers) == 1 else None,
        str(kind).strip() if kind else None,
    )


def _quoted(schema: str, table: str, database: str | None) -> str:
    return f"{quote(database)}.{qualified(schema, table)}" if database else qualified(schema, table)


def in_database(sql: str, database: str | None) -> str:
    """A catalog query, asked of another database of the server."""
    if database is None:
        return sql
    return re.sub(r"\b(sys|INFORMATION_SCHEMA)\.", lambda match: f"{quote(database)}.{match[1]}.", sql)


def _twelve(tables: Sequence[tuple[str, str]], database: str | None = None) -> list[tuple[str | None, ...]]:
    """The tables' names as the parameters of statements that take twelve."""
    names: list[str | None] = [_quoted(schema, table, database) for schema, table in tables]
    return [
        (*names[start : start + 12], *[None] * (12 - len(names[start : start + 12])))
        for start in range(0, len(names), 12)
    ]


def _place(row: dict[str, Any]) -> tuple[str, str]:
    return str(row["schema_name"]).lower(), str(row["table_name"]).lower()


def _column(row: dict[str, Any]) -> SourceColumn:
    return SourceColumn(
        name=row["name"],
        type_name=str(row["type_name"]).lower(),
        max_length=int(row["max_length"] or 0),
        precision=int(row["precision"] or 0),
        scale=int(row["scale"] or 0),
        nullable=row["is_nullable"] in (True, 1, "YES"),
    )
