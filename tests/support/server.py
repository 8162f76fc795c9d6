"""The SQL Server under test: the one that `PACS_TEST_MSSQL_URL` names, or a sandbox in a process of its own.

Tests need not know which.

A test makes its tables by T-SQL, fills them with `fast_executemany` and drops them again: nothing is made
behind the server's back.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing.connection import Connection
from typing import Any
from uuid import uuid4

import pyodbc
import pytest

from airflow_provider_pacs.sandbox.catalog.tables import COLLATION, Table
from airflow_provider_pacs.sandbox.model import MAX, SqlType
from airflow_provider_pacs.sandbox.tsql.engine import Login, SandboxEngine
from airflow_provider_pacs.sandbox.wire.certificates import Certificate
from airflow_provider_pacs.sandbox.wire.faults import FaultPlan
from airflow_provider_pacs.sandbox.wire.serve import serve
from airflow_provider_pacs.sync.source.address import SourceAddress
from tests.wire.scripted import CERTIFICATE

VARIABLE = "PACS_TEST_MSSQL_URL"
_READY_SECONDS = 60
_DROP_ATTEMPTS = 100


def spelled(kind: SqlType) -> str:
    """A type as CREATE TABLE writes it."""
    if kind.name in ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary"):
        return f"{kind.name}({'max' if kind.length == MAX else kind.length})"
    if kind.name in ("decimal", "numeric"):
        return f"{kind.name}({kind.precision}, {kind.scale})"
    return f"{kind.name}({kind.scale})" if kind.name in ("datetime2", "datetimeoffset", "time") else kind.name


def has_long_text(table: Table) -> bool:
    """Whether `MssqlServer.load` has to go row by row."""
    return any(column.type.name in ("text", "ntext") for column in table.columns)


def bracketed(name: str) -> str:
    """A T-SQL identifier."""
    return "[" + name.replace("]", "]]") + "]"


def ddl(table: Table) -> str:
    """CREATE TABLE for a declaration of the sandbox's catalog."""
    columns = [
        f"{bracketed(c.name)} {spelled(c.type)} {'NULL' if c.nullable else 'NOT NULL'}" for c in table.columns
    ]
    key = (
        [f"PRIMARY KEY ({', '.join(bracketed(name) for name in table.primary_key)})"]
        if table.primary_key
        else []
    )
    return f"CREATE TABLE {bracketed(table.schema)}.{bracketed(table.name)} ({', '.join(columns + key)})"


def related_ddl(table: Table) -> list[str]:
    """Its indexes and references, once all tables are there."""
    where = f"{bracketed(table.schema)}.{bracketed(table.name)}"

    def listed(names: Sequence[str]) -> str:
        return ", ".join(map(bracketed, names))

    indexes = [
        f"CREATE INDEX {bracketed(index.name)} ON {where} ({listed(index.columns)})"
        for index in table.indexes
    ]
    references = [
        f"ALTER TABLE {where} ADD CONSTRAINT {bracketed(key.name)} FOREIGN KEY ({listed(key.columns)}) "
        f"REFERENCES {bracketed(table.schema)}.{bracketed(key.table)} ({listed(key.references)})"
        for key in table.foreign_keys
    ]
    return indexes + references


def only_the_sandbox(why: str) -> None:
    """Leaves a test out where a server is named: `why` says what that server can't do, or why it would prove
    nothing there.
    """
    if VARIABLE in os.environ:
        pytest.skip(f"only with the sandbox: {why}")


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
        with closing(self.connect()) as connection:
            for statement in statements:
                connection.execute(statement)

    @contextmanager
    def table(self, columns: str | Table) -> Iterator[str]:
        """A table of one's own, by the columns of CREATE TABLE or a catalog's declaration; gives its name,
        and drops it in the end.
        """
        name = f"t_{uuid4().hex[:12]}"
        self.execute(
            f"CREATE TABLE dbo.{name} ({columns})"
            if isinstance(columns, str)
            else ddl(replace(columns, schema="dbo", name=name))
        )
        try:
            yield name
        finally:
            self.execute(f"DROP TABLE dbo.{name}")

    def load(
        self,
        name: str,
        rows: Sequence[Sequence[Any]],
        *,
        schema: str = "dbo",
        columns: Sequence[str] = (),
        fast: bool = True,
    ) -> None:
        """Fills a table with `fast_executemany`: real types and real parameters.

        `columns` where not all of them get a value. A table with a column of type text goes row by row
        (`fast` False): the server describes such a parameter by the 16 bytes of its pointer, and pyodbc makes
        its buffer no longer.
        """
        listed = f" ({', '.join(map(bracketed, columns))})" if columns else ""
        marks = ", ".join("?" * len(rows[0]))
        with closing(self.connect(autocommit=False)) as connection:
            cursor = connection.cursor()
            cursor.fast_executemany = fast
            cursor.executemany(
                f"INSERT INTO {bracketed(schema)}.{bracketed(name)}{listed} VALUES ({marks})",
                [tuple(row) for row in rows],
            )
            connection.commit()

    def create_database(self) -> MssqlServer:
        """A database of one's own on the same server, empty; readers there never wait for writers."""
        name = f"pacs_test_{uuid4().hex[:12]}"
        self.execute(
            f"CREATE DATABASE [{name}] COLLATE {COLLATION}",
            f"ALTER DATABASE [{name}] SET READ_COMMITTED_SNAPSHOT ON",
        )
        return replace(self, address=replace(self.address, database=name))

    def drop_database(self) -> None:
        """The end of a database of one's own.

        The server may need a moment to notice that its last client is gone: error 3702 until then.
        """
        there = replace(self, address=replace(self.address, database="master"))
        for attempt in range(_DROP_ATTEMPTS):
            try:
                there.execute(f"DROP DATABASE [{self.address.database}]")
            except pyodbc.Error as error:
                if "(3702)" not in str(error.args[1]) or attempt + 1 == _DROP_ATTEMPTS:
                    raise
                time.sleep(0.1)
            else:
                return

    def only_the_sandbox(self, why: str) -> None:
        """Leaves a test out on a genuine server."""
        if self.genuine:
            pytest.skip(f"only with the sandbox: {why}")


def named_server() -> MssqlServer | None:
    """The server that the variable names, or None."""
    url = os.environ.get(VARIABLE)
    return MssqlServer(SourceAddress.from_url(url), genuine=True) if url else None


@contextmanager
def running_server(zone: str = "America/Los_Angeles", start: datetime | None = None) -> Iterator[MssqlServer]:
    """The genuine server where one is named, else a sandbox; `zone` and `start` are the sandbox's clock."""
    if named := named_server():
        yield named
        return
    with sandbox(zone, start) as address:
        yield MssqlServer(address, genuine=False)


@contextmanager
def sandbox(zone: str, start: datetime | None) -> Iterator[SourceAddress]:
    """An empty sandbox in a process of its own: pyodbc keeps the interpreter's lock while it asks for
    parameter types.
    """
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
