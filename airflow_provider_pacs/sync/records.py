"""The typed records that cross a boundary: what a run plans, what the journal holds, what came of it.

They are frozen, hold counts and keys but never rows, and are read from PostgreSQL with psycopg's `class_row`.
XCom, the command line and the page derive from them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from functools import cache
from typing import Any, Literal
from uuid import UUID

from pydantic import TypeAdapter

from airflow_provider_pacs.sync.schema.catalog import ResolvedTable

MAPPING_VERSION = 2
"""Counts up when this package makes another value of the same source row: then every row is read again."""

RunKind = Literal["sync", "reconcile", "backfill", "approval", "rollback", "realtime"]
RunState = Literal["running", "published", "succeeded", "pending", "blocked", "drift", "failed", "superseded"]
EntityState = Literal["planned", "extracting", "staged", "passed", "blocked", "published", "failed"]
Mode = Literal["full", "window", "keys"]
Coverage = Literal["all_rows", "window", "keys"]
CertificateState = Literal["clean", "pending", "blocked", "drift"]
Difference = Literal["missing", "differing", "extra_in_target"]

RUN_STATE_OF: dict[CertificateState, RunState] = {
    "clean": "succeeded",
    "pending": "pending",
    "blocked": "blocked",
    "drift": "drift",
}
"""How a run ends, by the state of its certificate."""

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
class ReadPlan:
    """How one entity is read in one run: made once by `plan`, executed by the later steps as it is.

    Attributes:
        table: the entity's table with its columns as the catalog declared them.
        mode: `full` reads the whole table, `window` what the strategy shows as changed, `keys` named rows.
        strategy: the incremental strategy that keeps the cursor; `backfill` keeps none.
        reason: why, in one sentence.
        lower: lower bound as SQL Server's text; None in full mode.
        upper: upper bound; None where the table has no usable change column.
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

    @property
    def entity(self) -> str:
        return self.table.map.entity

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
        source_key_sum: a sum over the keys at that moment, as text; None where keys have no number.
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
        source_columns: every column of the source's table as it was declared then.
    """

    county_id: str
    entity: str
    strategy: str
    watermark: str | None
    watermark_type: str | None
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
class DeleteBounds:
    """Rows of an entity that may become tombstones without a person: more than both bounds allow is pending.

    Attributes:
        max_rows: rows.
        max_percent: percent of the live rows.
        window_days: the bounds hold for one run and for all runs of these days together; 0 for one run only.
    """

    max_rows: int
    max_percent: float
    window_days: int = 7

    def refuses(self, gone: int, live: int, *, earlier: int = 0, source_is_empty: bool = False) -> bool:
        """Whether `gone` deletes of `live` rows, after `earlier` ones of the window, need a person.

        An empty source always does (domain.md G9, correctness.md C7).
        """
        if gone == 0:
            return False
        allowed = max(self.max_rows, (live + earlier) * self.max_percent / 100)
        return source_is_empty or gone + earlier > allowed


@dataclass(frozen=True, slots=True)
class PendingDeletes:
    """A set of deletes that waits for a person. `digest` (hex) binds a decision to the keys."""

    pending_id: int
    county_id: str
    entity: str
    run_id: UUID
    row_count: int
    live_count: int
    digest: str
    reason: str
    state: str
    created_at: datetime

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"run_id": str(self.run_id), "created_at": self.created_at.isoformat()}


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


@dataclass(frozen=True, slots=True)
class SourceCensus:
    """What the source says of an entity's rows in one statement.

    Attributes:
        rows: how many there are.
        late: of these, newer than the run's upper bound.
        key_sum: a sum over the keys, as text; None where keys have no number.
        control: control totals of all rows: group -> column -> sum as decimal text; the group is the tax year
            of a value and '' elsewhere.
    """

    rows: int
    late: int
    key_sum: str | None
    control: dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class EntityCertificate:
    """One entity's arithmetic: both sides, every row of them in exactly one term.

    `source_rows = equal + quarantined + waiting + newer + missing + differing` and
    `target_rows = equal + kept + pending_deletes + extra_in_target + differing`.

    Attributes:
        covered: `all_rows` were compared byte by byte; `window`, the rows of the run's window, while the keys
            of all others were counted and summed on both sides; `keys`, the named rows only.
        state: `clean`, `pending` (a person must decide), `blocked` (an entity was held back) or `drift`.
        compared: rows whose images were compared.
        source_rows: rows at the source; with coverage `keys` those that were read.
        target_rows: live rows; with coverage `keys` those of the same keys.
        equal: published, and equal as far as covered.
        quarantined: the source's present image is in quarantine.
        waiting: of the quarantine, those that wait for their parent only.
        newer: changed at the source since the run's bound; the next run reads them.
        kept: live rows of the target whose source row is quarantined, waiting or newer: the last good
            version.
        pending_deletes: live rows that are gone at the source and wait for a person.
        missing: at the source and nowhere here: drift.
        differing: here with other values: drift.
        extra_in_target: here and not at the source: drift.
        lower: the window's lower bound at the source; None where all rows were read.
        upper: the run's upper bound at the source.
        method: how the source's side was obtained, in a few words.
        source_control: control totals by SQL Server, see `SourceCensus.control`.
        target_control: the same by PostgreSQL over the live rows.
        sample_keys: some keys behind missing, differing and extra_in_target, as `kind:key`.
        message: why an entity was held back.
    """

    entity: str
    covered: Coverage
    state: CertificateState
    compared: int = 0
    source_rows: int = 0
    target_rows: int = 0
    equal: int = 0
    quarantined: int = 0
    waiting: int = 0
    newer: int = 0
    kept: int = 0
    pending_deletes: int = 0
    missing: int = 0
    differing: int = 0
    extra_in_target: int = 0
    lower: str | None = None
    upper: str | None = None
    method: str = ""
    source_control: dict[str, dict[str, str]] | None = None
    target_control: dict[str, dict[str, str]] | None = None
    sample_keys: tuple[str, ...] = ()
    message: str = ""

    @property
    def clean(self) -> bool:
        return self.state == "clean"

    @property
    def source_remainder(self) -> int:
        """Source rows in no term: always 0 in a true certificate."""
        return self.source_rows - (
            self.equal + self.quarantined + self.waiting + self.newer + self.missing + self.differing
        )

    @property
    def target_remainder(self) -> int:
        """Live rows in no term: always 0 in a true certificate."""
        return self.target_rows - (
            self.equal + self.kept + self.pending_deletes + self.extra_in_target + self.differing
        )

    @property
    def drift(self) -> int:
        """Rows that no term explains."""
        return (
            self.missing
            + self.differing
            + self.extra_in_target
            + abs(self.source_remainder)
            + abs(self.target_remainder)
        )

    def as_dict(self) -> dict[str, Any]:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {
            "clean": self.clean,
            "drift": self.drift,
            "sample_keys": list(self.sample_keys),
        }


@dataclass(frozen=True, slots=True)
class Certificate:
    """The certificate of a run: one arithmetic per planned entity.

    Attributes:
        audit_head: hash at the head of the county's audit chain when it was issued, so that an outside copy
            exists.
    """

    run_id: str
    county_id: str
    kind: RunKind
    covered: Coverage
    entities: tuple[EntityCertificate, ...]
    code_version: str = ""
    mapping_version: int = MAPPING_VERSION
    source_now: str | None = None
    issued_at: datetime | None = None
    audit_head: str = ""
    seconds: float = 0.0

    @property
    def state(self) -> CertificateState:
        return worst_state(tuple(each.state for each in self.entities))

    @property
    def run_state(self) -> RunState:
        return RUN_STATE_OF[self.state]

    @property
    def clean(self) -> bool:
        return self.state == "clean"

    @property
    def blocked(self) -> tuple[str, ...]:
        """Entities that kept their last good data."""
        return tuple(each.entity for each in self.entities if each.state == "blocked")

    def as_dict(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "county_id": self.county_id,
            "kind": self.kind,
            "covered": self.covered,
            "state": self.state,
            "clean": self.clean,
            "blocked": list(self.blocked),
            "code_version": self.code_version,
            "mapping_version": self.mapping_version,
            "source_now": self.source_now,
            "issued_at": self.issued_at.isoformat() if self.issued_at else None,
            "audit_head": self.audit_head,
            "entities": {each.entity: each.as_dict() for each in self.entities},
        }


_BY_SEVERITY: tuple[CertificateState, ...] = ("blocked", "drift", "pending", "clean")


def worst_state(states: tuple[CertificateState, ...]) -> CertificateState:
    """What a whole certificate says: its worst entity; a certificate of nothing is no proof."""
    return next((state for state in _BY_SEVERITY if state in states), "blocked")


@dataclass(frozen=True, slots=True)
class Decision:
    """What came of one pending set.

    Attributes:
        pending_id: the set.
        entity: canonical entity name.
        state: `applied` or `rejected`.
        deleted: rows that became tombstones.
        kept: rows of the set that the source has again.
    """

    pending_id: int
    entity: str
    state: str
    deleted: int = 0
    kept: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
