"""A report's rows -> CSV, Parquet, or lines for a terminal. Numbers keep every digit."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow_provider_pacs.sync.reports import Kind, ReportRows, Row

if TYPE_CHECKING:
    import pyarrow as pa

_AT_ONCE = 50_000
_RIGHT = frozenset({"integer", "number"})
_LINE_END = "\r\n"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def text_of(value: Any) -> str:
    """A value as CSV and tables show it: nothing for NULL, no exponent, times as ISO 8601."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)


def as_text(cell: str) -> str:
    """A CSV cell that a spreadsheet takes for a text, whatever the source wrote in it."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def csv_lines(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """The header and a line per row, as RFC 4180 has them, without the ends of lines."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator=_LINE_END)  # it quotes a text that holds a character of it
    writer.writerow(columns)
    yield buffer.getvalue().removesuffix(_LINE_END)
    for row in rows:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow([text_of(value) for value in row])
        yield buffer.getvalue().removesuffix(_LINE_END)


def table_lines(report_rows: ReportRows) -> list[str]:
    """Aligned columns for a terminal; numbers to the right."""
    rows = [report_rows.columns, *([_shown(text_of(value)) for value in row] for row in report_rows.rows)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(report_rows.columns))]
    return [
        "  ".join(
            text.rjust(width) if kind in _RIGHT else text.ljust(width)
            for text, width, kind in zip(row, widths, report_rows.kinds, strict=True)
        ).rstrip()
        for row in rows
    ]


def _shown(text: str) -> str:
    """On one line, and without control characters, which a terminal would obey."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def write_csv(report_rows: ReportRows, path: Path) -> int:
    """The report as a file in UTF-8; returns how many rows it has."""
    count = -1
    with path.open("w", encoding="utf-8", newline="") as file:
        for line in csv_lines(report_rows.columns, report_rows.rows):
            file.write(line + _LINE_END)
            count += 1
    return count


def write_parquet(report_rows: ReportRows, path: Path) -> int:
    """The report as a Parquet file; returns how many rows it has. Numbers are decimals of 38 digits, 10 of
    them behind the point.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [(name, _arrow(kind)) for name, kind in zip(report_rows.columns, report_rows.kinds, strict=True)]
    )
    count = 0
    with pq.ParquetWriter(path, schema) as writer:
        while chunk := list(islice(report_rows.rows, _AT_ONCE)):
            columns = [
                pa.array([_plain(value) for value in values], field.type)
                for field, values in zip(schema, zip(*chunk, strict=True), strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            count += len(chunk)
    return count


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


def _arrow(kind: Kind) -> pa.DataType:
    import pyarrow as pa

    kinds = {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.decimal128(38, 10),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us"),
        "instant": pa.timestamp("us", tz="UTC"),
    }
    return kinds[kind]
