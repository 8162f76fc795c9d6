"""Change Tracking under the joined entities of PACS 9.0: a change of any contributing table leads to the
properties whose rows are read again, and to no others.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_pacs.sandbox.counties.harris import nightly_changes, tables
from airflow_provider_pacs.sync.preflight.resolve import resolve_tables
from airflow_provider_pacs.sync.profiles import load_profile, load_tables
from airflow_provider_pacs.sync.records import RunOutcome
from airflow_provider_pacs.sync.schema.joined import render
from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.support.county import county_config, of
from tests.support.harris import ENTITIES, HarrisCounty, HarrisPacs
from tests.support.server import only_the_sandbox

TRACK = load_profile("harris_pacs_9")["track"]
TRACKED = [name for name, spec in TRACK.items() if spec]


@pytest.fixture(scope="module")
def pacs() -> Iterator[HarrisPacs]:
    """A county whose DBA ran the script of `pacs grants --change-tracking`."""
    only_the_sandbox("the generated PACS 9.0 county is made inside the sandbox's engine")
    engine = HarrisPacs()
    dba = engine.writer()
    dba.execute(
        "ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 15 DAYS, AUTO_CLEANUP = ON)"
    )
    for name in TRACKED:
        dba.execute(f"ALTER TABLE [dbo].[{name}] ENABLE CHANGE_TRACKING WITH (TRACK_COLUMNS_UPDATED = OFF)")
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def made(pacs: HarrisPacs, pg_url: str) -> Iterator[HarrisCounty]:
    """All four entities; what a test changes is the county's past to the next one."""
    config = county_config(ENTITIES, source={"profile": "harris_pacs_9"})
    target = PostgresTarget.from_url(pg_url)
    target.connection.execute("SET synchronous_commit = off")
    yield HarrisCounty(pacs, pacs.clock, target, pg_url, config)  # type: ignore[arg-type]
    target.close()
    pacs.end_sessions()


@pytest.fixture
def county(made: HarrisCounty, quick_rules: None) -> HarrisCounty:
    """The county, in step with its target."""
    _, certificate = made.sync()
    assert certificate.clean
    assert {made.state(entity).strategy for entity in ENTITIES} == {"change_tracking"}
    return made


def windowed(county: HarrisCounty) -> RunOutcome:
    """The next run, in windows; its certificate is clean, and a comparison of every row finds nothing."""
    outcome, certificate = county.sync()
    assert {each.entity: each.mode for each in outcome.entities} == dict.fromkeys(ENTITIES, "window")
    assert certificate.clean, certificate
    compared, certificate = county.reconciled()
    assert certificate.clean
    assert {each.entity: each.sample_keys for each in compared.entities} == dict.fromkeys(ENTITIES, ())
    return outcome


def test_every_table_of_every_entity_has_its_way_to_the_root_keys() -> None:
    """Whatever a county chooses: no table is read whose changes nobody follows, and the keys are PACS's own."""
    for options in ({}, {"supplements": "accepted", "future_layer": True}, {"supplements": "base"}):
        for mapped in load_tables("harris_pacs_9", options=options).values():
            selection = render(mapped)
            if mapped.entity in (
                "sale",
                "sale_property",
                "code",
            ):  # their root is no property: compared whole
                assert selection.untracked, mapped.entity
                continue
            followed = {track.table for track in selection.tracks}
            looked_at = {name for name, spec in TRACK.items() if spec is None}
            assert selection.untracked == ()
            assert {read.name for read in selection.tables} <= followed | looked_at
            for track in selection.tracks:
                assert track.key == tables.tables()[track.table].primary_key
    for name in (name for name, spec in TRACK.items() if spec is None):
        used = [spec["select"] for spec in load_profile("harris_pacs_9")["settings"].values()]
        snippets = load_profile("harris_pacs_9")["snippets"]
        assert any(f"{{{name}}}" in select.replace("{roll}", snippets["roll"]) for select in used), name


def test_a_change_of_each_contributing_table_is_in_the_target(county: HarrisCounty) -> None:
    """Cases 32, 33, 35, 113: updates, inserts and deletes in every table, without any stamp."""
    a, b, c, d, e, f, g = county.plain(7)
    year = "prop_val_yr = 2026 AND sup_num = 0"
    (owner,) = county.rows_in("owner", "owner_id", f"prop_id = {a} AND owner_tax_yr = 2026 AND sup_num = 0")
    (other,) = county.rows_in("owner", "owner_id", f"prop_id = {b} AND owner_tax_yr = 2026 AND sup_num = 0")
    for statement in (
        f"UPDATE dbo.property_val SET market = market + 1 WHERE prop_id = {a} AND {year}",
        f"UPDATE dbo.property SET geo_id = 'CT-1' WHERE prop_id = {b}",
        f"UPDATE dbo.situs SET situs_city = 'KIONA' WHERE prop_id = {c}",
        f"DELETE FROM dbo.imprv_detail WHERE prop_id = {d} AND {year}",
        f"DELETE FROM dbo.imprv WHERE prop_id = {e} AND {year}",
        f"UPDATE dbo.land_detail SET size_acres = size_acres + 1 WHERE prop_id = {f} AND {year}",
        f"UPDATE dbo.account SET file_as_name = 'SMITH CT' WHERE acct_id = {owner['owner_id']}",
        f"DELETE FROM dbo.address WHERE acct_id = {other['owner_id']}",
        f"UPDATE dbo.owner SET pct_ownership = 50 WHERE prop_id = {g} AND owner_tax_yr = 2026 AND sup_num = 0",
        f"DELETE FROM dbo.owner WHERE prop_id = {f} AND owner_tax_yr = 2026 AND sup_num = 0",
        "UPDATE dbo.pacs_year SET certification_dt = '2025-10-01' WHERE tax_yr = 2025",
        "DELETE FROM dbo.buyer_assoc WHERE chg_of_owner_id IN (SELECT MAX(chg_of_owner_id) FROM dbo.buyer_assoc)",
        "UPDATE dbo.chg_of_owner SET deed_dt = '2020-02-02' WHERE chg_of_owner_id IN "
        "(SELECT MIN(chg_of_owner_id) FROM dbo.buyer_assoc)",
        f"DELETE FROM dbo.chg_of_owner_prop_assoc WHERE prop_id = {c}",
        "UPDATE dbo.imprv_attr SET i_attr_unit = 7",
    ):
        county.pacs(statement)
    county.supplement(g, 2026, 1, group=990, accepted=True)
    outcome = windowed(county)
    assert of(outcome, "structure").deleted >= 1
    assert of(outcome, "owner").deleted >= 1
    assert county.live("property", str(b))["parcel_number"] == "CT-1"


@pytest.mark.slow
def test_a_supplement_group_that_is_accepted(county: HarrisCounty) -> None:
    """A table two joins away from the property: its change is a change of the roll's status."""
    (a,) = county.plain(1, skip=8)
    county.supplement(a, 2026, 2, group=991)
    windowed(county)
    assert county.live("value", f"{a}/2026")["roll_status"] == "pending_supplement"
    county.pacs("UPDATE dbo.sup_group SET status_cd = 'A' WHERE sup_group_id = 991")
    assert of(windowed(county), "value").updated == 1
    assert county.live("value", f"{a}/2026")["roll_status"] == "accepted_supplement"


@pytest.mark.slow
def test_a_night_of_the_county_s_work(county: HarrisCounty) -> None:
    """Stories 20, 22: whatever a night does, without PACS's own journal or stamps."""
    nightly_changes.mutate(county.engine, 1)
    outcome = windowed(county)
    assert sum(each.changed for each in outcome.entities) > 0


@pytest.mark.slow
def test_a_change_after_the_bound_is_the_next_run_s(county: HarrisCounty) -> None:
    """Cases 37, 89: a property whose layers change before the certificate, also one that goes."""
    a, b = county.plain(2, skip=12)
    run_id = county.stage()
    county.publish(run_id)
    county.pacs(f"UPDATE dbo.property SET geo_id = 'CT-2' WHERE prop_id = {a}")
    county.pacs(f"DELETE FROM dbo.owner WHERE prop_id = {b} AND owner_tax_yr = 2026 AND sup_num = 0")
    assert county.certify(run_id).clean
    windowed(county)
    assert not [key for key in county.keyed("owner") if key.startswith(f"{b}/")]


def test_a_table_that_is_not_tracked_falls_back_and_says_so(made: HarrisCounty) -> None:
    """An entity is read by Change Tracking where all its tables are tracked; else as before, with the reason."""
    untracked = ("situs", "account")
    for name in untracked:
        made.pacs(f"ALTER TABLE [dbo].[{name}] DISABLE CHANGE_TRACKING")
    choices = resolve_tables(made.config, made.source)
    for name in untracked:
        made.pacs(f"ALTER TABLE [dbo].[{name}] ENABLE CHANGE_TRACKING")
    assert {name: choice.strategy for name, choice in choices.items()} == {
        "property": "joined",
        "owner": "compare",
        "value": "change_tracking",
        "structure": "change_tracking",
    }
    lacks = {name: [feed.lack for feed in choice.better] for name, choice in choices.items()}
    assert lacks["property"] == ["Change Tracking is off for dbo.situs"]
    assert lacks["owner"] == ["Change Tracking is off for dbo.account"]


def test_a_row_that_is_lost_in_the_target_is_not_newer(county: HarrisCounty) -> None:
    """Rows of a joined entity have no stamp; what the feed does not show is not the next run's."""
    (lost,) = county.sql(
        f"DELETE FROM {county.partition('structure')} WHERE _source_key = (SELECT min(_source_key) FROM "
        f"{county.partition('structure')} WHERE _deleted_at IS NULL) RETURNING _source_key"
    )
    part = of(county.sync()[1], "structure")
    assert (part.state, part.missing, part.sample_keys) == ("drift", 1, (f"missing:{lost['_source_key']}",))
    assert county.reconcile().clean
