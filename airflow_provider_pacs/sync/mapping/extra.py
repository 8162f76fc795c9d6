"""Source columns beyond the canonical ones -> the canonical column `extra`: one JSON object per row, or NULL
where nothing is carried.

A county's file names such columns (`tables.<entity>.extra`); under `sync.new_columns: add` those that came
after the first load travel too, under their own names. Numbers are exact, and the same texts as in a column
of their own (`texts.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_pacs.sync.mapping.texts import is_number, number_text
from airflow_provider_pacs.sync.profiles import alias
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.columns import DATES, NUMBERS, OTHERS, TEXTS, refuse_withheld

_CARRIED = TEXTS | NUMBERS | DATES | OTHERS
_UNFIT = ("\x00", "\ufffd")
"""PostgreSQL takes no NUL in JSON, and U+FFFD says that the text was damaged before it came here."""


def carrying(table: ResolvedTable, added: Iterable[str]) -> ResolvedTable:
    """The table with columns that came after the first load in `extra`, but for those that a county's file
    reads already.

    Raises:
        ConfigError: PACS-003, the server masks or encrypts such a column, as for a mapped one.
    """
    names, sources = {name for name, _ in table.map.extra}, set(table.map.sources)
    more = [column for column in added if column not in names and column not in sources]
    entity = table.map.entity
    refuse_withheld(table.withheld, more, f"tables.{entity}.extra, or set sync.new_columns: ignore")
    extra = (*table.map.extra, *((column, column) for column in more))
    return replace(table, map=replace(table.map, extra=extra))


def added_since(resolved: ResolvedTable, before: Iterable[str], today: Iterable[str]) -> tuple[str, ...]:
    """Columns that came after the first load, are still there and can be carried; where the catalog is
    unknown, those of before.
    """
    if not resolved.known:
        return tuple(before)
    if (
        resolved.selection is not None
    ):  # which of a joined entity's many tables it belongs to, a county's file must say
        return ()
    return tuple(
        name
        for name in dict.fromkeys((*before, *today))
        if name in resolved.columns and resolved.columns[name].type_name in _CARRIED
    )


def refuse_uncarried(resolved: ResolvedTable) -> None:
    """Refuse columns named by the county's file whose type has no place in JSON.

    Raises:
        ConfigError: PACS-003, names every such column.
    """
    table = resolved.map
    uncarried = [
        (name, f"column {source!r} is {declared.declared}")
        for name, source in table.extra
        if name not in dict(table.promoted)
        and (declared := resolved.columns.get(source))
        and declared.type_name not in _CARRIED
    ]
    if uncarried:
        raise ConfigError(
            f"table {table.schema}.{table.table}: {'; '.join(text for _, text in uncarried)}, which extra "
            "can't carry",
            remedy=f"take {', '.join(f'tables.{table.entity}.extra.{name}' for name, _ in uncarried)} out of "
            "the county's file",
            code="PACS-003",
        )


def json_column(
    batch: pa.RecordBatch, names: Sequence[str], elsewhere: Collection[str] = ()
) -> tuple[pa.Array, pa.Array | None]:
    """(JSON object per row as text, true where a value of the row can't be carried); NULL where every value
    is NULL.

    Args:
        batch: with the columns `alias(0)`, `alias(1)` and so on.
        names: what each is called in the object.
        elsewhere: those that have a column of their own, and no place in the object.
    """
    numbered = [(number, name) for number, name in enumerate(names) if name not in elsewhere]
    if not numbered:
        return pa.nulls(batch.num_rows, pa.string()), None
    columns = [_fragments(batch.column(alias(number))) for number, _ in numbered]
    keys = [json.dumps(name, ensure_ascii=False) for _, name in numbered]
    texts, bad = [], []
    for values in zip(*columns, strict=True):
        unfit = _NO_JSON in values
        parts = [f"{key}:{value}" for key, value in zip(keys, values, strict=True) if value is not None]
        texts.append("{" + ",".join(parts) + "}" if parts and not unfit else None)
        bad.append(unfit)
    return pa.array(texts, pa.string()), pa.array(bad, pa.bool_())


_NO_JSON = ""
"""Stands for a value that can't be carried: no JSON value is the empty text."""


def _fragments(values: pa.Array) -> list[str | None]:
    """Each value as JSON, None for NULL; numbers are the texts that a column would hold."""
    if is_number(values.type):
        texts, bad = number_text(values)
        if bad is not None:
            texts = pc.if_else(bad, _NO_JSON, texts)
        return list(texts.to_pylist())
    if pa.types.is_temporal(values.type):
        values = _iso(values)
    fragment = _fragment_of(values.type)
    return [None if value is None else fragment(value) for value in values.to_pylist()]


def _fragment_of(kind: pa.DataType) -> Callable[[Any], str]:
    if pa.types.is_boolean(kind):
        return lambda value: "true" if value else "false"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return lambda value: (
            _NO_JSON if any(mark in value for mark in _UNFIT) else json.dumps(value, ensure_ascii=False)
        )
    return lambda value: _NO_JSON


def _iso(values: pa.Array) -> pa.Array:
    """Dates and times as ISO 8601 text; nanoseconds go down to microseconds, as in every other column."""
    if pa.types.is_timestamp(values.type) and values.type.unit == "ns":
        values = pc.cast(pc.floor_temporal(values, 1, "microsecond"), pa.timestamp("us"))
    return pc.replace_substring(pc.cast(values, pa.string()), " ", "T")
