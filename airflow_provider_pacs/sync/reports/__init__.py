"""Reports over all counties: a YAML each in this folder -> `ReportView`, with the SELECT of its view in
schema `pacs_report`.

A view runs with its owner's rights and shows the counties that the session's login may read: who reads a
report needs no right on the rows behind it (docs/adr/0071-reports.md). None has a column of personal data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

import yaml

from airflow_provider_pacs.sync.runtime.errors import ConfigError

HIDDEN = "ratios"
"""A column of a view from which `COMPUTED` ones are made, and which is not printed."""
COMPUTED = frozenset({"median_low", "median_high"})
"""Columns of a report that its view does not have: `interval.py` makes them of the ratios."""
Kind = Literal["text", "integer", "number", "boolean", "date", "timestamp", "instant"]
"""What a column holds; an instant is a timestamp with a zone."""
Row = tuple[Any, ...]
_YEARS_TO_PAYMENT = {"53": 1, "48": 0}
"""State (the first two digits of a FIPS code) -> years from the assessment year to the one in which taxes are
paid: Washington and Texas (domain.md D2). Others are not known here, and nothing is assumed of them.
"""
_TOKEN = re.compile(r"\{([a-z_]+)(?::([a-z]+))?\}")


@dataclass(frozen=True, slots=True)
class ReportView:
    """One report.

    Attributes:
        name: of the view in `pacs_report`, and what `pacs report` takes.
        title: what it shows, for people.
        entities: what it stands on: `as_of` and `certificate` are those of these entities.
        columns: (column, what it means), in the order in which they are printed.
        sql: the view's SELECT; its columns are those of `columns` that are not computed afterwards.
        order: the columns that its rows are sorted by.
        per_row: whether a row of it stands for one parcel, owner or sale: the operations page, which holds no
            rows, does not have it.
    """

    name: str
    title: str
    entities: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    sql: str
    order: tuple[str, ...]
    per_row: bool = False

    @property
    def column_names(self) -> tuple[str, ...]:
        """What is printed."""
        return tuple(name for name, _ in self.columns if name != HIDDEN)


@dataclass(frozen=True, slots=True)
class ReportRows:
    """The rows of a report, to be read once: their columns, what each holds, and the values."""

    columns: tuple[str, ...]
    kinds: tuple[Kind, ...]
    rows: Iterator[Row]


@cache
def load_reports() -> dict[str, ReportView]:
    """All reports by name."""
    folder = resources.files(__package__)
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda file: file.name)
    return {report.name: report for report in (_read(file.read_text("utf-8")) for file in files)}


def report_named(name: str) -> ReportView:
    """The report of that name.

    Raises:
        ConfigError: there is none.
    """
    reports = load_reports()
    if name not in reports:
        raise ConfigError(f"no report {name!r}", remedy=f"use one of: {', '.join(reports)}")
    return reports[name]


def _read(text: str) -> ReportView:
    raw = yaml.safe_load(text)
    entities = tuple(raw["entities"])
    return ReportView(
        raw["name"],
        raw["title"],
        entities,
        tuple(raw["columns"].items()),
        _expanded(raw["sql"], entities).strip(),
        tuple(raw["order"]),
        raw.get("per_row", False),
    )


def _expanded(text: str, entities: tuple[str, ...]) -> str:
    """A report's SQL with `{counties}` and `{sold}` (files in `parts`) and `{readable:alias}` in place."""

    def part(token: re.Match[str]) -> str:
        name, alias = token[1], token[2]
        if name == "readable":
            return f"{alias}.county_id IN (SELECT pacs_ops.readable_counties())"
        if name == "entities":
            return ", ".join(f"'{entity}'" for entity in entities)
        if name == "years_to_payment":
            return " ".join(f"WHEN '{state}' THEN {years}" for state, years in _YEARS_TO_PAYMENT.items())
        file = resources.files(__package__) / "parts" / f"{name}.sql"
        return _expanded(file.read_text("utf-8").rstrip(), entities)

    return _TOKEN.sub(part, text)
