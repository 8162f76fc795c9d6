"""`make bench`: what a checked load of one big table costs beside the least that any load can cost, measured
in the same run.

Per round, one after the other: `pacs sync` as a user types it into an empty target (from the process's start
to its full certificate); the limits, `COPY ... TO STDOUT | COPY ... FROM STDIN` of the rows it published; 1 %
changed at the source and `pacs sync` again; the rows read to nowhere. Compare by ratios of one run and by CPU
seconds: walls depend on what else the machine does, so nothing here asserts one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from measured import Run, copied, figures, read_text, run, spread
from places import PYTHONPATH, ROOT, Postgres, Sandbox, postgres, sandbox

from airflow_provider_pacs.sandbox.commands import call

COUNTY, PARTITION = "bench_wa", "pacs_part.property_53999"
COUNTY_FILE = (
    'county: bench_wa\nfips: "53999"\nsource: {connection: pacs_bench, profile: generic}\nsync: '
    "{entities: [property]}\n"
)
AN_AFTERNOON = "EXEC sandbox.clock_advance @seconds = 10800"
LIMITS = {
    "in_place": "the published table's columns and primary key (county_id, property_id), the key in place while "
    "COPY runs",
    "key_after": "the same table, the key built after the COPY, as publish does on a first load",
}
_STEP = re.compile(r"(?P<step>read|validated|published|certified) in (?P<seconds>[\d.]+) s")
_DONE = re.compile(r"property: \w+, [\d,]+ read, (?P<inserted>[\d,]+) inserted, (?P<updated>[\d,]+) updated")
PACKAGES = (
    "airflow-provider-pacs",
    "arrow-odbc",
    "great_expectations",
    "mssql-python-odbc",
    "psycopg",
    "pyarrow",
    "duckdb",
)

Samples = dict[str, list[Run]]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write the JSON, print a table."""
    parser = argparse.ArgumentParser(description="Measure pacs sync beside COPY | COPY.")
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="rows of dbo.Property (default 1,000,000)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default 3)")
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "build" / "bench",
        help="folder for the figures (default build/bench)",
    )
    arguments = parser.parse_args(argv)
    load_before = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="pacs-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "counties").mkdir()
        (folder / "counties" / f"{COUNTY}.yaml").write_text(COUNTY_FILE, "utf-8")
        with postgres(folder / "postgres") as pg, sandbox(folder / "sandbox", arguments.rows) as source:
            samples: Samples = defaultdict(list)
            for number in range(1, arguments.rounds + 1):
                _round(folder, pg, source, arguments.rows, samples)
                print(
                    f"round {number} of {arguments.rounds}: "
                    + ", ".join(f"{what} {runs[-1].elapsed:.2f} s" for what, runs in samples.items()),
                    flush=True,
                )
            imported = [
                run(
                    [sys.executable, "-c", "import great_expectations"],
                    {**os.environ, **PYTHONPATH},
                    pg,
                    source,
                )
            ]
            report = _report(arguments.rows, samples, imported[0], pg.version(), load_before)
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / f"sync_{_short(arguments.rows)}.json"
    file.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(_table(report, arguments.rows), f"\n{file}")
    return 0


def _round(folder: Path, pg: Postgres, source: Sandbox, rows: int, samples: Samples) -> None:
    target = pg.fresh("bench_target")
    call(source.endpoint, AN_AFTERNOON)  # so that no run looks back on rows of the one before
    pacs = [sys.executable, "-m", "airflow_provider_pacs.cli"]
    sync = [
        *pacs,
        "sync",
        COUNTY,
        "--counties",
        str(folder / "counties"),
        "--target-url",
        target,
        "--source-url",
        source.endpoint.url(),
    ]
    samples["full"].append(_certified(run(sync, source.environment, pg, source), "all rows", rows))
    samples["limit_in_place"].append(_limit(pg, source, target, key_first=True))
    samples["limit_key_after"].append(_limit(pg, source, target, key_first=False))
    changed = max(1, rows // 100)
    _change(source, changed)
    samples["delta"].append(_certified(run(sync, source.environment, pg, source), "window", changed))
    reader = [sys.executable, str(Path(__file__).with_name("read_to_nowhere.py")), source.endpoint.url()]
    samples["read"].append(run(reader, source.environment, pg, source))
    if int(samples["read"][-1].out) != rows:
        raise RuntimeError(f"read {samples['read'][-1].out} rows of {rows}")
    pg.drop("bench_target")


def _certified(done: Run, scope: str, rows: int) -> Run:
    """The run, if it did what it is measured for: a figure for half the work would be a lie."""
    match = _DONE.search(done.out)
    written = sum(int(count.replace(",", "")) for count in match.groups()) if match else 0
    if f"Certificate ({scope}): clean." not in done.out or not rows * 0.99 <= written <= rows:
        raise RuntimeError(
            f"the {scope} run did not write {rows} rows and certify them: {done.out}{done.errors}"
        )
    return done


def _limit(pg: Postgres, source: Sandbox, target: str, *, key_first: bool) -> Run:
    """COPY | COPY of all published rows, all columns, into an empty table of the same definition."""
    table, key = "public.limit_copy", "ALTER TABLE public.limit_copy ADD PRIMARY KEY (county_id, property_id)"
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        connection.execute(
            f"CREATE TABLE {table} (LIKE {PARTITION} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
        )
        if key_first:
            connection.execute(key)
    done = copied(
        pg,
        source,
        target,
        "",
        f"COPY {PARTITION} TO STDOUT",
        f"COPY {table} FROM STDIN",
        "" if key_first else key,
    )
    with psycopg.connect(target, autocommit=True) as connection:
        row = connection.execute(
            f"SELECT (SELECT count(*) FROM {table}) = (SELECT count(*) FROM {PARTITION})"
        ).fetchone()
        connection.execute(f"DROP TABLE {table}")
        connection.execute("CHECKPOINT")
    if row != (True,):
        raise RuntimeError("the limit did not copy every row")
    return done


def _change(source: Sandbox, rows: int) -> None:
    """Change rows all over the table at the source, stamped now, and move its clock past the lag and the
    overlap of the next run.
    """
    call(source.endpoint, AN_AFTERNOON)
    call(
        source.endpoint,
        "UPDATE dbo.Property SET Acreage = COALESCE(Acreage, 0) + 0.01, LastModified = GETDATE() "
        f"WHERE PropertyID IN (SELECT TOP ({rows}) PropertyID FROM dbo.Property ORDER BY PropertyID)",
    )
    call(source.endpoint, AN_AFTERNOON)


def _report(
    rows: int, samples: Samples, imported: Run, server: str, load_before: Sequence[float]
) -> dict[str, Any]:
    short = _short(rows)
    ratios = {
        name: spread(
            [a.elapsed / b.elapsed for a, b in zip(samples["full"], samples[f"limit_{name}"], strict=True)]
        )
        for name in LIMITS
    }
    return {
        f"full_{short}_checked_to_limit": ratios["in_place"]["median"],
        f"full_{short}_checked_to_limit_key_after": ratios["key_after"]["median"],
        f"full_{short}_rows_per_s": round(median(rows / done.elapsed for done in samples["full"])),
        "delta_1pct_s": round(median(done.elapsed for done in samples["delta"]), 2),
        "peak_mb": round(max(done.peak_mb for what in ("full", "delta") for done in samples[what]), 1),
        "ratio_to_limit": ratios,
        "limits": LIMITS,
        "stages": {what: _stages(samples[what]) for what in ("full", "delta")},
        "great_expectations_import": {
            "wall_s": round(imported.elapsed, 2),
            "cpu_s": round(imported.client, 2),
        },
        "sandbox_to_client_cpu": round(median(done.sandbox / done.client for done in samples["read"]), 2),
        "measured": {what: figures(runs) for what, runs in samples.items()},
        "rows": rows,
        "machine": {
            "cpus": os.cpu_count(),
            "cpu": next(
                iter(re.findall(r"model name\s*: (.*)", read_text(Path("/proc/cpuinfo")))), platform.machine()
            ),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "system": platform.platform(),
            "load_before": load_before,
            "load_after": os.getloadavg(),
        },
        "versions": {"python": platform.python_version(), "postgresql": server}
        | {name: metadata.version(name) for name in PACKAGES},
    }


def _stages(runs: Sequence[Run]) -> dict[str, Any]:
    """Seconds per step as the command tells them; what it does not tell is its start: interpreter, imports,
    both connections, the plan.
    """
    steps: dict[str, list[float]] = defaultdict(list)
    for done in runs:
        seconds_of = {match["step"]: float(match["seconds"]) for match in _STEP.finditer(done.errors)}
        for step, seconds in (
            {"start and end": done.elapsed - sum(seconds_of.values())} | seconds_of
        ).items():
            steps[step].append(seconds)
    return {step: spread(seconds) for step, seconds in steps.items()}


def _short(rows: int) -> str:
    return (
        f"{rows // 1_000_000}m"
        if rows % 1_000_000 == 0
        else f"{rows // 1000}k"
        if rows % 1000 == 0
        else str(rows)
    )


def _table(report: dict[str, Any], rows: int) -> str:
    lines = [f"{'':16}{'wall s':>22}{'client CPU':>12}{'sandbox CPU':>12}{'pg CPU':>10}{'peak MB':>9}"]
    for what, measured in report["measured"].items():
        elapsed = f"{measured['wall_s']['median']:.2f} ({measured['wall_s']['min']:.2f}-{measured['wall_s']['max']:.2f})"
        cpu = [measured[f"{who}_cpu_s"]["median"] for who in ("client", "sandbox", "postgres")]
        peak = f"{measured['peak_mb']['max']:.0f}" if not what.startswith("limit") else ""
        lines.append(f"{what:16}{elapsed:>22}{cpu[0]:>12.2f}{cpu[1]:>12.2f}{cpu[2]:>10.2f}{peak:>9}")
    for what, steps in report["stages"].items():
        lines.append(
            f"{what}: " + ", ".join(f"{step} {seconds['median']:.2f} s" for step, seconds in steps.items())
        )
    for name, ratio in report["ratio_to_limit"].items():
        lines.append(f"full / limit {name}: {ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})")
    lines.append(
        f"{rows:,} rows at {report[f'full_{_short(rows)}_rows_per_s']:,} rows/s; sandbox / client CPU "
        f"{report['sandbox_to_client_cpu']}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
