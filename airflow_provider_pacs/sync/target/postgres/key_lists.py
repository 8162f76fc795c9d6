"""Keys of both sides, counted, summed and compared: what shows rows that came or went without a change stamp.

Beside a staging table stands a list of keys as the source spells them. Keys are compared as the target's
text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.records import KeyDifference, KeyTotals
from airflow_provider_pacs.sync.schema.catalog import KeySpelling
from airflow_provider_pacs.sync.target.postgres import ddl
from airflow_provider_pacs.sync.target.postgres.sql import key_text, partition, stage

Connection = psycopg.Connection[Any]
_DIGITS = "[0-9A-Fa-f]{8}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{12}"
_GUID = rf"^({_DIGITS}|\{{{_DIGITS}\}})$"
_SPELLED = {"guid": "upper({})", "digits": "replace(upper({}), '-', '')", "text": "{}"}
_NUMBER = "('x' || left(encode(sha256(convert_to({}, 'UTF8')), 'hex'), 14))::bit(56)::bigint::numeric"
"""The number that both sides make of a key: see `incremental.statements.census_query`."""


def is_guid(key: str) -> bool:
    """Whether PostgreSQL takes a key for a GUID."""
    return re.match(_GUID, key) is not None


def table_of(table: str) -> str:
    """The list of keys beside a staging table."""
    return f"{table}_k"


def write(connection: Connection, table: str, payloads: Iterable[bytes]) -> None:
    """A new list from CSV payloads of one column."""
    name = stage(table_of(table))
    with connection.transaction():
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))
        connection.execute(sql.SQL("CREATE UNLOGGED TABLE {} (k text)").format(name))
        with (
            connection.cursor() as cursor,
            cursor.copy(sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(name)) as sink,
        ):
            for payload in payloads:
                sink.write(payload)
    connection.execute(sql.SQL("ANALYZE {}").format(name))


def expected(
    connection: Connection,
    entity: Entity,
    county_id: str,
    table: str,
    *,
    complete: bool,
    spelling: KeySpelling | None,
    late: bool,
) -> tuple[KeyTotals, KeyTotals]:
    """(keys that the source must have, of these the ones that the target must hold when the run is
    published).
    """
    parts = _parts(entity, county_id, table, spelling)
    there = ddl.partition_exists(connection, entity, county_id)
    if complete:
        target_totals = _totals(
            connection, "SELECT count(*), sum({number_s}) FROM {s} AS s WHERE s._op = 'U'", parts
        )
        known = "EXISTS (SELECT FROM {s} AS s WHERE s._op = 'U' AND {skey} = n.key)"
    else:
        target_totals = _sum(
            [
                *([_live(connection, parts)] if there else []),
                _totals(connection, _STAGED_NEW if there else _STAGED, parts),
                _totals(connection, _QUARANTINED_NEW if there else _QUARANTINED, parts),
            ]
        )
        if there:
            target_totals = _minus(target_totals, _totals(connection, _STAGED_GONE, parts))
        known = (
            "(EXISTS (SELECT FROM {s} AS s WHERE {skey} = n.key) OR EXISTS (SELECT FROM pacs_ops.quarantine "  # noqa: S608
            "AS q "
            "WHERE q.county_id = {county} AND q.entity = {entity} AND q.state = 'open' AND q.source_key = "
            "n.key)"
            + (
                " OR EXISTS (SELECT FROM {l} AS l WHERE l._deleted_at IS NULL AND {lkey} = n.key))"
                if there
                else ")"
            )
        )
    if not late:
        return target_totals, target_totals
    newer = _totals(
        connection,
        "SELECT count(*), sum({number_n}) FROM (SELECT DISTINCT {normal} AS key FROM {keys} AS k) AS n "  # noqa: S608
        "WHERE NOT " + known,
        parts,
    )
    return _sum([target_totals, newer]), target_totals


_STAGED = "SELECT count(*), sum({number_s}) FROM {s} AS s WHERE s._op = 'U'"
_STAGED_NEW = (
    _STAGED
    + " AND NOT EXISTS (SELECT FROM {l} AS l WHERE l.{k} = s.{k} AND l._deleted_at IS NULL AND NOT {pending})"
)
_STAGED_GONE = (
    "SELECT count(*), sum({number_s}) FROM {s} AS s WHERE s._op = 'D' "
    "AND EXISTS (SELECT FROM {l} AS l WHERE l.{k} = s.{k} AND l._deleted_at IS NULL AND NOT {pending})"
)
_QUARANTINED = (
    "SELECT count(*), sum({number_q}) FROM pacs_ops.quarantine AS q WHERE q.county_id = {county} "
    "AND q.entity = {entity} AND q.state = 'open' AND q.source_key <> '' "
    "AND NOT EXISTS (SELECT FROM {s} AS s WHERE {skey} = q.source_key)"
)
_QUARANTINED_NEW = _QUARANTINED + (
    " AND NOT EXISTS (SELECT FROM {l} AS l WHERE {lkey} = q.source_key AND l._deleted_at IS NULL AND NOT "
    "{pending})"
)
PENDING = (
    "EXISTS (SELECT FROM pacs_ops.pending_delete AS d JOIN pacs_ops.pending_delete_key AS dk USING "
    "(pending_id) "
    "WHERE d.county_id = {county} AND d.entity = {entity} AND d.state = 'pending' AND dk.source_key = {lkey})"
)
"""Whether a live row `l` is in an undecided set of deletes."""


def compare(
    connection: Connection, entity: Entity, county_id: str, table: str, *, complete: bool
) -> KeyDifference:
    """The list of all keys of the source laid beside what the target holds and what is staged."""
    parts = _parts(entity, county_id, table)
    there = ddl.partition_exists(connection, entity, county_id)
    live = "SELECT {lkey} AS key FROM {l} AS l WHERE l._deleted_at IS NULL"
    all_live, sure_live = (f"{live} UNION ", f"{live} AND NOT {{pending}} UNION ") if there else ("", "")
    staged = "SELECT {skey} AS key FROM {s} AS s WHERE s._op = 'U' AND {skey} IS NOT NULL"
    waiting = (
        " UNION SELECT q.source_key FROM pacs_ops.quarantine AS q WHERE q.county_id = {county} "
        "AND q.entity = {entity} AND q.state = 'open' AND q.source_key <> ''"
    )
    known = staged if complete else sure_live + staged + waiting
    statement = sql.SQL(
        "WITH source AS MATERIALIZED (SELECT {normal} AS key, count(*) AS times FROM {keys} AS k GROUP BY "  # noqa: S608
        "1), "
        "known AS MATERIALIZED (" + known + "), "
        "target_keys AS MATERIALIZED (" + all_live + staged + waiting + ") "
        "SELECT (SELECT coalesce(array_agg(h.key), '{{}}') FROM target_keys AS h WHERE NOT EXISTS "
        "(SELECT FROM source AS s WHERE s.key = h.key)), "
        "(SELECT coalesce(array_agg(s.key), '{{}}') FROM source AS s WHERE s.key IS NOT NULL AND NOT EXISTS "
        "(SELECT FROM known AS h WHERE h.key = s.key)), "
        "(SELECT coalesce(array_agg(s.key), '{{}}') FROM source AS s "
        "WHERE s.times > 1 AND s.key IS NOT NULL), "
        "(SELECT coalesce(sum(times), 0) FROM source)"
    ).format(**parts)
    row = connection.execute(statement).fetchone()
    gone, unknown, duplicated, rows = row or ([], [], [], 0)
    return KeyDifference(tuple(gone), tuple(unknown), tuple(duplicated), int(rows))


def _parts(
    entity: Entity, county_id: str, table: str, spelling: KeySpelling | None = None
) -> dict[str, sql.Composable]:
    skey, lkey = key_text(entity, "s"), key_text(entity, "l")
    parts: dict[str, sql.Composable] = {
        "s": stage(table),
        "keys": stage(table_of(table)),
        "l": partition(entity, county_id),
        "k": sql.Identifier(entity.key),
        "skey": skey,
        "lkey": lkey,
        "county": sql.Literal(county_id),
        "entity": sql.Literal(entity.name),
        "normal": _normal(entity),
    }
    number = sql.SQL(_NUMBER.format(_SPELLED[spelling])) if spelling else sql.SQL("0::numeric")
    for name, text in {
        "number_s": skey,
        "number_l": lkey,
        "number_q": sql.SQL("q.source_key"),
        "number_n": sql.SQL("n.key"),
    }.items():
        parts[name] = number.format(text) if spelling else number
    parts["pending"] = sql.SQL(PENDING).format(**{name: parts[name] for name in ("county", "entity", "lkey")})
    return parts


def _normal(entity: Entity) -> sql.Composable:
    """A key of the list as the target writes it: a GUID in lower case with its dashes."""
    kind = next(column.type for column in entity.columns if column.name == entity.key)
    if kind != "uuid":
        return sql.SQL("k.k")
    return sql.SQL("CASE WHEN k.k ~ {} THEN k.k::uuid::text ELSE k.k END").format(sql.Literal(_GUID))


def _live(connection: Connection, parts: dict[str, sql.Composable]) -> KeyTotals:
    return _totals(
        connection,
        "SELECT count(*), sum({number_l}) FROM {l} AS l WHERE l._deleted_at IS NULL AND NOT {pending}",
        parts,
    )


def _totals(connection: Connection, text: str, parts: dict[str, sql.Composable]) -> KeyTotals:
    row = connection.execute(sql.SQL(text).format(**parts)).fetchone()
    rows, summed = row or (0, None)
    return KeyTotals(int(rows), str(int(summed or 0)))


def _sum(parts: list[KeyTotals]) -> KeyTotals:
    return KeyTotals(sum(part.rows for part in parts), str(sum(int(part.key_sum) for part in parts)))


def _minus(total: KeyTotals, part: KeyTotals) -> KeyTotals:
    return KeyTotals(total.rows - part.rows, str(int(total.key_sum) - int(part.key_sum)))
