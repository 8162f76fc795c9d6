"""A target that may be empty, half migrated or foreign -> can it take a run; and the reports of such looks,
kept beside the runs.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from airflow_provider_pacs.sync.target.port import Readiness
from airflow_provider_pacs.sync.target.postgres.ddl import MINIMUM_VERSION, unapplied

Connection = psycopg.Connection[Any]
KEPT = 50
"""Reports of a county that are kept."""

_WRITTEN = (
    "sync_run",
    "run_entity",
    "sync_state",
    "quarantine",
    "quality_result",
    "certificate",
    "pending_delete",
    "audit",
)


def readiness(connection: Connection, place: str) -> Readiness:
    """Look without changing anything.

    What the login may not even see counts as not there; the missing right is told.
    """
    version = connection.info.server_version
    missing = _missing_on_schemas(connection)
    pending, altered = ((), ()) if missing else unapplied(connection)
    if pending and not _one(connection, "SELECT has_database_privilege(current_database(), 'CREATE')"):
        missing.append("CREATE on the database")
    missing += _missing_on_tables(connection)
    return Readiness(
        place=place,
        login=str(_one(connection, "SELECT current_user")),
        version=f"{version // 10000}.{version % 10000}",
        has_journal=not missing
        and bool(_one(connection, "SELECT to_regclass('pacs_ops.audit') IS NOT NULL")),
        new_enough=version >= MINIMUM_VERSION,
        pending=pending,
        altered=altered,
        missing_rights=tuple(missing),
    )


def _missing_on_schemas(connection: Connection) -> list[str]:
    """Of the schemas that are there, those that the login may not use or make tables in."""
    rows = connection.execute(
        "SELECT p.wanted, n.nspname FROM pg_namespace AS n, unnest(ARRAY['USAGE', 'CREATE']) AS p(wanted) "
        "WHERE n.nspname IN ('pacs', 'pacs_part', 'pacs_ops', 'pacs_report') AND NOT "
        "has_schema_privilege(n.oid, p.wanted) "
        "ORDER BY n.nspname, p.wanted DESC"
    )
    return [f"{wanted} on schema {schema}" for wanted, schema in rows]


def _missing_on_tables(connection: Connection) -> list[str]:
    """Journal tables that the login may not write, and canonical tables that it does not own: partitions are
    attached by the owner.
    """
    rows = connection.execute(
        "SELECT 'INSERT on pacs_ops.' || c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = "
        "c.relnamespace "
        "WHERE n.nspname = 'pacs_ops' AND c.relname = ANY(%s) AND NOT has_table_privilege(c.oid, 'INSERT') "
        "UNION ALL SELECT 'ownership of pacs.' || c.relname FROM pg_class AS c JOIN pg_namespace AS n ON "
        "n.oid = c.relnamespace "
        "WHERE n.nspname = 'pacs' AND c.relkind = 'p' AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1",
        (list(_WRITTEN),),
    )
    return [told for (told,) in rows]


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
