"""The order of a county's runs: who is at work, and whom a run that wants to begin must let finish."""

from __future__ import annotations

from typing import Any

import psycopg

from airflow_provider_pacs.sync.records import RunRecord, Turn
from airflow_provider_pacs.sync.runtime.errors import RetryableError
from airflow_provider_pacs.sync.target.postgres.run_records import read

Connection = psycopg.Connection[Any]


def active_run(connection: Connection, county_id: str, minutes: int) -> RunRecord | None:
    """The county's newest run without an end that gave a sign of life within these minutes."""
    rows = read(
        connection,
        RunRecord,
        "FROM pacs_ops.sync_run AS r WHERE county_id = %s AND finished_at IS NULL "
        "AND state IN ('running', 'published') AND heartbeat_at <> '-infinity' AND greatest(heartbeat_at, "
        "published_at, (SELECT max(e.updated_at) FROM pacs_ops.run_entity AS e WHERE e.run_id = r.run_id)) "
        "> clock_timestamp() - make_interval(mins => %s) AND (backend_pid IS NULL OR EXISTS "
        "(SELECT FROM pg_stat_activity AS a WHERE a.pid = r.backend_pid AND a.backend_start = "
        "r.backend_start)) ORDER BY started_at DESC LIMIT 1",
        (county_id, minutes),
    )
    return rows[0] if rows else None


def in_the_way(connection: Connection, county_id: str, turn: Turn) -> RunRecord | None:
    """The run at work that a run of this kind must let finish."""
    active = active_run(connection, county_id, turn.minutes)
    if active is None or (active.kind == "sync" and turn.kind == "sync"):
        return None
    return active if active.kind == "sync" else active_run(connection, county_id, turn.quiet_minutes)


def at_work(county: str, kind: str, run_id: str) -> RetryableError:
    """What a run ends with that must let another one finish."""
    return RetryableError(
        f"{county}: a {kind} of this county is at work (run {run_id})",
        remedy="try again when it has ended; the next sync takes over from one that was killed",
        code="PACS-008",
    )
