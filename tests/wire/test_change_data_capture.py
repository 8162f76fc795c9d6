"""Change Data Capture as SQL Server documents it: ranges, images, masks, net changes, lag, cleanup, two
instances, a stopped job, and the errors of each.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_pacs.sandbox.model import SqlError
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from airflow_provider_pacs.sandbox.tsql.session import SqlSession
from tests.wire.tsql_support import ADMIN, fresh_engine, query, run

ENABLE = "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', @role_name = NULL"
RANGE = "DECLARE @to binary(10) = sys.fn_cdc_get_max_lsn(); DECLARE @from binary(10) = sys.fn_cdc_get_min_lsn(N'{0}'); "
ORDER = "ORDER BY c.[__$start_lsn], c.[__$seqval], c.[__$operation]"
ALL = (
    RANGE
    + "SELECT c.[__$operation], c.id, c.a FROM cdc.[fn_cdc_get_all_changes_{0}](@from, @to, N'{1}') AS c "
    + ORDER
)
NET = (
    RANGE
    + "SELECT c.[__$operation], c.id, c.a FROM cdc.[fn_cdc_get_net_changes_{0}](@from, @to, N'all') AS c ORDER BY c.id"
)


@pytest.fixture
def engine() -> Iterator[SandboxEngine]:
    made = fresh_engine()
    yield made
    made.close()


@pytest.fixture
def admin(engine: SandboxEngine) -> Iterator[SqlSession]:
    """Table t is captured as instance dbo_t."""
    session = engine.login(*ADMIN)
    run(
        session,
        "EXEC sys.sp_cdc_enable_db; CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, a varchar(10) NULL, b int NULL)",
    )
    run(session, ENABLE)
    yield session
    session.close()


def captured(session: SqlSession, instance: str = "dbo_t", rows: str = "all") -> list:
    return query(session, ALL.format(instance, rows))


def number_of(session: SqlSession, sql: str) -> int:
    with pytest.raises(SqlError) as refused:
        run(session, sql)
    return refused.value.number


def lsn(session: SqlSession, expression: str) -> bytes | None:
    return query(session, f"SELECT {expression}")[0][0]


def test_every_change_has_its_images_in_the_order_of_commits(
    engine: SandboxEngine, admin: SqlSession
) -> None:
    other = engine.login(*ADMIN)
    run(admin, "BEGIN TRAN; INSERT INTO t VALUES (1, 'first', 1)")
    run(other, "INSERT INTO t VALUES (2, 'second', 2)")
    run(admin, "UPDATE t SET a = 'z' WHERE id = 1; COMMIT; DELETE FROM t WHERE id = 2")
    assert captured(admin, rows="all update old") == [
        (2, 2, "second"),
        (2, 1, "first"),
        (3, 1, "first"),
        (4, 1, "z"),
        (1, 2, "second"),
    ]
    assert [row[0] for row in captured(admin)] == [2, 2, 4, 1]
    other.close()


def test_one_transaction_has_one_lsn_and_its_changes_an_order(admin: SqlSession) -> None:
    run(admin, "BEGIN TRAN; INSERT INTO t VALUES (1, 'a', 1); UPDATE t SET b = 2; UPDATE t SET b = 3; COMMIT")
    rows = query(
        admin,
        RANGE.format("dbo_t") + "SELECT c.[__$start_lsn], c.[__$seqval], c.[__$operation], c.b FROM "
        f"cdc.fn_cdc_get_all_changes_dbo_t(@from, @to, N'all') AS c {ORDER}",
    )
    assert [row[2:] for row in rows] == [(2, 1), (4, 2), (4, 3)]
    assert (len({row[0] for row in rows}), len({row[1] for row in rows})) == (1, 3)


def test_a_changed_key_is_a_delete_and_an_insert(admin: SqlSession) -> None:
    run(admin, "INSERT INTO t VALUES (1, 'a', 1); UPDATE t SET id = 9 WHERE id = 1")
    assert captured(admin, rows="all update old") == [(2, 1, "a"), (1, 1, "a"), (2, 9, "a")]


def test_what_is_rolled_back_is_not_captured(admin: SqlSession) -> None:
    run(admin, "BEGIN TRAN; INSERT INTO t VALUES (1, 'a', 1); ROLLBACK")
    assert captured(admin) == []


def test_the_mask_names_the_updated_columns(admin: SqlSession) -> None:
    run(admin, "INSERT INTO t VALUES (1, 'a', 1); UPDATE t SET b = 2")
    sql = RANGE.format("dbo_t") + (
        "SELECT c.[__$update_mask], sys.fn_cdc_is_bit_set(sys.fn_cdc_get_column_ordinal('dbo_t', 'b'), "
        "c.[__$update_mask]), sys.fn_cdc_has_column_changed('dbo_t', 'a', c.[__$update_mask]) FROM "
        f"cdc.fn_cdc_get_all_changes_dbo_t(@from, @to, N'all') AS c {ORDER}"
    )
    assert query(admin, sql) == [(b"\x07", True, True), (b"\x04", True, False)]


def test_net_changes_are_one_row_for_a_key(admin: SqlSession) -> None:
    run(admin, "INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)")
    run(admin, "UPDATE t SET a = 'x' WHERE id = 1; DELETE FROM t WHERE id = 2")
    assert query(admin, NET.format("dbo_t")) == [(2, 1, "x"), (2, 3, "c")], "2 came and went"
    start = lsn(admin, "sys.fn_cdc_get_max_lsn()")
    assert start is not None
    run(
        admin,
        "UPDATE t SET a = 'y' WHERE id = 1; DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (3, 'again', 3); DELETE FROM t WHERE id = 1",
    )
    later = f"DECLARE @to binary(10) = sys.fn_cdc_get_max_lsn(); DECLARE @from binary(10) = sys.fn_cdc_increment_lsn(0x{start.hex()}); "
    sql = (
        later
        + "SELECT c.[__$operation], c.id, c.a FROM cdc.fn_cdc_get_net_changes_dbo_t(@from, @to, N'all') AS c ORDER BY c.id"
    )
    assert query(admin, sql) == [(1, 1, "y"), (4, 3, "again")]


@pytest.mark.parametrize(
    ("low", "high", "rows"),
    [
        ("0x00000000000000000000", "sys.fn_cdc_get_max_lsn()", "all"),
        ("sys.fn_cdc_get_min_lsn('dbo_t')", "0x7FFFFFFFFFFFFFFFFFFF", "all"),
        ("sys.fn_cdc_get_max_lsn()", "sys.fn_cdc_get_min_lsn('dbo_t')", "all"),
        ("NULL", "sys.fn_cdc_get_max_lsn()", "all"),
        ("sys.fn_cdc_get_min_lsn('dbo_t')", "sys.fn_cdc_get_max_lsn()", "everything"),
    ],
)
def test_a_range_outside_of_what_is_held_is_error_313(
    admin: SqlSession, low: str, high: str, rows: str
) -> None:
    run(admin, "INSERT INTO t VALUES (1, 'a', 1)")
    sql = (
        f"DECLARE @from binary(10) = {low}; DECLARE @to binary(10) = {high}; "
        f"SELECT c.id FROM cdc.fn_cdc_get_all_changes_dbo_t(@from, @to, N'{rows}') AS c"
    )
    assert number_of(admin, sql) == 313


def test_nothing_new_is_a_range_that_is_refused(admin: SqlSession) -> None:
    """Incremented past the last LSN: a reader has to ask for the maximum first."""
    run(admin, "INSERT INTO t VALUES (1, 'a', 1)")
    sql = (
        "DECLARE @to binary(10) = sys.fn_cdc_get_max_lsn(); DECLARE @from binary(10) = sys.fn_cdc_increment_lsn(@to); "
        "SELECT c.id FROM cdc.fn_cdc_get_all_changes_dbo_t(@from, @to, N'all') AS c"
    )
    assert number_of(admin, sql) == 313


def test_capture_lags_behind_the_database(admin: SqlSession) -> None:
    run(admin, "EXEC sandbox.cdc_lag @seconds = 60; INSERT INTO t VALUES (1, 'a', 1)")
    before = lsn(admin, "sys.fn_cdc_get_max_lsn()")
    assert (query(admin, "SELECT COUNT(*) FROM t"), captured(admin)) == ([(1,)], [])
    run(admin, "EXEC sandbox.clock_advance @seconds = 61")
    assert captured(admin) == [(2, 1, "a")]
    after = lsn(admin, "sys.fn_cdc_get_max_lsn()")
    assert before is not None and after is not None and after > before  # noqa: PT018


def test_a_stopped_job_captures_nothing_and_shows_no_sign_of_life(admin: SqlSession) -> None:
    alive = "SELECT MAX(m.tran_end_time) FROM cdc.lsn_time_mapping AS m"
    run(admin, "EXEC sys.sp_cdc_stop_job @job_type = N'capture'; INSERT INTO t VALUES (1, 'a', 1)")
    ((stopped,),) = query(admin, alive)
    run(admin, "EXEC sandbox.clock_advance @seconds = 3600")
    assert (query(admin, alive), captured(admin)) == ([(stopped,)], [])
    assert query(admin, "SELECT COUNT(*) FROM sys.dm_cdc_log_scan_sessions") == [(0,)]
    run(admin, "EXEC sys.sp_cdc_start_job @job_type = N'capture'")
    assert captured(admin) == [(2, 1, "a")], "the log was kept"
    assert query(admin, "SELECT COUNT(*) FROM sys.dm_cdc_log_scan_sessions") == [(1,)]


def test_a_failing_capture_process_says_why_and_captures_nothing(admin: SqlSession) -> None:
    """Case 53: a column that became wider than the instance's; the errors are those of the server's view."""
    run(
        admin, "EXEC sandbox.cdc_error @number = 2628, @message = N'String or binary data would be truncated'"
    )
    run(admin, "INSERT INTO t VALUES (1, 'a', 1); EXEC sandbox.clock_advance @seconds = 3600")
    assert captured(admin) == []
    assert query(admin, "SELECT e.error_number FROM sys.dm_cdc_errors AS e") == [(2628,)]
    assert query(admin, "SELECT s.error_count FROM sys.dm_cdc_log_scan_sessions AS s") == [(1,)]
    run(admin, "EXEC sandbox.cdc_error @number = 0")
    assert captured(admin) == [(2, 1, "a")]
    assert query(admin, "SELECT COUNT(*) FROM sys.dm_cdc_errors") == [(0,)]


def test_an_idle_job_shows_that_it_is_alive(admin: SqlSession) -> None:
    """An entry without a transaction moves the maximum, so that a watermark can move, too."""
    before = lsn(admin, "sys.fn_cdc_get_max_lsn()")
    run(admin, "EXEC sandbox.clock_advance @seconds = 1200")
    assert lsn(admin, "sys.fn_cdc_get_max_lsn()") > before  # type: ignore[operator]
    run(admin, "INSERT INTO t VALUES (1, 'a', 1)")
    transactions = "SELECT COUNT(*) FROM cdc.lsn_time_mapping AS m WHERE m.tran_id <> 0x00"
    assert query(admin, transactions) == [(1,)]
    assert captured(admin) == [(2, 1, "a")]


def test_cleanup_raises_the_smallest_lsn(admin: SqlSession) -> None:
    run(admin, "INSERT INTO t VALUES (1, 'a', 1)")
    first = lsn(admin, "sys.fn_cdc_get_min_lsn('dbo_t')")
    run(
        admin,
        "EXEC sandbox.clock_advance @seconds = 300000; INSERT INTO t VALUES (2, 'b', 2); EXEC sandbox.cdc_cleanup",
    )
    smallest = lsn(admin, "sys.fn_cdc_get_min_lsn('dbo_t')")
    assert first is not None and smallest is not None and smallest > first  # noqa: PT018
    assert (2, 2, "b") in captured(admin)
    sql = f"SELECT c.id FROM cdc.fn_cdc_get_all_changes_dbo_t(0x{first.hex()}, sys.fn_cdc_get_max_lsn(), N'all') AS c"
    assert number_of(admin, sql) == 313
    run(
        admin,
        "DECLARE @m binary(10) = sys.fn_cdc_get_max_lsn(); EXEC sys.sp_cdc_cleanup_change_table @capture_instance = 'dbo_t', @low_water_mark = @m",
    )
    assert lsn(admin, "sys.fn_cdc_get_min_lsn('dbo_t')") == lsn(admin, "sys.fn_cdc_get_max_lsn()")


def test_times_map_to_lsns_and_back(admin: SqlSession) -> None:
    run(admin, "EXEC sandbox.clock_set @local = '2026-02-01 08:00:00'; INSERT INTO t VALUES (1, 'a', 1)")
    run(admin, "EXEC sandbox.clock_set @local = '2026-02-02 08:00:00'; INSERT INTO t VALUES (2, 'b', 2)")
    map_ = "sys.fn_cdc_map_time_to_lsn('{}', CONVERT(datetime, '2026-02-01 12:00:00', 121))"
    low, high = (
        lsn(admin, map_.format("largest less than or equal")),
        lsn(admin, map_.format("smallest greater than")),
    )
    assert low is not None and high is not None and low < high  # noqa: PT018
    assert query(admin, f"SELECT CONVERT(varchar(10), sys.fn_cdc_map_lsn_to_time(0x{low.hex()}), 120)") == [
        ("2026-02-01",)
    ]
    assert (
        lsn(
            admin, "sys.fn_cdc_map_time_to_lsn('smallest greater than', CONVERT(datetime, '2030-01-01', 121))"
        )
        is None
    )


def test_two_instances_carry_a_changed_table_over(admin: SqlSession) -> None:
    run(admin, "INSERT INTO t VALUES (1, 'a', 1); ALTER TABLE t ADD c varchar(5) NULL")
    run(admin, "UPDATE t SET c = 'new', a = 'b' WHERE id = 1; UPDATE t SET c = 'newer' WHERE id = 1")
    assert [row[0] for row in captured(admin)] == [2, 4], (
        "the old instance goes on with its columns, and only those"
    )
    assert query(admin, "SELECT ddl_command, required_column_update FROM cdc.ddl_history") == [
        ("ALTER TABLE t ADD c varchar(5) NULL", False)
    ]
    run(admin, ENABLE + ", @capture_instance = N'dbo_t_v2'")
    run(admin, "UPDATE t SET c = 'two', a = 'c' WHERE id = 1")
    assert [row[0] for row in captured(admin)] == [2, 4, 4]
    sql = (
        RANGE.format("dbo_t_v2")
        + "SELECT c.[__$operation], c.c FROM cdc.fn_cdc_get_all_changes_dbo_t_v2(@from, @to, N'all') AS c"
    )
    assert query(admin, sql) == [(4, "two")], "from its own start on"
    instances = (
        "SELECT ct.capture_instance, COUNT(*) FROM cdc.change_tables AS ct JOIN cdc.captured_columns AS cc ON "
        "cc.object_id = ct.object_id WHERE ct.source_object_id = OBJECT_ID(N'[dbo].[t]') GROUP BY ct.capture_instance ORDER BY 1"
    )
    assert query(admin, instances) == [("dbo_t", 3), ("dbo_t_v2", 4)]
    assert number_of(admin, ENABLE + ", @capture_instance = N'dbo_t_v3'") == 22962
    run(
        admin,
        "EXEC sys.sp_cdc_disable_table @source_schema = N'dbo', @source_name = N't', @capture_instance = N'dbo_t'",
    )
    assert number_of(admin, ALL.format("dbo_t", "all")) == 208, "a vanished instance"
    assert lsn(admin, "sys.fn_cdc_get_min_lsn('dbo_t')") == bytes(10)


def test_a_part_of_the_columns_is_captured(admin: SqlSession) -> None:
    run(
        admin,
        ENABLE + ", @capture_instance = N'few', @captured_column_list = N'id, b', @supports_net_changes = 0",
    )
    run(admin, "INSERT INTO t VALUES (1, 'a', 5); UPDATE t SET a = 'x'")
    assert query(admin, "SELECT COUNT(*) FROM cdc.few_CT") == [(1,)], (
        "a is not captured: no row of its update"
    )
    sql = (
        RANGE.format("few")
        + f"SELECT c.[__$operation], c.b, c.[__$update_mask] FROM cdc.fn_cdc_get_all_changes_few(@from, @to, N'all') AS c {ORDER}"
    )
    assert query(admin, sql)[0] == (2, 5, b"\x03")
    assert number_of(admin, sql.replace("c.b", "c.a")) == 207
    assert number_of(admin, NET.format("few")) == 208, "without net changes there is no such function"


def test_the_gating_role_and_the_columns_decide_who_reads(engine: SandboxEngine, admin: SqlSession) -> None:
    run(
        admin,
        ENABLE.replace("NULL", "N'gate'")
        + ", @capture_instance = N'gated'; INSERT INTO t VALUES (1, 'a', 1)",
    )
    run(
        admin,
        "CREATE LOGIN feed WITH PASSWORD = 'Feed!1'; CREATE USER feed FOR LOGIN feed; GRANT SELECT ON t TO feed",
    )
    feed = engine.login("feed", "Feed!1", "PACS", "host", "tests")
    high = lsn(admin, "sys.fn_cdc_get_max_lsn()")
    assert high is not None
    read = f"SELECT c.id FROM cdc.fn_cdc_get_all_changes_gated(0x{high.hex()}, 0x{high.hex()}, N'all') AS c"
    assert number_of(feed, read) == 229
    assert lsn(feed, "sys.fn_cdc_get_min_lsn('gated')") == bytes(10), "zero, and no error: the trap"
    run(admin, "ALTER ROLE gate ADD MEMBER feed")
    assert query(feed, read) == [(1,)]
    assert number_of(feed, "SELECT * FROM cdc.change_tables") == 229
    run(admin, "GRANT SELECT ON OBJECT::[cdc].[change_tables] TO feed")
    assert query(feed, "SELECT COUNT(*) FROM cdc.change_tables") == [(2,)]
    run(admin, "DENY SELECT ON t (b) TO feed")
    assert number_of(feed, read) == 229
    feed.close()


def test_change_tracking_and_capture_of_one_table_go_together(admin: SqlSession) -> None:
    run(admin, "ALTER DATABASE PACS SET CHANGE_TRACKING = ON; ALTER TABLE t ENABLE CHANGE_TRACKING")
    run(admin, "INSERT INTO t VALUES (1, 'a', 1); UPDATE t SET b = 2")
    changes = "SELECT ct.SYS_CHANGE_VERSION, ct.SYS_CHANGE_OPERATION FROM CHANGETABLE(CHANGES t, 0) AS ct"
    assert query(admin, changes) == [(2, "I")]
    assert [row[0] for row in captured(admin)] == [2, 4]
    run(admin, "EXEC sandbox.clock_advance @seconds = 400000; EXEC sandbox.change_tracking_cleanup")
    assert [row[0] for row in captured(admin)] == [2, 4]
    run(admin, "ALTER TABLE t DISABLE CHANGE_TRACKING; DELETE FROM t")
    assert [row[0] for row in captured(admin)] == [2, 4, 1]


def test_the_errors_have_the_servers_numbers(engine: SandboxEngine) -> None:
    session = engine.login(*ADMIN)
    run(session, "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY); CREATE TABLE dbo.h (id int NULL)")
    assert number_of(session, ENABLE) == 22901
    assert number_of(session, "SELECT sys.fn_cdc_get_max_lsn()") == 208
    run(session, "EXEC sys.sp_cdc_enable_db")
    assert number_of(session, "EXEC sys.sp_cdc_enable_db") == 22902
    assert number_of(session, ENABLE.replace("N't'", "N'missing'")) == 22931
    assert number_of(session, ENABLE.replace("N't'", "N'h'") + ", @supports_net_changes = 1") == 22939
    run(session, ENABLE)
    assert number_of(session, ENABLE) == 22926
    assert number_of(session, "TRUNCATE TABLE t") == 4711
    disable = "EXEC sys.sp_cdc_disable_table @source_schema = N'dbo', @source_name = N't', @capture_instance = N'{}'"
    assert number_of(session, disable.format("nothing")) == 22960
    run(session, disable.format("all") + "; TRUNCATE TABLE t; EXEC sys.sp_cdc_disable_db")
    assert query(session, "SELECT is_cdc_enabled FROM sys.databases WHERE name = 'PACS'") == [(False,)]
    session.close()
