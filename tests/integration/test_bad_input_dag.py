"""The same wrong counties through their DAG: the task that meets it fails at once, or is tried again where
that can help; nothing is published.
"""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from bad_counties import (
    FILES,
    NO_ROWS,
    ODD_NAMES,
    REFUSED,
    Bad,
    Source,
    World,
    guard_role,
    published,
    write_county,
)
from bad_counties import trusting as trusting
from bad_counties import without_waiting as without_waiting
from bad_counties import world as world
from county_dags import airflow_folder as airflow_folder
from county_dags import county_dag as county_dag
from county_dags import run_dag, store

from airflow_provider_pacs.dag_builder import build_county_dags

pytestmark = pytest.mark.usefixtures("trusting", "without_waiting")
ROOT = Path(__file__).parents[2]
DAG_ID = "pacs_benton_wa"
QUICK = {"retries": 1, "retry_delay_seconds": 0}


@pytest.fixture
def target(pg_url: str) -> dict[str, str]:
    guard_role(pg_url)
    return {key: str(value) for key, value in psycopg.conninfo.conninfo_to_dict(pg_url).items() if value}


def connect(monkeypatch: pytest.MonkeyPatch, source: Source, target: dict[str, str]) -> None:
    """Store the county's two connections."""
    place = {
        "host": source.host,
        "port": source.port,
        "schema": source.database,
        "login": source.user,
        "password": source.password,
    }
    store(monkeypatch, DAG_ID, conn_type="pacs", extra=source.options, **place)
    names = {"host": "host", "port": "port", "dbname": "schema", "user": "login", "password": "password"}
    store(
        monkeypatch,
        "terrafusion",
        conn_type="postgres",
        **{names[key]: int(value) if key == "port" else value for key, value in target.items()},
    )


@pytest.mark.parametrize("bad", [bad for bad in REFUSED if bad.code != "PACS-004"], ids=str)
def test_the_preflight_fails_for_good_or_asks_to_be_tried_again(
    bad: Bad,
    world: World,
    target: dict[str, str],
    pg_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect(monkeypatch, bad.source(world), target | bad.target)
    write_county(tmp_path, bad.settings)
    preflight = build_county_dags(tmp_path)[DAG_ID].get_task("preflight")
    preflight.mode = "auto"
    with pytest.raises(AirflowException) as caught:
        preflight.execute({"run_id": "manual__1"})
    assert isinstance(caught.value, AirflowFailException) is not bad.retried
    line = str(caught.value)
    assert line.startswith(f"{bad.code}: ")
    assert "\n" not in line
    assert all(word in line for word in (*bad.words, "Remedy: ")), line
    assert published(pg_url) == 0


WHOLE = [
    bad for bad in REFUSED if bad.name in ("wrong password", "text that is no number", "unreachable target")
]


@pytest.mark.parametrize("bad", WHOLE, ids=str)
def test_the_task_that_meets_it_fails_and_nothing_is_published(
    bad: Bad,
    world: World,
    target: dict[str, str],
    pg_url: str,
    tmp_path: Path,
    county_dag: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    connect(monkeypatch, bad.source(world), target | bad.target)
    ran = run_dag(county_dag, DAG_ID, write_county(tmp_path, bad.settings, **QUICK), monkeypatch, capfd)
    first = next(
        task
        for task in ("preflight", "extract_property", "validate_property")
        if ran.states[task] == "failed"
    )
    assert first == ("validate_property" if bad.code == "PACS-004" else "preflight")
    assert (ran.state, ran.tries[first]) == ("failed", 2 if bad.retried else 1)
    if not bad.retried:
        assert "AirflowFailException" in ran.log
    line = next(line for line in ran.log.splitlines() if f"{bad.code}: " in line and "Remedy: " in line)
    assert all(word in line for word in bad.words), line
    assert published(pg_url) == 0


@pytest.mark.parametrize("bad", FILES, ids=str)
def test_a_wrong_county_file_is_an_import_error_and_makes_no_dag(
    bad: Bad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "AIRFLOW__PACS__COUNTIES_PATH",
        str(write_county(tmp_path, bad.settings, twice=bad.name == "duplicate county")),
    )
    bag = DagBag(str(ROOT / "dags"), collect_dags=False)
    for name in ("pacs_counties.py", "pacs_county_errors.py"):
        bag.process_file(str(ROOT / "dags" / name), only_if_updated=False)
    assert not bag.dags
    ((where, banner),) = bag.import_errors.items()
    assert Path(where).name == "pacs_county_errors.py"
    words = [word for word in bad.words if word != "Keep one of them"]
    assert all(word in banner for word in (*words, "Remedy: ")), banner


def test_odd_names_work_by_one_yaml_and_a_source_without_rows_deletes_nothing(
    world: World,
    target: dict[str, str],
    pg_url: str,
    tmp_path: Path,
    county_dag: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    connect(monkeypatch, world.source, target)
    ran = run_dag(county_dag, DAG_ID, write_county(tmp_path / "odd", ODD_NAMES), monkeypatch, capfd)
    assert (ran.state, set(ran.states.values())) == ("success", {"success"})
    assert published(pg_url) == 199

    ran = run_dag(county_dag, DAG_ID, write_county(tmp_path / "empty", NO_ROWS), monkeypatch, capfd)
    assert (ran.state, set(ran.states.values())) == ("success", {"success"})
    assert "property 199 rows stay" in caplog.text
    assert "pacs approve benton_wa" in caplog.text
    with psycopg.connect(pg_url) as connection:
        assert connection.execute(
            "SELECT count(*) FROM pacs.property WHERE _deleted_at IS NULL"
        ).fetchone() == (199,)
        assert connection.execute(
            "SELECT state FROM pacs_ops.sync_run ORDER BY started_at DESC LIMIT 1"
        ).fetchone() == ("pending",)
