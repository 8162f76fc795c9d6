"""The state of each step of a run, from the journal and from Airflow's tasks."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from airflow_provider_pacs.monitor.airflow_runs import AirflowRun, TaskState
from airflow_provider_pacs.monitor.flow import FlowFacts, entity_steps, run_steps, starting_steps
from airflow_provider_pacs.sync.target.postgres.read_records import EntityRow
from tests.unit.test_monitor_status import AT_WORK, LAST, LOST, NOW

ROW = EntityRow(
    entity="owner", mode="window", strategy="last_modified", reason="", lower_bound=None, upper_bound=None,
    change_type=None, schema_fingerprint="f", state="published", attempt=1, source_count=None, rows_read=40,
    rows_staged=40, rows_inserted=0, rows_updated=1, rows_deleted=0, rows_quarantined=0, rows_released=0,
    rows_pending=0, extract_seconds=1.0, message="", updated_at=NOW - timedelta(hours=1.9),
)  # fmt: skip
NAMES = ("property", "owner")


def task(name: str, state: str | None, attempt: int = 1, next_try: datetime | None = None) -> TaskState:
    return TaskState(name, state, attempt, 4, NOW, next_try)


def airflow(*tasks: TaskState, state: str = "running") -> AirflowRun:
    return AirflowRun(
        "pacs_benton_wa",
        "sync",
        "scheduled__1",
        state,
        NOW,
        NOW,
        None,
        {each.task_id: each for each in tasks},
    )


def states(run: dict[str, Any], rows: dict[str, dict[str, Any]], **more: Any) -> dict[str, list[str]]:
    """The states of each entity's steps, and under `run` those of the run."""
    entities = [replace(ROW, entity=name, **rows.get(name, {})) for name in NAMES]
    facts = FlowFacts(replace(LAST, **run), entities, **more)
    steps = {row.entity: entity_steps(row, facts) for row in entities}
    return {
        "run": [step.state for step in run_steps(steps, facts)],
        **{name: [step.state for step in each] for name, each in steps.items()},
    }


def test_a_clean_run_is_done_from_end_to_end() -> None:
    steps_of = states({}, {}, certified=dict.fromkeys(NAMES, "clean"))
    assert steps_of == {"run": ["done"] * 5, "property": ["done"] * 4, "owner": ["done"] * 4}


def test_a_blocked_entity_is_red_from_there_on_and_the_others_are_not() -> None:
    steps_of = states(
        {"state": "blocked"}, {"owner": {"state": "blocked"}}, certified=dict.fromkeys(NAMES, "clean")
    )
    assert steps_of["owner"] == ["done", "blocked", "blocked", "blocked"]
    assert steps_of["property"] == ["done"] * 4
    assert steps_of["run"] == ["done", "done", "blocked", "blocked", "blocked"]


def test_an_entity_whose_read_failed_for_good_is_red_from_the_read_on() -> None:
    steps_of = states(
        {"state": "blocked"},
        {"owner": {"state": "failed", "rows_staged": 0}},
        certified={"property": "clean"},
    )
    assert steps_of["owner"] == ["failed", "blocked", "blocked", "blocked"]
    assert steps_of["run"][1:] == ["failed", "blocked", "blocked", "blocked"]


def test_a_step_that_waits_for_its_next_try_says_which_and_when() -> None:
    """Case F10: amber, not blue, with the try and the moment."""
    later = NOW + timedelta(seconds=40)
    entities = [replace(ROW, state="extracting", attempt=2)]
    facts = FlowFacts(
        replace(LAST, **AT_WORK), entities, [LOST], airflow(task("extract_owner", "up_for_retry", 3, later))
    )
    (extract, *rest) = entity_steps(entities[0], facts)
    assert (extract.state, extract.attempt, extract.most_tries, extract.next_try_at) == (
        "retrying",
        3,
        4,
        later,
    )
    assert [step.state for step in rest] == ["waits"] * 3


def test_a_task_that_is_at_its_next_try_is_at_work_and_says_so() -> None:
    entities = [replace(ROW, state="extracting", attempt=3)]
    facts = FlowFacts(replace(LAST, **AT_WORK), entities, [], airflow(task("extract_owner", "running", 3)))
    extract = entity_steps(entities[0], facts)[0]
    assert (extract.state, extract.attempt, extract.next_try_at) == ("running", 3, None)


def test_a_task_that_was_killed_is_failed_though_the_journal_says_that_it_reads() -> None:
    entities = [replace(ROW, state="extracting")]
    facts = FlowFacts(
        replace(LAST, **AT_WORK), entities, [], airflow(task("extract_owner", "failed", 4), state="failed")
    )
    assert entity_steps(entities[0], facts)[0].state == "failed"


def test_publish_waits_and_is_tried_again_as_its_own_task() -> None:
    steps_of = states(
        AT_WORK,
        {key: {"state": "passed"} for key in NAMES},
        airflow=airflow(task("publish", "up_for_retry", 2)),
    )
    assert steps_of["run"] == ["done", "done", "done", "retrying", "waits"]


@pytest.mark.parametrize(
    ("certified", "state"), [("drift", "drift"), ("pending", "pending"), ("blocked", "blocked")]
)
def test_what_a_certificate_says_of_an_entity_is_its_last_step(certified: str, state: str) -> None:
    steps_of = states({"state": certified}, {}, certified={"property": "clean", "owner": certified})
    assert (steps_of["property"][-1], steps_of["owner"][-1], steps_of["run"][-1]) == ("done", state, state)


def test_an_overtaken_run_says_so_where_it_stopped() -> None:
    steps_of = states({"state": "superseded"}, {key: {"state": "staged"} for key in NAMES})
    assert steps_of["run"] == ["done", "done", "superseded", "superseded", "superseded"]


@pytest.mark.parametrize(
    ("run", "first", "rest"),
    [
        (airflow(state="queued"), "queued", "waits"),
        (airflow(task("preflight", "running")), "running", "waits"),
        (airflow(task("preflight", "up_for_retry", 2)), "retrying", "waits"),
        (airflow(task("preflight", None)), "waits", "waits"),
        (airflow(task("preflight", "failed"), state="failed"), "failed", "not_reached"),
    ],
)
def test_a_run_is_shown_from_its_first_second(run: AirflowRun, first: str, rest: str) -> None:
    assert [step.state for step in starting_steps(run)] == [first, *[rest] * 4]
