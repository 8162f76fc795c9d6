"""What a run plans and what came of it: small frozen records that go to XCom, the command line and the page.

Never rows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

RunState = Literal["running", "published", "succeeded", "held", "failed", "superseded"]
RunKind = Literal["sync", "reconcile", "backfill", "approve"]
EntityState = Literal["planned", "staged", "passed", "blocked", "published", "failed"]


BACKFILL = "backfill"
"""In place of a family's name in a plan: one window that somebody chose, which no cursor follows."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """A window to read again: rows of `entity` stamped in [since, until), as SQL Server reads these texts
    (style 121).
    """

    entity: str
    since: str
    until: str


@dataclass(frozen=True, slots=True)
class EntityPlan:
    """How one entity is read in one run.

    Attributes:
        entity: canonical entity name.
        mode: `full` reads the whole table, `changes` one window.
        family: the change family that keeps the cursor, e.g. `last_modified`; `compare` keeps none, nor does
            `backfill`.
        reason: why, in one sentence.
        lower: lower bound as SQL Server's text; None in full mode.
        upper: upper bound, the next cursor; None where the table has no usable change column.
        change_type: declared type of the change column; None where unknown.
        map_fingerprint: of the table map.
        schema_fingerprint: of the mapped columns at the source.
        source_columns: every column of the source's table with its declaration; empty where unknown.
        added_columns: those that came after the first load and can be carried in `extra`.
    """

    entity: str
    mode: Literal["full", "changes"]
    family: str
    reason: str
    lower: str | None
    upper: str | None
    change_type: str | None
    map_fingerprint: str
    schema_fingerprint: str
    source_columns: dict[str, str] = field(default_factory=dict)
    added_columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run of one county, claimed: its id, its epoch and a plan per entity, parents first."""

    run_id: str
    county_id: str
    epoch: int
    kind: RunKind
    entities: tuple[EntityPlan, ...]

    def as_dict(self) -> dict[str, Any]:
        plans = {
            plan.entity: {
                "mode": plan.mode,
                "family": plan.family,
                "reason": plan.reason,
                "upper": plan.upper,
            }
            for plan in self.entities
        }
        return {
            "run_id": self.run_id,
            "county_id": self.county_id,
            "epoch": self.epoch,
            "kind": self.kind,
            "entities": plans,
        }


@dataclass(frozen=True, slots=True)
class EntityOutcome:
    """Where one entity of a run stands. Counts are rows.

    Attributes:
        failed_rules: ids of rules that did not hold, any severity.
        rows_per_second: read and staged, wall clock.
    """

    entity: str
    state: EntityState
    mode: str
    read: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    quarantined: int = 0
    released: int = 0
    held: int = 0
    seconds: float = 0.0
    failed_rules: tuple[str, ...] = ()
    message: str = ""

    @property
    def rows_per_second(self) -> float:
        return self.read / self.seconds if self.seconds > 0 else 0.0

    @property
    def changed(self) -> int:
        return self.inserted + self.updated + self.deleted

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "failed_rules": list(self.failed_rules),
            "rows_per_second": round(self.rows_per_second),
        }


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What publish did. `already_published` says that the run was recorded before and nothing was done
    now.
    """

    run_id: str
    county_id: str
    state: RunState
    entities: tuple[EntityOutcome, ...]
    already_published: bool = False

    @property
    def held_back(self) -> tuple[EntityOutcome, ...]:
        """Entities that kept their last good data."""
        return tuple(outcome for outcome in self.entities if outcome.state != "published")

    def as_dict(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "county_id": self.county_id,
            "state": self.state,
            "already_published": self.already_published,
            "changed": sum(outcome.changed for outcome in self.entities),
            "entities": {outcome.entity: outcome.as_dict() for outcome in self.entities},
        }


@dataclass(frozen=True, slots=True)
class EntityCertificate:
    """One entity's comparison. `clean`: source minus quarantined equals target, nothing held, sums equal."""

    entity: str
    scope: Literal["delta", "full"]
    clean: bool
    upper: str | None
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
    sums: dict[str, Any] | None = None
    source_digest: bytes | None = None
    target_digest: bytes | None = None
    sample_keys: tuple[str, ...] = ()
    applied: EntityOutcome | None = None

    def as_dict(self) -> dict[str, Any]:
        digests = {"source_digest": self.source_digest, "target_digest": self.target_digest}
        return {
            name: getattr(self, name)
            for name in self.__slots__
            if name not in {*digests, "sample_keys", "applied"}
        } | {name: digest.hex() if digest else None for name, digest in digests.items()}


@dataclass(frozen=True, slots=True)
class CertificateOutcome:
    """The certificate of a run: one comparison per entity."""

    run_id: str
    county_id: str
    scope: Literal["delta", "full"]
    state: RunState
    entities: tuple[EntityCertificate, ...]
    seconds: float = 0.0
    held_back: tuple[str, ...] = field(default=())

    @property
    def clean(self) -> bool:
        return not self.held_back and all(certificate.clean for certificate in self.entities)

    def as_dict(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "county_id": self.county_id,
            "scope": self.scope,
            "state": self.state,
            "clean": self.clean,
            "held_back": list(self.held_back),
            "entities": {certificate.entity: certificate.as_dict() for certificate in self.entities},
        }
