"""The same routes in a running Airflow, where its own auth manager decides."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.support.airflow_site import Site
from tests.ui.test_api import APP, EXAMPLES


def status(
    site: Site, path: str, token: str = "", *, method: str = "GET", body: Any = None, root: str = "/pacs-sync"
) -> tuple[int, bytes]:
    request = urllib.request.Request(
        f"{site.url}{root}{path}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {}),
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize("route", APP.routes, ids=lambda route: route.path)
def test_nobody_gets_in_without_a_token_or_with_a_made_up_one(site: Site, route: Any) -> None:
    path = route.path.format(**EXAMPLES)
    for method in route.methods:
        assert status(site, path, method=method)[0] == 401
        assert status(site, path, "made.up.token", method=method)[0] == 403


@pytest.mark.parametrize("user", ["viewer", "admin"])
def test_both_roles_read_the_page_and_its_scripts(site: Site, user: str) -> None:
    token = site.token(user)
    code, body = status(site, "/api/overview", token)
    assert (code, len(json.loads(body)["counties"])) == (200, 15)
    assert status(site, "/static/pacs_sync.js", token)[0] == 200
    assert status(site, "/api/counties/benton_wa", token)[0] == 200


def act(site: Site, user: str, county: str, action: str, **body: Any) -> tuple[int, dict[str, Any]]:
    path = f"/api/counties/{county}/actions/{action}"
    code, answer = status(site, path, site.token(user), method="POST", body=body)
    return code, json.loads(answer)


def airflow_says(site: Site, path: str) -> Any:
    return json.loads(status(site, path, site.token("admin"), root="/api/v2")[1])


def county(site: Site, name: str, user: str = "viewer") -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(status(site, f"/api/counties/{name}", site.token(user))[1])
    return answer


def test_a_run_is_shown_from_its_first_second_and_with_its_tries(site: Site) -> None:
    """Case F10: as Airflow's own database has it; the journal knows the first two not at all."""
    queued, begun = county(site, "garfield_wa"), county(site, "adams_wa")
    assert [step["state"] for step in queued["starting"]["steps"]][:2] == ["queued", "waits"]
    assert [step["state"] for step in begun["starting"]["steps"]][:2] == ["running", "waits"]
    assert queued["line"]["running"]
    assert begun["line"]["running"]
    retried = county(site, "clark_wa")
    owner = next(entity for entity in retried["run"]["entities"] if entity["entity"] == "owner")["steps"][0]
    assert (owner["state"], owner["attempt"], owner["most_tries"]) == ("retrying", 3, 4)
    assert owner["next_try_at"]
    assert retried["line"]["cause"].endswith("try 3 of 4 follows.")
    assert retried["ends"][0]["ok"] is False  # the source closed the connection


def test_airflow_itself_decides_what_a_user_may_do(site: Site) -> None:
    assert act(site, "viewer", "okanogan_wa", "run", kind="sync")[0] == 403
    assert county(site, "okanogan_wa")["may"] == {"run": False, "pause": False, "decide": False}
    assert county(site, "okanogan_wa", "op")["may"] == {"run": True, "pause": True, "decide": True}


def test_a_run_started_on_the_page_is_a_run_of_airflow(site: Site) -> None:
    code, done = act(site, "op", "okanogan_wa", "run", kind="full")
    assert (code, done["message"]) == (200, "A full read of Okanogan County, WA is queued.")
    runs = airflow_says(site, "/dags/pacs_okanogan_wa/dagRuns")["dag_runs"]
    assert [(run["state"], run["conf"], run["note"]) for run in runs] == [
        ("queued", {"mode": "full"}, "Started by op on the page PACS Sync")
    ]
    assert county(site, "okanogan_wa")["starting"]["activity"]["state"] == "queued"
    (row,) = json.loads(status(site, "/api/counties/okanogan_wa/audit?limit=1", site.token("viewer"))[1])
    assert (row["action"], row["details"]["by"]) == ("page.run", "op")


def test_the_dag_is_paused_and_resumed(site: Site) -> None:
    for paused in (True, False):
        assert act(site, "op", "mason_wa", "pause", paused=paused)[0] == 200
        assert airflow_says(site, "/dags/pacs_mason_wa")["is_paused"] is paused


def test_a_decision_on_the_page_answers_airflows_question_in_the_users_name(site: Site) -> None:
    sets = [
        {"pending_id": each["pending_id"], "digest": each["digest"]}
        for each in county(site, "kitsap_wa")["pending"]
    ]
    assert act(site, "op", "kitsap_wa", "decide", choice="reject", sets=sets)[0] == 200
    (asked,) = airflow_says(site, "/dags/pacs_kitsap_wa_approvals/dagRuns/~/hitlDetails")["hitl_details"]
    assert (asked["chosen_options"], asked["responded_by_user"]["name"]) == (["Reject"], "op")
