"""What a run proves: the arithmetic of both sides, entity by entity."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from airflow_provider_pacs.sync.records.plans import MAPPING_VERSION, Coverage, RunKind, RunState

CertificateState = Literal["clean", "pending", "blocked", "drift", "rolled_back"]


RUN_STATE_OF: dict[CertificateState, RunState] = {
    "clean": "succeeded",
    "pending": "pending",
    "blocked": "blocked",
    "drift": "drift",
    "rolled_back": "succeeded",
}
"""How a run ends, by the state of its certificate."""


@dataclass(frozen=True, slots=True)
class SourceCensus:
    """What the source says of an entity's rows in one statement.

    Attributes:
        rows: how many there are.
        late: of these, newer than the run's upper bound.
        key_sum: a sum over the keys' hashes, as decimal text.
        control: control totals of all rows: group -> column -> sum as decimal text; the group is the tax year
            of a value and '' elsewhere.
    """

    rows: int
    late: int
    key_sum: str
    control: dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class EntityCertificate:
    """One entity's arithmetic: both sides, every row of them in exactly one term.

    `source_rows = equal + quarantined + waiting + newer + missing + differing` and
    `target_rows = equal + kept + pending_deletes + extra_in_target + differing`.

    Attributes:
        covered: `all_rows` were compared byte by byte; `window`, the rows of the run's window, while the keys
            of all others were counted and summed on both sides; `keys`, the named rows only.
        state: `clean`, `pending` (a person must decide), `blocked` (an entity was held back), `drift`, or of
            a rollback `rolled_back`: its rows are what they were, which says nothing of the source.
        compared: rows whose images were compared.
        source_rows: rows at the source; with coverage `keys` those that were read.
        target_rows: live rows; with coverage `keys` those of the same keys.
        equal: published, and equal as far as covered.
        quarantined: the source's present image is in quarantine.
        waiting: of the quarantine, those that wait for their parent only.
        newer: changed at the source since the run's bound; the next run reads them.
        kept: live rows of the target whose source row is quarantined, waiting or newer: the last good
            version.
        pending_deletes: live rows that are gone at the source and wait for a person.
        missing: at the source and nowhere here: drift.
        differing: here with other values: drift.
        extra_in_target: here and not at the source: drift.
        lower: the window's lower bound at the source; None where all rows were read.
        upper: the run's upper bound at the source.
        method: how the source's side was obtained, in a few words.
        source_control: control totals by SQL Server, see `SourceCensus.control`.
        target_control: the same by PostgreSQL over the live rows.
        sample_keys: some keys behind missing, differing and extra_in_target, as `kind:key`; of a
            blocked entity those that its extract named, with the kind `unreadable` for what is no key at all.
        message: why an entity was held back.
    """

    entity: str
    covered: Coverage
    state: CertificateState
    compared: int = 0
    source_rows: int = 0
    target_rows: int = 0
    equal: int = 0
    quarantined: int = 0
    waiting: int = 0
    newer: int = 0
    kept: int = 0
    pending_deletes: int = 0
    missing: int = 0
    differing: int = 0
    extra_in_target: int = 0
    lower: str | None = None
    upper: str | None = None
    method: str = ""
    source_control: dict[str, dict[str, str]] | None = None
    target_control: dict[str, dict[str, str]] | None = None
    sample_keys: tuple[str, ...] = ()
    message: str = ""

    @property
    def clean(self) -> bool:
        return self.state == "clean"

    @property
    def source_remainder(self) -> int:
        """Source rows in no term: always 0 in a true certificate."""
        return self.source_rows - (
            self.equal + self.quarantined + self.waiting + self.newer + self.missing + self.differing
        )

    @property
    def target_remainder(self) -> int:
        """Live rows in no term: always 0 in a true certificate."""
        return self.target_rows - (
            self.equal + self.kept + self.pending_deletes + self.extra_in_target + self.differing
        )

    @property
    def drift(self) -> int:
        """Rows that no term explains."""
        return (
            self.missing
            + self.differing
            + self.extra_in_target
            + abs(self.source_remainder)
            + abs(self.target_remainder)
        )

    def as_dict(self) -> dict[str, Any]:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {
            "clean": self.clean,
            "drift": self.drift,
            "sample_keys": list(self.sample_keys),
        }


@dataclass(frozen=True, slots=True)
class Certificate:
    """The certificate of a run: one arithmetic per planned entity.

    Attributes:
        audit_head: hash at the head of the county's audit chain when it was issued, so that an outside copy
            exists.
    """

    run_id: str
    county_id: str
    kind: RunKind
    covered: Coverage
    entities: tuple[EntityCertificate, ...]
    code_version: str = ""
    mapping_version: int = MAPPING_VERSION
    source_now: str | None = None
    issued_at: datetime | None = None
    audit_head: str = ""
    seconds: float = 0.0

    @property
    def state(self) -> CertificateState:
        return worst_state(tuple(each.state for each in self.entities))

    @property
    def run_state(self) -> RunState:
        return RUN_STATE_OF[self.state]

    @property
    def clean(self) -> bool:
        return self.state == "clean"

    @property
    def blocked(self) -> tuple[str, ...]:
        """Entities that kept their last good data."""
        return tuple(each.entity for each in self.entities if each.state == "blocked")

    def as_dict(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "county_id": self.county_id,
            "kind": self.kind,
            "covered": self.covered,
            "state": self.state,
            "clean": self.clean,
            "blocked": list(self.blocked),
            "code_version": self.code_version,
            "mapping_version": self.mapping_version,
            "source_now": self.source_now,
            "issued_at": self.issued_at.isoformat() if self.issued_at else None,
            "audit_head": self.audit_head,
            "entities": {each.entity: each.as_dict() for each in self.entities},
        }


_BY_SEVERITY: tuple[CertificateState, ...] = ("blocked", "drift", "pending", "rolled_back", "clean")


def worst_state(states: tuple[CertificateState, ...]) -> CertificateState:
    """What a whole certificate says: its worst entity; a certificate of nothing is no proof."""
    return next((state for state in _BY_SEVERITY if state in states), "blocked")
