"""What the JSON says of one county, field by field.

A line that is a record of the journal and something more derives from it, so that a field has one name from
the table to the browser. Times are UTC; nothing here ever holds a row's values, only keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeVar

from pydantic import Field

from airflow_provider_pacs.monitor.access import Permissions
from airflow_provider_pacs.monitor.models import Answer, CountyLine, RunLine, TargetLine
from airflow_provider_pacs.monitor.models_flow import End, FlowStep, StartingRun
from airflow_provider_pacs.sync.records import AuditRow, PendingDeletes, QuarantinedRow
from airflow_provider_pacs.sync.target.postgres.read_records import (
    CertificateRow,
    CheckFinding,
    EntityRow,
    FailureRow,
    QualityRow,
    QuarantineRow,
)

Line = TypeVar("Line")


def extended(line: type[Line], record: Any, **more: Any) -> Line:
    """A line that has the fields of `record`, of which it is a kind, and `more`.

    Raises:
        TypeError: the line does not derive from the record's class.
    """
    if not issubclass(line, type(record)):
        raise TypeError(f"{line.__name__} is no {type(record).__name__}")
    return line(**{each.name: getattr(record, each.name) for each in fields(record)}, **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityLine(EntityRow):
    """One entity of a run.

    Attributes:
        step: what it waits for, or where it ended, in words.
        expected: about how many rows the read will bring; None where nobody can know.
        failed_tries: tries of its steps that failed in this run; `last_failure` is what the newest said.
        most_tries: how often Airflow tries a step.
        steps: the state of extract, validate, publish and certify.
    """

    step: str
    expected: int | None
    rows_per_second: float | None
    failed_tries: int
    last_failure: str
    most_tries: int
    steps: list[FlowStep]
    airflow_path: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureLine(FailureRow):
    """One recorded failure, and what its code means."""

    meaning: str
    airflow_path: str | None


class ErrorGroup(Answer):
    """Failures of one code: how often, the newest, what to do."""

    code: str
    error_class: str
    meaning: str
    remedy: str
    count: int
    newest: FailureLine


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """Which server and database were read, as they name themselves; None for what they do not tell."""

    server: str | None = None
    db: str | None = None

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> SourceIdentity:
        """From what a run stored of its source."""
        known = stored or {}
        return cls(known.get("server"), known.get("db"))


class RunDetail(Answer):
    """One run with its five steps, its entities and what went wrong in it."""

    run: RunLine
    steps: list[FlowStep]
    entities: list[EntityLine]
    failures: list[FailureLine]
    source: SourceIdentity
    code_version: str
    mapping_version: int
    source_now: str | None = None


class SchemaLine(Answer):
    """How an entity's changes are found, and the columns of its table when that was last agreed on."""

    entity: str
    mode: str | None = None
    strategy: str
    reason: str = ""
    watermark: str | None = None
    watermark_type: str | None = None
    schema_fingerprint: str
    changed_since_cursor: bool = False
    stored_at: datetime | None = None


class CountyDetail(Answer):
    """One county: its line, its newest run with live progress, change detection, pending deletes.

    Attributes:
        may: what the user may do here.
        ends: the source and the target, and whether they answered.
        starting: a run that the journal does not know yet: it is queued, in its preflight, or ended there.
        refusal: the newest failure of a run that never started, where nothing has started since.
        failed_decision: the newest decision that could not be carried out, where deletes still wait.
    """

    at: datetime
    line: CountyLine
    target: TargetLine
    source: str
    profile: str
    may: Permissions
    ends: list[End]
    starting: StartingRun | None = None
    run: RunDetail | None = None
    refusal: FailureLine | None = None
    failed_decision: FailureLine | None = None
    changes: list[SchemaLine]
    pending: list[PendingDeletes]


class History(Answer):
    """Runs of a county, newest first."""

    runs: list[RunLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityLine(QualityRow):
    """What one rule said. `keys`: rows that wait in quarantine under it."""

    keys: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineLine(QuarantineRow):
    """Rows of an entity that wait under one rule: keys and what the rule asks for, never values."""

    rule_text: str


class Quality(Answer):
    """What the rules said in the newest validated run, and what waits in quarantine."""

    run_id: str | None = None
    validated_at: datetime | None = None
    results: list[QualityLine]
    quarantine: list[QuarantineLine]


class QuarantinedKeys(Answer):
    """A page of keys."""

    keys: list[QuarantinedRow]
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlTotal:
    """One sum of both sides, as decimal text; None where a side has none."""

    group: str
    column: str
    source: str | None
    target: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateLine(CertificateRow):
    """One entity's arithmetic of both sides.

    Attributes:
        control: the control totals of SQL Server and PostgreSQL side by side.
        drift_rows: rows that no term explains.
    """

    control: list[ControlTotal]
    drift_rows: int


class CertificateGroup(Answer):
    """One run's certificate."""

    run_id: str
    kind: str
    state: str
    covered: str
    issued_at: datetime
    source_now: str | None
    code_version: str
    mapping_version: int
    audit_head: str
    entities: list[CertificateLine]


class Evidence(Answer):
    """Certificates of a county, its errors by class, its audit trail."""

    certificates: list[CertificateGroup]
    errors: list[ErrorGroup]
    failures: list[FailureLine]
    audit: list[AuditRow]


class CheckReport(Answer):
    """What the county's newest first task found at both ends; in its order; without a time where there was
    none yet.
    """

    checked_at: datetime | None = None
    state: str | None = None
    run_id: str | None = None
    airflow_path: str | None = None
    counts: dict[str, int] = Field(default_factory=dict)
    findings: list[CheckFinding] = Field(default_factory=list)
