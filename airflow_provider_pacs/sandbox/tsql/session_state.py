"""The state of one login's session: what statements other than queries read and change."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import duckdb
from sqlglot import exp

from airflow_provider_pacs.sandbox.catalog.catalog import Catalog
from airflow_provider_pacs.sandbox.catalog.tables import Table
from airflow_provider_pacs.sandbox.model import SqlType
from airflow_provider_pacs.sandbox.tsql.clock import Instant
from airflow_provider_pacs.sandbox.tsql.row_changes import RowChanges
from airflow_provider_pacs.sandbox.tsql.server import Login, Server
from airflow_provider_pacs.sandbox.tsql.transactions import Transactions
from airflow_provider_pacs.sandbox.tsql.variables import Variables


class SessionState(ABC):
    """One session's login, database, transactions and variables."""

    def __init__(
        self,
        engine: Server,
        login: Login,
        database: str,
        cursor: duckdb.DuckDBPyConnection,
        spid: int,
        host: str,
        application: str,
    ) -> None:
        self.engine, self.login, self.spid = engine, login, spid
        self.host: str = host
        self.application: str = application
        self._database = database
        self._cursor = cursor
        self.transactions = Transactions(
            cursor,
            lambda: engine.catalog.databases[self._database.lower()],
            engine.clock.local,
            engine.last_rowversion,
            RowChanges(cursor, engine.clock),
        )
        self.since: datetime = engine.clock.local()
        self.encrypted = True
        self.cancelled = threading.Event()
        self.variables = Variables()
        self.rowcount = 0
        self.nocount = False
        self._reader: Iterator[Any] | None = None
        self._instant: Instant | None = None
        self._reads: list[tuple[Table, set[str], bool]] = []

    @property
    def database(self) -> str:
        """The current database."""
        return self._database

    @database.setter
    def database(self, name: str) -> None:
        self._database = name

    @property
    def cursor(self) -> duckdb.DuckDBPyConnection:
        """The session's own DuckDB cursor, with its open transaction."""
        return self._cursor

    @property
    def catalog(self) -> Catalog:
        """The server's catalog."""
        return self.engine.catalog

    @property
    def trancount(self) -> int:
        """@@TRANCOUNT."""
        return self.transactions.count

    @property
    def isolation(self) -> int:
        """Isolation level as sys.dm_exec_sessions numbers it (2 read committed, 5 snapshot)."""
        return self.transactions.isolation

    @property
    def writing_since(self) -> datetime | None:
        """When the open transaction first wrote, or None."""
        return self.transactions.writing_since

    @abstractmethod
    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What DuckDB answers in the session's transaction."""

    @abstractmethod
    def evaluate(self, text: str, kind: SqlType) -> Any:
        """The value of an expression, converted to `kind` as an assignment does."""

    @abstractmethod
    def constant(self, node: exp.Expression) -> Any:
        """The value of a procedure's argument: a literal or a variable."""

    @abstractmethod
    def begin(self, isolation: int = 0) -> None:
        """Begins a transaction; `isolation` as TDS numbers it, 0 for the session's own."""

    @abstractmethod
    def commit(self) -> None:
        """Commits the outermost transaction."""

    @abstractmethod
    def rollback(self) -> None:
        """Rolls everything back."""

    @abstractmethod
    def close(self) -> None:
        """Ends the session."""
