"""What the steps of a run ask of a target: small ports, joined by composition in `Target`.

A new target is a folder beside `postgres` whose class has these ports; tests/conformance holds the suite that
any target passes. Every method raises the errors of `sync/runtime/errors.py` and none of a driver.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from airflow_provider_pacs.sync.entities import Entity, EntityColumn
from airflow_provider_pacs.sync.quality.model import Rule, RuleResult
from airflow_provider_pacs.sync.records import (
    AuditRow,
    Certificate,
    Comparison,
    Cursor,
    DeleteBounds,
    Difference,
    EntityCertificate,
    EntityRun,
    Hold,
    KeyDifference,
    KeyTotals,
    Mode,
    OrphanedRow,
    PendingDeletes,
    QuarantinedRow,
    RollbackProposal,
    RollbackScope,
    RowChange,
    RunOutcome,
    RunPlan,
    RunRecord,
    SourceMoment,
    Turn,
)
from airflow_provider_pacs.sync.runtime.errors import PacsError
from airflow_provider_pacs.sync.schema.catalog import KeySpelling
from airflow_provider_pacs.sync.target.facts import Readiness

if TYPE_CHECKING:
    import sqlalchemy as sa


class RunStore(Protocol):
    """Runs, their plans, cursors and verdicts: state that lives with the data."""

    def cursors(self, county_id: str) -> dict[str, Cursor]:
        """Stored cursors by entity; none before the first publish."""

    def last_source_utc(self, county_id: str) -> dict[str, str | None]:
        """By entity the source's clock in UTC when its cursor was made."""

    def source_identity(self, county_id: str) -> dict[str, Any] | None:
        """The database that the county was read from last; None before its first run."""

    def accept_source(self, county_id: str) -> None:
        """Forget which database the cursors were made from: the next run reads everything and compares."""

    def distrust_feed(self, county_id: str, entity: str) -> None:
        """Record that an entity's cursor no longer belongs to its feed, whatever the run that saw it comes
        to: the next one compares every row.
        """

    def active_run(self, county_id: str, *, minutes: int) -> RunRecord | None:
        """The county's run that is still at work and gave a sign of life within these minutes."""

    def in_the_way(self, county_id: str, turn: Turn) -> RunRecord | None:
        """The run at work that a run of this kind must let finish; None where it may begin."""

    def claim(
        self,
        *,
        county_id: str,
        county: str,
        name: str,
        identity: dict[str, Any],
        turn: Turn | None = None,
    ) -> int:
        """Take the county's next epoch: any earlier run of it can no longer publish or certify.

        With a turn, claiming and looking who is in the way are one: of two runs that begin in the same moment
        one takes the county, and the other raises RetryableError (PACS-008).
        """

    def open(
        self,
        plan: RunPlan,
        *,
        trigger: str,
        moment: SourceMoment,
        identity: dict[str, Any],
        config: str,
        code: str,
        one_process: bool = False,
    ) -> None:
        """Record a run and its plans.

        With `one_process` the run is at work only while this connection lives. Raises RetryableError
        (PACS-008) where another run has claimed the county since.
        """

    def rest(self, run_id: str) -> None:
        """Nobody works on the run this moment: a step failed, and may be tried again."""

    def work(self, run_id: str) -> None:
        """A step of the run begins: a sign of life."""

    def run(self, run_id: str) -> RunRecord:
        """One run. Raises ConflictError where it is not recorded."""

    def entities(self, run_id: str) -> list[EntityRun]:
        """The run's entities, parents first."""

    def begin_extract(self, run_id: str, entity: str, attempt: int) -> None:
        """This try is the one that counts from now on. Raises ConflictError where a later one has begun."""

    def end_extract(
        self,
        run_id: str,
        entity: str,
        *,
        attempt: int,
        table: str,
        mode: Mode,
        read: int,
        staged: int,
        seconds: float,
        expected: KeyTotals | None,
        sample_keys: Sequence[str] = (),
    ) -> None:
        """Record what a try staged; `mode` is `full` where every row was read.

        Raises ConflictError where a later try has begun: this one changes nothing.
        """

    def record_validation(
        self,
        run_id: str,
        entity: str,
        *,
        table: str,
        attempt: int,
        rows: int,
        results: Sequence[RuleResult],
        blocked: str = "",
    ) -> None:
        """Record what validation said of one staging table; `blocked` is why the entity stops.

        Raises ConflictError where another try has begun since.
        """

    def fail_entity(self, run_id: str, entity: str, message: str) -> None:
        """An entity can't go on in this run."""

    def progress(self, run_id: str, entity: str, rows: int, seconds: float) -> None:
        """A sign of life: how far a read is."""

    def event(
        self, county_id: str, run_id: str | None, action: str, what: str, details: dict[str, Any]
    ) -> None:
        """Append an audit row: counts and names, never values of rows."""

    def failure(
        self,
        county_id: str,
        step: str,
        error: PacsError,
        run_id: str | None = None,
        *,
        kind: str = "",
        trigger: str = "",
    ) -> None:
        """Append an audit row for a failed step; `kind` and `trigger` say which run never started."""

    def end(self, run_id: str, message: str) -> None:
        """Close a run that ends without a certificate. What it published stays."""

    def record_check(self, county_id: str, run_id: str | None, trigger: str, report: dict[str, Any]) -> None:
        """Keep the report of a preflight."""

    def read_speeds(self, county_id: str) -> dict[str, float]:
        """Rows per second of each entity's last reads."""

    def audit_rows(self, county_id: str, limit: int) -> list[AuditRow]:
        """The latest audit rows, newest first."""


class Staging(Protocol):
    """Staging tables: one of its own per run, entity and try. Nobody else reads them."""

    def fill(
        self,
        entity: Entity,
        table: str,
        names: Sequence[str],
        payloads: Iterable[bytes],
        *,
        county_id: str,
        append: bool = False,
    ) -> None:
        """Fill a staging table with CSV payloads of the named columns; a new one unless `append`.

        Each call is one pass: where a key was read in several passes, the last one counts.
        """

    @property
    def schema(self) -> str:
        """The schema of the staging tables."""

    def rows_view(self, table: str) -> str:
        """The relation beside a staging table that holds its rows without the keys that are gone."""

    def count(self, table: str) -> int:
        """Rows in a staging table, those marked as gone included; -1 where it does not exist."""

    def deduplicate(self, entity: Entity, table: str) -> int:
        """Keep of each key the rows of its last pass; returns the rows that went."""

    def duplicated_keys(self, entity: Entity, table: str) -> list[str]:
        """Keys that one pass brought more than once."""

    def absent_keys(self, entity: Entity, county_id: str, table: str) -> list[str]:
        """Keys that are live or in quarantine and not in a complete staging table."""

    def differing_keys(self, entity: Entity, county_id: str, table: str) -> list[tuple[str, Difference]]:
        """(key, kind) of the rows whose staged image is not the published one; none before the first load."""

    def quarantined_keys(self, entity: Entity, county_id: str) -> list[str]:
        """Keys in open quarantine."""

    def mark_gone(self, entity: Entity, table: str, keys: Sequence[str]) -> None:
        """Record those of the keys that the staging table does not have as gone at the source."""

    def mark_rejects(self, table: str, assignments: Sequence[tuple[str, str]]) -> int:
        """Write the ids of broken rules to the rows; returns the rows that carry one."""

    def count_bad(self, relation: str, predicates: Sequence[str]) -> tuple[int, list[int]]:
        """(rows of a relation, and of them those for which each predicate over alias s is true).

        `relation` is a name as `ValidationContext.stage` gives it.
        """

    def mapping_rejects(self, table: str) -> tuple[int, dict[str, int]]:
        """(staged rows, rows per `MAP.<column>`: those whose value did not fit the column's type)."""

    def entity_size(self, entity: Entity, county_id: str) -> int:
        """About how many rows the entity has: the measure for shares of bad rows."""

    def partition(self, entity: Entity, county_id: str) -> str | None:
        """The county's partition, qualified and quoted; None before the first load."""

    def write_keys(self, table: str, payloads: Iterable[bytes]) -> None:
        """Fill the list of keys beside a staging table, in the source's spelling."""

    def expected_totals(
        self,
        entity: Entity,
        county_id: str,
        table: str,
        *,
        complete: bool,
        spelling: KeySpelling | None,
        late: bool,
    ) -> tuple[KeyTotals, KeyTotals]:
        """(keys that the source must have, of these the ones that the target must hold).

        Args:
            entity: the entity.
            county_id: the county.
            table: the staging table; `complete` where it holds every row of the source.
            complete: see `table`.
            spelling: how a key is written before it is hashed and summed; None counts only.
            late: the list of keys beside it holds those newer than the bound.
        """

    def compare_keys(self, entity: Entity, county_id: str, table: str, *, complete: bool) -> KeyDifference:
        """The list of all keys beside a staging table laid beside what the target holds and what is staged."""  # noqa: E501

    def gone_and_live(self, entity: Entity, county_id: str, table: str, keys: Sequence[str]) -> list[str]:
        """Those of the keys that a staging table marks as gone and that are live."""

    def start_probes(self, table: str) -> None:
        """Make the table of probed root keys beside a staging table, empty."""

    def fold_probe(self, table: str, probe: str, payloads: Iterable[bytes]) -> None:
        """Take in what one probed table holds now: CSV of `root_key, line`."""

    def changed_root_keys(self, county_id: str, entity: Entity, table: str) -> list[str]:
        """Root keys whose probed contents are not those of the last published run."""

    def note_root_keys(self, table: str, keys: Sequence[str]) -> None:
        """Record which root keys the run reads again."""

    def noted_root_keys(self, table: str) -> list[str]:
        """The root keys that the run read again; none where it did not read by root key."""

    def missing_of_root_keys(self, entity: Entity, county_id: str, table: str, noted_by: str) -> list[str]:
        """Live keys of the root keys noted beside `noted_by` that `table` does not have."""

    def write_redactions(self, table: str, parties: Sequence[str]) -> None:
        """Record beside a staging table whose rows must say no more than a new row of theirs would."""

    def drop(self, tables: Iterable[str]) -> None:
        """Drop staging tables with all that stands beside them."""

    def drop_abandoned(self, county_id: str) -> None:
        """Drop what runs of the county left that can no longer publish."""


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
