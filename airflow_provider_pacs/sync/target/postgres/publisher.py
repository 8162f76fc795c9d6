"""A run whose entities are staged and validated -> the county's tables, in one transaction: the only way in.

Rows, tombstones, redactions, quarantine, pending deletes, cursors, the run's own record and its audit row
become visible together, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from airflow_provider_pacs.sync.quality.model import Rule, RuleResult
from airflow_provider_pacs.sync.records import (
    DeleteBounds,
    EntityRun,
    RowCounts,
    RunOutcome,
    RunRecord,
    entity_outcome,
)
from airflow_provider_pacs.sync.runtime.errors import ConflictError
from airflow_provider_pacs.sync.target.postgres import (
    apply,
    approvals,
    audit,
    ddl,
    holds,
    probes,
    restore,
    rollbacks,
    run_records,
    stage_tables,
)
from airflow_provider_pacs.sync.target.postgres import history as change_log
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
    """What a publish is bound by: the delete guard, the rule of each child entity, who approved, and whether
    the changes go to the change log.
    """

    bounds: DeleteBounds
    relations: Mapping[str, Rule]
    actor: str = ""
    history: bool = False


class PostgresPublisher:
    """The port `Publisher` over one connection."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def publish(
        self,
        run_id: str,
        bounds: DeleteBounds,
        relations: Mapping[str, Rule],
        *,
        actor: str = "",
        history: bool = False,
    ) -> RunOutcome:
        """Publish the run's validated entities in one transaction."""
        if history:
            with self._db.transaction() as connection:
                change_log.open_months(connection)

        def once() -> RunOutcome:
            with self._db.transaction() as connection:
                return publish(connection, run_id, PublishRequest(bounds, relations, actor, history))

        return retry_on_deadlock(once)


def publish(connection: Connection, run_id: str, request: PublishRequest) -> RunOutcome:
    """Publish every entity of the run that passed validation and is not published yet, in the caller's
    transaction.

    A run that was published before goes on where it stopped: an entity whose cleared tasks have succeeded
    meanwhile is published now, the others stay as they are.

    Raises:
        ConflictError: the run is unknown, a later run has taken the county, the county is on hold, or an
            approved set was decided meanwhile.
    """
    run = run_records.run(connection, run_id)
    rows = run_records.entities(connection, run_id)
    if run.published_at is not None and not any(row.state == "passed" for row in rows):
        return outcome(connection, run_id, already_published=True)
    run_records.fence(connection, run)
    holds.refuse_held(connection, run)
    if run.kind == "rollback":
        return _roll_back(connection, run, rows, request)
    at = change_log.begin(connection, run.county_id) if request.history else None
    pending = change_log.pending_sets(connection, run.county_id) if at else {}
    for row in rows:
        _redact(connection, run, row)
        if row.state == "passed":
            _publish_entity(connection, run, row, request, at)
        elif row.state in _UNFINISHED:
            run_records.set_entity(connection, run_id, row.entity, "failed", _UNFINISHED[row.state])
    if at is not None:
        change_log.note_pending(connection, run, at, pending)
    _finish(connection, run)
    result = outcome(connection, run_id)
    ddl.attach_partitions(connection, run.county_id)
    return result


def _publish_entity(
    connection: Connection, run: RunRecord, row: EntityRun, request: PublishRequest, at: datetime | None
) -> None:
    """One entity with a verdict: it counts for exactly the staging table that was validated."""
    plan, run_id = row.read_plan, str(run.run_id)
    entity = plan.canonical
    if row.stage_table is None or row.verdict_table != row.stage_table:
        message = "the staged rows are not the ones that were validated: validate them again"
        run_records.set_entity(connection, run_id, row.entity, "failed", message)
        return
    if stage_tables.count(connection, row.stage_table) != row.verdict_rows:
        run_records.set_entity(connection, run_id, row.entity, "failed", stage_tables.EMPTIED)
        return
    rule = request.relations.get(row.entity)
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
        at=at,
    )
    if rule is not None and not _relations_hold(connection, staged, rule):
        return
    if at is None:
        change_log.break_off(connection, run.county_id, entity)
    else:
        change_log.note_set(connection, run, entity, at, request.actor)
        change_log.note_cursor(connection, run, row.entity, at)
    counts = apply.apply_stage(connection, staged)
    change_log.redact_confidential(connection, run, entity)  # also where the history is no longer kept
    if plan.moves_cursor:
        if at is not None and probes.exists(connection, row.stage_table):
            change_log.note_probes(connection, run, entity, at, probes.table_of(row.stage_table))
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


def _roll_back(
    connection: Connection, run: RunRecord, rows: list[EntityRun], request: PublishRequest
) -> RunOutcome:
    """Put rows and journal back as they were, all of it or nothing, and put the county on hold.

    Raises:
        ConflictError: something stands against it: another row count than the validated one, a row that
            changed meanwhile, or more leaving rows than the delete guard allows.
    """
    run_id, at = str(run.run_id), change_log.begin(connection, run.county_id)
    scope = rows[0].read_plan.rollback if rows else None
    if scope is None or not all(_is_whole(connection, row) for row in rows):
        raise ConflictError(
            f"rollback {run_id}: what was staged is not what was validated", remedy="start the rollback again"
        )
    proposal = rollbacks.propose(connection, run.county_id, scope, request.bounds)
    if proposal.conflict_count or (proposal.needs_digest and not scope.confirmed):
        raise ConflictError(
            f"rollback {run_id}: {proposal.conflict_count} rows stand against it, or more rows leave than "
            "the delete guard allows",
            remedy="look at the proposal again: pacs rollback COUNTY RUN",
        )
    undone = restore.mark_runs(connection, run, at, scope)
    for row in rows:
        entity = row.read_plan.canonical
        counts = restore.restore_rows(connection, run, entity, at, str(row.stage_table))
        restore.restore_state(connection, run, entity, at, scope)
        change_log.note_set(connection, run, entity, at, request.actor)
        _record_counts(connection, run_id, row.entity, counts)
    details = {"runs": undone, "onto": scope.onto, "digest": proposal.digest, "by": request.actor}
    audit.append(connection, run.county_id, run_id, "run.rolled_back", scope.run_id, details)
    reason = f"{len(undone)} run(s) were rolled back: the source may still hold what they read"
    holds.place(connection, run.county_id, reason, request.actor, run_id)
    _finish(connection, run)
    return outcome(connection, run_id)


def _is_whole(connection: Connection, row: EntityRun) -> bool:
    """Whether the entity has a verdict on exactly the rows that are staged."""
    return (
        row.state == "passed"
        and row.stage_table is not None
        and row.stage_table == row.verdict_table
        and stage_tables.count(connection, row.stage_table) == row.verdict_rows
    )


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
    entity = row.read_plan.canonical
    # Whatever was promoted, by this county now, before or never: nobody knows what it says about a person.
    values = dict(redaction.values) | dict.fromkeys(entity.promoted)
    rows = apply.redact(connection, run, entity, parties, redaction.by, values)
    change_log.redact(connection, run.county_id, entity, parties, values)
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
