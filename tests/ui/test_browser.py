"""Walks through the page in a real Airflow with a real browser: overview -> running sync -> failure's cause
-> county history.
"""

from __future__ import annotations

import os
import re
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.support.airflow_site import Site
from tests.support.journal import HTML_NAME, PENDING, VALUES, advance, washington
from tests.ui.conftest import Journal

SHOTS = Path(os.environ.get("PACS_SCREENSHOTS", "build/screenshots"))


def shot(page: Any, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(400)
    page.screenshot(path=SHOTS / f"{name}.png")


def state_of(page: Any, county: str) -> str:
    return str(page.get_by_role("row", name=re.compile(county)).get_by_role("cell").first.inner_text())


def test_a_viewer_walks_from_the_overview_to_the_cause_and_the_history(go_to: Any, journal: Journal) -> None:
    page = go_to("viewer")
    page.get_by_role("link", name="PACS Sync").first.click()
    page.get_by_role("heading", name="PACS Sync").wait_for()
    states = {
        "Yakima County": "Blocked", "Ferry County": "Failing", "Kitsap County": "Pending", "Mason County": "Drift",
        "Clark County": "Retrying", "Adams County": "In step",
    }  # fmt: skip
    for county, state in states.items():
        assert state in state_of(page, county)
    assert page.get_by_text("The target terrafusion_east does not answer").is_visible()
    assert page.get_by_text(HTML_NAME).is_visible()  # markup in a name is text

    page.get_by_role("searchbox", name="Search counties").fill("benton")
    page.get_by_role("link", name="Benton County, WA").click()
    bar = page.get_by_role("progressbar", name=re.compile("^value: "))
    bar.wait_for()
    before = page.get_by_text(re.compile(f"of about {VALUES} rows")).inner_text()
    advance(journal.url, journal.runs["benton_wa"][-1], "value", VALUES // 2 + 17, 0.04)
    page.wait_for_function(
        "text => !document.body.innerText.includes(text)", arg=before
    )  # live: nobody reloaded the page

    page.get_by_role("link", name="All counties").click()
    page.get_by_role("button", name=re.compile("Blocked")).click()
    page.get_by_role("link", name="Yakima County, WA").click()
    page.get_by_text(re.compile("^What to do: ")).wait_for()
    flow = page.get_by_role("list", name="Data flow")
    assert flow.locator("[data-state=blocked]").count() == 3  # red from the blocked entity on
    assert page.get_by_text("keeps its last good data").first.is_visible()
    log = page.get_by_role("link", name="Log of validate_value").first.get_attribute("href")
    assert re.fullmatch(r".*/dags/pacs_yakima_wa/runs/scheduled__[^/]+/tasks/validate_value", log)
    page.get_by_role("tab", name="History").click()
    page.get_by_role("img", name=re.compile("Rows read of the last 4 runs")).wait_for()
    assert page.get_by_role("table", name="Runs").get_by_role("row").count() == 5


def test_a_run_that_was_refused_in_preflight_is_shown_with_its_own_log(go_to: Any) -> None:
    """Case F11: the last run, among the failed ones, and the link leads to its log."""
    page = go_to("viewer")
    page.goto("/plugin/pacs-sync/ferry_wa")
    page.get_by_text("preflight failed: login pacs_reader was refused").wait_for()
    log = page.get_by_role("link", name="Log of preflight").first.get_attribute("href")
    assert log.endswith(
        "/dags/pacs_ferry_wa/runs/scheduled__2026-11-03T10%3A00%3A00%2B00%3A00/tasks/preflight"
    )
    assert page.get_by_text("50 %").is_visible()
    page.get_by_role("tab", name="History").click()
    runs = page.get_by_role("table", name="Runs")
    runs.wait_for()
    assert runs.get_by_role("row").count() == 3


def test_a_run_whose_source_went_down_shows_its_tries(go_to: Any) -> None:
    """Case F10: retrying, in amber, with the try, its time and the words of the failure; the source is red."""
    page = go_to("viewer")
    page.goto("/plugin/pacs-sync/clark_wa")
    flow = page.get_by_role("list", name="Data flow")
    flow.locator("[data-state=retrying]").wait_for()
    assert "does not answer" in flow.get_by_role("listitem").first.inner_text()
    row = page.get_by_role("row", name=re.compile("^owner"))
    assert re.search(r"try 3 of 4, next (in \d+ \w+|is due)", row.inner_text())
    assert "server closed the connection" in row.inner_text()
    assert "2 tries failed" in row.inner_text()


def test_a_run_is_seen_from_its_first_second(go_to: Any) -> None:
    """Case F10: queued, then in its preflight, before the journal knows of it."""
    page = go_to("viewer")
    for county, state, word in (("garfield_wa", "queued", "queued"), ("adams_wa", "running", "preflight")):
        page.goto(f"/plugin/pacs-sync/{county}")
        flow = page.locator("section[aria-label='Starting now']")
        flow.locator(f"[data-state={state}]").wait_for()
        assert page.get_by_text(f"sync: {word}").is_visible()


def test_an_operator_acts_and_a_viewer_is_offered_nothing(go_to: Any) -> None:
    page = go_to("viewer")
    page.goto("/plugin/pacs-sync/lewis_wa")
    page.get_by_role("heading", name="Lewis County").wait_for()
    assert page.get_by_role("group", name="Actions").count() == 0

    page = go_to("op")
    page.goto("/plugin/pacs-sync/lewis_wa")
    page.get_by_role("button", name="Run now").click()
    dialog = page.get_by_role("alertdialog")
    dialog.get_by_text("Read what changed at the source").wait_for()
    dialog.get_by_role("button", name="Run now").click()
    page.get_by_text("A synchronisation of Lewis County, WA is queued.").wait_for()
    page.get_by_text("sync: queued").wait_for()


def test_pending_deletes_are_looked_at_and_decided_on(go_to: Any) -> None:
    page = go_to("op")
    page.goto("/plugin/pacs-sync/kitsap_wa")
    page.get_by_text("What would go").click()
    page.get_by_text(re.compile("^By owner type: ")).wait_for()
    assert page.get_by_text(re.compile("^The first 20 of 30 by key")).is_visible()
    page.get_by_role("button", name="Reject").click()
    dialog = page.get_by_role("alertdialog")
    dialog.get_by_text(f"Keep {PENDING} rows of Kitsap County, WA?").wait_for()
    dialog.get_by_role("button", name="Cancel").click()


AXE = files("axe_playwright_python") / "axe.min.js"
SERIOUS = """async () => (await axe.run("[data-plugin=pacs-sync]", {resultTypes: ["violations"]})).violations
  .filter((one) => ["serious", "critical"].includes(one.impact))
  .map((one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 200)).join(" | ")}`)"""


@pytest.mark.parametrize("width", [1440, 800, 400])
def test_every_width_is_usable_without_seeing_or_scrolling_sideways(go_to: Any, width: int) -> None:
    """axe-core finds nothing serious; no view is wider than its window."""
    page = go_to("op")
    page.set_viewport_size({"width": width, "height": 900})
    for path in ("", "/kitsap_wa", "/clark_wa", "/chelan_wa?tab=quality"):
        page.goto(f"/plugin/pacs-sync{path}")
        page.locator("h1").first.wait_for()
        page.get_by_text("Reading…").first.wait_for(state="hidden")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
        page.evaluate(AXE.read_text("utf-8"))
        assert page.evaluate(SERIOUS) == [], path  # of what is ours: Airflow's own frame is not


def test_a_certificate_is_read_and_saved(go_to: Any, tmp_path: Path) -> None:
    page = go_to("viewer")
    page.goto("/plugin/pacs-sync/mason_wa?tab=certificates")
    page.get_by_role("table", name="Source rows").wait_for()
    assert "drift · all rows" in page.get_by_role("table", name="Certificate by entity").first.inner_text()
    totals = page.get_by_role("table", name="Control totals")
    assert {"SQL Server", "PostgreSQL"} <= set(totals.get_by_role("columnheader").all_inner_texts())
    assert page.get_by_text(re.compile("mapping version 2 · head of the audit chain")).is_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("^Save the certificate")).first.click()
    saved = tmp_path / "certificate.html"
    download.value.save_as(saved)
    assert "Certificate of Mason County, WA" in saved.read_text("utf-8")


NONSENSE = re.compile(r"undefined|NaN|\[object|Invalid Date|\bnull\b")
LOOKED_INTO = ("mason_wa", "chelan_wa", "ferry_wa")


def test_no_page_shows_a_value_that_is_none(go_to: Any) -> None:
    """Issue 21: every real run showed "PACS-SANDBOX · undefined"."""
    page = go_to("admin")

    def look(where: str) -> None:
        page.get_by_text("Reading…").first.wait_for(state="hidden")
        nonsense = NONSENSE.search(page.locator("body").inner_text())
        assert nonsense is None, f"{where}: {nonsense}"

    page.goto("/plugin/pacs-sync")
    page.get_by_role("table", name="Counties").wait_for()
    look("overview")
    for county in washington():
        page.get_by_role("link", name=county.name, exact=True).first.click()
        page.get_by_role("heading", name=county.name).first.wait_for()
        look(county.slug)
        for tab in page.get_by_role("tab").all() if county.slug in LOOKED_INTO else ():
            tab.click()
            page.get_by_role("tabpanel").locator("section").first.wait_for()
            look(f"{county.slug}: {tab.inner_text()}")
        page.get_by_role("link", name="All counties").click()
        page.get_by_role("table", name="Counties").wait_for()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_admin_sees_every_tab_and_the_pictures_are_taken(go_to: Any, scheme: str) -> None:
    page = go_to("admin", scheme)
    page.goto("/plugin/pacs-sync")
    page.get_by_role("table", name="Counties").wait_for()
    shot(page, f"overview-{scheme}")
    page.goto("/plugin/pacs-sync/benton_wa")
    page.get_by_role("progressbar", name=re.compile("^value: ")).wait_for()
    shot(page, f"running-{scheme}")
    page.goto("/plugin/pacs-sync/yakima_wa")
    page.get_by_text("What went wrong").first.wait_for()
    shot(page, f"failure-{scheme}")
    for county, tab, seen, name in [
        ("yakima_wa", "history", "Runs", "history"),
        ("chelan_wa", "quality", "Quarantine by rule", "quality"),
        ("chelan_wa", "check", "Preflight findings", "check"),
        ("chelan_wa", "changes", "Change detection by table", "changes"),
        ("mason_wa", "certificates", "Source rows", "certificates"),
        ("yakima_wa", "errors", "Newest failures", "errors"),
        ("adams_wa", "audit", "Audit trail", "audit"),
    ]:
        page.goto(f"/plugin/pacs-sync/{county}?tab={tab}")
        page.get_by_role("table", name=seen).wait_for()
        shot(page, f"{name}-{scheme}")
    page.goto("/")
    page.get_by_role("region", name="PACS Sync").or_(
        page.locator("section[aria-label='PACS Sync']")
    ).first.wait_for()
    shot(page, f"dashboard-{scheme}")
    page.goto("/dags/pacs_kitsap_wa")
    page.get_by_role("link", name="PACS Sync").last.click()
    page.get_by_text(f"{PENDING} deletes wait for a person to decide.").wait_for()
    shot(page, f"dag-{scheme}")


@pytest.mark.slow
def test_the_keyboard_is_enough(go_to: Any) -> None:
    page = go_to("viewer")
    page.goto("/plugin/pacs-sync")
    search = page.get_by_role("searchbox", name="Search counties")
    search.focus()
    page.keyboard.type("yakima")
    page.get_by_role("link", name="Yakima County, WA").wait_for()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Yakima County, WA":
            break
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Yakima County, WA").wait_for()
    page.get_by_role("tab", name="Data flow").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_role("table", name="Runs").wait_for()


@pytest.mark.slow
def test_columns_sort_and_say_so(go_to: Any) -> None:
    page = go_to("viewer")
    page.goto("/plugin/pacs-sync")
    header = page.get_by_role("columnheader", name=re.compile("^Quarantined"))
    header.get_by_role("button").click()
    page.locator("th[aria-sort=ascending]").wait_for()
    header.get_by_role("button").click()
    page.locator("th[aria-sort=descending]").wait_for()
    first = page.get_by_role("table", name="Counties").get_by_role("row").nth(1).inner_text()
    assert "Chelan" in first


@pytest.mark.slow
def test_a_page_that_nobody_sees_asks_nothing(go_to: Any, site: Site) -> None:
    page = go_to("viewer")
    page.goto("/plugin/pacs-sync")
    page.get_by_role("table", name="Counties").wait_for()
    page.evaluate("Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true})")
    time.sleep(6)  # an answer under way may still arrive
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(7_000)
    assert [url for url in asked if "/pacs-sync/api/" in url] == []
