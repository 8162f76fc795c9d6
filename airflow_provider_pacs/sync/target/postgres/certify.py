"""Compared staging tables of a run -> repairs, certificates, the run's final state, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.quality.model import Rule, RuleResult
from airflow_provider_pacs.sync.records import CertificateOutcome, EntityCertificate, EntityOutcome, RunState
from airflow_provider_pacs.sync.target.port import Comparison
from airflow_provider_pacs.sync.target.postgres import apply, compare, ddl, journal, whole
from airflow_provider_pacs.sync.target.postgres.publish import entity_outcome
from airflow_provider_pacs.sync.target.postgres.sql import leaf

Connection = psycopg.Connection[Any]


def certify(
    connection: Connection,
    run_id: str,
    guard: apply.Guard,
    relations: dict[str, Rule],
    found: list[Comparison],
    seen: Mapping[str, whole.Sides] | None = None,
) -> CertificateOutcome:
    """Repair what the second look confirmed, compare again, and say in a certificate per entity what is left.

    Args:
        connection: in a transaction of the caller.
        run_id: the run whose certificate this is; it must still hold the county.
        guard: the delete guard.
        relations: per child entity the rule under which rows without a parent wait.
        found: per entity what was compared, parents first.
        seen: by staging table what this process saw when it compared a whole table. It is the evidence where
            nothing had to be repaired; otherwise, and in another process, everything is compared again.

    Raises:
        ConflictError: a later run has taken the county.
    """
    run = journal.run(connection, run_id)
    journal.hold_epoch(connection, run["county_id"], run["epoch"])
    fence = apply.Fence(run_id, run["county_id"], run["epoch"])
    certificates = tuple(
        _one(connection, fence, guard, relations, comparison, seen or {}) for comparison in found
    )
    for child, rule in relations.items():
        journal.record_quality(
            connection,
            run_id,
            child,
            _deleted_parents(connection, load_entities()[child], fence.county_id, rule),
        )
    if (
        run["kind"] == "reconcile"
    ):  # such a run publishes nothing but its repairs: its entity rows tell what it read and wrote
        for certificate in certificates:
            if (told := certificate.applied) is not None:
                _note_repairs(connection, run_id, told)
    held_back = tuple(
        row["entity"]
        for row in journal.entities(connection, run_id)
        if row["state"] not in {"published", "planned"}
    )
    for certificate in certificates:
        journal.issue_certificate(
            connection,
            run_id,
            fence.county_id,
            certificate,
            config=run["config_fingerprint"],
            code=run["code_version"],
        )
    state = _final_state(certificates, held_back)
    message = f"held back: {', '.join(held_back)}" if held_back else ""
    journal.note_run(connection, run_id, state, message, finished=True)
    scope: Literal["delta", "full"] = "full" if all(c.scope == "full" for c in certificates) else "delta"
    result = CertificateOutcome(run_id, fence.county_id, scope, state, certificates, held_back=held_back)
    details = {
        c.entity: {"clean": c.clean, "repaired": c.repaired, "held": c.held, "remaining": c.remaining}
        for c in certificates
    }
    journal.audit(
        connection,
        fence.county_id,
        run_id,
        "run.certificate",
        scope,
        {"clean": result.clean, "state": state, "entities": details},
    )
    ddl.attach_leaves(connection, fence.county_id)
    return result


def _deleted_parents(connection: Connection, child: Entity, county_id: str, rule: Rule) -> list[RuleResult]:
    """A warning that counts the live children of parents that were deleted: they stay as they are, and
    somebody should know (case 114).
    """
    parent = load_entities()[str(child.parent)]
    if not (ddl.leaf_exists(connection, child, county_id) and ddl.leaf_exists(connection, parent, county_id)):
        return []
    counted = connection.execute(
        sql.SQL(
            "SELECT count(*), count(*) FILTER (WHERE c.{link} IN (SELECT p.{key} FROM {parents} AS p WHERE "
            "p._deleted_at IS NOT NULL)) "
            "FROM {children} AS c WHERE c._deleted_at IS NULL"
        ).format(
            link=sql.Identifier(str(child.parent_key)),
            key=sql.Identifier(parent.key),
            parents=leaf(parent, county_id),
            children=leaf(child, county_id),
        )
    ).fetchone()
    live, left = counted or (0, 0)
    title = f"No {child.name} is left behind by a deleted {parent.name}"
    return [RuleResult(f"{rule.id}-deleted", "warn", title, left == 0, live, left, blocks=False)]


def _note_repairs(connection: Connection, run_id: str, told: EntityOutcome) -> None:
    journal.note_entity(
        connection,
        run_id,
        told.entity,
        rows_read=told.read,
        rows_inserted=told.inserted,
        rows_updated=told.updated,
        rows_deleted=told.deleted,
        rows_quarantined=told.quarantined,
        rows_released=told.released,
        rows_held=told.held,
        extract_seconds=told.seconds,
    )


def _final_state(certificates: tuple[EntityCertificate, ...], held_back: tuple[str, ...]) -> RunState:
    if held_back:
        return "failed"
    return "held" if any(certificate.held for certificate in certificates) else "succeeded"


def _one(
    connection: Connection,
    fence: apply.Fence,
    guard: apply.Guard,
    relations: dict[str, Rule],
    found: Comparison,
    seen: Mapping[str, whole.Sides],
) -> EntityCertificate:
    entity = load_entities()[found.entity]
    complete = found.scope == "full"
    applied = apply.Applied()
    if found.recheck_table is not None:
        rule = relations.get(entity.name)
        if rule is not None:
            apply.reject_orphans(connection, entity, fence, found.recheck_table, rule.id)
        empty = (
            complete
            and apply.is_empty(connection, found.table)
            and apply.is_empty(connection, found.recheck_table)
        )
        applied = apply.apply_stage(
            connection,
            entity,
            fence,
            found.recheck_table,
            guard,
            source_is_empty=empty,
            waiting_rule=rule.id if rule else None,
        )
        compare.replace_keys(connection, entity, found.table, found.recheck_table)
    kinds = [kind for _, kind in found.differences]
    common: dict[str, Any] = {
        "entity": entity.name,
        "scope": found.scope,
        "upper": found.upper,
        "missing": kinds.count("missing"),
        "differing": kinds.count("differing"),
        "ghosts": kinds.count("ghost"),
        "repaired": applied.inserted + applied.updated + applied.deleted,
        "held": applied.held,
        "sample_keys": tuple(compare.sample(found.differences)),
        "applied": entity_outcome(_as_row(found, applied)),
    }
    if not complete:
        remaining = len(compare.differences(connection, entity, fence.county_id, found.table))
        return _delta(connection, fence, found, remaining, common)
    sides = seen.get(found.table) if found.recheck_table is None else None
    sides = sides or whole.compare(connection, entity, fence.county_id, found.table)
    return EntityCertificate(
        clean=sides.equal,
        source_rows=sides.source_rows,
        target_rows=sides.target_rows,
        quarantined=compare.open_quarantine(connection, entity, fence.county_id),
        late=sides.late,
        remaining=len(sides.differences),
        sums=sides.target_sums,
        source_digest=sides.source_digest,
        target_digest=sides.target_digest,
        **common,
    )


def _delta(
    connection: Connection, fence: apply.Fence, found: Comparison, remaining: int, common: dict[str, Any]
) -> EntityCertificate:
    """Counts and touched keys (backfill: keys alone).

    Rows stamped after the upper bound may be in the target or not: the count may lie between.
    """
    entity = load_entities()[found.entity]
    if found.window_only:
        rows, waiting = compare.window_counts(connection, entity, fence.county_id, found.table)
        return EntityCertificate(
            clean=remaining == 0,
            source_rows=rows,
            target_rows=rows - waiting - remaining,
            quarantined=waiting,
            late=0,
            remaining=remaining,
            **common,
        )
    live = compare.live_count(connection, entity, fence.county_id)
    absent = compare.open_quarantine(connection, entity, fence.county_id, absent=True)
    counts_agree = found.source_rows - found.late_rows <= live + absent <= found.source_rows
    off = 0 if counts_agree else abs(found.source_rows - live - absent)
    return EntityCertificate(
        clean=remaining == 0 and counts_agree,
        source_rows=found.source_rows,
        target_rows=live,
        quarantined=absent,
        late=found.late_rows,
        remaining=remaining + off,
        **common,
    )


def _as_row(found: Comparison, applied: apply.Applied) -> dict[str, Any]:
    return {
        "entity": found.entity,
        "state": "published",
        "mode": "full" if found.scope == "full" else "changes",
        "rows_read": found.rows_read,
        "rows_inserted": applied.inserted,
        "rows_updated": applied.updated,
        "rows_deleted": applied.deleted,
        "rows_quarantined": applied.quarantined,
        "rows_released": applied.released,
        "rows_held": applied.held,
        "extract_seconds": found.seconds,
        "message": "",
    }
