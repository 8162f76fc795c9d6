"""The page's JSON, in the process of the test: who may read what, and what it says of every kind of county."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from airflow_provider_pacs import build_county_dags
from airflow_provider_pacs.monitor import access, targets
from airflow_provider_pacs.monitor.app import make_app
from airflow_provider_pacs.monitor.plugin import PacsSyncPlugin
from airflow_provider_pacs.sync.reports import ReportRows, load_reports
from airflow_provider_pacs.sync.target.postgres import read
from tests.support.journal import HTML_NAME, PENDING, QUARANTINED, VALUES, Entry, write_files, write_runs
from tests.support.serve_page import DOWN, ROOT, as_airflow
from tests.ui.conftest import Journal

APP = make_app()
EXAMPLES = {
    "county": "benton_wa",
    "run_id": "0" * 8 + "-0000-4000-8000-" + "0" * 12,
    "pending_id": "1",
    "file": "pacs_sync.js",
}
EXAMPLES["report"] = "values"


@pytest.fixture(scope="module")
def settings(journal: Journal) -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__PACS__COUNTIES_PATH", str(journal.counties))
        patch.setenv("AIRFLOW_CONN_TERRAFUSION", as_airflow(journal.url))
        patch.setenv("AIRFLOW_CONN_TERRAFUSION_EAST", DOWN)
        patch.setattr("airflow_provider_pacs.monitor.routes_overview.dag_states", lambda counties: {})
        patch.setattr("airflow_provider_pacs.monitor.routes_county.dag_states", lambda counties: {})
        for routes in ("routes_overview", "routes_county"):
            patch.setattr(f"airflow_provider_pacs.monitor.{routes}.airflow_runs", lambda configs: {})
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


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_fastapis_own_pages_are_off(path: str) -> None:
    with TestClient(APP) as client:
        assert client.get(path).status_code == 404


def test_the_apis_description_is_for_those_who_are_signed_in(client: TestClient) -> None:
    """The page's types are made from it; without a token it is a 401, as every route."""
    described = client.get("/openapi.json").json()
    routes = {route.path for route in APP.routes if isinstance(route, APIRoute) and route.include_in_schema}
    assert set(described["paths"]) == routes


def test_only_actions_do_more_than_read() -> None:
    writing = {route.path for route in APP.routes for method in route.methods if method != "GET"}
    assert {path.rsplit("/", 1)[0] for path in writing} == {"/api/counties/{county}/actions"}


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
        ("yakima_wa", "blocked", "value: F3.23-market"),
        ("ferry_wa", "failing", "preflight failed: login pacs_reader was refused"),
        ("grant_wa", "failing", "extract_property failed: the server closed the connection"),
        ("clark_wa", "retrying", "extract_owner failed: the server closed the connection"),
        ("mason_wa", "drift", "The last certificate says drift"),
        ("kitsap_wa", "pending", f"{PENDING} deletes wait for a person"),
        ("okanogan_wa", "in_step", ""),
        ("lewis_wa", "lagging", "has not brought its data"),
        ("garfield_wa", "never", "never been synchronised"),
        ("wahkiakum_wa", "unknown", "The target terrafusion_east does not answer"),
    ],
)
def test_each_kind_of_county_is_shown_with_its_cause(
    client: TestClient, county: str, state: str, cause: str
) -> None:
    line = lines(client)[county]
    assert line["state"] == state
    assert cause in line["cause"]


def test_the_overview_names_the_down_target_and_the_broken_file(client: TestClient) -> None:
    whole = client.get("/api/overview").json()
    assert {target["connection"]: target["ok"] for target in whole["targets"]} == {
        "terrafusion": True,
        "terrafusion_east": False,
    }
    assert ["spelled_wrong_wa.yaml: sinc: unknown key" in text for text in whole["broken_files"]] == [True]
    assert whole["totals"] == {
        "broken": 1, "in_step": 5, "lagging": 1, "pending": 1, "retrying": 1, "failing": 2, "blocked": 1, "drift": 1, "never": 1, "unknown": 1,
    }  # fmt: skip
    assert whole["running"] == 2
    assert sum(whole["totals"].values()) == len(whole["counties"]) == 15


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
        f"/runs/{EXAMPLES['run_id']}/certificate",
        "/quality",
        "/quarantine?entity=property&rule=F1.2",
        "/evidence",
        "/check",
        "/audit",
    ):
        assert client.get(f"/api/counties/yakima_wa{path}").status_code == 403
    assert client.get("/api/counties/no_such_county").status_code == 403  # nobody can probe for names


def test_a_running_county_says_how_far_each_entity_is(client: TestClient) -> None:
    shown = client.get("/api/counties/benton_wa").json()
    assert shown["line"]["running"] is True
    entities = {each["entity"]: each for each in shown["run"]["entities"]}
    assert 0 < entities["value"]["rows_read"] < entities["value"]["expected"] == VALUES
    assert [entities[name]["state"] for name in ("property", "owner", "value", "structure")] == [
        "passed", "staged", "extracting", "planned",
    ]  # fmt: skip
    assert entities["structure"]["step"] == "waits for its turn"
    assert entities["value"]["rows_per_second"] > 1000
    assert entities["value"]["airflow_path"].endswith("/tasks/extract_value")
    assert {each["entity"]: each["strategy"] for each in shown["changes"]} == dict.fromkeys(
        ("property", "owner", "value", "structure"), "last_modified"
    )


def test_the_source_is_named_as_the_engine_names_it(client: TestClient) -> None:
    """Issue 21: every real run showed "PACS-SANDBOX · undefined"."""
    source = client.get("/api/counties/adams_wa").json()["run"]["source"]
    assert source == {"server": "PACS-SANDBOX", "db": "PACS"}


def test_a_blocked_run_names_its_class_its_remedy_and_its_log(client: TestClient) -> None:
    shown = client.get("/api/counties/yakima_wa/evidence").json()
    errors = {group["code"]: group for group in shown["errors"]}
    newest = errors["PACS-004"]["newest"]
    assert errors["PACS-004"]["error_class"] == "Data"
    assert errors["PACS-004"]["remedy"]
    assert newest["airflow_path"].startswith("/dags/pacs_yakima_wa/runs/scheduled__2026-11-04")
    run = client.get(f"/api/counties/yakima_wa/runs/{newest['run_id']}").json()
    assert (run["run"]["state"], run["run"]["entities_blocked"]) == ("blocked", 1)
    validated = next(each for each in run["failures"] if each["step"] == "validate_value")
    assert validated["airflow_path"].endswith("/tasks/validate_value")
    blocked = next(each for each in run["entities"] if each["entity"] == "value")
    assert (blocked["state"], blocked["step"]) == ("blocked", "keeps its last good data")
    assert blocked["airflow_path"].endswith("/tasks/validate_value")
    assert (
        client.get(f"/api/counties/adams_wa/runs/{run['run']['run_id']}").status_code == 404
    )  # another county's run is none of its business


def test_a_step_that_is_tried_again_shows_its_tries(client: TestClient) -> None:
    """Case F10: the source went down in the middle of a run; the county is not in step and green meanwhile."""
    shown = client.get("/api/counties/clark_wa").json()
    assert (shown["line"]["state"], shown["line"]["running"]) == ("retrying", True)
    owner = next(each for each in shown["run"]["entities"] if each["entity"] == "owner")
    assert (owner["state"], owner["attempt"], owner["failed_tries"]) == ("extracting", 3, 2)
    assert owner["most_tries"] >= owner["attempt"]
    assert "server closed the connection" in owner["last_failure"]
    assert owner["airflow_path"].endswith("/tasks/extract_owner")
    others = [each for each in shown["run"]["entities"] if each["entity"] != "owner"]
    assert {each["last_failure"] for each in others} == {""}


def test_a_run_refused_in_preflight_is_the_last_run_and_a_failed_one(client: TestClient) -> None:
    """Case F11: it counts once whatever its tries, and the log is its own, not an older run's."""
    shown = client.get("/api/counties/ferry_wa").json()
    line, path = shown["line"], "/dags/pacs_ferry_wa/runs/scheduled__2026-11-03T10%3A00%3A00%2B00%3A00"
    assert (line["last_run"]["run_id"], line["last_run"]["state"]) == (None, "failed")
    assert line["last_run"]["airflow_path"] == f"{path}/tasks/preflight"
    assert (line["recent_runs"], line["error_rate"]) == (2, 0.5)
    assert shown["refusal"]["airflow_path"] == f"{path}/tasks/preflight"
    assert shown["refusal"]["remedy"] == "check the password of connection pacs_ferry_wa"
    runs = client.get("/api/counties/ferry_wa/runs").json()["runs"]
    assert [(run["state"], run["run_id"] is None) for run in runs] == [("failed", True), ("succeeded", False)]


def test_a_failure_is_noted_once_though_its_run_ended_by_it(client: TestClient) -> None:
    failures = client.get("/api/counties/grant_wa/evidence").json()["failures"]
    assert [(each["step"], each["code"], each["airflow_path"]) for each in failures] == [
        ("extract_property", "PACS-001", None)
    ]


def test_the_newest_preflight_report_is_shown_with_states_remedies_and_time(client: TestClient) -> None:
    warned = client.get("/api/counties/chelan_wa/check").json()
    assert warned["state"] == "warn"
    assert sum(warned["counts"].values()) == len(warned["findings"])
    assert warned["checked_at"]
    assert warned["run_id"]
    shown = {finding["id"]: finding for finding in warned["findings"]}
    assert shown["permissions.beyond_reading"]["state"] == "warn"
    assert "pacs grants chelan_wa" in shown["permissions.beyond_reading"]["remedy"]


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
    assert [(line["rule"], line["rows"], len(line["keys"])) for line in waiting] == [("F1.2", QUARANTINED, 5)]
    assert waiting[0]["rule_text"] == "The parcel number is present"
    path = "/api/counties/chelan_wa/quarantine?entity=property&rule=F1.2&limit=7"
    first, rest = client.get(path).json(), client.get(f"{path}&offset=7").json()
    assert (len(first["keys"]), first["more"], len(rest["keys"]), rest["more"]) == (7, True, 5, False)
    assert first["keys"][0]["rules"] == ["F1.2"]


@pytest.mark.parametrize(
    ("county", "state", "covered"),
    [
        ("adams_wa", "clean", "all_rows"),
        ("lewis_wa", "clean", "all_rows"),
        ("kitsap_wa", "pending", "window"),
        ("mason_wa", "drift", "all_rows"),
        ("yakima_wa", "blocked", "window"),
    ],
)
def test_the_newest_certificate_says_its_state_and_what_it_covered(
    client: TestClient, county: str, state: str, covered: str
) -> None:
    summary = lines(client)[county]["certificate"]
    assert (summary["state"], summary["covered"]) == (state, covered)
    newest = client.get(f"/api/counties/{county}/evidence").json()["certificates"][0]
    assert (newest["state"], newest["covered"], newest["run_id"]) == (state, covered, summary["run_id"])
    assert newest["entities"][0]["entity"] == "property"  # parents first


@pytest.mark.parametrize("county", ["adams_wa", "chelan_wa", "kitsap_wa", "mason_wa", "okanogan_wa"])
def test_each_side_of_a_certificate_adds_up_on_the_page(client: TestClient, county: str) -> None:
    for certificate in client.get(f"/api/counties/{county}/evidence").json()["certificates"]:
        assert certificate["audit_head"]
        assert certificate["code_version"]
        assert certificate["mapping_version"] >= 2
        for line in certificate["entities"]:
            source = ("equal", "quarantined", "waiting", "newer", "missing", "differing")
            target = ("equal", "kept", "pending_deletes", "extra_in_target", "differing")
            assert line["source_rows"] == sum(line[term] for term in source)
            assert line["target_rows"] == sum(line[term] for term in target)


def test_control_totals_stand_side_by_side(client: TestClient) -> None:
    newest = client.get("/api/counties/adams_wa/evidence").json()["certificates"][0]
    totals = {line["entity"]: line["control"] for line in newest["entities"]}
    assert {"group": "2025", "column": "market_value", "source": "4000", "target": "4000"} in totals["value"]
    assert all(total["source"] == total["target"] for some in totals.values() for total in some)


def test_drift_is_counted_with_its_keys(client: TestClient) -> None:
    newest = client.get("/api/counties/mason_wa/evidence").json()["certificates"][0]
    owner = next(line for line in newest["entities"] if line["entity"] == "owner")
    assert (owner["state"], owner["differing"], owner["drift_rows"]) == ("drift", 3, 3)
    assert len(owner["sample_keys"]) == 3


def test_a_certificate_is_saved_as_a_page_of_its_own(client: TestClient, journal: Journal) -> None:
    answer = client.get(f"/api/counties/mason_wa/runs/{journal.runs['mason_wa'][-1]}/certificate")
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="certificate-mason_wa-')
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "<title>Certificate of Mason County, WA</title>" in answer.text
    assert "<script" not in answer.text


def test_a_certificate_of_another_county_or_of_no_run_is_not_there(
    client: TestClient, journal: Journal
) -> None:
    """Case E6: a run's id opens nothing by itself."""
    foreign = journal.runs["mason_wa"][-1]
    assert client.get(f"/api/counties/adams_wa/runs/{foreign}/certificate").status_code == 404
    unfinished = journal.runs["benton_wa"][-1]
    assert client.get(f"/api/counties/benton_wa/runs/{unfinished}/certificate").status_code == 404


def test_a_name_with_markup_is_text_in_the_saved_page(client: TestClient, journal: Journal) -> None:
    page = client.get(f"/api/counties/markup_wa/runs/{journal.runs['markup_wa'][-1]}/certificate").text
    assert "<img" not in page
    assert "&lt;img src=x" in page


def test_pending_deletes_come_with_their_set(client: TestClient) -> None:
    (waiting,) = client.get("/api/counties/kitsap_wa").json()["pending"]
    assert (waiting["entity"], waiting["row_count"], waiting["live_count"]) == ("owner", PENDING, 40)
    assert client.get("/api/counties/okanogan_wa").json()["pending"] == []
    kinds = {run["kind"] for run in client.get("/api/counties/okanogan_wa/runs").json()["runs"]}
    assert kinds == {"sync", "approval"}


def test_history_comes_newest_first_and_as_long_as_asked(client: TestClient) -> None:
    runs = [
        run
        for run in client.get("/api/counties/yakima_wa/runs?limit=3").json()["runs"]
        if run["kind"] == "sync"
    ]
    assert len(runs) == 3
    assert [run["started_at"] for run in runs] == sorted((run["started_at"] for run in runs), reverse=True)
    assert runs[0]["state"] == "blocked"


def test_audit_rows_page_backwards(client: TestClient) -> None:
    first = client.get("/api/counties/adams_wa/audit?limit=5").json()
    older = client.get(f"/api/counties/adams_wa/audit?limit=5&before={first[-1]['seq']}").json()
    assert older[0]["seq"] < first[-1]["seq"]


def test_a_down_target_is_said_in_the_county_and_503_elsewhere(client: TestClient) -> None:
    shown = client.get("/api/counties/wahkiakum_wa").json()
    assert (shown["target"]["ok"], shown["run"], shown["line"]["state"]) == (False, None, "unknown")
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


def test_a_followed_county_says_whether_it_is_live(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the overview and in its own answer, from what Airflow keeps of it; a county that is not has none."""
    from airflow_provider_pacs.monitor import realtime
    from airflow_provider_pacs.sync.polling import Followed, Polled, PollPlan

    plain = "county: adams_wa\nsync:\n  cron: null\n"
    (tmp_path / "adams_wa.yaml").write_text(plain + "realtime: {enabled: true}\n", "utf-8")
    (tmp_path / "benton_wa.yaml").write_text(plain.replace("adams", "benton"), "utf-8")
    monkeypatch.setenv("AIRFLOW__PACS__COUNTIES_PATH", str(tmp_path))
    now = datetime.now(UTC)
    kept = {
        "adams_wa": realtime.Kept(
            Followed(PollPlan((), {"owner": "read whole"}, 60), handled_at=now).as_json(),
            Polled(now, "away", message="port 1433 is closed").as_json(),
        )
    }
    for routes in ("routes_overview", "routes_county"):
        monkeypatch.setattr(f"airflow_provider_pacs.monitor.{routes}.kept_by_airflow", lambda configs: kept)
        monkeypatch.setattr(f"airflow_provider_pacs.monitor.{routes}.dag_states", lambda *_: {})
    shown = {line["county"]: line["realtime"] for line in client.get("/api/overview").json()["counties"]}
    assert shown["benton_wa"] is None
    own = client.get("/api/counties/adams_wa").json()["line"]["realtime"]
    for line in (shown["adams_wa"], own):
        assert (line["state"], line["live"], line["lag_seconds"]) == ("away", False, 0)
        assert line["cause"] == "The source does not answer: port 1433 is closed"
        assert line["left_out"] == {"owner": "read whole"}
        assert line["dag_id"] == "pacs_adams_wa_realtime"


def test_a_propertys_past_is_columns_and_runs_and_no_value(client: TestClient, journal: Journal) -> None:
    """Every change of a property and of what belongs to it, newest first; the hold of its county."""
    path = "/api/counties/benton_wa/property-history"
    with psycopg.connect(journal.url, autocommit=True) as connection:
        (parcel, property_id) = connection.execute(
            "SELECT parcel_number, property_id::text FROM pacs.property WHERE county_id = '53005' ORDER BY 1 LIMIT 1"
        ).fetchone() or ("", "")
        connection.execute("SELECT pacs_ops.open_change_log_months()")
        try:
            connection.execute(
                "INSERT INTO pacs_ops.change_log (county_id, entity, row_key, source_key, property_id, run_id, at, op, "
                "before) SELECT county_id, 'property', property_id, property_id::text, property_id, _run_id, now(), "
                '\'U\', to_jsonb(t) || \'{"legal_description": "SECRET 7", "_deleted_at": "2026-01-01"}\' '
                "FROM pacs.property AS t WHERE county_id = '53005' AND property_id = %s",
                (property_id,),
            )
            connection.execute(
                "INSERT INTO pacs_ops.county_hold (county_id, reason, held_by) VALUES ('53005', 'a reason', 'ann')"
            )
            for key in (parcel, property_id):
                answer = client.get(path, params={"key": key})
                assert answer.status_code == 200, answer.text
                past = answer.json()
                assert (past["changes"][0]["op"], past["changes"][0]["changed"]) == (
                    "R",
                    ["legal_description"],
                )
                assert past["changes"][0]["run_kind"] == "sync"
                assert {"I"} == {change["op"] for change in past["changes"][1:]}
                assert {"property", "owner"} <= {change["entity"] for change in past["changes"]}
                assert past["hold"]["reason"] == "a reason"
                assert "SECRET 7" not in answer.text
            first = client.get(path, params={"key": parcel, "limit": 1}).json()
            assert (len(first["changes"]), first["more"]) == (1, True)
            none = client.get(path, params={"key": "no such parcel"}).json()
            assert (none["changes"], none["more"]) == ([], False)
            assert client.get(path).status_code == 422
        finally:
            connection.execute("DELETE FROM pacs_ops.change_log WHERE county_id = '53005'")
            connection.execute("DELETE FROM pacs_ops.county_hold WHERE county_id = '53005'")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page waits longer than it does for people: how fast this machine is, is no matter here."""
    monkeypatch.setattr(targets, "DEADLINE_SECONDS", 60)
    monkeypatch.setattr(
        read, "_SETTINGS", "SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL timezone = 'UTC'"
    )


@pytest.mark.usefixtures("patient")
def test_reports_of_sums_over_the_counties_that_the_user_may_read(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/reports.md: the page lists and reads reports of sums, as JSON and as the same CSV; none of single rows."""
    names = {line["name"]: line for line in client.get("/api/reports").json()}
    assert set(names) == {name for name, report in load_reports().items() if not report.per_row}
    for report in ("parcels", "owners", "nothing"):
        assert client.get(f"/api/reports/{report}").status_code == 404
    monkeypatch.setattr(
        access, "get_auth_manager", lambda: SourcePermissions({"pacs_benton_wa", "pacs_chelan_wa"})
    )
    for name in names:
        table = client.get(f"/api/reports/{name}").json()
        assert [column["name"] for column in table["columns"]] == [c["name"] for c in names[name]["columns"]]
        text = client.get(f"/api/reports/{name}/csv")
        assert text.headers["content-type"] == "text/csv; charset=utf-8"
        read = list(csv.reader(io.StringIO(text.text)))
        assert read[0] == [column["name"] for column in table["columns"]]
        assert read[1:] == [["" if value is None else value for value in row] for row in table["rows"]]
    values = client.get("/api/reports/values").json()
    assert {row[0] for row in values["rows"]} == {"53005", "53007"}
    assert values["unavailable"] == {}
    (market,) = (place for place, column in enumerate(values["columns"]) if column["name"] == "market_value")
    assert values["columns"][market]["kind"] == "number"
    assert all(float(row[market]) > 0 for row in values["rows"])


@pytest.mark.usefixtures("patient")
def test_no_text_of_a_source_is_a_formula_in_a_reports_csv(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A code or a name may begin with what a spreadsheet runs; a negative number stays a number."""
    monkeypatch.setattr(access, "get_auth_manager", lambda: SourcePermissions({"pacs_benton_wa"}))
    texts = ("=HYPERLINK(1)", "+1", "-1", "@A1", "\t=1", "\r=1", "\n=1")
    rows = [("53005", text, Decimal("-1.50"), *[None] * 13) for text in texts]
    monkeypatch.setattr(
        read.OpsReader,
        "report",
        lambda self, report, counties, most: (ReportRows(report.column_names, (), iter(())), rows),
    )
    answer = client.get("/api/reports/values/csv")
    read_back = list(csv.reader(io.StringIO(answer.text, newline="")))[1:]
    assert [row[:3] for row in read_back] == [["53005", f"'{text}", "-1.50"] for text in texts]


@pytest.mark.usefixtures("patient")
def test_a_report_that_is_not_whole_says_so(client: TestClient) -> None:
    """A target that is down: its counties are named, and a file, which could not say it, is refused."""
    table = client.get("/api/reports/values").json()
    assert set(table["unavailable"]) == {"wahkiakum_wa"}
    assert "53005" in {row[0] for row in table["rows"]}
    assert "garfield_wa" not in {row[1] for row in table["rows"]}  # never loaded: it has nothing
    answer = client.get("/api/reports/values/csv")
    assert answer.status_code == 503
    assert "wahkiakum_wa" in answer.json()["detail"]


@pytest.mark.usefixtures("patient")
def test_a_right_that_is_missing_is_said(client: TestClient, journal: Journal) -> None:
    """No empty report where the page's login was granted no county."""
    with psycopg.connect(journal.url, autocommit=True) as admin:
        admin.execute("DELETE FROM pacs_ops.county_grant")
    try:
        table = client.get("/api/reports/values").json()
        assert table["rows"] == []
        assert "grant_county" in table["unavailable"]["benton_wa"]
    finally:
        with psycopg.connect(journal.url, autocommit=True) as admin:
            admin.execute("INSERT INTO pacs_ops.county_grant VALUES ('pacs_owner', '*')")


@pytest.mark.usefixtures("patient")
def test_a_county_is_added_by_one_file_and_one_connection(
    client: TestClient, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 18: its DAGs, its line on the page and its rows in the reports are there without a line of code."""
    counties = tmp_path / "counties"
    shutil.copytree(journal.counties, counties)
    monkeypatch.setenv("AIRFLOW__PACS__COUNTIES_PATH", str(counties))
    assert "pacs_pacific_wa" not in build_county_dags(counties)
    entry = Entry("pacific_wa", "53049", "Pacific County, WA")
    write_files([entry], counties, broken=False)
    dags = {"pacs_pacific_wa", "pacs_pacific_wa_reconcile", "pacs_pacific_wa_approvals"}
    assert dags <= set(build_county_dags(counties))
    assert lines(client)["pacific_wa"]["state"] == "never"
    try:
        write_runs(journal.url, [entry], counties)
        assert lines(client)["pacific_wa"]["state"] == "in_step"
        rows = [row for row in client.get("/api/reports/values").json()["rows"] if row[0] == "53049"]
        assert rows
        assert {row[1] for row in rows} == {"pacific_wa"}
        coverage = [row for row in client.get("/api/reports/coverage").json()["rows"] if row[0] == "53049"]
        assert {row[2] for row in coverage} == {"property", "owner", "value", "structure"}
    finally:
        with psycopg.connect(journal.url, autocommit=True) as admin:
            for table in ("property", "owner", "value_history", "structure"):
                admin.execute(f"DROP TABLE IF EXISTS pacs_part.{table}_53049".encode())
