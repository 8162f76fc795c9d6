"""Generates deeds with their parcels, sales, buyers and sellers.

Some deeds are of several parcels, and a price is for all of them.
"""

from __future__ import annotations

import duckdb

from airflow_provider_pacs.sandbox.counties.harris.foundations import APPRAISAL_YEAR
from airflow_provider_pacs.sandbox.counties.harris.table_rows import fill, pick


def sales(con: duckdb.DuckDBPyConnection) -> None:
    """Fills chg_of_owner, chg_of_owner_prop_assoc, sale, buyer_assoc and seller_assoc."""
    con.execute(
        """CREATE OR REPLACE TEMP TABLE conveyed AS SELECT d.*, r.k, l.prop_id AS parcel, l.i AS lot
        FROM deeds AS d JOIN range(4) AS r(k) ON r.k = 0 OR d.several JOIN lots AS l ON l.i = d.i + r.k"""
    )
    fill(con, "chg_of_owner", "deeds", _DEED)
    parcel = {
        "chg_of_owner_id": "deed",
        "prop_id": "parcel",
        "seq_num": "k",
        "sup_tax_yr": "yr",
        "bPrimary": "k = 0",
    }
    fill(con, "chg_of_owner_prop_assoc", "conveyed", parcel)
    fill(
        con,
        "sale",
        "(SELECT *, dice('price', i, 0) AS r FROM deeds JOIN lots USING (i, prop_id) WHERE sold) AS s",
        _SALE,
    )
    layer = f"(SELECT * FROM holders WHERE yr = {APPRAISAL_YEAR} AND sup = 0 AND term = 1) AS h"
    fill(
        con,
        "buyer_assoc",
        f"deeds AS d JOIN {layer} USING (i)",
        {"chg_of_owner_id": "deed", "buyer_id": "acct_id"},
    )
    before = (
        "(SELECT * FROM holders QUALIFY yr = max(yr) OVER (PARTITION BY i) AND sup = 0 AND n = 0 AND "
        "yr <= "
        f"{APPRAISAL_YEAR}) AS h"
    )
    seller = {
        "chg_of_owner_id": "deed",
        "prop_id": "parcel",
        "seller_id": "100 + dice('seller', lot, deed) % 100",
    }
    fill(con, "seller_assoc", f"conveyed AS c SEMI JOIN {before} ON h.i = c.lot", seller)


# Around what the parcel is worth, with its improvements (`foundations.worth`).
_PRICE = (
    "CAST(floor(worth * (1 + CASE WHEN improvements > 0 THEN 1.1 + (i % 25) / 10.0 ELSE 0 END) * (82 + r % 44) / 100) "
    "AS BIGINT)"
)
_DEED = {
    "chg_of_owner_id": "deed",
    "deed_type_cd": pick("i // 4", ("SWD", "QCD", "TOD", "PRD")),
    "deed_num": "year(day) || '-' || lpad((i * 13 % 100000)::VARCHAR, 6, '0')",
    "deed_book_id": "CASE WHEN i % 12 = 1 THEN 'B' || (i % 90) END",
    "deed_dt": "day::TIMESTAMP",
    "recorded_dt": "day::TIMESTAMP + to_days(CAST(i % 9 AS INTEGER))",
    "coo_sl_dt": "day::TIMESTAMP",
    "comment": "CASE WHEN i % 20 = 1 THEN 'per O’Brien – estate' END",
    "excise_number": "400000 + i",
}
_SALE = {
    "chg_of_owner_id": "deed",
    "sl_price": f"CASE WHEN r % 50 = 0 THEN 0 WHEN r % 50 = 1 THEN NULL ELSE {_PRICE} END",
    "adjusted_sl_price": _PRICE,
    "sl_dt": "day::TIMESTAMP",
    "sl_type_cd": "CASE WHEN improvements > 0 THEN 'I' ELSE 'L' END",
    "sl_ratio_type_cd": "CASE WHEN r % 4 = 0 THEN '00' WHEN r % 4 = 1 THEN NULL ELSE '02' END",
    "sl_county_ratio_cd": "CASE WHEN r % 4 = 0 THEN '01' WHEN r % 7 = 0 THEN NULL ELSE '02' END",
    "sl_qualifier": "CASE WHEN r % 3 = 0 THEN 'Q' END",
    "confidential_sale": "CASE WHEN i % 90 = 1 THEN 'T' ELSE 'F' END",
    "sl_comment": "CASE WHEN r % 30 = 0 THEN 'verified by phone' || chr(13) || chr(10) || 'buyer said “fair”' END",
    "land_only_sale": "improvements = 0",
}
