"""Rows of the journal come in; the JSON's lines go out. Nothing is asked here."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from airflow_provider_pacs.monitor import schedule
from airflow_provider_pacs.monitor.counties import DagState, dag_id_of
from airflow_provider_pacs.monitor.models import CountyLine, RunLine, TargetLine, Verdict
from airflow_provider_pacs.monitor.models_county import (
    CheckFinding,
    CheckReport,
    EntityLine,
    ErrorGroup,
    Failure,
)
from airflow_provider_pacs.monitor.status import is_running, judge
from airflow_provider_pacs.monitor.targets import Asked
from airflow_provider_pacs.sync.config import CountyConfig

Row = dict[str, Any]
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
    "PACS-010": (
        "Fatal",
        "Trying again would fail again",
        "Read the task's log; the message names what broke.",
    ),
}
_STEPS = {
    "planned": "read",
    "staged": "check",
    "passed": "publish",
    "published": "done",
    "blocked": "kept back",
    "failed": "failed",
}


def target_line(asked: Asked, counties: int) -> TargetLine:
    """Say whether a target answered."""
    error = asked.error
    told = {"message": error.message, "remedy": error.remedy} if error else {}
    return TargetLine(
        connection=asked.connection,
        ok=error is None,
        counties=counties,
        seconds=round(asked.seconds, 3),
        **told,
    )


def county_line(
    config: CountyConfig, dag: DagState | None, row: Row | None, asked: Asked, now: datetime
) -> CountyLine:
    """Make one county's line; a county whose target is down is `unknown`."""
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
    if asked.error is not None:
        line.cause = f"The target {asked.connection} does not answer: {asked.error.message}"
        return line
    line.state, line.cause = judge(row, due, now, patience)
    if row is None:
        return line
    line.running = is_running(row, now, patience)
    line.fresh_since = row["good_started_at"]
    line.last_run = None if row["run_id"] is None else run_line(row, config.county)
    line.recent_runs, line.trend = row["recent_runs"], row["trend"] or []
    line.error_rate = row["recent_failed"] / row["recent_runs"] if row["recent_runs"] else None
    line.quarantined, line.held_rows = row["quarantined_open"], row["held_rows"]
    line.rules, line.rules_broken, line.rules_warned = (
        row["rules"] or 0,
        row["broken"] or 0,
        row["warned"] or 0,
    )
    if row["certified_at"] is not None:
        line.certificate = Verdict(
            issued_at=row["certified_at"], scope=row["certificate_scope"], clean=row["certificate_clean"]
        )
    return line


def run_line(row: Row, county: str) -> RunLine:
    """Make one run's line."""
    kind, ended = row.get("kind", "sync"), row["finished_at"]
    return RunLine(
        run_id=str(row["run_id"]),
        kind=kind,
        state=row["state"],
        trigger=row["trigger"],
        message=row["message"] or row.get("messages") or "",
        started_at=row["started_at"],
        finished_at=ended,
        seconds=(ended - row["started_at"]).total_seconds() if ended else None,
        entities=row["entities"],
        held_back=row["entities_held_back"],
        rows_read=row["rows_read"],
        rows_written=row["rows_inserted"] + row["rows_updated"] + row["rows_deleted"],
        rows_deleted=row["rows_deleted"],
        rows_quarantined=row["rows_quarantined"],
        rows_per_second=row["rows_read"] / row["read_seconds"] if row["read_seconds"] > 0 else None,
        airflow_path=airflow_path(county, kind, row["trigger"]),
    )


def airflow_path(county: str, kind: str, trigger: str | None, task: str | None = None) -> str | None:
    """Where Airflow shows a run or a task's log; None for a run that Airflow did not start."""
    if not trigger or trigger == "cli":
        return None
    run = f"/dags/{dag_id_of(county, kind)}/runs/{quote(trigger, safe='')}"
    return f"{run}/tasks/{task}" if task else run


def entity_line(row: Row, county: str, run: RunLine, expected: int | None) -> EntityLine:
    """Make one entity's line. Its task's log is that of the step it stands at."""
    state, seconds = str(row["state"]), row["extract_seconds"]
    task = f"{'extract' if state == 'planned' or 'extract' in row['message'] else 'validate'}_{row['entity']}"
    return EntityLine(
        entity=row["entity"],
        state=state,
        step="waiting" if state == "planned" and not row["rows_read"] else _STEPS.get(state, state),
        mode=row["mode"],
        family=row["family"],
        reason=row["reason"],
        rows_read=row["rows_read"],
        expected=max(expected, row["rows_read"]) if expected and row["mode"] == "full" else None,
        seconds=seconds,
        rows_per_second=row["rows_read"] / seconds if seconds > 0 else None,
        inserted=row["rows_inserted"],
        updated=row["rows_updated"],
        deleted=row["rows_deleted"],
        quarantined=row["rows_quarantined"],
        released=row["rows_released"],
        held=row["rows_held"],
        attempt=row["attempt"],
        message=row["message"],
        updated_at=row["updated_at"],
        airflow_path=airflow_path(
            county, run.kind, run.trigger, "reconcile" if run.kind == "reconcile" else task
        ),
    )


def failure(row: Row, county: str) -> Failure:
    """Make one failure: what it means and what to do, from the error itself or else from its code."""
    told = row["details"] or {}
    code, step = str(told.get("code", "PACS-010")), str(row["step"])
    error_class, meaning, remedy = _CLASSES.get(code, _CLASSES["PACS-010"])
    kind, task = ("reconcile", "start") if step == "start_reconcile" else ("sync", step)
    path = (
        airflow_path(county, kind, row["trigger"], task)
        or f"/dags/{dag_id_of(county, kind)}/runs?state=failed"
    )
    return Failure(
        at=row["at"],
        step=step,
        code=code,
        error_class=error_class,
        meaning=meaning,
        message=str(told.get("message", "")),
        remedy=str(told.get("remedy") or remedy),
        run_id=str(row["run_id"]) if row["run_id"] else None,
        airflow_path=path,
    )


def check_report(row: Row, county: str) -> CheckReport:
    """Make the report of a look at both ends from its row."""
    findings = [CheckFinding(**finding) for finding in row["report"]["findings"]]
    return CheckReport(
        checked_at=row["checked_at"],
        state=row["state"],
        run_id=str(row["run_id"]) if row["run_id"] else None,
        airflow_path=airflow_path(county, "sync", row["trigger"], "preflight"),
        counts=dict(Counter(finding.state for finding in findings)),
        findings=findings,
    )


def by_class(failures: list[Failure]) -> list[ErrorGroup]:
    """Group failures, newest first, by code."""
    groups: dict[str, list[Failure]] = {}
    for one in failures:
        groups.setdefault(one.code, []).append(one)
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
