"""What a run really sends, recorded behind Microsoft's driver, is what the other tests parse: no statement
comes from anywhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Connection

from airflow_provider_pacs.hooks.pacs import PacsHook
from airflow_provider_pacs.sandbox.counties.generic_rows import build
from airflow_provider_pacs.sandbox.model import Param
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from airflow_provider_pacs.sandbox.tsql.session import SqlSession
from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from airflow_provider_pacs.sync import entity_streams as records
from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.preflight import examine
from airflow_provider_pacs.sync.preflight.preview import preview
from airflow_provider_pacs.sync.preflight.resolve import resolve_tables
from airflow_provider_pacs.sync.records import Backfill, RunPlan
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.tables import source_tables
from airflow_provider_pacs.sync.source.address import SourceAddress
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader
from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.contract import statements
from tests.contract.test_emitted_tsql import CONSTANTS
from tests.contract.test_preflight_tsql import all_looks
from tests.contract.tsql_parser import TsqlParser, with_parameters
from tests.integration.conftest import pg_server as pg_server
from tests.integration.conftest import pg_url as pg_url
from tests.support.county import counted_rules
from tests.support.in_process import ADMIN
from tests.wire.scripted import CERTIFICATE

PASSWORD = "Sandbox!Reader1"
KEYS = ["00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"]


@dataclass
class Recorder:
    """A sandbox PACS, and every text that reached its engine."""

    port: int
    sent: list[str]
    engine: SandboxEngine

    def address(self, **options: Any) -> SourceAddress:
        return SourceAddress("127.0.0.1", self.port, "PACS", "pacs_reader", PASSWORD, **options)

    @contextmanager
    def asked(self) -> Iterator[set[str]]:
        """Gives a set that holds, at the end, what was sent meanwhile."""
        start, texts = len(self.sent), set[str]()
        yield texts
        texts.update(self.sent[start:])


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
        yield Recorder(server.port, sent, engine)
    engine.close()


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
    target: PostgresTarget,
    request: steps.RunRequest,
) -> RunPlan:
    """All steps of a run; a certificate that is not clean is as good as any other here."""
    plan = steps.plan(config, reader, target, request)
    for each in plan.entities:
        steps.extract(config, reader, target, run_id=plan.run_id, entity=each.entity, attempt=1)
        steps.validate(config, target, run_id=plan.run_id, entity=each.entity)
    steps.publish(config, target, run_id=plan.run_id)
    with suppress(steps.CertificateError):
        steps.certify(config, reader, target, run_id=plan.run_id)
    return plan


def disturb(recorder: Recorder, target: PostgresTarget, number: int) -> None:
    """What makes a run ask once more: a row lost here, one gone there, one changed without a stamp, one stamped
    this moment.
    """
    key, gone, silent, late = (
        str(row[0])
        for row in target.connection.execute(
            "SELECT property_id FROM pacs.property WHERE _deleted_at IS NULL ORDER BY property_id OFFSET %s LIMIT 4",
            (number * 4,),
        )
    )
    target.connection.execute("DELETE FROM pacs.property WHERE property_id = %s", (key,))
    mark = len(recorder.sent)
    people = recorder.engine.login(*ADMIN, "PACS", "assessor", "PACS")
    people.execute(f"DELETE FROM dbo.Property WHERE PropertyID = '{gone}'")
    people.execute(f"UPDATE dbo.Property SET City = 'Kiona' WHERE PropertyID = '{silent}'")
    people.execute(f"UPDATE dbo.Property SET LastModified = GETDATE() WHERE PropertyID = '{late}'")
    people.close()
    del recorder.sent[mark:]  # what the county's people send is not ours


def parsed_texts(tables: Iterable[ResolvedTable]) -> dict[str, set[str]]:
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


@pytest.fixture
def target(pg_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresTarget]:
    """Rules are validated by their predicates: what a run sends to its source does not depend on that."""
    monkeypatch.setattr(
        import_module("airflow_provider_pacs.sync.steps.validate"), "validate_stage", counted_rules
    )
    with PostgresTarget.from_url(pg_url) as opened:
        yield opened


def test_a_run_sends_nothing_that_is_not_parsed(
    tsql: TsqlParser, recorder: Recorder, target: PostgresTarget
) -> None:
    """First load, changes, comparison, reconcile, backfill and the hook's records, over all entities: every
    builder is used, and nothing else.
    """
    window = Backfill("value", "2026-01-01", statements.STAMP)
    tables: list[ResolvedTable] = []
    with (
        SqlServerReader(recorder.address(isolation_level="READ COMMITTED"), attempts=1) as reader,
        recorder.asked() as asked,
    ):
        kinds = (
            (county(), steps.RunRequest("sync", "test")),
            (county(), steps.RunRequest("sync", "test")),
            (county(clock="utc"), steps.RunRequest("sync", "test")),
            (county(enable_cdc=False), steps.RunRequest("sync", "test")),
            (county(), steps.RunRequest("reconcile", "test", "full")),
            (county(), steps.RunRequest("backfill", "test", window=window)),
        )
        plans = []
        for number, (config, request) in enumerate(kinds):
            if number:
                disturb(recorder, target, number)
            plans.append(one_run(reader, config, target, request))
            tables += [each.table for each in plans[-1].entities]
        assert {each.mode for each in plans[1].entities} == {"window"}
        preview(county(), reader, "property")
        for entity in ("owner", "value", "structure"):
            list(records.changed_records(reader, entity, statements.STAMP, "generic"))
        list(records.related_records(reader, "property", KEYS, "owner", "generic"))
    known_texts = parsed_texts(tables)
    (owner,) = [table for table in tables if table.map.entity == "owner"][:1]
    planned = {text for texts in statements.plan_statements(tables).values() for text in texts}
    strangers = (
        normal(asked)
        - set().union(*known_texts.values())
        - normal(fixed())
        - normal(with_parameters(sql) for sql in planned)
        - related(owner)
    )
    assert not strangers
    unused = {name for name, texts in known_texts.items() if texts and not texts & normal(asked)}
    absent = (
        "joined.",
        "rowversion.",
        "change_tracking.",
        "cdc.",
        "change_log.",
        "polling.",
        "statements.in_snapshot",
    )
    assert not {name for name in unused if not name.startswith(absent)}, "the county has a stamp only"
    for result in tsql.parse_all(sorted(asked)):
        result.statements()


def test_a_check_sends_nothing_that_is_not_parsed(tsql: TsqlParser, recorder: Recorder) -> None:
    """`pacs check`, all of it: constants, and looks at data that test_preflight_tsql.py parses for every kind
    of table.
    """
    with SqlServerReader(recorder.address(), attempts=1) as reader, recorder.asked() as asked:
        report = examine(county(), reader, ConfigError("no target here"), thorough=True)
    assert {finding.area for finding in report.findings if finding.state == "fail"} == {"target"}
    with SqlServerReader(recorder.address(), attempts=1) as reader:
        resolved = [choice.table for choice in resolve_tables(county(), reader).values()]
    tables = [table for each in resolved for table in source_tables(each)]
    looks = {with_parameters(sql) for table in tables for sql in all_looks(table)}
    built = {text for texts in parsed_texts(resolved).values() for text in texts}
    assert asked & looks
    assert not normal(asked) - normal(looks) - normal(fixed()) - built
    for result in tsql.parse_all(sorted(asked)):
        result.statements()


def related(table: ResolvedTable) -> set[str]:
    """The statement of `related_records`, of which `built` knows the form but not the column."""
    query = statements.builders()["full.keys_query"](table, tuple(KEYS), "PropertyID")
    assert query is not None
    return {statements.template(with_parameters(query.sql))}


def test_the_hook_sends_nothing_that_is_not_parsed(recorder: Recorder) -> None:
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
