"""Migrations: the numbered files beside this module, a table per canonical entity, views -> a target that is
ready, each step recorded.

Every migration runs in one transaction together with its own record, under a lock, so two preflights can't
run it twice and a crash leaves no half.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.target.postgres import history_reports, privileges, promotion
from airflow_provider_pacs.sync.target.postgres.reports import views
from airflow_provider_pacs.sync.target.postgres.session import require_utf8
from airflow_provider_pacs.sync.target.postgres.sql import (
    PG_TYPES,
    PROVENANCE,
    columns,
    definitions,
    partition,
    partition_name,
    root,
)

MINIMUM_VERSION = 150000
_LOCK = 0x70616373  # "pacs": one lock for all migrations of a database
_RECORD = """CREATE TABLE IF NOT EXISTS pacs_ops.schema_migration (
  name text PRIMARY KEY, digest text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp(), applied_by text NOT NULL DEFAULT current_user)"""

Connection = psycopg.Connection[Any]


def migrate(connection: Connection) -> list[str]:
    """Bring the target up to date.

    Returns:
        The names of the migrations applied now; empty when everything was in place.

    Raises:
        ConfigError: PostgreSQL is older than 15, or a recorded migration differs from the file that this
            version ships.
    """
    if connection.info.server_version < MINIMUM_VERSION:
        raise ConfigError(
            f"PostgreSQL {connection.info.server_version // 10000} is too old",
            remedy="use PostgreSQL 15 or newer",
        )
    require_utf8(connection)
    steps = _steps()
    done = _recorded(connection)
    if all(done.get(name) == digest for name, digest, _ in steps) and not (
        privileges.owns(connection) and privileges.missing(connection)
    ):
        return []
    _require_owner(connection)
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute("CREATE SCHEMA IF NOT EXISTS pacs_ops")
        connection.execute(_RECORD)
        done = _recorded(connection)
        applied = [
            name for name, digest, statement in steps if _apply(connection, done, name, digest, statement)
        ]
        privileges.apply(connection)
        return applied


def promote(connection: Connection, promoted: promotion.Promoted) -> list[str]:
    """Add the columns that a county's file promotes and that are not there yet.

    Returns:
        The names of the steps applied now.

    Raises:
        ConfigError: this login may not change the tables, or a column of the name is there with another type.
    """
    if not promotion.missing(connection, promoted):
        return []
    _require_owner(connection)
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        applied = [promotion.add(connection, *column) for column in promotion.missing(connection, promoted)]
        privileges.apply(connection)
        return applied


def _require_owner(connection: Connection) -> None:
    """Refuse to migrate what belongs to somebody else, before half of it is tried."""
    there = connection.execute("SELECT FROM pg_namespace WHERE nspname = 'pacs_ops'").fetchone() is not None
    free = connection.execute("SELECT has_database_privilege(current_database(), 'CREATE')").fetchone()
    if not (privileges.owns(connection) if there else free == (True,)):
        raise ConfigError(
            "the target's schemas are not what this version needs, and this login may not migrate them",
            remedy="run `pacs migrate COUNTY` as a member of pacs_owner; see docs/security.md",
            code="PACS-003",
        )


def unapplied(connection: Connection) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(migrations that are not applied yet, migrations that were applied with other content); nothing is
    changed.
    """
    done = _recorded(connection)
    other = [(name, statement) for name, digest, statement in _steps() if done.get(name) != digest]
    altered = tuple(name for name, statement in other if name in done and isinstance(statement, str))
    return tuple(name for name, _ in other if name not in altered), altered


def _apply(
    connection: Connection,
    done: dict[str, str],
    name: str,
    digest: str,
    statement: str | Entity | sql.Composed,
) -> bool:
    if done.get(name) == digest:
        return False
    if isinstance(statement, Entity):
        _make_table(connection, statement)
    elif isinstance(statement, sql.Composed):
        connection.execute(statement)
    elif name in done:
        raise ConfigError(
            f"migration {name} was applied with other content",
            remedy="never change a shipped migration: restore the package's file",
        )
    else:
        connection.execute(statement.encode())
    connection.execute(
        "INSERT INTO pacs_ops.schema_migration (name, digest) VALUES (%s, %s) "
        "ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, applied_at = clock_timestamp()",
        (name, digest),
    )
    connection.execute("INSERT INTO pacs_ops.audit (action, object) VALUES ('migrate', %s)", (name,))
    return True


def _steps() -> list[tuple[str, str, str | Entity | sql.Composed]]:
    folder = resources.files(__package__) / "migrations"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name
    )
    texts = [(file.name.removesuffix(".sql"), file.read_text("utf-8")) for file in files]
    steps: list[tuple[str, str, str | Entity | sql.Composed]] = [
        (name, _digest(text), text) for name, text in texts
    ]
    steps += [(f"entity_{entity.name}", _digest(repr(entity)), entity) for entity in load_entities().values()]
    steps += [
        (f"view_{name}", _digest(statement.as_string()), statement) for name, statement in views().items()
    ]
    steps += [
        (f"function_{name}", _digest(statement.as_string()), statement)
        for name, statement in history_reports.functions().items()
    ]
    return steps


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _recorded(connection: Connection) -> dict[str, str]:
    if connection.execute("SELECT to_regclass('pacs_ops.schema_migration')").fetchone() == (None,):
        return {}
    return dict(connection.execute("SELECT name, digest FROM pacs_ops.schema_migration").fetchall())


def _make_table(connection: Connection, entity: Entity) -> None:
    """The partitioned root of one entity with its indexes, comments, row-level security and grants; adds
    columns a newer entity brings.
    """
    table = root(entity)
    connection.execute(
        sql.SQL(
            "CREATE TABLE IF NOT EXISTS {} (county_id text NOT NULL, {}, {}, PRIMARY KEY (county_id, {})) "
            "PARTITION BY LIST (county_id)"
        ).format(table, definitions(entity), sql.SQL(PROVENANCE), sql.Identifier(entity.key))
    )
    connection.execute(sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS _source_key text").format(table))
    for column in entity.columns:
        connection.execute(
            sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {}").format(
                table, sql.Identifier(column.name), sql.SQL(PG_TYPES[column.type])
            )
        )
        connection.execute(
            sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(
                table, sql.Identifier(column.name), sql.Literal(f"PII: {column.pii}")
            )
        )
    if entity.parent_key:
        name = sql.Identifier(f"{entity.table}_{entity.parent_key}_idx")
        connection.execute(
            sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} (county_id, {})").format(
                name, table, sql.Identifier(entity.parent_key)
            )
        )
    connection.execute(sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(table))
    connection.execute(sql.SQL("DROP POLICY IF EXISTS granted_counties ON {}").format(table))
    connection.execute(
        sql.SQL(
            "CREATE POLICY granted_counties ON {} FOR SELECT USING (county_id IN (SELECT "
            "pacs_ops.readable_counties()))"
        ).format(table)
    )
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'pacs_read'").fetchone():
        connection.execute(sql.SQL("GRANT SELECT ON {} TO pacs_read").format(table))


def partition_exists(connection: Connection, entity: Entity, county_id: str) -> bool:
    """Whether the county has a partition of this entity: false before its first load."""
    row = connection.execute(
        "SELECT to_regclass(%s)", (f"pacs_part.{partition_name(entity, county_id)}",)
    ).fetchone()
    return row is not None and row[0] is not None


def live_count(connection: Connection, entity: Entity, county_id: str) -> int:
    """Live rows of the county's partition."""
    if not partition_exists(connection, entity, county_id):
        return 0
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM {} WHERE _deleted_at IS NULL").format(partition(entity, county_id))
    ).fetchone()
    return int(row[0]) if row else 0


def finish_partition(connection: Connection, entity: Entity, county_id: str) -> None:
    """Constraints, indexes and statistics of a filled, detached table; `attach_partitions` makes it the
    county's partition, last of all.

    The table has the columns of the root and nothing else; all that needs a look at every row is one ALTER
    TABLE.
    """
    table = partition(entity, county_id)
    promotion.complete(connection, entity, table, partition_name(entity, county_id))
    required = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnotnull AND attnum > 0 "
        "AND NOT attisdropped",
        (f"pacs.{entity.table}",),
    ).fetchall()
    parts = [sql.SQL("ALTER {} SET NOT NULL").format(sql.Identifier(name)) for (name,) in required]
    parts.append(sql.SQL("ADD CHECK (county_id = {})").format(sql.Literal(county_id)))
    parts.append(sql.SQL("ADD PRIMARY KEY ({})").format(columns(["county_id", entity.key])))
    connection.execute(sql.SQL("ALTER TABLE {} {}").format(table, sql.SQL(", ").join(parts)))
    if entity.parent_key:
        connection.execute(
            sql.SQL("CREATE INDEX ON {} ({})").format(table, columns(["county_id", entity.parent_key]))
        )
    connection.execute(sql.SQL("ANALYZE {}").format(table))
    privileges.tidy_partition(connection, partition_name(entity, county_id))


def attach_partitions(connection: Connection, county_id: str) -> None:
    """Make the county's finished tables its partitions: the last thing before the commit.

    The lock on the root stops no reader, but it does stop another county's first load: it must be held for a
    moment only.
    """
    for entity in load_entities().values():
        table = partition(entity, county_id)
        row = connection.execute(
            "SELECT relispartition FROM pg_class WHERE oid = to_regclass(%s)", (table.as_string(connection),)
        ).fetchone()
        if row == (False,):
            connection.execute("SELECT pacs_ops.attach_partition(%s, %s)", (entity.table, county_id))
