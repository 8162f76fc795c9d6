"""A report's rows in the forms that people and programs read: whatever a text holds, it stays one cell."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from airflow_provider_pacs.sync.reports import ReportRows
from airflow_provider_pacs.sync.reports.formats import table_lines, write_csv


def rows(text: str) -> ReportRows:
    return ReportRows(("county_id", "stratum"), ("text", "text"), iter([("53005", text)]))


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_text_with_a_line_end_makes_no_row(end: str, tmp_path: Path) -> None:
    """What stands behind a line end in a text is of that text."""
    forged = f"land{end}53033"
    assert write_csv(rows(forged), tmp_path / "report.csv") == 1
    with (tmp_path / "report.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["county_id", "stratum"], ["53005", forged]]


def test_a_terminal_gets_no_control_character() -> None:
    (_, line) = table_lines(rows("a\x1b[2J\nb\x9b31m"))
    assert line.isprintable()
    assert "a" in line
