"""The sandbox's engine in this process, without a wire, as a test's PACS: T-SQL in, and the batches that
Microsoft's driver would hand over out.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_pacs.sandbox.catalog.sqltypes import arrow
from airflow_provider_pacs.sandbox.catalog.tables import Table
from airflow_provider_pacs.sandbox.counties import generic_tables as generic
from airflow_provider_pacs.sandbox.model import Column, Param, ResultSet, SqlError, SqlType
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from airflow_provider_pacs.sandbox.tsql.session import SqlSession
from airflow_provider_pacs.sandbox.tsql.variables import permuted, ticks
from airflow_provider_pacs.sync.runtime.errors import FatalError
from airflow_provider_pacs.sync.source.errors import BY_NUMBER
from airflow_provider_pacs.sync.source.port import ConnectionFacts, LobBound
from tests.support.pacs import Pacs, StandingClock, WatchedReader, Writer

ADMIN = ("sa", "Sandbox!Admin1")


def _marked(sql: str) -> str:
    """`?` becomes @P1, @P2 ... as the driver does it."""
    numbers = itertools.count(1)
    return re.sub(r"\?", lambda _: f"@P{next(numbers)}", sql)


def _params(values: Sequence[object], kind: str) -> list[Param]:
    return [
        Param(
            f"@P{number}",
            SqlType(kind, 4000) if isinstance(value, str) or value is None else SqlType("int"),
            value,
        )
        for number, value in enumerate(values, start=1)
    ]


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except SqlError as error:
        decided = next((rule for numbers, rule in BY_NUMBER if error.number in numbers), None)
        kind = decided.kind if decided else FatalError
        raise kind(error.message, code=decided.code if decided else None) from error


def as_the_driver_hands_it_over(batch: pa.RecordBatch, columns: Sequence[Column]) -> pa.RecordBatch:
    """The engine's carriers -> what arrow-odbc makes of the same column: GUIDs as text, datetime with three
    digits.
    """
    arrays = [_driven(batch.column(number), column.type) for number, column in enumerate(columns)]
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def _driven(array: pa.Array, kind: SqlType) -> pa.Array:
    if kind.name == "uniqueidentifier":
        return pa.array(
            [None if value is None else str(UUID(bytes_le=value)).upper() for value in array.to_pylist()],
            pa.string(),
        )
    if kind.name == "datetime":
        return pc.cast(pc.round_temporal(array, 1, "millisecond"), pa.timestamp("ms"))
    if kind.name == "smalldatetime":
        return pc.cast(array, pa.timestamp("s"))
    return array


def _no_rows(columns: Sequence[Column]) -> pa.Table:
    empty = pa.RecordBatch.from_arrays(
        [pa.array([], arrow(column.type)) for column in columns], names=[column.name for column in columns]
    )
    return pa.Table.from_batches([as_the_driver_hands_it_over(empty, columns)])


class _EngineReader:
    """A `SourceReader` straight over a session of the engine."""

    address_text = "sandbox/PACS"

    def __init__(self, session: SqlSession) -> None:
        self._session = session

    def facts(self) -> ConnectionFacts:
        return ConnectionFacts("no driver", "yes", False, "sandbox", None)

    def query(self, sql: str, params: Sequence[object] = ()) -> list[dict[str, Any]]:
        with _mapped():
            results = self._session.execute(_marked(sql), _params(params, "nvarchar"))
            for item in results:
                if isinstance(item, ResultSet):
                    rows = [
                        row
                        for batch in item.batches
                        for row in as_the_driver_hands_it_over(batch, item.columns).to_pylist()
                    ]
                    for _ in results:
                        pass
                    return rows
            return []

    def stream(
        self,
        sql: str,
        params: Sequence[str | None] = (),
        *,
        batch_rows: int | None = None,
        lob_bound: LobBound | None = None,
    ) -> Iterator[pa.RecordBatch]:
        with _mapped():
            result = next(
                item
                for item in self._session.execute(_marked(sql), _params(params, "varchar"))
                if isinstance(item, ResultSet)
            )
            batches = [as_the_driver_hands_it_over(batch, result.columns) for batch in result.batches]
        table = pa.Table.from_batches(batches).combine_chunks() if batches else _no_rows(result.columns)
        yield from table.to_batches(max_chunksize=batch_rows) or [
            pa.RecordBatch.from_pylist([], schema=table.schema)
        ]

    def cancel(self) -> None:
        self._session.cancel()

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class InProcessReader(WatchedReader):
    """A watched reader of an engine's county."""

    def __init__(
        self,
        engine: SandboxEngine,
        user: str = ADMIN[0],
        password: str = ADMIN[1],
        *,
        batch_rows: int = 10_000,
        database: str = generic.DATABASE,
    ) -> None:
        super().__init__(
            _EngineReader(engine.login(user, password, database, "test", "airflow-provider-pacs")), batch_rows
        )


class EngineWriter:
    """A session of the engine that writes."""

    def __init__(self, session: SqlSession) -> None:
        self._session = session

    def execute(self, sql: str) -> None:
        for item in self._session.execute(sql):
            if isinstance(item, ResultSet):
                list(item.batches)

    def begin(self) -> None:
        self._session.begin()

    def commit(self) -> None:
        self._session.commit()


class InProcessPacs(SandboxEngine, Pacs):
    """An engine with the generic tables; `replaced` ones take the place of those with their name."""

    clock: StandingClock

    def __init__(self, *replaced: Table) -> None:
        super().__init__()
        self.clock = StandingClock()
        for unused in ("tempdb", "model", "msdb"):  # filling their system tables is what takes time
            self.catalog.databases.pop(unused)
        generic.declare(self.catalog)
        for table in replaced:
            self.catalog.add_table(table)
        self.publish()

    def reader(self) -> InProcessReader:
        return InProcessReader(self)

    def writer(self) -> Writer:
        return EngineWriter(self.login(*ADMIN, generic.DATABASE, "assessor", "PACS"))

    def fill(self, table: str, rows: Sequence[dict[str, object]]) -> None:
        """Past the T-SQL translator, which is slow with long lists; only into the generic tables as they are
        declared.
        """
        guids = {
            column.name
            for table_ in generic.TABLES
            if table_.name == table
            for column in table_.columns
            if column.type == generic.GUID
        }
        stored = [row | {name: str(permuted(UUID(str(row[name])))) for name in guids} for row in rows]
        for row in stored:
            row["LastModified"] = ticks(datetime.fromisoformat(str(row["LastModified"])))
        self.con.register("added", pa.Table.from_pylist(stored))
        names = ", ".join(f'"{name}"' for name in stored[0])
        self.con.execute(f'INSERT INTO "PACS.dbo"."{table}" ({names}) SELECT {names} FROM added')
        self.con.unregister("added")

    def redeclare(self, table: Table) -> None:
        self.con.execute(f"DROP TABLE {table.stored}")
        known = self.catalog.table(table.database, table.schema, table.name)
        assert known is not None
        self.catalog.redefine(
            replace(table, object_id=known.object_id)
        )  # altered, not made again: it stays the same object
        self.publish()

    def empty(self) -> None:
        for table in reversed(generic.TABLES):
            self.con.execute(f"DELETE FROM {table.stored}")
        self.clock = StandingClock()

    def end_sessions(self) -> None:
        for session in self.sessions():
            session.close()
