"""Staged before-images -> the county's partition and journal as they were, inside the caller's transaction.

Only `publisher.py` calls this. A rollback is a publish like any other: what it changes goes to the change
log before.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.records import RollbackScope, RowCounts, RunRecord
from airflow_provider_pacs.sync.target.postgres import ddl, history, rollbacks
from airflow_provider_pacs.sync.target.postgres.sql import columns, partition, stage

Connection = psycopg.Connection[Any]


def restore_rows(
    connection: Connection, run: RunRecord, entity: Entity, at: datetime, table: str
) -> RowCounts:
    """Give every staged row its image back, provenance included, and remove those that were not there."""
    if not ddl.partition_exists(connection, entity, run.county_id):
        return RowCounts()
    names = rollbacks.image_names(connection, table)
    parts = {
        "l": partition(entity, run.county_id),
        "s": stage(table),
        "k": sql.Identifier(entity.key),
        "differs": rollbacks.image_differs(names, "l", "s"),
        "set": sql.SQL(", ").join(
            sql.SQL("{0} = s.{0}").format(sql.Identifier(name)) for name in names if name != entity.key
        ),
        "cols": columns(names),
        "scols": columns(names, "s"),
        "county": sql.Literal(run.county_id),
    }
    going = sql.SQL("{l} AS l, {s} AS s WHERE s._op = 'D' AND l.{k} = s.{k}").format(**parts)
    back = sql.SQL("{l} AS l, {s} AS s WHERE s._op = 'U' AND l.{k} = s.{k} AND {differs}").format(**parts)
    again = sql.SQL(
        "{s} AS s WHERE s._op = 'U' AND NOT EXISTS (SELECT FROM {l} AS l WHERE l.{k} = s.{k})"
    ).format(**parts)
    gone = "(s._deleted_at IS NOT NULL)"
    history.note_rows(connection, run, entity, at, "X", going, before="l", after=None)
    history.note_rows(connection, run, entity, at, "U", back, before="l", after="s", deleted=gone)
    history.note_rows(connection, run, entity, at, "I", again, before=None, after="s", deleted=gone)
    removed = connection.execute(
        sql.SQL("DELETE FROM {l} AS l USING {s} AS s WHERE s._op = 'D' AND l.{k} = s.{k}").format(**parts)
    ).rowcount
    updated = connection.execute(
        sql.SQL(
            "UPDATE {l} AS l SET {set} FROM {s} AS s WHERE s._op = 'U' AND l.{k} = s.{k} AND {differs}"
        ).format(**parts)
    ).rowcount
    inserted = connection.execute(
        sql.SQL("INSERT INTO {l} (county_id, {cols}) SELECT {county}, {scols} FROM {again}").format(
            again=again, **parts
        )
    ).rowcount
    return RowCounts(inserted=inserted, updated=updated, deleted=removed)


def restore_state(
    connection: Connection, run: RunRecord, entity: Entity, at: datetime, scope: RollbackScope
) -> None:
    """Put back the entity's cursor, probed contents, quarantine and pending deletes.

    What this replaces is recorded before, so that a rollback can be undone like any other run.
    """
    for what in ("cursor", "probe", "quarantine", "pending"):
        names = {"county": sql.Literal(run.county_id), "entity": sql.Literal(entity.name)}
        # Chosen once: what is recorded next would count as a later change.
        connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE pacs_restoring ON COMMIT DROP AS {}").format(
                rollbacks.chosen_state(run.county_id, entity.name, what, scope)
            )
        )
        present = sql.SQL("SELECT c.key, ({}) FROM pg_temp.pacs_restoring AS c").format(
            sql.SQL(_PRESENT[what]).format(**names)
        )
        history.note_state(connection, run, entity.name, at, what, present)
        for statement in _RESTORE[what]:
            connection.execute(sql.SQL(statement).format(run=sql.Literal(run.run_id), **names))
        if what == "cursor":
            _keep_distrust(connection, run.county_id, entity.name, scope)
        connection.execute("DROP TABLE pg_temp.pacs_restoring")


def _keep_distrust(connection: Connection, county_id: str, entity: str, scope: RollbackScope) -> None:
    """Where a run since the scope's first publish saw the feed lost, the restored cursor's feed is none.

    The feed may look again as it did when that cursor was stored; what it did not show is still unread.
    """
    connection.execute(
        sql.SQL(
            "UPDATE pacs_ops.sync_state AS s SET feed = '' WHERE s.county_id = {county} AND s.entity = "
            "{entity} AND s.feed IS NOT NULL AND EXISTS (SELECT FROM pacs_ops.change_log_state AS o WHERE "
            "o.county_id = {county} AND o.entity = {entity} AND o.what = 'cursor' AND o.before ->> 'feed' = "
            "'' AND o.at >= (SELECT min(t.at) FROM pacs_ops.change_set AS t WHERE t.county_id = {county} AND "
            "{in_scope}))"
        ).format(
            county=sql.Literal(county_id),
            entity=sql.Literal(entity),
            in_scope=rollbacks.in_scope(county_id, scope, "t.at"),
        )
    )


_PRESENT: dict[str, LiteralString] = {
    "cursor": "SELECT to_jsonb(s) FROM pacs_ops.sync_state AS s WHERE s.county_id = {county} AND "
    "s.entity = {entity}",
    "probe": (
        "SELECT to_jsonb(p) FROM pacs_ops.probed_contents AS p WHERE p.county_id = {county} AND p.entity = "
        "{entity} AND p.probe = c.key::jsonb ->> 0 AND p.root_key = c.key::jsonb ->> 1"
    ),
    "quarantine": (
        "SELECT to_jsonb(q) FROM pacs_ops.quarantine AS q WHERE q.county_id = {county} AND q.entity = "
        "{entity} AND q.source_key = c.key"
    ),
    "pending": (
        "SELECT to_jsonb(d) FROM pacs_ops.pending_delete AS d WHERE d.county_id = {county} AND d.entity = "
        "{entity} AND d.pending_id = c.key::bigint"
    ),
}
"""What stands there now, for the change log; `c` is a chosen key."""

_RESTORE: dict[str, tuple[LiteralString, ...]] = {
    "cursor": (
        "DELETE FROM pacs_ops.sync_state AS s USING pg_temp.pacs_restoring AS c WHERE s.county_id = "
        "{county} AND s.entity = {entity}",
        "INSERT INTO pacs_ops.sync_state SELECT b.* FROM pg_temp.pacs_restoring AS c, "
        "jsonb_populate_record(NULL::pacs_ops.sync_state, c.before) AS b WHERE c.before IS NOT NULL",
    ),
    "probe": (
        "DELETE FROM pacs_ops.probed_contents AS p USING pg_temp.pacs_restoring AS c WHERE p.county_id = "
        "{county} AND p.entity = {entity} AND p.probe = c.key::jsonb ->> 0 AND p.root_key = c.key::jsonb "
        "->> 1",
        "INSERT INTO pacs_ops.probed_contents SELECT b.* FROM pg_temp.pacs_restoring AS c, "
        "jsonb_populate_record(NULL::pacs_ops.probed_contents, c.before) AS b WHERE c.before IS NOT NULL",
    ),
    "quarantine": (
        "UPDATE pacs_ops.quarantine AS q SET rules = b.rules, source_version = b.source_version, "
        "payload_digest = b.payload_digest, state = b.state, attempts = b.attempts, run_id = b.run_id, "
        "first_seen_at = b.first_seen_at, last_seen_at = b.last_seen_at FROM pg_temp.pacs_restoring AS c, "
        "jsonb_populate_record(NULL::pacs_ops.quarantine, c.before) AS b WHERE c.before IS NOT NULL AND "
        "q.county_id = {county} AND q.entity = {entity} AND q.source_key = c.key",
        # The sync deletes no evidence: a row that was not in quarantine is let go, as if it had never been
        # tried.
        "UPDATE pacs_ops.quarantine AS q SET state = 'released', attempts = 0, run_id = {run}, "
        "last_seen_at = now() FROM pg_temp.pacs_restoring AS c WHERE c.before IS NULL AND q.county_id = "
        "{county} AND q.entity = {entity} AND q.source_key = c.key",
    ),
    "pending": (
        "UPDATE pacs_ops.pending_delete AS d SET state = 'rolled_back' FROM pg_temp.pacs_restoring AS c "
        "WHERE c.before IS NULL AND d.county_id = {county} AND d.pending_id = c.key::bigint AND d.state = "
        "'pending'",
        "UPDATE pacs_ops.pending_delete AS d SET state = b.state, decided_by = b.decided_by, decided_at = "
        "b.decided_at FROM pg_temp.pacs_restoring AS c, "
        "jsonb_populate_record(NULL::pacs_ops.pending_delete, c.before) AS b WHERE c.before IS NOT NULL "
        "AND d.county_id = {county} AND d.pending_id = c.key::bigint AND (b.state <> 'pending' OR NOT "
        "EXISTS (SELECT FROM pacs_ops.pending_delete AS o WHERE o.county_id = {county} AND o.entity = "
        "{entity} AND o.state = 'pending' AND o.pending_id <> d.pending_id))",
    ),
}  # fmt: skip


def mark_runs(connection: Connection, run: RunRecord, at: datetime, scope: RollbackScope) -> list[str]:
    """Mark what is undone, and put back the marks that undone rollbacks had set; returns the undone runs'
    ids.

    The county's source is again the one that the last run that stands was read from.
    """
    undone = rollbacks.undone_runs(connection, run.county_id, scope)
    ids = [each.run_id for each in undone]
    chosen = rollbacks.chosen_state(run.county_id, "", "run", scope)
    present = sql.SQL(
        "SELECT r.run_id::text, jsonb_build_object('state', r.state, 'rolled_back_by', r.rolled_back_by) "
        "FROM pacs_ops.sync_run AS r WHERE r.run_id = ANY ({ids}) OR r.run_id::text IN (SELECT c.key FROM "
        "({chosen}) AS c)"
    ).format(ids=sql.Literal(ids), chosen=chosen)
    history.note_state(connection, run, "", at, "run", present)
    connection.execute(
        sql.SQL(
            "UPDATE pacs_ops.sync_run AS r SET state = c.before ->> 'state', rolled_back_by = (c.before "
            "->> 'rolled_back_by')::uuid FROM ({}) AS c WHERE r.run_id::text = c.key"
        ).format(chosen)
    )
    connection.execute(
        "UPDATE pacs_ops.sync_run SET state = 'rolled_back', rolled_back_by = %s WHERE run_id = ANY (%s)",
        (run.run_id, ids),
    )
    connection.execute(
        "UPDATE pacs_ops.county SET source_identity = (SELECT r.source_identity FROM pacs_ops.sync_run AS "
        "r WHERE r.county_id = %(county)s AND r.published_at IS NOT NULL AND r.rolled_back_by IS NULL AND "
        "r.kind <> 'rollback' ORDER BY r.epoch DESC LIMIT 1) WHERE county_id = %(county)s",
        {"county": run.county_id},
    )
    return [str(each) for each in ids]
