"""BACKUP and RESTORE of a database for tests: rows, changes and versions go back; the recovery fork is new."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from airflow_provider_pacs.sandbox.catalog.tables import quoted
from airflow_provider_pacs.sandbox.model import ResultSet, RowCount, SqlError
from airflow_provider_pacs.sandbox.tsql.change_tracking import cleanup
from airflow_provider_pacs.sandbox.tsql.procedure_results import argument, one_row
from airflow_provider_pacs.sandbox.tsql.session_state import SessionState

_SCHEMAS = (
    "SELECT schema_name, table_name FROM duckdb_tables() WHERE starts_with(schema_name, ?) ORDER BY ALL"
)


def backup(session: SessionState, args: dict[str, Any]) -> Iterator[ResultSet | RowCount]:
    """`EXEC sandbox.backup @name = 'x'`: keeps the current database under a name."""
    name, database = str(argument(args, "name")), session.catalog.databases[session.database.lower()]
    count = 0
    with session.engine.cursor() as cursor:
        for schema, table in cursor.execute(_SCHEMAS, [f"{database.name}."]).fetchall():
            kept = quoted(f"backup:{name}:{schema}")
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {kept}")
            cursor.execute(
                f"CREATE OR REPLACE TABLE {kept}.{quoted(table)} AS FROM {quoted(schema)}.{quoted(table)}"
            )
            count += 1
    session.engine.backups[name.lower()] = (database.name, deepcopy(database.tracking))
    yield one_row({"name": name, "tables": count})


def restore(session: SessionState, args: dict[str, Any]) -> Iterator[ResultSet | RowCount]:
    """`EXEC sandbox.restore @name = 'x'`: the database is as it was at that backup; sessions stay connected.

    Raises:
        SqlError: 3201 for an unknown name.
    """
    name = str(argument(args, "name"))
    if name.lower() not in session.engine.backups:
        raise SqlError(3201, f"Cannot open backup device '{name}'.")
    owner, tracking = session.engine.backups[name.lower()]
    database = session.catalog.databases[owner.lower()]
    prefix = f"backup:{name}:"
    count = 0
    with session.engine.cursor() as cursor:
        for schema, table in cursor.execute(_SCHEMAS, [f"{prefix}{database.name}."]).fetchall():
            own = f"{quoted(schema.removeprefix(prefix))}.{quoted(table)}"
            if schema.endswith((".sys", ".information_schema")):
                continue
            cursor.execute(f"DELETE FROM {own}")
            columns = ", ".join(
                quoted(c)
                for (c,) in cursor.execute(
                    "SELECT column_name FROM duckdb_columns() WHERE schema_name = ? AND table_name = ?",
                    [schema.removeprefix(prefix), table],
                ).fetchall()
                if not _computed(session, database.name, schema.removeprefix(prefix), table, c)
            )
            cursor.execute(
                f"INSERT INTO {own} ({columns}) SELECT {columns} FROM {quoted(schema)}.{quoted(table)}"
            )
            count += 1
    forks = database.tracking.forks + 1
    database.tracking = deepcopy(tracking)
    database.tracking.forks = forks
    session.engine.refresh()
    yield one_row({"name": name, "tables": count})


def _computed(session: SessionState, database: str, schema: str, table: str, column: str) -> bool:
    declared = session.catalog.table(database, schema.removeprefix(f"{database}."), table)
    return declared is not None and column in declared.computed


def change_tracking_cleanup(session: SessionState, args: dict[str, Any]) -> Iterator[ResultSet | RowCount]:
    """`EXEC sandbox.change_tracking_cleanup`: what the server's own cleanup does every half hour."""
    database = session.catalog.databases[session.database.lower()]
    version = cleanup(session, database) if database.tracking.auto_cleanup else 0
    yield one_row({"cleanup_version": version})


def flush(session: SessionState, args: dict[str, Any]) -> Iterator[ResultSet | RowCount]:
    """`EXEC sp_flush_CT_internal_table_on_demand`: the same by hand, whatever AUTO_CLEANUP says."""
    cleanup(session, session.catalog.databases[session.database.lower()])
    yield RowCount(None)


def secondary(session: SessionState, args: dict[str, Any]) -> Iterator[ResultSet | RowCount]:
    """`EXEC sandbox.secondary @on = 1`: the database becomes a readable secondary, or the primary again."""
    database = session.catalog.databases[session.database.lower()]
    database.tracking.secondary = database.read_only = bool(argument(args, "on"))
    session.engine.refresh()
    yield one_row({"secondary": int(database.tracking.secondary)})
