"""Records the rows that a session changes in tracked tables, and numbers its transactions when they commit.

A change is written beside the data in the same DuckDB transaction, so that a snapshot sees both or neither. A
transaction gets its version under a lock when it commits: versions are in the order of commits, as on SQL
Server, and not in that of the statements.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import duckdb

from airflow_provider_pacs.sandbox.catalog.catalog import Catalog
from airflow_provider_pacs.sandbox.catalog.change_tables import changes_of, kept, recorded
from airflow_provider_pacs.sandbox.catalog.sqltypes import duck
from airflow_provider_pacs.sandbox.catalog.tables import Database, Table, quoted
from airflow_provider_pacs.sandbox.tsql.clock import Clock
from airflow_provider_pacs.sandbox.tsql.dml import Change

DELETED, INSERTED, BEFORE, AFTER = 1, 2, 3, 4
_NUMBERS = itertools.count(1)
LOCK = threading.Lock()
"""Held while a transaction gets its number and commits."""


def prepare(cursor: duckdb.DuckDBPyConnection, database: Database) -> None:
    """Creates what a database's tracking keeps, empty."""
    cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(f'{database.name}.tracking')}")
    cursor.execute(
        f"CREATE TABLE IF NOT EXISTS {kept(database.name, 'commits')} "
        "(tx BIGINT, number BIGINT, version BIGINT, local TIMESTAMP, utc TIMESTAMP)"
    )
    cursor.execute(
        f"CREATE TABLE IF NOT EXISTS {kept(database.name, 'tables')} "
        "(object_id INTEGER, begin_version BIGINT, cleanup_version BIGINT)"
    )


def prepare_table(cursor: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Creates what keeps a table's changes, unless it is there."""
    columns = [f"{quoted(c.name)} {duck(c.type)}" for c in table.columns if c.name not in table.computed]
    cursor.execute(
        f"CREATE TABLE IF NOT EXISTS {changes_of(table)} (__tx BIGINT, __seq BIGINT, __op TINYINT, "
        f"__context BLOB, __mask VARCHAR, {', '.join(columns)})"
    )


class RowChanges:
    """The recorded changes of one session's open transaction."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, clock: Clock) -> None:
        self._cursor, self._clock = cursor, clock
        self._tx = next(_NUMBERS)
        self._databases: dict[str, tuple[Database, bool]] = {}
        self.context: bytes | None = None
        self.start = 0

    def apply(self, change: Change, database: Database, bound: Callable[[str], Mapping[str, Any]]) -> int:
        """Runs a change of a tracked table inside of a DuckDB transaction; returns how many rows it changed."""
        table, columns = change.table, recorded(change.table)
        self.start = self._last_place(table, "") or 0
        listed = ", ".join(columns)
        key_changed = {c.lower() for c in change.columns} & {c.lower() for c in table.primary_key}
        if change.action == "UPDATE":
            before = f"SELECT {listed} FROM {table.stored} AS {quoted(change.alias)}{change.where}"
            self._record(
                change, before, bound(before), DELETED if key_changed or not table.primary_key else BEFORE
            )
        kind = {"INSERT": INSERTED, "DELETE": DELETED}.get(change.action, AFTER)
        if change.action == "UPDATE" and (key_changed or not table.primary_key):
            kind = INSERTED
        count = self._record(change, f"{change.sql} RETURNING {listed}", bound(change.sql), kind)
        _, versioned = self._databases.get(database.name, (database, False))
        versioned = versioned or table.object_id in database.tracking.columns
        if count or database.name in self._databases:
            self._databases[database.name] = (database, versioned)
        return count

    @property
    def tx(self) -> int:
        """The number of the open transaction's images."""
        return self._tx

    def touch(self, database: Database) -> None:
        """The transaction changes something that is not a row, such as TRUNCATE: it gets a version."""
        self._databases[database.name] = (database, True)

    @contextmanager
    def observing(self, catalog: Catalog, database: Database) -> Iterator[None]:
        """Records what DuckDB statements inside change in tracked tables, by comparing before and after; for
        what does not come as T-SQL, inside of a DuckDB transaction.
        """
        tables = [t for t in catalog.tables(database.name) if database.tracking.records(t.object_id)]
        for table in tables:
            self._cursor.execute(
                f"CREATE OR REPLACE TEMP TABLE before_{table.object_id} AS SELECT {', '.join(recorded(table))} "
                f"FROM {table.stored}"
            )
        yield
        for table in tables:
            if self._compare(table):
                _, versioned = self._databases.get(database.name, (database, False))
                versioned = versioned or table.object_id in database.tracking.columns
                self._databases[database.name] = (database, versioned)
            self._cursor.execute(f"DROP TABLE before_{table.object_id}")

    def _compare(self, table: Table) -> int:
        before, keys = f"before_{table.object_id}", ", ".join(quoted(c) for c in table.primary_key)
        listed = recorded(table)

        def image(alias: str) -> str:  # as text: a change of case is a change
            return f"md5(CAST(row({', '.join(f'{alias}.{c}' for c in listed)}) AS VARCHAR))"

        same = f"{before} AS b JOIN {table.stored} AS a USING ({keys}) WHERE {image('b')} <> {image('a')}"
        count = 0
        for kind, source, alias in (
            (DELETED, f"{before} AS b ANTI JOIN {table.stored} AS a USING ({keys})", "b"),
            (BEFORE, same, "b"),
            (AFTER, same, "a"),
            (INSERTED, f"{table.stored} AS a ANTI JOIN {before} AS b USING ({keys})", "a"),
        ):
            sql = f"SELECT {', '.join(f'{alias}.{c}' for c in listed)} FROM {source}"
            change = Change("", "UPDATE", table, tuple(c.name for c in table.columns if kind == AFTER))
            count += self._record(change, sql, {}, kind)
        return count

    def _record(self, change: Change, sql: str, bound: Mapping[str, Any], kind: int) -> int:
        rows: Any = self._cursor.execute(sql, dict(bound)).to_arrow_table()
        if rows.num_rows:
            table = change.table
            mask = ",".join(str(table.position(c)) for c in change.columns)
            keys = ", ".join(quoted(c) for c in table.primary_key) or "1"
            listed = ", ".join(recorded(table))
            # Both images of an updated row get the same place: they are in the order of the key.
            start = self._place(table, rows.num_rows, kind)
            self._cursor.register("changed_rows", rows)
            self._cursor.execute(
                f"INSERT INTO {changes_of(table)} SELECT $tx, $start + row_number() OVER (ORDER BY {keys}), "
                f"$op, $context, $mask, {listed} FROM changed_rows",
                {"tx": self._tx, "start": start, "op": kind, "context": self.context, "mask": mask},
            )
            self._cursor.unregister("changed_rows")
        return int(rows.num_rows)

    def _place(self, table: Table, count: int, kind: int) -> int:
        """Where the places of the next rows start: behind the transaction's others, or at their images before."""
        before = self._last_place(table, f" AND __op = {BEFORE}") if kind == AFTER else None
        return before - count if before is not None else self._last_place(table, "") or 0

    def _last_place(self, table: Table, condition: str) -> int | None:
        ((last,),) = self._cursor.execute(
            f"SELECT max(__seq) FROM {changes_of(table)} WHERE __tx = $tx{condition}", {"tx": self._tx}
        ).fetchall()
        return None if last is None else int(last)

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Around the COMMIT: numbers the transaction, and lets no other commit in between."""
        if not self._databases:
            yield
            return
        with LOCK:
            for database, versioned in self._databases.values():
                tracking = database.tracking
                tracking.order += 1
                tracking.version += versioned
                now = self._clock.instant()
                self._cursor.execute(
                    f"INSERT INTO {kept(database.name, 'commits')} VALUES ($tx, $number, $version, $local, $utc)",
                    {
                        "tx": self._tx,
                        "number": tracking.order,
                        "version": tracking.version if versioned else None,
                        "local": now.local,
                        "utc": now.utc,
                    },
                )
            yield
        self.reset()

    def reset(self) -> None:
        """The transaction has ended."""
        self._tx = next(_NUMBERS)
        self._databases = {}
