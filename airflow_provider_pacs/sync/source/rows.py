"""One read row by row, for rows too wide for a block: a query comes in, the Arrow batches that a bulk read
would give go out.

A block reserves the longest value's length for every unbounded column of every row. Eleven such columns and
one value of 40 MB are then more than a gigabyte a row; pyodbc asks for each value in pieces and takes what
it really holds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyodbc

from airflow_provider_pacs.sync.runtime.errors import DataError
from airflow_provider_pacs.sync.source.bulk import TEXT_FLOOR, BulkQuery, BulkResult
from airflow_provider_pacs.sync.source.errors import mapped_errors

if TYPE_CHECKING:
    from airflow_provider_pacs.sync.source.address import SourceAddress

LONGEST_VALUE = (1 << 30) - (1 << 20)
"""PostgreSQL takes no value of a gigabyte."""


class RowResult:
    """The open result of a query, on a connection of its own.

    Args:
        query: what to read; its bound is not used.
        connect: opens a connection, as `sqlserver.open_connection` does.

    Raises:
        PacsError: as `source/errors.py` maps the driver's error.
    """

    def __init__(self, query: BulkQuery, connect: Callable[[SourceAddress], pyodbc.Connection]) -> None:
        self._query = query
        self.schema: pa.Schema = BulkResult(replace(query, text_bound=TEXT_FLOOR, batch_rows=1)).schema
        self._connection = connect(query.address)
        with mapped_errors(query.address.text, query.address.odbc_driver):
            self._cursor: Any = self._connection.cursor()
            self._cursor.execute(query.sql, *query.params)
            while self._cursor.description is None and self._cursor.nextset():
                pass

    def next_batch(self) -> pa.RecordBatch | None:
        """Returns the next batch, or None once the connection has proved that the result was whole.

        Raises:
            DataError: a value is too long for the target; names its column.
            PacsError: the driver's error.
        """
        with mapped_errors(self._query.address.text, self._query.address.odbc_driver):
            rows: list[Any] = []
            size = 0
            while (
                self._cursor is not None
                and len(rows) < self._query.batch_rows
                and size < self._query.batch_bytes
            ):
                row = self._cursor.fetchone()
                if row is None:
                    self._end()
                    break
                rows.append(row)
                size += sum(self._size(number, value) for number, value in enumerate(row))
        if not rows:
            return None
        columns = [
            pa.array([row[number] for row in rows], field.type, from_pandas=False)
            for number, field in enumerate(self.schema)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _end(self) -> None:
        while self._cursor.nextset():  # an error after the rows shows only here
            pass
        self._cursor = None
        self._connection.execute("SELECT 1")
        with contextlib.suppress(pyodbc.Error):  # every row is here
            self._connection.close()

    def _size(self, number: int, value: object) -> int:
        if not isinstance(value, str | bytes):
            return 16
        if len(value) > LONGEST_VALUE:
            raise DataError(
                f"{self._query.address.text}: column {self.schema.names[number]!r} holds a value of "
                f"{len(value) >> 20:,} MB, and PostgreSQL takes less than 1,024.",
                remedy="Leave the column out of the mapping, or read LEFT(column, n).",
            )
        return len(value)
