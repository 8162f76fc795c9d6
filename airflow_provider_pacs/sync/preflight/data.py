"""Some rows of each mapped table -> findings: stamps, sentinel dates, top codes, duplicates, colliding keys.

Counts alone for what is personal.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.incremental.last_modified import is_ordered_type
from airflow_provider_pacs.sync.preflight import queries
from airflow_provider_pacs.sync.preflight.context import PreflightContext, attempt
from airflow_provider_pacs.sync.preflight.report import Finding, State, in_words
from airflow_provider_pacs.sync.schema.stamping import MOMENTS
from airflow_provider_pacs.sync.schema.tables import SourceTable

_TEXTS = frozenset({"char", "varchar", "nchar", "nvarchar"})
_CODE_BYTES = 120
"""A code is no longer than this; whatever is, is prose."""
_MOST_CODES = 60
AHEAD_MINUTES = 50
"""Fewer are a clock that is off, more are a time zone."""
_OFTEN = 5
"""A value that fewer rows have is not shown: it may be about somebody."""


def check_data(context: PreflightContext) -> Iterator[Finding]:
    """Findings per table; one that may not be read, or whose types are unknown, is `unknown`."""
    for entity in context.entities:
        for table in context.tables(entity):
            name = context.name("data", table)
            if not table.declared:
                yield Finding(
                    name,
                    "data",
                    "unknown",
                    f"The data of {table.text} was not looked at: its columns' types are unknown.",
                )
                continue
            grant = f"GRANT SELECT ON OBJECT::{table.quoted} TO {context.grantee};"
            for part, look in (
                ("stamps", _stamps),
                ("dates", _dates),
                ("codes", _codes),
                ("keys", _keys),
                ("personal", _personal),
            ):
                yield from attempt(f"{name}.{part}", "data", partial(look, context, table), grant)


def _of(n: int) -> str:
    """How many rows were looked at."""
    return f"{n:,} rows" if n < queries.MOST_ROWS else f"the first {n:,} rows that came"


def _stamps(context: PreflightContext, table: SourceTable) -> Iterator[Finding]:
    column = table.change_column
    if column is None or context.source_now is None or not is_ordered_type(table.declared[column].declared):
        return
    row = context.source.query(queries.stamps_query(table, column), (context.source_now,))[0]
    if table.declared[column].type_name in MOMENTS:
        yield from _stamps_ahead(context, table, row["ahead"])
    odd = [f"{row['missing']:,} have no {column}"] * bool(row["missing"]) + [
        f"{row['future']:,} are stamped over a day ahead"
    ] * bool(row["future"])
    text = (
        f"Of {_of(row['n'])} of {table.text} {' and '.join(odd)}"
        if odd
        else f"Every stamp of {_of(row['n'])} of {table.text} is usable"
    )
    newest = (
        f"; the newest is {row['newest']}, the source's clock says {context.source_now}"
        if row["newest"]
        else ""
    )
    remedy = (
        "These rows are read again in every run, so none is lost; correct the stamps at the source."
        if odd
        else ""
    )
    yield Finding(
        f"{context.name('data', table)}.stamps", "data", "warn" if odd else "ok", f"{text}{newest}.", remedy
    )


def _stamps_ahead(context: PreflightContext, table: SourceTable, ahead: int | None) -> Iterator[Finding]:
    """Stamps an hour or more ahead come from another clock: such rows are read that much later, never
    earlier.
    """
    if ahead is None or ahead < AHEAD_MINUTES:
        return
    text = (
        f"The newest stamp of {table.text} is {ahead:,} minutes ahead of the clock that the county's file "
        "names: another machine, or UTC, stamps its rows."
    )
    remedy = (
        "Set sync.clock: utc or sync.clock_offset_minutes; until then such rows are read that much later."
    )
    yield Finding(f"{context.name('data', table)}.clock", "data", "warn", text, remedy)


def _dates(context: PreflightContext, table: SourceTable) -> Iterator[Finding]:
    columns = [column for column in table.columns if is_ordered_type(table.declared[column].declared)]
    if not columns:
        return
    row = context.source.query(queries.dates_query(table, columns))[0]
    sentinels = [
        f"{row[f'c{number}_{day}']:,} x {day[:4]}-{day[4:6]}-{day[6:]} in {column}"
        for number, column in enumerate(columns)
        for day in queries.SENTINELS
        if row[f"c{number}_{day}"]
    ]
    if sentinels:
        text = f"{table.text} has days that often stand for none, in {_of(row['n'])}: {in_words(sentinels)}."
        yield Finding(
            f"{context.name('data', table)}.dates",
            "data",
            "warn",
            text,
            "Ask the county what they mean; they are carried over as they are.",
        )
    else:
        yield Finding(
            f"{context.name('data', table)}.dates",
            "data",
            "ok",
            f"No 1900-01-01 and no 1980-01-01 in {_of(row['n'])} of {table.text}.",
        )


def _codes(context: PreflightContext, table: SourceTable) -> Iterator[Finding]:
    for column in (column for column in table.columns if _is_code(table, column)):
        if context.source.query(queries.distinct_query(table, column))[0]["n"] > _MOST_CODES:
            continue
        rows = context.source.query(queries.values_query(table, column))
        parts = [f"{_shown(row['value'])} {row['n']:,}" for row in rows if row["n"] >= _OFTEN]
        if parts:
            yield Finding(
                f"{context.name('data', table)}.codes.{column}",
                "data",
                "ok",
                f"{table.text}.{column}, most often: {', '.join(parts)}.",
            )


def _is_code(table: SourceTable, column: str) -> bool:
    """A short text or a flag that is no key, and personal to nobody."""
    canonical = table.canonical.get(column, "")
    entity = load_entities()[table.entity]
    if table.is_personal(column) or canonical in {entity.key, entity.parent_key, "parcel_number"}:
        return False
    kinds = {each.name: each.type for each in entity.columns}
    declared = table.declared[column]
    if declared.is_lob or is_ordered_type(declared.declared):
        return False
    return kinds[canonical] == "boolean" or (
        kinds[canonical] == "text" and declared.type_name in _TEXTS and 0 < declared.max_length <= _CODE_BYTES
    )


def _shown(value: Any) -> str:
    return "NULL" if value is None else repr(" ".join(str(value).split())[:40])


def _keys(context: PreflightContext, table: SourceTable) -> Iterator[Finding]:
    """The keys, and the number that people know a parcel by."""
    numbers = [
        column
        for column, canonical in table.canonical.items()
        if table.entity == "property" and canonical == "parcel_number"
    ]
    for column in (
        column for column in dict.fromkeys((*table.key, *numbers)) if not table.declared[column].is_lob
    ):
        name, is_text = (
            f"{context.name('data', table)}.keys.{column}",
            table.declared[column].type_name in _TEXTS,
        )
        odd = []
        if column in numbers or len(table.key) == 1:
            twice = context.source.query(queries.duplicates_query(table, column))[0]["n"]
            odd += [f"{twice:,} values occur more than once"] * bool(twice)
        if is_text:
            same = context.source.query(queries.collisions_query(table, column))[0]["n"]
            odd += [f"{same:,} differ only by case or trailing blanks"] * bool(same)
        state: State = "warn" if odd else "ok"
        text = (
            f"{table.text}.{column}: "
            f"{' and '.join(odd) if odd else 'no two values that could be taken for one another'}."
        )
        yield Finding(
            name,
            "data",
            state,
            text,
            "Ask the county which is right; PostgreSQL tells apart what SQL Server may not." if odd else "",
        )


def _personal(context: PreflightContext, table: SourceTable) -> Iterator[Finding]:
    """Counts of what is missing; the values stay in the county."""
    columns = [
        column
        for column in table.canonical
        if table.is_personal(column)
        and table.declared[column].type_name in _TEXTS
        and column not in table.key
    ]
    if columns:
        row = context.source.query(queries.empty_query(table, columns))[0]
        parts = [f"{row[f'c{number}']:,} without {column}" for number, column in enumerate(columns)]
        yield Finding(
            f"{context.name('data', table)}.personal",
            "data",
            "ok",
            f"{table.text}, counts alone, in {_of(row['n'])}: {in_words(parts)}.",
        )
