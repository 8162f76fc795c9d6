"""Pending deletes and what people look up: sets with their digests, the quarantine, orphaned children."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg

from airflow_provider_pacs.sync.records import OrphanedRow, PendingDeletes, QuarantinedRow
from airflow_provider_pacs.sync.runtime.errors import ConflictError
from airflow_provider_pacs.sync.target.postgres import audit, run_records
from airflow_provider_pacs.sync.target.postgres.database import Database

Connection = psycopg.Connection[Any]
_SET: LiteralString = (
    "SELECT pending_id, county_id, entity, run_id, row_count, live_count, encode(digest, 'hex') AS digest, "
    "reason, "
    "state, created_at FROM pacs_ops.pending_delete "
)


def _sets(connection: Connection, tail: LiteralString, values: Sequence[object]) -> list[PendingDeletes]:
    with connection.cursor(row_factory=psycopg.rows.class_row(PendingDeletes)) as cursor:
        return cursor.execute(_SET + tail, values).fetchall()


def lock_undecided(connection: Connection, county_id: str, pending_ids: Sequence[int]) -> None:
    """Lock approved sets for the transaction and check that nobody decided or replaced them meanwhile.

    Raises:
        ConflictError: a set is decided or replaced, or of another county.
    """
    for pending_id in pending_ids:
        rows = _sets(connection, "WHERE pending_id = %s FOR UPDATE", (pending_id,))
        _refuse(rows, county_id, pending_id, None)


def _refuse(rows: list[PendingDeletes], county_id: str, pending_id: int, digest: str | None) -> None:
    if not rows or rows[0].county_id != county_id:
        raise ConflictError(
            f"county {county_id} has no pending set {pending_id}", remedy="list the sets with `pacs approve`"
        )
    if rows[0].state != "pending":
        raise ConflictError(
            f"pending set {pending_id} is already {rows[0].state}",
            remedy="a decision counts once; list the sets with `pacs approve`",
        )
    if digest is not None and rows[0].digest != digest:
        raise ConflictError(
            f"pending set {pending_id} holds other keys than those decided on",
            remedy="look at the set again and decide on its digest",
        )


def decide(
    connection: Connection,
    county_id: str,
    run_id: str | None,
    pending_ids: Sequence[int],
    state: str,
    actor: str,
    details: dict[str, Any],
) -> None:
    """Record the decision on sets, in the transaction that carries it out."""
    for pending_id in pending_ids:
        connection.execute(
            "UPDATE pacs_ops.pending_delete SET state = %s, decided_by = %s, decided_at = clock_timestamp() "
            "WHERE pending_id = %s",
            (state, actor, pending_id),
        )
        audit.append(
            connection, county_id, run_id, f"deletes.{state}", str(pending_id), {**details, "by": actor}
        )


class PostgresApprovals:
    """The port `Approvals` over one connection."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def pending(self, county_id: str) -> list[PendingDeletes]:
        """Undecided sets, oldest first."""
        with self._db.statements() as connection:
            return _sets(
                connection, "WHERE county_id = %s AND state = 'pending' ORDER BY pending_id", (county_id,)
            )

    def pending_set(self, county_id: str, pending_id: int, digest: str) -> PendingDeletes:
        """One undecided set."""
        with self._db.statements() as connection:
            rows = _sets(connection, "WHERE pending_id = %s", (pending_id,))
        _refuse(rows, county_id, pending_id, digest)
        return rows[0]

    def keys(self, pending_id: int) -> list[str]:
        """The keys of a set."""
        with self._db.statements() as connection:
            rows = connection.execute(
                "SELECT source_key FROM pacs_ops.pending_delete_key WHERE pending_id = %s ORDER BY "
                "source_key",
                (pending_id,),
            )
            return [key for (key,) in rows]

    def reject(self, county_id: str, pending_id: int, digest: str, actor: str) -> str:
        """Let a set go; returns its entity."""
        with self._db.transaction() as connection:
            rows = _sets(connection, "WHERE pending_id = %s FOR UPDATE", (pending_id,))
            _refuse(rows, county_id, pending_id, digest)
            details = {"entity": rows[0].entity, "rows": rows[0].row_count, "digest": digest}
            decide(connection, county_id, None, (pending_id,), "rejected", actor, details)
        return rows[0].entity

    def quarantine(self, county_id: str) -> list[QuarantinedRow]:
        """Open quarantine rows: keys, rules, when; no values."""
        with self._db.statements() as connection:
            return run_records.read(
                connection,
                QuarantinedRow,
                "FROM pacs_ops.quarantine WHERE county_id = %s AND state = 'open' "
                "ORDER BY entity, first_seen_at, source_key",
                (county_id,),
            )

    def orphans(self, county_id: str) -> list[OrphanedRow]:
        """Live children of deleted parents, oldest deletion first."""
        with self._db.statements() as connection:
            return run_records.read(
                connection,
                OrphanedRow,
                "FROM pacs_report.children_of_deleted WHERE county_id = %s "
                "ORDER BY parent_deleted_at, entity, source_key",
                (county_id,),
            )
