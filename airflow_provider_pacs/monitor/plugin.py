"""Airflow asks for plugins by entry point; this one brings the page, a tab on each DAG, a dashboard card and the app that serves them."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_provider_pacs.monitor.app import PREFIX, make_app

_BUNDLE = f"{PREFIX.lstrip('/')}/static/pacs_sync.js"  # relative: Airflow may live under a path of its own
_NAME = "PACS Sync"


class PacsSyncPlugin(AirflowPlugin):
    """The three places share one bundle, whose component looks where it stands."""

    name = "pacs_sync"
    fastapi_apps: list[Any] = [{"app": make_app(), "url_prefix": PREFIX, "name": _NAME}]  # noqa: RUF012 - Airflow reads and mends these lists
    react_apps: list[Any] = [  # noqa: RUF012
        {
            "name": _NAME,
            "bundle_url": _BUNDLE,
            "destination": "nav",
            "url_route": "pacs-sync",
            "nav_top_level": True,
            "icon": f"{PREFIX.lstrip('/')}/static/icon.svg",
            "icon_dark_mode": f"{PREFIX.lstrip('/')}/static/icon_dark.svg",
        },
        {"name": _NAME, "bundle_url": _BUNDLE, "destination": "dag", "url_route": "pacs-sync-county"},
        {"name": _NAME, "bundle_url": _BUNDLE, "destination": "dashboard", "url_route": "pacs-sync-card"},
    ]
