"""What SQL Server does otherwise than one expects, and what the product's statements make of it.

Each test runs on a genuine server too.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pyodbc
import pytest

from airflow_provider_pacs.sync.incremental import last_modified as ordered
from airflow_provider_pacs.sync.incremental import rowversion
from airflow_provider_pacs.sync.incremental.statements import Window
from airflow_provider_pacs.sync.incremental.strategy import BoundsRequest
from airflow_provider_pacs.sync.profiles import TableMap
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.columns import SourceColumn
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader
from tests.support.server import MssqlServer

STAMPED = "k int NOT NULL PRIMARY KEY, LastModified datetime NOT NULL"
START = datetime(2026, 3, 1, 8)


def number_of(error: pytest.ExceptionInfo[pyodbc.Error]) -> int:
    """The native number, which the driver writes in parentheses."""
    return int(str(error.value.args[1]).rsplit("(", 2)[1].split(")")[0])


def resolved_of(table: str, change_column: str, declared: str, scale: int = 3) -> ResolvedTable:
    columns = {
        "k": SourceColumn("k", "int", 4, 10, 0, False),
        change_column: SourceColumn(change_column, declared, 8, 23, scale, False),
    }
    return ResolvedTable(
        TableMap("property", "dbo", table, change_column, (("parcel_number", "k"),)), columns
    )


def test_a_naive_keyset_loses_rows_and_the_products_window_does_not(mssql: MssqlServer) -> None:
    """`LastModified > ?` with the greatest stamp seen, as a Python datetime.

    A stamp of .997 is 299/300 s, which is .9966667: the driver shows .997 and sends it as datetime2(7), so
    the rest of a tie never comes.
    """
    stamps = [
        START + timedelta(seconds=n // 4, milliseconds=(3, 7, 10, 997)[n % 4])
        for n in range(40)
        for _ in range(3)
    ]
    with mssql.table(STAMPED) as table:
        connection = mssql.connect(autocommit=False)
        for k, stamp in enumerate(stamps):
            text = stamp.isoformat(" ", "milliseconds")
            connection.execute(f"INSERT INTO dbo.{table} VALUES ({k}, '{text}')")
        connection.commit()

        seen: list[int] = []
        last, page = datetime(1900, 1, 1), 5
        while rows := connection.execute(
            f"SELECT TOP ({page}) k, LastModified FROM dbo.{table} WHERE LastModified > ? ORDER BY "
            "LastModified, k",
            last,
        ).fetchall():
            seen += [row.k for row in rows]
            last = rows[-1].LastModified
            if len(seen) > 2 * len(stamps):
                break  # stamps of .003 come again for ever
        connection.close()
        assert set(range(len(stamps))) - set(seen), "the naive keyset should lose rows here"

        resolved = resolved_of(table, "LastModified", "datetime")
        with SqlServerReader(mssql.address, attempts=1) as reader:
            got: list[str] = []
            cursor: str | None = "1900-01-01 00:00:00.000"
            for stamp in stamps[::15]:
                hi = stamp.isoformat(" ", "milliseconds")
                query = ordered.window_query(resolved, Window(cursor, hi))
                got += [
                    key
                    for batch in reader.stream(query.sql, query.params)
                    for key in batch.column("parcel_number").to_pylist()
                ]
                cursor = hi
            query = ordered.window_query(resolved, Window(cursor, "9999-12-31 00:00:00.000"))
            got += [
                key
                for batch in reader.stream(query.sql, query.params)
                for key in batch.column("parcel_number").to_pylist()
            ]
        assert set(got) == set(range(len(stamps)))


def test_the_seventh_digit_of_a_datetime2_tells_rows_apart(mssql: MssqlServer) -> None:
    """Case 14: bounds are text; in Python's six digits both rows would have one stamp."""
    with mssql.table("k int NOT NULL PRIMARY KEY, LastModified datetime2(7) NOT NULL") as table:
        mssql.execute(
            *(f"INSERT INTO dbo.{table} VALUES ({n}, '2026-03-01 08:00:00.123456{n}')" for n in range(10))
        )
        resolved = resolved_of(table, "LastModified", "datetime2", 7)
        with SqlServerReader(mssql.address, attempts=1) as reader:
            query = ordered.window_query(
                resolved, Window("2026-03-01 08:00:00.1234563", "2026-03-01 08:00:00.1234566")
            )
            batches = list(reader.stream(query.sql, query.params))
    keys = {
        (key, text)
        for batch in batches
        for key, text in zip(
            *(batch.column(name).to_pylist() for name in ("parcel_number", "_source_version")), strict=True
        )
    }
    assert keys == {(n, f"2026-03-01 08:00:00.123456{n}") for n in (3, 4, 5, 6)}


def test_a_datetime_widens_to_its_exact_third_of_a_millisecond(mssql: MssqlServer) -> None:
    connection = mssql.connect()
    row = connection.execute(
        "SELECT CONVERT(varchar(33), CONVERT(datetime2(7), CONVERT(datetime, '2026-01-01 00:00:00.003')), "
        "121), "
        "CONVERT(varchar(33), CONVERT(datetime2(7), CONVERT(datetime, '2026-01-01 00:00:00.997')), 121)"
    ).fetchone()
    connection.close()
    assert tuple(row) == ("2026-01-01 00:00:00.0033333", "2026-01-01 00:00:00.9966667")


def test_guids_come_in_the_servers_order_not_in_pythons(mssql: MssqlServer) -> None:
    """Case 12: bytes 10-15 count first, then 8-9, 6-7, 4-5, 0-3, as the text shows them; within the first
    three groups from the right.
    """
    keys = [uuid4() for _ in range(40)] + [UUID(int=1 << (8 * n)) for n in range(16)]
    with mssql.table("k uniqueidentifier NOT NULL") as table:
        mssql.execute(*(f"INSERT INTO dbo.{table} VALUES ('{key}')" for key in keys))
        connection = mssql.connect()
        served = [UUID(row.k) for row in connection.execute(f"SELECT k FROM dbo.{table} ORDER BY k")]
        middle = served[len(served) // 2]
        above = {
            UUID(row.k) for row in connection.execute(f"SELECT k FROM dbo.{table} WHERE k > ?", str(middle))
        }
        connection.close()

    def order(key: UUID) -> bytes:
        wire = key.bytes_le
        return wire[10:16] + wire[8:10] + wire[6:8] + wire[4:6] + wire[0:4]

    assert served == sorted(keys, key=order)
    assert served != sorted(keys)
    assert above == set(served[len(served) // 2 + 1 :])


def test_text_compares_without_case_and_trailing_blanks(mssql: MssqlServer) -> None:
    """Case 36: by the default collation of both servers; a table of keys would take 'abc' and 'ABC ' for the
    same.
    """
    with mssql.table("k int NOT NULL, name varchar(20) COLLATE SQL_Latin1_General_CP1_CI_AS NULL") as table:
        mssql.execute(
            *(
                f"INSERT INTO dbo.{table} VALUES ({n}, '{text}')"
                for n, text in enumerate(("abc", "ABC", "abc  ", " abc", "abd"))
            )
        )
        connection = mssql.connect()
        equal = [
            row.k
            for row in connection.execute(f"SELECT k FROM dbo.{table} WHERE name = ? ORDER BY k", "Abc ")
        ]
        groups = connection.execute(f"SELECT COUNT(DISTINCT name) AS n FROM dbo.{table}").fetchval()
        length = [
            tuple(row)
            for row in connection.execute(f"SELECT LEN(name), DATALENGTH(name) FROM dbo.{table} WHERE k = 2")
        ]
        connection.close()
    assert equal == [0, 1, 2]
    assert groups == 3
    assert length == [(3, 5)]


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ("SELECT CONVERT(datetime, '2026-01-01 00:00:00.1234', 121)", 241),
        ("SELECT CONVERT(datetime, CONVERT(varchar(33), SYSDATETIME(), 121), 121)", 241),
        ("DECLARE @v varchar(10) = '1'; SELECT -@v", 8117),
        ("SELECT CONVERT(int, 'twelve')", 245),
        ("SELECT CONVERT(uniqueidentifier, 'no guid')", 8169),
        ("SELECT * FROM dbo.no_such_table", 208),
        ("SELECT no_such_column FROM sys.objects", 207),
        ("SELEC 1 FROM", 102),
    ],
)  # fmt: skip
def test_what_sql_server_refuses_is_refused(mssql: MssqlServer, sql: str, number: int) -> None:
    connection = mssql.connect()
    with pytest.raises(pyodbc.Error) as refused:
        connection.execute(sql).fetchall()
    assert number_of(refused) == number
    assert connection.execute("SELECT 1").fetchval() == 1
    connection.close()


def test_rowversion_is_bounded_by_open_writers(mssql: MssqlServer) -> None:
    """A writer that is still open holds MIN_ACTIVE_ROWVERSION() down; the reader's window ends below it, and
    gets the row the next time.
    """
    with mssql.table("k int NOT NULL PRIMARY KEY, rv rowversion NOT NULL") as table:
        mssql.execute(f"INSERT INTO dbo.{table} (k) VALUES (1)")
        resolved = resolved_of(table, "rv", "timestamp")
        slow = mssql.connect(autocommit=False)
        slow.execute(f"INSERT INTO dbo.{table} (k) VALUES (2)")
        mssql.execute(f"INSERT INTO dbo.{table} (k) VALUES (3)")
        with SqlServerReader(mssql.address, attempts=1) as reader:

            def window(cursor: str | None) -> tuple[str, set[int]]:
                bounds = rowversion.bounds_query(
                    BoundsRequest("", now="", cursor=cursor, oldest=None, lag_seconds=0, overlap_minutes=0)
                )
                hi = reader.query(bounds.sql, bounds.params)[0]["hi"]
                lo = cursor or "0x0000000000000000"
                query = rowversion.window_query(resolved, Window(lo, hi))
                # The rows that a window may read are committed: READPAST would hide nothing here, the bound
                # does.
                return hi, {
                    key
                    for batch in reader.stream(query.sql, query.params)
                    for key in batch.column("parcel_number").to_pylist()
                }

            hi, first = window(None)
            assert first == {1}
            slow.commit()
            _, second = window(hi)
        slow.close()
    assert second == {2, 3}


def test_snapshot_needs_permission_and_tells_of_a_conflict(mssql: MssqlServer) -> None:
    connection, other = mssql.connect(autocommit=False), mssql.connect()
    try:
        mssql.execute("ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION OFF")
        with mssql.table("k int NOT NULL PRIMARY KEY, v int NOT NULL") as table:
            mssql.execute(f"INSERT INTO dbo.{table} VALUES (1, 0)")
            connection.execute("SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
            with pytest.raises(pyodbc.Error) as refused:
                connection.execute(f"SELECT v FROM dbo.{table}").fetchall()
            assert number_of(refused) == 3952
            connection.rollback()
            mssql.execute("ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON")
            assert connection.execute(f"SELECT v FROM dbo.{table}").fetchval() == 0
            other.execute(f"UPDATE dbo.{table} SET v = 1")
            assert connection.execute(f"SELECT v FROM dbo.{table}").fetchval() == 0, (
                "a snapshot does not move"
            )
            with pytest.raises(pyodbc.Error) as conflict:
                connection.execute(f"UPDATE dbo.{table} SET v = 2")
            assert number_of(conflict) == 3960
            connection.rollback()
    finally:
        mssql.execute("ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION OFF")
        connection.close()
        other.close()


def test_fast_executemany_keeps_microseconds_and_nulls(mssql: MssqlServer) -> None:
    """It rests on sp_describe_undeclared_parameters: without an answer the driver sends text and cuts the
    fraction, silently.
    """
    rows = [
        (n, datetime(2026, 3, 1, 8, 0, 0, 123456 + n), None if n % 2 else f"ñ {n}", n / 8) for n in range(50)
    ]
    with mssql.table(
        "k int NOT NULL, at datetime2(6) NULL, name nvarchar(20) NULL, share float NULL"
    ) as table:
        mssql.load(table, rows)
        connection = mssql.connect()
        stored = [
            tuple(row) for row in connection.execute(f"SELECT k, at, name, share FROM dbo.{table} ORDER BY k")
        ]
        connection.close()
    assert stored == rows
