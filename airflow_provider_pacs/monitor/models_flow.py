"""What the JSON says of runs at work: steps with their states and tries, both ends, runs that only Airflow
knows.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, get_args

from airflow_provider_pacs.monitor.models import Activity, Answer

StepName = Literal["preflight", "extract", "validate", "publish", "certify"]
STEPS: tuple[StepName, ...] = get_args(StepName)
StepState = Literal[
    "waits", "queued", "running", "retrying", "done", "pending", "drift", "blocked", "failed", "not_reached",
    "superseded",
]  # fmt: skip


class FlowStep(Answer):
    """One step of a run, or of one of its entities.

    Attributes:
        attempt: the try at work or the next one; None where there is nothing to say about tries.
        next_try_at: when the next try may begin.
    """

    step: StepName
    state: StepState
    text: str
    attempt: int | None = None
    most_tries: int | None = None
    next_try_at: datetime | None = None


class StartingRun(Answer):
    """A run that the journal does not know yet: it is queued, or in its preflight."""

    activity: Activity
    steps: list[FlowStep]


class End(Answer):
    """One end of the county: whether it answered when it was asked last.

    Attributes:
        ok: None where nobody asked yet.
        at: when it answered last, or when it did not.
    """

    name: str
    ok: bool | None
    at: datetime | None = None
    message: str = ""
