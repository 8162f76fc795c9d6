"""Entities whose cursors belong to Change Data Capture, and their feed now -> a run goes on, or is refused.

Capture that is gone or stands still looks as if nothing had happened. No run says so, and none goes on in
another way unless somebody asked for it (cases 52, 98).
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.incremental import FEEDS
from airflow_provider_pacs.sync.incremental.cdc import NAME as CDC
from airflow_provider_pacs.sync.incremental.cdc import Cdc
from airflow_provider_pacs.sync.incremental.strategy import SourceFacts
from airflow_provider_pacs.sync.preflight.resolve import ReadChoice
from airflow_provider_pacs.sync.records import Cursor
from airflow_provider_pacs.sync.runtime.errors import ConfigError, PacsError, RetryableError


def refuse_a_lost_capture(
    config: CountyConfig, choices: Mapping[str, ReadChoice], cursors: Mapping[str, Cursor]
) -> None:
    """Look at every entity that was read by Change Data Capture and would not be now.

    Raises:
        RetryableError: PACS-009, the capture process stands still, or lags.
        ConfigError: PACS-003, capture was switched off, or may not be read any more.
    """
    for name, choice in choices.items():
        cursor, named = cursors.get(name), config.tables.get(name)
        pinned = not config.sync.enable_cdc or (named is not None and named.mode != "auto")
        if cursor is None or cursor.strategy != CDC or cursor.watermark is None:
            continue
        if choice.strategy not in FEEDS and not pinned:
            raise _lost_capture(config, name, choice)


def _lost_capture(config: CountyConfig, entity: str, choice: ReadChoice) -> PacsError:
    feed = next((each for each in choice.feeds if each.strategy == CDC), None)
    if feed is not None and feed.passing:
        return RetryableError(
            f"{config.county}: {entity} is read by it, and {feed.lack}",
            remedy=feed.remedy,
            code="PACS-009",
        )
    support = Cdc().supports(choice.dated, SourceFacts(feeds=choice.feeds))
    return ConfigError(
        f"{config.county}: {entity} was read by Change Data Capture, which can't be read any more: "
        f"{support.reason}",
        remedy=f"{support.remedy or 'have it enabled again'}; or set tables.{entity}.mode; or go on by what "
        f"fits with `pacs sync {config.county} --full`. Each compares every row",
        code="PACS-003",
    )
