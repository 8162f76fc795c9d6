"""What a look at a county's two ends found: findings in a fixed order, each with what to do.

Never a value of a personal column.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from airflow_provider_pacs.sync.runtime.errors import PacsError

State = Literal["ok", "warn", "fail", "unknown"]
Area = Literal[
    "reachability",
    "tls",
    "driver",
    "login",
    "permissions",
    "database",
    "schema",
    "sizes",
    "clock",
    "data",
    "changes",
    "target",
]
WORST_FIRST: tuple[State, ...] = ("fail", "warn", "unknown", "ok")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        id: stable, e.g. `permissions.beyond_reading` or `schema.property`.
        area: the part of the report.
        state: `unknown` where the login may not see it; that is never a failure.
        text: one sentence.
        remedy: what to do; empty where there is nothing to do.
    """

    id: str
    area: Area
    state: State
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class PreflightReport:
    """One county's findings, in the order in which a connection comes about.

    Attributes:
        county: the county's slug.
        at: our clock, UTC.
        thorough: the tables' data was looked at too.
        refused: the error that kept the source from answering at all; it is a finding too.
    """

    county: str
    at: datetime
    thorough: bool
    findings: tuple[Finding, ...]
    refused: PacsError | None = None

    @property
    def state(self) -> State:
        """The worst state of a finding."""
        states = {finding.state for finding in self.findings}
        return next((state for state in WORST_FIRST if state in states), "ok")

    def count(self, state: State) -> int:
        """How many findings have this state."""
        return sum(finding.state == state for finding in self.findings)

    def of(self, area: Area) -> tuple[Finding, ...]:
        """The findings of one area."""
        return tuple(finding for finding in self.findings if finding.area == area)

    def as_dict(self) -> dict[str, Any]:
        findings = [asdict(finding) for finding in self.findings]
        return {
            "county": self.county,
            "at": self.at.isoformat(),
            "state": self.state,
            "thorough": self.thorough,
            "findings": findings,
        }


def in_words(names: Iterable[str], most: int = 8) -> str:
    """`a, b and 3 more`."""
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
