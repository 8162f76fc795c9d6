"""Counties -> what Airflow's own database says of their runs: those that wait or are at work, the newest that
failed, and the state and tries of their tasks.

The journal knows a run from the end of its first task on, and nothing of tasks that wait for a try.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from sqlalchemy import func, or_, select, tuple_
from sqlalchemy.orm import Session

from airflow_provider_pacs.monitor.counties import dag_id_of
from airflow_provider_pacs.operators.base import retry_settings
from airflow_provider_pacs.sync.config import CountyConfig

KINDS = ("sync", "reconcile", "approval")
_ACTIVE = (DagRunState.QUEUED, DagRunState.RUNNING)
_REMEMBERED = timedelta(days=8)
"""A failed run that is older is no news: the schedule says that the county lags."""


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task of a run.

    Attributes:
        state: Airflow's word for it; None for a task that nobody looked at yet.
        attempt: the try at work, or the one that comes next.
        most_tries: how often it is tried at most.
        next_try_at: when the next try may begin; None unless it waits for one.
    """

    task_id: str
    state: str | None
    attempt: int
    most_tries: int
    since: datetime | None
    next_try_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AirflowRun:
    """A run of a county's DAG.

    Attributes:
        trigger: Airflow's run id, by which the journal's run is found.
    """

    dag_id: str
    kind: str
    trigger: str
    state: str
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    tasks: dict[str, TaskState] = field(default_factory=dict)

    @property
    def since(self) -> datetime | None:
        """Since when it is in its state."""
        return {"queued": self.queued_at, "running": self.started_at}.get(self.state, self.ended_at)

    def waiting(self) -> list[TaskState]:
        """Tasks that failed and wait for their next try."""
        return [task for task in self.tasks.values() if task.state == TaskInstanceState.UP_FOR_RETRY]

    def failed(self) -> TaskState | None:
        """The task by whose failure the run failed: the first that failed itself."""
        failed = [task for task in self.tasks.values() if task.state == TaskInstanceState.FAILED]
        return min(failed, key=lambda task: task.since or datetime.max.replace(tzinfo=UTC), default=None)


@dataclass(frozen=True, slots=True)
class CountyRuns:
    """What Airflow says of one county's runs.

    Attributes:
        active: runs that wait or are at work, oldest first.
        failed: per kind the newest run where it failed and no newer one succeeded.
    """

    active: tuple[AirflowRun, ...] = ()
    failed: tuple[AirflowRun, ...] = ()

    def failed_run(self, kind: str) -> AirflowRun | None:
        """The newest failed run of a kind that nothing came after."""
        return next((run for run in self.failed if run.kind == kind), None)


def airflow_runs(configs: Iterable[CountyConfig]) -> dict[str, CountyRuns]:
    """Look all counties up at once; those without such runs are missing."""
    known = {config.county: config for config in configs}
    dags = {dag_id_of(county, kind): (county, kind) for county in known for kind in KINDS}
    if not dags:
        return {}
    with create_session() as session:
        rows = _runs(session, list(dags))
        tasks = _tasks(session, [(row.dag_id, row.run_id) for row in rows])
        per_county: dict[str, list[AirflowRun]] = {}
        for row in rows:
            county, kind = dags[row.dag_id]
            states = {
                task.task_id: _task(task, known[county]) for task in tasks.get((row.dag_id, row.run_id), [])
            }
            per_county.setdefault(county, []).append(
                AirflowRun(
                    row.dag_id,
                    kind,
                    row.run_id,
                    str(row.state),
                    row.queued_at,
                    row.start_date,
                    row.end_date,
                    states,
                )
            )
    return {
        county: CountyRuns(
            tuple(run for run in runs if run.state in _ACTIVE),
            tuple(run for run in runs if run.state == DagRunState.FAILED),
        )
        for county, runs in per_county.items()
    }


def _runs(session: Session, dag_ids: Sequence[str]) -> Sequence[Any]:
    """Active runs, and per DAG the newest ended run where that one failed."""
    newest = (
        select(DagRun.dag_id, func.max(DagRun.run_after).label("run_after"))
        .where(DagRun.dag_id.in_(dag_ids), DagRun.run_after > datetime.now(UTC) - _REMEMBERED)
        .where(DagRun.state.in_((DagRunState.FAILED, DagRunState.SUCCESS)))
        .group_by(DagRun.dag_id)
        .subquery()
    )
    ended = select(DagRun.id).join(
        newest, (DagRun.dag_id == newest.c.dag_id) & (DagRun.run_after == newest.c.run_after)
    )
    columns = (
        DagRun.dag_id,
        DagRun.run_id,
        DagRun.state,
        DagRun.queued_at,
        DagRun.start_date,
        DagRun.end_date,
    )
    active = DagRun.state.in_(_ACTIVE)
    failed = (DagRun.state == DagRunState.FAILED) & DagRun.id.in_(ended)
    return session.execute(
        select(*columns)
        .where(DagRun.dag_id.in_(dag_ids), or_(active, failed))
        .order_by(DagRun.run_after, DagRun.id)
    ).all()


def _tasks(session: Session, runs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[TaskInstance]]:
    if not runs:
        return {}
    per_run: dict[tuple[str, str], list[TaskInstance]] = {}
    chosen = select(TaskInstance).where(tuple_(TaskInstance.dag_id, TaskInstance.run_id).in_(runs))
    for task in session.scalars(chosen):
        per_run.setdefault((task.dag_id, task.run_id), []).append(task)
    return per_run


def _task(task: TaskInstance, config: CountyConfig) -> TaskState:
    waits = task.state == TaskInstanceState.UP_FOR_RETRY
    return TaskState(
        task_id=task.task_id,
        state=str(task.state) if task.state else None,
        attempt=max(task.try_number + waits, 1),
        most_tries=max(task.max_tries + 1, task.try_number),
        since=(task.start_date if task.state == TaskInstanceState.RUNNING else task.end_date)
        or task.queued_dttm,
        next_try_at=_next_try(task, config) if waits and task.end_date else None,
    )


def _next_try(task: TaskInstance, config: CountyConfig) -> datetime | None:
    """As Airflow computes it, from the delays that every task of the county has."""
    task.task = SimpleNamespace(**retry_settings(config))  # type: ignore[assignment]
    moment: datetime = task.next_retry_datetime()  # type: ignore[no-untyped-call]
    return moment
