"""What a run really sends, recorded behind Microsoft's driver, is what the other tests judge: no statement
comes from anywhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pytest
from airflow.providers.common.compat.sdk import Connection
from airflow_provider_pacs.sync.steps.source_rows import load_entity
from airflow_provider_pacs.sync.steps.reconcile import reconcile

from airflow_provider_pacs.hooks.pacs import PacsHook
from airflow_provider_pacs.sandbox.counties.generic_rows import build
from airflow_provider_pacs.sandbox.model import Param
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from airflow_provider_pacs.sandbox.tsql.session import SqlSession
from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from airflow_provider_pacs.sync import entity_streams as records
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.preflight import examine
from airflow_provider_pacs.sync.preflight.preview import preview
from airflow_provider_pacs.sync.preflight.resolve import resolve_tables
from airflow_provider_pacs.sync.records import Backfill, CertificateOutcome, RunPlan
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.tables import source_tables
from airflow_provider_pacs.sync.source.address import SourceAddress
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader
from airflow_provider_pacs.sync.steps.plan import make_plan, map_fingerprint, shapes
from airflow_provider_pacs.sync.target.port import Comparison, DeleteBounds
from tests.contract import statements
from tests.contract.test_emitted_tsql import CONSTANTS
from tests.contract.test_preflight_tsql import all_looks
from tests.contract.tsql_judge import Judge, with_parameters
from tests.wire.scripted import CERTIFICATE

PASSWORD = "Sandbox!Reader1"
KEYS = ["00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"]


@dataclass
class Recorder:
    """A sandbox PACS, and every text that reached its engine."""

    port: int
    sent: list[str]

    def address(self, **options: Any) -> SourceAddress:
        return SourceAddress("127.0.0.1", self.port, "PACS", "pacs_reader", PASSWORD, **options)

    @contextmanager
    def asked(self) -> Iterator[set[str]]:
        """Gives a set that holds, at the end, what was sent meanwhile."""
        start, found = len(self.sent), set[str]()
        yield found
        found.update(self.sent[start:])


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    sent: list[str] = []
    engine = build(SandboxEngine(), "tiny")
    original = SqlSession.execute

    def recorded(session: SqlSession, sql: str, params: Sequence[Param] = ()) -> Any:
        sent.append(sql)
        return original(session, sql, params)

    with pytest.MonkeyPatch.context() as patch, SandboxServer(engine, certificate=CERTIFICATE) as server:
        patch.setattr(SqlSession, "execute", recorded)
        yield Recorder(server.port, sent)
    engine.close()


@dataclass
class ForgetfulTarget:
    """A target that keeps no rows, and finds every kind of row that makes the engine ask the source once
    more.
    """

    states_then: dict[str, dict[str, Any]] = field(default_factory=dict)
    plan: RunPlan | None = None
    compared: list[Comparison] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: list(KEYS) if name.endswith("_keys") else None

    def states(self, county_id: str) -> dict[str, dict[str, Any]]:
        return self.states_then

    def claim(self, **_: str) -> int:
        return 1

    def open_run(self, plan: RunPlan, **_: Any) -> None:
        self.plan = plan

    def run_entities(self, run_id: str) -> list[dict[str, Any]]:
        assert self.plan is not None
        rows = [asdict(each) for each in self.plan.entities]
        return [
            row | {"lower_bound": row["lower"], "upper_bound": row["upper"], "state": "published"}
            for row in rows
        ]

    def write_stage(
        self,
        entity: object,
        table: str,
        names: Sequence[str],
        payloads: Iterable[bytes],
        *,
        county_id: str,
        append: bool = False,
    ) -> None:
        assert list(payloads)

    def differences(self, *_: object, **__: object) -> list[tuple[str, str]]:
        return [(key, "missing") for key in KEYS]

    def certify(
        self, run_id: str, bounds: object, relations: object, found: list[Comparison]
    ) -> CertificateOutcome:
        self.compared = found
        return CertificateOutcome(run_id, "53005", "full", "clean", (), 0.0, ())


def county(**sync: Any) -> CountyConfig:
    base = {
        "county": "benton_wa",
        "fips": "53005",
        "name": "Benton",
        "timezone": "America/Los_Angeles",
        "source": {"connection": "pacs_benton_wa"},
    }
    return CountyConfig.model_validate({**base, "sync": sync})


def one_run(
    reader: SqlServerReader,
    config: CountyConfig,
    target: ForgetfulTarget,
    kind: Literal["sync", "reconcile", "backfill"],
) -> dict[str, ResolvedTable]:
    """Plan, load (a sync or backfill) and reconcile; returns the tables as they were found."""
    window = Backfill("value", "2026-01-01", statements.STAMP) if kind == "backfill" else None
    plan = make_plan(config, reader, target, kind=kind, mode="auto", trigger="test", window=window)  # type: ignore[arg-type]
    tables = shapes(config, reader, target.runs.entities(plan.run_id))
    if kind != "reconcile":
        for row in target.runs.entities(plan.run_id):
            load_entity(reader, target, tables[row["entity"]], config.fips, row, "stage", "F2.1")  # type: ignore[arg-type]
    scope: Any = "full" if kind == "reconcile" else "auto"
    bounds = DeleteBounds(25, 2.0)
    reconcile(
        config,
        reader,
        target,
        run_id=plan.run_id,
        scope=scope,
        bounds=bounds,
        relations={},
        mark=lambda *_, **__: None,
    )  # type: ignore[arg-type]
    return tables


def judged(tables: Iterable[ResolvedTable]) -> dict[str, set[str]]:
    """Builder -> what it makes for these tables, as the driver sends it, for any number of keys."""
    return {
        name: {statements.template(with_parameters(sql)) for sql in texts}
        for name, texts in statements.built(list(tables)).items()
    }


def fixed() -> set[str]:
    """Constants and session settings as the driver sends them."""
    return {
        with_parameters(sql) for texts in CONSTANTS.values() for sql in texts
    } | statements.session_statements()


def normal(sent: Iterable[str]) -> set[str]:
    return {statements.template(sql) for sql in sent}


def test_a_run_sends_nothing_that_is_not_judged(tsql: Judge, recorder: Recorder) -> None:
    """First load, changes, comparison, full reconcile and the hook's records, over all entities: every
    builder is used, and nothing else.
    """
    with (
        SqlServerReader(recorder.address(isolation_level="READ COMMITTED"), attempts=1) as reader,
        recorder.asked() as asked,
    ):
        first = ForgetfulTarget()
        tables = one_run(reader, county(), first, "sync")
        assert first.plan is not None
        known = {
            each.entity: {
                "watermark": each.upper,
                "watermark_type": each.change_type,
                "map_fingerprint": map_fingerprint(tables[each.entity]),
                "schema_fingerprint": each.schema_fingerprint,
            }
            for each in first.plan.entities
        }
        again = ForgetfulTarget(known)
        one_run(reader, county(clock="utc"), again, "sync")
        assert {each.mode for each in again.plan.entities} == {"changes"} if again.plan else False
        one_run(reader, county(enable_cdc=False), ForgetfulTarget(known), "sync")
        one_run(reader, county(), ForgetfulTarget(known), "reconcile")
        one_run(reader, county(), ForgetfulTarget(known), "backfill")
        preview(county(), reader, "property")
        for entity in ("owner", "value", "structure"):
            list(records.changed_records(reader, entity, statements.STAMP, "generic"))
        list(records.related_records(reader, "property", KEYS, "owner", "generic"))
    known_texts = judged(tables.values())
    strangers = (
        normal(asked) - set().union(*known_texts.values()) - normal(fixed()) - related(tables["owner"])
    )
    assert not strangers
    unused = {name for name, texts in known_texts.items() if texts and not texts & normal(asked)}
    assert unused <= {"compare.count_query", "rowversion.bounds_query"}, (
        "the sandbox has no table without a change column, none with a rowversion"
    )
    for verdict in tsql.verdicts(sorted(asked)):
        verdict.statements()


def test_a_check_sends_nothing_that_is_not_judged(tsql: Judge, recorder: Recorder) -> None:
    """`pacs check`, all of it: constants, and looks at data that test_preflight_tsql.py judges for every kind
    of table.
    """
    with SqlServerReader(recorder.address(), attempts=1) as reader, recorder.asked() as asked:
        report = examine(county(), reader, ConfigError("no target here"), thorough=True)
    assert {finding.area for finding in report.findings if finding.state == "fail"} == {"target"}
    with SqlServerReader(recorder.address(), attempts=1) as reader:
        found = [reading.shape for reading in resolve_tables(county(), reader).values()]
    tables = [table for shape in found for table in source_tables(shape)]
    looks = {with_parameters(sql) for table in tables for sql in all_looks(table)}
    built = {text for texts in judged(found).values() for text in texts}
    assert asked & looks
    assert not normal(asked) - normal(looks) - normal(fixed()) - built
    for verdict in tsql.verdicts(sorted(asked)):
        verdict.statements()


def related(shape: ResolvedTable) -> set[str]:
    """The statement of `related_records`, of which `built` knows the form but not the column."""
    query = statements.builders()["compare.keys_query"](shape, tuple(KEYS), "PropertyID")
    assert query is not None
    return {statements.template(with_parameters(query.sql))}


def test_the_hook_sends_nothing_that_is_not_judged(recorder: Recorder) -> None:
    where = {"host": "127.0.0.1", "port": recorder.port, "schema": "PACS"}
    hook = PacsHook("pacs_benton_wa")
    hook._stored = Connection(
        conn_id="pacs_benton_wa", conn_type="pacs", login="pacs_reader", password=PASSWORD, **where
    )
    with recorder.asked() as asked:
        works, message = hook.test_connection()
        assert works, message
        assert hook.get_first(PacsHook._test_connection_sql)
    assert asked <= fixed()
    assert asked >= CONSTANTS["airflow_provider_pacs/hooks/pacs.py"]
