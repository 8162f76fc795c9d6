"""The page's JSON, in the process of the test: who may read what, and what it says of every kind of county."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from airflow_provider_pacs.monitor import access, targets
from airflow_provider_pacs.monitor.app import make_app
from airflow_provider_pacs.monitor.plugin import PacsSyncPlugin
from tests.support.journal import HTML_NAME
from tests.support.serve_page import DOWN, ROOT, as_airflow
from tests.ui.conftest import Journal

APP = make_app()
EXAMPLES = {"county": "benton_wa", "run_id": "0" * 8 + "-0000-4000-8000-" + "0" * 12, "file": "pacs_sync.js"}


@pytest.fixture(scope="module")
def settings(journal: Journal) -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__PACS__COUNTIES_PATH", str(journal.counties))
        patch.setenv("AIRFLOW_CONN_TERRAFUSION", as_airflow(journal.url))
        patch.setenv("AIRFLOW_CONN_TERRAFUSION_EAST", DOWN)
        patch.setattr("airflow_provider_pacs.monitor.routes_overview.dag_states", lambda counties: {})
        patch.setattr("airflow_provider_pacs.monitor.routes_county.dag_states", lambda counties: {})
        targets.forget()
        yield patch


class SourcePermissions:
    """Stands in for the auth manager: reads the DAGs named, or all."""

    def __init__(self, dags: set[str] | None = None) -> None:
        self.dags = dags

    def is_authorized_dag(self, *, details: Any, **_: Any) -> bool:
        return self.dags is None or details.id in self.dags

    def is_authorized_view(self, **_: Any) -> bool:
        return self.dags is None


@pytest.fixture
def client(settings: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(access, "get_auth_manager", SourcePermissions)
    app = make_app()
    app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="viewer", role="viewer")
    with TestClient(app, raise_server_exceptions=True) as client:
        yield client


def lines(client: TestClient) -> dict[str, dict[str, Any]]:
    return {line["county"]: line for line in client.get("/api/overview").json()["counties"]}


def test_there_is_no_route_but_ours() -> None:
    assert [route for route in APP.routes if not isinstance(route, APIRoute)] == []
    assert {route.path for route in APP.routes if isinstance(route, APIRoute)} >= {
        "/api/overview",
        "/api/summary",
        "/static/{file}",
    }


@pytest.mark.parametrize("route", APP.routes, ids=lambda route: route.path)
def test_without_a_token_every_route_answers_401(route: APIRoute) -> None:
    with TestClient(APP) as client:
        for method in route.methods:
            assert client.request(method, route.path.format(**EXAMPLES)).status_code == 401


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_fastapis_own_pages_are_off(path: str) -> None:
    with TestClient(APP) as client:
        assert client.get(path).status_code == 404


def test_every_route_only_reads() -> None:
    assert {method for route in APP.routes for method in route.methods} == {"GET"}


def test_a_process_that_serves_no_page_loads_no_web_app() -> None:
    code = (
        "import sys, airflow_provider_pacs.monitor.plugin; print('airflow_provider_pacs.monitor.app' in "
        "sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"


def test_the_plugin_stands_in_three_places() -> None:
    assert {app["destination"] for app in PacsSyncPlugin.react_apps} == {"nav", "dag", "dashboard"}


@pytest.mark.parametrize(
    ("county", "state", "cause"),
    [
        ("adams_wa", "in_step", ""),
        ("benton_wa", "in_step", ""),
        ("yakima_wa", "failing", "value: F3.23-market The market value is not negative"),
        ("ferry_wa", "failing", "preflight failed: login pacs_reader was refused"),
        ("mason_wa", "failing", "The last certificate is not clean"),
        ("kitsap_wa", "held", "312 deletes wait"),
        ("lewis_wa", "lagging", "has not brought its data"),
        ("garfield_wa", "never", "never been synchronised"),
        ("wahkiakum_wa", "unknown", "The target terrafusion_east does not answer"),
    ],
)
def test_each_kind_of_county_is_told_with_its_cause(
    client: TestClient, county: str, state: str, cause: str
) -> None:
    line = lines(client)[county]
    assert line["state"] == state
    assert cause in line["cause"]


def test_the_overview_tells_of_the_down_target_and_the_broken_file(client: TestClient) -> None:
    whole = client.get("/api/overview").json()
    assert {target["connection"]: target["ok"] for target in whole["targets"]} == {
        "terrafusion": True,
        "terrafusion_east": False,
    }
    assert ["spelled_wrong_wa.yaml: sinc: unknown key" in text for text in whole["broken_files"]] == [True]
    assert whole["totals"] == {"in_step": 33, "lagging": 1, "held": 1, "failing": 3, "never": 1, "unknown": 1}
    assert whole["running"] == 1
    assert sum(whole["totals"].values()) == len(whole["counties"]) == 40


def test_a_user_sees_only_counties_whose_dag_he_may_read(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "get_auth_manager", lambda: SourcePermissions({"pacs_benton_wa"}))
    whole = client.get("/api/overview").json()
    assert ([line["county"] for line in whole["counties"]], whole["broken_files"]) == (["benton_wa"], [])
    assert client.get("/api/counties/benton_wa").status_code == 200
    for path in (
        "",
        "/runs",
        f"/runs/{EXAMPLES['run_id']}",
        "/quality",
        "/quarantine?entity=property&rule=F1.2",
        "/evidence",
        "/check",
        "/audit",
    ):
        assert client.get(f"/api/counties/yakima_wa{path}").status_code == 403
    assert client.get("/api/counties/no_such_county").status_code == 403  # nobody can probe for names


def test_a_running_county_tells_how_far_each_entity_is(client: TestClient) -> None:
    found = client.get("/api/counties/benton_wa").json()
    assert found["line"]["running"] is True
    entities = {one["entity"]: one for one in found["run"]["entities"]}
    assert 0 < entities["value"]["rows_read"] < entities["value"]["expected"]
    assert entities["value"]["rows_per_second"] > 1000
    assert entities["value"]["airflow_path"].endswith("/tasks/extract_value")
    assert {one["entity"]: one["strategy"] for one in found["changes"]} == {
        "property": "last_modified", "owner": "last_modified", "value": "last_modified", "structure": "compare",
    }  # fmt: skip


def test_a_failure_names_its_class_its_remedy_and_its_log(client: TestClient) -> None:
    found = client.get("/api/counties/yakima_wa/evidence").json()
    errors = {group["code"]: group for group in found["errors"]}
    assert set(errors) == {"PACS-001", "PACS-004"}
    assert errors["PACS-004"]["error_class"] == "Data"
    assert "correct the rows" in errors["PACS-004"]["remedy"]
    assert errors["PACS-004"]["newest"]["airflow_path"].startswith("/dags/pacs_yakima_wa/runs/scheduled__")
    assert errors["PACS-004"]["newest"]["airflow_path"].endswith("/tasks/validate_value")
    run = client.get(f"/api/counties/yakima_wa/runs/{errors['PACS-004']['newest']['run_id']}").json()
    assert [failure["code"] for failure in run["failures"]] == ["PACS-004"]
    assert (
        client.get(f"/api/counties/adams_wa/runs/{run['run']['run_id']}").status_code == 404
    )  # another county's run is none of its business


def test_the_newest_preflight_report_is_told_with_states_remedies_and_time(client: TestClient) -> None:
    warned = client.get("/api/counties/chelan_wa/check").json()
    assert (warned["state"], warned["counts"]) == ("warn", {"ok": 1, "unknown": 1, "warn": 1})
    assert warned["checked_at"]
    assert warned["run_id"]
    found = {finding["id"]: finding for finding in warned["findings"]}
    assert found["tls.in_force"]["state"] == "unknown"
    assert "pacs grants chelan_wa" in found["rights.beyond_reading"]["remedy"]


def test_a_refused_run_has_a_preflight_report_too(client: TestClient) -> None:
    """Ferry's newest run never began: its report is there, without a run, with the log of the task that found
    it.
    """
    refused = client.get("/api/counties/ferry_wa/check").json()
    assert (refused["state"], refused["run_id"]) == ("fail", None)
    assert refused["airflow_path"].endswith("/tasks/preflight")
    assert client.get("/api/counties/garfield_wa/check").json() == {
        "checked_at": None, "state": None, "run_id": None, "airflow_path": None, "counts": {}, "findings": [],
    }  # fmt: skip


def test_a_target_of_an_older_version_has_no_report_and_says_so(client: TestClient, journal: Journal) -> None:
    with psycopg.connect(journal.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE pacs_ops.check_report RENAME TO check_report_hidden")
        try:
            assert client.get("/api/counties/chelan_wa/check").json()["findings"] == []
        finally:
            connection.execute("ALTER TABLE pacs_ops.check_report_hidden RENAME TO check_report")


def test_quarantine_is_keys_by_rule_with_the_reason(client: TestClient) -> None:
    waiting = client.get("/api/counties/chelan_wa/quality").json()["quarantine"]
    assert [(line["rule"], line["rows"], len(line["keys"])) for line in waiting] == [("F1.2", 37, 5)]
    assert waiting[0]["reason"] == "The parcel number is present"
    first = client.get("/api/counties/chelan_wa/quarantine?entity=property&rule=F1.2&limit=30").json()
    rest = client.get(
        "/api/counties/chelan_wa/quarantine?entity=property&rule=F1.2&limit=30&offset=30"
    ).json()
    assert (len(first["keys"]), first["more"], len(rest["keys"]), rest["more"]) == (30, True, 7, False)


def test_history_comes_newest_first_and_as_long_as_asked(client: TestClient) -> None:
    runs = [
        run
        for run in client.get("/api/counties/yakima_wa/runs?limit=20").json()["runs"]
        if run["kind"] == "sync"
    ]
    assert len(runs) == 20
    assert [run["started_at"] for run in runs] == sorted((run["started_at"] for run in runs), reverse=True)
    assert runs[0]["state"] == "failed"


def test_audit_rows_page_backwards(client: TestClient) -> None:
    first = client.get("/api/counties/adams_wa/audit?limit=10").json()
    older = client.get(f"/api/counties/adams_wa/audit?limit=10&before={first[-1]['seq']}").json()
    assert older[0]["seq"] < first[-1]["seq"]


def test_a_down_target_is_said_in_the_county_and_503_elsewhere(client: TestClient) -> None:
    found = client.get("/api/counties/wahkiakum_wa").json()
    assert (found["target"]["ok"], found["run"], found["line"]["state"]) == (False, None, "unknown")
    answer = client.get("/api/counties/wahkiakum_wa/runs")
    assert answer.status_code == 503
    assert answer.json()["remedy"]


def test_names_travel_as_they_are(client: TestClient) -> None:
    assert lines(client)["markup_wa"]["name"] == HTML_NAME


@pytest.mark.parametrize(
    "path", ["/static/..%2Fapp.py", "/static/app.py", "/static/nothing.js", "/api/counties/..%2F..%2Fetc"]
)
def test_no_path_leads_out(client: TestClient, path: str) -> None:
    assert client.get(path).status_code in (403, 404, 422)


def test_nothing_of_the_page_comes_from_elsewhere(client: TestClient) -> None:
    for file in (
        "pacs_sync.js",
        "parts.js",
        "overview.js",
        "county.js",
        "county_tabs.js",
        "icon.svg",
        "icon_dark.svg",
    ):
        text = client.get(f"/static/{file}").text.replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text.replace("https?", "")
        assert "dangerouslySetInnerHTML" not in text
