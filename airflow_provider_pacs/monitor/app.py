"""The plugin's web app: nothing in it answers without Airflow's own authentication, the page's scripts
included.
"""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_pacs.monitor import (
    routes_actions,
    routes_county,
    routes_history,
    routes_overview,
    routes_reports,
    routes_static,
)
from airflow_provider_pacs.monitor.targets import OverloadedError
from airflow_provider_pacs.sync.runtime.errors import PacsError

_ROUTES = (routes_overview, routes_county, routes_history, routes_reports, routes_actions, routes_static)


def make_app() -> FastAPI:
    """Make the app.

    The dependency stands at the app, so that no route can be added without it; FastAPI's own pages, which
    take none, are off. The API's description is a route like the others.
    """
    app = FastAPI(
        title="PACS Sync",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(get_user)],
        generate_unique_id_function=lambda route: route.name,
    )
    for routes in (
        routes_overview,
        routes_county,
        routes_history,
        routes_reports,
        routes_actions,
        routes_static,
    ):
        app.include_router(routes.router)

    @app.get("/openapi.json", include_in_schema=False)
    def description() -> dict[str, Any]:
        return app.openapi()

    app.add_exception_handler(PacsError, _unreachable)
    app.add_middleware(SafeHeaders)
    return app


class SafeHeaders:
    """No answer is kept by a cache or guessed to be of another kind; what a route says itself stays."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cache-Control", "no-store")
                headers.setdefault("X-Content-Type-Options", "nosniff")
            await send(message)

        await self.app(scope, receive, with_headers)


def _unreachable(request: Request, error: Any) -> JSONResponse:
    headers = {"Retry-After": "3"} if isinstance(error, OverloadedError) else {}
    return JSONResponse(
        {"detail": error.message, "code": error.code, "remedy": error.remedy},
        status_code=503,
        headers=headers,
    )
