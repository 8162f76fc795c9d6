"""Generates improvements with details and attributes, and land segments, for every edition of a layer."""

from __future__ import annotations

import duckdb

from airflow_provider_pacs.sandbox.counties.harris.foundations import FIRST_IMPROVEMENT
from airflow_provider_pacs.sandbox.counties.harris.table_rows import fill, pick
from airflow_provider_pacs.sandbox.counties.harris.vocabulary import BUILDING_TYPES, CONDITIONS, DETAIL_TYPES

BEDROOMS, BATHROOMS, HEATING = 31, 32, 9
_KEYS = {"prop_id": "prop_id", "prop_val_yr": "yr", "sup_num": "sup", "sale_id": "sale_id"}
_TYPES = list(BUILDING_TYPES)


def structures(con: duckdb.DuckDBPyConnection) -> None:
    """Fills imprv, imprv_detail, imprv_attr and land_detail."""
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE homes AS SELECT b.*, l.kind, l.improvements,
        CASE WHEN l.kind = 'MH' THEN 'MH' WHEN b.n = 0 AND b.i % 9 <> 0 THEN 'R1' ELSE {pick("b.imprv_id", _TYPES)} END AS type
        FROM buildings AS b JOIN lots AS l USING (i) ORDER BY imprv_id"""
    )
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE details AS SELECT h.i, h.imprv_id, h.built, h.area, CAST(r.k AS BIGINT) AS k,
        h.imprv_id * 10 + r.k AS det_id, CASE WHEN r.k = 0 THEN 'MA' ELSE {pick("h.imprv_id + r.k", list(DETAIL_TYPES)[1:])} END AS type
        FROM homes AS h JOIN range(64) AS r(k) ON r.k < h.details"""
    )
    fill(
        con,
        "imprv",
        "editions AS e JOIN homes AS h USING (i) JOIN worth AS w USING (i, prop_id, yr, sup)",
        _IMPROVEMENT,
    )
    fill(con, "imprv_detail", "editions AS e JOIN details AS r USING (i)", _DETAIL)
    homes = "editions AS e JOIN homes AS h USING (i)"
    for number, where, code, unit in (
        (
            BEDROOMS,
            "h.type IN ('R1', 'MH') AND imprv_id % 23 <> 4",
            "beds::VARCHAR",
            "CASE WHEN imprv_id % 19 = 2 THEN NULL ELSE beds END",
        ),
        (BATHROOMS, "h.type IN ('R1', 'MH', 'CONDO')", "printf('%.1f', baths / 2.0)", "baths / 2.0"),
        (HEATING, "h.type <> 'AG'", pick("imprv_id", ("FA", "HP", "BB", "Wärmepumpe")), "1"),
    ):
        fill(con, "imprv_attr", f"{homes} WHERE {where}", _attribute(number, code, unit))
    segments = (
        "editions AS e JOIN lots AS l USING (i, prop_id) JOIN worth AS w USING (i, prop_id, yr, sup) "
        "JOIN "
        "range(64) AS r(k) ON r.k < l.segments"
    )
    fill(con, "land_detail", segments, _LAND)


_SHARE = "w.building // improvements + CASE WHEN n = 0 THEN w.building % improvements ELSE 0 END"
_YEAR = "CASE WHEN built < 0 THEN NULL ELSE built END"
_IMPROVEMENT = _KEYS | {
    "imprv_id": "imprv_id",
    "imprv_type_cd": "type",
    "imprv_sl_locked": "CASE WHEN sale_id = 0 THEN 'F' ELSE 'T' END",
    "primary_imprv": "CASE WHEN n = 0 THEN 'T' ELSE 'F' END",
    "imprv_state_cd": "'11'",
    "imprv_homesite": "CASE WHEN i % 3 < 2 THEN 'Y' ELSE 'N' END",
    "imprv_desc": "CASE WHEN imprv_id % 15 = 3 THEN 'Ranch – “Cañon” plan' WHEN imprv_id % 6 = 0 THEN '' ELSE type END",
    "imprv_val": _SHARE,
    "base_val": _SHARE,
    "calc_val": _SHARE,
    "living_area_up": "area / 2.0",
    "imprv_val_source": "'A'",
    "effective_yr_blt": "CASE WHEN built > 0 THEN least(built + imprv_id % 20, 2025) ELSE 0 END",
    "actual_year_built": _YEAR,
    "percent_complete": "CASE WHEN imprv_id % 41 = 7 THEN 65 ELSE 100 END",
    "dep_pct": "imprv_id % 100",
    "hs_pct": "CASE WHEN i % 3 < 2 THEN 100 ELSE 0 END",
    "building_number": "(n + 1)::VARCHAR",
    "mbl_hm_make": "CASE WHEN type = 'MH' THEN 'FLEETWOOD' END",
    "imprv_cmnt": "CASE WHEN imprv_id % 77 = 0 THEN 'garage converted' || chr(13) || chr(10) || 'per owner' END",
}
_DETAIL = _KEYS | {
    "imprv_id": "imprv_id",
    "imprv_det_id": "det_id",
    "imprv_det_class_cd": "'C' || (imprv_id % 5)",
    "imprv_det_meth_cd": "'R'",
    "imprv_det_type_cd": "type",
    "seq_num": "k",
    "imprv_det_val": "area * 3 + k",
    "imprv_det_desc": "CASE WHEN k = 3 THEN 'dëck' ELSE type END",
    "imprv_det_area": "CASE WHEN k > 0 THEN 100 + (imprv_id * 7 + k) % 900 + 0.5 WHEN imprv_id % 120 <> 11 THEN area / "
    "2.0 END",
    "condition_cd": f"CASE WHEN imprv_id % 21 = 4 THEN NULL ELSE {pick('imprv_id', CONDITIONS)} END",
    "yr_built": "CASE WHEN built > 0 THEN built ELSE 0 END",
    "percent_complete": "100",
    "num_stories": "1 + imprv_id % 2",
    "floor_number": "k % 3",
}


def _attribute(number: int, code: str, unit: str) -> dict[str, str]:
    return _KEYS | {
        "imprv_id": "imprv_id",
        "imprv_det_id": "imprv_id * 10",
        "imprv_attr_id": f"(imprv_id - {FIRST_IMPROVEMENT}) * 4 + {number % 4}",
        "i_attr_val_id": str(number),
        "i_attr_val_cd": code,
        "i_attr_unit": unit,
        "i_attr_factor": "1",
    }


_ACRES = "CAST(l.acres / 10000 / segments AS DECIMAL(18,4))"
_VALUE = "w.land // segments + CASE WHEN r.k = 0 THEN w.land % segments ELSE 0 END"
_LAND = _KEYS | {
    "land_seg_id": "prop_id * 100 + r.k",
    "land_type_cd": "CASE WHEN ag + ag_hs > 0 AND r.k = 0 THEN 'AG' WHEN timber + timber_hs > 0 AND r.k = 0 THEN 'TIMB' "
    "ELSE 'RES' END",
    "land_seg_desc": "CASE WHEN r.k = 0 THEN 'Primary – site' END",
    "land_seg_sl_lock": "CASE WHEN sale_id = 0 THEN 'F' ELSE 'T' END",
    "state_cd": "'11'",
    "land_seg_homesite": "CASE WHEN i % 3 < 2 AND r.k = 0 THEN 'Y' ELSE 'N' END",
    "size_acres": _ACRES,
    "size_square_feet": f"{_ACRES} * 43560",
    "mkt_unit_price": "1.25 + i % 9",
    "land_seg_mkt_val": _VALUE,
    "ag_apply": "CASE WHEN ag > 0 AND r.k = 0 THEN 'T' ELSE 'F' END",
    "ag_val": "CASE WHEN r.k = 0 THEN (ag + ag_hs) // 5 ELSE 0 END",
    "ag_use_cd": "CASE WHEN ag > 0 AND r.k = 0 THEN '1D1' END",
    "ag_loss": "CASE WHEN r.k = 0 THEN ag - ag // 5 ELSE 0 END",
    "hs_pct": "CASE WHEN i % 3 < 2 THEN 33.3333333333 ELSE 0 END",
}
