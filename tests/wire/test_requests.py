"""Statements, parameters, transactions, results and errors, as the drivers ask for them."""

from __future__ import annotations

import datetime as dt
import threading
import time
from decimal import Decimal
from typing import Any

import arrow_odbc
import pyarrow as pa
import pyodbc
import pytest

from airflow_provider_pacs.sandbox.model import Column, ResultSet, SqlType
from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from tests.wire.scripted import ScriptedEngine, connect, connection_string, server_process, wait_for


@pytest.mark.parametrize(
    ("value", "type_name"),
    [
        (42, "int"),
        (-(2**40), "bigint"),
        ("ñ 😀", "nvarchar"),
        ("", "nvarchar"),
        ("x" * 9000, "ntext"),
        (Decimal("-1234567890.0123456789"), "numeric"),
        (Decimal("12.50"), "numeric"),
        (dt.datetime(2024, 2, 29, 23, 59, 59, 678901), "datetime2"),
        (dt.date(2024, 2, 29), "date"),
        (dt.time(1, 2, 3), "time"),
        (b"\x00\xff", "varbinary"),
        (b"\x00" * 9000, "image"),
        (True, "bit"),
        (0.1, "float"),
        (None, "varchar"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_parameters_arrive(server: SandboxServer, engine: ScriptedEngine, value: Any, type_name: str) -> None:
    connect(server.port).execute("SELECT 1 WHERE ? = 1", value)
    sql, [param] = engine.asked[-1]
    assert sql == "SELECT 1 WHERE @P1 = 1"
    assert (param.name, param.type.name, param.value) == ("@P1", type_name, value)


def test_none_has_the_described_type(server: SandboxServer, engine: ScriptedEngine) -> None:
    engine.described = [
        SqlType("varbinary", 8),
        SqlType("decimal", precision=18, scale=4),
        SqlType("datetime2", scale=3),
    ]
    connect(server.port).execute("INSERT INTO t VALUES (?, ?, ?)", None, None, None)
    assert [(param.type.name, param.value) for param in engine.asked[-1][1]] == [
        ("varbinary", None),
        ("decimal", None),
        ("datetime2", None),
    ]


@pytest.mark.parametrize(
    "described",
    [[SqlType("int"), SqlType("nvarchar", 30), SqlType("datetime2", scale=7)], None],
    ids=["described", "not"],
)
def test_fast_executemany_and_sigterm(described: list[SqlType] | None) -> None:
    rows = [
        (n, None if n % 5 == 0 else f"é {n}", dt.datetime(2024, 1, 1, 0, 0, 0, n + 1)) for n in range(500)
    ]
    with server_process(described) as port:
        connection = connect(port)
        cursor = connection.cursor()
        cursor.fast_executemany = True
        cursor.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
        got = [row[0] for row in connection.execute("ASKED")]
    if described:
        assert got == [str(list(row)) for row in rows]
    else:
        # Without sp_describe_undeclared_parameters all becomes text, and the driver cuts the microseconds.
        assert got[1] == "['1', 'é 1', '2024-01-01 00:00:00.000']"
        assert len(got) == len(rows)


def test_arrow_odbc_parameters_are_text(server: SandboxServer, engine: ScriptedEngine) -> None:
    reader = arrow_odbc.read_arrow_batches_from_odbc(
        "SELECT ? , ?", connection_string=connection_string(server.port), parameters=["2024-01-01", None]
    )
    assert [batch.num_rows for batch in reader] == [1]
    first, second = engine.asked[-1][1]
    assert (first.type.name, first.value, second.value) == ("varchar", "2024-01-01", None)


def test_statement_is_prepared_once_and_again(server: SandboxServer, engine: ScriptedEngine) -> None:
    cursor = connect(server.port).cursor()
    assert [cursor.execute("SELECT ?", n).fetchval() for n in range(3)] == [1, 1, 1]
    assert [params[0].value for _, params in engine.asked] == [0, 1, 2]


def test_transactions(server: SandboxServer, engine: ScriptedEngine) -> None:
    connection = connect(server.port, autocommit=False)
    connection.execute("UPDATE t")
    connection.commit()
    connection.execute("UPDATE t")
    connection.rollback()
    connection.autocommit = True
    connection.execute("UPDATE t")
    assert [word for word in engine.log if word != "cancel"][:5] == [
        "begin",
        "commit",
        "begin",
        "rollback",
        "begin",
    ]


def test_several_results_and_counts(server: SandboxServer) -> None:
    cursor = connect(server.port).execute("TWO")
    assert len(cursor.fetchall()) == 2
    assert cursor.nextset()
    assert cursor.rowcount == 7
    assert cursor.nextset()
    assert len(cursor.fetchall()) == 3
    assert not cursor.nextset()


def test_row_count_through_rpc(server: SandboxServer) -> None:
    assert connect(server.port).execute("UPDATE t SET a = ?", 1).rowcount == 1


def test_use_changes_the_database(server: SandboxServer) -> None:
    connection = connect(server.port)
    connection.execute("USE Other")
    assert connection.getinfo(pyodbc.SQL_DATABASE_NAME) == "Other"


@pytest.mark.parametrize("request_type", ["batch", "rpc"])
@pytest.mark.parametrize(
    ("sql", "state", "number"),
    [("MISSING", "42S02", 208), ("HALF THEN ERROR", "22012", 8134), ("CRASH", "42000", 50000)],
)
def test_errors_leave_the_connection_usable(
    server: SandboxServer, sql: str, state: str, number: int, request_type: str
) -> None:
    connection = connect(server.port)
    with pytest.raises(pyodbc.Error, match=rf"\({number}\)") as raised:
        connection.execute(*((f"{sql} ?", 1) if request_type == "rpc" else (sql,))).fetchall()
    assert raised.value.args[0] == state
    assert connection.execute("SELECT ?", 1).fetchval() == 1


def test_unknown_procedure(server: SandboxServer) -> None:
    connection = connect(server.port)
    with pytest.raises(pyodbc.ProgrammingError, match=r"2812"):
        connection.execute("{CALL no_such_procedure(?)}", 1)
    assert connection.execute("SELECT 1").fetchval() == 1


def test_query_timeout(server: SandboxServer, engine: ScriptedEngine) -> None:
    connection = connect(server.port)
    connection.timeout = 1
    started = time.monotonic()
    with pytest.raises(pyodbc.OperationalError, match=r"HYT00"):
        connection.execute("WAIT 30")
    assert time.monotonic() - started < 3
    assert "cancel" in engine.log
    assert connection.execute("SELECT 1").fetchval() == 1


def test_cancel_from_another_thread(server: SandboxServer) -> None:
    connection = connect(server.port)
    cursor = connection.cursor()
    threading.Timer(0.3, cursor.cancel).start()
    with pytest.raises(pyodbc.Error, match=r"HY008"):
        cursor.execute("WAIT 30")
    assert connection.execute("SELECT 1").fetchval() == 1


@pytest.mark.parametrize("sql", ["SELECT TOP 5000000 numbers", "SELECT TOP 5000000 numbers WHERE 1 = ?"])
def test_result_is_abandoned(server: SandboxServer, sql: str) -> None:
    connection = connect(server.port)
    cursor = connection.cursor()
    cursor.execute(sql, *([1] if "?" in sql else []))
    assert cursor.fetchone()[1] == "0"
    started = time.monotonic()
    cursor.close()
    assert time.monotonic() - started < 3
    assert connection.execute("SELECT 1").fetchval() == 1


def test_client_that_leaves_ends_its_session(server: SandboxServer, engine: ScriptedEngine) -> None:
    connection = connect(server.port)
    connection.execute("SELECT 1").fetchall()
    connection.close()
    assert wait_for(lambda: engine.sessions[0].closed)


def test_large_result_streams(server: SandboxServer) -> None:
    reader = arrow_odbc.read_arrow_batches_from_odbc(
        "SELECT TOP 200000 numbers", connection_string=connection_string(server.port), batch_size=20_000
    )
    table = pa.Table.from_batches(list(reader))
    assert table.column("n").to_pylist() == list(range(200_000))
    assert table.column("t").to_pylist() == [str(n) for n in range(200_000)]


def test_slow_client_does_not_make_the_server_read_ahead(
    server: SandboxServer, engine: ScriptedEngine
) -> None:
    made: list[int] = []

    def batches() -> Any:
        for start in range(0, 4_000_000, 10_000):
            made.append(start)
            yield pa.record_batch([pa.array(range(start, start + 10_000), pa.int32())], ["n"])

    engine.answers["SELECT slowly"] = lambda: ResultSet([Column("n", SqlType("int"))], batches())
    cursor = connect(server.port).execute("SELECT slowly")
    cursor.fetchone()
    time.sleep(0.5)
    assert len(made) < 300
    cursor.close()


def test_eight_parallel_sessions(server: SandboxServer) -> None:
    results: list[int] = []

    def read() -> None:
        rows = connect(server.port).execute("SELECT TOP 10000 numbers").fetchall()
        results.append(sum(row[0] for row in rows))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert results == [sum(range(10_000))] * 8
