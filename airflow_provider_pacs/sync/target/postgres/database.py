"""libpq parameters -> one connection with what the target relies on; every foreign error is mapped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_pacs.sync.target.postgres import session
from airflow_provider_pacs.sync.target.postgres.errors import mapped_errors

if TYPE_CHECKING:
    import psycopg
    import sqlalchemy as sa


class Database:
    """One connection in autocommit; explicit transactions.

    Args:
        params: libpq keywords (host, port, dbname, user, password, sslmode ...); `host` may be a socket folder.

    Raises:
        ConfigError: libpq does not know a keyword, or the login was refused.
        RetryableError: the server can't be reached now.
    """  # noqa: E501

    def __init__(self, params: Mapping[str, str]) -> None:
        self.params = {name: str(value) for name, value in params.items() if value not in (None, "")}
        port = f":{self.params['port']}" if "port" in self.params else ""
        self.place = f"{self.params.get('host', '')}{port}/{self.params.get('dbname', '')}"
        with mapped_errors(f"target {self.place}"):
            self.connection: psycopg.Connection[Any] = session.connect(self.params)
        self._second: psycopg.Connection[Any] | None = None

    def close(self) -> None:
        """Close the connections; again is allowed."""
        self.connection.close()
        if self._second is not None:
            self._second.close()

    @property
    def sqlalchemy_url(self) -> sa.URL:
        """The same database for SQLAlchemy (Great Expectations), on psycopg 3."""
        return session.sqlalchemy_url(self.params)

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
                self._second = session.connect(self.params)
            yield self._second
