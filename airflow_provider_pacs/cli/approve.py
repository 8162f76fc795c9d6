"""`pacs approve COUNTY`: the pending sets of deletes, and a decision on one."""

from __future__ import annotations

import getpass

import click

from airflow_provider_pacs.cli.connections import open_source, open_target, read_config
from airflow_provider_pacs.cli.invocation import Answer, Invocation, PacsCommand, county_command
from airflow_provider_pacs.cli.progress import report_progress


@click.command("approve", cls=PacsCommand)
@county_command(source=True)
@click.argument("held_id", required=False, type=int)
@click.option(
    "--digest", help="The set's digest as listed: it binds the decision to the keys that were shown."
)
@click.option("--reject", is_flag=True, help="Keep the rows instead of deleting them.")
@click.option("--by", default=getpass.getuser, help="Who decides (default: the login).")
def command(invocation: Invocation, held_id: int | None, digest: str | None, reject: bool, by: str) -> Answer:
    """List held sets of deletes, or decide on one: HELD_ID is the set's number in the list."""
    from airflow_provider_pacs.sync.runtime.errors import ConfigError
    from airflow_provider_pacs.sync.steps import approve

    config = read_config(invocation)
    if held_id is None:
        with open_target(invocation, config) as target:
            sets = approve.held_sets(config, target)
        lines = [
            f"{s['held_id']} {s['entity']}: {s['reason']} (since {s['held_at']:%Y-%m-%d %H:%M}) --digest "
            f"{s['digest']}"
            for s in sets
        ]
        return Answer(sets, lines or ["Nothing is held."])
    if not digest:
        raise ConfigError(
            "a decision needs the set's digest", remedy=f"pacs approve {config.county} lists it"
        )
    held = [(held_id, digest)]
    if reject:
        with open_target(invocation, config) as target:
            decided = approve.reject(config, target, held=held, actor=by)
    else:
        with (
            report_progress(invocation, "looking the rows up at the source"),
            open_source(invocation, config) as source,
            open_target(invocation, config) as target,
        ):
            decided = approve.approve(config, source, target, held=held, actor=by, trigger="cli")
    lines = [
        f"{d.entity}: held set {d.held_id} {d.state}, {d.deleted:,} rows deleted, {d.kept:,} found again "
        "and kept"
        for d in decided
    ]
    return Answer([d.as_dict() for d in decided], lines)
