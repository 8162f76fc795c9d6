"""All five steps of a run in this process: what the command line, the approval and the realtime task call."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal

from airflow_provider_pacs.sync.config import CountyConfig, require_entity
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.preflight import PreflightReport, examine
from airflow_provider_pacs.sync.quality import warm_up
from airflow_provider_pacs.sync.records import (
    Backfill,
    Certificate,
    ReadPlan,
    RunOutcome,
    RunPlan,
    RunRequest,
)
from airflow_provider_pacs.sync.runtime.errors import DataError
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.steps.certify import certify
from airflow_provider_pacs.sync.steps.entity_runs import entity_run
from airflow_provider_pacs.sync.steps.extract import extract
from airflow_provider_pacs.sync.steps.failures import audit_failures, fail_run_on_error, keep_report
from airflow_provider_pacs.sync.steps.plan import make_plan
from airflow_provider_pacs.sync.steps.publish import publish
from airflow_provider_pacs.sync.steps.validate import validate
from airflow_provider_pacs.sync.target.port import Target

log = logging.getLogger(__name__)

Message = Callable[[str], None]
OnProgress = Callable[[str, int, float, int | None], None]
"""(entity, rows so far, seconds, rows expected or None where nobody knows)."""


def check(config: CountyConfig, source: SourceReader, target: Target) -> PreflightReport:
    """Look at both ends as far as a run can afford before it reads, and write nothing: `plan` keeps the
    report.
    """
    return examine(config, source, target)


def plan(
    config: CountyConfig,
    source: SourceReader,
    target: Target,
    request: RunRequest,
    *,
    report: PreflightReport | None = None,
) -> RunPlan:
    """Check both ends, claim the county, fix one upper bound for the whole run, plan every entity.

    A `report` of `check` is kept with the run, or without one where this step fails.

    Raises:
        ConfigError: a table, a column, a grant or a setting must be changed first.
        RetryableError: an end can't be reached now, or another run of the county is at work (PACS-008).
    """
    with (
        audit_failures(config, target, "plan", kind=request.kind, trigger=request.trigger),
        keep_report(config, target, request.trigger, report) as kept,
    ):
        if report is not None and report.refused is not None:
            raise report.refused  # it was tried as often as it is worth
        made = make_plan(config, source, target, request)
        kept.append(made.run_id)
        return made


def sync(
    config: CountyConfig,
    source: SourceReader,
    target: Target,
    *,
    trigger: str = "cli",
    mode: Literal["auto", "full"] = "auto",
    on_message: Message = log.info,
    on_progress: OnProgress | None = None,
) -> tuple[RunOutcome, Certificate]:
    """All five steps in this process.

    Raises:
        DataError: the certificate is neither clean nor pending; what passed is published and certified.
        PacsError: as the steps raise it.
    """
    request = RunRequest("sync", trigger, mode, one_process=True)
    return run_all(config, source, target, request, on_message=on_message, on_progress=on_progress)


def reconcile(
    config: CountyConfig,
    source: SourceReader,
    target: Target,
    *,
    trigger: str = "cli",
    on_message: Message = log.info,
    on_progress: OnProgress | None = None,
) -> tuple[RunOutcome, Certificate]:
    """A run that compares every row with what is published; what differs goes through the same five steps.

    Raises:
        DataError: the certificate is neither clean nor pending.
        PacsError: as the steps raise it.
    """
    request = RunRequest("reconcile", trigger, "full", one_process=True)
    return run_all(config, source, target, request, on_message=on_message, on_progress=on_progress)


def backfill(
    config: CountyConfig,
    source: SourceReader,
    target: Target,
    *,
    window: Backfill,
    trigger: str = "cli",
    on_message: Message = log.info,
    on_progress: OnProgress | None = None,
) -> tuple[RunOutcome, Certificate]:
    """Read one window of one entity again. No cursor moves, no delete is found.

    Raises:
        ConfigError: the county does not synchronise the entity, or the window can't be read.
        DataError: the certificate is neither clean nor pending.
        PacsError: as the steps raise it.
    """
    with audit_failures(config, target, "backfill", kind="backfill", trigger=trigger):
        require_entity(config, window.entity)
    request = RunRequest("backfill", trigger, window=window, one_process=True)
    return run_all(config, source, target, request, on_message=on_message, on_progress=on_progress)


def run_all(
    config: CountyConfig,
    source: SourceReader,
    target: Target,
    request: RunRequest,
    *,
    actor: str = "",
    on_message: Message = log.info,
    on_progress: OnProgress | None = None,
) -> tuple[RunOutcome, Certificate]:
    """Plan, extract and validate every entity, publish, certify.

    Raises:
        PacsError: as the steps raise it; a `DataError` of `certify` after everything was stored.
    """
    made = plan(config, source, target, request)
    if request.kind != "realtime":  # whose rules are evaluated by their predicates
        threading.Thread(target=warm_up, name="pacs-quality", daemon=True).start()  # while the source is read
    with fail_run_on_error(target, made.run_id):
        for entity in made.entities:
            _stage(config, source, target, made.run_id, entity, on_message, on_progress)
        started = time.monotonic()
        published = publish(config, target, run_id=made.run_id, actor=actor)
        on_message(f"published in {time.monotonic() - started:.2f} s")
        certificate = certify(config, source, target, run_id=made.run_id)
        on_message(f"compared and certified in {certificate.seconds:.2f} s")
        return published, certificate


def _stage(
    config: CountyConfig,
    source: SourceReader,
    target: Target,
    run_id: str,
    entity: ReadPlan,
    on_message: Message,
    on_progress: OnProgress | None,
) -> None:
    """Extract and validate one entity.

    One that is blocked is left out by publish, and its certificate says so.
    """
    name = entity.entity
    known = target.certifier.live_rows(load_entities()[name], config.fips) if entity.mode == "full" else 0
    expected = known or None

    def report(rows: int, seconds: float) -> None:
        if on_progress is not None:
            on_progress(name, rows, seconds, expected)

    outcome = extract(config, source, target, run_id=run_id, entity=name, attempt=1, on_progress=report)
    on_message(
        f"{name}: {outcome.read:,} rows read in {outcome.seconds:.2f} s "
        f"({entity.mode}, {outcome.rows_per_second:,.0f} rows/s)"
    )
    started = time.monotonic()
    try:
        validate(config, target, run_id=run_id, entity=name)
    except DataError as error:
        if entity_run(target, run_id, name).state != "blocked":
            raise
        on_message(str(error))
    on_message(f"{name}: validated in {time.monotonic() - started:.2f} s")
