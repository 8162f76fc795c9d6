"""A run whose entities are staged and judged -> the county's tables, in one transaction with tombstones,
quarantine, cursors, run and audit rows.
"""

from __future__ import annotations

from typing import Any

import psycopg

from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.quality.model import Rule, RuleResult
from airflow_provider_pacs.sync.records import BACKFILL, EntityOutcome, RunOutcome
from airflow_provider_pacs.sync.target.postgres import apply, ddl, journal, scopes, stage

Connection = psycopg.Connection[Any]
ORPHAN_FLOOR, ORPHAN_PERCENT = 25, 5.0
"""More children that begin to wait than both allow means that their parents were not published: then the
children keep their last good data too.
"""


def publish(
    connection: Connection, run_id: str, guard: apply.Guard, relations: dict[str, Rule]
) -> RunOutcome:
    """Publish every entity of the run that passed its checks; the others keep their last good data.

    Args:
        connection: in a transaction of the caller.
        run_id: the run.
        guard: the delete guard.
        relations: per child entity the rule under which rows without a parent wait.

    Raises:
        ConflictError: the run is unknown, or a later run has taken the county.
    """
    run = journal.run(connection, run_id)
    if run["published_at"] is not None or run["state"] in {"failed", "succeeded", "held"}:
        return outcome(connection, run_id, already_published=True)
    journal.hold_epoch(connection, run["county_id"], run["epoch"])
    fence = apply.Fence(run_id, run["county_id"], run["epoch"])
    for row in journal.entities(connection, run_id):
        entity = load_entities()[row["entity"]]
        if row["state"] != "passed":
            _hold_back(connection, run_id, row)
        elif stage.was_emptied(connection, row):
            journal.note_entity(connection, run_id, entity.name, state="failed", message=stage.EMPTIED)
        elif _relations_hold(connection, entity, fence, row, relations.get(entity.name)):
            empty = row["mode"] == "full" and apply.is_empty(connection, row["stage_table"])
            rule = relations.get(entity.name)
            applied = apply.apply_stage(
                connection,
                entity,
                fence,
                row["stage_table"],
                guard,
                source_is_empty=empty,
                waiting_rule=rule.id if rule else None,
            )
            if row["family"] != BACKFILL:
                scopes.store(connection, fence.county_id, entity, row["stage_table"])
                journal.store_state(connection, fence.county_id, fence.epoch, run_id, row)
            journal.note_entity(connection, run_id, entity.name, state="published", **counts(applied))
    rows = journal.entities(connection, run_id)
    published = [row["entity"] for row in rows if row["state"] == "published"]
    journal.note_run(
        connection,
        run_id,
        "published" if published else "failed",
        published=bool(published),
        finished=not published,
    )
    details = {row["entity"]: {name: row[name] for name in ("state", "rows_read", *COUNTS)} for row in rows}
    journal.audit(connection, fence.county_id, run_id, "run.publish", ",".join(published), details)
    told = outcome(connection, run_id)
    ddl.attach_leaves(connection, fence.county_id)
    return told


COUNTS = ("rows_inserted", "rows_updated", "rows_deleted", "rows_quarantined", "rows_released", "rows_held")


def counts(applied: apply.Applied) -> dict[str, int]:
    """The columns of `run_entity` that hold what an apply wrote."""
    return {name: getattr(applied, name.removeprefix("rows_")) for name in COUNTS}


def outcome(connection: Connection, run_id: str, *, already_published: bool = False) -> RunOutcome:
    """The run as the journal tells it."""
    run = journal.run(connection, run_id)
    failed = journal.failed_rules(connection, run_id)
    entities = tuple(
        entity_outcome(row, failed.get(row["entity"], ())) for row in journal.entities(connection, run_id)
    )
    return RunOutcome(run_id, run["county_id"], run["state"], entities, already_published)


def entity_outcome(row: dict[str, Any], failed_rules: tuple[str, ...] = ()) -> EntityOutcome:
    """One row of `run_entity` as a result."""
    return EntityOutcome(
        entity=row["entity"],
        state=row["state"],
        mode=row["mode"],
        read=row["rows_read"],
        inserted=row["rows_inserted"],
        updated=row["rows_updated"],
        deleted=row["rows_deleted"],
        quarantined=row["rows_quarantined"],
        released=row["rows_released"],
        held=row["rows_held"],
        seconds=row["extract_seconds"],
        failed_rules=failed_rules,
        message=row["message"],
    )


def _hold_back(connection: Connection, run_id: str, row: dict[str, Any]) -> None:
    reasons = {
        "planned": "extract did not finish",
        "staged": "validate did not finish",
    }
    if row["state"] in reasons:
        journal.note_entity(connection, run_id, row["entity"], state="failed", message=reasons[row["state"]])


def _relations_hold(
    connection: Connection, entity: Entity, fence: apply.Fence, row: dict[str, Any], rule: Rule | None
) -> bool:
    """Judge rows without a parent, set-wise and after the parents were applied; they wait in quarantine,
    unless there are too many.
    """
    if rule is None:
        return True
    judged, waiting, fresh = apply.orphans(connection, entity, fence, row["stage_table"])
    blocks = fresh > max(ORPHAN_FLOOR, judged * ORPHAN_PERCENT / 100)
    result = RuleResult(rule.id, rule.severity, rule.title, waiting == 0, judged, waiting, blocks)
    journal.record_quality(connection, fence.run_id, entity.name, [result])
    if blocks:
        message = (
            f"{fresh} of {judged} rows have no {entity.parent} in the target: was {entity.parent} published?"
        )
        journal.note_entity(connection, fence.run_id, entity.name, state="blocked", message=message)
        return False
    if waiting:
        apply.reject_orphans(connection, entity, fence, row["stage_table"], rule.id)
    return True
