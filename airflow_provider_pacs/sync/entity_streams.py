"""An open reader and an entity's name -> its rows as Arrow batches under canonical names: what the hook's
record methods hand out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.incremental.full import (
    KEYS_PER_STATEMENT,
    ROOT_KEY,
    full_query,
    keys_query,
    lob_bound,
)
from airflow_provider_pacs.sync.incremental.last_modified import is_ordered_type, since_query
from airflow_provider_pacs.sync.profiles import load_tables
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable, describe

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_provider_pacs.sync.source.port import SourceReader


def all_records(reader: SourceReader, entity: str, profile: str) -> Iterator[pa.RecordBatch]:
    """Every row of an entity."""
    resolved = _resolved(reader, entity, profile)
    yield from reader.stream(full_query(resolved).sql, lob_bound=lob_bound(reader, resolved))


def changed_records(reader: SourceReader, entity: str, since: str, profile: str) -> Iterator[pa.RecordBatch]:
    """Rows stamped `since` (text, style 121) or later.

    Raises:
        ConfigError: the entity has no change column of a date type.
    """
    resolved = _resolved(reader, entity, profile)
    if not is_ordered_type(resolved.change_type):
        raise ConfigError(
            f"{entity} has no change column of a date type at the source",
            remedy="use get_all_records",
            code="PACS-003",
        )
    query = since_query(resolved, since)
    yield from reader.stream(query.sql, query.params, lob_bound=lob_bound(reader, resolved))


def related_records(
    reader: SourceReader, entity: str, keys: Sequence[str], relation: str, profile: str
) -> Iterator[pa.RecordBatch]:
    """Rows of a child entity that belong to these parents.

    Raises:
        ConfigError: `relation` is not a child of `entity`.
    """
    children = [child.name for child in load_entities().values() if child.parent == entity]
    if relation not in children:
        raise ConfigError(
            f"{relation!r} is not a relation of {entity!r}",
            remedy=f"use one of: {', '.join(children) or 'none'}",
        )
    resolved = _resolved(reader, relation, profile)
    column = (
        ROOT_KEY
        if resolved.selection
        else dict(resolved.map.columns)[str(load_entities()[relation].parent_key)]
    )
    for start in range(0, len(keys), KEYS_PER_STATEMENT):
        query = keys_query(resolved, tuple(keys[start : start + KEYS_PER_STATEMENT]), column)
        yield from reader.stream(query.sql, query.params, lob_bound=lob_bound(reader, resolved))


def _resolved(reader: SourceReader, entity: str, profile: str) -> ResolvedTable:
    tables = load_tables(profile)
    if entity not in tables:
        raise ConfigError(f"unknown entity {entity!r}", remedy=f"use one of: {', '.join(tables)}")
    return describe(reader, tables[entity])
