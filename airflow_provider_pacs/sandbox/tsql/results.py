"""Converts DuckDB's results lazily to Arrow record batches of the port's types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_pacs.sandbox.catalog.sqltypes import arrow
from airflow_provider_pacs.sandbox.model import Column
from airflow_provider_pacs.sandbox.tsql.errors import translated

BATCH_ROWS = 20_000
# Stored: bytes 10-15, 8-9, 6-7, 4-5, 0-3 of the wire's order, which is how SQL Server compares.
_WIRE = np.array([12, 13, 14, 15, 10, 11, 8, 9, 6, 7, 0, 1, 2, 3, 4, 5])


def batches(
    reader: pa.RecordBatchReader, columns: Sequence[Column], done: Callable[[], None]
) -> Iterator[pa.RecordBatch]:
    """The rows of a reader in the carriers that `SqlType` documents; `done` runs when they end or are
    abandoned.

    Raises:
        SqlError: for what fails while rows are made (a conversion, a cancel).
    """
    schema = pa.schema([pa.field(c.name, arrow(c.type)) for c in columns])
    try:
        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            except (pa.ArrowException, duckdb.Error, OSError) as error:
                raise translated(error) from error
            if batch.num_rows:
                arrays = [carried(batch.column(n), c) for n, c in enumerate(columns)]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)
    finally:
        reader.close()
        done()


def carried(values: pa.Array, column: Column) -> pa.Array:
    """One column in its carrier."""
    target = arrow(column.type)
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    if column.type.name == "uniqueidentifier":
        return _wire_guids(values)
    if values.type.equals(target):
        return values
    if pa.types.is_boolean(target) and pa.types.is_int8(values.type):
        return pc.not_equal(values, pa.scalar(0, pa.int8()))
    try:
        return values.cast(target)
    except pa.ArrowInvalid as error:
        raise translated(error) from error


def _wire_guids(values: pa.Array) -> pa.Array:
    """DuckDB's UUID (or NULLs) in wire order, one numpy permutation for the whole column."""
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), pa.binary(16))
    raw = values.buffers()[1]
    count = len(values)
    matrix = np.frombuffer(raw, dtype=np.uint8, count=16 * count, offset=16 * values.offset).reshape(
        count, 16
    )
    turned = pa.py_buffer(np.ascontiguousarray(matrix[:, _WIRE]).tobytes())
    validity = pc.is_valid(values).buffers()[1] if values.null_count else None
    return pa.Array.from_buffers(pa.binary(16), count, [validity, turned], null_count=values.null_count)
