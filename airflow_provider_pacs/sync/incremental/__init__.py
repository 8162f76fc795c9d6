"""Which rows to read: one strategy per file, and here the registry and the choice for a table.

A new strategy is one file and one line in `STRATEGIES`; `strategy.py` says what it must offer.
"""

from __future__ import annotations

from airflow_provider_pacs.sync.incremental import (
    cdc,
    change_log,
    change_tracking,
    joined,
    last_modified,
    rowversion,
)
from airflow_provider_pacs.sync.incremental.statements import ChangeQuery, Window
from airflow_provider_pacs.sync.incremental.strategy import (
    DeleteFeed,
    IncrementalStrategy,
    RootKeyFeed,
    SourceFacts,
    Support,
)
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable

COMPARE = "compare"
"""The name under which a table is read whole in every run and compared; it fits every table."""

LAST_MODIFIED = last_modified.LastModified.name

STRATEGIES: list[IncrementalStrategy] = [
    change_tracking.ChangeTracking(),
    cdc.Cdc(),
    joined.Joined(),
    rowversion.Rowversion(),
    change_log.ChangeLog(),
    last_modified.LastModified(),
]
"""Best first. Below them stands `compare`."""

FEEDS = frozenset(strategy.name for strategy in STRATEGIES if strategy.shows_deletes)
"""Strategies that read a feed of the server, which shows deletes too: no better one is recommended."""


def choose(
    table: ResolvedTable, facts: SourceFacts, *, enable_cdc: bool, asked: str = "auto"
) -> tuple[str, str, ResolvedTable]:
    """The name of the strategy for a table, the reason in one sentence, and the table with its change column.

    Args:
        table: the table as the catalog has it.
        facts: what the source can serve.
        enable_cdc: False compares everything in every run.
        asked: the strategy that the county's file asks for.

    Raises:
        ConfigError: the table can't be read by the strategy asked for.
    """
    entity = table.map.entity
    if asked == COMPARE:
        return COMPARE, "the county's file asks for it: every run reads the whole table and compares", table
    if not enable_cdc:
        return COMPARE, "enable_cdc is false: every run reads the whole table and compares", table
    supports = [(strategy.name, strategy.supports(table, facts)) for strategy in STRATEGIES]
    if asked != "auto":
        support = dict(supports).get(asked, Support(None, f"there is no strategy {asked!r}"))
        if support.table is None:
            raise ConfigError(
                f"{entity} can't be read by {asked}: {support.reason}",
                remedy=support.remedy or f"change tables.{entity}.mode",
            )
        return asked, support.reason, support.table
    for name, support in supports:
        if support.table is not None:
            return name, support.reason, support.table
    return (
        COMPARE,
        f"{_why_compare(table, supports)}: every run reads {_what(table)} whole and compares",
        table,
    )


def strategy_named(name: str) -> IncrementalStrategy | None:
    """A registered strategy; None for `compare` and for a window that somebody chose."""
    return next((strategy for strategy in STRATEGIES if strategy.name == name), None)


def gone_query(table: ResolvedTable, name: str, window: Window) -> ChangeQuery | None:
    """The statement that shows which keys of a single table are gone; None where the strategy shows none."""
    strategy = strategy_named(name)
    return strategy.gone(table, window) if isinstance(strategy, DeleteFeed) else None


def root_keys_query(table: ResolvedTable, name: str, window: Window) -> ChangeQuery | None:
    """The statement that shows which root keys of a joined entity changed; None where the strategy reads
    single tables.
    """
    strategy = strategy_named(name)
    return strategy.root_keys(table, window) if isinstance(strategy, RootKeyFeed) else None


def bounding(table: ResolvedTable, name: str) -> IncrementalStrategy | None:
    """The strategy whose bounds hold for a table that is read by `name`.

    `compare` keeps no cursor, but a table read whole may still have a column that tells which rows are newer
    than the run's bound. None where nothing tells.
    """
    if (strategy := strategy_named(name)) is not None:
        return strategy
    if joined.probes(table):
        return strategy_named("joined")
    if rowversion.is_rowversion(table):
        return strategy_named("rowversion")
    return strategy_named("last_modified") if last_modified.is_ordered_type(table.change_type) else None


def _what(table: ResolvedTable) -> str:
    return "the table" if table.selection is None else table.map.entity


def _why_compare(table: ResolvedTable, supports: list[tuple[str, Support]]) -> str:
    reasons = dict(supports)
    if table.selection is not None:
        return reasons["joined"].reason
    lacking = [reasons[name].reason for name in ("rowversion",) if rowversion.column_of(table)]
    if table.map.change_column is None:
        why = "the table has no change column"
    elif table.change_type is None:
        why = f"the type of {table.map.change_column} is unknown (the catalog could not be read)"
    elif last_modified.is_ordered_type(table.change_type):
        why = reasons["last_modified"].reason
    else:
        why = f"{table.map.change_column} is {table.change_type}, which carries no window"
    return "; ".join([*lacking, why])
