"""Staged rows -> the county's partition, quarantine, tombstones and pending deletes, inside the caller's
transaction.

Only `publisher.py` calls this, and only rows that differ are written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.records import DeleteBounds, RowCounts, RunRecord
from airflow_provider_pacs.sync.target.postgres import ddl, history
from airflow_provider_pacs.sync.target.postgres.sql import (
    columns,
    differs,
    key_text,
    partition,
    row_digest,
    stage,
)

Connection = psycopg.Connection[Any]
_PUBLISHED = "FROM {s} AS s WHERE s._reject IS NULL AND s._op = 'U' "


@dataclass(frozen=True, slots=True)
class StagedEntity:
    """One entity's staging table on its way into the county's partition.

    Attributes:
        entity: the canonical entity.
        run: the run that writes.
        table: staging table; rows with `_reject` go to quarantine, rows with `_op` D are gone at the source.
        bounds: how many rows may become tombstones without a person.
        source_is_empty: the source was counted, or read whole, and had no row, which always needs a person.
        waiting_rule: the rule under which rows without a parent wait; None for a root.
        approved: sets of deletes that a person has approved: their keys pass the guard.
        at: the publish's time, where its changes go to the change log; None where no history is kept.
    """

    entity: Entity
    run: RunRecord
    table: str
    bounds: DeleteBounds
    source_is_empty: bool = False
    waiting_rule: str | None = None
    approved: tuple[int, ...] = ()
    at: datetime | None = None

    @property
    def now(self) -> sql.Composable:
        """The time that this publish's rows bear."""
        return sql.SQL("now()") if self.at is None else sql.Literal(self.at)

    def sql(self, text: str, **more: sql.Composable) -> sql.Composed:
        """A statement with this entity's names; every part is a quoted identifier, a literal or composed of
        such.
        """
        return sql.SQL(text).format(
            s=stage(self.table),
            l=partition(self.entity, self.run.county_id),
            k=sql.Identifier(self.entity.key),
            digest=row_digest(self.entity, "s"),
            key=key_text(self.entity, "s"),
            lkey=key_text(self.entity, "l"),
            cols=columns(self.entity.column_names),
            scols=columns(self.entity.column_names, "s"),
            parent=sql.Identifier(self.entity.parent_key or self.entity.key),
            waiting=sql.Literal(self.waiting_rule),
            now=self.now,
            **more,
        )


def apply_stage(connection: Connection, staged: StagedEntity) -> RowCounts:
    """Bring the county's partition to what the staging table says.

    A partition made here is attached by the caller, at the transaction's end.
    """
    county_id = staged.run.county_id
    if staged.at is not None:
        history.note_quarantine(connection, staged.run, staged.entity, staged.at, staged.table)
    quarantined = _quarantine(connection, staged)
    released = _release(connection, staged)
    if not ddl.partition_exists(connection, staged.entity, county_id):
        inserted = _first_load(connection, staged)
        ddl.finish_partition(connection, staged.entity, county_id)
        return RowCounts(inserted=inserted, quarantined=quarantined, released=released)
    deleted, pending = _delete(connection, staged)
    updated = _update(connection, staged)
    inserted = _insert(connection, staged)
    return RowCounts(inserted, updated, deleted, quarantined, released, pending)


_CHANGING = (
    "{s} AS s WHERE s._reject IS NULL AND s._op = 'U' AND l.{k} = s.{k} AND ({differs} OR "
    "l._deleted_at IS NOT NULL)"
)
"""Rows of the partition `l` that the staging table has otherwise, tombstones among them."""


def _update(connection: Connection, staged: StagedEntity) -> int:
    entity = staged.entity
    if staged.at is not None:
        changing = staged.sql("{l} AS l, {rows}", rows=staged.sql(_CHANGING, differs=differs(entity)))
        history.note_rows(connection, staged.run, entity, staged.at, "U", changing, before="l", after="s")
    assignments = sql.SQL(", ").join(
        sql.SQL("{0} = s.{0}").format(sql.Identifier(name))
        for name in entity.column_names
        if name != entity.key
    )
    statement = staged.sql(
        "UPDATE {l} AS l SET {set}, _source_key = s._source_key, _source_version = s._source_version, "
        "_run_id = %s, _changed_at = {now}, _deleted_at = NULL FROM {rows}",
        rows=staged.sql(_CHANGING, differs=differs(entity)),
        set=assignments,
    )
    return connection.execute(statement, (staged.run.run_id,)).rowcount


_COMING = _PUBLISHED + "AND NOT EXISTS (SELECT FROM {l} AS l WHERE l.{k} = s.{k})"


def _insert(connection: Connection, staged: StagedEntity) -> int:
    if staged.at is not None:
        coming = staged.sql(_COMING.removeprefix("FROM "))
        history.note_rows(
            connection, staged.run, staged.entity, staged.at, "I", coming, before=None, after="s"
        )
    statement = staged.sql(
        "INSERT INTO {l} (county_id, {cols}, _source_key, _run_id, _source_version, _first_seen_at, "
        "_changed_at) "
        "SELECT %s, {scols}, s._source_key, %s, s._source_version, {now}, {now} " + _COMING,
    )
    return connection.execute(statement, (staged.run.county_id, staged.run.run_id)).rowcount


def _first_load(connection: Connection, staged: StagedEntity) -> int:
    """A detached table of all rows, in the columns of the root.

    CREATE TABLE AS runs in parallel and checks nothing row by row, as INSERT would.
    """
    statement = staged.sql(
        "CREATE TABLE {l} AS SELECT {county}::text AS county_id, {scols}, s._source_key, {run}::uuid AS "
        "_run_id, "
        "s._source_version, {now} AS _first_seen_at, {now} AS _changed_at, NULL::timestamptz AS _deleted_at "
        + _PUBLISHED,
        county=sql.Literal(staged.run.county_id),
        run=sql.Literal(str(staged.run.run_id)),
    )
    return connection.execute(statement).rowcount


def is_empty(connection: Connection, table: str) -> bool:
    """Whether a staging table holds no row of the source."""
    row = connection.execute(
        sql.SQL("SELECT FROM {} WHERE _op = 'U' LIMIT 1").format(stage(table))
    ).fetchone()
    return row is None


_LEAVING = (
    "SELECT l.{k} AS k, {lkey} AS key FROM {s} AS s JOIN {l} AS l ON l.{k} = s.{k} WHERE l._deleted_at IS "
    "NULL "
    "AND (s._op = 'D' OR (s._op = 'U' AND s._reject = ARRAY[{waiting}]::text[] "
    "AND l.{parent} IS DISTINCT FROM s.{parent}))"
)
"""Every live row that this run would make a tombstone, whatever the cause.

Gone at the source; or a child that waiting keeps from its new parent and that must not stay with the old one.
A child that still names the parent it had, which is gone, stays as it is (case 114).
"""


def _delete(connection: Connection, staged: StagedEntity) -> tuple[int, int]:
    """(rows made tombstones, rows that wait for a person); the one guard for every tombstone."""
    run, bounds = staged.run, staged.bounds
    approved = "SELECT source_key FROM pacs_ops.pending_delete_key WHERE pending_id = ANY (%(approved)s)"
    counted = connection.execute(
        staged.sql(
            "SELECT (SELECT count(*) FROM (" + _LEAVING + ") AS x WHERE x.key NOT IN (" + approved + ")), "  # noqa: S608
            "count(*) FILTER (WHERE _deleted_at IS NULL), "
            "count(*) FILTER (WHERE _deleted_at > now() - make_interval(days => %(days)s) AND _run_id <> "
            "%(run)s "
            "AND _run_id NOT IN (SELECT run_id FROM pacs_ops.sync_run WHERE county_id = %(county)s "
            "AND kind = 'approval')), "
            "count(*) FILTER (WHERE _deleted_at IS NOT NULL AND _run_id = %(run)s) FROM {l}"
        ),
        {
            "approved": list(staged.approved),
            "days": bounds.window_days,
            "run": run.run_id,
            "county": run.county_id,
        },
    ).fetchone()
    gone, live, earlier, this_run = counted or (0, 0, 0, 0)
    refused = bounds.refuses(
        gone, live, earlier=earlier + this_run, source_is_empty=staged.source_is_empty and not staged.approved
    )
    pending = _set_aside(connection, staged, live, earlier) if refused else 0
    going = staged.sql(
        "(" + _LEAVING + ") AS x WHERE l.{k} = x.k AND (NOT {refused} OR x.key IN ("  # noqa: S608
        "SELECT source_key FROM pacs_ops.pending_delete_key WHERE pending_id = ANY ({approved})))",
        refused=sql.Literal(refused),
        approved=sql.Literal(list(staged.approved)),
    )
    if staged.at is not None:
        leaving = staged.sql("{l} AS l, {going}", going=going)
        history.note_rows(
            connection, run, staged.entity, staged.at, "D", leaving, before="l", after="l", deleted="true"
        )
    deleted = connection.execute(
        staged.sql(
            "UPDATE {l} AS l SET _deleted_at = {now}, _changed_at = {now}, _run_id = {run} FROM {going}",
            run=sql.Literal(run.run_id),
            going=going,
        )
    ).rowcount
    if not refused and _came_back(connection, staged):
        pending = _set_aside(connection, staged, live, earlier)
    return deleted, pending


def _came_back(connection: Connection, staged: StagedEntity) -> bool:
    """Whether an undecided set names a row that this run read at the source, or that is no longer live."""
    row = connection.execute(
        staged.sql(
            "SELECT EXISTS (SELECT FROM pacs_ops.pending_delete AS d "  # noqa: S608
            "JOIN pacs_ops.pending_delete_key AS dk "
            "USING (pending_id) WHERE d.county_id = %(county)s AND d.entity = %(entity)s "
            "AND d.state = 'pending' AND d.pending_id <> ALL (%(approved)s) "
            "AND (EXISTS (SELECT FROM {s} AS s WHERE s._op = 'U' AND "
            "{key} = dk.source_key AND dk.source_key NOT IN (SELECT x.key FROM (" + _LEAVING + ") AS x)) "
            "OR NOT EXISTS (SELECT FROM {l} AS l WHERE {lkey} = dk.source_key AND l._deleted_at IS NULL)))"
        ),
        {"county": staged.run.county_id, "entity": staged.entity.name, "approved": list(staged.approved)},
    ).fetchone()
    return bool(row and row[0])


def _set_aside(connection: Connection, staged: StagedEntity, live: int, earlier: int) -> int:
    """Keep the set with its digest for a person; an older undecided set of the entity is replaced.

    Keys of the replaced set that this run did not look at, and that are live, wait on in the new one.

    Returns:
        Rows of the set.
    """
    run, entity = staged.run, staged.entity
    replaced = connection.execute(
        "UPDATE pacs_ops.pending_delete SET state = 'replaced' WHERE county_id = %s AND entity = %s "
        "AND state = 'pending' AND pending_id <> ALL (%s) RETURNING pending_id",
        (run.county_id, entity.name, list(staged.approved)),
    ).fetchall()
    reason = f" of {live} rows are gone at the source"
    if earlier:
        reason += f", after {earlier} in the last {staged.bounds.window_days} days"
    made = connection.execute(
        staged.sql(
            "WITH gone AS (SELECT x.key FROM (" + _LEAVING + ") AS x WHERE x.key NOT IN "  # noqa: S608
            "(SELECT source_key FROM pacs_ops.pending_delete_key WHERE pending_id = ANY (%(approved)s)) "
            "UNION SELECT d.source_key FROM pacs_ops.pending_delete_key AS d JOIN {l} AS l "
            "ON {lkey} = d.source_key WHERE d.pending_id = ANY (%(replaced)s) AND l._deleted_at IS NULL "
            "AND NOT EXISTS (SELECT FROM {s} AS s WHERE s.{k} = l.{k})), "
            "made AS (INSERT INTO pacs_ops.pending_delete "
            "(county_id, entity, run_id, row_count, live_count, digest, reason) "
            "SELECT %(county)s, %(entity)s, %(run)s, count(*), %(live)s, "
            "sha256(convert_to(string_agg(key, ',' ORDER BY key), 'UTF8')), count(*)::text || "
            "%(reason)s::text "
            "FROM gone HAVING count(*) > 0 RETURNING pending_id, row_count), "
            "kept AS (INSERT INTO pacs_ops.pending_delete_key SELECT made.pending_id, gone.key FROM made, "
            "gone) "
            "SELECT row_count FROM made"
        ),
        {
            "approved": list(staged.approved),
            "replaced": [pending_id for (pending_id,) in replaced],
            "county": run.county_id,
            "entity": entity.name,
            "run": run.run_id,
            "live": live,
            "reason": reason,
        },
    ).fetchone()
    return int(made[0]) if made else 0


def _quarantine(connection: Connection, staged: StagedEntity) -> int:
    statement = staged.sql(
        "INSERT INTO pacs_ops.quarantine AS q (county_id, entity, source_key, rules, source_version, "
        "payload_digest, "
        "run_id) SELECT DISTINCT ON (s.{k}) %s, %s, coalesce({key}, ''), s._reject, s._source_version, "
        "{digest}, %s "
        "FROM {s} AS s WHERE s._reject IS NOT NULL ORDER BY s.{k}, s._pass DESC "
        "ON CONFLICT (county_id, entity, source_key) DO UPDATE SET rules = excluded.rules, "
        "source_version = excluded.source_version, payload_digest = excluded.payload_digest, "
        "run_id = excluded.run_id, last_seen_at = now(), attempts = q.attempts + 1, state = 'open', "
        "first_seen_at = CASE q.state WHEN 'open' THEN q.first_seen_at ELSE now() END",
    )
    values = (staged.run.county_id, staged.entity.name, staged.run.run_id)
    return connection.execute(statement, values).rowcount


def _release(connection: Connection, staged: StagedEntity) -> int:
    """Quarantined keys that passed now, or that are gone at the source."""
    statement = staged.sql(
        "UPDATE pacs_ops.quarantine AS q SET state = 'released', last_seen_at = now(), run_id = %s FROM {s} "
        "AS s "
        "WHERE q.county_id = %s AND q.entity = %s AND q.state = 'open' AND s._reject IS NULL AND {key} = "
        "q.source_key",
    )
    values = (staged.run.run_id, staged.run.county_id, staged.entity.name)
    return connection.execute(statement, values).rowcount


def orphans(connection: Connection, staged: StagedEntity) -> tuple[int, int, int]:
    """(rows of the entity, rows whose parent is not live in the county's partition, of these unexplained).

    A child is explained that was in quarantine before, whose parent is, or that is live under the same
    parent, which was deleted since: what is left begins to wait because its parent was not published at all.
    Parents must have been applied before.
    """
    entity, county_id = staged.entity, staged.run.county_id
    if entity.parent is None or entity.parent_key is None:
        return 0, 0, 0
    there = ddl.partition_exists(connection, entity, county_id)
    size = "(SELECT count(*) FROM {l} WHERE _deleted_at IS NULL)" if there else "0"
    stays = (
        "EXISTS (SELECT FROM {l} AS l WHERE l.{k} = s.{k} AND l._deleted_at IS NULL AND l.{parent} = "
        "s.{parent})"
    )
    statement = staged.sql(
        "SELECT greatest(count(*), " + size + "), count(*) FILTER (WHERE {orphan}), "  # noqa: S608
        "count(*) FILTER (WHERE {orphan} AND NOT " + (stays if there else "false") + " AND NOT EXISTS "
        "(SELECT FROM pacs_ops.quarantine AS q WHERE q.county_id = %(county)s AND q.state = 'open' AND "
        "(q.entity = %(entity)s AND q.source_key = {key} OR q.entity = %(parent)s AND q.source_key = "
        "{parent_key}))) "
        "FROM {s} AS s WHERE s._reject IS NULL AND s._op = 'U'",
        orphan=_orphan(connection, staged),
        parent_key=sql.SQL("coalesce(s._parent_key, s.{}::text)").format(sql.Identifier(entity.parent_key)),
    )
    values = {"county": county_id, "entity": entity.name, "parent": entity.parent}
    row = connection.execute(statement, values).fetchone()
    return (int(row[0]), int(row[1]), int(row[2])) if row else (0, 0, 0)


def reject_orphans(connection: Connection, staged: StagedEntity) -> int:
    """Set the waiting children aside under their rule: they attach when the parent is there."""
    statement = staged.sql(
        "UPDATE {s} AS s SET _reject = ARRAY[{waiting}]::text[] "
        "WHERE s._reject IS NULL AND s._op = 'U' AND {orphan}",
        orphan=_orphan(connection, staged),
    )
    return connection.execute(statement).rowcount


def _orphan(connection: Connection, staged: StagedEntity) -> sql.Composable:
    parent, county_id = load_entities()[str(staged.entity.parent)], staged.run.county_id
    if not ddl.partition_exists(connection, parent, county_id):
        return sql.SQL("true")
    return sql.SQL("NOT EXISTS (SELECT FROM {} AS p WHERE p.{} = s.{} AND p._deleted_at IS NULL)").format(
        partition(parent, county_id),
        sql.Identifier(parent.key),
        sql.Identifier(str(staged.entity.parent_key)),
    )


def redact(
    connection: Connection,
    run: RunRecord,
    entity: Entity,
    parties_table: str,
    by: str,
    values: Mapping[str, str | bool | None] | Sequence[tuple[str, str | bool | None]],
) -> int:
    """Give every row of these parties, tombstones too, the values that a new row of theirs would have.

    Returns:
        How many rows said more.
    """
    if not ddl.partition_exists(connection, entity, run.county_id):
        return 0
    pairs = dict(values).items()
    said = sql.SQL(" OR ").join(
        sql.SQL("l.{} IS DISTINCT FROM {}").format(sql.Identifier(name), sql.Literal(value))
        for name, value in pairs
    )
    becomes = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value)) for name, value in pairs
    )
    return connection.execute(
        sql.SQL(
            "UPDATE {l} AS l SET {becomes}, _changed_at = now() FROM {parties} AS p WHERE l.{by} = p.party "
            "AND ({said})"
        ).format(
            l=partition(entity, run.county_id),
            becomes=becomes,
            parties=stage(parties_table),
            by=sql.Identifier(by),
            said=said,
        )
    ).rowcount
