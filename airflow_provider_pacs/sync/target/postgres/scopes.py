"""Contents of watched tables -> the scopes that changed since the last published run, and what they no longer
have; rows to be made silent.

Beside a staging table stands a second one, with a digest per watch and scope, and, with an empty watch and no
digest, the scopes that are read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.target.postgres import ddl, journal
from airflow_provider_pacs.sync.target.postgres.sql import key_text, leaf, row_hash, stage

Connection = psycopg.Connection[Any]


def table_of(stage_table: str) -> str:
    """The table of scopes beside a staging table."""
    return f"{stage_table}_w"


def create(connection: Connection, stage_table: str) -> None:
    """An empty table of scopes; an older one of the same try is replaced."""
    table = stage(table_of(stage_table))
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
    connection.execute(
        sql.SQL(
            "CREATE UNLOGGED TABLE {} (watch text NOT NULL, scope text NOT NULL, digest bytea, UNIQUE "
            "(watch, scope))"
        ).format(table)
    )


def exists(connection: Connection, stage_table: str) -> bool:
    """Whether the staging table has a table of scopes."""
    found = connection.execute(
        "SELECT to_regclass(%s)", (stage(table_of(stage_table)).as_string(connection),)
    ).fetchone()
    return found is not None and found[0] is not None


def fold(connection: Connection, stage_table: str, watch: str, payloads: Iterable[bytes]) -> None:
    """CSV payloads of `scope, line` -> one digest per scope: of its lines in their order, so the order in
    which they came does not count.
    """
    with connection.transaction():
        connection.execute("CREATE TEMPORARY TABLE watched_lines (scope text, line text) ON COMMIT DROP")
        with connection.cursor() as cursor, cursor.copy("COPY watched_lines FROM STDIN (FORMAT csv)") as sink:
            for payload in payloads:
                sink.write(payload)
        connection.execute(
            sql.SQL(
                "INSERT INTO {} (watch, scope, digest) "
                "SELECT %s, scope, sha256(convert_to(string_agg(line, E'\\n' ORDER BY line COLLATE \"C\"), "
                "'UTF8')) "
                "FROM watched_lines GROUP BY scope"
            ).format(stage(table_of(stage_table))),
            (watch,),
        )


def changed(connection: Connection, county_id: str, entity: Entity, stage_table: str) -> list[str]:
    """Scopes whose contents are not those of the last published run, or that came or went since."""
    rows = connection.execute(
        sql.SQL(
            "SELECT DISTINCT coalesce(n.scope, o.scope) FROM (SELECT * FROM {} WHERE digest IS NOT NULL) AS "
            "n "
            "FULL JOIN (SELECT * FROM pacs_ops.watched WHERE county_id = {} AND entity = {}) AS o ON "
            "o.watch = n.watch AND o.scope = n.scope "
            "WHERE n.digest IS DISTINCT FROM o.digest"
        ).format(stage(table_of(stage_table)), sql.Literal(county_id), sql.Literal(entity.name))
    )
    return [scope for (scope,) in rows]


def note(connection: Connection, stage_table: str, scopes: Sequence[str]) -> None:
    """Record which scopes are read again."""
    connection.execute(
        sql.SQL("INSERT INTO {} (watch, scope) SELECT '', unnest(%s::text[]) ON CONFLICT DO NOTHING").format(
            stage(table_of(stage_table))
        ),
        (list(scopes),),
    )


def noted(connection: Connection, stage_table: str) -> list[str]:
    """The scopes that are read again."""
    return [
        scope
        for (scope,) in connection.execute(
            sql.SQL("SELECT scope FROM {} WHERE watch = ''").format(stage(table_of(stage_table)))
        )
    ]


def missing_keys(
    connection: Connection, entity: Entity, county_id: str, table: str, scopes_of: str
) -> list[str]:
    """Source keys that are live in the target, belong to a noted scope of `scopes_of` and are not staged in
    `table`.
    """
    if not ddl.leaf_exists(connection, entity, county_id):
        return []
    rows = connection.execute(
        sql.SQL(
            "SELECT {key} FROM {w} AS w JOIN {l} AS l ON l.{link} = pacs_ops.surrogate_key({county}, "
            "{root}, w.scope) "
            "WHERE w.watch = '' AND l._deleted_at IS NULL AND NOT EXISTS (SELECT FROM {s} AS s WHERE s.{k} "
            "= l.{k})"
        ).format(
            key=key_text(entity, "l"),
            w=stage(table_of(scopes_of)),
            l=leaf(entity, county_id),
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

    Nothing where nothing was watched.
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
            "DELETE FROM pacs_ops.watched AS o WHERE o.county_id = {county} AND o.entity = {entity} AND NOT "
            "EXISTS "
            "(SELECT FROM {w} AS n WHERE n.watch = o.watch AND n.scope = o.scope AND n.digest IS NOT NULL)"
        ).format(**there)
    )
    connection.execute(
        sql.SQL(
            "INSERT INTO pacs_ops.watched AS o SELECT {county}, {entity}, watch, scope, digest FROM {w} "
            "WHERE digest IS NOT NULL "
            "ON CONFLICT (county_id, entity, watch, scope) DO UPDATE SET digest = excluded.digest WHERE "
            "o.digest <> excluded.digest"
        ).format(**there)
    )


def redact(
    connection: Connection,
    run_id: str,
    entity: Entity,
    by: str,
    parties: Sequence[str],
    values: Mapping[str, str | bool | None],
) -> int:
    """Give every row of these parties, tombstones too, the values that a new row of theirs would have;
    returns how many rows said more.

    In the caller's transaction; the run must still hold its county. Only the county's own leaf is touched.
    """
    run = journal.run(connection, run_id)
    county_id = run["county_id"]
    journal.hold_epoch(connection, county_id, run["epoch"])
    if not parties or not ddl.leaf_exists(connection, entity, county_id):
        return 0
    said = sql.SQL(" OR ").join(
        sql.SQL("l.{} IS DISTINCT FROM {}").format(sql.Identifier(name), sql.Literal(value))
        for name, value in values.items()
    )
    becomes = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value)) for name, value in values.items()
    )
    touched = connection.execute(
        sql.SQL(
            "UPDATE {l} AS l SET {becomes}, _changed_at = now() WHERE l.{by} = ANY (%s) AND ({said}) "
            "RETURNING l.{k}"
        ).format(
            l=leaf(entity, county_id),
            becomes=becomes,
            by=sql.Identifier(by),
            said=said,
            k=sql.Identifier(entity.key),
        ),
        (list(parties),),
    ).fetchall()
    if touched:
        connection.execute(
            sql.SQL("UPDATE {l} AS l SET _row_hash = {hash} WHERE l.{k} = ANY (%s)").format(
                l=leaf(entity, county_id), hash=row_hash(entity, "l"), k=sql.Identifier(entity.key)
            ),
            ([key for (key,) in touched],),
        )
        journal.audit(connection, county_id, run_id, "rows.redacted", entity.name, {"rows": len(touched)})
    return len(touched)


def _root(entity: Entity) -> Entity:
    while entity.parent is not None:
        entity = load_entities()[entity.parent]
    return entity
