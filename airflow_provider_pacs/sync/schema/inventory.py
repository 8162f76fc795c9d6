"""The source's catalog -> every table and view of the database, with columns and keys: what a county that
nobody has mapped yet could be read from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.columns import SourceColumn, optional_query
from airflow_provider_pacs.sync.source.port import SourceReader

ALL_COLUMNS = """SELECT sc.name AS schema_name, o.name AS table_name, RTRIM(o.type) AS kind, c.name AS name,
  COALESCE(bt.name, ty.name) AS type_name,
       c.max_length AS max_length, c.precision AS precision, c.scale AS scale, c.is_nullable AS is_nullable
FROM sys.columns AS c
JOIN sys.objects AS o ON o.object_id = c.object_id
JOIN sys.schemas AS sc ON sc.schema_id = o.schema_id
JOIN sys.types AS ty ON ty.user_type_id = c.user_type_id
LEFT JOIN sys.types AS bt ON bt.user_type_id = c.system_type_id
WHERE o.type IN ('U', 'V') AND o.is_ms_shipped = 0
ORDER BY c.object_id, c.column_id"""

UNIQUE_INDEXES = """SELECT sc.name AS schema_name, o.name AS table_name, i.index_id AS index_id,
       i.is_primary_key AS is_primary_key, c.name AS name
FROM sys.indexes AS i
JOIN sys.objects AS o ON o.object_id = i.object_id
JOIN sys.schemas AS sc ON sc.schema_id = o.schema_id
JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id
JOIN sys.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id
WHERE o.type IN ('U', 'V') AND o.is_ms_shipped = 0 AND i.is_unique = 1 AND i.has_filter = 0
  AND ic.key_ordinal > 0
ORDER BY i.object_id, i.index_id, ic.key_ordinal"""

WITHHELD_COLUMNS = """SELECT sc.name AS schema_name, o.name AS table_name, c.name AS name
FROM sys.columns AS c
JOIN sys.objects AS o ON o.object_id = c.object_id
JOIN sys.schemas AS sc ON sc.schema_id = o.schema_id
WHERE o.type IN ('U', 'V') AND (c.is_masked = 1 OR c.encryption_type IS NOT NULL)"""
"""From SQL Server 2016 on; an older server does not know these columns, and has neither."""

TableName = tuple[str, str]


@dataclass(frozen=True, slots=True)
class InventoryTable:
    """One table or view.

    Attributes:
        schema: its schema, unquoted.
        name: its name, unquoted.
        is_view: a view has no keys that the catalog knows.
        columns: by name, in the table's order; without those whose values the server withholds.
        primary_key: the columns of its primary key; empty where it has none or that is unknown.
        unique: columns that alone are unique, the primary key's included.
    """

    schema: str
    name: str
    is_view: bool
    columns: Mapping[str, SourceColumn]
    primary_key: tuple[str, ...] = ()
    unique: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """`schema.name`, for people; on one line whatever is in the name."""
        return " ".join(f"{self.schema}.{self.name}".split())


def read_inventory(source: SourceReader) -> tuple[InventoryTable, ...]:
    """Every table and view that the login may see, in three statements.

    Raises:
        ConfigError: PACS-003, the catalog can't be read, or the login sees no table in it.
    """
    rows = optional_query(source, ALL_COLUMNS)
    if not rows:
        raise ConfigError(
            f"the login sees no table in {source.address_text}",
            remedy="name the database that holds the county's tables, and let the login read them (GRANT "
            "SELECT, or VIEW DEFINITION for the catalog alone)",
            code="PACS-003",
        )
    withheld = {
        (str(row["schema_name"]), str(row["table_name"]), str(row["name"]))
        for row in optional_query(source, WITHHELD_COLUMNS) or ()
    }
    kinds: dict[TableName, str] = {}
    columns: dict[TableName, dict[str, SourceColumn]] = {}
    for row in rows:
        name = (str(row["schema_name"]), str(row["table_name"]))
        kinds[name] = str(row["kind"])
        column = _column(row)
        if (*name, column.name) not in withheld:
            columns.setdefault(name, {})[column.name] = column
    keys = _keys(optional_query(source, UNIQUE_INDEXES) or [])
    return tuple(
        InventoryTable(*name, kinds[name] == "V", columns[name], *keys.get(name, ((), ())))
        for name in columns
    )


def _column(row: Mapping[str, Any]) -> SourceColumn:
    return SourceColumn(
        str(row["name"]),
        str(row["type_name"]).lower(),
        int(row["max_length"]),
        int(row["precision"]),
        int(row["scale"]),
        bool(row["is_nullable"]),
    )


def _keys(rows: list[dict[str, Any]]) -> dict[TableName, tuple[tuple[str, ...], tuple[str, ...]]]:
    """(primary key, columns that alone are unique) per table."""
    indexes: dict[tuple[str, str, int], list[str]] = {}
    primary: set[tuple[str, str, int]] = set()
    for row in rows:
        index = (str(row["schema_name"]), str(row["table_name"]), int(row["index_id"]))
        indexes.setdefault(index, []).append(str(row["name"]))
        if row["is_primary_key"]:
            primary.add(index)
    keys: dict[TableName, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    for (schema, table, number), names in indexes.items():
        declared, unique = keys.get((schema, table), ((), ()))
        if (schema, table, number) in primary:
            declared = tuple(names)
        if len(names) == 1 and names[0] not in unique:
            unique = (*unique, names[0])
        keys[schema, table] = (declared, unique)
    return keys
