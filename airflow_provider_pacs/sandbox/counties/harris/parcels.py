"""Generates properties, their situs, their values of every layer and what belongs to a layer."""

from __future__ import annotations

import duckdb

from airflow_provider_pacs.sandbox.counties.harris.foundations import APPRAISAL_YEAR
from airflow_provider_pacs.sandbox.counties.harris.table_rows import fill, pick
from airflow_provider_pacs.sandbox.counties.harris.vocabulary import (
    CITIES,
    PLATS,
    PREFIXES,
    STREETS,
    SUFFIXES,
    ZIPS,
)

TAX_AREAS = 109


def parcels(con: duckdb.DuckDBPyConnection) -> None:
    """Fills property, situs, property_val, prop_supp_assoc, property_assoc, property_profile,
    wash_property_val and property_tax_area.
    """
    fill(con, "property", "lots", _PROPERTY)
    for number, where in ((1, "r % 100 <> 99"), (2, "r % 14 = 3"), (3, "r % 42 = 3")):
        fill(
            con,
            "situs",
            f"(SELECT *, dice('situs', i, {number}) AS s, dice('places', i, 0) AS r FROM lots) AS p WHERE "
            f"{where}",
            _situs(number),
        )
    fill(con, "property_val", "layers AS l JOIN worth AS w USING (i, prop_id, yr, sup)", _VALUES)
    fill(
        con,
        "prop_supp_assoc",
        "layers WHERE latest",
        {"prop_id": "prop_id", "owner_tax_yr": "yr", "sup_num": "sup"},
    )
    child = {
        "parent_prop_id": "prop_id - (i % 90 - 20)",
        "child_prop_id": "prop_id",
        "prop_val_yr": "yr",
        "sup_num": "sup",
    }
    fill(
        con,
        "property_assoc",
        "layers WHERE part = 'child'",
        child | {"lOrder": "i % 90 - 20", "link_type_cd": "'UDI'"},
    )
    fill(
        con,
        "property_profile",
        "layers AS l JOIN worth AS w USING (i, prop_id, yr, sup) WHERE latest",
        _PROFILE,
    )
    fill(con, "wash_property_val", "layers AS l JOIN worth AS w USING (i, prop_id, yr, sup)", _WASH)
    area = {"year": "yr", "sup_num": "sup", "prop_id": "prop_id", "tax_area_id": f"1 + i % {TAX_AREAS}"}
    pending = {
        "tax_area_id_pending": f"CASE WHEN i % 500 = 7 THEN 1 + (i + 1) % {TAX_AREAS} END",
        "effective_date": "TIMESTAMP '2017-02-06'",
    }
    fill(con, "property_tax_area", "layers", area | pending)


_PARCEL = (
    "printf('1-%04d-%d-%04d-%03d', 588 + {0} // 104976, 100 * (1 + ({0} // 11664) % 9), ({0} // 12) % "
    "972 + 1, {0} % 12 + 1)"
)
# A mobile home, and what a business keeps on a parcel, bear the parcel's number; some have none.
_GEO = (
    "CASE WHEN kind = 'A' OR i % 400 = 5 THEN NULL WHEN kind IN ('MH', 'P') THEN "
    f"{_PARCEL.format('(i - 1)')} ELSE {_PARCEL.format('i')} END"
)
_PROPERTY = {
    "prop_id": "prop_id",
    "prop_type_cd": "kind",
    "prop_create_dt": "make_timestamp(begun, 1, 4, 8, 30, 0)",
    "geo_id": f"{_GEO} || CASE WHEN i % 31 = 2 THEN '  ' ELSE '' END",
    "simple_geo_id": f"replace({_GEO}, '-', '')",
    "ref_id2": "CASE WHEN i % 9 = 0 THEN 'PV' || i END",
    "prop_cmnt": "CASE WHEN i % 45 = 0 THEN 'see file' || chr(13) || chr(10) || '“fence” – ½ acre' END",
    "dba_name": "CASE WHEN kind = 'P' THEN 'PEÑA’S SHOP ' || i END",
    "zoning": "CASE WHEN i % 3 = 0 THEN 'R-1' WHEN i % 3 = 1 THEN 'AG' END",
    "state_cd": f"CASE WHEN kind = 'R' THEN {pick('i', ('11', '83', '91', '18'))} END",
}


def _situs(number: int) -> dict[str, str]:
    """The first row is the primary one; of some properties no row is."""
    primary = (
        "CASE WHEN r % 200 = 3 THEN NULL WHEN r % 200 = 17 THEN 'N' ELSE 'Y' END"
        if number == 1
        else pick("s", ("N", "F", "n"))
    )
    return {
        "prop_id": "prop_id",
        "situs_id": f"prop_id * 10 + {4 - number}",
        "primary_situs": primary,
        "situs_num": "CASE WHEN s % 25 = 0 THEN NULL WHEN s % 25 = 1 THEN '' ELSE (100 + s % 9900)::VARCHAR END",
        "situs_street_prefx": f"nullif({pick('s', PREFIXES)}, '')",
        "situs_street": f"CASE WHEN s % 50 = 7 THEN NULL ELSE {pick('s', STREETS)} END",
        "situs_street_sufix": pick("s // 10", SUFFIXES),
        "situs_unit": "CASE WHEN s % 12 = 0 THEN '#' || (s % 90) END",
        "situs_city": f"CASE WHEN s % 40 = 3 THEN NULL ELSE {pick('s', CITIES)} END",
        "situs_state": "CASE WHEN s % 60 = 3 THEN NULL ELSE 'WA' END",
        "situs_zip": f"CASE WHEN s % 30 = 3 THEN NULL ELSE {pick('s', ZIPS)} || CASE WHEN s % 5 = 0 THEN '-0112' "
        "ELSE '' END END",
        "building_num": "CASE WHEN s % 33 = 0 THEN 'BLDG ' || (s % 9) END",
    }


_LEGAL = (
    f"'LOT ' || (i % 40 + 1) || ', BLOCK ' || (i % 9 + 1) || ', ' || {pick('i', PLATS)} || chr(13) || "
    "chr(10) || 'AF# ' || (i * 17) || "
    "CASE WHEN i % 7 = 0 THEN repeat(', LESS RD R/W; SUBJECT TO EASEMENTS', 4) ELSE '' END"
)
_CHANGED = (
    "TIMESTAMP '2024-01-08 10:11:12.013333' + to_hours(CAST(dice('changed', i, yr) % 17000 AS INTEGER))"
)
_APPRAISED = (
    "market - (ag - ag // 5) - (timber - timber // 10) - (ag_hs - ag_hs // 5) - (timber_hs - timber_hs // 10)"
)
_MONEY = {
    "land_hstd_val": "land_hs",
    "land_non_hstd_val": "land - ag - timber - ag_hs - timber_hs - land_hs",
    "imprv_hstd_val": "building_hs",
    "imprv_non_hstd_val": "building - building_hs",
    "appraised_val": _APPRAISED,
    "assessed_val": _APPRAISED,
    "market": "market",
    "ag_use_val": "ag // 5",
    "ag_market": "ag",
    "ag_loss": "ag - ag // 5",
    "timber_market": "timber",
    "timber_use": "timber // 10",
    "timber_loss": "timber - timber // 10",
    "ag_hs_use_val": "ag_hs // 5",
    "ag_hs_mkt_val": "ag_hs",
    "ag_hs_loss": "ag_hs - ag_hs // 5",
    "timber_hs_use_val": "timber_hs // 10",
    "timber_hs_mkt_val": "timber_hs",
    "timber_hs_loss": "timber_hs - timber_hs // 10",
}
_VALUES = _MONEY | {
    "prop_id": "prop_id",
    "prop_val_yr": "yr",
    "sup_num": "sup",
    "chg_dt": f"CASE WHEN i % 4 <> 0 THEN {_CHANGED} END",
    "recalc_dt": f"{_CHANGED} + INTERVAL 1 HOUR",
    "cost_market": "market",
    "cost_value": "market",
    "appr_method": "'C'",
    "new_val_hs": f"CASE WHEN i % 80 = 1 AND yr = {APPRAISAL_YEAR} THEN building // 10 ELSE 0 END",
    "legal_desc": f"CASE WHEN i % 60 = 4 THEN NULL WHEN i % 60 = 5 THEN '' ELSE {_LEGAL} END",
    "legal_desc_2": "CASE WHEN i % 25 = 6 THEN 'TOGETHER WITH AN EASEMENT – SEE AF#' || i END",
    "legal_acreage": "CASE WHEN i % 50 = 7 THEN NULL WHEN i % 17 = 8 THEN 0 ELSE acres / 10000 END",
    "eff_size_acres": "acres / 10000",
    "prev_sup_num": "CASE WHEN sup > 0 THEN 0 END",
    "sup_cd": "CASE WHEN sup > 0 THEN 'CORR' END",
    "sup_desc": "CASE WHEN sup > 0 THEN 'Manifest error – ' || sup END",
    "sup_dt": "CASE WHEN sup > 0 THEN make_timestamp(yr, 1, 5, 11, 0, 0) END",
    "sup_action": "CASE WHEN sup > 0 THEN CASE WHEN inactive IS NULL THEN 'M' ELSE 'D' END END",
    "prop_inactive_dt": "inactive",
    "last_appraisal_yr": "yr - i % 6",
    "last_appraisal_dt": "make_timestamp(2020 + i % 6, 3, 1 + i % 28, 0, 0, 0)",
    "reviewed_dt": "CASE WHEN i % 9 = 4 THEN TIMESTAMP '2025-11-03 14:05:00' END",
    "abs_subdv_cd": "CASE WHEN i % 8 = 0 THEN NULL ELSE 'S' || (i // 200) END",
    "hood_cd": "CASE WHEN i % 33 = 0 THEN NULL ELSE (530000 + i % 90)::VARCHAR END",
    "map_id": "(i // 500)::VARCHAR",
    "rgn_cd": "CASE WHEN i % 5 = 0 THEN 'N' ELSE 'S' END",
    "property_use_cd": pick("i", ("11", "83", "91", "18", "62")),
    "cycle": "1 + i % 6",
    "udi_parent": "CASE part WHEN 'parent' THEN 'T' WHEN 'child' THEN 'F' END",
    "udi_parent_prop_id": "CASE WHEN part = 'child' THEN prop_id - (i % 90 - 20) END",
    "sub_type": "CASE kind WHEN 'R' THEN 'LAND' WHEN 'P' THEN 'COMM' END",
    "gis_real_coord_x": "1900000 + i / 8.0",
    "gis_real_coord_y": "330000 + i / 16.0",
}
_PROFILE = {
    "prop_id": "prop_id",
    "prop_val_yr": "yr",
    "sup_num": "sup",
    "class_cd": "'C' || (i % 5)",
    "yr_blt": "CASE WHEN improvements > 0 THEN 1900 + i % 125 ELSE 0 END",
    "actual_year_built": "CASE WHEN improvements > 0 THEN 1900 + i % 125 ELSE 0 END",
    "land_acres": "acres / 10000",
    "neighborhood": "CASE WHEN i % 33 = 0 THEN NULL ELSE (530000 + i % 90)::VARCHAR END",
    "appraised_val": _APPRAISED,
    "num_imprv": "improvements",
    "condition_cd": "'A'",
}
_WASH = {
    "prop_val_yr": "yr",
    "sup_num": "sup",
    "prop_id": "prop_id",
    "appraised_classified": "CASE WHEN i % 2 = 0 THEN building ELSE 0 END",
    "appraised_non_classified": f"{_APPRAISED} - CASE WHEN i % 2 = 0 THEN building ELSE 0 END",
    "snr_land": "land_hs",
    "snr_imprv": "building_hs",
    "snr_land_lesser": "land_hs * 9 // 10",
    "snr_imprv_lesser": "building_hs * 9 // 10",
    "snr_taxable_portion": "CASE WHEN i % 28 = 3 THEN market // 2 ELSE 0 END",
}
