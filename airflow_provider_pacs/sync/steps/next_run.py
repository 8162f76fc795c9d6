"""What the next run will read: such differences are newer than the run that is certified."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.incremental import (
    COMPARE,
    LAST_MODIFIED,
    bounding,
    gone_query,
    joined,
    root_keys_query,
    strategy_named,
)
from airflow_provider_pacs.sync.incremental.last_modified import clock_query
from airflow_provider_pacs.sync.incremental.statements import Window, key_list_query
from airflow_provider_pacs.sync.incremental.strategy import (
    BoundsRequest,
    IncrementalStrategy,
    LaggingFeed,
)
from airflow_provider_pacs.sync.records import BACKFILL, EntityRun, RowDifference
from airflow_provider_pacs.sync.steps.extract import column_of
from airflow_provider_pacs.sync.steps.source_rows import SourceRows
from airflow_provider_pacs.sync.target.port import Target

CATCH_UP_SECONDS, LOOK_SECONDS = 330.0, 2.0
"""How long a certificate waits for a feed that lags behind the source, and how often it looks: an idle
capture process gives a sign of life every five minutes.
"""
_Shown = TypeVar("_Shown", list[RowDifference], set[str])


def _root_of(key: str) -> str:
    """The root key of a joined entity's key."""
    return key.split("/")[0]


def _spelt(key: str) -> str:
    """A key in one spelling: a GUID in lower case with its dashes, however its table spells it."""
    try:
        return str(UUID(key.strip()))
    except ValueError:
        return key.lower()


class NextRun:
    """The run after the one that is certified, of one entity."""

    def __init__(self, config: CountyConfig, target: Target, row: EntityRun, rows: SourceRows) -> None:
        self.config, self.target, self.row, self.rows = config, target, row, rows
        self.plan = row.read_plan

    def gone(self, keys: set[str]) -> set[str]:
        """Those of the keys of which the strategy's feed shows a change since the run's bound."""
        return self._once_caught_up(partial(self._shown_gone, keys), len(keys))

    def _shown_gone(self, keys: set[str]) -> set[str]:
        table, strategy = self.plan.table, strategy_named(self.plan.strategy)
        if strategy is None:
            return set()
        since = Window(self.plan.upper, str(self._bounds(strategy, None)["hi"]))
        for query, part in (
            (gone_query(table, self.plan.strategy, since), _spelt),
            (root_keys_query(table, self.plan.strategy, since), _root_of),
        ):
            if query is not None:
                shown = {part(key) for key in column_of(self.rows.source, query)}
                return {key for key in keys if part(key) in shown}
        return set()

    def newer(self, differences: Sequence[RowDifference]) -> list[RowDifference]:
        """Differences that the next run reads: the source moved on, and what this run read is what is
        published.
        """
        moved = [each for each in differences if each.changed_since_read]
        if not moved:
            return []

        # Only windows of stamps also read every row without one; a feed shows a change whatever the row says.
        reads_unstamped = self.plan.strategy == LAST_MODIFIED

        def shown() -> list[RowDifference]:
            reachable = self._reachable_keys()
            return [
                each
                for each in moved
                if each.kind == "extra_in_target"
                or (each.unstamped and reads_unstamped)
                or reachable is None
                or _spelt(each.key) in reachable
            ]

        return self._once_caught_up(shown, len(moved))

    def _once_caught_up(self, shown: Callable[[], _Shown], wanted: int) -> _Shown:
        """What the strategy's feed shows; asked again while it lags behind the source and does not show all
        that was wanted.
        """
        strategy, answer = strategy_named(self.plan.strategy), shown()
        if not isinstance(strategy, LaggingFeed):
            return answer
        moment = str(self.rows.source.query(clock_query("local").sql)[0]["now"])
        deadline = time.monotonic() + CATCH_UP_SECONDS
        while len(answer) < wanted and time.monotonic() < deadline:
            query = strategy.caught_up(moment)
            caught_up = self.rows.source.query(query.sql, query.params)[0]["caught_up"] == 1
            if not caught_up:
                time.sleep(LOOK_SECONDS)
            answer = shown()
            if caught_up:
                break
        return answer

    def _reachable_keys(self) -> set[str] | None:
        """Keys that the next run's window will read; None where it reads every row, or compares contents, of
        which no bound tells what is newer.
        """
        if self.plan.strategy == BACKFILL:
            return set()
        strategy = bounding(self.plan.table, self.plan.strategy)
        reads_all = self.plan.strategy == COMPARE or bool(joined.probes(self.plan.table))
        if strategy is None or self.plan.upper is None or reads_all:
            return None
        bounds = self._bounds(strategy, self.plan.upper)
        late = strategy.late(self.plan.table)
        keys = key_list_query(self.plan.table, late, bounds["lo"])
        stream = self.rows.source.stream(keys.sql, keys.params)
        return {_spelt(str(key)) for batch in stream for key in batch.column(0).to_pylist() if key}

    def _bounds(self, strategy: IncrementalStrategy, upper: str | None) -> dict[str, Any]:
        """The bounds of the next run's window, up to a bound or, with None, as far as the source is now."""
        query = strategy.bounds(
            BoundsRequest(
                change_type=str(self.plan.change_type),
                now=str(self.target.runs.run(str(self.row.run_id)).source_now),
                cursor=self.plan.cursor or self.plan.upper,
                oldest=None,
                lag_seconds=self.config.sync.lag_seconds,
                overlap_minutes=self.config.sync.overlap_minutes,
                offset_minutes=self._offset_minutes(),
                table=self.plan.table,
                upper=upper,
            )
        )
        return self.rows.source.query(query.sql, query.params)[0]

    def _offset_minutes(self) -> int:
        """How far the clock of the windows is ahead of UTC; only a datetimeoffset needs to know."""
        if self.config.sync.clock != "local" or "datetimeoffset" not in str(self.plan.change_type):
            return 0
        query = clock_query(self.config.sync.clock, self.config.sync.clock_offset_minutes or 0)
        return int(self.rows.source.query(query.sql)[0]["tz_offset_min"] or 0)
