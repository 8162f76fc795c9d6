"""`pacs audit [verify|export] COUNTY`: who did what; whether the trail is whole; the trail as a file."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from airflow_provider_pacs.cli.connections import open_target, read_config
from airflow_provider_pacs.cli.invocation import (
    FAILED,
    OK,
    Answer,
    Invocation,
    PacsCommand,
    PlainUsage,
    county_command,
)


class AuditCommands(PlainUsage, click.Group):
    """A group whose first word may be left out: `pacs audit COUNTY` lists."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in self.commands:
            return super().resolve_command(ctx, args)
        return "list", self.commands["list"], args

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Options before the first word belong to `list`: a group has none of its own but --help.
        if args and args[0].startswith("-") and args[0] not in ("-h", "--help"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group("audit", cls=AuditCommands)
def command() -> None:
    """Show, verify or export a county's audit trail.

    `pacs audit COUNTY` lists the latest rows.
    """


@command.command("list", cls=PacsCommand)
@county_command()
@click.option("--limit", type=int, default=20, help="How many rows (default 20).")
def list_rows(invocation: Invocation, limit: int) -> Answer:
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


@command.command("verify", cls=PacsCommand)
@county_command()
@click.option(
    "--head",
    "heads",
    multiple=True,
    metavar="POSITION:HASH",
    help="A head that was kept outside, as a certificate prints it; may be given again.",
)
def verify(invocation: Invocation, heads: tuple[str, ...]) -> Answer:
    """Compute the chain again and name the first row that was edited, deleted, reordered or cut off.

    Exit status 1 where there is one. Only a head that was kept outside the database shows a whole chain
    rewritten.
    """
    config = read_config(invocation)
    with open_target(invocation, config) as target:
        result = target.verify_audit(config.fips, heads)
    if result.fault is None:
        line = (
            f"{result.rows:,} audit rows of {config.county} are as they were written; head "
            f"{result.head or 'none'}."
        )
    else:
        line = f"{result.fault.kind} at position {result.fault.position}: {result.fault.text}."
    document: dict[str, Any] = {
        "county_id": config.fips,
        "rows": result.rows,
        "head": str(result.head) if result.head else None,
        "fault": asdict(result.fault) if result.fault else None,
    }
    return Answer(document, [line], OK if result.is_intact else FAILED)


@command.command("export", cls=PacsCommand)
@county_command()
def export(invocation: Invocation) -> Answer:
    """Print the whole trail as JSON lines, oldest first, with every hash: to check it elsewhere."""
    config = read_config(invocation)
    with open_target(invocation, config) as target:
        lines = list(target.export_audit(config.fips))
    return Answer([json.loads(line) for line in lines], lines)
