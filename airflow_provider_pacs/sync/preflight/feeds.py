"""A county's tables and its open source -> what each table offers to the strategies that read a feed."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.schema import journal
from airflow_provider_pacs.sync.schema.captures import read_captures
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.features import SourceFeatures, TableFeed
from airflow_provider_pacs.sync.schema.tsql import qualified
from airflow_provider_pacs.sync.source.port import SourceReader

CDC = "cdc"


def read_feeds(
    config: CountyConfig, source: SourceReader, features: SourceFeatures, tables: Iterable[ResolvedTable]
) -> tuple[TableFeed, ...]:
    """Feeds of single tables with Change Data Capture, and PACS's journal where nothing better shows changes.

    Raises:
        RetryableError: the connection itself failed.
    """
    tables = list(tables)
    feeds = [
        _capture_feed(config, source, table)
        for table in tables
        if table.selection is None and features.of(table.map.schema, table.map.table).cdc
    ]
    wanted = (table for table in tables if table.selection is not None and _reads_journal(config, table))
    first = next(wanted, None)
    if first is not None and first.selection is not None and first.selection.journal is not None:
        feeds += journal.read_journal(source, first.selection.journal.schema)
    return tuple(feeds)


def _reads_journal(config: CountyConfig, table: ResolvedTable) -> bool:
    """Whether the journal could be what shows a joined entity's changes."""
    if table.selection is None or table.selection.journal is None:
        return False
    named = config.tables.get(table.map.entity)
    pinned = named is not None and named.mode == journal.STRATEGY
    return pinned or not table.has_rowversion


def _capture_feed(config: CountyConfig, source: SourceReader, table: ResolvedTable) -> TableFeed:
    schema, name = table.map.schema, table.map.table
    found = read_captures(source, qualified(schema, name), lag_minutes=config.sync.capture_lag_minutes)
    return TableFeed(
        CDC,
        schema,
        name,
        found.lack or None,
        found.remedy,
        is_on=bool(found.instances or found.lack),
        instances=found.instances,
        passing=found.passing,
    )
