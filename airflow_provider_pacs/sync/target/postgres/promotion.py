"""Columns that county files promote out of `extra` -> columns of the entities' tables, each a recorded step.

A column is added once, for all counties: it is NULL in the rows of those that do not promote it, and adding
it rewrites nothing. `pacs migrate` does it as the owner; a run only reads what there is (docs/adr/0021).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity, EntityColumn, load_entities, promoted_column
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.target.postgres.sql import PG_TYPES, root

Connection = psycopg.Connection[Any]
Promoted = Mapping[str, Sequence[EntityColumn]]


def installed(connection: Connection) -> dict[str, tuple[EntityColumn, ...]]:
    """The promoted columns of each entity, in the order of their names."""
    if connection.execute("SELECT to_regclass('pacs_ops.promoted_column')").fetchone() == (None,):
        return {}
    columns: dict[str, tuple[EntityColumn, ...]] = {}
    for entity, name, kind in connection.execute(
        "SELECT entity, name, type FROM pacs_ops.promoted_column ORDER BY entity, name"
    ):
        columns[entity] = (*columns.get(entity, ()), promoted_column(name, kind))
    return columns


def missing(connection: Connection, promoted: Promoted) -> list[tuple[Entity, EntityColumn]]:
    """What of the promoted columns is not there yet.

    Raises:
        ConfigError: a column of the name is there with another type, because another county promoted it so.
    """
    there = installed(connection)
    wanted = []
    for name, some in promoted.items():
        types = {column.name: column.type for column in there.get(name, ())}
        for column in some:
            if column.name not in types:
                wanted.append((load_entities()[name], column))
            elif types[column.name] != column.type:
                raise ConfigError(
                    f"tables.{name}.promote.{column.name}: is {column.type} here, but the column is "
                    f"{types[column.name]} already: another county promoted it so",
                    remedy="give it the same type, or another name under extra",
                )
    return wanted


def add(connection: Connection, entity: Entity, column: EntityColumn) -> str:
    """Add one column, with its record and its audit row, in the caller's transaction; returns its name among
    the migrations.

    Raises:
        ConfigError: the table has a column of that name that nobody promoted.
    """
    taken = connection.execute(
        "SELECT FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = %s AND NOT attisdropped",
        (f"pacs.{entity.table}", column.name),
    ).fetchone()
    if taken is not None:
        raise ConfigError(
            f"tables.{entity.name}.promote.{column.name}: pacs.{entity.table} has a column of that name",
            remedy="give it another name under extra",
        )
    name = f"promoted_{entity.name}_{column.name}"
    table, quoted = root(entity), sql.Identifier(column.name)
    connection.execute(
        sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(table, quoted, sql.SQL(PG_TYPES[column.type]))
    )
    connection.execute(
        sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(table, quoted, sql.Literal(f"PII: {column.pii}"))
    )
    connection.execute(
        "INSERT INTO pacs_ops.promoted_column (entity, name, type) VALUES (%s, %s, %s)",
        (entity.name, column.name, column.type),
    )
    connection.execute(
        "INSERT INTO pacs_ops.schema_migration (name, digest) VALUES (%s, %s)",
        (name, hashlib.sha256(repr((entity.name, column)).encode()).hexdigest()),
    )
    connection.execute("INSERT INTO pacs_ops.audit (action, object) VALUES ('migrate', %s)", (name,))
    return name


def complete(connection: Connection, entity: Entity, table: sql.Composable, name: str) -> None:
    """Add to a detached table what was promoted after its run was planned: a partition has all columns of its
    root.
    """
    for column, kind in connection.execute(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute AS a "
        "WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped AND NOT EXISTS "
        "(SELECT FROM pg_attribute AS p WHERE p.attrelid = to_regclass(%s) AND p.attname = a.attname)",
        (f"pacs.{entity.table}", f"pacs_part.{name}"),
    ).fetchall():
        connection.execute(
            sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(table, sql.Identifier(column), sql.SQL(kind))
        )
