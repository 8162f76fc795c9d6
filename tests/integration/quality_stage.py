"""Staging tables for the quality tests: an entity and rows -> a table as the stage step makes it, and the
reasons each row was found for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID, uuid5

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.quality import Rule, ValidationContext, predicate_sql

SCHEMA = "stage"
_NAMESPACE = UUID("6b1f2c0e-4a57-4c0b-9d42-000000053005")


def key(name: str) -> UUID:
    """The same key for the same name."""
    return uuid5(_NAMESPACE, name)


def create_stage(connection: psycopg.Connection[Any], entity: Entity, table: str) -> None:
    """An empty staging table of an entity; an older one of the name goes."""
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.type))
        for column in entity.columns
    ]
    columns += [sql.SQL("_seq bigint"), sql.SQL("_source_version text"), sql.SQL("_reject text[]")]
    name = sql.Identifier(SCHEMA, table)
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(name))
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(name, sql.SQL(", ").join(columns)))


def create_partition(connection: psycopg.Connection[Any], entity: Entity, table: str) -> None:
    """An empty published partition: the entity's columns and the stamp of a tombstone."""
    create_stage(connection, entity, table)
    connection.execute(
        sql.SQL("ALTER TABLE {} ADD COLUMN _deleted_at timestamptz").format(sql.Identifier(SCHEMA, table))
    )


def insert_rows(connection: psycopg.Connection[Any], table: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows into a table of the schema, numbered in `_seq` from 0."""
    for number, row in enumerate(rows):
        values = {**row, "_seq": number}
        names = sql.SQL(", ").join(sql.Identifier(name) for name in values)
        marks = sql.SQL(", ").join(sql.Placeholder() for _ in values)
        connection.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(sql.Identifier(SCHEMA, table), names, marks),
            list(values.values()),
        )


def broken_rows(
    connection: psycopg.Connection[Any], entity: Entity, rule: Rule, context: ValidationContext
) -> list[int]:
    """The `_seq` of the rows that a rule's predicate finds."""
    query = f"SELECT s._seq FROM {context.stage} AS s WHERE {predicate_sql(entity, rule, context)} ORDER BY 1"
    return [number for (number,) in connection.execute(query.encode())]
