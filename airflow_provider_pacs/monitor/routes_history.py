"""`/api/counties/{county}/property-history`: who saw which change of a property when."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from airflow_provider_pacs.monitor import targets
from airflow_provider_pacs.monitor.access import CountyDep
from airflow_provider_pacs.monitor.models_county import extended
from airflow_provider_pacs.monitor.models_history import ChangeLine, PropertyHistory
from airflow_provider_pacs.monitor.presenters import airflow_path
from airflow_provider_pacs.sync.target.postgres.read import OpsReader

router = APIRouter(prefix="/api/counties/{county}", tags=["history"])
Key = Annotated[str, Query(min_length=1, max_length=200)]
Limit = Annotated[int, Query(ge=1, le=500)]


@router.get("/property-history")
def property_history(config: CountyDep, key: Key, limit: Limit = 100) -> PropertyHistory:
    """Give every change of a row, or of a property with what belongs to it: columns and runs, no values."""

    def question(reader: OpsReader) -> PropertyHistory:
        rows = reader.row_history(config.fips, key, limit + 1)
        lines = [
            extended(
                ChangeLine,
                row,
                airflow_path=airflow_path(config.county, row.run_kind, row.trigger) if row.run_kind else None,
            )
            for row in rows[:limit]
        ]
        return PropertyHistory(key=key, changes=lines, more=len(rows) > limit, hold=reader.hold(config.fips))

    return targets.ask(config, question) or PropertyHistory(key=key, changes=[], more=False)
