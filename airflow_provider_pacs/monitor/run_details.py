"""A county's journal and its Airflow runs -> the runs that the page follows step by step, and whether both
ends answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from airflow_provider_pacs.monitor.airflow_runs import AirflowRun, CountyRuns
from airflow_provider_pacs.monitor.flow import FlowFacts, entity_steps, run_steps, starting_steps
from airflow_provider_pacs.monitor.models_county import RunDetail, SourceIdentity
from airflow_provider_pacs.monitor.models_flow import End, StartingRun
from airflow_provider_pacs.monitor.presenters import activity, entity_line, failure_line, run_line
from airflow_provider_pacs.monitor.status import NO_RUNS, awaits_decision
from airflow_provider_pacs.monitor.targets import Asked
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.target.postgres.read import OpsReader
from airflow_provider_pacs.sync.target.postgres.read_records import CountyStanding, FailureRow, RunRow

_LOST = ("PACS-001", "PACS-002")
_AT_THE_SOURCE = ("plan", "extract_", "certify", "approve")


def run_detail(
    reader: OpsReader, config: CountyConfig, run_id: str, runs: CountyRuns = NO_RUNS
) -> RunDetail | None:
    """One run with its steps, its entities and what went wrong; None where the county has no such run."""
    row = reader.run(config.fips, run_id)
    if row is None:
        return None
    expected = reader.last_full_rows(config.fips) | reader.expected_rows(config.fips)
    failures, entities = reader.run_failures(run_id), reader.run_entities(run_id)
    certificate = reader.certificate(config.fips, run_id)
    facts = FlowFacts(
        run=row,
        entities=entities,
        failures=failures,
        airflow=next((run for run in (*runs.active, *runs.failed) if run.trigger == row.trigger), None),
        certified={each.entity: each.state for each in certificate.entities} if certificate else {},
        most_tries=config.sync.retries + 1,
    )
    steps = {entity.entity: entity_steps(entity, facts) for entity in entities}
    return RunDetail(
        run=run_line(row, config.county),
        steps=run_steps(steps, facts),
        entities=[
            entity_line(entity, config, row, expected.get(entity.entity), failures, steps[entity.entity])
            for entity in entities
        ],
        failures=[failure_line(each, config.county) for each in failures],
        source=SourceIdentity.of(row.source_identity),
        code_version=row.code_version,
        mapping_version=row.mapping_version,
        source_now=row.source_now,
    )


def newest_run(standing: CountyStanding | None) -> RunRow | None:
    """The run to follow: the newest sync, or a run of another kind that began later and has no end."""
    if standing is None or standing.other is None:
        return standing.run if standing else None
    if standing.run is None or standing.other.started_at > standing.run.started_at:
        return standing.other
    return standing.run


def starting_run(
    config: CountyConfig, standing: CountyStanding | None, runs: CountyRuns
) -> StartingRun | None:
    """The newest run that the journal has not: queued, in its preflight, or ended there (case F11)."""
    known = {row.trigger for row in (standing.run, standing.other) if row} if standing else set()
    for run in reversed(runs.active):
        if run.kind != "approval" and run.trigger not in known and not awaits_decision(run):
            return _started(config, run)
    if (refused := standing.newest_refused if standing else None) is not None:
        return _started(
            config, AirflowRun("", refused.kind, refused.trigger, "failed", None, refused.at, refused.at)
        )
    begun = standing.run.started_at if standing and standing.run else None
    for run in runs.failed:
        is_newer = begun is None or (run.ended_at is not None and run.ended_at > begun)
        if run.kind != "approval" and run.trigger not in known and is_newer:
            return _started(config, run)
    return None


def _started(config: CountyConfig, run: AirflowRun) -> StartingRun:
    return StartingRun(activity=activity(config.county, run, is_new=True), steps=starting_steps(run))


def both_ends(
    config: CountyConfig, asked: Asked, now: datetime, heard: datetime | None, failures: Sequence[FailureRow]
) -> list[End]:
    """Whether source and target answered when they were asked last.

    Only workers reach the source, so its answer is what the journal keeps of them; the target is asked by
    this request.

    Args:
        config: the county.
        asked: the target.
        now: the moment of this request.
        heard: when the source's newest rows or its catalog came.
        failures: recorded failures, newest first.
    """
    lost = next(
        (each for each in failures if each.code in _LOST and each.step.startswith(_AT_THE_SOURCE)), None
    )
    source = End(name=config.source.connection, ok=True if heard else None, at=heard)
    if lost is not None and (heard is None or lost.at > heard):
        source = End(name=config.source.connection, ok=False, at=lost.at, message=lost.message)
    error = asked.error
    target = End(
        name=config.target.connection, ok=error is None, at=now, message=error.message if error else ""
    )
    return [source, target]
