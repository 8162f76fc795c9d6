"""Rowversion: the database's own counter, so no clock, no overlap and no hour that repeats (tsql/04).

`hi` is MIN_ACTIVE_ROWVERSION(): below it no writer is open any more. A long transaction delays rows, it never
loses them. Cursors are `0x` text. A counter below the cursor means that the database was restored. Not on a
readable secondary: it does not know the primary's open writers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_provider_pacs.sync.incremental.statements import (
    RESTORED,
    STAMPS,
    ChangeQuery,
    Late,
    Window,
    is_stamp,
    rows_of,
    select_list,
)
from airflow_provider_pacs.sync.incremental.strategy import (
    BoundsRequest,
    PolledTable,
    SourceFacts,
    Support,
)
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.tsql import quote

WRITABLE = "SELECT CONVERT(varchar(20), DATABASEPROPERTYEX(DB_NAME(), 'Updateability')) AS updateability"
"""One row: READ_WRITE, or READ_ONLY on a secondary; NULL where it is unknown."""


def column_of(table: ResolvedTable) -> str | None:
    """The table's rowversion column (a table has at most one); None where it has none or the catalog is
    unknown.
    """
    return next((column.name for column in table.columns.values() if column.type_name in STAMPS), None)


def bounds_query(request: BoundsRequest) -> ChangeQuery:
    """One row: `lo`, the cursor as it is, `hi`, as `0x` text, and `behind`.

    Clock and overlap have no meaning here.
    """
    return ChangeQuery(
        "DECLARE @cursor binary(8) = CONVERT(binary(8), NULLIF(?, ''), 1);\n"
        "DECLARE @hi binary(8) = MIN_ACTIVE_ROWVERSION();\n"
        "SELECT CONVERT(varchar(18), @cursor, 1) AS lo, CONVERT(varchar(18), @hi, 1) AS hi, "
        "CASE WHEN @cursor > @hi THEN 1 ELSE 0 END AS behind",
        (request.cursor or "",),
    )


def window_query(table: ResolvedTable, window: Window) -> ChangeQuery:
    """Rows from the cursor on (`>=`: the cursor was an open bound) and below `hi`."""
    column = f"s.{quote(table.map.change_column or '')}"
    return ChangeQuery(
        "DECLARE @lo binary(8) = CONVERT(binary(8), ?, 1);\n"
        "DECLARE @hi binary(8) = CONVERT(binary(8), ?, 1);\n"
        f"SELECT {select_list(table)} FROM {rows_of(table)} WHERE {column} >= @lo AND {column} < @hi",
        (window.lo or window.hi, window.hi),
    )


def late(table: ResolvedTable) -> Late:
    """Rows written at the bound or after: `hi` itself was an open version."""
    column = f"s.{quote(table.map.change_column or '')}"
    return Late("DECLARE @hi binary(8) = CONVERT(binary(8), ?, 1);\n", rows_of(table), f"{column} >= @hi")


class Rowversion:
    """The strategy over a table's rowversion column."""

    name = "rowversion"
    shows_deletes = False

    def supports(self, table: ResolvedTable, facts: SourceFacts) -> Support:
        """A single table with a rowversion column, on a writable database with the documented bound."""
        if table.selection is not None:
            return Support(None, "it is read from several tables")
        column = column_of(table)
        if column is None:
            return Support(None, "the table has no rowversion column")
        if not facts.writable:
            return Support(None, "the database is a readable secondary")
        if lack := facts.lack(self.name):
            return Support(None, lack)
        return Support(
            replace(table, map=replace(table.map, change_column=column)), f"{column} is rowversion"
        )

    def bounds(self, request: BoundsRequest) -> ChangeQuery:
        """The next window."""
        return bounds_query(request)

    def full_because(self, bounds: Mapping[str, Any]) -> str | None:
        """A counter behind the cursor."""
        return RESTORED if bounds["behind"] == 1 else None

    def select(self, table: ResolvedTable, window: Window) -> ChangeQuery:
        """The rows of a window."""
        return window_query(table, window)

    def position(self, table: PolledTable) -> str:
        """The bound of a run that is planned now: it moves when a writer ends, whatever table it wrote."""
        return "CONVERT(varchar(18), CONVERT(binary(8), MIN_ACTIVE_ROWVERSION()), 1)"

    def late(self, table: ResolvedTable) -> Late:
        """Rows written at the bound or after."""
        return late(table)


def is_rowversion(table: ResolvedTable) -> bool:
    """Whether the table is read by a rowversion column."""
    return is_stamp(table, table.map.change_column)
