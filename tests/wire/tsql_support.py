"""A batch of T-SQL in; plain Python rows and columns out, straight through the engine's port."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from airflow_provider_pacs.sandbox.counties import generic_rows
from airflow_provider_pacs.sandbox.counties.harris import county as harris
from airflow_provider_pacs.sandbox.model import Column, Param, ResultSet, RowCount, SqlType
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from airflow_provider_pacs.sandbox.tsql.session import SqlSession
from airflow_provider_pacs.sandbox.tsql.variables import permuted

ADMIN = ("sa", "Sandbox!Admin1", "PACS", "host", "tests")
READER = ("pacs_reader", "Sandbox!Reader1", "PACS", "host", "tests")


@lru_cache(maxsize=1)
def shared_engine() -> SandboxEngine:
    """A `seed` county that no test changes."""
    return generic_rows.build(SandboxEngine(), "seed")


def fresh_engine(size: str = "tiny", **options: Any) -> SandboxEngine:
    """An engine of one's own."""
    return generic_rows.build(SandboxEngine(**options), size)


def rows_of(result: ResultSet) -> list[tuple[Any, ...]]:
    """All rows; uniqueidentifier as UUID."""
    guids = {n for n, c in enumerate(result.columns) if c.type.name == "uniqueidentifier"}
    out: list[tuple[Any, ...]] = []
    for batch in result.batches:
        lists = [batch.column(n).to_pylist() for n in range(batch.num_columns)]
        lists = [
            [None if v is None else UUID(bytes_le=v) for v in values] if n in guids else values
            for n, values in enumerate(lists)
        ]
        out += zip(*lists, strict=True)
    return out


def varchar(name: str, value: str | None) -> Param:
    """A parameter as arrow-odbc sends it."""
    return Param(name, SqlType("varchar", max(1, len(value or ""))), value)


def run(
    session: SqlSession, sql: str, params: Sequence[Param] = ()
) -> list[list[tuple[Any, ...]] | int | None]:
    """Every answer of a batch: rows, or a row count."""
    return [rows_of(r) if isinstance(r, ResultSet) else r.rows for r in session.execute(sql, params)]


def query(session: SqlSession, sql: str, params: Sequence[Param] = ()) -> list[tuple[Any, ...]]:
    """The rows of the last result set of a batch."""
    return query_with_columns(session, sql, params)[1]


def query_with_columns(
    session: SqlSession, sql: str, params: Sequence[Param] = ()
) -> tuple[list[Column], list[tuple[Any, ...]]]:
    """Columns and rows of the last result set of a batch."""
    matched: tuple[list[Column], list[tuple[Any, ...]]] = ([], [])
    for result in session.execute(sql, params):
        if not isinstance(result, RowCount):
            matched = (list(result.columns), rows_of(result))
    return matched


def duck(engine: SandboxEngine, sql: str) -> list[tuple[Any, ...]]:
    """What DuckDB itself answers on the stored tables (P, O, V and S name them); a stored GUID is turned
    back.
    """
    names = {"{P}": "Property", "{O}": "PropertyOwner", "{V}": "PropertyValue", "{S}": "Structure"}
    for mark, table in names.items():
        sql = sql.replace(mark, f'"PACS.dbo"."{table}"')
    cursor = engine.con.cursor()
    rows = cursor.execute(sql).fetchall()
    cursor.close()
    return [tuple(_unpermuted(v) if isinstance(v, UUID) else v for v in row) for row in rows]


def _unpermuted(value: UUID) -> UUID:
    raw = value.bytes
    turned = UUID(bytes_le=raw[12:16] + raw[10:12] + raw[8:10] + raw[6:8] + raw[0:6])
    assert permuted(turned) == value
    return turned


HARRIS_ADMIN = ("sa", "Sandbox!Admin1", "pacs_oltp", "host", "tests")
HARRIS_READER = ("pacs_reader", "Sandbox!Reader1", "pacs_oltp", "host", "tests")


@lru_cache(maxsize=1)
def shared_harris() -> SandboxEngine:
    """A tiny county in the core tables of PACS 9.0 that no test changes."""
    return harris.build(SandboxEngine(), "tiny")


def stored(engine: SandboxEngine, sql: str) -> list[tuple[Any, ...]]:
    """What DuckDB itself answers on the core tables; `{owner}` is the table owner."""
    cursor = engine.con.cursor()
    rows = cursor.execute(re.sub(r"\{(\w+)\}", r'"pacs_oltp.dbo"."\1"', sql)).fetchall()
    cursor.close()
    return rows
