"""What the journal says of a county, and its schedule -> its state and the cause, in one sentence."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow_provider_pacs.monitor.models import CountyState
from airflow_provider_pacs.sync.target.postgres.read_records import CountyStanding, FailureRow, RunRow

COVERED = {
    "all_rows": "all rows",
    "window": "the rows of the window and every key",
    "keys": "the named keys",
}
"""What a certificate covered, in words."""
_AT_WORK = ("running", "published")
_STEP_NAMES = {"plan": "preflight", "": "the run"}


def decide_state(
    standing: CountyStanding | None, due: datetime | None, now: datetime, patience: timedelta
) -> tuple[CountyState, str]:
    """Decide the state, the most urgent first.

    Args:
        standing: what the target knows of the county; None for nothing at all.
        due: data must have been read after this moment.
        now: the moment of asking.
        patience: how long one task may take; a run that is silent for longer is taken for dead.
    """
    if standing is None:
        return "never", "This county has never been synchronised."
    if standing.facts.hold:
        return "pending", f"On hold {standing.facts.hold}. `pacs resume` lets its runs go on."
    return _decide_by_runs(standing, due, now, patience)


def _decide_by_runs(
    standing: CountyStanding, due: datetime | None, now: datetime, patience: timedelta
) -> tuple[CountyState, str]:
    run, facts = standing.run, standing.facts
    if cause := _failing(standing, now, patience):
        return "failing", cause
    if cause := _blocked(standing):
        return "blocked", cause
    if "drift" in (run.state if run else "", facts.certificate_state):
        return "drift", "The last certificate says drift: rows differ that no term explains."
    if is_running(standing, now, patience) and (cause := _retrying(standing)):
        return "retrying", cause
    if facts.pending_rows:
        return "pending", f"{facts.pending_rows:,} deletes wait for a person to decide."
    if run is None:
        return "never", "This county has never been synchronised."
    if facts.good_started_at is None:
        return "never", "No run has finished yet."
    if due is not None and facts.good_started_at < due:
        return "lagging", f"The run due at {due:%Y-%m-%d %H:%M} UTC has not brought its data."
    return "in_step", ""


def is_running(standing: CountyStanding | None, now: datetime, patience: timedelta) -> bool:
    """Whether a sync is at work; one that fell silent is not."""
    run = standing.run if standing is not None else None
    return run is not None and run.state in _AT_WORK and not _silent(run, now, patience)


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


def _failing(standing: CountyStanding, now: datetime, patience: timedelta) -> str:
    run, failure, refused = standing.run, standing.failure, standing.newest_refused
    if refused is not None and not is_running(standing, now, patience):
        return f"preflight failed: {refused.message}"
    if run is None:
        return ""
    silent = run.state in _AT_WORK and _silent(run, now, patience)
    if failure is not None and silent and failure.run_id == run.run_id:
        return words_of(failure)
    if failure is not None and _ended_another_run(failure, run) and not is_running(standing, now, patience):
        return words_of(failure)
    if run.state == "failed":
        return _why_failed(run, failure)
    if silent:
        what = "was published but never certified" if run.state == "published" else "gave no sign of life"
        return (
            f"The run that began at {run.started_at:%Y-%m-%d %H:%M} UTC {what} in the time a task may take."
        )
    return ""


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
