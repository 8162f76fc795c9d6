"""Mapped batches -> a typed, unlogged staging table of one (run, entity, try), by COPY. Staging never carries over: a new try gets a new table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.target.postgres.sql import columns, definitions, leaf, stage

Connection = psycopg.Connection[Any]
KEEP_HOURS = 48
"""Staging tables of runs that ended this many hours ago, or longer, are dropped by the next run; those of superseded runs at once."""

EMPTIED = "its staged rows are gone: PostgreSQL crashed or failed over after the extract"


def was_emptied(connection: Connection, row: dict[str, Any]) -> bool:
    """Whether the staging table of a run's entity lost its rows: an unlogged table is empty after a crash, and its cursor must not move then."""
    if not row["rows_read"]:
        return False
    return connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(stage(row["stage_table"]))).fetchone() is None


def create(connection: Connection, entity: Entity, table: str) -> None:
    """An empty staging table: the canonical columns without constraints, and how each row is to be treated.

    `_op` is U (a row) or D (gone at the source, confirmed there); `_late` is 1 for a row stamped after the upper bound; `_reject` holds the
    ids of the rules the row broke.
    """
    plain = definitions(entity).as_string(connection).replace(" NOT NULL", "")
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(stage(table)))
    connection.execute(
        sql.SQL(
            "CREATE UNLOGGED TABLE {} ({}, _source_version text, _late int, _reject text[], _op char(1) NOT NULL DEFAULT 'U', "
            "_seq bigint GENERATED ALWAYS AS IDENTITY)"
        ).format(stage(table), sql.SQL(plain))
    )


def copy(connection: Connection, table: str, names: Sequence[str], payloads: Iterable[bytes]) -> None:
    """COPY CSV payloads into the staging table in one transaction: all of them or none."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(stage(table), columns(names))
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(statement) as sink:
        for payload in payloads:
            sink.write(payload)
    connection.execute(sql.SQL("ANALYZE {}").format(stage(table)))


def settle(connection: Connection, entity: Entity, table: str) -> int:
    """Keep the row that was read last where a key was read more than once; returns how many rows went."""
    key = sql.Identifier(entity.key)
    dropped = connection.execute(
        sql.SQL(
            "DELETE FROM {t} AS a USING (SELECT {k}, max(_seq) AS last FROM {t} GROUP BY {k} HAVING count(*) > 1) AS d "
            "WHERE a.{k} = d.{k} AND a._seq < d.last"
        ).format(t=stage(table), k=key)
    ).rowcount
    return dropped


def missing_keys(connection: Connection, entity: Entity, county_id: str, table: str) -> list[str]:
    """Keys (text) that are live in the target and not in a complete staging table."""
    rows = connection.execute(
        sql.SQL("SELECT l.{k}::text FROM {l} AS l WHERE l._deleted_at IS NULL AND NOT EXISTS (SELECT FROM {s} AS s WHERE s.{k} = l.{k})").format(
            k=sql.Identifier(entity.key), l=leaf(entity, county_id), s=stage(table)
        )
    )
    return [key for (key,) in rows]


def add_gone(connection: Connection, entity: Entity, table: str, keys: Sequence[str]) -> None:
    """Record those of the keys that the staging table does not have as gone at the source."""
    if keys:
        connection.execute(
            sql.SQL(
                "INSERT INTO {t} ({k}, _op) SELECT g.key::{type}, 'D' FROM unnest(%s::text[]) AS g(key) "
                "WHERE NOT EXISTS (SELECT FROM {t} AS s WHERE s.{k} = g.key::{type})"
            ).format(t=stage(table), k=sql.Identifier(entity.key), type=sql.SQL(_key_type(entity))),
            (list(keys),),
        )


def _key_type(entity: Entity) -> str:
    return next(column.type for column in entity.columns if column.name == entity.key)


def mark_rejects(connection: Connection, table: str, assignments: Sequence[tuple[str, str]]) -> int:
    """Write the ids of broken rules into `_reject`; each assignment is (rule id, predicate over alias s that is true for a bad row).

    Returns:
        Rows with a reject, those from mapping included.
    """
    with connection.transaction():
        connection.execute(  # a repeated judgement starts from what mapping said
            sql.SQL(
                "UPDATE {} SET _reject = nullif(ARRAY(SELECT r FROM unnest(_reject) AS r WHERE starts_with(r, 'MAP.')), '{{}}') "
                "WHERE _reject IS NOT NULL"
            ).format(stage(table))
        )
        for rule, predicate in assignments:
            connection.execute(
                sql.SQL("UPDATE {} AS s SET _reject = array_append(s._reject, {}) WHERE s._op = 'U' AND ({})")
                .format(stage(table), sql.Literal(rule), sql.SQL(predicate))
                .as_bytes(connection)
            )
        row = connection.execute(sql.SQL("SELECT count(*) FROM {} WHERE _reject IS NOT NULL").format(stage(table))).fetchone()
    return int(row[0]) if row else 0


def drop(connection: Connection, tables: Iterable[str]) -> None:
    """Drop staging tables; one that is gone already is fine."""
    for table in tables:
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(stage(table)))


def drop_idle(connection: Connection, tables: Iterable[str]) -> None:
    """Drop staging tables that nobody uses this moment; one that somebody still fills is left for a later run, never waited for."""
    for table in tables:
        try:
            with connection.transaction():
                connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE NOWAIT").format(stage(table)))
                connection.execute(sql.SQL("DROP TABLE {}").format(stage(table)))
        except (psycopg.errors.LockNotAvailable, psycopg.errors.UndefinedTable):
            continue


def abandoned(connection: Connection, county_id: str) -> list[str]:
    """Staging tables of the county's runs that can no longer publish (superseded), or that ended long enough ago."""
    rows = connection.execute(
        "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "JOIN pacs_ops.sync_run AS r ON c.relname LIKE 'stage\\_' || replace(r.run_id::text, '-', '') || '\\_%%' "
        "WHERE n.nspname = 'pacs_ops' AND c.relkind = 'r' AND r.county_id = %s AND (r.state = 'superseded' "
        "OR r.state <> 'running' AND coalesce(r.finished_at, r.started_at) < now() - make_interval(hours => %s))",
        (county_id, KEEP_HOURS),
    )
    return [name for (name,) in rows.fetchall()]
