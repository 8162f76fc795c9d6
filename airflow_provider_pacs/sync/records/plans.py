"""What a run plans: how each entity is read, and the moment at the source that it stands for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter

from airflow_provider_pacs.sync.entities import Entity, EntityColumn, load_entities
from airflow_provider_pacs.sync.records.approvals import PendingDeletes
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable

MAPPING_VERSION = 2
"""Counts up when this package makes another value of the same source row: then every row is read again."""


RunKind = Literal["sync", "reconcile", "backfill", "approval", "rollback", "realtime"]


RunState = Literal[
    "running", "published", "succeeded", "pending", "blocked", "drift", "failed", "superseded", "rolled_back"
]


EntityState = Literal["planned", "extracting", "staged", "passed", "blocked", "published", "failed"]


Mode = Literal["full", "window", "keys"]


Coverage = Literal["all_rows", "window", "keys"]


Difference = Literal["missing", "differing", "extra_in_target"]


BACKFILL = "backfill"
"""In place of a strategy's name: one window that somebody chose, which no cursor follows."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """A window to read again: rows of `entity` stamped in [since, until), as SQL Server reads these texts.

    SQL Server reads them with style 121.
    """

    entity: str
    since: str
    until: str


@dataclass(frozen=True, slots=True)
class RollbackScope:
    """What a rollback takes back.

    Attributes:
        run_id: the run; with `onto` the run whose end is the state to go back to.
        onto: every later run is undone, instead of the run itself.
        confirmed: a person saw the proposal's digest, so the delete guard lets the rows go.
    """

    run_id: str
    onto: bool = False
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """How one entity is read in one run: made once by `plan`, executed by the later steps as it is.

    Attributes:
        table: the entity's table with its columns as the catalog declared them.
        mode: `full` reads the whole table, `window` what the strategy shows as changed, `keys` named rows.
        strategy: the incremental strategy that keeps the cursor; `backfill` keeps none.
        reason: why, in one sentence.
        lower: lower bound as SQL Server's text; None in full mode.
        upper: upper bound; None where the table has no usable change column.
        promoted: every promoted column that the entity's table in the target has, this county's or not.
        cursor: where the next window begins, before its overlap: the upper bound, or an earlier stamp.
        change_type: declared type of the change column; None where unknown.
        fingerprint: SHA-256 (hex) of everything that decides what a source row becomes.
        schema_fingerprint: of the mapped columns at the source.
        source_columns: every column of the source's table with its declaration; empty where unknown.
        added_columns: those that came after the first load and can be carried in `extra`.
        probes_deletes: the strategy shows no hard deletes, so the run counts the source and compares keys.
        compares: every row is compared with what is published, and what differs is read once more.
        keys: the rows to read in mode `keys`.
        pending_ids: the approved sets of deletes that this run applies.
        rollback: of a rollback, what it takes back: its rows come from the change log, not from the source.
        feed: which feed of the server the bounds belong to; None where the strategy reads none.
        snapshot: the window is read at SNAPSHOT isolation, so that the feed and its table show one moment.
    """

    table: ResolvedTable
    mode: Mode
    strategy: str
    reason: str
    lower: str | None
    upper: str | None
    change_type: str | None
    fingerprint: str
    schema_fingerprint: str
    source_columns: dict[str, str] = field(default_factory=dict)
    added_columns: tuple[str, ...] = ()
    probes_deletes: bool = True
    compares: bool = False
    keys: tuple[str, ...] = ()
    pending_ids: tuple[int, ...] = ()
    cursor: str | None = None
    rollback: RollbackScope | None = None
    feed: str | None = None
    snapshot: bool = False
    promoted: tuple[EntityColumn, ...] = ()

    @property
    def entity(self) -> str:
        return self.table.map.entity

    @property
    def canonical(self) -> Entity:
        """The entity with every column that its table in the target has."""
        return load_entities()[self.entity].with_promoted(self.promoted)

    @property
    def moves_cursor(self) -> bool:
        """Whether publishing this plan stores its upper bound as the next cursor."""
        return self.mode != "keys" and self.strategy != BACKFILL

    def as_json(self) -> dict[str, Any]:
        """The plan as JSON values, for the journal."""
        stored = replace(self, table=replace(self.table, map=replace(self.table.map, joined=None)))
        document: dict[str, Any] = _plan_adapter().dump_python(stored, mode="json")
        return document

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> ReadPlan:
        """The plan that `as_json` wrote.

        Raises:
            pydantic.ValidationError: it was written by another version of this package.
        """
        return _plan_adapter().validate_python(document)


@cache
def _plan_adapter() -> TypeAdapter[ReadPlan]:
    return TypeAdapter(ReadPlan)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run of one county, claimed: its id, its epoch and a plan per entity, parents first."""

    run_id: str
    county_id: str
    epoch: int
    kind: RunKind
    entities: tuple[ReadPlan, ...]

    def as_dict(self) -> dict[str, Any]:
        plans = {
            plan.entity: {
                "mode": plan.mode,
                "strategy": plan.strategy,
                "reason": plan.reason,
                "upper": plan.upper,
            }
            for plan in self.entities
        }
        return {
            "run_id": self.run_id,
            "county_id": self.county_id,
            "epoch": self.epoch,
            "kind": self.kind,
            "entities": plans,
        }


@dataclass(frozen=True, slots=True)
class SourceMoment:
    """The source's clock when a run was planned, asked once for all entities.

    Attributes:
        now: on the clock that stamps rows, as SQL Server's text.
        utc: the same moment in UTC, as SQL Server's text.
        year: the calendar year in the county's time zone; every "now" of a rule is this, never the worker's.
    """

    now: str
    utc: str
    year: int


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What somebody asks for.

    Attributes:
        kind: the run kind; it differs from others only in the rows that its plan selects.
        trigger: who asked: Airflow's run id, or `cli`.
        mode: `full` reads every table whole, `auto` the changes where a cursor allows it.
        window: of a backfill.
        approved: the pending sets of an approval.
        one_process: all steps run in this process.
    """

    kind: RunKind
    trigger: str
    mode: Literal["auto", "full"] = "auto"
    window: Backfill | None = None
    approved: tuple[PendingDeletes, ...] = ()
    one_process: bool = False
