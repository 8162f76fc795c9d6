"""One real county through the real DAG, and through the command line without Airflow: equal to its source,
and nothing is written twice.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

import psycopg
import pytest

from airflow_provider_pacs.sandbox.site import Endpoint

ROOT = Path(__file__).parents[2]
PARTITIONS = ("property", "owner", "value_history", "structure")
KEYS = {
    "property": "property_id",
    "owner": "owner_id",
    "value_history": "value_id",
    "structure": "structure_id",
}
WITHOUT_AIRFLOW = """
import sys
class NoAirflow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "airflow":
            raise ImportError(f"there is no {name} here")
sys.meta_path.insert(0, NoAirflow())
from airflow_provider_pacs.cli import main
status = main(sys.argv[1:])
assert "airflow" not in sys.modules
sys.exit(status)
"""


@dataclass(frozen=True)
class Outcome:
    """What came of `airflow dags test`, twice, and the target between and after."""

    url: str
    logs: tuple[str, str]
    written: tuple[dict[str, str], dict[str, str]]


def bare_environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "_AIRFLOW", "PACS_", "ODBC", "SSL_CERT"))
    }
    return {**kept, "PYTHONPATH": str(ROOT)}


def run(command: list[str], environment: dict[str, str], status: int = 0) -> str:
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == status, (
        f"{command[-4:]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-6000:]}"
    )
    return done.stdout + done.stderr


def physical_rows(url: str) -> dict[str, str]:
    """Per table a digest of where every row version lies and which transaction wrote it: any write changes
    it.
    """
    with psycopg.connect(url) as connection:
        return {
            partition: connection.execute(
                "SELECT md5(string_agg(tableoid::text || ctid::text || xmin::text, ',' ORDER BY tableoid, "
                f"ctid)) FROM pacs.{partition}"
            ).fetchone()[0]  # type: ignore[index]
            for partition in PARTITIONS
        }


def data(url: str) -> dict[str, tuple[int, str]]:
    """Per table the live rows and a digest of their data columns, without what a run adds."""
    with psycopg.connect(url) as connection:
        rows = {}
        for partition, key in KEYS.items():
            names = connection.execute(
                "SELECT string_agg(quote_ident(column_name), ', ' ORDER BY column_name) FROM "
                "information_schema.columns "
                "WHERE table_schema = 'pacs' AND table_name = %s AND column_name NOT LIKE '\\_%%'",
                (partition,),
            ).fetchone()
            assert names is not None
            rows[partition] = connection.execute(
                f"SELECT count(*), md5(string_agg(ROW({names[0]})::text, ';' ORDER BY {key})) FROM "
                f"pacs.{partition} WHERE _deleted_at IS NULL"
            ).fetchone()
        return rows  # type: ignore[return-value]


def airflow_environment(home: Path, endpoint: Endpoint, target: str) -> dict[str, str]:
    """What a user sets, and the driver's settings; the deadline alerts stay on."""
    parts = urlsplit(target)
    source = {"conn_type": "pacs", "host": endpoint.host, "port": endpoint.port, "schema": endpoint.database}
    source |= {"login": endpoint.reader, "password": endpoint.reader_password, "extra": endpoint.options}
    there = {
        "conn_type": "postgres",
        "host": parse_qs(parts.query)["host"][0],
        "schema": parts.path[1:],
        "login": parts.username,
    }
    return {
        **bare_environment(),
        **endpoint.environment,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__PACS__COUNTIES_PATH": str(ROOT / "dags" / "counties"),
        "AIRFLOW_CONN_PACS_BENTON_WA": json.dumps(source),
        "AIRFLOW_CONN_TERRAFUSION": json.dumps(there),
    }


@pytest.fixture(scope="module")
def tested(sandbox_tiny: Endpoint, pg_url: str) -> Iterator[Outcome]:
    with tempfile.TemporaryDirectory(prefix="airflow-home-") as home:
        environment = airflow_environment(Path(home), sandbox_tiny, pg_url)
        airflow = [sys.executable, "-m", "airflow"]
        run([*airflow, "db", "migrate"], environment)
        first = run([*airflow, "dags", "test", "pacs_benton_wa"], environment)
        between = physical_rows(pg_url)
        second = run([*airflow, "dags", "test", "pacs_benton_wa"], environment)
        yield Outcome(pg_url, (first, second), (between, physical_rows(pg_url)))


@pytest.fixture(scope="module")
def cli_url(pg_server: str, pg_url: str) -> Iterator[str]:
    """A second database beside the DAG's."""
    name = urlsplit(pg_url).path[1:] + "_cli"
    with psycopg.connect(pg_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield urlunsplit(urlsplit(pg_server)._replace(path=f"/{name}"))
    with psycopg.connect(pg_server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_the_dag_brings_every_row_over_by_a_second_count(tested: Outcome, sandbox_folder: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "tests/integration/verify_summary.py"),
        "--sandbox",
        str(sandbox_folder),
        "--target-url",
        tested.url,
    ]
    counted = json.loads(run(command, bare_environment()))
    assert {entity: counts["source"] for entity, counts in counted.items()} == {
        "property": 200,
        "owner": 300,
        "value": 1000,
        "structure": 240,
    }


def test_the_first_run_reads_everything_and_ends_in_a_clean_full_certificate(tested: Outcome) -> None:
    with psycopg.connect(tested.url) as connection:
        runs = connection.execute(
            "SELECT run_id, state FROM pacs_ops.sync_run ORDER BY started_at"
        ).fetchall()
        modes = connection.execute(
            "SELECT DISTINCT mode FROM pacs_ops.run_entity WHERE run_id = %s", (runs[0][0],)
        ).fetchall()
        validated = connection.execute(
            "SELECT covered, state FROM pacs_ops.certificate WHERE run_id = %s", (runs[0][0],)
        ).fetchall()
    assert [state for _, state in runs] == ["succeeded", "succeeded"]
    assert modes == [("full",)]
    assert validated == [("all_rows", "clean")] * 4


def test_each_run_keeps_what_its_first_task_found(tested: Outcome) -> None:
    with psycopg.connect(tested.url) as connection:
        runs = connection.execute("SELECT run_id FROM pacs_ops.sync_run ORDER BY started_at").fetchall()
        kept = connection.execute(
            "SELECT run_id, state, report FROM pacs_ops.check_report ORDER BY check_id"
        ).fetchall()
    assert [run_id for run_id, _, _ in kept] == [run_id for (run_id,) in runs]
    for _, state, report in kept:
        assert state != "fail"
        assert report["thorough"] is False
        assert {"permissions", "schema", "changes", "target"} <= {
            finding["area"] for finding in report["findings"]
        }


def test_a_second_run_without_a_change_writes_no_row_and_says_so(tested: Outcome) -> None:
    between, after = tested.written
    assert after == between
    assert "nothing changed: no row was written" in tested.logs[1]
    assert "nothing changed" not in tested.logs[0]


def test_without_airflow_the_command_line_gives_the_same_rows(
    tested: Outcome, sandbox_tiny: Endpoint, cli_url: str
) -> None:
    words = [
        "sync",
        "benton_wa",
        "--counties",
        str(ROOT / "dags/counties"),
        "--source-url",
        sandbox_tiny.url(),
        "--target-url",
        cli_url,
    ]
    environment = {**bare_environment(), **sandbox_tiny.environment}
    said = run([sys.executable, "-c", WITHOUT_AIRFLOW, *words], environment)
    assert "Certificate (all rows): clean" in said
    assert data(cli_url) == data(tested.url)
    assert data(cli_url)["property"][0] > 190
    words[0:2] = [
        "backfill",
        "benton_wa",
        "--entity",
        "owner",
        "--from",
        "2000-01-01",
        "--to",
        "2100-01-01",
        "--json",
    ]
    answer = json.loads(run([sys.executable, "-c", WITHOUT_AIRFLOW, *words], environment).splitlines()[-1])
    read = answer["run"]["entities"]["owner"]["read"]
    assert (read, answer["run"]["changed"], answer["certificate"]["clean"]) == (300, 0, True)
    words = [
        "quarantine",
        "benton_wa",
        "--left-behind",
        "--counties",
        str(ROOT / "dags/counties"),
        "--target-url",
        cli_url,
    ]
    assert "No row is left behind by a deleted parent." in run(
        [sys.executable, "-c", WITHOUT_AIRFLOW, *words], environment
    )
