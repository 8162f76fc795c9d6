"""PACS's own journal as the source of changes: what it shows, what comes late, and what happens while it is
switched off.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.records import EntityRun
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from tests.support.county import of
from tests.support.harris import HarrisCounty, HarrisPacs
from tests.support.harris_fixtures import Maker, maker
from tests.support.server import only_the_sandbox

JOURNAL = {"mode": "change_log"}


@pytest.fixture(scope="module")
def pacs() -> Iterator[HarrisPacs]:
    only_the_sandbox("the generated PACS 9.0 county is made inside the sandbox's engine")
    engine = HarrisPacs()
    writer = engine.writer()
    writer.execute("EXEC sandbox.change_log @on = 1")
    yield engine
    engine.close()


@pytest.fixture
def make(pacs: HarrisPacs, pg_url: str, quick_rules: None) -> Iterator[Maker]:
    """Makes counties that are read by the journal, each with its first load behind it."""
    with maker(pacs, pg_url) as make_one:

        def made_county(*entities: str, **sections: Any) -> HarrisCounty:
            entities = entities or ("property",)
            county = make_one(*entities, **({"tables": {entity: JOURNAL for entity in entities}} | sections))
            county.clock.step(minutes=5)
            county.sync()
            return county

        yield made_county


def run_of(county: HarrisCounty, entity: str = "property") -> EntityRun:
    """The next run's record of an entity; its certificate is clean."""
    published, certificate = county.sync()
    assert certificate.clean
    return county.plan_of(published.run_id, entity)


def test_an_entry_of_any_table_reads_that_property_only(make: Maker) -> None:
    """Insert, update and delete in the tables of an entity: by the journal; a table without a trigger by its
    contents.
    """
    county = make("property", "structure")
    valued, moved, built, gone = county.plain(4)
    county.pacs(
        f"UPDATE dbo.property_val SET legal_acreage = 7.5 WHERE prop_id = {valued} AND prop_val_yr = 2026 AND sup_num = 0"
    )
    county.pacs(f"UPDATE dbo.situs SET situs_num = '8' WHERE prop_id = {moved} AND primary_situs = 'Y'")
    county.pacs(
        f"UPDATE dbo.imprv SET actual_year_built = 1999 WHERE prop_id = {built} AND prop_val_yr = 2026"
    )
    county.pacs(f"DELETE FROM dbo.imprv WHERE prop_id = {gone} AND prop_val_yr = 2026")
    published, certificate = county.sync()
    assert certificate.clean
    plan = county.plan_of(published.run_id, "property")
    assert (plan.strategy, of(published, "property").read) == ("change_log", 4)
    assert of(published, "structure").deleted >= 1
    assert county.live("property", str(valued))["acreage"] == 7.5
    assert county.live("property", str(moved))["address"].startswith("8 ")
    assert {
        row["year_built"]
        for row in county.keyed("structure").values()
        if row["_source_key"].startswith(f"{built}/")
    } == {1999}
    again = run_of(county)
    assert (again.mode, again.rows_updated) == ("window", 0)


def acreage(county: HarrisCounty, prop_id: int, value: float) -> str:
    return (
        f"UPDATE dbo.property_val SET legal_acreage = {value} WHERE prop_id = {prop_id} AND prop_val_yr = 2026 "
        "AND sup_num = 0"
    )


@pytest.mark.parametrize(
    "seen",
    [True, pytest.param(False, marks=pytest.mark.slow)],
    ids=["open writers are seen", "the overlap alone"],
)
def test_a_low_number_that_comes_late_is_not_passed_by(make: Maker, seen: bool) -> None:
    """Case 20: an entry's number is given before its transaction is committed; entries are read again as far back
    as the overlap, or as the oldest open transaction.
    """
    county = make(sync={"overlap_minutes": 0, "clock": "utc"} if seen else {})
    county.source.denied = () if seen else ("dm_tran_database_transactions",)
    slow, quick = county.plain(2)
    writer = county.writer()
    writer.begin()
    writer.execute(acreage(county, slow, 11.5))
    county.clock.step(minutes=5)
    county.pacs(acreage(county, quick, 12.5))
    county.clock.step(minutes=5)
    assert run_of(county).mode == "window"
    assert county.live("property", str(quick))["acreage"] == 12.5
    county.clock.step(minutes=30)
    run_of(county)
    writer.commit()
    assert run_of(county).mode == "window"
    assert county.live("property", str(slow))["acreage"] == 11.5


@pytest.mark.parametrize(
    ("off", "on", "what"),
    [
        ("EXEC SetMachineLogChanges 0", "EXEC SetMachineLogChanges 1", "1 machines"),
        pytest.param(
            "INSERT INTO pacs_trigger_enable VALUES ('property_val', 0)",
            "DELETE FROM pacs_trigger_enable",
            "1 tables",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_while_the_journal_is_switched_off_every_row_is_compared(
    make: Maker, off: str, on: str, what: str
) -> None:
    """A GIS update, a year's roll, a table's own switch: as long as it is off, and once more when it is on."""
    county = make()
    first, second = county.plain(2)
    county.pacs(off)
    county.pacs(acreage(county, first, 21.5))
    run = run_of(county)
    assert (run.mode, run.reason) == (
        "full",
        f"the journal is switched off for {what}: every row is compared",
    )
    county.pacs(acreage(county, second, 22.5))
    county.pacs(on)
    assert run_of(county).mode == "full"
    assert [county.live("property", str(number))["acreage"] for number in (first, second)] == [21.5, 22.5]
    county.clock.step(minutes=80)
    assert "within the overlap" in run_of(county).reason
    county.pacs(acreage(county, first, 23.5))
    assert run_of(county).mode == "window"
    assert county.live("property", str(first))["acreage"] == 23.5


def test_what_was_changed_without_an_entry_may_be_committed_later(make: Maker) -> None:
    """A transaction that began while the journal was off ends when it is on again, and was compared."""
    county = make()
    (prop_id,) = county.plain(1)
    county.pacs("INSERT INTO pacs_trigger_enable VALUES ('property_val', 0)")
    run_of(county)
    writer = county.writer()
    writer.begin()
    writer.execute(acreage(county, prop_id, 27.5))
    county.pacs("DELETE FROM pacs_trigger_enable")
    run_of(county)
    county.clock.step(minutes=20)
    writer.commit()
    assert run_of(county).mode == "full"
    assert county.live("property", str(prop_id))["acreage"] == 27.5


def test_what_a_run_saw_switched_off_is_not_forgotten_when_it_fails(make: Maker) -> None:
    """The journal is on again, as it was before, when the next run looks: its own state shows nothing any more."""
    county = make()
    (prop_id,) = county.plain(1)
    county.pacs("EXEC SetMachineLogChanges 0")
    county.stage()
    county.pacs(acreage(county, prop_id, 26.5))
    county.pacs("DELETE FROM chg_log_user")
    assert run_of(county).mode == "full"
    assert county.live("property", str(prop_id))["acreage"] == 26.5


@pytest.mark.slow
def test_what_was_found_while_the_journal_was_off_is_found_again_after_a_rollback(make: Maker) -> None:
    """The cursor goes back to a time when the journal was on, as it is again; the change is in no entry."""
    county = make("property", history={"enabled": True})
    silent, journalled = county.plain(2)
    county.pacs(acreage(county, journalled, 51.5))
    base = county.sync()[0].run_id
    county.pacs(acreage(county, journalled, 52.5))
    county.sync()
    county.pacs("EXEC SetMachineLogChanges 0")
    county.pacs(acreage(county, silent, 27.5))
    assert run_of(county).mode == "full"
    county.pacs("DELETE FROM chg_log_user")
    steps.rollback(county.config, county.target, run_id=base, onto=True, actor="ann", trigger="test")
    steps.resume(county.config, county.target, actor="ann")
    assert run_of(county).mode == "full"
    assert [county.live("property", str(number))["acreage"] for number in (silent, journalled)] == [
        27.5,
        52.5,
    ]


@pytest.mark.slow
def test_a_supplement_behind_the_journals_back_is_found_by_its_contents(make: Maker) -> None:
    """PACS makes supplements with its journal off, and has switched it on again before anybody looks: the layer
    that became the current one shows it.
    """
    county = make()
    (prop_id,) = county.plain(1)
    county.pacs("EXEC SetMachineLogChanges 0")
    county.supplement(prop_id, 2026, 7, group=907, legal_acreage=77)
    county.pacs("EXEC SetMachineLogChanges 1")
    run = run_of(county)
    row = county.live("property", str(prop_id))
    assert (row["supplement_no"], row["acreage"]) == (7, 77)
    assert run.mode == "full" or run.rows_read < 5
    county.pacs("DELETE FROM chg_log_user")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "because", "acres"),
    [
        ("DELETE FROM change_log", "went back", 31.5),
        (
            "DELETE FROM change_log WHERE lChangeID < (SELECT MAX(lChangeID) FROM change_log)",
            "were removed",
            33.5,
        ),
    ],
)
def test_a_journal_that_was_cut_means_a_comparison(
    make: Maker, damage: str, because: str, acres: float
) -> None:
    """Cases 87, 95: emptied, restored or archived beyond the cursor."""
    county = make()
    first, second = county.plain(2)
    run_of(county)
    county.pacs(acreage(county, first, acres))
    county.pacs(acreage(county, second, acres + 1))
    county.pacs(damage)
    run = run_of(county)
    assert (run.mode, because in run.reason) == ("full", True)
    assert [county.live("property", str(number))["acreage"] for number in (first, second)] == [
        acres,
        acres + 1,
    ]


def test_who_changed_what_is_in_the_audit_and_not_in_the_tables(make: Maker) -> None:
    """Account and machine of the journal, and how many entries; no value of a row."""
    county = make()
    (prop_id,) = county.plain(1)
    county.pacs(acreage(county, prop_id, 41.5))
    run = run_of(county)
    events = county.sql(
        "SELECT details FROM pacs_ops.audit WHERE county_id = %s AND action = 'source.changed' AND run_id = %s",
        county.fips,
        run.run_id,
    )
    # The overlap brings what other tests of this database did, too.
    by = {(each["account"], each["machine"]): each["entries"] for each in events[0]["details"]["by"]}
    assert by["sa", "assessor"] >= 1
    assert "41.5" not in str(events)
    assert not [
        name for name in county.live("property", str(prop_id)) if "machine" in name or "account" in name
    ]


@pytest.mark.slow
def test_an_owners_name_is_followed_to_their_properties(make: Maker) -> None:
    """The entity `owner` has no rowversion at all: an account's entry leads to the properties that it owns."""
    county = make("property", "owner")
    prop_id, other = county.plain(2)
    owner = county.rows_in("owner", "owner_id", f"prop_id = {prop_id} AND owner_tax_yr = 2026")[0]["owner_id"]
    county.pacs(f"UPDATE dbo.account SET file_as_name = 'NEW NAME' WHERE acct_id = {owner}")
    county.pacs(f"DELETE FROM dbo.owner WHERE prop_id = {other} AND owner_tax_yr = 2026")
    published, certificate = county.sync()
    assert certificate.clean
    assert county.plan_of(published.run_id, "owner").mode == "window"
    assert of(published, "owner").read < 10
    assert county.live("owner", f"{prop_id}/{owner}")["owner_name"] == "NEW NAME"
    assert not [key for key in county.keyed("owner") if key.startswith(f"{other}/")]


@pytest.mark.slow
def test_a_journal_that_passes_a_column_over_is_not_read(make: Maker) -> None:
    """A column that PACS does not audit would change without an entry."""
    county = make()
    where = "WHERE chg_log_tables = 'property_val' AND chg_log_columns = 'legal_acreage'"
    county.pacs(f"UPDATE chg_log_columns SET chg_log_audit = 0 {where}")
    with pytest.raises(ConfigError, match="does not audit legal_acreage"):
        county.sync()
    county.pacs(f"UPDATE chg_log_columns SET chg_log_audit = 1 {where}")


@pytest.mark.slow
def test_the_journal_is_taken_where_nothing_better_is_there(make: Maker) -> None:
    """On a readable secondary a rowversion has no bound; the journal is there like any other table."""
    county = make("owner", "property", tables={})
    county.pacs("EXEC sandbox.secondary @on = 1")
    try:
        published, _ = county.sync()
        strategies = {
            entity: county.plan_of(published.run_id, entity).strategy for entity in ("owner", "property")
        }
    finally:
        county.pacs("EXEC sandbox.secondary @on = 0")
    assert strategies == {"owner": "change_log", "property": "change_log"}
