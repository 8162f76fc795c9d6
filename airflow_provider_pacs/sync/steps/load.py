"""One entity of a planned run, or any query over it -> a staging table: read, map, COPY, batch by batch in
bounded memory.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.incremental import stamps
from airflow_provider_pacs.sync.incremental.full import KEYS_PER_STATEMENT, full_query, keys_query, lob_bound
from airflow_provider_pacs.sync.incremental.last_modified import between_query
from airflow_provider_pacs.sync.incremental.statements import ChangeQuery, Window
from airflow_provider_pacs.sync.mapping import map_batch, to_csv
from airflow_provider_pacs.sync.records import BACKFILL
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.target.port import Target

RETRIED_KEYS = 5_000
"""Waiting rows that one run reads again, those looked at longest ago first."""

LONGEST_NAME = 61
"""Bytes of a staging table's name."""

PROGRESS_SECONDS = 2.0
"""How often a read says how far it is."""


def stage_name(run_id: str, entity: str, attempt: int, purpose: str = "") -> str:
    """A table of its own per run, entity, try and purpose.

    PostgreSQL cuts names after 63 bytes, so that two may become one. Room is left for the `_u` of the view
    beside the table.
    """
    name = f"stage_{run_id.replace('-', '')}_{entity[:12]}_{attempt}{purpose}"
    return (
        name
        if len(name) <= LONGEST_NAME
        else f"{name[: LONGEST_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    )


class Counter:
    """Rows that went through a stream so far.

    Args:
        told: hears of it every few seconds, with the seconds since the start.
    """

    def __init__(self, told: Callable[[int, float], None] | None = None) -> None:
        self.rows = 0
        self._told = told
        self._began = self._last = time.monotonic()

    def add(self, rows: int) -> None:
        self.rows += rows
        now = time.monotonic()
        if self._told is not None and now - self._last >= PROGRESS_SECONDS:
            self._last = now
            self._told(self.rows, now - self._began)


def payloads(
    source: SourceReader, shape: ResolvedTable, query: ChangeQuery, counter: Counter
) -> Iterator[tuple[list[str], bytes]]:
    """(column names, CSV) per batch. LOB columns are measured first, so that none is ever cut."""
    entity = load_entities()[shape.map.entity]
    for batch in source.stream(query.sql, query.params, lob_bound=lob_bound(source, shape)):
        mapped = map_batch(batch, entity, [name for name, _ in shape.map.extra])
        counter.add(mapped.num_rows)
        yield mapped.schema.names, to_csv(mapped, entity)


def progress(target: Target, row: dict[str, Any]) -> Callable[[int, float], None]:
    """Tells the target how far an entity's read is."""
    return lambda rows, seconds: target.note_progress(str(row["run_id"]), str(row["entity"]), rows, seconds)


def fill_stage(
    source: SourceReader,
    target: Target,
    shape: ResolvedTable,
    query: ChangeQuery,
    table: str,
    *,
    county_id: str,
    append: bool = False,
    told: Callable[[int, float], None] | None = None,
) -> int:
    """Stream one query into a staging table, telling how far it is; returns the rows read."""
    entity = load_entities()[shape.map.entity]
    counter = Counter(told)
    stream = payloads(source, shape, query, counter)
    first = next(stream)  # an empty result still has one empty batch, with its columns
    rest = (payload for _, payload in chain([first], stream))
    target.write_stage(entity, table, first[0], rest, county_id=county_id, append=append)
    return counter.rows


def fill_with_keys(
    source: SourceReader,
    target: Target,
    shape: ResolvedTable,
    keys: Sequence[str],
    table: str,
    *,
    county_id: str,
    append: bool,
) -> int:
    """Read single rows by key into a staging table and record there which are gone; returns the rows read."""
    read = 0
    for number, chunk in enumerate(chunks(keys)):
        read += fill_stage(
            source,
            target,
            shape,
            keys_query(shape, chunk),
            table,
            county_id=county_id,
            append=append or number > 0,
        )
    target.mark_gone(load_entities()[shape.map.entity], table, keys)
    return read


def entity_query(shape: ResolvedTable, row: dict[str, Any]) -> ChangeQuery:
    """The statement that one entity's plan (its row of `run_entity`) asks for."""
    if row["family"] == BACKFILL:
        return between_query(shape, Window(str(row["lower_bound"]), str(row["upper_bound"])))
    found = stamps(shape)
    if row["mode"] == "full" or found is None:
        return full_query(shape)
    return found.window(shape, Window(str(row["lower_bound"]), str(row["upper_bound"])))


def load_entity(
    source: SourceReader,
    target: Target,
    shape: ResolvedTable,
    county_id: str,
    row: dict[str, Any],
    table: str,
    waiting_rule: str | None,
) -> int:
    """Stage everything one entity's run needs: its window or the whole table, rows that wait for their
    parent, and rows confirmed gone.

    Other quarantined rows come back by themselves when somebody corrects them: the correction moves their
    change stamp.

    Args:
        source: an open reader.
        target: an open target.
        shape: the entity's table.
        county_id: the county's FIPS code.
        row: the entity's row of `run_entity`.
        table: name of the staging table to make.
        waiting_rule: the rule under which rows without a parent wait; None for a root.

    Returns:
        Rows read.
    """
    entity = load_entities()[shape.map.entity]
    query = entity_query(shape, row)
    read = fill_stage(
        source,
        target,
        shape,
        query,
        table,
        county_id=county_id,
        told=progress(target, row),
    )
    if query.complete:
        missing = target.missing_keys(
            entity, county_id, table
        )  # one read may pass a row by; a second look at each decides (case 38)
        missing += target.vanished_keys(entity, county_id, table)
        read += fill_with_keys(
            source, target, shape, list(dict.fromkeys(missing)), table, county_id=county_id, append=True
        )
    else:
        waiting = (
            target.quarantined_keys(entity, county_id, waiting_rule, RETRIED_KEYS) if waiting_rule else []
        )
        read += fill_with_keys(source, target, shape, waiting, table, county_id=county_id, append=True)
        target.settle_stage(entity, table)
    return read


def chunks(keys: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """As many keys as one statement takes, again and again."""
    for start in range(0, len(keys), KEYS_PER_STATEMENT):
        yield tuple(keys[start : start + KEYS_PER_STATEMENT])
