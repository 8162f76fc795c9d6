"""A county and its open source -> its tables as the catalog has them, and how each is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_pacs.sync.config import CountyConfig, table_maps
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.incremental import COMPARE, choose
from airflow_provider_pacs.sync.incremental.rowversion import WRITABLE
from airflow_provider_pacs.sync.incremental.strategy import SourceFacts
from airflow_provider_pacs.sync.mapping import refuse_misfits
from airflow_provider_pacs.sync.mapping.extra import refuse_uncarried
from airflow_provider_pacs.sync.profiles import TableMap
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable, describe
from airflow_provider_pacs.sync.schema.columns import optional_query
from airflow_provider_pacs.sync.schema.features import SourceFeatures
from airflow_provider_pacs.sync.schema.objects import no_rowversion_bound
from airflow_provider_pacs.sync.schema.surrogate import key_columns, needs_surrogate, with_surrogate
from airflow_provider_pacs.sync.source.port import SourceReader


@dataclass(frozen=True, slots=True)
class ReadChoice:
    """How a table is read: the table with the chosen change column, the strategy's name, and the reason;
    `dated` has the mapping's own column.
    """

    table: ResolvedTable
    strategy: str
    reason: str
    dated: ResolvedTable


def resolve_tables(
    config: CountyConfig, source: SourceReader, features: SourceFeatures | None = None
) -> dict[str, ReadChoice]:
    """The county's tables as the source's catalog has them and how each is read, parents first.

    Args:
        config: the county.
        source: an open reader.
        features: what the source offers; where it is given, a reason also says which better feed is not used
            yet.

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
    return {name: _choice(config, table, writable, features) for name, table in resolved.items()}


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


def _choice(
    config: CountyConfig, table: ResolvedTable, writable: bool, features: SourceFeatures | None
) -> ReadChoice:
    name = table.map.entity
    asked = config.tables[name].mode if name in config.tables else "auto"
    if asked == "rowversion" and table.notes:
        raise ConfigError(
            f"{name} can't be read by rowversion: {'; '.join(table.notes)}",
            remedy=f"change tables.{name}.mode",
            code="PACS-003",
        )
    feeds = (
        features.of(table.map.schema, table.map.table).feeds if features and table.selection is None else ()
    )
    strategy, reason, chosen = choose(
        table, SourceFacts(writable=writable), enable_cdc=config.sync.enable_cdc, asked=asked
    )
    if asked == "auto" and config.sync.enable_cdc:
        reason = with_better_feed(reason, strategy, feeds)
    if asked == "auto" and config.sync.enable_cdc and table.notes:
        reason = f"{reason} (no rowversion: {'; '.join(table.notes)})"
    return ReadChoice(chosen, strategy, reason, table)


def with_better_feed(reason: str, strategy: str, feeds: Sequence[str]) -> str:
    """The reason, and a better feed that is on and that nobody reads yet: a rowversion alone is as good."""
    if not feeds or strategy not in (COMPARE, "last_modified"):
        return reason
    return f"{reason} ({feeds[0]} is on, not used yet)"
