"""`pacs history COUNTY KEY`: who saw which change of a row when."""

from __future__ import annotations

import json
from typing import Any

import click

from airflow_provider_pacs.cli.connections import open_target, read_config
from airflow_provider_pacs.cli.invocation import Answer, Invocation, PacsCommand, county_command
from airflow_provider_pacs.sync.records import RowChange

_WORDS = {"I": "came", "U": "changed", "D": "deleted", "R": "came back", "X": "removed by a rollback"}


@click.command("history", cls=PacsCommand)
@county_command()
@click.argument("key")
@click.option("--values", is_flag=True, help="Old and new values too; those of personal columns stay hidden.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, help="How many changes (default 100).")
def command(invocation: Invocation, key: str, values: bool, limit: int) -> Answer:
    """Show every change of a row, newest first: run, feed position, PACS user where the row carries one.

    KEY is a row's key as the source or the platform writes it, or a property's parcel number; a property
    comes with what belongs to it. Changes are kept where the county's file says `history: {enabled: true}`.
    """
    config = read_config(invocation)
    with open_target(invocation, config) as target:
        changes = target.history.changes(config.fips, key, limit)
        images = target.history.images(config.fips, key, limit) if values else []
    data = [change.as_dict() for change in changes]
    if values:
        for line, (before, after) in zip(data, images, strict=True):
            line["values"] = _values(line["entity"], line["changed"], before, after)
    lines = [_line(change) for change in changes] if not values else []
    for change, line in zip(changes, data, strict=True) if values else ():
        lines.append(_line(change))
        lines += [f"    {name}: {old} -> {new}" for name, (old, new) in line["values"].items()]
    return Answer(data, lines or [f"{config.county} knows nothing of {key}."])


def _line(change: RowChange) -> str:
    """One change for people."""
    parts = [
        f"{change.at:%Y-%m-%d %H:%M:%S}",
        change.entity,
        change.source_key,
        _WORDS[change.op] + (f" ({', '.join(change.changed)})" if change.changed else ""),
    ]
    if change.run_id is not None:
        parts.append(f"{change.run_kind or 'run'} {change.run_id}")
    if change.upper_bound is not None:
        parts.append(f"{change.strategy} up to {change.upper_bound}")
    if change.source_version is not None:
        parts.append(f"source version {change.source_version}")
    parts += [f"PACS user {change.pacs_user}"] if change.pacs_user else []
    parts += [f"approved by {change.actor}"] if change.actor else []
    return ", ".join(parts)


def _values(
    entity: str, changed: list[str], before: dict[str, Any] | None, after: dict[str, Any] | None
) -> dict[str, list[str]]:
    """Column -> (old, new) as text; of what is declared to name nobody. Nobody declared a promoted column."""
    from airflow_provider_pacs.sync.entities import load_entities

    canonical = load_entities()[entity]
    shown = {column.name for column in canonical.columns if column.pii == "none" and column.type != "json"}
    shown |= {canonical.key, str(canonical.parent_key)}
    return {
        name: [json.dumps((image or {}).get(name), default=str) for image in (before, after)]
        if name in shown
        else ["(hidden)", "(hidden)"]
        for name in changed
    }
