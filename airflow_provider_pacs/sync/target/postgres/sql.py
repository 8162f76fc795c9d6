"""Names of the target's tables and the SQL fragments that several steps share.

Identifiers go through psycopg's quoting, values are parameters.
"""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from airflow_provider_pacs.sync.entities import ColumnType, Entity

PG_TYPES: dict[ColumnType, str] = {
    "uuid": "uuid",
    "text": "text",
    "numeric": "numeric",
    "integer": "integer",
    "boolean": "boolean",
    "timestamp": "timestamp(6)",
    "json": "jsonb",
}
PROVENANCE = (
    "_source_key text, _run_id uuid NOT NULL, _source_version text, "
    "_first_seen_at timestamptz NOT NULL, _changed_at timestamptz NOT NULL, _deleted_at timestamptz"
)
OPS = "pacs_stage"
"""The schema of staging tables: one of its own, where only the sync has rights."""


def root(entity: Entity) -> sql.Identifier:
    """The partitioned table that people read."""
    return sql.Identifier("pacs", entity.table)


def partition_name(entity: Entity, county_id: str) -> str:
    """The partition's name in schema `pacs_part`."""
    return f"{entity.table}_{county_id}"


def partition(entity: Entity, county_id: str) -> sql.Identifier:
    """The county's partition; all DML names it."""
    return sql.Identifier("pacs_part", partition_name(entity, county_id))


def stage(table: str) -> sql.Identifier:
    """A staging table in schema `pacs_stage`."""
    return sql.Identifier(OPS, table)


def columns(names: Iterable[str], alias: str | None = None) -> sql.Composed:
    """`a, b` or `s.a, s.b`."""
    return sql.SQL(", ").join(
        sql.Identifier(alias, name) if alias else sql.Identifier(name) for name in names
    )


def key_text(entity: Entity, *aliases: str) -> sql.Composed:
    """A row's key as the source knows it: `_source_key` where the canonical key was made from it, else the
    key. A FULL JOIN has two aliases.
    """
    parts = [sql.SQL("{}._source_key").format(sql.Identifier(alias)) for alias in aliases]
    parts += [
        sql.SQL("{}.{}::text").format(sql.Identifier(alias), sql.Identifier(entity.key)) for alias in aliases
    ]
    return sql.SQL("coalesce({})").format(sql.SQL(", ").join(parts))


def row_digest(entity: Entity, alias: str = "s") -> sql.Composed:
    """SHA-256 of a staged row's canonical text and of what mapping could not read in it.

    ROW(...)::text tells NULL from '' and escapes every separator. Promoted columns count where they hold
    something, so one that another county promoted changes no digest of this county's.
    """
    own = [name for name in entity.column_names if name not in entity.promoted]
    more: sql.Composable = sql.SQL("''")
    if entity.promoted:
        pairs = sql.SQL(", ").join(
            sql.SQL("{}, {}::text").format(sql.Literal(name), sql.Identifier(alias, name))
            for name in entity.promoted
        )
        more = sql.SQL(
            "coalesce(nullif(jsonb_strip_nulls(jsonb_build_object({}))::text, '{{}}'), '')"
        ).format(pairs)
    return sql.SQL(
        "sha256(convert_to((ROW({}))::text || {} || coalesce((SELECT string_agg(r, ',' ORDER BY r) FROM "
        "unnest({}._reject) "
        "AS r WHERE starts_with(r, 'MAP.')), ''), 'UTF8'))"
    ).format(columns(own, alias), more, sql.Identifier(alias))


def differs(entity: Entity, left: str = "l", right: str = "s") -> sql.Composed:
    """True where two rows are not the same to the byte: images are compared, so NULL, '' and 1.0 beside 1.00
    are different, without hashing.
    """
    return sql.SQL("record_image_ne(ROW({}), ROW({}))").format(
        columns(entity.column_names, left), columns(entity.column_names, right)
    )


def definitions(entity: Entity) -> sql.Composed:
    """Column definitions of the canonical columns; only the key is NOT NULL: the rules check the rest."""
    parts = [
        sql.SQL("{} {}{}").format(
            sql.Identifier(column.name),
            sql.SQL(PG_TYPES[column.type]),
            sql.SQL(" NOT NULL" if column.name == entity.key else ""),
        )
        for column in entity.columns
    ]
    return sql.SQL(", ").join(parts)
