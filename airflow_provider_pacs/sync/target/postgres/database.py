"""libpq parameters -> one connection with what the target relies on; every foreign error is mapped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import sqlalchemy as sa

from airflow_provider_pacs.sync.target.postgres.errors import mapped_errors

_SESSION = (
    "SET timezone = 'UTC'",
    "SET datestyle = 'ISO, YMD'",
    "SET lock_timeout = '60s'",
    "SET client_min_messages = warning",
    # A few large statements over whole tables: sorts and hashes in memory, indexes built by two, nothing
    # compiled.
    "SET work_mem = '64MB'",
    "SET maintenance_work_mem = '256MB'",
    "SET jit = off",
    # A worker that froze inside publish must not keep its county for ever.
    "SET idle_in_transaction_session_timeout = '5min'",
)
_IF_THE_PLATFORM_CAN = "SET client_connection_check_interval = '5s'"
"""A worker that was killed must not keep its county until its last statement is through."""


class Database:
    """One connection in autocommit; explicit transactions.

    Args:
        params: libpq keywords (host, port, dbname, user, password, sslmode ...); `host` may be a socket
            folder.

    Raises:
        ConfigError: libpq does not know a keyword, or the login was refused.
        RetryableError: the server can't be reached now.
    """

    def __init__(self, params: Mapping[str, str]) -> None:
        self.params = {name: str(value) for name, value in params.items() if value not in (None, "")}
        port = f":{self.params['port']}" if "port" in self.params else ""
        self.place = f"{self.params.get('host', '')}{port}/{self.params.get('dbname', '')}"
        with mapped_errors(f"target {self.place}"):
            self.connection = self._connect()
        self._second: psycopg.Connection[Any] | None = None

    def _connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(
            autocommit=True,
            application_name="airflow-provider-pacs",
            **self.params,  # type: ignore[arg-type]
        )
        for statement in _SESSION:
            connection.execute(statement.encode())
        with suppress(psycopg.errors.InvalidParameterValue):
            connection.execute(_IF_THE_PLATFORM_CAN)
        return connection

    def close(self) -> None:
        """Close the connections; again is allowed."""
        self.connection.close()
        if self._second is not None:
            self._second.close()

    @property
    def sqlalchemy_url(self) -> sa.URL:
        """The same database for SQLAlchemy (Great Expectations), on psycopg 3."""
        known = {"host", "port", "user", "password", "dbname"}
        host = self.params.get("host", "")
        query = {name: value for name, value in self.params.items() if name not in known}
        socket = host.startswith("/")
        if socket:
            query |= {"host": host, **({"port": self.params["port"]} if "port" in self.params else {})}
        return sa.URL.create(
            "postgresql+psycopg",
            username=self.params.get("user"),
            password=self.params.get("password"),
            host=None if socket else host or None,
            port=None if socket or "port" not in self.params else int(self.params["port"]),
            database=self.params.get("dbname"),
            query=query,
        )

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[Any]]:
        """One transaction; foreign errors leave it mapped, and rolled back."""
        with mapped_errors(f"target {self.place}"), self.connection.transaction():
            yield self.connection

    @contextmanager
    def statements(self) -> Iterator[psycopg.Connection[Any]]:
        """Single statements, each its own transaction; foreign errors leave mapped."""
        with mapped_errors(f"target {self.place}"):
            yield self.connection

    @contextmanager
    def aside(self) -> Iterator[psycopg.Connection[Any]]:
        """A second connection, for what must be visible while the first one is inside COPY."""
        with mapped_errors(f"target {self.place}"):
            if self._second is None or self._second.closed:
                self._second = self._connect()
            yield self._second
