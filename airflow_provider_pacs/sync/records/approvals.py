"""What waits for a person: the guard's bounds, pending sets of deletes, a decision."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


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
