"""`/api/counties/{county}/actions/...`: what people do on the page, each allowed by Airflow for the county's
DAG, noted in the county's audit under the user's name, and carried out by Airflow's own API.

The note is written first: there is no action without one. Where Airflow refuses, a second note says so.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, HTTPException, Path, Request
from fastapi.responses import Response

from airflow_provider_pacs.monitor import targets
from airflow_provider_pacs.monitor.access import CountyDep, Permissions, permissions
from airflow_provider_pacs.monitor.airflow_api import AirflowApi, AirflowApiDep
from airflow_provider_pacs.monitor.counties import dag_id_of
from airflow_provider_pacs.monitor.models_actions import (
    DecisionWish,
    DismissWish,
    Done,
    PauseWish,
    PendingSetDetail,
    RetryWish,
    RunWish,
)
from airflow_provider_pacs.monitor.pending import pending_set
from airflow_provider_pacs.monitor.presenters import airflow_path
from airflow_provider_pacs.operators.approvals import APPROVE, REJECT
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.reports.formats import as_text

T = TypeVar("T")
PendingId = Annotated[int, Path(ge=1, le=2**63 - 1)]
_WORDS = {"sync": "A synchronisation", "full": "A full read", "reconcile": "A reconcile"}


def same_site(request: Request) -> None:
    """Let no other site press a button with the browser's cookie.

    Browsers name the asking site over HTTPS only. Over HTTP it counts that a page of another origin, another
    port of this host too, sends JSON only where CORS allows it; without a content type it may send anything.

    Raises:
        HTTPException: 403, the browser says that another site asks; 415, a body that does not say it is JSON.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and content_type != "application/json":
        raise HTTPException(415, "Send JSON, with Content-Type: application/json.")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "This was asked from another site.")


router = APIRouter(prefix="/api/counties/{county}", tags=["actions"], dependencies=[Depends(same_site)])


def allowed(config: CountyDep, user: GetUserDep) -> Permissions:
    """What the user may do, as a dependency."""
    return permissions(config.county, user)


MayDep = Annotated[Permissions, Depends(allowed)]


@router.post("/actions/run")
def start_run(
    config: CountyDep, user: GetUserDep, may: MayDep, airflow: AirflowApiDep, wish: RunWish
) -> Done:
    """Start a run of the county's DAG now."""
    _require(may.run)
    kind = "reconcile" if wish.kind == "reconcile" else "sync"
    dag_id, who = dag_id_of(config.county, kind), _name(user)
    conf = {"mode": "full"} if wish.kind == "full" else {}
    run_id = _noted(
        config,
        "page.run",
        dag_id,
        {"by": who, "kind": wish.kind},
        lambda: airflow.trigger(dag_id, conf, _note(who)),
    )
    return Done(
        message=f"{_WORDS[wish.kind]} of {config.name} is queued.",
        airflow_path=airflow_path(config.county, kind, run_id),
    )


@router.post("/actions/pause")
def pause(config: CountyDep, user: GetUserDep, may: MayDep, airflow: AirflowApiDep, wish: PauseWish) -> Done:
    """Pause the county's synchronisation, or resume it."""
    _require(may.pause)
    dag_id, action = dag_id_of(config.county), "page.pause" if wish.paused else "page.unpause"
    _noted(config, action, dag_id, {"by": _name(user)}, lambda: airflow.pause(dag_id, wish.paused))
    return Done(
        message=f"{config.name} is paused: no run begins until somebody resumes it."
        if wish.paused
        else f"{config.name} is resumed."
    )


@router.post("/actions/retry")
def retry(config: CountyDep, user: GetUserDep, may: MayDep, airflow: AirflowApiDep, wish: RetryWish) -> Done:
    """Have the failed tasks of a run tried again."""
    _require(may.run)
    dag_id = dag_id_of(config.county, wish.kind)
    details = {"by": _name(user), "airflow_run": wish.trigger}
    tasks = _noted(config, "page.retry", dag_id, details, lambda: airflow.clear_failed(dag_id, wish.trigger))
    if not tasks:
        raise HTTPException(409, "No task of this run has failed for good.")
    return Done(
        message=f"{tasks} tasks of the run are tried again." if tasks > 1 else "The task is tried again.",
        airflow_path=airflow_path(config.county, wish.kind, wish.trigger),
    )


@router.get("/pending/{pending_id}")
def pending(config: CountyDep, pending_id: PendingId) -> PendingSetDetail:
    """Give a pending set with a sample of its rows and what they are."""
    detail = targets.ask(config, lambda reader: pending_set(reader, config.fips, pending_id))
    if detail is None:
        raise HTTPException(404, f"{config.county} has no pending set {pending_id}.")
    return detail


@router.post("/actions/decide")
def decide(
    config: CountyDep, user: GetUserDep, may: MayDep, airflow: AirflowApiDep, wish: DecisionWish
) -> Done:
    """Answer Airflow's question about the county's pending deletes.

    The question must be about exactly the sets that were shown; its task checks their digests again.
    """
    _require(may.decide)
    dag_id, who = dag_id_of(config.county, "approval"), _name(user)
    shown = {(each.pending_id, each.digest) for each in wish.sets}
    waiting = {
        (each.pending_id, each.digest)
        for each in targets.ask(config, lambda reader: reader.pending(config.fips)) or []
    }
    if shown != waiting:
        raise HTTPException(409, "The pending deletes changed since they were shown. Look at them again.")
    question = _question(airflow, dag_id, shown)
    if question is None:
        asked = _noted(
            config, "page.ask", dag_id, {"by": who}, lambda: airflow.trigger(dag_id, {}, _note(who))
        )
        return Done(
            message="Airflow has not asked about these sets yet. It does so now: decide in a moment.",
            airflow_path=airflow_path(config.county, "approval", asked),
        )
    run_id, task_id = question
    option = APPROVE if wish.choice == "approve" else REJECT
    details = {"by": who, "choice": wish.choice, "sets": sorted(each for each, _ in shown)}
    _noted(config, "page.decide", dag_id, details, lambda: airflow.answer(dag_id, run_id, task_id, option))
    return Done(
        message="Approved: each row is looked up at the source once more, and goes if it is still gone."
        if wish.choice == "approve"
        else "Rejected: the rows stay.",
        airflow_path=airflow_path(config.county, "approval", run_id),
    )


def _question(airflow: AirflowApi, dag_id: str, shown: set[tuple[int, str]]) -> tuple[str, str] | None:
    """The run and the task that ask about exactly these sets."""
    for run_id, task_id in airflow.open_questions(dag_id):
        listed = airflow.result(dag_id, run_id, "pending")
        sets = listed.get("sets", ()) if isinstance(listed, dict) else ()
        if {(each["pending_id"], each["digest"]) for each in sets} == shown:
            return run_id, task_id
    return None


@router.post("/actions/dismiss")
def dismiss(config: CountyDep, user: GetUserDep, may: MayDep, wish: DismissWish) -> Done:
    """Leave quarantined rows as they are: they wait no longer for a person, and stay unpublished."""
    _require(may.run)
    rows = targets.act(
        config,
        lambda journal: journal.dismiss(
            config.fips, wish.entity, wish.keys, wish.reason.strip(), _name(user)
        ),
    )
    if not rows:
        raise HTTPException(409, "None of these rows is in quarantine any more.")
    return Done(message=f"{rows} rows are left as they are." if rows > 1 else "The row is left as it is.")


@router.get("/quarantine.csv", response_class=Response)
def export(config: CountyDep) -> Response:
    """Give all open quarantine as CSV: keys, rules and times; no values."""
    rows = targets.ask(config, lambda reader: reader.quarantine_export(config.fips)) or []
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(
        ["entity", "source_key", "rules", "first_seen_at", "last_seen_at", "dismissed_by", "reason"]
    )
    for row in rows:
        writer.writerow(
            [
                row.entity,
                as_text(row.source_key),
                " ".join(row.rules),
                row.first_seen_at.isoformat(),
                row.last_seen_at.isoformat(),
                as_text(row.dismissed_by or ""),
                as_text(row.reason or ""),
            ]
        )
    headers = {"Content-Disposition": f'attachment; filename="quarantine-{config.county}.csv"'}
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _require(is_allowed: bool) -> None:
    if not is_allowed:
        raise HTTPException(403, "Forbidden")


def _name(user: Any) -> str:
    return str(user.get_name() or user.get_id())


def _note(who: str) -> str:
    return f"Started by {who} on the page PACS Sync"


def _noted(
    config: CountyConfig, action: str, dag_id: str, details: dict[str, Any], act: Callable[[], T]
) -> T:
    """Write the audit row, then act; a refusal of Airflow's leaves a row too."""
    targets.act(config, lambda journal: journal.record(config.fips, action, dag_id, details))
    try:
        return act()
    except HTTPException as error:
        refusal = {**details, "action": action, "status": error.status_code}
        targets.act(config, lambda journal: journal.record(config.fips, "page.refused", dag_id, refusal))
        raise
