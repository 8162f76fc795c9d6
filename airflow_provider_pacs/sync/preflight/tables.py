"""The mapped tables -> findings: their columns beside the profile, their size and how long a full load takes,
how their changes are found.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_pacs.sync.config import table_maps
from airflow_provider_pacs.sync.preflight.context import PreflightContext, in_one_line
from airflow_provider_pacs.sync.preflight.queries import count_query
from airflow_provider_pacs.sync.preflight.report import Finding, in_words
from airflow_provider_pacs.sync.preflight.resolve import ReadChoice
from airflow_provider_pacs.sync.records import Cursor
from airflow_provider_pacs.sync.runtime.errors import ConfigError, PacsError
from airflow_provider_pacs.sync.schema.columns import optional_query
from airflow_provider_pacs.sync.schema.drift import check_drift
from airflow_provider_pacs.sync.schema.tables import SourceTable

_ROWS = "SELECT SUM(p.rows) AS n FROM sys.partitions AS p WHERE p.object_id = OBJECT_ID(?) AND p.index_id < 2"
ASSUMED_ROWS_PER_SECOND = 20_000
"""Before a county's first run nobody knows better."""


def check_schema(context: PreflightContext) -> Iterator[Finding]:
    """One finding per entity: what is missing (with the nearest name), of another type, or has drifted since
    the cursor was stored.
    """
    journal = context.journal()
    states = journal.runs.cursors(context.config.fips) if journal else {}
    for entity in context.entities:
        choice = context.read_choice(entity)
        name = f"schema.{entity}"
        if isinstance(choice, PacsError):
            yield Finding(name, "schema", "fail", in_one_line(choice), choice.remedy)
        elif not choice.table.known:
            (table, *_) = context.tables(entity)
            text = (
                f"The columns of {table.text} are unknown: the catalog can't be read. The mapping's names "
                "are taken as they are."
            )
            grant = f"GRANT VIEW DEFINITION ON OBJECT::{table.quoted} TO {context.grantee};"
            yield Finding(name, "schema", "unknown", text, grant)
        else:
            yield _drifted(context, name, choice, states.get(entity))


def _drifted(context: PreflightContext, name: str, choice: ReadChoice, cursor: Cursor | None) -> Finding:
    table = choice.table
    try:
        drift = check_drift(context.config.county, table, cursor.source_columns if cursor else {})
    except ConfigError as error:
        return Finding(name, "schema", "fail", in_one_line(error), error.remedy)
    if drift:
        parts = [f"{kind} {in_words(names)}" for kind, names in drift.as_dict().items() if names]
        again = (
            ""
            if cursor is not None and cursor.schema_fingerprint == table.fingerprint
            else " The next run reads the table whole."
        )
        text = f"{table.name} drifted since the last run: {'; '.join(parts)}.{again}"
        return Finding(
            name,
            "schema",
            "warn",
            text,
            f"Nothing, unless a column is of use: then map it under tables.{table.map.entity}.columns.",
        )
    usual = table_maps(context.config)[table.map.entity]
    instead = f", in the place of {usual.table}" if usual.table != table.map.table else ""
    text = f"{len(table.mapped)} mapped columns of {table.name}{instead} are there, and of usable types"
    return Finding(name, "schema", "ok", f"{text} (fingerprint {table.fingerprint[:12]}).")


def check_sizes(context: PreflightContext) -> Iterator[Finding]:
    """Rows per table and the time of a full load; the rows of a table that the catalog does not count are
    counted only in a thorough look.
    """
    journal = context.journal()
    speeds = journal.runs.read_speeds(context.config.fips) if journal else {}
    seconds, missing = 0.0, []
    for entity in context.entities:
        rows = [_rows(context, table) for table in context.tables(entity)]
        known = [count for count in rows if count is not None]
        if not known:
            missing.append(entity)
            grants = [
                f"GRANT VIEW DEFINITION ON OBJECT::{table.quoted} TO {context.grantee};"
                for table in context.tables(entity)
            ]
            remedy = (
                " ".join(grants) if context.thorough else f"pacs check {context.config.county} counts them."
            )
            yield Finding(
                f"sizes.{entity}", "sizes", "unknown", f"The number of rows of {entity} is unknown.", remedy
            )
            continue
        speed, basis = (
            (speeds[entity], "this county's last reads")
            if entity in speeds
            else (ASSUMED_ROWS_PER_SECOND, "an assumption")
        )
        took = sum(known) / speed
        seconds += took
        whose = entity if len(rows) == 1 else f"the {len(rows)} tables of {entity}"
        text = (
            f"{sum(known):,} rows of {whose}: about {_duration(took)} to read whole, at {speed:,.0f} "
            "rows/s "
            f"({basis})."
        )
        yield Finding(f"sizes.{entity}", "sizes", "ok", text)
    if seconds or not missing:
        beside = f", {in_words(missing)} not counted" if missing else ""
        yield Finding(
            "sizes.full_load",
            "sizes",
            "ok",
            f"A full load reads for about {_duration(seconds)}, table after table{beside}.",
        )


def _rows(context: PreflightContext, table: SourceTable) -> int | None:
    rows = optional_query(context.source, _ROWS, (table.quoted,))
    if rows and rows[0]["n"] is not None:
        return int(rows[0]["n"])
    counted = optional_query(context.source, count_query(table)) if context.thorough else None
    return int(counted[0]["n"]) if counted else None


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:,.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def check_change_feeds(context: PreflightContext) -> Iterator[Finding]:
    """The strategy that finds each table's changes, and why."""
    for entity in context.entities:
        choice = context.read_choice(entity)
        if isinstance(choice, PacsError):
            yield Finding(
                f"changes.{entity}",
                "changes",
                "unknown",
                f"How {entity} is read is open until its table is as mapped.",
            )
            continue
        chosen = (
            choice.strategy != "compare" or not context.config.sync.enable_cdc or _pinned(context, entity)
        )
        remedy = "" if chosen else _what_would_show(entity, choice)
        unlock = _unlock(context, choice)
        if unseen := _unseen_by_change_tracking(choice):
            chosen, unlock = False, unseen
        yield Finding(
            f"changes.{entity}",
            "changes",
            "ok" if chosen else "warn",
            f"{entity} is read by {choice.strategy}: {choice.reason}.",
            " ".join(part for part in (remedy, unlock) if part),
        )


def _what_would_show(entity: str, choice: ReadChoice) -> str:
    """What the county could add so that a table is not read whole: a change stamp is of use only where the
    key is a GUID of one table.
    """
    missing = (
        f"Map a change column under tables.{entity}.change_column"
        if choice.table.selection is None
        else "Ask for a rowversion column in its tables (a change stamp is of no use here)"
    )
    return f"{missing}; without one a large table costs a whole read per run."


def _unseen_by_change_tracking(choice: ReadChoice) -> str:
    """What Change Tracking does not see of a table: writes into a text without an UPDATE (case 74)."""
    if choice.strategy != "change_tracking":
        return ""
    columns = {name.rpartition(".")[2]: column for name, column in choice.table.columns.items()}
    texts = [
        name
        for name in dict.fromkeys(name.rpartition(".")[2] for name in choice.table.mapped)
        if name in columns and columns[name].type_name in {"text", "ntext", "image"}
    ]
    if not texts:
        return ""
    return (
        f"UPDATETEXT and WRITETEXT change {in_words(texts)} without being tracked: only a reconcile finds "
        "that. Ask whether the county's software uses them, and have the reconcile run often."
    )


def _unlock(context: PreflightContext, choice: ReadChoice) -> str:
    """What would make a better feed usable: the grants of those that are on, or the script of the best."""
    texts = [feed.remedy.replace("{grantee}", context.grantee) for feed in choice.better if feed.is_on]
    best = next((feed for feed in choice.better if feed.is_on is not None), None)
    if best is not None and not best.is_on:
        off = best.strategy
        script = f"pacs grants {context.config.county} --{off.replace('_', '-')}"
        texts.append(f"A better feed, {off}, can be switched on: {script} prints how.")
    return " ".join(dict.fromkeys(text for text in texts if text))


def _pinned(context: PreflightContext, entity: str) -> bool:
    return entity in context.config.tables and context.config.tables[entity].mode == "compare"
