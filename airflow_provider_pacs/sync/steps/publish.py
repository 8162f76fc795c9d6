"""A run whose entities are validated -> the county's tables, in one transaction: the only way in."""

from __future__ import annotations

import logging

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.records import RunOutcome
from airflow_provider_pacs.sync.steps.entity_runs import delete_bounds, relation_rules
from airflow_provider_pacs.sync.steps.failures import audit_failures
from airflow_provider_pacs.sync.target.port import Target

log = logging.getLogger(__name__)


def publish(config: CountyConfig, target: Target, *, run_id: str, actor: str = "") -> RunOutcome:
    """Make everything that passed visible.

    Publishing again does what is left to do, and says so where nothing is.

    Args:
        config: the county.
        target: an open target.
        run_id: the run.
        actor: who approved the deletes of an approval.

    Raises:
        ConflictError: a later run has taken the county, or an approved set was decided meanwhile; nothing was
            written.
    """
    with audit_failures(config, target, "publish", run_id):
        outcome = target.publisher.publish(
            run_id,
            delete_bounds(config),
            relation_rules(config),
            actor=actor,
            history=config.history.enabled,
        )
    waiting = [
        f"{entity.entity} {entity.pending_deletes:,}" for entity in outcome.entities if entity.pending_deletes
    ]
    if waiting:
        log.warning(
            "%s: the source lacks rows that the target has, more than the delete guard allows: %s rows stay "
            "until "
            "somebody decides (`pacs approve %s`)",
            config.county,
            ", ".join(waiting),
            config.county,
        )
    return outcome
