"""Which rows to read: one module per change family, and here the ladder that picks one for a table.

A new change mode is one module and one line in `LADDER`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_pacs.sync.changes.ordered import is_ordered_type
from airflow_provider_pacs.sync.source.catalog import TableShape


@dataclass(frozen=True, slots=True)
class Family:
    """One way to find changed rows.

    Attributes:
        name: what runs record and pages show.
        fits: whether a table can be read this way.
    """

    name: str
    fits: Callable[[TableShape], bool]


LADDER: tuple[Family, ...] = (
    Family("last_modified", lambda shape: is_ordered_type(shape.change_type)),
    Family("compare", lambda shape: True),
)
"""Best first; the last one fits every table."""


def choose(shape: TableShape, *, enable_cdc: bool) -> tuple[str, str]:
    """The family for a table, and the reason in one sentence."""
    if not enable_cdc:
        return "compare", "enable_cdc is false: every run reads the whole table and compares"
    for family in LADDER:
        if family.fits(shape):
            return family.name, _reason(shape, family)
    raise AssertionError("the last family of the ladder fits every table")


def _reason(shape: TableShape, family: Family) -> str:
    if family.name == "last_modified":
        return f"{shape.map.change_column} is {shape.change_type}"
    if shape.map.change_column is None:
        return "the table has no change column: every run reads it whole and compares"
    if shape.change_type is None:
        return f"the type of {shape.map.change_column} is unknown (the catalog could not be read): every run reads the table whole and compares"
    return f"{shape.map.change_column} is {shape.change_type}, which carries no window: every run reads the table whole and compares"
