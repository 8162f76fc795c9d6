"""Where SQL Server is unlike DuckDB: ticks of datetime, the order of GUIDs, collation, types of results,
error numbers, batches.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_pacs.sandbox.model import Param, ResultSet, SqlError, SqlType
from airflow_provider_pacs.sandbox.tsql.variables import permuted, ticks
from tests.wire.tsql_support import (
    ADMIN,
    READER,
    fresh_engine,
    query,
    query_with_columns,
    rows_of,
    run,
    shared_engine,
    varchar,
)

DT2 = SqlType("datetime2", scale=7)


@pytest.fixture(scope="module")
def session():
    opened = shared_engine().login(*READER)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("text", "micros", "printed"),
    [
        ("003", 3333, "003"),
        ("007", 6667, "007"),
        ("005", 6667, "007"),
        ("998", 996667, "997"),
        ("999", 1_000_000, "000"),
    ],
)
def test_datetime_is_kept_in_ticks_and_printed_with_three_digits(session, text, micros, printed) -> None:
    sql = (
        "DECLARE @d datetime = CONVERT(datetime, @t, 121); SELECT @d, CONVERT(varchar(33), @d, 121), "
        "CONVERT(varchar(33), CAST(@d AS datetime2), 121)"
    )
    ((stamp, shown, wide),) = query(session, sql, [varchar("@t", f"2024-05-01 10:00:00.{text}")])
    assert (stamp - datetime(2024, 5, 1, 10)).total_seconds() * 1_000_000 == micros
    assert shown[-3:] == printed
    assert len(wide) == 27


def test_a_datetime_is_not_equal_to_the_datetime2_that_its_text_shows(session) -> None:
    params = [
        Param("@p", DT2, datetime(2024, 5, 1, 10, 0, 0, 3000)),
        Param("@d", SqlType("datetime"), datetime(2024, 5, 1, 10, 0, 0, 3000)),
    ]
    sql = (
        "SELECT CASE WHEN @d = @p THEN 1 ELSE 0 END, CASE WHEN @d > @p THEN 1 ELSE 0 END, "
        "CASE WHEN @d = CONVERT(datetime, '2024-05-01 10:00:00.003', 121) THEN 1 ELSE 0 END"
    )
    assert query(session, sql, params) == [(0, 1, 1)]


@given(st.datetimes(datetime(1753, 1, 1), datetime(2100, 1, 1)))
@settings(max_examples=60, deadline=None)
def test_ticks_agree_between_python_and_duckdb(moment) -> None:
    row = shared_engine().con.cursor().execute("SELECT tsql.tick(?::TIMESTAMP)", [moment]).fetchone()
    assert row == (ticks(moment),)
    assert ticks(ticks(moment)) == ticks(moment)


def significance(value: UUID) -> tuple[bytes, ...]:
    """Microsoft's rule: the last group first, then the fourth; the third, second and first follow, each byte
    as it is stored (little-endian).
    """
    a, b, c, d, e = str(value).split("-")
    return (
        bytes.fromhex(e),
        bytes.fromhex(d),
        bytes.fromhex(c)[::-1],
        bytes.fromhex(b)[::-1],
        bytes.fromhex(a)[::-1],
    )


@given(st.lists(st.uuids(), min_size=2, max_size=12, unique=True))
@settings(max_examples=40, deadline=None)
def test_guids_sort_as_on_sql_server(values) -> None:
    opened = shared_engine().login(*READER)
    listed = ", ".join(f"(CONVERT(uniqueidentifier, '{v}'))" for v in values)
    matched = query(
        opened, f"SELECT k.g, CONVERT(varchar(36), k.g) FROM (VALUES {listed}) AS k(g) ORDER BY k.g"
    )
    opened.close()
    assert [g for g, _ in matched] == sorted(values, key=significance)
    assert all(text == str(g).upper() for g, text in matched)


def test_a_guid_equals_its_text_whatever_the_case_and_its_bytes() -> None:
    value = UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff")
    opened = shared_engine().login(*READER)
    params = [
        Param("@g", SqlType("uniqueidentifier"), value),
        Param("@b", SqlType("uniqueidentifier"), value.bytes_le),
        varchar("@t", str(value)),
    ]
    assert query(
        opened,
        "SELECT 1 WHERE @g = @t AND @g = UPPER(@t) AND @b = @g AND @g = CONVERT(uniqueidentifier, "
        "CONVERT(binary(16), @g))",
        params,
    ) == [(1,)]
    assert permuted(value).bytes[:6] == value.bytes[10:]


def test_text_compares_without_case_and_trailing_blanks(session) -> None:
    assert query(
        session,
        "SELECT 1 WHERE 'ab ' = 'AB' AND N'É' = N'é' AND 'a' IN ('x', 'A  ') AND 'abc' LIKE 'A_C' AND 'a' "
        "<> ' a'",
    ) == [(1,)]
    assert query(
        session,
        "SELECT 1 WHERE 'abc' NOT LIKE 'A_D' AND 'abc' NOT LIKE '[^a]%' AND 'a%c' LIKE 'a!%_' ESCAPE '!'",
    ) == [(1,)]
    assert (
        query(
            session,
            "SELECT 1 WHERE 'abc' NOT LIKE 'A%' OR 'x' NOT IN ('X') OR 2 NOT BETWEEN 1 AND 3 OR NOT EXISTS "
            "(SELECT 1)",
        )
        == []
    )
    assert query(session, "SELECT DATALENGTH('ab '), LEN('ab '), 'a' + NULL, 'x' + 'y'") == [
        (3, 2, None, "xy")
    ]


def test_result_columns_keep_their_declared_types(session) -> None:
    sql = (
        "WITH c AS (SELECT p.PropertyID AS id, p.* FROM Property AS p) SELECT c.id, c.ParcelNumber AS n, "
        "c.LegalDescription, c.LastModified, "
        "c.IsActive, o.OwnershipPercentage, o.StartDate, "
        "COUNT(*) OVER () AS k, COUNT_BIG(*) OVER () AS kk, CONVERT(decimal(9,2), c.Acreage) AS a, "
        "CAST(c.YearBuilt AS varchar(8)) AS y, "
        "c.YearBuilt + 1 AS z, "
        "CAST('x' AS nchar(3)) AS f, o.OwnerID, ISNULL(c.City, 'none') AS city FROM c LEFT JOIN "
        "PropertyOwner AS o ON o.PropertyID = c.PropertyID"
    )
    columns, _ = query_with_columns(
        session,
        "SELECT TOP (0) * FROM "
        f"({sql.split(' SELECT ', 2)[2].join(['SELECT ', '']) if False else 'SELECT 1 AS one'}) AS t",
    )
    assert columns[0].type == SqlType("int")
    columns, _ = query_with_columns(session, sql)
    matched = [(c.name, c.type.name, c.type.length, c.nullable) for c in columns]
    assert matched == [
        ("id", "uniqueidentifier", 0, False), ("n", "varchar", 50, False), ("LegalDescription", "text", -1, True), ("LastModified", "datetime", 0,
        False), ("IsActive", "bit", 0, False),
        ("OwnershipPercentage", "float", 0, True), ("StartDate", "datetime", 0, True), ("k", "int", 0, True), ("kk", "bigint", 0, False), ("a",
        "decimal", 0, True), ("y", "varchar", 8, True),
        ("z", "int", 0, True), ("f", "nchar", 3, False), ("OwnerID", "uniqueidentifier", 0, True), ("city", "varchar", 100, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ("SELECT nope FROM Property", 207), ("SELECT p.nope FROM Property AS p", 207), ("SELECT x.City FROM Property", 4104),
        ("SELECT * FROM Nope", 208), ("SELECT * FROM other.dbo.Property", 208),
        ("SELECT CAST('abc' AS int)", 245), ("SELECT * FROM Property WHERE ParcelNumber = 5", 245), ("SELECT CONVERT(datetime, '2024-01-01 "
            "00:00:00.0031', 121)", 241),
        ("SELECT CONVERT(datetime, '2024-13-01')", 241), ("SELECT CONVERT(float, 'x')", 8114), ("SELECT CONVERT(uniqueidentifier, 'x')", 8169),
        ("SELECT -City FROM Property", 8117),
        ("DECLARE @v varchar(9) = '5'; SELECT -@v", 8117), ("SELECT SUM(City) FROM Property", 8117), ("SELECT MAX(IsActive) FROM Property", 8117),
        ("SELECT 1 / 0", 8134), ("SELECT 2147483647 + 1", 8115),
        ("SELECT @nope", 137), ("SELECT NOPE(1)", 195), ("SELEC 1", 102), ("FLY ME", 102), ("SELECT * FROM Property FOR XML PATH", 102),
        ("CREATE TABLE t (a int)", 262),
        ("CREATE VIEW v AS SELECT 1 AS a", 102), ("MERGE INTO Property AS t", 102),
        ("SELECT City, COUNT(*) FROM Property", 8120), ("SELECT PropertyID FROM Property, PropertyOwner", 209), ("USE nope", 911), ("EXEC nope",
        2812), ("SET NOPE ON", 195), ("COMMIT", 3902), ("ROLLBACK", 3903),
        ("DELETE FROM Property", 229), ("UPDATE Property SET City = 'x'", 229), ("INSERT INTO Property (City) VALUES ('x')", 229),
        ("EXEC sandbox.mutate @seed = 1", 229),
        ("SELECT (SELECT City FROM Property)", 512), ("SELECT 1 WHERE 1", 4145), ("SELECT City FROM Property ORDER BY 2", 108),
        ("SELECT a FROM (VALUES (1)) AS t(a) UNION SELECT 1, 2", 205),
        ("SELECT * FROM Property TABLESAMPLE (10 PERCENT)", 102),
        ("SELECT * FROM (SELECT City, IsActive FROM Property) AS t PIVOT (COUNT(IsActive) FOR City IN "
         "([Finley])) AS p", 102),
        ("SELECT City INTO #t FROM Property", 102),
        ("DECLARE @a int; DECLARE @a int", 134), ("SELECT DATEADD(fortnight, 1, GETDATE())", 155),
    ],
)  # fmt: skip
def test_errors_carry_sql_servers_numbers(session, sql, number) -> None:
    with pytest.raises(SqlError) as caught:
        run(session, sql)
    assert caught.value.number == number, str(caught.value)
    assert query(session, "SELECT 1") == [(1,)], "the session survives"


def test_logins() -> None:
    engine = shared_engine()
    for arguments, number in (
        (("sa", "wrong", "PACS"), 18456),
        (("nobody", "x", "PACS"), 18456),
        (("sa", "Sandbox!Admin1", "nope"), 4060),
        (("pacs_reader", "Sandbox!Reader1", "msdb"), 4060),
    ):
        with pytest.raises(SqlError) as caught:
            engine.login(*arguments, "h", "a")
        assert caught.value.number == number


def test_a_batch_needs_no_semicolons_and_knows_branches(session) -> None:
    sql = """SET NOCOUNT ON -- a comment; with a semicolon
    DECLARE @a int = 2, @b varchar(20) SET @b = 'x;y' /* ; */ SELECT @a * 2 AS a, CASE WHEN @b = 'x;y' THEN 1 ELSE 0 END
    IF @a > 1 BEGIN SELECT 'big' SELECT @@TRANCOUNT END ELSE SELECT 'small';
    SELECT @a = YearBuilt FROM Property WHERE ParcelNumber = '1-0588-100-0001-001' IF @a IS NULL SELECT 'null' ELSE SELECT 'set'"""
    answers = [rows_of(r) for r in session.execute(sql) if isinstance(r, ResultSet)]
    assert answers == [[(4, 1)], [("big",)], [(0,)], answers[3]]
    assert answers[3] in ([("null",)], [("set",)])


def test_snapshot_needs_the_database_flag_and_sees_one_state() -> None:
    engine = fresh_engine()
    reader, writer = engine.login(*READER), engine.login(*ADMIN)
    run(reader, "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRAN")
    before = query(reader, "SELECT COUNT(*) FROM Property")
    assert run(writer, "BEGIN TRAN; DELETE FROM Property WHERE City = 'Finley' OR City IS NULL")[-1] > 0
    assert query(
        reader,
        "SELECT database_transaction_type FROM sys.dm_tran_database_transactions WHERE database_id = DB_ID()",
    ) == [(1,)]
    run(writer, "IF @@TRANCOUNT > 0 COMMIT TRAN")
    assert query(reader, "SELECT COUNT(*) FROM Property") == before
    run(reader, "COMMIT; SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    reader.begin()
    after = query(reader, "SELECT COUNT(*) FROM Property")
    assert after < before
    run(writer, "DELETE FROM Property WHERE City = 'Prosser'")
    assert query(reader, "SELECT COUNT(*) FROM Property") < after, "read committed sees what is committed"
    reader.commit()
    run(writer, "ALTER DATABASE PACS SET ALLOW_SNAPSHOT_ISOLATION OFF")
    run(reader, "SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
    with pytest.raises(SqlError) as caught:
        query(reader, "SELECT COUNT(*) FROM Property")
    assert caught.value.number == 3952
    engine.close()


def test_writes_of_an_admin() -> None:
    engine = fresh_engine()
    session = engine.login(*ADMIN)
    key = "6F9619FF-8B86-D011-B42D-00C04FC964FF"
    into = "INSERT INTO Property (PropertyID, ParcelNumber, LastModified, IsActive)"
    sql = into + " VALUES (@k, 'p''1', GETDATE(), 1), (NEWID(), 'p2', '2024-01-01 00:00:00.999', 0)"
    assert run(session, sql, [varchar("@k", key)]) == [2]
    assert run(
        session,
        "UPDATE p SET City = N'Ñ', Acreage = Acreage + 1 FROM dbo.Property AS p WHERE p.PropertyID = @k",
        [varchar("@k", key.lower())],
    ) == [1]
    assert query(
        session, "SELECT City, IsActive, @@ROWCOUNT FROM Property WHERE PropertyID = @k", [varchar("@k", key)]
    ) == [("Ñ", True, 1)]
    assert query(session, "SELECT LastModified FROM Property WHERE ParcelNumber = 'P2'") == [
        (datetime(2024, 1, 1, 0, 0, 1),)
    ]
    for bad, number in (
        ("UPDATE Property SET State = 'WASH'", 2628),
        ("UPDATE Property SET ParcelNumber = NULL", 515),
    ):
        with pytest.raises(SqlError) as caught:
            run(session, bad)
        assert caught.value.number == number
    engine.close()


def test_results_come_in_bounded_batches_and_may_be_dropped(session) -> None:
    result = next(r for r in session.execute("SELECT * FROM PropertyValue"))
    assert isinstance(result, ResultSet)
    sizes = [next(iter(result.batches)).num_rows]
    assert query(session, "SELECT 1") == [(1,)], "an unfinished result does not block the next batch"
    result = next(r for r in session.execute("SELECT * FROM PropertyValue"))
    assert isinstance(result, ResultSet)
    sizes = [b.num_rows for b in result.batches]
    assert sum(sizes) == 62_000
    assert max(sizes) <= 20_480


def test_the_clock_is_the_sandboxes_own() -> None:
    engine = fresh_engine()
    session = engine.login(*ADMIN)
    assert query(
        session,
        "SELECT YEAR(GETDATE()), MONTH(SYSDATETIME()), DATEDIFF(MINUTE, SYSUTCDATETIME(), SYSDATETIME()), "
        "DATEPART(hour, GETUTCDATE())",
    ) == [(2026, 1, -480, 14)]
    run(session, "EXEC sandbox.clock_advance @seconds = 15552000")
    assert query(session, "SELECT MONTH(GETDATE()), DATEDIFF(MINUTE, SYSUTCDATETIME(), SYSDATETIME())") == [
        (7, -420)
    ]
    engine.close()


def test_offsets_are_given_switched_and_carried(session) -> None:
    """A clock face gets an offset, a moment another one; months move the clock face, and NULL stays NULL."""
    sql = """DECLARE @none datetimeoffset(3) = NULL; DECLARE @face datetime2(3) = '2026-01-31 23:00:00.5';
    SELECT CONVERT(varchar(34), CONVERT(datetimeoffset(1), TODATETIMEOFFSET(@face, -480)), 121),
    CONVERT(varchar(34), CONVERT(datetimeoffset(1), SWITCHOFFSET(TODATETIMEOFFSET(@face, '+14:00'), 0)), 121),
    CONVERT(varchar(34), CONVERT(datetimeoffset(1), DATEADD(MONTH, 1, TODATETIMEOFFSET(@face, 60))), 121),
    CONVERT(varchar(34), DATEADD(MINUTE, -1, @none), 121)"""
    assert query(session, sql) == [
        ("2026-01-31 23:00:00.5 -08:00", "2026-01-31 09:00:00.5 +00:00", "2026-02-28 23:00:00.5 +01:00", None)
    ]
