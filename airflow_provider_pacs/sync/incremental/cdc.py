"""CDC: the server's own record of every committed change -> the keys that changed, whose rows are then read
from the table itself (correctness.md C3, A7; tsql/07-11).

Of a change only its key is taken. What the change tables can't hold rightly (large values that did not
change, computed columns, columns that an older instance does not know) is never applied: the row is read as
it is now, and a key without a row is gone. So several changes of one row need no order, and an interrupted
read is simply read again.

A cursor is the LSN of the last commit that was read and the time at which that commit ended, one text made by
SQL Server. A range begins at the LSN's increment and ends at the largest captured LSN, which is always the
end of a transaction. The time tells a restored database: there another transaction, or none, has that LSN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_provider_pacs.sync.incremental.statements import (
    ChangeQuery,
    Late,
    Window,
    key_text,
    rows_of,
    select_list,
)
from airflow_provider_pacs.sync.incremental.strategy import BoundsRequest, PolledTable, SourceFacts, Support
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.tsql import qualified, quote

NAME = "cdc"
RESTORED = (
    "the log of the database is another one than the cursor's: it was restored, so every row is compared"
)
EXPIRED = (
    "the changes since the cursor were cleaned up, or the capture instance was made again: every row is "
    "compared"
)
_EVERYTHING = "N'all update old'"
"""With the images before an update: where the mapped key is not the primary key, only they have the old
key.
"""


def columns_read(table: ResolvedTable) -> tuple[str, ...]:
    """The source columns of which a change makes another row."""
    change = (table.map.change_column,) if table.map.change_column else ()
    return tuple(dict.fromkeys((*table.map.sources, *change)))


def bounds_query(request: BoundsRequest) -> ChangeQuery:
    """One row: `lo`, the cursor as it is, `hi`, `behind`: 1 where the cursor's commit is not in this
    database's log, `expired`: 1 where the instance does not reach back to the cursor, and `feed`: the table's
    number.

    A cursor whose commit the log no longer knows is behind only while the instance claims to reach back to
    it. Clock and overlap have no meaning here.
    """
    table, capture = _captured(request.table)
    return ChangeQuery(
        "DECLARE @cursor varchar(46) = NULLIF(CONVERT(varchar(46), ?), '');\n"
        "DECLARE @upper varchar(46) = NULLIF(CONVERT(varchar(46), ?), '');\n"
        "DECLARE @instance nvarchar(128) = CONVERT(nvarchar(128), ?);\n"
        "DECLARE @source nvarchar(300) = CONVERT(nvarchar(300), ?);\n"
        "DECLARE @last binary(10) = CONVERT(binary(10), LEFT(@cursor, 22), 1);\n"
        "DECLARE @max binary(10) = sys.fn_cdc_get_max_lsn();\n"
        "DECLARE @min binary(10) = sys.fn_cdc_get_min_lsn(@instance);\n"
        "DECLARE @from binary(10) = sys.fn_cdc_increment_lsn(@last);\n"
        "DECLARE @known datetime = sys.fn_cdc_map_lsn_to_time(@last);\n"
        "DECLARE @ended datetime = sys.fn_cdc_map_lsn_to_time(@max);\n"
        "SELECT @cursor AS lo, COALESCE(@upper, "
        "CONVERT(varchar(22), @max, 1) + ' ' + CONVERT(varchar(23), @ended, 121)) AS hi, "
        "CASE WHEN CONVERT(varchar(23), @known, 121) <> SUBSTRING(@cursor, 24, 23) "
        "OR (@known IS NULL AND @from >= @min) THEN 1 ELSE 0 END AS behind, "
        "CASE WHEN @from < @min OR @min = 0x00000000000000000000 THEN 1 ELSE 0 END AS expired, "
        "CONVERT(varchar(20), OBJECT_ID(@source)) AS feed",
        (
            request.cursor or "",
            request.upper or "",
            capture,
            qualified(table.map.schema, table.map.table),
        ),
    )


def window_query(table: ResolvedTable, window: Window) -> ChangeQuery:
    """The rows, as they are now, of every key that changed in the window."""
    key = quote(table.map.key)
    return ChangeQuery(
        f"{_range()}SELECT {select_list(table)} FROM {rows_of(table)}\n"  # noqa: S608
        f"WHERE s.{key} IN ({_changed(table)})",
        (window.lo or window.hi, window.hi),
    )


def gone_query(table: ResolvedTable, window: Window) -> ChangeQuery:
    """One column `k`: the keys that changed in the window and have no row."""
    key = quote(table.map.key)
    return ChangeQuery(
        f"{_range()}SELECT DISTINCT {key_text(table, 'g')} AS k FROM ({_changed(table)}) AS g\n"  # noqa: S608
        f"WHERE NOT EXISTS (SELECT 1 FROM {rows_of(table)} WHERE s.{key} = g.{key})",
        (window.lo or window.hi, window.hi),
    )


def caught_up_query(since: str) -> ChangeQuery:
    """One row: `caught_up`, 1 where the capture process has read the log up to a moment of local time."""
    return ChangeQuery(
        "DECLARE @moment datetime2(7) = CONVERT(datetime2(7), ?, 121);\n"
        "SELECT CASE WHEN MAX(m.tran_end_time) >= @moment THEN 1 ELSE 0 END AS caught_up "
        "FROM cdc.lsn_time_mapping AS m",
        (since,),
    )


def late(table: ResolvedTable) -> Late:
    """Rows of which a change was captured after the bound."""
    key = quote(table.map.key)
    keys = f"SELECT DISTINCT g.{key} AS [_changed] FROM ({_changed(table)}) AS g"  # noqa: S608
    rows = f"{rows_of(table)}\nLEFT JOIN ({keys}) AS late ON late.[_changed] = s.{key}"
    declare = f"{_since()}DECLARE @to binary(10) = sys.fn_cdc_get_max_lsn();\n{_from()}"
    return Late(declare, rows, "late.[_changed] IS NOT NULL")


def _range() -> str:
    """The DECLAREs of a range from the commit after the first parameter to that of the second.

    The server refuses a range without a commit (error 313), so where there is none the last one that was read
    is asked for again, and left out by `_changed`.
    """
    return _since() + (
        "DECLARE @to binary(10) = CONVERT(binary(10), LEFT(CONVERT(varchar(46), ?), 22), 1);\n" + _from()
    )


def _since() -> str:
    return "DECLARE @last binary(10) = CONVERT(binary(10), LEFT(CONVERT(varchar(46), ?), 22), 1);\n"


def _from() -> str:
    return (
        "DECLARE @next binary(10) = sys.fn_cdc_increment_lsn(@last);\n"
        "DECLARE @from binary(10) = CASE WHEN @next > @to THEN @to ELSE @next END;\n"
    )


def _changed(table: ResolvedTable) -> str:
    """The keys of all changes of the range, one column named as the key."""
    table, capture = _captured(table)
    function = quote(f"fn_cdc_get_all_changes_{capture}")
    return (
        f"SELECT c.{quote(table.map.key)} FROM cdc.{function}(@from, @to, {_EVERYTHING}) AS c "  # noqa: S608
        "WHERE c.[__$start_lsn] > @last"
    )


def _captured(table: ResolvedTable | None) -> tuple[ResolvedTable, str]:
    if table is None or table.capture is None:
        raise ValueError("the table has no capture instance")
    return table, table.capture


class Cdc:
    """The strategy over a capture instance of a single table."""

    name = NAME
    shows_deletes = True

    def supports(self, table: ResolvedTable, facts: SourceFacts) -> Support:
        """A single table with a capture instance that captures every column that is read."""
        if table.selection is not None:
            return Support(None, "it is read from several tables, or by a number")
        feed = facts.feed(self.name, table.map.schema, table.map.table)
        if feed is None:
            return Support(None, "nobody knows whether Change Data Capture is on for it")
        if feed.lack is not None:
            return Support(None, feed.lack, feed.remedy)
        # The oldest of two: it covers every cursor while both are there, and when it is dropped the other one
        # goes on from the cursor.
        wanted = columns_read(table)
        for instance in feed.instances:
            if not instance.missing(wanted):
                return Support(
                    replace(table, capture=instance.name), f"Change Data Capture, instance {instance.name}"
                )
        missing = ", ".join(feed.instances[-1].missing(wanted)) if feed.instances else "anything"
        return Support(
            None,
            f"Change Data Capture is on, but no instance of it captures {missing}",
            "have a second instance enabled (sys.sp_cdc_enable_table) that captures every column",
        )

    def bounds(self, request: BoundsRequest) -> ChangeQuery:
        """The next range."""
        return bounds_query(request)

    def full_because(self, bounds: Mapping[str, Any]) -> str | None:
        """Another log, or a range that is not there any more."""
        if bounds["behind"] == 1:
            return RESTORED
        return EXPIRED if bounds["expired"] == 1 else None

    def select(self, table: ResolvedTable, window: Window) -> ChangeQuery:
        """The rows of the keys that changed."""
        return window_query(table, window)

    def gone(self, table: ResolvedTable, window: Window) -> ChangeQuery:
        """The keys that changed and have no row."""
        return gone_query(table, window)

    def caught_up(self, moment: str) -> ChangeQuery:
        """Whether the capture process has read the log up to a moment."""
        return caught_up_query(moment)

    def position(self, table: PolledTable) -> str:
        """The last transaction that the capture process has read; it also moves in an idle database."""
        return "CONVERT(varchar(22), sys.fn_cdc_get_max_lsn(), 1)"

    def late(self, table: ResolvedTable) -> Late:
        """Rows of which a change was captured after the bound."""
        return late(table)
