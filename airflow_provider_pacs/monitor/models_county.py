"""What the JSON says of one county, field by field.

Times are UTC; nothing here ever holds a row's values, only keys.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from airflow_provider_pacs.monitor.models import CountyLine, RunLine, TargetLine


class EntityLine(BaseModel):
    """One entity of a run. `expected` is about how many rows the read will bring; None where nobody can
    know.
    """

    entity: str
    state: str
    step: str
    mode: str
    family: str
    reason: str
    rows_read: int
    expected: int | None = None
    seconds: float
    rows_per_second: float | None = None
    inserted: int
    updated: int
    deleted: int
    quarantined: int
    released: int
    held: int
    attempt: int
    message: str
    updated_at: datetime
    airflow_path: str | None = None


class Failure(BaseModel):
    """One recorded failure."""

    at: datetime
    step: str
    code: str
    error_class: str
    meaning: str
    message: str
    remedy: str
    run_id: str | None = None
    airflow_path: str | None = None


class ErrorGroup(BaseModel):
    """Failures of one code: how often, the newest, what to do."""

    code: str
    error_class: str
    meaning: str
    remedy: str
    count: int
    newest: Failure


class RunDetail(BaseModel):
    """One run with its entities and what went wrong in it."""

    run: RunLine
    entities: list[EntityLine]
    failures: list[Failure]
    source: dict[str, Any] = {}


class SchemaLine(BaseModel):
    """How an entity's changes are found, and the shape of its table when that was last agreed on."""

    entity: str
    mode: str | None = None
    family: str
    reason: str = ""
    watermark: str | None = None
    watermark_type: str | None = None
    schema_fingerprint: str
    changed_since_cursor: bool = False
    stored_at: datetime | None = None


class HeldDelete(BaseModel):
    """A mass delete that waits for a decision."""

    entity: str
    rows: int
    live: int
    reason: str
    held_at: datetime


class CountyDetail(BaseModel):
    """One county: its line, its newest run with live progress, change detection, held deletes."""

    at: datetime
    line: CountyLine
    target: TargetLine
    source: str
    profile: str
    run: RunDetail | None = None
    changes: list[SchemaLine] = []
    held: list[HeldDelete] = []


class History(BaseModel):
    """Runs of a county, newest first."""

    runs: list[RunLine]


class QualityLine(BaseModel):
    """One rule's verdict. `keys`: rows that wait in quarantine under it."""

    entity: str
    rule: str
    severity: str
    title: str
    success: bool
    evaluated: int
    unexpected: int
    blocks: bool
    detail: str
    keys: list[str] = []


class QuarantineLine(BaseModel):
    """Rows of an entity that wait under one rule: keys and the reason, never values."""

    entity: str
    rule: str
    reason: str
    rows: int
    first_seen_at: datetime
    last_seen_at: datetime
    keys: list[str]


class Quality(BaseModel):
    """Verdicts of the newest judged run, and what waits in quarantine."""

    run_id: str | None = None
    judged_at: datetime | None = None
    results: list[QualityLine]
    quarantine: list[QuarantineLine]


class QuarantinedKey(BaseModel):
    """One row's key that waits in quarantine."""

    key: str
    rules: list[str]
    attempts: int
    first_seen_at: datetime
    last_seen_at: datetime


class QuarantinedKeys(BaseModel):
    """A page of keys."""

    keys: list[QuarantinedKey]
    more: bool


class CertificateLine(BaseModel):
    """One entity's comparison of both sides."""

    run_id: str
    entity: str
    scope: str
    clean: bool
    source_rows: int
    target_rows: int
    quarantined: int
    late: int
    missing: int
    differing: int
    ghosts: int
    repaired: int
    held: int
    remaining: int
    source_digest: str | None = None
    target_digest: str | None = None
    sample_keys: list[str]
    issued_at: datetime


class AuditLine(BaseModel):
    """One audit row: counts, fingerprints, decisions."""

    seq: int
    at: datetime
    run_id: str | None
    actor: str
    action: str
    object: str
    details: dict[str, Any]


class Evidence(BaseModel):
    """Certificates of a county, its errors by class, its audit trail."""

    certificates: list[CertificateLine]
    errors: list[ErrorGroup]
    failures: list[Failure]
    audit: list[AuditLine]


class CheckFinding(BaseModel):
    """One thing that was looked at before a run read: ok, warn, fail, or unknown where the login may not see
    it.
    """

    id: str
    area: str
    state: str
    text: str
    remedy: str = ""


class CheckReport(BaseModel):
    """What the county's newest first task found at both ends; in its order; without a time where there was
    none yet.
    """

    checked_at: datetime | None = None
    state: str | None = None
    run_id: str | None = None
    airflow_path: str | None = None
    counts: dict[str, int] = {}
    findings: list[CheckFinding] = []
