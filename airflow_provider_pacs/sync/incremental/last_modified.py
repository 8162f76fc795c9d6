"""LastModified: a table map and a stored cursor -> one window of changed rows (design.md 3.5, 3.6;
tsql/01-03).

The cursor is text made by SQL Server in the column's own type and handed back as text; it is never parsed,
compared or sorted here. A window is [cursor - overlap, hi]: `>=` and `<=`, because ties straddle any bound;
the overlap covers writers that commit late and the hour that repeats in autumn; `hi` lags the source's clock.
The cursor follows that clock, also backwards. Rows without a stamp, and rows stamped more than a day ahead,
are read every time: no window would ever reach them. Inactive rows travel like any other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_pacs.sync.incremental.statements import (
    ChangeQuery,
    Late,
    Window,
    rows_of,
    select_list,
)
from airflow_provider_pacs.sync.incremental.strategy import (
    BoundsRequest,
    Clock,
    PolledTable,
    SourceFacts,
    Support,
)
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.tsql import qualified, quote

_DATE_TYPES = ("datetime", "smalldatetime", "date", "datetime2", "datetimeoffset")
_DECLARED = re.compile(r"datetime|smalldatetime|date|(datetime2|datetimeoffset)\([0-7]\)")
"""Every declaration of theirs."""
_WHOLE_UNITS = {"smalldatetime": "MINUTE", "date": "DAY"}
"""Types that can't tell moments within a unit apart: their `hi` leaves the running unit out (case 15)."""


def is_ordered_type(declared: str | None) -> bool:
    """Whether a declared type can carry a LastModified window."""
    return declared is not None and declared.split("(")[0] in _DATE_TYPES


def clock_query(clock: Clock, ahead_minutes: int = 0) -> ChangeQuery:
    """One row: `now` (text, the clock that stamps rows), `utc`, `tz_offset_min`, `server`, `db`.

    Asked once per run, so that all entities share one cut.

    Args:
        clock: which of the server's clocks stamps rows.
        ahead_minutes: how far the stamping clock is ahead of it.
    """
    function = "SYSUTCDATETIME()" if clock == "utc" else "SYSDATETIME()"
    if ahead_minutes:
        function = f"DATEADD(MINUTE, {int(ahead_minutes)}, {function})"
    return ChangeQuery(
        f"SELECT CONVERT(varchar(34), {function}, 121) AS now, "
        "CONVERT(varchar(34), SYSUTCDATETIME(), 121) AS utc, "
        "DATEDIFF(MINUTE, SYSUTCDATETIME(), SYSDATETIME()) AS tz_offset_min, "
        "@@SERVERNAME AS server, DB_NAME() AS db"
    )


def oldest_writer_query(clock: Clock, ahead_minutes: int = 0) -> ChangeQuery:
    """One row: `oldest`, when the oldest open writer began (text), on the clock that stamps rows; NULL where
    nobody writes.

    Needs VIEW SERVER STATE (VIEW DATABASE STATE on Azure); without it the overlap alone covers late commits
    (tsql/03).
    """
    begin = "MIN(t.database_transaction_begin_time)"
    if clock == "utc":
        begin = f"DATEADD(MINUTE, DATEDIFF(MINUTE, SYSDATETIME(), SYSUTCDATETIME()), {begin})"
    if ahead_minutes:
        begin = f"DATEADD(MINUTE, {int(ahead_minutes)}, {begin})"
    return ChangeQuery(
        f"SELECT CONVERT(varchar(34), {begin}, 121) AS oldest FROM sys.dm_tran_database_transactions AS t\n"  # noqa: S608
        "WHERE t.database_id = DB_ID() AND t.database_transaction_type = 1\n"
        "  AND t.database_transaction_begin_lsn IS NOT NULL AND t.database_transaction_begin_time IS NOT NULL"
    )


def bounds_query(request: BoundsRequest) -> ChangeQuery:
    """One row: `lo`, `hi` (text in the change column's type) of the next window, and `behind`.

    `hi` is the source's clock less the lag, or the begin of the oldest open writer where that is known and
    earlier. Where it is behind the cursor the window begins before `hi`: rows are read twice, none is passed
    by.
    """
    change_type = request.change_type
    base = change_type.split("(")[0]
    unit = _WHOLE_UNITS.get(base)
    exact = f"DATEADD({unit}, -1, @safe)" if unit else "@safe"
    bound = f"TODATETIMEOFFSET({exact}, {int(request.offset_minutes)})" if base == "datetimeoffset" else exact
    back = (
        "DATEADD(DAY, -1 - @overlap / 1440, @from)" if base == "date" else "DATEADD(MINUTE, -@overlap, @from)"
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
        f"DECLARE @from {change_type} = CASE WHEN @cursor > @hi THEN @hi ELSE @cursor END;\n"
        f"SELECT CONVERT(varchar(34), {back}, 121) AS lo, CONVERT(varchar(34), @hi, 121) AS hi, "
        "CASE WHEN @cursor > @hi THEN 1 ELSE 0 END AS behind",
        (
            str(request.lag_seconds),
            str(request.overlap_minutes),
            request.now,
            request.oldest or "",
            request.cursor or "",
        ),
    )


def window_query(table: ResolvedTable, window: Window) -> ChangeQuery:
    """The rows of one window, plus those no window reaches.

    No TOP and no ORDER BY: one statement, streamed (tsql/01).
    """
    column, change_type = f"s.{quote(table.map.change_column or '')}", table.change_type
    return ChangeQuery(
        f"DECLARE @lo {change_type} = CONVERT({change_type}, ?, 121);\n"
        f"DECLARE @hi {change_type} = CONVERT({change_type}, ?, 121);\n"
        f"SELECT {select_list(table)} FROM {rows_of(table)}\n"
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


def between_query(table: ResolvedTable, window: Window) -> ChangeQuery:
    """Rows stamped in [lo, hi), and no others: windows that meet share no row, so their order does not
    matter.
    """
    column, change_type = f"s.{quote(table.map.change_column or '')}", table.change_type
    return ChangeQuery(
        f"DECLARE @lo {change_type} = CONVERT({change_type}, ?, 121);\n"
        f"DECLARE @hi {change_type} = CONVERT({change_type}, ?, 121);\n"
        f"SELECT {select_list(table)} FROM {rows_of(table)} WHERE {column} >= @lo AND {column} < @hi",
        (window.lo or window.hi, window.hi),
    )


def since_query(table: ResolvedTable, since: str) -> ChangeQuery:
    """Rows stamped `since` or later, without an upper bound: for a reader that keeps no cursor."""
    column, change_type = f"s.{quote(table.map.change_column or '')}", table.change_type
    return ChangeQuery(
        f"DECLARE @since {change_type} = CONVERT({change_type}, ?, 121);\nSELECT {select_list(table)} FROM "
        f"{rows_of(table)} WHERE {column} >= @since",
        (since,),
    )


def newest_stamp(table: PolledTable) -> str:
    """An expression: the newest stamp at or below the bound that a run planned now has, as text.

    Newer stamps are left out, also those that are years ahead: the run would not read them, and one of them
    would hide all that come after it.

    Raises:
        ValueError: the table has no change column of a date type.
    """
    if table.column is None or not _DECLARED.fullmatch(table.change_type or ""):
        raise ValueError(f"{table.table} has no change column of a date type")
    base = str(table.change_type).split("(")[0]
    now = "SYSUTCDATETIME()" if table.clock == "utc" else "SYSDATETIME()"
    if base == "datetimeoffset":
        now = "SYSDATETIMEOFFSET()"  # compared as a moment, whatever its offset
    seconds = 60 * int(table.ahead_minutes) - int(table.lag_seconds)
    moment = f"DATEADD(SECOND, {seconds}, {now})"
    if (unit := _WHOLE_UNITS.get(base)) is not None:
        moment = f"DATEADD({unit}, -1, {moment})"
    column = f"s.{quote(table.column)}"
    return (
        f"(SELECT CONVERT(varchar(34), MAX({column}), 121) FROM {qualified(table.schema, table.table)} AS s "  # noqa: S608
        f"WHERE {column} <= CONVERT({table.change_type}, {moment}))"
    )


def late(table: ResolvedTable) -> Late:
    """Rows stamped after the bound."""
    column, change_type = f"s.{quote(table.map.change_column or '')}", table.change_type
    return Late(
        f"DECLARE @hi {change_type} = CONVERT({change_type}, ?, 121);\n", rows_of(table), f"{column} > @hi"
    )


class LastModified:
    """The strategy over a column of a date type that the county's software stamps."""

    name = "last_modified"
    shows_deletes = False

    def supports(self, table: ResolvedTable, facts: SourceFacts) -> Support:
        """A single table whose change column is of a date type."""
        if table.selection is not None:
            return Support(None, "it is read from several tables")
        if lack := facts.lack(self.name):
            return Support(None, lack)
        if not is_ordered_type(table.change_type):
            return Support(None, "the table has no change column of a known date type")
        return Support(table, f"{table.map.change_column} is {table.change_type}")

    def bounds(self, request: BoundsRequest) -> ChangeQuery:
        """The next window."""
        return bounds_query(request)

    def full_because(self, bounds: Mapping[str, Any]) -> str | None:
        """Never: the cursor follows the source's clock, also backwards."""
        return None

    def select(self, table: ResolvedTable, window: Window) -> ChangeQuery:
        """The rows of a window."""
        return window_query(table, window)

    def position(self, table: PolledTable) -> str:
        """The newest stamp that a run planned now would reach."""
        return newest_stamp(table)

    def late(self, table: ResolvedTable) -> Late:
        """Rows stamped after the bound."""
        return late(table)
