"""What the operations page reads of the journal, as typed records: counts, keys, states; no row values.

A record's fields are its statement's select list (`read_sql`), and the page's JSON derives from these
records: a field has one name from the table to the browser.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from airflow_provider_pacs.sync.records import (
    CertificateState,
    Coverage,
    EntityCertificate,
    EntityState,
    Mode,
    RunKind,
    RunRecord,
    RunState,
)

FAILED_STATES = ("failed", "blocked", "drift")
"""States of ended runs that did not bring everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow(RunRecord):
    """A run with the sums over its entities.

    Attributes:
        entities_blocked: entities that kept their last good data.
        read_seconds: of all extracts together.
        progress_at: the newest sign of life of an entity.
        messages: what the entities say, with their names.
    """

    entities: int
    entities_blocked: int
    rows_read: int
    rows_inserted: int
    rows_updated: int
    rows_deleted: int
    rows_quarantined: int
    rows_pending: int
    read_seconds: float
    progress_at: datetime | None
    messages: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityRow:
    """One entity of a run: `EntityRun` without its plan, its staging tables and its keys."""

    entity: str
    mode: Mode
    strategy: str
    reason: str
    lower_bound: str | None
    upper_bound: str | None
    change_type: str | None
    schema_fingerprint: str
    state: EntityState
    attempt: int
    source_count: int | None
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
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow:
    """A failed step.

    Attributes:
        run_id: None where the run never started.
        kind: of the run, or of the one that never started; None where nobody recorded it.
        trigger: Airflow's run id, or `cli`.
        entity: the step's entity.
        entity_state: where that entity stands now.
        entity_attempt: its newest try.
        entity_updated_at: its newest sign of life.
    """

    seq: int
    at: datetime
    county_id: str
    run_id: UUID | None
    step: str
    code: str
    error_class: str
    message: str
    remedy: str
    kind: RunKind | None
    trigger: str | None
    run_state: RunState | None
    entity: str | None
    entity_state: EntityState | None
    entity_attempt: int | None
    entity_updated_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRun:
    """A run that ended in its plan, before it had a row of its own: refused by an end or by a setting."""

    county_id: str
    kind: RunKind
    trigger: str
    at: datetime
    message: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CountyFacts:
    """One county's sums.

    Attributes:
        good_started_at: when the newest sync that brought everything began to read.
        recent_states: of the last ended syncs, newest first; `recent_started` and `recent_rows` beside it.
        rules: rules of the newest validated sync.
        certificate_state: the worst state of an entity in the newest certificate of a sync, reconcile or
            rollback.
        certificate_covered: the least that an entity of it was covered.
        pending_rows: deletes that wait for a person.
        hold: since when, by whom and why the county is on hold; None where its runs may publish.
    """

    county_id: str
    good_at: datetime | None
    good_started_at: datetime | None
    recent_states: list[str]
    recent_started: list[datetime]
    recent_rows: list[int]
    quarantined_open: int
    rules: int
    rules_broken: int
    rules_warned: int
    certificate_run_id: UUID | None
    certificate_state: CertificateState | None
    certificate_covered: Coverage | None
    certified_at: datetime | None
    pending_rows: int
    hold: str | None = None


@dataclass(frozen=True, slots=True)
class RealtimeRow:
    """What the target knows of a followed county.

    Attributes:
        held: why the county is on hold; None where it is not.
        run_at: when the newest realtime run was published.
        followed: what a realtime task kept here, before Airflow 3.3.
        polled: what the trigger kept here, before Airflow 3.3.
    """

    county_id: str
    held: str | None
    run_at: datetime | None
    followed: dict[str, Any] | None
    polled: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class CountyStanding:
    """What a target knows of one county.

    Attributes:
        facts: sums.
        run: its newest sync.
        failure: its newest failed step, of any run.
        refused: runs that never started, newest first.
        realtime: of a followed county; None in a journal that is older than this.
        other: the newest run of another kind that has no end yet.
        failed_decision: the newest decision on pending deletes that could not be carried out, where none was
            since.
    """

    facts: CountyFacts
    run: RunRow | None = None
    failure: FailureRow | None = None
    refused: tuple[RefusedRun, ...] = ()
    realtime: RealtimeRow | None = None
    other: RunRow | None = None
    failed_decision: FailureRow | None = None

    @property
    def newest_refused(self) -> RefusedRun | None:
        """The newest run that never started, where no sync has started since."""
        newest = next(iter(self.refused), None)
        if newest is None or (self.run is not None and self.run.started_at > newest.at):
            return None
        return newest

    def recent(self, limit: int = 20) -> list[str]:
        """States of the last ended syncs, newest first; one that never started counts as failed."""
        ended = list(zip(self.facts.recent_started, self.facts.recent_states, strict=True))
        ended += [(each.at, "failed") for each in self.refused if each.kind == "sync"]
        return [state for _, state in sorted(ended, reverse=True)][:limit]


@dataclass(frozen=True, slots=True, kw_only=True)
class CursorRow:
    """Up to where an entity was published."""

    entity: str
    strategy: str
    watermark: str | None
    watermark_type: str | None
    schema_fingerprint: str
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRow:
    """What one rule said in a run."""

    entity: str
    rule_id: str
    severity: str
    title: str
    success: bool
    evaluated: int
    unexpected: int
    blocks: bool
    detail: str
    validated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineRow:
    """Rows of an entity that wait under one rule, with a few of their keys.

    Attributes:
        rows: all of them; `dismissed` of these somebody leaves as they are.
    """

    entity: str
    rule: str
    rows: int
    dismissed: int
    first_seen_at: datetime
    last_seen_at: datetime
    keys: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineExportRow:
    """One open row of the quarantine; `dismissed_by` and `reason` where somebody leaves it as it is."""

    entity: str
    source_key: str
    rules: list[str]
    first_seen_at: datetime
    last_seen_at: datetime
    dismissed_by: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRow(EntityCertificate):
    """One entity of a certificate, with what the whole certificate says."""

    run_id: UUID
    kind: RunKind
    issued_at: datetime
    code_version: str
    mapping_version: int
    config_fingerprint: str
    source_now: str | None
    audit_head: str


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One thing that was looked at before a run read: ok, warn, fail, or unknown where the login may not see
    it.
    """

    id: str
    area: str
    state: str
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """The report of a look at both ends."""

    run_id: UUID | None
    trigger: str
    state: str
    checked_at: datetime
    findings: list[CheckFinding] = field(default_factory=list)
