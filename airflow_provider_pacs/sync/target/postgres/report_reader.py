"""A report's rows from its view, for the counties that the login may read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.reports import COMPUTED, HIDDEN, Kind, ReportRows, ReportView, Row
from airflow_provider_pacs.sync.reports.interval import median_interval
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.target.postgres.errors import mapped_errors

_AT_ONCE = 20_000
_KINDS: dict[int, Kind] = {
    16: "boolean",
    20: "integer",
    23: "integer",
    1082: "date",
    1114: "timestamp",
    1184: "instant",
    1700: "number",
}
"""PostgreSQL's type numbers (pg_type.dat); what is not among them is text."""
_REMEDY = (
    "run what `pacs grants COUNTY --roles` prints, give the login one of its roles, and let it read counties "
    "with pacs_ops.grant_county"
)


@contextmanager
def open_report(
    connection: psycopg.Connection[Any], report: ReportView, county_ids: Sequence[str] | None = None
) -> Iterator[ReportRows]:
    """The report's rows in its order, read as they are asked for.

    Args:
        connection: of a login that may read reports.
        report: which.
        county_ids: FIPS codes; None for every county that the login may read.

    Raises:
        ConfigError: the login may not read the report, or one of the counties, or none at all: an empty
            report never stands for a missing right.
    """
    with mapped_errors("target"):
        refuse_unreadable(connection, county_ids)
        with connection.transaction(), connection.cursor(name=f"report_{report.name}") as cursor:
            cursor.itersize = _AT_ONCE
            try:
                cursor.execute(_select(report, county_ids), {"counties": list(county_ids or ())})
            except psycopg.errors.InsufficientPrivilege:
                raise ConfigError(
                    f"the target's login may not read the report {report.name}", remedy=_REMEDY
                ) from None
            kinds = {column.name: _KINDS.get(column.type_code, "text") for column in cursor.description or ()}
            kinds |= dict.fromkeys(COMPUTED, "number")
            yield ReportRows(
                report.column_names,
                tuple(kinds[name] for name in report.column_names),
                (_printed(report, dict(zip(kinds, row, strict=False))) for row in cursor),
            )


def refuse_unreadable(connection: psycopg.Connection[Any], county_ids: Sequence[str] | None) -> None:
    """Refuse counties that the login may not read.

    Raises:
        ConfigError: names them; or says that there are none at all.
    """
    try:
        counties = connection.execute("SELECT pacs_ops.readable_counties()").fetchall()
    except psycopg.errors.InsufficientPrivilege:
        raise ConfigError("the target's login may not read reports", remedy=_REMEDY) from None
    readable = {str(county) for (county,) in counties}
    hidden = sorted(set(county_ids or ()) - readable)
    if hidden or not readable:
        what = f"county {', '.join(hidden)}" if hidden else "any county"
        raise ConfigError(f"the target's login may not read {what}, or it was never loaded", remedy=_REMEDY)


def _select(report: ReportView, county_ids: Sequence[str] | None) -> sql.Composed:
    columns = [name for name, _ in report.columns if name not in COMPUTED]
    return sql.SQL("SELECT {} FROM {}{} ORDER BY {}").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.Identifier("pacs_report", report.name),
        sql.SQL(" WHERE county_id = ANY(%(counties)s)" if county_ids is not None else ""),
        sql.SQL(", ").join(map(sql.Identifier, report.order)),
    )


def _printed(report: ReportView, row: dict[str, Any]) -> Row:
    if HIDDEN in row:
        ends = median_interval(row[HIDDEN]) or (None, None)
        row["median_low"], row["median_high"] = (
            None if end is None else Decimal(f"{end:.4f}") for end in ends
        )
    return tuple(row[name] for name in report.column_names)
