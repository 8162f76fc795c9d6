"""Which rows to read: one module per change family, and here the ladder that picks one for a table and the
statements that go with it.

A new change mode is one module and one line in `LADDER`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from airflow_provider_pacs.sync.incremental import joined as related
from airflow_provider_pacs.sync.incremental import last_modified as ordered
from airflow_provider_pacs.sync.incremental import rowversion
from airflow_provider_pacs.sync.incremental.statements import ChangeQuery, Window
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable

Pin = Literal["auto", "rowversion", "last_modified", "compare"]


@dataclass(frozen=True, slots=True)
class Stamps:
    """The statements of a family that keeps a cursor: see `ordered.py`, whose functions these are or
    mirror.
    """

    bounds: Callable[..., ChangeQuery]
    window: Callable[[ResolvedTable, Window], ChangeQuery]
    late_flag: Callable[[ResolvedTable, str], ChangeQuery]
    count_since: Callable[[ResolvedTable, str], ChangeQuery]


LAST_MODIFIED = Stamps(
    ordered.bounds_query, ordered.window_query, ordered.late_flag_query, ordered.count_since_query
)
RELATED = Stamps(
    rowversion.bounds_query, related.window_query, related.late_flag_query, related.count_since_query
)
ROWVERSION = Stamps(
    rowversion.bounds_query, rowversion.window_query, rowversion.late_flag_query, rowversion.count_since_query
)


@dataclass(frozen=True, slots=True)
class Family:
    """One way to find changed rows.

    Attributes:
        name: what runs record and pages show, and what a county's file may pin.
        column: the source column that orders changes, or None where the table can't be read this way.
        missing: why it can't, in a few words.
    """

    name: Pin
    column: Callable[[ResolvedTable], str | None]
    missing: str


def _date_column(shape: ResolvedTable) -> str | None:
    return shape.map.change_column if ordered.is_ordered_type(shape.change_type) else None


LADDER: tuple[Family, ...] = (
    Family("rowversion", rowversion.column_of, "the table has no rowversion column"),
    Family("last_modified", _date_column, "the table has no change column of a known date type"),
)
"""Best first. Below it stands `compare`, which fits every table."""


def choose(
    shape: ResolvedTable,
    *,
    enable_cdc: bool,
    pin: Pin = "auto",
    writable: bool = True,
    feeds: Sequence[str] = (),
) -> tuple[str, str]:
    """The family for a table, and the reason in one sentence.

    Args:
        shape: the table as the catalog has it, or as `read_by` returned it.
        enable_cdc: False compares everything in every run.
        pin: the family that the county's file asks for.
        writable: False on a readable secondary, where a rowversion bound is not to be trusted.
        feeds: change feeds that the source offers for the table and that no family here reads yet, best
            first.

    Raises:
        ConfigError: the table can't be read in the pinned way.
    """
    if pin == "compare":
        return "compare", "the county's file asks for it: every run reads the whole table and compares"
    if not enable_cdc:
        return "compare", "enable_cdc is false: every run reads the whole table and compares"
    if shape.selection is not None:
        return _choose_joined(shape, pin, writable)
    for family in LADDER:
        column = family.column(shape)
        secondary = family.name == "rowversion" and not writable
        if pin == family.name and (column is None or secondary):
            because = "the database is a readable secondary" if secondary else family.missing
            raise ConfigError(
                f"{shape.map.entity} can't be read by {pin}: {because}",
                remedy=f"change tables.{shape.map.entity}.mode",
            )
        if pin in ("auto", family.name) and column is not None and not secondary:
            return family.name, f"{column} is {_told_type(shape, column)}" + (
                _unused(feeds) if (family.name, pin) == ("last_modified", "auto") else ""
            )
    return "compare", f"{_why_compare(shape)}: every run reads the table whole and compares" + _unused(feeds)


def _choose_joined(shape: ResolvedTable, pin: Pin, writable: bool) -> tuple[str, str]:
    """A joined entity is read by the scopes that changed where a rowversion can be watched, else whole."""
    if pin != "auto":
        raise ConfigError(
            f"{shape.map.entity} can't be read by {pin}: it is read from several tables",
            remedy=f"change tables.{shape.map.entity}.mode to auto or compare",
        )
    watched = related.probes(shape)
    if not watched or not writable:
        because = (
            "the database is a readable secondary" if watched else "no table of it has a rowversion to watch"
        )
        return "compare", f"{because}: every run reads {shape.map.entity} whole and compares"
    stamped = ", ".join(watch.name for watch in watched if watch.stamp)
    contents = ", ".join(watch.name for watch in watched if watch.stamp is None)
    return (
        "related",
        f"properties changed in {stamped} (rowversion) or {contents} (contents compared) are read again",
    )


def read_by(shape: ResolvedTable, family: str) -> ResolvedTable:
    """The shape with the family's change column in place. `compare` keeps the best column there is: it still
    marks rows that came late.
    """
    for candidate in LADDER:
        if candidate.name == family and (column := candidate.column(shape)) is not None:
            return replace(shape, map=replace(shape.map, change_column=column))
    return shape


def stamps(shape: ResolvedTable) -> Stamps | None:
    """The statements for the shape's change column; None where it has no usable one."""
    if related.probes(shape):
        return RELATED
    if rowversion.is_rowversion(shape):
        return ROWVERSION
    return LAST_MODIFIED if ordered.is_ordered_type(shape.change_type) else None


def _unused(feeds: Sequence[str]) -> str:
    """A better feed than the one chosen: rowversion alone is as good."""
    return f" ({feeds[0]} is on, not used yet)" if feeds else ""


def _told_type(shape: ResolvedTable, column: str) -> str:
    """The declared type as people write it: the catalog calls a rowversion column `timestamp`."""
    declared = shape.columns[column]
    return "rowversion" if declared.type_name in {"timestamp", "rowversion"} else declared.declared


def _why_compare(shape: ResolvedTable) -> str:
    if shape.map.change_column is None:
        return "the table has no change column"
    if shape.change_type is None:
        return f"the type of {shape.map.change_column} is unknown (the catalog could not be read)"
    return f"{shape.map.change_column} is {shape.change_type}, which carries no window"
