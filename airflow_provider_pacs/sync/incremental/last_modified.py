"""The ordered family: a change column and a stored cursor -> one window of changed rows (LastModified;
design.md 3.5, 3.6; tsql/01, 02, 03).

The cursor is text made by SQL Server in the column's own type and handed back as text; it is never parsed,
compared or sorted here. A window is [cursor - overlap, hi]: `>=` and `<=`, because ties straddle any bound;
the overlap covers writers that commit late and the hour that repeats in autumn; `hi` lags the source's clock.
Rows without a stamp, and rows stamped more than a day ahead, are read every time: no window would ever reach
them. Inactive rows travel like any other.
"""

from __future__ import annotations

from typing import Literal

from airflow_provider_pacs.sync.incremental.statements import ChangeQuery, Window, rows_of, select_list
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.tsql import quote

Clock = Literal["local", "utc"]

_DATE_TYPES = ("datetime", "smalldatetime", "date", "datetime2", "datetimeoffset")
_WHOLE_UNITS = {"smalldatetime": "MINUTE", "date": "DAY"}
"""Types that can't tell moments within a unit apart: their `hi` leaves the running unit out (case 15)."""


def is_ordered_type(declared: str | None) -> bool:
    """Whether a declared type can carry a LastModified window."""
    return declared is not None and declared.split("(")[0] in _DATE_TYPES


def clock_query(clock: Clock) -> ChangeQuery:
    """One row: `now` (text, the clock that stamps rows), `tz_offset_min`, `server`, `db`.

    Asked once per run, so that all entities share one cut.
    """
    function = "SYSUTCDATETIME()" if clock == "utc" else "SYSDATETIME()"
    return ChangeQuery(
        f"SELECT CONVERT(varchar(34), {function}, 121) AS now, DATEDIFF(MINUTE, SYSUTCDATETIME(), "
        "SYSDATETIME()) AS tz_offset_min, "
        "@@SERVERNAME AS server, DB_NAME() AS db"
    )


def oldest_writer_query(clock: Clock) -> ChangeQuery:
    """One row: `oldest`, when the oldest open writer began (text), on the clock that stamps rows; NULL where
    nobody writes.

    Needs VIEW SERVER STATE (VIEW DATABASE STATE on Azure); without it the overlap alone covers late commits
    (tsql/03).
    """
    begin = "MIN(t.database_transaction_begin_time)"
    if clock == "utc":
        begin = f"DATEADD(MINUTE, DATEDIFF(MINUTE, SYSDATETIME(), SYSUTCDATETIME()), {begin})"
    return ChangeQuery(
        f"SELECT CONVERT(varchar(34), {begin}, 121) AS oldest FROM sys.dm_tran_database_transactions AS t\n"  # noqa: S608
        "WHERE t.database_id = DB_ID() AND t.database_transaction_type = 1\n"
        "  AND t.database_transaction_begin_lsn IS NOT NULL AND t.database_transaction_begin_time IS NOT NULL"
    )


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
    """One row: `lo`, `hi` (text in `change_type`) of the next window.

    `hi` is the source's clock less the lag, or the begin of the oldest open writer where that is known and
    earlier; it never falls behind the cursor, so a clock that was set back moves nothing backwards (case 22).

    Args:
        change_type: declared type of the change column, e.g. `datetime`.
        now: the source's clock as `clock_query` gave it.
        cursor: the stored cursor, or None before the first load.
        oldest: begin of the oldest open writer, or None where nobody writes or it is unknown.
        lag_seconds: seconds that `hi` stays behind the clock.
        overlap_minutes: minutes read again before the cursor.
        offset_minutes: how far `now` and `oldest` are ahead of UTC; only a datetimeoffset column needs to
            know.
    """
    base = change_type.split("(")[0]
    unit = _WHOLE_UNITS.get(base)
    exact = f"DATEADD({unit}, -1, @safe)" if unit else "@safe"
    bound = f"TODATETIMEOFFSET({exact}, {int(offset_minutes)})" if base == "datetimeoffset" else exact
    back = (
        "DATEADD(DAY, -1 - @overlap / 1440, @cursor)"
        if base == "date"
        else "DATEADD(MINUTE, -@overlap, @cursor)"
    )
    return ChangeQuery(
        "DECLARE @lag int = CONVERT(int, ?);\n"
        "DECLARE @overlap int = CONVERT(int, ?);\n"
        "DECLARE @now datetime2(7) = CONVERT(datetime2(7), ?, 121);\n"
        "DECLARE @oldest datetime2(7) = CONVERT(datetime2(7), NULLIF(?, ''), 121);\n"
        f"DECLARE @cursor {change_type} = CONVERT({change_type}, NULLIF(?, ''), 121);\n"
        "DECLARE @base datetime2(7) = DATEADD(SECOND, -@lag, @now);\n"
        "DECLARE @safe datetime2(7) = CASE WHEN @oldest < @base THEN @oldest ELSE @base END;\n"
        f"DECLARE @hi {change_type} = CONVERT({change_type}, {bound});\n"
        f"SELECT CONVERT(varchar(34), {back}, 121) AS lo, "
        "CONVERT(varchar(34), CASE WHEN @cursor > @hi THEN @cursor ELSE @hi END, 121) AS hi",
        (str(lag_seconds), str(overlap_minutes), now, oldest or "", cursor or ""),
    )


def window_query(shape: ResolvedTable, window: Window) -> ChangeQuery:
    """The rows of one window, plus those no window reaches.

    No TOP and no ORDER BY: one statement, streamed (tsql/01).
    """
    column, change_type = f"s.{quote(shape.map.change_column or '')}", shape.change_type
    return ChangeQuery(
        f"DECLARE @lo {change_type} = CONVERT({change_type}, ?, 121);\n"
        f"DECLARE @hi {change_type} = CONVERT({change_type}, ?, 121);\n"
        f"SELECT {select_list(shape)} FROM {rows_of(shape)}\n"
        f"WHERE ({column} >= @lo AND {column} <= @hi) OR {column} IS NULL OR {column} > DATEADD(DAY, 1, @hi)",
        (window.lo or window.hi, window.hi),
    )


def span_query(change_type: str, since: str, until: str) -> ChangeQuery:
    """One row: `lo`, `hi` (text in `change_type`) of a window that somebody chose, and `forward`, 1 where it
    holds any moment.
    """
    return ChangeQuery(
        f"DECLARE @lo {change_type} = CONVERT({change_type}, ?, 121);\n"
        f"DECLARE @hi {change_type} = CONVERT({change_type}, ?, 121);\n"
        "SELECT CONVERT(varchar(34), @lo, 121) AS lo, CONVERT(varchar(34), @hi, 121) AS hi, CASE WHEN @lo < "
        "@hi THEN 1 ELSE 0 END AS forward",
        (since, until),
    )


def between_query(shape: ResolvedTable, window: Window) -> ChangeQuery:
    """Rows stamped in [lo, hi), and no others: windows that meet share no row, so their order does not
    matter.
    """
    column, change_type = f"s.{quote(shape.map.change_column or '')}", shape.change_type
    return ChangeQuery(
        f"DECLARE @lo {change_type} = CONVERT({change_type}, ?, 121);\n"
        f"DECLARE @hi {change_type} = CONVERT({change_type}, ?, 121);\n"
        f"SELECT {select_list(shape)} FROM {rows_of(shape)} WHERE {column} >= @lo AND {column} < @hi",
        (window.lo or window.hi, window.hi),
    )


def since_query(shape: ResolvedTable, since: str) -> ChangeQuery:
    """Rows stamped `since` or later, without an upper bound: for a reader that keeps no cursor."""
    column, change_type = f"s.{quote(shape.map.change_column or '')}", shape.change_type
    return ChangeQuery(
        f"DECLARE @since {change_type} = CONVERT({change_type}, ?, 121);\nSELECT {select_list(shape)} FROM "
        f"{rows_of(shape)} WHERE {column} >= @since",
        (since,),
    )


def late_flag_query(shape: ResolvedTable, hi: str) -> ChangeQuery:
    """All rows, with `_late` = 1 for those stamped after `hi`: a comparison leaves them to the next run."""
    column, change_type = f"s.{quote(shape.map.change_column or '')}", shape.change_type
    return ChangeQuery(
        f"DECLARE @hi {change_type} = CONVERT({change_type}, ?, 121);\n"
        f"SELECT {select_list(shape)}, CASE WHEN {column} > @hi THEN 1 ELSE 0 END AS [_late] "
        f"FROM {rows_of(shape)}",
        (hi,),
        complete=True,
    )


def count_since_query(shape: ResolvedTable, hi: str) -> ChangeQuery:
    """One row: `n` rows of the table, `late` of them stamped after `hi`."""
    column, change_type = f"s.{quote(shape.map.change_column or '')}", shape.change_type
    return ChangeQuery(
        f"DECLARE @hi {change_type} = CONVERT({change_type}, ?, 121);\n"
        f"SELECT COUNT_BIG(*) AS n, COUNT_BIG(CASE WHEN {column} > @hi THEN 1 END) AS late "
        f"FROM {rows_of(shape)}",
        (hi,),
    )
