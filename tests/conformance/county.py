"""A county at any target, by the ports alone: no source, no SQL; rows are CSV as the mapping hands them over."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4, uuid5

from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.profiles import load_tables
from airflow_provider_pacs.sync.quality.model import Rule, RuleResult
from airflow_provider_pacs.sync.records import (
    Certificate,
    Comparison,
    DeleteBounds,
    EntityCertificate,
    ReadPlan,
    RunOutcome,
    RunPlan,
    SourceMoment,
    Turn,
)
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.steps.source_rows import stage_name
from airflow_provider_pacs.sync.target.port import Target

PROPERTY = load_entities()["property"]
OWNER = load_entities()["owner"]
COLUMNS = {
    "property": ("property_id", "parcel_number", "city", "_source_version"),
    "owner": ("owner_id", "property_id", "owner_name", "_source_version"),
}
MOMENT = SourceMoment("2026-01-15 06:00:00.0000000", "2026-01-15 14:00:00.0000000", 2026)
IDENTITY = {"server": "pacs-1", "db": "PACS", "fork": "1"}
WAITING = Rule("F1.9", "quarantine", "Every owner has its property", "exists_in_parent", {})
WIDE = DeleteBounds(1000, 100.0, 0)
_NAMES = UUID("0b9a4a55-41cf-4c31-8f0b-2f4b1ddc9e10")
_numbers = itertools.count(70_001)


def key(number: int) -> str:
    """A key that a test can name."""
    return str(uuid5(_NAMES, str(number)))


def row(number: int, city: str | None = "Prosser", version: str = "1") -> tuple[str | None, ...]:
    """A property as CSV fields; None is NULL."""
    return key(number), f"1-{number:05d}", city, version


def csv_of(rows: Sequence[tuple[str | None, ...]]) -> bytes:
    """Rows as the mapping writes them: NULL is empty, every text is quoted."""
    sink = io.StringIO()
    for fields in rows:
        sink.write(
            ",".join("" if text is None else '"' + text.replace('"', '""') + '"' for text in fields) + "\n"
        )
    return sink.getvalue().encode()


@dataclass
class StagedCounty:
    """One county of one test."""

    target: Target
    fips: str = field(default_factory=lambda: str(next(_numbers)))
    bounds: DeleteBounds = WIDE

    def claim(self, turn: Turn | None = None) -> int:
        """Take the county; returns the epoch."""
        return self.target.runs.claim(
            county_id=self.fips, county=f"county_{self.fips}", name="A county", identity=IDENTITY, turn=turn
        )

    def plan(self, *entities: str, kind: Any = "sync", **changes: Any) -> RunPlan:
        """Claim the county and record a run of it."""
        return self.open(self.claim(), kind, *entities, **changes)

    def open(self, epoch: int, kind: Any, *entities: str, **changes: Any) -> RunPlan:
        """Record a run of a claimed county."""
        plans = tuple(_read_plan(entity, **changes) for entity in entities or ("property",))
        plan = RunPlan(str(uuid4()), self.fips, epoch, kind, plans)
        self.target.runs.open(
            plan, trigger="test", moment=MOMENT, identity=IDENTITY, config="c0ffee", code="0.1.0"
        )
        return plan

    def stage(
        self,
        plan: RunPlan,
        rows: Sequence[tuple[str | None, ...]],
        *,
        entity: str = "property",
        attempt: int = 1,
        gone: Sequence[str] = (),
        rejects: Sequence[tuple[str, str]] = (),
    ) -> str:
        """Extract and validate; returns the staging table."""
        staging, runs = self.target.staging, self.target.runs
        table = stage_name(plan.run_id, entity, attempt)
        runs.begin_extract(plan.run_id, entity, attempt)
        self.fill(table, rows, entity=entity)
        if gone:
            self.fill(table, (), entity=entity, append=True)
            staging.mark_gone(load_entities()[entity], table, list(gone))
        mode = next(each.mode for each in plan.entities if each.entity == entity)
        runs.end_extract(
            plan.run_id,
            entity,
            attempt=attempt,
            table=table,
            mode=mode,
            read=len(rows),
            staged=staging.count(table),
            seconds=0.1,
            expected=None,
        )
        if rejects:
            staging.mark_rejects(table, rejects)
        self.pass_(plan, table, entity=entity, attempt=attempt)
        return table

    def pass_(
        self, plan: RunPlan, table: str, *, entity: str = "property", attempt: int = 1, blocked: str = ""
    ) -> None:
        """The verdict of validation."""
        result = RuleResult("F3.24", "warn", "Parcel number is present", True, 1, 0, False)
        self.target.runs.record_validation(
            plan.run_id,
            entity,
            table=table,
            attempt=attempt,
            rows=self.target.staging.count(table),
            results=[result],
            blocked=blocked,
        )

    def fill(
        self,
        table: str,
        rows: Sequence[tuple[str | None, ...]],
        *,
        entity: str = "property",
        append: bool = False,
    ) -> None:
        """One pass over the source."""
        self.target.staging.fill(
            load_entities()[entity],
            table,
            COLUMNS[entity],
            [csv_of(rows)] if rows else [],
            county_id=self.fips,
            append=append,
        )

    def publish(self, plan: RunPlan, *, actor: str = "") -> RunOutcome:
        """The run becomes visible."""
        relations = {"owner": WAITING} if any(each.entity == "owner" for each in plan.entities) else {}
        return self.target.publisher.publish(plan.run_id, self.bounds, relations, actor=actor)

    def load(self, *numbers: int) -> RunOutcome:
        """A whole first run."""
        plan = self.plan()
        self.stage(plan, [row(number) for number in numbers])
        return self.publish(plan)

    def compare(
        self, rows: Sequence[tuple[str | None, ...]], staged: str | None = None, *, complete: bool = True
    ) -> Comparison:
        """What the source would say now, beside what is published."""
        table = f"fresh_{uuid4().hex[:12]}"
        self.fill(table, rows)
        return self.target.certifier.compare(
            PROPERTY, self.fips, table, staged, complete=complete, waiting_rule=WAITING.id
        )

    def issue(self, plan: RunPlan, **changes: Any) -> Certificate:
        """A certificate of the run."""
        made = [
            replace(
                EntityCertificate(each.entity, "all_rows", "clean", lower=each.lower, upper=each.upper),
                **changes,
            )
            for each in plan.entities
        ]
        return self.target.certifier.issue(plan.run_id, made, {})


def _read_plan(entity: str, **changes: Any) -> ReadPlan:
    table = ResolvedTable(load_tables("generic")[entity], {})
    plan = ReadPlan(
        table,
        "full",
        "last_modified",
        "first load",
        None,
        "2026-01-15 06:00:00.000",
        "datetime",
        "f1",
        "s1",
        {"City": "varchar(50)"},
        cursor="2026-01-15 05:00:00.000",
    )
    return replace(plan, **changes)


def entity_named(name: str) -> Entity:
    """A canonical entity."""
    return load_entities()[name]
