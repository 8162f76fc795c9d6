"""A sandbox server with a tiny scripted engine, and Microsoft's driver made to trust its authority.

The environment is set at import: the driver manager and the driver's OpenSSL read it once.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa

from airflow_provider_pacs.sandbox.driver import DRIVER_NAME, odbc_environment
from airflow_provider_pacs.sandbox.model import Column, Param, ResultSet, RowCount, SqlError, SqlType
from airflow_provider_pacs.sandbox.wire.certificates import Certificate, make_authority, make_certificate
from airflow_provider_pacs.sandbox.wire.serve import serve

DIRECTORY = Path(tempfile.mkdtemp(prefix="pacs-wire-"))
AUTHORITY = make_authority()
CA_FILE, _ = AUTHORITY.write(DIRECTORY, "ca")
CERTIFICATE = make_certificate(AUTHORITY)
os.environ.update(odbc_environment(DIRECTORY, CA_FILE))

import pyodbc  # noqa: E402

pyodbc.pooling = False

PASSWORD = "S3cret;pass}word"
INT = SqlType("int")


def rows_of(columns: Sequence[Column], arrays: Sequence[pa.Array]) -> ResultSet:
    """A result set of one batch."""
    return ResultSet(
        columns, iter([pa.RecordBatch.from_arrays(list(arrays), [column.name for column in columns])])
    )


def numbers(count: int, batch: int = 50_000) -> ResultSet:
    """`count` rows of an int and a text."""

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, count, batch):
            values = pa.array(range(start, min(count, start + batch)), pa.int32())
            yield pa.RecordBatch.from_arrays([values, values.cast(pa.string())], ["n", "t"])

    return ResultSet([Column("n", INT, nullable=False), Column("t", SqlType("varchar", 40))], batches())


def broken() -> Iterator[pa.RecordBatch]:
    """A batch of 10 rows, then an error."""
    yield pa.record_batch([pa.array(range(10), pa.int32())], ["n"])
    raise SqlError(8134, "Divide by zero error encountered.")


@dataclass
class ScriptedSession:
    """Answers what its engine has as answers, and remembers what it was asked."""

    engine: ScriptedEngine
    database: str
    asked: list[tuple[str, list[Param]]] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    closed: bool = False

    def execute(self, sql: str, params: Sequence[Param] = ()) -> Iterator[ResultSet | RowCount]:  # noqa: C901
        self.asked.append((sql, list(params)))
        self.engine.asked.append((sql, list(params)))
        if result := re.fullmatch(r"SELECT TOP (\d+) numbers.*", sql, re.DOTALL):
            yield numbers(int(result[1]))
        elif result := re.fullmatch(r"USE (\w+)", sql):
            self.database = result[1]
            yield RowCount(None)
        elif result := re.fullmatch(r"WAIT (\S+)", sql):
            self.cancelled.clear()
            if self.cancelled.wait(float(result[1])):
                raise RuntimeError("interrupted")
            yield RowCount(None)
        elif sql.startswith("CRASH"):
            raise RuntimeError("the engine has a bug")
        elif sql.startswith("MISSING"):
            raise SqlError(208, "Invalid object name 'missing'.")
        elif sql.startswith("HALF THEN ERROR"):
            yield ResultSet([Column("n", INT)], broken())
        elif sql == "ASKED":
            texts = [str([param.value for param in params]) for _, params in self.asked[:-1]]
            yield rows_of([Column("asked", SqlType("nvarchar", 4000))], [pa.array(texts, pa.string())])
        elif sql == "TWO":
            yield numbers(2)
            yield RowCount(7)
            yield numbers(3)
        elif sql.startswith(("INSERT", "UPDATE")):
            yield RowCount(1)
        elif sql in self.engine.answers:
            yield self.engine.answers[sql]()
        else:
            yield rows_of([Column("one", INT)], [pa.array([1], pa.int32())])

    def describe_parameters(self, sql: str) -> Sequence[Param]:
        if self.engine.described is None:
            raise SqlError(11503, "cannot deduce")
        return [
            Param(f"@P{position}", sql_type, None)
            for position, sql_type in enumerate(self.engine.described, 1)
        ]

    def begin(self, isolation: int = 0) -> None:
        self.engine.log.append("begin")

    def commit(self) -> None:
        self.engine.log.append("commit")

    def rollback(self) -> None:
        self.engine.log.append("rollback")

    def cancel(self) -> None:
        self.engine.log.append("cancel")
        self.cancelled.set()

    def close(self) -> None:
        self.closed = True


@dataclass
class ScriptedEngine:
    """`answers` maps SQL to what makes its result."""

    answers: dict[str, Callable[[], ResultSet | RowCount]] = field(default_factory=dict)
    asked: list[tuple[str, list[Param]]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    sessions: list[ScriptedSession] = field(default_factory=list)
    described: list[SqlType] | None = None

    def login(self, user: str, password: str, database: str, host: str, application: str) -> ScriptedSession:
        if (user, password) != ("sa", PASSWORD):
            raise SqlError(18456, f"Login failed for user '{user}'.", severity=14)
        if database not in ("", "PACS", "master"):
            raise SqlError(
                4060,
                f'Cannot open database "{database}" requested by the login. The login failed.',
                severity=11,
            )
        session = ScriptedSession(self, database or "master")
        self.sessions.append(session)
        return session


def connection_string(port: int, **options: str) -> str:
    """What production would use, with full verification of the certificate."""
    defaults = {
        "Driver": f"{{{DRIVER_NAME}}}",
        "Server": f"127.0.0.1,{port}",
        "Database": "PACS",
        "UID": "sa",
        "PWD": "{" + PASSWORD.replace("}", "}}") + "}",
    }
    encryption = {"Encrypt": "yes", "TrustServerCertificate": "no"}
    return ";".join(f"{name}={value}" for name, value in {**defaults, **encryption, **options}.items())


def connect(port: int, autocommit: bool = True, timeout: int = 5, **options: str) -> pyodbc.Connection:
    """A pyodbc connection."""
    return pyodbc.connect(connection_string(port, **options), autocommit=autocommit, timeout=timeout)


@contextmanager
def server_process(described: list[SqlType] | None = None) -> Iterator[int]:
    """A server in a process of its own, stopped by SIGTERM; gives its port.

    pyodbc keeps the interpreter's lock while it asks for parameter types in fast_executemany: a server in its
    own process would never answer.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, CERTIFICATE, described))
    process.start()
    try:
        if not ours.poll(20):
            raise TimeoutError("the server process did not start")
        yield ours.recv()
    finally:
        process.terminate()
        process.join(10)
    assert process.exitcode == 0


def _serve(pipe: Connection, certificate: Certificate, described: list[SqlType] | None) -> None:
    serve(ScriptedEngine(described=described), port=0, certificate=certificate, on_ready=pipe.send)


def wait_for(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether a condition comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return condition()
