"""Compared staging tables of a run -> repairs, certificates, the run's final state, in one transaction."""

from __future__ import annotations

from typing import Any, Literal

import psycopg

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.quality.model import Rule
from airflow_provider_pacs.sync.results import CertificateOutcome, EntityCertificate, RunState
from airflow_provider_pacs.sync.target.port import Comparison
from airflow_provider_pacs.sync.target.postgres import apply, compare, ddl, journal
from airflow_provider_pacs.sync.target.postgres.publish import entity_outcome

Connection = psycopg.Connection[Any]


def certify(connection: Connection, run_id: str, guard: apply.Guard, relations: dict[str, Rule], found: list[Comparison]) -> CertificateOutcome:
    """Repair what the second look confirmed, compare again, and say in a certificate per entity what is left.

    Args:
        connection: in a transaction of the caller.
        run_id: the run whose certificate this is; it must still hold the county.
        guard: the delete guard.
        relations: per child entity the rule under which rows without a parent wait.
        found: per entity what was compared, parents first.

    Raises:
        ConflictError: a later run has taken the county.
    """
    run = journal.run(connection, run_id)
    journal.hold_epoch(connection, run["county_id"], run["epoch"])
    fence = apply.Fence(run_id, run["county_id"], run["epoch"])
    certificates = tuple(_one(connection, fence, guard, relations, comparison) for comparison in found)
    held_back = tuple(row["entity"] for row in journal.entities(connection, run_id) if row["state"] not in {"published", "planned"})
    for certificate in certificates:
        journal.issue_certificate(connection, run_id, fence.county_id, certificate, config=run["config_fingerprint"], code=run["code_version"])
    state = _final_state(certificates, held_back)
    message = f"held back: {', '.join(held_back)}" if held_back else ""
    journal.note_run(connection, run_id, state, message, finished=True)
    scope: Literal["delta", "full"] = "full" if all(c.scope == "full" for c in certificates) else "delta"
    result = CertificateOutcome(run_id, fence.county_id, scope, state, certificates, held_back=held_back)
    details = {c.entity: {"clean": c.clean, "repaired": c.repaired, "held": c.held, "remaining": c.remaining} for c in certificates}
    journal.audit(connection, fence.county_id, run_id, "run.certificate", scope, {"clean": result.clean, "state": state, "entities": details})
    ddl.attach_leaves(connection, fence.county_id)
    return result


def _final_state(certificates: tuple[EntityCertificate, ...], held_back: tuple[str, ...]) -> RunState:
    if held_back:
        return "failed"
    return "held" if any(certificate.held for certificate in certificates) else "succeeded"


def _one(connection: Connection, fence: apply.Fence, guard: apply.Guard, relations: dict[str, Rule], found: Comparison) -> EntityCertificate:
    entity = load_entities()[found.entity]
    complete = found.scope == "full"
    applied = apply.Applied()
    if found.recheck_table is not None:
        if (rule := relations.get(entity.name)) is not None:
            apply.reject_orphans(connection, entity, fence, found.recheck_table, rule.id)
        applied = apply.apply_stage(connection, entity, fence, found.recheck_table, guard, complete=False)
        compare.replace_keys(connection, entity, found.table, found.recheck_table)
    remaining = len(compare.differences(connection, entity, fence.county_id, found.table, complete=complete))
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
        return _delta(connection, fence, found, remaining, common)
    sides = compare.sides(connection, entity, fence.county_id, found.table)
    equal = sides.source_rows == sides.target_rows and sides.source_digest == sides.target_digest and sides.source_sums == sides.target_sums
    return EntityCertificate(
        clean=remaining == 0 and equal,
        source_rows=sides.source_rows,
        target_rows=sides.target_rows,
        quarantined=sides.quarantined,
        late=sides.late,
        remaining=remaining,
        sums=sides.target_sums,
        source_digest=sides.source_digest,
        target_digest=sides.target_digest,
        **common,
    )


def _delta(connection: Connection, fence: apply.Fence, found: Comparison, remaining: int, common: dict[str, Any]) -> EntityCertificate:
    """Counts and touched keys. Rows stamped after the upper bound may be in the target or not: the count may lie between."""
    entity = load_entities()[found.entity]
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
