"""The SQL Server under test: the one that `PACS_TEST_MSSQL_URL` names, or a sandbox in a process of its own. Tests need not know which.

A test makes its tables by T-SQL, fills them with `fast_executemany` and drops them again: nothing is made behind the server's back.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing.connection import Connection
from typing import Any
from uuid import uuid4

import pyodbc
import pytest

from airflow_provider_pacs.sandbox.catalog import Table
from airflow_provider_pacs.sandbox.certificates import Certificate
from airflow_provider_pacs.sandbox.engine import Login, SandboxEngine
from airflow_provider_pacs.sandbox.faults import FaultPlan
from airflow_provider_pacs.sandbox.model import MAX, SqlType
from airflow_provider_pacs.sandbox.serve import serve
from airflow_provider_pacs.sync.source.address import SourceAddress
from tests.wire.scripted import CERTIFICATE

VARIABLE = "PACS_TEST_MSSQL_URL"
_READY_SECONDS = 60


def spelled(kind: SqlType) -> str:
    """A type as CREATE TABLE writes it."""
    if kind.name in ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary"):
        return f"{kind.name}({'max' if kind.length == MAX else kind.length})"
    if kind.name in ("decimal", "numeric"):
        return f"{kind.name}({kind.precision}, {kind.scale})"
    return f"{kind.name}({kind.scale})" if kind.name in ("datetime2", "datetimeoffset", "time") else kind.name


def ddl(table: Table) -> str:
    """CREATE TABLE for a declaration of the sandbox's catalog."""
    columns = [f"[{c.name}] {spelled(c.type)} {'NULL' if c.nullable else 'NOT NULL'}" for c in table.columns]
    key = [f"PRIMARY KEY ({', '.join(f'[{name}]' for name in table.primary_key)})"] if table.primary_key else []
    return f"CREATE TABLE [{table.schema}].[{table.name}] ({', '.join(columns + key)})"


@dataclass(frozen=True)
class MssqlServer:
    """A server with an administrator's login and a database that tests may fill.

    Attributes:
        address: how the product reaches it.
        genuine: it is SQL Server itself.
    """

    address: SourceAddress
    genuine: bool

    def connect(self, autocommit: bool = True) -> pyodbc.Connection:
        """A connection of Microsoft's driver."""
        return pyodbc.connect(self.address.connection_string(), autocommit=autocommit, timeout=30)

    def execute(self, *statements: str) -> None:
        """Runs statements, each in a batch of its own."""
        connection = self.connect()
        for statement in statements:
            connection.execute(statement)
        connection.close()

    @contextmanager
    def table(self, columns: str | Table) -> Iterator[str]:
        """A table of one's own, by the columns of CREATE TABLE or a catalog's declaration; gives its name, and drops it in the end."""
        name = f"t_{uuid4().hex[:12]}"
        self.execute(f"CREATE TABLE dbo.{name} ({columns})" if isinstance(columns, str) else ddl(replace(columns, schema="dbo", name=name)))
        try:
            yield name
        finally:
            self.execute(f"DROP TABLE dbo.{name}")

    def load(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        """Fills a table with `fast_executemany`: real types and real parameters."""
        connection = self.connect(autocommit=False)
        cursor = connection.cursor()
        cursor.fast_executemany = True
        cursor.executemany(f"INSERT INTO dbo.{name} VALUES ({', '.join('?' * len(rows[0]))})", [tuple(row) for row in rows])
        connection.commit()
        connection.close()

    def only_the_sandbox(self, why: str) -> None:
        """Leaves a test out on a genuine server."""
        if self.genuine:
            pytest.skip(f"not on a genuine server: {why}")


@contextmanager
def running_server(zone: str = "America/Los_Angeles", start: datetime | None = None) -> Iterator[MssqlServer]:
    """The genuine server where one is named, else a sandbox; `zone` and `start` are the sandbox's clock."""
    url = os.environ.get(VARIABLE)
    if url:
        yield MssqlServer(SourceAddress.from_url(url), genuine=True)
        return
    with sandbox(zone, start) as address:
        yield MssqlServer(address, genuine=False)


@contextmanager
def sandbox(zone: str, start: datetime | None) -> Iterator[SourceAddress]:
    """An empty sandbox in a process of its own: pyodbc keeps the interpreter's lock while it asks for parameter types."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, CERTIFICATE, zone, start))
    process.start()
    try:
        assert ours.poll(_READY_SECONDS), "the sandbox did not start"
        yield SourceAddress("127.0.0.1", ours.recv(), "PACS", "sa", "Sandbox!Admin1", query_timeout=60)
    finally:
        process.terminate()
        process.join(20)
    assert process.exitcode == 0


def _serve(pipe: Connection, certificate: Certificate, zone: str, start: datetime | None) -> None:
    plan = FaultPlan()
    engine = SandboxEngine(
        None,
        (Login("sa", "Sandbox!Admin1", admin=True),),
        start or datetime(2026, 1, 15, 6),
        zone,
        fault=plan.add,
    )
    engine.catalog.add_database("PACS", datetime(2019, 3, 1), snapshot=False)
    engine.publish()
    serve(engine, port=0, certificate=certificate, faults=plan, on_ready=pipe.send)
    engine.close()
