"""`/api/counties/{county}...`: one county, in the parts that the page asks for one by one; only the first is
asked again and again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, HTTPException, Query

from airflow_provider_pacs.monitor import targets
from airflow_provider_pacs.monitor.access import CountyDep
from airflow_provider_pacs.monitor.counties import dag_states
from airflow_provider_pacs.monitor.models_county import (
    AuditLine,
    CertificateLine,
    CheckReport,
    CountyDetail,
    Evidence,
    HeldDelete,
    History,
    Quality,
    QualityLine,
    QuarantinedKey,
    QuarantinedKeys,
    QuarantineLine,
    RunDetail,
    SchemaLine,
)
from airflow_provider_pacs.monitor.presenters import (
    by_class,
    check_report,
    county_line,
    entity_line,
    failure,
    run_line,
    target_line,
)
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.target.postgres.read import OpsReader

router = APIRouter(prefix="/api/counties/{county}", tags=["county"])
Row = dict[str, Any]
Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=100_000)]
Sequence = Annotated[int | None, Query(ge=0, le=2**63 - 1)]
EntityParameter = Annotated[str, Query(pattern="^[a-z][a-z0-9_]{0,62}$")]
RuleParameter = Annotated[str, Query(pattern="^[A-Za-z][A-Za-z0-9_.-]{0,127}$")]


@router.get("")
def detail(config: CountyDep) -> CountyDetail:
    """Give the county's line, its newest run with live progress, how changes are found, held deletes.

    A target that is down is said, not raised.
    """
    now = datetime.now(UTC)

    def question(reader: OpsReader, county_ids: list[str]) -> Row:
        row = next(iter(reader.overview(county_ids)), None)
        newest = str(row["run_id"]) if row and row["run_id"] else None
        states = reader.states(config.fips)
        return {
            "line": row,
            "run": _run(reader, config, newest) if newest else None,
            "changes": _changes(reader.run_entities(newest) if newest else [], states),
            "held": [_held(held) for held in reader.held(config.fips)],
        }

    asked, answer = targets.ask_each([config], question)[config.target.connection]
    found = answer or {"line": None, "run": None, "changes": [], "held": []}
    line = county_line(config, dag_states([config.county]).get(config.county), found.pop("line"), asked, now)
    source = config.source
    return CountyDetail(
        at=now,
        line=line,
        target=target_line(asked, 1),
        source=source.connection,
        profile=source.profile,
        **found,
    )


@router.get("/runs")
def history(config: CountyDep, limit: Limit = 60) -> History:
    """Give the newest runs: syncs, and a few of the rarer kinds."""

    def question(reader: OpsReader) -> list[Row]:
        rows = reader.runs(config.fips, "sync", limit)
        for kind in ("reconcile", "backfill"):
            rows += reader.runs(config.fips, kind, max(1, limit // 4))
        return sorted(rows, key=lambda row: row["started_at"], reverse=True)

    return History(runs=[run_line(row, config.county) for row in targets.ask(config, question) or []])


@router.get("/runs/{run_id}")
def run(config: CountyDep, run_id: UUID) -> RunDetail:
    """Give one run: its entities and what went wrong."""
    found = targets.ask(config, lambda reader: _run(reader, config, str(run_id)))
    if found is None:
        raise HTTPException(404, f"{config.county} has no run {run_id}.")
    return found


@router.get("/quality")
def quality(config: CountyDep) -> Quality:
    """Give the newest verdicts, with the keys that wait under each rule, and quarantine by rule."""

    def question(reader: OpsReader) -> Quality:
        newest = reader.last_judged_run(config.fips)
        titles = reader.rule_titles(config.fips)
        waiting = [_quarantine(row, titles) for row in reader.quarantine_by_rule(config.fips)]
        keys = {(line.entity, line.rule): line.keys for line in waiting}
        rows = reader.quality(newest) if newest else []
        return Quality(
            run_id=newest,
            judged_at=max((row["judged_at"] for row in rows), default=None),
            results=[
                QualityLine(
                    rule=row["rule_id"],
                    keys=keys.get((row["entity"], row["rule_id"]), []),
                    **_only(row, QualityLine),
                )
                for row in rows
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
    return QuarantinedKeys(
        keys=[QuarantinedKey(key=row["source_key"], **_only(row, QuarantinedKey)) for row in rows[:limit]],
        more=len(rows) > limit,
    )


@router.get("/evidence")
def evidence(config: CountyDep, limit: Limit = 40) -> Evidence:
    """Give certificates, errors by class and the newest audit rows."""

    def question(reader: OpsReader) -> Evidence:
        failures = [failure(row, config.county) for row in reader.failures(config.fips, 100)]
        certificates = [
            CertificateLine(
                run_id=str(row["run_id"]),
                quarantined=row["quarantined_rows"],
                late=row["late_rows"],
                **_only(row, CertificateLine),
            )
            for row in reader.certificates(config.fips, limit)
        ]
        return Evidence(
            certificates=certificates,
            errors=by_class(failures),
            failures=failures[:20],
            audit=_audit(reader.audit(config.fips, None, limit)),
        )

    return targets.ask(config, question) or Evidence(certificates=[], errors=[], failures=[], audit=[])


@router.get("/check")
def check(config: CountyDep) -> CheckReport:
    """Give the newest report of the first task: what it found at both ends, and what to do."""
    row = targets.ask(config, lambda reader: reader.last_check(config.fips))
    return check_report(row, config.county) if row else CheckReport()


@router.get("/audit")
def audit(config: CountyDep, before: Sequence = None, limit: Limit = 100) -> list[AuditLine]:
    """Give older audit rows."""
    return _audit(targets.ask(config, lambda reader: reader.audit(config.fips, before, limit)) or [])


def _run(reader: OpsReader, config: CountyConfig, run_id: str) -> RunDetail | None:
    row = reader.run(config.fips, run_id)
    if row is None:
        return None
    run = run_line(row, config.county)
    expected = reader.last_full_rows(config.fips) | reader.expected_rows(config.fips)
    entities = [
        entity_line(entity, config.county, run, expected.get(entity["entity"]))
        for entity in reader.run_entities(run_id)
    ]
    failures = [failure(one, config.county) for one in reader.run_failures(run_id)]
    return RunDetail(run=run, entities=entities, failures=failures, source=row["source_identity"] or {})


def _changes(planned: list[Row], states: list[Row]) -> list[SchemaLine]:
    stored = {row["entity"]: row for row in states}
    lines = []
    for plan in planned:
        state = stored.get(plan["entity"])
        line = SchemaLine(**_only(plan, SchemaLine))
        if state is not None:
            line.watermark, line.watermark_type, line.stored_at = (
                state["watermark"],
                state["watermark_type"],
                state["updated_at"],
            )
            line.changed_since_cursor = state["schema_fingerprint"] != plan["schema_fingerprint"]
        lines.append(line)
    return lines


def _held(row: Row) -> HeldDelete:
    return HeldDelete(
        entity=row["entity"],
        rows=row["row_count"],
        live=row["live_count"],
        reason=row["reason"],
        held_at=row["held_at"],
    )


def _quarantine(row: Row, titles: dict[str, str]) -> QuarantineLine:
    return QuarantineLine(
        reason=titles.get(row["rule"], _mapping_reason(row["rule"])), **_only(row, QuarantineLine)
    )


def _mapping_reason(rule: str) -> str:
    """Say what a rule without a verdict means; `MAP.` rules come from the mapping of single values."""
    return "A value could not be converted to its column's type." if rule.startswith("MAP.") else ""


def _audit(rows: list[Row]) -> list[AuditLine]:
    return [
        AuditLine(run_id=str(row["run_id"]) if row["run_id"] else None, **_only(row, AuditLine))
        for row in rows
    ]


def _only(row: Row, model: type[Any]) -> Row:
    """The row's columns that are fields of the model, but those that need a word of their own."""
    return {
        name: value
        for name, value in row.items()
        if name in model.model_fields and name not in ("run_id", "rule_id")
    }
