"""Staging tables as objects of the database: how they are named, made, counted and dropped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity, EntityColumn
from airflow_provider_pacs.sync.target.postgres import key_lists, probes
from airflow_provider_pacs.sync.target.postgres.sql import OPS, PG_TYPES, stage

Connection = psycopg.Connection[Any]
KEEP_HOURS = 48
"""Staging tables of runs that ended this many hours ago, or longer, are dropped by the next run; those of
superseded runs at once.
"""

EMPTIED = "its staged rows are gone: PostgreSQL crashed or failed over after the extract"


def redactions(table: str) -> str:
    """The table beside a staging table that holds whose rows must be redacted."""
    return f"{table}_r"


def rows_view(table: str) -> str:
    """The view of a staging table's rows without the keys that are gone: what rules are evaluated on.

    A gone key has no values, which is no fault of it.
    """
    return f"{table}_u"


def exists(connection: Connection, table: str) -> bool:
    """Whether a table of the staging schema exists."""
    return connection.execute("SELECT to_regclass(%s)", (f"{OPS}.{table}",)).fetchone() != (None,)


def count(connection: Connection, table: str) -> int:
    """Rows in a staging table; -1 where it does not exist (any more)."""
    if not exists(connection, table):
        return -1
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(stage(table))).fetchone()
    return int(row[0]) if row else 0


def create(connection: Connection, entity: Entity, table: str, *, county_id: str, keyed: bool) -> None:
    """An empty staging table: the canonical columns without constraints, and how each row is to be treated.

    With `keyed` the source has keys of its own: the canonical keys are made from `_source_key` and
    `_parent_key` as rows come in. `_op` is U (a row) or D (gone at the source, confirmed there); `_late` is 1
    for a row newer than the upper bound; `_reject` holds the ids of the rules that the row breaks; `_pass`
    says which read brought it.
    """
    plain = sql.SQL(", ").join(
        _definition(entity, column, county_id, keyed=keyed) for column in entity.columns
    )
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(stage(table)))
    connection.execute(
        sql.SQL(
            "CREATE UNLOGGED TABLE {} ({}, _source_key text, _parent_key text, _source_version text, _late "
            "int, "
            "_reject text[], _op char(1) NOT NULL DEFAULT 'U', _pass int NOT NULL DEFAULT 1)"
        ).format(stage(table), plain)
    )
    connection.execute(
        sql.SQL("CREATE VIEW {} AS SELECT * FROM {} WHERE _op = 'U'").format(
            stage(rows_view(table)), stage(table)
        )
    )


def _definition(entity: Entity, column: EntityColumn, county_id: str, *, keyed: bool) -> sql.Composed:
    made_from = (
        {entity.key: (entity.name, "_source_key"), entity.parent_key: (entity.parent, "_parent_key")}
        if keyed
        else {}
    )
    plain = sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(PG_TYPES[column.type]))
    if column.name not in made_from:
        return plain
    of, source = made_from[column.name]
    return sql.SQL("{} GENERATED ALWAYS AS (pacs_ops.surrogate_key({}, {}, {})) STORED").format(
        plain, sql.Literal(county_id), sql.Literal(of), sql.Identifier(source)
    )


def columns_of(connection: Connection, table: str) -> list[str]:
    """The columns of a staging table that rows bring: not those that PostgreSQL makes."""
    rows = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT "
        "attisdropped "
        "AND attgenerated = '' AND attidentity = ''",
        (f"{OPS}.{table}",),
    )
    return [name for (name,) in rows]


def drop(connection: Connection, tables: Iterable[str]) -> None:
    """Drop staging tables with all that stands beside them; one that is gone already is fine."""
    for table in tables:
        for name in (table, key_lists.table_of(table), probes.table_of(table), redactions(table)):
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(stage(name)))


def drop_idle(connection: Connection, tables: Iterable[str]) -> None:
    """Drop tables that nobody uses this moment; one that somebody still fills is left for a later run."""
    for table in tables:
        try:
            with connection.transaction():
                connection.execute(
                    sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE NOWAIT").format(stage(table))
                )
                connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(stage(table)))
        except (psycopg.errors.LockNotAvailable, psycopg.errors.UndefinedTable):
            continue


def abandoned(connection: Connection, county_id: str) -> list[str]:
    """Staging tables of the county's runs that can no longer publish, or that ended long enough ago."""
    rows = connection.execute(
        "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "JOIN pacs_ops.sync_run AS r "
        "ON c.relname LIKE 'stage\\_' || replace(r.run_id::text, '-', '') || '\\_%%' "
        "WHERE n.nspname = %s AND c.relkind = 'r' AND r.county_id = %s AND (r.state = 'superseded' OR "
        "r.state <> 'running' AND coalesce(r.finished_at, r.started_at) < now() - make_interval(hours => "
        "%s))",
        (OPS, county_id, KEEP_HOURS),
    )
    return [name for (name,) in rows.fetchall()]
