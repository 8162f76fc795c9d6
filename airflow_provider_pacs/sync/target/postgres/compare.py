"""A staging table with what the source says -> how the county's partition differs from it, digests and sums of both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.target.port import Kind
from airflow_provider_pacs.sync.target.postgres import ddl
from airflow_provider_pacs.sync.target.postgres.sql import differs, leaf, row_hash, stage

Connection = psycopg.Connection[Any]

_COMPARABLE = (
    "coalesce(s._late, 0) = 0 AND s._reject IS NULL AND s._op = 'U' "
    "AND NOT EXISTS (SELECT FROM pacs_ops.quarantine AS q WHERE q.county_id = {county} AND q.entity = {entity} AND q.state = 'open' "
    "AND q.source_key = s.{k}::text)"
)
_NOT_EXCUSED = (
    "l._deleted_at IS NULL AND NOT EXISTS (SELECT FROM {s} AS s WHERE s.{k} = l.{k} AND (s._late = 1 OR s._reject IS NOT NULL)) "
    "AND NOT EXISTS (SELECT FROM pacs_ops.quarantine AS q WHERE q.county_id = {county} AND q.entity = {entity} AND q.state = 'open' "
    "AND q.source_key = l.{k}::text)"
)


@dataclass(frozen=True, slots=True)
class Sides:
    """Both sides of a comparison, the excused rows (late, quarantined) left out on both.

    Attributes:
        source_rows: comparable rows at the source.
        target_rows: comparable live rows in the target.
        late: rows stamped after the upper bound.
        quarantined: rows in quarantine.
        source_digest: SHA-256 over the rows in key order.
        target_digest: the same of the target.
        source_sums: money sums as JSON, by the entity's `money_by`.
        target_sums: the same of the target.
    """

    source_rows: int
    target_rows: int
    late: int
    quarantined: int
    source_digest: bytes | None
    target_digest: bytes | None
    source_sums: dict[str, Any] | None
    target_sums: dict[str, Any] | None


_Side = tuple[int, bytes | None, dict[str, Any] | None]


def differences(connection: Connection, entity: Entity, county_id: str, table: str, *, complete: bool) -> list[tuple[str, Kind]]:
    """(key, kind) of every row that differs. Ghosts (live in the target, gone at the source) only when `complete`."""
    if not ddl.leaf_exists(connection, entity, county_id):
        rows = connection.execute(_format(entity, county_id, table, "SELECT s.{k}::text, 'missing' FROM {s} AS s WHERE " + _COMPARABLE))  # noqa: S608
        return list(rows.fetchall())
    text = (
        "SELECT s.{k}::text, CASE WHEN l.{k} IS NULL THEN 'missing' ELSE 'differing' END FROM {s} AS s "  # noqa: S608
        "LEFT JOIN {l} AS l ON l.{k} = s.{k} AND l._deleted_at IS NULL WHERE (l.{k} IS NULL OR {differs}) AND " + _COMPARABLE
    )
    if complete:
        text += " UNION ALL SELECT l.{k}::text, 'ghost' FROM {l} AS l WHERE l._deleted_at IS NULL "
        text += "AND NOT EXISTS (SELECT FROM {s} AS s WHERE s.{k} = l.{k} AND s._op = 'U')"
    return list(connection.execute(_format(entity, county_id, table, text)).fetchall())


def replace_keys(connection: Connection, entity: Entity, table: str, newer: str) -> None:
    """Lay a second look over the first: rows of `newer` replace those with the same key in `table`."""
    with connection.transaction():
        key = sql.Identifier(entity.key)
        connection.execute(sql.SQL("DELETE FROM {} AS a USING {} AS b WHERE a.{k} = b.{k}").format(stage(table), stage(newer), k=key))
        names = sql.SQL(", ").join(sql.Identifier(name) for name in (*entity.column_names, "_source_version", "_late", "_reject", "_op"))
        connection.execute(sql.SQL("INSERT INTO {} ({n}) SELECT {n} FROM {}").format(stage(table), stage(newer), n=names))


def sides(connection: Connection, entity: Entity, county_id: str, table: str) -> Sides:
    """Counts, digests and money sums of both sides from a complete staging table."""
    has_leaf = ddl.leaf_exists(connection, entity, county_id)
    source = _side(connection, entity, county_id, table, "{s} AS s WHERE " + _COMPARABLE, "s")
    target = _side(connection, entity, county_id, table, "{l} AS l WHERE " + _NOT_EXCUSED, "l") if has_leaf else (0, None, None)
    late = _scalar(connection, _format(entity, county_id, table, "SELECT count(*) FROM {s} AS s WHERE s._late = 1"))
    quarantined = open_quarantine(connection, entity, county_id)
    return Sides(source[0], target[0], late, quarantined, source[1], target[1], source[2], target[2])


def live_count(connection: Connection, entity: Entity, county_id: str) -> int:
    """Live rows of the county's partition."""
    if not ddl.leaf_exists(connection, entity, county_id):
        return 0
    return _scalar(connection, sql.SQL("SELECT count(*) FROM {} WHERE _deleted_at IS NULL").format(leaf(entity, county_id)))


def open_quarantine(connection: Connection, entity: Entity, county_id: str, *, absent: bool = False) -> int:
    """Rows in quarantine; with `absent` only those that have no live older version in the target."""
    statement = sql.SQL("SELECT count(*) FROM pacs_ops.quarantine AS q WHERE q.county_id = {} AND q.entity = {} AND q.state = 'open'").format(
        sql.Literal(county_id), sql.Literal(entity.name)
    )
    if absent and ddl.leaf_exists(connection, entity, county_id):
        statement += sql.SQL(" AND NOT EXISTS (SELECT FROM {} AS l WHERE l.{}::text = q.source_key AND l._deleted_at IS NULL)").format(
            leaf(entity, county_id), sql.Identifier(entity.key)
        )
    return _scalar(connection, statement)


def quarantined_keys(connection: Connection, entity: Entity, county_id: str, limit: int) -> list[str]:
    """Keys in quarantine, the longest waiting first."""
    rows = connection.execute(
        "SELECT source_key FROM pacs_ops.quarantine WHERE county_id = %s AND entity = %s AND state = 'open' AND source_key <> '' "
        "ORDER BY last_seen_at LIMIT %s",
        (county_id, entity.name, limit),
    )
    return [key for (key,) in rows]


def _side(
    connection: Connection, entity: Entity, county_id: str, table: str, body: str, alias: str
) -> tuple[int, bytes | None, dict[str, Any] | None]:
    """(rows, digest, sums). Hashes are folded per first byte of the hash, so that no string outgrows memory."""
    text = (
        "WITH hashed AS MATERIALIZED (SELECT {key} AS k, {hash} AS h FROM " + body + "), "  # noqa: S608
        "buckets AS (SELECT get_byte(h, 0) AS bucket, count(*) AS n, sha256(string_agg(h, ''::bytea ORDER BY k)) AS digest FROM hashed GROUP BY 1) "
        "SELECT coalesce(sum(n), 0)::bigint, sha256(string_agg(digest, ''::bytea ORDER BY bucket)) FROM buckets"
    )
    more = {"key": sql.Identifier(alias, entity.key), "hash": row_hash(entity, alias)}
    row = connection.execute(_format(entity, county_id, table, text, **more)).fetchone()
    sums = _sums(connection, entity, county_id, table, body, alias)
    return (int(row[0]), row[1], sums) if row else (0, None, None)


def _sums(connection: Connection, entity: Entity, county_id: str, table: str, body: str, alias: str) -> dict[str, Any] | None:
    if not entity.money:
        return None
    group = sql.SQL("coalesce({}::text, '')").format(sql.Identifier(alias, entity.money_by)) if entity.money_by else sql.SQL("''")
    totals = sql.SQL(", ").join(
        sql.SQL("{}, coalesce(sum({}), 0)::text").format(sql.Literal(name), sql.Identifier(alias, name)) for name in entity.money
    )
    text = (
        "SELECT coalesce(jsonb_object_agg(grp, totals), '{{}}') FROM (SELECT {group} AS grp, jsonb_build_object({totals}) AS totals FROM "  # noqa: S608
        + body
        + " GROUP BY 1) AS t"
    )
    row = connection.execute(_format(entity, county_id, table, text, group=group, totals=totals)).fetchone()
    return dict(row[0]) if row else None


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
        **more,
    )


def sample(found: Sequence[tuple[str, Kind]], limit: int = 20) -> list[str]:
    """The first keys of a list of differences, as `kind:key`."""
    return [f"{kind}:{key}" for key, kind in found[:limit]]
