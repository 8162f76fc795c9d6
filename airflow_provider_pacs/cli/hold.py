"""`pacs hold COUNTY`: nothing of the county is published until somebody resumes it."""

from __future__ import annotations

import getpass

import click

from airflow_provider_pacs.cli.connections import open_target, read_config
from airflow_provider_pacs.cli.invocation import Answer, Invocation, PacsCommand, county_command


@click.command("hold", cls=PacsCommand)
@county_command()
@click.option("--reason", required=True, help="Why, for everybody who meets the hold.")
@click.option("--by", default=getpass.getuser, help="Who decides (default: the login).")
def command(invocation: Invocation, reason: str, by: str) -> Answer:
    """Put a county on hold: a run at work ends without publishing, and no other begins."""
    from airflow_provider_pacs.sync import steps

    config = read_config(invocation)
    with open_target(invocation, config) as target:
        hold = steps.hold(config, target, reason=reason, actor=by)
    line = f"{config.county} is on hold since {hold.held_at:%Y-%m-%d %H:%M} by {hold.held_by}: {hold.reason}"
    return Answer(hold.as_dict(), [line])
