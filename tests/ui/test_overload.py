"""The page bears a target that hangs, a crowd, and parameters of every size, and shows nobody another's county
(field cases E4, E6).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from airflow_provider_pacs.monitor import access, counties, targets
from airflow_provider_pacs.monitor.app import make_app
from airflow_provider_pacs.monitor.targets import PER_TARGET
from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from airflow_provider_pacs.sync.target.postgres.read import OpsReader
from tests.support.fake_postgres import FakePostgres, fake_postgres
from tests.support.serve_page import as_airflow
from tests.ui.conftest import Journal

APP = make_app()
ROUTES = [route for route in APP.routes if isinstance(route, APIRoute)]
_SETTLES = 30.0


class Everything:
    """An auth manager that lets read the DAGs named, or all."""

    dags: set[str] | None = None

    def is_authorized_dag(self, *, details: Any, **_: Any) -> bool:
        return self.dags is None or details.id in self.dags

    def is_authorized_view(self, **_: Any) -> bool:
        return True


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(access, "get_auth_manager", Everything)
    for routes in ("routes_overview", "routes_county"):
        monkeypatch.setattr(f"airflow_provider_pacs.monitor.{routes}.dag_states", lambda counties: {})
        monkeypatch.setattr(f"airflow_provider_pacs.monitor.{routes}.airflow_runs", lambda configs: {})
    monkeypatch.setattr(targets, "_circuits", {})
    counties._seen.clear()
    app = make_app()
    app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="viewer", role="viewer")
    with TestClient(app) as client:
        yield client


@pytest.fixture
def hanging(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePostgres]:
    """A county whose target accepts the login, then never answers again."""
    (tmp_path / "benton_wa.yaml").write_text("target: {connection: hangs}\n", "utf-8")
    monkeypatch.setenv("AIRFLOW__PACS__COUNTIES_PATH", str(tmp_path))
    with fake_postgres(hangs=True) as server:
        monkeypatch.setenv("AIRFLOW_CONN_HANGS", f"postgres://u:p@127.0.0.1:{server.port}/d?sslmode=disable")
        yield server


def finished(connection: str) -> bool:
    """Whether no thread asks the target any more, soon."""
    end = time.monotonic() + _SETTLES
    while targets._circuits[connection].busy:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_a_target_that_hangs_takes_few_threads_and_one_wait(
    hanging: FakePostgres, client: TestClient
) -> None:
    """Case E4: of fifty requests a handful waits, until the deadline; the others are answered at once, so the
    server's threads stay free. Afterwards the target is left alone, and no thread of ours is stuck.
    """
    with ThreadPoolExecutor(50) as crowd:
        answers = list(crowd.map(lambda _: client.get("/api/counties/benton_wa/runs"), range(50)))
    assert {answer.status_code for answer in answers} == {503}
    waited = [answer for answer in answers if "did not answer within" in answer.json()["detail"]]
    refused = [answer for answer in answers if "Retry-After" in answer.headers]
    assert 1 <= hanging.logins <= PER_TARGET
    assert len(refused) >= 50 - 2 * PER_TARGET - len(waited)
    assert finished("hangs")
    logins = hanging.logins
    assert "did not answer within" in client.get("/api/counties/benton_wa/runs").json()["detail"]
    assert hanging.logins == logins


def test_the_overview_says_which_target_hangs(hanging: FakePostgres, client: TestClient) -> None:
    """Case E4: a page with one county unknown, not an error for all."""
    answer = client.get("/api/overview")
    assert answer.status_code == 200
    (line,) = answer.json()["targets"]
    assert line["ok"] is False
    assert answer.json()["counties"][0]["state"] == "unknown"


def test_after_its_rest_one_request_tries_the_target_again(
    hanging: FakePostgres, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case E4: not the whole crowd."""
    client.get("/api/counties/benton_wa/runs")
    assert finished("hangs")
    first = hanging.logins
    monkeypatch.setattr(targets, "REST_SECONDS", 600.0)
    targets._circuits["hangs"].until = 0.0
    with ThreadPoolExecutor(20) as crowd:
        list(crowd.map(lambda _: client.get("/api/counties/benton_wa/runs"), range(20)))
    assert finished("hangs")
    assert hanging.logins == first + 1


def test_a_target_that_answers_again_is_asked_again(
    journal: Journal, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__PACS__COUNTIES_PATH", str(journal.counties))
    monkeypatch.setenv("AIRFLOW_CONN_TERRAFUSION", "postgres://u@127.0.0.1:1/d?sslmode=disable")
    assert client.get("/api/counties/benton_wa/runs").status_code == 503
    monkeypatch.setenv("AIRFLOW_CONN_TERRAFUSION", as_airflow(journal.url))
    assert client.get("/api/counties/benton_wa/runs").status_code == 503
    targets._circuits["terrafusion"].until = 0.0
    assert client.get("/api/counties/benton_wa/runs").status_code == 200
    assert targets._circuits["terrafusion"].error is None


def test_a_strict_county_sends_the_page_no_password_over_a_weaker_connection(
    hanging: FakePostgres, client: TestClient, tmp_path: Path
) -> None:
    """Case E2: the page obeys the county's file as the runs do."""
    (tmp_path / "benton_wa.yaml").write_text("target: {connection: hangs, tls: strict}\n", "utf-8")
    answer = client.get("/api/counties/benton_wa/runs")
    assert answer.status_code == 503
    assert "target.tls is strict" in answer.json()["detail"]
    assert client.get("/api/overview").json()["counties"][0]["state"] == "unknown"
    assert hanging.passwords == []


def parameters(route: APIRoute) -> list[Any]:
    """Every path and query parameter of a route, those of its dependencies too."""
    fields, open_ = [], [route.dependant]
    while open_:
        dependant = open_.pop()
        fields += [*dependant.path_params, *dependant.query_params]
        open_ += dependant.dependencies
    return fields


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_every_parameter_has_bounds(route: APIRoute) -> None:
    """Case E4: a number has both ends, a text a pattern or a length."""
    for parameter in parameters(route):
        if parameter.name in ("token", "_token"):
            continue
        schema = str(parameter.field_info.annotation)
        bounds = str(parameter.field_info.metadata)
        if "int" in schema:
            assert "ge=" in bounds.lower(), parameter.name
            assert "le=" in bounds.lower(), parameter.name
        elif "UUID" not in schema:
            assert "pattern" in bounds or "max_length" in bounds.lower(), parameter.name


@pytest.mark.parametrize(
    "path",
    [
        "/api/counties/benton_wa/runs?limit=201",
        "/api/counties/benton_wa/runs?limit=99999999999999999999999",
        "/api/counties/benton_wa/audit?before=9223372036854775808",
        "/api/counties/benton_wa/quarantine?entity=owner&rule=F1.1&offset=100001",
        "/api/counties/benton_wa/quarantine?entity=owner&rule=" + "x" * 129,
        "/api/counties/benton_wa/quarantine?entity=%00&rule=F1.1",
        "/api/counties/benton_wa/quarantine?entity=owner&rule=%00",
        "/api/counties/" + "a" * 300 + "/runs",
        "/api/counties/benton_wa/runs/" + "0" * 400,
    ],
)
def test_what_is_out_of_bounds_reaches_no_target(
    hanging: FakePostgres, client: TestClient, path: str
) -> None:
    assert client.get(path).status_code == 422
    assert hanging.logins == 0


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
@pytest.mark.parametrize("signed_in", [True, False])
def test_no_answer_is_kept_or_guessed(route: APIRoute, signed_in: bool, client: TestClient) -> None:
    """`no-store` for what a county's data say, nosniff for everything, refusals too."""
    path = route.path.format(
        county="benton_wa", run_id="0" * 32, pending_id=1, file="pacs_sync.js", report="values"
    )
    answer = client.get(path) if signed_in else TestClient(APP).get(path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    kept = answer.headers["Cache-Control"]
    assert kept == ("private, no-cache" if "static" in path and answer.status_code == 200 else "no-store")


@pytest.mark.parametrize("part", ["", "/runs", "/quality", "/evidence", "/check", "/audit"])
def test_a_fips_code_of_another_county_shows_nothing_of_it(
    journal: Journal, client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Case E6: a file that claims Benton's code, in a folder where Benton's own file is not, is answered with
    nothing of Benton's: the code must be the county's in the target as well.
    """
    (tmp_path / "ada_id.yaml").write_text(
        'fips: "53005"\ntimezone: America/Boise\ntarget: {connection: terrafusion}\n', "utf-8"
    )
    monkeypatch.setenv("AIRFLOW__PACS__COUNTIES_PATH", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_TERRAFUSION", as_airflow(journal.url))
    answer = client.get(f"/api/counties/ada_id{part}")
    if part:
        assert answer.status_code == 503
        assert "FIPS 53005 is another county's" in answer.json()["detail"]
    else:
        assert answer.json()["run"] is None
        assert answer.json()["line"]["state"] in ("unknown", "never")
    (line,) = client.get("/api/overview").json()["counties"]
    assert line["state"] in ("unknown", "never")


def test_two_files_with_one_code_are_two_broken_files(
    journal: Journal, client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cases E5 and E6: broken counties are named on the page; the others are there."""
    (tmp_path / "ada_id.yaml").write_text('fips: "53005"\ntimezone: America/Boise\n', "utf-8")
    (tmp_path / "benton_wa.yaml").write_text("owner: me\n", "utf-8")
    (tmp_path / "king_wa.yaml").write_text("owner: me\n", "utf-8")
    (tmp_path / "yakima_wa.yaml").write_text("tags: [" + "x" * 300 + "]\n", "utf-8")
    monkeypatch.setenv("AIRFLOW__PACS__COUNTIES_PATH", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_TERRAFUSION", as_airflow(journal.url))
    page = client.get("/api/overview").json()
    rows = {line["county"]: line for line in page["counties"]}
    assert set(rows) == {"ada_id", "benton_wa", "king_wa", "yakima_wa"}
    assert {county for county, row in rows.items() if row["state"] == "broken"} == set(rows) - {"king_wa"}
    assert "'53005' is claimed by 2 counties" in rows["benton_wa"]["cause"]
    assert "tags.0" in rows["yakima_wa"]["cause"]
    assert str(tmp_path) not in str(page)
    assert page["totals"]["broken"] == 3
    assert len(page["broken_files"]) == 2
    assert client.get("/api/summary").json()["attention"][0]["state"] == "broken"
    assert client.get("/api/counties/benton_wa/runs").status_code == 404


def test_a_broken_county_is_a_row_for_who_may_read_its_dag_only(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case E5: the reason, which may name another county's file, is for who may read Airflow's import errors."""
    (tmp_path / "ada_id.yaml").write_text('fips: "53005"\ntimezone: America/Boise\n', "utf-8")
    (tmp_path / "benton_wa.yaml").write_text("owner: me\n", "utf-8")
    monkeypatch.setenv("AIRFLOW__PACS__COUNTIES_PATH", str(tmp_path))
    monkeypatch.setattr(Everything, "dags", {"pacs_benton_wa"})
    monkeypatch.setattr(Everything, "is_authorized_view", lambda self, **_: False)
    page = client.get("/api/overview").json()
    ((county, cause),) = [(line["county"], line["cause"]) for line in page["counties"]]
    assert county == "benton_wa"
    assert "import errors" in cause
    assert "ada_id" not in str(page)
    assert page["broken_files"] == []


def test_a_county_of_which_airflow_has_no_dag_is_broken(
    journal: Journal, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case E5: its file is good, but its DAGs could not be built: nothing runs, whatever its last data says."""
    missing = {"benton_wa": counties.DagState(missing=True), "adams_wa": counties.DagState()}
    for routes in ("routes_overview", "routes_county"):
        monkeypatch.setattr(f"airflow_provider_pacs.monitor.{routes}.dag_states", lambda names: missing)
    monkeypatch.setenv("AIRFLOW__PACS__COUNTIES_PATH", str(journal.counties))
    monkeypatch.setenv("AIRFLOW_CONN_TERRAFUSION", as_airflow(journal.url))
    rows = {line["county"]: line for line in client.get("/api/overview").json()["counties"]}
    assert (rows["benton_wa"]["state"], rows["adams_wa"]["state"]) == ("broken", "in_step")
    assert "Airflow has no DAG pacs_benton_wa" in rows["benton_wa"]["cause"]
    assert rows["benton_wa"]["last_run"] is not None
    assert client.get("/api/counties/benton_wa").json()["line"]["state"] == "broken"


def test_the_pages_login_may_be_the_monitors(journal: Journal) -> None:
    """The page works with a login that can read the journal and nothing else."""
    with psycopg.connect(journal.url, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS page_of_the_test")
        admin.execute("CREATE ROLE page_of_the_test LOGIN IN ROLE pacs_monitor")
    params = {k: str(v) for k, v in psycopg.conninfo.conninfo_to_dict(journal.url).items() if v}
    with OpsReader(params | {"user": "page_of_the_test"}) as reader:
        (row,) = reader.overview(["53005"])
        assert row.run is not None
        run_id = str(row.run.run_id)
        assert reader.run_entities(run_id)
        assert reader.certificate("53005", run_id) is None
        assert reader.certificates("53005", 5)
        assert reader.states("53005")
        assert reader.quarantine_by_rule("53005") == []
        assert reader.audit("53005", None, 5)
    with PostgresTarget.from_url(journal.url) as target:
        assert target.connection.execute(
            "SELECT has_table_privilege('page_of_the_test', 'pacs.owner', 'SELECT')"
        ).fetchone() == (False,)
