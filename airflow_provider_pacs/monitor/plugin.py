"""Airflow asks for plugins by entry point; this one brings the page, a tab on each DAG, a dashboard card and
the app that serves them.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

PREFIX = "/pacs-sync"
_BUNDLE = f"{PREFIX.lstrip('/')}/static/pacs_sync.js"  # relative: Airflow may live under a path of its own
_NAME = "PACS Sync"


class _Apps:
    """The list of apps, made when the api-server looks at it: workers and the scheduler import this module
    too, and need no web app.
    """

    def __init__(self) -> None:
        self._made: list[dict[str, Any]] = []

    def __get__(self, plugin: object, owner: type[Any] | None = None) -> list[dict[str, Any]]:
        if not self._made:
            from airflow_provider_pacs.monitor.app import make_app

            self._made.append({"app": make_app(), "url_prefix": PREFIX, "name": _NAME})
        return self._made


class PacsSyncPlugin(AirflowPlugin):
    """The three places share one bundle, whose component looks where it stands."""

    name = "pacs_sync"
    fastapi_apps = _Apps()
    react_apps: list[Any] = [  # noqa: RUF012 - Airflow reads and mends this list
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
