"""A joined entity of a planned run -> a staging table: which scopes changed, their rows, and the rows that
they no longer have.

A scope is a root's source key: what changed in any contributing table is read again by property, never row by
row.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.incremental import joined as related
from airflow_provider_pacs.sync.incremental.full import SCOPE, keys_query, redaction_query
from airflow_provider_pacs.sync.incremental.statements import Window
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.steps.load import (
    RETRIED_KEYS,
    chunks,
    fill_stage,
    fill_with_keys,
    load_entity,
    progress,
)
from airflow_provider_pacs.sync.target.port import Target

log = logging.getLogger(__name__)

MOST_SCOPES = 10_000
"""More scopes than these, found by their contents, are read as the whole: twenty statements of 500 keys cost
about as much.
"""


def load_joined(
    source: SourceReader,
    target: Target,
    shape: ResolvedTable,
    county_id: str,
    row: dict[str, Any],
    table: str,
    waiting_rule: str | None,
) -> int:
    """Stage everything a joined entity's run needs; see `load_entity` for the arguments. Returns rows read.

    What is watched by its contents is read first, so that a change made meanwhile shows in the next run.
    """
    entity = load_entities()[shape.map.entity]
    _redact(source, target, shape, str(row["run_id"]))
    if not related.probes(shape):
        return load_entity(source, target, shape, county_id, row, table, waiting_rule)
    target.start_scopes(table)
    for watch, query in related.compared(shape):
        target.fold_watch(table, watch, _lines(source, query.sql))
    if row["mode"] == "full":
        return load_entity(source, target, shape, county_id, row, table, waiting_rule)
    contents = target.changed_scopes(county_id, entity, table)
    target.note_scopes(table, contents)
    if len(contents) > MOST_SCOPES:
        log.info("%s: the contents of %d scopes changed: all rows are read", entity.name, len(contents))
        return load_entity(source, target, shape, county_id, {**row, "mode": "full"}, table, waiting_rule)
    window = Window(str(row["lower_bound"]), str(row["upper_bound"]))
    stamped = _stamped(source, shape, window)
    target.note_scopes(table, stamped)
    query = related.window_query(shape, window)
    read = fill_stage(source, target, shape, query, table, county_id=county_id, told=progress(target, row))
    unread = sorted(set(contents) - set(stamped))
    read += read_scopes(source, target, shape, unread, table, county_id=county_id, append=True)
    waiting = target.quarantined_keys(entity, county_id, waiting_rule, RETRIED_KEYS) if waiting_rule else []
    missing = [*waiting, *target.missing_in_scopes(entity, county_id, table, table)]
    read += fill_with_keys(
        source, target, shape, list(dict.fromkeys(missing)), table, county_id=county_id, append=True
    )
    target.settle_stage(entity, table)
    return read


def read_scopes(
    source: SourceReader,
    target: Target,
    shape: ResolvedTable,
    scopes: Sequence[str],
    table: str,
    *,
    county_id: str,
    append: bool,
) -> int:
    """Read all rows of these scopes into a staging table, a statement per 500; returns the rows read."""
    read = 0
    for number, chunk in enumerate(chunks(scopes)):
        query = keys_query(shape, chunk, SCOPE)
        read += fill_stage(
            source, target, shape, query, table, county_id=county_id, append=append or number > 0
        )
    return read


def _stamped(source: SourceReader, shape: ResolvedTable, window: Window) -> list[str]:
    query = related.scopes_query(shape, window)
    return [
        scope for batch in source.stream(query.sql, query.params) for scope in batch.column(0).to_pylist()
    ]


def _redact(source: SourceReader, target: Target, shape: ResolvedTable, run_id: str) -> None:
    """Whoever asked not to be named is not named in rows of the past either.

    This waits for no check: it tells nothing new.
    """
    redaction, query = shape.selection.redaction if shape.selection else None, redaction_query(shape)
    if redaction is None or query is None:
        return
    parties = [party for batch in source.stream(query.sql) for party in batch.column(0).to_pylist()]
    touched = target.redact(
        run_id, load_entities()[shape.map.entity], redaction.by, parties, dict(redaction.values)
    )
    if touched:
        log.info("%s: %d rows of confidential parties were made silent", shape.map.entity, touched)


def _lines(source: SourceReader, sql: str) -> Iterator[bytes]:
    """CSV of `scope, line`: the columns that count as one text, NULL told from ''."""
    for batch in source.stream(sql):
        scope = pc.cast(batch.column(0), pa.string())
        columns = [
            pc.fill_null(pc.binary_join_element_wise("=", pc.cast(column, pa.string()), ""), "-")
            for column in batch.columns[1:]
        ]
        line = pc.binary_join_element_wise(*columns, "\x1f") if len(columns) > 1 else columns[0]
        sink = pa.BufferOutputStream()
        clean = pc.replace_substring(
            line, "\x00", "\ufffd"
        )  # PostgreSQL refuses NUL in text; here it only has to differ
        pacsv.write_csv(
            pa.RecordBatch.from_arrays([scope, clean], names=["scope", "line"]),
            sink,
            pacsv.WriteOptions(include_header=False),
        )
        yield sink.getvalue().to_pybytes()
