"""A pending set of deletes and somebody's decision -> a run over its keys, or the set let go.

A decision counts once.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.records import Decision, PendingDeletes, RunOutcome, RunRequest
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.steps.failures import audit_failures
from airflow_provider_pacs.sync.steps.run import run_all
from airflow_provider_pacs.sync.target.port import Target


def pending_deletes(config: CountyConfig, target: Target) -> list[PendingDeletes]:
    """Undecided sets of the county, oldest first."""
    return target.approvals.pending(config.fips)


def approve(
    config: CountyConfig,
    source: SourceReader,
    target: Target,
    *,
    sets: Sequence[tuple[int, str]],
    actor: str,
    trigger: str,
) -> list[Decision]:
    """Apply pending sets by a run of their own: each key is looked up at the source once more.

    Only rows that are still gone become tombstones; a row that came back is validated and published like any
    other.

    Args:
        config: the county.
        source: an open reader.
        target: an open target.
        sets: (pending_id, digest in hex) of each set; the digest binds the decision to the keys that were
            shown.
        actor: who decided.
        trigger: where, for the run's record.

    Raises:
        ConflictError: a set was decided or replaced meanwhile, or holds other keys; nothing of it was
            applied.
        RetryableError: PACS-008, another run of the county is at work.
        DataError: the run's certificate is neither clean nor pending.
    """
    with audit_failures(config, target, "approve", kind="approval", trigger=trigger):
        approved = tuple(
            target.approvals.pending_set(config.fips, pending_id, digest) for pending_id, digest in sets
        )
        request = RunRequest("approval", trigger, approved=approved, one_process=True)
        outcome, _ = run_all(config, source, target, request, actor=actor)
    return [_decision(pending, outcome) for pending in approved]


def _decision(pending: PendingDeletes, outcome: RunOutcome) -> Decision:
    entity = next(each for each in outcome.entities if each.entity == pending.entity)
    return Decision(
        pending.pending_id,
        pending.entity,
        "applied",
        deleted=entity.deleted,
        kept=max(pending.row_count - entity.deleted, 0),
    )


def reject(
    config: CountyConfig,
    target: Target,
    *,
    sets: Sequence[tuple[int, str]],
    actor: str,
    trigger: str = "cli",
) -> list[Decision]:
    """Let pending sets go: the rows stay. The next run that finds them gone sets them aside again.

    Raises:
        ConflictError: a set was decided or replaced meanwhile, or holds other keys.
    """
    with audit_failures(config, target, "reject", kind="approval", trigger=trigger):
        return [
            Decision(pending_id, target.approvals.reject(config.fips, pending_id, digest, actor), "rejected")
            for pending_id, digest in sets
        ]
