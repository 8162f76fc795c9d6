"""What the steps of a run ask of a target: small ports, joined by composition in `Target`.

A new target is a folder beside `postgres` whose class has these ports; tests/conformance holds the suite that
any target passes. Every method raises the errors of `sync/runtime/errors.py` and none of a driver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from airflow_provider_pacs.sync.entities import Entity, EntityColumn
from airflow_provider_pacs.sync.quality.model import Rule, RuleResult
from airflow_provider_pacs.sync.records import (
    Certificate,
    Comparison,
    DeleteBounds,
    EntityCertificate,
    Hold,
    OrphanedRow,
    PendingDeletes,
    QuarantinedRow,
    RollbackProposal,
    RollbackScope,
    RowChange,
    RunOutcome,
)
from airflow_provider_pacs.sync.target.facts import Readiness
from airflow_provider_pacs.sync.target.run_store import RunStore
from airflow_provider_pacs.sync.target.staging import Staging

if TYPE_CHECKING:
    import sqlalchemy as sa


class Publisher(Protocol):
    """The only way into the tables of schema `pacs`."""

    def publish(
        self,
        run_id: str,
        bounds: DeleteBounds,
        relations: Mapping[str, Rule],
        *,
        actor: str = "",
        history: bool = False,
    ) -> RunOutcome:
        """Publish every entity of the run that passed validation, in one transaction with tombstones,
        quarantine, cursors, pending deletes, run and audit rows. The others keep their last good data.

        With `history` everything that changes is written to the change log before, in the same transaction.

        Raises:
            ConflictError: the run is unknown, a later run has taken the county, or an approved set of deletes
                was decided or replaced meanwhile.
        """


class Certifier(Protocol):
    """Evidence: both sides compared, and the certificate. Writes no row of schema `pacs`."""

    def compare(
        self,
        entity: Entity,
        county_id: str,
        fresh: str,
        staged: str | None,
        *,
        complete: bool,
        waiting_rule: str | None,
    ) -> Comparison:
        """Lay what the source says now (`fresh`) beside the partition, and beside what the run staged.

        Args:
            entity: the entity.
            county_id: the county.
            fresh: staging table with the source's rows now.
            staged: the run's own staging table, None where `fresh` is it or it is lost.
            complete: `fresh` holds every row of the source.
            waiting_rule: the rule under which rows without a parent wait.
        """

    def live_rows(self, entity: Entity, county_id: str) -> int:
        """Live rows of the county's partition."""

    def control(self, entity: Entity, county_id: str, columns: Sequence[str]) -> dict[str, dict[str, str]]:
        """Control totals of the live rows: group -> column -> sum as decimal text, and `rows`."""

    def orphaned(self, child: Entity, county_id: str, rule: Rule) -> list[RuleResult]:
        """A warning that counts the live children of deleted parents (case 114)."""

    def issue(
        self,
        run_id: str,
        certificates: Sequence[EntityCertificate],
        warnings: Mapping[str, Sequence[RuleResult]],
    ) -> Certificate:
        """Store the certificate and the run's end in one transaction.

        Raises:
            ConflictError: a later run has taken the county.
        """

    def latest(self, county_id: str, *, kind: str | None = None) -> Certificate | None:
        """The county's newest certificate."""

    def of_run(self, run_id: str) -> Certificate | None:
        """The certificate of a run; None where none was issued."""


class Approvals(Protocol):
    """What waits for a person, and what people look up."""

    def pending(self, county_id: str) -> list[PendingDeletes]:
        """Undecided sets of deletes, oldest first."""

    def pending_set(self, county_id: str, pending_id: int, digest: str) -> PendingDeletes:
        """One undecided set. Raises ConflictError where it is decided, replaced or another."""

    def keys(self, pending_id: int) -> list[str]:
        """The keys of a set."""

    def reject(self, county_id: str, pending_id: int, digest: str, actor: str) -> str:
        """Let a set go: its rows stay; returns its entity. Raises ConflictError as `pending_set`."""

    def quarantine(self, county_id: str) -> list[QuarantinedRow]:
        """Open quarantine rows."""

    def orphans(self, county_id: str) -> list[OrphanedRow]:
        """Live children of deleted parents, oldest deletion first."""


class Holds(Protocol):
    """A county on hold: nothing of it is published until somebody resumes it."""

    def current(self, county_id: str) -> Hold | None:
        """The county's open hold; None where runs may publish."""

    def place(self, county_id: str, reason: str, actor: str) -> Hold:
        """Put the county on hold: when this returns, no run of it publishes.

        A county that is on hold stays so, with its first reason.
        """

    def lift(self, county_id: str, actor: str) -> Hold:
        """Lift the county's hold; returns it. Raises ConflictError where it is not on hold."""


RealtimeKey = Literal["followed", "polled"]


class RealtimeState(Protocol):
    """What realtime keeps of a county, where Airflow can't: a loss costs one run that finds nothing."""

    def read(self, county_id: str, key: RealtimeKey) -> dict[str, Any] | None:
        """What was kept last; also None before the schemas exist."""

    def write(self, county_id: str, key: RealtimeKey, value: dict[str, Any]) -> None:
        """Keep a document in the place of the last one; nothing before the schemas exist."""


class History(Protocol):
    """What the rows were before: the change log, and the way back."""

    def propose(self, county_id: str, scope: RollbackScope, bounds: DeleteBounds) -> RollbackProposal:
        """What a rollback would do; nothing is changed.

        Raises:
            ConflictError: the run is not of this county, was rolled back, or its changes are not in the log.
        """

    def rolled_back_by(self, run_id: str) -> str | None:
        """The rollback that undid the run."""

    def newest_plan(self, county_id: str, entity: str) -> dict[str, Any] | None:
        """The stored plan of the entity's newest run that was published."""

    def stage(self, entity: Entity, county_id: str, table: str, scope: RollbackScope) -> int:
        """Fill a staging table with the images to put back; returns its rows."""

    def compare(self, entity: Entity, county_id: str, table: str) -> tuple[int, int, int, int]:
        """(published as staged, staged otherwise, staged and missing, to be removed and still there)."""

    def changes(self, county_id: str, key: str, most: int) -> list[RowChange]:
        """Changes of the rows that a key means, newest first: a row's own key, the source's, or a property's
        parcel number, with what belongs to the property.
        """

    def images(self, county_id: str, key: str, most: int) -> list[tuple[dict[str, Any] | None, ...]]:
        """(before, after) of the same changes in the same order: values, for a person who asked for them."""

    def prunable(self, county_id: str, entity: str, years: int) -> int:
        """Before-images that are older than these years."""

    def prune(self, county_id: str, entity: str, years: int) -> int:
        """Remove them; returns how many went."""


class Target(Protocol):
    """A place that stages, publishes and certifies, and that keeps the state beside the data."""

    @property
    def runs(self) -> RunStore: ...

    @property
    def staging(self) -> Staging: ...

    @property
    def publisher(self) -> Publisher: ...

    @property
    def certifier(self) -> Certifier: ...

    @property
    def approvals(self) -> Approvals: ...

    @property
    def holds(self) -> Holds: ...

    @property
    def realtime(self) -> RealtimeState: ...

    @property
    def history(self) -> History: ...

    @property
    def sqlalchemy_url(self) -> sa.URL:
        """The same database for SQLAlchemy, which Great Expectations uses."""

    @property
    def weak_settings(self) -> tuple[str, ...]:
        """Settings of the connection that are weaker than the default, each with the reason."""

    def migrate(self) -> list[str]:
        """Bring schemas and tables up to date; returns what was applied."""

    def promoted(self) -> dict[str, tuple[EntityColumn, ...]]:
        """Columns by entity that county files promoted out of `extra`; adding one is not a run's work."""

    def readiness(self) -> Readiness:
        """Whether the target can take a run; nothing is changed."""
