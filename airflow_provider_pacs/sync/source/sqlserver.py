"""Reads SQL Server: statements come in, dictionaries (pyodbc, small results) or Arrow record batches (arrow-odbc, bulk) go out.

Both drivers' connections are in autocommit mode: pyodbc's default keeps a transaction open from the first statement on, and with it old row versions
at the server. Values are never truncated: where arrow-odbc cannot know how long one may be, it is measured before the first row is handed out.
"""

from __future__ import annotations

import contextlib
import locale
import logging
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import arrow_odbc
import pyarrow as pa
import pyodbc

from airflow_provider_pacs.sync.errors import DataError, PacsError, RetryableError
from airflow_provider_pacs.sync.source.errors import classify, mapped_errors, read_report
from airflow_provider_pacs.sync.source.lane import Lane
from airflow_provider_pacs.sync.source.retry import Retry

if TYPE_CHECKING:
    from airflow_provider_pacs.sync.source.address import SourceAddress

log = logging.getLogger(__name__)
T = TypeVar("T")

BATCH_ROWS = 10_000
BATCH_BYTES = 32 << 20
"""Of one transit buffer. arrow-odbc holds two, because it fetches the next batch while we use this one."""
LARGEST_BATCH_BYTES = 1 << 30
TEXT_FLOOR = 12_000
"""Bytes: arrow-odbc applies the bound for unbounded columns to all text columns, and nvarchar(4000) can be this long in UTF-8."""
LARGEST_TEXT = 256 << 20
UTF8_PER_BYTE = 3
"""Most bytes of UTF-8 for a byte of varchar (a euro sign of code page 1252); a code unit of nvarchar, two bytes, has no more."""
SESSION = ("SET NOCOUNT ON", "SET LOCK_TIMEOUT 30000", "SET DEADLOCK_PRIORITY LOW")
UNKNOWN_STATEMENT = frozenset({102, 195})
_NO_BOUND, _TOO_LONG, _ROW_TOO_WIDE = "sensible upper bound", "without truncation", "single row does require"
_DATETIMEOFFSET = -155


def open_connection(address: SourceAddress) -> pyodbc.Connection:
    """Returns a pyodbc connection in autocommit mode, with time-outs, session settings and isolation level set.

    Raises:
        PacsError: as `source/errors.py` maps the driver's error.
    """
    with mapped_errors(address.text, address.odbc_driver):
        connection = pyodbc.connect(address.connection_string(), autocommit=True, timeout=address.login_timeout)
        connection.timeout = address.query_timeout
        connection.add_output_converter(_DATETIMEOFFSET, read_datetimeoffset)
        _prepare_session(address, connection.execute)
        return connection


def _prepare_session(address: SourceAddress, execute: Callable[[str], object]) -> None:
    """Sets the session up; a server that does not know one of the settings (errors 102, 195) goes without it."""
    for statement in SESSION:
        try:
            execute(statement)
        except Exception as error:
            if read_report(error).number not in UNKNOWN_STATEMENT:
                raise
            log.info("%s does not know %s; going on without it.", address.text, statement)
    if address.isolation_level:
        execute(f"SET TRANSACTION ISOLATION LEVEL {address.isolation_level}")


def read_datetimeoffset(raw: bytes) -> str:
    """Returns ISO text, with all seven digits, of the driver's SQL_SS_TIMESTAMPOFFSET_STRUCT, for which pyodbc has no type."""
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
        attempts: how often a connection or a query is attempted; a stream only until its first batch is there.
        retry: replaces the waiting, for tests.
    """

    def __init__(
        self, address: SourceAddress, *, batch_rows: int = BATCH_ROWS, batch_bytes: int = BATCH_BYTES, attempts: int = 5, retry: Retry | None = None
    ) -> None:
        self._address = address
        self._batch_rows = batch_rows
        self._batch_bytes = batch_bytes
        failover = address.multi_subnet_failover or ".database." in address.host
        self._retry = retry or Retry(attempts, failover)
        self._lane = Lane()
        self._connection: pyodbc.Connection | None = None
        self._cursor: pyodbc.Cursor | None = None

    @property
    def address_text(self) -> str:
        """host:port/database."""
        return self._address.text

    def query(self, sql: str, params: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Returns all rows of the first result set.

        Raises:
            PacsError: the driver's error, after the attempts that it was worth.
        """
        return self._attempts(lambda: self._lane.call(lambda: self._query(sql, params)))

    def _query(self, sql: str, params: Sequence[object]) -> list[dict[str, Any]]:
        if self._connection is None:
            self._connection = open_connection(self._address)
        with mapped_errors(self.address_text), contextlib.closing(self._connection.cursor()) as cursor:
            self._cursor = cursor
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
                self._cursor = None

    def stream(
        self, sql: str, params: Sequence[str | None] = (), *, batch_rows: int | None = None, lob_bound: Callable[[], int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yields the result set in batches; an empty one as one batch without rows, so that its schema is known.

        Up to the first batch it tries again; after that an error is raised, because rows are out already. `lob_bound` may use `query` of this reader.

        Raises:
            PacsError: the driver's error. RetryableError also where values grew while they were read.
        """
        rows = batch_rows or self._batch_rows
        reader, batch = self._attempts(lambda: self._first_batch(sql, params, rows, lob_bound))
        try:
            while batch is not None:
                yield batch
                batch = self._next(reader)
        finally:
            del reader  # frees the driver's cursor and connection

    def _first_batch(self, sql: str, params: Sequence[str | None], rows: int, lob_bound: Callable[[], int] | None) -> tuple[Any, pa.RecordBatch]:
        bound = self._measured(lob_bound) if lob_bound else None
        while True:
            try:
                reader = self._lane.call(partial(self._open, sql, params, rows, bound))
                batch = self._next(reader)
                break
            except arrow_odbc.Error as error:
                if _NO_BOUND not in str(error) or bound is not None:
                    raise classify(error, where=self.address_text) from error
                bound = self._found_bound(sql, params, rows)
        return reader, batch if batch is not None else pa.RecordBatch.from_pylist([], schema=reader.schema)

    def _measured(self, lob_bound: Callable[[], int]) -> int:
        """Returns the measured length as a bound in bytes of UTF-8."""
        return self._checked(max(TEXT_FLOOR, UTF8_PER_BYTE * lob_bound()))

    def _checked(self, bound: int) -> int:
        if bound > LARGEST_TEXT:
            raise DataError(
                f"{self.address_text}: a text column holds a value that may exceed {LARGEST_TEXT >> 20} MB.",
                remedy="Leave the column out of the mapping, or read LEFT(column, n).",
            )
        return bound

    def _found_bound(self, sql: str, params: Sequence[str | None], rows: int) -> int:
        """Reads everything once, handing out nothing, with a bound that grows until all values fit."""
        bound = TEXT_FLOOR
        while True:
            try:
                reader = self._lane.call(partial(self._open, sql, params, rows, bound))
                while self._next(reader, grown=False) is not None:
                    pass
                return bound
            except arrow_odbc.Error as error:
                if _TOO_LONG not in str(error):
                    raise classify(error, where=self.address_text) from error
                bound = self._checked(bound * 4)

    def _open(self, sql: str, params: Sequence[str | None], rows: int, bound: int | None) -> Any:
        """Returns arrow-odbc's reader on a connection of its own, with a buffer that holds at least one row."""
        address, size = self._address, self._batch_bytes
        with _mapped_but(_NO_BOUND, _TOO_LONG, where=address.text, driver=address.odbc_driver):
            connection = arrow_odbc.connect(address.connection_string(), login_timeout_sec=address.login_timeout)
            _prepare_session(address, connection.execute)
            while True:
                try:
                    return connection.read_arrow_batches(
                        query=sql,
                        parameters=list(params) or None,
                        batch_size=rows,
                        max_bytes_per_batch=size,
                        max_text_size=bound,
                        max_binary_size=bound,
                        fetch_concurrently=True,
                        query_timeout_sec=address.query_timeout or None,
                        payload_text_encoding=_text_encoding(),
                    )
                except arrow_odbc.Error as error:
                    if _ROW_TOO_WIDE not in str(error) or size >= LARGEST_BATCH_BYTES:
                        raise
                    size = min(size * 4, LARGEST_BATCH_BYTES)

    def _next(self, reader: Any, *, grown: bool = True) -> pa.RecordBatch | None:
        """Returns the next batch or None. A value that is too long is a RetryableError if `grown`, else arrow-odbc's own error."""
        with _mapped_but(_NO_BOUND, _TOO_LONG, where=self.address_text):
            try:
                return self._lane.call(lambda: next(reader, None))
            except arrow_odbc.Error as error:
                if grown and _TOO_LONG in str(error):
                    text = f"{self.address_text}: a value is longer than when it was measured."
                    raise RetryableError(text, remedy="Read again; it is measured anew.") from error
                raise

    def _attempts(self, work: Callable[[], T]) -> T:
        """Tries as often as it is worth, each time on a fresh connection; whatever interrupts the wait also stops the statement."""
        try:
            return self._retry.run(work, before_retry=self._before_retry)
        except PacsError:
            raise
        except BaseException:
            self.cancel()
            raise

    def _before_retry(self, error: PacsError) -> None:
        if self._lane.stopped:
            raise error
        log.warning("%s Trying again.", error)
        self._lane.call(self._drop_connection)

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(pyodbc.Error):  # a lost connection cannot be closed in good order
                connection.close()

    def cancel(self) -> None:
        """Stops the running statement and ends the reader; from any thread or a signal handler."""
        cursor = self._cursor
        self._lane.stop()
        if cursor is not None:
            with contextlib.suppress(pyodbc.Error):  # it may have ended this moment
                cursor.cancel()

    def close(self) -> None:
        """Closes the connection and ends the reader."""
        if not self._lane.stopped:
            self._lane.call(self._drop_connection)
            self._lane.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


@contextlib.contextmanager
def _mapped_but(*texts: str, where: str, driver: str = "") -> Iterator[None]:
    """Maps the drivers' errors, but lets arrow-odbc's own complaints about sizes through: they are ours to answer."""
    try:
        yield
    except Exception as error:
        if isinstance(error, arrow_odbc.Error) and any(text in str(error) for text in texts):
            raise
        with mapped_errors(where, driver):
            raise


def _text_encoding() -> Any:
    """The driver converts to the locale's encoding; where that is not UTF-8, texts travel as UTF-16 instead."""
    utf8 = locale.getencoding().lower().replace("-", "") == "utf8"
    return arrow_odbc.TextEncoding.AUTO if utf8 else arrow_odbc.TextEncoding.UTF16
