"""The T-SQL that reading PACS 9.0 takes, over its core tables: each statement answers what DuckDB's own words
answer on the stored rows.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any

import pytest

from airflow_provider_pacs.sandbox.counties.harris import county, tables
from airflow_provider_pacs.sandbox.model import Param, SqlError, SqlType
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from airflow_provider_pacs.sandbox.tsql.session import SqlSession
from tests.wire.tsql_support import (
    HARRIS_ADMIN,
    HARRIS_READER,
    query,
    query_with_columns,
    shared_harris,
    stored,
    varchar,
)

CURRENT = """SELECT p.prop_id, a.owner_tax_yr AS yr, a.sup_num, p.geo_id, v.market
    FROM dbo.prop_supp_assoc a
    JOIN dbo.property p ON p.prop_id = a.prop_id
    JOIN dbo.property_val AS v ON v.prop_val_yr = a.owner_tax_yr AND v.sup_num = a.sup_num AND v.prop_id = a.prop_id"""
PAIRS: list[tuple[str, str, str]] = [
    ("the current layer by its variables", f"""DECLARE @yr numeric(4,0) = 2026, @type char(5);
    SET @type = 'r';
    {CURRENT} WHERE a.owner_tax_yr = @yr AND p.prop_type_cd = @type AND (v.prop_inactive_dt IS NULL OR v.udi_parent = 'T') ORDER BY p.prop_id""",
    """SELECT prop_id, yr, sup_num, geo_id, market FROM (SELECT p.prop_id, v.prop_val_yr AS yr, v.sup_num, p.geo_id, v.market,
    max(v.sup_num) OVER (PARTITION BY v.prop_id, v.prop_val_yr) AS last, v.prop_inactive_dt, v.udi_parent, p.prop_type_cd
    FROM {property_val} v JOIN {property} p USING (prop_id)) WHERE sup_num = last AND yr = 2026 AND trim(prop_type_cd) = 'R'
    AND (prop_inactive_dt IS NULL OR udi_parent = 'T') ORDER BY 1"""),
    ("the accepted supplement of each year, else the base roll", """SELECT v.prop_id, v.prop_val_yr, MAX(v.sup_num) AS sup_num FROM property_val v
    WHERE v.sup_num = 0 OR EXISTS (SELECT 1 FROM supplement s JOIN sup_group g ON g.sup_group_id = s.sup_group_id
        WHERE s.sup_tax_yr = v.prop_val_yr AND s.sup_num = v.sup_num AND g.status_cd IN ('A', 'bc')) GROUP BY v.prop_id, v.prop_val_yr ORDER BY 1,
        2""",
    """SELECT prop_id, prop_val_yr, max(v.sup_num) FROM {property_val} v LEFT JOIN (SELECT sup_tax_yr, sup_num, trim(status_cd) AS st FROM
        {supplement}
    JOIN {sup_group} USING (sup_group_id)) g ON g.sup_tax_yr = v.prop_val_yr AND g.sup_num = v.sup_num
    WHERE v.sup_num = 0 OR st IN ('A', 'BC') GROUP BY ALL ORDER BY 1, 2"""),
    ("the primary situs, or the lowest id", """SELECT p.prop_id, s.situs_id, s.situs_display FROM property p OUTER APPLY (
        SELECT TOP (1) x.situs_id, x.situs_display FROM situs x WHERE x.prop_id = p.prop_id
        ORDER BY CASE WHEN x.primary_situs = 'y' THEN 0 ELSE 1 END, x.situs_id) AS s ORDER BY p.prop_id""",
    """SELECT p.prop_id, s.situs_id, s.situs_display FROM {property} p LEFT JOIN (SELECT * FROM {situs} QUALIFY row_number() OVER (PARTITION BY
        prop_id
    ORDER BY coalesce(primary_situs, '') <> 'Y', situs_id) = 1) s USING (prop_id) ORDER BY 1"""),
    ("aggregates in CROSS APPLY", """SELECT i.prop_id, i.imprv_id, d.area, d.n FROM imprv i CROSS APPLY (SELECT SUM(x.imprv_det_area) AS area,
        COUNT_BIG(*) AS n
        FROM imprv_detail x JOIN imprv_det_type t ON t.imprv_det_type_cd = x.imprv_det_type_cd WHERE x.prop_val_yr = i.prop_val_yr AND
        x.sup_num = i.sup_num AND x.sale_id = i.sale_id AND x.prop_id = i.prop_id AND x.imprv_id = i.imprv_id AND t.main_area = 'T') AS d
    WHERE i.sale_id = 0 AND i.prop_val_yr = 2026 ORDER BY i.imprv_id, i.sup_num""",
    """SELECT i.prop_id, i.imprv_id, sum(d.imprv_det_area) FILTER (WHERE main_area = 'T'), count(*) FILTER (WHERE main_area = 'T') FROM {imprv} i
    LEFT JOIN {imprv_detail} d USING (prop_val_yr, sup_num, sale_id, prop_id, imprv_id) LEFT JOIN {imprv_det_type} USING (imprv_det_type_cd)
    WHERE i.sale_id = 0 AND i.prop_val_yr = 2026 GROUP BY i.prop_id, i.imprv_id, i.sup_num ORDER BY i.imprv_id, i.sup_num"""),
    ("bedrooms by the id in pacs_system", """SELECT i.imprv_id, COALESCE(b.i_attr_unit, TRY_CONVERT(numeric(10,2), b.i_attr_val_cd)) AS beds,
        CONVERT(int, h.i_attr_unit) FROM pacs_system s CROSS JOIN imprv i
    LEFT JOIN imprv_attr b ON b.prop_val_yr = i.prop_val_yr AND b.sup_num = i.sup_num AND b.sale_id = i.sale_id AND b.prop_id = i.prop_id
        AND b.imprv_id = i.imprv_id AND b.i_attr_val_id = s.num_bedrooms_code_attribute_id
    LEFT JOIN imprv_attr h ON h.prop_val_yr = i.prop_val_yr AND h.sup_num = i.sup_num AND h.sale_id = i.sale_id AND h.prop_id = i.prop_id
        AND h.imprv_id = i.imprv_id AND h.i_attr_val_id = s.num_bathrooms_code_attribute_id
    WHERE s.id = 1 AND i.prop_val_yr = s.appr_yr AND i.sup_num = 0 AND i.sale_id = 0 ORDER BY i.imprv_id""",
    """SELECT imprv_id, max(coalesce(i_attr_unit, CAST(i_attr_val_cd AS DECIMAL(10,2)))) FILTER (WHERE i_attr_val_id = 31),
    CAST(trunc(max(i_attr_unit) FILTER (WHERE i_attr_val_id = 32)) AS INT)
    FROM {imprv} LEFT JOIN (FROM {imprv_attr} WHERE i_attr_val_id IN (31, 32)) USING (prop_val_yr, sup_num, sale_id, prop_id, imprv_id)
    WHERE prop_val_yr = 2026 AND sup_num = 0 AND sale_id = 0 GROUP BY 1 ORDER BY 1"""),
    ("the first of several by ROW_NUMBER", """WITH ranked AS (SELECT o.prop_id, o.owner_id, o.pct_ownership, ROW_NUMBER() OVER (PARTITION BY o.prop_id
        ORDER BY o.pct_ownership DESC, o.owner_id) AS n FROM owner o WHERE o.owner_tax_yr = 2026 AND o.sup_num = 0)
    SELECT r.prop_id, r.owner_id, a.file_as_name FROM ranked r JOIN account a ON a.acct_id = r.owner_id WHERE r.n = 1 ORDER BY r.prop_id""",
    """SELECT prop_id, owner_id, file_as_name FROM (FROM {owner} WHERE owner_tax_yr = 2026 AND sup_num = 0
    QUALIFY row_number() OVER (PARTITION BY prop_id ORDER BY pct_ownership DESC, owner_id) = 1) o JOIN {account} a ON a.acct_id = o.owner_id ORDER BY
        1"""),
    ("owners of a derived layer, confidential ones masked", """SELECT o.prop_id, CASE WHEN a.confidential_flag = 'T' THEN '[Confidential]'
        ELSE LTRIM(RTRIM(a.file_as_name)) END AS name, NULLIF(RTRIM(o.type_of_int), '') AS kind,
        CASE WHEN a.confidential_flag = 'T' THEN NULL ELSE d.addr_line1 + ', ' + d.addr_city + ISNULL(' ' + d.addr_zip, '') END AS mail
    FROM (SELECT owner_tax_yr, prop_id, MAX(sup_num) AS sup_num FROM owner GROUP BY owner_tax_yr, prop_id) AS c
    JOIN owner AS o ON o.owner_tax_yr = c.owner_tax_yr AND o.prop_id = c.prop_id AND o.sup_num = c.sup_num
    JOIN account AS a ON a.acct_id = o.owner_id LEFT JOIN address AS d ON d.acct_id = a.acct_id AND d.primary_addr = 'Y'
    WHERE c.owner_tax_yr = 2026 ORDER BY o.prop_id, o.owner_id""",
    """SELECT prop_id, CASE WHEN coalesce(confidential_flag, 'F') = 'T' THEN '[Confidential]' ELSE trim(file_as_name) END, trim(type_of_int),
    CASE WHEN coalesce(confidential_flag, 'F') = 'T' THEN NULL ELSE addr_line1 || ', ' || addr_city || ' ' || addr_zip END
    FROM (SELECT * FROM {owner} QUALIFY sup_num = max(sup_num) OVER (PARTITION BY prop_id, owner_tax_yr)) o JOIN {account} a ON a.acct_id = o.owner_id
    LEFT JOIN (FROM {address} WHERE primary_addr = 'Y') d USING (acct_id) WHERE owner_tax_yr = 2026 ORDER BY prop_id, owner_id"""),
    ("sums of money by year", """SELECT CONVERT(int, v.prop_val_yr), SUM(v.market), SUM(v.imprv_val), SUM(v.land_hstd_val + v.land_non_hstd_val +
        v.ag_market +
        v.timber_market + ISNULL(v.ag_hs_mkt_val, 0) + ISNULL(v.timber_hs_mkt_val, 0)), COUNT_BIG(*), MIN(v.tsRowVersion), MAX(v.prop_inactive_dt)
    FROM property_val v WHERE v.prop_val_yr IN (2026, 2025) GROUP BY v.prop_val_yr HAVING COUNT(*) > 1 ORDER BY 1""",
    """SELECT prop_val_yr::INT, sum(market), sum(imprv_hstd_val + imprv_non_hstd_val), sum(land_hstd_val + land_non_hstd_val + ag_market +
        timber_market
    + ag_hs_mkt_val + timber_hs_mkt_val), count(*), min(tsRowVersion), max(prop_inactive_dt) FROM {property_val} WHERE prop_val_yr > 2024
    GROUP BY ALL ORDER BY 1"""),
    ("a UNION ALL in a derived table", """SELECT x.kind, COUNT(DISTINCT x.acct) FROM (SELECT 'buyer' AS kind, buyer_id AS acct FROM buyer_assoc UNION
        ALL
        SELECT 'seller', seller_id FROM seller_assoc) AS x GROUP BY x.kind ORDER BY x.kind""",
    """SELECT 'buyer', count(DISTINCT buyer_id) FROM {buyer_assoc} UNION ALL SELECT 'seller', count(DISTINCT seller_id) FROM {seller_assoc} ORDER BY
        1"""),
    ("a UNION in a CTE", """WITH u(prop_id) AS (SELECT prop_id FROM situs WHERE situs_city = 'richland' UNION SELECT prop_id FROM imprv WHERE
        imprv_type_cd = 'mh') SELECT p.prop_id, p.prop_type_cd FROM u JOIN property p ON p.prop_id = u.prop_id ORDER BY 1""",
    """SELECT DISTINCT prop_id, prop_type_cd FROM {property} WHERE prop_id IN (SELECT prop_id FROM {situs} WHERE situs_city = 'RICHLAND')
    OR prop_id IN (SELECT prop_id FROM {imprv} WHERE trim(imprv_type_cd) = 'MH') ORDER BY 1"""),
    ("numbers and text joined, NULL wins", """SELECT CONVERT(varchar(4), v.prop_val_yr) + '-' + CONVERT(varchar(12), v.prop_id) + '-' +
        CONVERT(varchar(11),
        v.sup_num), CONVERT(varchar(20), v.legal_acreage), v.legal_desc + v.legal_desc_2, CAST(v.market AS varchar(15)) FROM property_val v
    WHERE v.prop_val_yr = 2025 ORDER BY v.prop_id, v.sup_num""",
    """SELECT prop_val_yr::INT || '-' || prop_id || '-' || sup_num, legal_acreage::VARCHAR, legal_desc || legal_desc_2, market::VARCHAR
    FROM {property_val} WHERE prop_val_yr = 2025 ORDER BY prop_id, sup_num"""),
    ("the deed by which an owner came", """SELECT o.prop_id, o.owner_id, d.deed_dt FROM owner o OUTER APPLY (SELECT TOP 1 c.deed_dt FROM chg_of_owner
        c
        JOIN buyer_assoc b ON b.chg_of_owner_id = c.chg_of_owner_id JOIN chg_of_owner_prop_assoc p ON p.chg_of_owner_id = c.chg_of_owner_id
        WHERE b.buyer_id = o.owner_id AND p.prop_id = o.prop_id ORDER BY c.deed_dt DESC, c.chg_of_owner_id DESC) d
    WHERE o.owner_tax_yr = 2026 AND o.sup_num = 0 ORDER BY o.prop_id, o.owner_id""",
    """SELECT o.prop_id, o.owner_id, max(deed_dt) FROM {owner} o LEFT JOIN (SELECT * FROM {chg_of_owner} JOIN {buyer_assoc} USING (chg_of_owner_id)
    JOIN {chg_of_owner_prop_assoc} USING (chg_of_owner_id)) d ON d.buyer_id = o.owner_id AND d.prop_id = o.prop_id
    WHERE o.owner_tax_yr = 2026 AND o.sup_num = 0 GROUP BY ALL ORDER BY 1, 2"""),
    ("a price is for all parcels of its deed", """SELECT s.chg_of_owner_id, s.sl_price, x.parcels FROM sale s JOIN (SELECT chg_of_owner_id, COUNT(*)
        AS parcels
        FROM chg_of_owner_prop_assoc GROUP BY chg_of_owner_id) x ON x.chg_of_owner_id = s.chg_of_owner_id WHERE NOT EXISTS (SELECT * FROM imprv i
        WHERE i.sale_id = s.chg_of_owner_id) ORDER BY 1""",
    """SELECT chg_of_owner_id, sl_price, count(*) FROM {sale} JOIN {chg_of_owner_prop_assoc} USING (chg_of_owner_id)
    ANTI JOIN {imprv} i ON i.sale_id = chg_of_owner_id GROUP BY ALL ORDER BY 1"""),
    ("distinct codes, whatever their case and padding", """SELECT COUNT(*) FROM (SELECT DISTINCT primary_situs FROM situs) x""",
    """SELECT count(DISTINCT upper(primary_situs)) + 1 FROM {situs}"""),
    ("groups of text, whatever its trailing blanks", """SELECT COUNT(*), MAX(n), SUM(n) FROM (SELECT p.geo_id, COUNT(*) AS n FROM property p
        GROUP BY p.geo_id) AS g""",
    """SELECT count(*), max(n), sum(n) FROM (SELECT rtrim(geo_id) AS g, count(*)::INT AS n FROM {property} GROUP BY 1)"""),
    ("a join on text of another padding", """SELECT COUNT(*) FROM property a JOIN property b ON b.geo_id = a.geo_id AND b.prop_id > a.prop_id""",
    """SELECT count(*) FROM {property} a JOIN {property} b ON rtrim(b.geo_id) = rtrim(a.geo_id) AND b.prop_id > a.prop_id"""),
    ("a code table in lower case", """SELECT i.imprv_type_cd, RTRIM(t.imprv_type_desc), COUNT(*) FROM imprv i JOIN imprv_type t
        ON LOWER(t.imprv_type_cd) = i.imprv_type_cd GROUP BY i.imprv_type_cd, t.imprv_type_desc ORDER BY 1""",
    """SELECT imprv_type_cd, imprv_type_desc, count(*) FROM {imprv} JOIN {imprv_type} USING (imprv_type_cd) GROUP BY ALL ORDER BY 1"""),
    ("an outer join keeps the lonely", """SELECT p.prop_id, CASE WHEN s.prop_id IS NULL THEN 'none' ELSE 'some' END FROM property p LEFT OUTER JOIN
        (SELECT DISTINCT prop_id FROM situs) s ON s.prop_id = p.prop_id ORDER BY 1""",
    """SELECT prop_id, CASE WHEN prop_id IN (SELECT prop_id FROM {situs}) THEN 'some' ELSE 'none' END FROM {property} ORDER BY 1"""),
]  # fmt: skip


@pytest.mark.parametrize(("what", "tsql", "duckdb"), PAIRS, ids=[what for what, _, _ in PAIRS])
def test_a_statement_over_the_core_tables_is_answered_as_duckdb_answers_it(
    what: str, tsql: str, duckdb: str
) -> None:
    engine = shared_harris()
    session = engine.login(*HARRIS_READER)
    expected = stored(engine, duckdb)
    assert expected, "a comparison with nothing proves nothing"
    assert query(session, tsql) == expected
    session.close()


def test_years_come_as_parameters_that_are_converted() -> None:
    session = shared_harris().login(*HARRIS_READER)
    years = [varchar("@P1", "2026"), varchar("@P2", "2024")]
    sql = (
        "SELECT DISTINCT prop_val_yr FROM property_val WHERE prop_val_yr IN (CONVERT(int, @P1), "
        "CONVERT(int, @P2)) ORDER BY 1"
    )
    columns, rows = query_with_columns(session, sql, years)
    assert [int(year) for (year,) in rows] == [2024, 2026]
    assert columns[0].type == SqlType("numeric", precision=4, scale=0)


def test_rowversions_of_eight_bytes_bound_a_read() -> None:
    engine = county.build(SandboxEngine(), "tiny")
    session = engine.login(*HARRIS_ADMIN)
    bound = query(session, "SELECT MIN_ACTIVE_ROWVERSION()")[0][0]
    since = [Param("@P1", SqlType("binary", 8), bound)]
    changed = (
        "SELECT prop_id, prop_val_yr FROM property_val WHERE tsRowVersion >= @P1 AND tsRowVersion < "
        "MIN_ACTIVE_ROWVERSION()"
    )
    assert query(session, changed, since) == []
    list(
        session.execute(
            "UPDATE property_val SET market = market + 1 WHERE prop_id = 10001 AND prop_val_yr = 2026 AND "
            "sup_num = 0"
        )
    )
    assert [(prop, int(year)) for prop, year in query(session, changed, since)] == [(10001, 2026)]
    text = [varchar("@P1", "0x" + bound.hex())]
    assert len(query(session, changed.replace("@P1", "CONVERT(binary(8), @P1, 1)"), text)) == 1
    assert query(
        session, f"DECLARE @since binary(8) = 0x{bound.hex()}; {changed.replace('@P1', '@since')}"
    ) == [(10001, Decimal(2026))]


def _words(session: SqlSession) -> None:
    list(session.execute("CREATE TABLE words (id int NOT NULL PRIMARY KEY, v varchar(9), c char(4))"))
    for number, (v, c) in enumerate(
        [("Oak", "A"), ("oak  ", "a "), ("OAK", "b"), (None, None), ("", "B"), ("  ", None), (" oak", "b")]
    ):
        params = [
            Param("@P1", SqlType("int"), number),
            Param("@P2", SqlType("varchar", 9), v),
            Param("@P3", SqlType("varchar", 9), c),
        ]
        list(session.execute("INSERT INTO words VALUES (@P1, @P2, @P3)", params))


ALIKE: list[tuple[str, list[tuple[Any, ...]]]] = [
    ("SELECT COUNT(*) FROM words GROUP BY v ORDER BY 1", [(1,), (1,), (2,), (3,)]),
    (
        "SELECT LOWER(RTRIM(v)), COUNT(*), MAX(id) FROM words GROUP BY v ORDER BY MAX(id)",
        [("oak", 3, 2), (None, 1, 3), ("", 2, 5), (" oak", 1, 6)],
    ),
    ("SELECT LEN(v), SUM(id) FROM words GROUP BY v HAVING v = 'oAk    '", [(3, 3)]),
    (
        "SELECT UPPER(c) + '|', COUNT(*) FROM words GROUP BY c ORDER BY 1",
        [(None, 2), ("A   |", 2), ("B   |", 3)],
    ),
    ("SELECT COUNT(*) FROM (SELECT DISTINCT v, c FROM words) d", [(6,)]),
    ("SELECT COUNT(*) FROM (SELECT v FROM words UNION SELECT c FROM words) d", [(6,)]),
    ("SELECT COUNT(*) FROM (SELECT v FROM words UNION ALL SELECT c FROM words) d", [(14,)]),
    (
        "SELECT id, ROW_NUMBER() OVER (PARTITION BY v ORDER BY id) FROM words WHERE v LIKE 'oak%' ORDER BY "
        "id",
        [(0, 1), (1, 2), (2, 3)],
    ),
    (
        "SELECT v, COUNT(*) OVER (PARTITION BY c) FROM words WHERE c IS NOT NULL AND id < 2 ORDER BY id",
        [("Oak", 2), ("oak  ", 2)],
    ),
    (
        "SELECT a.id, b.id FROM words a JOIN words b ON b.v = a.v AND b.id > a.id ORDER BY 1, 2",
        [(0, 1), (0, 2), (1, 2), (4, 5)],
    ),
    (
        "SELECT COUNT(*), (SELECT COUNT(*) FROM words i WHERE i.v = o.v) FROM words o GROUP BY o.v ORDER BY "
        "1, 2",
        [(1, 0), (1, 1), (2, 2), (3, 3)],
    ),
    ("SELECT id FROM words WHERE v = ANY (SELECT 'OAK   ') ORDER BY id", [(0,), (1,), (2,)]),
    (
        "SELECT id FROM words WHERE v <> ALL (SELECT CONVERT(char(9), 'oak') UNION SELECT '') ORDER BY id",
        [(6,)],
    ),
    (
        "SELECT id FROM words WHERE c IN (SELECT v FROM words UNION ALL SELECT 'B      ') ORDER BY id",
        [(2,), (4,), (6,)],
    ),
    ("SELECT SUM(COUNT(*)) OVER () FROM words GROUP BY v", [(7,)] * 4),
]


@pytest.mark.parametrize(("sql", "answer"), ALIKE, ids=[sql[:70] for sql, _ in ALIKE])
def test_text_that_differs_in_case_and_trailing_blanks_is_one(
    sql: str, answer: list[tuple[Any, ...]]
) -> None:
    """Story 14 and 15: 'R    ' is 'R', 'ab-1' is 'AB-1'."""
    session = _engine_of_words().login(*HARRIS_ADMIN)
    assert query(session, sql) == answer
    session.close()


@lru_cache(maxsize=1)
def _engine_of_words() -> SandboxEngine:
    engine = SandboxEngine()
    tables.declare(engine.catalog)
    engine.publish()
    session = engine.login(*HARRIS_ADMIN)
    _words(session)
    session.close()
    return engine


@pytest.mark.parametrize("sql", ["SELECT prop_id FROM situs PIVOT (MAX(situs_num) FOR situs_id IN ([1])) AS p",
                                 "SELECT prop_id FROM situs FOR XML PATH('')", "SELECT GEOGRAPHY::Point(1, 2, 4326)"])  # fmt: skip
def test_what_is_not_translated_is_refused(sql: str) -> None:
    with pytest.raises(SqlError) as refused:
        query(shared_harris().login(*HARRIS_READER), sql)
    assert refused.value.number == 102
