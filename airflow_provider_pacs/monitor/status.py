"""What the journal and Airflow say of a county, and its schedule -> its state and the cause, in one
sentence.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow_provider_pacs.monitor.airflow_runs import AirflowRun, CountyRuns
from airflow_provider_pacs.monitor.models import CountyState
from airflow_provider_pacs.sync.target.postgres.read_records import (
    CountyFacts,
    CountyStanding,
    FailureRow,
    RunRow,
)

COVERED = {
    "all_rows": "all rows",
    "window": "the rows of the window and every key",
    "keys": "the named keys",
}
"""What a certificate covered, in words."""
_AT_WORK = ("running", "published")
_STEP_NAMES = {"plan": "preflight", "": "the run"}
NO_RUNS = CountyRuns()
NOTHING = CountyFacts(
    county_id="", good_at=None, good_started_at=None, recent_states=[], recent_started=[], recent_rows=[],
    quarantined_open=0, rules=0, rules_broken=0, rules_warned=0, certificate_run_id=None,
    certificate_state=None, certificate_covered=None, certified_at=None, pending_rows=0,
)  # fmt: skip
"""What is known of a county before its first run."""


def decide_state(
    standing: CountyStanding | None,
    due: datetime | None,
    now: datetime,
    patience: timedelta,
    runs: CountyRuns = NO_RUNS,
) -> tuple[CountyState, str]:
    """Decide the state, the most urgent first.

    Args:
        standing: what the target knows of the county; None for nothing at all.
        due: data must have been read after this moment.
        now: the moment of asking.
        patience: how long one task may take; a run that is silent for longer, and that Airflow does not know
            as one at work, is taken for dead.
        runs: what Airflow says of the county's runs.
    """
    if standing is None:
        standing = CountyStanding(NOTHING)
    if standing.facts.hold:
        return "pending", f"On hold {standing.facts.hold}. `pacs resume` lets its runs go on."
    return _decide_by_runs(standing, due, now, patience, runs)


def _decide_by_runs(
    standing: CountyStanding, due: datetime | None, now: datetime, patience: timedelta, runs: CountyRuns
) -> tuple[CountyState, str]:
    run, facts = standing.run, standing.facts
    if cause := _waiting(standing, runs):
        return "retrying", cause
    if cause := _failing(standing, now, patience, runs):
        return "failing", cause
    if cause := _blocked(standing):
        return "blocked", cause
    if "drift" in (run.state if run else "", facts.certificate_state):
        return "drift", "The last certificate says drift: rows differ that no term explains."
    if is_running(standing, now, patience, runs) and (cause := _retrying(standing)):
        return "retrying", cause
    if facts.pending_rows:
        return "pending", _pending(standing)
    if facts.good_started_at is None:
        return "never", "No run has finished yet." if run else "This county has never been synchronised."
    if due is not None and facts.good_started_at < due:
        return "lagging", f"The run due at {due:%Y-%m-%d %H:%M} UTC has not brought its data."
    return "in_step", ""


def is_running(
    standing: CountyStanding | None, now: datetime, patience: timedelta, runs: CountyRuns = NO_RUNS
) -> bool:
    """Whether a run waits or is at work; one that fell silent, or that Airflow ended, is not. One that waits
    for a person's decision is not either.
    """
    if any(not awaits_decision(run) for run in runs.active):
        return True
    known = (standing.run, standing.other) if standing is not None else ()
    return any(
        run is not None
        and run.state in _AT_WORK
        and not _silent(run, now, patience)
        and not _ended_in_airflow(run, runs)
        for run in known
    )


def awaits_decision(run: AirflowRun) -> bool:
    """Whether a run stands still until a person answers."""
    return any(task.state in ("awaiting_input", "deferred") for task in run.tasks.values())


def is_tried_again(failure: FailureRow, run: RunRow) -> bool:
    """Whether a failed step of a run at work has not got over its failure yet.

    An entity's step is over it when the entity moved on; publish and certify when the run did.
    """
    if failure.run_id != run.run_id or run.state not in _AT_WORK:
        return False
    if failure.entity is None:
        return (failure.step, run.state) in (("publish", "running"), ("certify", "published"))
    if failure.entity_updated_at is None or failure.entity_updated_at <= failure.at:
        return True
    return failure.step.startswith("extract_") and failure.entity_state == "extracting"


def words_of(failure: FailureRow) -> str:
    """`extract_owner failed: the server closed the connection`."""
    return f"{_STEP_NAMES.get(failure.step, failure.step)} failed: {failure.message or 'no message'}"


def _blocked(standing: CountyStanding) -> str:
    run = standing.run
    if run is not None and run.state == "blocked":
        return run.messages or run.message or "An entity keeps its last good data."
    if standing.facts.certificate_state == "blocked":
        return "The last certificate is blocked: an entity keeps its last good data."
    return ""


def _retrying(standing: CountyStanding) -> str:
    run, failure = standing.run, standing.failure
    if run is None or failure is None or not is_tried_again(failure, run):
        return ""
    tries = f" (try {failure.entity_attempt})" if failure.entity_attempt else ""
    return f"{words_of(failure)}{tries}; the step is tried again while its task has tries left."


def _waiting(standing: CountyStanding, runs: CountyRuns) -> str:
    """A task failed and waits for its next try: its run is neither well nor over (case F10)."""
    for active in runs.active:
        for task in active.waiting():
            return f"{_why(task.task_id, active, standing)}; try {task.attempt} of {task.most_tries} follows."
    return ""


def _why(task_id: str, run: AirflowRun, standing: CountyStanding) -> str:
    """What the journal says of the failure, else that there was one."""
    failure, refused = standing.failure, standing.newest_refused
    if task_id == "preflight" and refused is not None and refused.trigger == run.trigger:
        return f"preflight failed: {refused.message}"
    if failure is not None and failure.trigger == run.trigger and failure.step in (task_id, ""):
        return words_of(failure)
    return f"{task_id} failed; its log says why"


def _pending(standing: CountyStanding) -> str:
    waits = f"{standing.facts.pending_rows:,} deletes wait for a person to decide."
    failed = standing.failed_decision
    return f"{waits} The last decision could not be carried out: {failed.message}" if failed else waits


def _failing(standing: CountyStanding, now: datetime, patience: timedelta, runs: CountyRuns) -> str:
    run, failure, refused = standing.run, standing.failure, standing.newest_refused
    runs_now = is_running(standing, now, patience, runs)
    if refused is not None and not runs_now:
        return f"preflight failed: {refused.message}"
    if not runs_now and (cause := _failed_in_airflow(standing, runs)):
        return cause
    if run is None:
        return ""
    silent = run.state in _AT_WORK and not runs_now and _silent(run, now, patience)
    if failure is not None and silent and failure.run_id == run.run_id:
        return words_of(failure)
    if failure is not None and _ended_another_run(failure, run) and not runs_now:
        return words_of(failure)
    if run.state == "failed":
        return _why_failed(run, failure)
    if silent:
        what = "was published but never certified" if run.state == "published" else "gave no sign of life"
        return (
            f"The run that began at {run.started_at:%Y-%m-%d %H:%M} UTC {what} in the time a task may take."
        )
    return ""


def _failed_in_airflow(standing: CountyStanding, runs: CountyRuns) -> str:
    """A run that failed in Airflow and that the journal has no end of: a task was killed, or the target was
    down when it failed.
    """
    for failed in runs.failed:
        run = standing.run if failed.kind == "sync" else standing.other
        known = run is not None and run.trigger == failed.trigger
        if known and run is not None and run.state not in _AT_WORK:
            continue
        newest = standing.run.started_at if standing.run else None
        if not known and newest is not None and (failed.ended_at is None or failed.ended_at <= newest):
            continue
        if not known and failed.kind == "approval":
            continue  # what became of a decision is said beside the pending deletes
        task = failed.failed()
        return f"{_why(task.task_id, failed, standing)}." if task else "The run failed in Airflow."
    return ""


def _ended_in_airflow(run: RunRow, runs: CountyRuns) -> bool:
    return any(failed.trigger == run.trigger for failed in runs.failed)


def _ended_another_run(failure: FailureRow, run: RunRow) -> bool:
    """Whether a run of another kind failed after the newest sync, and nothing came of it since."""
    return (
        failure.run_id not in (None, run.run_id)
        and failure.at > (run.finished_at or run.started_at)
        and failure.run_state not in ("succeeded", "pending", "superseded")
    )


def _why_failed(run: RunRow, failure: FailureRow | None) -> str:
    """The entities' own words say most, but where a step did not finish, the recorded failure knows why."""
    words = run.messages or run.message or "The last run failed."
    if (
        failure is not None
        and failure.run_id == run.run_id
        and failure.step
        and ("did not finish" in words or not run.messages)
    ):
        return words_of(failure)
    return words


def _silent(run: RunRow, now: datetime, patience: timedelta) -> bool:
    moments = (run.started_at, run.progress_at, run.published_at)
    heard = max(moment for moment in moments if moment is not None)
    return now - heard > patience
