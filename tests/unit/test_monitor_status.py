"""How a county's state is decided, the most urgent first, and when data had to be fresh."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from airflow_provider_pacs.monitor.airflow_runs import AirflowRun, CountyRuns, TaskState
from airflow_provider_pacs.monitor.schedule import due_since, next_fire
from airflow_provider_pacs.monitor.status import decide_state, is_running
from airflow_provider_pacs.sync.target.postgres.read_records import (
    CountyFacts,
    CountyStanding,
    FailureRow,
    RefusedRun,
    RunRow,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
RUN, OTHER = UUID(int=1), UUID(int=2)
FACTS = CountyFacts(
    county_id="53005", good_at=NOW - 1.9 * HOUR, good_started_at=NOW - 2 * HOUR, recent_states=["succeeded"],
    recent_started=[NOW - 2 * HOUR], recent_rows=[40], quarantined_open=0, rules=10, rules_broken=0, rules_warned=0,
    certificate_run_id=RUN, certificate_state="clean", certificate_covered="window", certified_at=NOW - 1.9 * HOUR,
    pending_rows=0,
)  # fmt: skip
LAST = RunRow(
    run_id=RUN, county_id="53005", epoch=1, kind="sync", trigger="scheduled__1", state="succeeded", source_now=None,
    source_year=2026, source_identity=None, config_fingerprint="c", code_version="1", mapping_version=2, message="",
    started_at=NOW - 2 * HOUR, published_at=NOW - 1.9 * HOUR, finished_at=NOW - 1.9 * HOUR, entities=4,
    entities_blocked=0, rows_read=40, rows_inserted=0, rows_updated=0, rows_deleted=0, rows_quarantined=0,
    rows_pending=0, read_seconds=1.0, progress_at=NOW - 1.9 * HOUR, messages="",
)  # fmt: skip
LOST = FailureRow(
    seq=1, at=NOW - 1.95 * HOUR, county_id="53005", run_id=RUN, step="extract_owner", code="PACS-001",
    error_class="RetryableError", message="login refused", remedy="", kind="sync", trigger="scheduled__1",
    run_state="running", entity="owner", entity_state="extracting", entity_attempt=2, entity_updated_at=NOW - 1.9 * HOUR,
)  # fmt: skip
REFUSED = RefusedRun(
    county_id="53005", kind="sync", trigger="scheduled__2", at=NOW - HOUR, message="no route", code="PACS-001"
)
AT_WORK = {"state": "running", "finished_at": None, "published_at": None}


def standing(
    run: dict[str, Any] | None = None,
    failure: FailureRow | None = None,
    refused: tuple[RefusedRun, ...] = (),
    **facts: Any,
) -> CountyStanding:
    """A county that is in step but for what is named."""
    return CountyStanding(replace(FACTS, **facts), replace(LAST, **(run or {})), failure, refused)


@pytest.mark.parametrize(
    ("known", "state", "words"),
    [
        (
            standing(refused=(REFUSED,), hold="since 2026-11-22 08:00 UTC by ann: rolled back"),
            "pending",
            "On hold since 2026-11-22 08:00 UTC by ann: rolled back.",
        ),
        (None, "never", "never been synchronised"),
        (CountyStanding(replace(FACTS, good_started_at=None, certificate_state=None)), "never", "never been synchronised"),
        (standing(), "in_step", ""),
        (standing(good_started_at=NOW - 30 * HOUR), "lagging", "has not brought its data"),
        (standing({"state": "pending"}, pending_rows=40, certificate_state="pending"), "pending", "40 deletes"),
        (standing({"state": "pending"}, certificate_state="pending"), "in_step", ""),  # somebody decided since
        (standing({"state": "drift"}, certificate_state="drift"), "drift", "rows differ"),
        (standing(certificate_state="drift"), "drift", "rows differ"),
        (standing({"state": "blocked", "messages": "value: F3.23 the market value is not negative"}), "blocked", "value: F3.23"),
        (standing(certificate_state="blocked"), "blocked", "keeps its last good data"),
        (standing({"state": "failed", "messages": "value: the target lost its staged rows"}), "failing", "value: the target lost"),
        (standing({"state": "failed", "messages": "owner: extract did not finish"}, LOST), "failing", "extract_owner failed: login refused"),
        (standing(refused=(REFUSED,)), "failing", "preflight failed: no route"),
        (standing({"started_at": NOW - 0.5 * HOUR}, refused=(REFUSED,)), "in_step", ""),  # a later run started
        (standing(None, replace(LOST, run_state="succeeded")), "in_step", ""),  # tried again, and it worked
        (standing(AT_WORK | {"progress_at": NOW - 1.5 * HOUR}), "failing", "no sign of life"),
        (standing({"state": "published", "finished_at": None}), "failing", "never certified"),
        (standing(AT_WORK | {"progress_at": NOW}, good_started_at=None), "never", "No run has finished yet"),
        (standing(None, replace(LOST, at=NOW - HOUR, run_id=OTHER, kind="reconcile", run_state="failed")), "failing", "extract_owner"),
        (standing(None, replace(LOST, at=NOW - HOUR, run_id=OTHER, kind="reconcile", run_state="succeeded")), "in_step", ""),
    ],
)  # fmt: skip
def test_the_most_urgent_state_wins_and_says_why(
    known: CountyStanding | None, state: str, words: str
) -> None:
    state_, cause = decide_state(known, NOW - 3 * HOUR, NOW, HOUR)
    assert (state_, words in cause) == (state, True)


@pytest.mark.parametrize(
    ("step", "entity", "run_state", "entity_state", "moved_on", "state"),
    [
        ("extract_owner", "owner", "running", "extracting", False, "retrying"),
        ("extract_owner", "owner", "running", "extracting", True, "retrying"),
        ("extract_owner", "owner", "running", "staged", True, "in_step"),
        ("validate_owner", "owner", "running", "staged", False, "retrying"),
        ("validate_owner", "owner", "running", "passed", True, "in_step"),
        ("publish", None, "running", None, False, "retrying"),
        ("publish", None, "published", None, False, "in_step"),
        ("certify", None, "published", None, False, "retrying"),
    ],
)
def test_a_step_that_failed_is_shown_until_its_run_got_over_it(
    step: str, entity: str | None, run_state: str, entity_state: Any, moved_on: bool, state: str
) -> None:
    """Case F10: a county whose source went down in the middle of a run is not shown as in step."""
    at = NOW - 0.1 * HOUR
    failure = replace(
        LOST,
        at=at,
        step=step,
        entity=entity,
        entity_state=entity_state,
        entity_updated_at=at + (timedelta(minutes=1) if moved_on else -timedelta(minutes=1)),
    )
    known = standing(AT_WORK | {"state": run_state, "published_at": at, "progress_at": at}, failure)
    assert decide_state(known, NOW - 3 * HOUR, NOW, HOUR)[0] == state


def test_a_run_that_never_started_is_among_the_recent_ones() -> None:
    """Case F11: newest first, and no more than asked for."""
    known = standing(refused=(REFUSED, replace(REFUSED, kind="reconcile")))
    assert known.recent() == ["failed", "succeeded"]
    assert known.recent(1) == ["failed"]


def test_a_silent_run_is_not_running() -> None:
    live = standing(AT_WORK | {"progress_at": NOW - 0.5 * HOUR})
    assert is_running(live, NOW, HOUR)
    assert not is_running(standing(AT_WORK | {"progress_at": NOW - 2 * HOUR}), NOW, HOUR)


def test_a_run_has_its_time_before_the_data_counts_as_late() -> None:
    two = datetime(2026, 11, 22, 10, tzinfo=UTC)  # 02:00 in Los Angeles
    assert due_since("0 2 * * *", "America/Los_Angeles", two + 0.5 * HOUR, HOUR) == two - timedelta(days=1)
    assert due_since("0 2 * * *", "America/Los_Angeles", two + 1.5 * HOUR, HOUR) == two
    assert due_since(None, "UTC", two, HOUR) is None
    assert next_fire("0 2 * * *", "America/Los_Angeles", two + HOUR) == two + timedelta(days=1)


def airflow_run(state: str, trigger: str, kind: str = "sync", **tasks: tuple[str, int]) -> AirflowRun:
    states = {name: TaskState(name, word, attempt, 4, NOW) for name, (word, attempt) in tasks.items()}
    return AirflowRun("pacs_benton_wa", kind, trigger, state, NOW - HOUR, NOW - HOUR, NOW, states)


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_run_is_at_work_before_the_journal_knows_it(state: str) -> None:
    """Case F10: from its first second."""
    runs = CountyRuns(active=(airflow_run(state, "scheduled__2"),))
    assert is_running(standing(), NOW, HOUR, runs)
    assert is_running(None, NOW, HOUR, runs)
    assert decide_state(standing(), None, NOW, HOUR, runs)[0] == "in_step"


def test_a_run_that_waits_for_a_person_is_not_at_work() -> None:
    runs = CountyRuns(active=(airflow_run("running", "m", "approval", decide=("awaiting_input", 1)),))
    assert not is_running(standing(), NOW, HOUR, runs)


def test_a_task_that_waits_for_its_next_try_is_said_with_the_words_of_its_failure() -> None:
    """Case F10: also where the journal has nothing of it yet."""
    runs = CountyRuns(active=(airflow_run("running", "scheduled__1", extract_owner=("up_for_retry", 3)),))
    state, cause = decide_state(standing(AT_WORK, LOST), None, NOW, HOUR, runs)
    assert (state, cause) == ("retrying", "extract_owner failed: login refused; try 3 of 4 follows.")
    other = CountyRuns(active=(airflow_run("running", "scheduled__2", preflight=("up_for_retry", 2)),))
    state, cause = decide_state(standing(), None, NOW, HOUR, other)
    assert (state, cause) == ("retrying", "preflight failed; its log says why; try 2 of 4 follows.")


def test_a_refused_run_with_tries_left_is_retrying_and_without_it_is_failing() -> None:
    """Case F11: preflight counts in both."""
    runs = CountyRuns(active=(airflow_run("running", "scheduled__2", preflight=("up_for_retry", 2)),))
    known = standing(refused=(REFUSED,))
    assert decide_state(known, None, NOW, HOUR, runs) == (
        "retrying",
        "preflight failed: no route; try 2 of 4 follows.",
    )
    assert decide_state(known, None, NOW, HOUR) == ("failing", "preflight failed: no route")


def test_a_run_that_airflow_ended_is_failing_at_once_though_the_journal_has_no_end_of_it() -> None:
    """A killed worker: nobody waits for the time that a task may take."""
    runs = CountyRuns(failed=(airflow_run("failed", "scheduled__1", extract_owner=("failed", 4)),))
    known = standing(AT_WORK | {"progress_at": NOW})
    assert not is_running(known, NOW, HOUR, runs)
    assert decide_state(known, None, NOW, HOUR, runs) == (
        "failing",
        "extract_owner failed; its log says why.",
    )


def test_a_run_that_failed_before_the_journal_knew_it_is_failing() -> None:
    """Case F11: the target was down, so nothing could be written."""
    runs = CountyRuns(failed=(airflow_run("failed", "scheduled__2", preflight=("failed", 4)),))
    assert decide_state(standing(), None, NOW, HOUR, runs) == (
        "failing",
        "preflight failed; its log says why.",
    )


def test_a_failed_run_of_airflow_that_is_older_than_the_newest_run_is_no_news() -> None:
    runs = CountyRuns(failed=(replace(airflow_run("failed", "scheduled__0"), ended_at=NOW - 3 * HOUR),))
    assert decide_state(standing(), None, NOW, HOUR, runs)[0] == "in_step"


def test_a_decision_that_failed_stays_visible_while_the_deletes_wait() -> None:
    failed = replace(LOST, step="approve", message="pending set 3 holds other keys")
    known = replace(standing(pending_rows=30), failed_decision=failed)
    state, cause = decide_state(known, None, NOW, HOUR)
    assert state == "pending"
    assert cause.endswith("The last decision could not be carried out: pending set 3 holds other keys")


def test_a_reconcile_outside_of_airflow_is_at_work_too() -> None:
    other = replace(LAST, kind="reconcile", trigger="cli", started_at=NOW, progress_at=NOW, **AT_WORK)
    assert is_running(replace(standing(), other=other), NOW, HOUR)
