"""How a county's state is decided, the most urgent first, and when data had to be fresh."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_pacs.monitor.schedule import due_since, next_fire
from airflow_provider_pacs.monitor.status import is_running, judge

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def row(**changes: Any) -> dict[str, Any]:
    good = {
        "run_id": "r", "state": "succeeded", "message": "", "messages": "", "started_at": NOW - 2 * HOUR, "finished_at": NOW - 1.9 * HOUR,
        "published_at": NOW - 1.9 * HOUR, "progress_at": NOW - 1.9 * HOUR, "good_at": NOW - 1.9 * HOUR, "good_started_at": NOW - 2 * HOUR,
        "held_rows": 0, "certificate_clean": True, "failure_at": None, "failure": None, "failure_step": None,
    }  # fmt: skip
    return good | changes


@pytest.mark.parametrize(
    ("journal", "state", "told"),
    [
        (None, "never", "never been synchronised"),
        (row(), "in_step", ""),
        (row(good_started_at=NOW - 30 * HOUR), "lagging", "has not brought its data"),
        (row(held_rows=40, certificate_clean=False), "held", "40 deletes"),
        (row(certificate_clean=False), "failing", "not clean"),
        (row(state="failed", messages="value: F3.23 the market value is not negative"), "failing", "value: F3.23"),
        (
            row(state="failed", messages="owner: extract did not finish", failure_step="extract_owner", failure={"message": "login refused"})
            | {"failure_at": NOW - 1.95 * HOUR},
            "failing",
            "extract_owner failed: login refused",
        ),
        (row(failure_at=NOW - HOUR, failure_step="preflight", failure={"message": "no route"}), "failing", "preflight failed: no route"),
        (row(failure_at=NOW - 1.95 * HOUR, failure_step="extract_owner", failure={"message": "tried again, and it worked"}), "in_step", ""),
        (row(state="running", finished_at=None, published_at=None, progress_at=NOW - 1.5 * HOUR), "failing", "no sign of life"),
        (row(state="published", finished_at=None), "failing", "never certified"),
        (row(state="running", finished_at=None, published_at=None, progress_at=NOW, good_at=None), "never", "No run has finished yet"),
    ],
)  # fmt: skip
def test_the_most_urgent_state_wins_and_says_why(
    journal: dict[str, Any] | None, state: str, told: str
) -> None:
    found, cause = judge(journal, NOW - 3 * HOUR, NOW, HOUR)
    assert (found, told in cause) == (state, True)


def test_a_silent_run_is_not_running() -> None:
    live = row(state="running", finished_at=None, published_at=None, progress_at=NOW - 0.5 * HOUR)
    assert is_running(live, NOW, HOUR)
    assert not is_running(live | {"progress_at": NOW - 2 * HOUR}, NOW, HOUR)


def test_a_run_has_its_time_before_the_data_counts_as_late() -> None:
    two = datetime(2026, 11, 22, 10, tzinfo=UTC)  # 02:00 in Los Angeles
    assert due_since("0 2 * * *", "America/Los_Angeles", two + 0.5 * HOUR, HOUR) == two - timedelta(days=1)
    assert due_since("0 2 * * *", "America/Los_Angeles", two + 1.5 * HOUR, HOUR) == two
    assert due_since(None, "UTC", two, HOUR) is None
    assert next_fire("0 2 * * *", "America/Los_Angeles", two + HOUR) == two + timedelta(days=1)
