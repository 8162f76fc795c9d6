"""`pacs audit COUNTY`: who did what, newest last."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from airflow_provider_pacs.cli.connections import open_target, read_config
from airflow_provider_pacs.cli.invocation import Answer, Invocation, PacsCommand, county_command


@click.command("audit", cls=PacsCommand)
@county_command()
@click.option("--limit", type=int, default=20, help="How many rows (default 20).")
def command(invocation: Invocation, limit: int) -> Answer:
    """Show the latest audit rows of a county."""
    config = read_config(invocation)
    with open_target(invocation, config) as target:
        rows = target.runs.audit_rows(config.fips, limit)
    return Answer(
        [asdict(row) for row in rows],
        [
            f"{r.seq} {r.at:%Y-%m-%d %H:%M:%S} {r.actor} {r.action} {r.object} {json.dumps(r.details)}"
            for r in rows
        ],
    )
