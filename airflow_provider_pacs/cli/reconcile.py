"""`pacs reconcile COUNTY`: every row of both sides compared."""

from __future__ import annotations

import click

from airflow_provider_pacs.cli.connections import open_source, open_target, read_config
from airflow_provider_pacs.cli.invocation import Answer, Invocation, PacsCommand, county_command
from airflow_provider_pacs.cli.outcome import run_answer
from airflow_provider_pacs.cli.progress import report_progress


@click.command("reconcile", cls=PacsCommand)
@county_command(source=True)
def command(invocation: Invocation) -> Answer:
    """Compare every row with the source, publish what differs, certify.

    Exit status 1 where the certificate is neither clean nor pending.
    """
    from airflow_provider_pacs.sync import steps

    config = read_config(invocation)
    with (
        report_progress(invocation, f"comparing {config.county}") as progress,
        open_source(invocation, config) as source,
        open_target(invocation, config) as target,
    ):
        outcome = steps.reconcile(
            config, source, target, on_message=progress.on_message, on_progress=progress.on_progress
        )
    return run_answer(*outcome)
