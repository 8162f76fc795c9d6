"""`/api/counties/{county}...`: one county, in the parts that the page asks for one by one; only the first is
asked again and again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import Response

from airflow_provider_pacs.monitor import targets
from airflow_provider_pacs.monitor.access import CountyDep, permissions
from airflow_provider_pacs.monitor.airflow_runs import airflow_runs
from airflow_provider_pacs.monitor.counties import dag_states
from airflow_provider_pacs.monitor.models import RunLine
from airflow_provider_pacs.monitor.models_county import (
    CheckReport,
    CountyDetail,
    Evidence,
    FailureLine,
    History,
    Quality,
    QualityLine,
    QuarantinedKeys,
    QuarantineLine,
    RunDetail,
    SchemaLine,
    extended,
)
from airflow_provider_pacs.monitor.presenters import (
    by_class,
    certificate_groups,
    check_report,
    county_line,
    failure_line,
    refused_line,
    run_line,
    target_line,
)
from airflow_provider_pacs.monitor.realtime import kept_by_airflow, realtime_line
from airflow_provider_pacs.monitor.run_details import both_ends, newest_run, run_detail, starting_run
from airflow_provider_pacs.monitor.status import NO_RUNS
from airflow_provider_pacs.sync.certificate_page import certificate_page
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.quality import rule_text
from airflow_provider_pacs.sync.records import AuditRow, PendingDeletes
from airflow_provider_pacs.sync.target.postgres.read import OpsReader
from airflow_provider_pacs.sync.target.postgres.read_records import (
    CountyStanding,
    CursorRow,
    EntityRow,
    FailureRow,
    QuarantineRow,
)

router = APIRouter(prefix="/api/counties/{county}", tags=["county"])
Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=100_000)]
Sequence = Annotated[int | None, Query(ge=0, le=2**63 - 1)]
EntityParameter = Annotated[str, Query(pattern="^[a-z][a-z0-9_]{0,62}$")]
RuleParameter = Annotated[str, Query(pattern="^[A-Za-z][A-Za-z0-9_.-]{0,127}$")]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a county's target says of it."""

    standing: CountyStanding | None = None
    run: RunDetail | None = None
    heard: datetime | None = None
    failures: tuple[FailureRow, ...] = ()
    refusal: FailureLine | None = None
    changes: tuple[SchemaLine, ...] = ()
    pending: tuple[PendingDeletes, ...] = ()


@router.get("")
def detail(config: CountyDep, user: GetUserDep) -> CountyDetail:
    """Give the county's line, its newest run with live progress, how changes are found, pending deletes.

    A target that is down is said, not raised.
    """
    now = datetime.now(UTC)
    runs = airflow_runs([config]).get(config.county, NO_RUNS)

    def question(reader: OpsReader, county_ids: list[str]) -> _Answer:
        standing = next(iter(reader.overview(county_ids)), None)
        newest = newest_run(standing)
        run_id = str(newest.run_id) if newest else None
        entities = reader.run_entities(run_id) if run_id else []
        read = [
            entity.updated_at
            for entity in entities
            if entity.rows_read or entity.state not in ("planned", "extracting")
        ]
        return _Answer(
            standing,
            run_detail(reader, config, run_id, runs) if run_id else None,
            max([newest.started_at, *read]) if newest else None,
            tuple(reader.failures(config.fips, 20)),
            _refusal(reader, config, standing),
            _changes(entities, reader.states(config.fips)),
            tuple(reader.pending(config.fips)),
        )

    asked, answer = targets.ask_each([config], question)[config.target.connection]
    answer = answer or _Answer()
    dag = dag_states([config.county]).get(config.county)
    decision = answer.standing.failed_decision if answer.standing and answer.pending else None
    line = county_line(config, dag, answer.standing, asked, now, runs)
    if config.realtime.enabled:
        follows = dag_states([config.county], "realtime").get(config.county)
        row = answer.standing.realtime if answer.standing is not None else None
        line.realtime = realtime_line(config, follows, kept_by_airflow([config]).get(config.county), row, now)
    return CountyDetail(
        at=now,
        line=line,
        target=target_line(asked, 1),
        source=config.source.connection,
        profile=config.source.profile,
        may=permissions(config.county, user),
        ends=both_ends(config, asked, now, answer.heard, answer.failures),
        starting=starting_run(config, answer.standing, runs),
        failed_decision=failure_line(decision, config.county) if decision else None,
        run=answer.run,
        refusal=answer.refusal,
        changes=list(answer.changes),
        pending=list(answer.pending),
    )


@router.get("/runs")
def history(config: CountyDep, limit: Limit = 60) -> History:
    """Give the newest runs: syncs, those that never started among them, and a few of the rarer kinds."""

    def question(reader: OpsReader) -> list[RunLine]:
        rows = reader.runs(config.fips, "sync", limit)
        for kind in ("realtime", "reconcile", "backfill", "approval", "rollback"):
            rows += reader.runs(config.fips, kind, max(1, limit // 4))
        lines = [run_line(row, config.county) for row in rows]
        return lines + [refused_line(each, config.county) for each in reader.refused(config.fips)[:limit]]

    lines = targets.ask(config, question) or []
    return History(runs=sorted(lines, key=lambda line: line.started_at, reverse=True))


@router.get("/runs/{run_id}")
def run(config: CountyDep, run_id: UUID) -> RunDetail:
    """Give one run: its entities and what went wrong."""
    runs = airflow_runs([config]).get(config.county, NO_RUNS)
    view = targets.ask(config, lambda reader: run_detail(reader, config, str(run_id), runs))
    if view is None:
        raise HTTPException(404, f"{config.county} has no run {run_id}.")
    return view


@router.get("/runs/{run_id}/certificate", response_class=Response)
def certificate(config: CountyDep, run_id: UUID) -> Response:
    """Give the run's certificate as a page of its own, to be saved: no script, nothing loaded."""
    issued = targets.ask(config, lambda reader: reader.certificate(config.fips, str(run_id)))
    if issued is None:
        raise HTTPException(404, f"{config.county} has no certificate of run {run_id}.")
    headers = {
        "Content-Disposition": f'attachment; filename="certificate-{config.county}-{run_id}.html"',
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    }
    page = certificate_page(issued, config.name)
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)


@router.get("/quality")
def quality(config: CountyDep) -> Quality:
    """Give what the rules said last, with the keys that wait under each rule, and quarantine by rule."""

    def question(reader: OpsReader) -> Quality:
        newest = reader.last_validated_run(config.fips)
        titles = reader.rule_titles(config.fips)
        waiting = [_quarantine(row, titles) for row in reader.quarantine_by_rule(config.fips)]
        keys = {(line.entity, line.rule): line.keys for line in waiting}
        rows = reader.quality(newest) if newest else []
        return Quality(
            run_id=newest,
            validated_at=max((row.validated_at for row in rows), default=None),
            results=[
                extended(QualityLine, row, keys=keys.get((row.entity, row.rule_id), [])) for row in rows
            ],
            quarantine=waiting,
        )

    return targets.ask(config, question) or Quality(results=[], quarantine=[])


@router.get("/quarantine")
def quarantine(
    config: CountyDep, entity: EntityParameter, rule: RuleParameter, offset: Offset = 0, limit: Limit = 100
) -> QuarantinedKeys:
    """Give a page of the keys that wait under one rule."""
    rows = (
        targets.ask(
            config,
            lambda reader: reader.quarantine_keys(config.fips, entity, rule, offset, limit + 1),
        )
        or []
    )
    return QuarantinedKeys(keys=rows[:limit], more=len(rows) > limit)


@router.get("/evidence")
def evidence(config: CountyDep, limit: Limit = 40) -> Evidence:
    """Give certificates, errors by class and the newest audit rows."""

    def question(reader: OpsReader) -> Evidence:
        failures = [failure_line(row, config.county) for row in reader.failures(config.fips, 100)]
        return Evidence(
            certificates=certificate_groups(reader.certificates(config.fips, limit)),
            errors=by_class(failures),
            failures=failures[:20],
            audit=reader.audit(config.fips, None, limit),
        )

    return targets.ask(config, question) or Evidence(certificates=[], errors=[], failures=[], audit=[])


@router.get("/check")
def check(config: CountyDep) -> CheckReport:
    """Give the newest report of the first task: what it found at both ends, and what to do."""
    row = targets.ask(config, lambda reader: reader.last_check(config.fips))
    return check_report(row, config.county) if row else CheckReport()


@router.get("/audit")
def audit(config: CountyDep, before: Sequence = None, limit: Limit = 100) -> list[AuditRow]:
    """Give older audit rows."""
    return targets.ask(config, lambda reader: reader.audit(config.fips, before, limit)) or []


def _refusal(reader: OpsReader, config: CountyConfig, standing: CountyStanding | None) -> FailureLine | None:
    """The failure of the newest run that never started, where nothing has started since."""
    refused = standing.newest_refused if standing else None
    if refused is None:
        return None
    rows = (row for row in reader.failures(config.fips, 60) if row.run_id is None and row.step == "plan")
    audited = next((row for row in rows if row.trigger == refused.trigger), None)
    return failure_line(audited, config.county) if audited else None


def _changes(planned: list[EntityRow], cursors: list[CursorRow]) -> tuple[SchemaLine, ...]:
    stored = {row.entity: row for row in cursors}
    lines = []
    for plan in planned:
        line = SchemaLine(
            entity=plan.entity,
            mode=plan.mode,
            strategy=plan.strategy,
            reason=plan.reason,
            schema_fingerprint=plan.schema_fingerprint,
        )
        cursor = stored.get(plan.entity)
        if cursor is not None:
            line.watermark, line.watermark_type = cursor.watermark, cursor.watermark_type
            line.stored_at = cursor.updated_at
            line.changed_since_cursor = cursor.schema_fingerprint != plan.schema_fingerprint
        lines.append(line)
    return tuple(lines)


def _quarantine(row: QuarantineRow, titles: dict[str, str]) -> QuarantineLine:
    """The rule's words as it was validated last, else as this package has it."""
    text = titles.get(row.rule) or rule_text(row.entity, row.rule)
    return extended(QuarantineLine, row, rule_text=text)
