"""Names and types the columns of subqueries, VALUES and dynamic views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from airflow_provider_pacs.sandbox.catalog import sqltypes
from airflow_provider_pacs.sandbox.catalog.tables import quoted
from airflow_provider_pacs.sandbox.model import Column, SqlError
from airflow_provider_pacs.sandbox.tsql.environment import Compiled
from airflow_provider_pacs.sandbox.tsql.expressions import Expressions
from airflow_provider_pacs.sandbox.tsql.scope import Typed


def inline(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> str:
    """Rows of a dynamic view as text."""

    def cell(value: object, column: Column) -> str:
        text = "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"
        return f"CAST({text} AS {sqltypes.duck(column.type)})"

    lines = [", ".join(cell(v, c) for v, c in zip(row, columns, strict=True)) for row in rows]
    if not lines:
        return f"(SELECT {', '.join(cell(None, c) for c in columns)} WHERE FALSE)"
    return f"(VALUES {', '.join(f'({line})' for line in lines)})"


def renamed(columns: Sequence[Column], names: Sequence[str]) -> tuple[Column, ...]:
    """The columns under other names (none: as they are). SqlError 8158 for a wrong number."""
    if names and len(names) != len(columns):
        raise SqlError(8158, f"The column list has {len(names)} names for {len(columns)} columns.")
    return tuple(replace(c, name=n) for c, n in zip(columns, names, strict=True)) if names else tuple(columns)


def as_types(e: Expressions, side: Compiled, columns: Sequence[Column]) -> str:
    """One side of a set operation, converted to the common types."""
    names = [f"c{n}" for n in range(len(columns))]
    cells = [
        e.sql(Typed(f"u.{n}", own.type), c.type)
        for n, own, c in zip(names, side.columns, columns, strict=True)
    ]
    listed = ", ".join(
        f"{cell} AS {quoted(c.name or n)}" for cell, c, n in zip(cells, columns, names, strict=True)
    )
    return f"(SELECT {listed} FROM ({side.sql}) AS u({', '.join(names)}))"
