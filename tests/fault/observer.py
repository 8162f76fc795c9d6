"""What a reader of the target sees while it is written: polls of all tables, each in one statement."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, Self

import psycopg

from airflow_provider_pacs.sync.entities import load_entities
from tests.fault.processes import until

Poll = tuple[str, ...]


def poll_sql(county: str) -> str:
    """One row: per entity how many rows are live and a digest of their data columns, then how many children
    have no live parent.
    """
    parts = []
    for entity in load_entities().values():
        names = ", ".join(f"t.{name}" for name in entity.column_names)
        live = f"FROM pacs.{entity.table} AS t WHERE t.county_id = '{county}' AND t._deleted_at IS NULL"
        parts.append(
            f"(SELECT count(*) || ':' || coalesce(md5(string_agg(ROW({names})::text, ';' ORDER BY "
            f"t.{entity.key})), '') {live})"
        )
        if entity.parent:
            parent = load_entities()[entity.parent]
            parts.append(
                f"(SELECT count(*)::text {live} AND NOT EXISTS (SELECT FROM pacs.{parent.table} AS p WHERE "
                "p.county_id = t.county_id "
                f"AND p.{parent.key} = t.{entity.parent_key} AND p._deleted_at IS NULL))"
            )
    return "SELECT " + ", ".join(parts)


class Observer:
    """A reader that looks at all tables again and again, each time in one statement, from a connection and a
    thread of its own.
    """

    def __init__(self, url: str, county: str, *, survives_restarts: bool) -> None:
        self.seen: list[Poll] = []
        self.errors: list[str] = []
        self.polls = 0
        self.longest = 0.0
        self.samples = self.waited = 0
        self._pid = 0
        self._url, self._sql, self._survives = url, poll_sql(county), survives_restarts
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._run, self._sample)]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, application_name="reader") as connection:
                    self._pid = connection.info.backend_pid
                    while not self._stop.is_set():
                        self._look(connection)
            except psycopg.Error as error:
                if not self._survives:
                    self.errors.append(str(error))
                    return
                self._stop.wait(0.05)

    def _sample(self) -> None:
        """How often the reader's own backend is found waiting for a lock."""
        while not self._survives and not self._stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, application_name="sampler") as connection:
                    while not self._stop.wait(0.02):
                        row = connection.execute(
                            "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s",
                            (self._pid,),
                        ).fetchone()
                        self.samples += 1
                        self.waited += bool(row and row[0])
            except psycopg.Error as error:
                self.errors.append(str(error))
                return

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        started = time.monotonic()
        row = connection.execute(self._sql.encode()).fetchone()
        self.longest = max(self.longest, time.monotonic() - started)
        self.polls += 1
        if row is not None and row not in self.seen:
            self.seen.append(row)
        self._stop.wait(0.02)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        until("the reader's first look", lambda: self.polls or self.errors)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
