"""One entity's stored plan -> a staging table of this try with everything the run needs of it.

Publishes nothing.

Beside what the plan selects these rows are read: those in quarantine, by key; and those that a count of the
source shows to have come or gone without a change stamp.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.incremental import gone_query, joined, root_keys_query, strategy_named
from airflow_provider_pacs.sync.incremental.full import full_query, redaction_query
from airflow_provider_pacs.sync.incremental.last_modified import between_query
from airflow_provider_pacs.sync.incremental.statements import (
    ChangeQuery,
    Window,
    in_snapshot,
    key_spelling,
)
from airflow_provider_pacs.sync.incremental.strategy import AuthoredFeed, BoundsRequest, lost_because
from airflow_provider_pacs.sync.records import BACKFILL, EntityOutcome, KeyTotals, ReadPlan, SourceCensus
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.steps.entity_runs import entity_run
from airflow_provider_pacs.sync.steps.failures import abort_if_superseded, audit_failures
from airflow_provider_pacs.sync.steps.source_rows import SAMPLE, Progress, SourceRows, stage_name
from airflow_provider_pacs.sync.target.port import Target

log = logging.getLogger(__name__)

MOST_LOOKS = 20_000
"""More differing rows than these are not looked at again one by one."""
MOST_ROOT_KEYS = 10_000
"""More root keys than these, found by their contents, are read as the whole: twenty statements of 500 keys
cost about as much.
"""


def extract(
    config: CountyConfig,
    source: SourceReader,
    target: Target,
    *,
    run_id: str,
    entity: str,
    attempt: int,
    on_progress: Progress | None = None,
) -> EntityOutcome:
    """Read one entity as planned into a staging table of this try.

    Args:
        config: the county.
        source: an open reader.
        target: an open target.
        run_id: the run.
        entity: the entity.
        attempt: the number of this try, from 1; every try has its own table.
        on_progress: is called with rows and seconds every few seconds.

    Raises:
        ConflictError: a later run has taken the county, or a later try has begun. Of the other errors, a
            RetryableError is worth another try.
    """
    row = entity_run(target, run_id, entity)
    plan, table = row.read_plan, stage_name(run_id, entity, attempt)
    started = time.monotonic()
    with (
        audit_failures(config, target, f"extract_{entity}", run_id),
        abort_if_superseded(config, target, run_id),
    ):
        target.runs.begin_extract(run_id, entity, attempt)

        def report(rows: int, seconds: float) -> None:
            target.runs.progress(run_id, entity, rows, seconds)
            if on_progress is not None:
                on_progress(rows, seconds)

        extraction = _Extraction(SourceRows(source, target, plan, config.fips, report), table)
        expected = extraction.run()
        if authors := extraction.authors():
            details = {"from": plan.lower, "to": plan.upper, "by": authors}
            target.runs.event(config.fips, run_id, "source.changed", entity, details)
        seconds = time.monotonic() - started
        target.runs.end_extract(
            run_id,
            entity,
            attempt=attempt,
            table=table,
            mode="full" if extraction.complete else plan.mode,
            read=extraction.rows.rows_read,
            staged=target.staging.count(table),
            seconds=seconds,
            expected=expected,
            sample_keys=extraction.sample_keys,
        )
    return EntityOutcome(entity, "staged", row.mode, read=extraction.rows.rows_read, seconds=seconds)


class _Extraction:
    """One try to stage an entity."""

    def __init__(self, rows: SourceRows, staging: str) -> None:
        self.rows, self.staging = rows, staging
        self.plan, self.target = rows.plan, rows.target
        self.complete = rows.plan.mode == "full"
        self.sample_keys: list[str] = []

    def run(self) -> KeyTotals | None:
        """Stage everything; returns what the target must hold by the source's own count."""
        self._redactions()
        if self.plan.mode == "keys":
            self.rows.fill_keys(self.plan.keys, self.staging, append=False)
        else:
            self._changes()
        self._again(self.target.staging.duplicated_keys(self.rows.entity, self.staging))
        if self.plan.compares:
            # One read may be overtaken by a change: what differs is looked at once more.
            self._again(self._differing())
        elif self.plan.mode == "window" and self.plan.strategy != BACKFILL:
            self._again(self._quarantined())
        if self.complete:
            absent = self.target.staging.absent_keys(self.rows.entity, self.rows.county_id, self.staging)
            if self.plan.compares:
                self.sample_keys += [f"extra_in_target:{key}" for key in absent[:SAMPLE]]
            self._again(absent)
        # A feed shows what changed, not what a read of every row missed.
        expected = self._count() if self.plan.probes_deletes or self.complete else None
        self.target.staging.deduplicate(self.rows.entity, self.staging)
        self.sample_keys += [f"unreadable:{key}" for key in list(self.rows.unreadable)[:SAMPLE]]
        return expected

    def _changes(self) -> None:
        """What the plan selects; every row where the feed no longer shows all changes since the cursor.

        The feed is asked before the read, because a plan may wait, and after it, because the server may clean
        up while it is read (case 86).
        """
        self.complete = self.complete or self._feed_is_lost()
        try:
            self._select()
        except ConfigError:
            # CDC refuses a range that is not there any more (error 313, or 208 without its instance).
            if self.complete or not self._feed_is_lost():
                raise
            self.complete = True
            self._select()
            return
        if not self.complete and self._feed_is_lost():
            self.complete = True
            self._select()

    def _feed_is_lost(self) -> bool:
        """Whether the plan's window no longer shows all changes; never of a strategy without a feed."""
        strategy = strategy_named(self.plan.strategy)
        if strategy is None or self.plan.feed is None:
            return False
        request = BoundsRequest(
            str(self.plan.change_type),
            now="",
            cursor=self.plan.lower,
            oldest=None,
            lag_seconds=0,
            overlap_minutes=0,
            table=self.plan.table,
            upper=self.plan.upper,
        )
        query = strategy.bounds(request)
        bounds = self.rows.source.query(query.sql, query.params)[0]
        why = lost_because(strategy, bounds, self.plan.feed)
        if why is not None:
            log.warning("%s: every row is compared: %s", self.plan.entity, why)
        return why is not None

    def _select(self) -> None:
        plan = self.plan
        if joined.probes(plan.table) or root_keys_query(plan.table, plan.strategy, window_of(plan)):
            self._root_keys()
            return
        self.rows.fill(full_query(plan.table) if self.complete else selected(plan), self.staging)
        gone = None if self.complete else gone_query(plan.table, plan.strategy, window_of(plan))
        if gone is not None:
            self._again(column_of(self.rows.source, in_snapshot(gone) if plan.snapshot else gone))

    def authors(self) -> list[dict[str, Any]]:
        """Who made the changes of the window, where its feed knows."""
        strategy = strategy_named(self.plan.strategy)
        if self.complete or self.plan.mode != "window" or not isinstance(strategy, AuthoredFeed):
            return []
        query = strategy.authors(self.plan.table, window_of(self.plan))
        return self.rows.source.query(query.sql, query.params)

    def _again(self, keys: Sequence[str]) -> None:
        self.rows.fill_keys(keys, self.staging)

    def _differing(self) -> list[str]:
        differing = self.target.staging.differing_keys(self.rows.entity, self.rows.county_id, self.staging)
        self.sample_keys += [f"{kind}:{key}" for key, kind in differing[:SAMPLE]]
        return [key for key, _ in differing] if len(differing) <= MOST_LOOKS else []

    def _quarantined(self) -> list[str]:
        """Rows in quarantine: the rule, the mapping, the parent or the year may be another now."""
        return self.target.staging.quarantined_keys(self.rows.entity, self.rows.county_id)

    def _count(self) -> KeyTotals:
        """Count the source by itself; where it does not hold what the target will, compare all keys.

        Returns:
            What the target must hold, published or in quarantine, when this run is published.
        """
        census = self._census()
        must, target_totals = self._expected(census)
        if (census.rows, census.key_sum) == (must.rows, must.key_sum):
            return target_totals
        self.rows.list_keys(self.staging)
        compared = self.target.staging.compare_keys(
            self.rows.entity, self.rows.county_id, self.staging, complete=self.complete
        )
        log.info(
            "%s: the source has %d rows where %d were expected: %d keys are gone, %d are new",
            self.rows.entity.name,
            census.rows,
            must.rows,
            len(compared.gone),
            len(compared.unknown),
        )
        # A key that the window brought once and the table has twice is a repeated key all the same.
        unknown = [key for key in compared.unknown if key not in self.rows.unreadable]
        self._again([*unknown, *compared.gone, *compared.duplicated])
        return self._expected(self._census())[1]

    def _census(self) -> SourceCensus:
        """A read of every row brought the keys themselves: then their number is enough."""
        return self.rows.census(key_sum=not self.complete, sums=False)

    def _expected(self, census: SourceCensus) -> tuple[KeyTotals, KeyTotals]:
        """(what the source must have, what the target must hold) by what is staged and published."""
        self.target.staging.deduplicate(self.rows.entity, self.staging)
        if census.late:
            self.rows.list_keys(self.staging, late_only=True)
        return self.target.staging.expected_totals(
            self.rows.entity,
            self.rows.county_id,
            self.staging,
            complete=self.complete,
            spelling=None if self.complete else key_spelling(self.plan.table),
            late=census.late > 0,
        )

    def _root_keys(self) -> None:
        """A joined entity: which root keys changed, their rows, and the rows that they no longer have.

        What is probed by its contents is read first, so that a change made meanwhile shows in the next run.
        """
        staging, entity = self.target.staging, self.rows.entity
        staging.start_probes(self.staging)
        contents: list[str] = []
        if joined.probes(self.plan.table):
            for probe, query in joined.compared(self.plan.table):
                staging.fold_probe(self.staging, probe, _lines(self.rows.source, query.sql))
            contents = staging.changed_root_keys(self.rows.county_id, entity, self.staging)
        if self.complete or len(contents) > MOST_ROOT_KEYS:
            self.complete = True
            self.rows.fill(full_query(self.plan.table), self.staging)
            return
        roots = root_keys_query(self.plan.table, self.plan.strategy, window_of(self.plan))
        shown = column_of(self.rows.source, roots) if roots is not None else []
        staging.note_root_keys(self.staging, [*contents, *shown])
        self.rows.fill(selected(self.plan), self.staging)
        self.rows.fill_root_keys(sorted(set(contents) - set(shown)), self.staging, append=True)
        self._again(staging.missing_of_root_keys(entity, self.rows.county_id, self.staging, self.staging))

    def _redactions(self) -> None:
        """Whoever asked not to be named is not named in rows of the past either."""
        query = redaction_query(self.plan.table)
        if query is not None:
            self.target.staging.write_redactions(self.staging, column_of(self.rows.source, query))


def window_of(plan: ReadPlan) -> Window:
    """The bounds of a plan."""
    return Window(plan.lower, str(plan.upper))


def selected(plan: ReadPlan) -> ChangeQuery:
    """The statement that a plan asks for."""
    strategy = strategy_named(plan.strategy)
    if plan.mode == "full":
        return full_query(plan.table)
    if plan.strategy == BACKFILL:
        return between_query(plan.table, window_of(plan))
    if strategy is None:
        return full_query(plan.table)
    query = strategy.select(plan.table, window_of(plan))
    return in_snapshot(query) if plan.snapshot else query


def column_of(source: SourceReader, query: ChangeQuery) -> list[str]:
    """The first column of a statement's rows, NULLs left out."""
    stream = source.stream(query.sql, query.params)
    return [str(value) for batch in stream for value in batch.column(0).to_pylist() if value is not None]


def _lines(source: SourceReader, sql: str) -> Iterator[bytes]:
    """CSV of `root_key, line`: the columns that count as one text, NULL distinct from ''."""
    for batch in source.stream(sql):
        root_key = pc.cast(batch.column(0), pa.string())
        columns = [
            pc.fill_null(pc.binary_join_element_wise("=", pc.cast(column, pa.string()), ""), "-")
            for column in batch.columns[1:]
        ]
        line = pc.binary_join_element_wise(*columns, "\x1f") if len(columns) > 1 else columns[0]
        sink = pa.BufferOutputStream()
        # PostgreSQL refuses NUL in text; here it only has to differ.
        clean = pc.replace_substring(line, "\x00", "�")
        pacsv.write_csv(
            pa.RecordBatch.from_arrays([root_key, clean], names=["root_key", "line"]),
            sink,
            pacsv.WriteOptions(include_header=False),
        )
        yield sink.getvalue().to_pybytes()
