"""Single tables whose keys are numbers, not GUIDs -> the same rows with `_source_key`, from which the
target makes its keys, as it does for a joined entity.

A canonical key is a GUID. Where a county's property has an `int` key, PostgreSQL derives one from county,
entity and the number, the same for ever; a child then carries the number of its property in `_parent_key`.
Such a table is read by its rowversion where it has one, else compared whole.
"""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.profiles import Joined, alias
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.columns import ROWVERSIONS, SourceColumn
from airflow_provider_pacs.sync.schema.joined import (
    CHANGED,
    SINCE,
    ChangeProbe,
    ChangeTrack,
    Selection,
    TableRead,
)
from airflow_provider_pacs.sync.schema.tsql import qualified, quote

_WHOLE = frozenset({"tinyint", "smallint", "int", "bigint"})
_EXACT = frozenset({"decimal", "numeric"})
_MOST_DIGITS = 18
_LONGEST_TEXT = 38
"""Bytes of a child's own key: with its property's number before it, it fits a key of 60."""


def key_columns(entity: Entity) -> tuple[str, ...]:
    """The canonical columns that a surrogate takes the place of."""
    return (entity.key, *([entity.parent_key] if entity.parent_key else []))


def needs_surrogate(table: ResolvedTable) -> bool:
    """Whether the table's key, or that of its parent, is a whole number.

    Raises:
        ConfigError: PACS-003, one of them is a number and the other can't go with it.
    """
    if table.selection is not None or not table.known:
        return False
    entity = load_entities()[table.map.entity]
    sources = dict(table.map.columns)
    key, *parent = (table.columns.get(sources.get(name, "")) for name in key_columns(entity))
    if not parent:
        return key is not None and is_whole_number(key)
    (reference,) = parent
    if reference is None or key is None or not (is_whole_number(key) or is_whole_number(reference)):
        return False
    if not is_whole_number(reference):
        raise ConfigError(
            f"table {table.name}: its key {key.name!r} is {key.declared}, but {reference.name!r}, the key of "
            f"its {entity.parent}, is {reference.declared}: a number and a GUID can't be used side by side",
            remedy=f"map a GUID of the row as {entity.key}, or have a view with the {entity.parent}'s number",
            code="PACS-003",
        )
    if not is_whole_number(key) and (key.is_lob or key.max_length > _LONGEST_TEXT):
        raise ConfigError(
            f"table {table.name}: its key {key.name!r} is {key.declared}, too long for a key",
            remedy=f"map a shorter unique column as {entity.key}",
            code="PACS-003",
        )
    return True


def is_whole_number(column: SourceColumn) -> bool:
    """Whether values of the column are integers that a key of text can hold."""
    return column.type_name in _WHOLE or (
        column.type_name in _EXACT and column.scale == 0 and column.precision <= _MOST_DIGITS
    )


def with_surrogate(table: ResolvedTable) -> ResolvedTable:
    """The table as a selection that makes `_source_key`, `_parent_key` and `_root_key`."""
    entity, sources = load_entities()[table.map.entity], dict(table.map.columns)
    key, *parent = (table.columns[sources[name]] for name in key_columns(entity))
    root = parent[0] if parent else key
    values = [(name, source) for name, source in table.map.columns if name not in key_columns(entity)]
    expressions = tuple((name, value_of(table.columns[source], "t")) for name, source in values)
    parts = [f"{sql} AS {quote(name)}" for name, sql in expressions]
    parts += [
        f"{value_of(table.columns[source], 't')} AS {quote(alias(number))}"
        for number, (_, source) in enumerate(table.map.extra)
    ]
    parts.append(
        f"{' + {} + '.format(repr('/')).join(_key_text(part) for part in (*parent, key))} AS [_source_key]"
    )
    parts += [f"{_key_text(reference)} AS [_parent_key]" for reference in parent]
    parts.append(f"t.{quote(root.name)} AS [_root_key]")
    place = qualified(table.map.schema, table.map.table)
    stamp = next((name for name, column in table.columns.items() if column.type_name in ROWVERSIONS), None)
    selection = Selection(
        f"SELECT {', '.join(parts)}\nFROM {place} AS t",
        root.declared,
        expressions,
        (_table_read(table, entity, stamp),),
        _probes(place, root.name, key.name, stamp),
        tracks=() if parent else (_track(table.map.schema, table.map.table, key.name),),
        untracked=(f"{table.map.schema}.{table.map.table}",) if parent else (),
    )
    return replace(
        table,
        map=replace(
            table.map,
            columns=tuple((name, name) for name, _ in values),
            change_column=None,
            joined=Joined({"profile": table.map.table}, {}, {}),
        ),
        columns={f"{table.map.table}.{name}": column for name, column in table.columns.items()},
        selection=selection,
    )


def _table_read(table: ResolvedTable, entity: Entity, stamp: str | None) -> TableRead:
    named = {source: name for name, source in (*table.map.extra, *reversed(table.map.columns))}
    columns = dict.fromkeys((*table.map.sources, *([stamp] if stamp else [])))
    canonical = tuple((source, name) for source, name in named.items() if name in entity.column_names)
    return TableRead(table.map.table, table.map.schema, table.map.table, tuple(columns), canonical, stamp)


def _track(schema: str, table: str, key: str) -> ChangeTrack:
    """The root's own changes. A child that is gone does not show whose it was: its key has no such column."""
    changes = f"CHANGETABLE(CHANGES {qualified(schema, table)}, {SINCE}) AS ct"
    return ChangeTrack(schema, table, (key,), f"SELECT ct.{quote(key)} AS root_key FROM {changes}")  # noqa: S608


def _probes(place: str, root: str, key: str, stamp: str | None) -> tuple[ChangeProbe, ...]:
    """The rowversion shows what was written; the keys show what is gone, or went to another parent."""
    if stamp is None:
        return ()
    select = f"SELECT t.{quote(root)} AS root_key"
    return (
        ChangeProbe("rows", f"{select} FROM {place} AS t WHERE {CHANGED}", f"t.{quote(stamp)}"),
        ChangeProbe("keys", f"{select}, t.{quote(key)} AS c0 FROM {place} AS t"),
    )


def _key_text(column: SourceColumn) -> str:
    """A key as text, the same for ever: SQL Server takes 'x' and 'X ' for the same key."""
    value = f"t.{quote(column.name)}"
    if column.type_name in {"char", "varchar", "nchar", "nvarchar"}:
        return f"RTRIM(UPPER({value}))"
    return f"CONVERT(varchar(40), {value})"


def value_of(column: SourceColumn, row: str) -> str:
    """A column's value as it is read: without a char's padding, dates in UTC and no finer than a
    microsecond.
    """
    value = f"{row}.{quote(column.name)}"
    if column.type_name in {"char", "nchar"}:
        return f"RTRIM({value})"
    if column.type_name == "datetimeoffset":
        value = f"CONVERT(datetime2(7), SWITCHOFFSET({value}, '+00:00'))"
    elif column.type_name != "datetime2" or column.scale < 7:
        return value
    # PostgreSQL keeps microseconds. CONVERT would round, at 9999-12-31 into year 10000; so the seventh digit
    # is cut.
    return f"CONVERT(datetime2(6), DATEADD(NANOSECOND, -(DATEPART(NANOSECOND, {value}) % 1000), {value}))"
