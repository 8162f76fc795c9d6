"""A run whose entities are staged and validated -> the county's tables, in one transaction: the only way in.

Rows, tombstones, redactions, quarantine, pending deletes, cursors, the run's own record and its audit row
become visible together, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.quality.model import Rule, RuleResult
from airflow_provider_pacs.sync.records import (
    DeleteBounds,
    EntityRun,
    RowCounts,
    RunOutcome,
    RunRecord,
    entity_outcome,
)
from airflow_provider_pacs.sync.target.postgres import (
    apply,
    approvals,
    audit,
    ddl,
    probes,
    run_records,
    stage_tables,
)
from airflow_provider_pacs.sync.target.postgres.database import Database
from airflow_provider_pacs.sync.target.postgres.retry import retry_on_deadlock

Connection = psycopg.Connection[Any]
ORPHAN_FLOOR, ORPHAN_PERCENT = 25, 5.0
"""More children that begin to wait than both allow means that their parents were not published: then the
children keep their last good data too.
"""
_UNFINISHED = {
    "planned": "extract did not finish",
    "extracting": "extract did not finish",
    "staged": "validate did not finish",
}


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """What a publish is bound by: the delete guard, the rule of each child entity, who approved."""

    bounds: DeleteBounds
    relations: Mapping[str, Rule]
    actor: str = ""


class PostgresPublisher:
    """The port `Publisher` over one connection."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def publish(
        self, run_id: str, bounds: DeleteBounds, relations: Mapping[str, Rule], *, actor: str = ""
    ) -> RunOutcome:
        """Publish the run's validated entities in one transaction."""

        def once() -> RunOutcome:
            with self._db.transaction() as connection:
                return publish(connection, run_id, PublishRequest(bounds, relations, actor))

        return retry_on_deadlock(once)


def publish(connection: Connection, run_id: str, request: PublishRequest) -> RunOutcome:
    """Publish every entity of the run that passed validation and is not published yet, in the caller's
    transaction.

    A run that was published before goes on where it stopped: an entity whose cleared tasks have succeeded
    meanwhile is published now, the others stay as they are.

    Raises:
        ConflictError: the run is unknown, a later run has taken the county, or an approved set was decided
            meanwhile.
    """
    run = run_records.run(connection, run_id)
    rows = run_records.entities(connection, run_id)
    if run.published_at is not None and not any(row.state == "passed" for row in rows):
        return outcome(connection, run_id, already_published=True)
    run_records.fence(connection, run)
    for row in rows:
        _redact(connection, run, row)
        if row.state == "passed":
            _publish_entity(connection, run, row, request)
        elif row.state in _UNFINISHED:
            run_records.set_entity(connection, run_id, row.entity, "failed", _UNFINISHED[row.state])
    _finish(connection, run)
    result = outcome(connection, run_id)
    ddl.attach_partitions(connection, run.county_id)
    return result


def _publish_entity(connection: Connection, run: RunRecord, row: EntityRun, request: PublishRequest) -> None:
    """One entity with a verdict: it counts for exactly the staging table that was validated."""
    entity, run_id = load_entities()[row.entity], str(run.run_id)
    if row.stage_table is None or row.verdict_table != row.stage_table:
        message = "the staged rows are not the ones that were validated: validate them again"
        run_records.set_entity(connection, run_id, row.entity, "failed", message)
        return
    if stage_tables.count(connection, row.stage_table) != row.verdict_rows:
        run_records.set_entity(connection, run_id, row.entity, "failed", stage_tables.EMPTIED)
        return
    plan, rule = row.read_plan, request.relations.get(row.entity)
    approvals.lock_undecided(connection, run.county_id, plan.pending_ids)
    staged = apply.StagedEntity(
        entity,
        run,
        row.stage_table,
        request.bounds,
        source_is_empty=row.source_count == 0
        or (row.mode == "full" and apply.is_empty(connection, row.stage_table)),
        waiting_rule=rule.id if rule else None,
        approved=plan.pending_ids,
    )
    if rule is not None and not _relations_hold(connection, staged, rule):
        return
    counts = apply.apply_stage(connection, staged)
    if plan.moves_cursor:
        probes.store(connection, run.county_id, entity, row.stage_table)
        run_records.store_cursor(connection, run, row)
    else:
        run_records.distrust_cursor(connection, run, row)
    approvals.decide(
        connection,
        run.county_id,
        run_id,
        plan.pending_ids,
        "applied",
        request.actor,
        {"deleted": counts.deleted},
    )
    _record_counts(connection, run_id, row.entity, counts)


def _relations_hold(connection: Connection, staged: apply.StagedEntity, rule: Rule) -> bool:
    """Find rows without a parent, set-wise and after the parents were applied.

    They wait in quarantine, unless there are too many: then the entity keeps its last good data.
    """
    entity, run_id = staged.entity, str(staged.run.run_id)
    evaluated, waiting, fresh = apply.orphans(connection, staged)
    blocks = fresh > max(ORPHAN_FLOOR, evaluated * ORPHAN_PERCENT / 100)
    result = RuleResult(rule.id, rule.severity, rule.title, waiting == 0, evaluated, waiting, blocks)
    run_records.record_results(connection, run_id, entity.name, [result])
    if blocks:
        message = (
            f"{fresh} of {evaluated} rows have no {entity.parent} in the target: was {entity.parent} "
            "published?"
        )
        run_records.set_entity(connection, run_id, entity.name, "blocked", message)
        return False
    if waiting:
        apply.reject_orphans(connection, staged)
    return True


def _redact(connection: Connection, run: RunRecord, row: EntityRun) -> None:
    """Whoever asked not to be named is not named in rows of the past either. This waits for no validation.

    It adds nothing to what the target says.
    """
    selection = row.read_plan.table.selection
    redaction = selection.redaction if selection else None
    if redaction is None or row.stage_table is None:
        return
    parties = stage_tables.redactions(row.stage_table)
    if not stage_tables.exists(connection, parties):
        return
    entity = load_entities()[row.entity]
    rows = apply.redact(connection, run, entity, parties, redaction.by, redaction.values)
    if rows:
        audit.append(connection, run.county_id, str(run.run_id), "rows.redacted", entity.name, {"rows": rows})


def _record_counts(connection: Connection, run_id: str, entity: str, counts: RowCounts) -> None:
    connection.execute(
        "UPDATE pacs_ops.run_entity SET state = 'published', message = '', rows_inserted = %s, rows_updated "
        "= %s, "
        "rows_deleted = %s, rows_quarantined = %s, rows_released = %s, rows_pending = %s, "
        "updated_at = clock_timestamp() WHERE run_id = %s AND entity = %s",
        (
            counts.inserted,
            counts.updated,
            counts.deleted,
            counts.quarantined,
            counts.released,
            counts.pending,
            run_id,
            entity,
        ),
    )


_COUNTS = (
    "rows_inserted",
    "rows_updated",
    "rows_deleted",
    "rows_quarantined",
    "rows_released",
    "rows_pending",
)


def _finish(connection: Connection, run: RunRecord) -> None:
    run_id = str(run.run_id)
    rows = run_records.entities(connection, run_id)
    published = [row.entity for row in rows if row.state == "published"]
    run_records.set_run_state(
        connection,
        run_id,
        "published" if published else "failed",
        published=bool(published),
        finished=not published,
    )
    details = {
        row.entity: {
            "state": row.state,
            "rows_read": row.rows_read,
            **{name: getattr(row, name) for name in _COUNTS},
        }
        for row in rows
    }
    audit.append(connection, run.county_id, run_id, "run.publish", ",".join(published), details)


def outcome(connection: Connection, run_id: str, *, already_published: bool = False) -> RunOutcome:
    """The run as the journal has it."""
    run = run_records.run(connection, run_id)
    failed = run_records.failed_rules(connection, run_id)
    entities = tuple(
        entity_outcome(row, failed.get(row.entity, ())) for row in run_records.entities(connection, run_id)
    )
    return RunOutcome(run_id, run.county_id, run.state, entities, already_published)
