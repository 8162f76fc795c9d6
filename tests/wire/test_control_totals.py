"""Control totals and key checksums in T-SQL, through Microsoft's driver: each answers what Python adds up over
the plain rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import arrow_odbc
import pyodbc
import pytest

from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from tests.wire.scripted import CERTIFICATE, connection_string
from tests.wire.tsql_support import ADMIN, fresh_engine, run

HIGH = datetime(2026, 1, 10)
KEYS = """CREATE TABLE dbo.totals_keys (prop_id int NOT NULL PRIMARY KEY, long_id bigint NOT NULL, yr int NOT NULL,
    guid uniqueidentifier NOT NULL, acres float NULL, worth money NULL, small smallint NULL, flag bit NULL)"""
GUIDS = (
    "00000000-0000-0000-0000-000000000000",
    "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
    "6F9619FF-8B86-D011-B42D-00C080000000",
    "6F9619FF-8B86-D011-B42D-00C07FFFFFFF",
    "01234567-89AB-CDEF-0123-456789ABCDEF",
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    engine = fresh_engine()
    session = engine.login(*ADMIN)
    run(session, KEYS)
    for number, guid in enumerate(GUIDS):
        run(
            session,
            f"INSERT INTO totals_keys VALUES ({number - 2}, {(number - 2) * 4_000_000_000_000_000_000}, "
            f"{2024 + number % 2}, '{guid}', {number}.25, {number * 1000}.1234, NULL, 1)",
        )
    session.close()
    with SandboxServer(engine, certificate=CERTIFICATE) as running:
        yield running.port
    engine.close()


def client(port: int) -> pyodbc.Connection:
    text = connection_string(port, UID="pacs_reader", PWD="Sandbox!Reader1")
    return pyodbc.connect(text, autocommit=True, timeout=5)


@pytest.fixture(scope="module")
def reader(port: int) -> Iterator[pyodbc.Connection]:
    opened = client(port)
    yield opened
    opened.close()


def rows(reader: pyodbc.Connection, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in reader.execute(sql, *values).fetchall()]


def exact(value: float | Decimal) -> Decimal:
    """A float as CONVERT(decimal(38, 6), ...) has it."""
    return Decimal(str(value)).quantize(Decimal("0.000001"))


def last_eight(guid: str) -> int:
    """The last 8 hex digits as a signed 32-bit number."""
    number = int(guid[-8:], 16)
    return number - (1 << 32) if number >> 31 else number


def test_a_control_total_adds_six_decimals_exactly(reader: pyodbc.Connection) -> None:
    """Null is left out, as SUM does; the count counts it."""
    plain = rows(reader, "SELECT Acreage FROM dbo.Property")
    sql = (
        "SELECT COUNT_BIG(*) AS n, COUNT_BIG(s.[Acreage]) AS filled, SUM(CONVERT(decimal(38, 6), s.[Acreage])) "
        "AS total FROM [dbo].[Property] AS s"
    )
    cursor = reader.execute(sql)
    assert [(d[0], d[4], d[5]) for d in cursor.description] == [
        ("n", 19, 0),
        ("filled", 19, 0),
        ("total", 38, 6),
    ]
    filled = [exact(value) for (value,) in plain if value is not None]
    assert [tuple(row) for row in cursor.fetchall()] == [(len(plain), len(filled), sum(filled))]
    assert len(filled) < len(plain)


def test_a_control_total_by_year(reader: pyodbc.Connection) -> None:
    expected: dict[int, list[Any]] = defaultdict(lambda: [0, Decimal(0)])
    for year, value in rows(reader, "SELECT TaxYear, MarketValue FROM dbo.PropertyValue"):
        expected[year][0] += 1
        expected[year][1] += exact(value)
    sql = (
        "SELECT s.[TaxYear], COUNT_BIG(*), SUM(CONVERT(decimal(38, 6), s.[MarketValue])) FROM "
        "[dbo].[PropertyValue] AS s GROUP BY s.[TaxYear]"
    )
    assert {row[0]: list(row[1:]) for row in rows(reader, sql)} == expected
    assert len(expected) > 1


@pytest.mark.parametrize("name", ["acres", "worth", "yr", "long_id", "small"])
def test_every_number_type_has_a_control_total(reader: pyodbc.Connection, name: str) -> None:
    values = [v for (v,) in rows(reader, f"SELECT [{name}] FROM totals_keys") if v is not None]
    total = sum((Decimal(str(v)) for v in values), Decimal(0)) if values else None
    sql = f"SELECT SUM(CONVERT(decimal(38, 6), s.[{name}])) FROM totals_keys AS s"
    assert rows(reader, sql) == [(total,)]


def test_a_flag_is_counted_and_an_overflow_is_an_error(reader: pyodbc.Connection) -> None:
    assert rows(reader, "SELECT SUM(CONVERT(decimal(38, 6), s.[flag])) FROM totals_keys AS s") == [
        (len(GUIDS),)
    ]
    nines = "CONVERT(decimal(38, 6), '" + "9" * 32 + "')"
    with pytest.raises(pyodbc.Error, match=r"8115"):
        rows(reader, f"SELECT SUM(x.v) FROM (VALUES ({nines}), ({nines})) AS x(v)")
    with pytest.raises(pyodbc.Error, match=r"8115"):
        rows(reader, "SELECT SUM(s.[long_id]) FROM totals_keys AS s WHERE s.[prop_id] > 0")


def test_a_total_up_to_a_moment_leaves_later_rows_out(reader: pyodbc.Connection) -> None:
    plain = rows(reader, "SELECT YearBuilt, LastModified, Acreage FROM dbo.Property")
    expected: dict[int | None, list[Any]] = defaultdict(lambda: [0, None, 0])
    for year, modified, acres in plain:
        group = expected[year]
        group[0] += 1
        late = modified is not None and modified > HIGH
        part = Decimal(0) if late else acres if acres is None else exact(acres)
        group[1] = group[1] if part is None else (group[1] or Decimal(0)) + part
        group[2] += 0 if late else 1
    declared = "DECLARE @hi datetime = CONVERT(datetime, ?, 126);\n"
    sums = (
        "COUNT_BIG(*), SUM(CASE WHEN s.[LastModified] > @hi THEN 0 ELSE CONVERT(decimal(38,6), s.[Acreage]) "
        "END), SUM(CASE WHEN s.[LastModified] > @hi THEN 0 ELSE 1 END) FROM [dbo].[Property] AS s"
    )
    result = rows(reader, f"{declared}SELECT s.[YearBuilt], {sums} GROUP BY s.[YearBuilt]", HIGH.isoformat())
    assert {row[0]: list(row[1:]) for row in result} == expected
    ((count, total, early),) = rows(reader, f"{declared}SELECT {sums}", HIGH.isoformat())
    assert (count, early) == (len(plain), sum(group[2] for group in expected.values()))
    assert total == sum(group[1] for group in expected.values() if group[1] is not None)
    assert 0 < early < count


CHECKSUM = "SUM(CONVERT(bigint, CONVERT(int, SUBSTRING(CONVERT(binary(16), s.[{}]), 13, 4))))"


def test_a_guid_checksum_is_that_of_the_last_eight_digits_of_its_text(reader: pyodbc.Connection) -> None:
    """Signed big-endian, as SQL Server makes an int of four bytes."""
    texts = [
        key for (key,) in rows(reader, "SELECT CONVERT(varchar(36), s.[guid]) AS k FROM totals_keys AS s")
    ]
    assert sorted(texts) == sorted(GUIDS)
    each = rows(
        reader,
        "SELECT CONVERT(varchar(36), s.[guid]), CONVERT(int, SUBSTRING(CONVERT(binary(16), s.[guid]), 13, 4)), "
        "SUBSTRING(CONVERT(binary(16), s.[guid]), 13, 4) FROM totals_keys AS s",
    )
    assert all(number == last_eight(text) and raw == bytes.fromhex(text[-8:]) for text, number, raw in each)
    assert {number < 0 for _, number, _ in each} == {True, False}
    assert rows(reader, f"SELECT {CHECKSUM.format('guid')} FROM totals_keys AS s") == [
        (sum(map(last_eight, GUIDS)),)
    ]
    by_year = rows(
        reader,
        f"SELECT s.[yr], COUNT_BIG(*), {CHECKSUM.format('guid')} FROM totals_keys AS s GROUP BY s.[yr]",
    )
    expected: dict[int, int] = defaultdict(int)
    for number, guid in enumerate(GUIDS):
        expected[2024 + number % 2] += last_eight(guid)
    assert {year: total for year, _, total in by_year} == expected


def test_a_guid_checksum_over_a_countys_own_keys(reader: pyodbc.Connection) -> None:
    keys = [
        key
        for (key,) in rows(reader, "SELECT CONVERT(varchar(36), s.[PropertyID]) AS k FROM dbo.Property AS s")
    ]
    result = rows(reader, f"SELECT COUNT_BIG(*), {CHECKSUM.format('PropertyID')} FROM dbo.Property AS s")
    assert result == [(len(keys), sum(map(last_eight, keys)))]


@pytest.mark.parametrize("name", ["prop_id", "long_id"])
def test_the_checksum_of_an_integer_key_is_its_sum(reader: pyodbc.Connection, name: str) -> None:
    plain = rows(reader, f"SELECT [yr], [{name}] FROM totals_keys")
    total = f"SUM(CONVERT(decimal(38, 0), s.[{name}]))"
    assert rows(reader, f"SELECT {total} FROM totals_keys AS s") == [(sum(key for _, key in plain),)]
    expected: dict[int, int] = defaultdict(int)
    for year, key in plain:
        expected[year] += key
    result = rows(reader, f"SELECT s.[yr], {total} FROM totals_keys AS s GROUP BY s.[yr] ORDER BY s.[yr]")
    assert dict(result) == expected


def test_no_rows_have_no_total_and_a_count_of_zero(reader: pyodbc.Connection) -> None:
    sql = f"SELECT COUNT_BIG(*), {CHECKSUM.format('guid')}, SUM(CONVERT(decimal(38, 0), s.[prop_id])) FROM totals_keys AS s WHERE 1 = 0"
    assert rows(reader, sql) == [(0, None, None)]
    assert rows(reader, f"{sql} GROUP BY s.[yr]") == []


def test_the_bulk_reader_streams_totals_and_keys(port: int) -> None:
    """arrow-odbc sends every parameter as text; totals arrive as decimal(38, s) and int64."""
    connection = arrow_odbc.connect(connection_string(port, UID="pacs_reader", PWD="Sandbox!Reader1"))
    sql = (
        "DECLARE @hi datetime = CONVERT(datetime, ?, 126);\nSELECT COUNT_BIG(*) AS n, SUM(CASE WHEN "
        "s.[LastModified] > @hi THEN 0 ELSE CONVERT(decimal(38,6), s.[Acreage]) END) AS t, "
        f"{CHECKSUM.format('PropertyID')} AS k FROM dbo.Property AS s"
    )
    (batch,) = connection.read_arrow_batches(sql, parameters=[HIGH.isoformat()])
    assert [str(field.type) for field in batch.schema] == ["int64", "decimal128(38, 6)", "int64"]
    keys = connection.read_arrow_batches(
        "SELECT CONVERT(varchar(36), s.[PropertyID]) AS k FROM dbo.Property AS s"
    )
    result = [key for part in keys for key in part.column("k").to_pylist()]
    assert batch.column("n").to_pylist() == [len(result)] == [len(set(result))]
    assert batch.column("k").to_pylist() == [sum(map(last_eight, result))]
