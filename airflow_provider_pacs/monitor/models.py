"""What the JSON says of all counties, field by field.

Times are UTC; counts are rows; nothing here ever holds a row's values.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from airflow_provider_pacs.sync.records import CertificateState, Coverage

CountyState = Literal[
    "broken", "failing", "blocked", "drift", "pending", "retrying", "unknown", "lagging", "never", "in_step"
]
"""The most urgent first. `broken`: its file can't be used, or Airflow has no DAG of it, so nothing runs."""


class CertificateSummary(BaseModel):
    """The newest certificate of a county: its state, and what it covered."""

    run_id: str
    issued_at: datetime
    covered: Coverage
    state: CertificateState


class RunLine(BaseModel):
    """One run, summed over its entities. `rows_per_second` is per reader.

    Attributes:
        run_id: None where the run ended in its plan, before it had a record of its own.
    """

    run_id: str | None = None
    kind: str = "sync"
    state: str
    trigger: str
    message: str = ""
    started_at: datetime
    finished_at: datetime | None = None
    seconds: float | None = None
    entities: int = 0
    entities_blocked: int = 0
    rows_read: int = 0
    rows_written: int = 0
    rows_deleted: int = 0
    rows_quarantined: int = 0
    rows_pending: int = 0
    rows_per_second: float | None = None
    airflow_path: str | None = None


class CountyLine(BaseModel):
    """One county at a glance; of one whose file can't be used only the name, the state and the cause.

    Attributes:
        cause: why the state is not `in_step`, in one sentence.
        fresh_since: when the data in the target was read: the start of the last good run.
        due_since: data must have been read after this moment; None without a schedule.
        error_rate: runs of the last `recent_runs` that failed, were blocked or ended in drift, 0 to 1; a run
            that was refused in preflight is one of them.
        trend: rows read by the last runs, oldest first.
    """

    county: str
    name: str
    fips: str = ""
    dag_id: str
    target: str = ""
    state: CountyState
    cause: str = ""
    running: bool = False
    paused: bool = False
    cron: str | None = None
    timezone: str = "UTC"
    fresh_since: datetime | None = None
    due_since: datetime | None = None
    next_run_at: datetime | None = None
    last_run: RunLine | None = None
    recent_runs: int = 0
    error_rate: float | None = None
    trend: list[int] = []
    quarantined: int = 0
    rules: int = 0
    rules_broken: int = 0
    rules_warned: int = 0
    pending_rows: int = 0
    certificate: CertificateSummary | None = None


class TargetLine(BaseModel):
    """One target database and whether it answered."""

    connection: str
    ok: bool
    counties: int
    seconds: float
    message: str = ""
    remedy: str = ""


class Overview(BaseModel):
    """All counties that the user may read."""

    at: datetime
    counties: list[CountyLine]
    totals: dict[CountyState, int]
    running: int
    targets: list[TargetLine]
    broken_files: list[str]


class Summary(BaseModel):
    """The dashboard's card: counts, and the counties that need somebody first."""

    at: datetime
    totals: dict[CountyState, int]
    running: int
    attention: list[CountyLine]
    broken_files: int
    targets_down: list[str]
