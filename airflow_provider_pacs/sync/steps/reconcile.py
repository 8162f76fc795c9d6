"""A published run, or none -> both sides compared, what differs looked at twice, repaired and certified
(design.md 3.7).
"""

from __future__ import annotations

import time
from typing import Any, Literal, Protocol

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.incremental import stamps
from airflow_provider_pacs.sync.incremental.full import count_query, full_query
from airflow_provider_pacs.sync.incremental.statements import ChangeQuery
from airflow_provider_pacs.sync.quality import Rule
from airflow_provider_pacs.sync.records import BACKFILL, CertificateOutcome
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.steps.load import entity_query, fill_stage, fill_with_keys, stage_name
from airflow_provider_pacs.sync.steps.plan import shapes
from airflow_provider_pacs.sync.steps.scopes import MOST_SCOPES, read_scopes
from airflow_provider_pacs.sync.target.port import Comparison, DeleteBounds, Target

_NO_SCOPE = "0"
"""PACS numbers its properties from 1: a statement that finds nothing, so that an empty delta has a staging
table like any other.
"""


class Mark(Protocol):
    """Marks the rows of a staging table that break a quarantine rule."""

    def __call__(
        self, config: CountyConfig, target: Target, entity: str, table: str, *, complete: bool
    ) -> None: ...


def reconcile(
    config: CountyConfig,
    source: SourceReader,
    target: Target,
    *,
    run_id: str,
    scope: Literal["auto", "delta", "full"],
    bounds: DeleteBounds,
    relations: dict[str, Rule],
    mark: Mark,
) -> CertificateOutcome:
    """Compare every entity of the run that can be compared, then repair and certify in one transaction.

    A full comparison reads the source again through the lane that the load used, and compares sets in
    PostgreSQL. Rows stamped after the run's upper bound are the next run's business. A key that differs is
    read once more before anything is written.
    """
    started = time.monotonic()
    rows = [row for row in target.run_entities(run_id) if row["state"] in {"published", "planned"}]
    tables = shapes(config, source, rows)
    compared = []
    try:
        for row in rows:
            compared.append(_compare(config, source, target, tables[row["entity"]], row, run_id, scope, mark))
        outcome = target.certify(run_id, bounds, relations, compared)
    finally:
        target.drop_stages(
            name for row in rows for name in (_first(run_id, row["entity"]), _second(run_id, row["entity"]))
        )
        target.drop_scopes(row["stage_table"] for row in rows if row["stage_table"])
    return CertificateOutcome(
        outcome.run_id,
        outcome.county_id,
        outcome.scope,
        outcome.state,
        outcome.entities,
        time.monotonic() - started,
        outcome.held_back,
    )


def _compare(
    config: CountyConfig,
    source: SourceReader,
    target: Target,
    shape: ResolvedTable,
    row: dict[str, Any],
    run_id: str,
    scope: str,
    mark: Mark,
) -> Comparison:
    started = time.monotonic()
    entity = load_entities()[shape.map.entity]
    complete = scope == "full" or (scope == "auto" and row["mode"] == "full")
    upper = str(row["upper_bound"]) if row["upper_bound"] is not None else None
    table, second = _first(run_id, entity.name), None
    scopes = None if complete or shape.selection is None else target.noted_scopes(str(row["stage_table"]))
    complete = complete or (scopes is not None and len(scopes) > MOST_SCOPES)
    if complete or scopes is None:
        read = fill_stage(
            source,
            target,
            shape,
            _full(shape, upper) if complete else entity_query(shape, row),
            table,
            county_id=config.fips,
        )
    else:
        read = read_scopes(
            source, target, shape, scopes or [_NO_SCOPE], table, county_id=config.fips, append=False
        )
    target.settle_stage(entity, table)
    mark(config, target, entity.name, table, complete=complete)
    found = target.differences(entity, config.fips, table, complete=complete)
    vanished = (
        target.vanished_keys(entity, config.fips, table) if complete else []
    )  # gone at the source while they waited in quarantine
    if scopes and not complete:
        vanished += target.missing_in_scopes(entity, config.fips, table, str(row["stage_table"]))
    if found or vanished:
        second = _second(run_id, entity.name)
        read += fill_with_keys(
            source,
            target,
            shape,
            list(dict.fromkeys([key for key, _ in found] + vanished)),
            second,
            county_id=config.fips,
            append=False,
        )
        target.settle_stage(entity, second)
        mark(config, target, entity.name, second, complete=False)
    backfill = row["family"] == BACKFILL
    counted, late = (0, 0) if complete or backfill else _counted(source, shape, upper)
    return Comparison(
        entity=entity.name,
        scope="full" if complete else "delta",
        table=table,
        recheck_table=second,
        upper=upper,
        differences=found,
        source_rows=counted,
        late_rows=late,
        window_only=backfill,
        rows_read=read,
        seconds=time.monotonic() - started,
    )


def _first(run_id: str, entity: str) -> str:
    return stage_name(run_id, entity, 0, "_look1")


def _second(run_id: str, entity: str) -> str:
    return stage_name(run_id, entity, 0, "_look2")


def _full(shape: ResolvedTable, upper: str | None) -> ChangeQuery:
    found = stamps(shape)
    return found.late_flag(shape, upper) if upper is not None and found is not None else full_query(shape)


def _counted(source: SourceReader, shape: ResolvedTable, upper: str | None) -> tuple[int, int]:
    """(rows at the source, of these stamped after the upper bound)."""
    found = stamps(shape)
    if upper is None or found is None:
        return int(source.query(count_query(shape).sql)[0]["n"]), 0
    query = found.count_since(shape, upper)
    row = source.query(query.sql, query.params)[0]
    return int(row["n"]), int(row["late"] or 0)
