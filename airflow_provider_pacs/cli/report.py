"""`pacs report [NAME]`: a report over all counties that the target's login may read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from airflow_provider_pacs.cli.connections import TARGET_VARIABLE, open_target, read_config
from airflow_provider_pacs.cli.invocation import Answer, Invocation, PacsCommand, county_command
from airflow_provider_pacs.cli.progress import report_progress

if TYPE_CHECKING:
    from airflow_provider_pacs.sync.config import CountyConfig
    from airflow_provider_pacs.sync.reports import ReportRows

_FORMATS = ("table", "csv", "parquet")


def _complete_report(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from airflow_provider_pacs.sync.reports import load_reports

    return [
        CompletionItem(name, help=report.title)
        for name, report in load_reports().items()
        if name.startswith(incomplete)
    ]


@click.command("report", cls=PacsCommand)
@click.argument("name", required=False, shell_complete=_complete_report)
@click.option("--county", "only", multiple=True, help="Only this county; may be repeated (default: all).")
@click.option("--format", "form", type=click.Choice(_FORMATS), default="table", help="How (default table).")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write it there; Parquet needs it.",
)
@county_command(county=False)
def command(
    invocation: Invocation, name: str | None, only: tuple[str, ...], form: str, output: Path | None
) -> Answer:
    """Print a report over all counties, or, without NAME, list the reports and their columns.

    Each row says when its county was last certified equal to its source (as_of).
    """
    from airflow_provider_pacs.sync.reports import load_reports, report_named
    from airflow_provider_pacs.sync.reports.formats import csv_lines, table_lines, text_of
    from airflow_provider_pacs.sync.target.postgres.report_reader import open_report

    if name is None:
        reports = load_reports().values()
        data = [{"name": r.name, "title": r.title, "columns": dict(r.columns)} for r in reports]
        return Answer(data, [f"{report.name:12} {report.title}" for report in reports])
    report = report_named(name)
    if form == "parquet" and (output is None or invocation.json):
        raise click.UsageError("Parquet goes to a file: name it with --output.")
    configs = [_config(invocation, county) for county in only]
    with (
        report_progress(invocation, f"reading {report.name}"),
        open_target(invocation, configs[0] if configs else _any_county(invocation)) as target,
        open_report(target.connection, report, [c.fips for c in configs] if configs else None) as report_rows,
    ):
        if output is not None:
            rows = _write(report_rows, form, output)
            return Answer({"file": str(output), "rows": rows}, [f"{rows:,} rows in {output}"])
        if invocation.json:
            return Answer(
                [
                    {
                        column: value if isinstance(value, bool | int | None) else text_of(value)
                        for column, value in zip(report_rows.columns, row, strict=True)
                    }
                    for row in report_rows.rows
                ],
                (),
            )
        return Answer(
            None,
            list(csv_lines(report_rows.columns, report_rows.rows))
            if form == "csv"
            else table_lines(report_rows),
        )


def _write(report_rows: ReportRows, form: str, output: Path) -> int:
    from airflow_provider_pacs.sync.reports.formats import table_lines, write_csv, write_parquet

    if form == "table":
        lines = table_lines(report_rows)
        output.write_text("\n".join(lines) + "\n", "utf-8")
        return len(lines) - 1
    return write_parquet(report_rows, output) if form == "parquet" else write_csv(report_rows, output)


def _config(invocation: Invocation, county: str) -> CountyConfig:
    invocation.county = county
    return read_config(invocation)


def _any_county(invocation: Invocation) -> CountyConfig | None:
    """A county whose file says where the target is; None where the command line or the environment says it.

    Raises:
        ConfigError: the county files name several targets.
    """
    from airflow_provider_pacs.cli.county_files import county_folder
    from airflow_provider_pacs.sync.config.folder import load_counties
    from airflow_provider_pacs.sync.runtime.errors import ConfigError

    if invocation.target.is_named or os.environ.get(TARGET_VARIABLE):
        return None
    folder = county_folder(invocation.counties)
    good = load_counties(folder).good if folder is not None else {}
    targets = {config.target.connection: config for config in good.values()}
    if len(targets) != 1:
        raise ConfigError(
            f"the county files name {len(targets) or 'no'} target{'' if len(targets) == 1 else 's'}: "
            f"{', '.join(sorted(targets)) or 'there is none'}",
            remedy=f"use --target-conn-id, --target-url-file or --target-url, or set {TARGET_VARIABLE}",
        )
    return next(iter(targets.values()))
