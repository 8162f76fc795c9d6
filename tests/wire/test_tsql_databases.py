"""Databases, schemas, indexes, references, logins and grants by T-SQL, as tests make a county of their own on
any server.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_pacs.sandbox.model import SqlError
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from airflow_provider_pacs.sandbox.tsql.session import SqlSession
from tests.wire.tsql_support import ADMIN, READER, fresh_engine, query, run


@pytest.fixture(scope="module")
def engine() -> Iterator[SandboxEngine]:
    made = fresh_engine()
    yield made
    made.close()


@pytest.fixture
def admin(engine: SandboxEngine) -> Iterator[SqlSession]:
    session = engine.login(*ADMIN)
    yield session
    session.close()


def number_of(session: SqlSession, sql: str) -> int:
    with pytest.raises(SqlError) as refused:
        run(session, sql)
    return refused.value.number


def test_a_database_comes_with_tables_of_its_own_and_goes_with_them(
    engine: SandboxEngine, admin: SqlSession
) -> None:
    run(admin, "CREATE DATABASE [one] COLLATE SQL_Latin1_General_CP1_CI_AS")
    run(admin, "ALTER DATABASE [one] SET READ_COMMITTED_SNAPSHOT ON")
    snapshot_option = "SELECT is_read_committed_snapshot_on FROM sys.databases WHERE name = 'one'"
    assert query(admin, snapshot_option) == [(True,)], "every database shows every other"
    assert number_of(admin, "CREATE DATABASE one") == 1801
    inside = engine.login("sa", "Sandbox!Admin1", "one", "host", "tests")
    for sql in (
        "CREATE SCHEMA [it's] ]] odd]",
        "CREATE TABLE [it's] ]] odd].[a [table]] (x)] (k int NOT NULL PRIMARY KEY, name varchar(9) COLLATE "
        "SQL_Latin1_General_CP1_CI_AS NULL)",
        "INSERT INTO [it's] ]] odd].[a [table]] (x)] VALUES (1, 'a')",
    ):
        run(inside, sql.replace("it's] ]]", "it's ]]"))
    assert query(
        inside,
        "SELECT s.name, t.name FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id",
    ) == [("it's ] odd", "a [table] (x)")]
    assert query(inside, snapshot_option) == [(True,)]
    assert number_of(admin, "DROP DATABASE one") == 3702
    inside.close()
    run(admin, "DROP DATABASE one")
    assert query(admin, "SELECT name FROM sys.databases WHERE name = 'one'") == []
    assert number_of(admin, "DROP DATABASE one") == 3701
    run(admin, "CREATE DATABASE one")
    again = engine.login("sa", "Sandbox!Admin1", "one", "host", "tests")
    assert query(again, "SELECT name FROM sys.tables") == []
    again.close()
    run(admin, "DROP DATABASE one")


def test_a_login_reads_the_database_that_has_it_as_a_user_and_writes_nothing(
    engine: SandboxEngine, admin: SqlSession
) -> None:
    run(admin, "CREATE LOGIN [clerk] WITH PASSWORD = N'it''s}1', CHECK_POLICY = OFF")
    assert number_of(admin, "CREATE LOGIN clerk WITH PASSWORD = 'x'") == 15025
    with pytest.raises(SqlError) as refused:
        engine.login("clerk", "it's}1", "PACS", "host", "tests")
    assert refused.value.number == 4060
    assert number_of(admin, "GRANT SELECT TO clerk") == 15151
    run(admin, "CREATE USER [clerk] FOR LOGIN [clerk]")
    run(admin, "GRANT SELECT, VIEW DEFINITION TO [clerk]")
    clerk = engine.login("clerk", "it's}1", "PACS", "host", "tests")
    assert query(clerk, "SELECT COUNT(*) FROM Property") == [(200,)]
    assert [
        number_of(clerk, sql) for sql in ("DELETE FROM Property", "CREATE DATABASE mine", "DROP LOGIN clerk")
    ] == [229, 262, 262]
    clerk.close()
    run(admin, "DROP LOGIN clerk")
    assert number_of(admin, "DROP LOGIN clerk") == 15151


def test_indexes_and_references_show_in_the_catalog(admin: SqlSession) -> None:
    run(admin, "CREATE TABLE dbo.parent (k int NOT NULL PRIMARY KEY)")
    run(admin, "CREATE TABLE dbo.child (k int NOT NULL PRIMARY KEY, p int NOT NULL)")
    run(admin, "CREATE INDEX [IX_child] ON [dbo].[child] ([p])")
    run(
        admin,
        "ALTER TABLE [dbo].[child] ADD CONSTRAINT [FK_child] FOREIGN KEY ([p]) REFERENCES [dbo].[parent] "
        "([k])",
    )
    indexed = (
        "SELECT i.name FROM sys.indexes AS i JOIN sys.tables AS t ON t.object_id = i.object_id WHERE "
        "t.name "
        "= 'child' AND i.type = 2"
    )
    assert query(admin, indexed) == [("IX_child",)]
    referred = (
        "SELECT f.name, OBJECT_NAME(f.referenced_object_id) FROM sys.foreign_keys AS f WHERE f.name = "
        "'FK_child'"
    )
    assert query(admin, referred) == [("FK_child", "parent")]
    run(admin, "DROP TABLE dbo.child")
    run(admin, "DROP TABLE dbo.parent")


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE VIEW v AS SELECT 1 AS a",
        "GRANT NONSENSE TO public",
        "GRANT SELECT ON ASSEMBLY::x TO public",
        "ALTER TABLE Property DROP COLUMN City",
        "DROP SCHEMA dbo",
    ],
)
def test_other_definitions_stay_unknown(admin: SqlSession, sql: str) -> None:
    assert number_of(admin, sql) == 102


def test_a_reader_defines_nothing(engine: SandboxEngine) -> None:
    session = engine.login(*READER)
    assert number_of(session, "CREATE INDEX i ON dbo.Property (City)") == 262
    session.close()
