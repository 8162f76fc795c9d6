"""Operators against a fake engine: what they ask of it, what they give to Airflow, and how its errors arrive
there.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
)

from airflow_provider_pacs.assets import county_asset, pending_asset
from airflow_provider_pacs.hooks.airflow_errors import translate_errors
from airflow_provider_pacs.hooks.target import target_params
from airflow_provider_pacs.operators.approvals import PacsDecideOperator, PacsPendingDeletesOperator
from airflow_provider_pacs.operators.base import PacsOperator, counts
from airflow_provider_pacs.operators.certify import PacsCertifyOperator
from airflow_provider_pacs.operators.extract import (
    PacsChangesOperator,
    PacsExtractOperator,
    PacsRelationshipOperator,
)
from airflow_provider_pacs.operators.preflight import PacsPreflightOperator
from airflow_provider_pacs.operators.publish import PacsPublishOperator
from airflow_provider_pacs.operators.rollback import PacsProposeRollbackOperator, PacsRollbackOperator
from airflow_provider_pacs.operators.validate import PacsValidateOperator
from airflow_provider_pacs.sync import steps
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
    state: str = "clean"
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
            return SimpleNamespace(run_id="run-1", state=self.state, as_dict=lambda: dict(self.outcome))

        return call


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    fake = World()
    for name in ("check", "plan", "extract", "validate", "publish", "certify"):
        monkeypatch.setattr(steps, name, fake.answer(name))
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
    monkeypatch.setitem(sys.modules, hook.__name__, hook)

    @contextmanager
    def open_target(conn_id: str, tls: str = "warn", county: str = "") -> Any:
        fake.opened.append(conn_id)
        yield "target"

    monkeypatch.setattr("airflow_provider_pacs.hooks.target.open_target", open_target)
    return fake


def context(plan: Any = {"run_id": "run-1"}) -> Any:  # noqa: B006
    assets = [pending_asset(CONFIG), *(county_asset(CONFIG, entity) for entity in CONFIG.sync.entities)]
    events: dict[Any, Any] = {asset: SimpleNamespace(extra={}) for asset in assets}
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
            "plan",
            {
                "databases": (
                    world.reader,
                    "target",
                    steps.RunRequest("sync", "scheduled__2026", "full"),
                ),
                "report": world.report,
            },
        ),
    ]
    assert world.opened == [{"pacs_conn_id": "pacs_benton_wa", "county": "benton_wa"}, "terrafusion", 77]
    assert world.reader.closed


def test_preflight_of_the_reconcile_dag_plans_a_reconcile(world: World) -> None:
    PacsPreflightOperator(task_id="preflight", config=CONFIG, purpose="reconcile").execute(context())
    assert [name for name, _ in world.calls] == ["check", "plan"]
    request = steps.RunRequest("reconcile", "scheduled__2026", "auto")
    assert world.calls[1][1]["databases"] == (world.reader, "target", request)


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


def test_certify_takes_its_plan_from_the_named_task(world: World) -> None:
    certify = PacsCertifyOperator(task_id="certify", config=CONFIG, plan_task_id="start")
    assert certify.execute(context()) == {"rows_read": 1200}
    assert world.calls == [("certify", {"databases": (world.reader, "target"), "run_id": "run-1"})]


@pytest.mark.parametrize("state", ["clean", "pending"])
def test_certify_has_an_event_only_where_a_person_must_decide(world: World, state: str) -> None:
    world.state = state
    certify = PacsCertifyOperator(task_id="certify", config=CONFIG)
    assert [asset.uri for asset in certify.outlets] == ["pacs://benton_wa/pending"]
    asked = context()
    certify.execute(asked)
    extra = asked["outlet_events"][pending_asset(CONFIG)].extra
    if state == "pending":
        assert [asset.uri for asset in certify.outlets] == ["pacs://benton_wa/pending"]
        assert extra == {"county": "benton_wa", "run_id": "run-1", "state": "pending"}
    else:
        assert (certify.outlets, extra) == ([], {})


def test_certify_fails_where_the_two_sides_differ(world: World) -> None:
    """A green run means `clean` or `pending`: drift and blocked end the task, and no retry can help."""

    def differ() -> None:
        raise steps.CertificateError("benton_wa: source and target differ", remedy="run `pacs reconcile`")

    world.during = differ
    with pytest.raises(AirflowFailException, match=r"source and target differ.*pacs reconcile"):
        PacsCertifyOperator(task_id="certify", config=CONFIG).execute(context())


@pytest.mark.parametrize("plan", [None, {}, "run-1"])
@pytest.mark.parametrize("operator", [PacsPublishOperator, PacsCertifyOperator])
def test_without_a_plan_a_task_is_skipped_says_why_and_touches_nothing(
    world: World, operator: type[PacsOperator], plan: Any
) -> None:
    with pytest.raises(AirflowSkipException, match="benton_wa: preflight gave no plan"):
        operator(task_id="t", config=CONFIG).execute(context(plan))
    assert (world.calls, world.opened) == ([], [])


def test_publish_gives_an_asset_its_counts_and_is_silent_for_a_blocked_entity(world: World) -> None:
    entities = {
        "property": {"state": "published", "rows_inserted": 3},
        "owner": {"state": "blocked", "rows_inserted": 0},
    }
    world.outcome = {"changed": 3, "entities": entities}
    publish = PacsPublishOperator(task_id="publish", config=CONFIG)
    assert [asset.uri for asset in publish.outlets] == ["pacs://benton_wa/property", "pacs://benton_wa/owner"]
    context_ = context()
    publish.execute(context_)
    assert [asset.uri for asset in publish.outlets] == ["pacs://benton_wa/property"]
    extra = context_["outlet_events"][county_asset(CONFIG, "property")].extra
    assert extra == {"county": "benton_wa", "entity": "property", "run_id": "run-1", "rows_inserted": 3}
    assert context_["outlet_events"][county_asset(CONFIG, "owner")].extra == {}


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


def test_of_a_defect_the_log_gets_class_and_place_only() -> None:
    """A foreign error may quote a row: `Could not convert 'SMITH' ...`. Airflow tries the task again, as it would
    after any exception.
    """
    with pytest.raises(AirflowException) as caught, translate_errors("benton_wa: extract_owner"):
        pa.array(["SMITH"], pa.string()).cast(pa.int64())
    shown = "".join(traceback.format_exception(caught.value))
    assert "SMITH" not in shown
    assert str(caught.value).startswith("benton_wa: extract_owner: ArrowInvalid at hooks/airflow_errors.py:")
    assert not isinstance(caught.value, AirflowFailException)


def test_airflows_own_exceptions_pass() -> None:
    with pytest.raises(AirflowSkipException, match="nothing to do"), translate_errors():
        raise AirflowSkipException("nothing to do")


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
        PacsCertifyOperator,
    ]
    assert all(tuple(operator.template_fields) == () for operator in operators)
    assert tuple(PacsPreflightOperator.template_fields) == ("mode",)


PENDING = [
    {
        "pending_id": 7,
        "entity": "owner",
        "row_count": 300,
        "live_count": 900,
        "digest": "ab",
        "reason": "gone",
        "created_at": None,
    }
]


@pytest.fixture
def desk(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Pending sets and decisions, fake."""

    def decided(name: str) -> Callable[..., Any]:
        def call(config: CountyConfig, *databases: Any, **asked: Any) -> Any:
            world.calls.append((name, {"databases": databases, **asked}))
            return [SimpleNamespace(as_dict=lambda: {"pending_id": 7, "state": name})]

        return call

    sets = lambda config, target: [  # noqa: E731
        SimpleNamespace(as_dict=lambda each=each: each) for each in world.outcome.get("pending", [])
    ]
    monkeypatch.setattr(steps, "pending_deletes", sets)
    for name in ("approve", "reject"):
        monkeypatch.setattr(steps, name, decided(name))
    return world


def answered(option: str) -> Any:
    said = {
        "pending": {"sets": PENDING},
        "decide": {"chosen_options": [option], "responded_by_user": {"id": "3", "name": "ann"}},
    }
    return {"ti": SimpleNamespace(xcom_pull=lambda task_ids: said[task_ids]), "run_id": "asset__2026"}


def test_nothing_pending_skips_the_question(desk: World) -> None:
    with pytest.raises(AirflowSkipException):
        PacsPendingDeletesOperator(task_id="pending", config=CONFIG).execute(context())


def test_pending_sets_are_shown_without_keys(desk: World) -> None:
    desk.outcome = {"pending": PENDING}
    shown = PacsPendingDeletesOperator(task_id="pending", config=CONFIG).execute(context())
    assert [(each["pending_id"], each["digest"], "keys" in each) for each in shown["sets"]] == [
        (7, "ab", False)
    ]


@pytest.mark.parametrize(("option", "called"), [("Approve", "approve"), ("Reject", "reject")])
def test_the_answer_is_carried_out_in_the_name_of_who_gave_it(desk: World, option: str, called: str) -> None:
    PacsDecideOperator(task_id="apply", config=CONFIG).execute(answered(option))
    ((name, asked),) = desk.calls
    assert name == called
    assert (asked["sets"], asked["actor"]) == ([(7, "ab")], "ann")


RUN = "11111111-2222-4333-8444-555555555555"
PROPOSAL = {"run_id": RUN, "onto": True, "digest": "ab", "runs": [], "entities": {}}


@pytest.mark.parametrize(("rendered", "onto"), [("True", True), ("False", False)])
def test_a_rollback_is_proposed_as_the_form_asks(
    world: World, monkeypatch: pytest.MonkeyPatch, rendered: str, onto: bool
) -> None:
    asked: list[dict[str, Any]] = []

    def propose(config: CountyConfig, target: Any, **words: Any) -> Any:
        asked.append(words)
        return SimpleNamespace(conflicts=(), conflict_count=0, as_dict=lambda: PROPOSAL)

    monkeypatch.setattr(steps, "propose_rollback", propose)
    operator = PacsProposeRollbackOperator(task_id="propose", config=CONFIG, run=RUN, onto=rendered)
    assert operator.execute(context()) == PROPOSAL
    assert asked == [{"run_id": RUN, "onto": onto}]


def test_a_rollback_that_rows_stand_against_asks_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    conflict = SimpleNamespace(entity="property", source_key="1", reason="changed by a later run", run_id=RUN)
    proposal = SimpleNamespace(conflicts=(conflict,), conflict_count=1)
    monkeypatch.setattr(steps, "propose_rollback", lambda *_, **__: proposal)
    with pytest.raises(AirflowFailException, match=r"1 row\(s\) stand against"):
        PacsProposeRollbackOperator(task_id="propose", config=CONFIG, run=RUN).execute(context())
    with pytest.raises(AirflowFailException, match="onto must be True or False"):
        PacsProposeRollbackOperator(task_id="propose", config=CONFIG, run=RUN, onto="1").execute(context())


def decision(option: str) -> Any:
    said = {
        "propose": PROPOSAL,
        "decide": {"chosen_options": [option], "responded_by_user": {"id": "3", "name": "ann"}},
    }
    return {"ti": SimpleNamespace(xcom_pull=lambda task_ids: said[task_ids]), "run_id": "manual__2026"}


def test_an_approved_rollback_is_bound_to_what_was_shown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def rollback(config: CountyConfig, target: Any, **words: Any) -> Any:
        asked.append(words)
        return SimpleNamespace(as_dict=lambda: {"run_id": "r"}), SimpleNamespace(state="rolled_back")

    monkeypatch.setattr(steps, "rollback", rollback)
    done = PacsRollbackOperator(task_id="apply", config=CONFIG).execute(decision("Approve"))
    assert done == {"certificate": "rolled_back", "by": "ann", "run_id": "r"}
    assert asked == [{"run_id": RUN, "onto": True, "digest": "ab", "actor": "ann", "trigger": "manual__2026"}]
    with pytest.raises(AirflowSkipException):
        PacsRollbackOperator(task_id="apply", config=CONFIG).execute(decision("Reject"))
    assert len(asked) == 1
