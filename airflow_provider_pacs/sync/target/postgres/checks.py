"""A target that may be empty, half migrated or foreign -> can it take a run; and the reports of such looks,
kept beside the runs.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from airflow_provider_pacs.sync.target.facts import TargetReadiness
from airflow_provider_pacs.sync.target.postgres import audit, privileges, session
from airflow_provider_pacs.sync.target.postgres.ddl import MINIMUM_VERSION, unapplied

Connection = psycopg.Connection[Any]
KEPT = 50
"""Reports of a county that are kept."""


def readiness(connection: Connection, place: str) -> TargetReadiness:
    """Look without changing anything.

    Effective privileges are asked for, not grants: what the login has through any of its roles counts, and
    what somebody revoked is missing although every migration is recorded.
    """
    version = connection.info.server_version
    readable = _may_read_journal(connection)
    pending, altered = unapplied(connection) if readable else ((), ())
    absent = privileges.lacking(connection)
    if pending and not _may_migrate(connection):
        absent.append("membership in pacs_owner, or a `pacs migrate` by it")
    owns_schemas = privileges.owns(connection) or bool(
        _one(connection, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    )
    return TargetReadiness(
        place=place,
        login=str(_one(connection, "SELECT current_user")),
        version=f"{version // 10000}.{version % 10000}",
        has_journal=readable and not absent and audit.is_ready(connection),
        new_enough=version >= MINIMUM_VERSION,
        pending=pending,
        altered=altered,
        missing_privileges=tuple(absent),
        session=session.facts(connection),
        owns_schemas=owns_schemas,
        lost_privileges=tuple(privileges.missing(connection)),
    )


def _may_read_journal(connection: Connection) -> bool:
    """Whether the schema is not there yet, or its record of migrations can be read."""
    return bool(
        _one(
            connection,
            "SELECT coalesce((SELECT has_schema_privilege(n.oid, 'USAGE') AND coalesce((SELECT "
            "has_table_privilege(c.oid, 'SELECT') FROM pg_class AS c WHERE c.relnamespace = n.oid AND "
            "c.relname = 'schema_migration'), true) FROM pg_namespace AS n WHERE n.nspname = "
            "'pacs_ops'), true)",
        )
    )


def _may_migrate(connection: Connection) -> bool:
    """Whether the login may make the schemas, or acts for the owner of those that are there."""
    if _one(connection, "SELECT count(*) FROM pg_namespace WHERE nspname = 'pacs_ops'"):
        return privileges.owns(connection)
    return bool(_one(connection, "SELECT has_database_privilege(current_database(), 'CREATE')"))


def _one(connection: Connection, statement: str, *values: object) -> Any:
    row = connection.execute(statement.encode(), values).fetchone()
    return row[0] if row else None


def read_speeds(connection: Connection, county_id: str) -> dict[str, float]:
    """Rows per second by entity over the last ten reads that took long enough to mean something."""
    rows = connection.execute(
        "SELECT entity, sum(rows_read) / sum(extract_seconds) FROM (SELECT e.entity, e.rows_read, "
        "e.extract_seconds, "
        "row_number() OVER (PARTITION BY e.entity ORDER BY r.started_at DESC) AS nth FROM "
        "pacs_ops.run_entity AS e "
        "JOIN pacs_ops.sync_run AS r USING (run_id) WHERE r.county_id = %s AND e.rows_read >= 1000 AND "
        "e.extract_seconds > 0 "
        "AND e.state IN ('staged', 'passed', 'blocked', 'published')) AS x WHERE nth <= 10 GROUP BY entity",
        (county_id,),
    )
    return {entity: float(speed) for entity, speed in rows}


def note_check(
    connection: Connection, county_id: str, run_id: str | None, trigger: str, report: dict[str, Any]
) -> None:
    """Keep a report, and of the
    county's earlier ones the newest; nothing where the table does not exist yet.
    """
    if _one(connection, "SELECT to_regclass('pacs_ops.check_report')") is None:
        return
    connection.execute(
        "INSERT INTO pacs_ops.check_report (county_id, run_id, trigger, state, report, checked_at) VALUES "
        "(%s, %s, %s, %s, %s, %s)",
        (county_id, run_id, trigger, report["state"], Jsonb(report), report["at"]),
    )
    connection.execute(
        "DELETE FROM pacs_ops.check_report WHERE county_id = %s AND check_id NOT IN "
        "(SELECT check_id FROM pacs_ops.check_report WHERE county_id = %s ORDER BY checked_at DESC, "
        "check_id DESC LIMIT %s)",
        (county_id, county_id, KEPT),
    )
