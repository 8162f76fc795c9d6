"""What every change family shares: the query it hands out and the select list that names each column
canonically.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.profiles import alias
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.columns import SourceColumn
from airflow_provider_pacs.sync.schema.tsql import qualified, quote

Mode = Literal["full", "changes"]


@dataclass(frozen=True, slots=True)
class ChangeQuery:
    """One streamed statement.

    Attributes:
        sql: T-SQL with `?` for each parameter.
        params: text, converted inside the statement to the column's exact type.
        complete: the rows are all rows of the table, so that a key not among them is gone at the source.
    """

    sql: str
    params: tuple[str, ...] = ()
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """The bounds of one read, as SQL Server's text in the change column's type. `lo` is None on the first
    read.
    """

    lo: str | None
    hi: str


def rows_of(shape: ResolvedTable) -> str:
    """What stands after FROM: the table, or the joined entity's SELECT, as `s`."""
    if shape.selection is not None:
        return f"(\n{shape.selection.sql}\n) AS s"
    return f"{qualified(shape.map.schema, shape.map.table)} AS s"


def select_list(shape: ResolvedTable) -> str:
    """Every mapped column under its canonical name, those of `extra` by alias, a joined entity's keys, then
    `_source_version`.

    The version is the change stamp as SQL Server writes it.
    """
    parts = [
        f"{_expression(shape.columns.get(source), source)} AS {quote(canonical)}"
        for canonical, source in shape.map.columns
    ]
    extra = [source if shape.selection is None else alias(n) for n, (_, source) in enumerate(shape.map.extra)]
    parts += [
        f"{_expression(shape.columns.get(source), source)} AS {quote(alias(n))}"
        for n, source in enumerate(extra)
    ]
    if shape.selection is not None:
        parts += ["s.[_source_key]"] + (
            ["s.[_parent_key]"] if load_entities()[shape.map.entity].parent else []
        )
    return ", ".join([*parts, f"{version_text(shape)} AS [_source_version]"])


def version_text(shape: ResolvedTable) -> str:
    """The change column as text made by SQL Server, or a typed NULL where the table has none."""
    column = shape.map.change_column
    if column is None:
        return "CONVERT(varchar(34), NULL)"
    declared = shape.columns.get(column)
    if declared is not None and declared.type_name in {"timestamp", "rowversion"}:
        return f"CONVERT(varchar(34), CONVERT(binary(8), s.{quote(column)}), 1)"
    return f"CONVERT(varchar(34), s.{quote(column)}, 121)"


def _expression(column: SourceColumn | None, name: str) -> str:
    value = f"s.{quote(name)}"
    if column is None:
        return value
    if column.type_name in {"char", "nchar"}:
        return f"RTRIM({value})"
    if column.type_name == "datetimeoffset":
        value = f"CONVERT(datetime2(7), SWITCHOFFSET({value}, '+00:00'))"
        column = SourceColumn(column.name, "datetime2", 0, 0, 7, column.nullable)
    if column.type_name == "datetime2" and column.scale == 7:
        # PostgreSQL keeps microseconds. CONVERT would round, at 9999-12-31 into year 10000; so the seventh
        # digit is cut first.
        return f"CONVERT(datetime2(6), DATEADD(NANOSECOND, -(DATEPART(NANOSECOND, {value}) % 1000), {value}))"
    return value
