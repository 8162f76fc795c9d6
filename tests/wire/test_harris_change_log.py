"""PACS's own journal: what its triggers write, what is late, and what switches them off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_pacs.sandbox.counties.harris import county
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from airflow_provider_pacs.sandbox.tsql.session import SqlSession
from tests.wire.tsql_support import HARRIS_ADMIN, query, run

ENTRIES = """SELECT c.lChangeID, c.szChangeType, t.szTableName, p.szColumnName, c.szOldValue, c.szNewValue FROM change_log AS c
    JOIN pacs_tables AS t ON t.iTableID = c.iTableID LEFT JOIN pacs_columns AS p ON p.iColumnID = c.iColumnID
    WHERE c.lChangeID > {} ORDER BY c.lChangeID"""
KEYS = """SELECT k.lChangeID, p.szColumnName, k.szKeyValue, k.lKeyValue FROM change_log_keys AS k JOIN pacs_columns AS p
    ON p.iColumnID = k.iColumnID WHERE k.lChangeID > {} ORDER BY k.lChangeID, p.szColumnName"""


@pytest.fixture(scope="module")
def engine() -> Iterator[SandboxEngine]:
    made = county.build(SandboxEngine(), "tiny")
    session = made.login(*HARRIS_ADMIN)
    run(session, "EXEC sandbox.change_log @on = 1")
    session.close()
    yield made
    made.close()


@pytest.fixture
def clerk(engine: SandboxEngine) -> Iterator[SqlSession]:
    session = engine.login("sa", "Sandbox!Admin1", "pacs_oltp", "COUNTER-7", "PACS")
    yield session
    session.close()


def last(session: SqlSession) -> int:
    return query(session, "SELECT MAX(lChangeID) FROM change_log")[0][0]


def entries(session: SqlSession, after: int) -> list:
    return query(session, ENTRIES.format(after))


def test_an_update_is_an_entry_for_each_changed_column_with_its_keys(clerk: SqlSession) -> None:
    start = last(clerk)
    ((prop, old),) = query(clerk, "SELECT TOP 1 prop_id, geo_id FROM property ORDER BY prop_id")
    run(
        clerk,
        f"UPDATE property SET geo_id = 'new-1', utilities = 'well', prop_type_cd = prop_type_cd WHERE prop_id = {prop}",
    )
    assert sorted((row[1:] for row in entries(clerk, start)), key=lambda row: row[2]) == [
        ("U", "property", "geo_id", old, "new-1"),
        ("U", "property", "utilities", None, "well"),
    ], "a column that is set to what it was has no entry"
    assert [(row[1], row[3]) for row in query(clerk, KEYS.format(start))] == [("prop_id", prop)] * 2
    who = (
        f"SELECT DISTINCT szSQLAccount, szMachineName, lPacsUserID FROM change_log WHERE lChangeID > {start}"
    )
    assert query(clerk, who) == [("sa", "COUNTER-7", 0)]


def test_a_delete_is_one_entry_and_an_insert_one_for_each_column(clerk: SqlSession) -> None:
    start = last(clerk)
    ((situs, prop),) = query(clerk, "SELECT TOP 1 situs_id, prop_id FROM situs ORDER BY situs_id DESC")
    run(clerk, f"DELETE FROM situs WHERE situs_id = {situs} AND prop_id = {prop}")
    ((number, kind, table, column, old, new),) = entries(clerk, start)
    assert (kind, table, column, old, new) == ("D", "situs", None, "DELETED", "DELETED")
    assert {row[1:] for row in query(clerk, KEYS.format(start))} >= {("prop_id", str(prop), prop)}
    run(
        clerk,
        f"INSERT INTO situs (situs_id, prop_id, primary_situs, situs_num) VALUES ({situs}, {prop}, 'Y', '12')",
    )
    inserted = {row[3]: row[5] for row in entries(clerk, number) if row[1] == "I"}
    assert (inserted["situs_num"], inserted["primary_situs"], inserted["situs_street"]) == ("12", "Y", None)
    assert "situs_display" not in inserted, "a computed column has no entry"


def test_the_future_year_layer_is_journalled_under_its_real_year(clerk: SqlSession) -> None:
    start = last(clerk)
    ((future,),) = query(clerk, "SELECT future_yr FROM pacs_system")
    ((prop, sup),) = query(
        clerk, "SELECT TOP 1 prop_id, sup_num FROM property_val WHERE prop_val_yr = 0 ORDER BY prop_id"
    )
    run(
        clerk,
        f"UPDATE property_val SET hood_cd = 'X9' WHERE prop_val_yr = 0 AND prop_id = {prop} AND sup_num = {sup}",
    )
    assert ("prop_val_yr", str(future), future) in {row[1:] for row in query(clerk, KEYS.format(start))}


def test_a_late_commit_brings_low_numbers_late_and_a_rollback_leaves_a_gap(
    engine: SandboxEngine, clerk: SqlSession
) -> None:
    start = last(clerk)
    other = engine.login(*HARRIS_ADMIN)
    props = [row[0] for row in query(clerk, "SELECT TOP 3 prop_id FROM property ORDER BY prop_id DESC")]
    edit = "UPDATE property SET topography = '{}' WHERE prop_id = {}"
    run(clerk, "BEGIN TRAN; " + edit.format("slow", props[0]))
    run(
        other,
        "BEGIN TRAN; " + edit.format("undone", props[1]) + "; ROLLBACK; " + edit.format("quick", props[2]),
    )
    assert [(row[0], row[5]) for row in entries(other, start)] == [(start + 3, "quick")]
    run(clerk, "COMMIT")
    assert [(row[0], row[5]) for row in entries(other, start)] == [(start + 1, "slow"), (start + 3, "quick")]
    other.close()


def test_logging_is_off_for_a_machine_a_table_or_a_column(engine: SandboxEngine, clerk: SqlSession) -> None:
    start = last(clerk)
    edit = "UPDATE property SET road_access = '{}', other = '{}'"
    run(clerk, "EXEC SetMachineLogChanges 0; " + edit.format("a", "a"))
    assert entries(clerk, start) == []
    other = engine.login(*HARRIS_ADMIN)
    run(other, "UPDATE property SET other = 'b' WHERE prop_id = (SELECT MIN(prop_id) FROM property)")
    assert len(entries(clerk, start)) == 1, "another machine goes on"
    run(
        clerk,
        "EXEC SetMachineLogChanges 1; INSERT INTO pacs_trigger_enable VALUES ('property', 0); "
        + edit.format("c", "c"),
    )
    assert len(entries(clerk, start)) == 1
    run(
        clerk,
        "DELETE FROM pacs_trigger_enable; UPDATE chg_log_columns SET chg_log_audit = 0 WHERE chg_log_tables = 'property' AND chg_log_columns = 'other'",
    )
    run(clerk, edit.format("d", "d") + " WHERE prop_id = (SELECT MIN(prop_id) FROM property)")
    assert [row[3] for row in entries(clerk, start)] == ["other", "road_access"]
    other.close()


def test_tables_without_a_trigger_leave_no_entry(clerk: SqlSession) -> None:
    """Moving prop_supp_assoc makes another layer current, and the journal does not know."""
    start = last(clerk)
    run(clerk, "UPDATE prop_supp_assoc SET sup_num = sup_num WHERE sup_num = 0")
    assert entries(clerk, start) == []
