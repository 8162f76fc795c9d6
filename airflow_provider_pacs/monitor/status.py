"""A county's journal row and its schedule come in; its state and the cause, in one sentence, go out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow_provider_pacs.monitor.models import CountyState

Row = dict[str, Any]


def judge(
    row: Row | None, due: datetime | None, now: datetime, patience: timedelta
) -> tuple[CountyState, str]:
    """Decide the state, the most urgent first.

    Args:
        row: what the target knows of the county; None for nothing at all.
        due: data must have been read after this moment.
        now: the moment of asking.
        patience: how long one task may take; a run that is silent for longer is taken for dead.
    """
    if cause := _failing(row, now, patience):
        return "failing", cause
    if row is None or row["run_id"] is None or (row["good_at"] is None and row["state"] != "held"):
        return "never", "This county has never been synchronised." if row is None or row[
            "run_id"
        ] is None else "No run has finished yet."
    if row["held_rows"] or row["state"] == "held":
        return "held", f"{row['held_rows']:,} deletes wait for somebody's decision." if row[
            "held_rows"
        ] else "Deletes are held."
    if due is not None and row["good_started_at"] < due:
        return "lagging", f"The run due at {due:%Y-%m-%d %H:%M} UTC has not brought its data."
    return "in_step", ""


def is_running(row: Row | None, now: datetime, patience: timedelta) -> bool:
    """Whether a run is at work; one that fell silent is not."""
    return row is not None and row["state"] in ("running", "published") and not _silent(row, now, patience)


def _failing(row: Row | None, now: datetime, patience: timedelta) -> str:
    if row is None:
        return ""
    if row["failure_at"] is not None and (
        row["run_id"] is None or row["failure_at"] > (row["finished_at"] or row["started_at"])
    ):
        failure = row["failure"] or {}
        if row["state"] not in ("running", "published") or _silent(row, now, patience):
            return f"{row['failure_step']} failed: {failure.get('message', 'no message')}"
    if row["state"] == "failed":
        return _why_failed(row)
    if row["state"] in ("running", "published") and _silent(row, now, patience):
        what = "was published but never certified" if row["state"] == "published" else "gave no sign of life"
        return (
            f"The run that began at {row['started_at']:%Y-%m-%d %H:%M} UTC {what} in the time a task may "
            "take."
        )
    if (
        row["certificate_clean"] is False and not row["held_rows"] and row["state"] != "held"
    ):  # what is held differs, and that is known
        return "The last certificate is not clean: source and target differ."
    return ""


def _why_failed(row: Row) -> str:
    """The entities' own words say most, but where a step did not finish, the recorded failure knows why."""
    told = str(row["messages"] or row["message"] or "The last run failed.")
    if (
        row["failure_at"] is not None
        and row["failure_at"] >= row["started_at"]
        and ("did not finish" in told or not row["messages"])
    ):
        return f"{row['failure_step']} failed: {(row['failure'] or {}).get('message', 'no message')}"
    return told


def _silent(row: Row, now: datetime, patience: timedelta) -> bool:
    heard = max(
        moment
        for moment in (row["started_at"], row["progress_at"], row["published_at"])
        if moment is not None
    )
    return bool(now - heard > patience)
