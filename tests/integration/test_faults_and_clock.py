"""Faults against the sandbox's own engine, from the command line, and a clock that steps back or repeats an
hour.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pyodbc
import pytest

from airflow_provider_pacs.sandbox.site import Endpoint
from airflow_provider_pacs.sync.incremental import last_modified as ordered
from airflow_provider_pacs.sync.incremental.statements import Window
from airflow_provider_pacs.sync.incremental.strategy import BoundsRequest
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader
from tests.integration.test_semantics_that_bite import STAMPED, resolved_of
from tests.support.server import MssqlServer, only_the_sandbox, sandbox

ROOT = Path(__file__).parents[2]
CLIENT = """
import json, os, sys
request = json.load(sys.stdin)
os.environ.update(request["environment"])
import pyodbc
connection = pyodbc.connect(request["address"], autocommit=True)
for sql in request["statements"]:
    try:
        connection.execute(sql).fetchall()
        print(json.dumps(["00000", ""]))
    except pyodbc.Error as error:
        print(json.dumps([error.args[0], error.args[1]]))
"""


@pytest.fixture(scope="module")
def autumn() -> Iterator[MssqlServer]:
    """A sandbox of one's own in Los Angeles, on the evening before summer time ends."""
    only_the_sandbox("no genuine server lets a test set its clock or strike one of its statements")
    with sandbox("America/Los_Angeles", datetime(2026, 10, 31, 20)) as address:
        yield MssqlServer(address, genuine=False)


@pytest.mark.parametrize("begins", ["the driver", "BEGIN TRAN"])
def test_an_injected_deadlock_rolls_the_transaction_back(autumn: MssqlServer, begins: str) -> None:
    with autumn.table("k int NOT NULL PRIMARY KEY, v int NOT NULL") as table:
        autumn.execute(
            f"INSERT INTO dbo.{table} VALUES (1, 0)",
            f"EXEC sandbox.fault 'error=1205 match=UPDATE.*{table}.*second times=1'",
        )
        connection = autumn.connect(autocommit=begins == "BEGIN TRAN")
        if begins == "BEGIN TRAN":
            connection.execute("BEGIN TRAN")
        connection.execute(f"UPDATE dbo.{table} SET v = 1")
        with pytest.raises(pyodbc.Error) as deadlock:
            connection.execute(f"UPDATE dbo.{table} SET v = 2 /* second */")
        assert deadlock.value.args[0] == "40001"
        opened_anew = int(begins == "the driver")  # it begins the next transaction by itself
        assert connection.execute("SELECT @@TRANCOUNT").fetchval() == opened_anew
        assert connection.execute(f"SELECT v FROM dbo.{table}").fetchval() == 0
        connection.execute(f"UPDATE dbo.{table} SET v = 3")
        connection.close()


def test_after_a_cancel_the_session_goes_on(autumn: MssqlServer) -> None:
    connection = autumn.connect()
    connection.timeout = 1
    began = time.monotonic()
    with pytest.raises(pyodbc.OperationalError, match="HYT00"):
        connection.execute("WAITFOR DELAY '00:00:30'")
    assert time.monotonic() - began < 15
    connection.timeout = 0
    assert connection.execute("SELECT 1").fetchval() == 1
    connection.close()


def test_an_unknown_statement_is_error_102_with_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    only_the_sandbox("it is the sandbox that refuses what it can't translate")
    from airflow_provider_pacs.sandbox.model import SqlError
    from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine

    engine = SandboxEngine()
    session = engine.login("sa", "Sandbox!Admin1", "master", "host", "test")
    with (
        caplog.at_level("WARNING", logger="airflow_provider_pacs.sandbox"),
        pytest.raises(SqlError) as refused,
    ):
        list(session.execute("DBCC  CHECKDB\n(PACS)"))
    engine.close()
    assert refused.value.number == 102
    assert [record.getMessage() for record in caplog.records] == ["unknown statement: DBCC CHECKDB (PACS)"]


def request(now: str, cursor: str | None) -> BoundsRequest:
    return BoundsRequest("datetime", now, cursor, oldest=None, lag_seconds=60, overlap_minutes=75)


def bounds(reader: SqlServerReader, cursor: str | None) -> tuple[str | None, str, bool]:
    """Both bounds of the next window by the source's own clock, and whether that is behind the cursor."""
    clock = ordered.clock_query("local")
    now = reader.query(clock.sql)[0]["now"]
    query = ordered.bounds_query(request(now, cursor))
    row = reader.query(query.sql, query.params)[0]
    return row["lo"], str(row["hi"]), row["behind"] == 1


def test_a_clock_that_is_set_back_leaves_no_gap(autumn: MssqlServer) -> None:
    """Case 22: the clock steps back over the wire: that is noticed, the bound follows the clock, and the window begins
    an overlap before it.
    """
    with SqlServerReader(autumn.address, attempts=1) as reader:
        autumn.execute("EXEC sandbox.clock_set '2026-10-31 20:00:00'")
        _, first, _ = bounds(reader, None)
        autumn.execute("EXEC sandbox.clock_set '2026-10-31 19:55:00'")
        lower, second, behind = bounds(reader, first)
        autumn.execute("EXEC sandbox.clock_advance @seconds = 1200")
        _, third, behind_then = bounds(reader, second)
    assert first.startswith("2026-10-31 19:59")
    assert (behind, behind_then) == (True, False)
    assert second.startswith("2026-10-31 19:54")
    assert str(lower).startswith("2026-10-31 18:39")
    assert third.startswith("2026-10-31 20:14")


def test_rows_stamped_in_the_hour_that_repeats_arrive(autumn: MssqlServer) -> None:
    """Case 23: at 01:10 after the change a row gets a stamp that an earlier run's window had already passed;
    the overlap covers it.
    """
    with autumn.table(STAMPED) as table, SqlServerReader(autumn.address, attempts=1) as reader:
        resolved = resolved_of(table, "LastModified", "datetime")

        def run(cursor: str | None) -> tuple[str, set[int]]:
            now = reader.query(ordered.clock_query("local").sql)[0]["now"]
            query = ordered.bounds_query(request(now, cursor))
            row = reader.query(query.sql, query.params)[0]
            window = ordered.window_query(resolved, Window(row["lo"] or "1900-01-01 00:00:00.000", row["hi"]))
            keys = {
                key
                for batch in reader.stream(window.sql, window.params)
                for key in batch.column("parcel_number").to_pylist()
            }
            return row["hi"], keys

        autumn.execute(
            "EXEC sandbox.clock_set '2026-11-01 01:40:00'", f"INSERT INTO dbo.{table} VALUES (1, GETDATE())"
        )
        autumn.execute("EXEC sandbox.clock_set '2026-11-01 01:55:00'")
        cursor, first = run(None)
        autumn.execute(
            "EXEC sandbox.clock_set '2026-11-01 01:10:00', 1",
            f"INSERT INTO dbo.{table} VALUES (2, GETDATE())",
        )
        offset = reader.query(ordered.clock_query("local").sql)[0]["tz_offset_min"]
        autumn.execute("EXEC sandbox.clock_set '2026-11-01 02:05:00'")
        _, second = run(cursor)
    assert (first, offset) == ({1}, -480)
    assert second == {1, 2}


def test_faults_from_the_command_line() -> None:
    only_the_sandbox("`pacs sandbox fault` is the sandbox's own")
    with tempfile.TemporaryDirectory(prefix="pacs-fault-") as name:
        pacs = [sys.executable, "-m", "airflow_provider_pacs.cli", "sandbox"]
        serve = [
            *pacs,
            "serve",
            "--size",
            "tiny",
            "--dir",
            name,
            "--fault",
            "error=1222 match=from_serve times=1",
        ]
        process = subprocess.Popen(serve, cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 90
            while not (Path(name) / "endpoint.json").exists():
                assert process.poll() is None, "the sandbox ended by itself"
                assert time.monotonic() < end, "the sandbox does not answer"
                time.sleep(0.1)
            bad = subprocess.run(
                [*pacs, "fault", "explode", "--dir", name],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=90,
            )
            subprocess.run(
                [*pacs, "fault", "error=10928 match=from_fault times=1", "--dir", name],
                cwd=ROOT,
                check=True,
                timeout=90,
            )
            endpoint = Endpoint.read(Path(name))
            address = (
                f"DRIVER={{ODBC Driver 18 for SQL "
                f"Server}};SERVER={endpoint.host},{endpoint.port};DATABASE={endpoint.database};"
                f"UID={endpoint.reader};PWD={{{endpoint.reader_password}}};Encrypt=yes"
            )
            statements = [
                "SELECT 1 /* from_serve */",
                "SELECT 1 /* from_fault */",
                "SELECT 1 /* from_serve from_fault */",
            ]
            request = {"environment": endpoint.environment, "address": address, "statements": statements}
            done = subprocess.run(
                [sys.executable, "-c", CLIENT],
                input=json.dumps(request),
                capture_output=True,
                text=True,
                check=True,
                timeout=90,
            )
        finally:
            process.terminate()
            process.wait(30)
    assert bad.returncode == 2
    assert "expected one of refuse" in bad.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [state for state, _ in answers] == ["42000", "42000", "00000"]
    assert "(1222)" in answers[0][1]
    assert "(10928)" in answers[1][1]
