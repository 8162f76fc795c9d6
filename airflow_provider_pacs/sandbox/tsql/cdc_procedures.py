"""The stored procedures of Change Data Capture, and the sandbox's own for its capture job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from airflow_provider_pacs.sandbox.catalog.captures import change_table, declared_tables, lsn_of
from airflow_provider_pacs.sandbox.catalog.tables import Database, Table, stored_name
from airflow_provider_pacs.sandbox.catalog.tracking import Capture
from airflow_provider_pacs.sandbox.model import ResultSet, RowCount, SqlError
from airflow_provider_pacs.sandbox.tsql import capture_process
from airflow_provider_pacs.sandbox.tsql.procedure_results import argument, one_row
from airflow_provider_pacs.sandbox.tsql.row_changes import LOCK, prepare, prepare_table
from airflow_provider_pacs.sandbox.tsql.session_state import SessionState
from airflow_provider_pacs.sandbox.tsql.variables import ticks

Answers = Iterator[ResultSet | RowCount]


def _database(session: SessionState) -> Database:
    return session.catalog.databases[session.database.lower()]


def _enabled(session: SessionState) -> Database:
    database = _database(session)
    if not database.cdc:
        raise SqlError(
            22901,
            f"The database '{database.name}' is not enabled for Change Data Capture. Ensure that the correct "
            "database context is set and retry the operation. To report on the databases enabled for Change "
            "Data Capture, query the is_cdc_enabled column in the sys.databases catalog view.",
        )
    return database


def enable_db(session: SessionState, args: dict[str, Any]) -> Answers:
    """sys.sp_cdc_enable_db."""
    database = _database(session)
    if database.cdc:
        raise SqlError(
            22902,
            f"Database '{database.name}' is already enabled for Change Data Capture. Ensure that the correct "
            "database context is set, and retry the operation.",
        )
    with session.engine.cursor() as cursor:
        prepare(cursor, database)
    for table in declared_tables(database.name):
        session.engine.declare(table)
    database.cdc, database.tracking.captured = True, database.tracking.order
    database.tracking.alive = session.engine.clock.instant().utc
    session.engine.refresh()
    yield RowCount(None)


def disable_db(session: SessionState, args: dict[str, Any]) -> Answers:
    """sys.sp_cdc_disable_db."""
    database = _enabled(session)
    for table in [t for t in session.catalog.tables(database.name) if t.schema == "cdc"]:
        session.engine.undeclare(table)
    database.cdc = False
    database.tracking.captures.clear()
    session.engine.refresh()
    yield RowCount(None)


def _source(session: SessionState, args: dict[str, Any]) -> Table:
    schema, name = str(argument(args, "source_schema")), str(argument(args, "source_name"))
    table = session.catalog.table(session.database, schema, name)
    if table is None:
        raise SqlError(
            22931,
            f"Source table '{schema}.{name}' does not exist in the current database. Ensure that the correct "
            "database context is set. Specify a valid schema and table name for the database.",
        )
    return table


def enable_table(session: SessionState, args: dict[str, Any]) -> Answers:
    """sys.sp_cdc_enable_table."""
    database = _enabled(session)
    table, tracking = _source(session, args), database.tracking
    name = str(args.get("capture_instance") or f"{table.schema}_{table.name}")
    if name.lower() in tracking.captures:
        raise SqlError(
            22926,
            f"Could not create a capture instance because the capture instance name '{name}' already exists in "
            "the current database. Specify an explicit unique name for the parameter @capture_instance.",
        )
    if len(tracking.captures_of(table.object_id)) >= 2:
        raise SqlError(
            22962,
            f"Two capture instances already exist for source table '{table.schema}.{table.name}'. A table can "
            "have at most two capture instances. If the current tracking options are not appropriate, disable "
            "change tracking for the obsolete instance by using sys.sp_cdc_disable_table and retry the "
            "operation.",
        )
    net = bool(args.get("supports_net_changes", bool(table.primary_key)))
    if net and not table.primary_key:
        raise SqlError(
            22939,
            "The parameter @supports_net_changes is set to 1, but the source table does not have a primary key "
            "defined and no alternate unique index has been specified.",
        )
    listed = [c.strip(" []") for c in str(args.get("captured_column_list") or "").split(",") if c.strip()]
    columns = tuple(table.column(c).name for c in listed) or tuple(c.name for c in table.columns)
    role = args.get("role_name")
    with LOCK:
        tracking.order += 1
        start = tracking.order
        capture_process.begin_instance(session.engine, database, start)
    capture = Capture(name, table.object_id, columns, None if role is None else str(role), net, start)
    session.engine.declare(change_table(table, capture))
    made = session.catalog.table(database.name, "cdc", f"{name}_CT")
    assert made is not None
    capture = replace(capture, change_table=made.object_id)
    if capture.role and capture.role.lower() not in database.principals.roles:
        database.principals.add_role(capture.role)
    with session.engine.cursor() as cursor:
        prepare_table(cursor, table)
    _describe(session, table, capture)
    tracking.captures[name.lower()] = capture
    session.engine.refresh(database.name)
    yield RowCount(None)


def _describe(session: SessionState, table: Table, capture: Capture) -> None:
    """The rows of an instance in cdc.change_tables, captured_columns and index_columns."""
    now = ticks(session.engine.clock.local())
    first = lsn_of(capture.start)

    def into(name: str) -> str:
        return f"INSERT INTO {stored_name(table.database, 'cdc', name)} VALUES"

    with session.engine.cursor() as cursor:
        cursor.execute(
            f"{into('change_tables')} (?, 0, ?, ?, ?, NULL, ?, FALSE, ?, ?, NULL, ?)",
            [
                capture.change_table,
                table.object_id,
                capture.name,
                first,
                capture.net_changes,
                capture.role,
                table.key,
                now,
            ],
        )
        for place, name in enumerate(capture.columns, start=1):
            cursor.execute(
                f"{into('captured_columns')} (?, ?, ?, ?, ?, ?)",
                [
                    capture.change_table,
                    name,
                    table.position(name),
                    table.column(name).type.name,
                    place,
                    name in table.computed,
                ],
            )
        for place, name in enumerate(table.primary_key, start=1):
            cursor.execute(
                f"{into('index_columns')} (?, ?, ?, ?)",
                [capture.change_table, name, place, table.position(name)],
            )


def disable_table(session: SessionState, args: dict[str, Any]) -> Answers:
    """sys.sp_cdc_disable_table."""
    database = _enabled(session)
    table, wanted = _source(session, args), str(argument(args, "capture_instance"))
    chosen = [
        c for c in database.tracking.captures_of(table.object_id) if wanted.lower() in ("all", c.name.lower())
    ]
    if not chosen:
        raise SqlError(
            22960,
            f"Change data capture instance '{wanted}' has not been enabled for the source table "
            f"'{table.schema}.{table.name}'. Use sys.sp_cdc_help_change_data_capture to verify the capture "
            "instance name and retry the operation.",
        )
    for capture in chosen:
        del database.tracking.captures[capture.name.lower()]
        made = session.catalog.table(database.name, "cdc", f"{capture.name}_CT")
        if made is not None:
            session.engine.undeclare(made)
        with session.engine.cursor() as cursor:
            for name in ("change_tables", "captured_columns", "index_columns"):
                cursor.execute(
                    f"DELETE FROM {stored_name(database.name, 'cdc', name)} WHERE object_id = ?",
                    [capture.change_table],
                )
    session.engine.refresh(database.name)
    yield RowCount(None)


def cleanup_change_table(session: SessionState, args: dict[str, Any]) -> Answers:
    """sys.sp_cdc_cleanup_change_table: below a low water mark."""
    database = _enabled(session)
    capture = database.tracking.captures.get(str(argument(args, "capture_instance")).lower())
    if capture is None:
        raise SqlError(22964, "LSN, specified as the new low endpoint, or the capture instance is not valid.")
    mark = args.get("low_water_mark")
    if mark is not None:
        capture_process.clean(session.engine, database, capture, bytes(mark))
    yield RowCount(None)


def change_job(session: SessionState, args: dict[str, Any]) -> Answers:
    """sys.sp_cdc_change_job: how many minutes the cleanup job keeps."""
    tracking, job = _enabled(session).tracking, str(argument(args, "job_type")).lower()
    if job == "cleanup" and args.get("retention") is not None:
        tracking.kept_minutes = int(args["retention"])
    yield RowCount(None)


def cleanup(session: SessionState, args: dict[str, Any]) -> Answers:
    """`EXEC sandbox.cdc_cleanup`: the cleanup job, for every instance; `@minutes = 60` keeps that much."""
    database = _enabled(session)
    minutes = float(args.get("minutes", args.get("0", database.tracking.kept_minutes)))
    before = session.engine.clock.local() - timedelta(minutes=minutes)
    ((mark,),) = session.rows(
        f"SELECT max(start_lsn) FROM {stored_name(database.name, 'cdc', 'lsn_time_mapping')} WHERE tran_end_time <= ?",
        [before],
    )
    for capture in database.tracking.captures.values() if mark is not None else ():
        capture_process.clean(session.engine, database, capture, bytes(mark))
    yield one_row({"low_water_mark": "" if mark is None else "0x" + bytes(mark).hex().upper()})


def error(session: SessionState, args: dict[str, Any]) -> Answers:
    """`EXEC sandbox.cdc_error @number = 8115, @message = N'...'`: the capture process fails with it from now
    on, as after a column became too small; 0 ends that.
    """
    tracking, number = _enabled(session).tracking, int(argument(args, "number"))
    moment = session.engine.clock.local()
    tracking.error = (moment, number, str(args.get("message") or "")) if number else None
    yield RowCount(None)


def _job(running: bool) -> Callable[[SessionState, dict[str, Any]], Answers]:
    def procedure(session: SessionState, args: dict[str, Any]) -> Answers:
        _enabled(session).tracking.running = running
        yield RowCount(None)

    return procedure


def lag(session: SessionState, args: dict[str, Any]) -> Answers:
    """`EXEC sandbox.cdc_lag @seconds = 60`: the capture process reads the log so much later."""
    _enabled(session).tracking.lag = float(argument(args, "seconds"))
    yield RowCount(None)


PROCEDURES: dict[str, Callable[[SessionState, dict[str, Any]], Answers]] = {
    "sp_cdc_enable_db": enable_db,
    "sp_cdc_disable_db": disable_db,
    "sp_cdc_enable_table": enable_table,
    "sp_cdc_disable_table": disable_table,
    "sp_cdc_cleanup_change_table": cleanup_change_table,
    "sp_cdc_change_job": change_job,
    "sp_cdc_start_job": _job(True),
    "sp_cdc_stop_job": _job(False),
}
OWN: dict[str, Callable[[SessionState, dict[str, Any]], Answers]] = {
    "sandbox.cdc_cleanup": cleanup,
    "sandbox.cdc_lag": lag,
    "sandbox.cdc_error": error,
}
