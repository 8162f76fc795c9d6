"""A county on hold: no run of it publishes until somebody resumes it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from airflow_provider_pacs.sync.runtime.errors import ConflictError


@dataclass(frozen=True, slots=True)
class Hold:
    """A row of `pacs_ops.county_hold`.

    Attributes:
        reason: why, in a person's words, or a rollback's.
        held_by: who put the county on hold.
        run_id: the rollback that did; None where a person did.
        resumed_by: who lifted the hold; None while it stands.
    """

    hold_id: int
    county_id: str
    reason: str
    held_by: str
    held_at: datetime
    run_id: UUID | None
    resumed_by: str | None
    resumed_at: datetime | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "run_id": str(self.run_id) if self.run_id else None,
            "held_at": self.held_at.isoformat(),
            "resumed_at": self.resumed_at.isoformat() if self.resumed_at else None,
        }

    def refusal(self, county: str) -> ConflictError:
        """What a run of the county ends with while the hold stands."""
        return ConflictError(
            f"{county} is on hold since {self.held_at:%Y-%m-%d %H:%M} by {self.held_by}: {self.reason}",
            remedy="nothing was published; when the reason is gone, `pacs resume` lifts the hold",
            code="PACS-011",
        )
