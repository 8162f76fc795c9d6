"""The capture process and the cleanup of Change Data Capture: recorded changes to the change tables.

It runs before every batch of any session, so that a change is captured as soon as anybody could look, unless
the job is stopped or lags behind.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import duckdb

from airflow_provider_pacs.sandbox.catalog.captures import change_table, lsn_of, lsn_text, mask_of, place_text
from airflow_provider_pacs.sandbox.catalog.change_tables import changes_of, kept
from airflow_provider_pacs.sandbox.catalog.tables import Database, Table, quoted, stored_name
from airflow_provider_pacs.sandbox.catalog.tracking import Capture
from airflow_provider_pacs.sandbox.tsql.row_changes import LOCK
from airflow_provider_pacs.sandbox.tsql.server import Server
from airflow_provider_pacs.sandbox.tsql.variables import ticks

IDLE = timedelta(minutes=5)
"""After so long without a transaction the process writes an entry that shows it is alive."""
_RUNNING = threading.Lock()


def run(server: Server) -> None:
    """One scan for every database where the capture job runs."""
    for database in list(server.catalog.databases.values()):
        if database.tracking.captures and database.tracking.running and not database.tracking.error:
            with _RUNNING, server.cursor() as cursor:
                scan(server, database, cursor)


def scan(server: Server, database: Database, cursor: duckdb.DuckDBPyConnection) -> None:
    """Reads the commits that are old enough and writes their changes into the change tables.

    By UTC: the log has no hour that repeats.
    """
    tracking, now = database.tracking, server.clock.instant()
    lag = timedelta(seconds=tracking.lag)
    commits = kept(database.name, "commits")
    waiting = cursor.execute(
        f"SELECT number, local, utc, tx FROM {commits} WHERE number > ? AND utc <= ? ORDER BY number",
        [tracking.captured, now.utc - lag],
    ).fetchall()
    if not waiting:
        with LOCK:
            _show_alive(database, cursor, now.local - lag, now.utc - lag)
        return
    cursor.execute("BEGIN TRANSACTION")
    last = waiting[-1][0]
    for capture in tracking.captures.values():
        source = next(t for t in server.catalog.tables(database.name) if t.object_id == capture.source)
        _capture(source, capture, cursor, tracking.captured, last)
    for number, local, _, tx in waiting:
        changes = tx > 0
        _map(
            database, cursor, number, local, bytes([0, 0, *number.to_bytes(4, "big")]) if changes else b"\x00"
        )
    cursor.execute("COMMIT")
    tracking.captured, tracking.alive = last, waiting[-1][2]


def begin_instance(server: Server, database: Database, number: int) -> None:
    """The begin of a capture instance stands in the log like a commit, and is read in its turn: before that no
    largest LSN may pass what was committed earlier.
    """
    now = server.clock.instant()
    with server.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {kept(database.name, 'commits')} VALUES (?, ?, NULL, ?, ?)",
            [-number, number, now.local, now.utc],
        )


def _show_alive(
    database: Database, cursor: duckdb.DuckDBPyConnection, local: datetime, utc: datetime
) -> None:
    """An entry without a transaction, where there was none for a while."""
    tracking = database.tracking
    if _idle(database, cursor, utc):
        tracking.order += 1
        tracking.captured, tracking.alive = tracking.order, utc
        _map(database, cursor, tracking.order, local, b"\x00")


def _idle(database: Database, cursor: duckdb.DuckDBPyConnection, utc: datetime) -> bool:
    """Whether the last entry is old, and no commit waits behind it for the lag."""
    ((waiting,),) = cursor.execute(
        f"SELECT count(*) FROM {kept(database.name, 'commits')} WHERE number > ?",
        [database.tracking.captured],
    ).fetchall()
    last = database.tracking.alive
    return not waiting and (last is None or utc - last >= IDLE)


def _map(
    database: Database, cursor: duckdb.DuckDBPyConnection, number: int, local: datetime, tran: bytes
) -> None:
    at = ticks(local)
    cursor.execute(
        f"INSERT INTO {stored_name(database.name, 'cdc', 'lsn_time_mapping')} VALUES (?, ?, ?, ?, ?)",
        [lsn_of(number), at, at, tran, lsn_of(number)],
    )


def _capture(
    source: Table, capture: Capture, cursor: duckdb.DuckDBPyConnection, after: int, last: int
) -> None:
    target, commits = change_table(source, capture), kept(source.database, "commits")
    masks = {
        text: mask_of(capture, source, text).hex()
        for (text,) in cursor.execute(f"SELECT DISTINCT __mask FROM {changes_of(source)}").fetchall()
    }
    everything = mask_of(capture, source, "").hex()
    chosen = " ".join(f"WHEN l.__mask = '{text}' THEN unhex('{mask}')" for text, mask in masks.items())
    mask = f"CASE WHEN l.__op <= 2 THEN unhex('{everything}') {chosen} END"
    columns = ", ".join(
        f"CAST(NULL AS BLOB) AS {quoted(name)}" if name in source.computed else f"l.{quoted(name)}"
        for name in capture.columns
    )
    # An update of columns that the instance does not capture leaves no row.
    passed_by = [text for text, mask in masks.items() if not int(mask, 16)]
    listed = ", ".join(f"'{text}'" for text in passed_by)
    seen = f"AND NOT (l.__op > 2 AND l.__mask IN ({listed})) " if passed_by else ""
    cursor.execute(
        f"INSERT INTO {target.stored} SELECT {lsn_text('c.number')}, NULL, {place_text('c.number', 'l.__seq')}, l.__op, "
        f"{mask}, {columns}, 1 FROM {changes_of(source)} AS l JOIN {commits} AS c ON c.tx = l.__tx WHERE c.number > ? AND "
        f"c.number <= ? {seen}ORDER BY c.number, l.__seq, l.__op",
        [max(after, capture.start), last],
    )


def clean(server: Server, database: Database, capture: Capture, mark: bytes) -> None:
    """Removes what is below the low water mark from a change table, and raises its smallest LSN to it."""
    with server.cursor() as cursor:
        cursor.execute(
            f'DELETE FROM {stored_name(database.name, "cdc", f"{capture.name}_CT")} WHERE "__$start_lsn" < ?',
            [mark],
        )
        cursor.execute(
            f"UPDATE {stored_name(database.name, 'cdc', 'change_tables')} SET start_lsn = greatest(start_lsn, ?) WHERE "
            "capture_instance = ?",
            [mark, capture.name],
        )
        cursor.execute(
            f"DELETE FROM {stored_name(database.name, 'cdc', 'lsn_time_mapping')} WHERE start_lsn < (SELECT min(start_lsn) "
            f"FROM {stored_name(database.name, 'cdc', 'change_tables')})"
        )
