"""What the JSON says of all counties, field by field.

Times are UTC; counts are rows; nothing here ever holds a row's values.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from airflow_provider_pacs.sync.records import CertificateState, Coverage

CountyState = Literal[
    "broken", "failing", "blocked", "drift", "pending", "retrying", "unknown", "lagging", "never", "in_step"
]
"""The most urgent first. `broken`: its file can't be used, or Airflow has no DAG of it, so nothing runs."""


class Answer(BaseModel):
    """What the API answers: every field is there, also where it has its default."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class CertificateSummary(Answer):
    """The newest certificate of a county: its state, and what it covered."""

    run_id: str
    issued_at: datetime
    covered: Coverage
    state: CertificateState


class RunLine(Answer):
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


class Activity(Answer):
    """A run that waits or is at work, as Airflow knows it.

    Attributes:
        step: the task that it is at, in words; `queued` before there is one.
        since: since when the run is in its state.
        attempt: the try of a task that is tried again.
        is_new: whether the journal does not know the run yet: it is queued, or in its preflight.
        awaits_decision: whether a person is asked.
    """

    kind: str
    state: str
    step: str
    since: datetime | None = None
    attempt: int | None = None
    most_tries: int | None = None
    next_try_at: datetime | None = None
    is_new: bool = False
    awaits_decision: bool = False
    airflow_path: str


RealtimeState = Literal[
    "live", "starting", "held", "paused", "closed", "away", "refused", "silent", "unknown"
]


class RealtimeLine(Answer):
    """How a county is followed.

    Attributes:
        state: `live`; `starting` before its first realtime run; `held` by a person; `paused` in Airflow;
            `closed` outside business hours; `away`: the source does not answer; `refused`: somebody must
            change something; `silent`: the triggerer has not said anything for minutes; `unknown`: nobody
            can be asked.
        cause: why the state is not `live`, in one sentence.
        lag_seconds: how long the oldest change that was seen and is not in the target yet waits; 0 where
            there is none, None where nobody looks.
        last_change_at: when a change was seen last.
        last_run_at: when rows of a realtime run were published last.
        polled_at: when the trigger said last how it goes; once a minute where nothing happens.
        working: a task follows the county this moment.
        left_out: entity -> why its changes can't be followed; they come with the scheduled runs.
    """

    dag_id: str
    state: RealtimeState
    live: bool
    cause: str = ""
    lag_seconds: float | None = None
    last_change_at: datetime | None = None
    last_run_at: datetime | None = None
    polled_at: datetime | None = None
    working: bool = False
    left_out: dict[str, str] = {}


class CountyLine(Answer):
    """One county at a glance; of one whose file can't be used only the name, the state and the cause.

    Attributes:
        cause: why the state is not `in_step`, in one sentence.
        running: whether a run waits or is at work; `activities` are those that Airflow knows.
        fresh_since: when the data in the target was read: the start of the last good run.
        due_since: data must have been read after this moment; None without a schedule.
        error_rate: runs of the last `recent_runs` that failed, were blocked or ended in drift, 0 to 1; a run
            that was refused in preflight is one of them.
        trend: rows read by the last runs, oldest first.
        realtime: None where the county's file does not enable it.
    """

    county: str
    name: str
    fips: str = ""
    dag_id: str
    target: str = ""
    state: CountyState
    cause: str = ""
    running: bool = False
    activities: list[Activity] = []
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
    realtime: RealtimeLine | None = None


class TargetLine(Answer):
    """One target database and whether it answered."""

    connection: str
    ok: bool
    counties: int
    seconds: float
    message: str = ""
    remedy: str = ""


class Overview(Answer):
    """All counties that the user may read."""

    at: datetime
    counties: list[CountyLine]
    totals: dict[CountyState, int]
    running: int
    targets: list[TargetLine]
    broken_files: list[str]


class Summary(Answer):
    """The dashboard's card: counts, and the counties that need somebody first."""

    at: datetime
    totals: dict[CountyState, int]
    running: int
    attention: list[CountyLine]
    broken_files: int
    targets_down: list[str]
