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
        if database.tracking.captures and database.tracking.running:
            with _RUNNING, server.cursor() as cursor:
                scan(server, database, cursor)


def scan(server: Server, database: Database, cursor: duckdb.DuckDBPyConnection) -> None:
    """Reads the commits that are old enough and writes their changes into the change tables."""
    tracking, now = database.tracking, server.clock.local()
    commits = kept(database.name, "commits")
    waiting = cursor.execute(
        f"SELECT number, local FROM {commits} WHERE number > ? AND local <= ? ORDER BY number",
        [tracking.captured, now - timedelta(seconds=tracking.lag)],
    ).fetchall()
    if not waiting:
        with LOCK:
            _show_alive(database, cursor, now - timedelta(seconds=tracking.lag))
        return
    cursor.execute("BEGIN TRANSACTION")
    last = waiting[-1][0]
    for capture in tracking.captures.values():
        source = next(t for t in server.catalog.tables(database.name) if t.object_id == capture.source)
        _capture(source, capture, cursor, tracking.captured, last)
    for number, local in waiting:
        _map(database, cursor, number, local, bytes([0, 0, *number.to_bytes(4, "big")]))
    cursor.execute("COMMIT")
    tracking.captured = last


def _show_alive(database: Database, cursor: duckdb.DuckDBPyConnection, moment: datetime) -> None:
    """An entry without a transaction, where there was none for a while."""
    if _idle(database, cursor, moment):
        database.tracking.order += 1
        database.tracking.captured = database.tracking.order
        _map(database, cursor, database.tracking.order, moment, b"\x00")


def _idle(database: Database, cursor: duckdb.DuckDBPyConnection, moment: datetime) -> bool:
    """Whether the last entry is old, and no commit waits behind it for the lag."""
    ((last,),) = cursor.execute(
        f"SELECT max(tran_end_time) FROM {stored_name(database.name, 'cdc', 'lsn_time_mapping')}"
    ).fetchall()
    ((waiting,),) = cursor.execute(
        f"SELECT count(*) FROM {kept(database.name, 'commits')} WHERE number > ?",
        [database.tracking.captured],
    ).fetchall()
    return not waiting and (last is None or moment - last >= IDLE)


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
    cursor.execute(
        f"INSERT INTO {target.stored} SELECT {lsn_text('c.number')}, NULL, {place_text('c.number', 'l.__seq')}, l.__op, "
        f"{mask}, {columns}, 1 FROM {changes_of(source)} AS l JOIN {commits} AS c ON c.tx = l.__tx WHERE c.number > ? AND "
        "c.number <= ? ORDER BY c.number, l.__seq, l.__op",
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
