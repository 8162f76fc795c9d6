"""What several steps ask of a run's record: one entity of it, the rules of relations, the delete guard's
bounds.
"""

from __future__ import annotations

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.quality import Rule, load_suite
from airflow_provider_pacs.sync.records import DeleteBounds, EntityRun
from airflow_provider_pacs.sync.runtime.errors import DataError
from airflow_provider_pacs.sync.target.port import Target

RELATION_CHECK = "exists_in_parent"
"""Rules of this check need the other entities: publish evaluates them, set-wise, after the parents were
applied.
"""


def entity_run(target: Target, run_id: str, entity: str) -> EntityRun:
    """One entity of a run.

    Raises:
        ConflictError: the run is unknown.
        DataError: the entity is not part of it.
    """
    for row in target.runs.entities(run_id):
        if row.entity == entity:
            return row
    target.runs.run(run_id)  # raises where the run itself is unknown
    raise DataError(
        f"entity {entity!r} is not part of run {run_id}",
        remedy="clear the preflight task, so that a new run is planned",
    )


def relation_rules(config: CountyConfig) -> dict[str, Rule]:
    """Per child entity the rule under which rows without a parent wait.

    None where the county does not synchronise the parent.
    """
    children = [
        entity
        for name in config.sync.entities
        if (entity := load_entities()[name]).parent in config.sync.entities
    ]
    return {
        entity.name: rule
        for entity in children
        for rule in load_suite(entity)
        if rule.check == RELATION_CHECK
    }


def row_rules(entity: str) -> tuple[Rule, ...]:
    """The rules that a staging table can be evaluated on alone."""
    return tuple(rule for rule in load_suite(load_entities()[entity]) if rule.check != RELATION_CHECK)


def delete_bounds(config: CountyConfig) -> DeleteBounds:
    """The county's delete guard."""
    guard = config.delete_guard
    return DeleteBounds(guard.max_rows, guard.max_percent, guard.window_days)
