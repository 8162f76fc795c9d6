"""PACS 9.0 into the platform: what its core tables are, what changes in them, and the failure stories that
they are known for (domain.md G).
"""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_pacs.sync.config import load_county
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.preflight import examine
from airflow_provider_pacs.sync.profiles import load_tables
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.joined import render
from airflow_provider_pacs.sync.steps import approve, pending_deletes
from tests.support.county import certificate_of, of
from tests.support.harris import ENTITIES
from tests.support.harris_fixtures import Maker
from tests.support.harris_fixtures import make as make
from tests.support.harris_fixtures import pacs as pacs

NEVER_READ = (
    "ssn",
    "dl_num",
    "dl_state",
    "dl_expir",
    "birth",
    "confidential_file_as_name",
    "confidential_first_name",
    "confidential_last_name",
    "email",
    "ss_num",
    "applicant",
    "spouse",
    "disp_income",
    "comment",
    "grantor",
    "grantee",
)
"""Columns of PACS whose name holds one of these are personal and no business of ours."""


def test_a_whole_county_in_full_and_then_only_what_changed(make: Maker) -> None:
    """Stories 20, 22: certificates are clean, money agrees to the dollar with what PACS itself adds up, and a
    second run writes nothing.
    """
    county = make(*ENTITIES)
    published, certificate = county.sync()
    read = {outcome.entity: outcome.read for outcome in published.entities}
    assert {outcome.entity: outcome.inserted + outcome.quarantined for outcome in published.entities} == read
    assert certificate.clean
    assert {each.covered for each in certificate.entities} == {"all_rows"}
    sums = certificate_of(certificate, "value").source_control or {}
    assert sums == certificate_of(certificate, "value").target_control
    for year in ("2024", "2025", "2026"):
        market, improvement, land = county.source.query(
            "SELECT SUM(pv.market) AS m, SUM(COALESCE(pv.imprv_hstd_val, 0) + "
            "COALESCE(pv.imprv_non_hstd_val, 0)) AS i, "
            "SUM(COALESCE(pv.land_hstd_val, 0) + COALESCE(pv.land_non_hstd_val, 0) + COALESCE(pv.ag_market, "
            "0) + COALESCE(pv.timber_market, 0) "
            "+ COALESCE(pv.ag_hs_mkt_val, 0) + COALESCE(pv.timber_hs_mkt_val, 0)) AS l "
            "FROM dbo.property_val AS pv JOIN dbo.prop_supp_assoc AS a ON a.prop_id = pv.prop_id AND "
            "a.owner_tax_yr = pv.prop_val_yr "
            "AND a.sup_num = pv.sup_num JOIN dbo.property AS p ON p.prop_id = pv.prop_id "
            f"WHERE pv.prop_val_yr = {year} AND p.prop_type_cd IN ('R', 'MH')"
        )[0].values()
        totals = {name: Decimal(value) for name, value in sums[year].items()}
        assert (totals["market_value"], totals["improvement_value"], totals["land_value"]) == (
            market,
            improvement,
            land,
        )
    again, second = county.sync()
    assert sum(outcome.changed for outcome in again.entities) == 0
    assert {outcome.entity: outcome.read for outcome in again.entities if outcome.entity != "owner"} == {
        "property": 0,
        "value": 0,
        "structure": 0,
    }
    assert second.clean
    assert {entity: county.plan_of(again.run_id, entity).strategy for entity in ENTITIES} == {
        "property": "joined", "owner": "compare", "value": "joined", "structure": "joined",
    }  # fmt: skip


def test_keys_are_the_same_for_ever_and_children_find_their_parent(make: Maker) -> None:
    """Case 117: one source key, one UUID in every load, another in another county; a child's link is its
    parent's key (story 25).
    """
    early, late = make("property", "value"), make("property")
    early.sync()
    late.sync()
    first, second = early.keyed("property"), late.keyed("property")
    assert first.keys() == second.keys()
    assert not {row["property_id"] for row in first.values()} & {
        row["property_id"] for row in second.values()
    }
    made = early.sql("SELECT pacs_ops.surrogate_key(%s, 'property', '10001') AS made", early.fips)[0]["made"]
    assert made == first["10001"]["property_id"]
    assert (made.version, made.variant) == (8, "specified in RFC 4122")
    assert {row["property_id"] for row in early.rows("value").values()} <= {
        row["property_id"] for row in first.values()
    }


def test_an_edit_of_any_contributing_table_reads_that_property_only(make: Maker) -> None:
    """Story 6: situs and prop_supp_assoc have no change column, property_val and imprv have a rowversion;
    none of them touches another property.
    """
    county = make("property", "structure")
    county.sync()
    moved, valued, built, roomy = county.plain(4)
    county.pacs(f"UPDATE dbo.situs SET situs_num = '4711' WHERE prop_id = {moved} AND primary_situs = 'Y'")
    county.pacs(
        f"UPDATE dbo.property_val SET legal_acreage = 12.5 WHERE prop_id = {valued} AND prop_val_yr = 2026 "
        "AND sup_num = 0"
    )
    county.pacs(
        f"UPDATE dbo.imprv SET actual_year_built = 1888 WHERE prop_id = {built} AND prop_val_yr = 2026 AND "
        "sup_num = 0 AND sale_id = 0"
    )
    bedrooms = county.rows_in("pacs_system", "num_bedrooms_code_attribute_id AS id")[0]["id"]
    county.pacs(
        f"UPDATE dbo.imprv_attr SET i_attr_unit = 9 WHERE prop_id = {roomy} AND prop_val_yr = 2026 AND "
        "sup_num = 0 AND sale_id = 0 "
        f"AND i_attr_val_id = {bedrooms}"
    )
    county.source.asked.clear()
    published, certificate = county.sync()
    assert certificate.clean
    assert of(published, "property").read == 3
    assert of(published, "structure").read == len(
        [key for key in county.keyed("structure") if int(key.split("/")[0]) in (built, roomy)]
    )
    assert county.live("property", str(moved))["address"].startswith("4711 ")
    assert county.live("property", str(valued))["acreage"] == Decimal("12.5")
    assert county.live("property", str(built))["year_built"] == 1888
    if county.rows_in(
        "imprv_attr",
        "i_attr_unit",
        f"prop_id = {roomy} AND prop_val_yr = 2026 AND i_attr_val_id = {bedrooms} AND sale_id = 0",
    ):
        assert (
            max(
                row["bedrooms"] or 0
                for key, row in county.keyed("structure").items()
                if key.startswith(f"{roomy}/")
            )
            >= 9
        )
    streams = [sql for sql in county.source.asked if "[_source_key]" in sql and "_late" not in sql]
    # Per entity: what the versions show, what the contents show, the quarantine, and the same once more for the
    # certificate, however many properties changed.
    assert len(streams) <= 6 * len(published.entities), "one read per relation, not one per row"


def test_related_records_come_in_one_statement(make: Maker) -> None:
    """The hook's method for a relation: no statement per row."""
    from airflow_provider_pacs.sync.entity_streams import related_records

    county = make()
    keys = [str(prop_id) for prop_id in county.plain(40)]
    county.source.asked.clear()
    rows = [
        row
        for batch in related_records(county.source, "property", keys, "owner", "harris_pacs_9")
        for row in batch.to_pylist()
    ]
    assert {row["_parent_key"] for row in rows} == set(keys)
    assert len([sql for sql in county.source.asked if "[_root_key]" in sql]) == 1


def test_an_account_rename_reaches_every_parcel_of_the_owner(make: Maker) -> None:
    """Story 6: an account's new name touches no owner row, and one account may own many parcels."""
    county = make("property", "owner")
    county.sync()
    account, parcels = Counter(row["party_key"] for row in county.rows("owner").values()).most_common(1)[0]
    assert parcels > 1
    county.pacs(f"UPDATE dbo.account SET file_as_name = 'RENAMED HOLDINGS' WHERE acct_id = {account}")
    published, certificate = county.sync()
    assert certificate.clean
    assert of(published, "owner").updated == parcels
    assert {row["owner_name"] for row in county.rows("owner").values() if row["party_key"] == account} == {
        "RENAMED HOLDINGS"
    }


def test_an_owner_who_is_replaced_is_one_gone_and_one_new(make: Maker) -> None:
    """Story 6: PACS changes an owner by deleting the row and inserting another."""
    county = make("property", "owner")
    county.sync()
    prop_id = county.plain(skip=5)[0]
    before = county.rows_in("owner", "owner_id", f"prop_id = {prop_id} AND owner_tax_yr = 2026")[0][
        "owner_id"
    ]
    new = next(
        int(row["party_key"]) for row in county.rows("owner").values() if int(row["party_key"]) != before
    )
    county.copy_row("owner", f"prop_id = {prop_id} AND owner_tax_yr = 2026 AND sup_num = 0", owner_id=new)
    county.pacs(
        f"DELETE FROM dbo.owner WHERE prop_id = {prop_id} AND owner_tax_yr = 2026 AND owner_id = {before}"
    )
    assert county.sync()[1].clean
    assert f"{prop_id}/{new}" in county.keyed("owner")
    assert f"{prop_id}/{before}" in county.keyed("owner", deleted=True)


def test_a_soft_deleted_property_travels_as_inactive(make: Maker) -> None:
    """Case 29: inactive rows are not hidden, recovered ones come back (story 4)."""
    county = make()
    county.sync()
    prop_id = county.plain(skip=6)[0]
    where = f"prop_id = {prop_id} AND prop_val_yr = 2026 AND sup_num = 0"
    county.pacs(f"UPDATE dbo.property_val SET prop_inactive_dt = '2026-03-01' WHERE {where}")
    county.sync()
    gone = county.live("property", str(prop_id))
    assert (gone["is_active"], str(gone["inactive_at"])[:10]) == (False, "2026-03-01")
    county.pacs(f"UPDATE dbo.property_val SET prop_inactive_dt = NULL WHERE {where}")
    county.sync()
    back = county.live("property", str(prop_id))
    assert (back["is_active"], back["inactive_at"], back["property_id"]) == (True, None, gone["property_id"])


def test_a_deleted_building_goes_in_the_next_run(make: Maker) -> None:
    """Story 4: no rowversion shows a row that is gone; the number of a layer's rows does, with attributes or
    without.
    """
    county = make("property", "structure")
    county.sync()
    prop_id = county.plain(skip=28)[0]
    before = [key for key in county.keyed("structure") if key.startswith(f"{prop_id}/")]
    for table in ("imprv_attr", "imprv_detail", "imprv"):
        county.pacs(
            f"DELETE FROM dbo.[{table}] WHERE prop_id = {prop_id} AND prop_val_yr = 2026 AND sale_id = 0"
        )
    published, certificate = county.sync()
    assert certificate.clean
    assert of(published, "structure").deleted == len(before) > 0
    assert county.live("property", str(prop_id))["year_built"] is None
    assert county.reconcile().clean


def test_a_deleted_detail_changes_what_is_left(make: Maker) -> None:
    """Story 4: a building's area is the sum of its details."""
    county = make("property", "structure")
    county.sync()
    prop_id = county.plain(skip=29)[0]
    county.pacs(
        f"DELETE FROM dbo.imprv_detail WHERE prop_id = {prop_id} AND prop_val_yr = 2026 AND sale_id = 0"
    )
    assert county.sync()[1].clean
    assert {
        row["square_footage"]
        for key, row in county.keyed("structure").items()
        if key.startswith(f"{prop_id}/")
    } == {None}


def test_a_supplement_moves_the_one_current_row(make: Maker) -> None:
    """Story 7: a supplement is a new row with the old stamps and a moved prop_supp_assoc; the target has one
    row per property and year throughout.
    """
    county = make("property", "value")
    county.sync()
    prop_id = county.plain(skip=10)[0]
    before = county.live("value", f"{prop_id}/2025")
    county.supplement(prop_id, 2025, 71, group=901, market=777_000)
    published, certificate = county.sync()
    assert certificate.clean
    assert of(published, "value").deleted == 0
    after = county.live("value", f"{prop_id}/2025")
    assert (after["supplement_no"], after["market_value"], after["roll_status"]) == (
        71,
        777_000,
        "pending_supplement",
    )
    assert after["value_id"] == before["value_id"]
    county.pacs(
        "UPDATE dbo.sup_group SET status_cd = 'BC', sup_accept_dt = '2026-02-02' WHERE sup_group_id = 901"
    )  # bills are made already
    county.sync()
    assert county.live("value", f"{prop_id}/2025")["roll_status"] == "accepted_supplement"
    county.pacs(
        f"UPDATE dbo.prop_supp_assoc SET sup_num = 0 WHERE prop_id = {prop_id} AND owner_tax_yr = 2025"
    )
    county.pacs(
        f"DELETE FROM dbo.property_val WHERE prop_id = {prop_id} AND prop_val_yr = 2025 AND sup_num = 71"
    )
    assert county.sync()[1].clean
    assert county.live("value", f"{prop_id}/2025")["market_value"] == before["market_value"]


def test_the_accepted_policy_shows_a_supplement_when_it_is_accepted(make: Maker) -> None:
    """Story 7: prop_supp_assoc points to a supplement before it is accepted; a county may want the accepted
    or the base roll.
    """
    county, base = (
        make("property", "value", options={"supplements": "accepted"}),
        make("property", "value", options={"supplements": "base"}),
    )
    prop_id = county.plain(skip=11)[0]
    county.supplement(prop_id, 2026, 72, group=902, market=555_000)
    county.sync()
    base.sync()
    assert county.live("value", f"{prop_id}/2026")["supplement_no"] == 0
    county.pacs("UPDATE dbo.sup_group SET status_cd = 'A' WHERE sup_group_id = 902")
    assert county.sync()[1].clean
    assert base.sync()[1].clean
    assert county.live("value", f"{prop_id}/2026")["market_value"] == 555_000
    assert base.live("value", f"{prop_id}/2026")["supplement_no"] == 0


def test_a_year_that_vanishes_is_pending(make: Maker) -> None:
    """Story 9: an undone year layer takes a third of the values; nothing is deleted until somebody decides,
    and what comes back is what went.
    """
    county = make("property", "value")
    county.sync()
    live = len(county.rows("value"))
    rows = county.rows_in("prop_supp_assoc", "prop_id, owner_tax_yr, sup_num", "owner_tax_yr = 2024")
    county.pacs("DELETE FROM dbo.prop_supp_assoc WHERE owner_tax_yr = 2024")
    published, certificate = county.sync()
    pending = of(published, "value").pending_deletes
    assert pending > 25
    assert certificate.state == "pending"
    assert len(county.rows("value")) == live
    (waiting,) = [each for each in pending_deletes(county.config, county.target) if each.entity == "value"]
    decided = (waiting.pending_id, waiting.digest)
    (done,) = approve(
        county.config, county.source, county.target, sets=[decided], actor="an assessor", trigger="test"
    )
    assert (done.deleted, done.kept) == (pending, 0)
    gone = {key: row["value_id"] for key, row in county.keyed("value", deleted=True).items()}
    assert len(gone) == pending
    for start in range(0, len(rows), 100):
        texts = ", ".join(f"({row['prop_id']}, 2024, {row['sup_num']})" for row in rows[start : start + 100])
        county.pacs(f"INSERT INTO dbo.prop_supp_assoc (prop_id, owner_tax_yr, sup_num) VALUES {texts}")
    assert county.sync()[1].clean
    back = county.keyed("value")
    assert {key: back[key]["value_id"] for key in gone} == gone  # the same rows are there again


def test_the_future_layer_becomes_the_year_that_it_was_for(make: Maker) -> None:
    """Story 10: year 0 is 2027 in waiting: the row that replaces it is the same row, never a second one."""
    county = make("property", "value", options={"future_layer": True, "first_year": 2024})
    county.sync()
    future = {key: row for key, row in county.keyed("value").items() if row["roll_status"] == "future"}
    assert future
    assert {row["tax_year"] for row in future.values()} == {2027}
    assert all(key.endswith("/2027") for key in future)
    county.pacs("UPDATE dbo.property_val SET prop_val_yr = 2027 WHERE prop_val_yr = 0")
    county.pacs("UPDATE dbo.prop_supp_assoc SET owner_tax_yr = 2027 WHERE owner_tax_yr = 0")
    county.pacs("UPDATE dbo.pacs_system SET appr_yr = 2027, future_yr = 2028")
    try:
        published, certificate = county.sync()
        assert certificate.clean
        assert (of(published, "value").deleted, of(published, "value").pending_deletes) == (
            0,
            0,
        )  # no year leaves
        became = county.keyed("value")
        assert {became[key]["value_id"] for key in future} == {row["value_id"] for row in future.values()}
        assert {became[key]["roll_status"] for key in future} == {"working"}
    finally:
        county.pacs("UPDATE dbo.property_val SET prop_val_yr = 0 WHERE prop_val_yr = 2027")
        county.pacs("UPDATE dbo.prop_supp_assoc SET owner_tax_yr = 0 WHERE owner_tax_yr = 2027")
        county.pacs("UPDATE dbo.pacs_system SET appr_yr = 2026, future_yr = 2027")


def test_texts_arrive_as_they_are_and_codes_without_their_padding(make: Maker) -> None:
    """Stories 14, 15, 16, 17: CHAR codes lose their blanks, code page and line breaks stay, '' is not NULL,
    values that differ in case are two.
    """
    county = make("property", "structure")
    odd, empty, upper, lower = county.plain(4, skip=13)
    county.pacs(
        f"UPDATE dbo.property_val SET legal_desc = 'MUÑOZ\r\nTR 7' WHERE prop_id = {odd} AND prop_val_yr = "
        "2026"
    )
    county.pacs(
        f"UPDATE dbo.property_val SET legal_desc = '', legal_desc_2 = NULL WHERE prop_id = {empty} AND "
        "prop_val_yr = 2026"
    )
    county.pacs(f"UPDATE dbo.property SET geo_id = 'AB-1' WHERE prop_id = {upper}")
    county.pacs(f"UPDATE dbo.property SET geo_id = 'ab-1 ' WHERE prop_id = {lower}")
    assert county.sync()[1].clean
    assert county.live("property", str(odd))["legal_description"].startswith("MUÑOZ\r\nTR 7")
    assert county.live("property", str(empty))["legal_description"] == ""
    assert (
        county.live("property", str(upper))["parcel_number"],
        county.live("property", str(lower))["parcel_number"],
    ) == ("AB-1", "ab-1")
    assert {row["property_type"] for row in county.rows("property").values()} <= {"R", "MH"}
    assert all(
        row["structure_type"] == row["structure_type"].strip() for row in county.rows("structure").values()
    )


def test_unknown_stays_unknown(make: Maker) -> None:
    """Stories 17, 18: year 0 is no year, a conversion's date is no date, and a sum of nothing is not 0."""
    county = make("property", "value", "structure")
    prop_id, sentinel = county.plain(2, skip=18)
    where = f"prop_id = {prop_id} AND prop_val_yr = 2026 AND sup_num = 0"
    county.pacs(f"UPDATE dbo.imprv SET actual_year_built = 0 WHERE {where} AND sale_id = 0")
    county.pacs(f"UPDATE dbo.imprv_detail SET yr_built = 0 WHERE {where} AND sale_id = 0")
    county.pacs(
        "UPDATE dbo.property_val SET land_hstd_val = NULL, land_non_hstd_val = NULL, ag_market = NULL, "
        "timber_market = NULL, ag_hs_mkt_val = NULL, "
        f"timber_hs_mkt_val = NULL WHERE {where}"
    )
    county.pacs(
        f"UPDATE dbo.property_val SET prop_inactive_dt = '1980-01-01' WHERE prop_id = {sentinel} AND "
        "prop_val_yr = 2026 AND sup_num = 0"
    )
    assert county.sync()[1].clean
    assert county.live("property", str(prop_id))["year_built"] is None
    assert {
        row["year_built"] for key, row in county.keyed("structure").items() if key.startswith(f"{prop_id}/")
    } == {None}
    assert county.live("value", f"{prop_id}/2026")["land_value"] is None
    converted = county.live("property", str(sentinel))
    assert (converted["is_active"], converted["inactive_at"]) == (True, None)


def test_snapshots_at_a_sale_are_not_counted(make: Maker) -> None:
    """Story 19: rows with sale_id <> 0 are what a sale saw; neither structures nor acres may double."""
    county = make("property", "structure")
    prop_id = county.plain(skip=21)[0]
    where = f"prop_id = {prop_id} AND prop_val_yr = 2026 AND sup_num = 0"
    for table in ("imprv", "imprv_detail"):
        assert county.rows_in(table, "prop_id", "sale_id <> 0")
        county.copy_row(table, f"{where} AND sale_id = 0", sale_id=98)
    county.sync()
    current = county.source.query(
        "SELECT COUNT(*) AS n FROM dbo.imprv AS i JOIN dbo.prop_supp_assoc AS a ON a.prop_id = i.prop_id "
        "AND a.owner_tax_yr = i.prop_val_yr AND "
        "a.sup_num = i.sup_num JOIN dbo.property AS p ON p.prop_id = i.prop_id WHERE i.sale_id = 0 AND "
        "i.prop_val_yr = 2026 "
        "AND p.prop_type_cd IN ('R', 'MH')"
    )[0]["n"]
    assert len(county.rows("structure")) == current
    county.pacs(f"UPDATE dbo.property_val SET legal_acreage = NULL WHERE {where}")
    county.copy_row("land_detail", f"{where} AND sale_id = 0", sale_id=99)
    county.sync()
    acres = county.rows_in("land_detail", "SUM(size_acres) AS acres", f"{where} AND sale_id = 0")[0]["acres"]
    assert acres > 0
    assert county.live("property", str(prop_id))["acreage"] == acres


def test_percentages_and_money_are_exact(make: Maker) -> None:
    """Story 20: a third of an ownership has ten decimals, and keeps them."""
    county = make("property", "owner")
    county.sync()
    thirds = [
        row
        for row in county.rows("owner").values()
        if row["ownership_percentage"] == Decimal("33.3333333333")
    ]
    assert thirds
    at_source = county.rows_in(
        "owner", "COUNT(*) AS n", "pct_ownership = 33.3333333333 AND owner_tax_yr = 2026"
    )[0]["n"]
    assert len(thirds) <= at_source


def test_a_confidential_owner_is_silent_also_in_the_past(make: Maker, pg_url: str) -> None:
    """Story 28: the flag comes after the name was synchronised: rows, tombstones and quarantine say no more
    than a new row would; nor does the change log, nor did a log.
    """
    county = make("property", "owner", history={"enabled": True})
    county.sync()
    flagged = {str(row["acct_id"]) for row in county.rows_in("account", "acct_id", "confidential_flag = 'T'")}
    silent = [row for row in county.rows("owner").values() if row["party_key"] in flagged]
    assert silent
    assert {(row["owner_name"], row["mailing_city"]) for row in silent} == {("[Confidential]", None)}
    prop_id, former = county.plain(2, skip=22)
    account = county.rows_in("owner", "owner_id", f"prop_id = {prop_id} AND owner_tax_yr = 2026")[0][
        "owner_id"
    ]
    name = county.live("owner", f"{prop_id}/{account}")["owner_name"]
    county.copy_row("owner", f"prop_id = {former} AND owner_tax_yr = 2026 AND sup_num = 0", owner_id=account)
    county.sync()
    county.pacs(
        f"DELETE FROM dbo.owner WHERE prop_id = {former} AND owner_tax_yr = 2026 AND owner_id = {account}"
    )
    county.sync()
    assert county.keyed("owner", deleted=True)[f"{former}/{account}"]["owner_name"] == name
    assert [
        row
        for row in county.sql("SELECT before ->> 'owner_name' AS n FROM pacs_ops.change_log")
        if row["n"] == name
    ]
    county.pacs(f"UPDATE dbo.account SET confidential_flag = 'T' WHERE acct_id = {account}")
    county.pacs(
        f"UPDATE dbo.owner SET pct_ownership = 900 WHERE owner_id = {account} AND prop_id = {prop_id}"
    )  # and its row is quarantined
    assert county.sync()[1].clean
    for row in (
        county.live("owner", f"{prop_id}/{account}"),
        county.keyed("owner", deleted=True)[f"{former}/{account}"],
    ):
        assert (row["owner_name"], row["is_confidential"], row["mailing_address"], row["mailing_zip"]) == (
            "[Confidential]",
            True,
            None,
            None,
        )
    for table in (
        "quarantine",
        "audit",
        "pending_delete_key",
        "probed_contents",
        "change_log",
        "change_log_state",
    ):
        texts = county.sql(f"SELECT t::text AS line FROM pacs_ops.{table} AS t")
        assert not [line for line in texts if name in line["line"]], table


def test_no_statement_reads_what_is_personal_and_no_business_of_ours(make: Maker) -> None:
    """Story 28, rule 51: SSN, driver licence, birth and hidden names are named in no statement, and their
    values are nowhere in the target.
    """
    county = make(*load_entities(), options={"history": "layers", "taxable_value": True})
    county.source.asked.clear()
    county.sync()
    county.reconcile()
    texts = [sql.lower() for sql in county.source.asked]
    choices: list[dict[str, Any]] = [
        {},
        {"history": "layers", "taxable_value": True, "qualified_by": "county_code", "future_layer": True},
        {"supplements": "accepted"},
        {"supplements": "base"},
    ]
    for table in (t for options in choices for t in load_tables("harris_pacs_9", options=options).values()):
        selection = render(table)
        texts += [selection.sql.lower(), *(probe.sql.lower() for probe in selection.probes)]
        texts += [f"{source.table}.{column}" for source in selection.tables for column in source.columns]
    for word in NEVER_READ:
        assert not [text for text in texts if word in text], word
    licences = {row["dl_num"] for row in county.rows_in("account", "dl_num", "dl_num IS NOT NULL")}
    licences |= {
        row["prop_exmpt_ss_num"]
        for row in county.rows_in("property_exemption", "prop_exmpt_ss_num", "prop_exmpt_ss_num IS NOT NULL")
    }
    assert licences
    for entity in load_entities():
        sent = " ".join(
            str(value)
            for row in county.rows(entity).values()
            for value in row.values()
            if isinstance(value, str)
        )
        assert not [licence for licence in licences if licence in sent]


def test_a_column_that_an_upgrade_took_away_is_refused_before_reading(make: Maker) -> None:
    """Story 24: schema drift of a contributing table stops the entity before a row is read, and says which
    column of which table.
    """
    county = make(
        "property", "value", source={"tables": {"property_val": {"columns": {"market": "market_total"}}}}
    )
    county.source.asked.clear()
    with pytest.raises(
        ConfigError,
        match=r"property_val has no column 'market_total' \(nearest: 'cost_market'|property_val has no column "
        r"'market_total'",
    ):
        county.sync()
    assert not [sql for sql in county.source.asked if "_source_key" in sql]


def test_without_rowversions_everything_is_compared(make: Maker) -> None:
    """An older PACS has none: every run reads the whole and says why."""
    county = make(
        "property",
        "value",
        source={"tables": {"property_val": {"columns": {"tsRowVersion": "no_such_column"}}}},
    )
    county.sync()
    prop_id = county.plain(skip=26)[0]
    county.pacs(
        f"UPDATE dbo.property_val SET market = market + 1 WHERE prop_id = {prop_id} AND prop_val_yr = 2026 "
        "AND sup_num = 0"
    )
    published, certificate = county.sync()
    assert certificate.clean
    assert county.plan_of(published.run_id, "value").reason.startswith(
        "no table of it has a rowversion to probe"
    )
    assert of(published, "value").updated == 1


def test_extra_columns_of_a_joined_entity_travel_as_json(make: Maker) -> None:
    """Unmapped fields of the county: named by the alias that the profile gives their table."""
    county = make(
        "property", tables={"property": {"extra": {"zone_code": "p.zoning", "neighborhood": "pv.hood_cd"}}}
    )
    prop_id = county.plain(skip=27)[0]
    county.pacs(f"UPDATE dbo.property SET zoning = 'R-1' WHERE prop_id = {prop_id}")
    assert county.sync()[1].clean
    assert county.live("property", str(prop_id))["extra"]["zone_code"] == "R-1"


@pytest.mark.parametrize(
    "place", ["zoning", "x.zoning", "p.a} FROM dbo.account AS {a.dl_num", "$years", "p.zoning{p.x}"]
)
def test_an_extra_column_is_a_column_and_nothing_else(make: Maker, place: str) -> None:
    """What a county's file says is a name, never T-SQL."""
    with pytest.raises(
        ConfigError, match=re.escape(f"tables.property.extra.zone_code: {place!r} is no alias.column")
    ):
        make("property", tables={"property": {"extra": {"zone_code": place}}}).sync()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"options": {"supplements": "newest"}}, "supplements: must be one of: latest, accepted, base"),
        ({"options": {"yeers": 2}}, "unknown option 'yeers'"),
        ({"options": {"first_year": 24}}, "first_year: must be a year, or 0 for none"),
        ({"options": {"years": 0}}, "years: must be a whole number from 1 to 100"),
        ({"options": {"land_value": ["x; DROP TABLE y"]}}, "land_value: must be a list of column names"),
        ({"tables": {"propertyy": {"table": "x"}}}, "tables.propertyy: unknown table"),
        ({"tables": {"property": {"columns": {"geo": "x"}}}}, "tables.property.columns.geo"),
    ],
)
def test_a_wrong_choice_is_told(make: Maker, source: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make("property", source=source)


def test_a_county_with_names_of_its_own_needs_one_yaml_and_nothing_else(make: Maker, tmp_path: Path) -> None:
    """Another table with other column names in the place of situs: the county's file says so, and no code
    does.
    """
    county = make("property")
    county.pacs(
        "CREATE TABLE dbo.SitusAddresses (PropKey int NOT NULL, LineNo int NOT NULL, IsMain char(1) NULL, "
        "HouseNo varchar(15) NULL, "
        "Direction varchar(10) NULL, "
        "Street varchar(50) NULL, Kind varchar(10) NULL, Unit varchar(5) NULL, Town varchar(30) NULL, St "
        "char(2) NULL, Zip varchar(10) NULL, "
        "PRIMARY KEY (PropKey, LineNo))"
    )
    county.pacs(
        "INSERT INTO dbo.SitusAddresses (PropKey, LineNo, IsMain, HouseNo, Direction, Street, Kind, Unit, "
        "Town, St, Zip) "
        "SELECT prop_id, situs_id, primary_situs, situs_num, situs_street_prefx, situs_street, "
        "situs_street_sufix, situs_unit, 'Kennewick Heights', "
        "situs_state, situs_zip FROM dbo.situs"
    )
    file = tmp_path / f"{county.config.county}.yaml"
    file.write_text(
        f'fips: "{county.fips}"\ntimezone: America/Los_Angeles\nsync: {{entities: [property]}}\nsource:\n  '
        "profile: harris_pacs_9\n  tables:\n"
        "    situs:\n      table: SitusAddresses\n      columns: {prop_id: PropKey, situs_id: LineNo, "
        "primary_situs: IsMain, situs_num: HouseNo,\n"
        "        situs_street_prefx: Direction, situs_street: Street, situs_street_sufix: Kind, situs_unit: "
        "Unit, situs_city: Town,\n"
        "        situs_state: St, situs_zip: Zip}\n"
    )
    county.config = load_county(file)
    assert county.sync()[1].clean
    assert {row["city"] for row in county.rows("property").values() if row["city"]} == {"Kennewick Heights"}
    moved = county.plain(skip=30)[0]
    county.pacs(f"UPDATE dbo.SitusAddresses SET HouseNo = '99' WHERE PropKey = {moved} AND IsMain = 'Y'")
    published, _ = county.sync()
    assert of(published, "property").read == 1
    assert county.live("property", str(moved))["address"].startswith("99 ")


def test_a_check_looks_at_every_joined_table_once(make: Maker) -> None:
    """D4: of a joined entity each table has findings of its own; nothing that is personal and no business of
    ours is read or shown.
    """
    county = make(*ENTITIES)
    county.target.migrate()
    report = examine(county.config, county.source, county.target, thorough=True)
    findings = {finding.id: finding for finding in report.findings}
    assert len(findings) == len(report.findings)
    assert {name: finding.text for name, finding in findings.items() if finding.state == "fail"} == {}
    assert {f"schema.{entity}" for entity in ENTITIES} | {
        f"changes.{entity}" for entity in ENTITIES
    } <= findings.keys()
    assert {
        "permissions.read.property.property",
        "permissions.read.value.property",
        "data.property.property_val.dates",
    } <= findings.keys()
    assert (
        "data.property.property_val.codes.prop_inactive_dt" not in findings
    )  # a day is no code, whatever it is mapped to
    texts = " ".join(finding.text for finding in report.findings).lower()
    assert not [word for word in NEVER_READ if word in texts]
