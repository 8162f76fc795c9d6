"""`pacs check COUNTY`: both ends -> a report, as a table or as JSON.

Writes nothing, but with --accept-source.
"""

from __future__ import annotations

import argparse
import shutil
import textwrap
from typing import TYPE_CHECKING

from airflow_provider_pacs.cli.connections import (
    FAILED,
    OK,
    Answer,
    open_source,
    open_target,
    read_config,
    target_url,
)
from airflow_provider_pacs.sync.runtime.errors import PacsError

if TYPE_CHECKING:
    from airflow_provider_pacs.sync.preflight import PreflightReport

ABOUT = (
    "Ask both ends all that a sync depends on: connection, rights, tables, sizes, clocks, data. Writes "
    "nothing."
)
_SIGNS = {"ok": "ok", "warn": "WARN", "fail": "FAIL", "unknown": "?"}


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "--quick",
        action="store_true",
        help="as a run's own first step does: count no rows and look at no data",
    )
    parser.add_argument(
        "--accept-source",
        action="store_true",
        help="the source was moved or changed on purpose: compare everything in the next run",
    )


def run(arguments: argparse.Namespace) -> Answer:
    """Exit status 0 where nothing failed; warnings and what the login may not see are no failures."""
    from airflow_provider_pacs.sync.preflight import examine

    config = read_config(arguments)
    target_url(arguments)
    with open_source(arguments, config, attempts=1) as source:
        try:
            target = open_target(arguments)
        except PacsError as error:
            report = examine(config, source, error, thorough=not arguments.quick)
        else:
            with target:
                if arguments.accept_source:
                    target.accept_source(config.fips)
                report = examine(config, source, target, thorough=not arguments.quick)
    return Answer(report.as_dict(), lines(report), FAILED if report.count("fail") else OK)


def lines(report: PreflightReport, width: int | None = None) -> list[str]:
    """The report as a table: area, state, text, and the remedy below it."""
    room = max(40, (width or shutil.get_terminal_size((140, 24)).columns) - 23)
    told: list[str] = []
    area = ""
    for finding in report.findings:
        head = finding.area if finding.area != area else ""
        area = finding.area
        rows = textwrap.wrap(finding.text, room) + textwrap.wrap(
            f"-> {finding.remedy}" if finding.remedy else "", room, subsequent_indent="   "
        )
        told += [
            f"{head if number == 0 else '':<13} {_SIGNS[finding.state] if number == 0 else '':<7} {row}"
            for number, row in enumerate(rows)
        ]
    counts = [
        f"{report.count('ok')} ok",
        f"{report.count('warn')} to look at",
        f"{report.count('unknown')} unknown",
        f"{report.count('fail')} failed",
    ]
    return [*told, "", f"{report.county}: {', '.join(counts)}."]
