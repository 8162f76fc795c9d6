"""The server that PACS_TEST_MSSQL_URL names as a test's PACS: a database of its own, made and changed by
T-SQL, read by the product's own reader.

No test can set a genuine server's clock, so the county's clock is laid over the reader's answers: the product
still asks the server for the time, and gets the standing one. The begin of an open writer is set the same
way. Nothing else of an answer is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pyodbc

from airflow_provider_pacs.sandbox.catalog.tables import Table
from airflow_provider_pacs.sandbox.counties import generic_tables as generic
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader
from tests.support.pacs import Pacs, StandingClock, WatchedReader
from tests.support.server import MssqlServer, ddl, has_long_text


def _text(moment: datetime) -> str:
    """As CONVERT(varchar(34), a datetime2(7), 121) writes it."""
    return moment.isoformat(" ", "microseconds") + "0"


class _ServerWriter:
    def __init__(self, connection: pyodbc.Connection, clock: StandingClock) -> None:
        self._connection, self._clock = connection, clock
        self._open = False
        self.since: datetime | None = None

    def execute(self, sql: str) -> None:
        if self._open and self.since is None:
            self.since = self._clock.local()
        cursor = self._connection.execute(sql)
        while cursor.nextset():  # an error after the first statement shows only here
            pass
        cursor.close()

    def begin(self) -> None:
        self._connection.execute("BEGIN TRAN").close()
        self._open = True

    def commit(self) -> None:
        self._connection.execute("COMMIT").close()
        self._open, self.since = False, None

    def close(self) -> None:
        if self._open:
            self._connection.execute("ROLLBACK").close()
        self._connection.close()


class _ReaderByTheCountysClock(SqlServerReader):
    def __init__(self, pacs: NamedPacs) -> None:
        super().__init__(pacs.server.address, attempts=1)
        self._pacs = pacs

    def query(self, sql: str, params: Sequence[object] = ()) -> list[dict[str, Any]]:
        rows = super().query(sql, params)
        for row in rows:
            if {"now", "tz_offset_min"} <= row.keys():
                instant = self._pacs.clock.instant()
                row["now"] = _text(instant.utc if "SYSUTCDATETIME(), 121) AS now" in sql else instant.local)
                row["tz_offset_min"] = instant.offset_minutes
            elif (
                row.get("oldest") is not None
            ):  # the server sees an open writer: one of ours, or housekeeping of its own
                oldest = self._pacs.oldest_writer()
                row["oldest"] = _text(oldest) if oldest else None
        return rows


class NamedPacs(Pacs):
    """A database of its own with the generic tables; `replaced` ones take the place of those with their name.

    READ_COMMITTED_SNAPSHOT is on: writers that stay open must not hold up the readers of the same test.
    """

    def __init__(self, server: MssqlServer, *replaced: Table) -> None:
        self.clock = StandingClock()
        self.server = server.create_database()
        self._sessions: list[_ServerWriter | WatchedReader] = []
        self._admin = self.server.connect()
        self._tables = {table.name: table for table in (*generic.TABLES, *replaced)}
        for table in self._tables.values():
            self._admin.execute(ddl(table))

    def reader(self) -> WatchedReader:
        made = WatchedReader(_ReaderByTheCountysClock(self))
        self._sessions.append(made)
        return made

    def writer(self) -> _ServerWriter:
        made = _ServerWriter(self.server.connect(), self.clock)
        self._sessions.append(made)
        return made

    def oldest_writer(self) -> datetime | None:
        """When the oldest open transaction first wrote, by the county's clock."""
        return min(
            (
                session.since
                for session in self._sessions
                if isinstance(session, _ServerWriter) and session.since is not None
            ),
            default=None,
        )

    def fill(self, table: str, rows: Sequence[dict[str, object]]) -> None:
        self.server.load(
            table,
            [tuple(row.values()) for row in rows],
            columns=tuple(rows[0]),
            fast=not has_long_text(self._tables[table]),
        )

    def redeclare(self, table: Table) -> None:
        self._admin.execute(f"DROP TABLE [dbo].[{table.name}]")
        self._admin.execute(ddl(replace(table, indexes=(), foreign_keys=())))
        self._tables[table.name] = table

    def empty(self) -> None:
        for table in self._tables.values():
            self._admin.execute(f"DELETE FROM [dbo].[{table.name}]")
        self.clock = StandingClock()

    def end_sessions(self) -> None:
        for session in self._sessions:
            session.close()
        self._sessions.clear()

    def close(self) -> None:
        self.end_sessions()
        self._admin.close()
        self.server.drop_database()
