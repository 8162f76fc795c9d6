"""Keeps a county's PACS (SQL Server) and a PostgreSQL platform database exactly in step, and proves it.

What a DAG's author needs is imported from here:

    from airflow_provider_pacs import build_county_dags

    globals().update(build_county_dags())

Names are loaded when they are first used: Airflow imports this package in every process that it starts, and
most of them need nothing of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_pacs.dag_builder import build_county_dags, county_dags, raise_broken_counties
    from airflow_provider_pacs.hooks.pacs import PacsHook
    from airflow_provider_pacs.operators.approvals import PacsDecideOperator, PacsPendingDeletesOperator
    from airflow_provider_pacs.operators.certify import PacsCertifyOperator
    from airflow_provider_pacs.operators.extract import (
        PacsChangesOperator,
        PacsExtractOperator,
        PacsRelationshipOperator,
    )
    from airflow_provider_pacs.operators.preflight import PacsPreflightOperator
    from airflow_provider_pacs.operators.publish import PacsPublishOperator
    from airflow_provider_pacs.operators.realtime import PacsRealtimeOperator
    from airflow_provider_pacs.operators.rollback import PacsProposeRollbackOperator, PacsRollbackOperator
    from airflow_provider_pacs.operators.validate import PacsValidateOperator
    from airflow_provider_pacs.sensors.connection import PacsConnectionSensor
    from airflow_provider_pacs.sync.config import CountyConfig, load_county
    from airflow_provider_pacs.triggers.changes import PacsChangeTrigger

__all__ = [
    "CountyConfig",
    "PacsCertifyOperator",
    "PacsChangeTrigger",
    "PacsChangesOperator",
    "PacsConnectionSensor",
    "PacsDecideOperator",
    "PacsExtractOperator",
    "PacsHook",
    "PacsPendingDeletesOperator",
    "PacsPreflightOperator",
    "PacsProposeRollbackOperator",
    "PacsPublishOperator",
    "PacsRealtimeOperator",
    "PacsRelationshipOperator",
    "PacsRollbackOperator",
    "PacsValidateOperator",
    "build_county_dags",
    "county_dags",
    "load_county",
    "raise_broken_counties",
]

_MODULES = {
    "dag_builder": ("build_county_dags", "county_dags", "raise_broken_counties"),
    "hooks.pacs": ("PacsHook",),
    "operators.approvals": ("PacsDecideOperator", "PacsPendingDeletesOperator"),
    "operators.extract": ("PacsChangesOperator", "PacsExtractOperator", "PacsRelationshipOperator"),
    "operators.preflight": ("PacsPreflightOperator",),
    "operators.publish": ("PacsPublishOperator",),
    "operators.rollback": ("PacsProposeRollbackOperator", "PacsRollbackOperator"),
    "operators.certify": ("PacsCertifyOperator",),
    "operators.realtime": ("PacsRealtimeOperator",),
    "operators.validate": ("PacsValidateOperator",),
    "sensors.connection": ("PacsConnectionSensor",),
    "triggers.changes": ("PacsChangeTrigger",),
    "sync.config": ("CountyConfig", "load_county"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
