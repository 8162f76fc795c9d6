"""The folder of county files comes in; its counties, read again only when a file changed, and what Airflow
knows of their DAGs go out.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from airflow.configuration import conf
from airflow.models.dag import DagModel
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_provider_pacs.sync.config import county_files
from airflow_provider_pacs.sync.config.folder import Counties, load_counties
from airflow_provider_pacs.sync.runtime.errors import ConfigError

_Stamp = tuple[tuple[str, int, int], ...]
_SUFFIXES = {
    "reconcile": "_reconcile",
    "approval": "_approvals",
    "realtime": "_realtime",
    "rollback": "_rollback",
}
_lock = threading.Lock()
_seen: dict[Path, tuple[_Stamp, Counties]] = {}


@dataclass(frozen=True, slots=True)
class DagState:
    """What Airflow knows of a county's DAG. `missing`: nothing, or that it is gone."""

    paused: bool = False
    next_run_at: datetime | None = None
    missing: bool = False


def dag_id_of(county: str, kind: str = "sync") -> str:
    """Name the DAG that does runs of this kind for a county."""
    return f"pacs_{county}{_SUFFIXES.get(kind, '')}"


def counties_folder() -> Path:
    """Where county files are: `[pacs] counties_path`, or `counties` in the DAGs folder."""
    return Path(
        conf.get("pacs", "counties_path", fallback="")
        or Path(conf.get_mandatory_value("core", "dags_folder")) / "counties"
    )


def find_counties() -> Counties:
    """Give all counties and the errors of unusable files. A missing folder is one such error."""
    folder = counties_folder()
    try:
        stamp = tuple(
            (file.name, (stat := file.stat()).st_mtime_ns, stat.st_size) for file in county_files(folder)
        )
    except ConfigError as error:
        return Counties({}, (error,), {})
    except OSError:  # a file went while we looked
        stamp = ()
    with _lock:
        known = _seen.get(folder)
        if known is None or known[0] != stamp or not stamp:
            known = (stamp, load_counties(folder))
            _seen.clear()
            _seen[folder] = known
    return known[1]


def dag_states(counties: list[str], kind: str = "sync") -> dict[str, DagState]:
    """What Airflow knows of the counties' DAGs of a kind, by county.

    A DAG is missing where Airflow could not build it, has not read its file yet, or no longer finds it.
    """
    wanted = {dag_id_of(county, kind): county for county in counties}
    columns = select(DagModel.dag_id, DagModel.is_paused, DagModel.next_dagrun_create_after).where(
        ~DagModel.is_stale
    )
    if len(wanted) < 50:
        columns = columns.where(DagModel.dag_id.in_(wanted))
    with create_session() as session:
        rows = session.execute(columns).all()
    states = {
        wanted[dag_id]: DagState(bool(paused), next_at)
        for dag_id, paused, next_at in rows
        if dag_id in wanted
    }
    return {county: states.get(county, DagState(missing=True)) for county in counties}
