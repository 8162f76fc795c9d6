"""What people ask for on the page, and what they are told.

Every text has a bound; nothing here holds a row's values.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from airflow_provider_pacs.monitor.models import Answer

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]


class Wish(BaseModel):
    """A request's body: what is not known is refused."""

    model_config = ConfigDict(extra="forbid")


class RunWish(Wish):
    """Start a run: `sync` reads what changed, `full` everything, `reconcile` compares every row."""

    kind: Literal["sync", "full", "reconcile"]


class PauseWish(Wish):
    """Pause the county's DAG, or resume it."""

    paused: bool


class RetryWish(Wish):
    """Have the failed tasks of a run tried again."""

    kind: Literal["sync", "reconcile", "approval"]
    trigger: Annotated[str, Field(min_length=1, max_length=250, pattern=r"^[^\s]+$")]


class SetSeen(Wish):
    """A pending set as it was shown; the digest binds the decision to its keys."""

    pending_id: Annotated[int, Field(ge=1, le=2**63 - 1)]
    digest: Digest


class DecisionWish(Wish):
    """Carry pending deletes out, or let them go: all sets that were shown."""

    choice: Literal["approve", "reject"]
    sets: Annotated[list[SetSeen], Field(min_length=1, max_length=100)]


class DismissWish(Wish):
    """Leave quarantined rows as they are."""

    entity: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,62}$")]
    keys: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=500)]], Field(min_length=1, max_length=1000)
    ]
    reason: Reason


class Done(Answer):
    """What was done, in a sentence, and where Airflow shows it."""

    message: str
    airflow_path: str | None = None


class Share(Answer):
    """So many rows of a pending set have this value in a column that says nothing personal."""

    column: str
    value: str
    rows: int


class PendingRow(Answer):
    """A row that would go: its key, and the parcel that it belongs to."""

    source_key: str
    parcel_number: str | None


class PendingSetDetail(Answer):
    """What a decision is about.

    Attributes:
        sample: the first rows by key.
        shares: how the rows divide by type and tax year.
        children: rows of other entities whose parent would go.
    """

    pending_id: int
    entity: str
    row_count: int
    live_count: int
    reason: str
    digest: str
    created_at: datetime
    sample: list[PendingRow]
    shares: list[Share]
    children: list[Share]
