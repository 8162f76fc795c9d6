"""What people do on the page: allowed by Airflow, noted in the county's audit, carried out by Airflow's API."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from fastapi import HTTPException
from fastapi.testclient import TestClient

from airflow_provider_pacs.monitor import access
from airflow_provider_pacs.monitor.airflow_api import airflow_api
from airflow_provider_pacs.monitor.app import make_app
from tests.support.journal import PENDING, QUARANTINED
from tests.ui.conftest import Journal
from tests.ui.test_api import settings  # noqa: F401 - a fixture

KITSAP, CHELAN = "53035", "53007"
ACTIONS: list[tuple[str, dict[str, Any]]] = [
    ("run", {"kind": "sync"}),
    ("run", {"kind": "full"}),
    ("run", {"kind": "reconcile"}),
    ("pause", {"paused": True}),
    ("retry", {"kind": "sync", "trigger": "scheduled__1"}),
    ("decide", {"choice": "approve", "sets": [{"pending_id": 1, "digest": "0" * 64}]}),
    ("dismiss", {"entity": "property", "keys": ["k"], "reason": "r"}),
]


@dataclass
class Airflow:
    """Stands in for Airflow's API: remembers what it was asked for, or refuses."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)
    question: list[dict[str, Any]] = field(default_factory=list)
    refuses: bool = False

    def _do(self, *what: Any) -> None:
        self.asked.append(what)
        if self.refuses:
            raise HTTPException(409, "Airflow answered 409: it is as it is")

    def trigger(self, dag_id: str, conf: dict[str, Any], note: str) -> str:
        self._do("trigger", dag_id, conf)
        return "manual__2026-11-28T10:00:00+00:00"

    def pause(self, dag_id: str, paused: bool) -> None:
        self._do("pause", dag_id, paused)

    def clear_failed(self, dag_id: str, run_id: str) -> int:
        self._do("clear", dag_id, run_id)
        return 2

    def open_questions(self, dag_id: str) -> list[tuple[str, str]]:
        return [("manual__1", "decide")] if self.question else []

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:
        return {"sets": self.question}

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str) -> None:
        self._do("answer", dag_id, run_id, task_id, option)


class Rights:
    """Stands in for the auth manager: what may be read may be; the rest by method and entity."""

    def __init__(self, *allowed: tuple[str, DagAccessEntity | None]) -> None:
        self.allowed = allowed

    def is_authorized_dag(self, *, method: str, access_entity: DagAccessEntity | None, **_: Any) -> bool:
        return method == "GET" or (method, access_entity) in self.allowed

    def is_authorized_view(self, **_: Any) -> bool:
        return False


EVERYTHING = (("POST", DagAccessEntity.RUN), ("PUT", None), ("PUT", DagAccessEntity.HITL_DETAIL))


@pytest.fixture
def airflow() -> Airflow:
    return Airflow()


@pytest.fixture
def client(
    settings: pytest.MonkeyPatch,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    airflow: Airflow,
) -> Iterator[TestClient]:
    monkeypatch.setattr(access, "get_auth_manager", lambda: Rights(*EVERYTHING))
    app = make_app()
    app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="ada", role="op")
    app.dependency_overrides[airflow_api] = lambda: airflow
    with TestClient(app) as client:
        yield client


def audit(journal: Journal, county_id: str, action: str) -> list[tuple[str, dict[str, Any]]]:
    with psycopg.connect(journal.url) as connection:
        return connection.execute(
            "SELECT object, details FROM pacs_ops.audit WHERE county_id = %s AND action = %s ORDER BY seq DESC",
            (county_id, action),
        ).fetchall()


def sets(client: TestClient) -> list[dict[str, Any]]:
    answer = client.get("/api/counties/kitsap_wa").json()["pending"]
    return [{"pending_id": each["pending_id"], "digest": each["digest"]} for each in answer]


@pytest.mark.parametrize(
    ("kind", "dag_id", "conf"),
    [
        ("sync", "pacs_adams_wa", {}),
        ("full", "pacs_adams_wa", {"mode": "full"}),
        ("reconcile", "pacs_adams_wa_reconcile", {}),
    ],
)
def test_a_run_is_started_by_airflow_and_noted(
    client: TestClient, airflow: Airflow, journal: Journal, kind: str, dag_id: str, conf: dict[str, Any]
) -> None:
    done = client.post("/api/counties/adams_wa/actions/run", json={"kind": kind})
    assert done.status_code == 200
    assert airflow.asked == [("trigger", dag_id, conf)]
    assert done.json()["airflow_path"].startswith(f"/dags/{dag_id}/runs/manual__")
    assert audit(journal, "53001", "page.run")[0] == (dag_id, {"by": "ada", "kind": kind})


def test_pause_and_retry_are_airflows_own(client: TestClient, airflow: Airflow, journal: Journal) -> None:
    assert client.post("/api/counties/adams_wa/actions/pause", json={"paused": True}).status_code == 200
    client.post("/api/counties/adams_wa/actions/retry", json={"kind": "sync", "trigger": "scheduled__1"})
    assert airflow.asked == [("pause", "pacs_adams_wa", True), ("clear", "pacs_adams_wa", "scheduled__1")]
    assert audit(journal, "53001", "page.pause")
    assert audit(journal, "53001", "page.retry")


@pytest.mark.parametrize(("action", "body"), ACTIONS)
def test_without_the_right_nothing_is_done_and_nothing_noted(
    client: TestClient,
    airflow: Airflow,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
    body: dict[str, Any],
) -> None:
    monkeypatch.setattr(access, "get_auth_manager", Rights)
    assert client.post(f"/api/counties/kitsap_wa/actions/{action}", json=body).status_code == 403
    assert airflow.asked == []
    assert client.get("/api/counties/kitsap_wa").json()["may"] == {
        "run": False,
        "pause": False,
        "decide": False,
    }


def test_two_viewers_with_different_rights_are_offered_different_things(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "get_auth_manager", lambda: Rights(EVERYTHING[2]))
    assert client.get("/api/counties/kitsap_wa").json()["may"] == {
        "run": False,
        "pause": False,
        "decide": True,
    }
    assert client.post("/api/counties/kitsap_wa/actions/run", json={"kind": "sync"}).status_code == 403


@pytest.mark.parametrize(("action", "body"), ACTIONS)
def test_another_site_presses_no_button(
    client: TestClient, airflow: Airflow, action: str, body: dict[str, Any]
) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    answer = client.post(f"/api/counties/kitsap_wa/actions/{action}", json=body, headers=headers)
    assert (answer.status_code, airflow.asked) == (403, [])


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_any_page_may_send_presses_no_button(
    client: TestClient, airflow: Airflow, content_type: str | None
) -> None:
    """Over HTTP browsers do not say who asks, and any page may send these; FastAPI before 0.132 took one without
    a content type for JSON.
    """
    headers = {"Content-Type": content_type} if content_type else {}
    for action, body in ACTIONS:
        answer = client.post(
            f"/api/counties/kitsap_wa/actions/{action}", content=json.dumps(body), headers=headers
        )
        assert (answer.status_code, airflow.asked) == (415, [])


def test_a_refusal_of_airflows_is_told_and_noted(
    client: TestClient, airflow: Airflow, journal: Journal
) -> None:
    airflow.refuses = True
    answer = client.post("/api/counties/adams_wa/actions/run", json={"kind": "sync"})
    assert (answer.status_code, answer.json()["detail"]) == (409, "Airflow answered 409: it is as it is")
    assert audit(journal, "53001", "page.refused")[0][1]["status"] == 409


def test_a_target_that_is_down_lets_no_action_pass_unnoted(client: TestClient, airflow: Airflow) -> None:
    assert client.post("/api/counties/wahkiakum_wa/actions/run", json={"kind": "sync"}).status_code == 503
    assert airflow.asked == []


@pytest.mark.parametrize(("choice", "option"), [("approve", "Approve"), ("reject", "Reject")])
def test_a_decision_answers_airflows_question_about_exactly_what_was_shown(
    client: TestClient, airflow: Airflow, journal: Journal, choice: str, option: str
) -> None:
    airflow.question = shown = sets(client)
    done = client.post("/api/counties/kitsap_wa/actions/decide", json={"choice": choice, "sets": shown})
    assert done.status_code == 200
    assert airflow.asked == [("answer", "pacs_kitsap_wa_approvals", "manual__1", "decide", option)]
    assert audit(journal, KITSAP, "page.decide")[0][1]["choice"] == choice


def test_a_decision_on_sets_that_changed_is_refused(client: TestClient, airflow: Airflow) -> None:
    airflow.question = shown = sets(client)
    other = [{**shown[0], "digest": "f" * 64}]
    body = {"choice": "approve", "sets": other}
    assert client.post("/api/counties/kitsap_wa/actions/decide", json=body).status_code == 409
    assert airflow.asked == []


def test_a_question_about_other_sets_is_not_answered(client: TestClient, airflow: Airflow) -> None:
    shown = sets(client)
    airflow.question = [{"pending_id": 99, "digest": "f" * 64}]
    client.post("/api/counties/kitsap_wa/actions/decide", json={"choice": "approve", "sets": shown})
    assert airflow.asked == [("trigger", "pacs_kitsap_wa_approvals", {})]  # it is asked about these first


def test_what_would_go_is_shown_by_key_parcel_type_and_year(client: TestClient) -> None:
    (shown,) = sets(client)
    detail = client.get(f"/api/counties/kitsap_wa/pending/{shown['pending_id']}").json()
    assert (detail["entity"], detail["row_count"], detail["digest"]) == ("owner", PENDING, shown["digest"])
    assert len(detail["sample"]) == 20
    assert all(row["parcel_number"] for row in detail["sample"])
    by_type = [share["rows"] for share in detail["shares"] if share["column"] == "owner_type"]
    assert sum(by_type) == PENDING
    assert "name" not in {share["column"] for share in detail["shares"]}
    assert client.get("/api/counties/adams_wa/pending/1").status_code == 404  # another county's is none


def test_quarantined_rows_are_dismissed_with_a_reason_until_they_change(
    client: TestClient, journal: Journal
) -> None:
    query = "/api/counties/chelan_wa/quarantine?entity=property&rule=F1.2&limit=200"
    keys = [row["source_key"] for row in client.get(query).json()["keys"]]
    body = {"entity": "property", "keys": keys[:3], "reason": "plats without parcels, ticket 4711"}
    assert (
        client.post("/api/counties/chelan_wa/actions/dismiss", json=body)
        .json()["message"]
        .startswith("3 rows")
    )
    line = client.get("/api/counties/chelan_wa/quality").json()["quarantine"][0]
    assert (line["rows"], line["dismissed"]) == (QUARANTINED, 3)
    note = audit(journal, CHELAN, "quarantine.dismissed")[0]
    assert (note[0], note[1]["by"], note[1]["rows"]) == ("property", "ada", 3)
    with psycopg.connect(journal.url, autocommit=True) as connection:
        connection.execute(
            "UPDATE pacs_ops.quarantine SET payload_digest = sha256('another image') WHERE county_id = %s AND source_key = %s",
            (CHELAN, keys[0]),
        )
    assert client.get("/api/counties/chelan_wa/quality").json()["quarantine"][0]["dismissed"] == 2


def test_what_is_not_in_quarantine_is_not_dismissed(client: TestClient) -> None:
    body = {"entity": "property", "keys": ["no such key"], "reason": "because"}
    assert client.post("/api/counties/chelan_wa/actions/dismiss", json=body).status_code == 409


@pytest.mark.parametrize("reason", ["", " ", "x" * 501])
def test_a_dismissal_needs_a_reason(client: TestClient, reason: str) -> None:
    body = {"entity": "property", "keys": ["k"], "reason": reason}
    assert client.post("/api/counties/chelan_wa/actions/dismiss", json=body).status_code == 422


def test_quarantine_is_exported_without_values_and_without_formulas(
    client: TestClient, journal: Journal
) -> None:
    keys = [
        row["source_key"]
        for row in client.get("/api/counties/chelan_wa/quarantine?entity=property&rule=F1.2").json()["keys"]
    ]
    client.post(
        "/api/counties/chelan_wa/actions/dismiss",
        json={"entity": "property", "keys": keys[-1:], "reason": "=HYPERLINK(1)"},
    )
    answer = client.get("/api/counties/chelan_wa/quarantine.csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {row["source_key"] for row in rows} == set(keys)
    assert [row["reason"] for row in rows if row["source_key"] == keys[-1]] == ["'=HYPERLINK(1)"]
    assert "attachment" in answer.headers["Content-Disposition"]


def test_the_pages_login_needs_no_right_to_write(journal: Journal) -> None:
    """The monitor's login notes an action through a function that sets who and when, and can write nothing."""
    with psycopg.connect(journal.url, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS hands_of_the_test")
        admin.execute("CREATE ROLE hands_of_the_test LOGIN IN ROLE pacs_monitor")
        admin.execute("SET SESSION AUTHORIZATION hands_of_the_test")
        admin.execute("SELECT pacs_ops.page_action('53001', 'page.run', 'pacs_adams_wa', '{}')")
        row = admin.execute(
            "SELECT actor FROM pacs_ops.audit WHERE county_id = '53001' ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        assert row == ("hands_of_the_test",)
        for statement in (
            "SELECT pacs_ops.page_action('53001', 'deletes.applied', '', '{}')",  # no other kind of action
            "SELECT pacs_ops.page_action('99999', 'page.run', '', '{}')",
            "INSERT INTO pacs_ops.quarantine_dismissal VALUES ('53001', 'e', 'k', '', 'r', 'me')",
            "SELECT pacs_ops.append_audit('53001', NULL, 'page.run', '', '{}')",
        ):
            with pytest.raises(psycopg.Error):
                admin.execute(statement)
