"""A county and both ends -> one claimed run with a plan per entity: migrations, the source's clock, catalog, cursors, bounds."""

from __future__ import annotations

import hashlib
import logging
import uuid
from dataclasses import asdict
from functools import cache
from importlib import metadata
from typing import Literal

from airflow_provider_pacs.sync.changes import choose
from airflow_provider_pacs.sync.changes.ordered import bounds_query, clock_query, is_ordered_type, oldest_writer_query
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.mapping import refuse_misfits
from airflow_provider_pacs.sync.profiles import load_tables
from airflow_provider_pacs.sync.quality import load_suite
from airflow_provider_pacs.sync.results import EntityPlan, RunPlan
from airflow_provider_pacs.sync.source.catalog import TableShape, describe, optional_query
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.target.port import Target

log = logging.getLogger(__name__)

Clock = dict[str, str | int | None]


@cache
def code_version() -> str:
    """The installed version of this package."""
    return metadata.version("airflow-provider-pacs")


def shapes(config: CountyConfig, source: SourceReader) -> dict[str, TableShape]:
    """The county's tables as the source's catalog has them, parents first.

    Raises:
        ConfigError: PACS-003, a mapped table or column is not there, or a column's type can't be what it is mapped to.
    """
    tables = load_tables(config.source.profile, {name: asdict(table) for name, table in config.tables.items()})
    wanted = set(config.sync.entities)
    found = {name: describe(source, tables[name]) for name in load_entities() if name in wanted}
    for shape in found.values():
        refuse_misfits(shape)
    return found


def make_plan(
    config: CountyConfig, source: SourceReader, target: Target, *, kind: Literal["sync", "reconcile"], mode: Literal["auto", "full"], trigger: str
) -> RunPlan:
    """Claim the county and plan the run. Nothing is claimed before both ends have answered.

    Args:
        config: the county.
        source: an open reader.
        target: an open target.
        kind: `sync` changes the target, `reconcile` compares and repairs.
        mode: `full` reads every table whole, `auto` the changes where a cursor allows it.
        trigger: who asked: Airflow's run id, or `cli`.
    """
    applied = target.migrate()
    if applied:
        log.info("%s: applied migrations %s", config.county, ", ".join(applied))
    clock, oldest = _clocks(config, source)
    tables = shapes(config, source)
    epoch = target.claim(county_id=config.fips, county=config.county, name=config.name)
    target.drop_abandoned_stages(config.fips)
    cursors = target.states(config.fips)
    plans = tuple(
        _plan_entity(config, source, shape, cursors.get(name), str(clock["now"]), oldest, "full" if kind == "reconcile" else mode)
        for name, shape in tables.items()
    )
    plan = RunPlan(str(uuid.uuid4()), config.fips, epoch, kind, plans)
    identity = {"server": clock["server"], "database": clock["db"], "tz_offset_min": clock["tz_offset_min"]}
    target.open_run(plan, trigger=trigger, source_now=str(clock["now"]), identity=identity, config=config.fingerprint, code=code_version())
    for entity in plans:
        log.info("%s: %s reads %s (%s)", config.county, entity.entity, entity.mode, entity.reason)
    return plan


def map_fingerprint(shape: TableShape) -> str:
    """Of all that decides what a source row becomes: the names, and the rules it must pass. Another one means that every row is read again."""
    rules = repr(load_suite(load_entities()[shape.map.entity]))
    return hashlib.sha256((shape.map.fingerprint + rules).encode()).hexdigest()


def _clocks(config: CountyConfig, source: SourceReader) -> tuple[Clock, str | None]:
    """The source's clock, once for all entities, and when its oldest open writer began (None: nobody writes, or unknown)."""
    clock = source.query(clock_query(config.sync.clock).sql)[0]
    writers = optional_query(source, oldest_writer_query(config.sync.clock).sql)
    return clock, writers[0]["oldest"] if writers else None


def _plan_entity(
    config: CountyConfig, source: SourceReader, shape: TableShape, state: dict[str, object] | None, now: str, oldest: str | None, mode: str
) -> EntityPlan:
    family, reason = choose(shape, enable_cdc=config.sync.enable_cdc)
    full_because = _full_because(shape, state, family, mode)
    cursor = str(state["watermark"]) if state and full_because is None else None
    lower = upper = None
    if is_ordered_type(shape.change_type):
        query = bounds_query(
            str(shape.change_type),
            now=now,
            cursor=cursor,
            oldest=oldest,
            lag_seconds=config.sync.lag_seconds,
            overlap_minutes=config.sync.overlap_minutes,
        )
        bounds = source.query(query.sql, query.params)[0]
        lower, upper = bounds["lo"], bounds["hi"]
    return EntityPlan(
        entity=shape.map.entity,
        mode="full" if full_because else "changes",
        family=family,
        reason=full_because or reason,
        lower=None if full_because else lower,
        upper=upper,
        change_type=shape.change_type,
        map_fingerprint=map_fingerprint(shape),
        schema_fingerprint=shape.fingerprint,
    )


def _full_because(shape: TableShape, state: dict[str, object] | None, family: str, mode: str) -> str | None:
    """Why the whole table is read, or None where the cursor can be used."""
    if mode == "full":
        return "a full read was asked for"
    if state is None or state["watermark"] is None:
        return "first load" if state is None else choose(shape, enable_cdc=family != "compare")[1]
    if family == "compare":
        return "every run reads the table whole and compares"
    if state["map_fingerprint"] != map_fingerprint(shape):
        return "the mapping or the quality suite changed since the cursor was stored"
    if state["schema_fingerprint"] != shape.fingerprint or state["watermark_type"] != shape.change_type:
        return "the source's columns changed since the cursor was stored"
    return None
