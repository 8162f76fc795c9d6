"""A pending set of deletes -> what a person who decides wants to know of it: some of its rows, how they
divide by type and tax year, and what hangs on them. Keys, parcel numbers and counts; nothing personal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.records import PendingDeletes
from airflow_provider_pacs.sync.target.postgres.sql import key_text

Connection = psycopg.Connection[Any]
SAMPLE, SHARES = 20, 12
"""Rows of the sample; values of one column that are counted by themselves."""
_KEYS = sql.SQL(
    "FROM pacs_ops.pending_delete_key AS k JOIN {part} AS t ON {tkey} = k.source_key "
    "WHERE k.pending_id = %s AND t._deleted_at IS NULL"
)


@dataclass(frozen=True, slots=True)
class SetBreakdown:
    """What a pending set is made of.

    Attributes:
        sample: (key, parcel number or None), by key.
        shares: (column, value, rows), the largest first within a column; the rest as `others`.
        children: (entity, rows) whose parent would go.
    """

    deletes: PendingDeletes
    sample: list[tuple[str, str | None]] = field(default_factory=list)
    shares: list[tuple[str, str, int]] = field(default_factory=list)
    children: list[tuple[str, int]] = field(default_factory=list)


def break_down(connection: Connection, deletes: PendingDeletes) -> SetBreakdown:
    """Look the set's rows up in the county's partitions."""
    entity = load_entities()[deletes.entity]
    part = _part(entity, deletes.county_id)
    keys = _KEYS.format(part=part, tkey=key_text(entity, "t"))
    shares = []
    for column in _telling(entity):
        rows = connection.execute(
            sql.SQL("SELECT t.{column}::text, count(*) {keys} GROUP BY 1 ORDER BY 2 DESC, 1").format(
                column=sql.Identifier(column), keys=keys
            ),
            (deletes.pending_id,),
        ).fetchall()
        if any(value is not None for value, _ in rows):
            shares += [(column, value or "none", int(count)) for value, count in rows[:SHARES]]
            if rest := sum(int(count) for _, count in rows[SHARES:]):
                shares.append((column, "others", rest))
    return SetBreakdown(
        deletes,
        _sample(connection, deletes, entity, part),
        shares,
        _children(connection, deletes, entity, part),
    )


def _telling(entity: Entity) -> list[str]:
    """Columns by which a person sees what would go, and that say nothing of anybody."""
    return [
        column.name
        for column in entity.columns
        if column.pii == "none" and (column.name == "tax_year" or column.name.endswith(("_type", "_status")))
    ]


def _sample(
    connection: Connection, deletes: PendingDeletes, entity: Entity, part: sql.Composed
) -> list[tuple[str, str | None]]:
    parcel, join = sql.SQL("NULL"), sql.Composed([])
    if "parcel_number" in entity.column_names:
        parcel = sql.SQL("t.parcel_number")
    elif entity.parent and entity.parent_key:
        parent = load_entities()[entity.parent]
        if "parcel_number" in parent.column_names:
            parcel = sql.SQL("p.parcel_number")
            join = sql.SQL("LEFT JOIN {part} AS p ON p.{key} = t.{parent_key} ").format(
                part=_part(parent, deletes.county_id),
                key=sql.Identifier(parent.key),
                parent_key=sql.Identifier(entity.parent_key),
            )
    statement = sql.SQL(
        "SELECT k.source_key, {parcel} FROM pacs_ops.pending_delete_key AS k "
        "JOIN {part} AS t ON {tkey} = k.source_key {join}"
        "WHERE k.pending_id = %s AND t._deleted_at IS NULL ORDER BY k.source_key LIMIT {limit}"
    ).format(parcel=parcel, part=part, tkey=key_text(entity, "t"), join=join, limit=sql.Literal(SAMPLE))
    return [(key, parcel) for key, parcel in connection.execute(statement, (deletes.pending_id,))]


def _children(
    connection: Connection, deletes: PendingDeletes, entity: Entity, part: sql.Composed
) -> list[tuple[str, int]]:
    children = []
    for child in load_entities().values():
        if child.parent != entity.name or child.parent_key is None:
            continue
        statement = sql.SQL(
            "SELECT count(*) FROM {child} AS c WHERE c._deleted_at IS NULL AND c.{parent_key} IN "
            "(SELECT t.{key} {keys})"
        ).format(
            child=_part(child, deletes.county_id),
            parent_key=sql.Identifier(child.parent_key),
            key=sql.Identifier(entity.key),
            keys=_KEYS.format(part=part, tkey=key_text(entity, "t")),
        )
        row = connection.execute(statement, (deletes.pending_id,)).fetchone()
        if row and row[0]:
            children.append((child.name, int(row[0])))
    return children


def _part(entity: Entity, county_id: str) -> sql.Composed:
    return sql.SQL("{}.{}").format(sql.Identifier("pacs_part"), sql.Identifier(f"{entity.table}_{county_id}"))
