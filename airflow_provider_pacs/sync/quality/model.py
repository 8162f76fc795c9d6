"""The data types of this package: a rule, a kind of check, its context, its result.

No database, no Great Expectations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.quality.sql import identifier

Severity = Literal["block", "quarantine", "warn"]

QUARANTINE_MAX_PERCENT = 5.0
"""Above this share of bad rows a `quarantine` rule blocks the entity: so many bad rows mean a broken mapping,
not bad data.
"""

BLOCK_FLOOR = 25
"""Fewer bad rows than this never exceed a `max_percent`: one bad row of the three that changed tonight is no
broken mapping.
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a suite.

    Attributes:
        id: stable id, e.g. `F3.24` (domain.md F); where one rule of the list needs several, `F3.23-market`.
        severity: `block` stops the entity's publish, `quarantine` moves the bad rows aside, `warn` only
            reports.
        title: one sentence a property data manager understands, e.g. "Parcel number is present".
        check: the kind of check, a key of the registry in `checks.py`, e.g. `not_null`.
        args: the check's arguments, e.g. {"column": "parcel_number"}.
        max_percent: bad rows tolerated, in percent of the entity's rows, before a `quarantine` or `warn` rule
            blocks the entity; None for no limit.
    """

    id: str
    severity: Severity
    title: str
    check: str
    args: dict[str, Any]
    max_percent: float | None = None

    def blocks(self, unexpected: int, evaluated: int) -> bool:
        """Whether this many bad rows of this many stop the entity's publish."""
        if self.severity == "block":
            return unexpected > 0
        if self.max_percent is None or unexpected < BLOCK_FLOOR:
            return False
        return unexpected * 100 > self.max_percent * evaluated


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What Great Expectations said of one rule. `detail` never holds a row's values."""

    rule_id: str
    severity: Severity
    title: str
    success: bool
    evaluated: int
    unexpected: int
    blocks: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ValidationContext:
    """What the rules of one staged entity are evaluated against.

    Attributes:
        county_id: the county's FIPS code.
        current_year: the county's current appraisal year, for rules such as "tax year at most next year".
        schema: the schema of the staging table, as it is (unquoted).
        stage_table: the staging table, as it is (unquoted).
        parent_stage: the parent's staging table of the same run, qualified and quoted; None where the parent
            is not part of the run.
        parent_partition: the parent's published partition, qualified and quoted; None where nothing was
            published yet.
        partition: this entity's own published partition, qualified and quoted, where the staging table holds
            only what
            changed: rules over a group (one property's percentages) then see the rest of the group. None for
            a full load, which stages every row.
        size: about how many rows the entity has: a share of bad rows is a share of these, so that a small
            window of bad rows is not taken for a wrong mapping.
    """

    county_id: str
    current_year: int
    schema: str
    stage_table: str
    parent_stage: str | None = None
    parent_partition: str | None = None
    partition: str | None = None
    size: int = 0

    @property
    def stage(self) -> str:
        """The staging table, qualified and quoted."""
        return f"{identifier(self.schema)}.{identifier(self.stage_table)}"


@dataclass(frozen=True, slots=True)
class Native:
    """An expectation of Great Expectations by class name, with its arguments."""

    name: str
    kwargs: Mapping[str, Any]


class Check(Protocol):
    """One kind of check with its arguments; the fields of a kind are the arguments a suite may give."""

    kind: ClassVar[str]

    def columns(self, entity: Entity) -> dict[str, frozenset[str]]:
        """The columns the check reads, with the types it can read."""
        ...

    def predicate(self, entity: Entity, context: ValidationContext) -> str:
        """TRUE for the bad rows of the staging table with alias `s`."""
        ...

    def native(self, context: ValidationContext) -> Native | None:
        """The expectation of the same meaning; None where there is none."""
        ...
