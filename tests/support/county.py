"""A county for tests: a sandbox PACS in this process (no wire) as the source, a real PostgreSQL as the target, and words to say what happens to both.

The clock stands still until a test moves it, so every stamp, bound and overlap in a test is exact.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid5

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg.rows import dict_row

from airflow_provider_pacs.sandbox import county as generic
from airflow_provider_pacs.sandbox.catalog import Table
from airflow_provider_pacs.sandbox.clock import Clock
from airflow_provider_pacs.sandbox.engine import START, SandboxEngine
from airflow_provider_pacs.sandbox.environment import Instant
from airflow_provider_pacs.sandbox.model import Column, Param, ResultSet, SqlError, SqlType
from airflow_provider_pacs.sandbox.statements import SqlSession
from airflow_provider_pacs.sandbox.variables import permuted, ticks
from airflow_provider_pacs.sync import run
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.errors import FatalError
from airflow_provider_pacs.sync.quality import JudgeContext, Rule, RuleResult
from airflow_provider_pacs.sync.quality.checks import predicate_sql
from airflow_provider_pacs.sync.results import CertificateOutcome, EntityCertificate, RunOutcome
from airflow_provider_pacs.sync.source.errors import BY_NUMBER
from airflow_provider_pacs.sync.target.postgres import PostgresTarget

NAMES = UUID("5b0c3b8e-6f5b-4d6e-9f43-0d7c0a5f1a11")
TABLES = {"property": "Property", "owner": "PropertyOwner", "value": "PropertyValue", "structure": "Structure"}
KEYS = {"property": "PropertyID", "owner": "OwnerID", "value": "ValueID", "structure": "StructureID"}
ENTITIES = ("property", "owner", "value", "structure")


def key(*parts: object) -> str:
    """A GUID that a test can name: `key("property", 1)`. As PostgreSQL writes it."""
    return str(uuid5(NAMES, ":".join(map(str, parts))))


class StandingClock(Clock):
    """The server's clock, which moves when a test says so, also backwards, as an administrator or NTP may do."""

    def __init__(self, start: datetime = START, zone: str = "America/Los_Angeles") -> None:
        super().__init__(start, zone)

    def instant(self) -> Instant:
        """Now."""
        local = self._utc.astimezone(self._zone)
        offset = local.utcoffset() or timedelta(0)
        return Instant(local.replace(tzinfo=None), self._utc.replace(tzinfo=None), int(offset.total_seconds() // 60))

    def step(self, **amount: float) -> None:
        """Move by a timedelta's arguments: `step(minutes=-5)`."""
        self._utc += timedelta(**amount)

    def set_utc(self, moment: datetime) -> None:
        """Move to a moment."""
        self._utc = moment.replace(tzinfo=UTC)


def _marked(sql: str) -> str:
    """`?` becomes @P1, @P2 ... as the driver does it."""
    numbers = itertools.count(1)
    return re.sub(r"\?", lambda _: f"@P{next(numbers)}", sql)


def _params(values: Sequence[object], kind: str) -> list[Param]:
    return [
        Param(f"@P{number}", SqlType(kind, 4000) if isinstance(value, str) or value is None else SqlType("int"), value)
        for number, value in enumerate(values, start=1)
    ]


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except SqlError as error:
        verdict = next((found for numbers, found in BY_NUMBER if error.number in numbers), None)
        kind = verdict.kind if verdict else FatalError
        raise kind(error.message, code=verdict.code if verdict else None) from error


def as_the_driver_hands_it_over(batch: pa.RecordBatch, columns: Sequence[Column]) -> pa.RecordBatch:
    """The engine's carriers -> what arrow-odbc makes of the same column: GUIDs as text, datetime with three digits."""
    arrays = [_driven(batch.column(number), column.type) for number, column in enumerate(columns)]
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def _driven(array: pa.Array, kind: SqlType) -> pa.Array:
    if kind.name == "uniqueidentifier":
        return pa.array([None if value is None else str(UUID(bytes_le=value)).upper() for value in array.to_pylist()], pa.string())
    if kind.name == "datetime":
        return pc.cast(pc.round_temporal(array, 1, "millisecond"), pa.timestamp("ms"))
    if kind.name == "smalldatetime":
        return pc.cast(array, pa.timestamp("s"))
    return array


class InProcessReader:
    """A `SourceReader` straight over a session of the sandbox's engine. `before_stream` is called with each bulk statement, to let things happen."""

    def __init__(self, engine: SandboxEngine, user: str = "sa", password: str = "Sandbox!Admin1", *, batch_rows: int = 10_000) -> None:
        self._engine, self._session = engine, engine.login(user, password, generic.DATABASE, "test", "airflow-provider-pacs")
        self.batch_rows = batch_rows
        self.before_stream: Callable[[str], None] | None = None
        self.after_stream: Callable[[str], None] | None = None
        self.before_query: Callable[[str], None] | None = None
        self.denied: tuple[str, ...] = ()
        self.asked: list[str] = []

    @property
    def address_text(self) -> str:
        return "sandbox/PACS"

    def query(self, sql: str, params: Sequence[object] = ()) -> list[dict[str, Any]]:
        self._note(sql)
        if self.before_query is not None:
            self.before_query(sql)
        with _mapped():
            results = self._session.execute(_marked(sql), _params(params, "nvarchar"))
            for item in results:
                if isinstance(item, ResultSet):
                    rows = [row for batch in item.batches for row in as_the_driver_hands_it_over(batch, item.columns).to_pylist()]
                    for _ in results:
                        pass
                    return rows
            return []

    def stream(
        self, sql: str, params: Sequence[str | None] = (), *, batch_rows: int | None = None, lob_bound: Callable[[], int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        if lob_bound is not None:
            lob_bound()
        self._note(sql)
        if self.before_stream is not None:
            self.before_stream(sql)
        limit = batch_rows or self.batch_rows
        with _mapped():
            result = next(item for item in self._session.execute(_marked(sql), _params(params, "varchar")) if isinstance(item, ResultSet))
            batches = [as_the_driver_hands_it_over(batch, result.columns) for batch in result.batches]
        table = pa.Table.from_batches(batches).combine_chunks() if batches else _no_rows(result.columns)
        if self.after_stream is not None:
            self.after_stream(sql)
        yield from table.to_batches(max_chunksize=limit) or [pa.RecordBatch.from_pylist([], schema=table.schema)]

    def _note(self, sql: str) -> None:
        self.asked.append(sql)
        for name in self.denied:
            if name in sql:
                raise FatalError(f"{name} may not be read here")

    def cancel(self) -> None:
        self._session.cancel()

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _no_rows(columns: Sequence[Column]) -> pa.Table:
    from airflow_provider_pacs.sandbox.sqltypes import arrow

    empty = pa.RecordBatch.from_arrays([pa.array([], arrow(column.type)) for column in columns], names=[column.name for column in columns])
    return pa.Table.from_batches([as_the_driver_hands_it_over(empty, columns)])


def counted_judge(url: Any, entity: Entity, rules: Sequence[Rule], context: JudgeContext) -> list[RuleResult]:
    """Judge by each rule's own predicate, without Great Expectations: its start costs more than a whole run of a county this small."""
    if not rules:
        return []
    import sqlalchemy as sa

    counts = ", ".join(f"count(*) FILTER (WHERE {predicate_sql(entity, rule, context)})" for rule in rules)
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        evaluated, *bad = connection.exec_driver_sql(f"SELECT count(*), {counts} FROM {context.stage} AS s".replace("%", "%%")).one()
    engine.dispose()
    return [
        RuleResult(rule.id, rule.severity, rule.title, unexpected == 0, evaluated, unexpected, rule.blocks(unexpected, evaluated))
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
    "value": {"TaxYear": 2025, "AssessedValue": 90.0, "MarketValue": 100.0, "LandValue": 40.0, "ImprovementValue": 60.0},
    "structure": {"StructureType": "Garage", "SquareFootage": 400.5, "Condition": "Good", "YearBuilt": 2001, "Bedrooms": 0, "Bathrooms": 0.5},
}


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "N'" + value.replace("'", "''") + "'"
    return str(int(value)) if isinstance(value, bool) else repr(value)


class Writer:
    """A second session of the county's own software, with a transaction of its own."""

    def __init__(self, session: SqlSession) -> None:
        self._session = session

    def execute(self, sql: str) -> None:
        for item in self._session.execute(sql):
            if isinstance(item, ResultSet):
                list(item.batches)

    def begin(self) -> None:
        self._session.begin()

    def commit(self) -> None:
        self._session.commit()


@dataclass
class County:
    """One county of one test: words for what its people and its software do, and for what the platform shows."""

    engine: SandboxEngine
    clock: StandingClock
    target: PostgresTarget
    url: str
    config: CountyConfig
    source: InProcessReader = field(init=False)

    def __post_init__(self) -> None:
        self.source = InProcessReader(self.engine)
        self._pacs = self.writer()

    @property
    def fips(self) -> str:
        return self.config.fips

    def configure(self, **changes: Any) -> None:
        """Change the county's file: `configure(sync={"overlap_minutes": 0})`, as somebody would before the next run."""
        raw = self.config.model_dump(exclude={"tables"}) | {"tables": changes.pop("tables", {})}
        for section, values in changes.items():
            raw[section] = {**raw[section], **values} if isinstance(values, dict) else values
        self.config = CountyConfig.model_validate(raw)

    # The source

    def writer(self) -> Writer:
        """Another session, for transactions that stay open."""
        return Writer(self.engine.login("sa", "Sandbox!Admin1", generic.DATABASE, "assessor", "PACS"))

    def pacs(self, sql: str) -> None:
        """A statement of the county's own software, committed at once."""
        self._pacs.execute(sql)

    def stamp(self, **back: float) -> str:
        """The source's local clock as text, `stamp(hours=1)` an hour ago."""
        return (self.clock.local() - timedelta(**back)).isoformat(" ", "milliseconds")

    def add(self, entity: str, *numbers: int, at: str | None = None, of: int | None = None, **values: object) -> None:
        """Insert rows with the keys `key(entity, n)`; children belong to property `of`, or to the one with their number."""
        rows = []
        for number in numbers:
            row: dict[str, object] = {KEYS[entity]: key(entity, number), **_DEFAULTS[entity], "LastModified": at or self.stamp(hours=2)}
            if entity == "property":
                row["ParcelNumber"] = f"1-{number:05d}"
            else:
                row["PropertyID"] = key("property", number if of is None else of)
            rows.append(row | values)
        if len(rows) > 10:
            self._add_many(entity, rows)
            return
        names = ", ".join(f"[{name}]" for name in rows[0])
        texts = ", ".join("(" + ", ".join(_literal(value) for value in row.values()) + ")" for row in rows)
        self.pacs(f"INSERT INTO [dbo].[{TABLES[entity]}] ({names}) VALUES {texts}")

    def _add_many(self, entity: str, rows: list[dict[str, object]]) -> None:
        """Past the T-SQL translator, which is slow with long lists; only into the generic tables as they are declared."""
        for row in rows:
            row |= {name: str(permuted(UUID(str(row[name])))) for name in {KEYS[entity], "PropertyID"}}
            row["LastModified"] = ticks(datetime.fromisoformat(str(row["LastModified"])))
        self.engine.con.register("added", pa.Table.from_pylist(rows))
        names = ", ".join(f'"{name}"' for name in rows[0])
        self.engine.con.execute(f'INSERT INTO "PACS.dbo"."{TABLES[entity]}" ({names}) SELECT {names} FROM added')
        self.engine.con.unregister("added")

    def change(self, entity: str, *numbers: int, at: str | None = "now", **values: object) -> None:
        """Update rows; stamped with the clock unless `at` is a stamp, or None for a change that leaves the stamp alone."""
        self.pacs(self.change_statement(entity, *numbers, at=at, **values))

    def change_statement(self, entity: str, *numbers: int, at: str | None = "now", **values: object) -> str:
        """The UPDATE of `change`, for a `Writer`."""
        if at is not None:
            values["LastModified"] = self.stamp() if at == "now" else at
        assignments = ", ".join(f"[{name}] = {_literal(value)}" for name, value in values.items())
        return f"UPDATE [dbo].[{TABLES[entity]}] SET {assignments} WHERE {self._these(entity, numbers)}"

    def remove(self, entity: str, *numbers: int) -> None:
        """Delete rows for good."""
        self.pacs(f"DELETE FROM [dbo].[{TABLES[entity]}] WHERE {self._these(entity, numbers)}")

    def _these(self, entity: str, numbers: Sequence[int]) -> str:
        return f"[{KEYS[entity]}] IN ({', '.join(_literal(key(entity, number)) for number in numbers)})"

    # The platform

    def sync(self, mode: Any = "auto") -> tuple[RunOutcome, CertificateOutcome]:
        """A whole run, as `pacs sync` does it."""
        return run.sync(self.config, self.source, self.target, trigger="test", mode=mode, told=lambda line: None)

    def stage(self, mode: Any = "auto", *, trigger: str = "test") -> str:
        """A run up to, and without, publish; returns its id."""
        plan = run.preflight(self.config, self.source, self.target, trigger=trigger, mode=mode)
        for entity in plan.entities:
            run.extract(self.config, self.source, self.target, run_id=plan.run_id, entity=entity.entity, attempt=1)
            run.validate(self.config, self.target, run_id=plan.run_id, entity=entity.entity)
        return plan.run_id

    def publish(self, run_id: str) -> RunOutcome:
        return run.publish(self.config, self.target, run_id=run_id)

    def certify(self, run_id: str, scope: Any = "auto") -> CertificateOutcome:
        return run.reconcile(self.config, self.source, self.target, run_id=run_id, scope=scope)

    def reconcile(self) -> CertificateOutcome:
        """`pacs reconcile`: both sides in full."""
        plan = run.start_reconcile(self.config, self.source, self.target, trigger="test")
        return run.reconcile(self.config, self.source, self.target, run_id=plan.run_id, scope="full")

    def sql(self, text: str, *params: object) -> list[dict[str, Any]]:
        """Rows of a statement at the target, on the sync's own connection."""
        with self.target.connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(text.encode(), params)
            return cursor.fetchall() if cursor.description is not None else []

    def rows(self, entity: str, *, deleted: bool = False) -> dict[str, dict[str, Any]]:
        """The county's rows in schema pacs by key: the live ones, or with `deleted` the tombstones."""
        canonical = load_entities()[entity]
        found = self.sql(f"SELECT * FROM pacs.{canonical.table} WHERE county_id = %s AND (_deleted_at IS NOT NULL) = %s", self.fips, deleted)
        return {str(row[canonical.key]): row for row in found}

    def row(self, entity: str, number: int) -> dict[str, Any]:
        """The live row of `key(entity, number)`."""
        return self.rows(entity)[key(entity, number)]

    def content(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The live data columns of every entity, for a comparison of two whole targets."""
        return {
            entity: {one: {name: row[name] for name in load_entities()[entity].column_names} for one, row in self.rows(entity).items()}
            for entity in self.config.sync.entities
        }

    def leaf(self, entity: str) -> str:
        """The county's partition."""
        return f"pacs_part.{load_entities()[entity].table}_{self.fips}"

    def quarantine(self, entity: str, state: str = "open") -> dict[str, list[str]]:
        """Key -> broken rules."""
        found = self.sql(
            "SELECT source_key, rules FROM pacs_ops.quarantine WHERE county_id = %s AND entity = %s AND state = %s", self.fips, entity, state
        )
        return {row["source_key"]: row["rules"] for row in found}

    def state(self, entity: str) -> dict[str, Any]:
        """The stored cursor."""
        return self.target.states(self.fips)[entity]

    def plan_of(self, run_id: str, entity: str) -> dict[str, Any]:
        """The entity's row of a run."""
        return next(row for row in self.target.run_entities(run_id) if row["entity"] == entity)

    def held(self, entity: str) -> list[dict[str, Any]]:
        """Undecided sets of deletes."""
        return self.sql("SELECT * FROM pacs_ops.held_delete WHERE county_id = %s AND entity = %s AND state = 'held'", self.fips, entity)

    def close(self) -> None:
        for session in self.engine.sessions():
            session.close()


def of(outcome: RunOutcome | CertificateOutcome, entity: str) -> Any:
    """One entity's part of an outcome."""
    return next(part for part in outcome.entities if part.entity == entity)


def certificate_of(outcome: CertificateOutcome, entity: str) -> EntityCertificate:
    """One entity's certificate."""
    return next(part for part in outcome.entities if part.entity == entity)


_numbers = itertools.count(90_001)


def county_config(entities: Sequence[str] = ("property",), **sections: Any) -> CountyConfig:
    """A county that no other test has: its own FIPS code, so its own partitions in a shared database."""
    number = next(_numbers)
    sync = {"entities": list(entities), **sections.pop("sync", {})}
    return CountyConfig.model_validate(
        {"county": f"county_{number}", "fips": str(number), "timezone": "America/Los_Angeles", "sync": sync, **sections}
    )


def new_engine(*replaced: Table) -> SandboxEngine:
    """An empty sandbox with the generic tables; `replaced` tables take the place of those with their name."""
    engine = SandboxEngine()
    for unused in ("tempdb", "model", "msdb"):  # filling their system tables is what takes time
        engine.catalog.databases.pop(unused)
    generic.declare(engine.catalog)
    for table in replaced:
        engine.catalog.add_table(table)
    engine.publish()
    return engine


def retype(table: str, **types: SqlType | None) -> Table:
    """A generic table with other types; None drops the column, a new name adds one."""
    known = next(found for found in generic.TABLES if found.name == table)
    columns = [Column(c.name, types.get(c.name, c.type), c.nullable) for c in known.columns if types.get(c.name, c.type) is not None]  # type: ignore[arg-type]
    columns += [Column(name, kind) for name, kind in types.items() if kind is not None and name not in {c.name for c in known.columns}]
    return Table(known.database, known.schema, known.name, tuple(columns), known.primary_key, (), (), known.defaults)


def redeclare(engine: SandboxEngine, table: Table) -> None:
    """The county's software altered a table: other columns, and its rows gone. It stays the same object, as ALTER TABLE leaves it."""
    engine.con.execute(f"DROP TABLE {table.stored}")
    known = engine.catalog.table(table.database, table.schema, table.name)
    assert known is not None
    engine.catalog.redefine(replace(table, object_id=known.object_id))
    engine.publish()


def empty(engine: SandboxEngine) -> None:
    """All rows gone."""
    for table in reversed(generic.TABLES):
        engine.con.execute(f"DELETE FROM {table.stored}")


def connect(url: str) -> psycopg.Connection[Any]:
    """Another client of the platform database."""
    return psycopg.connect(url, autocommit=True)
