"""Logins, users, roles and permissions: who may read and write what, with SQL Server's errors and precedence."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_pacs.sandbox.model import SqlError
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from airflow_provider_pacs.sandbox.tsql.session import SqlSession
from tests.wire.tsql_support import ADMIN, READER, fresh_engine, query, run

PASSWORD = "Clerk!Pass1"


@pytest.fixture(scope="module")
def engine() -> Iterator[SandboxEngine]:
    made = fresh_engine()
    yield made
    made.close()


@pytest.fixture
def admin(engine: SandboxEngine) -> Iterator[SqlSession]:
    """A table of its own and a login with a user in role `desk`, who holds nothing yet."""
    session = engine.login(*ADMIN)
    run(
        session,
        "CREATE TABLE dbo.card (id int NOT NULL PRIMARY KEY, name varchar(20) NULL, ssn char(9) NULL); "
        "INSERT INTO dbo.card VALUES (1, 'Ann', '123456789'); CREATE TABLE dbo.other (id int NOT NULL);"
        f"CREATE LOGIN clerk WITH PASSWORD = '{PASSWORD}', CHECK_POLICY = ON, CHECK_EXPIRATION = OFF, "
        "DEFAULT_DATABASE = [PACS]; CREATE USER clerk FOR LOGIN clerk WITH DEFAULT_SCHEMA = dbo; "
        "CREATE ROLE desk AUTHORIZATION dbo; ALTER ROLE desk ADD MEMBER clerk",
    )
    yield session
    for sql in (
        "DROP TABLE dbo.card",
        "DROP TABLE dbo.other",
        "DROP USER clerk",
        "DROP ROLE desk",
        "DROP LOGIN clerk",
    ):
        run(session, sql)
    session.close()


@pytest.fixture
def clerk(engine: SandboxEngine, admin: SqlSession) -> Iterator[SqlSession]:
    session = engine.login("clerk", PASSWORD, "PACS", "host", "tests")
    yield session
    session.close()


def error_of(session: SqlSession, sql: str) -> tuple[int, int, int]:
    with pytest.raises(SqlError) as refused:
        run(session, sql)
    return refused.value.number, refused.value.severity, refused.value.state


def outcome(session: SqlSession, sql: str) -> int:
    """0, or the number of the error."""
    try:
        run(session, sql)
    except SqlError as error:
        return error.number
    return 0


def test_without_a_grant_a_user_reads_and_writes_nothing(clerk: SqlSession) -> None:
    assert error_of(clerk, "SELECT id FROM card") == (229, 14, 5)
    assert error_of(clerk, "SELECT 1 FROM Property") == (229, 14, 5)
    with pytest.raises(
        SqlError,
        match=r"The SELECT permission was denied on the object 'card', database 'PACS', schema 'dbo'",
    ):
        run(clerk, "SELECT COUNT(*) FROM PACS.dbo.card")
    for verb, sql in (
        ("INSERT", "INSERT INTO card VALUES (2, 'B', NULL)"),
        ("UPDATE", "UPDATE card SET name = 'x'"),
        ("DELETE", "DELETE FROM card"),
    ):
        with pytest.raises(SqlError, match=f"The {verb} permission was denied on the object 'card'"):
            run(clerk, sql)
    assert outcome(clerk, "SELECT * FROM missing") == 208, "what is not there is not denied"
    assert outcome(clerk, "CREATE TABLE mine (id int)") == 262
    assert outcome(clerk, "DROP TABLE card") == 262
    assert outcome(clerk, "SELECT name FROM sys.databases") == 0


def test_columns_are_granted_one_by_one(admin: SqlSession, clerk: SqlSession) -> None:
    run(admin, "GRANT SELECT ON OBJECT::[dbo].[card] ([id], [name]) TO [desk]")
    assert query(clerk, "SELECT c.name FROM card AS c WHERE c.id = 1") == [("Ann",)]
    assert query(clerk, "SELECT COUNT_BIG(*) FROM card") == [(1,)]
    with pytest.raises(
        SqlError,
        match=r"The SELECT permission was denied on the column 'ssn' of the object 'card', database 'PACS', schema 'dbo'",
    ):
        run(clerk, "SELECT * FROM card")
    assert error_of(clerk, "SELECT id FROM card WHERE ssn LIKE '1%'") == (230, 14, 1)
    for hidden in (
        "SELECT id FROM card ORDER BY ssn",
        "SELECT MAX(ssn) FROM card",
        "SELECT x.n FROM (SELECT id AS n, ssn FROM card) AS x",
        "WITH c AS (SELECT id, ssn FROM card) SELECT c.id FROM c",
        "SELECT o.id FROM card AS o WHERE EXISTS (SELECT 1 FROM card AS i WHERE i.ssn = '1' AND i.id = o.id)",
        "SELECT a.id FROM card AS a JOIN card AS b ON b.ssn = a.name",
        "DECLARE @x char(9) = (SELECT TOP 1 ssn FROM card)",
        "DECLARE @x char(9); SELECT @x = ssn FROM card",
        "IF EXISTS (SELECT 1 FROM card WHERE ssn = '1') SELECT 1",
        "SELECT name FROM card UNION SELECT ssn FROM card",
    ):
        assert outcome(clerk, hidden) == 230, hidden


def test_a_deny_wins_over_a_grant_of_any_level(admin: SqlSession, clerk: SqlSession) -> None:
    run(admin, "GRANT SELECT TO clerk; DENY SELECT ON SCHEMA::dbo TO desk")
    assert outcome(clerk, "SELECT id FROM card") == 229
    run(admin, "REVOKE SELECT ON SCHEMA::dbo FROM desk")
    assert outcome(clerk, "SELECT id FROM card") == 0
    run(admin, "DENY SELECT ON card TO desk")
    assert (outcome(clerk, "SELECT id FROM card"), outcome(clerk, "SELECT id FROM other")) == (229, 0)
    run(admin, "REVOKE SELECT ON card FROM desk; DENY SELECT ON card (ssn) TO desk")
    assert (outcome(clerk, "SELECT id, name FROM card"), outcome(clerk, "SELECT ssn FROM card")) == (0, 230)
    run(admin, "REVOKE SELECT FROM clerk")
    assert outcome(clerk, "SELECT id FROM card") == 229, "a column's DENY grants nothing"


def test_a_grant_on_a_column_stands_against_its_tables_deny(admin: SqlSession, clerk: SqlSession) -> None:
    """SQL Server's exception, kept for old applications; the later DENY on the table takes it back."""
    run(admin, "DENY SELECT ON card TO desk; GRANT SELECT ON card (id) TO clerk")
    assert (outcome(clerk, "SELECT id FROM card"), outcome(clerk, "SELECT name FROM card")) == (0, 230)
    run(admin, "DENY SELECT ON card TO clerk")
    assert outcome(clerk, "SELECT id FROM card") == 229


def test_writing_takes_the_verb_and_reading_what_it_compares(admin: SqlSession, clerk: SqlSession) -> None:
    run(admin, "GRANT UPDATE ON card (name) TO desk; GRANT DELETE, INSERT ON card TO desk")
    assert outcome(clerk, "UPDATE card SET name = 'Bo'") == 0
    assert outcome(clerk, "UPDATE card SET ssn = NULL") == 230
    assert outcome(clerk, "UPDATE card SET name = 'x' WHERE id = 1") == 229, "WHERE reads id"
    assert outcome(clerk, "UPDATE card SET name = name") == 229
    assert outcome(clerk, "INSERT INTO card SELECT id, 'x', 'y' FROM other") == 229, "other may not be read"
    assert outcome(clerk, "INSERT INTO card (id) VALUES (7)") == 0
    assert outcome(clerk, "DELETE FROM card WHERE id = 7") == 229
    run(admin, "GRANT SELECT ON card (id) TO desk")
    assert outcome(clerk, "DELETE FROM card WHERE id = 7") == 0
    assert query(admin, "SELECT id, name FROM card") == [(1, "Bo")]


def test_fixed_roles_carry_their_permissions(admin: SqlSession, clerk: SqlSession) -> None:
    run(admin, "ALTER ROLE db_datareader ADD MEMBER desk")
    assert outcome(clerk, "SELECT ssn FROM card") == 0, "through a role in a role"
    run(admin, "ALTER ROLE db_denydatareader ADD MEMBER clerk")
    assert outcome(clerk, "SELECT id FROM card") == 229
    run(admin, "ALTER ROLE db_denydatareader DROP MEMBER clerk; ALTER ROLE db_datawriter ADD MEMBER clerk")
    assert outcome(clerk, "UPDATE card SET ssn = NULL WHERE id = 1") == 0
    run(admin, "ALTER ROLE db_datawriter DROP MEMBER clerk; ALTER ROLE db_owner ADD MEMBER clerk")
    assert outcome(clerk, "CREATE TABLE mine (id int)") == 0
    assert outcome(clerk, "DROP TABLE mine") == 0
    run(admin, "ALTER ROLE db_owner DROP MEMBER clerk; ALTER ROLE db_datareader DROP MEMBER desk")
    assert outcome(clerk, "SELECT id FROM card") == 229


def test_the_catalog_shows_what_a_user_has_a_permission_on(admin: SqlSession, clerk: SqlSession) -> None:
    listed = "SELECT name FROM sys.tables ORDER BY name"
    assert query(clerk, listed) == []
    assert query(
        clerk, "SELECT OBJECT_ID('dbo.card'), HAS_PERMS_BY_NAME('dbo.card', 'OBJECT', 'SELECT')"
    ) == [(None, None)]
    run(admin, "GRANT SELECT ON card (id) TO desk; GRANT VIEW DEFINITION ON other TO clerk")
    assert query(clerk, listed) == [("card",), ("other",)]
    assert query(clerk, "SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES ORDER BY 1") == [
        ("card",),
        ("other",),
    ]
    columns = "SELECT c.name FROM sys.columns AS c JOIN sys.tables AS t ON t.object_id = c.object_id WHERE t.name = 'card' ORDER BY c.column_id"
    assert query(clerk, columns) == [("id",), ("name",), ("ssn",)]
    assert query(
        clerk, "SELECT i.is_primary_key FROM sys.indexes AS i WHERE i.object_id = OBJECT_ID('card')"
    ) == [(True,)]
    assert outcome(clerk, "SELECT * FROM other") == 229, "a definition is no data"
    run(admin, "DENY VIEW DEFINITION ON other TO desk")
    assert query(clerk, listed) == [("card",)]
    assert len(query(admin, listed)) == 6


def test_what_a_login_may_do_is_answered_as_it_is(admin: SqlSession, clerk: SqlSession) -> None:
    run(admin, "GRANT SELECT ON card (id, name) TO desk; DENY INSERT, UPDATE, DELETE, ALTER TO desk")
    assert query(
        clerk,
        "SELECT HAS_PERMS_BY_NAME('[dbo].[card]', 'OBJECT', 'SELECT'), HAS_PERMS_BY_NAME('[dbo].[card]', "
        "'OBJECT', 'SELECT', 'id', 'COLUMN'), HAS_PERMS_BY_NAME('[dbo].[card]', 'OBJECT', 'SELECT', 'ssn', "
        "'COLUMN'), IS_MEMBER('desk'), IS_MEMBER('db_owner'), IS_MEMBER('nobody'), "
        "IS_SRVROLEMEMBER('sysadmin'), USER_NAME()",
    ) == [(0, 1, 0, 1, 0, None, 0, "clerk")]
    mine = "SELECT permission_name, subentity_name FROM sys.fn_my_permissions(N'[dbo].[card]', 'OBJECT') ORDER BY 2"
    assert query(clerk, mine) == [("SELECT", "id"), ("SELECT", "name")]
    assert query(clerk, "SELECT permission_name FROM sys.fn_my_permissions(NULL, 'DATABASE')") == [
        ("CONNECT",)
    ]
    granted = (
        "SELECT p.permission_name, p.state_desc, COL_NAME(p.major_id, p.minor_id) FROM sys.database_permissions "
        "AS p JOIN sys.database_principals AS u ON u.principal_id = p.grantee_principal_id WHERE u.name = 'desk' "
        "AND p.class_desc = 'OBJECT_OR_COLUMN' ORDER BY 3"
    )
    assert query(admin, granted) == [("SELECT", "GRANT", "id"), ("SELECT", "GRANT", "name")]
    members = (
        "SELECT m.name FROM sys.database_role_members AS r JOIN sys.database_principals AS m ON m.principal_id "
        "= r.member_principal_id JOIN sys.database_principals AS g ON g.principal_id = r.role_principal_id "
        "WHERE g.name = 'desk'"
    )
    assert query(admin, members) == [("clerk",)]


def test_the_servers_sessions_are_shown_to_who_may_see_its_state(
    engine: SandboxEngine, admin: SqlSession, clerk: SqlSession
) -> None:
    assert query(clerk, "SELECT COUNT(*) FROM sys.dm_exec_sessions") == [(1,)]
    assert error_of(clerk, "SELECT * FROM sys.dm_tran_database_transactions")[0] == 300
    assert outcome(admin, "GRANT VIEW SERVER STATE TO clerk") == 4621
    master = engine.login("sa", "Sandbox!Admin1", "master", "host", "tests")
    run(master, "GRANT VIEW SERVER STATE TO clerk")
    assert query(clerk, "SELECT COUNT(*) FROM sys.dm_exec_sessions")[0][0] > 1
    assert outcome(clerk, "SELECT * FROM sys.dm_tran_database_transactions") == 0
    assert query(clerk, "SELECT HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW SERVER STATE')") == [(1,)]
    master.close()


def test_a_user_of_one_database_opens_no_other(
    engine: SandboxEngine, admin: SqlSession, clerk: SqlSession
) -> None:
    run(admin, "CREATE DATABASE elsewhere")
    assert outcome(clerk, "USE elsewhere") == 916
    assert outcome(clerk, "USE master") == 0
    with pytest.raises(SqlError, match="4060"):
        engine.login("clerk", PASSWORD, "elsewhere", "host", "tests")
    run(admin, "DROP DATABASE elsewhere")


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ("GRANT SELECT ON missing TO desk", 15151),
        ("GRANT SELECT ON SCHEMA::missing TO desk", 15151),
        ("GRANT SELECT ON card TO nobody", 15151),
        ("GRANT SELECT ON card (nothing) TO desk", 1911),
        ("GRANT DELETE ON card (id) TO desk", 1020),
        ("GRANT CREATE TABLE ON card TO desk", 4606),
        ("GRANT SELECT TO db_owner", 4617),
        ("CREATE USER clerk FOR LOGIN clerk", 15023),
        ("CREATE USER second FOR LOGIN clerk", 15063),
        ("CREATE USER x FOR LOGIN nobody", 15007),
        ("CREATE ROLE desk", 15023),
        ("ALTER ROLE desk ADD MEMBER nobody", 15410),
        ("ALTER ROLE nothing ADD MEMBER clerk", 15151),
        ("DROP ROLE desk", 15144),
        ("DROP ROLE db_owner", 15151),
        ("DROP USER nobody", 15151),
        ("DROP USER IF EXISTS nobody", 0),
    ],
)
def test_mistakes_have_the_servers_numbers(admin: SqlSession, sql: str, number: int) -> None:
    assert outcome(admin, sql) == number


def test_a_user_may_not_grant(admin: SqlSession, clerk: SqlSession) -> None:
    run(admin, "GRANT SELECT ON card TO desk")
    for sql in ("GRANT SELECT ON card TO public", "REVOKE SELECT ON card FROM desk", "GRANT SELECT TO clerk"):
        assert outcome(clerk, sql) == 15151, sql
    for sql in ("CREATE USER x WITHOUT LOGIN", "CREATE ROLE r", "ALTER ROLE db_owner ADD MEMBER clerk"):
        assert outcome(clerk, sql) == 262, sql


def test_a_table_made_again_has_none_of_the_old_permissions(admin: SqlSession, clerk: SqlSession) -> None:
    run(admin, "GRANT SELECT ON other TO desk; DROP TABLE other; CREATE TABLE dbo.other (id int NOT NULL)")
    assert outcome(clerk, "SELECT id FROM other") == 229


def test_the_sandboxs_own_reader_reads_everything_and_writes_nothing(engine: SandboxEngine) -> None:
    reader = engine.login(*READER)
    assert query(reader, "SELECT COUNT(*) FROM Property") == [(200,)]
    assert outcome(reader, "DELETE FROM Property") == 229
    assert outcome(reader, "UPDATE Property SET City = 'x' WHERE City = 'y'") == 229
    assert query(reader, "SELECT IS_MEMBER('db_datareader'), IS_MEMBER('db_datawriter')") == [(1, 0)]
    assert query(
        reader, "SELECT permission_name FROM sys.fn_my_permissions(NULL, 'DATABASE') ORDER BY 1"
    ) == [
        ("CONNECT",),
        ("SELECT",),
        ("VIEW DEFINITION",),
    ]
    reader.close()
