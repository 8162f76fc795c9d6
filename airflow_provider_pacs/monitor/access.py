"""A request's user comes in; the counties whose DAG this user may read go out.

Airflow's auth manager decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, Path

from airflow_provider_pacs.monitor.counties import dag_id_of, find_counties
from airflow_provider_pacs.sync.config import CountyConfig

CountyName = Annotated[str, Path(pattern="^[a-z][a-z0-9_]{0,40}$")]


def readable(user: GetUserDep, configs: Iterable[CountyConfig]) -> list[CountyConfig]:
    """Leave out the counties whose DAG the user may not read."""
    known = {dag_id_of(config.county): config for config in configs}
    return [known[dag_id] for dag_id in known if _may_read(user, dag_id)]


def readable_names(user: GetUserDep, counties: Iterable[str]) -> list[str]:
    """Leave out the names of counties whose DAG the user may not read."""
    return [county for county in counties if _may_read(user, dag_id_of(county))]


def county_for(county: CountyName, user: GetUserDep) -> CountyConfig:
    """Give the county of the path, as a dependency.

    Raises:
        HTTPException: 403, the user may not read its DAG's runs (asked first, so that nobody can probe for
            names); 404, there is no such county.
    """
    if not _may_read(user, dag_id_of(county)):
        raise HTTPException(403, "Forbidden")
    config = find_counties().good.get(county)
    if config is None:
        raise HTTPException(404, f"There is no usable county file for {county!r}.")
    return config


CountyDep = Annotated[CountyConfig, Depends(county_for)]


@dataclass(frozen=True, slots=True)
class Permissions:
    """What the user may do with a county's DAGs in Airflow.

    Attributes:
        run: start a run, and try a failed one again.
        pause: pause and resume the DAG.
        decide: answer whether pending deletes are carried out.
    """

    run: bool
    pause: bool
    decide: bool


def permissions(county: str, user: BaseUser) -> Permissions:
    """Ask Airflow's auth manager, by the county's DAG; decisions by the DAG of its approvals."""
    return Permissions(
        run=_may(user, dag_id_of(county), "POST", DagAccessEntity.RUN),
        pause=_may(user, dag_id_of(county), "PUT", None),
        decide=_may(user, dag_id_of(county, "approval"), "PUT", DagAccessEntity.HITL_DETAIL),
    )


def may_read_import_errors(user: GetUserDep) -> bool:
    """Whether broken county files, which Airflow shows as import errors, may be named to the user."""
    return get_auth_manager().is_authorized_view(access_view=AccessView.IMPORT_ERRORS, user=user)


def _may_read(user: BaseUser, dag_id: str) -> bool:
    return _may(user, dag_id, "GET", DagAccessEntity.RUN)


def _may(user: BaseUser, dag_id: str, method: ResourceMethod, entity: DagAccessEntity | None) -> bool:
    details = DagDetails(id=dag_id, team_name=_team(dag_id))
    return get_auth_manager().is_authorized_dag(
        method=method, access_entity=entity, details=details, user=user
    )


def _team(dag_id: str) -> str | None:
    from airflow.configuration import conf

    return DagModel.get_team_name(dag_id) if conf.getboolean("core", "multi_team", fallback=False) else None
