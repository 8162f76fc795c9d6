"""A way back: what a rollback would do, what stands against it, and how rows changed before."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class UndoneRun:
    """A run whose changes a rollback takes back."""

    run_id: UUID
    kind: str
    published_at: datetime | None

    def as_dict(self) -> dict[str, Any]:
        return {
            "run_id": str(self.run_id),
            "kind": self.kind,
            "published_at": self.published_at.isoformat() if self.published_at else None,
        }


@dataclass(frozen=True, slots=True)
class RollbackConflict:
    """A row that the rollback can't put back.

    Attributes:
        run_id: the later run that changed it; None where something beside the sync did, or where a row that
            stays belongs to it.
        reason: why, in a few words.
    """

    entity: str
    source_key: str
    run_id: UUID | None
    reason: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"run_id": str(self.run_id) if self.run_id else None}


@dataclass(frozen=True, slots=True)
class EntityRollback:
    """What a rollback does to one entity. Counts are rows.

    Attributes:
        restored: get back the image that they had.
        removed: were not there before; they go.
        leaving: of both, live now and not after: what the delete guard counts.
        live: live rows now.
        digest: SHA-256 (hex) over the keys and what becomes of each.
    """

    entity: str
    restored: int
    removed: int
    leaving: int
    live: int
    digest: str


@dataclass(frozen=True, slots=True)
class RollbackProposal:
    """What a rollback would do; nothing is changed yet.

    Attributes:
        run_id: the run; with `onto` the run whose end is the state to go back to.
        onto: every run after `run_id` is undone, instead of `run_id` itself.
        runs: what is undone, newest first.
        conflicts: the first rows that stand against it, `conflict_count` in all.
        digest: SHA-256 (hex) over all of it: binds a decision to what was shown.
        needs_digest: more rows leave than the delete guard allows without a person who saw the digest.
    """

    run_id: UUID
    county_id: str
    onto: bool
    runs: tuple[UndoneRun, ...]
    entities: tuple[EntityRollback, ...]
    conflicts: tuple[RollbackConflict, ...]
    conflict_count: int
    digest: str
    needs_digest: bool

    def as_dict(self) -> dict[str, Any]:
        return {
            "run_id": str(self.run_id),
            "county_id": self.county_id,
            "onto": self.onto,
            "runs": [run.as_dict() for run in self.runs],
            "entities": {each.entity: asdict(each) for each in self.entities},
            "conflicts": [conflict.as_dict() for conflict in self.conflicts],
            "conflict_count": self.conflict_count,
            "digest": self.digest,
            "needs_digest": self.needs_digest,
        }


@dataclass(frozen=True, slots=True)
class RowChange:
    """One change of one row, without its values: a row of `pacs_ops.row_history`.

    Attributes:
        op: I came, U changed, D became a tombstone, R lives again, X was removed by a rollback.
        changed: names of the columns that have another value since.
        source_version: the source's own version of the row after the change.
        pacs_user: who changed it in PACS, where the row carries that as `extra.pacs_user`; else empty.
        actor: who approved the run; else empty.
        run_id: the run that published it; None where the history does not say.
        lower_bound: where the run's window at the source began; None where it read everything.
        upper_bound: where it ended.
    """

    entity: str
    row_key: UUID
    source_key: str
    property_id: UUID | None
    at: datetime
    op: str
    changed: list[str]
    source_version: str | None
    pacs_user: str
    actor: str
    run_id: UUID | None
    run_kind: str | None
    run_state: str | None
    trigger: str | None
    strategy: str | None
    lower_bound: str | None
    upper_bound: str | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "row_key": str(self.row_key),
            "property_id": str(self.property_id) if self.property_id else None,
            "run_id": str(self.run_id) if self.run_id else None,
            "at": self.at.isoformat(),
        }
