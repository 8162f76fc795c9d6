"""A held set of deletes and somebody's decision -> looked at again at the source and applied, or let go.

A decision counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.steps.load import fill_with_keys, stage_name
from airflow_provider_pacs.sync.steps.plan import make_plan, shapes
from airflow_provider_pacs.sync.target.port import Target


@dataclass(frozen=True, slots=True)
class Decision:
    """What came of one held set.

    Attributes:
        held_id: the set.
        entity: canonical entity name.
        state: `applied` or `rejected`.
        deleted: rows that became tombstones.
        kept: rows of the set that the source has again.
    """

    held_id: int
    entity: str
    state: str
    deleted: int = 0
    kept: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "held_id": self.held_id,
            "entity": self.entity,
            "state": self.state,
            "deleted": self.deleted,
            "kept": self.kept,
        }


def held_sets(config: CountyConfig, target: Target) -> list[dict[str, Any]]:
    """Undecided sets of the county: `held_id, entity, row_count, live_count, digest` (hex)`, reason,
    held_at`.
    """
    return target.held_sets(config.fips)


def approve(
    config: CountyConfig,
    source: SourceReader,
    target: Target,
    *,
    held: Sequence[tuple[int, str]],
    actor: str,
    trigger: str,
) -> list[Decision]:
    """Apply held sets: each key is looked up at the source once more, and only those that are still gone
    become tombstones.

    Args:
        config: the county.
        source: an open reader.
        target: an open target.
        held: (held_id, digest in hex) of each set; the digest binds the decision to the keys that were shown.
        actor: who decided.
        trigger: where, for the run's row.

    Raises:
        ConflictError: a set was decided or replaced meanwhile, or holds other keys; nothing of it was
            applied.
    """
    sets = [target.held_set(config.fips, held_id, digest) for held_id, digest in held]
    plan = make_plan(config, source, target, kind="approve", mode="full", trigger=trigger)
    tables = shapes(config, source, target.run_entities(plan.run_id))
    decisions = []
    try:
        for one in sets:
            table = stage_name(plan.run_id, one["entity"], 0, f"_held{one['held_id']}")
            read = fill_with_keys(
                source, target, tables[one["entity"]], one["keys"], table, county_id=config.fips, append=False
            )
            deleted = target.apply_held(
                plan.run_id, load_entities()[one["entity"]], one["held_id"], one["digest"], table, actor
            )
            decisions.append(Decision(one["held_id"], one["entity"], "applied", deleted, read))
    finally:
        target.drop_stages(
            stage_name(plan.run_id, one["entity"], 0, f"_held{one['held_id']}") for one in sets
        )
        target.close_run(plan.run_id, "succeeded" if len(decisions) == len(sets) else "failed")
    return decisions


def reject(
    config: CountyConfig, target: Target, *, held: Sequence[tuple[int, str]], actor: str
) -> list[Decision]:
    """Let held sets go: the rows stay. The next run that finds them gone holds them again.

    Raises:
        ConflictError: a set was decided or replaced meanwhile, or holds other keys.
    """
    return [
        Decision(held_id, target.reject_held(config.fips, held_id, digest, actor), "rejected")
        for held_id, digest in held
    ]
