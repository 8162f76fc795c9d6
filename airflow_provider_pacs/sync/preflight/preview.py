"""A county's mapping tried on a few rows: what the source says beside what the platform would get.

Nothing is written anywhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.incremental.full import lob_bound, sample_query
from airflow_provider_pacs.sync.mapping.batches import REJECT, map_batch
from airflow_provider_pacs.sync.preflight.resolve import resolve_tables
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.source.port import SourceReader

HIDDEN = "(personal)"
MOST_ROWS = 100


@dataclass(frozen=True, slots=True)
class Cell:
    """One value on its way.

    Attributes:
        column: canonical column.
        comes_from: the source's column, or the T-SQL of a joined entity.
        source: what the source sent, as text; None for NULL.
        mapped: what the platform would get, as text.
    """

    column: str
    comes_from: str
    source: str | None
    mapped: str | None


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One row: its cells, and why it would be set aside (empty: it would not)."""

    cells: tuple[Cell, ...]
    rejected: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {"cells": [asdict(cell) for cell in self.cells], "rejected": list(self.rejected)}


def preview(
    config: CountyConfig, source: SourceReader, entity: str, *, rows: int = 10, personal: bool = False
) -> list[PreviewRow]:
    """Read a few rows and map them.

    Args:
        config: the county.
        source: an open reader.
        entity: which entity.
        rows: how many, at most 100; whichever the server hands out first.
        personal: show what may name or locate a person too.

    Raises:
        ConfigError: the county does not synchronise the entity, or PACS-003: its tables are not as mapped.
    """
    found = resolve_tables(config, source)
    if entity not in found:
        raise ConfigError(
            f"{config.county} does not synchronise {entity!r}", remedy=f"use one of: {', '.join(found)}"
        )
    shape, canonical = found[entity].shape, load_entities()[entity]
    origins = dict(shape.selection.expressions if shape.selection else shape.map.columns)
    query, shown = sample_query(shape, max(1, min(rows, MOST_ROWS))), []
    for batch in source.stream(query.sql, query.params, lob_bound=lob_bound(source, shape)):
        mapped = map_batch(batch, canonical, [name for name, _ in shape.map.extra])
        names = [column for column in canonical.columns if column.name in batch.schema.names]
        for number in range(batch.num_rows):
            cells = []
            for column in names:
                hidden = column.pii != "none" and not personal
                values = (
                    (HIDDEN, HIDDEN)
                    if hidden
                    else (_text(batch, column.name, number), _text(mapped, column.name, number))
                )
                cells.append(Cell(column.name, origins[column.name], *values))
            reasons = _text(mapped, REJECT, number)
            shown.append(PreviewRow(tuple(cells), tuple(reasons.strip("{}").split(",")) if reasons else ()))
    return shown


def _text(batch: Any, column: str, number: int) -> str | None:
    value = batch.column(column)[number].as_py()
    return None if value is None else str(value)
