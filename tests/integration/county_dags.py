"""A county's file and two connections -> its DAG, run in this process by Airflow itself against a metadata
database of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DAG_FILE = (
    "from airflow_provider_pacs.dag_builder import "
    "build_county_dags\n\nglobals().update(build_county_dags())\n"
)


@dataclass(frozen=True)
class Ran:
    """A finished DAG run: per task its state and the number of its last try; `log` is everything that was
    said.
    """

    state: str
    states: dict[str, str]
    tries: dict[str, int]
    log: str


@pytest.fixture(scope="session")
def airflow_folder() -> Path:
    """Airflow's metadata database, filled once; returns Airflow's DAGs folder."""
    from airflow.utils.db import initdb

    initdb()
    folder = Path(os.environ["AIRFLOW_HOME"]) / "dags"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def county_dag(airflow_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A DAG file of the documented five lines."""
    monkeypatch.setenv(
        "AIRFLOW__PACS__DEADLINE_ALERTS", "False"
    )  # with one, `DAG.test` of Airflow 3.3.2 fails at the end of a run
    file = airflow_folder / "bad_input_counties.py"
    file.write_text(DAG_FILE, "utf-8")
    yield file
    file.unlink()


def store(monkeypatch: pytest.MonkeyPatch, conn_id: str, **fields: Any) -> None:
    """A connection as Airflow reads it from its environment."""
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))


def run_dag(
    file: Path,
    dag_id: str,
    counties: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Ran:
    """Parse the file and run one of its DAGs to the end."""
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("AIRFLOW__PACS__COUNTIES_PATH", str(counties))
    bag = DagBag(str(file), collect_dags=False)
    bag.process_file(str(file), only_if_updated=False)
    assert not bag.import_errors
    capfd.readouterr()
    run = bag.dags[dag_id].test()
    said = capfd.readouterr()
    instances = run.get_task_instances()
    return Ran(
        str(run.state),
        {instance.task_id: str(instance.state) for instance in instances},
        {instance.task_id: instance.try_number for instance in instances},
        said.out + said.err,
    )
