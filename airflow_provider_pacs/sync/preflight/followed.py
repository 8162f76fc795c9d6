"""Which entities of a county can be followed as they change, and what to switch on for the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.incremental import COMPARE, LAST_MODIFIED, strategy_named
from airflow_provider_pacs.sync.incremental.strategy import PolledTable, ShowsPosition
from airflow_provider_pacs.sync.polling import PolledEntity, polled_table
from airflow_provider_pacs.sync.preflight.context import PreflightContext
from airflow_provider_pacs.sync.preflight.report import Finding
from airflow_provider_pacs.sync.preflight.resolve import ReadChoice
from airflow_provider_pacs.sync.runtime.errors import PacsError
from airflow_provider_pacs.sync.schema.columns import optional_query
from airflow_provider_pacs.sync.schema.tsql import qualified, quote
from airflow_provider_pacs.sync.source.port import SourceReader

_ROWS = "SELECT SUM(p.rows) AS n FROM sys.partitions AS p WHERE p.object_id = OBJECT_ID(?) AND p.index_id < 2"


def followed_entities(
    config: CountyConfig, source: SourceReader, choices: Mapping[str, ReadChoice]
) -> tuple[tuple[PolledEntity, ...], dict[str, str]]:
    """(the entities whose changes a poll can see, reason by entity for the others)."""
    entities, left_out = [], {}
    for name, choice in choices.items():
        if not can_be_followed(choice):
            left_out[name] = choice.reason
            continue
        sync = config.sync
        polled = polled_table(choice.table, sync.clock, sync.clock_offset_minutes or 0, sync.lag_seconds)
        counted = choice.table.selection is None and _is_counted(source, polled)
        entities.append(PolledEntity(name, choice.strategy, polled, counted))
    return tuple(entities), left_out


def can_be_followed(choice: ReadChoice) -> bool:
    """Whether a poll can tell that the entity changed."""
    strategy: object = strategy_named(choice.strategy)
    return choice.strategy != COMPARE and isinstance(strategy, ShowsPosition)


def _is_counted(source: SourceReader, table: PolledTable) -> bool:
    """Whether the catalog shows this login the table's number of rows."""
    rows = optional_query(source, _ROWS, (qualified(table.schema, table.table),))
    return bool(rows and rows[0]["n"] is not None)


def check_followed(context: PreflightContext) -> Iterator[Finding]:
    """One finding per entity of a county whose file enables realtime; none for any other county."""
    if not context.config.realtime.enabled:
        return
    for entity in context.entities:
        choice = context.read_choice(entity)
        if not isinstance(choice, PacsError):
            yield _finding(context, entity, choice)


def _finding(context: PreflightContext, entity: str, choice: ReadChoice) -> Finding:
    name = f"realtime.{entity}"
    if not can_be_followed(choice):
        text = f"{entity} is not followed: {choice.reason}. Its changes come with the scheduled runs."
        remedy = (
            "The database's administrator runs what "
            f"`pacs grants {context.config.county} --change-tracking` prints, or adds a rowversion column."
        )
        return Finding(name, "changes", "warn", text, remedy)
    poll, lag = context.config.realtime.poll_seconds, context.config.sync.lag_seconds
    if choice.strategy == LAST_MODIFIED:
        table = choice.table.map
        text = (
            f"{entity} is followed by the stamps in {table.change_column}: a change is read {lag} s after "
            "its stamp, and each poll looks for the newest stamp. A hard delete is found by the next run."
        )
        index = index_statement(table.schema, table.table, table.change_column or "")
        remedy = f"A rowversion column is quicker. Without an index on the stamp a poll scans: {index}"
        return Finding(name, "changes", "ok", text, remedy)
    text = f"{entity} is followed by {choice.strategy}: a poll every {poll} s costs next to nothing."
    return Finding(name, "changes", "ok", text)


def index_statement(schema: str, table: str, column: str) -> str:
    """An index on a change stamp; printed, never sent."""
    return f"CREATE INDEX {quote(f'IX_{column}'[:60])} ON {qualified(schema, table)} ({quote(column)});"
