"""Generates pacs_system, the years, the supplement groups, the dictionaries and the tax areas."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from airflow_provider_pacs.sandbox.counties.harris.foundations import APPRAISAL_YEAR, FIRST_PROPERTY
from airflow_provider_pacs.sandbox.counties.harris.parcels import TAX_AREAS
from airflow_provider_pacs.sandbox.counties.harris.structures import BATHROOMS, BEDROOMS, HEATING
from airflow_provider_pacs.sandbox.counties.harris.table_rows import fill
from airflow_provider_pacs.sandbox.counties.harris.vocabulary import (
    BUILDING_TYPES,
    DETAIL_TYPES,
    EXEMPTION_TYPES,
    LAND_TYPES,
    PROPERTY_TYPES,
    RATIO_TYPES,
)

SUPPLEMENTS = 4


def system(con: duckdb.DuckDBPyConnection, years: int) -> None:
    """Fills pacs_system, pacs_year, supplement, sup_group, the dictionaries, tax_area, change_log and
    change_log_keys.
    """
    fill(con, "pacs_system", "(SELECT 1)", _SYSTEM)
    layers = f"(SELECT {APPRAISAL_YEAR} - n AS yr FROM range({years}) AS r(n)) AS y"
    certified = f"CASE WHEN yr < {APPRAISAL_YEAR} THEN make_timestamp(yr, 7, 15, 17, 0, 0) END"
    fill(
        con,
        "pacs_year",
        layers,
        {"tax_yr": "yr", "certification_dt": certified, "assessment_certification_date": certified},
    )
    groups = (
        f"(SELECT yr, s, (yr - 2000) * 10 + s AS g FROM {layers}, range(1, {SUPPLEMENTS + 1}) AS t(s)) AS x"
    )
    fill(con, "supplement", groups, {"sup_tax_yr": "yr", "sup_num": "s", "sup_group_id": "g"})
    fill(con, "sup_group", groups, _GROUP)
    fill(
        con, "property_type", _listed(PROPERTY_TYPES.items()), {"prop_type_cd": "c0", "prop_type_desc": "c1"}
    )
    fill(
        con,
        "imprv_type",
        _listed(BUILDING_TYPES.items()),
        {
            "imprv_type_cd": "c0",
            "imprv_type_desc": "c1",
            "mobile_home": "CASE WHEN c0 = 'MH' THEN 'Y' ELSE 'N' END",
        },
    )
    details = _listed((code, text, main) for code, (text, main) in DETAIL_TYPES.items())
    fill(
        con,
        "imprv_det_type",
        details,
        {"imprv_det_type_cd": "c0", "imprv_det_typ_desc": "c1", "main_area": "c2"},
    )
    _dictionaries(con, layers)
    fill(
        con,
        "tax_area",
        f"range(1, {TAX_AREAS + 1}) AS t(n)",
        {
            "tax_area_id": "n",
            "tax_area_number": "printf('%04d', 1100 + n)",
            "tax_area_description": "'City – area ' || n",
            "is_inactive_after_year": "n % 50 = 0",
            "inactive_after_year": "CASE WHEN n % 50 = 0 THEN 2023 END",
        },
    )
    fill(con, "change_log", "range(1, 21) AS t(n)", _CHANGE)
    key = {
        "lChangeID": "n",
        "iColumnID": "4026",
        "szKeyValue": f"({FIRST_PROPERTY} + n)::VARCHAR",
        "lKeyValue": f"{FIRST_PROPERTY} + n",
    }
    fill(con, "change_log_keys", "range(1, 21) AS t(n)", key)


def _dictionaries(con: duckdb.DuckDBPyConnection, layers: str) -> None:
    """What land, exemptions, sales and, by year, neighborhoods are called."""
    fill(con, "land_type", _listed(LAND_TYPES.items()), {"land_type_cd": "c0", "land_type_desc": "c1"})
    fill(
        con,
        "exmpt_type",
        _listed(EXEMPTION_TYPES.items()),
        {"exmpt_type_cd": "c0", "exmpt_desc": "c1", "spl_exmpt": "'F'"},
    )
    fill(
        con,
        "sale_ratio_type",
        _listed((code, text, invalid) for code, (text, invalid) in RATIO_TYPES.items()),
        {"sl_ratio_type_cd": "c0", "sl_ratio_desc": "c1", "invalid_sale": "c2 = '1'"},
    )
    fill(
        con,
        "neighborhood",
        f"{layers}, range(90) AS t(n)",
        {
            "hood_cd": "(530000 + n)::VARCHAR",
            "hood_yr": "yr",
            "hood_name": "'Neighborhood ' || n || CASE WHEN n % 9 = 0 THEN ' – revised ' || yr ELSE '' END",
            "hood_land_pct": "100",
            "hood_imprv_pct": "100",
        },
    )


def _listed(rows: Iterable[tuple[str | None, ...]]) -> str:
    def text(value: str | None) -> str:
        return "NULL" if value is None else "'" + value.replace("'", "''") + "'"

    result = [f"({', '.join(map(text, row))})" for row in rows]
    names = ", ".join(f"c{n}" for n in range(result[0].count(", ") + 1))
    return f"(VALUES {', '.join(result)}) AS v({names})"


_SYSTEM = {
    "id": "1",
    "tax_yr": str(APPRAISAL_YEAR - 1),
    "appr_yr": str(APPRAISAL_YEAR),
    "future_yr": str(APPRAISAL_YEAR + 1),
    "system_type": "'B'",
    "client_name": "'Benton County'",
    "version": "'9.0'",
    "confidential_file_as_name": "'CONFIDENTIAL OWNER'",
    "heat_ac_code_attribute_id": str(HEATING),
    "num_bedrooms_code_attribute_id": str(BEDROOMS),
    "num_bathrooms_code_attribute_id": str(BATHROOMS),
}
# Group 1 of a closed year has its bills too (BC); of the appraisal year only group 1 is accepted. C and L are
# open.
_STATUS = (
    f"CASE WHEN s = 4 THEN 'L' WHEN yr = {APPRAISAL_YEAR} AND s > 1 THEN 'C' WHEN yr < "
    f"{APPRAISAL_YEAR - 1} AND s = 1 THEN 'BC' ELSE 'A' END"
)
_OPEN = f"(s = 4 OR yr = {APPRAISAL_YEAR} AND s > 1)"
_GROUP = {
    "sup_group_id": "g",
    "sup_group_desc": "yr || ' supplement ' || s",
    "sup_create_dt": f"make_timestamp(least(yr + 1, {APPRAISAL_YEAR}), 1, s, 8, 0, 0)",
    "sup_accept_dt": f"CASE WHEN NOT {_OPEN} THEN make_timestamp(least(yr + 1, {APPRAISAL_YEAR}), 1, 5 + s, 9, 0, 0) END",
    "status_cd": _STATUS,
}
_CHANGE = {
    "lChangeID": "n",
    "lPacsUserID": "12",
    "szSQLAccount": "'pacs'",
    "szMachineName": "'COUNTER-3'",
    "dtChange": "TIMESTAMP '2026-01-13 09:00:00' + to_minutes(CAST(n AS INTEGER))",
    "szChangeType": "'U'",
    "iTableID": "763",
    "iColumnID": "5933",
    "szOldValue": "'#1'",
    "szNewValue": "'#2'",
}
