"""What the steps of a run ask of a target.

A new target is a folder beside `postgres` with a class of this shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.quality.model import Rule, RuleResult
from airflow_provider_pacs.sync.records import CertificateOutcome, RunOutcome, RunPlan
from airflow_provider_pacs.sync.runtime.errors import PacsError

if TYPE_CHECKING:
    import sqlalchemy as sa

Kind = Literal["missing", "differing", "ghost"]


@dataclass(frozen=True, slots=True)
class DeleteBounds:
    """Rows that one run may delete per entity: more than both bounds allow is held."""

    max_rows: int
    max_percent: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One entity read again at the source and compared.

    Attributes:
        entity: canonical entity name.
        scope: `full`, every row was read; `delta`, the run's window.
        table: staging table with what the source said.
        recheck_table: staging table with the second look at the differing keys; None where nothing differed.
        upper: the upper bound; rows stamped after it are left out.
        differences: (key, kind) that the first look found.
        source_rows: rows counted at the source (delta only).
        late_rows: of these, stamped after the upper bound (delta only).
        window_only: nothing outside the window is certified: neither side is counted whole.
        rows_read: rows read in both looks.
        seconds: wall clock of the reads.
    """

    entity: str
    scope: Literal["delta", "full"]
    table: str
    recheck_table: str | None
    upper: str | None
    differences: list[tuple[str, Kind]]
    source_rows: int = 0
    late_rows: int = 0
    window_only: bool = False
    rows_read: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a target can take a run, without changing anything there.

    Attributes:
        place: host:port/database.
        login: who is connected.
        version: the server's, for people.
        has_journal: runs, cursors and identities can be asked for.
        new_enough: the version is supported.
        pending: migrations that are not applied yet.
        altered: migrations that were applied with other content than this version ships.
        missing_rights: what the login may not do and a run must, in words.
    """

    place: str
    login: str
    version: str
    has_journal: bool
    new_enough: bool
    pending: tuple[str, ...]
    altered: tuple[str, ...]
    missing_rights: tuple[str, ...]


class Target(Protocol):
    """A place that stages, publishes and certifies, and that keeps the state beside the data."""

    @property
    def sqlalchemy_url(self) -> sa.URL: ...

    def migrate(self) -> list[str]: ...

    def readiness(self) -> Readiness: ...

    def read_speeds(self, county_id: str) -> dict[str, float]: ...

    def note_check(
        self, county_id: str, run_id: str | None, trigger: str, report: dict[str, Any]
    ) -> None: ...

    def states(self, county_id: str) -> dict[str, dict[str, Any]]: ...

    def source_identity(self, county_id: str) -> dict[str, Any] | None: ...

    def sync_at_work(self, county_id: str, minutes: int) -> str | None: ...

    def accept_source(self, county_id: str) -> None: ...

    def claim(self, *, county_id: str, county: str, name: str, identity: dict[str, Any]) -> int: ...

    def open_run(
        self,
        plan: RunPlan,
        *,
        trigger: str,
        source_now: str,
        identity: dict[str, Any],
        config: str,
        code: str,
    ) -> None: ...

    def note_event(
        self, county_id: str, run_id: str, action: str, what: str, details: dict[str, Any]
    ) -> None: ...

    def note_failure(
        self, county_id: str, step: str, error: PacsError, run_id: str | None = None
    ) -> None: ...

    def end_run(self, run_id: str, message: str) -> None: ...

    def run(self, run_id: str) -> dict[str, Any]: ...

    def run_entities(self, run_id: str) -> list[dict[str, Any]]: ...

    def note_entity(self, run_id: str, entity: str, **values: Any) -> None: ...

    def note_progress(self, run_id: str, entity: str, rows: int, seconds: float) -> None: ...

    def write_stage(
        self,
        entity: Entity,
        table: str,
        names: Sequence[str],
        payloads: Iterable[bytes],
        *,
        county_id: str,
        append: bool = False,
    ) -> None: ...

    def rows_view(self, table: str) -> str: ...

    def stage_was_emptied(self, row: dict[str, Any]) -> bool: ...

    def settle_stage(self, entity: Entity, table: str) -> int: ...

    def staged_rows(self, table: str) -> int: ...

    def missing_keys(self, entity: Entity, county_id: str, table: str) -> list[str]: ...

    def vanished_keys(self, entity: Entity, county_id: str, table: str) -> list[str]: ...

    def mark_gone(self, entity: Entity, table: str, keys: Sequence[str]) -> None: ...

    def start_scopes(self, stage_table: str) -> None: ...

    def fold_watch(self, stage_table: str, watch: str, payloads: Iterable[bytes]) -> None: ...

    def changed_scopes(self, county_id: str, entity: Entity, stage_table: str) -> list[str]: ...

    def note_scopes(self, stage_table: str, scopes: Sequence[str]) -> None: ...

    def noted_scopes(self, stage_table: str) -> list[str]: ...

    def missing_in_scopes(self, entity: Entity, county_id: str, table: str, scopes_of: str) -> list[str]: ...

    def drop_scopes(self, stage_tables: Iterable[str]) -> None: ...

    def redact(
        self,
        run_id: str,
        entity: Entity,
        by: str,
        parties: Sequence[str],
        values: Mapping[str, str | bool | None],
    ) -> int: ...

    def mark_rejects(self, table: str, assignments: Sequence[tuple[str, str]]) -> int: ...

    def mapping_rejects(self, table: str) -> tuple[int, dict[str, int]]: ...

    def drop_stages(self, tables: Iterable[str]) -> None: ...

    def drop_abandoned_stages(self, county_id: str) -> None: ...

    def quarantined_keys(self, entity: Entity, county_id: str, rule: str, limit: int) -> list[str]: ...

    def leaf_name(self, entity: Entity, county_id: str) -> str | None: ...

    def record_quality(self, run_id: str, entity: str, results: Sequence[RuleResult]) -> None: ...

    def held_sets(self, county_id: str) -> list[dict[str, Any]]: ...

    def held_set(self, county_id: str, held_id: int, digest: str) -> dict[str, Any]: ...

    def apply_held(
        self, run_id: str, entity: Entity, held_id: int, digest: str, table: str, actor: str
    ) -> int: ...

    def reject_held(self, county_id: str, held_id: int, digest: str, actor: str) -> str: ...

    def close_run(self, run_id: str, state: str) -> None: ...

    def publish(self, run_id: str, bounds: DeleteBounds, relations: dict[str, Rule]) -> RunOutcome: ...

    def differences(
        self, entity: Entity, county_id: str, table: str, *, complete: bool
    ) -> list[tuple[str, Kind]]: ...

    def certify(
        self, run_id: str, bounds: DeleteBounds, relations: dict[str, Rule], found: list[Comparison]
    ) -> CertificateOutcome: ...
