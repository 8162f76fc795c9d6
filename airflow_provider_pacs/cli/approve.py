"""`pacs approve COUNTY`: the pending sets of deletes, and a decision on one."""

from __future__ import annotations

import getpass

import click

from airflow_provider_pacs.cli.connections import open_source, open_target, read_config
from airflow_provider_pacs.cli.invocation import Answer, Invocation, PacsCommand, county_command
from airflow_provider_pacs.cli.progress import report_progress


@click.command("approve", cls=PacsCommand)
@county_command(source=True)
@click.argument("pending_id", required=False, type=int)
@click.option(
    "--digest", help="The set's digest as listed: it binds the decision to the keys that were shown."
)
@click.option("--reject", is_flag=True, help="Keep the rows instead of deleting them.")
@click.option("--by", default=getpass.getuser, help="Who decides (default: the login).")
def command(
    invocation: Invocation, pending_id: int | None, digest: str | None, reject: bool, by: str
) -> Answer:
    """List pending sets of deletes, or decide on one: PENDING_ID is the set's number in the list."""
    from airflow_provider_pacs.sync import steps
    from airflow_provider_pacs.sync.runtime.errors import ConfigError

    config = read_config(invocation)
    if pending_id is None:
        with open_target(invocation, config) as target:
            pending = steps.pending_deletes(config, target)
        lines = [
            f"{p.pending_id} {p.entity}: {p.reason} (since {p.created_at:%Y-%m-%d %H:%M}) --digest {p.digest}"
            for p in pending
        ]
        return Answer([p.as_dict() for p in pending], lines or ["Nothing is pending."])
    if not digest:
        raise ConfigError(
            "a decision needs the set's digest", remedy=f"pacs approve {config.county} lists it"
        )
    sets = [(pending_id, digest)]
    if reject:
        with open_target(invocation, config) as target:
            decided = steps.reject(config, target, sets=sets, actor=by)
    else:
        with (
            report_progress(invocation, "looking the rows up at the source"),
            open_source(invocation, config) as source,
            open_target(invocation, config) as target,
        ):
            decided = steps.approve(config, source, target, sets=sets, actor=by, trigger="cli")
    lines = [
        f"{d.entity}: set {d.pending_id} {d.state}, {d.deleted:,} rows deleted, {d.kept:,} found again "
        "and kept"
        for d in decided
    ]
    return Answer([d.as_dict() for d in decided], lines)
