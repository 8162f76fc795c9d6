"""Records of the journal -> the JSON's lines. Nothing is asked here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import quote

from airflow_provider_pacs.monitor import schedule
from airflow_provider_pacs.monitor.airflow_runs import AirflowRun, CountyRuns
from airflow_provider_pacs.monitor.counties import DagState, dag_id_of
from airflow_provider_pacs.monitor.models import Activity, CertificateSummary, CountyLine, RunLine, TargetLine
from airflow_provider_pacs.monitor.models_county import (
    CertificateGroup,
    CertificateLine,
    CheckReport,
    ControlTotal,
    EntityLine,
    ErrorGroup,
    FailureLine,
    extended,
)
from airflow_provider_pacs.monitor.models_flow import FlowStep
from airflow_provider_pacs.monitor.status import (
    NO_RUNS,
    awaits_decision,
    decide_state,
    is_running,
    is_tried_again,
)
from airflow_provider_pacs.monitor.targets import Asked
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.records import worst_state
from airflow_provider_pacs.sync.target.postgres.read_records import (
    FAILED_STATES,
    CertificateRow,
    CheckRow,
    CountyStanding,
    EntityRow,
    FailureRow,
    RefusedRun,
    RunRow,
)

_CLASSES: dict[str, tuple[str, str, str]] = {
    "PACS-001": (
        "Retryable",
        "Time-out or lost connection",
        "Airflow tries again by itself. If it stays, check the network and the server's load.",
    ),
    "PACS-002": (
        "Configuration",
        "The login was refused",
        "Check login, password and grants of the connection.",
    ),
    "PACS-003": (
        "Configuration",
        "The source's tables are not as mapped",
        "Compare the county file's `tables` with the source.",
    ),
    "PACS-004": (
        "Data",
        "The data breaks a blocking rule",
        "Correct the rows at the source, then run again. The last good data stays.",
    ),
    "PACS-005": (
        "Retryable",
        "The job ran out of time",
        "Airflow tries again by itself. If it stays, raise timeout_minutes.",
    ),
    "PACS-006": ("Configuration", "A setting must be changed", "Correct the setting that the message names."),
    "PACS-007": ("Conflict", "A later run owns the county", "Nothing was written; the later run carries on."),
    "PACS-008": (
        "Retryable",
        "Another run of the county is at work",
        "Nothing was read; try again when the other run has ended.",
    ),
    "PACS-011": (
        "Conflict",
        "The county is on hold",
        "Nothing was published. `pacs resume` lifts the hold when its reason is gone.",
    ),
    "PACS-009": (
        "Retryable",
        "The source's change feed stands still",
        "Have SQL Server Agent and its capture job run; nothing is lost meanwhile.",
    ),
    "PACS-010": (
        "Fatal",
        "Trying again would fail again",
        "Read the task's log; the message names what broke.",
    ),
}
_STEPS = {
    "planned": "waits for its turn",
    "extracting": "is read",
    "staged": "waits for validation",
    "passed": "waits for publish",
    "published": "done",
    "blocked": "keeps its last good data",
    "failed": "failed",
}
_TASKS = {"plan": "preflight", "approve": "apply", "reject": "apply"}


def target_line(asked: Asked, counties: int) -> TargetLine:
    """Say whether a target answered."""
    error = asked.error
    return TargetLine(
        connection=asked.connection,
        ok=error is None,
        counties=counties,
        seconds=round(asked.seconds, 3),
        message=error.message if error else "",
        remedy=error.remedy if error else "",
    )


def county_line(
    config: CountyConfig,
    dag: DagState | None,
    standing: CountyStanding | None,
    asked: Asked,
    now: datetime,
    runs: CountyRuns = NO_RUNS,
) -> CountyLine:
    """Make one county's line.

    A county whose target is down is `unknown`; what Airflow knows of it is said all the same.
    """
    sync, patience = config.sync, timedelta(minutes=config.sync.timeout_minutes)
    due = schedule.due_since(sync.cron, config.timezone, now, patience)
    line = CountyLine(
        county=config.county,
        name=config.name,
        fips=config.fips,
        dag_id=dag_id_of(config.county),
        target=config.target.connection,
        state="unknown",
        paused=dag.paused if dag else False,
        cron=sync.cron,
        timezone=config.timezone,
        due_since=due,
        next_run_at=None
        if dag and dag.paused
        else (dag.next_run_at if dag else None) or schedule.next_fire(sync.cron, config.timezone, now),
    )
    line.activities = activities(config.county, standing, runs)
    line.running = is_running(standing, now, patience, runs)
    if asked.error is not None:
        line.cause = f"The target {asked.connection} does not answer: {asked.error.message}"
        if any(run.kind != "approval" for run in runs.failed):
            line.cause += " Its newest run failed in Airflow."
        return line
    line.state, line.cause = decide_state(standing, due, now, patience, runs)
    if dag is not None and dag.missing:
        line.state, line.cause = (
            "broken",
            f"Airflow has no DAG {line.dag_id}: its import errors say why, or it has not read the file yet.",
        )
    if standing is None:
        return line
    facts, refused, states = standing.facts, standing.newest_refused, standing.recent()
    line.fresh_since = facts.good_started_at
    if refused is not None:
        line.last_run = refused_line(refused, config.county)
    elif standing.run is not None:
        line.last_run = run_line(standing.run, config.county)
    line.recent_runs, line.trend = len(states), facts.recent_rows[::-1]
    line.error_rate = sum(state in FAILED_STATES for state in states) / len(states) if states else None
    line.quarantined, line.pending_rows = facts.quarantined_open, facts.pending_rows
    line.rules, line.rules_broken, line.rules_warned = facts.rules, facts.rules_broken, facts.rules_warned
    if facts.certificate_state and facts.certificate_covered and facts.certified_at:
        line.certificate = CertificateSummary(
            run_id=str(facts.certificate_run_id),
            issued_at=facts.certified_at,
            covered=facts.certificate_covered,
            state=facts.certificate_state,
        )
    return line


def broken_line(county: str, cause: str) -> CountyLine:
    """Make the line of a county whose file can't be used."""
    return CountyLine(county=county, name=county, dag_id=dag_id_of(county), state="broken", cause=cause)


def activities(county: str, standing: CountyStanding | None, runs: CountyRuns) -> list[Activity]:
    """Runs that wait or are at work, as Airflow knows them, oldest first."""
    known = {row.trigger for row in (standing.run, standing.other) if row} if standing else set()
    return [activity(county, run, is_new=run.trigger not in known) for run in runs.active]


def activity(county: str, run: AirflowRun, *, is_new: bool) -> Activity:
    """One of them: the task that it is at, and its tries."""
    waiting = run.waiting()
    at_work = [task for task in run.tasks.values() if task.state == "running"]
    queued = [task for task in run.tasks.values() if task.state in ("queued", "scheduled")]
    asks = awaits_decision(run)
    task = next(iter(waiting or at_work or queued), None) if run.state != "queued" else None
    step = "waits for a decision" if asks else task.task_id if task else run.state
    tries = task is not None and (bool(waiting) or task.attempt > 1)
    return Activity(
        kind=run.kind,
        state=run.state,
        step=step,
        since=run.since,
        attempt=task.attempt if task and tries else None,
        most_tries=task.most_tries if task and tries else None,
        next_try_at=task.next_try_at if task and waiting else None,
        is_new=is_new,
        awaits_decision=asks,
        airflow_path=airflow_path(county, run.kind, run.trigger) or "",
    )


def run_line(row: RunRow, county: str) -> RunLine:
    """Make one run's line."""
    ended = row.finished_at
    return RunLine(
        run_id=str(row.run_id),
        kind=row.kind,
        state=row.state,
        trigger=row.trigger,
        message=row.messages or row.message,
        started_at=row.started_at,
        finished_at=ended,
        seconds=(ended - row.started_at).total_seconds() if ended else None,
        entities=row.entities,
        entities_blocked=row.entities_blocked,
        rows_read=row.rows_read,
        rows_written=row.rows_inserted + row.rows_updated + row.rows_deleted,
        rows_deleted=row.rows_deleted,
        rows_quarantined=row.rows_quarantined,
        rows_pending=row.rows_pending,
        rows_per_second=row.rows_read / row.read_seconds if row.read_seconds > 0 else None,
        airflow_path=airflow_path(county, row.kind, row.trigger),
    )


def refused_line(refused: RefusedRun, county: str) -> RunLine:
    """Make the line of a run that ended in its plan (case F11)."""
    return RunLine(
        kind=refused.kind,
        state="failed",
        trigger=refused.trigger,
        message=f"preflight: {refused.message}",
        started_at=refused.at,
        finished_at=refused.at,
        airflow_path=airflow_path(county, refused.kind, refused.trigger, "preflight"),
    )


def airflow_path(county: str, kind: str, trigger: str | None, task: str | None = None) -> str | None:
    """Where Airflow shows a run or a task's log; None for a run that Airflow did not start."""
    if not trigger or trigger == "cli":
        return None
    run = f"/dags/{dag_id_of(county, kind)}/runs/{quote(trigger, safe='')}"
    return f"{run}/tasks/{task}" if task else run


def entity_line(
    row: EntityRow,
    config: CountyConfig,
    run: RunRow,
    expected: int | None,
    failures: Sequence[FailureRow],
    steps: list[FlowStep],
) -> EntityLine:
    """Make one entity's line. Its task's log is that of the step it stands at.

    Args:
        row: the entity as the run has it.
        config: the county.
        run: the run.
        expected: rows that a full read will bring.
        failures: what failed in the run, newest first.
        steps: the state of its steps.
    """
    own = [failure for failure in failures if failure.entity == row.entity]
    again = next((failure for failure in own if is_tried_again(failure, run)), None)
    reads = row.state in ("planned", "extracting") or (row.state == "failed" and not row.rows_staged)
    task = f"{'extract' if reads else 'validate'}_{row.entity}"
    if run.kind == "approval":
        task = "apply"
    step = _STEPS[row.state]
    if row.state == "extracting" and run.finished_at is not None:
        step = "did not finish"
    if again is not None and row.state != "extracting":
        step = "failed, waits for its next try"
    return extended(
        EntityLine,
        row,
        step=step,
        expected=max(expected, row.rows_read) if expected and row.mode == "full" else None,
        rows_per_second=row.rows_read / row.extract_seconds if row.extract_seconds > 0 else None,
        failed_tries=len(own),
        last_failure=again.message if again else "",
        most_tries=config.sync.retries + 1,
        steps=steps,
        airflow_path=airflow_path(config.county, run.kind, run.trigger, task),
    )


def failure_line(row: FailureRow, county: str) -> FailureLine:
    """Make one failure: what it means and what to do, from the error itself or else from its code."""
    code = row.code or "PACS-010"
    error_class, meaning, remedy = _CLASSES.get(code, _CLASSES["PACS-010"])
    kind = row.kind or "sync"
    known = replace(
        row,
        step=_TASKS.get(row.step, row.step) or "run",
        code=code,
        error_class=error_class,
        remedy=row.remedy or remedy,
    )
    path = airflow_path(county, kind, row.trigger, known.step if row.step else None)
    if path is None and row.trigger != "cli":
        path = f"/dags/{dag_id_of(county, kind)}/runs?state=failed"
    return extended(FailureLine, known, meaning=meaning, airflow_path=path)


def check_report(row: CheckRow, county: str) -> CheckReport:
    """Make the report of a look at both ends from its row."""
    return CheckReport(
        checked_at=row.checked_at,
        state=row.state,
        run_id=str(row.run_id) if row.run_id else None,
        airflow_path=airflow_path(county, "sync", row.trigger, "preflight"),
        counts=dict(Counter(finding.state for finding in row.findings)),
        findings=row.findings,
    )


def certificate_groups(rows: Sequence[CertificateRow]) -> list[CertificateGroup]:
    """Group the entities of certificates, newest first, by run, parents first."""
    groups: dict[str, list[CertificateRow]] = {}
    for row in rows:
        groups.setdefault(str(row.run_id), []).append(row)
    return [_certificate(run_id, some[::-1]) for run_id, some in groups.items()]


def _certificate(run_id: str, rows: Sequence[CertificateRow]) -> CertificateGroup:
    first, kinds = rows[0], {row.covered for row in rows}
    return CertificateGroup(
        run_id=run_id,
        kind=first.kind,
        state=worst_state(tuple(row.state for row in rows)),
        covered=next((kind for kind in ("keys", "window") if kind in kinds), "all_rows"),
        issued_at=max(row.issued_at for row in rows),
        source_now=first.source_now,
        code_version=first.code_version,
        mapping_version=first.mapping_version,
        audit_head=first.audit_head,
        entities=[
            extended(CertificateLine, row, control=_control(row), drift_rows=row.drift) for row in rows
        ],
    )


def _control(row: CertificateRow) -> list[ControlTotal]:
    source, target = row.source_control or {}, row.target_control or {}
    return [
        ControlTotal(
            group=group,
            column=column,
            source=source.get(group, {}).get(column),
            target=target.get(group, {}).get(column),
        )
        for group in sorted({*source, *target})
        for column in sorted({*source.get(group, {}), *target.get(group, {})})
    ]


def by_class(failures: Sequence[FailureLine]) -> list[ErrorGroup]:
    """Group failures, newest first, by code."""
    groups: dict[str, list[FailureLine]] = {}
    for failure in failures:
        groups.setdefault(failure.code, []).append(failure)
    return [
        ErrorGroup(
            code=code,
            error_class=some[0].error_class,
            meaning=some[0].meaning,
            remedy=some[0].remedy,
            count=len(some),
            newest=some[0],
        )
        for code, some in groups.items()
    ]
