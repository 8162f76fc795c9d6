"""One bulk read by arrow-odbc: a query (address, statement, sizes) comes in, Arrow record batches go out,
all of them or an error.

Two traps of the driver are closed here. A connection that breaks while rows are fetched in blocks ends the
result without an error (seen with Microsoft's driver 18.6 and arrow-odbc 10.6), so the connection must answer
once more before the end is believed; `ConnectRetryCount=0` keeps the driver from mending it unseen. And a
value longer than its buffer is an error, never cut: unbounded columns need a bound, which applies to all text
columns.
"""

from __future__ import annotations

import locale
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import arrow_odbc

from airflow_provider_pacs.sync.runtime.errors import DataError, RetryableError
from airflow_provider_pacs.sync.source.drivers import with_allowed_driver
from airflow_provider_pacs.sync.source.errors import mapped_errors
from airflow_provider_pacs.sync.source.reach import reach
from airflow_provider_pacs.sync.source.session import prepare

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_provider_pacs.sync.source.address import SourceAddress

BATCH_BYTES = 32 << 20
"""Of one transit buffer. arrow-odbc holds two, because it fetches the next batch while we use this one."""
LARGEST_BATCH_BYTES = 1 << 30
TEXT_FLOOR = 12_000
"""Bytes: the bound applies to all text columns, and nvarchar(4000) can be this long in UTF-8."""
LARGEST_TEXT = 256 << 20
UTF8_PER_BYTE = 3
"""Most bytes of UTF-8 for a byte of varchar (a euro sign of code page 1252); a code unit of nvarchar, two
bytes, has no more.
"""
_NO_BOUND, _TOO_LONG, _ROW_TOO_WIDE = "sensible upper bound", "without truncation", "single row does require"


class NoBoundError(Exception):
    """The result has an unbounded column and the query no bound. Never leaves `sync/source`."""


class TooWideError(Exception):
    """One row needs more room than a block may have. Never leaves `sync/source`."""


class TooLongError(RetryableError):
    """A value is longer than the bound: it grew after it was measured, or the bound was a guess."""


@dataclass(frozen=True, slots=True)
class BulkQuery:
    """What to read.

    Attributes:
        address: where.
        sql: a statement with one result set.
        params: texts for its `?`s.
        batch_rows: most rows in a batch.
        batch_bytes: size of the transit buffer; it grows where one row needs more.
        text_bound: most bytes of a text or binary value; None takes the declared lengths. It holds for every
            unbounded column, because arrow-odbc knows one bound for all; where that makes a row too wide,
            rows are read one by one (`rows.py`).
    """

    address: SourceAddress
    sql: str
    params: tuple[str | None, ...]
    batch_rows: int
    batch_bytes: int = BATCH_BYTES
    text_bound: int | None = None

    def with_bound(self, longest: int | Mapping[str, int]) -> BulkQuery:
        """Returns the query with a bound for values whose DATALENGTH is at most `longest`, or at most that
        of their column.

        Raises:
            DataError: a value is longer than a worker should hold; names its column where it is known.
        """
        bytes_of = longest if isinstance(longest, Mapping) else {"": longest}
        column = max(bytes_of, key=lambda name: bytes_of[name], default="")
        bound = max(TEXT_FLOOR, UTF8_PER_BYTE * bytes_of.get(column, 0))
        if bound > LARGEST_TEXT:
            what = f"column {column!r}" if column else "a column"
            text = f"{self.address.text}: {what} holds a value that may exceed {LARGEST_TEXT >> 20} MB."
            raise DataError(text, remedy="Leave the column out of the mapping, or read LEFT(column, n).")
        return replace(self, text_bound=bound)


class BulkResult:
    """The open result of a query, on a connection of its own.

    Raises:
        NoBoundError: the query needs a bound; nothing was read.
        TooWideError: a row does not fit into a block; nothing was read.
        PacsError: as `source/errors.py` maps the driver's error.
    """

    def __init__(self, query: BulkQuery) -> None:
        self._address = with_allowed_driver(query.address)
        reach(self._address)
        with self._mapped():
            self._connection = arrow_odbc.connect(
                self._address.connection_string(), login_timeout_sec=query.address.login_timeout
            )
            prepare(query.address, self._connection.execute)
            self._reader: Any = self._execute(query)
        self.schema: pa.Schema = self._reader.schema

    def _execute(self, query: BulkQuery) -> Any:
        size = query.batch_bytes
        while True:
            try:
                return self._connection.read_arrow_batches(
                    query=query.sql,
                    parameters=list(query.params) or None,
                    batch_size=query.batch_rows,
                    max_bytes_per_batch=size,
                    max_text_size=query.text_bound,
                    max_binary_size=query.text_bound,
                    fetch_concurrently=True,
                    query_timeout_sec=query.address.query_timeout or None,
                    payload_text_encoding=_text_encoding(),
                )
            except arrow_odbc.Error as error:
                if _ROW_TOO_WIDE not in str(error):
                    raise
                if size >= LARGEST_BATCH_BYTES:
                    # the driver gives the types text, ntext and image as 2 GB long
                    raise (NoBoundError if query.text_bound is None else TooWideError) from error
                size = min(size * 4, LARGEST_BATCH_BYTES)

    def next_batch(self) -> pa.RecordBatch | None:
        """Returns the next batch, or None once the connection has proved that the result was whole.

        Raises:
            TooLongError: a value is longer than the bound.
            PacsError: the driver's error; RetryableError where the connection broke.
        """
        with self._mapped():
            batch = next(self._reader, None) if self._reader is not None else None
            if batch is None and self._reader is not None:
                self._reader = None
                self._connection.execute("SELECT 1")
            return batch

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        with mapped_errors(self._address.text, self._address.odbc_driver):
            try:
                yield
            except arrow_odbc.Error as error:
                if _NO_BOUND in str(error):
                    raise NoBoundError from error
                if _TOO_LONG in str(error):
                    text = f"{self._address.text}: a value is longer than it was when measured."
                    raise TooLongError(text, remedy="Read again; it is measured anew.") from error
                raise


def measure(query: BulkQuery) -> BulkQuery:
    """Returns the query with a bound that fits: reads everything, handing out nothing, with a bound that
    grows until all values fit.

    For callers that cannot ask the server for MAX(DATALENGTH(...)), which costs less.

    Raises:
        TooWideError: a row does not fit into a block.
        DataError: a value needs more than `LARGEST_TEXT`.
        PacsError: the driver's error.
    """
    bound = TEXT_FLOOR
    while True:
        bounded = replace(query, text_bound=bound)
        try:
            result = BulkResult(bounded)
            while result.next_batch() is not None:
                pass
        except TooLongError:
            bound = query.with_bound(bound * 4 // UTF8_PER_BYTE).text_bound or bound
        else:
            return bounded


def _text_encoding() -> Any:
    """The driver converts to the
    locale's encoding; where that is not UTF-8, texts travel as UTF-16 instead.
    """
    utf8 = locale.getencoding().lower().replace("-", "") == "utf8"
    return arrow_odbc.TextEncoding.AUTO if utf8 else arrow_odbc.TextEncoding.UTF16
