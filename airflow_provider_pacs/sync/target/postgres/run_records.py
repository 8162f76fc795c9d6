"""Runs, their entities, cursors and results as rows of schema `pacs_ops`, read and written in the
transaction that is handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from airflow_provider_pacs.sync.quality.model import RuleResult
from airflow_provider_pacs.sync.records import EntityRun, RunRecord, RunState
from airflow_provider_pacs.sync.runtime.errors import ConflictError

Connection = psycopg.Connection[Any]
Record = TypeVar("Record")


def columns(record: Any) -> LiteralString:
    """The fields of a record as a select list: `class_row` wants exactly these."""
    return ", ".join(f'"{each.name}"' for each in fields(record))


def read(
    connection: Connection, record: type[Record], tail: LiteralString, values: Sequence[object]
) -> list[Record]:
    """Rows of a table as records. `tail` is what follows the select list, from FROM on."""
    with connection.cursor(row_factory=class_row(record)) as cursor:
        return cursor.execute(f"SELECT {columns(record)} {tail}", values).fetchall()


def run(connection: Connection, run_id: str) -> RunRecord:
    """One run.

    Raises:
        ConflictError: there is no such run.
    """
    rows = read(connection, RunRecord, "FROM pacs_ops.sync_run WHERE run_id = %s", (run_id,))
    if not rows:
        raise ConflictError(
            f"run {run_id} is not recorded in this target",
            remedy="clear the preflight task, so that a new run is planned",
        )
    return rows[0]


def entities(connection: Connection, run_id: str) -> list[EntityRun]:
    """The run's entities, parents first."""
    return read(
        connection, EntityRun, "FROM pacs_ops.run_entity WHERE run_id = %s ORDER BY position", (run_id,)
    )


def fence(connection: Connection, record: RunRecord) -> None:
    """Lock the county's row for the transaction and check that the run still owns the county (case 107).

    Raises:
        ConflictError: a later run has taken the epoch.
    """
    row = connection.execute(
        "SELECT epoch FROM pacs_ops.county WHERE county_id = %s FOR UPDATE", (record.county_id,)
    ).fetchone()
    if row is None or row[0] != record.epoch:
        raise ConflictError(
            f"county {record.county_id}: this run holds epoch {record.epoch}, the county is at "
            f"{row[0] if row else 'none'}",
            remedy="nothing was written; the later run carries on",
        )


def set_run_state(
    connection: Connection,
    run_id: str,
    state: RunState,
    message: str = "",
    *,
    published: bool = False,
    finished: bool = False,
) -> None:
    """Move a run to a state."""
    connection.execute(
        "UPDATE pacs_ops.sync_run SET state = %s, message = %s, heartbeat_at = clock_timestamp(), "
        "published_at = CASE WHEN %s THEN clock_timestamp() ELSE published_at END, "
        "finished_at = CASE WHEN %s THEN clock_timestamp() END WHERE run_id = %s",
        (state, message, published, finished, run_id),
    )


def set_entity(connection: Connection, run_id: str, entity: str, state: str, message: str = "") -> None:
    """Move one entity of a run to a state."""
    connection.execute(
        "UPDATE pacs_ops.run_entity SET state = %s, message = %s, updated_at = clock_timestamp() "
        "WHERE run_id = %s AND entity = %s",
        (state, message, run_id, entity),
    )


def store_cursor(connection: Connection, record: RunRecord, row: EntityRun) -> None:
    """Move an entity's cursor, in the transaction of its rows."""
    plan = row.read_plan
    connection.execute(
        "INSERT INTO pacs_ops.sync_state (county_id, entity, strategy, watermark, watermark_type, feed, "
        "fingerprint, "
        "schema_fingerprint, source_columns, added_columns, epoch, run_id, source_utc) "
        "SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, source_utc "
        "FROM pacs_ops.sync_run WHERE run_id = %s "
        "ON CONFLICT (county_id, entity) DO UPDATE SET strategy = excluded.strategy, watermark = "
        "excluded.watermark, "
        "watermark_type = excluded.watermark_type, feed = excluded.feed, fingerprint = excluded.fingerprint, "
        "schema_fingerprint = excluded.schema_fingerprint, source_columns = excluded.source_columns, "
        "added_columns = excluded.added_columns, epoch = excluded.epoch, run_id = excluded.run_id, "
        "source_utc = excluded.source_utc, updated_at = now()",
        (
            record.county_id,
            row.entity,
            row.strategy,
            plan.cursor,
            row.change_type,
            plan.feed,
            row.fingerprint,
            row.schema_fingerprint,
            Jsonb(plan.source_columns),
            list(plan.added_columns),
            record.epoch,
            row.run_id,
            row.run_id,
        ),
    )


def distrust_cursor(connection: Connection, record: RunRecord, row: EntityRun) -> None:
    """Rows were published under another fingerprint than the cursor's, and the cursor stays where it is: the
    next sync reads every row, also where the county's file says by then what it said before.
    """
    connection.execute(
        "UPDATE pacs_ops.sync_state SET fingerprint = '', updated_at = now() "
        "WHERE county_id = %s AND entity = %s AND fingerprint <> %s",
        (record.county_id, row.entity, row.fingerprint),
    )


def record_results(connection: Connection, run_id: str, entity: str, results: Sequence[RuleResult]) -> None:
    """Store what rules said; a later validation of the same rule in the same run replaces the earlier one."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO pacs_ops.quality_result (run_id, entity, rule_id, severity, title, success, "
            "evaluated, "
            "unexpected, blocks, detail) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
            "ON CONFLICT (run_id, entity, rule_id) DO UPDATE SET success = excluded.success, "
            "evaluated = excluded.evaluated, unexpected = excluded.unexpected, blocks = excluded.blocks, "
            "detail = excluded.detail, validated_at = clock_timestamp()",
            [
                (
                    run_id,
                    entity,
                    result.rule_id,
                    result.severity,
                    result.title,
                    result.success,
                    result.evaluated,
                    result.unexpected,
                    result.blocks,
                    result.detail,
                )
                for result in results
            ],
        )


def failed_rules(connection: Connection, run_id: str) -> dict[str, tuple[str, ...]]:
    """Per entity the rules that did not hold."""
    rows = connection.execute(
        "SELECT entity, array_agg(rule_id ORDER BY rule_id) FROM pacs_ops.quality_result "
        "WHERE run_id = %s AND NOT success GROUP BY entity",
        (run_id,),
    )
    return {entity: tuple(rules) for entity, rules in rows}
