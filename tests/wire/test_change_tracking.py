"""Change Tracking as SQL Server documents it: versions in the order of commits, net changes, retention,
truncation, restore, permissions and error numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyodbc
import pytest

from airflow_provider_pacs.sandbox.counties import generic_changes
from airflow_provider_pacs.sandbox.model import SqlError
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from airflow_provider_pacs.sandbox.tsql.session import SqlSession
from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from tests.wire.scripted import CERTIFICATE, connection_string
from tests.wire.tsql_support import ADMIN, READER, fresh_engine, query, run

VERSIONS = (
    "SELECT CHANGE_TRACKING_CURRENT_VERSION(), CHANGE_TRACKING_MIN_VALID_VERSION(OBJECT_ID(N'[dbo].[t]'))"
)
SETUP = """ALTER DATABASE [PACS] SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 2 DAYS, AUTO_CLEANUP = ON);
ALTER DATABASE [PACS] SET ALLOW_SNAPSHOT_ISOLATION ON;
CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, name varchar(20) NULL, n int NULL);
ALTER TABLE [dbo].[t] ENABLE CHANGE_TRACKING WITH (TRACK_COLUMNS_UPDATED = OFF)"""


@pytest.fixture
def engine() -> Iterator[SandboxEngine]:
    made = fresh_engine()
    yield made
    made.close()


@pytest.fixture
def first(engine: SandboxEngine) -> Iterator[SqlSession]:
    """A session of an administrator; table t is tracked."""
    session = engine.login(*ADMIN)
    run(session, SETUP)
    yield session
    session.close()


@pytest.fixture
def other(engine: SandboxEngine, first: SqlSession) -> Iterator[SqlSession]:
    session = engine.login(*ADMIN)
    yield session
    session.close()


def changes(
    session: SqlSession, last: int, columns: str = "ct.id, ct.SYS_CHANGE_VERSION, ct.SYS_CHANGE_OPERATION"
) -> list:
    return query(
        session,
        f"DECLARE @last bigint = {last}; SELECT {columns} FROM CHANGETABLE(CHANGES [dbo].[t], @last) AS ct ORDER BY ct.id",
    )


def number_of(session: SqlSession, sql: str) -> int:
    with pytest.raises(SqlError) as refused:
        run(session, sql)
    return refused.value.number


def test_versions_are_in_the_order_of_the_commits(first: SqlSession, other: SqlSession) -> None:
    """The transaction that wrote first commits last: its changes have the higher version."""
    run(first, "BEGIN TRAN; INSERT INTO t VALUES (1, 'early', 1)")
    run(other, "INSERT INTO t VALUES (2, 'late', 2)")
    assert query(other, VERSIONS) == [(1, 0)]
    assert changes(other, 0) == [(2, 1, "I")], "what is not committed is not there"
    run(first, "COMMIT")
    assert changes(other, 1) == [(1, 2, "I")]


def test_changes_of_one_transaction_share_a_version(first: SqlSession) -> None:
    run(
        first,
        "BEGIN TRAN; INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2); UPDATE t SET n = 9 WHERE id = 1; COMMIT",
    )
    assert changes(first, 0) == [(1, 1, "I"), (2, 1, "I")]
    assert query(first, VERSIONS) == [(1, 0)]


def test_a_rolled_back_transaction_leaves_nothing(first: SqlSession) -> None:
    run(first, "BEGIN TRAN; INSERT INTO t VALUES (1, 'a', 1); ROLLBACK")
    assert (query(first, VERSIONS), changes(first, 0)) == ([(0, 0)], [])
    assert number_of(first, "INSERT INTO t VALUES (1, 'a', 1), (NULL, 'b', 2)") == 515
    assert (query(first, VERSIONS), changes(first, 0)) == ([(0, 0)], [])


def test_a_statement_that_changes_no_row_has_no_version(first: SqlSession) -> None:
    run(first, "UPDATE t SET n = 1 WHERE id = 99; DELETE FROM t")
    assert query(first, VERSIONS) == [(0, 0)]


def test_changes_are_net_per_key(first: SqlSession) -> None:
    run(first, "INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)")
    run(first, "UPDATE t SET n = 10 WHERE id = 1")
    run(first, "DELETE FROM t WHERE id = 2")
    run(first, "DELETE FROM t WHERE id = 3")
    run(first, "INSERT INTO t VALUES (3, 'again', 3)")
    full = "ct.id, ct.SYS_CHANGE_VERSION, ct.SYS_CHANGE_CREATION_VERSION, ct.SYS_CHANGE_OPERATION"
    assert changes(first, 0, full) == [(1, 2, 1, "I"), (2, 3, 1, "D"), (3, 5, 5, "I")]
    assert changes(first, 1, full) == [(1, 2, None, "U"), (2, 3, None, "D"), (3, 5, 5, "I")]
    assert changes(first, 4, full) == [(3, 5, 5, "I")]
    assert changes(first, 5) == []
    assert changes(first, 99) == [], "a version of the future is no error"


def test_a_changed_key_is_a_delete_and_an_insert(first: SqlSession) -> None:
    run(first, "INSERT INTO t VALUES (1, 'a', 1)")
    run(first, "UPDATE t SET id = 7 WHERE id = 1")
    assert changes(first, 1) == [(1, 2, "D"), (7, 2, "I")]


def test_the_joined_row_is_missing_where_it_is_gone(first: SqlSession) -> None:
    run(first, "INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2)")
    run(first, "DELETE FROM t WHERE id = 2")
    sql = (
        "DECLARE @last bigint = 0; SELECT ct.id, CASE WHEN s.[id] IS NULL THEN 1 ELSE 0 END AS __gone, s.name FROM "
        "CHANGETABLE(CHANGES [dbo].[t], @last) AS ct LEFT OUTER JOIN [dbo].[t] AS s ON s.[id] = ct.[id] ORDER BY ct.id"
    )
    assert query(first, sql) == [(1, 0, "a"), (2, 1, None)]


def test_updated_columns_are_shown_where_they_are_tracked(first: SqlSession) -> None:
    run(
        first,
        "ALTER TABLE t DISABLE CHANGE_TRACKING; ALTER TABLE t ENABLE CHANGE_TRACKING WITH (TRACK_COLUMNS_UPDATED = ON)",
    )
    run(first, "INSERT INTO t VALUES (1, 'a', 1)")
    run(first, "UPDATE t SET n = 2")
    masks = "ct.id, ct.SYS_CHANGE_COLUMNS"
    assert changes(first, 0, masks) == [(1, None)], "an insert has no mask"
    assert changes(first, 1, masks) == [(1, bytes.fromhex("0000000003000000"))]


def test_the_context_marks_a_change(first: SqlSession) -> None:
    run(first, "INSERT INTO t VALUES (1, 'a', 1)")
    run(
        first,
        "DECLARE @me varbinary(128) = 0x5446; WITH CHANGE_TRACKING_CONTEXT (@me) UPDATE t SET n = 2 WHERE id = 1",
    )
    context = "ct.SYS_CHANGE_CONTEXT"
    assert changes(first, 1, context) == [(b"TF",)]
    run(first, "UPDATE t SET n = 3 WHERE id = 1")
    assert changes(first, 1, context) == [(None,)], "the last change counts"
    assert query(first, "SELECT v.* FROM CHANGETABLE(VERSION dbo.t, (id), (1)) AS v") == [(3, None, 1)]
    assert query(first, "SELECT v.SYS_CHANGE_VERSION FROM CHANGETABLE(VERSION dbo.t, (id), (2)) AS v") == [
        (None,)
    ]


def test_cleanup_raises_the_smallest_valid_version(engine: SandboxEngine, first: SqlSession) -> None:
    run(first, "INSERT INTO t VALUES (1, 'a', 1)")
    run(first, "INSERT INTO t VALUES (2, 'b', 2)")
    run(first, "EXEC sandbox.clock_advance @seconds = 172000")
    run(first, "INSERT INTO t VALUES (3, 'c', 3)")
    run(first, "EXEC sandbox.change_tracking_cleanup")
    assert query(first, VERSIONS) == [(3, 0)], "two days are not over"
    run(first, "EXEC sandbox.clock_advance @seconds = 1000; EXEC sandbox.change_tracking_cleanup")
    assert query(first, VERSIONS) == [(3, 2)]
    assert changes(first, 0) == [(3, 3, "I")], "an expired version is no error: that is the trap"
    assert query(
        first, "SELECT min_valid_version, begin_version, cleanup_version FROM sys.change_tracking_tables"
    ) == [(2, 0, 2)]
    run(
        first,
        "EXEC sandbox.clock_advance @seconds = 400000; EXEC sp_flush_CT_internal_table_on_demand @TableToClean = 't'",
    )
    assert query(first, VERSIONS) == [(3, 3)], "idle for longer than the retention"


def test_without_auto_cleanup_nothing_expires(first: SqlSession) -> None:
    run(
        first,
        "ALTER DATABASE PACS SET CHANGE_TRACKING (AUTO_CLEANUP = OFF, CHANGE_RETENTION = 1 HOURS); INSERT INTO t VALUES (1, 'a', 1)",
    )
    run(first, "EXEC sandbox.clock_advance @seconds = 9000; EXEC sandbox.change_tracking_cleanup")
    assert (query(first, VERSIONS), changes(first, 0)) == ([(1, 0)], [(1, 1, "I")])
    assert query(
        first,
        "SELECT is_auto_cleanup_on, retention_period, retention_period_units FROM sys.change_tracking_databases",
    ) == [(False, 1, 2)]


def test_a_snapshot_sees_versions_changes_and_rows_of_one_moment(
    first: SqlSession, other: SqlSession
) -> None:
    run(first, "INSERT INTO t VALUES (1, 'a', 1)")
    run(other, "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION; SELECT COUNT(*) FROM t")
    run(
        first,
        "UPDATE t SET name = 'new' WHERE id = 1; DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (2, 'b', 2)",
    )
    run(first, "EXEC sandbox.clock_advance @seconds = 400000; EXEC sandbox.change_tracking_cleanup")
    assert query(other, VERSIONS) == [(1, 0)]
    assert changes(other, 0) == [(1, 1, "I")]
    assert query(other, "SELECT name FROM t") == [("a",)]
    run(other, "COMMIT")
    assert query(other, VERSIONS) == [(4, 4)]


def test_cleanup_between_check_and_read_shows_under_read_committed(
    first: SqlSession, other: SqlSession
) -> None:
    run(first, "INSERT INTO t VALUES (1, 'a', 1)")
    run(first, "EXEC sandbox.clock_advance @seconds = 400000")
    run(first, "INSERT INTO t VALUES (2, 'b', 2)")
    run(other, "BEGIN TRANSACTION")
    assert query(other, VERSIONS) == [(2, 0)]
    run(first, "EXEC sandbox.change_tracking_cleanup")
    assert changes(other, 0) == [(2, 2, "I")]
    assert query(other, VERSIONS) == [(2, 1)], "only the second check finds the loss"


def test_truncate_forgets_the_changes_and_raises_the_smallest_valid_version(first: SqlSession) -> None:
    run(first, "INSERT INTO t VALUES (1, 'a', 1)")
    run(first, "TRUNCATE TABLE dbo.t")
    assert query(first, VERSIONS) == [(2, 2)], "a reader at version 1 must start again"
    assert (changes(first, 0), query(first, "SELECT COUNT(*) FROM t")) == ([], [(0,)])
    run(first, "BEGIN TRAN; TRUNCATE TABLE t; ROLLBACK")
    assert query(first, VERSIONS) == [(2, 2)]


def test_a_table_tracked_anew_begins_anew(first: SqlSession) -> None:
    """Between DISABLE and ENABLE nothing is recorded and no version given: begin_version alone shows it."""
    run(first, "INSERT INTO t VALUES (1, 'a', 1)")
    run(first, "ALTER TABLE t DISABLE CHANGE_TRACKING; INSERT INTO t VALUES (2, 'b', 2)")
    assert query(first, VERSIONS) == [(1, None)]
    run(first, "ALTER TABLE t ENABLE CHANGE_TRACKING")
    assert query(first, VERSIONS) == [(1, 1)]
    assert changes(first, 0) == []


def test_a_dropped_table_is_another_table(first: SqlSession) -> None:
    run(first, "INSERT INTO t VALUES (1, 'a', 1); DROP TABLE t; CREATE TABLE t (id int NOT NULL PRIMARY KEY)")
    assert query(first, VERSIONS) == [(1, None)]
    assert number_of(first, "SELECT ct.id FROM CHANGETABLE(CHANGES dbo.t, 0) AS ct") == 22105


def test_a_restore_takes_versions_back_and_begins_a_new_fork(first: SqlSession) -> None:
    fork = "SELECT recovery_fork_guid, database_guid FROM sys.database_recovery_status WHERE database_id = DB_ID()"
    run(first, "INSERT INTO t VALUES (1, 'a', 1); EXEC sandbox.backup @name = 'monday'")
    before = query(first, fork)
    run(first, "INSERT INTO t VALUES (2, 'b', 2); UPDATE t SET name = 'x'")
    assert query(first, VERSIONS) == [(3, 0)]
    run(first, "EXEC sandbox.restore @name = 'monday'")
    assert query(first, VERSIONS) == [(1, 0)]
    assert query(first, "SELECT id, name FROM t") == [(1, "a")]
    ((new_fork, same),) = query(first, fork)
    assert (new_fork != before[0][0], same == before[0][1]) == (True, True)
    run(first, "INSERT INTO t VALUES (5, 'e', 5); INSERT INTO t VALUES (6, 'f', 6)")
    assert query(first, VERSIONS) == [(3, 0)], "caught up: the number alone no longer shows it"
    assert changes(first, 1) == [(5, 2, "I"), (6, 3, "I")]
    assert number_of(first, "EXEC sandbox.restore @name = 'tuesday'") == 3201


def test_a_readable_secondary_refuses(first: SqlSession) -> None:
    run(first, "EXEC sandbox.secondary @on = 1")
    for sql in (VERSIONS, "SELECT ct.id FROM CHANGETABLE(CHANGES dbo.t, 0) AS ct"):
        assert number_of(first, sql) == 22117
    assert query(first, "SELECT DATABASEPROPERTYEX(DB_NAME(), 'Updateability')") == [("READ_ONLY",)]
    run(first, "EXEC sandbox.secondary @on = 0")
    assert query(first, VERSIONS) == [(0, 0)]


def test_reading_changes_takes_view_change_tracking_and_the_key(
    engine: SandboxEngine, first: SqlSession
) -> None:
    run(
        first,
        "INSERT INTO t VALUES (1, 'a', 1); CREATE LOGIN feed WITH PASSWORD = 'Feed!1'; CREATE USER feed FOR LOGIN feed; "
        "GRANT SELECT ON dbo.t (id) TO feed",
    )
    feed = engine.login("feed", "Feed!1", "PACS", "host", "tests")
    read = "SELECT ct.id FROM CHANGETABLE(CHANGES dbo.t, 0) AS ct"
    with pytest.raises(
        SqlError, match=r"The VIEW CHANGE TRACKING permission was denied on the object 't'"
    ) as refused:
        run(feed, read)
    assert refused.value.number == 229
    assert query(feed, VERSIONS) == [(1, None)], "NULL, and no error: the trap"
    run(first, "GRANT VIEW CHANGE TRACKING ON dbo.t TO feed")
    assert (query(feed, read), query(feed, VERSIONS)) == ([(1,)], [(1, 0)])
    run(first, "REVOKE SELECT ON dbo.t (id) FROM feed")
    assert number_of(feed, read) == 229
    feed.close()
    reader = engine.login(*READER)
    assert number_of(reader, read) == 229, "db_datareader is not enough"
    reader.close()


def test_the_errors_have_the_servers_numbers(engine: SandboxEngine) -> None:
    session = engine.login(*ADMIN)
    run(session, "CREATE TABLE k (id int NOT NULL PRIMARY KEY); CREATE TABLE h (id int NULL)")
    assert query(
        session, "SELECT CHANGE_TRACKING_CURRENT_VERSION(), CHANGE_TRACKING_MIN_VALID_VERSION(OBJECT_ID('k'))"
    ) == [(None, None)]
    assert number_of(session, "ALTER TABLE k ENABLE CHANGE_TRACKING") == 5089
    assert number_of(session, "ALTER DATABASE PACS SET CHANGE_TRACKING = OFF") == 5089
    run(session, "ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON")
    assert number_of(session, "ALTER DATABASE PACS SET CHANGE_TRACKING = ON") == 5088
    assert number_of(session, "ALTER TABLE h ENABLE CHANGE_TRACKING") == 4997
    assert number_of(session, "ALTER TABLE k DISABLE CHANGE_TRACKING") == 4998
    run(session, "ALTER TABLE k ENABLE CHANGE_TRACKING")
    assert number_of(session, "ALTER TABLE k ENABLE CHANGE_TRACKING") == 4996
    assert number_of(session, "ALTER DATABASE PACS SET CHANGE_TRACKING = OFF") == 22115
    assert number_of(session, "SELECT ct.id FROM CHANGETABLE(CHANGES dbo.h, 0) AS ct") == 22105
    assert number_of(session, "SELECT ct.id FROM CHANGETABLE(CHANGES dbo.missing, 0) AS ct") == 208
    assert number_of(session, "SELECT ct.id FROM CHANGETABLE(CHANGES dbo.k, 'x') AS ct") == 8114
    assert number_of(session, "TRUNCATE TABLE missing") == 4701
    session.close()


def test_a_nights_changes_are_tracked(engine: SandboxEngine) -> None:
    session = engine.login(*ADMIN)
    tables = ("Property", "PropertyOwner", "PropertyValue", "Structure")
    run(session, "ALTER DATABASE PACS SET CHANGE_TRACKING = ON")
    for table in tables:
        run(session, f"ALTER TABLE {table} ENABLE CHANGE_TRACKING")
    night = generic_changes.mutate(engine, 1)
    counted = {"I": 0, "U": 0, "D": 0}
    for table in tables:
        read = f"SELECT ct.SYS_CHANGE_OPERATION, COUNT(*) FROM CHANGETABLE(CHANGES {table}, 0) AS ct GROUP BY ct.SYS_CHANGE_OPERATION"
        for operation, count in query(session, read):
            counted[operation] += count
    assert counted["I"] == night.inserted
    assert counted["D"] == night.hard_deleted + night.lone_children_deleted
    assert counted["U"] >= night.updated
    assert query(session, "SELECT CHANGE_TRACKING_CURRENT_VERSION()") == [(1,)], "a night is one transaction"
    session.close()


def test_changes_come_over_the_wire(engine: SandboxEngine, first: SqlSession) -> None:
    """Microsoft's driver sends the version as a bigint parameter and gets the declared types."""
    run(first, "INSERT INTO t VALUES (1, 'a', 1)")
    with SandboxServer(engine, certificate=CERTIFICATE) as server:
        text = connection_string(server.port, UID=ADMIN[0], PWD=ADMIN[1])
        connection = pyodbc.connect(text, autocommit=True, timeout=5)
        cursor = connection.execute(
            "SELECT ct.SYS_CHANGE_VERSION, ct.SYS_CHANGE_OPERATION, ct.SYS_CHANGE_CONTEXT, ct.id, s.name FROM "
            "CHANGETABLE(CHANGES dbo.t, ?) AS ct LEFT OUTER JOIN dbo.t AS s ON s.id = ct.id",
            0,
        )
        assert [tuple(row) for row in cursor.fetchall()] == [(1, "I", None, 1, "a")]
        assert [(d[0], d[4]) for d in cursor.description[:2]] == [
            ("SYS_CHANGE_VERSION", 19),
            ("SYS_CHANGE_OPERATION", 1),
        ]
        connection.close()
