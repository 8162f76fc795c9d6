"""The source's catalog -> what a table looks like.

A view that the endpoint lacks or denies means "unknown", never a failure.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import dataclass, replace

from airflow_provider_pacs.sync.profiles import TableMap
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.columns import (
    SourceColumn,
    columns_of,
    columns_of_several,
    optional_query,
    refuse_withheld,
)
from airflow_provider_pacs.sync.schema.joined import Selection, TableRead, render
from airflow_provider_pacs.sync.schema.tsql import qualified
from airflow_provider_pacs.sync.source.port import SourceReader

_PRIMARY_KEY = """SELECT c.name AS name
FROM sys.indexes AS i
JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id
JOIN sys.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id
WHERE i.object_id = OBJECT_ID(?) AND i.is_primary_key = 1 AND ic.key_ordinal > 0
ORDER BY ic.key_ordinal"""

STAMP = "varbinary(8)"
"""The declared type of a rowversion, as a variable holds it."""


@dataclass(frozen=True, slots=True)
class ResolvedTable:
    """A mapped table with its names spelled as the catalog spells them.

    Attributes:
        map: the table map; `columns` and `change_column` in the catalog's spelling where it is known.
        columns: source column name -> declaration, for a joined entity `table.column`; empty where no catalog
            view could be read.
        selection: the rendered SELECT of a joined entity; None for a single table.
        object_id: the source's number of a single table, another one after DROP and CREATE; None where it is
            unknown.
    """

    map: TableMap
    columns: dict[str, SourceColumn]
    selection: Selection | None = None
    object_id: int | None = None

    @property
    def mapped(self) -> tuple[str, ...]:
        """The names in `columns` that are read."""
        if self.selection is None:
            return self.map.sources
        return tuple(f"{table.table}.{column}" for table in self.selection.tables for column in table.columns)

    @property
    def name(self) -> str:
        """What messages call the place that the rows come from."""
        return (
            f"{self.map.schema}.{self.map.table}"
            if self.selection is None
            else f"{self.map.entity} of profile {self.map.profile}"
        )

    @property
    def known(self) -> bool:
        return bool(self.columns)

    @property
    def change_type(self) -> str | None:
        """Declared type of the change column; None where there is none or it is unknown."""
        if self.selection is not None:
            return STAMP if self.selection.probes else None
        column = self.columns.get(self.map.change_column or "")
        return column.declared if column else None

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the table's identity and the declarations of all columns that are read.

        Other columns and the order do not count.
        """
        pairs = (
            (*self.map.columns, *self.map.extra)
            if self.selection is None
            else [(name, name) for name in self.mapped]
        )
        mapped = [(canonical, source, repr(self.columns.get(source))) for canonical, source in pairs]
        return hashlib.sha256(json.dumps([mapped, self.change_type, self.object_id]).encode()).hexdigest()


def describe(reader: SourceReader, table: TableMap) -> ResolvedTable:
    """Look a mapped table up in the source's catalog.

    Raises:
        ConfigError: PACS-003, the catalog is readable and the table or a mapped column is not in it, or the
            login may not see its values.
    """
    if table.joined is not None:
        return _describe_joined(reader, table, render(table))
    found, object_id = columns_of(reader, table.schema, table.table)
    if found is None:
        return ResolvedTable(table, {})
    name = f"{table.schema}.{table.table}"
    if not found:
        raise _no_table(name, table.entity, f"tables.{table.entity}.table")
    spelled = {column.name.lower(): column.name for column in found}
    wanted = list(table.sources) + ([table.change_column] if table.change_column else [])
    missing = [source for source in dict.fromkeys(wanted) if source.lower() not in spelled]
    if missing:
        raise ConfigError(
            f"table {name} has no column {_listed(missing, [column.name for column in found])}",
            remedy="name the county's columns under "
            f"tables.{table.entity}.columns{' and .extra' if table.extra else ''}",
            code="PACS-003",
        )
    _check_key(reader, table)
    refuse_withheld(reader, [(table.schema, table.table, wanted)], f"tables.{table.entity}.columns")
    columns = tuple((canonical, spelled[source.lower()]) for canonical, source in table.columns)
    change = spelled[table.change_column.lower()] if table.change_column else None
    extra = tuple((name, spelled[source.lower()]) for name, source in table.extra)
    mapped = replace(table, columns=columns, change_column=change, extra=extra)
    return ResolvedTable(mapped, {column.name: column for column in found}, object_id=object_id)


def _describe_joined(reader: SourceReader, table: TableMap, selection: Selection) -> ResolvedTable:
    """Every table of a joined entity.

    A rowversion that a county's tables lack is no fault: then the entity is compared whole.
    """
    stamps = {(one.name, one.stamp.lower()) for one in selection.tables if one.stamp}
    columns: dict[str, SourceColumn] = {}
    unknown, unstamped = False, False
    known = columns_of_several(reader, [(one.schema, one.table) for one in selection.tables])
    for one in selection.tables:
        found = (
            columns_of(reader, one.schema, one.table)[0]
            if known is None
            else known.get((one.schema.lower(), one.table.lower()), [])
        )
        if found is None:
            unknown = True
            continue
        columns |= {f"{one.table}.{column.name}": column for column in found}
        missing = _missing_columns(table, one, found)
        unstamped = unstamped or any((one.name, name.lower()) in stamps for name in missing)
        if missing := [name for name in missing if (one.name, name.lower()) not in stamps]:
            raise ConfigError(
                f"table {one.schema}.{one.table} has no column "
                f"{_listed(missing, [column.name for column in found])}",
                remedy=f"name the county's columns under source.tables.{one.name}.columns",
                code="PACS-003",
            )
    refuse_withheld(
        reader, [(one.schema, one.table, one.columns) for one in selection.tables], "source.tables"
    )
    if unknown or unstamped or not stamps:
        selection = replace(selection, probes=())
    return ResolvedTable(table, {} if unknown else columns, selection)


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
    """Where the source declares a primary key, it must be the mapped key: another one means that rows are no
    longer what they were (case 50).
    """
    rows = optional_query(reader, _PRIMARY_KEY, (qualified(table.schema, table.table),))
    declared = [str(row["name"]) for row in rows or []]
    if declared and [name.lower() for name in declared] != [table.key.lower()]:
        raise ConfigError(
            f"the primary key of {table.schema}.{table.table} is ({', '.join(declared)}), the mapping's key "
            f"is {table.key!r}",
            remedy=f"map the key under tables.{table.entity}.columns, then run with --full",
            code="PACS-003",
        )


def _listed(missing: list[str], known: list[str]) -> str:
    def one(name: str) -> str:
        near = difflib.get_close_matches(name.lower(), [k.lower() for k in known], n=1)
        return f"{name!r}" + (f" (nearest: {near[0]!r})" if near else "")

    return ", ".join(one(name) for name in missing)
