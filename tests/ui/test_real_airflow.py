"""The same routes in a running Airflow, where its own auth manager decides."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.support.airflow_site import Site
from tests.ui.test_api import APP, EXAMPLES


def status(site: Site, path: str, token: str = "") -> tuple[int, bytes]:
    request = urllib.request.Request(
        f"{site.url}/pacs-sync{path}", headers={"Authorization": f"Bearer {token}"} if token else {}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize("route", APP.routes, ids=lambda route: route.path)
def test_nobody_gets_in_without_a_token_or_with_a_made_up_one(site: Site, route: Any) -> None:
    path = route.path.format(**EXAMPLES)
    assert status(site, path)[0] == 401
    assert status(site, path, "made.up.token")[0] == 403


@pytest.mark.parametrize("user", ["viewer", "admin"])
def test_both_roles_read_the_page_and_its_scripts(site: Site, user: str) -> None:
    token = site.token(user)
    code, body = status(site, "/api/overview", token)
    assert (code, len(json.loads(body)["counties"])) == (200, 14)
    assert status(site, "/static/pacs_sync.js", token)[0] == 200
    assert status(site, "/api/counties/benton_wa", token)[0] == 200
