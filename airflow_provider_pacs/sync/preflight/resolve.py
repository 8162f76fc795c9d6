"""A county and its open source -> its tables as the catalog has them, and how each is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_pacs.sync.config import CountyConfig, table_maps
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.incremental import FEEDS, STRATEGIES, choose
from airflow_provider_pacs.sync.incremental.rowversion import WRITABLE
from airflow_provider_pacs.sync.incremental.strategy import SourceFacts
from airflow_provider_pacs.sync.mapping import refuse_misfits
from airflow_provider_pacs.sync.mapping.extra import refuse_uncarried
from airflow_provider_pacs.sync.preflight.feeds import FeedTrial
from airflow_provider_pacs.sync.profiles import TableMap
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable, describe
from airflow_provider_pacs.sync.schema.columns import optional_query
from airflow_provider_pacs.sync.schema.features import SourceFeatures, TableFeed, read_features
from airflow_provider_pacs.sync.schema.objects import no_rowversion_bound
from airflow_provider_pacs.sync.schema.surrogate import key_columns, needs_surrogate, with_surrogate
from airflow_provider_pacs.sync.source.port import SourceReader


@dataclass(frozen=True, slots=True)
class ReadChoice:
    """How a table is read.

    Attributes:
        table: the table with the chosen change column.
        strategy: the strategy's name.
        reason: why, one sentence.
        dated: the table with the mapping's own change column.
        better: feeds that would be better and can't be used, each with its reason; none where the county's
            file decides.
        feeds: what the table offers to the strategies that read a feed.
    """

    table: ResolvedTable
    strategy: str
    reason: str
    dated: ResolvedTable
    better: tuple[TableFeed, ...] = ()
    feeds: tuple[TableFeed, ...] = ()


def resolve_tables(
    config: CountyConfig, source: SourceReader, features: SourceFeatures | None = None
) -> dict[str, ReadChoice]:
    """The county's tables as the source's catalog has them and how each is read, parents first.

    Args:
        config: the county.
        source: an open reader.
        features: what the source's catalog says of its feeds; asked where it is not given.

    Raises:
        ConfigError: PACS-003, a mapped table or column is not there; a column's type can't be what it is
            mapped to, or a mode asked for that the table does not allow.
    """
    tables = table_maps(config)
    wanted = set(config.sync.entities)
    updateability = optional_query(source, WRITABLE)
    writable = not updateability or updateability[0]["updateability"] != "READ_ONLY"
    resolved = {name: _checked(source, tables[name]) for name in load_entities() if name in wanted}
    if any(table.has_rowversion for table in resolved.values()) and (because := no_rowversion_bound(source)):
        resolved = {
            name: table.without_rowversion(because) if table.has_rowversion else table
            for name, table in resolved.items()
        }
    _refuse_two_kinds_of_keys(resolved)
    features = features or read_features(source)
    trial = FeedTrial(config, source, features, writable=writable)
    return {
        name: _choice(config, table, SourceFacts(writable, feeds=trial.feeds(table)))
        for name, table in resolved.items()
    }


def _checked(source: SourceReader, mapped: TableMap) -> ResolvedTable:
    table = describe(source, mapped)
    by_number = needs_surrogate(table)
    refuse_misfits(table, key_columns(load_entities()[mapped.entity]) if by_number else ())
    refuse_uncarried(table)
    return with_surrogate(table) if by_number else table


def _refuse_two_kinds_of_keys(resolved: Mapping[str, ResolvedTable]) -> None:
    """A child's reference must be what its parent's key is: a number, or a GUID.

    Raises:
        ConfigError: PACS-003, it is not.
    """
    for name, table in resolved.items():
        parent = resolved.get(load_entities()[name].parent or "")
        if parent is not None and (parent.selection is None) != (table.selection is None):
            kinds = ("a number", "a GUID") if parent.selection is not None else ("a GUID", "a number")
            raise ConfigError(
                f"the key of {parent.map.entity} is {kinds[0]}, but {name} refers to it by {kinds[1]}",
                remedy=f"map the same column of both under tables.{name}.columns.{parent.map.entity}_id and "
                f"tables.{parent.map.entity}.columns.{parent.map.entity}_id",
                code="PACS-003",
            )


def _choice(config: CountyConfig, table: ResolvedTable, facts: SourceFacts) -> ReadChoice:
    name = table.map.entity
    asked = config.tables[name].mode if name in config.tables else "auto"
    if asked == "rowversion" and table.notes:
        raise ConfigError(
            f"{name} can't be read by rowversion: {'; '.join(table.notes)}",
            remedy=f"change tables.{name}.mode",
            code="PACS-003",
        )
    strategy, reason, chosen = choose(table, facts, enable_cdc=config.sync.enable_cdc, asked=asked)
    if asked != "auto" or not config.sync.enable_cdc:
        return ReadChoice(chosen, strategy, reason, table, feeds=facts.feeds)
    better = better_feeds(facts, strategy)
    lacks = [feed.lack for feed in better if feed.is_on and feed.lack is not None]
    if lacks:
        reason = f"{reason} (not by a better feed: {lacks[0]})"
    if table.notes and strategy not in FEEDS:
        reason = f"{reason} (no rowversion: {'; '.join(table.notes)})"
    return ReadChoice(chosen, strategy, reason, table, better, facts.feeds)


def better_feeds(facts: SourceFacts, strategy: str) -> tuple[TableFeed, ...]:
    """Feeds of better strategies than the chosen one, which can't be used."""
    order = [strategy.name for strategy in STRATEGIES]
    rank = order.index(strategy) if strategy in order else len(order)
    return tuple(
        feed
        for feed in facts.feeds
        if feed.lack is not None and feed.strategy in order[:rank] and strategy not in FEEDS
    )
