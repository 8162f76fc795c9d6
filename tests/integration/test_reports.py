"""Reports over counties: sums that are the sources' own after a night of changes, ratio studies that are those of
scipy and numpy, and no personal data.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from airflow_provider_pacs.cli.program import main
from airflow_provider_pacs.sandbox.counties import generic_changes, generic_rows
from airflow_provider_pacs.sandbox.counties.harris import nightly_changes
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.reports import COMPUTED, HIDDEN, load_reports, report_named
from airflow_provider_pacs.sync.reports.interval import median_interval
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from airflow_provider_pacs.sync.target.postgres.report_reader import open_report
from tests.integration.conftest import VALIDATION, WHOLE_RUN
from tests.support.county import County, connect, counted_rules, county_config
from tests.support.harris import HarrisCounty, HarrisPacs
from tests.support.in_process import InProcessPacs
from tests.support.server import only_the_sandbox

ROLL = (
    "property",
    "owner",
    "value",
    "structure",
    "land",
    "exemption",
    "tax_area",
    "sale",
    "sale_property",
    "code",
)
GUARD = {"max_rows": 1_000}
LAYERS = (
    "FROM dbo.prop_supp_assoc AS a JOIN dbo.property AS p ON p.prop_id = a.prop_id AND p.prop_type_cd IN ('R', 'MH') "
    "JOIN dbo.property_val AS v ON v.prop_val_yr = a.owner_tax_yr AND v.sup_num = a.sup_num AND v.prop_id = a.prop_id "
)


@dataclass(frozen=True, slots=True)
class World:
    """Three counties in one target: a generic one in Texas and two on PACS 9.0 in Washington."""

    generic: County
    benton: HarrisCounty
    chelan: HarrisCounty
    url: str

    @property
    def counties(self) -> tuple[County, ...]:
        return self.generic, self.benton, self.chelan

    def report(self, name: str) -> list[dict[str, Any]]:
        with (
            PostgresTarget.from_url(self.url) as target,
            open_report(target.connection, report_named(name)) as report_rows,
        ):
            return [dict(zip(report_rows.columns, row, strict=True)) for row in report_rows.rows]


@pytest.fixture(scope="module")
def world(pg_url: str) -> Iterator[World]:
    """Loaded, then a night of every kind of change in each county, then synchronised again."""
    only_the_sandbox("the generated counties are made inside the sandbox's engine")
    engines = InProcessPacs(), HarrisPacs(), HarrisPacs(seed=2)
    generic_rows.populate(engines[0], generic_rows.SIZES["tiny"])
    harris = {"profile": "harris_pacs_9", "options": {"taxable_value": True}}
    plain = {"profile": "harris_pacs_9", "options": {"history": "layers", "supplements": "latest"}}
    configs = (
        county_config(("property", "owner", "value", "structure"), fips="48001", delete_guard=GUARD),
        county_config(ROLL, fips="53005", source=harris, delete_guard=GUARD),
        county_config(("property", "owner", "value"), fips="53007", source=plain, delete_guard=GUARD),
    )
    targets = [PostgresTarget.from_url(pg_url) for _ in configs]
    kinds = (County, HarrisCounty, HarrisCounty)
    made = [
        kind(engine, engine.clock, target, pg_url, config)  # type: ignore[arg-type]
        for kind, engine, target, config in zip(kinds, engines, targets, configs, strict=True)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VALIDATION, "validate_stage", counted_rules)
        patch.setattr(WHOLE_RUN, "warm_up", lambda: None)
        for county in made:
            assert county.sync()[1].clean
        generic_changes.mutate(engines[0], 5)
        nightly_changes.mutate(engines[1], 5)
        nightly_changes.mutate(engines[2], 6)
        accept(made[1])
        for county in made:
            assert county.sync()[1].clean
        yield World(made[0], made[1], made[2], pg_url)  # type: ignore[arg-type]
    for target, engine in zip(targets, engines, strict=True):
        target.close()
        engine.end_sessions()
        engine.close()


def accept(county: County) -> None:
    """The night's supplements of 2025 are accepted."""
    county.pacs(
        "UPDATE dbo.sup_group SET sup_accept_dt = '2026-02-02', status_cd = 'A' WHERE sup_group_id IN "
        f"(SELECT sup_group_id FROM dbo.supplement WHERE sup_tax_yr = 2025 AND sup_num = {nightly_changes.SUPPLEMENT})"
    )


def at_the_sources(world: World) -> dict[tuple[str, int], tuple[Any, ...]]:
    """County and assessment year -> parcels, market and assessed value as each PACS adds them up, without the rows
    that a rule has set aside: the generator makes some that break rules.
    """
    apart = "', '".join(world.generic.quarantine("value"))
    rows = [
        ("48001", row)
        for row in world.generic.source.query(
            "SELECT TaxYear AS yr, COUNT(*) AS n, SUM(CONVERT(decimal(20, 2), MarketValue)) AS m, "
            "SUM(CONVERT(decimal(20, 2), AssessedValue)) AS s FROM dbo.PropertyValue WHERE ValueID NOT IN "
            f"('{apart}') GROUP BY TaxYear"
        )
    ]
    for county in (world.benton, world.chelan):
        rows += [
            (county.fips, row)
            for row in county.source.query(
                f"SELECT CONVERT(int, a.owner_tax_yr) AS yr, COUNT(*) AS n, SUM(v.market) AS m, SUM(v.assessed_val) AS s "
                f"{LAYERS} WHERE a.owner_tax_yr BETWEEN 2024 AND 2026 GROUP BY a.owner_tax_yr"
            )
        ]
    return {(fips, row["yr"]): (row["n"], row["m"], row["s"]) for fips, row in rows}


def test_totals_across_counties_are_the_sources_own(world: World) -> None:
    """domain.md F7: after a night of changes of every kind the report over all counties equals, to the dollar, the
    sums that each PACS makes of its own tables, in a Washington county's and a Texan county's years.
    """
    assert {len(county.quarantine("value")) for county in (world.benton, world.chelan)} == {0}
    assert 0 < len(world.generic.quarantine("value")) < 10
    report = world.report("values")
    assert {
        (row["county_id"], row["assessment_year"]): (
            row["parcels"],
            row["market_value"],
            row["assessed_value"],
        )
        for row in report
    } == at_the_sources(world)
    assert {
        row["tax_payable_year"] - row["assessment_year"] for row in report if row["county_id"] == "48001"
    } == {0}
    assert {
        row["tax_payable_year"] - row["assessment_year"] for row in report if row["county_id"] > "53"
    } == {1}
    taxable = world.benton.source.query(
        f"SELECT a.owner_tax_yr AS yr, SUM(w.taxable_classified + w.taxable_non_classified) AS t {LAYERS} JOIN "
        "dbo.wash_prop_owner_val AS w ON w.year = a.owner_tax_yr AND w.sup_num = a.sup_num AND w.prop_id = a.prop_id "
        "WHERE a.owner_tax_yr BETWEEN 2024 AND 2026 GROUP BY a.owner_tax_yr"
    )
    assert {r["assessment_year"]: r["taxable_value"] for r in report if r["county_id"] == "53005"} == {
        row["yr"]: row["t"] for row in taxable
    }
    assert {row["taxable_value"] for row in report if row["county_id"] != "53005"} == {None}


def test_change_is_from_the_year_before_and_from_no_other(world: World) -> None:
    """domain.md F3.27: the first carried year has no change; a later one the difference and its percentage."""
    for fips in ("48001", "53005"):
        years = {row["assessment_year"]: row for row in world.report("values") if row["county_id"] == fips}
        for year, row in years.items():
            before = years.get(year - 1)
            if before is None:
                assert (row["market_change"], row["market_change_percent"]) == (None, None)
                continue
            assert row["market_change"] == row["market_value"] - before["market_value"]
            expected = 100 * (row["assessed_value"] - before["assessed_value"]) / before["assessed_value"]
            assert row["assessed_change_percent"] == pytest.approx(expected, abs=Decimal("0.01"))
    assert any(row["market_change"] for row in world.report("values"))


def test_every_row_says_as_of_when_its_county_was_certified(world: World) -> None:
    """Each report names the certificate that it stands on."""
    issued = {
        county.fips: county.target.certifier.latest(county.fips).issued_at  # type: ignore[union-attr]
        for county in world.counties
    }
    for name in ("values", "roll", "parcels", "owners", "sales", "exemptions", "ratio_study"):
        rows = world.report(name)
        assert rows, name
        for row in rows:
            assert row["certificate"] == "clean", name
            assert row["as_of"] <= issued[row["county_id"]]
    coverage = world.report("coverage")
    assert {(r["county_id"], r["entity"]) for r in coverage} == {
        (county.fips, entity) for county in world.counties for entity in county.config.sync.entities
    }
    assert {row["certificate"] for row in coverage} == {"clean"}
    assert {row["last_run_state"] for row in coverage} == {"succeeded"}


def test_a_county_that_drifts_says_so_in_its_reports(world: World) -> None:
    """Where the newest certificate is `drift`, the report shows it, with the time when the county was last well."""
    before = next(row for row in world.report("values") if row["county_id"] == "53007")
    with connect(world.url) as admin:
        admin.execute(
            "UPDATE pacs_ops.certificate SET state = 'drift' WHERE certificate_id = (SELECT max(certificate_id) FROM "
            "pacs_ops.certificate WHERE county_id = '53007' AND entity = 'value')"
        )
        after = next(row for row in world.report("values") if row["county_id"] == "53007")
        admin.execute(
            "UPDATE pacs_ops.certificate SET state = 'clean' WHERE state = 'drift' AND county_id = '53007'"
        )
    assert (before["certificate"], after["certificate"]) == ("clean", "drift")
    assert after["as_of"] < before["as_of"]


def test_a_sale_stands_on_its_weakest_entity(world: World) -> None:
    """A report over several entities says the worst of their certificates."""
    newest = (
        "(SELECT max(certificate_id) FROM pacs_ops.certificate WHERE county_id = '53005' AND entity = 'sale')"
    )
    with connect(world.url) as admin:
        admin.execute(
            f"UPDATE pacs_ops.certificate SET state = 'blocked' WHERE certificate_id = {newest}".encode()
        )
        states = {row["certificate"] for name in ("sales", "ratio_study") for row in world.report(name)}
        values = {row["certificate"] for row in world.report("values")}
        admin.execute(
            f"UPDATE pacs_ops.certificate SET state = 'clean' WHERE certificate_id = {newest}".encode()
        )
    assert (states, values) == ({"blocked"}, {"clean"})


def test_the_roll_by_status_and_what_supplements_change(world: World) -> None:
    """Story 7: certified, pending and accepted stand apart; the change is against the certified roll's own row."""
    status = {
        (row["assessment_year"], row["roll_status"]): row["parcels"]
        for row in world.report("roll")
        if row["county_id"] == "53005"
    }
    assert {
        (2026, "working"),
        (2025, "certified"),
        (2025, "accepted_supplement"),
        (2026, "pending_supplement"),
    } <= set(status)
    assert {row["roll_status"] for row in world.report("roll") if row["county_id"] == "48001"} == {None}
    values = {(r["county_id"], r["assessment_year"]): r["parcels"] for r in world.report("values")}
    for (fips, year), parcels in values.items():
        assert parcels == sum(
            row["parcels"]
            for row in world.report("roll")
            if (row["county_id"], row["assessment_year"]) == (fips, year)
        )
    report_rows = {
        (row["assessment_year"], row["supplement_no"], row["roll_status"]): row
        for row in world.report("supplements")
        if row["county_id"] == "53005"
    }
    assert {year for year, _, _ in report_rows} == {2024, 2025}, "2026 is not certified"
    expected = world.benton.source.query(
        "SELECT a.owner_tax_yr AS yr, a.sup_num AS sup, COUNT(*) AS n, SUM(v.market) AS m, SUM(v.market - b.market) AS c "
        f"{LAYERS} JOIN dbo.property_val AS b ON b.prop_val_yr = a.owner_tax_yr AND b.sup_num = 0 AND b.prop_id = a.prop_id "
        "WHERE a.owner_tax_yr IN (2024, 2025) AND a.sup_num > 0 GROUP BY a.owner_tax_yr, a.sup_num"
    )
    assert {(int(r["yr"]), r["sup"]): (r["n"], r["m"], r["c"]) for r in expected} == {
        (year, number): (row["parcels"], row["market_value"], row["market_change"])
        for (year, number, _), row in report_rows.items()
    }
    assert report_rows[2025, nightly_changes.SUPPLEMENT, "accepted_supplement"]["parcels"] > 0


def test_exemptions_count_each_parcel_once(world: World) -> None:
    """domain.md F6.50: two owners with the same exemption are two exemptions on one parcel, whose value counts once."""
    rows = {
        row["exemption_code"]: row for row in world.report("exemptions") if row["assessment_year"] == 2026
    }
    for code, row in rows.items():
        source = world.benton.source.query(
            f"SELECT COUNT(*) AS n, COUNT(DISTINCT e.prop_id) AS p {LAYERS} JOIN dbo.property_exemption AS e ON "
            "e.exmpt_tax_yr = a.owner_tax_yr AND e.owner_tax_yr = a.owner_tax_yr AND e.sup_num = a.sup_num AND e.prop_id = "
            f"a.prop_id WHERE a.owner_tax_yr = 2026 AND e.exmpt_type_cd = '{code}'"
        )[0]
        market = world.benton.source.query(
            f"SELECT SUM(v.market) AS m {LAYERS} WHERE a.owner_tax_yr = 2026 AND EXISTS (SELECT 1 FROM "
            "dbo.property_exemption AS e WHERE e.exmpt_tax_yr = 2026 AND e.owner_tax_yr = 2026 AND e.sup_num = a.sup_num "
            f"AND e.prop_id = a.prop_id AND e.exmpt_type_cd = '{code}')"
        )[0]["m"]
        assert (row["exemptions"], row["parcels"], row["market_value"]) == (source["n"], source["p"], market)
    assert rows


def test_a_ratio_is_of_all_parcels_of_the_deed(world: World) -> None:
    """domain.md D2: the price is for all parcels of a deed; with one of them without a value there is no ratio."""
    rows = world.report("sales")
    several = [row for row in rows if row["parcels"] > 1]
    assert several
    for row in rows:
        whole = row["valued_parcels"] == row["parcels"] and (row["sale_price"] or 0) > 0
        assert (row["ratio"] is not None) == whole
        if whole:
            assert row["ratio"] == pytest.approx(
                row["market_value"] / row["sale_price"], abs=Decimal("0.000001")
            )
    assert {row["sale_price"] for row in rows if row["is_confidential"]} <= {None}


def _figures(sales: list[tuple[float, float]]) -> dict[str, float]:
    """IAAO's figures by numpy and scipy, from (value, price) of each sale."""
    value, price = (np.array(column) for column in zip(*sales, strict=True))
    ratio = np.round(value / price, 6)
    q1, q3 = np.percentile(ratio, [25, 75])
    kept = (ratio >= q1 - 3 * (q3 - q1)) & (ratio <= q3 + 3 * (q3 - q1))
    value, price, ratio = value[kept], price[kept], ratio[kept]
    median = np.median(ratio)
    weighted = value.sum() / price.sum()
    proxy = np.log2((value / median + price) / 2)
    sample = stats.bootstrap(
        (ratio,), np.median, method="percentile", n_resamples=4_000, rng=np.random.default_rng(7), axis=-1
    )
    return {
        "sales": len(sales),
        "used": len(ratio),
        "median": median,
        "mean": ratio.mean(),
        "weighted_mean": weighted,
        "cod": 100 * np.abs(ratio - median).mean() / median,
        "prd": ratio.mean() / weighted,
        "prb": stats.linregress(proxy, (ratio - median) / median).slope,
        "median_low": sample.confidence_interval.low,
        "median_high": sample.confidence_interval.high,
    }


def test_ratio_studies_are_those_of_scipy(world: World) -> None:
    """domain.md F5.48, IAAO's Standard on Ratio Studies: median, COD, PRD, PRB, outliers beyond 3 interquartile ranges
    left out, and the median's interval, against numpy's and scipy's figures of the same sales.
    """
    random = np.random.default_rng(11)
    price = np.round(np.exp(random.normal(12.6, 0.5, 400)))
    value = np.round(price * random.normal(0.96, 0.12, 400) * (price / price.mean()) ** -0.08)
    value[:4] = price[:4] * 9  # beyond every bound: trimmed
    kinds = np.where(random.random(400) < 0.7, "I", "L")
    with connect(world.url) as admin:
        admin.execute(
            "INSERT INTO pacs_ops.county (county_id, county, name) VALUES ('53099', 'made_wa', 'Made')"
        )
        for table in ("sale", "sale_property", "value_history"):
            admin.execute(
                f"CREATE TABLE pacs_part.{table}_53099 PARTITION OF pacs.{table} FOR VALUES IN ('53099')".encode()
            )
        for number in range(400):
            ids = {
                name: UUID(int=number * 10 + place)
                for place, name in enumerate(("sale", "link", "property", "value"), 1)
            }
            admin.execute(
                "INSERT INTO pacs.sale (county_id, sale_id, deed_key, sale_price, sale_date, sale_type, is_qualified, "
                "parcels, _run_id, _first_seen_at, _changed_at) VALUES ('53099', %s, %s, %s, '2025-05-05', %s, true, 1, gen_random_uuid(), now(), now())",
                (ids["sale"], str(number), int(price[number]), str(kinds[number])),
            )
            admin.execute(
                "INSERT INTO pacs.sale_property (county_id, sale_property_id, property_id, deed_key, _run_id, _first_seen_at, _changed_at) VALUES "
                "('53099', %s, %s, %s, gen_random_uuid(), now(), now())",
                (ids["link"], ids["property"], str(number)),
            )
            admin.execute(
                "INSERT INTO pacs.value_history (county_id, value_id, property_id, tax_year, market_value, _run_id, _first_seen_at, _changed_at) "
                "VALUES ('53099', %s, %s, 2025, %s, gen_random_uuid(), now(), now())",
                (ids["value"], ids["property"], int(value[number])),
            )
    report_rows = {row["stratum"]: row for row in world.report("ratio_study") if row["county_id"] == "53099"}
    with connect(world.url) as admin:
        for table in ("sale", "sale_property", "value_history"):
            admin.execute(f"DROP TABLE pacs_part.{table}_53099".encode())
        admin.execute("DELETE FROM pacs_ops.county WHERE county_id = '53099'")
    assert report_rows.keys() == {"all", "I", "L"}
    for stratum, row in report_rows.items():
        chosen = [
            (float(v), float(p))
            for v, p, kind in zip(value, price, kinds, strict=True)
            if stratum in ("all", kind)
        ]
        expected = _figures(chosen)
        assert (row["sales"], row["used"], row["enough"]) == (expected["sales"], expected["used"], True)
        assert row["used"] < row["sales"] or stratum != "all"
        for name, tolerance in {
            "median": 1e-4,
            "mean": 1e-4,
            "weighted_mean": 1e-4,
            "cod": 1e-2,
            "prd": 1e-4,
            "prb": 1e-4,
        }.items():
            assert float(row[name]) == pytest.approx(expected[name], abs=tolerance), (stratum, name)
        for name in ("median_low", "median_high"):
            assert float(row[name]) == pytest.approx(expected[name], abs=0.01), (stratum, name)
        assert row["median_low"] <= row["median"] <= row["median_high"]


def test_the_generated_countys_study_stands_on_its_own_sales(world: World) -> None:
    """The same over a synchronised county: its sales counted and their median taken from what the source holds."""
    rows = [row for row in world.report("ratio_study") if row["county_id"] == "53005"]
    sales = [
        r
        for r in world.report("sales")
        if r["is_qualified"] and r["ratio"] is not None and r["sale_price"] > 100
    ]
    assert sum(row["sales"] for row in rows if row["stratum"] == "all") == len(sales) > 0
    assert sum(row["sales"] for row in rows) == 2 * len(sales)
    assert {row["county_id"] for row in rows} == {"53005"}, "no sale of a county without sales"


def test_an_interval_is_the_same_for_the_same_sales_and_wide_for_few() -> None:
    """Two ratios are the least; fewer have none."""
    assert median_interval([1.0]) is None
    few, many = median_interval([0.8, 1.0, 1.3]), median_interval([0.8, 1.0, 1.3] * 50)
    assert few == median_interval([0.8, 1.0, 1.3])
    assert few is not None
    assert many is not None
    assert few[1] - few[0] > many[1] - many[0]


def test_no_report_has_a_column_of_personal_data(world: World) -> None:
    """Rule 51, for reporting: no name, address or account number is a column, and no owner's name is a value."""
    personal = {
        column.name
        for entity in load_entities().values()
        for column in entity.columns
        if column.pii != "none"
    } | {"party_key", "extra"}
    names = {
        str(row["owner_name"])
        for county in world.counties
        for row in county.rows("owner").values()
        if row["owner_name"]
    } - {"[Confidential]"}
    assert len(names) > 50
    for report in load_reports().values():
        assert not personal & {name for name, _ in report.columns}, report.name
        texts = {
            value for row in world.report(report.name) for value in row.values() if isinstance(value, str)
        }
        assert not names & texts, report.name


def test_every_column_is_documented_in_the_database_and_in_the_docs(world: World) -> None:
    """A report's columns are those of its YAML, each with its comment."""
    page = (Path(__file__).parents[2] / "airflow_provider_pacs/docs/reports.md").read_text("utf-8")
    with connect(world.url) as admin:
        for report in load_reports().values():
            rows = admin.execute(
                "SELECT attname, col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = %s::regclass AND "
                "attnum > 0",
                (f"pacs_report.{report.name}",),
            ).fetchall()
            assert dict(rows) == {name: about for name, about in report.columns if name not in COMPUTED}
            section = page.partition(f"## {report.name}\n")[2].partition("\n## ")[0]
            assert report.title in section
            for name, about in report.columns:
                assert (f"| `{name}` | {about} |" in section) == (name != HIDDEN), (report.name, name)
            assert HIDDEN not in report.column_names


def test_a_login_without_counties_gets_an_error_and_no_empty_report(world: World) -> None:
    """Story 23: no rows never stand for a missing right."""
    with PostgresTarget.from_url(world.url) as target:
        with (
            pytest.raises(ConfigError, match="county 53077, or it was never loaded"),
            open_report(target.connection, report_named("values"), ["53005", "53077"]),
        ):
            pass
        target.connection.execute("DELETE FROM pacs_ops.county_grant")
        try:
            with (
                pytest.raises(ConfigError, match="may not read any county"),
                open_report(target.connection, report_named("values")),
            ):
                pass
        finally:
            target.connection.execute("INSERT INTO pacs_ops.county_grant VALUES ('pacs_owner', '*')")


def test_the_command_prints_csv_and_writes_parquet(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`pacs report`: every digit in each format."""
    monkeypatch.setenv("PACS_TARGET_URL", world.url)
    expected = world.report("values")
    assert main(["report", "values", "--format", "csv"]) == 0
    read = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [Decimal(row["market_value"]) for row in read] == [row["market_value"] for row in expected]
    assert [row["taxable_value"] == "" for row in read] == [row["taxable_value"] is None for row in expected]
    file = tmp_path / "values.parquet"
    assert main(["report", "values", "--format", "parquet", "--output", str(file)]) == 0
    columns = pq.read_table(file).to_pydict()
    assert columns["market_value"] == [row["market_value"] for row in expected]
    assert columns["as_of"] == [row["as_of"] for row in expected]
    assert (
        main(["report", "owners", "--format", "parquet", "--output", str(tmp_path / "owners.parquet")]) == 0
    )
    assert pq.read_table(tmp_path / "owners.parquet").num_rows == len(world.report("owners"))
    capsys.readouterr()
    assert main(["report"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in load_reports())
    assert main(["report", "nothing"]) == 2
