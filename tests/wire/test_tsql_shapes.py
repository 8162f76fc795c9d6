"""The shapes of statement that the product and SQLAlchemy's mssql dialect emit, run through the engine's
port.
"""

from __future__ import annotations

from datetime import datetime

import pytest
from sqlalchemy import select
from sqlalchemy.dialects.mssql import information_schema as ischema
from sqlalchemy.dialects.mssql.pyodbc import MSDialect_pyodbc

from airflow_provider_pacs.sandbox.catalog.tables import Table
from airflow_provider_pacs.sandbox.model import Column, SqlType
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from tests.wire.tsql_support import ADMIN, READER, query, query_with_columns, run, shared_engine, varchar


@pytest.fixture(scope="module")
def session():
    opened = shared_engine().login(*READER)
    yield opened
    opened.close()


WINDOW = """-- One statement per window
DECLARE @lo datetime = CONVERT(datetime, @lo_text, 121);
DECLARE @hi datetime = CONVERT(datetime, @hi_text, 121);
SELECT CONVERT(varchar(33), s.[LastModified], 121) AS __lm, s.[PropertyID], s.[ParcelNumber], s.[IsActive]
FROM   [dbo].[Property] AS s WITH (READCOMMITTEDLOCK)
WHERE  s.[LastModified] >= @lo AND s.[LastModified] <= @hi;"""


def test_a_window_bounded_by_text_loses_no_row(session) -> None:
    stamps = sorted(
        text for (text,) in query(session, "SELECT CONVERT(varchar(33), LastModified, 121) FROM Property")
    )
    lo = next(s for s in stamps if s.endswith(".003"))
    hi = next(s for s in stamps[2000:] if s.endswith(".007"))
    columns, rows = query_with_columns(session, WINDOW, [varchar("@lo_text", lo), varchar("@hi_text", hi)])
    assert [(c.name, c.type.name, c.nullable) for c in columns][:2] == [
        ("__lm", "varchar", False),
        ("PropertyID", "uniqueidentifier", False),
    ]
    assert sorted(r[0] for r in rows) == [s for s in stamps if lo <= s <= hi]


def test_the_upper_bound_comes_in_the_columns_own_type(session) -> None:
    sql = """DECLARE @lag int = CONVERT(int, @lag_text);
    SELECT CONVERT(varchar(33), CAST(DATEADD(SECOND, -@lag, SYSDATETIME()) AS datetime), 121) AS hi,
    CONVERT(varchar(33), SYSUTCDATETIME(), 126) AS src_utc,
    DATEDIFF(MINUTE, SYSUTCDATETIME(), SYSDATETIME()) AS tz_offset_min, @@SERVERNAME AS srv, DB_NAME() AS db"""
    ((hi, utc, offset, server, database),) = query(session, sql, [varchar("@lag_text", "60")])
    assert (len(hi), hi[-1] in "037", len(utc), utc[10], offset, server, database) == (
        23,
        True,
        27,
        "T",
        -480,
        "PACS-SANDBOX",
        "PACS",
    )
    gap = datetime.fromisoformat(utc[:26]) - datetime.fromisoformat(hi)
    assert abs(gap.total_seconds() - 8 * 3600 - 60) < 0.01


def test_oldest_writer_permissions_identity_and_catalog(session) -> None:
    oldest = (
        "SELECT MIN(t.database_transaction_begin_time) AS oldest FROM sys.dm_tran_database_transactions AS "
        "t WHERE t.database_id = DB_ID() "
        "AND t.database_transaction_type = 1 AND t.database_transaction_begin_lsn IS NOT NULL"
    )
    assert query(session, oldest) == [(None,)]
    assert query(
        session,
        "SELECT IS_SRVROLEMEMBER('sysadmin'), IS_MEMBER('db_owner'), IS_MEMBER('db_datareader'), "
        "IS_MEMBER('nope')",
    ) == [(0, 0, 1, None)]
    assert (
        query(
            session,
            "SELECT p.permission_name FROM sys.fn_my_permissions(NULL, 'DATABASE') AS p WHERE "
            "p.permission_name IN ('INSERT', 'ALTER')",
        )
        == []
    )
    sql = (
        "SELECT HAS_PERMS_BY_NAME(N'[dbo].[Property]', 'OBJECT', 'SELECT'), "
        "HAS_PERMS_BY_NAME(N'[dbo].[Property]', 'OBJECT', 'UPDATE')"
    )
    assert query(session, sql) == [(1, 0)]
    sql = (
        "SELECT d.name, CONVERT(varchar(36), rs.recovery_fork_guid), SERVERPROPERTY('EngineEdition') FROM "
        "sys.databases AS d "
        "LEFT JOIN sys.database_recovery_status AS rs ON rs.database_id = d.database_id WHERE d.database_id "
        "= DB_ID()"
    )
    ((name, fork, edition),) = query(session, sql)
    assert (name, len(fork), fork, edition) == ("PACS", 36, fork.upper(), 3)
    sql = (
        "SELECT c.column_id, c.name, ty.name AS type_name, c.max_length, c.is_nullable, CONVERT(int, "
        "COLLATIONPROPERTY(c.collation_name, "
        "'CodePage')) FROM sys.columns AS c "
        "JOIN sys.types AS ty ON ty.user_type_id = c.user_type_id WHERE c.object_id = "
        "OBJECT_ID(@quoted_name) ORDER BY c.column_id"
    )
    result = query(session, sql, [varchar("@quoted_name", "[dbo].[Property]")])
    assert result[:2] == [
        (1, "PropertyID", "uniqueidentifier", 16, False, None),
        (2, "ParcelNumber", "varchar", 50, False, 1252),
    ]
    assert result[6] == (7, "LegalDescription", "text", 16, True, 1252)


def test_deleted_keys_are_found_again(session) -> None:
    ((alive,),) = query(
        session, "SELECT TOP (1) CONVERT(varchar(36), PropertyID) FROM Property ORDER BY PropertyID"
    )
    sql = """SELECT k.pk FROM (VALUES (CONVERT(uniqueidentifier, @p0)), (CONVERT(uniqueidentifier, @p1))) AS k(pk)
    LEFT JOIN [dbo].[Property] AS s WITH (READCOMMITTEDLOCK) ON s.[PropertyID] = k.pk WHERE s.[PropertyID] IS NULL"""
    gone = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
    assert [str(g) for (g,) in query(session, sql, [varchar("@p0", alive), varchar("@p1", gone)])] == [gone]


ROWVERSION = """DECLARE @lo binary(8) = CONVERT(binary(8), @lo_text, 1);
DECLARE @hi binary(8) = MIN_ACTIVE_ROWVERSION();
SELECT CONVERT(varchar(18), CONVERT(binary(8), s.[rv]), 1) AS __rv, CONVERT(varchar(18), @hi, 1) AS __hi, s.[id]
FROM [dbo].[T] AS s WHERE s.[rv] > @lo AND s.[rv] < @hi;"""


def test_rowversion_never_passes_an_open_writer() -> None:
    engine = SandboxEngine()
    engine.catalog.add_database("PACS", datetime(2020, 1, 1))
    engine.catalog.add_table(
        Table(
            "PACS",
            "dbo",
            "T",
            (Column("id", SqlType("int"), False), Column("rv", SqlType("rowversion", 8), False)),
            ("id",),
        )
    )
    engine.publish()
    first, second = engine.login(*ADMIN), engine.login(*ADMIN)
    run(first, "INSERT INTO T (id) VALUES (1), (2)")
    run(first, "BEGIN TRAN; UPDATE T SET id = 10 WHERE id = 1")
    run(second, "INSERT INTO T VALUES (3)")
    start = varchar("@lo_text", "0x0000000000000000")
    seen = query(second, ROWVERSION, [start])
    assert sorted(r[2] for r in seen) == [1, 2]
    run(first, "COMMIT")
    later = query(second, ROWVERSION, [varchar("@lo_text", max(r[0] for r in seen))])
    assert sorted(r[2] for r in later) == [3, 10]
    engine.close()


def test_sqlalchemys_reflection_statements(session) -> None:
    dialect = MSDialect_pyodbc()
    dialect.server_version_info = (16, 0, 0, 0)

    def answer(statement, **params) -> list[tuple[object, ...]]:
        return query(
            session,
            str(statement.params(**params).compile(dialect=dialect, compile_kwargs={"literal_binds": True})),
        )

    scope = {"owner": "dbo", "filter_names": ["Structure"]}
    assert [r[2] for r in answer(dialect._columns_select(), **scope)][:3] == [
        "StructureID",
        "PropertyID",
        "StructureType",
    ]
    assert [r[2:4] for r in answer(dialect._pk_constraint_select(), **scope)] == [
        ("PK_Structure", "StructureID")
    ]
    assert [r[3] for r in answer(dialect._indexes_metadata_select(), **scope)] == [
        "IX_Structure_LastModified",
        "IX_Structure_PropertyID",
    ]
    assert len(answer(dialect._indexes_columns_select(), **scope)) == 3
    assert answer(dialect._table_comment_select(), **scope) == [("Structure", None)]
    foreign = query(
        session,
        dialect._fk_query_sql(
            "ischema_key_col.table_schema = 'dbo' AND ischema_key_col.table_name = 'Structure'"
        ),
    )
    assert [r[1:7] for r in foreign] == [
        ("FK_Structure_Property", 1, "PropertyID", "dbo", "Property", "PropertyID")
    ]
    assert ("dbo",) in answer(select(ischema.schemata.c.schema_name))
    assert query(session, "SELECT CAST(SERVERPROPERTY('ProductVersion') AS VARCHAR)") == [("16.0.4135.4",)]
    assert query(session, "SELECT schema_name()") == [("dbo",)]
    assert (
        query(
            session,
            "SELECT 1 FROM fn_listextendedproperty(default, default, default, default, default, default, "
            "default)",
        )
        == []
    )
    level = (
        "SELECT CASE transaction_isolation_level WHEN 2 THEN 'READ COMMITTED' END AS x FROM "
        "sys.dm_exec_sessions where session_id = @@SPID"
    )
    assert query(session, level) == [("READ COMMITTED",)]
