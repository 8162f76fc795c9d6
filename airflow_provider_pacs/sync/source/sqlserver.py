"""Reads SQL Server: statements come in, dictionaries (pyodbc, small results) or Arrow record batches
(arrow-odbc, bulk) go out.

Both drivers' connections are in autocommit mode: pyodbc's default keeps a transaction open from the first
statement on, and with it old row versions at the server. Values are never truncated: where arrow-odbc cannot
know how long one may be, it is measured before the first row is handed out.
"""

from __future__ import annotations

import contextlib
import logging
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import pyarrow as pa
import pyodbc

from airflow_provider_pacs.sync.runtime.errors import PacsError
from airflow_provider_pacs.sync.source.bulk import (
    BATCH_BYTES,
    BulkQuery,
    BulkResult,
    NoBoundError,
    TooWideError,
    measure,
)
from airflow_provider_pacs.sync.source.driver_thread import DriverThread
from airflow_provider_pacs.sync.source.drivers import with_allowed_driver
from airflow_provider_pacs.sync.source.errors import mapped_errors
from airflow_provider_pacs.sync.source.port import ConnectionFacts, LobBound
from airflow_provider_pacs.sync.source.reach import reach
from airflow_provider_pacs.sync.source.retry import Retry
from airflow_provider_pacs.sync.source.rows import RowResult
from airflow_provider_pacs.sync.source.session import prepare

if TYPE_CHECKING:
    from airflow_provider_pacs.sync.source.address import SourceAddress

log = logging.getLogger(__name__)
pyodbc.pooling = (
    False  # a pooled connection is not a fresh one, and keeps the session settings of whoever had it before
)
T = TypeVar("T")

BATCH_ROWS = 10_000
_DATETIMEOFFSET = -155


def open_connection(address: SourceAddress) -> pyodbc.Connection:
    """Returns a pyodbc connection in autocommit mode, with time-outs, session settings and isolation level
    set.

    Raises:
        PacsError: as `source/errors.py` maps the driver's error; before the driver is loaded, where it may
            not be or the host can't be reached.
    """
    address = with_allowed_driver(address)
    reach(address)
    with mapped_errors(address.text, address.odbc_driver):
        connection = pyodbc.connect(
            address.connection_string(), autocommit=True, timeout=address.login_timeout
        )
        connection.timeout = address.query_timeout
        connection.add_output_converter(_DATETIMEOFFSET, read_datetimeoffset)
        prepare(address, connection.execute)
        return connection


def read_datetimeoffset(raw: bytes) -> str:
    """Returns ISO text, with all seven digits, of the driver's SQL_SS_TIMESTAMPOFFSET_STRUCT, for which
    pyodbc has no type.
    """
    year, month, day, hour, minute, second, nanos, offset_hour, offset_minute = struct.unpack("<6hI2h", raw)
    sign = "-" if offset_hour < 0 or offset_minute < 0 else "+"
    zone = f"{sign}{abs(offset_hour):02d}:{abs(offset_minute):02d}"
    return f"{year:04d}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}:{second:02d}.{nanos // 100:07d} {zone}"


class SqlServerReader:
    """A `SourceReader` over Microsoft's ODBC driver.

    Args:
        address: where, and how to log in.
        batch_rows: most rows in a batch of `stream`.
        batch_bytes: size of a batch's transit buffer; a batch has fewer rows where they are wide.
        attempts: how often a connection or a query is attempted; a stream only until its first batch is
            there.
        retry: replaces the waiting, for tests.
    """

    def __init__(
        self,
        address: SourceAddress,
        *,
        batch_rows: int = BATCH_ROWS,
        batch_bytes: int = BATCH_BYTES,
        attempts: int = 5,
        retry: Retry | None = None,
    ) -> None:
        self._address = address
        self._batch_rows = batch_rows
        self._batch_bytes = batch_bytes
        failover = address.multi_subnet_failover or ".database." in address.host
        self._retry = retry or Retry(attempts, failover)
        self._driver_thread = DriverThread()
        self._connection: pyodbc.Connection | None = None
        self._cursor: pyodbc.Cursor | None = None
        self._cancelling = (
            threading.RLock()
        )  # pyodbc crashes where a cursor is closed while another thread cancels it

    @property
    def address_text(self) -> str:
        """host:port/database."""
        return self._address.text

    def facts(self) -> ConnectionFacts:
        """What the address asks for, and the driver that does it.

        Raises:
            PacsError: there is no connection.
        """
        address = self._address
        name = address.host_name_in_certificate or address.host
        driver = self._attempts(lambda: self._driver_thread.call(self._driver))
        return ConnectionFacts(
            driver, address.encrypt, address.trust_server_certificate, name, address.isolation_level
        )

    def _driver(self) -> str:
        connection = self._open()
        with mapped_errors(self.address_text):
            return f"{connection.getinfo(pyodbc.SQL_DRIVER_NAME)} {connection.getinfo(pyodbc.SQL_DRIVER_VER)}"

    def _open(self) -> pyodbc.Connection:
        if self._connection is None:
            self._connection = open_connection(self._address)
        return self._connection

    def query(self, sql: str, params: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Returns all rows of the first result set.

        Raises:
            PacsError: the driver's error, after the attempts that it was worth.
        """
        return self._attempts(lambda: self._driver_thread.call(lambda: self._query(sql, params)))

    def _query(self, sql: str, params: Sequence[object]) -> list[dict[str, Any]]:
        connection = self._open()
        with mapped_errors(self.address_text):
            cursor = self._cursor = connection.cursor()
            try:
                cursor.execute(sql, *params)
                while cursor.description is None:
                    if not cursor.nextset():
                        return []
                names = [column[0] for column in cursor.description]
                rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
                while cursor.nextset():  # an error after the rows shows only here
                    pass
                return rows
            finally:
                with (
                    self._cancelling,
                    contextlib.suppress(pyodbc.Error),
                ):  # a lost connection cannot be closed in good order
                    self._cursor = None
                    cursor.close()

    def stream(
        self,
        sql: str,
        params: Sequence[str | None] = (),
        *,
        batch_rows: int | None = None,
        lob_bound: LobBound | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yields the result set in batches; an empty one as one batch without rows, so that its schema is
        known.

        Up to the first batch it tries again; after that an error is raised, because rows are out already:
        whoever got some of them must not use them unless the iterator ends without an error. `lob_bound` may
        use `query` of this reader.

        Raises:
            PacsError: the driver's error. RetryableError also where values grew while they were read, or the
                connection broke.
        """
        query = BulkQuery(
            self._address, sql, tuple(params), batch_rows or self._batch_rows, self._batch_bytes
        )
        result, batch = self._attempts(lambda: self._first_batch(query, lob_bound))
        try:
            while batch is not None:
                yield batch
                batch = self._interruptibly(result.next_batch)
        finally:
            del result  # frees the driver's statement and connection

    def _first_batch(
        self, query: BulkQuery, lob_bound: LobBound | None
    ) -> tuple[BulkResult | RowResult, pa.RecordBatch]:
        """Returns the opened result and its first batch, with a bound for long values that is measured where
        one is needed.
        """
        if lob_bound is not None:
            query = query.with_bound(lob_bound())
        result = self._driver_thread.call(lambda: self._open_result(query))
        batch = self._driver_thread.call(result.next_batch)
        return result, batch if batch is not None else pa.RecordBatch.from_pylist([], schema=result.schema)

    def _open_result(self, query: BulkQuery) -> BulkResult | RowResult:
        """Returns the result in blocks of rows, or row by row where a row is too wide for a block."""
        try:
            try:
                return BulkResult(query)
            except NoBoundError:
                return BulkResult(measure(query))
        except TooWideError:
            log.info("%s: rows too wide for blocks are read one by one.", query.address.text)
            return RowResult(query, open_connection)

    def _interruptibly(self, work: Callable[[], T]) -> T:
        """Runs a driver's call; whatever interrupts the wait for it also stops the statement."""
        try:
            return self._driver_thread.call(work)
        except PacsError:
            raise
        except BaseException:
            self.cancel()
            raise

    def _attempts(self, work: Callable[[], T]) -> T:
        """Tries as often as it is worth, each time on a fresh connection; whatever interrupts the wait also
        stops the statement.
        """
        try:
            return self._retry.run(work, before_retry=self._before_retry)
        except PacsError:
            raise
        except BaseException:
            self.cancel()
            raise

    def _before_retry(self, error: PacsError) -> None:
        if self._driver_thread.stopped:
            raise error
        log.warning("%s: %s Trying again.", error.code, error.message)
        self._driver_thread.call(self._drop_connection)

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(pyodbc.Error):  # a lost connection cannot be closed in good order
                connection.close()

    def cancel(self) -> None:
        """Stops the running statement and ends the reader; from any thread or a signal handler."""
        self._driver_thread.stop()
        with self._cancelling, contextlib.suppress(pyodbc.Error):  # it may have ended this moment
            if self._cursor is not None:
                self._cursor.cancel()

    def close(self) -> None:
        """Closes the connection and ends the reader."""
        if not self._driver_thread.stopped:
            self._driver_thread.call(self._drop_connection)
            self._driver_thread.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
