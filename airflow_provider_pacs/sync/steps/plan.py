"""A county and both ends -> one claimed run with a `ReadPlan` per entity: the only step that asks the
catalog.

The source's clock, its catalog, the cursors and the bounds are resolved once, for all entities, and stored
with the run. The later steps execute what is stored.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.incremental import COMPARE, LAST_MODIFIED, bounding, strategy_named
from airflow_provider_pacs.sync.incremental.last_modified import (
    clock_query,
    is_ordered_type,
    oldest_writer_query,
    span_query,
)
from airflow_provider_pacs.sync.incremental.strategy import (
    BoundsRequest,
    DeleteFeed,
    lost_because,
)
from airflow_provider_pacs.sync.mapping.extra import added_since, carrying
from airflow_provider_pacs.sync.preflight.resolve import ReadChoice, resolve_tables
from airflow_provider_pacs.sync.quality import load_suite
from airflow_provider_pacs.sync.records import (
    BACKFILL,
    MAPPING_VERSION,
    Backfill,
    Cursor,
    ReadPlan,
    RunPlan,
    RunRequest,
    SourceMoment,
)
from airflow_provider_pacs.sync.runtime.errors import ConfigError, DataError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.columns import optional_query
from airflow_provider_pacs.sync.schema.drift import Drift, check_drift, declared_columns
from airflow_provider_pacs.sync.schema.features import SourceFeatures, read_features
from airflow_provider_pacs.sync.schema.identity import check_identity, read_identity
from airflow_provider_pacs.sync.schema.stamping import has_moments, next_cursor_query
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.source.security import check_weak_settings
from airflow_provider_pacs.sync.steps import preconditions
from airflow_provider_pacs.sync.steps.hold import refuse_held
from airflow_provider_pacs.sync.steps.lost_capture import refuse_a_lost_capture
from airflow_provider_pacs.sync.target.port import Target

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Source:
    """What the source said when the run was planned."""

    moment: SourceMoment
    offset_minutes: int
    server_offset_minutes: int
    oldest: str | None


@cache
def code_version() -> str:
    """The installed version of this package."""
    return metadata.version("airflow-provider-pacs")


def make_plan(config: CountyConfig, source: SourceReader, target: Target, request: RunRequest) -> RunPlan:
    """Claim the county and plan the run. Nothing is claimed before both ends have answered.

    Raises:
        ConfigError: a table, a column, a grant or a setting must be changed first.
        RetryableError: PACS-008, another run of the county is at work; or an end can't be reached now.
        ConflictError: PACS-011, the county is on hold.
    """
    if applied := target.migrate():
        log.info("%s: applied migrations %s", config.county, ", ".join(applied))
    refuse_held(config, target, request.kind)
    promoted = preconditions.promoted(config, target)
    preconditions.let_others_finish(config, target, request.kind)
    now = _source_now(config, source)
    features = read_features(source)
    choices = _wanted(resolve_tables(config, source, features), request)
    preconditions.refuse_a_login_that_writes(config, source, choices)
    preconditions.refuse_another_clock(config, source, choices, now.server_offset_minutes)
    weak_source = tuple(
        setting.text
        for setting in check_weak_settings(
            config.county, source.facts(), strict=config.source.tls == "strict"
        )
    )
    weak_target = preconditions.weak_target(config, target)
    identity = read_identity(source)
    restored = check_identity(config.county, target.runs.source_identity(config.fips), identity)
    cursors = target.runs.cursors(config.fips)
    drifts = {
        name: check_drift(
            config.county, choice.table, cursors[name].source_columns if name in cursors else {}
        )
        for name, choice in choices.items()
    }
    if restored:
        # Recorded before anything is read, so that a run that fails now leaves no cursor that looks valid.
        target.runs.accept_source(config.fips)
    if request.kind in ("sync", "reconcile", "realtime") and not (restored or _asked_for_all(request)):
        refuse_a_lost_capture(config, choices, cursors)
    epoch = target.runs.claim(
        county_id=config.fips,
        county=config.county,
        name=config.name,
        identity=identity,
        turn=preconditions.turn_of(config, request.kind),
    )
    target.staging.drop_abandoned(config.fips)
    planner = _Planner(config, source, target, request, now, features)
    plans = tuple(
        replace(planner.plan(choice, drifts[name]), promoted=promoted.get(name, ()))
        for name, choice in choices.items()
    )
    plan = RunPlan(str(uuid.uuid4()), config.fips, epoch, request.kind, plans)
    target.runs.open(
        plan,
        trigger=request.trigger,
        moment=now.moment,
        identity=identity,
        config=config.fingerprint,
        code=code_version(),
        one_process=request.one_process,
    )
    _report(config, target, plan, drifts, identity if restored else None)
    for end, weak in (("source", weak_source), ("target", weak_target)):
        if weak:
            target.runs.event(config.fips, plan.run_id, "tls.weak", end, {"settings": list(weak)})
    return plan


def _wanted(choices: dict[str, ReadChoice], request: RunRequest) -> dict[str, ReadChoice]:
    """The entities that the run is about, parents first."""
    if request.window is not None:
        return {request.window.entity: choices[request.window.entity]}
    if request.kind == "realtime":
        return {name: choice for name, choice in choices.items() if choice.strategy != COMPARE}
    if request.kind == "approval":
        entities = {pending.entity for pending in request.approved}
        return {name: choice for name, choice in choices.items() if name in entities}
    return choices


def _report(
    config: CountyConfig,
    target: Target,
    plan: RunPlan,
    drifts: Mapping[str, Drift],
    restored: Mapping[str, str | None] | None,
) -> None:
    carried = {entity.entity: dict(entity.table.map.extra) for entity in plan.entities}
    for name, drift in drifts.items():
        if drift:
            details = drift.as_dict() | {
                "carried": [column for column in drift.added if column in carried[name]]
            }
            target.runs.event(config.fips, plan.run_id, "schema.drift", name, details)
            log.warning("%s: %s drifted at the source: %s", config.county, name, details)
    if restored is not None:
        database = str(restored["db"])
        target.runs.event(config.fips, plan.run_id, "source.restored", database, {"fork": restored["fork"]})
        log.warning(
            "%s: the source was restored since its last run: every table is read whole and compared",
            config.county,
        )
    for entity in plan.entities:
        log.info("%s: %s reads %s (%s)", config.county, entity.entity, entity.mode, entity.reason)


def _asked_for_all(request: RunRequest) -> bool:
    """Whether somebody wants every row to be read, and so goes on by whatever fits."""
    return request.kind == "sync" and request.mode == "full"


def _source_now(config: CountyConfig, source: SourceReader) -> _Source:
    """The source's clock, once for all entities, and when its oldest open writer began.

    None: nobody writes, or it is unknown.
    """
    ahead = config.sync.clock_offset_minutes or 0
    clock = source.query(clock_query(config.sync.clock, ahead).sql)[0]
    writers = optional_query(source, oldest_writer_query(config.sync.clock, ahead).sql)
    utc = datetime.fromisoformat(str(clock["utc"])[:19]).replace(tzinfo=UTC)
    moment = SourceMoment(
        str(clock["now"]), str(clock["utc"]), utc.astimezone(ZoneInfo(config.timezone)).year
    )
    server = int(clock["tz_offset_min"] or 0)
    return _Source(
        moment,
        server if config.sync.clock == "local" else 0,
        server,
        writers[0]["oldest"] if writers else None,
    )


def fingerprint(
    config: CountyConfig, table: ResolvedTable, strategy: str, settings: Sequence[str] = ()
) -> str:
    """SHA-256 (hex) of all that decides what a source row becomes: another one means that every row is read
    again.

    The mapping and its version, the profile with the county's options and names, the rules, the strategy, the
    clock and the zone that stamps are read in, and the values of options that live in the source.
    """
    parts = [
        table.map.fingerprint,
        repr(load_suite(load_entities()[table.map.entity])),
        MAPPING_VERSION,
        strategy,
        config.source.profile,
        config.sync.clock,
        config.timezone,
        config.sync.new_columns,
        list(settings),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class _Planner:
    """What the plans of one run share."""

    def __init__(
        self,
        config: CountyConfig,
        source: SourceReader,
        target: Target,
        request: RunRequest,
        now: _Source,
        features: SourceFeatures,
    ) -> None:
        self._config, self._source, self._target = config, source, target
        self._request, self._now, self._features = request, now, features
        self._uppers: dict[str, str | None] = {}
        self._cursors = target.runs.cursors(config.fips)  # after the claim: nobody else moves them now
        self._clocks = target.runs.last_source_utc(config.fips)

    def plan(self, choice: ReadChoice, drift: Drift) -> ReadPlan:
        """The plan of one entity."""
        cursor = self._cursors.get(choice.table.map.entity)
        added = added_since(choice.table, cursor.added_columns if cursor else (), drift.added)
        table = carrying(choice.table, added) if self._config.sync.new_columns == "add" else choice.table
        if self._request.window is not None:
            dated = carrying(choice.dated, added) if self._config.sync.new_columns == "add" else choice.dated
            # The meaning of its rows is that of the county's own reading, which the cursor was stored with.
            print_ = fingerprint(self._config, table, choice.strategy, self._settings(table))
            planned = self._window(dated, cursor, self._request.window)
            return replace(planned, fingerprint=print_, added_columns=added)
        planned = replace(self._changes(choice, table, cursor), added_columns=added)
        if self._request.kind == "approval":
            return self._approval(planned)
        return planned

    def _changes(self, choice: ReadChoice, table: ResolvedTable, cursor: Cursor | None) -> ReadPlan:
        settings = self._settings(table)
        print_ = fingerprint(self._config, table, choice.strategy, settings)
        compares = self._request.kind == "reconcile"
        why_full = self._full_because(choice, table, cursor, print_)
        strategy = strategy_named(choice.strategy)
        bounds = self._bounds(table, choice.strategy, None if why_full else cursor)
        if strategy is not None and cursor is not None and (why_full is None or cursor.feed is not None):
            lost = lost_because(strategy, bounds, cursor.feed)
            if lost is not None and cursor.feed is not None:
                # Recorded at once: what was switched off may be on again before a run comes to its end.
                self._target.runs.distrust_feed(self._config.fips, cursor.entity)
                another = cursor.feed != bounds.get("feed")
                if cursor.strategy == choice.strategy:  # another strategy can't read its cursor
                    bounds = self._bounds(table, choice.strategy, cursor, lost=another)
            why_full = why_full or lost
        lower, upper = bounds["lo"], bounds["hi"]
        return ReadPlan(
            table=table,
            mode="full" if why_full else "window",
            strategy=choice.strategy,
            reason=why_full or choice.reason,
            lower=None if why_full else lower,
            upper=upper,
            cursor=self._next_cursor(table, choice.strategy, upper),
            change_type=table.change_type,
            fingerprint=print_,
            schema_fingerprint=table.fingerprint,
            source_columns=declared_columns(table),
            probes_deletes=strategy is None or not strategy.shows_deletes,
            compares=compares,
            feed=bounds.get("feed"),
            snapshot=self._features.snapshot_isolation is True and isinstance(strategy, DeleteFeed),
        )

    def _next_cursor(self, table: ResolvedTable, strategy: str, upper: str | None) -> str | None:
        """Where the next window begins: a LastModified cursor follows the stamps, whoever's clock writes
        them.
        """
        if upper is None or strategy != LAST_MODIFIED or not has_moments(table):
            return upper
        query = next_cursor_query(table, upper)
        return str(self._source.query(query.sql, query.params)[0]["cursor"])

    def _settings(self, table: ResolvedTable) -> tuple[str, ...]:
        """Values of options that live in the source, such as the future year of a roll."""
        settings = table.selection.settings if table.selection else ()
        values = []
        for name, sql in settings:
            rows = self._source.query(sql)
            values.append(f"{name}={next(iter(rows[0].values())) if rows else None}")
        return tuple(values)

    def _bounds(
        self, table: ResolvedTable, name: str, cursor: Cursor | None, *, lost: bool = False
    ) -> Mapping[str, Any]:
        """The row of the strategy's bounds; entities that share a strategy may share its upper bound."""
        strategy = bounding(table, name)
        if strategy is None:
            return {"lo": None, "hi": None}
        config = self._config.sync
        query = strategy.bounds(
            BoundsRequest(
                change_type=str(table.change_type),
                now=self._now.moment.now,
                cursor=cursor.watermark if cursor else None,
                oldest=self._now.oldest,
                lag_seconds=config.lag_seconds,
                overlap_minutes=config.overlap_minutes,
                offset_minutes=self._now.offset_minutes,
                table=table,
                upper=self._uppers.get(strategy.name),
                lost=lost,
            )
        )
        row = self._source.query(query.sql, query.params)[0]
        self._uppers.setdefault(strategy.name, row["hi"])
        return row

    def _full_because(
        self, choice: ReadChoice, table: ResolvedTable, cursor: Cursor | None, print_: str
    ) -> str | None:
        """Why the whole table is read, or None where the cursor can be used."""
        if self._request.kind == "reconcile":
            return "every row is compared with what is published"
        if self._request.mode == "full":
            return "a full read was asked for"
        if cursor is None:
            return "first load"
        if choice.strategy == COMPARE:
            return choice.reason
        if cursor.watermark is None:
            return "the cursor was set back: the source was restored, or accepted after a change"
        if cursor.schema_fingerprint != table.fingerprint or cursor.watermark_type != table.change_type:
            return "the source's table or its columns changed since the cursor was stored"
        if cursor.fingerprint != print_:
            return "the mapping, an option or the quality suite changed since the cursor was stored"
        last = self._clocks.get(cursor.entity)
        if choice.strategy == LAST_MODIFIED and last is not None and self._now.moment.utc < last:
            return "the source's clock was set back since the cursor was stored"
        return None

    def _window(self, table: ResolvedTable, cursor: Cursor | None, window: Backfill) -> ReadPlan:
        """The plan of a backfill, its bounds as the source understands them.

        Raises:
            ConfigError: the table has no change column of a date type; a bound is no moment of it, or the
                window holds none; it was never loaded.
        """
        county = self._config.county
        if cursor is None:
            raise ConfigError(
                f"{county}: {window.entity} was never loaded", remedy=f"load it first: pacs sync {county}"
            )
        column = table.map.change_column
        if not is_ordered_type(table.change_type):
            raise ConfigError(
                f"{county}: {window.entity} has no change column of a date type, so no window of it can be "
                "read",
                remedy=f"read the table whole: pacs sync {county} --full",
            )
        query = span_query(str(table.change_type), window.since, window.until)
        try:
            span = self._source.query(query.sql, query.params)[0]
        except DataError as error:
            raise ConfigError(
                f"{county}: {window.since!r} or {window.until!r} is no moment of {column} "
                f"({table.change_type})",
                remedy="write 2026-01-31, or 2026-01-31 06:00:00",
            ) from error
        if not span["forward"]:
            raise ConfigError(
                f"{county}: no moment lies in [{span['lo']}, {span['hi']})",
                remedy="the window's end is not part of it: move it",
            )
        return ReadPlan(
            table=table,
            mode="window",
            strategy=BACKFILL,
            reason=f"backfill of {column} in [{span['lo']}, {span['hi']})",
            lower=span["lo"],
            upper=span["hi"],
            change_type=table.change_type,
            fingerprint="",
            schema_fingerprint=table.fingerprint,
            source_columns=declared_columns(table),
            probes_deletes=False,
        )

    def _approval(self, planned: ReadPlan) -> ReadPlan:
        """The keys of approved sets, looked at again at the source."""
        sets = [pending for pending in self._request.approved if pending.entity == planned.entity]
        keys = [key for pending in sets for key in self._target.approvals.keys(pending.pending_id)]
        return replace(
            planned,
            mode="keys",
            lower=None,
            reason=f"{len(keys)} rows of {len(sets)} approved set(s) are looked at again",
            probes_deletes=False,
            keys=tuple(dict.fromkeys(keys)),
            pending_ids=tuple(pending.pending_id for pending in sets),
        )
