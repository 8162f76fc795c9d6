"""Whether a county is live, and why not, by what the trigger and the task have kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_pacs.monitor.counties import DagState
from airflow_provider_pacs.monitor.models import RealtimeLine
from airflow_provider_pacs.monitor.realtime import Kept, realtime_line
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.polling import Followed, Polled, PollPlan
from airflow_provider_pacs.sync.target.postgres.read_records import RealtimeRow

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CONFIG = CountyConfig.model_validate(
    {"county": "benton_wa", "realtime": {"enabled": True, "hours": "07:00-18:00"}}
)
PLAN = PollPlan((), {"owner": "owner is read by compare"}, 60)
ON = DagState(paused=False, next_run_at=None)


def line(
    polled: Polled | None = None,
    followed: Followed | None = None,
    dag: DagState | None = ON,
    on_hold: str | None = None,
) -> RealtimeLine:
    kept = Kept(followed.as_json() if followed else None, polled.as_json() if polled else None)
    shown = realtime_line(CONFIG, dag, kept, RealtimeRow("53005", on_hold, None, None, None), NOW)
    assert shown is not None
    return shown


def polled(state: Any = "live", ago: timedelta = MINUTE, **more: Any) -> Polled:
    return Polled(NOW - ago, state, **more)


@pytest.mark.parametrize(
    ("known", "state", "cause"),
    [
        ({"polled": polled()}, "live", ""),
        ({"polled": polled(), "dag": DagState(True, None)}, "paused", "pacs_benton_wa_realtime is paused"),
        ({"polled": polled(), "on_hold": "new year layer"}, "held", "on hold: new year layer"),
        ({"polled": polled("closed")}, "closed", "(07:00-18:00 on mon, tue"),
        ({"polled": polled("away", message="port 1433 is closed")}, "away", "port 1433 is closed"),
        ({"polled": polled("refused", message="Login failed")}, "refused", "Login failed"),
        ({"polled": polled(ago=9 * MINUTE)}, "silent", "for 9 minutes"),
        ({"polled": polled("starting")}, "starting", "No realtime run"),
        ({}, "starting", "No realtime run"),
        ({"dag": None}, "unknown", "Neither Airflow nor the target"),
    ],
)
def test_a_county_is_live_or_says_why_not(known: dict[str, Any], state: str, cause: str) -> None:
    shown = line(**known)
    assert (shown.state, shown.live) == (state, state == "live")
    assert cause in shown.cause


def test_the_lag_is_that_of_the_oldest_change_not_yet_published() -> None:
    waiting = polled(moved_at=NOW - 20 * timedelta(seconds=1))
    assert line(waiting).lag_seconds == 20
    done = Followed(PLAN, {}, handled_at=NOW - timedelta(seconds=5), changed_at=NOW - timedelta(seconds=8))
    shown = line(waiting, done)
    assert shown.lag_seconds == 0
    assert shown.last_change_at == NOW - timedelta(seconds=8)
    assert line(polled("closed")).lag_seconds is None, "nobody looks"


def test_a_task_at_work_and_what_is_left_out_are_shown() -> None:
    shown = line(polled(), Followed(PLAN, lease_until=NOW + MINUTE))
    assert shown.working
    assert shown.left_out == {"owner": "owner is read by compare"}
    assert not line(polled(), Followed(PLAN, lease_until=NOW - MINUTE)).working


def test_before_airflow_33_both_come_from_the_target() -> None:
    row = RealtimeRow("53005", None, NOW, Followed(PLAN).as_json(), polled().as_json())
    shown = realtime_line(CONFIG, ON, None, row, NOW)
    assert shown is not None
    assert (shown.state, shown.last_run_at, set(shown.left_out)) == ("live", NOW, {"owner"})


def test_what_cannot_be_read_is_unknown_and_never_an_error() -> None:
    shown = realtime_line(CONFIG, ON, Kept({"plan": 1}, "x"), None, NOW)
    assert shown is not None
    assert (shown.state, shown.left_out) == ("starting", {})


def test_a_county_that_does_not_ask_for_it_has_no_line() -> None:
    plain = CountyConfig.model_validate({"county": "benton_wa"})
    assert realtime_line(plain, ON, None, None, NOW) is None
