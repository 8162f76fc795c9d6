"""Staged rows -> the county's partitions, quarantine, tombstones and cursors, inside the caller's
transaction. Only rows that differ are written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.target.postgres import ddl
from airflow_provider_pacs.sync.target.postgres.sql import columns, differs, key_text, leaf, row_hash, stage

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Applied:
    """Rows that one entity's apply wrote."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    quarantined: int = 0
    released: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True)
class Guard:
    """How many rows one run may delete: more than both bounds allow is held (domain.md G9, correctness.md
    C7).
    """

    max_rows: int
    max_percent: float

    def holds(self, gone: int, live: int, *, earlier: int = 0, source_is_empty: bool = False) -> bool:
        """Whether to hold `gone` deletes of `live` rows, after `earlier` deletes of the same run."""
        if gone == 0:
            return False
        return source_is_empty or gone + earlier > max(
            self.max_rows, (live + earlier) * self.max_percent / 100
        )


@dataclass(frozen=True, slots=True)
class Fence:
    """Who writes: the run, its county, and the epoch it took."""

    run_id: str
    county_id: str
    epoch: int


def apply_stage(
    connection: Connection,
    entity: Entity,
    fence: Fence,
    table: str,
    guard: Guard,
    *,
    source_is_empty: bool,
    waiting_rule: str | None = None,
) -> Applied:
    """Bring the county's partition to what the staging table says.

    A partition made here is attached by the caller, at the transaction's end.

    Args:
        connection: in a transaction of the caller.
        entity: the canonical entity.
        fence: run and county.
        table: staging table; rows with `_reject` go to quarantine, rows with `_op` D become tombstones if the
            guard lets them.
        guard: the delete guard.
        source_is_empty: the whole source was read and had no row, which no guard lets pass.
        waiting_rule: the rule under which rows without a parent wait; None for a root.
    """
    quarantined = _quarantine(connection, entity, fence, table)
    released = _release(connection, entity, fence, table)
    if not ddl.leaf_exists(connection, entity, fence.county_id):
        inserted = _first_load(connection, entity, fence, table)
        ddl.finish_leaf(connection, entity, fence.county_id)  # the caller attaches it
        return Applied(inserted=inserted, quarantined=quarantined, released=released)
    updated = _update(connection, entity, fence, table)
    inserted = _insert(connection, entity, fence, table)
    deleted, held = _delete(connection, entity, fence, table, guard, source_is_empty=source_is_empty)
    closed = _close_moved(connection, entity, fence, table, waiting_rule) if waiting_rule else 0
    return Applied(inserted, updated, deleted + closed, quarantined, released, held)


def _format(entity: Entity, fence: Fence, table: str, text: str, **more: sql.Composable) -> sql.Composed:
    return sql.SQL(text).format(  # every part is a quoted identifier or composed of such
        s=stage(table),
        l=leaf(entity, fence.county_id),
        k=sql.Identifier(entity.key),
        hash=row_hash(entity),
        key=key_text(entity, "s"),
        lkey=key_text(entity, "l"),
        cols=columns(entity.column_names),
        scols=columns(entity.column_names, "s"),
        **more,
    )


def _update(connection: Connection, entity: Entity, fence: Fence, table: str) -> int:
    assignments = sql.SQL(", ").join(
        sql.SQL("{0} = s.{0}").format(sql.Identifier(name))
        for name in entity.column_names
        if name != entity.key
    )
    statement = _format(
        entity,
        fence,
        table,
        "UPDATE {l} AS l SET {set}, _row_hash = {hash}, _source_key = s._source_key, _source_version = "
        "s._source_version, "
        "_run_id = %s, _changed_at = now(), _deleted_at = NULL "
        "FROM {s} AS s WHERE s._reject IS NULL AND s._op = 'U' AND l.{k} = s.{k} AND ({differs} OR "
        "l._deleted_at IS NOT NULL)",
        differs=differs(entity),
        set=assignments,
    )
    return connection.execute(statement, (fence.run_id,)).rowcount


_PUBLISHED = "FROM {s} AS s WHERE s._reject IS NULL AND s._op = 'U' "


def _insert(connection: Connection, entity: Entity, fence: Fence, table: str) -> int:
    statement = _format(
        entity,
        fence,
        table,
        "INSERT INTO {l} (county_id, {cols}, _source_key, _run_id, _row_hash, _source_version, "  # noqa: S608
        "_first_seen_at, _changed_at) "
        "SELECT %s, {scols}, s._source_key, %s, {hash}, s._source_version, now(), now() "
        + _PUBLISHED
        + "AND NOT EXISTS (SELECT FROM {l} AS l WHERE l.{k} = s.{k})",
    )
    return connection.execute(statement, (fence.county_id, fence.run_id)).rowcount


def _first_load(connection: Connection, entity: Entity, fence: Fence, table: str) -> int:
    """A detached table of all rows, in the columns of the root.

    CREATE TABLE AS hashes in parallel and checks nothing row by row, as INSERT would.
    """
    statement = _format(
        entity,
        fence,
        table,
        "CREATE TABLE {l} AS SELECT {county}::text AS county_id, {scols}, s._source_key, {run}::uuid AS "
        "_run_id, {hash} AS _row_hash, "
        "s._source_version, now() AS _first_seen_at, now() AS _changed_at, NULL::timestamptz AS _deleted_at "
        + _PUBLISHED,
        county=sql.Literal(fence.county_id),
        run=sql.Literal(fence.run_id),
    )
    return connection.execute(statement).rowcount


def is_empty(connection: Connection, table: str) -> bool:
    """Whether a staging table holds no row of the source."""
    return (
        connection.execute(sql.SQL("SELECT FROM {} WHERE _op = 'U' LIMIT 1").format(stage(table))).fetchone()
        is None
    )


def _delete(
    connection: Connection, entity: Entity, fence: Fence, table: str, guard: Guard, *, source_is_empty: bool
) -> tuple[int, int]:
    """(tombstoned, held)."""
    counted = connection.execute(
        _format(
            entity,
            fence,
            table,
            "SELECT (SELECT count(*) FROM {s} AS s JOIN {l} AS l USING ({k}) WHERE s._op = 'D' AND "
            "l._deleted_at IS NULL), "
            "count(*) FILTER (WHERE _deleted_at IS NULL), count(*) FILTER (WHERE _deleted_at IS NOT NULL "
            "AND _run_id = %s) FROM {l}",
        ),
        (fence.run_id,),
    ).fetchone()
    gone, live, earlier = counted or (0, 0, 0)
    if guard.holds(gone, live, earlier=earlier, source_is_empty=source_is_empty):
        _hold(connection, entity, fence, table, gone, live)
        return 0, gone
    if not gone:
        return 0, 0
    statement = _format(
        entity,
        fence,
        table,
        "UPDATE {l} AS l SET _deleted_at = now(), _changed_at = now(), _run_id = %s FROM {s} AS s "
        "WHERE s._op = 'D' AND l.{k} = s.{k} AND l._deleted_at IS NULL",
    )
    return connection.execute(statement, (fence.run_id,)).rowcount, 0


def _hold(connection: Connection, entity: Entity, fence: Fence, table: str, gone: int, live: int) -> None:
    """Keep the set of deletes, with its digest, for somebody to decide on; an older undecided set of the
    entity is replaced.
    """
    connection.execute(
        "UPDATE pacs_ops.held_delete SET state = 'replaced' WHERE county_id = %s AND entity = %s AND state "
        "= 'held'",
        (fence.county_id, entity.name),
    )
    statement = _format(
        entity,
        fence,
        table,
        "WITH gone AS (SELECT {lkey} AS key FROM {s} AS s JOIN {l} AS l USING ({k}) WHERE s._op = 'D' AND "
        "l._deleted_at IS NULL), "
        "held AS (INSERT INTO pacs_ops.held_delete (county_id, entity, run_id, row_count, live_count, "
        "digest, reason) "
        "SELECT %s, %s, %s, %s, %s, sha256(convert_to(string_agg(key, ',' ORDER BY key), 'UTF8')), %s FROM "
        "gone RETURNING held_id) "
        "INSERT INTO pacs_ops.held_delete_key SELECT held.held_id, gone.key FROM held, gone",
    )
    reason = f"{gone} of {live} rows are gone at the source"
    connection.execute(statement, (fence.county_id, entity.name, fence.run_id, gone, live, reason))


def _close_moved(connection: Connection, entity: Entity, fence: Fence, table: str, waiting_rule: str) -> int:
    """Children that waiting keeps from their new parent don't stay with the old one: their row becomes a
    tombstone until the parent arrives.

    A child that still names the parent it had, which is gone, stays as it is (case 114).
    """
    statement = _format(
        entity,
        fence,
        table,
        "UPDATE {l} AS l SET _deleted_at = now(), _changed_at = now(), _run_id = %s FROM {s} AS s "
        "WHERE s._op = 'U' AND s._reject = ARRAY[%s]::text[] AND l.{k} = s.{k} AND l._deleted_at IS NULL "
        "AND l.{parent} IS DISTINCT FROM s.{parent}",
        parent=sql.Identifier(str(entity.parent_key)),
    )
    return connection.execute(statement, (fence.run_id, waiting_rule)).rowcount


def _quarantine(connection: Connection, entity: Entity, fence: Fence, table: str) -> int:
    statement = _format(
        entity,
        fence,
        table,
        "INSERT INTO pacs_ops.quarantine AS q (county_id, entity, source_key, rules, source_version, "
        "payload_digest, run_id) "
        "SELECT DISTINCT ON (s.{k}) %s, %s, coalesce({key}, ''), s._reject, s._source_version, {hash}, %s "
        "FROM {s} AS s WHERE s._reject IS NOT NULL ORDER BY s.{k}, s._seq DESC "
        "ON CONFLICT (county_id, entity, source_key) DO UPDATE SET rules = excluded.rules, source_version = "
        "excluded.source_version, "
        "payload_digest = excluded.payload_digest, run_id = excluded.run_id, last_seen_at = now(), attempts "
        "= q.attempts + 1, state = 'open', "
        "first_seen_at = CASE q.state WHEN 'open' THEN q.first_seen_at ELSE now() END",
    )
    return connection.execute(statement, (fence.county_id, entity.name, fence.run_id)).rowcount


def _release(connection: Connection, entity: Entity, fence: Fence, table: str) -> int:
    """Quarantined keys that passed now, or that are gone at the source."""
    statement = _format(
        entity,
        fence,
        table,
        "UPDATE pacs_ops.quarantine AS q SET state = 'released', last_seen_at = now(), run_id = %s FROM {s} "
        "AS s "
        "WHERE q.county_id = %s AND q.entity = %s AND q.state = 'open' AND s._reject IS NULL AND {key} = "
        "q.source_key",
    )
    return connection.execute(statement, (fence.run_id, fence.county_id, entity.name)).rowcount


def orphans(connection: Connection, entity: Entity, fence: Fence, table: str) -> tuple[int, int, int]:
    """(rows judged, rows whose parent is not live in the county's partition, of these new).

    Parents must have been applied before.
    """
    if entity.parent is None or entity.parent_key is None:
        return 0, 0, 0
    parent = load_entities()[entity.parent]
    statement = _format(
        entity,
        fence,
        table,
        "SELECT count(*), count(*) FILTER (WHERE {orphan}), count(*) FILTER (WHERE {orphan} AND NOT EXISTS "
        "(SELECT FROM pacs_ops.quarantine AS q "
        "WHERE q.county_id = %s AND q.entity = %s AND q.state = 'open' AND q.source_key = {key})) "
        "FROM {s} AS s WHERE s._reject IS NULL AND s._op = 'U'",
        orphan=_orphan(connection, entity, parent, fence),
    )
    row = connection.execute(statement, (fence.county_id, entity.name)).fetchone()
    return (int(row[0]), int(row[1]), int(row[2])) if row else (0, 0, 0)


def reject_orphans(connection: Connection, entity: Entity, fence: Fence, table: str, rule_id: str) -> int:
    """Set the waiting children aside under `rule_id`: they stay in quarantine, are read again each run, and
    attach when the parent is there.
    """
    parent = load_entities()[str(entity.parent)]
    statement = _format(
        entity,
        fence,
        table,
        "UPDATE {s} AS s SET _reject = ARRAY[%s]::text[] WHERE s._reject IS NULL AND s._op = 'U' AND "
        "{orphan}",
        orphan=_orphan(connection, entity, parent, fence),
    )
    return connection.execute(statement, (rule_id,)).rowcount


def _orphan(connection: Connection, entity: Entity, parent: Entity, fence: Fence) -> sql.Composable:
    if not ddl.leaf_exists(connection, parent, fence.county_id):
        return sql.SQL("true")
    return sql.SQL("NOT EXISTS (SELECT FROM {} AS p WHERE p.{} = s.{} AND p._deleted_at IS NULL)").format(
        leaf(parent, fence.county_id), sql.Identifier(parent.key), sql.Identifier(str(entity.parent_key))
    )
