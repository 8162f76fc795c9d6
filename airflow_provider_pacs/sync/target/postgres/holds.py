"""Holds: a person's or a rollback's word that nothing of a county is published, and its lifting.

A hold and a publish lock the same row of `pacs_ops.county`: when `place` has returned, no run of the county
publishes.
"""

from __future__ import annotations

from typing import Any

import psycopg

from airflow_provider_pacs.sync.records import Hold, RunRecord
from airflow_provider_pacs.sync.runtime.errors import ConflictError
from airflow_provider_pacs.sync.target.postgres import audit, run_records
from airflow_provider_pacs.sync.target.postgres.database import Database

Connection = psycopg.Connection[Any]


def current(connection: Connection, county_id: str) -> Hold | None:
    """The county's open hold."""
    rows = run_records.read(
        connection,
        Hold,
        "FROM pacs_ops.county_hold WHERE county_id = %s AND resumed_at IS NULL",
        (county_id,),
    )
    return rows[0] if rows else None


def refuse_held(connection: Connection, run: RunRecord) -> None:
    """Let no run but a rollback publish into a county on hold. The caller has the county's row locked.

    Raises:
        ConflictError: PACS-011, the county is on hold.
    """
    if run.kind != "rollback" and (hold := current(connection, run.county_id)) is not None:
        raise hold.refusal(f"county {run.county_id}")


def place(connection: Connection, county_id: str, reason: str, actor: str, run_id: str | None = None) -> Hold:
    """Put the county on hold, in the caller's transaction; one that is on hold stays so with its first
    reason.
    """
    connection.execute(
        "SELECT FROM pacs_ops.county WHERE county_id = %s FOR UPDATE", (county_id,)
    )  # waits for a publish that is at work
    connection.execute(
        "INSERT INTO pacs_ops.county_hold (county_id, reason, held_by, run_id) VALUES (%s, %s, %s, %s) ON "
        "CONFLICT (county_id) WHERE resumed_at IS NULL DO NOTHING",
        (county_id, reason, actor, run_id),
    )
    hold = current(connection, county_id)
    if hold is None:
        raise ConflictError(
            f"county {county_id}: its hold was lifted in this moment", remedy="put it on hold again"
        )
    audit.append(connection, county_id, run_id, "county.held", "", {"reason": reason, "by": actor})
    return hold


def _distrust_rolled_back(connection: Connection, hold: Hold) -> None:
    """A rollback brings rows back as they were, also those that its run had found outside every window: the
    next run of their entities reads every row.
    """
    connection.execute(
        "UPDATE pacs_ops.sync_state AS s SET fingerprint = '' WHERE s.county_id = %s "
        "AND s.entity IN (SELECT e.entity FROM pacs_ops.run_entity AS e JOIN pacs_ops.sync_run AS r "
        "USING (run_id) WHERE r.county_id = s.county_id AND r.kind = 'rollback' AND (r.run_id = %s OR "
        "r.published_at >= %s))",
        (hold.county_id, hold.run_id, hold.held_at),
    )


class PostgresHolds:
    """The port `Holds` over one connection."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def current(self, county_id: str) -> Hold | None:
        """The county's open hold; None where runs may publish."""
        with self._db.statements() as connection:
            return current(connection, county_id)

    def place(self, county_id: str, reason: str, actor: str) -> Hold:
        """Put the county on hold; one that is on hold stays so, with its first reason."""
        with self._db.transaction() as connection:
            return place(connection, county_id, reason, actor)

    def lift(self, county_id: str, actor: str) -> Hold:
        """Lift the county's hold; returns it.

        Raises:
            ConflictError: the county is not on hold.
        """
        with self._db.transaction() as connection:
            rows = run_records.read(
                connection,
                Hold,
                "FROM pacs_ops.county_hold WHERE county_id = %s AND resumed_at IS NULL FOR UPDATE",
                (county_id,),
            )
            if not rows:
                raise ConflictError(
                    f"county {county_id} is not on hold", remedy="runs may publish; there is nothing to do"
                )
            connection.execute(
                "UPDATE pacs_ops.county_hold SET resumed_by = %s, resumed_at = clock_timestamp() WHERE "
                "hold_id = %s",
                (actor, rows[0].hold_id),
            )
            _distrust_rolled_back(connection, rows[0])
            details = {"reason": rows[0].reason, "held_by": rows[0].held_by, "by": actor}
            audit.append(connection, county_id, None, "county.resumed", "", details)
            (lifted,) = run_records.read(
                connection, Hold, "FROM pacs_ops.county_hold WHERE hold_id = %s", (rows[0].hold_id,)
            )
            return lifted
