"""What the change log costs: every row changed at the source, `pacs sync` with it and without it, in turns.

Two counties read one sandbox into one PostgreSQL; they differ in `history: {enabled: true}` alone. Per round all rows
are changed once, and both are synchronised by commands of their own; which one comes first alternates. Judge by the
ratio of CPU seconds of one run: walls depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from measured import Run, figures, run, spread
from places import ROOT, Postgres, Sandbox, postgres, sandbox

from airflow_provider_pacs.sandbox.commands import call

WITHOUT, WITH = "without", "with"
FIPS = {WITHOUT: "53999", WITH: "53998"}
LIMIT = 1.5
"""Issue 19: a run that changes every row takes at most this many times as long with the change log."""
AN_AFTERNOON = "EXEC sandbox.clock_advance @seconds = 10800"
_WRITTEN = re.compile(
    r"property: \w+, [\d,]+ read, (?P<inserted>[\d,]+) inserted, (?P<updated>[\d,]+) updated"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write the JSON, print a line per kind."""
    parser = argparse.ArgumentParser(description="Measure what the change log costs.")
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="rows of dbo.Property (default 1,000,000)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench", help="folder for the figures")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="pacs-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "counties").mkdir()
        for kind, fips in FIPS.items():
            (folder / "counties" / f"{kind}_wa.yaml").write_text(
                f'county: {kind}_wa\nfips: "{fips}"\nsource: {{connection: pacs_bench, profile: generic}}\n'
                f"sync: {{entities: [property]}}\nhistory: {{enabled: {str(kind == WITH).lower()}}}\n",
                "utf-8",
            )
        with postgres(folder / "postgres") as pg, sandbox(folder / "sandbox", arguments.rows) as source:
            target = pg.fresh("bench_history")
            for kind in FIPS:
                _sync(kind, folder, pg, source, target, arguments.rows)
            samples: dict[str, list[Run]] = defaultdict(list)
            for number in range(arguments.rounds):
                _change_all(source, number)
                order = [WITHOUT, WITH] if number % 2 == 0 else [WITH, WITHOUT]
                for kind in order:
                    samples[kind].append(_sync(kind, folder, pg, source, target, arguments.rows))
            report = _report(arguments.rows, samples, _size(target, arguments))
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "history.json"
    file.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(
        json.dumps({name: report[name] for name in ("wall_ratio", "cpu_ratio", "postgres_cpu_ratio")}), file
    )
    return 0


def _sync(kind: str, folder: Path, pg: Postgres, source: Sandbox, target: str, rows: int) -> Run:
    """One `pacs sync`, which must write every row: a figure for less would be a lie."""
    with psycopg.connect(pg.url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    done = run(
        [sys.executable, "-m", "airflow_provider_pacs.cli", "sync", f"{kind}_wa", "--counties",
         str(folder / "counties"), "--target-url", target, "--source-url", source.endpoint.url()],
        source.environment,
        pg,
        source,
    )  # fmt: skip
    written_line = _WRITTEN.search(done.out)
    written = sum(int(count.replace(",", "")) for count in written_line.groups()) if written_line else 0
    if written < rows * 0.99:
        raise RuntimeError(f"{kind}: {written} of {rows} rows were written: {done.out}{done.errors}")
    return done


def _change_all(source: Sandbox, number: int) -> None:
    call(source.endpoint, AN_AFTERNOON)
    call(
        source.endpoint,
        f"UPDATE dbo.Property SET Acreage = COALESCE(Acreage, 0) + 0.0{number + 1}, LastModified = GETDATE()",
    )
    call(source.endpoint, AN_AFTERNOON)


def _size(target: str, arguments: argparse.Namespace) -> float:
    """Bytes of the change log, indexes included, per changed row."""
    with psycopg.connect(target, autocommit=True) as connection:
        row = connection.execute(
            "SELECT sum(pg_total_relation_size(i.inhrelid)), (SELECT count(*) FROM pacs_ops.change_log) "
            "FROM pg_inherits AS i WHERE i.inhparent = 'pacs_ops.change_log'::regclass"
        ).fetchone()
    size, entries = row or (0, 0)
    if int(entries) < arguments.rows * arguments.rounds * 0.99:
        raise RuntimeError(f"the change log holds {entries} entries")
    return round(float(size) / int(entries), 1)


def _report(rows: int, samples: dict[str, list[Run]], size: float) -> dict[str, Any]:
    pairs = list(zip(samples[WITH], samples[WITHOUT], strict=True))
    return {
        "wall_ratio": spread([a.elapsed / b.elapsed for a, b in pairs]),
        "cpu_ratio": spread([(a.client + a.postgres) / (b.client + b.postgres) for a, b in pairs]),
        "postgres_cpu_ratio": spread([a.postgres / b.postgres for a, b in pairs]),
        "limit": LIMIT,
        "rows": rows,
        "changed_per_run": rows,
        "bytes_per_change": size,
        "cpu_us_per_change": round(
            median(1e6 * (a.client + a.postgres - b.client - b.postgres) / rows for a, b in pairs), 1
        ),
        "measured": {kind: figures(runs) for kind, runs in samples.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
