"""The plugin's web app: nothing in it answers without Airflow's own authentication, the page's scripts
included.
"""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from airflow_provider_pacs.monitor import routes_county, routes_overview, routes_static
from airflow_provider_pacs.sync.runtime.errors import PacsError


def make_app() -> FastAPI:
    """Make the app.

    The dependency stands at the app, so that no route can be added without it; FastAPI's own pages, which
    take none, are off.
    """
    app = FastAPI(
        title="PACS Sync", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(get_user)]
    )
    for routes in (routes_overview, routes_county, routes_static):
        app.include_router(routes.router)
    app.add_exception_handler(PacsError, _unreachable)
    return app


def _unreachable(request: Request, error: Any) -> JSONResponse:
    return JSONResponse(
        {"detail": error.message, "code": error.code, "remedy": error.remedy}, status_code=503
    )
