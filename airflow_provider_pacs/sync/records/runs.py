"""What the journal holds of runs, cursors, quarantine and audit, and what publishing did."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from airflow_provider_pacs.sync.records.plans import EntityState, Mode, ReadPlan, RunKind, RunState


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A row of `pacs_ops.sync_run`."""

    run_id: UUID
    county_id: str
    epoch: int
    kind: RunKind
    trigger: str
    state: RunState
    source_now: str | None
    source_year: int
    source_identity: dict[str, Any] | None
    config_fingerprint: str
    code_version: str
    mapping_version: int
    message: str
    started_at: datetime
    published_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class EntityRun:
    """A row of `pacs_ops.run_entity`: one entity of one run.

    Attributes:
        attempt: the try whose staging table counts; a note of an earlier try changes nothing.
        stage_table: the staging table of that try; None until it is filled.
        verdict_table: the staging table that `validate` passed; publish takes exactly this or nothing.
        verdict_rows: how many rows it held then.
        source_count: rows of the source when the extract counted them; None where it did not.
        source_key_sum: the sum of the keys' hashes at that moment, as decimal text; None as before.
        sample_keys: some keys of what a comparison found to differ, as `kind:key`.
    """

    run_id: UUID
    entity: str
    position: int
    mode: Mode
    strategy: str
    reason: str
    lower_bound: str | None
    upper_bound: str | None
    change_type: str | None
    fingerprint: str
    schema_fingerprint: str
    state: EntityState
    attempt: int
    stage_table: str | None
    verdict_table: str | None
    verdict_rows: int | None
    source_count: int | None
    source_key_sum: str | None
    sample_keys: list[str]
    rows_read: int
    rows_staged: int
    rows_inserted: int
    rows_updated: int
    rows_deleted: int
    rows_quarantined: int
    rows_released: int
    rows_pending: int
    extract_seconds: float
    message: str
    plan: dict[str, Any]
    updated_at: datetime

    @property
    def read_plan(self) -> ReadPlan:
        """The stored plan, typed."""
        return ReadPlan.from_json(self.plan)


@dataclass(frozen=True, slots=True)
class Cursor:
    """A row of `pacs_ops.sync_state`: up to where an entity was published.

    Attributes:
        watermark: text made by SQL Server in `watermark_type`, handed back as it is; None: read everything.
        feed: which feed of the server the watermark belongs to; None where the strategy reads none.
        source_columns: every column of the source's table as it was declared then.
    """

    county_id: str
    entity: str
    strategy: str
    watermark: str | None
    watermark_type: str | None
    feed: str | None
    fingerprint: str
    schema_fingerprint: str
    source_columns: dict[str, str]
    added_columns: list[str]
    epoch: int
    run_id: UUID
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Rows that publishing one entity wrote, or kept back."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    quarantined: int = 0
    released: int = 0
    pending: int = 0

    @property
    def changed(self) -> int:
        return self.inserted + self.updated + self.deleted


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """An open quarantine row: key, broken rules, when; no values."""

    entity: str
    source_key: str
    rules: list[str]
    attempts: int
    first_seen_at: datetime
    last_seen_at: datetime
    run_id: UUID


@dataclass(frozen=True, slots=True)
class OrphanedRow:
    """A live child of a deleted parent: keys, no values."""

    entity: str
    source_key: str
    parent: str
    parent_key: str
    parent_deleted_at: datetime


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row of `pacs_ops.audit`."""

    seq: int
    at: datetime
    county_id: str | None
    run_id: UUID | None
    actor: str
    action: str
    object: str
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EntityOutcome:
    """Where one entity of a run stands. Counts are rows.

    Attributes:
        failed_rules: ids of rules that did not hold, any severity.
        sample_keys: of a comparison, some keys of what differed before this run, as `kind:key`.
        rows_per_second: read and staged, wall clock.
    """

    entity: str
    state: EntityState
    mode: str
    read: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    quarantined: int = 0
    released: int = 0
    pending_deletes: int = 0
    seconds: float = 0.0
    failed_rules: tuple[str, ...] = ()
    message: str = ""
    sample_keys: tuple[str, ...] = ()

    @property
    def rows_per_second(self) -> float:
        return self.read / self.seconds if self.seconds > 0 else 0.0

    @property
    def changed(self) -> int:
        return self.inserted + self.updated + self.deleted

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "failed_rules": list(self.failed_rules),
            "sample_keys": list(self.sample_keys),
            "rows_per_second": round(self.rows_per_second),
        }


def entity_outcome(row: EntityRun, failed_rules: tuple[str, ...] = ()) -> EntityOutcome:
    """One entity of a run as a result."""
    return EntityOutcome(
        entity=row.entity,
        state=row.state,
        mode=row.mode,
        read=row.rows_read,
        inserted=row.rows_inserted,
        updated=row.rows_updated,
        deleted=row.rows_deleted,
        quarantined=row.rows_quarantined,
        released=row.rows_released,
        pending_deletes=row.rows_pending,
        seconds=row.extract_seconds,
        failed_rules=failed_rules,
        message=row.message,
        sample_keys=tuple(row.sample_keys),
    )


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What publish did. `already_published` says that nothing was left to do."""

    run_id: str
    county_id: str
    state: RunState
    entities: tuple[EntityOutcome, ...]
    already_published: bool = False

    @property
    def blocked(self) -> tuple[EntityOutcome, ...]:
        """Entities that kept their last good data."""
        return tuple(outcome for outcome in self.entities if outcome.state != "published")

    def as_dict(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "county_id": self.county_id,
            "state": self.state,
            "already_published": self.already_published,
            "changed": sum(outcome.changed for outcome in self.entities),
            "entities": {outcome.entity: outcome.as_dict() for outcome in self.entities},
        }
