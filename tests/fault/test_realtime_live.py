"""A followed county in a real Airflow: changes in seconds, killed processes, and the nightly run beside it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.live_airflow import LiveAirflow, live_airflow, parcel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
QUICK = {
    # How soon Airflow notices by itself that a worker or a triggerer is gone.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
}
SECONDS = 240
"""Nothing here is about speed: a change that is not seen by then is lost."""


@pytest.fixture(scope="module")
def live() -> Iterator[LiveAirflow]:
    with tempfile.TemporaryDirectory(prefix="pacs-live-", ignore_cleanup_errors=True) as folder:
        sync = {"retries": 3, "retry_delay_seconds": 1}
        with live_airflow(Path(folder), realtime={"linger_seconds": 8}, sync=sync, settings=QUICK) as live:
            yield live


def idle(live: LiveAirflow) -> None:
    live.await_("no realtime run is queued or at work", live.idle, SECONDS)


def line(live: LiveAirflow) -> dict[str, Any]:
    """What the page's API says of the county, asked as a browser does."""
    address = live.settings["AIRFLOW__API__BASE_URL"]
    with urllib.request.urlopen(f"{address}/auth/token", timeout=30) as answer:
        token = json.load(answer)["access_token"]
    request = urllib.request.Request(
        f"{address}/pacs-sync/api/counties/live_001", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        line: dict[str, Any] = json.load(answer)["line"]["realtime"]
        return line


def test_a_change_starts_a_task_that_stays_for_the_burst(live: LiveAirflow) -> None:
    idle(live)
    before = len(live.tasks())
    for number in range(5):
        live.change(1, f"burst {number}")
        live.await_city(1, f"burst {number}", SECONDS)
    assert len(live.tasks()) == before + 1
    idle(live)
    assert live.tasks()[-1][2] == "success"
    certificates = live.target(
        "SELECT DISTINCT c.state FROM pacs_ops.certificate AS c JOIN pacs_ops.sync_run AS r USING (run_id) "
        "WHERE r.kind = 'realtime'"
    )
    assert certificates == [("clean",)]


def test_the_page_says_that_the_county_is_live(live: LiveAirflow) -> None:
    live.change(2, "shown")
    live.await_city(2, "shown", SECONDS)
    idle(live)
    live.await_("the lag is over", lambda: line(live)["lag_seconds"] == 0, SECONDS)
    shown = line(live)
    assert (shown["state"], shown["live"], shown["working"]) == ("live", True, False)
    assert shown["last_change_at"]
    assert shown["polled_at"]


def test_a_hard_delete_and_a_new_row_are_followed_too(live: LiveAirflow) -> None:
    live.commit(f"DELETE FROM dbo.LiveProperty WHERE PropertyID = '{parcel(50)}'")
    live.change(3, "beside a delete")
    live.await_("the tombstone", lambda: live.cities(50) == {}, SECONDS)
    live.await_city(3, "beside a delete", SECONDS)


def test_a_killed_triggerer_loses_no_change(live: LiveAirflow) -> None:
    """Case 108: killed with an event under way or not, it reports what is not handled when it is back."""
    idle(live)
    live.change(4, "just before")
    live.kill("triggerer")
    live.change(5, "while it is gone")
    live.start("triggerer")
    live.await_city(4, "just before", SECONDS)
    live.await_city(5, "while it is gone", SECONDS)


def test_a_killed_worker_loses_no_change(live: LiveAirflow) -> None:
    """The scheduler dies with its workers, a realtime task among them, in the middle of a run."""
    idle(live)
    live.change(6, "wakes it")
    live.await_city(6, "wakes it", SECONDS)
    live.change(7, "under its hands")
    live.kill("scheduler")
    live.change(8, "while it is gone")
    live.start("scheduler")
    live.await_city(7, "under its hands", SECONDS)
    live.await_city(8, "while it is gone", SECONDS)


def _pacs(live: LiveAirflow, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line, in a process of its own: the runs of a night."""
    command = [sys.executable, "-m", "airflow_provider_pacs.cli", *words]
    places = ["--counties", str(live.folder / "dags" / "counties"), "--target-url"]
    return subprocess.run(
        [*command, *places, live.postgres.url("terrafusion"), "--source-url", live.endpoint.url()],
        env={**live.settings, "PATH": "/usr/bin:/bin"},
        cwd=live.folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def test_a_night_and_a_lingering_task_never_step_on_each_other(live: LiveAirflow) -> None:
    """Case 107: syncs, reconciles and a realtime task of one county, in processes of their own, while somebody
    edits: no run is taken over by another, no two are at work at once, nothing is lost.
    """
    idle(live)
    since = live.target("SELECT clock_timestamp()")[0][0]
    live.change(9, "night 0")
    live.await_city(9, "night 0", SECONDS)
    codes = []
    for number in range(1, 5):
        live.change(9, f"night {number}")
        done = _pacs(live, "reconcile" if number % 2 else "sync", "live_001")
        codes.append((done.returncode, "PACS-008" in done.stdout + done.stderr))
        time.sleep(0.5)
    live.await_city(9, "night 4", SECONDS)
    idle(live)
    assert all(status == 0 or waits for status, waits in codes), codes
    assert any(status == 0 for status, _ in codes)
    runs = live.target(
        "SELECT kind, state, started_at, finished_at FROM pacs_ops.sync_run WHERE started_at > %s "
        "ORDER BY started_at",
        since,
    )
    assert {state for _, state, *_ in runs} == {"succeeded"}, runs
    assert {kind for kind, *_ in runs} >= {"realtime"}
    for (*_, ended), (*_, began, _) in pairwise(runs):
        assert ended <= began, runs


def test_a_county_on_hold_waits_and_catches_up(live: LiveAirflow) -> None:
    idle(live)
    assert _hold(live, "hold", "--reason", "new year layer").returncode == 0
    live.change(10, "held back")
    live.await_("the task is skipped", lambda: live.tasks()[-1][2] == "skipped", SECONDS)
    assert set(live.cities(10).values()) == {"Prosser"}
    live.await_("the page says so", lambda: line(live)["state"] == "held", SECONDS)
    assert _hold(live, "resume").returncode == 0
    live.await_city(10, "held back", SECONDS)


def _hold(live: LiveAirflow, command: str, *words: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "airflow_provider_pacs.cli", command, "live_001", *words]
    places = ["--counties", str(live.folder / "dags" / "counties"), "--target-url"]
    return subprocess.run(
        [*arguments, *places, live.postgres.url("terrafusion")],
        env={**live.settings, "PATH": "/usr/bin:/bin"},
        cwd=live.folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
