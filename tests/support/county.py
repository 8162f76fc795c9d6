"""A county for tests: a sandbox PACS in this process (no wire) as the source, a real PostgreSQL as the
target, and words to say what happens to both.

Where PACS_TEST_MSSQL_URL names a server, the source is a database of its own there, read by the product's own
reader. The clock stands still until a test moves it, so every stamp, bound and overlap in a test is exact.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

import psycopg
from psycopg.rows import dict_row

from airflow_provider_pacs.sandbox.catalog.tables import Table
from airflow_provider_pacs.sandbox.counties import generic_tables as generic
from airflow_provider_pacs.sandbox.model import Column, SqlType
from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.quality import Rule, RuleResult, ValidationContext
from airflow_provider_pacs.sync.quality.checks import predicate_sql
from airflow_provider_pacs.sync.records import (
    Certificate,
    Cursor,
    EntityCertificate,
    EntityRun,
    RunOutcome,
)
from airflow_provider_pacs.sync.runtime.errors import DataError
from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.support.in_process import InProcessPacs
from tests.support.in_process import InProcessReader as InProcessReader
from tests.support.named_server import NamedPacs
from tests.support.pacs import Pacs as Pacs
from tests.support.pacs import StandingClock as StandingClock
from tests.support.pacs import WatchedReader as WatchedReader
from tests.support.pacs import Writer as Writer
from tests.support.server import named_server

NAMES = UUID("5b0c3b8e-6f5b-4d6e-9f43-0d7c0a5f1a11")
TABLES = {
    "property": "Property",
    "owner": "PropertyOwner",
    "value": "PropertyValue",
    "structure": "Structure",
}
KEYS = {"property": "PropertyID", "owner": "OwnerID", "value": "ValueID", "structure": "StructureID"}
ENTITIES = ("property", "owner", "value", "structure")


def key(*parts: object) -> str:
    """A GUID that a test can name: `key("property", 1)`. As PostgreSQL writes it."""
    return str(uuid5(NAMES, ":".join(map(str, parts))))


def counted_rules(
    url: Any, entity: Entity, rules: Sequence[Rule], context: ValidationContext
) -> list[RuleResult]:
    """Validate by each rule's own predicate, without Great Expectations: its start costs more than a whole run
    of a county this small.
    """
    if not rules:
        return []
    import sqlalchemy as sa

    counts = ", ".join(f"count(*) FILTER (WHERE {predicate_sql(entity, rule, context)})" for rule in rules)
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        evaluated, *bad = connection.exec_driver_sql(
            f"SELECT count(*), {counts} FROM {context.stage} AS s".replace("%", "%%")
        ).one()
    engine.dispose()
    return [
        RuleResult(
            rule.id,
            rule.severity,
            rule.title,
            unexpected == 0,
            evaluated,
            unexpected,
            rule.blocks(unexpected, max(evaluated, context.size)),
        )
        for rule, unexpected in zip(rules, bad, strict=True)
    ]


_DEFAULTS: dict[str, dict[str, object]] = {
    "property": {
        "Address": "1 Main St",
        "City": "Prosser",
        "State": "WA",
        "ZipCode": "99350",
        "LegalDescription": "LOT 1",
        "Acreage": 0.25,
        "YearBuilt": 1999,
        "IsActive": 1,
    },
    "owner": {"OwnerName": "Ann Lee", "OwnerType": "Individual", "OwnershipPercentage": 100.0},
    "value": {
        "TaxYear": 2025,
        "AssessedValue": 90.0,
        "MarketValue": 100.0,
        "LandValue": 40.0,
        "ImprovementValue": 60.0,
    },
    "structure": {
        "StructureType": "Garage",
        "SquareFootage": 400.5,
        "Condition": "Good",
        "YearBuilt": 2001,
        "Bedrooms": 0,
        "Bathrooms": 0.5,
    },
}


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "N'" + value.replace("'", "''") + "'"
    return str(int(value)) if isinstance(value, bool) else repr(value)


@dataclass
class County:
    """One county of one test: words for what its people and its software do, and for what the platform shows."""

    engine: Pacs
    clock: StandingClock
    target: PostgresTarget
    url: str
    config: CountyConfig
    source: WatchedReader = field(init=False)

    def __post_init__(self) -> None:
        self.source = self.engine.reader()
        self._pacs = self.writer()

    @property
    def fips(self) -> str:
        return self.config.fips

    def configure(self, **changes: Any) -> None:
        """Change the county's file: `configure(sync={"overlap_minutes": 0})`, as somebody would before the
        next run.
        """
        raw = self.config.model_dump(exclude={"tables"}) | {"tables": changes.pop("tables", {})}
        for section, values in changes.items():
            raw[section] = {**raw[section], **values} if isinstance(values, dict) else values
        self.config = CountyConfig.model_validate(raw)

    # The source

    def writer(self) -> Writer:
        """Another session, for transactions that stay open."""
        return self.engine.writer()

    def pacs(self, sql: str) -> None:
        """A statement of the county's own software, committed at once."""
        self._pacs.execute(sql)

    def stamp(self, **back: float) -> str:
        """The source's local clock as text, `stamp(hours=1)` an hour ago."""
        return (self.clock.local() - timedelta(**back)).isoformat(" ", "milliseconds")

    def add(
        self, entity: str, *numbers: int, at: str | None = None, of: int | None = None, **values: object
    ) -> None:
        """Insert rows with the keys `key(entity, n)`; children belong to property `of`, or to the one with
        their number.
        """
        rows = []
        for number in numbers:
            row: dict[str, object] = {
                KEYS[entity]: key(entity, number),
                **_DEFAULTS[entity],
                "LastModified": at or self.stamp(hours=2),
            }
            if entity == "property":
                row["ParcelNumber"] = f"1-{number:05d}"
            else:
                row["PropertyID"] = key("property", number if of is None else of)
            rows.append(row | values)
        if len(rows) > 10:
            self.engine.fill(TABLES[entity], rows)
            return
        names = ", ".join(f"[{name}]" for name in rows[0])
        texts = ", ".join("(" + ", ".join(_literal(value) for value in row.values()) + ")" for row in rows)
        self.pacs(f"INSERT INTO [dbo].[{TABLES[entity]}] ({names}) VALUES {texts}")

    def change(self, entity: str, *numbers: int, at: str | None = "now", **values: object) -> None:
        """Update rows; stamped with the clock unless `at` is a stamp, or None for a change that leaves the
        stamp alone.
        """
        self.pacs(self.change_statement(entity, *numbers, at=at, **values))

    def change_statement(self, entity: str, *numbers: int, at: str | None = "now", **values: object) -> str:
        """The UPDATE of `change`, for a `Writer`.

        It seeks: a scan would wait for the rows of other open writers.
        """
        if at is not None:
            values["LastModified"] = self.stamp() if at == "now" else at
        assignments = ", ".join(f"[{name}] = {_literal(value)}" for name, value in values.items())
        return (
            f"UPDATE [dbo].[{TABLES[entity]}] WITH (FORCESEEK) SET {assignments} WHERE "
            f"{self._these(entity, numbers)}"
        )

    def remove(self, entity: str, *numbers: int) -> None:
        """Delete rows for good."""
        self.pacs(f"DELETE FROM [dbo].[{TABLES[entity]}] WHERE {self._these(entity, numbers)}")

    def _these(self, entity: str, numbers: Sequence[int]) -> str:
        return f"[{KEYS[entity]}] IN ({', '.join(_literal(key(entity, number)) for number in numbers)})"

    # The platform

    def sync(self, mode: Any = "auto") -> tuple[RunOutcome, Certificate]:
        """A whole run, as `pacs sync` does it; a certificate that is not clean is returned like any other."""
        return self._run(steps.RunRequest("sync", "test", mode, one_process=True))

    def reconcile(self) -> Certificate:
        """`pacs reconcile`: every row compared; a certificate that is not clean is returned like any other."""
        return self.reconciled()[1]

    def reconciled(self) -> tuple[RunOutcome, Certificate]:
        """`reconcile` with what it published."""
        return self._run(steps.RunRequest("reconcile", "test", "full", one_process=True))

    def _run(self, request: steps.RunRequest) -> tuple[RunOutcome, Certificate]:
        plan = steps.plan(self.config, self.source, self.target, request)
        for entity in plan.entities:
            self.extract(plan.run_id, entity.entity)
            self.validate(plan.run_id, entity.entity)
        published = self.publish(plan.run_id)
        return published, self.certify(plan.run_id)

    def stage(self, mode: Any = "auto", *, trigger: str = "test", kind: Any = "sync") -> str:
        """A run up to, and without, publish; returns its id."""
        plan = steps.plan(self.config, self.source, self.target, steps.RunRequest(kind, trigger, mode))
        for entity in plan.entities:
            self.extract(plan.run_id, entity.entity)
            steps.validate(self.config, self.target, run_id=plan.run_id, entity=entity.entity)
        return plan.run_id

    def extract(self, run_id: str, entity: str, attempt: int = 1) -> None:
        steps.extract(self.config, self.source, self.target, run_id=run_id, entity=entity, attempt=attempt)

    def validate(self, run_id: str, entity: str) -> bool:
        """Whether the staged rows may be published: False where a rule blocks the entity."""
        try:
            steps.validate(self.config, self.target, run_id=run_id, entity=entity)
        except DataError:
            if self.plan_of(run_id, entity).state != "blocked":
                raise
            return False
        return True

    def publish(self, run_id: str) -> RunOutcome:
        return steps.publish(self.config, self.target, run_id=run_id)

    def certify(self, run_id: str) -> Certificate:
        """The run's certificate, whatever it says."""
        try:
            return steps.certify(self.config, self.source, self.target, run_id=run_id)
        except steps.CertificateError as error:
            return error.certificate

    def sql(self, text: str, *params: object) -> list[dict[str, Any]]:
        """Rows of a statement at the target, on the sync's own connection."""
        with self.target.connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(text.encode(), params)
            return cursor.fetchall() if cursor.description is not None else []

    def rows(self, entity: str, *, deleted: bool = False) -> dict[str, dict[str, Any]]:
        """The county's rows in schema pacs by key: the live ones, or with `deleted` the tombstones."""
        canonical = load_entities()[entity]
        rows_ = self.sql(
            f"SELECT * FROM pacs.{canonical.table} WHERE county_id = %s AND (_deleted_at IS NOT NULL) = %s",
            self.fips,
            deleted,
        )
        return {str(row[canonical.key]): row for row in rows_}

    def row(self, entity: str, number: int) -> dict[str, Any]:
        """The live row of `key(entity, number)`."""
        return self.rows(entity)[key(entity, number)]

    def content(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The live data columns of every entity, for a comparison of two whole targets."""
        return {
            entity: {
                key: {name: row[name] for name in load_entities()[entity].column_names}
                for key, row in self.rows(entity).items()
            }
            for entity in self.config.sync.entities
        }

    def partition(self, entity: str) -> str:
        """The county's partition."""
        return f"pacs_part.{load_entities()[entity].table}_{self.fips}"

    def quarantine(self, entity: str, state: str = "open") -> dict[str, list[str]]:
        """Key -> broken rules."""
        open_rows = self.sql(
            "SELECT source_key, rules FROM pacs_ops.quarantine WHERE county_id = %s AND entity = %s AND "
            "state = %s",
            self.fips,
            entity,
            state,
        )
        return {row["source_key"]: row["rules"] for row in open_rows}

    def state(self, entity: str) -> Cursor:
        """The stored cursor."""
        return self.target.runs.cursors(self.fips)[entity]

    def plan_of(self, run_id: str, entity: str) -> EntityRun:
        """The entity's row of a run."""
        return next(row for row in self.target.runs.entities(run_id) if row.entity == entity)

    def pending(self, entity: str) -> list[dict[str, Any]]:
        """Undecided sets of deletes."""
        return self.sql(
            "SELECT * FROM pacs_ops.pending_delete WHERE county_id = %s AND entity = %s AND state = 'pending'",
            self.fips,
            entity,
        )

    def close(self) -> None:
        self.engine.end_sessions()


def of(outcome: RunOutcome | Certificate, entity: str) -> Any:
    """One entity's part of an outcome."""
    return next(part for part in outcome.entities if part.entity == entity)


def certificate_of(outcome: Certificate, entity: str) -> EntityCertificate:
    """One entity's certificate."""
    return next(part for part in outcome.entities if part.entity == entity)


_numbers = itertools.count(90_001)


def county_config(entities: Sequence[str] = ("property",), **sections: Any) -> CountyConfig:
    """A county that no other test has: its own FIPS code, so its own partitions in a shared database."""
    number = next(_numbers)
    sync = {"entities": list(entities), **sections.pop("sync", {})}
    return CountyConfig.model_validate(
        {
            "county": f"county_{number}",
            "fips": str(number),
            "timezone": "America/Los_Angeles",
            "sync": sync,
            **sections,
        }
    )


def new_engine(*replaced: Table) -> Pacs:
    """An empty PACS with the generic tables; `replaced` tables take the place of those with their name."""
    named = named_server()
    return NamedPacs(named, *replaced) if named else InProcessPacs(*replaced)


def retype(table: str, **types: SqlType | None) -> Table:
    """A generic table with other types; None drops the column, a new name adds one."""
    known = next(each for each in generic.TABLES if each.name == table)
    columns = [
        Column(c.name, types.get(c.name, c.type), c.nullable)
        for c in known.columns
        if types.get(c.name, c.type) is not None
    ]  # type: ignore[arg-type]
    columns += [
        Column(name, kind)
        for name, kind in types.items()
        if kind is not None and name not in {c.name for c in known.columns}
    ]
    return Table(
        known.database, known.schema, known.name, tuple(columns), known.primary_key, (), (), known.defaults
    )


def redeclare(engine: Pacs, table: Table) -> None:
    """The county's software changed a table: other columns, and its rows gone."""
    engine.redeclare(table)


def empty(engine: Pacs) -> None:
    """All rows gone, and the clock as it was in the beginning."""
    engine.empty()


def connect(url: str) -> psycopg.Connection[Any]:
    """Another client of the platform database."""
    return psycopg.connect(url, autocommit=True)
