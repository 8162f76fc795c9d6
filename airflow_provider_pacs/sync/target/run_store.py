"""The port `RunStore`: the journal of runs, cursors and counties that a target keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from airflow_provider_pacs.sync.quality.model import RuleResult
from airflow_provider_pacs.sync.records import (
    AuditRow,
    Cursor,
    EntityRun,
    KeyTotals,
    Mode,
    RunPlan,
    RunRecord,
    SourceMoment,
    Turn,
)
from airflow_provider_pacs.sync.runtime.errors import PacsError


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
