"""The ordered family on a rowversion column: the database's own counter, so no clock, no overlap and no hour
that repeats (tsql/04).

`hi` is MIN_ACTIVE_ROWVERSION(): below it no writer is open any more. A long transaction delays rows, it never
loses them. Cursors are `0x` text. Not on a readable secondary: it does not know the primary's open writers.
"""

from __future__ import annotations

from airflow_provider_pacs.sync.incremental.statements import ChangeQuery, Window, rows_of, select_list
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.tsql import quote

_TYPES = ("timestamp", "rowversion")

WRITABLE = "SELECT CONVERT(varchar(20), DATABASEPROPERTYEX(DB_NAME(), 'Updateability')) AS updateability"
"""One row: READ_WRITE, or READ_ONLY on a secondary; NULL where it is unknown."""


def column_of(shape: ResolvedTable) -> str | None:
    """The table's rowversion column (a table has at most one); None where it has none or the catalog is
    unknown.
    """
    return next((column.name for column in shape.columns.values() if column.type_name in _TYPES), None)


def is_rowversion(shape: ResolvedTable) -> bool:
    """Whether the table is read by a rowversion column."""
    column = shape.columns.get(shape.map.change_column or "")
    return column is not None and column.type_name in _TYPES


def bounds_query(
    change_type: str,
    *,
    now: str,
    cursor: str | None,
    oldest: str | None,
    lag_seconds: int,
    overlap_minutes: int,
    offset_minutes: int = 0,
) -> ChangeQuery:
    """One row: `lo`, the cursor as it is, and `hi`, as `0x` text.

    Clock, lag and overlap have no meaning here.
    """
    del change_type, now, oldest, lag_seconds, overlap_minutes, offset_minutes
    return ChangeQuery(
        "DECLARE @cursor binary(8) = CONVERT(binary(8), NULLIF(?, ''), 1);\n"
        "DECLARE @hi binary(8) = MIN_ACTIVE_ROWVERSION();\n"
        "SELECT CONVERT(varchar(18), @cursor, 1) AS lo, CONVERT(varchar(18), CASE WHEN @cursor > @hi THEN "
        "@cursor ELSE @hi END, 1) AS hi",
        (cursor or "",),
    )


def window_query(shape: ResolvedTable, window: Window) -> ChangeQuery:
    """Rows from the cursor on (`>=`: the cursor was an open bound) and below `hi`."""
    column = f"s.{quote(shape.map.change_column or '')}"
    return ChangeQuery(
        "DECLARE @lo binary(8) = CONVERT(binary(8), ?, 1);\n"
        "DECLARE @hi binary(8) = CONVERT(binary(8), ?, 1);\n"
        f"SELECT {select_list(shape)} FROM {rows_of(shape)} WHERE {column} >= @lo AND {column} < @hi",
        (window.lo or window.hi, window.hi),
    )


def late_flag_query(shape: ResolvedTable, hi: str) -> ChangeQuery:
    """All rows, with `_late` = 1 for those written at `hi` or after."""
    column = f"s.{quote(shape.map.change_column or '')}"
    return ChangeQuery(
        "DECLARE @hi binary(8) = CONVERT(binary(8), ?, 1);\n"
        f"SELECT {select_list(shape)}, CASE WHEN {column} >= @hi THEN 1 ELSE 0 END AS [_late] "
        f"FROM {rows_of(shape)}",
        (hi,),
        complete=True,
    )


def count_since_query(shape: ResolvedTable, hi: str) -> ChangeQuery:
    """One row: `n` rows of the table, `late` of them written at `hi` or after."""
    column = f"s.{quote(shape.map.change_column or '')}"
    return ChangeQuery(
        "DECLARE @hi binary(8) = CONVERT(binary(8), ?, 1);\n"
        f"SELECT COUNT_BIG(*) AS n, COUNT_BIG(CASE WHEN {column} >= @hi THEN 1 END) AS late "
        f"FROM {rows_of(shape)}",
        (hi,),
    )
