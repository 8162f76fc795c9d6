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
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.source.tsql import qualified, quote

log = logging.getLogger(__name__)

_SYS_COLUMNS = """SELECT c.name AS name, COALESCE(bt.name, ty.name) AS type_name, c.max_length AS max_length,
       c.precision AS precision, c.scale AS scale, c.is_nullable AS is_nullable, c.object_id AS object_id
FROM sys.columns AS c
JOIN sys.types AS ty ON ty.user_type_id = c.user_type_id
LEFT JOIN sys.types AS bt ON bt.user_type_id = c.system_type_id
WHERE c.object_id = OBJECT_ID(?)
ORDER BY c.column_id"""

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


_PRIMARY_KEY = """SELECT c.name AS name
FROM sys.indexes AS i
JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id
JOIN sys.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id
WHERE i.object_id = OBJECT_ID(?) AND i.is_primary_key = 1 AND ic.key_ordinal > 0
ORDER BY ic.key_ordinal"""

_WITHHELD = """SELECT c.name AS name, c.is_masked AS masked, c.encryption_type AS encryption
FROM sys.columns AS c
WHERE c.object_id = OBJECT_ID(?) AND (c.is_masked = 1 OR c.encryption_type IS NOT NULL)"""
"""From SQL Server 2016 on; an older server does not know these columns (207), and has neither."""

_MAY_UNMASK = """SELECT HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'UNMASK') AS everything, HAS_PERMS_BY_NAME(?, 'OBJECT', 'UNMASK') AS this_table"""
"""NULL for a securable on which the server does not know the right: on a table before SQL Server 2022."""


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


@dataclass(frozen=True, slots=True)
class TableShape:
    """A mapped table with its names spelled as the catalog spells them.

    Attributes:
        map: the table map; `columns` and `change_column` in the catalog's spelling where it is known.
        columns: source column name -> declaration; empty where no catalog view could be read.
        object_id: the source's number of the table, another one after DROP and CREATE; None where it is unknown.
    """

    map: TableMap
    columns: dict[str, SourceColumn]
    object_id: int | None = None

    @property
    def known(self) -> bool:
        return bool(self.columns)

    @property
    def change_type(self) -> str | None:
        """Declared type of the change column; None where there is none or it is unknown."""
        column = self.columns.get(self.map.change_column or "")
        return column.declared if column else None

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the table's identity and the mapped columns' declarations. Columns that are not mapped and their order do not count."""
        mapped = [(canonical, source, repr(self.columns.get(source))) for canonical, source in self.map.columns]
        return hashlib.sha256(json.dumps([mapped, self.change_type, self.object_id]).encode()).hexdigest()


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
        ConfigError: PACS-003, the catalog is readable and the table or a mapped column is not in it, or the login may not see its values.
    """
    found, object_id = _columns(reader, table)
    if found is None:
        return TableShape(table, {})
    name = f"{table.schema}.{table.table}"
    if not found:
        raise ConfigError(
            f"table {name} for entity {table.entity!r} does not exist or may not be read",
            remedy=f"check source database and grants, or set tables.{table.entity}.table in the county's file",
            code="PACS-003",
        )
    spelled = {column.name.lower(): column.name for column in found}
    wanted = [source for _, source in table.columns] + ([table.change_column] if table.change_column else [])
    missing = [source for source in dict.fromkeys(wanted) if source.lower() not in spelled]
    if missing:
        raise ConfigError(
            f"table {name} has no column {_listed(missing, [column.name for column in found])}",
            remedy=f"name the county's columns under tables.{table.entity}.columns",
            code="PACS-003",
        )
    _check_key(reader, table)
    _check_withheld(reader, table, wanted)
    columns = tuple((canonical, spelled[source.lower()]) for canonical, source in table.columns)
    change = spelled[table.change_column.lower()] if table.change_column else None
    return TableShape(replace(table, columns=columns, change_column=change), {column.name: column for column in found}, object_id)


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


def _check_withheld(reader: SourceReader, table: TableMap, wanted: list[str]) -> None:
    """A masked column's values are made up by the server, an encrypted one's are no values: neither may overwrite real ones (case 82)."""
    name, read = qualified(table.schema, table.table), {source.lower() for source in wanted}
    rows = [row for row in optional_query(reader, _WITHHELD, (name,)) or [] if str(row["name"]).lower() in read]
    masked = [str(row["name"]) for row in rows if row["masked"]]
    if masked and 1 not in (optional_query(reader, _MAY_UNMASK, (name,)) or [{}])[0].values():
        raise ConfigError(
            f"table {table.schema}.{table.table} masks {', '.join(map(repr, masked))} from this login: what it reads is not what is stored",
            remedy="GRANT UNMASK to the login, or map other columns",
            code="PACS-003",
        )
    if encrypted := [str(row["name"]) for row in rows if row["encryption"] is not None]:
        raise ConfigError(
            f"table {table.schema}.{table.table} has {', '.join(map(repr, encrypted))} under Always Encrypted, which is not read here",
            remedy=f"map other columns under tables.{table.entity}.columns, such as those of a view without encryption",
            code="PACS-003",
        )


def _listed(missing: list[str], known: list[str]) -> str:
    def one(name: str) -> str:
        near = difflib.get_close_matches(name.lower(), [k.lower() for k in known], n=1)
        return f"{name!r}" + (f" (nearest: {near[0]!r})" if near else "")

    return ", ".join(one(name) for name in missing)


def _columns(reader: SourceReader, table: TableMap) -> tuple[list[SourceColumn] | None, int | None]:
    """The table's columns (None: unknown) and its object_id."""
    rows = optional_query(reader, _SYS_COLUMNS, (qualified(table.schema, table.table),))
    if not rows:
        rows = optional_query(reader, _ISCHEMA_COLUMNS, (table.schema, table.table)) if rows is None else rows
    if rows is None:
        return None, None
    numbers = {row.get("object_id") for row in rows}
    columns = [
        SourceColumn(
            name=row["name"],
            type_name=str(row["type_name"]).lower(),
            max_length=int(row["max_length"] or 0),
            precision=int(row["precision"] or 0),
            scale=int(row["scale"] or 0),
            nullable=row["is_nullable"] in (True, 1, "YES"),
        )
        for row in rows
    ]
    return columns, numbers.pop() if len(numbers) == 1 else None
