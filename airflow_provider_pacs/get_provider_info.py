"""What Airflow learns about this provider without importing any of it."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    return {"package-name": "airflow-provider-pacs", "name": "PACS", "description": "Keeps a county's PACS and a PostgreSQL platform database in step."}
