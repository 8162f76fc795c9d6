"""Airflow's REST API as the demo needs it: is all well, start a run, how far are its tasks, what did they
say.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

_REQUEST_SECONDS, _POLL_SECONDS = 30, 0.3
_DONE = frozenset({"success", "failed", "upstream_failed", "skipped", "removed"})


class RunFailed(Exception):
    """A DAG run ended otherwise than in success; the text names the tasks."""


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """One task that has come to its end, or to the end of a try.

    Attributes:
        outcome: what the task returned (counts and states), where it did.
    """

    task_id: str
    state: str
    try_number: int
    seconds: float
    outcome: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DagRun:
    """A DAG run that has ended."""

    dag_id: str
    run_id: str
    state: str
    seconds: float
    failed: tuple[TaskEnd, ...]


class AirflowApi:
    """A client for one Airflow on this machine.

    Args:
        address: `http://127.0.0.1:<port>`.
        check: called between requests while something is awaited; raises where there is no point in waiting
            on.
    """

    def __init__(self, address: str, check: Callable[[], None]) -> None:
        self.address = address
        self._check = check
        self._token = ""
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def wait_until_healthy(self, dag_ids: tuple[str, ...], seconds: float) -> None:
        """Wait until all four components report in and the DAGs are known.

        Raises:
            TimeoutError: not in time.
        """

        def ready() -> bool:
            parts = self._get("/api/v2/monitor/health")
            if any(part.get("status") != "healthy" for part in parts.values()):
                return False
            self._token = self._get("/auth/token")["access_token"]
            return all(self._known(dag_id) for dag_id in dag_ids)

        self._wait(ready, seconds, "Airflow is not healthy")

    def unpause(self, dag_id: str) -> None:
        """Let a DAG run."""
        self._call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})

    def run(
        self,
        dag_id: str,
        run_id: str,
        params: dict[str, Any],
        seconds: float,
        on_task_end: Callable[[TaskEnd], None],
    ) -> DagRun:
        """Start a run and follow it to its end; `on_task_end` receives every task as it ends.

        Raises:
            TimeoutError: it did not end in time.
        """
        path = f"/api/v2/dags/{dag_id}/dagRuns"
        self._call("POST", path, {"dag_run_id": run_id, "logical_date": None, "conf": params})
        path = f"{path}/{quote(run_id)}"
        ends: dict[str, TaskEnd] = {}
        last: dict[str, Any] = {}

        def ended() -> bool:
            last.update(self._get(path))
            for task in sorted(
                self._get(f"{path}/taskInstances")["task_instances"], key=lambda task: task["end_date"] or ""
            ):
                before = ends.get(task["task_id"])
                if (task["state"] in _DONE or task["state"] == "up_for_retry") and (
                    not before or _mark(before) != (task["state"], task["try_number"])
                ):
                    ends[task["task_id"]] = end = self._end(path, task)
                    on_task_end(end)
            return last["state"] in {"success", "failed"}

        started = time.monotonic()
        self._wait(ended, seconds, f"{dag_id} has not ended")
        failed = tuple(end for end in ends.values() if end.state in {"failed", "upstream_failed"})
        return DagRun(
            dag_id, run_id, last["state"], float(last.get("duration") or time.monotonic() - started), failed
        )

    def _end(self, path: str, task: dict[str, Any]) -> TaskEnd:
        outcome: Any = {}
        if task["state"] == "success":
            try:
                outcome = self._get(
                    f"{path}/taskInstances/{task['task_id']}/xcomEntries/return_value?deserialize=false"
                )["value"]
            except urllib.error.HTTPError as error:
                if error.code != 404:  # a task may return nothing
                    raise
        if isinstance(outcome, str):
            outcome = json.loads(outcome)
        return TaskEnd(
            task["task_id"],
            task["state"],
            task["try_number"],
            float(task["duration"] or 0),
            outcome if isinstance(outcome, dict) else {},
        )

    def _known(self, dag_id: str) -> bool:
        try:
            self._get(f"/api/v2/dags/{dag_id}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise
        return True

    def _wait(self, done: Callable[[], bool], seconds: float, complaint: str) -> None:
        """Ask until it is so. The server may not listen yet, or be busy: only time ends that."""
        end = time.monotonic() + seconds
        problem: OSError | None = None
        while time.monotonic() < end:
            self._check()
            try:
                if done():
                    return
                problem = None
            except OSError as error:  # urllib's errors are OSErrors
                if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                    raise
                problem = error
            time.sleep(_POLL_SECONDS)
        raise TimeoutError(f"{complaint} after {seconds:.0f} s" + (f" ({problem})" if problem else ""))

    def _get(self, path: str) -> dict[str, Any]:
        return self._call("GET", path)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(
            self.address + path, None if body is None else json.dumps(body).encode(), headers, method=method
        )
        with self._opener.open(request, timeout=_REQUEST_SECONDS) as answer:
            result: dict[str, Any] = json.load(answer)
            return result


def _mark(end: TaskEnd) -> tuple[str, int]:
    return end.state, end.try_number


def log_lines(home: Path, dag_id: str, run_id: str, task: TaskEnd, lines: int = 25) -> list[str]:
    """The end of a task's log, from disk, as people read it."""
    folder = home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task.task_id}"
    files = sorted(folder.glob("attempt=*.log"), key=lambda file: file.stat().st_mtime)
    if not files:
        return [f"no log in {folder}"]
    readable: list[str] = []
    for line in files[-1].read_text("utf-8", "replace").splitlines():
        readable.extend(_readable(line))
    return [*readable[-lines:], f"(whole log: {files[-1]})"]


def _readable(line: str) -> list[str]:
    try:
        record = json.loads(line)
    except ValueError:
        return [line]
    if not isinstance(record, dict):
        return [line]
    readable = [f"{record.get('level', '')}: {record.get('event', '')}"]
    for error in record.get("error_detail") or ():
        readable.append(f"  {error.get('exc_type')}: {error.get('exc_value')}")
    return readable
