"""What a test's county needs of its PACS, whichever server it is: tables, sessions that write, a reader whose
statements a test may watch, a clock.

`in_process` has the sandbox's engine without a wire, `named_server` the server that PACS_TEST_MSSQL_URL
names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Protocol, Self

import pyarrow as pa

from airflow_provider_pacs.sandbox.catalog.tables import Table
from airflow_provider_pacs.sandbox.tsql.clock import Clock, Instant
from airflow_provider_pacs.sandbox.tsql.engine import START
from airflow_provider_pacs.sync.runtime.errors import FatalError
from airflow_provider_pacs.sync.source.port import ConnectionFacts, LobBound, SourceReader


class StandingClock(Clock):
    """The server's clock, which moves when a test says so, also backwards, as an administrator or NTP may do."""

    def __init__(self, start: datetime = START, zone: str = "America/Los_Angeles") -> None:
        super().__init__(start, zone)

    def instant(self) -> Instant:
        """Now."""
        local = self._utc.astimezone(self._zone)
        offset = local.utcoffset() or timedelta(0)
        return Instant(
            local.replace(tzinfo=None), self._utc.replace(tzinfo=None), int(offset.total_seconds() // 60)
        )

    def step(self, **amount: float) -> None:
        """Move by a timedelta's arguments: `step(minutes=-5)`."""
        self._utc += timedelta(**amount)

    def set_utc(self, moment: datetime) -> None:
        """Move to a moment."""
        self._utc = moment.replace(tzinfo=UTC)


class WatchedReader:
    """A `SourceReader` over another one. `before_stream` is called with each bulk statement, to let things
    happen; `asked` keeps all statements.
    """

    def __init__(self, inner: SourceReader, batch_rows: int = 10_000) -> None:
        self._inner = inner
        self.batch_rows = batch_rows
        self.before_stream: Callable[[str], None] | None = None
        self.after_stream: Callable[[str], None] | None = None
        self.before_query: Callable[[str], None] | None = None
        self.denied: tuple[str, ...] = ()
        self.isolation_level: str | None = None
        self.asked: list[str] = []

    @property
    def address_text(self) -> str:
        return self._inner.address_text

    def facts(self) -> ConnectionFacts:
        """The inner reader's, with the isolation level that a test asks for."""
        return replace(self._inner.facts(), isolation_level=self.isolation_level)

    def query(self, sql: str, params: Sequence[object] = ()) -> list[dict[str, Any]]:
        self._note(sql)
        if self.before_query is not None:
            self.before_query(sql)
        return self._inner.query(sql, params)

    def stream(
        self,
        sql: str,
        params: Sequence[str | None] = (),
        *,
        batch_rows: int | None = None,
        lob_bound: LobBound | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The whole result is read before the first batch goes out: what `after_stream` does comes after the
        read.
        """
        bound = lob_bound() if lob_bound is not None else None
        self._note(sql)
        if self.before_stream is not None:
            self.before_stream(sql)
        length_of = None if bound is None else lambda: bound
        batches = list(
            self._inner.stream(sql, params, batch_rows=batch_rows or self.batch_rows, lob_bound=length_of)
        )
        if self.after_stream is not None:
            self.after_stream(sql)
        yield from batches

    def _note(self, sql: str) -> None:
        self.asked.append(sql)
        for name in self.denied:
            if name in sql:
                raise FatalError(f"{name} may not be read here")

    def cancel(self) -> None:
        self._inner.cancel()

    def close(self) -> None:
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Writer(Protocol):
    """A session of the county's own software, with a transaction of its own."""

    def execute(self, sql: str) -> None: ...

    def begin(self) -> None: ...

    def commit(self) -> None: ...


class Pacs(ABC):
    """A database with the generic tables."""

    clock: StandingClock

    @abstractmethod
    def reader(self) -> WatchedReader:
        """What the product reads it with."""

    @abstractmethod
    def writer(self) -> Writer:
        """A session of the county's software."""

    @abstractmethod
    def fill(self, table: str, rows: Sequence[dict[str, object]]) -> None:
        """Insert many rows of equal columns into a generic table."""

    @abstractmethod
    def redeclare(self, table: Table) -> None:
        """The county's software changed a table: other columns, and its rows gone."""

    @abstractmethod
    def empty(self) -> None:
        """All rows gone, and the clock as it was in the beginning."""

    @abstractmethod
    def end_sessions(self) -> None:
        """Readers and writers are closed, what they had open is rolled back."""

    @abstractmethod
    def close(self) -> None:
        """The end of the database."""
