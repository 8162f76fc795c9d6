"""Texts of tens of megabytes through Microsoft's driver: whole or refused, never cut."""

from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_provider_pacs.sandbox.model import MAX, Column, SqlType
from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from airflow_provider_pacs.sync.runtime.errors import DataError
from airflow_provider_pacs.sync.source.address import SourceAddress
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader
from tests.wire.scripted import PASSWORD, ScriptedEngine, rows_of


def reader(server: SandboxServer) -> SqlServerReader:
    return SqlServerReader(SourceAddress("127.0.0.1", server.port, "PACS", "sa", PASSWORD), attempts=1)


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
