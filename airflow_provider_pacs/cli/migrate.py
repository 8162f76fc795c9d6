"""`pacs migrate COUNTY`: the target's schemas, created or upgraded."""

from __future__ import annotations

import click

from airflow_provider_pacs.cli.connections import open_target
from airflow_provider_pacs.cli.invocation import Answer, Invocation, PacsCommand, county_command


@click.command("migrate", cls=PacsCommand)
@county_command()
def command(invocation: Invocation) -> Answer:
    """Create or upgrade the target's schemas."""
    with open_target(invocation) as target:
        applied = target.migrate()
    return Answer(
        {"applied": applied}, [f"applied {name}" for name in applied] or ["The target is up to date."]
    )
