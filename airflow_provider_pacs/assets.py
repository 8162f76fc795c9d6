"""A county and an entity come in, the Airflow asset that stands for the entity's published rows goes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import Asset

if TYPE_CHECKING:
    from airflow_provider_pacs.sync.config import CountyConfig


def county_asset(config: CountyConfig, entity: str) -> Asset:
    """Give `pacs://<county>/<entity>`; schedule a DAG on it to run after each publish of that entity."""
    return Asset(name=f"pacs_{config.county}_{entity}", uri=f"pacs://{config.county}/{entity}", group="pacs")


def pending_asset(config: CountyConfig) -> Asset:
    """Give `pacs://<county>/pending`: it has an event when deletes of a run wait for a decision."""
    return Asset(name=f"pacs_{config.county}_pending", uri=f"pacs://{config.county}/pending", group="pacs")
