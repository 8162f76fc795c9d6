"""A county and both ends -> one claimed run with a plan per entity: migrations, the source's clock, catalog,
cursors, bounds.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import metadata
from typing import Any, Literal

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.incremental import stamps
from airflow_provider_pacs.sync.incremental.last_modified import (
    clock_query,
    is_ordered_type,
    oldest_writer_query,
    span_query,
)
from airflow_provider_pacs.sync.mapping.extra import added_since, carrying
from airflow_provider_pacs.sync.preflight.resolve import ReadChoice, resolve_tables
from airflow_provider_pacs.sync.quality import load_suite
from airflow_provider_pacs.sync.records import BACKFILL, Backfill, EntityPlan, RunKind, RunPlan
from airflow_provider_pacs.sync.runtime.errors import ConfigError, DataError, RetryableError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.columns import optional_query
from airflow_provider_pacs.sync.schema.drift import check_drift, declared_columns
from airflow_provider_pacs.sync.schema.features import read_features
from airflow_provider_pacs.sync.schema.identity import check_identity, read_identity
from airflow_provider_pacs.sync.schema.permissions import read_permissions
from airflow_provider_pacs.sync.schema.tables import source_tables
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.target.port import Target

log = logging.getLogger(__name__)

Clock = dict[str, str | int | None]


@cache
def code_version() -> str:
    """The installed version of this package."""
    return metadata.version("airflow-provider-pacs")


def shapes(
    config: CountyConfig, source: SourceReader, planned: Iterable[Mapping[str, Any]]
) -> dict[str, ResolvedTable]:
    """The county's tables as a run's plan (its rows of `run_entity`) reads them, parents first."""
    rows = {row["entity"]: row for row in planned}
    narrowed = config.model_copy(update={"sync": config.sync.model_copy(update={"entities": tuple(rows)})})
    found = resolve_tables(narrowed, source)
    chosen = {
        name: reading.dated if rows[name]["family"] == BACKFILL else reading.shape
        for name, reading in found.items()
    }
    return {name: _carrying(config, shape, rows[name]["added_columns"]) for name, shape in chosen.items()}


def _carrying(config: CountyConfig, shape: ResolvedTable, added: Sequence[str]) -> ResolvedTable:
    """The shape with the columns that came after the first load, where the county wants them."""
    return carrying(shape, added) if config.sync.new_columns == "add" else shape


def make_plan(
    config: CountyConfig,
    source: SourceReader,
    target: Target,
    *,
    kind: RunKind,
    mode: Literal["auto", "full"],
    trigger: str,
    window: Backfill | None = None,
) -> RunPlan:
    """Claim the county and plan the run. Nothing is claimed before both ends have answered.

    Args:
        config: the county.
        source: an open reader.
        target: an open target.
        kind: `sync` changes the target, `reconcile` compares and repairs, `backfill` reads `window` again.
        mode: `full` reads every table whole, `auto` the changes where a cursor allows it.
        trigger: who asked: Airflow's run id, or `cli`.
        window: of a backfill.
    """
    applied = target.migrate()
    if applied:
        log.info("%s: applied migrations %s", config.county, ", ".join(applied))
    clock, oldest = _clocks(config, source)
    tables = resolve_tables(config, source, read_features(source))
    _refuse_a_login_that_writes(config, source, tables)
    if window is not None:
        tables = {window.entity: tables[window.entity]}
    identity = read_identity(source)
    restored = check_identity(config.county, target.source_identity(config.fips), identity)
    cursors = target.states(config.fips)
    drifts = {
        name: check_drift(config.county, reading.shape, cursors.get(name, {}).get("source_columns", {}))
        for name, reading in tables.items()
    }
    if (
        restored
    ):  # recorded before anything is read, so that a run that fails now leaves no cursor that looks valid
        target.accept_source(config.fips)
    if kind != "sync":
        _let_a_sync_finish(config, target)
    epoch = target.claim(county_id=config.fips, county=config.county, name=config.name, identity=identity)
    target.drop_abandoned_stages(config.fips)
    cursors = target.states(config.fips)
    added = {
        name: added_since(reading.shape, cursors.get(name, {}).get("added_columns", ()), drifts[name].added)
        for name, reading in tables.items()
    }
    tables = {
        name: replace(reading, shape=_carrying(config, reading.shape, added[name]))
        for name, reading in tables.items()
    }
    plans = tuple(
        replace(
            _plan_window(config, source, reading.dated, cursors.get(name), window)
            if window is not None
            else _plan_entity(
                config,
                source,
                reading,
                cursors.get(name),
                clock,
                oldest,
                "full" if kind == "reconcile" else mode,
            ),
            added_columns=added[name],
        )
        for name, reading in tables.items()
    )
    plan = RunPlan(str(uuid.uuid4()), config.fips, epoch, kind, plans)
    target.open_run(
        plan,
        trigger=trigger,
        source_now=str(clock["now"]),
        identity=identity,
        config=config.fingerprint,
        code=code_version(),
    )
    for name, drift in drifts.items():
        if drift:
            told = drift.as_dict() | {
                "carried": [column for column in drift.added if column in dict(tables[name].shape.map.extra)]
            }
            target.note_event(config.fips, plan.run_id, "schema.drift", name, told)
            log.warning("%s: %s drifted at the source: %s", config.county, name, told)
    if restored:
        target.note_event(
            config.fips, plan.run_id, "source.restored", str(identity["db"]), {"fork": identity["fork"]}
        )
        log.warning(
            "%s: the source was restored since its last run: every table is read whole and compared",
            config.county,
        )
    for entity in plans:
        log.info("%s: %s reads %s (%s)", config.county, entity.entity, entity.mode, entity.reason)
    return plan


def _refuse_a_login_that_writes(
    config: CountyConfig, source: SourceReader, tables: Mapping[str, ReadChoice]
) -> None:
    """Where the county's file says `read_only: strict`, a login that could do more than read ends the run
    before it claims anything.

    Raises:
        ConfigError: it could, or the server does not say.
    """
    if config.source.read_only != "strict":
        return
    rights = read_permissions(
        source, [table for reading in tables.values() for table in source_tables(reading.shape)]
    )
    if rights.beyond_reading or not rights.is_known:
        told = (
            f"could do more than read: {rights.beyond_reading}"
            if rights.beyond_reading
            else "has rights that the server does not tell"
        )
        raise ConfigError(
            f"{config.county}: the source's login {told} (source.read_only is strict)",
            remedy=f"use a login with what `pacs grants {config.county}` prints, or set source.read_only: warn",  # noqa: E501
        )


def _let_a_sync_finish(config: CountyConfig, target: Target) -> None:
    """A reconcile or a decision that is due while a sync runs waits for it; a sync that was killed holds
    nobody up for longer than its time limit.

    Raises:
        RetryableError: PACS-008, a sync of the county is at work.
    """
    at_work = target.sync_at_work(config.fips, config.sync.timeout_minutes)
    if at_work is not None:
        raise RetryableError(
            f"{config.county}: a sync of this county is at work (run {at_work})",
            remedy="try again when it has ended; the next sync takes over from one that was killed",
            code="PACS-008",
        )


def map_fingerprint(shape: ResolvedTable) -> str:
    """Of all that decides what a source row becomes: the names, and the rules it must pass.

    Another one means that every row is read again.
    """
    rules = repr(load_suite(load_entities()[shape.map.entity]))
    return hashlib.sha256((shape.map.fingerprint + rules).encode()).hexdigest()


def _clocks(config: CountyConfig, source: SourceReader) -> tuple[Clock, str | None]:
    """The source's clock, once for all entities, and when its oldest open writer began (None: nobody writes,
    or unknown).
    """
    clock = source.query(clock_query(config.sync.clock).sql)[0]
    writers = optional_query(source, oldest_writer_query(config.sync.clock).sql)
    return clock, writers[0]["oldest"] if writers else None


def _plan_entity(
    config: CountyConfig,
    source: SourceReader,
    reading: ReadChoice,
    state: dict[str, object] | None,
    clock: Clock,
    oldest: str | None,
    mode: str,
) -> EntityPlan:
    shape = reading.shape
    full_because = _full_because(reading, state, mode)
    cursor = str(state["watermark"]) if state and full_because is None else None
    lower = upper = None
    if (found := stamps(shape)) is not None:
        query = found.bounds(
            str(shape.change_type),
            now=str(clock["now"]),
            cursor=cursor,
            oldest=oldest,
            lag_seconds=config.sync.lag_seconds,
            overlap_minutes=config.sync.overlap_minutes,
            offset_minutes=int(clock["tz_offset_min"] or 0) if config.sync.clock == "local" else 0,
        )
        bounds = source.query(query.sql, query.params)[0]
        lower, upper = bounds["lo"], bounds["hi"]
    return EntityPlan(
        entity=shape.map.entity,
        mode="full" if full_because else "changes",
        family=reading.family,
        reason=full_because or reading.reason,
        lower=None if full_because else lower,
        upper=upper,
        change_type=shape.change_type,
        map_fingerprint=map_fingerprint(shape),
        schema_fingerprint=shape.fingerprint,
        source_columns=declared_columns(shape),
    )


def _plan_window(
    config: CountyConfig,
    source: SourceReader,
    shape: ResolvedTable,
    state: dict[str, object] | None,
    window: Backfill,
) -> EntityPlan:
    """The plan of a backfill, its bounds as the source understands them.

    Raises:
        ConfigError: the table has no change column of a date type; a bound is no moment of it, or the window
            holds none; it was never loaded.
    """
    if state is None:
        raise ConfigError(
            f"{config.county}: {window.entity} was never loaded",
            remedy=f"load it first: pacs sync {config.county}",
        )
    column = shape.map.change_column
    if not is_ordered_type(shape.change_type):
        raise ConfigError(
            f"{config.county}: {window.entity} has no change column of a date type, so no window of it can "
            "be read",
            remedy=f"read the table whole: pacs sync {config.county} --full",
        )
    query = span_query(str(shape.change_type), window.since, window.until)
    try:
        span = source.query(query.sql, query.params)[0]
    except DataError as error:
        told = (
            f"{config.county}: {window.since!r} or {window.until!r} is no moment of {column} "
            f"({shape.change_type})"
        )
        raise ConfigError(told, remedy="write 2026-01-31, or 2026-01-31 06:00:00") from error
    if not span["forward"]:
        raise ConfigError(
            f"{config.county}: no moment lies in [{span['lo']}, {span['hi']})",
            remedy="the window's end is not part of it: move it",
        )
    return EntityPlan(
        entity=window.entity,
        mode="changes",
        family=BACKFILL,
        reason=f"backfill of {column} in [{span['lo']}, {span['hi']})",
        lower=span["lo"],
        upper=span["hi"],
        change_type=shape.change_type,
        map_fingerprint=map_fingerprint(shape),
        schema_fingerprint=shape.fingerprint,
        source_columns=declared_columns(shape),
    )


def _full_because(reading: ReadChoice, state: dict[str, object] | None, mode: str) -> str | None:
    """Why the whole table is read, or None where the cursor can be used."""
    shape = reading.shape
    if mode == "full":
        return "a full read was asked for"
    if state is None:
        return "first load"
    if reading.family == "compare":
        return reading.reason
    if state["watermark"] is None:
        return "the cursor was set back: the source was restored, or accepted after a change"
    if state["map_fingerprint"] != map_fingerprint(shape):
        return "the mapping or the quality suite changed since the cursor was stored"
    if state["schema_fingerprint"] != shape.fingerprint or state["watermark_type"] != shape.change_type:
        return "the source's table or its columns changed since the cursor was stored"
    return None
