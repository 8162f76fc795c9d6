"""The core tables of PACS 9.0 in the sandbox: what the catalog shows of them, and what the generated county
has in it.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest

from airflow_provider_pacs.sandbox.counties.harris import county, tables
from airflow_provider_pacs.sandbox.counties.harris.county import size_of
from airflow_provider_pacs.sandbox.counties.harris.table_rows import fill
from airflow_provider_pacs.sandbox.model import SqlError
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from tests.wire.scripted import CERTIFICATE, connect
from tests.wire.tsql_support import HARRIS_ADMIN, HARRIS_READER, query, shared_harris, stored

# As the public project of a real pacs_oltp has them: columns, and the primary key in its order.
DECLARED = {
    "property": (34, "prop_id"),
    "property_val": (277, "prop_val_yr sup_num prop_id"),
    "prop_supp_assoc": (3, "owner_tax_yr sup_num prop_id"),
    "account": (33, "acct_id"),
    "address": (27, "acct_id addr_type_cd"),
    "phone": (5, "phone_id phone_type_cd acct_id"),
    "owner": (33, "owner_tax_yr sup_num prop_id owner_id"),
    "situs": (14, "prop_id situs_id"),
    "imprv": (83, "prop_val_yr sup_num sale_id prop_id imprv_id"),
    "imprv_detail": (96, "prop_val_yr sup_num sale_id prop_id imprv_id imprv_det_id"),
    "imprv_attr": (
        13,
        "prop_val_yr sup_num sale_id prop_id imprv_id imprv_det_id imprv_attr_id i_attr_val_id",
    ),
    "land_detail": (101, "prop_val_yr sup_num sale_id prop_id land_seg_id"),
    "property_profile": (66, "prop_val_yr prop_id"),
    "wash_property_val": (38, "prop_val_yr sup_num prop_id"),
    "wash_prop_owner_val": (42, "year sup_num prop_id owner_id"),
    "property_exemption": (38, "exmpt_tax_yr owner_tax_yr sup_num prop_id owner_id exmpt_type_cd"),
    "property_tax_area": (7, "year sup_num prop_id"),
    "tax_area": (7, "tax_area_id"),
    "chg_of_owner": (23, "chg_of_owner_id"),
    "chg_of_owner_prop_assoc": (19, "chg_of_owner_id prop_id"),
    "sale": (62, "chg_of_owner_id"),
    "buyer_assoc": (2, "chg_of_owner_id buyer_id"),
    "seller_assoc": (3, "chg_of_owner_id prop_id seller_id"),
    "property_assoc": (7, "prop_val_yr sup_num parent_prop_id child_prop_id"),
    "supplement": (4, "sup_tax_yr sup_num sup_group_id"),
    "sup_group": (12, "sup_group_id"),
    "pacs_year": (5, "tax_yr"),
    "pacs_system": (120, "id"),
}


def test_sys_shows_every_column_and_key_of_the_core_tables() -> None:
    session = shared_harris().login(*HARRIS_READER)
    counted = dict(
        query(
            session,
            "SELECT t.name, COUNT(*) FROM sys.tables t JOIN sys.columns c ON c.object_id = t.object_id "
            "GROUP BY t.name",
        )
    )
    assert {name: counted[name] for name in DECLARED} == {
        name: columns for name, (columns, _) in DECLARED.items()
    }
    keys: dict[str, str] = {}
    for table, column in query(
        session,
        "SELECT t.name, c.name FROM sys.indexes i JOIN sys.tables t ON t.object_id = i.object_id JOIN "
        "sys.index_columns k ON k.object_id = "
        "i.object_id "
        "AND k.index_id = i.index_id JOIN sys.columns c ON c.object_id = k.object_id AND c.column_id = "
        "k.column_id WHERE i.is_primary_key = 1 "
        "ORDER BY t.name, k.key_ordinal",
    ):
        keys[table] = f"{keys.get(table, '')} {column}".strip()
    assert {name: keys[name] for name in DECLARED} == {name: key for name, (_, key) in DECLARED.items()}


def test_sys_shows_types_computed_columns_the_journals_identity_and_unique_constraints() -> None:
    session = shared_harris().login(*HARRIS_READER)
    shown = query(
        session,
        "SELECT t.name, c.name, y.name, c.max_length, c.precision, c.scale, c.is_nullable, c.is_computed "
        "FROM sys.columns c JOIN sys.tables t "
        "ON t.object_id = c.object_id JOIN sys.types y ON y.user_type_id = c.user_type_id",
    )
    types = {(table, column): rest for table, column, *rest in shown}
    assert types["property_val", "market"] == ["numeric", 9, 14, 0, True, False]
    assert types["property_val", "imprv_val"][-1] is True
    assert types["owner", "pct_ownership"] == ["numeric", 9, 13, 10, True, False]
    assert types["owner", "updt_dt"] == ["datetime", 8, 23, 3, False, False]
    assert types["imprv", "imprv_type_cd"] == ["char", 5, 0, 0, False, False]
    assert types["imprv_detail", "ms_building_json"][:2] == ["nvarchar", -1]
    assert types["account", "opening_balance"][0] == "money"
    assert types["property_val", "reviewed_dt"][0] == "smalldatetime"
    versions = {table for (table, _), (kind, *_) in types.items() if kind == "timestamp"}
    assert versions == {"property_val", "imprv", "imprv_detail", "land_detail", "wash_property_val"}
    assert query(session, "SELECT name FROM sys.identity_columns") == [("lChangeID",)]
    unique = "SELECT name, type_desc FROM sys.indexes WHERE is_unique_constraint = 1 ORDER BY name"
    assert [name for name, _ in query(session, unique)] == [
        "CUQ_prop_supp_assoc_owner_tax_yr_prop_id",
        "CUQ_tax_area_tax_area_number",
    ]
    deeds = (
        "SELECT name, index_id, type_desc, is_primary_key FROM sys.indexes WHERE object_id = "
        "OBJECT_ID('dbo.chg_of_owner_prop_assoc') ORDER BY 2"
    )
    assert query(session, deeds)[:2] == [
        ("idx_prop_id", 1, "CLUSTERED", False),
        ("CPK_chg_of_owner_prop_assoc", 2, "NONCLUSTERED", True),
    ]


def test_a_computed_column_follows_what_it_is_computed_from_and_can_not_be_written() -> None:
    engine = county.build(SandboxEngine(), "tiny")
    session = engine.login(*HARRIS_ADMIN)
    where = "WHERE prop_id = 10001 AND situs_id = (SELECT MIN(situs_id) FROM situs WHERE prop_id = 10001)"
    list(session.execute("UPDATE situs SET situs_num = '12 ', situs_street_prefx = NULL, situs_street = 'MAIN', "
                         "situs_street_sufix = 'ST', "
                         "situs_unit = NULL, sub_num = '', building_num = NULL, situs_city = 'Prosser', "
                         "situs_state = 'WA', "
                         f"situs_zip = '99350' {where}"))  # fmt: skip
    assert query(session, f"SELECT situs_display FROM situs {where}") == [
        ("12 MAIN ST \r\nProsser, WA 99350",)
    ]
    with pytest.raises(SqlError, match="computed column") as refused:
        list(session.execute(f"UPDATE situs SET situs_display = 'x' {where}"))
    assert refused.value.number == 271
    list(
        session.execute(
            "INSERT INTO address (acct_id, addr_type_cd, zip, cass, route) VALUES (1, 'X', '99337', '0421', "
            "'12')"
        )
    )
    result = query(
        session, "SELECT addr_type_cd, addr_zip, zip_4_2, is_international FROM address WHERE acct_id = 1"
    )
    assert result == [("X    ", "99337-0421", "*993370421129*", False)]  # char(5) is padded, a default is set


def test_the_sizes_have_the_proportions_that_benchmarks_publish() -> None:
    engine = shared_harris()
    assert stored(engine, "SELECT count(*) FROM {property}") == [(300,)]
    per_year = dict(
        stored(
            engine, "SELECT prop_val_yr, count(DISTINCT imprv_id) FROM {imprv} WHERE sale_id = 0 GROUP BY 1"
        )
    )
    assert {int(year): count for year, count in per_year.items()}[2026] >= 325
    assert size_of("properties=955").owners == 910
    with pytest.raises(ValueError, match="tiny, seed, benton"):
        size_of("huge")


# Each is a question whose answer must not be empty: real life that the profile's tests rely on. "none"
# questions must be empty.
SOME = {
    "four layers, one of them the future year's": "SELECT 1 WHERE (SELECT list_sort(list(DISTINCT CAST(prop_val_yr AS INT))) "
    "FROM {property_val}) = [0, 2024, 2025, 2026]",
    "the older supplement stays": "SELECT * FROM {property_val} v JOIN {prop_supp_assoc} a ON a.prop_id = v.prop_id AND "
                                  "a.owner_tax_yr = "
    "v.prop_val_yr "
    "WHERE a.sup_num > v.sup_num",
    "a supplement that is not accepted": "SELECT * FROM {prop_supp_assoc} a JOIN {supplement} s ON s.sup_tax_yr = a.owner_tax_yr AND "
                                         "s.sup_num = "
    "a.sup_num "
    "JOIN {sup_group} g USING (sup_group_id) WHERE trim(g.status_cd) NOT IN ('A', 'BC') AND g.sup_accept_dt "
    "IS NULL",
    "one that is": "SELECT * FROM {prop_supp_assoc} a JOIN {supplement} s ON s.sup_tax_yr = a.owner_tax_yr AND "
                   "s.sup_num = a.sup_num "
    "JOIN {sup_group} g USING (sup_group_id) WHERE trim(g.status_cd) = 'A' AND g.sup_accept_dt IS NOT NULL",
    "ended": "SELECT * FROM {property_val} WHERE prop_inactive_dt > TIMESTAMP '2000-01-01'",
    "sentinel 1980": "SELECT * FROM {property_val} WHERE prop_inactive_dt = TIMESTAMP '1980-01-01'",
    "sentinel 1900": "SELECT * FROM {property_val} WHERE prop_inactive_dt = TIMESTAMP '1900-01-01'",
    "UDI parent with three owners": "SELECT prop_id FROM {owner} JOIN {property_val} v USING (prop_id) WHERE v.udi_parent = 'T' AND "
    "v.prop_val_yr = 2026 AND owner_tax_yr = 2026 GROUP BY ALL HAVING count(*) = 3 AND sum(pct_ownership) = "
    "99.9999999999",
    "UDI child": "SELECT * FROM {property_val} v JOIN {property_assoc} a ON a.child_prop_id = v.prop_id AND "
                 "a.parent_prop_id = v.udi_parent_prop_id",
    "snapshots at a sale": "SELECT * FROM {imprv} i JOIN {imprv_detail} d USING (prop_val_yr, sup_num, sale_id, prop_id, "
                           "imprv_id) "
    "JOIN {imprv_attr} a USING (prop_val_yr, sup_num, sale_id, prop_id, imprv_id) JOIN {land_detail} l "
    "USING (prop_val_yr, sup_num, sale_id, "
    "prop_id) "
    "JOIN {sale} s ON s.chg_of_owner_id = i.sale_id",
    "padded codes": "SELECT * FROM {imprv} WHERE imprv_type_cd = 'R1   '",
    "ag and timber": "SELECT * FROM {property_val} WHERE ag_market > 0 AND ag_loss > 0 AND EXISTS (FROM {property_val} "
                     "WHERE timber_market > 0) "
    "AND EXISTS (FROM {property_val} WHERE ag_hs_mkt_val > 0) AND EXISTS (FROM {property_val} WHERE "
    "timber_hs_mkt_val > 0)",
    "CP1252 and a line end in legal_desc": "SELECT * FROM {property_val} WHERE contains(legal_desc, '“CAÑON') AND contains(legal_desc, chr(13) "
                                           "|| "
    "chr(10))",
    "year_built 0 and NULL": "SELECT * FROM {imprv} WHERE actual_year_built = 0 AND EXISTS (FROM {imprv} WHERE actual_year_built "
                             "IS NULL)",
    "bedrooms": "SELECT * FROM {imprv_attr} a JOIN {pacs_system} s ON a.i_attr_val_id = "
                "s.num_bedrooms_code_attribute_id WHERE i_attr_unit = 3",
    "half a bathroom": "SELECT * FROM {imprv_attr} a JOIN {pacs_system} s ON a.i_attr_val_id = "
                       "s.num_bathrooms_code_attribute_id WHERE i_attr_unit "
    "= 2.5",
    "a confidential owner": "SELECT * FROM {owner} o JOIN {account} a ON a.acct_id = o.owner_id WHERE confidential_flag = 'T' "
                            "AND owner_tax_yr = "
    "2026",
    "private data": "SELECT * FROM {property_exemption} WHERE prop_exmpt_ss_num LIKE '900-%' AND prop_exmpt_dl_num LIKE "
                    "'DL%' AND birth_dt IS NOT "
    "NULL "
    "AND EXISTS (FROM {account} WHERE dl_num LIKE 'DL%') AND EXISTS (FROM {owner} WHERE birth_dt IS NOT "
    "NULL)",
    "thirds": "SELECT prop_id FROM {owner} o JOIN {property_val} v USING (prop_id) WHERE v.udi_parent IS NULL AND "
              "v.prop_val_yr = 2026 AND "
    "o.owner_tax_yr = 2026 AND o.pct_ownership = 33.3333333333 GROUP BY ALL HAVING count(DISTINCT owner_id) "
    "= 3",
    "one account, many parcels": "SELECT owner_id FROM {owner} WHERE owner_tax_yr = 2026 GROUP BY ALL HAVING count(*) >= 5",
    "several situs": "SELECT prop_id FROM {situs} GROUP BY ALL HAVING count(*) > 1 AND count(*) FILTER (WHERE "
                     "primary_situs = 'Y') = 1",
    "geo_id of a parcel and of what stands on it": "SELECT geo_id FROM {property} GROUP BY ALL HAVING count(*) > 1 AND count(DISTINCT "
    "prop_type_cd) > 1",
    "five property types": "SELECT 1 WHERE (SELECT count(DISTINCT prop_type_cd) FROM {property}) = 5",
    "a deed over several parcels": "SELECT chg_of_owner_id FROM {chg_of_owner_prop_assoc} JOIN {sale} USING (chg_of_owner_id) GROUP BY "
                                   "ALL HAVING "
    "count(*) > 1",
    "a buyer who owns now": "SELECT * FROM {buyer_assoc} b JOIN {chg_of_owner_prop_assoc} p USING (chg_of_owner_id) "
    "JOIN {owner} o ON o.prop_id = p.prop_id AND o.owner_id = b.buyer_id AND o.owner_tax_yr = 2026",
    "another owner before": "SELECT * FROM {owner} a JOIN {owner} b USING (prop_id, sup_num) WHERE a.owner_tax_yr = 2024 AND "
                            "b.owner_tax_yr = 2026 "
    "AND a.owner_id <> b.owner_id",
}  # fmt: skip
NONE = {
    "market is land and improvements, to the dollar": "SELECT * FROM {property_val} v JOIN {property} p USING (prop_id) WHERE prop_type_cd IN "
    "('R    ', 'MH   ') AND market <> land_hstd_val + land_non_hstd_val + ag_market + timber_market + "
    "ag_hs_mkt_val + timber_hs_mkt_val + imprv_val",
    "its parts": "SELECT * FROM {property_val} v JOIN (SELECT prop_val_yr, sup_num, prop_id, sum(imprv_val) AS t "
    "FROM {imprv} WHERE sale_id = 0 "
    "GROUP BY ALL) i USING (prop_val_yr, sup_num, prop_id) WHERE i.t <> v.imprv_val",
    "one row per property and year": "SELECT prop_id, owner_tax_yr FROM {prop_supp_assoc} GROUP BY ALL HAVING count(*) > 1",
    "without its layer": "SELECT * FROM {prop_supp_assoc} a ANTI JOIN {property_val} v ON v.prop_id = a.prop_id AND "
    "v.prop_val_yr = a.owner_tax_yr "
    "AND v.sup_num = a.sup_num",
    "negative money": "SELECT * FROM {property_val} WHERE least(market, land_hstd_val, land_non_hstd_val, imprv_val, "
    "assessed_val) < 0",
    "a parcel with an owner too many": "SELECT prop_id FROM {owner} GROUP BY prop_id, owner_tax_yr, sup_num HAVING sum(pct_ownership) > 100",
}


@pytest.mark.parametrize("what", SOME)
def test_the_county_has_what_real_life_has(what: str) -> None:
    assert stored(shared_harris(), SOME[what])


@pytest.mark.parametrize("what", NONE)
def test_the_county_is_sound_where_the_county_is(what: str) -> None:
    assert not stored(shared_harris(), NONE[what])


def test_keys_are_unique_and_references_hold() -> None:
    engine = shared_harris()
    for table in tables.tables().values():
        key = ", ".join(table.primary_key)
        assert not stored(engine, f"SELECT {key} FROM {{{table.name}}} GROUP BY ALL HAVING count(*) > 1"), (
            table.name
        )
        for reference in table.foreign_keys:
            own = " AND ".join(
                f"a.{c} = b.{r}" for c, r in zip(reference.columns, reference.references, strict=True)
            )
            known = " AND ".join(f"a.{c} IS NOT NULL" for c in reference.columns)
            lost = stored(
                engine,
                f"SELECT * FROM {{{table.name}}} a ANTI JOIN {{{reference.table}}} b ON {own} WHERE {known}",
            )
            assert not lost, reference.name


def test_the_same_seed_gives_the_same_county_and_another_gives_another() -> None:
    def digest(engine: SandboxEngine) -> list[tuple[object, ...]]:
        return stored(engine, "SELECT (SELECT md5(string_agg(o::VARCHAR, '' ORDER BY o::VARCHAR)) FROM {owner} o), "
                              "(SELECT sum(market) FROM {property_val})")  # fmt: skip

    first, again, other = (county.build(SandboxEngine(), "tiny", seed) for seed in (1, 1, 2))
    assert digest(first) == digest(again) != digest(other)
    assert isinstance(digest(first)[0][1], Decimal)


def test_a_column_that_is_not_declared_is_refused() -> None:
    with pytest.raises(KeyError, match="situs has no column city"):
        fill(shared_harris().con, "situs", "range(1)", {"city": "''"})


def test_microsofts_driver_reads_every_table_as_it_is_stored() -> None:
    engine = shared_harris()
    user, password, database, *_ = HARRIS_READER
    with SandboxServer(engine, certificate=CERTIFICATE) as server:
        connection = connect(server.port, UID=user, PWD=password, Database=database)
        for table in tables.tables().values():
            key = ", ".join(table.primary_key)
            read = [
                tuple(row)
                for row in connection.execute(f"SELECT * FROM dbo.{table.name} ORDER BY {key}").fetchall()
            ]
            kept = stored(engine, f"SELECT * FROM {{{table.name}}} ORDER BY {key}")
            assert read == [tuple(map(_as_the_driver_says, row)) for row in kept], table.name
        connection.close()


def _as_the_driver_says(value: object) -> object:
    """A datetime has three digits, which name its tick of 1/300 s."""
    return value.replace(microsecond=round(value.microsecond, -3)) if isinstance(value, datetime) else value
