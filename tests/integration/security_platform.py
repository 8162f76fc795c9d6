"""A platform database whose logins are those of `pacs grants --target`: each test attacks it as one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from airflow_provider_pacs.sync.target.postgres.grants import target_grants
from tests.support.county import connect

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Platform:
    """One database and the logins that this test made for it.

    Attributes:
        url: of a superuser.
        sync: the login that runs.
        monitor: the login of the page.
        mark: a suffix that no other test's roles have.
    """

    url: str
    sync: str
    monitor: str
    mark: str

    def params(self, user: str) -> dict[str, str]:
        """Libpq keywords of a login; the embedded server trusts its socket."""
        stated = psycopg.conninfo.conninfo_to_dict(self.url)
        return {name: str(value) for name, value in stated.items() if value} | {"user": user}

    @contextmanager
    def as_login(self, user: str) -> Iterator[Connection]:
        """A connection of a login, autocommit."""
        with psycopg.connect(**self.params(user), autocommit=True) as connection:  # type: ignore[arg-type]
            yield connection

    @contextmanager
    def as_superuser(self) -> Iterator[Connection]:
        with connect(self.url) as connection:
            yield connection

    def target(self, user: str) -> PostgresTarget:
        return PostgresTarget(self.params(user))

    def make_login(self, name: str, *groups: str) -> str:
        """A login of its own in these groups."""
        login = f"{name}_{self.mark}"
        with self.as_superuser() as connection:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(login)))
            for group in groups:
                connection.execute(
                    sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(login))
                )
        return login

    def run_grants(self) -> None:
        """What a DBA does: the printed script, as it is."""
        with self.as_superuser() as connection:
            for statement in target_grants(self.sync, self.monitor):
                connection.execute(statement.encode())

    def migrate(self) -> list[str]:
        with PostgresTarget.from_url(self.url) as target:
            return target.migrate()


@contextmanager
def new_platform(pg_server: str) -> Iterator[Platform]:
    """An empty database; its roles go with it."""
    mark = uuid4().hex[:10]
    name = f"platform_{mark}"
    url = urlunsplit(urlsplit(pg_server)._replace(path=f"/{name}"))
    with connect(pg_server) as admin:
        admin.execute(f'CREATE DATABASE "{name}"'.encode())
    try:
        yield Platform(url, f"sync_{mark}", f"page_{mark}", mark)
    finally:
        with connect(pg_server) as admin:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
            for (role,) in admin.execute(
                "SELECT rolname FROM pg_roles WHERE rolname LIKE %s", (f"%{mark}",)
            ).fetchall():
                admin.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
                admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


@pytest.fixture
def bare_platform(pg_server: str) -> Iterator[Platform]:
    """A database that nobody has touched."""
    with new_platform(pg_server) as platform:
        yield platform


@pytest.fixture(scope="module")
def platform(pg_server: str) -> Iterator[Platform]:
    """Granted and migrated; the tests of a module share it."""
    with new_platform(pg_server) as made:
        made.run_grants()
        made.migrate()
        yield made
