"""One entity's staging table -> a verdict on exactly this table, and its bad rows marked for quarantine.

Great Expectations evaluates the suite; the same definitions mark the rows. The verdict is recorded for the
table, the try and the number of rows, and publish takes that or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.quality import (
    Rule,
    RuleResult,
    ValidationContext,
    mapping_results,
    predicate_sql,
    reject_assignments,
    results_of_counts,
    validate_stage,
)
from airflow_provider_pacs.sync.records import EntityOutcome, EntityRun
from airflow_provider_pacs.sync.runtime.errors import DataError
from airflow_provider_pacs.sync.steps.entity_runs import entity_run, row_rules
from airflow_provider_pacs.sync.steps.failures import abort_if_superseded, audit_failures
from airflow_provider_pacs.sync.target.port import Target


def validate(config: CountyConfig, target: Target, *, run_id: str, entity: str) -> EntityOutcome:
    """Evaluate the rules on the staged rows, record the verdict, mark the single bad rows for quarantine.

    Raises:
        DataError: a blocking rule failed; it is recorded, and the entity keeps its last good data.
        ConflictError: a later run has taken the county, or another try of the extract has begun.
    """
    with abort_if_superseded(config, target, run_id):
        return _validate(config, target, run_id, entity)


def _validate(config: CountyConfig, target: Target, run_id: str, entity: str) -> EntityOutcome:
    row = entity_run(target, run_id, entity)
    table = row.stage_table
    if row.state not in {"staged", "passed", "blocked"} or table is None:
        raise DataError(
            f"{config.county}: {entity} has nothing staged to validate", remedy="clear its extract task"
        )
    if target.staging.count(table) != row.rows_staged:
        target.runs.fail_entity(run_id, entity, "the target lost its staged rows")
        raise DataError(
            f"{config.county}: {entity} lost its staged rows in a crash of the target",
            remedy="clear its extract task",
        )
    canonical, rules = row.read_plan.canonical, row_rules(entity)
    context = validation_context(config, target, row)
    results = [
        *mapping_results(canonical, *target.staging.mapping_rejects(table), context.size),
        *_evaluate(target, canonical, rules, context, by_predicates=_is_realtime(target, run_id)),
    ]
    failed = tuple(result.rule_id for result in results if not result.success)
    blocking = [result for result in results if result.blocks]
    blocked = "; ".join(
        f"{result.rule_id} {result.title}: "
        f"{result.detail or f'{result.unexpected} of {result.evaluated} rows'}"
        for result in blocking
    )
    bad = 0
    if not blocking:
        bad = target.staging.mark_rejects(table, reject_assignments(canonical, rules, context))
    target.runs.record_validation(
        run_id,
        entity,
        table=table,
        attempt=row.attempt,
        rows=row.rows_staged,
        results=results,
        blocked=blocked,
    )
    if blocking:
        with audit_failures(config, target, f"validate_{entity}", run_id):
            raise DataError(
                f"{config.county}: {entity} keeps its last good data: {blocked}",
                remedy="correct the rows or the mapping at the source, then run again",
            )
    return EntityOutcome(
        entity,
        "passed",
        row.mode,
        read=row.rows_read,
        quarantined=bad,
        seconds=row.extract_seconds,
        failed_rules=failed,
    )


def _is_realtime(target: Target, run_id: str) -> bool:
    return target.runs.run(run_id).kind == "realtime"


def _evaluate(
    target: Target,
    entity: Entity,
    rules: Sequence[Rule],
    context: ValidationContext,
    *,
    by_predicates: bool,
) -> list[RuleResult]:
    """A result per rule. A run of seconds counts what the rules' own predicates find, in one statement: the
    same definitions, without the start of Great Expectations.
    """
    if not by_predicates:
        return validate_stage(target.sqlalchemy_url, entity, rules, context)
    predicates = [predicate_sql(entity, rule, context) for rule in rules]
    evaluated, bad = target.staging.count_bad(context.stage, predicates)
    return results_of_counts(rules, evaluated, bad, context)


def validation_context(config: CountyConfig, target: Target, row: EntityRun) -> ValidationContext:
    """What the entity's rules are evaluated against. The year is the source's, never the worker's."""
    entity = load_entities()[row.entity]
    complete = row.mode == "full"
    return ValidationContext(
        county_id=config.fips,
        current_year=target.runs.run(str(row.run_id)).source_year,
        schema=target.staging.schema,
        stage_table=target.staging.rows_view(str(row.stage_table)),
        partition=None if complete else target.staging.partition(entity, config.fips),
        size=0 if complete else target.staging.entity_size(entity, config.fips),
    )
