"""Operators against a fake engine: what they ask of it, what they give to Airflow, and how its errors arrive
there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
)
from airflow_provider_pacs.operators.reconcile import PacsReconcileOperator

import airflow_provider_pacs.sync
from airflow_provider_pacs.assets import county_asset
from airflow_provider_pacs.hooks.airflow_errors import translate_errors
from airflow_provider_pacs.hooks.target import target_params
from airflow_provider_pacs.operators.approvals import PacsDecideOperator, PacsHeldDeletesOperator
from airflow_provider_pacs.operators.base import PacsOperator, counts
from airflow_provider_pacs.operators.extract import (
    PacsChangesOperator,
    PacsExtractOperator,
    PacsRelationshipOperator,
)
from airflow_provider_pacs.operators.preflight import PacsPreflightOperator
from airflow_provider_pacs.operators.publish import PacsPublishOperator
from airflow_provider_pacs.operators.validate import PacsValidateOperator
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.runtime.errors import (
    ConfigError,
    ConflictError,
    DataError,
    FatalError,
    RetryableError,
)

CONFIG = CountyConfig.model_validate(
    {"county": "benton_wa", "sync": {"entities": ["property", "owner"], "batch_size": 77}}
)


@dataclass
class Reader:
    cancelled: bool = False
    closed: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class World:
    """The engine, the hook and the target, all fake; `calls` is what they were asked."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    outcome: dict[str, Any] = field(default_factory=lambda: {"rows_read": 1200})
    clean: bool = True
    report: Any = field(default_factory=lambda: SimpleNamespace(findings=()))
    during: Callable[[], None] = lambda: None
    reader: Reader = field(default_factory=Reader)
    opened: list[Any] = field(default_factory=list)

    def answer(self, name: str) -> Callable[..., Any]:
        def call(config: CountyConfig, *databases: Any, **asked: Any) -> Any:
            assert config is CONFIG
            self.calls.append((name, {"databases": databases, **asked}))
            self.during()
            if name == "check":
                return self.report
            return SimpleNamespace(
                run_id="run-1", clean=self.clean, state="succeeded", as_dict=lambda: dict(self.outcome)
            )

        return call


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    fake = World()
    engine: Any = ModuleType("airflow_provider_pacs.sync.steps")
    for name in ("check", "preflight", "start_reconcile", "extract", "validate", "publish", "reconcile"):
        setattr(engine, name, fake.answer(name))
    hook: Any = ModuleType("airflow_provider_pacs.hooks.pacs")

    class PacsHook:
        def __init__(self, **asked: Any) -> None:
            fake.opened.append(asked)

        @contextmanager
        def get_reader(self, *, batch_rows: int) -> Any:
            fake.opened.append(batch_rows)
            try:
                yield fake.reader
            finally:
                fake.reader.closed = True

    hook.PacsHook = PacsHook
    monkeypatch.setitem(sys.modules, engine.__name__, engine)
    monkeypatch.setattr(airflow_provider_pacs.sync, "run", engine, raising=False)
    monkeypatch.setitem(sys.modules, hook.__name__, hook)

    @contextmanager
    def open_target(conn_id: str) -> Any:
        fake.opened.append(conn_id)
        yield "target"

    monkeypatch.setattr("airflow_provider_pacs.hooks.target.open_target", open_target)
    return fake


def context(plan: Any = {"run_id": "run-1"}) -> Any:  # noqa: B006
    events: dict[Any, Any] = {
        county_asset(CONFIG, entity): SimpleNamespace(extra={}) for entity in CONFIG.sync.entities
    }
    pulled = SimpleNamespace(
        try_number=2, xcom_pull=lambda task_ids: plan if task_ids in ("preflight", "start") else None
    )
    return {"ti": pulled, "run_id": "scheduled__2026", "outlet_events": events}


def test_preflight_plans_and_gives_the_run_id(world: World) -> None:
    result = PacsPreflightOperator(task_id="preflight", config=CONFIG, mode="full").execute(context())
    assert result == {"rows_read": 1200}
    assert world.calls == [
        ("check", {"databases": (world.reader, "target")}),
        (
            "preflight",
            {
                "databases": (world.reader, "target"),
                "trigger": "scheduled__2026",
                "mode": "full",
                "report": world.report,
            },
        ),
    ]
    assert world.opened == [{"pacs_conn_id": "pacs_benton_wa", "county": "benton_wa"}, "terrafusion", 77]
    assert world.reader.closed


def test_preflight_of_the_reconcile_dag_starts_a_reconcile(world: World) -> None:
    PacsPreflightOperator(task_id="start", config=CONFIG, purpose="reconcile").execute(context())
    assert world.calls == [
        ("start_reconcile", {"databases": (world.reader, "target"), "trigger": "scheduled__2026"})
    ]


def test_a_mode_from_the_trigger_form_is_checked_before_a_database_is_opened(world: World) -> None:
    with pytest.raises(AirflowFailException, match="mode must be auto or full"):
        PacsPreflightOperator(task_id="preflight", config=CONFIG, mode="'; DROP").execute(context())
    assert (world.calls, world.opened) == ([], [])


@pytest.mark.parametrize("operator", [PacsExtractOperator, PacsChangesOperator, PacsRelationshipOperator])
def test_extract_names_its_run_entity_and_try(world: World, operator: type[PacsExtractOperator]) -> None:
    operator(task_id="extract_owner", config=CONFIG, entity="owner").execute(context())
    assert world.calls == [
        (
            "extract",
            {"databases": (world.reader, "target"), "run_id": "run-1", "entity": "owner", "attempt": 2},
        )
    ]


def test_validate_and_publish_open_no_source(world: World) -> None:
    PacsValidateOperator(task_id="v", config=CONFIG, entity="owner").execute(context())
    world.outcome = {"changed": 0, "entities": {}}
    PacsPublishOperator(task_id="p", config=CONFIG).execute(context())
    assert world.calls == [
        ("validate", {"databases": ("target",), "run_id": "run-1", "entity": "owner"}),
        ("publish", {"databases": ("target",), "run_id": "run-1"}),
    ]
    assert world.opened == ["terrafusion", "terrafusion"]


def test_reconcile_takes_its_plan_from_the_named_task(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.clean = False
    result = PacsReconcileOperator(
        task_id="reconcile", config=CONFIG, plan_task_id="start", scope="full"
    ).execute(context())
    assert result == {"rows_read": 1200}
    assert "the two sides differ" in capsys.readouterr().out
    assert world.calls == [
        ("reconcile", {"databases": (world.reader, "target"), "run_id": "run-1", "scope": "full"})
    ]


@pytest.mark.parametrize("plan", [None, {}, "run-1"])
@pytest.mark.parametrize("operator", [PacsPublishOperator, PacsReconcileOperator])
def test_without_a_plan_a_task_fails_clearly_and_touches_nothing(
    world: World, operator: type[PacsOperator], plan: Any
) -> None:
    with pytest.raises(AirflowFailException, match="benton_wa: preflight gave no plan"):
        operator(task_id="t", config=CONFIG).execute(context(plan))
    assert (world.calls, world.opened) == ([], [])


def test_publish_tells_an_asset_its_counts_and_is_silent_for_one_held_back(world: World) -> None:
    entities = {
        "property": {"state": "published", "rows_inserted": 3},
        "owner": {"state": "blocked", "rows_inserted": 0},
    }
    world.outcome = {"changed": 3, "entities": entities}
    publish = PacsPublishOperator(task_id="publish", config=CONFIG)
    assert [asset.uri for asset in publish.outlets] == ["pacs://benton_wa/property", "pacs://benton_wa/owner"]
    told = context()
    publish.execute(told)
    assert [asset.uri for asset in publish.outlets] == ["pacs://benton_wa/property"]
    extra = told["outlet_events"][county_asset(CONFIG, "property")].extra
    assert extra == {"county": "benton_wa", "entity": "property", "run_id": "run-1", "rows_inserted": 3}
    assert told["outlet_events"][county_asset(CONFIG, "owner")].extra == {}


def test_a_killed_task_stops_the_statement_at_the_source(world: World) -> None:
    extract = PacsExtractOperator(task_id="extract_owner", config=CONFIG, entity="owner")
    extract.on_kill()
    world.during = extract.on_kill
    extract.execute(context())
    assert world.reader.cancelled


@pytest.mark.parametrize("error", [FatalError, ConfigError, DataError, ConflictError])
def test_what_no_retry_can_help_fails_at_once_with_code_and_remedy(error: type[FatalError]) -> None:
    with pytest.raises(AirflowFailException) as caught, translate_errors():
        raise error("host pacs-1", remedy="Ask the county.")
    assert str(caught.value) == f"{error.code}: host pacs-1. Remedy: Ask the county."


def test_what_may_pass_next_time_is_retried() -> None:
    with pytest.raises(AirflowException) as caught, translate_errors():
        raise RetryableError("lost")
    assert not isinstance(caught.value, AirflowFailException)


def test_a_task_over_its_time_limit_says_so_and_stays_airflows_time_out(world: World) -> None:
    def too_late() -> None:
        raise AirflowTaskTimeout("Timeout, PID: 1")

    world.during = too_late
    with pytest.raises(
        AirflowTaskTimeout,
        match=r"^PACS-005: benton_wa: extract_owner took longer .* Remedy: raise sync.timeout_minutes",
    ):
        PacsExtractOperator(task_id="extract_owner", config=CONFIG, entity="owner").execute(context())
    assert world.reader.closed


def test_a_defect_is_not_dressed_up() -> None:
    with pytest.raises(ZeroDivisionError), translate_errors():
        raise ZeroDivisionError


def test_the_last_line_of_a_task_is_counts_only() -> None:
    entities = {
        "owner": {"state": "published", "read": 2, "inserted": 0, "seconds": 0.26},
        "value": {"state": "blocked"},
    }
    outcome = {"run_id": "r", "read": 1200, "clean": True, "message": "Jane", "entities": entities}
    assert counts(outcome) == "read 1,200, owner (read 2, seconds 0.3)"


def test_target_params_are_libpq_keywords_by_name() -> None:
    connection = Connection(
        conn_id="t",
        conn_type="postgres",
        host="/var/run/pg",
        schema="tf",
        login="u",
        password="p",
        extra='{"sslmode": "verify-full", "connect_timeout": 5, "iam": true, "application_name": "x", '
        '"cursor": "dictcursor"}',
    )
    assert target_params(connection) == {
        "host": "/var/run/pg",
        "dbname": "tf",
        "user": "u",
        "password": "p",
        "sslmode": "verify-full",
        "connect_timeout": "5",
    }


def test_only_the_mode_is_a_template_field() -> None:
    operators = [
        PacsExtractOperator,
        PacsChangesOperator,
        PacsValidateOperator,
        PacsPublishOperator,
        PacsReconcileOperator,
    ]
    assert all(tuple(operator.template_fields) == () for operator in operators)
    assert tuple(PacsPreflightOperator.template_fields) == ("mode",)


HELD = [
    {
        "held_id": 7,
        "entity": "owner",
        "row_count": 300,
        "live_count": 900,
        "digest": "ab",
        "reason": "gone",
        "held_at": None,
    }
]


@pytest.fixture
def desk(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Held sets and decisions, fake."""
    from airflow_provider_pacs.sync.steps import approve

    def decided(name: str) -> Callable[..., Any]:
        def call(config: CountyConfig, *databases: Any, **asked: Any) -> Any:
            world.calls.append((name, {"databases": databases, **asked}))
            return [SimpleNamespace(as_dict=lambda: {"held_id": 7, "state": name})]

        return call

    monkeypatch.setattr(approve, "held_sets", lambda config, target: list(world.outcome.get("held", [])))
    for name in ("approve", "reject"):
        monkeypatch.setattr(approve, name, decided(name))
    return world


def answered(option: str) -> Any:
    said = {
        "held": {"sets": HELD},
        "decide": {"chosen_options": [option], "responded_by_user": {"id": "3", "name": "ann"}},
    }
    return {"ti": SimpleNamespace(xcom_pull=lambda task_ids: said[task_ids]), "run_id": "asset__2026"}


def test_nothing_held_skips_the_question(desk: World) -> None:
    with pytest.raises(AirflowSkipException):
        PacsHeldDeletesOperator(task_id="held", config=CONFIG).execute(context())


def test_held_sets_are_shown_without_keys(desk: World) -> None:
    desk.outcome = {"held": HELD}
    shown = PacsHeldDeletesOperator(task_id="held", config=CONFIG).execute(context())
    assert [(one["held_id"], one["digest"], "keys" in one) for one in shown["sets"]] == [(7, "ab", False)]


@pytest.mark.parametrize(("option", "called"), [("Approve", "approve"), ("Reject", "reject")])
def test_the_answer_is_carried_out_in_the_name_of_who_gave_it(desk: World, option: str, called: str) -> None:
    PacsDecideOperator(task_id="apply", config=CONFIG).execute(answered(option))
    ((name, asked),) = desk.calls
    assert name == called
    assert (asked["held"], asked["actor"]) == ([(7, "ab")], "ann")
