"""A county and its open source -> its tables as the catalog has them, and how each is read."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_pacs.sync.config import CountyConfig, table_maps
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.incremental import COMPARE, choose
from airflow_provider_pacs.sync.incremental.rowversion import WRITABLE
from airflow_provider_pacs.sync.incremental.strategy import SourceFacts
from airflow_provider_pacs.sync.mapping import refuse_misfits
from airflow_provider_pacs.sync.mapping.extra import refuse_uncarried
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable, describe
from airflow_provider_pacs.sync.schema.columns import optional_query
from airflow_provider_pacs.sync.schema.features import SourceFeatures
from airflow_provider_pacs.sync.source.port import SourceReader


@dataclass(frozen=True, slots=True)
class ReadChoice:
    """How a table is read: its shape with the chosen change column, the family's name, and the reason;
    `dated` has the mapping's own column.
    """

    shape: ResolvedTable
    family: str
    reason: str
    dated: ResolvedTable


def resolve_tables(
    config: CountyConfig, source: SourceReader, abilities: SourceFeatures | None = None
) -> dict[str, ReadChoice]:
    """The county's tables as the source's catalog has them and how each is read, parents first.

    Args:
        config: the county.
        source: an open reader.
        abilities: what the source offers; where it is given, a reason also says which better feed is not used
            yet.

    Raises:
        ConfigError: PACS-003, a mapped table or column is not there; a column's type can't be what it is
            mapped to, or a pinned mode that the table does not allow.
    """
    tables = table_maps(config)
    wanted = set(config.sync.entities)
    found = optional_query(source, WRITABLE)
    writable = not found or found[0]["updateability"] != "READ_ONLY"
    choices = {}
    for name in load_entities():
        if name in wanted:
            shape = describe(source, tables[name])
            refuse_misfits(shape)
            refuse_uncarried(shape)
            pin = config.tables[name].mode if name in config.tables else "auto"
            feeds = (
                abilities.of(shape.map.schema, shape.map.table).feeds
                if abilities and shape.selection is None
                else ()
            )
            family, reason, chosen = choose(
                shape, SourceFacts(writable=writable), enable_cdc=config.sync.enable_cdc, pin=pin
            )
            if feeds and pin == "auto" and family in (COMPARE, "last_modified") and config.sync.enable_cdc:
                reason += f" ({feeds[0]} is on, not used yet)"
            choices[name] = ReadChoice(chosen, family, reason, shape)
    return choices
