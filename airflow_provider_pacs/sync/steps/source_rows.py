"""What extract and certify share: statements of a plan -> staging tables, in bounded memory, with a sign of
life.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from airflow_provider_pacs.sync.incremental import bounding
from airflow_provider_pacs.sync.incremental.full import (
    KEYS_PER_STATEMENT,
    ROOT_KEY,
    keys_query,
    lob_bound,
)
from airflow_provider_pacs.sync.incremental.statements import (
    ChangeQuery,
    Late,
    census_query,
    control_columns,
    key_list_query,
)
from airflow_provider_pacs.sync.mapping import map_batch, to_csv, unreadable_keys
from airflow_provider_pacs.sync.records import ReadPlan, SourceCensus
from airflow_provider_pacs.sync.runtime.errors import DataError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.target.port import Target

log = logging.getLogger(__name__)

Progress = Callable[[int, float], None]
SAMPLE = 20
"""Keys of each kind that a run names."""
MOST_UNREADABLE = 10_000
"""Keys of a wrong type that a run remembers; one is enough to block an entity."""
PROGRESS_SECONDS = 2.0
"""How often a read says how far it is."""
LONGEST_NAME = 61
"""Bytes of a staging table's name."""
NO_ROOT_KEY = "0"
"""PACS numbers its properties from 1: a statement that finds nothing, so that an empty read has a staging
table.
"""


def stage_name(run_id: str, entity: str, attempt: int, purpose: str = "") -> str:
    """A table of its own per run, entity, try and purpose.

    PostgreSQL cuts names after 63 bytes, so that two may become one. Room is left for the `_u` of the view
    beside.
    """
    name = f"stage_{run_id.replace('-', '')}_{entity[:12]}_{attempt}{purpose}"
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


class ProgressReporter:
    """Rows that went through a stream so far.

    Args:
        on_progress: is called every few seconds with the rows and the seconds since the start.
    """

    def __init__(self, on_progress: Progress | None = None) -> None:
        self.rows = 0
        self._on_progress = on_progress
        self._began = self._last = time.monotonic()

    def add(self, rows: int) -> None:
        """Rows have come."""
        self.rows += rows
        now = time.monotonic()
        if self._on_progress is not None and now - self._last >= PROGRESS_SECONDS:
            self._last = now
            self._on_progress(self.rows, now - self._began)


def late_of(plan: ReadPlan) -> Late | None:
    """How the plan's table tells rows newer than the plan's bound; None where nothing tells."""
    strategy = bounding(plan.table, plan.strategy)
    return strategy.late(plan.table) if strategy is not None and plan.upper is not None else None


class SourceRows:
    """Reads one entity's rows into staging tables.

    Args:
        source: an open reader.
        target: an open target.
        plan: how the entity is read.
        county_id: the county's FIPS code.
        on_progress: called with how far a read is.
    """

    def __init__(
        self,
        source: SourceReader,
        target: Target,
        plan: ReadPlan,
        county_id: str,
        on_progress: Progress | None = None,
    ) -> None:
        self.source, self.target, self.plan, self.county_id = source, target, plan, county_id
        self.entity = plan.canonical
        self.rows_read = 0
        self.unreadable: dict[str, None] = {}
        """Keys that are none of the target's type, as the source spells them, in their order."""
        self._on_progress = on_progress

    @property
    def table(self) -> ResolvedTable:
        """The entity's table at the source."""
        return self.plan.table

    def fill(self, query: ChangeQuery, staging: str, *, append: bool = False) -> int:
        """One statement, one pass into a staging table; returns the rows read."""
        reporter = ProgressReporter(self._on_progress)
        stream = self._payloads(query, reporter)
        first = next(stream)  # an empty result still has one empty batch, with its columns
        rest = (payload for _, payload in chain([first], stream))
        self.target.staging.fill(
            self.entity, staging, first[0], rest, county_id=self.county_id, append=append
        )
        self.rows_read += reporter.rows
        return reporter.rows

    def fill_keys(self, keys: Sequence[str], staging: str, *, append: bool = True) -> None:
        """Rows by key; those of the keys that the source does not bring are recorded as gone."""
        for number, some in enumerate(chunks(keys)):
            self.fill(keys_query(self.table, some), staging, append=append or number > 0)
            self.target.staging.mark_gone(self.entity, staging, some)

    def fill_root_keys(self, keys: Sequence[str], staging: str, *, append: bool) -> None:
        """All rows of these root keys."""
        for number, some in enumerate(chunks(keys)):
            self.fill(keys_query(self.table, some, ROOT_KEY), staging, append=append or number > 0)

    def fill_nothing(self, staging: str) -> None:
        """An empty staging table, with the columns that rows would bring."""
        names = [name for name, _ in self.table.map.columns]
        if self.table.selection is not None:
            self.fill_root_keys([NO_ROOT_KEY], staging, append=False)
            return
        self.target.staging.fill(self.entity, staging, names, (), county_id=self.county_id)

    def census(self, *, key_sum: bool, sums: bool) -> SourceCensus:
        """What the source counts by itself now; with `key_sum` and `sums` also the sum over its keys and the
        control totals.
        """
        late, upper = late_of(self.plan), self.plan.upper
        query = census_query(self.table, late, upper, key_sum=key_sum, sums=sums)
        names = [name for name, _ in control_columns(self.table)] if sums else []
        try:
            rows = self.source.query(query.sql, query.params)
        except DataError as error:  # a sum beyond 38 digits: the counts say enough
            log.warning("%s: the source can't sum its columns (%s)", self.entity.name, error)
            query, names = census_query(self.table, late, upper, key_sum=key_sum, sums=False), []
            rows = self.source.query(query.sql, query.params)
        control = {
            str(row["grp"] or ""): {
                "rows": str(int(row["n"] or 0) - int(row["late"] or 0)),
                **{name: _plain(row[f"c{index}"]) for index, name in enumerate(names)},
            }
            for row in rows
            if int(row["n"] or 0)
        }
        return SourceCensus(
            rows=sum(int(row["n"] or 0) for row in rows),
            late=sum(int(row["late"] or 0) for row in rows),
            key_sum=str(sum(int(row["key_sum"] or 0) for row in rows)),
            control=control,
        )

    def list_keys(self, staging: str, *, late_only: bool = False) -> None:
        """Write the keys of the source's rows beside a staging table: all, or those newer than the bound."""
        late = late_of(self.plan) if late_only else None
        query = key_list_query(self.table, late, self.plan.upper if late_only else None)
        stream = self.source.stream(query.sql, query.params)
        self.target.staging.write_keys(staging, (_keys_csv(batch) for batch in stream))

    def _payloads(self, query: ChangeQuery, reporter: ProgressReporter) -> Iterator[tuple[list[str], bytes]]:
        """(column names, CSV) per batch. LOB columns are measured first, so that none is ever cut."""
        extra, promoted = [name for name, _ in self.table.map.extra], dict(self.table.map.promoted)
        bound = lob_bound(self.source, self.table)
        for batch in self.source.stream(query.sql, query.params, lob_bound=bound):
            mapped = map_batch(batch, self.entity, extra, promoted)
            left = MOST_UNREADABLE - len(self.unreadable)
            self.unreadable.update(dict.fromkeys(unreadable_keys(batch, mapped, self.entity, left)))
            reporter.add(mapped.num_rows)
            yield mapped.schema.names, to_csv(mapped, self.entity)


def chunks(keys: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """As many keys as one statement takes, again and again."""
    for start in range(0, len(keys), KEYS_PER_STATEMENT):
        yield tuple(keys[start : start + KEYS_PER_STATEMENT])


def _keys_csv(batch: pa.RecordBatch) -> bytes:
    column = pc.cast(batch.column(0), pa.string())
    sink = pa.BufferOutputStream()
    options = pacsv.WriteOptions(include_header=False)
    pacsv.write_csv(pa.RecordBatch.from_arrays([column], names=["k"]), sink, options)
    return bytes(sink.getvalue().to_pybytes())


def _plain(value: object) -> str:
    """A sum as SQL Server wrote it, without the zeros of its scale."""
    text = str(value or "0")
    return text.rstrip("0").rstrip(".") if "." in text else text
