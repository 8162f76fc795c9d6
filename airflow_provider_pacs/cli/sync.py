"""`pacs sync COUNTY`: all steps of a run in this process."""

from __future__ import annotations

from typing import Literal

import click

from airflow_provider_pacs.cli.connections import open_source, open_target, read_config
from airflow_provider_pacs.cli.invocation import Answer, Invocation, PacsCommand, county_command
from airflow_provider_pacs.cli.outcome import run_answer
from airflow_provider_pacs.cli.progress import report_progress


@click.command("sync", cls=PacsCommand)
@county_command(source=True)
@click.option("--full", is_flag=True, help="Read every table whole, whatever the cursors say.")
def command(invocation: Invocation, full: bool) -> Answer:
    """Read, validate, publish and certify one county.

    Exit status 1 where the certificate is neither clean nor pending.
    """
    from airflow_provider_pacs.sync import steps

    config = read_config(invocation)
    mode: Literal["auto", "full"] = "full" if full else "auto"
    with (
        report_progress(invocation, f"synchronising {config.county}") as progress,
        open_source(invocation, config) as source,
        open_target(invocation, config) as target,
    ):
        outcome = steps.sync(
            config,
            source,
            target,
            mode=mode,
            on_message=progress.on_message,
            on_progress=progress.on_progress,
        )
    return run_answer(*outcome)
