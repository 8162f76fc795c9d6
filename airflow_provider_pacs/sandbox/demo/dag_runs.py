"""A DAG run of the demo, followed to its end on the console, and a night's changes at a source."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console

from airflow_provider_pacs.sandbox.demo import run_summaries
from airflow_provider_pacs.sandbox.demo.airflow_api import RunFailed, TaskEnd, log_lines
from airflow_provider_pacs.sandbox.demo.bring_up import Running

_RUN_SECONDS, _MUTATE_SECONDS = 1800, 120
_COUNTED = (
    "read",
    "inserted",
    "updated",
    "deleted",
    "quarantined",
    "pending_deletes",
    "missing",
    "differing",
)


def run_dag(
    running: Running, console: Console, name: str, dag_id: str, params: dict[str, Any]
) -> run_summaries.DemoRun:
    """One DAG run, followed to its end.

    Raises:
        RunFailed: with a text and the run.
    """

    def show(end: TaskEnd) -> None:
        color = {"success": "green", "up_for_retry": "yellow"}.get(end.state, "red")
        said = _counts(end.outcome)
        console.print(
            f"[dim]{name:>12}[/]  [{color}]{end.state:8}[/] {end.task_id:20} {end.seconds:6.1f} s  {said}"
        )

    run = running.api.run(dag_id, f"demo__{name}", params, _RUN_SECONDS, show)
    if run.state == "success":
        return run_summaries.DemoRun(name, run)
    lines = [f"{dag_id}: the run {run.run_id} ended {run.state}."]
    for task in run.failed:
        lines.append(
            f"--- {task.task_id}: {task.state}" + (", the end of its log:" if task.state == "failed" else "")
        )
        lines.extend(log_lines(running.home, dag_id, run.run_id, task) if task.state == "failed" else [])
    raise RunFailed("\n".join(lines), run_summaries.DemoRun(name, run))


def _counts(outcome: dict[str, Any]) -> str:
    """The counts of a task in words, summed over entities where it has several."""
    parts = outcome.get("entities", {}).values() if isinstance(outcome.get("entities"), dict) else [outcome]
    sums = {name: sum(part.get(name) or 0 for part in parts if isinstance(part, dict)) for name in _COUNTED}
    return ", ".join(f"{count:,} {name.replace(chr(95), chr(32))}" for name, count in sums.items() if count)


def night_at(running: Running, console: Console, sandbox: str) -> dict[str, Any]:
    """Changes at the source, by the sandbox's own clock."""
    words = ["-m", "airflow_provider_pacs.cli", "sandbox", "mutate", "--dir", str(running.folder / sandbox)]
    running.processes.start("night", [sys.executable, *words])
    night: dict[str, Any] = json.loads(running.processes.finish("night", _MUTATE_SECONDS))
    counts = ", ".join(
        f"{count:,} {name.replace('_', ' ')}" for name, count in night.items() if isinstance(count, int)
    )
    console.print(f"[dim]{'a night':>12}[/]  {counts}")
    return night
