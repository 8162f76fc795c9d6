"""`pacs backfill COUNTY`: one window of one entity, read again."""

from __future__ import annotations

import re
from datetime import datetime

import click

from airflow_provider_pacs.cli.connections import open_source, open_target, read_config
from airflow_provider_pacs.cli.invocation import Answer, Invocation, PacsCommand, county_command
from airflow_provider_pacs.cli.outcome import run_answer
from airflow_provider_pacs.cli.progress import report_progress

_MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2}(?::\d{2})?)(?:\.\d{1,9})?)?(?: ?(?:Z|[+-]\d{2}:\d{2}))?"
)


def _moment(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """A date, or a date and a time, handed on as it is written: SQL Server reads it in the column's type.

    A text that is neither is refused here, before a run begins: a slip on the command line is no failure of
    the county.
    """
    match = _MOMENT.fullmatch(value.strip())
    try:
        if match is None:
            raise ValueError
        datetime.fromisoformat(f"{match[1]} {match[2] or '00:00'}")
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no moment: write 2026-01-31 or '2026-01-31 06:00:00'.", context, parameter
        ) from None
    return value


@click.command("backfill", cls=PacsCommand)
@county_command(source=True)
@click.option("--entity", required=True, help="For example property.")
@click.option(
    "--from",
    "since",
    required=True,
    callback=_moment,
    help="Rows changed at this moment or later, e.g. 2026-01-31 or '2026-01-31 06:00:00' ...",
)
@click.option(
    "--to",
    "until",
    required=True,
    callback=_moment,
    help="... and before this one; as the source's change column writes it.",
)
def command(invocation: Invocation, entity: str, since: str, until: str) -> Answer:
    """Read one window of one entity again and publish what differs. No cursor moves."""
    from airflow_provider_pacs.sync import steps
    from airflow_provider_pacs.sync.config import require_entity
    from airflow_provider_pacs.sync.records import Backfill

    config = read_config(invocation)
    require_entity(config, entity)
    window = Backfill(entity, since, until)
    with (
        report_progress(invocation, f"reading {entity} again") as progress,
        open_source(invocation, config) as source,
        open_target(invocation, config) as target,
    ):
        outcome = steps.backfill(
            config,
            source,
            target,
            window=window,
            on_message=progress.on_message,
            on_progress=progress.on_progress,
        )
    return run_answer(*outcome)
