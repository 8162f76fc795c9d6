"""SELECTs that the product never emits, in T-SQL, against hand-written DuckDB statements on the stored
tables.
"""

from __future__ import annotations

import pytest

from tests.wire.tsql_support import READER, duck, query, shared_engine

PAIRS = [
    ("SELECT COUNT(*) FROM Property", "SELECT count(*) FROM {P}"),
    ("SELECT TOP 7 ParcelNumber, City FROM Property ORDER BY ParcelNumber DESC", "SELECT ParcelNumber, City FROM {P} ORDER BY 1 DESC LIMIT 7"),
    ("SELECT City, COUNT(*) AS n FROM dbo.Property GROUP BY City ORDER BY n DESC, City", "SELECT City, count(*) FROM {P} GROUP BY 1 ORDER BY 2 "
                                                                                         "DESC, 1 NULLS FIRST"),
    ("SELECT [City], AVG([Acreage]) FROM [dbo].[Property] WHERE [Acreage] > 1.5 GROUP BY [City] HAVING "
     "COUNT(*) > 10 ORDER BY 1",
     "SELECT City, avg(Acreage) FROM {P} WHERE Acreage > 1.5 GROUP BY 1 HAVING count(*) > 10 ORDER BY 1 "
     "NULLS FIRST"),
    ("SELECT p.PropertyID, o.OwnerName FROM PACS.dbo.Property p JOIN PropertyOwner o ON o.PropertyID = "
     "p.PropertyID WHERE o.OwnerName LIKE 'o''%' "
     "OR o.OwnerName LIKE '%peña%' ORDER BY o.OwnerID",
     "SELECT p.PropertyID, o.OwnerName FROM {P} p JOIN {O} o USING (PropertyID) WHERE o.OwnerName ILIKE "
     "'o''%' OR o.OwnerName ILIKE '%peña%' "
     "ORDER BY o.OwnerID"),
    ("SELECT p.ParcelNumber, s.StructureType FROM Property AS p LEFT JOIN Structure AS s ON s.PropertyID = "
     "p.PropertyID AND s.Bedrooms >= 4 ORDER "
     "BY p.ParcelNumber, s.StructureID",
     "SELECT p.ParcelNumber, s.StructureType FROM {P} p LEFT JOIN {S} s ON s.PropertyID = p.PropertyID AND "
     "s.Bedrooms >= 4 ORDER BY 1, "
     "s.StructureID NULLS FIRST"),
    ("SELECT ParcelNumber FROM Property ORDER BY ParcelNumber OFFSET 100 ROWS FETCH NEXT 5 ROWS ONLY",
    "SELECT ParcelNumber FROM {P} ORDER BY 1 LIMIT 5 OFFSET 100"),
    ("SELECT DISTINCT State, ZipCode FROM Property ORDER BY ZipCode", "SELECT DISTINCT State, ZipCode FROM {P} ORDER BY 2 NULLS FIRST"),
    ("SELECT TaxYear, SUM(MarketValue), MIN(LandValue), MAX(ImprovementValue) FROM PropertyValue GROUP BY "
     "TaxYear ORDER BY TaxYear",
     "SELECT TaxYear, sum(MarketValue), min(LandValue), max(ImprovementValue) FROM {V} GROUP BY 1 ORDER BY 1"),
    ("SELECT PropertyID, TaxYear, MarketValue - LAG(MarketValue) OVER (PARTITION BY PropertyID ORDER BY "
     "TaxYear) AS d FROM PropertyValue ORDER BY "
     "PropertyID, TaxYear",
     "SELECT PropertyID, TaxYear, MarketValue - lag(MarketValue) OVER (PARTITION BY PropertyID ORDER BY "
     "TaxYear) FROM {V} ORDER BY 1, 2"),
    ("SELECT * FROM (SELECT ParcelNumber, ROW_NUMBER() OVER (PARTITION BY City ORDER BY LastModified DESC, "
     "PropertyID) AS rn FROM Property) AS x "
     "WHERE x.rn <= 2 ORDER BY 1",
     "SELECT ParcelNumber, rn FROM (SELECT ParcelNumber, row_number() OVER (PARTITION BY City ORDER BY "
     "LastModified DESC, PropertyID) rn FROM "
     "{P}) WHERE rn <= 2 ORDER BY 1"),
    ("WITH big AS (SELECT PropertyID, COUNT(*) AS n FROM PropertyOwner GROUP BY PropertyID) SELECT "
     "p.ParcelNumber, b.n FROM big b JOIN Property p "
     "ON p.PropertyID = b.PropertyID "
     "WHERE b.n >= 3 ORDER BY b.n DESC, p.ParcelNumber",
     "SELECT p.ParcelNumber, count(*) n FROM {O} o JOIN {P} p USING (PropertyID) GROUP BY 1 HAVING count(*) "
     ">= 3 ORDER BY 2 DESC, 1"),
    ("SELECT CASE WHEN Acreage IS NULL THEN 'unknown' WHEN Acreage = 0 THEN 'condo' ELSE 'land' END AS k, "
     "COUNT_BIG(*) FROM Property "
     "GROUP BY CASE WHEN Acreage IS NULL THEN 'unknown' WHEN Acreage = 0 THEN 'condo' ELSE 'land' END ORDER "
     "BY k",
     "SELECT CASE WHEN Acreage IS NULL THEN 'unknown' WHEN Acreage = 0 THEN 'condo' ELSE 'land' END, "
     "count(*) FROM {P} GROUP BY 1 ORDER BY 1"),
    ("SELECT IIF(IsActive = 1, 'y', 'n'), COUNT(*) FROM Property GROUP BY IsActive ORDER BY 1", "SELECT CASE WHEN IsActive THEN 'y' ELSE 'n' END, "
        "count(*) FROM {P} GROUP BY IsActive ORDER BY 1"),
    ("SELECT COUNT(*) FROM Property WHERE IsActive = 0 AND City IN ('RICHLAND', 'prosser')", "SELECT count(*) FROM {P} WHERE NOT IsActive AND "
        "lower(City) IN ('richland', 'prosser')"),
    ("SELECT ISNULL(City, '?') + ', ' + State FROM Property WHERE ZipCode IS NULL ORDER BY ParcelNumber",
    "SELECT coalesce(City, '?') || ', ' || State FROM {P} WHERE ZipCode IS NULL ORDER BY ParcelNumber"),
    ("SELECT LEN(OwnerName), UPPER(LEFT(OwnerName, 3)), CHARINDEX(' ', OwnerName) FROM PropertyOwner ORDER "
     "BY OwnerID",
     "SELECT length(rtrim(OwnerName)), upper(left(OwnerName, 3)), instr(OwnerName, ' ') FROM {O} ORDER BY "
     "OwnerID"),
    ("SELECT YEAR(LastModified), DATEPART(month, LastModified), COUNT(*) FROM Property GROUP BY "
     "YEAR(LastModified), DATEPART(month, LastModified) "
     "ORDER BY 1, 2",
     "SELECT year(LastModified), month(LastModified), count(*) FROM {P} GROUP BY 1, 2 ORDER BY 1, 2"),
    ("SELECT DATEDIFF(day, StartDate, EndDate) FROM PropertyOwner WHERE EndDate IS NOT NULL ORDER BY OwnerID",
    "SELECT date_diff('day', StartDate, EndDate) FROM {O} WHERE EndDate IS NOT NULL ORDER BY OwnerID"),
    ("SELECT MAX(DATEADD(day, 30, LastModified)) FROM Structure", "SELECT max(LastModified + INTERVAL 30 DAY) FROM {S}"),
    ("SELECT PropertyID FROM Property WHERE PropertyID NOT IN (SELECT PropertyID FROM Structure) ORDER BY "
     "PropertyID",
     "SELECT PropertyID FROM {P} WHERE PropertyID NOT IN (SELECT PropertyID FROM {S}) ORDER BY 1"),
    ("SELECT p.ParcelNumber FROM Property p WHERE EXISTS (SELECT 1 FROM Structure s WHERE s.PropertyID = "
     "p.PropertyID AND s.YearBuilt < "
     "p.YearBuilt) ORDER BY p.ParcelNumber",
     "SELECT p.ParcelNumber FROM {P} p WHERE EXISTS (SELECT 1 FROM {S} s WHERE s.PropertyID = p.PropertyID "
     "AND s.YearBuilt < p.YearBuilt) ORDER "
     "BY 1"),
    ("SELECT ParcelNumber, (SELECT COUNT(*) FROM PropertyOwner o WHERE o.PropertyID = p.PropertyID) FROM "
     "Property p ORDER BY ParcelNumber",
     "SELECT ParcelNumber, (SELECT count(*) FROM {O} o WHERE o.PropertyID = p.PropertyID) FROM {P} p ORDER "
     "BY 1"),
    ("SELECT City FROM Property UNION SELECT StructureType FROM Structure ORDER BY City", "SELECT City FROM {P} UNION SELECT StructureType FROM "
        "{S} ORDER BY 1 NULLS FIRST"),
    ("SELECT PropertyID FROM PropertyOwner EXCEPT SELECT PropertyID FROM Structure ORDER BY 1", "SELECT PropertyID FROM {O} EXCEPT SELECT "
        "PropertyID FROM {S} ORDER BY 1"),
    ("SELECT YearBuilt / 10, YearBuilt % 10, -YearBuilt, YearBuilt * 2 FROM Property ORDER BY PropertyID",
    "SELECT YearBuilt // 10, YearBuilt % 10, -YearBuilt, YearBuilt * 2 FROM {P} ORDER BY PropertyID"),
    ("SELECT AVG(YearBuilt), SUM(Bedrooms), COUNT(DISTINCT Condition), COUNT(Bathrooms) FROM Structure",
     "SELECT trunc(avg(YearBuilt))::INT, sum(Bedrooms)::INT, count(DISTINCT rtrim(Condition)), "
     "count(Bathrooms) FROM {S}"),
    ("SELECT Condition, STDEV(SquareFootage) FROM Structure WHERE SquareFootage BETWEEN 500 AND 2500 GROUP "
     "BY Condition ORDER BY Condition",
     "SELECT min(Condition), stddev_samp(SquareFootage) FROM {S} WHERE SquareFootage BETWEEN 500 AND 2500 "
     "GROUP BY rtrim(Condition) "
     "ORDER BY 1 NULLS FIRST"),
    ("SELECT PropertyID, OwnerName, SUM(OwnershipPercentage) OVER (PARTITION BY PropertyID ORDER BY OwnerID "
     "ROWS BETWEEN UNBOUNDED PRECEDING AND "
     "CURRENT ROW) FROM PropertyOwner ORDER BY OwnerID",
     "SELECT PropertyID, OwnerName, sum(OwnershipPercentage) OVER (PARTITION BY PropertyID ORDER BY OwnerID "
     "ROWS UNBOUNDED PRECEDING) FROM {O} "
     "ORDER BY OwnerID"),
    ("SELECT p.ParcelNumber, v.MarketValue FROM Property p CROSS APPLY (SELECT TOP (1) * FROM PropertyValue "
     "v WHERE v.PropertyID = p.PropertyID "
     "ORDER BY v.TaxYear DESC) AS v ORDER BY p.ParcelNumber",
     "SELECT p.ParcelNumber, max_by(v.MarketValue, v.TaxYear) FROM {P} p JOIN {V} v USING (PropertyID) "
     "GROUP BY 1 ORDER BY 1"),
    ("SELECT City, State, COUNT(*) FROM Property GROUP BY ROLLUP(City, State) ORDER BY 1, 2, 3", "SELECT City, State, count(*) FROM {P} GROUP BY "
        "ROLLUP (City, State) ORDER BY 1 NULLS FIRST, 2 NULLS FIRST, 3"),
    ("SELECT CONVERT(varchar(10), LastModified, 120), COUNT(*) FROM Property GROUP BY CONVERT(varchar(10), "
     "LastModified, 120) ORDER BY 1",
     "SELECT strftime(LastModified, '%Y-%m-%d'), count(*) FROM {P} GROUP BY 1 ORDER BY 1"),
    ("SELECT COALESCE(NULLIF(Address, ''), ParcelNumber) FROM Property ORDER BY ParcelNumber", "SELECT CASE WHEN Address IS NULL OR Address = '' "
        "THEN ParcelNumber ELSE Address END FROM {P} ORDER BY ParcelNumber"),
    ("SELECT SUBSTRING(ParcelNumber, 3, 4), REPLACE(ParcelNumber, '-', ''), RIGHT(ParcelNumber, 3) FROM "
     "Property ORDER BY PropertyID",
     "SELECT substr(ParcelNumber, 3, 4), replace(ParcelNumber, '-', ''), right(ParcelNumber, 3) FROM {P} "
     "ORDER BY PropertyID"),
    ("SELECT a.ParcelNumber, b.ParcelNumber FROM Property a INNER JOIN Property b ON a.LastModified = "
     "b.LastModified AND a.PropertyID < "
     "b.PropertyID WHERE a.City = 'Finley' AND b.City = 'Finley' "
     "AND a.YearBuilt = b.YearBuilt ORDER BY 1, 2",
     "SELECT a.ParcelNumber, b.ParcelNumber FROM {P} a JOIN {P} b ON a.LastModified = b.LastModified AND "
     "a.PropertyID < b.PropertyID WHERE a.City "
     "= 'Finley' AND b.City = 'Finley' "
     "AND a.YearBuilt = b.YearBuilt ORDER BY 1, 2"),
    ("SELECT CAST(LegalDescription AS varchar(max)) FROM Property WHERE LegalDescription LIKE '%[0-9];%' "
     "ORDER BY ParcelNumber",
    "SELECT LegalDescription FROM {P} WHERE regexp_matches(LegalDescription, '[0-9];') ORDER BY ParcelNumber"),
    ("SELECT TOP (3) WITH TIES YearBuilt FROM Property WHERE YearBuilt > 0 ORDER BY YearBuilt", "SELECT YearBuilt FROM {P} WHERE YearBuilt > 0 "
        "AND YearBuilt <= (SELECT max(y) FROM (SELECT YearBuilt y FROM {P} WHERE YearBuilt > 0 "
     "ORDER BY 1 LIMIT 3)) ORDER BY 1"),
    ("SELECT x.n, y.w FROM (VALUES (1, 'a'), (2, 'b'), (3, NULL)) AS x(n, w) FULL JOIN (VALUES (2, 'B'), "
     "(4, 'd')) AS y(n, w) ON y.w = x.w ORDER "
     "BY x.n", "VALUES (NULL, 'd'), (1, NULL), (2, 'B'), (3, NULL)"),
    ("WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12) SELECT i, i * i FROM n ORDER BY i",
    "SELECT i::INT, (i * i)::INT FROM range(1, 13) AS r(i)"),
    ("SELECT ROUND(MarketValue / 3, 2), FLOOR(LandValue / 7), CEILING(LandValue / 7), ABS(AssessedValue) "
     "FROM PropertyValue WHERE TaxYear = 2025 "
     "ORDER BY ValueID",
     "SELECT round(MarketValue / 3, 2), floor(LandValue / 7), ceil(LandValue / 7), abs(AssessedValue) FROM "
     "{V} WHERE TaxYear = 2025 ORDER BY "
     "ValueID"),
    ("SELECT NTILE(4) OVER (ORDER BY MarketValue, ValueID), DENSE_RANK() OVER (ORDER BY TaxYear) FROM "
     "PropertyValue ORDER BY ValueID",
     "SELECT ntile(4) OVER (ORDER BY MarketValue, ValueID), dense_rank() OVER (ORDER BY TaxYear) FROM {V} "
     "ORDER BY ValueID"),
    ("SELECT STRING_AGG(City, '|') WITHIN GROUP (ORDER BY City DESC) FROM (SELECT DISTINCT City FROM "
     "Property) AS c",
    "SELECT string_agg(City, '|' ORDER BY City DESC) FROM (SELECT DISTINCT City FROM {P})"),
]  # fmt: skip


@pytest.mark.parametrize(("tsql", "duckdb"), PAIRS, ids=[t[:60] for t, _ in PAIRS])
def test_any_select_is_answered_as_duckdb_answers_it(tsql: str, duckdb: str) -> None:
    engine = shared_engine()
    session = engine.login(*READER)
    expected = duck(engine, duckdb)
    assert expected, "a comparison with nothing proves nothing"
    assert query(session, tsql) == expected
    session.close()
