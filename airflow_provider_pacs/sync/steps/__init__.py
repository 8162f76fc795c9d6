"""The steps of one county's run, in order: preflight -> extract, validate (per entity) -> publish ->
reconcile. Start reading here.

Each step finds what it needs in the run's rows (schema pacs_ops), so a step may run in another process, or
again: Airflow's tasks and the command line call the same five functions.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.preflight import PreflightReport, examine
from airflow_provider_pacs.sync.quality import (
    Rule,
    ValidationContext,
    judge,
    load_suite,
    mapping_results,
    reject_assignments,
    warm_up,
)
from airflow_provider_pacs.sync.records import (
    Backfill,
    CertificateOutcome,
    EntityOutcome,
    RunOutcome,
    RunPlan,
)
from airflow_provider_pacs.sync.runtime.errors import ConfigError, DataError
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.steps.failures import (
    abort_if_superseded,
    audit_failures,
    fail_run_on_error,
    keep_report,
)
from airflow_provider_pacs.sync.steps.load import load_entity, stage_name
from airflow_provider_pacs.sync.steps.plan import make_plan, shapes
from airflow_provider_pacs.sync.steps.reconcile import reconcile as _reconcile
from airflow_provider_pacs.sync.steps.scopes import load_joined
from airflow_provider_pacs.sync.target.port import DeleteBounds, Target

log = logging.getLogger(__name__)

RELATION_CHECK = "exists_in_parent"
"""Rules of this check need the other entities: publish judges them, set-wise, after the parents were applied.
"""


def check(config: CountyConfig, source: SourceReader, target: Target) -> PreflightReport:
    """Look at both ends as far as a run can afford before it reads, and write nothing: `preflight` keeps the
    report.
    """
    return examine(config, source, target)


def preflight(
    config: CountyConfig,
    source: SourceReader,
    target: Target,
    *,
    trigger: str,
    mode: Literal["auto", "full"] = "auto",
    report: PreflightReport | None = None,
) -> RunPlan:
    """Check both ends, claim the county, fix one upper bound for the whole run, plan every entity.

    A `report` of `check` is kept with the run, or without one where this step fails.

    Raises:
        ConfigError: a table, a column, a grant or a setting must be changed first.
        RetryableError: an end can't be reached now.
    """
    with audit_failures(config, target, "preflight"), keep_report(config, target, trigger, report) as kept:
        if report is not None and report.refused is not None:
            raise report.refused  # it was tried as often as it is worth
        plan = make_plan(config, source, target, kind="sync", mode=mode, trigger=trigger)
        kept.append(plan.run_id)
        return plan


def start_reconcile(config: CountyConfig, source: SourceReader, target: Target, *, trigger: str) -> RunPlan:
    """Claim the county for a run that only compares in full and repairs."""
    with audit_failures(config, target, "start_reconcile"):
        return make_plan(config, source, target, kind="reconcile", mode="full", trigger=trigger)


def extract(
    config: CountyConfig, source: SourceReader, target: Target, *, run_id: str, entity: str, attempt: int
) -> EntityOutcome:
    """Read one entity as planned into a staging table of this try. Publishes nothing.

    `attempt` is the number of this try, from 1; every try has its own table.

    Raises:
        ConflictError: a later run has taken the county. Of the other errors, a RetryableError is worth
            another try.
    """
    row = _entity_row(target, run_id, entity)
    table = stage_name(run_id, entity, attempt)
    started = time.monotonic()
    waiting_rule = relation_rules(config).get(entity)
    with (
        audit_failures(config, target, f"extract_{entity}", run_id),
        abort_if_superseded(config, target, run_id),
    ):
        shape = shapes(config, source, [row])[entity]
        load = load_entity if shape.selection is None else load_joined
        read = load(source, target, shape, config.fips, row, table, waiting_rule.id if waiting_rule else None)
    seconds = time.monotonic() - started
    staged = {
        "stage_table": table,
        "attempt": attempt,
        "rows_read": read,
        "rows_staged": target.staged_rows(table),
        "extract_seconds": seconds,
    }
    target.note_entity(run_id, entity, state="staged", message="", **staged)
    return EntityOutcome(entity, "staged", row["mode"], read=read, seconds=seconds)


def validate(config: CountyConfig, target: Target, *, run_id: str, entity: str) -> EntityOutcome:
    """Judge the staged rows with Great Expectations, store the verdicts, mark the single bad rows for
    quarantine.

    Raises:
        DataError: a blocking rule failed; it is recorded, and the entity keeps its last good data.
        ConflictError: a later run has taken the county.
    """
    with abort_if_superseded(config, target, run_id):
        return _validate(config, target, run_id, entity)


def _validate(config: CountyConfig, target: Target, run_id: str, entity: str) -> EntityOutcome:
    row = _entity_row(target, run_id, entity)
    if row["state"] not in {"staged", "passed", "blocked"}:
        raise DataError(
            f"{config.county}: {entity} has nothing staged to validate", remedy="clear its extract task"
        )
    if target.stage_was_emptied(row):
        target.note_entity(run_id, entity, state="failed", message="the target lost its staged rows")
        raise DataError(
            f"{config.county}: {entity} lost its staged rows in a crash of the target",
            remedy="clear its extract task",
        )
    canonical = load_entities()[entity]
    rules = _row_rules(entity)
    context = validation_context(config, target, entity, row["stage_table"], complete=row["mode"] == "full")
    results = [
        *mapping_results(canonical, *target.mapping_rejects(row["stage_table"])),
        *judge(target.sqlalchemy_url, canonical, rules, context),
    ]
    target.record_quality(run_id, entity, results)
    failed = tuple(result.rule_id for result in results if not result.success)
    blocking = [result for result in results if result.blocks]
    if blocking:
        message = "; ".join(
            f"{r.rule_id} {r.title}: {r.detail or f'{r.unexpected} of {r.evaluated} rows'}" for r in blocking
        )
        target.note_entity(run_id, entity, state="blocked", message=message)
        with audit_failures(config, target, f"validate_{entity}", run_id):
            remedy = "correct the rows or the mapping at the source, then run again"
            raise DataError(f"{config.county}: {entity} keeps its last good data: {message}", remedy=remedy)
    bad = target.mark_rejects(row["stage_table"], reject_assignments(canonical, rules, context))
    target.note_entity(run_id, entity, state="passed", message="")
    return EntityOutcome(
        entity,
        "passed",
        row["mode"],
        read=row["rows_read"],
        quarantined=bad,
        seconds=row["extract_seconds"],
        failed_rules=failed,
    )


def publish(config: CountyConfig, target: Target, *, run_id: str) -> RunOutcome:
    """Make everything that passed visible, in one transaction.

    Publishing a recorded run again does nothing and says so.

    Raises:
        ConflictError: a later run has taken the county; nothing was written.
    """
    with audit_failures(config, target, "publish", run_id):
        outcome = target.publish(run_id, _bounds(config), relation_rules(config))
    if not outcome.already_published:
        target.drop_stages(row["stage_table"] for row in target.run_entities(run_id) if row["stage_table"])
    if held := [f"{entity.entity} {entity.held:,} held" for entity in outcome.entities if entity.held]:
        error = DataError(
            f"{config.county}: the source lacks rows that the target has, more than the delete guard lets "
            f"go: {', '.join(held)}, nothing deleted",
            remedy="look at the source; if they are really gone, let them go with `pacs approve "
            f"{config.county}`",
        )
        log.warning("%s", error)
    return outcome


def reconcile(
    config: CountyConfig,
    source: SourceReader,
    target: Target,
    *,
    run_id: str,
    scope: Literal["auto", "delta", "full"] = "auto",
) -> CertificateOutcome:
    """Compare both sides, repair, certify. The run's verdict falls here.

    Scope `full` reads every row again, `delta` the run's windows and counts; `auto` takes what each entity's
    plan calls for.

    Raises:
        DataError: entities of the run were held back. The certificate of the others is written before.
    """
    with audit_failures(config, target, "reconcile", run_id), abort_if_superseded(config, target, run_id):
        outcome = _reconcile(
            config,
            source,
            target,
            run_id=run_id,
            scope=scope,
            bounds=_bounds(config),
            relations=relation_rules(config),
            mark=_mark,
        )
    if outcome.held_back:
        reasons = {row["entity"]: row["message"] for row in target.run_entities(run_id)}
        told = "; ".join(f"{entity} ({reasons[entity]})" for entity in outcome.held_back)
        raise DataError(
            f"{config.county}: the run is incomplete, kept at their last good data: {told}",
            remedy="correct the rows or the mapping at the source, or what stopped the step, then run again",
        )
    return outcome


def sync(
    config: CountyConfig,
    source: SourceReader,
    target: Target,
    *,
    trigger: str = "cli",
    mode: Literal["auto", "full"] = "auto",
    told: Callable[[str], None] = log.info,
) -> tuple[RunOutcome, CertificateOutcome]:
    """All five steps in this process.

    Raises:
        DataError: entities were held back; the others are published and certified.
        PacsError: as the steps raise it.
    """
    return _carry_out(
        config, source, target, preflight(config, source, target, trigger=trigger, mode=mode), told
    )


def backfill(
    config: CountyConfig,
    source: SourceReader,
    target: Target,
    *,
    window: Backfill,
    trigger: str = "cli",
    told: Callable[[str], None] = log.info,
) -> tuple[RunOutcome, CertificateOutcome]:
    """Read one window of one entity again, publish what differs, certify what it touched; in this process.

    No cursor moves, no delete is found.

    Raises:
        ConfigError: the county does not synchronise the entity, or the window can't be read.
        PacsError: as the steps raise it.
    """
    with audit_failures(config, target, "backfill"):
        if window.entity not in config.sync.entities:
            raise ConfigError(
                f"{config.county} does not synchronise {window.entity!r}",
                remedy=f"use one of: {', '.join(config.sync.entities)}",
            )
        plan = make_plan(config, source, target, kind="backfill", mode="auto", trigger=trigger, window=window)
    return _carry_out(config, source, target, plan, told)


def _carry_out(
    config: CountyConfig, source: SourceReader, target: Target, plan: RunPlan, told: Callable[[str], None]
) -> tuple[RunOutcome, CertificateOutcome]:
    threading.Thread(target=warm_up, name="pacs-judge", daemon=True).start()  # while the source is read
    with fail_run_on_error(target, plan.run_id):
        for entity in plan.entities:
            outcome = extract(config, source, target, run_id=plan.run_id, entity=entity.entity, attempt=1)
            told(
                f"{entity.entity}: {outcome.read:,} rows read in {outcome.seconds:.2f} s ({entity.mode}, "
                f"{outcome.rows_per_second:,.0f} rows/s)"
            )
            started = time.monotonic()
            try:
                validate(config, target, run_id=plan.run_id, entity=entity.entity)
            except DataError as error:
                if _entity_row(target, plan.run_id, entity.entity)["state"] != "blocked":
                    raise
                told(str(error))  # publish leaves the entity out, and reconcile ends the run as failed
            told(f"{entity.entity}: judged in {time.monotonic() - started:.2f} s")
        started = time.monotonic()
        published = publish(config, target, run_id=plan.run_id)
        told(f"published in {time.monotonic() - started:.2f} s")
        certificate = reconcile(config, source, target, run_id=plan.run_id)
        told(f"compared and certified in {certificate.seconds:.2f} s")
        return published, certificate


def compare(
    config: CountyConfig, source: SourceReader, target: Target, *, trigger: str = "cli"
) -> CertificateOutcome:
    """A run of its own that compares in full, repairs and certifies, in this process."""
    plan = start_reconcile(config, source, target, trigger=trigger)
    with fail_run_on_error(target, plan.run_id):
        return reconcile(config, source, target, run_id=plan.run_id, scope="full")


def validation_context(
    config: CountyConfig, target: Target, entity: str, table: str, *, complete: bool
) -> ValidationContext:
    """What the entity's rules are judged against. The year is the county's, not the worker's."""
    canonical = load_entities()[entity]
    own_leaf = None if complete else target.leaf_name(canonical, config.fips)
    year = datetime.now(ZoneInfo(config.timezone)).year
    return ValidationContext(
        county_id=config.fips,
        current_year=year,
        schema="pacs_stage",
        stage_table=target.rows_view(table),
        leaf=own_leaf,
    )


def relation_rules(config: CountyConfig) -> dict[str, Rule]:
    """Per child entity the rule under which rows without a parent wait; none where the county does not sync
    the parent.
    """
    children = [
        entity
        for name in config.sync.entities
        if (entity := load_entities()[name]).parent in config.sync.entities
    ]
    return {
        entity.name: rule
        for entity in children
        for rule in load_suite(entity)
        if rule.check == RELATION_CHECK
    }


def _row_rules(entity: str) -> tuple[Rule, ...]:
    return tuple(rule for rule in load_suite(load_entities()[entity]) if rule.check != RELATION_CHECK)


def _mark(config: CountyConfig, target: Target, entity: str, table: str, *, complete: bool) -> None:
    """Mark the rows of any staging table that break a quarantine rule, as validate does."""
    context = validation_context(config, target, entity, table, complete=complete)
    target.mark_rejects(table, reject_assignments(load_entities()[entity], _row_rules(entity), context))


def _bounds(config: CountyConfig) -> DeleteBounds:
    return DeleteBounds(config.delete_guard.max_rows, config.delete_guard.max_percent)


def _entity_row(target: Target, run_id: str, entity: str) -> dict[str, Any]:
    for row in target.run_entities(run_id):
        if row["entity"] == entity:
            return row
    target.run(run_id)  # says so where the run itself is unknown
    raise DataError(
        f"entity {entity!r} is not part of run {run_id}",
        remedy="clear the preflight task, so that a new run is planned",
    )
