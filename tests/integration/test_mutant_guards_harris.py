"""PACS 9.0: what is probed, what is bounded, whose rows are silent; each fails where one guard is off."""

from __future__ import annotations

import pytest

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.incremental import joined
from airflow_provider_pacs.sync.incremental.full import KEYS_PER_STATEMENT, keys_query
from airflow_provider_pacs.sync.incremental.statements import Window, flagged_query
from airflow_provider_pacs.sync.runtime.errors import ConflictError
from tests.support.harris_fixtures import Maker
from tests.support.harris_fixtures import make as make
from tests.support.harris_fixtures import pacs as pacs


def test_another_primary_situs_is_another_address(make: Maker) -> None:
    """Section M: a property with two places: the other one becomes the primary."""
    county = make("property")
    (prop_id,) = county.plain(1, skip=30)
    county.copy_row(
        "situs",
        f"prop_id = {prop_id} AND primary_situs = 'Y'",
        situs_id=990_001,
        primary_situs="N",
        situs_num="9999",
    )
    county.sync()
    assert not county.live("property", str(prop_id))["address"].startswith("9999 ")
    county.pacs(
        "UPDATE dbo.situs SET primary_situs = CASE primary_situs WHEN 'Y' THEN 'N' ELSE 'Y' END "
        f"WHERE prop_id = {prop_id}"
    )
    assert county.sync()[1].clean
    assert county.live("property", str(prop_id))["address"].startswith("9999 ")
    county.pacs("DELETE FROM dbo.situs WHERE situs_id = 990001")
    county.pacs(f"UPDATE dbo.situs SET primary_situs = 'Y' WHERE prop_id = {prop_id}")


def test_the_year_0_layer_is_probed(make: Maker) -> None:
    """Section M: where the county carries the future layer, a value of year 0 that changes is read again."""
    county = make("property", "value", options={"future_layer": True})
    county.sync()
    future = [key for key, row in county.keyed("value").items() if row["roll_status"] == "future"]
    prop_id = future[0].split("/")[0]
    before = county.live("value", future[0])["market_value"]
    county.pacs(
        f"UPDATE dbo.property_val SET market = market + 7 WHERE prop_val_yr = 0 AND prop_id = {prop_id}"
    )
    assert county.sync()[1].clean
    assert county.live("value", future[0])["market_value"] == before + 7


def test_bounds_of_joined_entities(make: Maker) -> None:
    """Section M: the bound itself was an open version: its root key is the next window's, and it is newer."""
    county = make("structure")
    county.sync()
    plan = steps.plan(county.config, county.source, county.target, steps.RunRequest("sync", "test"))
    table = plan.entities[0].table
    (prop_id,) = county.plain(1, skip=5)
    county.pacs(
        f"UPDATE dbo.imprv SET actual_year_built = 1889 WHERE prop_id = {prop_id} AND prop_val_yr = 2026 "
        "AND sup_num = 0 AND sale_id = 0"
    )
    (row,) = county.source.query(
        "SELECT CONVERT(varchar(18), MAX(im.tsRowVersion), 1) AS first, "
        "CONVERT(varchar(18), CONVERT(binary(8), CONVERT(bigint, MAX(im.tsRowVersion)) + 1), 1) AS after "
        f"FROM dbo.imprv AS im WHERE im.prop_id = {prop_id} AND im.prop_val_yr = 2026"
    )

    def root_keys(lo: str, hi: str) -> set[str]:
        query = joined.root_keys_query(table, Window(lo, hi))
        return {str(row["root_key"]) for row in county.source.query(query.sql, query.params)}

    assert str(prop_id) in root_keys(row["first"], row["after"])
    assert root_keys(row["first"], row["first"]) == set()
    query = flagged_query(table, joined.late(table), row["first"])
    late = {
        each["_source_key"] for each in county.source.query(query.sql, query.params) if each["_late"] == 1
    }
    assert {key.split("/")[0] for key in late} == {str(prop_id)}


def test_keys_of_a_joined_entity_fit_into_a_statement(make: Maker) -> None:
    """Section M: SQL Server takes 2,100 parameters; a joined entity's keys come with their root keys."""
    county = make("property")
    plan = steps.plan(county.config, county.source, county.target, steps.RunRequest("sync", "test"))
    keys = tuple(str(number) for number in range(KEYS_PER_STATEMENT))
    assert len(keys_query(plan.entities[0].table, keys).params) <= 2_100


def test_an_overtaken_run_redacts_nothing(make: Maker) -> None:
    """Section M: redaction waits for no validation, and for the fence like every other write."""
    county = make("property", "owner")
    county.sync()
    (prop_id,) = county.plain(1, skip=40)
    (owner,) = county.rows_in("owner", "owner_id", f"prop_id = {prop_id} AND owner_tax_yr = 2026")[:1]
    key = f"{prop_id}/{owner['owner_id']}"
    name = county.live("owner", key)["owner_name"]
    county.pacs(f"UPDATE dbo.account SET confidential_flag = 'T' WHERE acct_id = {owner['owner_id']}")
    try:
        stale = county.stage()
        county.sql("UPDATE pacs_ops.run_entity SET state = 'blocked' WHERE run_id = %s::uuid", stale)
        config = county.config
        county.target.runs.claim(county_id=config.fips, county=config.county, name=config.name, identity={})
        with pytest.raises(ConflictError):
            county.publish(stale)
        assert county.live("owner", key)["owner_name"] == name != "[Confidential]"
    finally:
        county.pacs(f"UPDATE dbo.account SET confidential_flag = 'F' WHERE acct_id = {owner['owner_id']}")
