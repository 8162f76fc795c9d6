"""What publish is about to change -> the change log: rows and journal as they were, in publish's transaction.

Nothing here writes a row of schema `pacs`. Each function stands before the statement whose change it
records, and selects with the same condition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.records import RunRecord
from airflow_provider_pacs.sync.target.postgres import ddl
from airflow_provider_pacs.sync.target.postgres.sql import columns, key_text, partition, stage

Connection = psycopg.Connection[Any]
PARTY, CONFIDENTIAL = "party_key", "is_confidential"
"""Columns that say whose row it is, and that the person asked not to be named."""


def open_months(connection: Connection) -> None:
    """Make the partitions that a publish of now writes to; in a transaction of its own, so that nobody
    waits.
    """
    connection.execute("SELECT pacs_ops.open_change_log_months()")


def begin(connection: Connection, county_id: str) -> datetime:
    """The time of this publish: the transaction's, or the next microsecond where the server's clock went
    back.

    The caller has the county's row locked.
    """
    row = connection.execute(
        "SELECT greatest(now(), (SELECT max(at) + interval '1 microsecond' FROM pacs_ops.change_set WHERE "
        "county_id = %s))",
        (county_id,),
    ).fetchone()
    assert row is not None
    at: datetime = row[0]
    return at


def note_set(connection: Connection, run: RunRecord, entity: Entity, at: datetime, actor: str) -> None:
    """Record that the changes of one entity in this publish are in the log.

    Where the entity had no history, it begins here; with the entity's first load it reaches back for ever.
    """
    connection.execute(
        "INSERT INTO pacs_ops.change_set (county_id, run_id, entity, at, columns, actor) VALUES (%s, %s, "
        "%s, %s, %s, %s)",
        (run.county_id, run.run_id, entity.name, at, digest_names(entity), actor),
    )
    first = not ddl.partition_exists(connection, entity, run.county_id)
    connection.execute(
        "INSERT INTO pacs_ops.history_span (county_id, entity, since) VALUES (%s, %s, CASE WHEN %s THEN "
        "'-infinity'::timestamptz ELSE %s END) ON CONFLICT DO NOTHING",
        (run.county_id, entity.name, first, at),
    )


def break_off(connection: Connection, county_id: str, entity: Entity) -> None:
    """A publish without history: what the tables said before it can no longer be told."""
    connection.execute(
        "DELETE FROM pacs_ops.history_span WHERE county_id = %s AND entity = %s", (county_id, entity.name)
    )


def digest_names(entity: Entity) -> list[str]:
    """The columns that `after_digest` covers: those that name or locate nobody."""
    return [column.name for column in entity.columns if column.pii == "none" and column.type != "json"]


def digest(names: Sequence[str], alias: str, *, deleted: str) -> sql.Composed:
    """SHA-256 of a row's columns and of whether it is a tombstone; `deleted` is an SQL expression."""
    return sql.SQL("sha256(convert_to(ROW({}, {})::text, 'UTF8'))").format(
        columns(names, alias),
        sql.SQL(deleted),
    )


def note_rows(
    connection: Connection,
    run: RunRecord,
    entity: Entity,
    at: datetime,
    op: str,
    source: sql.Composable,
    *,
    before: str | None,
    after: str | None,
    deleted: str = "false",
) -> int:
    """Record rows that are about to change.

    Args:
        connection: publish's.
        run: the run.
        entity: the entity.
        at: the publish's time.
        op: I, U, D or X, or an SQL expression of it in parentheses.
        source: what follows FROM, with the rows under the aliases `before` and `after`.
        before: alias of the row as it is; None where there is none.
        after: alias of the row as it will be, as far as its columns go; None where it goes.
        deleted: whether it will be a tombstone, as SQL.
    """
    present = str(before or after)
    made = sql.Identifier(present)
    there = {column.name for column in entity.columns}
    both = [sql.Identifier(alias) for alias in (before, after) if alias]
    party = (
        sql.SQL("coalesce({})").format(
            sql.SQL(", ").join(sql.SQL("{}.{}").format(each, sql.Identifier(PARTY)) for each in both)
        )
        if PARTY in there
        else sql.SQL("NULL")
    )
    statement = sql.SQL(
        "INSERT INTO pacs_ops.change_log (county_id, entity, row_key, source_key, property_id, party, "
        "run_id, at, op, before, after_digest) SELECT {county}, {entity}, {made}.{key}, {text}, "
        "{made}.{root}, {party}, {run}, {at}, {op}, {before}, {digest} FROM {source}"
    ).format(
        county=sql.Literal(run.county_id),
        entity=sql.Literal(entity.name),
        made=made,
        key=sql.Identifier(entity.key),
        text=key_text(entity, present),
        root=sql.Identifier(entity.parent_key or entity.key),
        party=party,
        run=sql.Literal(run.run_id),
        at=sql.Literal(at),
        op=sql.SQL(op) if op.startswith("(") else sql.Literal(op),
        before=sql.SQL("to_jsonb({})").format(sql.Identifier(before)) if before else sql.SQL("NULL"),
        digest=digest(digest_names(entity), after, deleted=deleted) if after else sql.SQL("NULL"),
        source=source,
    )
    return connection.execute(statement).rowcount


def note_state(
    connection: Connection,
    run: RunRecord,
    entity: str,
    at: datetime,
    what: str,
    rows: sql.Composable,
) -> None:
    """Record rows of the journal that are about to change; `rows` selects `(key, before)`."""
    connection.execute(
        sql.SQL(
            "INSERT INTO pacs_ops.change_log_state (county_id, entity, run_id, at, what, key, before) "
            "SELECT {}, {}, {}, {}, {}, x.key, x.before FROM ({}) AS x(key, before)"
        ).format(
            sql.Literal(run.county_id),
            sql.Literal(entity),
            sql.Literal(run.run_id),
            sql.Literal(at),
            sql.Literal(what),
            rows,
        )
    )


def note_cursor(connection: Connection, run: RunRecord, entity: str, at: datetime) -> None:
    """Record the entity's cursor; with nothing where it has none."""
    rows = sql.SQL(
        "SELECT {entity}, (SELECT to_jsonb(s) FROM pacs_ops.sync_state AS s WHERE s.county_id = {county} "
        "AND s.entity = {entity})"
    ).format(entity=sql.Literal(entity), county=sql.Literal(run.county_id))
    note_state(connection, run, entity, at, "cursor", rows)


def note_quarantine(connection: Connection, run: RunRecord, entity: Entity, at: datetime, table: str) -> None:
    """Record the quarantine of rows that are staged with a reject, and of open ones that are staged
    without.
    """
    rows = sql.SQL(
        "SELECT k.key, to_jsonb(q) FROM (SELECT DISTINCT coalesce({key}, '') AS key, s._reject IS NULL AS "
        "passed FROM {s} AS s WHERE s._reject IS NOT NULL OR EXISTS (SELECT FROM pacs_ops.quarantine AS o "
        "WHERE o.county_id = {county} AND o.entity = {entity} AND o.state = 'open' AND o.source_key = "
        "{key})) AS k LEFT JOIN pacs_ops.quarantine AS q ON q.county_id = {county} AND q.entity = {entity} "
        "AND q.source_key = k.key"
    ).format(
        key=key_text(entity, "s"),
        s=stage(table),
        county=sql.Literal(run.county_id),
        entity=sql.Literal(entity.name),
    )
    note_state(connection, run, entity.name, at, "quarantine", rows)


def note_probes(connection: Connection, run: RunRecord, entity: Entity, at: datetime, probed: str) -> None:
    """Record the probed contents that a table of root keys beside a staging table is about to replace."""
    rows = sql.SQL(
        "SELECT jsonb_build_array(coalesce(o.probe, n.probe), coalesce(o.root_key, n.root_key))::text, "
        "to_jsonb(o) FROM (SELECT * FROM {probed} WHERE digest IS NOT NULL) AS n FULL JOIN (SELECT * FROM "
        "pacs_ops.probed_contents WHERE county_id = {county} AND entity = {entity}) AS o ON o.probe = "
        "n.probe AND o.root_key = n.root_key WHERE n.digest IS DISTINCT FROM o.digest"
    ).format(probed=stage(probed), county=sql.Literal(run.county_id), entity=sql.Literal(entity.name))
    note_state(connection, run, entity.name, at, "probe", rows)


def pending_sets(connection: Connection, county_id: str) -> dict[int, tuple[str, dict[str, Any]]]:
    """The county's undecided sets of deletes, before a publish: id -> (entity, the whole row)."""
    rows = connection.execute(
        "SELECT d.pending_id, d.entity, to_jsonb(d) FROM pacs_ops.pending_delete AS d WHERE d.county_id = "
        "%s AND d.state = 'pending'",
        (county_id,),
    ).fetchall()
    return {pending_id: (entity, row) for pending_id, entity, row in rows}


def note_pending(
    connection: Connection,
    run: RunRecord,
    at: datetime,
    before: Mapping[int, tuple[str, dict[str, Any]]],
) -> None:
    """Record the sets that this publish decided, replaced or made, once it has."""
    after = pending_sets(connection, run.county_id)
    changed = [(entity, number, row) for number, (entity, row) in before.items() if number not in after] + [
        (entity, number, None) for number, (entity, _) in after.items() if number not in before
    ]
    for entity, number, row in changed:
        rows = sql.SQL("SELECT {}, {}::jsonb").format(
            sql.Literal(str(number)), sql.Literal(Jsonb(row) if row is not None else None)
        )
        note_state(connection, run, entity, at, "pending", rows)


def redact(
    connection: Connection,
    county_id: str,
    entity: Entity,
    parties: str,
    values: Mapping[str, str | bool | None],
) -> int:
    """Give every before-image of these parties what a new row of theirs would say; `parties` is the table
    beside the staging table that lists them.
    """
    row = connection.execute(
        sql.SQL(
            "SELECT pacs_ops.redact_change_log(%s, %s, (SELECT array_agg(p.party) FROM {} AS p), %s)"
        ).format(stage(parties)),
        (county_id, entity.name, Jsonb(dict(values))),
    ).fetchone()
    return int(row[0]) if row and row[0] else 0


def redact_confidential(connection: Connection, run: RunRecord, entity: Entity) -> None:
    """Where a row that this run wrote is confidential, its before-images say no more than the row does."""
    if CONFIDENTIAL not in entity.column_names or not ddl.partition_exists(connection, entity, run.county_id):
        return
    silent = [c.name for c in entity.columns if c.pii == "personal" or c.type == "json"] + [CONFIDENTIAL]
    pairs = sql.SQL(", ").join(
        sql.SQL("{}, l.{}").format(sql.Literal(name), sql.Identifier(name)) for name in silent
    )
    connection.execute(
        sql.SQL(
            "SELECT pacs_ops.redact_change_log_rows({county}, {entity}, array_agg(x.key), "
            "array_agg(x.says)) FROM (SELECT l.{key} AS key, jsonb_build_object({pairs}) AS says FROM {l} "
            "AS l WHERE EXISTS (SELECT FROM pacs_ops.change_log AS a WHERE a.county_id = {county} AND "
            "a.entity = {entity}) AND l._run_id = {run} AND l.{flag} AND EXISTS (SELECT FROM "
            "pacs_ops.change_log AS c WHERE c.county_id = {county} AND c.row_key = l.{key} AND c.before IS "
            "NOT NULL)) AS x HAVING count(*) > 0"
        ).format(
            county=sql.Literal(run.county_id),
            entity=sql.Literal(entity.name),
            key=sql.Identifier(entity.key),
            pairs=pairs,
            l=partition(entity, run.county_id),
            run=sql.Literal(run.run_id),
            flag=sql.Identifier(CONFIDENTIAL),
        )
    )
