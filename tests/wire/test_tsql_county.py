"""The county's data and a night's changes keep what they promise."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from airflow_provider_pacs.sandbox.counties import generic_rows
from airflow_provider_pacs.sandbox.counties.generic_changes import mutate
from airflow_provider_pacs.sandbox.tsql.engine import START, SandboxEngine
from tests.wire.tsql_support import ADMIN, READER, fresh_engine, query, query_with_columns, shared_engine


def test_the_same_seed_gives_the_same_county() -> None:
    first, second, other = (generic_rows.build(SandboxEngine(), "tiny", seed) for seed in (1, 1, 2))
    assert generic_rows.digest(first.con) == generic_rows.digest(second.con) != generic_rows.digest(other.con)
    assert mutate(first, 7).updated == mutate(second, 7).updated


@pytest.mark.parametrize(
    ("table", "rows"),
    [("Property", 12_400), ("PropertyOwner", 18_600), ("PropertyValue", 62_000), ("Structure", 14_800)],
)
def test_sizes_and_stamps(table: str, rows: int) -> None:
    session = shared_engine().login(*READER)
    assert query(session, f"SELECT COUNT(*) FROM {table}") == [(rows,)]
    ((latest, third, seventh, tied),) = query(
        session,
        "SELECT MAX(LastModified), SUM(IIF(CONVERT(varchar(23), LastModified, 121) LIKE '%.003', 1, 0)), "
        "SUM(IIF(CONVERT(varchar(23), "
        f"LastModified, 121) LIKE '%7', 1, 0)), "
        f"(SELECT MAX(n) FROM (SELECT COUNT(*) AS n FROM {table} GROUP BY LastModified) AS g) FROM {table}",
    )
    assert latest < START
    assert third > 0
    assert seventh > 0
    assert tied > rows // 50


def test_content_has_the_traps_of_a_real_county() -> None:
    session = shared_engine().login(*READER)
    checks = {
        "SELECT COUNT(DISTINCT ParcelNumber) FROM Property": 12_400,
        "SELECT COUNT(*) FROM (SELECT PropertyID FROM PropertyOwner GROUP BY PropertyID HAVING "
        "ABS(SUM(OwnershipPercentage) - 100) < 0.0000001) "
        "AS g": 12_390,
        "SELECT COUNT(*) FROM (SELECT PropertyID FROM PropertyOwner GROUP BY PropertyID HAVING COUNT(*) = "
        "40) AS g": 3,
        "SELECT COUNT(*) FROM PropertyValue WHERE MarketValue <> LandValue + ImprovementValue OR "
        "MarketValue <> ROUND(MarketValue, 0)": 0,
        "SELECT COUNT(*) FROM PropertyValue WHERE AssessedValue < 0": 31,
        "SELECT COUNT(*) FROM PropertyOwner WHERE StartDate > EndDate": 10,
        "SELECT COUNT(*) FROM PropertyOwner WHERE OwnershipPercentage = 140": 10,
        "SELECT COUNT(*) FROM Property WHERE YearBuilt = 1650": 7,
        "SELECT COUNT(*) FROM Structure WHERE YearBuilt = 1650": 8,
    }
    assert {sql: query(session, sql)[0][0] for sql in checks} == checks
    present = (
        "Property WHERE Acreage = 0", "Property WHERE LegalDescription LIKE '%' + CHAR(13) + CHAR(10) + '%'", "Property WHERE Address = ''",
        "Property WHERE Address IS NULL",
        "PropertyOwner WHERE OwnerName LIKE '%''%'", "PropertyOwner WHERE OwnerName LIKE '%\"%'", "PropertyOwner WHERE OwnerName LIKE N'%ñ%'",
        "PropertyOwner WHERE OwnerName LIKE '%,%'",
        "PropertyOwner WHERE OwnerName LIKE N'%’%'", "PropertyOwner WHERE OwnershipPercentage = 0",
        "PropertyOwner WHERE OwnershipPercentage = "
            "33.3333333333", "Property WHERE YearBuilt = 0",
    )  # fmt: skip
    assert [p for p in present if query(session, f"SELECT COUNT(*) FROM {p}") == [(0,)]] == []
    assert query(
        session,
        "SELECT COUNT(*) FROM PropertyOwner o LEFT JOIN Property p ON p.PropertyID = o.PropertyID WHERE "
        "p.PropertyID IS NULL",
    ) == [(0,)]
    for column in ("OwnerName", "OwnerType"):
        assert all(
            (v or "").encode("cp1252") is not None
            for (v,) in query(session, f"SELECT DISTINCT {column} FROM PropertyOwner")
        )


def test_a_night_keeps_its_promises() -> None:
    engine = fresh_engine("seed")
    session = engine.login(*ADMIN)
    before = {k: v for k, *v in query(session, "SELECT PropertyID, IsActive, LastModified FROM Property")}
    start = engine.clock.local()
    columns, ((*counts, tied_at, late_at),) = query_with_columns(session, "EXEC sandbox.mutate @seed = 1")
    night = dict(zip([c.name for c in columns], [*counts, tied_at, late_at], strict=True))
    assert timedelta(hours=8) <= engine.clock.local() - start < timedelta(hours=8, minutes=1)
    after = {k: v for k, *v in query(session, "SELECT PropertyID, IsActive, LastModified FROM Property")}
    assert len(before.keys() - after.keys()) == 12
    assert len(after.keys() - before.keys()) == 12
    both = before.keys() & after.keys()
    assert sum(before[k][0] and not after[k][0] for k in both) == night["soft_deleted"] > 0
    assert sum(after[k][0] and not before[k][0] for k in both) == night["undeleted"] > 0
    changed = [after[k][1] for k in both if after[k] != before[k]]
    late = datetime.fromisoformat(night["late_at"])
    assert sum(m == late for m in changed) == night["late"] > 0
    assert late < start - timedelta(minutes=9)
    assert sum(m == datetime.fromisoformat(night["tied_at"]) for m in changed) == night["tied"] == 350
    assert {m.microsecond for m in changed} >= {3333, 6667}
    assert all(m <= engine.clock.local() for m in changed)
    for table in ("PropertyOwner", "PropertyValue", "Structure"):
        assert query(
            session,
            f"SELECT COUNT(*) FROM {table} AS c LEFT JOIN Property AS p ON p.PropertyID = c.PropertyID "
            "WHERE p.PropertyID IS NULL",
        ) == [(0,)]
    assert query(session, "SELECT COUNT(*) - COUNT(DISTINCT ParcelNumber) FROM Property") == [(0,)]
    engine.close()


def test_a_kept_directory_keeps_rows_and_clock(tmp_path) -> None:
    first = generic_rows.build(SandboxEngine(tmp_path), "tiny")
    digest = generic_rows.digest(first.con)
    first.clock.advance(86_400)
    first.close()
    second = generic_rows.build(SandboxEngine(tmp_path), "tiny")
    assert generic_rows.digest(second.con) == digest
    assert second.clock.local() > START + timedelta(days=1)
    second.close()
