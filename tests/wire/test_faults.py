"""Injected faults reach the client as the errors that a real failure gives, and never as a short result."""

from __future__ import annotations

import time

import arrow_odbc
import pyodbc
import pytest

from airflow_provider_pacs.sandbox.wire.faults import Fault, FaultPlan
from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from tests.wire.scripted import ScriptedEngine, connect, connection_string

READ = "SELECT TOP 20000 numbers"


@pytest.mark.parametrize(
    "rule", ["drop@rows=5000", "half@rows=5000", "drop", "half", "drop@rows=0", "drop@rows=19999"]
)
def test_dropped_connection_is_an_error(server: SandboxServer, rule: str) -> None:
    fault = server.faults.add(f"{rule} match=numbers times=1")
    with pytest.raises(pyodbc.Error, match=r"08S01"):
        connect(server.port).execute(READ).fetchall()
    assert server.faults.struck(fault) == 1
    assert len(connect(server.port).execute(READ).fetchall()) == 20_000


@pytest.mark.parametrize("rule", ["half@rows=12345", "half", "drop", "drop@rows=0", "error=1205@rows=5000"])
def test_arrow_odbc_sees_a_drop_inside_a_row(server: SandboxServer, rule: str) -> None:
    server.faults.add(f"{rule} match=numbers")
    with pytest.raises(arrow_odbc.Error, match=r"08S01|40001"):
        list(arrow_odbc.read_arrow_batches_from_odbc(READ, connection_string=connection_string(server.port)))


@pytest.mark.parametrize(
    ("rule", "rows"),
    [("drop@rows=1", 1), ("drop@rows=5000", 5000), ("drop@rows=19999", 19999), ("half@rows=5000", 4930)],
)
def test_arrow_odbc_does_not_see_a_drop_between_rows_but_its_connection_does(
    server: SandboxServer, rule: str, rows: int
) -> None:
    """A fact about the client that a reader must know: the driver gives the rows it has, and arrow-odbc takes
    them for all.

    The last case needs no luck with a flush: a packet that happened to end with a row was the last whole one.
    """
    server.faults.add(f"{rule} match=numbers")
    connection = arrow_odbc.connect(connection_string(server.port, ConnectRetryCount="0"))
    assert sum(batch.num_rows for batch in connection.read_arrow_batches(READ)) == rows
    with pytest.raises(arrow_odbc.Error, match=r"08S01"):
        list(connection.read_arrow_batches("SELECT 1"))


@pytest.mark.parametrize("request_type", ["batch", "rpc"])
@pytest.mark.parametrize("where", ["", "@rows=7000"])
@pytest.mark.parametrize(
    ("number", "state"),
    [
        (1205, "40001"),
        (1222, "42000"),
        (40613, "42000"),
        (10928, "42000"),
        (208, "42S02"),
        (229, "42000"),
        (456, "42000"),
    ],
)
def test_errors(server: SandboxServer, number: int, state: str, where: str, request_type: str) -> None:
    server.faults.add(f"error={number}{where} times=1 match=numbers")
    connection = connect(server.port)
    with pytest.raises(pyodbc.Error, match=rf"\({number}\)") as raised:
        connection.execute(*((f"{READ} WHERE 1 = ?", 1) if request_type == "rpc" else (READ,))).fetchall()
    assert raised.value.args[0] == state
    assert len(connection.execute(READ).fetchall()) == 20_000


def test_deadlock_ends_the_transaction(server: SandboxServer, engine: ScriptedEngine) -> None:
    connection = connect(server.port, autocommit=False)
    server.faults.add("error=1205 times=1")
    with pytest.raises(pyodbc.Error, match=r"1205"):
        connection.execute("UPDATE t")
    assert engine.log == ["begin", "rollback"]
    connection.rollback()
    connection.execute("UPDATE t")
    connection.commit()


@pytest.mark.parametrize(("number", "state"), [(18456, "28000"), (4060, "42000"), (40613, "42000")])
def test_login_refused(server: SandboxServer, number: int, state: str) -> None:
    # Microsoft's driver tries 40613 again by itself, within the time for logging in.
    server.faults.add(f"error={number}@login times=9")
    with pytest.raises(pyodbc.Error, match=rf"\({number}\)") as refused:
        connect(server.port, ConnectRetryCount="0")
    assert refused.value.args[0] == state
    server.faults.clear()
    assert connect(server.port).execute("SELECT 1").fetchval() == 1


@pytest.mark.parametrize("rule", ["refuse", "tls"])
def test_connection_refused(server: SandboxServer, rule: str) -> None:
    # The driver tries again by itself (ConnectRetryCount), so twice is not enough to be seen.
    server.faults.add(rule)
    with pytest.raises(pyodbc.OperationalError) as refused:
        connect(server.port, timeout=2, ConnectRetryCount="0")
    assert refused.value.args[0] in ("08001", "08S01", "HYT00")
    server.faults.clear()
    assert connect(server.port).execute("SELECT 1").fetchval() == 1


@pytest.mark.parametrize("where", ["", "@rows=100"])
def test_stalled_statement_times_out(server: SandboxServer, where: str) -> None:
    server.faults.add(f"stall{where} times=1")
    connection = connect(server.port)
    connection.timeout = 1
    started = time.monotonic()
    with pytest.raises(pyodbc.OperationalError, match=r"HYT00"):
        connection.execute(READ).fetchall()
    assert time.monotonic() - started < 3
    assert len(connection.execute(READ).fetchall()) == 20_000


def test_slow_rows(server: SandboxServer) -> None:
    server.faults.add("slow@rows=5000 seconds=0.1")
    started = time.monotonic()
    assert len(connect(server.port).execute(READ).fetchall()) == 20_000
    assert time.monotonic() - started > 0.35


def test_fault_procedure(server: SandboxServer) -> None:
    connection = connect(server.port)
    connection.execute("EXEC sandbox.fault 'error=1222 match=''TOP \\d+ numbers'' times=5'")
    with pytest.raises(pyodbc.Error, match=r"1222"):
        connection.execute(READ)
    connection.execute("EXEC sandbox.clear_faults")
    assert len(connection.execute(READ).fetchall()) == 20_000
    with pytest.raises(pyodbc.Error, match=r"expected one of refuse"):
        connection.execute("EXEC sandbox.fault 'explode'")


def test_parse() -> None:
    fault = Fault.parse("drop@rows=500 match='FROM dbo.PropertyValue' times=1")
    assert (fault.action, fault.rows, fault.times) == ("drop", 500, 1)
    assert fault.match is not None
    assert fault.match.search("select * from DBO.propertyvalue")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "explode",
        "error",
        "drop=5",
        "slow",
        "slow@rows=0",
        "drop@rows=x",
        "drop when=now",
        "drop times=x",
        "error=1@rows",
        "drop match=(",
    ],
)
def test_bad_rules_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"fault|invalid|missing|unterminated"):
        FaultPlan([text])
