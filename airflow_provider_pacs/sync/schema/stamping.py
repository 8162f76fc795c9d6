"""Whose clock writes a table's change stamps: the newest stamp beside the server's clock and its last write.

A county's software may stamp rows by another clock than the server's: an application server in another time
zone, or UTC. A window that ends at the server's clock then never comes back for a row that is stamped hours
before it. Three things keep such rows from being lost:

* `next_cursor_query` gives a cursor that follows the stamps, not the clock, as far as time zones can differ;
* `check_stamping_clock` compares the newest stamps with the server's own record of its last write;
* `sync.clock_offset_minutes` says how far the stamping clock is ahead of the server's, for who knows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.columns import optional_query
from airflow_provider_pacs.sync.schema.tsql import qualified, quote
from airflow_provider_pacs.sync.source.port import SourceReader

FARTHEST_MINUTES = 14 * 60
"""No two time zones that a county could mix up are farther apart."""
NEAREST_MINUTES = 28
"""Closer than half an hour it is a clock that runs slow, which the overlap covers."""
_TOLERANCE_MINUTES = 2
_STEP_MINUTES = 30
"""Offsets of time zones are multiples of this, but for three quarters of an hour at the other end of the
world.
"""
MOMENTS = frozenset({"datetime", "datetime2", "smalldatetime"})
"""Types whose stamps are moments of one clock; a datetimeoffset says its own offset, a date no time."""

_WRITTEN = """SELECT CONVERT(varchar(34), MAX(u.last_user_update), 121) AS written
FROM sys.dm_db_index_usage_stats AS u WHERE u.database_id = DB_ID() AND u.object_id = OBJECT_ID(?)"""
"""The server's own record of the last write, in its local time, since it was started. Needs VIEW SERVER
STATE.
"""


@dataclass(frozen=True, slots=True)
class StampQuery:
    """One small statement and its parameters."""

    sql: str
    params: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewestStamp:
    """The newest stamp of one table.

    Attributes:
        entity: the canonical entity.
        column: the change column.
        newest: its newest stamp, as text, that is not over a day ahead; None for a table without one.
        behind_written: minutes that it lies behind the last write that the server knows of; None where the
            server does not say.
    """

    entity: str
    column: str
    newest: str | None
    behind_written: int | None

    @property
    def offset_minutes(self) -> int | None:
        """How far the stamping clock seems to be ahead of the server's (negative: behind), where the
        distance is one between time zones.
        """
        minutes = self.behind_written
        if minutes is None or not NEAREST_MINUTES <= abs(minutes) <= FARTHEST_MINUTES + _TOLERANCE_MINUTES:
            return None
        steps = round(minutes / _STEP_MINUTES) * _STEP_MINUTES
        return -steps if abs(minutes - steps) <= _TOLERANCE_MINUTES else None


@dataclass(frozen=True, slots=True)
class StampingClock:
    """What the newest stamps say about the clock that writes them."""

    stamps: tuple[NewestStamp, ...]

    @property
    def offset_minutes(self) -> int | None:
        """The offset on which at least two tables agree, and none with a known last write says otherwise."""
        known = [stamp for stamp in self.stamps if stamp.behind_written is not None]
        offsets = Counter(stamp.offset_minutes for stamp in known)
        if len(offsets) != 1 or len(known) < 2:
            return None
        return known[0].offset_minutes

    @property
    def text(self) -> str:
        """One sentence on the evidence; empty where there is none."""
        return "; ".join(
            f"{stamp.column} of {stamp.entity} was last {stamp.newest}, {abs(minutes):,} minutes "
            f"{'before' if minutes > 0 else 'after'} the server's last write to the table"
            for stamp in self.stamps
            if stamp.offset_minutes is not None and (minutes := stamp.behind_written) is not None
        )

    def refusal(self, county: str) -> ConfigError | None:
        """The error of a run that would lose rows; None where nothing is proved.

        A county that sets `sync.clock_offset_minutes`, to 0 as well, has answered the question: it is not
        asked.
        """
        offset = self.offset_minutes
        if offset is None:
            return None
        return ConfigError(
            f"{county}: the change stamps are not written by the server's clock: {self.text}",
            remedy=f"set sync.clock_offset_minutes: {offset} (or sync.clock: utc where the stamps are UTC); "
            "0 where the stamps are right",
        )


def check_stamping_clock(
    reader: SourceReader, tables: Iterable[ResolvedTable], *, utc_minutes: int = 0
) -> StampingClock:
    """Compare the newest stamps with the last writes that the server itself has recorded.

    Where the server does not say when it was written to, no stamp is read.

    Args:
        reader: an open reader.
        tables: the county's tables with the change columns of their mapping.
        utc_minutes: how far the stamps' configured clock is behind the server's local time: its offset to
            UTC under `sync.clock: utc`, else 0; less `sync.clock_offset_minutes`.

    Raises:
        RetryableError: the connection itself failed.
    """
    stamps = []
    for table in tables:
        if not has_moments(table):
            continue
        rows = optional_query(reader, _WRITTEN, (qualified(table.map.schema, table.map.table),))
        written = rows[0]["written"] if rows else None
        newest, behind = None, None
        if written is not None:
            query = _newest_query(table, str(written), utc_minutes)
            row = reader.query(query.sql, query.params)[0]
            newest, behind = row["newest"], row["behind"]
        stamps.append(
            NewestStamp(
                table.map.entity,
                table.map.change_column or "",
                None if newest is None else str(newest),
                None if behind is None else int(behind),
            )
        )
    return StampingClock(tuple(stamps))


def has_moments(table: ResolvedTable) -> bool:
    """Whether the table's change column holds moments of somebody's clock."""
    return table.selection is None and (table.change_type or "").split("(")[0] in MOMENTS


def _newest_query(table: ResolvedTable, written: str, utc_minutes: int) -> StampQuery:
    """One row: `newest` stamp that is not over a day after the last write, and the minutes `behind` it."""
    column = f"s.{quote(table.map.change_column or '')}"
    return StampQuery(
        "DECLARE @written datetime2(7) = DATEADD(MINUTE, CONVERT(int, ?), CONVERT(datetime2(7), ?, 121));\n"
        f"SELECT CONVERT(varchar(34), MAX({column}), 121) AS newest, "
        f"DATEDIFF(MINUTE, MAX({column}), @written) AS behind\n"
        f"FROM {qualified(table.map.schema, table.map.table)} AS s "
        f"WHERE {column} <= DATEADD(DAY, 1, @written)",
        (str(-utc_minutes), written),
    )


def next_cursor_query(table: ResolvedTable, hi: str) -> StampQuery:
    """One row, `cursor`: where the next window of a table with a date column begins (before its overlap).

    It is the newest stamp at or below `hi`, and no farther back than a day: no two clocks that a county
    could mix up differ by more. A clock
    that is hours behind the server's stamps the next change after its own newest stamp, so that change is
    in the next window whatever the offset; a table in which nothing happens is not read again from the
    beginning.

    Args:
        table: with its change column in place.
        hi: the run's upper bound, as text in the change column's type.
    """
    column, change_type = f"s.{quote(table.map.change_column or '')}", table.change_type
    return StampQuery(
        f"DECLARE @hi {change_type} = CONVERT({change_type}, ?, 121);\n"  # noqa: S608
        f"DECLARE @newest {change_type} = (SELECT MAX({column}) FROM "
        f"{qualified(table.map.schema, table.map.table)} AS s WHERE {column} <= @hi);\n"
        f"DECLARE @farthest {change_type} = DATEADD(DAY, -1, @hi);\n"
        "SELECT CONVERT(varchar(34), CASE WHEN @newest > @farthest THEN @newest ELSE @farthest END, 121) "
        "AS [cursor]",
        (hi,),
    )
