"""`pacs resume COUNTY`: the county's hold is lifted, its runs publish again."""

from __future__ import annotations

import getpass

import click

from airflow_provider_pacs.cli.connections import open_target, read_config
from airflow_provider_pacs.cli.invocation import Answer, Invocation, PacsCommand, county_command


@click.command("resume", cls=PacsCommand)
@county_command()
@click.option("--by", default=getpass.getuser, help="Who decides (default: the login).")
def command(invocation: Invocation, by: str) -> Answer:
    """Lift a county's hold: its runs are planned and published again."""
    from airflow_provider_pacs.sync import steps

    config = read_config(invocation)
    with open_target(invocation, config) as target:
        hold = steps.resume(config, target, actor=by)
    line = f"{config.county} runs again; it was on hold since {hold.held_at:%Y-%m-%d %H:%M}: {hold.reason}"
    return Answer(hold.as_dict(), [line])
