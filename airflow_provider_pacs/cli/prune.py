"""`pacs prune COUNTY`: the change log, without what is older than the county keeps."""

from __future__ import annotations

import click

from airflow_provider_pacs.cli.connections import open_target, read_config
from airflow_provider_pacs.cli.invocation import Answer, Invocation, PacsCommand, county_command


@click.command("prune", cls=PacsCommand)
@county_command()
@click.option("--dry-run", is_flag=True, help="Count, and remove nothing.")
def command(invocation: Invocation, dry_run: bool) -> Answer:
    """Remove changes that are older than `history.keep_years` of the county's file; audited.

    A year always stays.
    """
    from airflow_provider_pacs.sync.entities import load_entities

    config = read_config(invocation)
    removed: dict[str, int] = {}
    with open_target(invocation, config) as target:
        target.migrate()
        for entity in load_entities():
            years = config.history.years(entity)
            removed[entity] = (
                target.history.prunable(config.fips, entity, years)
                if dry_run
                else target.history.prune(config.fips, entity, years)
            )
    what = "would go" if dry_run else "went"
    lines = [
        f"{entity}: {count:,} changes older than {config.history.years(entity)} years {what}"
        for entity, count in removed.items()
    ]
    return Answer({"dry_run": dry_run, "removed": removed}, lines)
