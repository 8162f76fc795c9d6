"""`make demo COUNTIES=3`: a generic county and two on PACS 9.0 through one Airflow into one platform, and the report
over them beside what each source adds up itself.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from airflow_provider_pacs.sandbox import site
from airflow_provider_pacs.sandbox.commands import call
from airflow_provider_pacs.sandbox.counties.profiles import GENERIC
from airflow_provider_pacs.sandbox.demo import run_summaries
from airflow_provider_pacs.sandbox.demo.airflow_api import RunFailed
from airflow_provider_pacs.sandbox.demo.bring_up import DemoCounty, Running
from airflow_provider_pacs.sandbox.demo.dag_runs import night_at, run_dag

COUNTIES = 3
HARRIS = "harris_pacs_9"
Totals = dict[tuple[str, int], tuple[int, Decimal, Decimal]]
"""County and assessment year -> parcels, market and assessed value."""
_FILE = """county: {name}
fips: "{fips}"
name: {title}
timezone: {zone}
source: {{connection: pacs_{name}, profile: {profile}}}
target: {{connection: terrafusion}}
sync: {{cron: "{cron}", entities: [{entities}]}}
tags: [demo]
"""
_FOUR = "property, owner, value, structure"
_ROLL = f"{_FOUR}, land, exemption, tax_area, sale, sale_property, code"
_AT_GENERIC = (
    "SELECT TaxYear AS year, COUNT(*) AS parcels, SUM(CONVERT(decimal(20, 2), MarketValue)) AS market, "
    "SUM(CONVERT(decimal(20, 2), AssessedValue)) AS assessed FROM dbo.PropertyValue WHERE ValueID NOT IN ({0}) "
    "GROUP BY TaxYear"
)
_AT_HARRIS = (
    "SELECT CONVERT(int, a.owner_tax_yr) AS year, COUNT(*) AS parcels, SUM(v.market) AS market, SUM(v.assessed_val) "
    "AS assessed FROM dbo.prop_supp_assoc AS a JOIN dbo.property AS p ON p.prop_id = a.prop_id JOIN dbo.property_val "
    "AS v ON v.prop_val_yr = a.owner_tax_yr AND v.sup_num = a.sup_num AND v.prop_id = a.prop_id CROSS JOIN "
    "dbo.pacs_system AS s WHERE p.prop_type_cd IN ('R', 'MH') AND a.owner_tax_yr > s.appr_yr - 3 AND "
    "a.owner_tax_yr <= s.appr_yr AND CONVERT(varchar(12), a.prop_id) + '/' + CONVERT(varchar(12), CONVERT(int, "
    "a.owner_tax_yr)) NOT IN ({0}) GROUP BY a.owner_tax_yr"
)


def counties(size: str) -> tuple[DemoCounty, ...]:
    """Two in Washington, one in Texas: two time zones, three schedules."""
    made = (
        ("benton_wa", "53005", "Benton County, WA", "America/Los_Angeles", HARRIS, "0 2 * * *", _ROLL),
        ("chelan_wa", "53007", "Chelan County, WA", "America/Los_Angeles", HARRIS, "30 3 * * 1-5", _FOUR),
        ("kaufman_tx", "48257", "Kaufman County, TX", "America/Chicago", GENERIC, "15 * * * *", _FOUR),
    )
    names = ("name", "fips", "title", "zone", "profile", "cron", "entities")
    return tuple(
        DemoCounty(each[0], each[4], size, seed, _FILE.format(**dict(zip(names, each, strict=True))))
        for seed, each in enumerate(made, start=1)
    )


def show(made: tuple[DemoCounty, ...], running: Running, console: Console) -> int:
    """Two runs of each county with a night between them; then the report over them, and summary.json."""
    started_at = datetime.now(UTC)
    done: list[run_summaries.DemoRun] = []
    try:
        for name, params in (("full", {"mode": "full"}), ("incremental", {"mode": "auto"})):
            for county in made:
                if name == "full":
                    running.api.unpause(f"pacs_{county.name}")
                else:
                    night_at(running, console, county.process)
                done.append(run_dag(running, console, f"{name}_{county.name}", f"pacs_{county.name}", params))
    except RunFailed as failure:
        done.append(failure.args[1])
        console.print(failure.args[0], markup=False)
    url = running.postgres.url("terrafusion")
    runs = run_summaries.read_runs(url, done)
    report = run_summaries.read_report(url, "values")
    apart = run_summaries.quarantined_values(url)
    there: Totals = {}
    for county in made:
        there |= _at_the_source(county, running, apart.get(county.name, []))
    here: Totals = {
        (row["county"], row["assessment_year"]): (row["parcels"], row["market_value"], row["assessed_value"])
        for row in report
    }
    clean = len(runs) == 2 * len(made) and all(map(run_summaries.is_clean, runs[len(made) :]))
    ok = (
        clean
        and here == there
        and len(there) > len(made)
        and all(r["airflow_state"] == "success" for r in runs)
    )
    total = time.monotonic() - running.started
    summary = {
        "version": run_summaries.VERSION,
        "ok": ok,
        "clean": clean,
        "counties": [county.name for county in made],
        "started_at": started_at.isoformat(timespec="seconds"),
        "seconds": {"setup": round(running.setup_seconds, 1), "total": round(total, 1)},
        "runs": runs,
        "report": report,
        "at_the_sources": [[*place, *figures] for place, figures in sorted(there.items())],
        "equal": here == there,
    }
    file = running.folder / "summary.json"
    file.write_text(json.dumps(summary, indent=1, default=str), "utf-8")
    console.print(run_summaries.table_of(runs))
    console.print(_table(report, there))
    outcome = (
        "[bold green]Every county is in step, and the report is what the sources add up, to the dollar.[/]"
        if ok
        else "[bold red]Not in step.[/]"
    )
    console.print(f"{outcome} {total:.0f} s in all. The same figures: {file}")
    return 0 if ok else 1


def _at_the_source(county: DemoCounty, running: Running, apart: list[str]) -> Totals:
    """What a county's PACS adds up itself, without the rows that a rule has set aside."""
    statement = _AT_GENERIC if county.profile == GENERIC else _AT_HARRIS
    keys = ", ".join("?" for _ in apart) or "NULL"
    if not apart:
        statement = statement.replace("NOT IN ({0})", "IS NOT NULL")
    endpoint = site.Endpoint.read(county.sandbox(running.folder))
    rows = call(endpoint, statement.format(keys), *apart)
    return {
        (county.name, int(row["year"])): (
            int(row["parcels"]),
            Decimal(row["market"]),
            Decimal(row["assessed"]),
        )
        for row in rows
    }


def _table(report: list[dict[str, Any]], there: Totals) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for title in ("county", "assessed for", "payable in"):
        table.add_column(title, no_wrap=True)
    for title in ("parcels", "market value", "change", "at the source", "assessed value", "at the source"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("certificate")
    for number, row in enumerate(report):
        _, market, assessed = there.get((row["county"], row["assessment_year"]), (0, Decimal(0), Decimal(0)))
        change = row["market_change_percent"]
        last = number + 1 == len(report) or report[number + 1]["county"] != row["county"]
        table.add_row(
            row["county"],
            str(row["assessment_year"]),
            str(row["tax_payable_year"] or ""),
            f"{row['parcels']:,}",
            f"{row['market_value']:,}",
            "" if change is None else f"{change:+} %",
            f"{market:,}",
            f"{row['assessed_value']:,}",
            f"{assessed:,}",
            f"{row['certificate']} {row['as_of']:%H:%M} UTC",
            end_section=last,
        )
    return table
