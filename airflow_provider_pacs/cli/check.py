"""`pacs check COUNTY`: both ends -> a report, as a table or as JSON.

Writes nothing, but with --accept-source.
"""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from airflow_provider_pacs.cli.connections import open_source, open_target, read_config, target_place
from airflow_provider_pacs.cli.invocation import FAILED, OK, Answer, Invocation, PacsCommand, county_command
from airflow_provider_pacs.cli.progress import report_progress
from airflow_provider_pacs.sync.runtime.errors import PacsError

if TYPE_CHECKING:
    from airflow_provider_pacs.sync.preflight import PreflightReport

_SIGNS = {"ok": "ok", "warn": "WARN", "fail": "FAIL", "unknown": "?"}
_COLORS = {"ok": "green", "warn": "yellow", "fail": "red", "unknown": "cyan"}
_TEXT_COLUMN = 22


@click.command("check", cls=PacsCommand)
@county_command(source=True)
@click.option(
    "--quick", is_flag=True, help="As a run's own first step does: count no rows and look at no data."
)
@click.option(
    "--accept-source",
    is_flag=True,
    help="The source was moved or changed on purpose: compare everything in the next run.",
)
def command(invocation: Invocation, quick: bool, accept_source: bool) -> Answer:
    """Ask both ends all that a sync depends on: connection, rights, tables, sizes, clocks, data.

    Writes nothing but with --accept-source. Exit status 0 where nothing failed; warnings, and what the login
    may not see, are no failures.
    """
    from airflow_provider_pacs.sync.preflight import examine

    config = read_config(invocation)
    target_place(invocation, config)
    with (
        report_progress(invocation, f"checking {config.county}"),
        open_source(invocation, config, attempts=1) as source,
    ):
        try:
            target = open_target(invocation, config)
        except PacsError as error:
            report = examine(config, source, error, thorough=not quick)
        else:
            with target:
                if accept_source:
                    target.runs.accept_source(config.fips)
                report = examine(config, source, target, thorough=not quick)
    report = _masked(report, invocation)
    return Answer(report.as_dict(), lines(report, colors=True), FAILED if report.count("fail") else OK)


def lines(report: PreflightReport, width: int | None = None, *, colors: bool = False) -> list[str]:
    """The report as a table: area, state, text, and the remedy below it.

    Args:
        report: the findings.
        width: of the page; the terminal's by default.
        colors: colour the states.
    """
    text_width = max(40, (width or shutil.get_terminal_size((140, 24)).columns) - _TEXT_COLUMN - 1)
    table: list[str] = []
    area = ""
    for finding in report.findings:
        head = finding.area if finding.area != area else ""
        area = finding.area
        rows = (textwrap.wrap(finding.text, text_width) or [""]) + textwrap.wrap(
            f"-> {finding.remedy}" if finding.remedy else "", text_width, subsequent_indent="   "
        )
        sign = f"{_SIGNS[finding.state]:<7}"
        if colors:
            sign = click.style(sign, fg=_COLORS[finding.state], bold=finding.state == "fail" or None)
        table += [f"{head:<13} {sign} {rows[0]}", *(f"{'':<{_TEXT_COLUMN}}{row}" for row in rows[1:])]
    counts = [
        f"{report.count('ok')} ok",
        f"{report.count('warn')} to look at",
        f"{report.count('unknown')} unknown",
        f"{report.count('fail')} failed",
    ]
    return [*table, "", f"{report.county}: {', '.join(counts)}."]


def _masked(report: PreflightReport, invocation: Invocation) -> PreflightReport:
    """The report without any password: findings hold the texts of errors."""
    mask = invocation.secrets.mask
    findings = tuple(
        replace(finding, text=mask(finding.text), remedy=mask(finding.remedy)) for finding in report.findings
    )
    return replace(report, findings=findings)
