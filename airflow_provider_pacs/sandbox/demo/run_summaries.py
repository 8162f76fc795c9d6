"""Reads what schema pacs_ops says of the demo's runs, for `summary.json` and the table at the end.

`summary.json`, version 2:

    version      of this layout; a key that changes its meaning raises it ok           every DAG run succeeded
    and the last certificate is clean clean        the last certificate is clean county_id    FIPS code; size,
    profile: of the sandbox PACS started_at   UTC seconds      setup (until Airflow was healthy), total night
    what changed at the source between the runs `full` and `incremental`, as the sandbox counted it runs
    in order, each: run (full, incremental, reconcile), dag_id, dag_run_id, airflow_state, seconds
                 (wall, in Airflow), run_id (in pacs_ops), kind (sync, reconcile), state, message, entities
    entities     parents first, each: entity, mode (full, window, keys), strategy, state, read, inserted,
    updated,
                 deleted, quarantined, released, pending_deletes, seconds (reading and staging),
                 rows_per_second, rules (evaluated), failed_rules (ids, any severity), certificate (null where
                 none)
    certificate  covered (all_rows, window, keys), state (clean, pending, blocked, drift), and rows at the
    moment of
                 the comparison: source_rows = equal + quarantined + waiting + newer + missing + differing,
                 target_rows = equal + kept + pending_deletes + extra_in_target + differing
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row
from rich import box
from rich.table import Table

from airflow_provider_pacs.sandbox.demo.airflow_api import DagRun

VERSION = 2
_CERTIFIED = (
    "covered",
    "state",
    "source_rows",
    "target_rows",
    "equal_rows",
    "quarantined_rows",
    "waiting_rows",
    "newer_rows",
    "kept_rows",
    "pending_deletes",
    "missing",
    "differing",
    "extra_in_target",
)
_ENTITIES = """
SELECT e.entity, e.mode, e.strategy, e.state, e.rows_read AS read, e.rows_inserted AS inserted, e.rows_updated AS updated, e.rows_deleted AS deleted,
  e.rows_quarantined AS quarantined, e.rows_released AS released, e.rows_pending AS pending_deletes, round(e.extract_seconds::numeric, 3)::float8 AS seconds,
  CASE WHEN e.extract_seconds > 0 THEN round((e.rows_read / e.extract_seconds)::numeric)::bigint ELSE 0 END AS rows_per_second,
  (SELECT count(*) FROM pacs_ops.quality_result AS q WHERE q.run_id = e.run_id AND q.entity = e.entity) AS rules,
  ARRAY(SELECT q.rule_id FROM pacs_ops.quality_result AS q WHERE q.run_id = e.run_id AND q.entity = e.entity AND NOT q.success ORDER BY q.rule_id)
    AS failed_rules
FROM pacs_ops.run_entity AS e WHERE e.run_id = %s ORDER BY e.position"""
_RUN = (
    "SELECT run_id::text, county_id, kind, state, message FROM pacs_ops.sync_run WHERE trigger = %s "
    "ORDER BY started_at DESC LIMIT 1"
)
_CERTIFICATES = "SELECT * FROM pacs_ops.certificate WHERE run_id = %s ORDER BY certificate_id"


@dataclass(frozen=True, slots=True)
class DemoRun:
    """One DAG run of the demo under the name that people see."""

    name: str
    dag_run: DagRun


def read_runs(url: str, runs: Sequence[DemoRun]) -> list[dict[str, Any]]:
    """What pacs_ops holds of each run, as the `runs` of summary.json.

    A run that never got as far as a plan has no entities.
    """
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return [_run(connection, run) for run in runs]


def read_report(url: str, name: str) -> list[dict[str, Any]]:
    """A view of `pacs_report` in its order: counties by code, years upwards."""
    with psycopg.connect(url, row_factory=dict_row, options="-c timezone=UTC") as connection:
        view = psycopg.sql.Identifier("pacs_report", name)
        return connection.execute(
            psycopg.sql.SQL("SELECT * FROM {} ORDER BY county_id, assessment_year").format(view)
        ).fetchall()


def quarantined_values(url: str) -> dict[str, list[str]]:
    """The keys of values that a rule has set aside, by county."""
    keys: dict[str, list[str]] = {}
    with psycopg.connect(url) as connection:
        for county, key in connection.execute(
            "SELECT c.county, q.source_key FROM pacs_ops.quarantine AS q JOIN pacs_ops.county AS c USING (county_id) "
            "WHERE q.entity = 'value' AND q.state = 'open' ORDER BY 1, 2"
        ).fetchall():
            keys.setdefault(county, []).append(key)
    return keys


def _run(connection: psycopg.Connection[dict[str, Any]], run: DemoRun) -> dict[str, Any]:
    airflow = run.dag_run
    demo_fields: dict[str, Any] = {
        "run": run.name,
        "dag_id": airflow.dag_id,
        "dag_run_id": airflow.run_id,
        "airflow_state": airflow.state,
        "seconds": round(airflow.seconds, 1),
    }
    recorded = connection.execute(_RUN, (airflow.run_id,)).fetchone()
    if recorded is None:
        return {
            **demo_fields,
            "run_id": None,
            "county_id": None,
            "kind": None,
            "state": None,
            "message": "",
            "entities": [],
        }
    run_id = recorded["run_id"]
    certificates = {
        row["entity"]: {name: row[name] for name in _CERTIFIED}
        for row in connection.execute(_CERTIFICATES, (run_id,)).fetchall()
    }
    entities = [
        {**row, "certificate": certificates.get(row["entity"])}
        for row in connection.execute(_ENTITIES, (run_id,)).fetchall()
    ]
    return {**demo_fields, **recorded, "entities": entities}


def is_clean(run: dict[str, Any]) -> bool:
    """Whether every entity of a run was certified clean."""
    return bool(run["entities"]) and all(
        entity["certificate"] is not None and entity["certificate"]["state"] == "clean"
        for entity in run["entities"]
    )


def table_of(runs: Sequence[dict[str, Any]]) -> Table:
    """The one table at the end."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for title in ("run", "entity", "mode"):
        table.add_column(title, no_wrap=True)
    for title in ("read", "inserted", "updated", "deleted", "quarantined", "rows/s"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("quality", min_width=24)
    table.add_column("certificate", no_wrap=True)
    for run in runs:
        for number, entity in enumerate(run["entities"]):
            counts = [
                f"{entity[name]:,}"
                for name in ("read", "inserted", "updated", "deleted", "quarantined", "rows_per_second")
            ]
            last = number == len(run["entities"]) - 1
            first = "" if number else run["run"]
            table.add_row(
                first,
                entity["entity"],
                _mode(entity),
                *counts,
                _quality(entity),
                _certificate(entity["certificate"]),
                end_section=last,
            )
    return table


def _mode(entity: dict[str, Any]) -> str:
    return "full" if entity["mode"] == "full" else str(entity["strategy"])


def _quality(entity: dict[str, Any]) -> str:
    return ", ".join(entity["failed_rules"]) or "ok"


def _certificate(certificate: dict[str, Any] | None) -> str:
    if certificate is None:
        return "none"
    if certificate["state"] == "pending":
        return f"pending {certificate['pending_deletes']:,}"
    if certificate["state"] == "drift":
        return f"drift {certificate['missing'] + certificate['differing'] + certificate['extra_in_target']:,}"
    covered = str(certificate["covered"]).replace("_", " ")
    return f"{certificate['state']} ({covered})"
