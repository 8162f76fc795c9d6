"""An empty folder -> a real Airflow api-server on SQLite with our DAGs in its database, an admin, an operator
and a viewer. No scheduler runs: runs and their tasks are put into the states that a test wants to look at.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_PREPARE = """
import sys
from datetime import datetime, timedelta, timezone
from airflow.utils.db import initdb
initdb()
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.utils.session import create_session
from airflow.models.dagbundle import DagBundleModel
with create_session() as session:
    session.add(DagBundleModel(name="dags-folder"))
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
sync_bag_to_db(bag, "dags-folder", None)
from airflow.models.dag import DagModel
from sqlalchemy import update
import json
from types import SimpleNamespace
from airflow.models.hitl import HITLDetail
from airflow.models.xcom import XComModel
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
now = datetime.now(timezone.utc)
for run in json.loads(sys.argv[2]):
    with create_session() as session:
        dag = SerializedDagModel.get_dag(run["dag_id"], session=session)
        made = dag.create_dagrun(
            run_id=run["run_id"], logical_date=now, run_after=now, state=DagRunState(run["state"]),
            run_type=DagRunType.from_run_id(run["run_id"]), triggered_by=DagRunTriggeredByType.TEST, session=session,
        )
        made.queued_at = now - timedelta(seconds=20)
        if run["state"] != "queued":
            made.start_date = now - timedelta(seconds=15)
        for task in made.get_task_instances(session=session):
            state, tries = run["tasks"].get(task.task_id, (None, 0))
            task.state, task.try_number, task.max_tries = state, tries, 3
            task.start_date = now - timedelta(seconds=12) if tries else None
            task.end_date = now - timedelta(seconds=2) if state in ("success", "failed", "up_for_retry") else None
            if task.task_id in run["results"]:
                XComModel.set(
                    "return_value", run["results"][task.task_id], dag_id=run["dag_id"], task_id=task.task_id,
                    run_id=run["run_id"], serialize=False, session=session,
                )
            if state == "awaiting_input":
                session.add(HITLDetail(
                    ti_id=task.id, subject="delete these rows?", options=["Approve", "Reject"], multiple=False,
                    params={}, assignees=None,
                ))
with create_session() as session:
    session.execute(update(DagModel).values(is_paused=False, next_dagrun_create_after=datetime.now(timezone.utc) + timedelta(hours=7)))
"""
PASSWORDS = {"admin": "admin-of-the-test", "op": "op-of-the-test", "viewer": "viewer-of-the-test"}


@dataclass(frozen=True)
class StagedRun:
    """A run of a DAG: its state, of its tasks the state and the number of the newest try, and what they
    returned. A task that awaits input has its question asked.
    """

    dag_id: str
    run_id: str
    state: str
    tasks: dict[str, tuple[str, int]] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Site:
    """A running Airflow."""

    url: str
    home: Path

    def token(self, user: str) -> str:
        body = json.dumps({"username": user, "password": PASSWORDS[user]}).encode()
        request = urllib.request.Request(f"{self.url}/auth/token", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(json.load(answer)["access_token"])


def environment(
    home: Path, dags: Path, counties: Path, connections: dict[str, str], port: int = 0
) -> dict[str, str]:
    """The variables of this Airflow; `connections` are URIs by id."""
    passwords = home / "passwords.json"
    home.mkdir(parents=True, exist_ok=True)
    passwords.write_text(json.dumps(PASSWORDS), "utf-8")
    values = {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__DAGS_FOLDER": dags,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,op:op,viewer:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": passwords,
        "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-this-test-only-for-this-test-only-for-this-test-0123456789",
        "AIRFLOW__API__SECRET_KEY": "only-for-this-test",
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__PACS__COUNTIES_PATH": counties,
        "NO_PROXY": "127.0.0.1,localhost",
        **{f"AIRFLOW_CONN_{name.upper()}": uri for name, uri in connections.items()},
    }
    return {**os.environ, **{name: str(value) for name, value in values.items()}}


class AirflowSite:
    """Starts on enter, is gone on leave: the server is a process group of its own."""

    def __init__(
        self,
        home: Path,
        dags: Path,
        counties: Path,
        connections: dict[str, str],
        runs: Sequence[StagedRun] = (),
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._site = Site(f"http://127.0.0.1:{self._port}", home)
        self._dags, self._runs = dags, json.dumps([asdict(run) for run in runs])
        self._environment = environment(home, dags, counties, connections, self._port)

    def __enter__(self) -> Site:
        home = self._site.home
        done = subprocess.run(
            [sys.executable, "-c", _PREPARE, str(self._dags), self._runs],
            env=self._environment,
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        command = [
            sys.executable,
            "-m",
            "airflow",
            "api-server",
            "--host",
            "127.0.0.1",
            "--port",
            str(self._port),
            "--workers",
            "1",
        ]
        self._log = (home / "api-server.log").open("wb")
        self._process = subprocess.Popen(
            command,
            env=self._environment,
            cwd=home,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self._site

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait(5)
        self._log.close()

    def _wait(self) -> None:
        until = time.monotonic() + 90
        while time.monotonic() < until:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self._site.url}/api/v2/version", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise AssertionError(
            "Airflow's api-server did not start:\n"
            + (self._site.home / "api-server.log").read_text("utf-8", "replace")[-4000:]
        )
