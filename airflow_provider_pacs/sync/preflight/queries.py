"""A source's table -> the T-SQL that looks at its data: at most so many rows, each statement one answer,
nothing that locks for long.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_pacs.sync.schema.tables import SourceTable
from airflow_provider_pacs.sync.schema.tsql import quote

MOST_ROWS = 200_000
"""A look at data reads no more rows of a table than these, whichever the server hands out first."""
SENTINELS = ("19000101", "19800101")
"""Days that often stand for "unknown": SQL Server's day 0, and that of a well-known conversion."""
TOP_VALUES = 6
SAMPLE_ROWS = 2_000
"""Enough rows of a table that nobody has mapped yet to see which column is empty or holds something else."""


def count_query(table: SourceTable) -> str:
    """One row: `n` rows of the table."""
    return f"SELECT COUNT_BIG(*) AS n FROM {table.quoted} AS s"  # noqa: S608


def some_rows(table: SourceTable, columns: Sequence[str]) -> str:
    """A derived table `s` with these columns of some rows."""
    listed = ", ".join(f"t.{quote(column)}" for column in columns)
    return f"(SELECT TOP ({MOST_ROWS}) {listed} FROM {table.quoted} AS t) AS s"  # noqa: S608


def dates_query(table: SourceTable, columns: Sequence[str]) -> str:
    """One row: `n` rows, and per date column `c<i>_<day>` with how many stand at a sentinel day."""
    parts = [
        f"COUNT_BIG(CASE WHEN s.{quote(column)} = CONVERT(datetime, '{day}', 112) THEN 1 END) AS "
        f"[c{number}_{day}]"
        for number, column in enumerate(columns)
        for day in SENTINELS
    ]
    return f"SELECT COUNT_BIG(*) AS [n], {', '.join(parts)} FROM {some_rows(table, columns)}"  # noqa: S608


def stamps_query(table: SourceTable, column: str) -> str:
    """One row: `n`, `missing` (no stamp), `future` (over a day after the clock given as the parameter),
    `newest` (text), and `ahead`: minutes by which the newest of the others is ahead of the clock.
    """
    stamp = f"s.{quote(column)}"
    return (
        "DECLARE @now datetime2(7) = CONVERT(datetime2(7), ?, 121);\n"
        f"SELECT COUNT_BIG(*) AS [n], COUNT_BIG(CASE WHEN {stamp} IS NULL THEN 1 END) AS [missing], "
        f"COUNT_BIG(CASE WHEN {stamp} > DATEADD(DAY, 1, @now) THEN 1 END) AS [future], "
        f"DATEDIFF(MINUTE, @now, MAX(CASE WHEN {stamp} <= DATEADD(DAY, 1, @now) THEN {stamp} END)) AS "
        "[ahead], "
        f"CONVERT(varchar(34), MAX({stamp}), 121) AS [newest] FROM {some_rows(table, [column])}"
    )


def empty_query(table: SourceTable, columns: Sequence[str]) -> str:
    """One row: `n` rows, and `c<i>` per text column with how many are NULL or blank.

    No value leaves the server.
    """
    parts = [
        f"COUNT_BIG(CASE WHEN {_filled(column)} THEN NULL ELSE 1 END) AS [c{number}]"
        for number, column in enumerate(columns)
    ]
    return f"SELECT COUNT_BIG(*) AS [n], {', '.join(parts)} FROM {some_rows(table, columns)}"  # noqa: S608


def _filled(column: str) -> str:
    return f"s.{quote(column)} <> ''"


def values_query(table: SourceTable, column: str) -> str:
    """The values of a code column that occur most: `value` (text), `n`."""
    name = quote(column)
    return (
        f"SELECT TOP ({TOP_VALUES}) CONVERT(nvarchar(60), s.{name}) AS [value], COUNT_BIG(*) AS [n] "  # noqa: S608
        f"FROM {some_rows(table, [column])} GROUP BY s.{name} ORDER BY COUNT_BIG(*) DESC"
    )


def distinct_query(table: SourceTable, column: str) -> str:
    """One row: `n`, how many different values a column has."""
    return f"SELECT COUNT_BIG(DISTINCT s.{quote(column)}) AS [n] FROM {some_rows(table, [column])}"  # noqa: S608


def duplicates_query(table: SourceTable, column: str) -> str:
    """One row: `n`, how many values occur more than once, as the source compares them."""
    name = f"s.{quote(column)}"
    return (
        f"SELECT COUNT_BIG(*) AS [n] FROM (SELECT COUNT_BIG(*) AS [rows] FROM {some_rows(table, [column])} "  # noqa: S608
        f"WHERE {name} IS NOT NULL GROUP BY {name} HAVING COUNT_BIG(*) > 1) AS d"
    )


def collisions_query(table: SourceTable, column: str) -> str:
    """One row: `n`, how many values of a text column are the same but for case or trailing blanks, and differ
    to the byte.
    """
    name = f"s.{quote(column)}"
    return (
        f"SELECT COUNT_BIG(*) AS [n] FROM (SELECT COUNT_BIG(*) AS [rows] FROM {some_rows(table, [column])} "  # noqa: S608
        f"WHERE {name} IS NOT NULL GROUP BY UPPER(RTRIM({name})) HAVING COUNT(DISTINCT "
        f"CONVERT(varbinary(8000), {name})) > 1) AS d"
    )


def sample_counts_query(table: str, columns: Sequence[tuple[str, str]], key: str | None) -> str:
    """One row of counts over a small sample: `n` rows, `c<i>_filled` per column, `c<i>_fits` where the column
    has a condition, and `keys`, the key's different values.

    Args:
        table: quoted.
        columns: name and condition, in which `{c}` stands for the column; "" for none.
        key: the column that should be different in every row; None where it can't be counted.
    """
    counts = ["COUNT_BIG(*) AS [n]"]
    for number, (name, condition) in enumerate(columns):
        column = f"s.{quote(name)}"
        counts.append(f"COUNT_BIG(CASE WHEN {column} IS NOT NULL THEN 1 END) AS [c{number}_filled]")
        if condition:
            counts.append(
                f"COUNT_BIG(CASE WHEN {condition.replace('{c}', column)} THEN 1 END) AS [c{number}_fits]"
            )
    if key is not None:
        counts.append(f"COUNT_BIG(DISTINCT s.{quote(key)}) AS [keys]")
    listed = ", ".join(f"t.{quote(name)}" for name in dict.fromkeys(name for name, _ in columns))
    return f"SELECT {', '.join(counts)} FROM (SELECT TOP ({SAMPLE_ROWS}) {listed} FROM {table} AS t) AS s"  # noqa: S608
