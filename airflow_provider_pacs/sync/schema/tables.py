"""A resolved table -> the tables of the source that it is read from, column by column: what must be granted,
counted and looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.columns import SourceColumn
from airflow_provider_pacs.sync.schema.joined import TableRead, render
from airflow_provider_pacs.sync.schema.tsql import qualified


@dataclass(frozen=True, slots=True)
class SourceTable:
    """One table (or view) of the source, and what the mapping reads of it.

    Attributes:
        entity: the canonical entity it feeds.
        schema: the source's schema, unquoted.
        name: its name, unquoted.
        columns: every column that is read, the key and the change column among them; each once.
        key: the columns of the mapped key; empty for a table of a joined entity, whose key the SELECT makes.
        change_column: the column whose value moves when a row changes; None where there is none.
        canonical: column -> canonical column, for those that are mapped.
        declared: column -> declaration; empty where the catalog is unknown.
    """

    entity: str
    schema: str
    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    change_column: str | None
    canonical: Mapping[str, str]
    declared: Mapping[str, SourceColumn]

    @property
    def quoted(self) -> str:
        """`[schema].[name]`."""
        return qualified(self.schema, self.name)

    @property
    def text(self) -> str:
        """`schema.name`, for people."""
        return f"{self.schema}.{self.name}"

    def is_personal(self, column: str) -> bool:
        """Whether the column may name or locate a person; one that nobody mapped counts as such."""
        kinds = {canonical.name: canonical.pii for canonical in load_entities()[self.entity].columns}
        return kinds.get(self.canonical.get(column, ""), "personal") != "none"


def source_tables(resolved: ResolvedTable) -> tuple[SourceTable, ...]:
    """The tables that an entity is read from."""
    table = resolved.map
    if table.joined is not None:
        return tuple(_joined(resolved, read) for read in (resolved.selection or render(table)).tables)
    wanted = [*table.sources] + ([table.change_column] if table.change_column else [])
    canonical = {source: name for name, source in reversed(table.columns)}
    columns = tuple(dict.fromkeys(wanted))
    return (
        SourceTable(
            table.entity,
            table.schema,
            table.table,
            columns,
            (table.key,),
            table.change_column,
            canonical,
            resolved.columns,
        ),
    )


def _joined(resolved: ResolvedTable, read: TableRead) -> SourceTable:
    prefix = f"{read.table}."
    declared = {
        name.removeprefix(prefix): column
        for name, column in resolved.columns.items()
        if name.startswith(prefix)
    }
    columns = tuple(
        column for column in read.columns if not declared or column in declared
    )  # a rowversion may be missing, and then is not read
    canonical = {column: name for column, name in read.canonical if column in columns}
    stamp = read.stamp if read.stamp in columns else None
    return SourceTable(resolved.map.entity, read.schema, read.table, columns, (), stamp, canonical, declared)
