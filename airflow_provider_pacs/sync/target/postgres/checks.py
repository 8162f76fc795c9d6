"""A target that may be empty, half migrated or foreign -> can it take a run; and the reports of such looks, kept beside the runs."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from airflow_provider_pacs.sync.target.port import Readiness
from airflow_provider_pacs.sync.target.postgres.ddl import MINIMUM_VERSION, unapplied
from airflow_provider_pacs.sync.target.postgres.journal import is_ready

Connection = psycopg.Connection[Any]
KEPT = 50
"""Reports of a county that are kept."""

_SCHEMAS = ("pacs", "pacs_part", "pacs_ops")
_WRITTEN = ("sync_run", "run_entity", "sync_state", "quarantine", "quality_result", "certificate", "held_delete")


def readiness(connection: Connection, place: str) -> Readiness:
    """Look without changing anything."""
    pending, altered = unapplied(connection)
    version = connection.info.server_version
    return Readiness(
        place=place,
        login=str(_one(connection, "SELECT current_user")),
        version=f"{version // 10000}.{version % 10000}",
        has_journal=is_ready(connection),
        new_enough=version >= MINIMUM_VERSION,
        pending=pending,
        altered=altered,
        missing_rights=tuple(_missing_rights(connection, pending=bool(pending))),
    )


def _missing_rights(connection: Connection, *, pending: bool) -> list[str]:
    """What a run does and the login may not: make schemas, make and own tables, write the journal."""
    there = [schema for schema in _SCHEMAS if _one(connection, "SELECT to_regnamespace(%s) IS NOT NULL", schema)]
    missing = []
    if pending and not _one(connection, "SELECT has_database_privilege(current_database(), 'CREATE')"):
        missing.append("CREATE on the database")
    for schema in there:
        missing += [
            f"{right} on schema {schema}"
            for right in ("USAGE", "CREATE")
            if not _one(connection, "SELECT has_schema_privilege(%s, %s)", schema, right)
        ]
    if missing or _SCHEMAS[2] not in there:
        return missing
    for table in _WRITTEN:
        allowed = _one(connection, "SELECT has_table_privilege(to_regclass(%s)::oid, 'INSERT, UPDATE')", f"pacs_ops.{table}")
        missing += [f"INSERT and UPDATE on pacs_ops.{table}"] * (allowed is False)  # NULL: the table is still to be made
    foreign = connection.execute(
        "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'pacs' AND c.relkind = 'p' AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1"
    ).fetchall()
    return missing + [f"ownership of pacs.{name}" for (name,) in foreign]


def _one(connection: Connection, statement: str, *values: object) -> Any:
    row = connection.execute(statement.encode(), values).fetchone()
    return row[0] if row else None


def read_speeds(connection: Connection, county_id: str) -> dict[str, float]:
    """Rows per second by entity over the last ten reads that took long enough to mean something."""
    rows = connection.execute(
        "SELECT entity, sum(rows_read) / sum(extract_seconds) FROM (SELECT e.entity, e.rows_read, e.extract_seconds, "
        "row_number() OVER (PARTITION BY e.entity ORDER BY r.started_at DESC) AS nth FROM pacs_ops.run_entity AS e "
        "JOIN pacs_ops.sync_run AS r USING (run_id) WHERE r.county_id = %s AND e.rows_read >= 1000 AND e.extract_seconds > 0 "
        "AND e.state IN ('staged', 'passed', 'blocked', 'published')) AS x WHERE nth <= 10 GROUP BY entity",
        (county_id,),
    )
    return {entity: float(speed) for entity, speed in rows}


def note_check(connection: Connection, county_id: str, run_id: str | None, trigger: str, report: dict[str, Any]) -> None:
    """Keep a report, and of the county's earlier ones the newest; nothing where the table does not exist yet."""
    if _one(connection, "SELECT to_regclass('pacs_ops.check_report')") is None:
        return
    connection.execute(
        "INSERT INTO pacs_ops.check_report (county_id, run_id, trigger, state, report, checked_at) VALUES (%s, %s, %s, %s, %s, %s)",
        (county_id, run_id, trigger, report["state"], Jsonb(report), report["at"]),
    )
    connection.execute(
        "DELETE FROM pacs_ops.check_report WHERE county_id = %s AND check_id NOT IN "
        "(SELECT check_id FROM pacs_ops.check_report WHERE county_id = %s ORDER BY checked_at DESC, check_id DESC LIMIT %s)",
        (county_id, county_id, KEPT),
    )
