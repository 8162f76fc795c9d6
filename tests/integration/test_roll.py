"""The whole roll of a county on PACS 9.0: land, exemptions, sales, tax areas, dictionaries, and the layers of
earlier years (domain.md C, D2).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_pacs.sandbox.counties.harris import nightly_changes
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.entities import default_entities, load_entities
from airflow_provider_pacs.sync.profiles import load_profile
from tests.support.county import certificate_of, of
from tests.support.harris import HarrisCounty
from tests.support.harris_fixtures import Maker
from tests.support.harris_fixtures import make as make
from tests.support.harris_fixtures import pacs as pacs

ROLL = ("property", "land", "exemption", "tax_area", "sale", "sale_property", "code")
ALL = ("property", "owner", "value", "structure", *ROLL[1:])
LAYERED = ("owner", "structure", "land", "exemption", "tax_area")
CURRENT = (
    "dbo.prop_supp_assoc AS a JOIN dbo.property AS p ON p.prop_id = a.prop_id AND p.prop_type_cd IN ('R', 'MH') "
    "JOIN (SELECT prop_id, MAX(owner_tax_yr) AS yr FROM dbo.prop_supp_assoc WHERE owner_tax_yr BETWEEN 2024 AND "
    "2026 GROUP BY prop_id) AS last ON last.prop_id = a.prop_id AND last.yr = a.owner_tax_yr"
)
LAYERS = CURRENT.partition(" JOIN (")[0]


def totals(county: HarrisCounty, entity: str, *columns: str) -> tuple[Any, ...]:
    """Count and sums of a county's live rows."""
    table = load_entities()[entity].table
    sums = "".join(f", coalesce(sum({column}), 0) AS {column}" for column in columns)
    row = county.sql(
        f"SELECT count(*) AS n{sums} FROM pacs.{table} WHERE county_id = %s AND _deleted_at IS NULL",
        county.fips,
    )[0]
    return tuple(row.values())


def at_source(county: HarrisCounty, select: str) -> tuple[Any, ...]:
    """What PACS itself counts and adds up."""
    row = county.source.query(select)[0]
    return tuple(value or 0 for value in row.values())


def check_against_the_source(county: HarrisCounty, layers: str = CURRENT, years: str = "") -> None:
    """Every entity of the roll against sums that PACS makes of its own tables."""
    joined = "{0} ON {0}.{1} = a.owner_tax_yr AND {0}.sup_num = a.sup_num AND {0}.prop_id = a.prop_id"
    land = joined.format("l", "prop_val_yr")
    assert totals(county, "land", "market_value", "acres", "agricultural_value") == at_source(
        county,
        "SELECT COUNT(*) AS n, SUM(l.land_seg_mkt_val) AS m, SUM(l.size_acres) AS s, SUM(l.ag_val) AS g "
        f"FROM {layers} JOIN dbo.land_detail AS {land} AND l.sale_id = 0{years}",
    )
    exemption = joined.format("e", "owner_tax_yr")
    assert totals(county, "exemption", "exemption_percent") == at_source(
        county,
        f"SELECT COUNT(*) AS n, SUM(e.exemption_pct) AS s FROM {layers} JOIN dbo.property_exemption AS {exemption} "
        f"AND e.exmpt_tax_yr = e.owner_tax_yr{years}",
    )
    area = joined.format("t", "year")
    assert totals(county, "tax_area") == at_source(
        county, f"SELECT COUNT(*) AS n FROM {layers} JOIN dbo.property_tax_area AS {area}{years}"
    )


def test_the_roll_in_full_and_then_only_what_changed(make: Maker) -> None:
    """domain.md F7: counts and sums of each entity are those that PACS adds up itself; a second run writes nothing."""
    county = make(*ALL)
    _published, certificate = county.sync()
    assert certificate.clean, certificate
    assert {each.covered for each in certificate.entities} == {"all_rows"}
    check_against_the_source(county)
    prices = at_source(
        county,
        "SELECT COUNT(*) AS n, SUM(CASE WHEN s.confidential_sale = 'T' THEN 0 ELSE s.sl_price END) AS p FROM dbo.sale AS s "
        f"WHERE s.chg_of_owner_id IN (SELECT c.chg_of_owner_id FROM {CURRENT} JOIN dbo.chg_of_owner_prop_assoc AS c "
        "ON c.prop_id = a.prop_id)",
    )
    assert totals(county, "sale", "sale_price") == prices
    conveyed = county.sql(
        "SELECT count(*) AS n, count(s.deed_key) AS sales, count(p.property_id) AS properties FROM pacs.sale_property AS c "
        "LEFT JOIN pacs.sale AS s USING (county_id, deed_key) LEFT JOIN pacs.property AS p ON p.county_id = c.county_id "
        "AND p.property_id = c.property_id WHERE c.county_id = %s",
        county.fips,
    )[0]
    assert conveyed["n"] == conveyed["sales"] == conveyed["properties"] > 0
    assert totals(county, "code")[0] > 100
    again, second = county.sync()
    assert second.clean
    assert sum(outcome.changed for outcome in again.entities) == 0
    assert of(again, "land").read == 0
    strategies = {entity: county.plan_of(again.run_id, entity).strategy for entity in ROLL}
    assert strategies == {
        "property": "joined", "land": "joined", "exemption": "compare", "tax_area": "compare",
        "sale": "compare", "sale_property": "compare", "code": "compare",
    }  # fmt: skip
    assert {quarantined for entity in ALL for quarantined in county.quarantine(entity)} == {
        key for key in county.quarantine("property")
    } | {key for entity in ("owner", "value", "structure") for key in county.quarantine(entity)}


def test_a_night_reaches_every_entity(make: Maker, pacs: Any) -> None:
    """domain.md F7: after the vendor's own kinds of change the target is PACS again, with the layers of earlier years
    and without.
    """
    county = make(*ALL, options={"taxable_value": True}, delete_guard={"max_rows": 100})
    past = make(*ALL, options={"history": "layers"}, delete_guard={"max_rows": 1_000})
    for each in (county, past):
        assert each.sync()[1].clean
    night = nightly_changes.mutate(pacs, 41)
    kinds = (night.land_valued, night.land_deleted, night.exemptions_added, night.tax_areas_moved, night.deeds,
             night.sales_corrected, night.codes_renamed, night.taxes_recalculated)  # fmt: skip
    assert all(kinds), night
    for each in (county, past):
        published, certificate = each.sync()
        assert certificate.clean, [(e.entity, e.state) for e in certificate.entities]
        changed = {outcome.entity for outcome in published.entities if outcome.changed}
        assert changed == set(ALL)
        assert each.reconcile().clean
    check_against_the_source(county)
    check_against_the_source(past, LAYERS, " WHERE a.owner_tax_yr BETWEEN 2024 AND 2026")
    taxable = at_source(
        county,
        f"SELECT SUM(w.taxable_classified + w.taxable_non_classified) AS t FROM {LAYERS} JOIN "
        "dbo.wash_prop_owner_val AS w ON w.year = a.owner_tax_yr AND w.sup_num = a.sup_num AND w.prop_id = a.prop_id "
        "WHERE a.owner_tax_yr BETWEEN 2024 AND 2026",
    )
    assert totals(county, "value", "taxable_value")[1:] == taxable


def test_history_adds_rows_and_takes_none_away(make: Maker) -> None:
    """Story 25: the key of a current row is the same with and without the layers of earlier years, so a county that
    asks for them later deletes nothing.
    """
    county = make("property", "owner", "structure", "land", "exemption", "tax_area")
    county.sync()
    before = {entity: county.keyed(entity) for entity in LAYERED}
    county.configure(source={"options": {"history": "layers"}})
    published, certificate = county.sync()
    assert certificate.clean
    for entity in LAYERED:
        rows = county.keyed(entity)
        current = {key: row for key, row in rows.items() if row["is_current"]}
        assert {key: row[load_entities()[entity].key] for key, row in current.items()} == {
            key: row[load_entities()[entity].key] for key, row in before[entity].items()
        }
        assert of(published, entity).deleted == 0
        past = rows.keys() - current.keys()
        assert past
        assert all("/@" in key for key in past)
        assert {rows[key]["tax_year"] for key in past} <= {2024, 2025}
    assert not county.sql(
        "SELECT 1 FROM pacs_ops.quality_result WHERE run_id = %s AND rule_id = 'F2.18' AND unexpected > 0 "
        "AND evaluated < unexpected * 2",
        published.run_id,
    ), "the owners of each year add up by themselves"


def test_a_renamed_code_is_seen_in_the_next_run(make: Maker) -> None:
    """domain.md D3: no row that bears the code changes, its dictionary does; a year's dictionary is that year's."""
    county = make("property", "structure", "land", "exemption", "code")
    county.sync()
    county.pacs("UPDATE dbo.land_type SET land_type_desc = 'House lots' WHERE land_type_cd = 'RES'")
    county.pacs("UPDATE dbo.imprv_type SET imprv_type_desc = 'House' WHERE imprv_type_cd = 'R1'")
    county.pacs("UPDATE dbo.exmpt_type SET exmpt_desc = 'Wholly exempt' WHERE exmpt_type_cd = 'EX'")
    county.pacs(
        "UPDATE dbo.neighborhood SET hood_name = 'Old Town' WHERE hood_cd = '530005' AND hood_yr = 2025"
    )
    assert county.sync()[1].clean
    assert {r["land_type"] for r in county.rows("land").values() if r["land_type_code"] == "RES"} == {
        "House lots"
    }
    assert "House" in {row["structure_type"] for row in county.rows("structure").values()}
    assert {
        r["exemption_type"] for r in county.rows("exemption").values() if r["exemption_code"] == "EX"
    } == {"Wholly exempt"}
    codes = county.keyed("code")
    assert codes["0/land_type/RES"]["description"] == "House lots"
    named = {row["tax_year"]: row["description"] for row in codes.values() if row["code"] == "530005"}
    assert named == {2024: "Neighborhood 5", 2025: "Old Town", 2026: "Neighborhood 5"}
    assert codes["0/exemption_type/SNR/DSBL"]["tax_year"] is None


def test_the_price_of_a_confidential_sale_does_not_leave_the_source(make: Maker) -> None:
    """Story 28: the flag hides the price, also of a sale that the target had already, and of one that is gone."""
    county = make("property", "sale", "sale_property", delete_guard={"max_rows": 100})
    county.sync()
    priced = sorted(key for key, row in county.keyed("sale").items() if (row["sale_price"] or 0) > 0)
    hidden, gone = priced[:2]
    county.pacs(f"UPDATE dbo.sale SET confidential_sale = 'T' WHERE chg_of_owner_id IN ({hidden}, {gone})")
    county.pacs(f"DELETE FROM dbo.chg_of_owner_prop_assoc WHERE chg_of_owner_id = {gone}")
    assert county.sync()[1].clean
    for row in (county.live("sale", hidden), county.keyed("sale", deleted=True)[gone]):
        assert (row["sale_price"], row["adjusted_price"], row["is_confidential"]) == (None, None, True)


def test_a_supplement_says_what_it_changes(make: Maker) -> None:
    """Story 7: the row of a supplement holds the roll's own value beside its own; the base roll's row has none."""
    county = make("property", "value")
    prop_id = county.plain(skip=12)[0]
    county.sync()
    before = county.live("value", f"{prop_id}/2025")
    assert (before["base_market_value"], before["roll_status"]) == (None, "certified")
    county.supplement(prop_id, 2025, 73, group=903, accepted=True, market=123_456)
    assert county.sync()[1].clean
    after = county.live("value", f"{prop_id}/2025")
    assert (after["market_value"], after["base_market_value"]) == (123_456, before["market_value"])
    assert after["roll_status"] == "accepted_supplement"
    county.pacs(
        f"UPDATE dbo.property_val SET market = market + 5 WHERE prop_id = {prop_id} AND prop_val_yr = 2025 AND sup_num = 0"
    )
    assert county.sync()[1].clean
    assert county.live("value", f"{prop_id}/2025")["base_market_value"] == before["market_value"] + 5


@pytest.mark.parametrize(
    ("options", "qualified"),
    [
        ({}, {"02": True, "00": False, None: None}),
        ({"qualified_by": "county_code", "qualified_codes": ["02"]}, None),
        ({"qualified_by": "county_code", "qualified_codes": ["2024-02"]}, None),
    ],
)
def test_what_qualifies_a_sale_is_the_countys_word(
    make: Maker, options: dict[str, Any], qualified: dict[str | None, bool | None] | None
) -> None:
    """domain.md F5: the dictionary's own flag, or the codes that the county's file lists, by year where it says so;
    where nothing says it, nobody knows.
    """
    county = make("property", "sale", options=options)
    county.sync()
    rows = list(county.rows("sale").values())
    if qualified is not None:
        assert {row["ratio_code"]: row["is_qualified"] for row in rows} == qualified
        return
    in_2024_only = options["qualified_codes"] == ["2024-02"]
    for row in rows:
        listed = row["county_ratio_code"] == "02" and (row["sale_date"].year == 2024 or not in_2024_only)
        assert row["is_qualified"] == (None if row["county_ratio_code"] is None else listed)
    assert {row["is_qualified"] for row in rows} == {None, True, False}


def test_a_year_that_begins_moves_current_rows_and_keeps_the_old_ones(make: Maker, pacs: Any) -> None:
    """Story 8: with `history: layers` the rows of the year before stay under a key of their own."""
    county = make("property", "tax_area", options={"history": "layers", "first_year": 2024})
    county.sync()
    key, row = next(
        (k, r) for k, r in county.keyed("tax_area").items() if r["is_current"] and r["tax_year"] == 2026
    )
    for table, year in (
        ("prop_supp_assoc", "owner_tax_yr"),
        ("property_tax_area", "year"),
        ("property_val", "prop_val_yr"),
    ):
        county.copy_row(table, f"prop_id = {key} AND {year} = 2026", **{year: 2027})
    county.pacs("UPDATE dbo.pacs_system SET appr_yr = 2027")
    try:
        assert county.sync()[1].clean
        rows = county.keyed("tax_area")
        assert (rows[key]["tax_year"], rows[f"{key}/@2026"]["tax_year"]) == (2027, 2026)
        assert rows[key]["tax_area_id"] == row["tax_area_id"]
    finally:
        county.pacs("UPDATE dbo.pacs_system SET appr_yr = 2026")
        for table, year in (
            ("prop_supp_assoc", "owner_tax_yr"),
            ("property_tax_area", "year"),
            ("property_val", "prop_val_yr"),
        ):
            county.pacs(f"DELETE FROM dbo.[{table}] WHERE prop_id = {key} AND {year} = 2027")


def test_a_county_has_the_four_entities_unless_its_file_names_others() -> None:
    """An upgrade never reads tables to which a county's login has no rights: the entities of the whole roll are
    chosen, and only where the profile has them.
    """
    assert default_entities() == ("property", "owner", "structure", "value")
    assert set(load_profile("generic")["entities"]) == set(default_entities())
    assert set(load_profile("harris_pacs_9")["entities"]) == set(load_entities())
    with pytest.raises(ValueError, match="profile 'generic' has no land, sale; it has: property"):
        CountyConfig.model_validate(
            {"county": "benton_wa", "sync": {"entities": ["property", "land", "sale"]}}
        )


def test_sums_of_money_are_certified(make: Maker) -> None:
    """domain.md F7: control totals of land are by year, made by SQL Server and by PostgreSQL, and equal."""
    county = make("property", "land", options={"history": "layers"})
    certificate = county.sync()[1]
    land = certificate_of(certificate, "land")
    assert land.source_control == land.target_control
    assert set(land.source_control or ()) == {"2024", "2025", "2026"}
    assert sum(Decimal(str(year["market_value"])) for year in (land.source_control or {}).values()) > 0
