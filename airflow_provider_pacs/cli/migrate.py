"""`pacs migrate COUNTY`: the target's schemas, created or upgraded."""

from __future__ import annotations

import click

from airflow_provider_pacs.cli.connections import config_where_there_is_one, open_target
from airflow_provider_pacs.cli.invocation import Answer, Invocation, PacsCommand, county_command


@click.command("migrate", cls=PacsCommand)
@county_command()
def command(invocation: Invocation) -> Answer:
    """Create or upgrade the target's schemas; add the columns that the county's file promotes."""
    from airflow_provider_pacs.sync.config import table_maps

    config = config_where_there_is_one(invocation)
    with open_target(invocation, config) as target:
        applied = target.migrate()
        if config is not None:
            promoted = {name: table.promoted_columns for name, table in table_maps(config).items()}
            applied += target.promote(promoted)
    return Answer(
        {"applied": applied}, [f"applied {name}" for name in applied] or ["The target is up to date."]
    )
