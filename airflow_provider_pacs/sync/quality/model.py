"""A quality rule as data, and what judging it returned. No database and no Great Expectations here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["block", "quarantine", "warn"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a suite.

    Attributes:
        id: stable id, e.g. `F3.23` (domain.md F).
        severity: `block` stops the entity's publish, `quarantine` moves the bad rows aside, `warn` only reports.
        title: one sentence a property data manager understands, e.g. "Parcel number is present".
        check: the kind of check, a key of the registry in `checks.py`, e.g. `not_null`.
        args: the check's arguments, e.g. {"column": "parcel_number"}.
        max_percent: bad rows tolerated, in percent of the judged rows, before a `quarantine` rule blocks the entity; None for no limit.
    """

    id: str
    severity: Severity
    title: str
    check: str
    args: dict[str, Any]
    max_percent: float | None = None


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
