"""SqlServerReader through Microsoft's driver against the sandbox's wire: rows, LOBs, faults, retries, cancel,
certificates, secrets.
"""

from __future__ import annotations

import itertools
import logging
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider_pacs.sandbox.model import MAX, Column, ResultSet, SqlError, SqlType
from airflow_provider_pacs.sandbox.wire.certificates import make_authority, make_certificate
from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from airflow_provider_pacs.sync.runtime.errors import ConfigError, PacsError, RetryableError
from airflow_provider_pacs.sync.source.address import SourceAddress
from airflow_provider_pacs.sync.source.retry import Retry
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader
from tests.wire.scripted import INT, PASSWORD, ScriptedEngine, rows_of, wait_for

LONG = "é" * 40_000


def address(server: SandboxServer, **options: Any) -> SourceAddress:
    return SourceAddress(
        **{
            "host": "127.0.0.1",
            "port": server.port,
            "database": "PACS",
            "user": "sa",
            "password": PASSWORD,
            **options,
        }
    )


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def reader(server: SandboxServer, waits: list[float]) -> Iterator[SqlServerReader]:
    with SqlServerReader(address(server, login_timeout=5), retry=Retry(sleep=waits.append)) as made:
        yield made


def texts(*values: str | None) -> ResultSet:
    ids = pa.array(range(len(values)), pa.int32())
    return rows_of(
        [Column("id", INT), Column("note", SqlType("varchar", MAX))], [ids, pa.array(values, pa.string())]
    )


def test_query_returns_dictionaries_of_the_first_result(
    reader: SqlServerReader, engine: ScriptedEngine
) -> None:
    assert reader.query("SELECT TOP 3 numbers") == [
        {"n": 0, "t": "0"},
        {"n": 1, "t": "1"},
        {"n": 2, "t": "2"},
    ]
    assert reader.query("INSERT x") == []
    assert [row["n"] for row in reader.query("TWO")] == [0, 1]
    assert len(engine.sessions) == 1
    assert "begin" not in engine.log


def test_the_session_is_set_up_and_a_setting_the_server_does_not_know_is_left_out(
    reader: SqlServerReader, engine: ScriptedEngine
) -> None:
    def unknown() -> ResultSet:
        raise SqlError(102, "Incorrect syntax near 'LOCK_TIMEOUT'.")

    engine.answers["SET LOCK_TIMEOUT 30000"] = unknown
    assert reader.query("SELECT 1") == [{"one": 1}]
    assert sum(batch.num_rows for batch in reader.stream("SELECT TOP 5 numbers")) == 5
    assert [sql for sql, _ in engine.asked].count("SET DEADLOCK_PRIORITY LOW") == 2


def test_a_stream_is_cut_by_rows_and_by_bytes(reader: SqlServerReader, server: SandboxServer) -> None:
    batches = list(reader.stream("SELECT TOP 25000 numbers", batch_rows=10_000))
    assert [batch.num_rows for batch in batches] == [10_000, 10_000, 5_000]
    assert pa.Table.from_batches(batches)["n"].to_pylist() == list(range(25_000))
    with SqlServerReader(address(server), batch_bytes=100_000) as small:
        assert max(batch.num_rows for batch in small.stream("SELECT TOP 25000 numbers")) < 2_000


def test_an_empty_stream_has_a_schema(reader: SqlServerReader) -> None:
    (batch,) = reader.stream("SELECT TOP 0 numbers")
    assert (batch.num_rows, batch.schema.names) == (0, ["n", "t"])


def test_parameters_are_text(reader: SqlServerReader, engine: ScriptedEngine) -> None:
    list(reader.stream("SELECT TOP 1 numbers ? ?", ["2024-01-01 00:00:00.003", "x]';--"]))
    (sent,) = [params for sql, params in engine.asked if "numbers" in sql]
    assert [param.value for param in sent] == ["2024-01-01 00:00:00.003", "x]';--"]


@pytest.mark.parametrize("measured", [None, len(LONG.encode())])
def test_long_texts_arrive_whole_and_once(
    reader: SqlServerReader, engine: ScriptedEngine, measured: int | None
) -> None:
    engine.answers["LOB"] = lambda: texts(None, "", "short", LONG)
    bound = None if measured is None else lambda: measured
    got = pa.Table.from_batches(reader.stream("LOB", lob_bound=bound))
    assert got["note"].to_pylist() == [None, "", "short", LONG]
    assert [sql for sql, _ in engine.asked].count("LOB") == (1 if measured else 5)


def test_a_text_that_grows_after_it_was_measured_is_measured_again(
    reader: SqlServerReader, engine: ScriptedEngine, waits: list[float]
) -> None:
    engine.answers["LOB"] = lambda: texts(LONG)
    measured = iter([10, 80_000])
    assert pa.Table.from_batches(reader.stream("LOB", lob_bound=lambda: next(measured)))[
        "note"
    ].to_pylist() == [LONG]
    assert len(waits) == 1


@pytest.mark.parametrize("fault", ["error=1205", "error=40501", "drop", "half"])
@pytest.mark.parametrize("operation", ["query", "stream"])
def test_a_transient_fault_is_tried_again_on_a_fresh_connection(
    server: SandboxServer,
    reader: SqlServerReader,
    engine: ScriptedEngine,
    waits: list[float],
    fault: str,
    operation: str,
) -> None:
    """Case 106: a deadlock, a throttled server, a connection that drops before the first row."""
    server.faults.add(f"{fault} match=numbers times=2")
    rows = (
        reader.query("SELECT TOP 3 numbers")
        if operation == "query"
        else pa.Table.from_batches(reader.stream("SELECT TOP 3 numbers")).to_pylist()
    )
    assert [row["n"] for row in rows] == [0, 1, 2]
    assert len(waits) == 2
    assert len(engine.sessions) == 3
    assert all(wait >= 10 for wait in waits) or fault != "error=40501"


def test_attempts_end(server: SandboxServer, reader: SqlServerReader, waits: list[float]) -> None:
    server.faults.add("error=1205 match=numbers")
    with pytest.raises(RetryableError, match="1205"):
        reader.query("SELECT TOP 3 numbers")
    assert len(waits) == 4


def test_a_stream_that_breaks_after_rows_are_out_is_not_tried_again(
    server: SandboxServer, reader: SqlServerReader, waits: list[float]
) -> None:
    server.faults.add("drop@rows=40000 match=numbers")
    out: list[int] = []
    with pytest.raises(RetryableError):
        out.extend(batch.num_rows for batch in reader.stream("SELECT TOP 100000 numbers", batch_rows=5_000))
    assert 0 < sum(out) <= 40_000
    assert not waits


@pytest.mark.parametrize("operation", ["query", "stream"])
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"password": "wr0ng;}secret"}, "PACS-002", "sa"),
        ({"database": "PAX"}, "PACS-006", "PAX"),
        ({"port": 1, "login_timeout": 1}, "PACS-001", "127.0.0.1:1"),
        ({"odbc_driver": "ODBC Driver 17 for SQL Server"}, "PACS-006", "ODBC Driver 17"),
    ],
)
def test_a_login_that_fails_says_why_and_no_secret(
    server: SandboxServer,
    options: dict[str, Any],
    code: str,
    words: str,
    operation: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with SqlServerReader(address(server, **options), attempts=1) as bad, pytest.raises(PacsError) as caught:
        bad.query("SELECT 1") if operation == "query" else list(bad.stream("SELECT 1"))
    assert caught.value.code == code
    assert words in caught.value.message
    assert caught.value.remedy
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(caught.value.__cause__)
    assert PASSWORD not in shown
    assert "wr0ng" not in shown


@pytest.mark.parametrize("operation", ["query", "stream"])
def test_a_certificate_of_an_unknown_authority_is_refused(engine: ScriptedEngine, operation: str) -> None:
    with (
        SandboxServer(engine, certificate=make_certificate(make_authority())) as server,
        SqlServerReader(address(server)) as reader,
    ):
        with pytest.raises(ConfigError, match="certificate verify failed") as caught:
            reader.query("SELECT 1") if operation == "query" else list(reader.stream("SELECT 1"))
        assert "CA" in caught.value.remedy
        with SqlServerReader(address(server, trust_server_certificate=True)) as trusting:
            assert trusting.query("SELECT 1") == [{"one": 1}]


@pytest.mark.parametrize("fault", ["drop", "half", "error=1205"])
@pytest.mark.parametrize("rows", [1, 5_000, 12_345, 99_999])
def test_a_stream_never_ends_early_without_an_error(server: SandboxServer, fault: str, rows: int) -> None:
    """Cases 18, 105: a part of the rows is never taken for all of them."""
    server.faults.add(f"{fault}@rows={rows} match=numbers")
    with SqlServerReader(address(server), attempts=1) as reader, pytest.raises(RetryableError):
        list(reader.stream("SELECT TOP 100000 numbers", batch_rows=5_000))


@pytest.mark.parametrize("operation", ["query", "stream"])
def test_what_cannot_help_is_not_tried_again(
    reader: SqlServerReader, waits: list[float], operation: str
) -> None:
    """Case 106: a table that is not there, or not granted, will not be there the next second."""
    with pytest.raises(ConfigError, match="'missing'") as caught:
        reader.query("MISSING") if operation == "query" else list(reader.stream("MISSING"))
    assert caught.value.code == "PACS-003"
    assert not waits


def test_cancel_from_another_thread_stops_the_statement_at_the_server(
    reader: SqlServerReader, engine: ScriptedEngine
) -> None:
    threading.Timer(0.5, reader.cancel).start()
    started = time.monotonic()
    with pytest.raises(RetryableError):
        reader.query("WAIT 30")
    assert time.monotonic() - started < 5
    assert wait_for(lambda: "cancel" in engine.log)
    with pytest.raises(RetryableError, match="cancelled"):
        reader.query("SELECT 1")


@pytest.mark.parametrize("operation", ["query", "stream"])
def test_a_signal_is_heard_while_the_driver_waits(reader: SqlServerReader, operation: str) -> None:
    class Terminated(BaseException):
        pass

    def handler(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, handler)
    try:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        started = time.monotonic()
        with pytest.raises(Terminated):
            reader.query("WAIT 20") if operation == "query" else list(reader.stream("WAIT 20"))
        assert time.monotonic() - started < 5
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_query_timeout_is_retryable(server: SandboxServer) -> None:
    with SqlServerReader(address(server, query_timeout=1), attempts=1) as slow:
        with pytest.raises(RetryableError, match="HYT00"):
            slow.query("WAIT 20")


def test_a_consumer_may_stop_early(reader: SqlServerReader) -> None:
    stream = reader.stream("SELECT TOP 1000000 numbers", batch_rows=1_000)
    assert sum(batch.num_rows for batch in itertools.islice(stream, 3)) == 3_000
    stream.close()
    assert reader.query("SELECT 1") == [{"one": 1}]
