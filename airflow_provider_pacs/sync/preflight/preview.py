"""A county's mapping tried on a few rows: what the source says beside what the platform would get.

Nothing is written anywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_pacs.sync.config import CountyConfig, require_entity
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.incremental.full import lob_bound, sample_query
from airflow_provider_pacs.sync.mapping.batches import REJECT, map_batch
from airflow_provider_pacs.sync.preflight.personal import names_a_person
from airflow_provider_pacs.sync.preflight.resolve import resolve_tables
from airflow_provider_pacs.sync.profiles import alias
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.source.port import SourceReader

if TYPE_CHECKING:
    import pyarrow as pa

HIDDEN = "(personal)"
MOST_ROWS = 100


@dataclass(frozen=True, slots=True)
class Cell:
    """One value on its way.

    Attributes:
        column: canonical column; `extra.<name>` for what is carried beyond them.
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
        personal: show what may name or locate a person too; of `extra`, which nobody declares, that is
            decided by name and type.

    Raises:
        ConfigError: the county does not synchronise the entity, or PACS-003: its tables are not as mapped.
    """
    choices = resolve_tables(config, source)
    require_entity(config, entity)
    table = choices[entity].table
    canonical = load_entities()[entity].with_promoted(table.map.promoted_columns)
    origins = dict(table.selection.expressions if table.selection else table.map.columns)
    query, shown = sample_query(table, max(1, min(rows, MOST_ROWS))), []
    personal_extra = {name for name, origin in table.map.extra if _may_name_a_person(table, name, origin)}
    for batch in source.stream(query.sql, query.params, lob_bound=lob_bound(source, table)):
        mapped = map_batch(batch, canonical, [name for name, _ in table.map.extra], dict(table.map.promoted))
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
            cells += _extra_cells(table, batch, mapped, number, set() if personal else personal_extra)
            reasons = _text(mapped, REJECT, number)
            shown.append(PreviewRow(tuple(cells), tuple(reasons.strip("{}").split(",")) if reasons else ()))
    return shown


def _extra_cells(
    table: ResolvedTable, batch: pa.RecordBatch, mapped: pa.RecordBatch, number: int, hidden: set[str]
) -> Iterator[Cell]:
    """A cell per column of `extra`: the source's value, and what stands in the JSON object."""
    text = _text(mapped, "extra", number) if "extra" in mapped.schema.names else None
    carried = json.loads(text, parse_float=Decimal) if text else {}
    promoted = dict(table.map.promoted)
    for position, (name, origin) in enumerate(table.map.extra):
        value = _text(mapped, name, number) if name in promoted else carried.get(name)
        values = (
            (HIDDEN, HIDDEN)
            if name in hidden
            else (_text(batch, alias(position), number), None if value is None else str(value))
        )
        yield Cell(name if name in promoted else f"extra.{name}", origin, *values)


def _may_name_a_person(table: ResolvedTable, name: str, origin: str) -> bool:
    """Whether a column of `extra` may name or locate a person: nobody has declared it, so its looks decide.

    It does where its name says so, where a personal column is made of it too, or where it holds free text.
    """
    column = origin.rpartition(".")[2]
    origins = dict(table.selection.expressions if table.selection else table.map.columns)
    personal = [
        origins[canonical.name]
        for canonical in load_entities()[table.map.entity].columns
        if canonical.pii != "none" and canonical.name in origins
    ]
    feeds = any(re.search(rf"\b{re.escape(column)}\b", text, re.IGNORECASE) for text in personal)
    return feeds or names_a_person(name, column, table.columns.get(origin))


def _text(batch: Any, column: str, number: int) -> str | None:
    value = batch.column(column)[number].as_py()
    return None if value is None else str(value)
