"""What the JSON says of reports over counties: sums only, never a row of one parcel, owner or sale."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from airflow_provider_pacs.sync.reports import Kind


class ReportColumn(BaseModel):
    """A column of a report."""

    name: str
    about: str
    kind: Kind | None = None


class ReportLine(BaseModel):
    """A report that the page has."""

    name: str
    title: str
    columns: list[ReportColumn]


class ReportTable(BaseModel):
    """A report's rows over the counties that the user may read.

    Attributes:
        rows: values in the columns' order, as texts that keep every digit; None for NULL.
        unavailable: counties that are left out, each with why.
    """

    at: datetime
    name: str
    title: str
    columns: list[ReportColumn]
    rows: list[list[str | None]]
    unavailable: dict[str, str]
