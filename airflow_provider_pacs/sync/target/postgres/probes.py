"""Contents of probed tables -> the root keys that changed since the last published run, and what they no
longer have.

Beside a staging table stands a second one, with a digest per probe and root key, and, with an empty probe and
no digest, the root keys that are read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.target.postgres import ddl
from airflow_provider_pacs.sync.target.postgres.sql import key_text, partition, stage

Connection = psycopg.Connection[Any]


def table_of(stage_table: str) -> str:
    """The table of root keys beside a staging table."""
    return f"{stage_table}_p"


def create(connection: Connection, stage_table: str) -> None:
    """An empty table of root keys; an older one of the same try is replaced."""
    table = stage(table_of(stage_table))
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
    connection.execute(
        sql.SQL(
            "CREATE UNLOGGED TABLE {} (probe text NOT NULL, root_key text NOT NULL, digest bytea, UNIQUE "
            "(probe, root_key))"
        ).format(table)
    )


def exists(connection: Connection, stage_table: str) -> bool:
    """Whether the staging table has a table of root keys."""
    row = connection.execute(
        "SELECT to_regclass(%s)", (stage(table_of(stage_table)).as_string(connection),)
    ).fetchone()
    return row is not None and row[0] is not None


def fold(connection: Connection, stage_table: str, probe: str, payloads: Iterable[bytes]) -> None:
    """CSV payloads of `root_key, line` -> one digest per root_key: of its lines in their order, so the order
    in which they came does not count.
    """
    with connection.transaction():
        connection.execute("CREATE TEMPORARY TABLE probed_lines (root_key text, line text) ON COMMIT DROP")
        with connection.cursor() as cursor, cursor.copy("COPY probed_lines FROM STDIN (FORMAT csv)") as sink:
            for payload in payloads:
                sink.write(payload)
        connection.execute(
            sql.SQL(
                "INSERT INTO {} (probe, root_key, digest) "
                "SELECT %s, root_key, sha256(convert_to(string_agg(line, E'\\n' ORDER BY line COLLATE "
                '"C"), '
                "'UTF8')) "
                "FROM probed_lines GROUP BY root_key"
            ).format(stage(table_of(stage_table))),
            (probe,),
        )


def changed(connection: Connection, county_id: str, entity: Entity, stage_table: str) -> list[str]:
    """Scopes whose contents are not those of the last published run, or that came or went since."""
    rows = connection.execute(
        sql.SQL(
            "SELECT DISTINCT coalesce(n.root_key, o.root_key) FROM (SELECT * FROM {} WHERE digest IS NOT "
            "NULL) AS "
            "n "
            "FULL JOIN (SELECT * FROM pacs_ops.probed_contents WHERE county_id = {} AND entity = {}) AS o ON "
            "o.probe = n.probe AND o.root_key = n.root_key "
            "WHERE n.digest IS DISTINCT FROM o.digest"
        ).format(stage(table_of(stage_table)), sql.Literal(county_id), sql.Literal(entity.name))
    )
    return [root_key for (root_key,) in rows]


def note(connection: Connection, stage_table: str, keys: Sequence[str]) -> None:
    """Record which keys are read again."""
    connection.execute(
        sql.SQL(
            "INSERT INTO {} (probe, root_key) SELECT '', unnest(%s::text[]) ON CONFLICT DO NOTHING"
        ).format(stage(table_of(stage_table))),
        (list(keys),),
    )


def noted(connection: Connection, stage_table: str) -> list[str]:
    """The keys that are read again."""
    return [
        root_key
        for (root_key,) in connection.execute(
            sql.SQL("SELECT root_key FROM {} WHERE probe = ''").format(stage(table_of(stage_table)))
        )
    ]


def missing_keys(
    connection: Connection, entity: Entity, county_id: str, table: str, noted_by: str
) -> list[str]:
    """Source keys that are live in the target, belong to a noted root_key of `noted_by` and are not staged in
    `table`.
    """
    if not ddl.partition_exists(connection, entity, county_id):
        return []
    rows = connection.execute(
        sql.SQL(
            "SELECT {key} FROM {w} AS w JOIN {l} AS l ON l.{link} = pacs_ops.surrogate_key({county}, "
            "{root}, w.root_key) "
            "WHERE w.probe = '' AND l._deleted_at IS NULL AND NOT EXISTS (SELECT FROM {s} AS s WHERE s.{k} "
            "= l.{k})"
        ).format(
            key=key_text(entity, "l"),
            w=stage(table_of(noted_by)),
            l=partition(entity, county_id),
            link=sql.Identifier(entity.parent_key or entity.key),
            county=sql.Literal(county_id),
            root=sql.Literal(_root(entity).name),
            s=stage(table),
            k=sql.Identifier(entity.key),
        )
    )
    return [key for (key,) in rows]


def store(connection: Connection, county_id: str, entity: Entity, stage_table: str) -> None:
    """What was seen becomes what the next run compares with; in the transaction that publishes the rows.

    Nothing where nothing was probed.
    """
    if not exists(connection, stage_table):
        return
    there = {
        "w": stage(table_of(stage_table)),
        "county": sql.Literal(county_id),
        "entity": sql.Literal(entity.name),
    }
    connection.execute(
        sql.SQL(
            "DELETE FROM pacs_ops.probed_contents AS o WHERE o.county_id = {county} AND o.entity = {entity} "
            "AND NOT "
            "EXISTS "
            "(SELECT FROM {w} AS n WHERE n.probe = o.probe AND n.root_key = o.root_key AND n.digest IS NOT "
            "NULL)"
        ).format(**there)
    )
    connection.execute(
        sql.SQL(
            "INSERT INTO pacs_ops.probed_contents AS o SELECT {county}, {entity}, probe, root_key, digest "
            "FROM {w} "
            "WHERE digest IS NOT NULL "
            "ON CONFLICT (county_id, entity, probe, root_key) DO UPDATE SET digest = excluded.digest WHERE "
            "o.digest <> excluded.digest"
        ).format(**there)
    )


def _root(entity: Entity) -> Entity:
    while entity.parent is not None:
        entity = load_entities()[entity.parent]
    return entity
