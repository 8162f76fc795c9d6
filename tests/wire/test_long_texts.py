"""Texts of tens of megabytes through Microsoft's driver: whole or refused, never cut."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider_pacs.sandbox.catalog.sqltypes import arrow
from airflow_provider_pacs.sandbox.model import MAX, Column, ResultSet, SqlType
from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from airflow_provider_pacs.sync.runtime.errors import DataError
from airflow_provider_pacs.sync.source import bulk, rows, sqlserver
from airflow_provider_pacs.sync.source.address import SourceAddress
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader
from tests.wire.scripted import PASSWORD, ScriptedEngine, rows_of


def address(server: SandboxServer) -> SourceAddress:
    return SourceAddress("127.0.0.1", server.port, "PACS", "sa", PASSWORD)


def reader(server: SandboxServer) -> SqlServerReader:
    return SqlServerReader(address(server), attempts=1)


def sent(engine: ScriptedEngine, *texts: str) -> None:
    columns = [Column("id", SqlType("int")), Column("note", SqlType("varchar", MAX))]
    engine.answers["LOB"] = lambda: rows_of(
        columns, [pa.array(range(len(texts)), pa.int32()), pa.array(texts)]
    )


@pytest.mark.slow  # half a gigabyte of buffers for a moment
def test_fifty_megabytes_arrive_whole(server: SandboxServer, engine: ScriptedEngine) -> None:
    """Case 75: between two short ones, byte for byte."""
    texts = ("short", "0123456789" * 5_000_000, "é" * 100)
    sent(engine, *texts)
    with reader(server) as opened:
        got = pa.Table.from_batches(opened.stream("LOB", lob_bound=lambda: 50_000_000))
    assert got["note"].to_pylist() == list(texts)


def test_two_megabytes_arrive_whole(server: SandboxServer, engine: ScriptedEngine) -> None:
    """Case 75: a value far beyond the driver's own buffers."""
    texts = ("short", "0123456789" * 200_000, "é" * 100)
    sent(engine, *texts)
    with reader(server) as opened:
        got = pa.Table.from_batches(opened.stream("LOB", lob_bound=lambda: 2_000_000))
    assert got["note"].to_pylist() == list(texts)


def test_a_text_beyond_the_limit_is_refused_before_it_is_read(
    server: SandboxServer, engine: ScriptedEngine
) -> None:
    """Case 75: the read would need more memory than a worker should give; the error says what to do."""
    sent(engine, "short")
    with reader(server) as opened, pytest.raises(DataError, match="256 MB") as refused:
        list(opened.stream("LOB", lob_bound=lambda: 90_000_000))
    assert "LEFT(column, n)" in refused.value.remedy
    assert "LOB" not in [sql for sql, _ in engine.asked]


WIDE = [SqlType("nvarchar", MAX), SqlType("varchar", MAX), SqlType("nvarchar", MAX)]
OTHERS: list[tuple[str, SqlType, list[object]]] = [
    ("id", SqlType("int"), [1, 2]),
    ("money", SqlType("decimal", precision=19, scale=4), [Decimal("1.2500"), None]),
    ("at", SqlType("datetime"), [datetime(2026, 1, 15, 6, 0, 0, 123333), None]),
    ("day", SqlType("date"), [date(2026, 1, 15), None]),
    ("small", SqlType("tinyint"), [255, None]),
    ("yes", SqlType("bit"), [True, None]),
    ("ratio", SqlType("float"), [0.1, None]),
    ("code", SqlType("char", 4), ["ab  ", None]),
]


def wide_rows(columns: int, length: int) -> Callable[[], ResultSet]:
    """Rows of every kind of column, and unbounded ones of which one value is long."""
    declared = [Column(name, kind) for name, kind, _ in OTHERS]
    arrays = [pa.array(values, arrow(kind)) for _, kind, values in OTHERS]
    for number in range(columns):
        declared.append(Column(f"note{number}", WIDE[number % 3]))
        arrays.append(pa.array(["é" * 20, "x" * length if number == 0 else None], pa.string()))
    return lambda: rows_of(declared, arrays)


def read_all(server: SandboxServer, bound: Any) -> pa.Table:
    with reader(server) as opened:
        return pa.Table.from_batches(opened.stream("LOB", lob_bound=lambda: bound))


def test_rows_read_one_by_one_are_the_rows_of_a_block(
    server: SandboxServer, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case D10: the same schema and the same values, whichever way a row was read."""
    engine.answers["LOB"] = wide_rows(3, 9_000)
    in_blocks = read_all(server, 20_000)

    def too_wide(order: bulk.BulkQuery) -> None:
        raise bulk.TooWideError

    monkeypatch.setattr(sqlserver, "BulkResult", too_wide)
    with SqlServerReader(address(server), attempts=1, batch_bytes=1) as opened:
        one_by_one = list(opened.stream("LOB", lob_bound=lambda: 20_000))
    assert len(one_by_one) == 2
    assert pa.Table.from_batches(one_by_one).equals(in_blocks)


def test_many_unbounded_columns_with_one_long_value(server: SandboxServer, engine: ScriptedEngine) -> None:
    """Case D10: eleven columns times the longest value are more than a block may hold; the row is read all
    the same, in what it really takes.
    """
    engine.answers["LOB"] = wide_rows(11, 2_000_000)
    table = read_all(server, {"Note0": 40_000_000, "Note1": 100})
    assert table["note0"].to_pylist() == ["é" * 20, "x" * 2_000_000]
    assert table.num_rows == 2


def test_a_column_with_a_value_beyond_the_limit_is_named(
    server: SandboxServer, engine: ScriptedEngine
) -> None:
    """Case D10: not the driver's own words."""
    sent(engine, "short")
    with reader(server) as opened, pytest.raises(DataError, match="column 'Sketch' holds a value") as refused:
        list(opened.stream("LOB", lob_bound=lambda: {"Note": 100, "Sketch": 90_000_000}))
    assert "LEFT(column, n)" in refused.value.remedy


def test_a_value_that_the_target_can_not_take_is_named(
    server: SandboxServer, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case D10: PostgreSQL takes no value of a gigabyte; the error names the column before COPY would
    fail.
    """
    engine.answers["LOB"] = wide_rows(11, 50_000)
    monkeypatch.setattr(rows, "LONGEST_VALUE", 40_000)
    with pytest.raises(DataError, match="column 'note0' holds a value"):
        read_all(server, 40_000_000)
