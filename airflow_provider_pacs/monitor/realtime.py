"""What Airflow and the journal keep of followed counties -> whether each is live, and why not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_provider_pacs.monitor.counties import DagState, dag_id_of
from airflow_provider_pacs.monitor.models import RealtimeLine, RealtimeState
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.polling import Followed, Polled
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.target.postgres.read_records import RealtimeRow
from airflow_provider_pacs.triggers.state import FOLLOWED, HAS_ASSET_STATE, POLLED

SILENT_AFTER = timedelta(minutes=4)
"""The trigger says once a minute how it goes; this much later it is not running."""
_CAUSES: dict[RealtimeState, str] = {
    "starting": "No realtime run has ended yet.",
    "silent": "The triggerer has not said anything for {minutes} minutes: is one running?",
    "unknown": "Neither Airflow nor the target says how the county is followed.",
    "paused": "The DAG {dag_id} is paused.",
    "held": "The county is on hold: {message}",
    "closed": "Outside the county's business hours ({hours}).",
    "away": "The source does not answer: {message}",
    "refused": "Somebody must change something: {message}",
}


@dataclass(frozen=True, slots=True)
class Kept:
    """The two documents of a county, as they were kept; None for one that was not."""

    followed: Any = None
    polled: Any = None


def kept_by_airflow(counties: Sequence[CountyConfig]) -> dict[str, Kept]:
    """What Airflow keeps of followed counties in its assets' state, by county; nothing before Airflow 3.3."""
    names = {f"pacs_{config.county}_changes": config.county for config in counties if config.realtime.enabled}
    if not HAS_ASSET_STATE or not names:
        return {}
    from airflow.models.asset import AssetModel
    from airflow.models.asset_state_store import AssetStateStoreModel

    statement = (
        select(AssetModel.name, AssetStateStoreModel.key, AssetStateStoreModel.value)
        .join(AssetStateStoreModel, AssetStateStoreModel.asset_id == AssetModel.id)
        .where(AssetStateStoreModel.key.in_((FOLLOWED, POLLED)), AssetModel.group == "pacs")
    )
    if len(names) < 50:
        statement = statement.where(AssetModel.name.in_(names))
    documents: dict[str, dict[str, Any]] = {}
    with create_session() as session:
        for name, key, value in session.execute(statement).all():
            if name in names:
                documents.setdefault(names[name], {})[key] = _json(value)
    return {county: Kept(kept.get(FOLLOWED), kept.get(POLLED)) for county, kept in documents.items()}


def _json(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:  # a state backend keeps it elsewhere
        return None


def realtime_line(
    config: CountyConfig, dag: DagState | None, kept: Kept | None, row: RealtimeRow | None, now: datetime
) -> RealtimeLine | None:
    """How a county is followed; None where its file does not ask for it.

    Args:
        config: the county.
        dag: what Airflow knows of its realtime DAG.
        kept: what Airflow keeps of it.
        row: what the target knows.
        now: the moment of asking.
    """
    if not config.realtime.enabled:
        return None
    kept = kept or (Kept(row.followed, row.polled) if row is not None else Kept())
    followed, polled = _followed(kept.followed), Polled.from_json(kept.polled)
    state = _state(dag, polled, row, now)
    handled_at = followed.handled_at if followed is not None else None
    moved_at = polled.moved_at if polled is not None else None
    waits = moved_at is not None and (handled_at is None or handled_at < moved_at)
    lag = (now - moved_at).total_seconds() if waits and moved_at is not None else 0.0
    lease = followed.lease_until if followed is not None else None
    known = [moment for moment in (moved_at, followed.changed_at if followed else None) if moment is not None]
    return RealtimeLine(
        dag_id=dag_id_of(config.county, "realtime"),
        state=state,
        live=state == "live",
        cause=_cause(config, state, polled, row, now),
        lag_seconds=round(lag, 1) if state in ("live", "away", "refused", "held") else None,
        last_change_at=max(known, default=None),
        last_run_at=row.run_at if row is not None else None,
        polled_at=polled.at if polled is not None else None,
        working=lease is not None and now < lease,
        left_out=dict(followed.plan.left_out) if followed is not None else {},
    )


def _followed(document: Any) -> Followed | None:
    try:
        return None if document is None else Followed.from_json(document)
    except ConfigError:  # by another version of this package; the next task writes it again
        return None


def _state(
    dag: DagState | None, polled: Polled | None, row: RealtimeRow | None, now: datetime
) -> RealtimeState:
    if dag is not None and dag.paused:
        return "paused"
    if row is not None and row.hold_reason is not None:
        return "held"
    if polled is None:
        return "unknown" if dag is None else "starting"
    if now - polled.at > SILENT_AFTER:
        return "silent"
    return polled.state


def _cause(
    config: CountyConfig,
    state: RealtimeState,
    polled: Polled | None,
    row: RealtimeRow | None,
    now: datetime,
) -> str:
    message = polled.message if polled is not None else ""
    if state == "held" and row is not None:
        message = row.hold_reason or ""
    minutes = int((now - polled.at).total_seconds() // 60) if polled is not None else 0
    return _CAUSES.get(state, "").format(
        minutes=minutes,
        dag_id=dag_id_of(config.county, "realtime"),
        hours=f"{config.realtime.hours or 'the whole day'} on {', '.join(config.realtime.days)}",
        message=message or "no reason given",
    )
