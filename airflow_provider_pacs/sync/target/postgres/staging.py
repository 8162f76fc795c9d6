"""Mapped batches -> a typed, unlogged staging table of one (run, entity, try), by COPY; and what is in it.

Staging never carries over: a new try gets a new table. Each call of `fill` is one pass over the source; where
a key was read in several passes the last one counts, where one pass brought a key twice the source has it
twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.records import Difference, KeyDifference, KeyTotals
from airflow_provider_pacs.sync.schema.catalog import KeySpelling
from airflow_provider_pacs.sync.target.postgres import ddl, key_lists, probes, stage_tables
from airflow_provider_pacs.sync.target.postgres.database import Database
from airflow_provider_pacs.sync.target.postgres.sql import (
    OPS,
    columns,
    differs,
    key_text,
    partition,
    stage,
)

Connection = psycopg.Connection[Any]


def copy(connection: Connection, table: str, names: Sequence[str], payloads: Iterable[bytes]) -> None:
    """COPY CSV payloads into a staging table in one transaction: all of them or none."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(stage(table), columns(names))
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(statement) as sink:
        for payload in payloads:
            sink.write(payload)


def add_gone(connection: Connection, entity: Entity, table: str, keys: Sequence[str], last_pass: int) -> None:
    """Record as gone those of the keys that the last pass was asked for and did not bring."""
    if not keys:
        return
    own = entity.key in stage_tables.columns_of(connection, table)
    column = sql.Identifier(entity.key if own else "_source_key")
    kind_of = _key_type(entity) if own else "text"
    # The column takes no other: what is no GUID can't be published, and what is not published can't be gone.
    keys = [key for key in keys if kind_of != "uuid" or key_lists.is_guid(key)]
    parts = {"t": stage(table), "k": column, "type": sql.SQL(kind_of)}
    with connection.transaction():
        connection.execute(
            sql.SQL(
                "DELETE FROM {t} AS a USING unnest(%s::text[]) AS g(key) WHERE a.{k} = g.key::{type} AND "
                "a._pass < %s "
                "AND NOT EXISTS (SELECT FROM {t} AS b WHERE b.{k} = a.{k} AND b._pass = %s)"
            ).format(**parts),
            (list(keys), last_pass, last_pass),
        )
        connection.execute(
            sql.SQL(
                "INSERT INTO {t} ({k}, _op, _pass) SELECT DISTINCT g.key::{type}, 'D', %s "
                "FROM unnest(%s::text[]) AS g(key) "
                "WHERE NOT EXISTS (SELECT FROM {t} AS s WHERE s.{k} = g.key::{type})"
            ).format(**parts),
            (last_pass, list(keys)),
        )


def _key_type(entity: Entity) -> str:
    return next(column.type for column in entity.columns if column.name == entity.key)


def mark_rejects(connection: Connection, table: str, assignments: Sequence[tuple[str, str]]) -> int:
    """Write the ids of broken rules into `_reject`; each assignment is (rule id, predicate over alias s).

    A predicate is true for a bad row.

    Returns:
        Rows with a reject, those from mapping included.
    """
    # One scan decides all that look at one row only; the others get a WHERE of their own, so that joins are
    # planned.
    local = [(rule, predicate) for rule, predicate in assignments if "SELECT" not in predicate]
    others = [(rule, predicate) for rule, predicate in assignments if "SELECT" in predicate]
    broken = "".join(
        f", CASE WHEN s._op = 'U' AND ({predicate}) THEN {sql.Literal(rule).as_string(connection)} END"
        for rule, predicate in local
    )
    any_broken = "".join(f" OR (s._op = 'U' AND ({predicate}))" for _, predicate in local)
    # A repeated validation starts from what mapping said.
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


class PostgresStaging:
    """The port `Staging` over one connection."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._passes: dict[str, int] = {}

    def fill(
        self,
        entity: Entity,
        table: str,
        names: Sequence[str],
        payloads: Iterable[bytes],
        *,
        county_id: str,
        append: bool = False,
    ) -> None:
        """One pass over the source into a staging table; a new table unless `append`."""
        with self._db.statements() as connection:
            if append:
                self._passes[table] = self._last_pass(connection, table) + 1
                connection.execute(
                    sql.SQL("ALTER TABLE {} ALTER COLUMN _pass SET DEFAULT {}").format(
                        stage(table), sql.Literal(self._passes[table])
                    )
                )
            else:
                self._passes[table] = 1
                stage_tables.create(
                    connection, entity, table, county_id=county_id, keyed="_source_key" in names
                )
            copy(connection, table, names, payloads)
            if not append:
                connection.execute(sql.SQL("ANALYZE {}").format(stage(table)))

    def _last_pass(self, connection: Connection, table: str) -> int:
        """The number of the last pass; a table that another process filled says so itself."""
        if table not in self._passes:
            row = connection.execute(
                sql.SQL("SELECT coalesce(max(_pass), 1) FROM {}").format(stage(table))
            ).fetchone()
            self._passes[table] = int(row[0]) if row else 1
        return self._passes[table]

    @property
    def schema(self) -> str:
        """The schema of the staging tables."""
        return OPS

    def rows_view(self, table: str) -> str:
        """The relation with the rows that rules are evaluated on."""
        return stage_tables.rows_view(table)

    def count(self, table: str) -> int:
        """Rows in a staging table, those marked as gone included."""
        with self._db.statements() as connection:
            return stage_tables.count(connection, table)

    def deduplicate(self, entity: Entity, table: str) -> int:
        """Keep of each key the rows of its last pass."""
        if self._passes.get(table, 1) == 1:
            return 0
        with self._db.statements() as connection:
            return connection.execute(
                sql.SQL(
                    "DELETE FROM {t} AS a USING (SELECT {k}, max(_pass) AS last FROM {t} GROUP BY {k} "
                    "HAVING min(_pass) < max(_pass)) AS d WHERE a.{k} = d.{k} AND a._pass < d.last"
                ).format(t=stage(table), k=sql.Identifier(entity.key))
            ).rowcount

    def duplicated_keys(self, entity: Entity, table: str) -> list[str]:
        """Keys that one pass brought more than once."""
        with self._db.statements() as connection:
            rows = connection.execute(
                sql.SQL(
                    "SELECT DISTINCT max({key}) FROM {t} AS s WHERE _op = 'U' AND s.{k} IS NOT NULL "
                    "GROUP BY s.{k}, _pass HAVING count(*) > 1"
                ).format(t=stage(table), k=sql.Identifier(entity.key), key=key_text(entity, "s"))
            )
            return [key for (key,) in rows]

    def absent_keys(self, entity: Entity, county_id: str, table: str) -> list[str]:
        """Keys that are live or in quarantine and not in a complete staging table."""
        parts = {
            "key": key_text(entity, "l"),
            "skey": key_text(entity, "s"),
            "k": sql.Identifier(entity.key),
            "l": partition(entity, county_id),
            "s": stage(table),
        }
        absent: list[str] = []
        with self._db.statements() as connection:
            if ddl.partition_exists(connection, entity, county_id):
                rows = connection.execute(
                    sql.SQL(
                        "SELECT {key} FROM {l} AS l WHERE l._deleted_at IS NULL "
                        "AND NOT EXISTS (SELECT FROM {s} AS s WHERE s.{k} = l.{k})"
                    ).format(**parts)
                )
                absent += [key for (key,) in rows]
            rows = connection.execute(
                sql.SQL(
                    "SELECT q.source_key FROM pacs_ops.quarantine AS q WHERE q.county_id = %s AND q.entity "
                    "= %s "
                    "AND q.state = 'open' AND q.source_key <> '' "
                    "AND NOT EXISTS (SELECT FROM {s} AS s WHERE {skey} = q.source_key)"
                ).format(**parts),
                (county_id, entity.name),
            )
            absent += [key for (key,) in rows]
        return list(dict.fromkeys(absent))

    def differing_keys(self, entity: Entity, county_id: str, table: str) -> list[tuple[str, Difference]]:
        """(key, kind) of the rows whose staged image is not the published one; none before the first load."""
        with self._db.statements() as connection:
            if not ddl.partition_exists(connection, entity, county_id):
                return []
            return connection.execute(
                sql.SQL(
                    "SELECT {key}, CASE WHEN l.{k} IS NULL THEN 'missing' ELSE 'differing' END FROM {s} AS s "
                    "LEFT JOIN {l} AS l ON l.{k} = s.{k} AND l._deleted_at IS NULL "
                    "WHERE s._op = 'U' AND s.{k} IS NOT NULL AND (l.{k} IS NULL OR {differs})"
                ).format(
                    key=key_text(entity, "s"),
                    k=sql.Identifier(entity.key),
                    l=partition(entity, county_id),
                    s=stage(table),
                    differs=differs(entity),
                )
            ).fetchall()

    def quarantined_keys(self, entity: Entity, county_id: str) -> list[str]:
        """Keys in open quarantine."""
        with self._db.statements() as connection:
            rows = connection.execute(
                "SELECT source_key FROM pacs_ops.quarantine WHERE county_id = %s AND entity = %s AND state "
                "= 'open' "
                "AND source_key <> ''",
                (county_id, entity.name),
            )
            return [key for (key,) in rows]

    def mark_gone(self, entity: Entity, table: str, keys: Sequence[str]) -> None:
        """Record those of the keys that the last pass did not bring as gone at the source."""
        with self._db.statements() as connection:
            add_gone(connection, entity, table, keys, self._passes.get(table, 1))

    def mark_rejects(self, table: str, assignments: Sequence[tuple[str, str]]) -> int:
        """Write broken rules into `_reject`; returns the rows that carry one."""
        with self._db.statements() as connection:
            return mark_rejects(connection, table, assignments)

    def count_bad(self, relation: str, predicates: Sequence[str]) -> tuple[int, list[int]]:
        """(rows of a relation, and of them those for which each predicate over alias s is true)."""
        counts = "".join(f", count(*) FILTER (WHERE {predicate})" for predicate in predicates)
        with self._db.statements() as connection:
            row = connection.execute(f"SELECT count(*){counts} FROM {relation} AS s".encode()).fetchone()  # noqa: S608
        rows, *bad = row or (0,)
        return int(rows), [int(count) for count in bad]

    def mapping_rejects(self, table: str) -> tuple[int, dict[str, int]]:
        """(staged rows, rows per `MAP.<column>`)."""
        view = stage(stage_tables.rows_view(table))
        with self._db.statements() as connection:
            rows = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(view)).fetchone()
            reasons = connection.execute(
                sql.SQL(
                    "SELECT r, count(*) FROM {} AS s, unnest(s._reject) AS r WHERE starts_with(r, 'MAP.') "
                    "GROUP BY r"
                ).format(view)
            ).fetchall()
        return int(rows[0]) if rows else 0, dict(reasons)

    def entity_size(self, entity: Entity, county_id: str) -> int:
        """Live rows and those in quarantine."""
        with self._db.statements() as connection:
            row = connection.execute(
                "SELECT count(*) FROM pacs_ops.quarantine WHERE county_id = %s AND entity = %s AND state = "
                "'open'",
                (county_id, entity.name),
            ).fetchone()
            return ddl.live_count(connection, entity, county_id) + (int(row[0]) if row else 0)

    def partition(self, entity: Entity, county_id: str) -> str | None:
        """The county's partition, qualified and quoted; None before the first load."""
        with self._db.statements() as connection:
            if not ddl.partition_exists(connection, entity, county_id):
                return None
            return partition(entity, county_id).as_string(connection)

    def write_keys(self, table: str, payloads: Iterable[bytes]) -> None:
        """Fill the list of keys beside a staging table."""
        with self._db.statements() as connection:
            key_lists.write(connection, table, payloads)

    def expected_totals(
        self,
        entity: Entity,
        county_id: str,
        table: str,
        *,
        complete: bool,
        spelling: KeySpelling | None,
        late: bool,
    ) -> tuple[KeyTotals, KeyTotals]:
        """(keys that the source must have, of these the ones that the target must hold)."""
        with self._db.statements() as connection:
            return key_lists.expected(
                connection, entity, county_id, table, complete=complete, spelling=spelling, late=late
            )

    def compare_keys(self, entity: Entity, county_id: str, table: str, *, complete: bool) -> KeyDifference:
        """The list of all keys laid beside what the target holds and what is staged."""
        with self._db.statements() as connection:
            return key_lists.compare(connection, entity, county_id, table, complete=complete)

    def gone_and_live(self, entity: Entity, county_id: str, table: str, keys: Sequence[str]) -> list[str]:
        """Those of the keys that a staging table marks as gone and that are live."""
        with self._db.statements() as connection:
            if not keys or not ddl.partition_exists(connection, entity, county_id):
                return []
            rows = connection.execute(
                sql.SQL(
                    "SELECT {lkey} FROM {l} AS l WHERE l._deleted_at IS NULL AND {lkey} = ANY (%s) "
                    "AND EXISTS (SELECT FROM {s} AS s WHERE s._op = 'D' AND s.{k} = l.{k})"
                ).format(
                    l=partition(entity, county_id),
                    lkey=key_text(entity, "l"),
                    s=stage(table),
                    k=sql.Identifier(entity.key),
                ),
                (list(keys),),
            )
            return [key for (key,) in rows]

    def start_probes(self, table: str) -> None:
        """Make the table of probed root keys, empty."""
        with self._db.statements() as connection:
            probes.create(connection, table)

    def fold_probe(self, table: str, probe: str, payloads: Iterable[bytes]) -> None:
        """Take in what one probed table holds now."""
        with self._db.statements() as connection:
            probes.fold(connection, table, probe, payloads)

    def changed_root_keys(self, county_id: str, entity: Entity, table: str) -> list[str]:
        """Root keys whose probed contents are not those of the last published run."""
        with self._db.statements() as connection:
            return probes.changed(connection, county_id, entity, table)

    def note_root_keys(self, table: str, keys: Sequence[str]) -> None:
        """Record which root keys the run reads again."""
        with self._db.statements() as connection:
            probes.note(connection, table, keys)

    def noted_root_keys(self, table: str) -> list[str]:
        """The root keys that the run read again."""
        with self._db.statements() as connection:
            return probes.noted(connection, table) if probes.exists(connection, table) else []

    def missing_of_root_keys(self, entity: Entity, county_id: str, table: str, noted_by: str) -> list[str]:
        """Live keys of the noted root keys that a staging table does not have."""
        with self._db.statements() as connection:
            return probes.missing_keys(connection, entity, county_id, table, noted_by)

    def write_redactions(self, table: str, parties: Sequence[str]) -> None:
        """Record whose rows must say no more than a new row of theirs would."""
        name = stage(stage_tables.redactions(table))
        with self._db.transaction() as connection:
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))
            connection.execute(sql.SQL("CREATE UNLOGGED TABLE {} (party text PRIMARY KEY)").format(name))
            connection.execute(
                sql.SQL(
                    "INSERT INTO {} SELECT DISTINCT p FROM unnest(%s::text[]) AS p WHERE p IS NOT NULL"
                ).format(name),
                (list(parties),),
            )

    def drop(self, tables: Iterable[str]) -> None:
        """Drop staging tables with all that stands beside them."""
        with self._db.statements() as connection:
            stage_tables.drop(connection, tables)

    def drop_abandoned(self, county_id: str) -> None:
        """Drop what runs of the county left that can no longer publish."""
        with self._db.statements() as connection:
            stage_tables.drop_idle(connection, stage_tables.abandoned(connection, county_id))
