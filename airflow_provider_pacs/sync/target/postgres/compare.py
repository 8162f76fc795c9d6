"""A staging table with one window of the source -> how the county's partition differs from it; counts.
`whole.py` compares whole tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.target.port import Kind
from airflow_provider_pacs.sync.target.postgres import ddl
from airflow_provider_pacs.sync.target.postgres.sql import differs, key_text, leaf, stage
from airflow_provider_pacs.sync.target.postgres.stage import columns_of as stage_columns

Connection = psycopg.Connection[Any]

_COMPARABLE = (
    "coalesce(s._late, 0) = 0 AND s._reject IS NULL AND s._op = 'U' "
    "AND NOT EXISTS (SELECT FROM pacs_ops.quarantine AS q WHERE q.county_id = {county} AND q.entity = "
    "{entity} AND q.state = 'open' "
    "AND q.source_key = {key})"
)


def differences(connection: Connection, entity: Entity, county_id: str, table: str) -> list[tuple[str, Kind]]:
    """(key, kind) of every row of a window's staging table that the county's partition does not have as it
    is.
    """
    if not ddl.leaf_exists(connection, entity, county_id):
        rows = connection.execute(
            _format(entity, county_id, table, "SELECT {key}, 'missing' FROM {s} AS s WHERE " + _COMPARABLE)  # noqa: S608
        )
        return list(rows.fetchall())
    text = (
        "SELECT {key}, CASE WHEN l.{k} IS NULL THEN 'missing' ELSE 'differing' END FROM {s} AS s "  # noqa: S608
        "LEFT JOIN {l} AS l ON l.{k} = s.{k} AND l._deleted_at IS NULL WHERE (l.{k} IS NULL OR {differs}) "
        "AND " + _COMPARABLE
    )
    return list(connection.execute(_format(entity, county_id, table, text)).fetchall())


def replace_keys(connection: Connection, entity: Entity, table: str, newer: str) -> None:
    """Lay a second look over the first: rows of `newer` replace those with the same key in `table`."""
    with connection.transaction():
        key = sql.Identifier(entity.key)
        connection.execute(
            sql.SQL("DELETE FROM {} AS a USING {} AS b WHERE a.{k} = b.{k}").format(
                stage(table), stage(newer), k=key
            )
        )
        names = sql.SQL(", ").join(sql.Identifier(name) for name in stage_columns(connection, table))
        connection.execute(
            sql.SQL("INSERT INTO {} ({n}) SELECT {n} FROM {}").format(stage(table), stage(newer), n=names)
        )


def window_counts(connection: Connection, entity: Entity, county_id: str, table: str) -> tuple[int, int]:
    """(rows of the source in a staging table, of these in quarantine)."""
    text = (
        "SELECT count(*), count(*) FILTER (WHERE NOT (" + _COMPARABLE + ")) FROM {s} AS s WHERE s._op = 'U'"  # noqa: S608
    )
    row = connection.execute(_format(entity, county_id, table, text)).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def live_count(connection: Connection, entity: Entity, county_id: str) -> int:
    """Live rows of the county's partition."""
    if not ddl.leaf_exists(connection, entity, county_id):
        return 0
    return _scalar(
        connection,
        sql.SQL("SELECT count(*) FROM {} WHERE _deleted_at IS NULL").format(leaf(entity, county_id)),
    )


def open_quarantine(connection: Connection, entity: Entity, county_id: str, *, absent: bool = False) -> int:
    """Rows in quarantine; with `absent` only those that have no live older version in the target."""
    statement = sql.SQL(
        "SELECT count(*) FROM pacs_ops.quarantine AS q WHERE q.county_id = {} AND q.entity = {} AND q.state "
        "= 'open'"
    ).format(sql.Literal(county_id), sql.Literal(entity.name))
    if absent and ddl.leaf_exists(connection, entity, county_id):
        statement += sql.SQL(
            " AND NOT EXISTS (SELECT FROM {} AS l WHERE {} = q.source_key AND l._deleted_at IS NULL)"
        ).format(leaf(entity, county_id), key_text(entity, "l"))
    return _scalar(connection, statement)


def quarantined_keys(
    connection: Connection, entity: Entity, county_id: str, rule: str, limit: int
) -> list[str]:
    """Keys that wait in quarantine under a rule, those looked at longest ago first."""
    rows = connection.execute(
        "SELECT source_key FROM pacs_ops.quarantine WHERE county_id = %s AND entity = %s AND state = 'open' "
        "AND source_key <> '' "
        "AND %s = ANY (rules) ORDER BY last_seen_at LIMIT %s",
        (county_id, entity.name, rule, limit),
    )
    return [key for (key,) in rows]


def _scalar(connection: Connection, statement: sql.Composed) -> int:
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0


def _format(entity: Entity, county_id: str, table: str, text: str, **more: sql.Composable) -> sql.Composed:
    return sql.SQL(text).format(
        s=stage(table),
        l=leaf(entity, county_id),
        k=sql.Identifier(entity.key),
        county=sql.Literal(county_id),
        entity=sql.Literal(entity.name),
        differs=differs(entity),
        key=key_text(entity, "s"),
        **more,
    )


def sample(found: Sequence[tuple[str, Kind]], limit: int = 20) -> list[str]:
    """The first keys of a list of differences, as `kind:key`."""
    return [f"{kind}:{key}" for key, kind in found[:limit]]
