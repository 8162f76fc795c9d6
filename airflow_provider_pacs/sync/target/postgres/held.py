"""Held sets of deletes -> shown, applied once, or let go, each with an audit row."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import dict_row

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.runtime.errors import ConflictError
from airflow_provider_pacs.sync.target.postgres import apply, journal

Connection = psycopg.Connection[Any]
_SET = (
    "SELECT held_id, county_id, entity, row_count, encode(digest, 'hex') AS digest, state FROM "
    "pacs_ops.held_delete WHERE held_id = %s"
)
_EVERYTHING = apply.Guard(max_rows=1 << 62, max_percent=100.0)


def list_held(connection: Connection, county_id: str) -> list[dict[str, Any]]:
    """Undecided sets, oldest first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT held_id, entity, row_count, live_count, encode(digest, 'hex') AS digest, reason, "
            "held_at, run_id FROM pacs_ops.held_delete "
            "WHERE county_id = %s AND state = 'held' ORDER BY held_id",
            (county_id,),
        ).fetchall()


def load(connection: Connection, county_id: str, held_id: int, digest: str) -> dict[str, Any]:
    """One undecided set with its keys.

    Raises:
        ConflictError: it is decided or replaced, belongs to another county, or its digest is another.
    """
    row = _undecided(connection, county_id, held_id, digest, lock=False)
    keys = connection.execute(
        "SELECT source_key FROM pacs_ops.held_delete_key WHERE held_id = %s ORDER BY source_key", (held_id,)
    ).fetchall()
    return {**row, "keys": [key for (key,) in keys]}


def apply_held(
    connection: Connection, run_id: str, entity: Entity, held_id: int, digest: str, table: str, actor: str
) -> int:
    """Tombstone what the staging table confirms as gone, in the caller's transaction; returns how many rows.

    Raises:
        ConflictError: the set was decided meanwhile, or a later run has taken the county.
    """
    run = journal.run(connection, run_id)
    journal.hold_epoch(connection, run["county_id"], run["epoch"])
    _undecided(connection, run["county_id"], held_id, digest, lock=True)
    fence = apply.Fence(run_id, run["county_id"], run["epoch"])
    applied = apply.apply_stage(connection, entity, fence, table, _EVERYTHING, source_is_empty=False)
    _decide(
        connection,
        run["county_id"],
        run_id,
        held_id,
        "applied",
        actor,
        {"entity": entity.name, "deleted": applied.deleted, "digest": digest},
    )
    return applied.deleted


def reject(connection: Connection, county_id: str, held_id: int, digest: str, actor: str) -> str:
    """Let a set go; returns its entity.

    Raises:
        ConflictError: it was decided meanwhile.
    """
    row = _undecided(connection, county_id, held_id, digest, lock=True)
    _decide(
        connection,
        county_id,
        None,
        held_id,
        "rejected",
        actor,
        {"entity": row["entity"], "rows": row["row_count"], "digest": digest},
    )
    return str(row["entity"])


def _undecided(
    connection: Connection, county_id: str, held_id: int, digest: str, *, lock: bool
) -> dict[str, Any]:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SET + " FOR UPDATE" if lock else _SET, (held_id,)).fetchone()
    if row is None or row["county_id"] != county_id:
        raise ConflictError(
            f"county {county_id} has no held set {held_id}", remedy="list the held sets with `pacs approve`"
        )
    if row["state"] != "held":
        raise ConflictError(
            f"held set {held_id} is already {row['state']}",
            remedy="a decision counts once; list the held sets with `pacs approve`",
        )
    if row["digest"] != digest:
        raise ConflictError(
            f"held set {held_id} holds other keys than those decided on",
            remedy="look at the set again and decide on its digest",
        )
    return row


def _decide(
    connection: Connection,
    county_id: str,
    run_id: str | None,
    held_id: int,
    state: str,
    actor: str,
    details: dict[str, Any],
) -> None:
    connection.execute(
        "UPDATE pacs_ops.held_delete SET state = %s, decided_by = %s, decided_at = clock_timestamp() WHERE "
        "held_id = %s",
        (state, actor, held_id),
    )
    journal.audit(connection, county_id, run_id, f"held.{state}", str(held_id), {**details, "by": actor})
