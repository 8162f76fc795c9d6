"""`pacs quarantine COUNTY`: the rows that broke a rule, by key and rule; never a value."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from airflow_provider_pacs.cli.connections import open_target, read_config
from airflow_provider_pacs.cli.invocation import Answer, Invocation, PacsCommand, county_command

if TYPE_CHECKING:
    from airflow_provider_pacs.sync.records import OrphanedRow


@click.command("quarantine", cls=PacsCommand)
@county_command()
@click.option("--left-behind", is_flag=True, help="List published rows whose parent was deleted instead.")
def command(invocation: Invocation, left_behind: bool) -> Answer:
    """List rows that broke a rule: keys, rules and what each rule asks for; no values."""
    from airflow_provider_pacs.sync.quality import rule_text

    config = read_config(invocation)
    with open_target(invocation, config) as target:
        if left_behind:
            return _left_behind(target.approvals.orphans(config.fips))
        rows = target.approvals.quarantine(config.fips)
    texts = {(row.entity, rule): rule_text(row.entity, rule) for row in rows for rule in row.rules}
    lines = [
        f"{r.entity} {r.source_key}: "
        f"{'; '.join(_with_text(rule, texts[r.entity, rule]) for rule in r.rules)} "
        f"(since {r.first_seen_at:%Y-%m-%d %H:%M})"
        for r in rows
    ]
    data = [
        {**asdict(row), "rule_texts": {rule: texts[row.entity, rule] for rule in row.rules}} for row in rows
    ]
    return Answer(data, lines or ["Nothing is in quarantine."])


def _with_text(rule: str, text: str) -> str:
    return f"{rule} ({text})" if text else rule


def _left_behind(rows: list[OrphanedRow]) -> Answer:
    lines = [
        f"{r.entity} {r.source_key}: {r.parent} {r.parent_key} is deleted (since "
        f"{r.parent_deleted_at:%Y-%m-%d %H:%M})"
        for r in rows
    ]
    return Answer([asdict(row) for row in rows], lines or ["No row is left behind by a deleted parent."])
