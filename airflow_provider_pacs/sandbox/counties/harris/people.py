"""Generates accounts with their addresses and phones, owners, and their exemptions and shares.

Everything private is made up and marks itself: numbers begin with 900 or DL, so that a test can look for them
where they must not be.
"""

from __future__ import annotations

import duckdb

from airflow_provider_pacs.sandbox.counties.harris.foundations import (
    APPRAISAL_YEAR,
    BIG_HOLDER,
    FIRST_ACCOUNT,
    JUDGE_HOLDER,
)
from airflow_provider_pacs.sandbox.counties.harris.table_rows import fill, pick
from airflow_provider_pacs.sandbox.counties.harris.vocabulary import CITIES, FIRMS, FIRST, LAST, STREETS, ZIPS


def people(con: duckdb.DuckDBPyConnection, accounts: int) -> None:
    """Fills account, address, phone, owner, wash_prop_owner_val and property_exemption."""
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE accounts AS SELECT *, acct_id % {JUDGE_HOLDER} = 0 AS hidden, r % 8 = 0 OR acct_id = {BIG_HOLDER} AS firm,
        {pick("r", FIRST)} AS first, {pick("r // 13", LAST)} AS last,
        CASE WHEN acct_id = {BIG_HOLDER} THEN 'NEW HOMES OF BENTON COUNTY LLC' ELSE {pick("r", FIRMS)} END AS firm_name
        FROM (SELECT n AS acct_id, dice('account', n, 0) AS r FROM range({FIRST_ACCOUNT}, {FIRST_ACCOUNT + accounts}) AS t(n)
        UNION ALL SELECT {BIG_HOLDER}, 8) ORDER BY acct_id"""
    )
    fill(con, "account", "accounts", _ACCOUNT)
    address = "(SELECT *, dice('address', acct_id, 0) AS a FROM accounts) AS s"
    fill(con, "address", f"{address} WHERE a % 50 <> 49", _address("'M'", "'Y'"))
    fill(con, "address", f"{address} WHERE a % 30 = 3", _address("'B'", "'N'"))
    fill(
        con,
        "phone",
        "accounts WHERE r % 3 = 0",
        {
            "acct_id": "acct_id",
            "phone_id": "acct_id",
            "phone_type_cd": "'H'",
            "phone_num": "'(509) 555-' || lpad((r % 10000)::VARCHAR, 4, '0')",
            "is_primary": "TRUE",
        },
    )
    fill(con, "owner", "holders AS h", _OWNER)
    fill(
        con,
        "wash_prop_owner_val",
        "holders AS h JOIN worth AS w USING (i, prop_id, yr, sup)",
        _owned_values(),
    )
    fill(
        con,
        "property_exemption",
        "holders AS h JOIN accounts AS a USING (acct_id) WHERE h.i % 14 = 3 AND h.n = 0 AND h.kind = 'R'",
        _EXEMPTION,
    )


_NAME = (
    "CASE WHEN firm THEN firm_name ELSE last || ', ' || first || CASE WHEN r % 9 = 1 THEN ' ' ELSE '' END END"
)
_BORN = "TIMESTAMP '1935-01-01' + to_days(CAST({0} % 20000 AS INTEGER))"
_ACCOUNT = {
    "acct_id": "acct_id",
    "first_name": "CASE WHEN firm THEN NULL ELSE first END",
    "last_name": "CASE WHEN firm THEN firm_name ELSE last END",
    "file_as_name": _NAME,
    "dl_num": "CASE WHEN firm THEN NULL ELSE 'DL' || lpad(acct_id::VARCHAR, 8, '0') END",
    "dl_state": "CASE WHEN firm THEN NULL ELSE 'WA' END",
    "dl_expir_dt": "CASE WHEN firm THEN NULL ELSE TIMESTAMP '2028-06-30' END",
    "acct_create_dt": "TIMESTAMP '2017-02-06 08:00:00' + to_hours(CAST(r % 60000 AS INTEGER))",
    "opening_balance": "(r % 90000) / 100.0",
    "comment": "CASE WHEN r % 40 = 5 THEN 'returned mail' || chr(13) || chr(10) || 'called 5/2' END",
    "confidential_flag": "CASE WHEN hidden THEN 'T' WHEN r % 5 = 0 THEN NULL ELSE 'F' END",
    "confidential_file_as_name": "CASE WHEN hidden THEN 'SECRET ' || last || ', ' || first END",
    "confidential_first_name": "CASE WHEN hidden THEN first END",
    "confidential_last_name": "CASE WHEN hidden THEN 'SECRET ' || last END",
    "email_addr": "CASE WHEN r % 11 = 0 THEN 'owner' || acct_id || '@example.org' END",
    "update_dt": "CASE WHEN r % 4 <> 0 THEN TIMESTAMP '2019-03-04 09:10:11.003333' + to_hours(CAST(r % 50000 AS "
    "INTEGER)) END",
    "web_suppression": "CASE WHEN hidden THEN 'T' ELSE 'F' END",
}


def _address(kind: str, primary: str) -> dict[str, str]:
    return {
        "acct_id": "acct_id",
        "addr_type_cd": kind,
        "primary_addr": primary,
        "addr_line1": "CASE WHEN a % 12 = 0 THEN 'PO BOX ' || (a % 9000 + 1) ELSE (100 + a % 9900) || ' ' || "
        f"{pick('a', STREETS)} || ' ST' END",
        "addr_line2": "CASE WHEN a % 25 = 0 THEN 'C/O “TRUSTEE”' END",
        "addr_city": pick("a", CITIES),
        "addr_state": "CASE WHEN a % 17 = 0 THEN 'OR' ELSE 'WA' END",
        "country_cd": "CASE WHEN a % 90 = 0 THEN 'CA' ELSE 'US' END",
        "ml_deliverable": "CASE WHEN a % 60 = 0 THEN 'N' ELSE 'Y' END",
        "last_change_dt": "CASE WHEN a % 3 <> 0 THEN TIMESTAMP '2020-01-02 03:04:05' + to_hours(CAST(a % 52000 AS "
        "INTEGER)) END",
        "zip": pick("a", ZIPS),
        "cass": "CASE WHEN a % 4 = 0 THEN lpad((a % 10000)::VARCHAR, 4, '0') END",
        "route": "CASE WHEN a % 8 = 0 THEN lpad((a % 100)::VARCHAR, 2, '0') END",
        "is_international": "a % 90 = 0",
    }


_OWNER = {
    "owner_id": "acct_id",
    "owner_tax_yr": "yr",
    "prop_id": "prop_id",
    "sup_num": "sup",
    "updt_dt": "TIMESTAMP '2018-05-06 07:08:09.006667' + to_hours(CAST(dice('owner', i, n) % 65000 AS INTEGER))",
    "pct_ownership": "pct",
    "hs_prop": "CASE WHEN i % 3 < 2 THEN 'T' ELSE 'F' END",
    "type_of_int": "CASE WHEN owners > 1 THEN 'UND' ELSE 'FEE' END",
    "birth_dt": f"CASE WHEN i % 6 = 0 THEN {_BORN.format('acct_id * 7')} END",
    "udi_child_prop_id": "CASE WHEN part = 'parent' THEN prop_id + 1 + n END",
    "percent_type": "CASE WHEN part = 'parent' THEN 'UDI' END",
}
_EXEMPTION = {
    "prop_id": "prop_id",
    "owner_id": "acct_id",
    "exmpt_tax_yr": "yr",
    "owner_tax_yr": "yr",
    "sup_num": "sup",
    "prop_type_cd": "kind",
    "exmpt_type_cd": "CASE WHEN i % 28 = 3 THEN 'SNR/DSBL' ELSE 'EX' END",
    "applicant_nm": _NAME,
    "birth_dt": _BORN.format("acct_id * 7"),
    "spouse_birth_dt": f"CASE WHEN acct_id % 2 = 0 THEN {_BORN.format('acct_id * 11')} END",
    "prop_exmpt_dl_num": "'DL' || lpad(acct_id::VARCHAR, 8, '0')",
    "prop_exmpt_ss_num": "'900-' || lpad((acct_id % 100)::VARCHAR, 2, '0') || '-' || lpad((acct_id * 7 % 10000)::VARCHAR, 4, "
    "'0')",
    "effective_dt": "TIMESTAMP '2019-01-01' + to_days(CAST(i % 900 AS INTEGER))",
    "termination_dt": "CASE WHEN i % 70 = 3 THEN TIMESTAMP '2026-12-31' END",
    "effective_tax_yr": "2019 + i % 3",
    "qualify_yr": "2019 + i % 3",
    "apply_pct_owner": "100",
    "exemption_pct": "CASE WHEN i % 28 = 3 THEN 60 ELSE 100 END",
    "combined_disp_income": "18000 + acct_id % 20000",
    "sp_comment": "CASE WHEN i % 42 = 3 THEN 'file #' || i || chr(13) || chr(10) || 'renewal – mailed' END",
}


def _owned_values() -> dict[str, str]:
    def share(amount: str) -> str:
        return f"round(CAST({amount} AS DOUBLE) * CAST(pct AS DOUBLE) / 100)"

    classified = "CASE WHEN h.i % 2 = 0 THEN w.building ELSE 0 END"
    return {
        "year": "yr",
        "sup_num": "sup",
        "prop_id": "prop_id",
        "owner_id": "acct_id",
        "land_hstd_val": share("w.land_hs"),
        "land_non_hstd_val": share("w.land - w.ag - w.timber - w.ag_hs - w.timber_hs - w.land_hs"),
        "imprv_hstd_val": share("w.building_hs"),
        "imprv_non_hstd_val": share("w.building - w.building_hs"),
        "ag_market": share("w.ag"),
        "ag_use_val": share("w.ag // 5"),
        "ag_loss": share("w.ag - w.ag // 5"),
        "timber_market": share("w.timber"),
        "market": share("w.market"),
        "appraised": share("w.market - (w.ag - w.ag // 5)"),
        "taxable_classified": share(classified),
        "taxable_non_classified": share(f"w.market - (w.ag - w.ag // 5) - ({classified})"),
        "boe_status": f"h.i % 300 = 9 AND yr = {APPRAISAL_YEAR}",
    }
