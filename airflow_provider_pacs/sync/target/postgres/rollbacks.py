"""The change log -> what a rollback would put back, and what stands against it. Reads; fills staging tables.

The state to go back to is told by the first entry of each key since a moment: its `before` is the row then.
With `onto` the moment is the end of a run; without, it is the publish of the run itself, and only its own
entries count. A row that came since is known by its `_first_seen_at`, a first load has no entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.records import (
    DeleteBounds,
    EntityRollback,
    RollbackConflict,
    RollbackProposal,
    RollbackScope,
    RowChange,
    UndoneRun,
)
from airflow_provider_pacs.sync.runtime.errors import ConflictError
from airflow_provider_pacs.sync.target.postgres import ddl, history, run_records, stage_tables
from airflow_provider_pacs.sync.target.postgres.database import Database
from airflow_provider_pacs.sync.target.postgres.sql import columns, key_text, partition, stage

Connection = psycopg.Connection[Any]
SHOWN_CONFLICTS = 100
"""Conflicts that a proposal lists."""


def image_names(connection: Connection, table: str) -> list[str]:
    """The columns of a staging table of images: all of a published row, provenance and what counties promoted
    included, but its county.
    """
    return [name for name in stage_tables.columns_of(connection, table) if name not in ("county_id", "_op")]


def image_differs(names: Sequence[str], left: str, right: str) -> sql.Composed:
    """True where two rows are not the same to the byte in these columns."""
    return sql.SQL("record_image_ne(ROW({}), ROW({}))").format(columns(names, left), columns(names, right))


def _moments(county_id: str, scope: RollbackScope) -> sql.Composed:
    """The publishes of the scope's run. A county has one publish at a time, so a moment names a run."""
    return sql.SQL(
        "SELECT t.at FROM pacs_ops.change_set AS t WHERE t.county_id = {} AND t.run_id = {}"
    ).format(sql.Literal(county_id), sql.Literal(UUID(scope.run_id)))


def in_scope(county_id: str, scope: RollbackScope, at: LiteralString) -> sql.Composed:
    """Whether a moment is among those whose changes are undone."""
    form: LiteralString = (
        "{at} > (SELECT max(m.at) FROM ({moments}) AS m)" if scope.onto else "{at} IN ({moments})"
    )
    return sql.SQL(form).format(at=sql.SQL(at), moments=_moments(county_id, scope))


def chosen_rows(entity: Entity, county_id: str, scope: RollbackScope) -> sql.Composed:
    """`(row_key, before)`: every row to put back; `before` is NULL where there was none."""
    return sql.SQL(
        "SELECT DISTINCT ON (x.row_key) x.row_key, x.before FROM (SELECT c.row_key, c.before, c.at FROM "
        "pacs_ops.change_log AS c WHERE c.county_id = {county} AND c.entity = {entity} AND {logged} UNION "
        "ALL SELECT t.{key}, NULL, t._first_seen_at FROM {l} AS t WHERE {seen}) AS x ORDER BY x.row_key, "
        "x.at, x.before"
    ).format(
        county=sql.Literal(county_id),
        entity=sql.Literal(entity.name),
        logged=in_scope(county_id, scope, "c.at"),
        key=sql.Identifier(entity.key),
        l=partition(entity, county_id),
        seen=in_scope(county_id, scope, "t._first_seen_at"),
    )


def chosen_state(county_id: str, entity: str, what: str, scope: RollbackScope) -> sql.Composed:
    """`(key, before)` of the journal: what the scope's publishes changed.

    A quarantined row that a later run looked at again keeps what that run said of it.
    """
    later: sql.Composable = sql.SQL("")
    if what == "quarantine" and not scope.onto:
        later = sql.SQL(
            " AND NOT EXISTS (SELECT FROM pacs_ops.change_log_state AS o WHERE o.county_id = s.county_id "
            "AND o.entity = s.entity AND o.what = s.what AND o.key = s.key AND o.at > s.at AND NOT ({}))"
        ).format(in_scope(county_id, scope, "o.at"))
    moments = in_scope(county_id, scope, "s.at")
    return sql.SQL(
        "SELECT DISTINCT ON (s.key) s.key, s.before FROM pacs_ops.change_log_state AS s WHERE s.county_id "
        "= {} AND s.entity = {} AND s.what = {} AND {}{} ORDER BY s.key, s.at"
    ).format(sql.Literal(county_id), sql.Literal(entity), sql.Literal(what), moments, later)


def undone_runs(connection: Connection, county_id: str, scope: RollbackScope) -> list[UndoneRun]:
    """The runs whose changes the rollback takes back, newest first; also those that a rollback among them had
    taken back before.
    """
    rows = connection.execute(
        sql.SQL(
            "SELECT r.run_id, r.kind, r.published_at FROM pacs_ops.sync_run AS r WHERE r.county_id = {} "
            "AND EXISTS (SELECT FROM pacs_ops.change_set AS t WHERE t.county_id = {} AND t.run_id = "
            "r.run_id AND {}) ORDER BY r.epoch DESC"
        ).format(sql.Literal(county_id), sql.Literal(county_id), in_scope(county_id, scope, "t.at"))
    ).fetchall()
    return [UndoneRun(*row) for row in rows]


def affected_entities(connection: Connection, county_id: str, scope: RollbackScope) -> list[Entity]:
    """Entities that the undone runs published, parents first."""
    rows = connection.execute(
        sql.SQL(
            "SELECT DISTINCT t.entity FROM pacs_ops.change_set AS t WHERE t.county_id = {} AND {}"
        ).format(sql.Literal(county_id), in_scope(county_id, scope, "t.at"))
    ).fetchall()
    names = {name for (name,) in rows}
    return [entity for entity in load_entities().values() if entity.name in names]


def propose(
    connection: Connection, county_id: str, scope: RollbackScope, bounds: DeleteBounds
) -> RollbackProposal:
    """What a rollback would do; nothing is changed.

    Raises:
        ConflictError: the run is not of this county, was not published, was rolled back, or kept no history.
    """
    _require_history(connection, county_id, scope)
    entities, conflicts = [], []
    for entity in affected_entities(connection, county_id, scope):
        if ddl.partition_exists(connection, entity, county_id):
            entities.append(_entity(connection, entity, county_id, scope))
            conflicts += conflicts_of(connection, entity, county_id, scope)
    runs = undone_runs(connection, county_id, scope)
    text = "\n".join(
        [*(str(run.run_id) for run in runs), *(f"{each.entity} {each.digest}" for each in entities)]
    )
    row = connection.execute("SELECT encode(sha256(convert_to(%s, 'UTF8')), 'hex')", (text,)).fetchone()
    return RollbackProposal(
        UUID(scope.run_id),
        county_id,
        scope.onto,
        tuple(runs),
        tuple(entities),
        tuple(conflicts[:SHOWN_CONFLICTS]),
        len(conflicts),
        str(row[0]) if row else "",
        any(bounds.refuses(each.leaving, each.live) for each in entities),
    )


def _require_history(connection: Connection, county_id: str, scope: RollbackScope) -> None:
    run = run_records.run(connection, scope.run_id)
    facts = connection.execute(
        "SELECT (SELECT r.rolled_back_by FROM pacs_ops.sync_run AS r WHERE r.run_id = %(run)s), EXISTS "
        "(SELECT FROM pacs_ops.change_set AS t WHERE t.run_id = %(run)s), NOT EXISTS (SELECT FROM "
        "pacs_ops.run_entity AS e WHERE e.run_id = %(run)s AND e.state = 'published' AND NOT EXISTS "
        "(SELECT FROM pacs_ops.change_set AS t WHERE t.run_id = e.run_id AND t.entity = e.entity)), NOT "
        "EXISTS (SELECT FROM pacs_ops.change_set AS t LEFT JOIN pacs_ops.history_span AS h USING "
        "(county_id, entity) WHERE t.county_id = %(county)s AND (t.run_id = %(run)s OR %(onto)s AND t.at > "
        "(SELECT max(m.at) FROM pacs_ops.change_set AS m WHERE m.run_id = %(run)s)) AND (h.since IS NULL "
        "OR h.since > t.at))",
        {"run": run.run_id, "county": county_id, "onto": scope.onto},
    ).fetchone()
    rolled_back_by, noted, whole, reaches = facts or (None, False, False, False)
    if run.county_id != county_id:
        raise ConflictError(f"run {run.run_id} is of county {run.county_id}", remedy="name that county")
    if rolled_back_by is not None:
        raise ConflictError(
            f"run {run.run_id} was rolled back by run {rolled_back_by}",
            remedy="there is nothing left to undo",
        )
    if not (noted and whole and reaches):
        raise ConflictError(
            f"run {run.run_id} can't be rolled back: its changes, or those of a later run, are not in the "
            "change log",
            remedy="`history: {enabled: true}` in the county's file keeps the changes of later runs",
        )


def _entity(connection: Connection, entity: Entity, county_id: str, scope: RollbackScope) -> EntityRollback:
    row = connection.execute(
        sql.SQL(
            "WITH chosen AS MATERIALIZED ({chosen}) SELECT count(*) FILTER (WHERE c.before IS NOT NULL), "
            "count(*) FILTER (WHERE c.before IS NULL AND t.{key} IS NOT NULL), count(*) FILTER (WHERE "
            "t.{key} IS NOT NULL AND t._deleted_at IS NULL AND (c.before IS NULL OR c.before ->> "
            "'_deleted_at' IS NOT NULL)), (SELECT count(*) FROM {l} WHERE _deleted_at IS NULL), "
            "encode(sha256(convert_to(coalesce(string_agg(c.row_key::text || ':' || "
            "coalesce(md5(c.before::text), '-'), ',' ORDER BY c.row_key), ''), 'UTF8')), 'hex') FROM "
            "chosen AS c LEFT JOIN {l} AS t ON t.{key} = c.row_key"
        ).format(
            chosen=chosen_rows(entity, county_id, scope),
            key=sql.Identifier(entity.key),
            l=partition(entity, county_id),
        )
    ).fetchone()
    restored, removed, leaving, live, digest = row or (0, 0, 0, 0, "")
    return EntityRollback(entity.name, restored, removed, leaving, live, digest)


def conflicts_of(
    connection: Connection, entity: Entity, county_id: str, scope: RollbackScope
) -> list[RollbackConflict]:
    """Rows of the entity that can't be put back: changed since by a run, or by something beside the sync, or
    a parent of rows that stay.
    """
    conflicts = _changed_later(connection, entity, county_id, scope) if not scope.onto else []
    known = {conflict.source_key for conflict in conflicts}
    conflicts += [
        each
        for each in _changed_outside(connection, entity, county_id, scope)
        if each.source_key not in known
    ]
    return conflicts + _left_behind(connection, entity, county_id, scope)


def _changed_later(
    connection: Connection, entity: Entity, county_id: str, scope: RollbackScope
) -> list[RollbackConflict]:
    rows = connection.execute(
        sql.SQL(
            "WITH chosen AS MATERIALIZED ({chosen}) SELECT DISTINCT ON (o.row_key) o.source_key, o.run_id "
            "FROM pacs_ops.change_log AS o JOIN chosen AS c ON c.row_key = o.row_key WHERE o.county_id = "
            "{county} AND o.entity = {entity} AND o.at > (SELECT max(m.at) FROM ({moments}) AS m) ORDER BY "
            "o.row_key, o.at DESC"
        ).format(
            chosen=chosen_rows(entity, county_id, scope),
            county=sql.Literal(county_id),
            entity=sql.Literal(entity.name),
            moments=_moments(county_id, scope),
        )
    ).fetchall()
    return [RollbackConflict(entity.name, key, run_id, "changed by a later run") for key, run_id in rows]


def _changed_outside(
    connection: Connection, entity: Entity, county_id: str, scope: RollbackScope
) -> list[RollbackConflict]:
    """Rows whose present image is not the one that the log's newest entry left, by its digest."""
    sets = connection.execute(
        "SELECT DISTINCT t.columns FROM pacs_ops.change_set AS t WHERE t.county_id = %s AND t.entity = %s",
        (county_id, entity.name),
    ).fetchall()
    conflicts: list[RollbackConflict] = []
    for (names,) in sets:
        known = [name for name in names if name in entity.column_names]
        rows = connection.execute(
            sql.SQL(
                "WITH chosen AS MATERIALIZED ({chosen}), newest AS (SELECT DISTINCT ON (c.row_key) c.* "
                "FROM pacs_ops.change_log AS c JOIN chosen AS k ON k.row_key = c.row_key WHERE c.county_id "
                "= {county} AND c.entity = {entity} ORDER BY c.row_key, c.at DESC) SELECT n.source_key "
                "FROM newest AS n JOIN pacs_ops.change_set AS t ON t.county_id = n.county_id AND t.at = "
                "n.at AND t.entity = n.entity AND t.columns = {names} LEFT JOIN {l} AS l ON l.{key} = "
                "n.row_key WHERE CASE WHEN n.op = 'X' THEN l.{key} IS NOT NULL ELSE l.{key} IS NULL OR "
                "n.after_digest IS NOT NULL AND n.after_digest <> {digest} END"
            ).format(
                chosen=chosen_rows(entity, county_id, scope),
                county=sql.Literal(county_id),
                entity=sql.Literal(entity.name),
                names=sql.Literal(names),
                l=partition(entity, county_id),
                key=sql.Identifier(entity.key),
                digest=history.digest(known, "l", deleted="(l._deleted_at IS NOT NULL)"),
            )
        ).fetchall()
        conflicts += [
            RollbackConflict(entity.name, key, None, "changed by something beside the sync")
            for (key,) in rows
        ]
    return conflicts


def _left_behind(
    connection: Connection, entity: Entity, county_id: str, scope: RollbackScope
) -> list[RollbackConflict]:
    """Live rows that stay although the rollback removes the row that they belong to."""
    conflicts: list[RollbackConflict] = []
    for child in load_entities().values():
        if child.parent != entity.name or not ddl.partition_exists(connection, child, county_id):
            continue
        rows = connection.execute(
            sql.SQL(
                "WITH parents AS MATERIALIZED ({parents}), children AS MATERIALIZED ({children}) SELECT "
                "{text} FROM {l} AS t JOIN parents AS p ON p.row_key = t.{parent} AND p.before IS NULL "
                "WHERE t._deleted_at IS NULL AND NOT EXISTS (SELECT FROM children AS c WHERE c.row_key = "
                "t.{key})"
            ).format(
                parents=chosen_rows(entity, county_id, scope),
                children=chosen_rows(child, county_id, scope),
                text=key_text(child, "t"),
                l=partition(child, county_id),
                parent=sql.Identifier(str(child.parent_key)),
                key=sql.Identifier(child.key),
            )
        ).fetchall()
        reason = f"its {entity.name} would be removed"
        conflicts += [RollbackConflict(child.name, key, None, reason) for (key,) in rows]
    return conflicts


def stage_images(
    connection: Connection, entity: Entity, county_id: str, table: str, scope: RollbackScope
) -> int:
    """A staging table with the image that every chosen row had, and the keys of those that were not there.

    Returns:
        Its rows.
    """
    with connection.transaction():
        stage_tables.drop(connection, [table])
        connection.execute(
            sql.SQL("CREATE UNLOGGED TABLE {} AS SELECT *, 'U'::char AS _op FROM {} WHERE false").format(
                stage(table), partition(entity, county_id)
            )
        )
        names = image_names(connection, table)
        return connection.execute(
            sql.SQL(
                "WITH chosen AS MATERIALIZED ({chosen}) INSERT INTO {s} ({names}, _op) "
                "SELECT {images}, 'U' FROM chosen AS c, jsonb_populate_record(NULL::{l}, c.before) AS i "
                "WHERE c.before IS NOT NULL UNION ALL "
                "SELECT {keys}, 'D' FROM chosen AS c WHERE c.before IS NULL"
            ).format(
                chosen=chosen_rows(entity, county_id, scope),
                s=stage(table),
                names=columns(names),
                images=columns(names, "i"),
                l=partition(entity, county_id),
                keys=sql.SQL(", ").join(
                    sql.SQL("c.row_key") if name == entity.key else sql.SQL("NULL") for name in names
                ),
            )
        ).rowcount


def compare_images(
    connection: Connection, entity: Entity, county_id: str, table: str
) -> tuple[int, int, int, int]:
    """(published as staged, staged otherwise, staged and missing, to be removed and still there)."""
    if not ddl.partition_exists(connection, entity, county_id):
        return 0, 0, stage_tables.count(connection, table), 0
    row = connection.execute(
        sql.SQL(
            "SELECT count(*) FILTER (WHERE s._op = 'U' AND t.{key} IS NOT NULL AND NOT {differs} OR s._op "
            "= 'D' AND t.{key} IS NULL), count(*) FILTER (WHERE s._op = 'U' AND t.{key} IS NOT NULL AND "
            "{differs}), count(*) FILTER (WHERE s._op = 'U' AND t.{key} IS NULL), count(*) FILTER (WHERE "
            "s._op = 'D' AND t.{key} IS NOT NULL) FROM {s} AS s LEFT JOIN {l} AS t ON t.{key} = s.{key}"
        ).format(
            key=sql.Identifier(entity.key),
            differs=image_differs(image_names(connection, table), "t", "s"),
            s=stage(table),
            l=partition(entity, county_id),
        )
    ).fetchone()
    return row or (0, 0, 0, 0)


class PostgresHistory:
    """The port `History` over one connection."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def propose(self, county_id: str, scope: RollbackScope, bounds: DeleteBounds) -> RollbackProposal:
        """What a rollback would do; nothing is changed."""
        with self._db.transaction() as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return propose(connection, county_id, scope, bounds)

    def rolled_back_by(self, run_id: str) -> str | None:
        """The rollback that undid the run."""
        with self._db.statements() as connection:
            row = connection.execute(
                "SELECT rolled_back_by::text FROM pacs_ops.sync_run WHERE run_id = %s", (run_id,)
            ).fetchone()
        return row[0] if row else None

    def newest_plan(self, county_id: str, entity: str) -> dict[str, Any] | None:
        """The stored plan of the entity's newest run that was published."""
        with self._db.statements() as connection:
            row = connection.execute(
                "SELECT e.plan FROM pacs_ops.run_entity AS e JOIN pacs_ops.sync_run AS r USING (run_id) "
                "WHERE r.county_id = %s AND e.entity = %s AND e.state = 'published' AND r.kind <> "
                "'rollback' ORDER BY r.published_at DESC LIMIT 1",
                (county_id, entity),
            ).fetchone()
        return row[0] if row else None

    def stage(self, entity: Entity, county_id: str, table: str, scope: RollbackScope) -> int:
        """Fill a staging table with the images to put back; returns its rows."""
        with self._db.statements() as connection:
            return stage_images(connection, entity, county_id, table, scope)

    def compare(self, entity: Entity, county_id: str, table: str) -> tuple[int, int, int, int]:
        """(published as staged, staged otherwise, staged and missing, to be removed and still there)."""
        with self._db.statements() as connection:
            return compare_images(connection, entity, county_id, table)

    def changes(self, county_id: str, key: str, most: int) -> list[RowChange]:
        """Changes of the rows that a key means, newest first."""
        with self._db.statements() as connection:
            return run_records.read(
                connection, RowChange, "FROM pacs_ops.row_history(%s, %s, %s)", (county_id, key, most)
            )

    def images(self, county_id: str, key: str, most: int) -> list[tuple[dict[str, Any] | None, ...]]:
        """(before, after) of the same changes in the same order: values, for a person who asked for them."""
        with self._db.statements() as connection:
            rows = connection.execute(
                "SELECT before, after FROM pacs_ops.row_images(%s, %s, %s) ORDER BY at DESC, entity, row_key",
                (county_id, key, most),
            )
            return list(rows.fetchall())

    def prunable(self, county_id: str, entity: str, years: int) -> int:
        """Before-images that are older than these years."""
        with self._db.statements() as connection:
            row = connection.execute(
                "SELECT count(*) FROM pacs_ops.change_log WHERE county_id = %s AND entity = %s AND at < "
                "now() - make_interval(years => %s)",
                (county_id, entity, years),
            ).fetchone()
        return int(row[0]) if row else 0

    def prune(self, county_id: str, entity: str, years: int) -> int:
        """Remove them, and months that hold nothing any more; returns how many went."""
        with self._db.transaction() as connection:
            row = connection.execute(
                "SELECT pacs_ops.prune_change_log(%s, %s, now() - make_interval(years => %s))",
                (county_id, entity, years),
            ).fetchone()
        with self._db.transaction() as connection:
            connection.execute("SELECT pacs_ops.drop_empty_change_log_months()")
        return int(row[0]) if row else 0
