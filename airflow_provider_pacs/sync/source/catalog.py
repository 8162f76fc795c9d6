"""The source's catalog -> what a table looks like. A view that the endpoint lacks or denies means "unknown", never a failure."""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_pacs.sync.errors import ConfigError, DataError, FatalError
from airflow_provider_pacs.sync.profiles import TableMap
from airflow_provider_pacs.sync.source.joined import Selection, TableRead, render
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.source.tsql import qualified, quote

log = logging.getLogger(__name__)

_SYS_COLUMNS = """SELECT c.name AS name, COALESCE(bt.name, ty.name) AS type_name, c.max_length AS max_length,
       c.precision AS precision, c.scale AS scale, c.is_nullable AS is_nullable
FROM sys.columns AS c
JOIN sys.types AS ty ON ty.user_type_id = c.user_type_id
LEFT JOIN sys.types AS bt ON bt.user_type_id = c.system_type_id
WHERE c.object_id = OBJECT_ID(?)
ORDER BY c.column_id"""

_SYS_COLUMNS_OF_TWELVE = """SELECT sc.name AS schema_name, o.name AS table_name, c.name AS name, COALESCE(bt.name, ty.name) AS type_name,
       c.max_length AS max_length, c.precision AS precision, c.scale AS scale, c.is_nullable AS is_nullable
FROM sys.columns AS c
JOIN sys.objects AS o ON o.object_id = c.object_id
JOIN sys.schemas AS sc ON sc.schema_id = o.schema_id
JOIN sys.types AS ty ON ty.user_type_id = c.user_type_id
LEFT JOIN sys.types AS bt ON bt.user_type_id = c.system_type_id
WHERE c.object_id IN (OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?),
  OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?), OBJECT_ID(?))
ORDER BY c.object_id, c.column_id"""

_ISCHEMA_COLUMNS = """SELECT c.COLUMN_NAME AS name, c.DATA_TYPE AS type_name, c.CHARACTER_MAXIMUM_LENGTH AS max_length,
       COALESCE(c.NUMERIC_PRECISION, 0) AS precision, COALESCE(c.DATETIME_PRECISION, c.NUMERIC_SCALE, 0) AS scale, c.IS_NULLABLE AS is_nullable
FROM INFORMATION_SCHEMA.COLUMNS AS c
WHERE c.TABLE_SCHEMA = ? AND c.TABLE_NAME = ?
ORDER BY c.ORDINAL_POSITION"""

_PLAIN_TYPES = frozenset(
    "bigint bit date datetime float geography geometry hierarchyid image int money ntext real smalldatetime smallint smallmoney sql_variant text "
    "tinyint uniqueidentifier xml".split()
)
"""Types that are declared by their name alone. Any other is a county's own, whose name may be anything."""

TEXTS = frozenset({"char", "varchar", "nchar", "nvarchar", "text", "ntext", "xml"})
NUMBERS = frozenset({"tinyint", "smallint", "int", "bigint", "decimal", "numeric", "money", "smallmoney", "float", "real"})
DATES = frozenset({"date", "smalldatetime", "datetime", "datetime2", "datetimeoffset"})
OTHERS = frozenset({"uniqueidentifier", "bit", "time"})
BYTES = frozenset({"binary", "varbinary", "image", "timestamp", "rowversion", "geometry", "geography", "hierarchyid", "sql_variant"})
"""T-SQL types by what their values are; those of BYTES have no value that a canonical column can hold."""

_PRIMARY_KEY = """SELECT c.name AS name
FROM sys.indexes AS i
JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id
JOIN sys.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id
WHERE i.object_id = OBJECT_ID(?) AND i.is_primary_key = 1 AND ic.key_ordinal > 0
ORDER BY ic.key_ordinal"""


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """One column as the source's catalog declares it. `max_length` is in bytes (sys.columns), -1 for (max)."""

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


STAMP = "varbinary(8)"
"""The declared type of a rowversion, as a variable holds it."""


@dataclass(frozen=True, slots=True)
class TableShape:
    """A mapped table with its names spelled as the catalog spells them.

    Attributes:
        map: the table map; `columns` and `change_column` in the catalog's spelling where it is known.
        columns: source column name -> declaration, for a joined entity `table.column`; empty where no catalog view could be read.
        selection: the rendered SELECT of a joined entity; None for a single table.
    """

    map: TableMap
    columns: dict[str, SourceColumn]
    selection: Selection | None = None

    @property
    def mapped(self) -> tuple[str, ...]:
        """The names in `columns` that are read."""
        if self.selection is None:
            return self.map.sources
        return tuple(f"{table.table}.{column}" for table in self.selection.tables for column in table.columns)

    @property
    def name(self) -> str:
        """What messages call the place that the rows come from."""
        return f"{self.map.schema}.{self.map.table}" if self.selection is None else f"{self.map.entity} of profile {self.map.profile}"

    @property
    def known(self) -> bool:
        return bool(self.columns)

    @property
    def change_type(self) -> str | None:
        """Declared type of the change column; None where there is none or it is unknown."""
        if self.selection is not None:
            return STAMP if self.selection.watches else None
        column = self.columns.get(self.map.change_column or "")
        return column.declared if column else None

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the declarations of all columns that are read. Columns that are not and their order do not count."""
        pairs = (*self.map.columns, *self.map.extra) if self.selection is None else [(name, name) for name in self.mapped]
        mapped = [(canonical, source, repr(self.columns.get(source))) for canonical, source in pairs]
        return hashlib.sha256(json.dumps([mapped, self.change_type]).encode()).hexdigest()


def optional_query(reader: SourceReader, sql: str, params: tuple[object, ...] = ()) -> list[dict[str, Any]] | None:
    """Rows of a catalog query, or None where the endpoint lacks the view, denies it or does not know the syntax.

    Raises:
        RetryableError: the connection itself failed: that is never "unknown".
        ConfigError: there is no connection: the login, the database, the certificate or the driver is wrong. Only PACS-003 is about the view.
    """
    try:
        return reader.query(sql, params)
    except (ConfigError, FatalError, DataError) as error:
        if isinstance(error, ConfigError) and error.code != "PACS-003":
            raise
        log.info("The source does not answer a catalog query (%s); treated as unknown.", error)
        return None


def describe(reader: SourceReader, table: TableMap) -> TableShape:
    """Look a mapped table up in the source's catalog.

    Raises:
        ConfigError: PACS-003, the catalog is readable and the table or a mapped column is not in it.
    """
    if table.joined is not None:
        return _describe_joined(reader, table, render(table))
    found = _columns(reader, table.schema, table.table)
    if found is None:
        return TableShape(table, {})
    name = f"{table.schema}.{table.table}"
    if not found:
        raise _no_table(name, table.entity, f"tables.{table.entity}.table")
    spelled = {column.name.lower(): column.name for column in found}
    wanted = list(table.sources) + ([table.change_column] if table.change_column else [])
    missing = [source for source in dict.fromkeys(wanted) if source.lower() not in spelled]
    if missing:
        raise ConfigError(
            f"table {name} has no column {_listed(missing, [column.name for column in found])}",
            remedy=f"name the county's columns under tables.{table.entity}.columns{' and .extra' if table.extra else ''}",
            code="PACS-003",
        )
    _check_key(reader, table)
    columns = tuple((canonical, spelled[source.lower()]) for canonical, source in table.columns)
    change = spelled[table.change_column.lower()] if table.change_column else None
    extra = tuple((name, spelled[source.lower()]) for name, source in table.extra)
    return TableShape(replace(table, columns=columns, change_column=change, extra=extra), {column.name: column for column in found})


def _describe_joined(reader: SourceReader, table: TableMap, selection: Selection) -> TableShape:
    """Every table of a joined entity. A rowversion that a county's tables lack is no fault: then the entity is compared whole."""
    stamps = {(watch.stamp_column[0], watch.stamp_column[1].lower()) for watch in selection.watches if watch.stamp_column}
    columns: dict[str, SourceColumn] = {}
    unknown, unstamped = False, False
    known = _columns_of_several(reader, selection.tables)
    for one in selection.tables:
        found = _columns(reader, one.schema, one.table) if known is None else known.get((one.schema.lower(), one.table.lower()), [])
        if found is None:
            unknown = True
            continue
        columns |= {f"{one.table}.{column.name}": column for column in found}
        missing = _missing_columns(table, one, found)
        unstamped = unstamped or any((one.name, name.lower()) in stamps for name in missing)
        if missing := [name for name in missing if (one.name, name.lower()) not in stamps]:
            raise ConfigError(
                f"table {one.schema}.{one.table} has no column {_listed(missing, [column.name for column in found])}",
                remedy=f"name the county's columns under source.tables.{one.name}.columns",
                code="PACS-003",
            )
    if unknown or unstamped or not stamps:
        selection = replace(selection, watches=())
    return TableShape(table, {} if unknown else columns, selection)


def _missing_columns(table: TableMap, one: TableRead, found: list[SourceColumn]) -> list[str]:
    if not found:
        raise _no_table(f"{one.schema}.{one.table}", table.entity, f"source.tables.{one.name}.table")
    spelled = {column.name.lower() for column in found}
    return [name for name in one.columns if name.lower() not in spelled]


def _no_table(name: str, entity: str, setting: str) -> ConfigError:
    return ConfigError(
        f"table {name} for entity {entity!r} does not exist or may not be read",
        remedy=f"check source database and `pacs grants`, or set {setting} in the county's file",
        code="PACS-003",
    )


def _check_key(reader: SourceReader, table: TableMap) -> None:
    """Where the source declares a primary key, it must be the mapped key: another one means that rows are no longer what they were (case 50)."""
    rows = optional_query(reader, _PRIMARY_KEY, (qualified(table.schema, table.table),))
    declared = [str(row["name"]) for row in rows or []]
    if declared and [name.lower() for name in declared] != [table.key.lower()]:
        raise ConfigError(
            f"the primary key of {table.schema}.{table.table} is ({', '.join(declared)}), the mapping's key is {table.key!r}",
            remedy=f"map the key under tables.{table.entity}.columns, then run with --full",
            code="PACS-003",
        )


def _listed(missing: list[str], known: list[str]) -> str:
    def one(name: str) -> str:
        near = difflib.get_close_matches(name.lower(), [k.lower() for k in known], n=1)
        return f"{name!r}" + (f" (nearest: {near[0]!r})" if near else "")

    return ", ".join(one(name) for name in missing)


def _columns_of_several(reader: SourceReader, tables: tuple[TableRead, ...]) -> dict[tuple[str, str], list[SourceColumn]] | None:
    """(schema, table), both in lower case -> columns, twelve tables a statement; None where the view is denied or missing."""
    found: dict[tuple[str, str], list[SourceColumn]] = {}
    names = [qualified(table.schema, table.table) for table in tables]
    for start in range(0, len(names), 12):
        some = names[start : start + 12]
        rows = optional_query(reader, _SYS_COLUMNS_OF_TWELVE, (*some, *[None] * (12 - len(some))))
        if rows is None:
            return None
        for row in rows:
            found.setdefault((str(row["schema_name"]).lower(), str(row["table_name"]).lower()), []).append(_column(row))
    return found


def _columns(reader: SourceReader, schema: str, table: str) -> list[SourceColumn] | None:
    rows = optional_query(reader, _SYS_COLUMNS, (qualified(schema, table),))
    if not rows:
        rows = optional_query(reader, _ISCHEMA_COLUMNS, (schema, table)) if rows is None else rows
    if rows is None:
        return None
    return [_column(row) for row in rows]


def _column(row: dict[str, Any]) -> SourceColumn:
    return SourceColumn(
        name=row["name"],
        type_name=str(row["type_name"]).lower(),
        max_length=int(row["max_length"] or 0),
        precision=int(row["precision"] or 0),
        scale=int(row["scale"] or 0),
        nullable=row["is_nullable"] in (True, 1, "YES"),
    )
