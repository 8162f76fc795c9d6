"""Every type, its limits and its NULL arrive as Microsoft's driver should see them, through pyodbc and
through arrow-odbc.
"""

from __future__ import annotations

import datetime as dt
import struct
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import arrow_odbc
import pyarrow as pa
import pyodbc
import pytest

from airflow_provider_pacs.sandbox.model import MAX, Column, SqlType
from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from tests.wire.scripted import ScriptedEngine, connect, connection_string, rows_of

GUID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
LONG = "ñandú €" * 15_000
OFFSET = pa.struct([("utc", pa.timestamp("us")), ("offset_minutes", pa.int16())])
DAY = dt.datetime
DTO = DAY(2024, 2, 29, 23, 30, 0, 123456)


def nanoseconds(*texts: str) -> pa.Array:
    return pa.array(texts).cast(pa.timestamp("ns"))


def binary(*values: bytes) -> pa.Array:
    return pa.array(values, pa.binary())


EDGE = Decimal("-9999999999999999999999999999.9999999999")
END_OF_TIME = DAY(9999, 12, 31, 23, 59, 59)
TICKS = [DAY(2024, 1, 1, 0, 0, 0, 3333), DAY(2024, 1, 1, 0, 0, 0, 6667)]
MILLISECONDS = [DAY(2024, 1, 1, 0, 0, 0, 3000), DAY(2024, 1, 1, 0, 0, 0, 7000)]
# Declared type, Arrow values, what pyodbc gives (None: the same).
CASES: list[tuple[SqlType, pa.Array, list[Any] | None]] = [
    (SqlType("bit"), pa.array([True, False]), [True, False]),
    (SqlType("tinyint"), pa.array([0, 255], pa.uint8()), [0, 255]),
    (SqlType("smallint"), pa.array([-32768, 32767], pa.int16()), [-32768, 32767]),
    (SqlType("int"), pa.array([-(2**31), 2**31 - 1], pa.int32()), [-(2**31), 2**31 - 1]),
    (SqlType("bigint"), pa.array([-(2**63), 2**63 - 1], pa.int64()), [-(2**63), 2**63 - 1]),
    (SqlType("real"), pa.array([1.5, -3.402823466e38], pa.float32()), [1.5, pytest.approx(-3.402823466e38)]),
    (SqlType("float"), pa.array([0.1, 1.7976931348623157e308]), [0.1, 1.7976931348623157e308]),
    (SqlType("decimal", precision=9, scale=2), pa.array([Decimal("-9999999.99"), Decimal("0.01")], pa.decimal128(9, 2)), None),
    (SqlType("numeric", precision=19, scale=0), pa.array([Decimal(-(10**18)), Decimal(10**19 - 1)], pa.decimal128(19, 0)), None),
    (SqlType("decimal", precision=28, scale=6), pa.array([Decimal("-1234567890123456789012.345678"), Decimal(0)], pa.decimal128(28, 6)), None),
    (SqlType("decimal", precision=38, scale=10), pa.array([EDGE, Decimal("1E-10")], pa.decimal128(38, 10)), None),
    (SqlType("money"), pa.array([Decimal("-922337203685477.5808"), Decimal("922337203685477.5807")], pa.decimal128(19, 4)), None),
    (SqlType("smallmoney"), pa.array([Decimal("-214748.3648"), Decimal("214748.3647")], pa.decimal128(10, 4)), None),
    (SqlType("date"), pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31)]), None),
    (SqlType("time", scale=0), pa.array([dt.time(0), dt.time(23, 59, 59)], pa.time64("ns")), None),
    (SqlType("time", scale=4), pa.array([dt.time(1, 2, 3, 999900), dt.time(0, 0, 0, 100)], pa.time64("ns")), None),
    (SqlType("time", scale=7), pa.array([86399_999_999_900, 100], pa.int64()).cast(pa.time64("ns")), [dt.time(23, 59, 59, 999999), dt.time(0)]),
    (SqlType("datetime"), pa.array([DAY(1753, 1, 1), END_OF_TIME], pa.timestamp("us")), [DAY(1753, 1, 1), END_OF_TIME]),
    (SqlType("datetime"), pa.array(TICKS, pa.timestamp("us")), MILLISECONDS),
    (SqlType("smalldatetime"), pa.array([DAY(1900, 1, 1), DAY(2079, 6, 6, 23, 59)], pa.timestamp("us")), None),
    (SqlType("datetime2", scale=0), pa.array([DAY(1, 1, 1), DAY(9999, 12, 31, 23, 59, 59)], pa.timestamp("us")), None),
    (SqlType("datetime2", scale=3), pa.array([DAY(1969, 12, 31, 23, 59, 59, 999000), DAY(1970, 1, 1, 0, 0, 0, 1000)], pa.timestamp("us")), None),
    (SqlType("datetime2", scale=6), pa.array([DAY(1, 1, 1), DAY(9999, 12, 31, 23, 59, 59, 999999)], pa.timestamp("us")), None),
    (SqlType("datetime2", scale=7), nanoseconds("2024-02-29T23:30:00.1234567", "1677-09-22T00:00:00.0000001"), [DTO, DAY(1677, 9, 22)]),
    (SqlType("uniqueidentifier"), pa.array([GUID.bytes_le, bytes(16)], pa.binary(16)), [str(GUID).upper(), str(uuid.UUID(int=0))]),
    (SqlType("char", 5), pa.array(["ab", "ñ€"]), ["ab   ", "ñ€   "]),
    (SqlType("varchar", 20), pa.array(["", "ñ – € 😀 Ж"]), ["", "ñ – € ?? ?"]),
    (SqlType("varchar", MAX), pa.array(["", LONG]), ["", LONG]),
    (SqlType("text"), pa.array(["", LONG]), ["", LONG]),
    (SqlType("nchar", 4), pa.array(["a", "Жñ"]), ["a   ", "Жñ  "]),
    (SqlType("nvarchar", 20), pa.array(["", "ñ 😀 Ж"]), ["", "ñ 😀 Ж"]),
    (SqlType("nvarchar", MAX), pa.array(["😀", LONG]), ["😀", LONG]),
    (SqlType("ntext"), pa.array(["😀", LONG]), ["😀", LONG]),
    (SqlType("xml"), pa.array(["<a>ñ</a>", ""]), ["<a>ñ</a>", ""]),
    (SqlType("binary", 4), binary(b"\x01", b"\xff\xff\xff\xff"), [b"\x01\x00\x00\x00", b"\xff\xff\xff\xff"]),
    (SqlType("varbinary", 8), binary(b"", b"\x00\x01"), [b"", b"\x00\x01"]),
    (SqlType("varbinary", MAX), binary(b"", b"\xd1" * 100_000), [b"", b"\xd1" * 100_000]),
    (SqlType("image"), binary(b"", b"\xd1" * 100_000), [b"", b"\xd1" * 100_000]),
    (SqlType("rowversion", 8), binary(b"\x00" * 7 + b"\x01", b"\xff" * 8), None),
]  # fmt: skip


def identifier(case: tuple[SqlType, pa.Array, list[Any] | None]) -> str:
    sql_type = case[0]
    return f"{sql_type.name}-{sql_type.length}-{sql_type.precision}-{sql_type.scale}"


@pytest.mark.parametrize("nulls", ["without NULL", "with NULL"])
def test_all_types_through_pyodbc(server: SandboxServer, engine: ScriptedEngine, nulls: str) -> None:
    columns = [Column("key", SqlType("int"), nullable=False)] + [
        Column(f"c{position}", case[0]) for position, case in enumerate(CASES)
    ]
    arrays = [
        array
        if nulls == "without NULL"
        else pa.concat_arrays([pa.nulls(1, array.type), array, pa.nulls(1, array.type)])
        for _, array, _ in CASES
    ]
    keys = pa.array(range(len(arrays[0])), pa.int32())
    engine.answers["SELECT everything"] = lambda: rows_of(columns, [keys, *arrays])
    rows = connect(server.port).execute("SELECT everything").fetchall()
    assert len(rows) == len(keys)
    for position, (sql_type, array, expected) in enumerate(CASES):
        values = [row[position + 1] for row in rows]
        wanted = expected or array.to_pylist()
        assert values == (wanted if nulls == "without NULL" else [None, *wanted, None]), sql_type


@pytest.mark.parametrize("case", CASES, ids=identifier)
def test_each_type_through_arrow_odbc(
    server: SandboxServer, engine: ScriptedEngine, case: tuple[SqlType, pa.Array, list[Any] | None]
) -> None:
    sql_type, array, expected = case
    engine.answers["SELECT c"] = lambda: rows_of(
        [Column("c", sql_type)], [pa.concat_arrays([array, pa.nulls(1, array.type)])]
    )
    reader = arrow_odbc.read_arrow_batches_from_odbc(
        "SELECT c",
        connection_string=connection_string(server.port),
        max_text_size=200_000,
        max_binary_size=200_000,
        batch_size=10,
    )
    column = pa.Table.from_batches(list(reader), reader.schema).column("c")
    wanted = [*(expected or array.to_pylist()), None]
    if sql_type.scale == 7:
        # Arrow keeps the seventh digit, unlike Python.
        column, wanted = column.cast(pa.int64()), [*array.cast(pa.int64()).to_pylist(), None]
    assert column.to_pylist() == wanted


def test_datetimeoffset_and_its_seventh_digit(server: SandboxServer, engine: ScriptedEngine) -> None:
    values = pa.array(
        [{"utc": DTO, "offset_minutes": -330}, None, {"utc": DAY(1, 1, 2), "offset_minutes": 840}], OFFSET
    )
    engine.answers["SELECT o"] = lambda: rows_of([Column("o", SqlType("datetimeoffset", scale=7))], [values])
    connection = connect(server.port)
    connection.add_output_converter(-155, lambda raw: struct.unpack("<hHHHHHIhh", raw))
    assert [row[0] for row in connection.execute("SELECT o")] == [
        (2024, 2, 29, 18, 0, 0, 123456000, -5, -30),
        None,
        (1, 1, 2, 14, 0, 0, 0, 14, 0),
    ]


def test_arrow_schema(server: SandboxServer, engine: ScriptedEngine) -> None:
    wanted = {
        SqlType("uniqueidentifier"): pa.string(),
        SqlType("rowversion", 8): pa.binary(8),
        SqlType("datetime"): pa.timestamp("ms"),
        SqlType("smalldatetime"): pa.timestamp("s"),
        SqlType("datetime2", scale=7): pa.timestamp("ns"),
        SqlType("bit"): pa.bool_(),
        SqlType("tinyint"): pa.uint8(),
        SqlType("time", scale=7): pa.time64("ns"),
        SqlType("money"): pa.decimal128(19, 4),
    }
    by_type = {case[0]: case[1] for case in CASES}
    columns = [Column(f"c{position}", sql_type, nullable=False) for position, sql_type in enumerate(wanted)]
    engine.answers["SELECT schema"] = lambda: rows_of(columns, [by_type[column.type] for column in columns])
    reader = arrow_odbc.read_arrow_batches_from_odbc(
        "SELECT schema", connection_string=connection_string(server.port)
    )
    assert reader.schema.types == list(wanted.values())
    assert [field.name for field in reader.schema if field.nullable] == []
    assert sum(batch.num_rows for batch in reader) == 2


def test_raw_utf16_keeps_a_lone_surrogate(server: SandboxServer, engine: ScriptedEngine) -> None:
    engine.answers["SELECT raw"] = lambda: rows_of(
        [Column("raw", SqlType("nvarchar", 5))], [binary(b"a\x00\x00\xd8")]
    )
    connection = connect(server.port)
    connection.add_output_converter(pyodbc.SQL_WVARCHAR, lambda raw: raw)
    assert connection.execute("SELECT raw").fetchval() == b"a\x00\x00\xd8"


def test_value_longer_than_declared_is_an_error(server: SandboxServer, engine: ScriptedEngine) -> None:
    engine.answers["SELECT long"] = lambda: rows_of(
        [Column("long", SqlType("varchar", 3))], [pa.array(["four"])]
    )
    connection = connect(server.port)
    with pytest.raises(pyodbc.Error, match=r"column long: 4 bytes in varchar\(3\)"):
        connection.execute("SELECT long").fetchall()
    assert connection.execute("SELECT 1").fetchval() == 1


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_slices_and_empty_results(server: SandboxServer, engine: ScriptedEngine, rows: int) -> None:
    make: Callable[[int], pa.Array] = lambda size: pa.array(  # noqa: E731
        [None if n % 3 == 0 else f"{n} é" for n in range(size)]
    )
    columns = [
        Column("n", SqlType("nvarchar", 20)),
        Column("v", SqlType("varchar", 20)),
        Column("d", SqlType("decimal", precision=20, scale=1)),
    ]
    numbers = pa.array([None if n % 2 else Decimal(n) / 10 for n in range(rows + 7)], pa.decimal128(20, 1))
    engine.answers["SELECT sliced"] = lambda: rows_of(
        columns, [make(rows + 7).slice(7), make(rows + 7).slice(7), numbers.slice(7)]
    )
    got = [tuple(row) for row in connect(server.port).execute("SELECT sliced")]
    assert got == list(
        zip(
            make(rows + 7).to_pylist()[7:],
            make(rows + 7).to_pylist()[7:],
            numbers.to_pylist()[7:],
            strict=True,
        )
    )
