"""`/api/reports...`: the reports of sums over the counties that the user may read, as JSON and as CSV."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, HTTPException, Path
from fastapi.responses import Response

from airflow_provider_pacs.monitor.access import readable
from airflow_provider_pacs.monitor.counties import find_counties
from airflow_provider_pacs.monitor.models_reports import ReportColumn, ReportLine, ReportTable
from airflow_provider_pacs.monitor.targets import ask_each
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.reports import ReportRows, ReportView, Row, load_reports
from airflow_provider_pacs.sync.reports.formats import as_text, csv_lines, text_of
from airflow_provider_pacs.sync.runtime.errors import PacsError
from airflow_provider_pacs.sync.target.postgres.read import OpsReader

router = APIRouter(prefix="/api/reports", tags=["reports"])
MOST_ROWS = 20_000
"""Of one target. The reports of sums have some hundred; more is a report for the command line."""
_Part = tuple[ReportRows, list[Row]]


def report_for(report: Annotated[str, Path(pattern="^[a-z_]{1,40}$")]) -> ReportView:
    """Give the report of the path, as a dependency.

    Raises:
        HTTPException: 404, there is none, or its rows are of single parcels, owners or sales.
    """
    chosen = load_reports().get(report)
    if chosen is None or chosen.per_row:
        raise HTTPException(404, f"The page has no report {report!r}.")
    return chosen


ReportDep = Annotated[ReportView, Depends(report_for)]


@router.get("")
def reports() -> list[ReportLine]:
    """Give the reports that the page has, with their columns."""
    return [
        ReportLine(
            name=report.name,
            title=report.title,
            columns=[
                ReportColumn(name=name, about=dict(report.columns)[name]) for name in report.column_names
            ],
        )
        for report in load_reports().values()
        if not report.per_row
    ]


@router.get("/{report}")
def table(report: ReportDep, user: GetUserDep) -> ReportTable:
    """Give a report's rows over the counties that the user may read."""
    parts, unavailable = _read(report, readable(user, find_counties().good.values()))
    about = dict(report.columns)
    kinds = parts[0][0].kinds if parts else (None,) * len(report.column_names)
    return ReportTable(
        at=datetime.now(UTC),
        name=report.name,
        title=report.title,
        columns=[
            ReportColumn(name=name, about=about[name], kind=kind)
            for name, kind in zip(report.column_names, kinds, strict=True)
        ],
        rows=[[None if v is None else text_of(v) for v in row] for _, rows in parts for row in rows],
        unavailable=unavailable,
    )


@router.get("/{report}/csv", response_class=Response)
def as_csv(report: ReportDep, user: GetUserDep) -> Response:
    """Give the same as CSV, to be saved.

    Raises:
        HTTPException: 503, a county's rows can't be read: a file says nothing of what is missing in it.
    """
    parts, unavailable = _read(report, readable(user, find_counties().good.values()))
    if unavailable:
        missing = "; ".join(f"{county}: {why}" for county, why in sorted(unavailable.items()))
        raise HTTPException(503, f"The report is not whole. {missing}")
    # opened in a spreadsheet, where a text must not be a formula
    safe = (tuple(as_text(v) if isinstance(v, str) else v for v in row) for _, rows in parts for row in rows)
    lines = csv_lines(report.column_names, safe)
    text = "".join(f"{line}\r\n" for line in lines)
    headers = {"Content-Disposition": f'attachment; filename="pacs-{report.name}.csv"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


def _read(report: ReportView, configs: list[CountyConfig]) -> tuple[list[_Part], dict[str, str]]:
    """The rows of each target, and the counties that are missing with the reason. A county that was never
    loaded is not missing: it has nothing.

    Raises:
        HTTPException: 413, too many rows.
    """

    def question(reader: OpsReader, county_ids: list[str]) -> list[_Part]:
        loaded = sorted(reader.counties(county_ids))
        return [reader.report(report, loaded, MOST_ROWS + 1)] if loaded else []

    answers = ask_each(configs, question)
    unavailable = {
        config.county: _reason(error)
        for config in configs
        if (error := answers[config.target.connection][0].error) is not None
    }
    parts = [part for _, (_, read) in sorted(answers.items()) for part in read or ()]
    if any(len(rows) > MOST_ROWS for _, rows in parts):
        raise HTTPException(
            413, f"More than {MOST_ROWS:,} rows: use `pacs report {report.name} --format csv`."
        )
    return parts, unavailable


def _reason(error: PacsError) -> str:
    return f"{error.message} ({error.remedy})" if error.remedy else error.message
