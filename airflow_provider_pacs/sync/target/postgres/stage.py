"""Mapped batches -> a typed, unlogged staging table of one (run, entity, try), by COPY.

Staging never carries over: a new try gets a new table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity, EntityColumn
from airflow_provider_pacs.sync.target.postgres.sql import OPS, PG_TYPES, columns, key_text, leaf, stage

Connection = psycopg.Connection[Any]
KEEP_HOURS = 48
"""Staging tables of runs that ended this many hours ago, or longer, are dropped by the next run; those of
superseded runs at once.
"""

EMPTIED = "its staged rows are gone: PostgreSQL crashed or failed over after the extract"


def was_emptied(connection: Connection, row: dict[str, Any]) -> bool:
    """Whether the staging table of a run's entity is not what extract left: unlogged tables are empty after a
    crash, and no cursor may move then.
    """
    return count(connection, row["stage_table"]) != int(row["rows_staged"])


def create(connection: Connection, entity: Entity, table: str, *, county_id: str, keyed: bool) -> None:
    """An empty staging table: the canonical columns without constraints, and how each row is to be treated.

    With `keyed` the source has keys of its own: the canonical keys are made from `_source_key` and
    `_parent_key` as rows come in.

    `_op` is U (a row) or D (gone at the source, confirmed there); `_late` is 1 for a row stamped after the
    upper bound; `_reject` holds the ids of the rules the row broke.
    """
    plain = sql.SQL(", ").join(
        _definition(entity, column, county_id, keyed=keyed) for column in entity.columns
    )
    drop(connection, [table])
    connection.execute(
        sql.SQL(
            "CREATE UNLOGGED TABLE {} ({}, _source_key text, _parent_key text, _source_version text, _late "
            "int, _reject text[], "
            "_op char(1) NOT NULL DEFAULT 'U', "
            "_seq bigint GENERATED ALWAYS AS IDENTITY)"
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


def rows_view(table: str) -> str:
    """The view of a staging table's rows without the keys that are gone: what rules judge.

    A gone key has no values, which is no fault of it.
    """
    return f"{table}_u"


def mapping_rejects(connection: Connection, table: str) -> tuple[int, dict[str, int]]:
    """(rows, rows per reason that mapping gave them)."""
    rows = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(stage(rows_view(table)))).fetchone()
    found = connection.execute(
        sql.SQL(
            "SELECT r, count(*) FROM {} AS s, unnest(s._reject) AS r WHERE starts_with(r, 'MAP.') GROUP BY r"
        ).format(stage(rows_view(table)))
    )
    return int(rows[0]) if rows else 0, dict(found.fetchall())


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
            "DELETE FROM {t} AS a USING (SELECT {k}, max(_seq) AS last FROM {t} GROUP BY {k} HAVING "
            "count(*) > 1) AS d "
            "WHERE a.{k} = d.{k} AND a._seq < d.last"
        ).format(t=stage(table), k=key)
    ).rowcount
    return dropped


def missing_keys(connection: Connection, entity: Entity, county_id: str, table: str) -> list[str]:
    """Keys (text) that are live in the target and not in a complete staging table."""
    rows = connection.execute(
        sql.SQL(
            "SELECT {key} FROM {l} AS l WHERE l._deleted_at IS NULL AND NOT EXISTS (SELECT FROM {s} AS s "
            "WHERE s.{k} = l.{k})"
        ).format(
            key=key_text(entity, "l"), k=sql.Identifier(entity.key), l=leaf(entity, county_id), s=stage(table)
        )
    )
    return [key for (key,) in rows]


def vanished_keys(connection: Connection, entity: Entity, county_id: str, table: str) -> list[str]:
    """Keys (text) that wait in quarantine and are not in a complete staging table."""
    rows = connection.execute(
        sql.SQL(
            "SELECT q.source_key FROM pacs_ops.quarantine AS q WHERE q.county_id = %s AND q.entity = %s AND "
            "q.state = 'open' AND q.source_key <> '' "
            "AND NOT EXISTS (SELECT FROM {} AS s WHERE {} = q.source_key)"
        ).format(stage(table), key_text(entity, "s")),
        (county_id, entity.name),
    )
    return [key for (key,) in rows]


def add_gone(connection: Connection, entity: Entity, table: str, keys: Sequence[str]) -> None:
    """Record those of the keys that the staging table does not have as gone at the source."""
    if keys:
        own = entity.key in columns_of(connection, table)
        connection.execute(
            sql.SQL(
                "INSERT INTO {t} ({k}, _op) SELECT g.key::{type}, 'D' FROM unnest(%s::text[]) AS g(key) "
                "WHERE NOT EXISTS (SELECT FROM {t} AS s WHERE s.{k} = g.key::{type})"
            ).format(
                t=stage(table),
                k=sql.Identifier(entity.key if own else "_source_key"),
                type=sql.SQL(_key_type(entity) if own else "text"),
            ),
            (list(keys),),
        )


def count(connection: Connection, table: str) -> int:
    """Rows in a staging table; -1 where it does not exist (any more)."""
    if connection.execute("SELECT to_regclass(%s)", (f"{OPS}.{table}",)).fetchone() == (None,):
        return -1
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(stage(table))).fetchone()
    return int(row[0]) if row else 0


def _key_type(entity: Entity) -> str:
    return next(column.type for column in entity.columns if column.name == entity.key)


def mark_rejects(connection: Connection, table: str, assignments: Sequence[tuple[str, str]]) -> int:
    """Write the ids of broken rules into `_reject`; each assignment is (rule id, predicate over alias s that
    is true for a bad row).

    Returns:
        Rows with a reject, those from mapping included.
    """
    local = [
        (rule, predicate) for rule, predicate in assignments if "SELECT" not in predicate
    ]  # one scan decides all that look at one row only
    others = [
        (rule, predicate) for rule, predicate in assignments if "SELECT" in predicate
    ]  # a WHERE of its own each, so that joins are planned
    broken = "".join(
        f", CASE WHEN s._op = 'U' AND ({predicate}) THEN {sql.Literal(rule).as_string(connection)} END"
        for rule, predicate in local
    )
    any_broken = "".join(f" OR (s._op = 'U' AND ({predicate}))" for _, predicate in local)
    # a repeated judgement starts from what mapping said
    kept = "ARRAY(SELECT r FROM unnest(s._reject) AS r WHERE starts_with(r, 'MAP.'))"
    with connection.transaction():
        connection.execute(
            f"UPDATE {stage(table).as_string(connection)} AS s SET _reject = nullif({kept} || "  # noqa: S608
            f"array_remove(ARRAY[NULL::text{broken}], NULL), '{{}}') "
            f"WHERE s._reject IS NOT NULL{any_broken}".encode()
        )
        for rule, predicate in others:
            connection.execute(
                sql.SQL("UPDATE {} AS s SET _reject = array_append(s._reject, {}) WHERE s._op = 'U' AND ({})")
                .format(stage(table), sql.Literal(rule), sql.SQL(predicate))
                .as_bytes(connection)
            )
        row = connection.execute(
            sql.SQL("SELECT count(*) FROM {} WHERE _reject IS NOT NULL").format(stage(table))
        ).fetchone()
    return int(row[0]) if row else 0


def drop(connection: Connection, tables: Iterable[str]) -> None:
    """Drop staging tables; one that is gone already is fine."""
    for table in tables:
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(stage(table)))


def drop_idle(connection: Connection, tables: Iterable[str]) -> None:
    """Drop staging tables that nobody uses this moment; one that somebody still fills is left for a later
    run, never waited for.
    """
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
    """Staging tables of the county's runs that can no longer publish (superseded), or that ended long enough
    ago.
    """
    rows = connection.execute(
        "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "JOIN pacs_ops.sync_run AS r ON c.relname LIKE 'stage\\_' || replace(r.run_id::text, '-', '') || "
        "'\\_%%' "
        "WHERE n.nspname = 'pacs_stage' AND c.relkind = 'r' AND r.county_id = %s AND (r.state = 'superseded' "
        "OR r.state <> 'running' AND coalesce(r.finished_at, r.started_at) < now() - make_interval(hours => "
        "%s))",
        (county_id, KEEP_HOURS),
    )
    return [name for (name,) in rows.fetchall()]
