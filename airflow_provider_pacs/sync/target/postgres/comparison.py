"""What the source says now, the county's partition and what the run staged -> how the two sides differ.

One statement is one snapshot: all of the evidence speaks of the same moment. Rows are compared by their
images, byte by byte. Nothing is excused by its key alone: a quarantined row counts as such only while the
source's present image is the one that was set aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.records import Comparison, RowDifference
from airflow_provider_pacs.sync.target.postgres import ddl
from airflow_provider_pacs.sync.target.postgres.key_lists import PENDING
from airflow_provider_pacs.sync.target.postgres.sql import (
    columns,
    differs,
    key_text,
    partition,
    root,
    row_digest,
    stage,
)

Connection = psycopg.Connection[Any]

_PAIRS = """
SELECT coalesce({fkey}, {lkey}) AS key, f._op IS NOT NULL AS at_source, l.county_id IS NOT NULL AS in_target,
  q.rules = ARRAY[{waiting}]::text[] AS waits, coalesce(f._late, 0) = 1 AS late, f._source_version IS NULL AS unstamped,
  pending.key IS NOT NULL AS pending,
  CASE
    WHEN f._op IS NULL THEN NULL
    WHEN f._reject IS NULL AND l.county_id IS NOT NULL AND NOT ({differs}) THEN 'equal'
    WHEN q.source_key IS NOT NULL AND q.payload_digest = {digest} THEN 'quarantined'
    WHEN coalesce(f._late, 0) = 1 AND {unread} THEN 'late'
    WHEN l.county_id IS NOT NULL THEN 'differing'
    ELSE 'missing'
  END AS verdict,
  {moved} AS changed_since_read
FROM (SELECT * FROM {f} WHERE _op = 'U') AS f
{join} JOIN (SELECT * FROM {l} WHERE _deleted_at IS NULL) AS l ON l.{k} = f.{k}
LEFT JOIN (SELECT source_key, rules, payload_digest FROM pacs_ops.quarantine
  WHERE county_id = {county} AND entity = {entity} AND state = 'open') AS q ON q.source_key = coalesce({fkey}, '')
LEFT JOIN (SELECT dk.source_key AS key FROM pacs_ops.pending_delete AS d
  JOIN pacs_ops.pending_delete_key AS dk USING (pending_id)
  WHERE d.county_id = {county} AND d.entity = {entity} AND d.state = 'pending') AS pending ON pending.key = {lkey}
{staged}
"""  # noqa: E501
_STAGED = (
    "LEFT JOIN (SELECT DISTINCT ON ({k}) * FROM {s} ORDER BY {k}, _pass DESC) AS s ON s.{k} = "
    "coalesce(f.{k}, l.{k})"
)
_MOVED = """CASE
    WHEN f._op IS NULL THEN s._op = 'U' AND s._reject IS NULL AND NOT ({published_differs})
    WHEN s._op IS NULL THEN l.county_id IS NULL OR NOT {complete}
    WHEN s._op = 'D' THEN l.county_id IS NULL
    WHEN s._reject IS NOT NULL THEN {sdigest} IS DISTINCT FROM {digest}
    ELSE l.county_id IS NOT NULL AND NOT ({published_differs}) AND {staged_differs}
  END"""
"""Whether the source moved on since the run read it, and what was read then is what is published."""


def compare(
    connection: Connection,
    entity: Entity,
    county_id: str,
    fresh: str,
    staged: str | None,
    *,
    complete: bool,
    waiting_rule: str | None,
) -> Comparison:
    """Lay a staging table with the source's rows beside the county's partition; before the first load all is
    missing.

    Args:
        connection: any.
        entity: the entity.
        county_id: the county.
        fresh: staging table with what the source says now.
        staged: the run's own staging table, None where `fresh` is it or it is lost.
        complete: `fresh` holds every row of the source.
        waiting_rule: the rule under which rows without a parent wait.
    """
    parts = _parts(connection, entity, county_id, fresh, staged, complete=complete, waiting_rule=waiting_rule)
    pairs = sql.SQL(_PAIRS).format(**parts)
    statement = sql.SQL(
        "WITH pairs AS MATERIALIZED ({pairs}) SELECT "
        "count(*) FILTER (WHERE at_source), "
        "count(*) FILTER (WHERE verdict = 'equal'), "
        "count(*) FILTER (WHERE verdict = 'quarantined' AND NOT coalesce(waits, false)), "
        "count(*) FILTER (WHERE verdict = 'quarantined' AND waits), "
        "count(*) FILTER (WHERE verdict = 'late'), "
        "count(*) FILTER (WHERE verdict IN ('quarantined', 'late') AND in_target AND NOT pending), "
        "count(*) FILTER (WHERE in_target AND pending AND (NOT at_source OR verdict IN ('quarantined', 'late'))) "  # noqa: E501
        "FROM pairs"
    ).format(pairs=pairs)
    counted = connection.execute(statement).fetchone()
    compared, equal, quarantined, waiting, late, kept, pending = counted or (0,) * 7
    rows = connection.execute(
        sql.SQL(
            "SELECT coalesce(key, ''), coalesce(verdict, 'extra_in_target'), coalesce(changed_since_read, "
            "false), "
            "coalesce(unstamped, true) FROM ({pairs}) AS pairs "
            "WHERE verdict IN ('differing', 'missing') OR NOT at_source AND NOT pending"
        ).format(pairs=pairs)
    )
    differences = tuple(RowDifference(*row) for row in rows)
    outside = (0, 0, 0, 0) if complete else _outside(connection, entity, county_id, parts)
    return Comparison(
        int(compared),
        int(equal),
        int(quarantined),
        int(waiting),
        int(late),
        int(kept),
        int(pending),
        differences,
        *outside,
    )


def _parts(
    connection: Connection,
    entity: Entity,
    county_id: str,
    fresh: str,
    staged: str | None,
    *,
    complete: bool,
    waiting_rule: str | None,
) -> dict[str, sql.Composable]:
    there = ddl.partition_exists(connection, entity, county_id)
    nobody = sql.SQL("(SELECT * FROM {} WHERE false) AS nobody").format(root(entity))
    parts: dict[str, sql.Composable] = {
        "f": stage(fresh),
        "l": partition(entity, county_id) if there else nobody,
        "k": sql.Identifier(entity.key),
        "fkey": key_text(entity, "f"),
        "lkey": key_text(entity, "l"),
        "county": sql.Literal(county_id),
        "entity": sql.Literal(entity.name),
        "waiting": sql.Literal(waiting_rule),
        "differs": differs(entity, "l", "f"),
        "digest": row_digest(entity, "f"),
        "join": sql.SQL("FULL" if complete else "LEFT"),
        "complete": sql.SQL("true" if complete else "false"),
        "staged": sql.SQL(""),
        "moved": sql.SQL("false"),
        "unread": sql.SQL("true"),
    }
    parts["pending"] = sql.SQL(PENDING).format(**{name: parts[name] for name in ("county", "entity", "lkey")})
    if staged is not None:
        names = entity.column_names
        parts["s"] = stage(staged)
        parts["sdigest"] = row_digest(entity, "s")
        parts["published_differs"] = differs(entity, "l", "s")
        parts["staged_differs"] = sql.SQL(
            "(record_image_ne(ROW({}), ROW({})) OR s._source_version IS DISTINCT FROM f._source_version)"
        ).format(columns(names, "s"), columns(names, "f"))
        parts["staged"] = sql.SQL(_STAGED).format(**parts)
        parts["moved"] = sql.SQL(_MOVED).format(**parts)
        parts["unread"] = sql.SQL("(s._op IS DISTINCT FROM 'U' OR {moved})").format(**parts)
    return parts


def _outside(
    connection: Connection, entity: Entity, county_id: str, parts: dict[str, sql.Composable]
) -> tuple[int, int, int, int]:
    """Counts of what the window's staging table does not hold.

    (live rows that are not pending, pending rows, quarantined keys, of these live and not pending)
    """
    staged = "EXISTS (SELECT FROM {f} AS f WHERE f._op = 'U' AND f.{k} = l.{k})"
    open_rows = (
        "FROM pacs_ops.quarantine AS q WHERE q.county_id = {county} AND q.entity = {entity} AND q.state = "
        "'open' AND q.source_key <> '' "
        "AND NOT EXISTS (SELECT FROM {f} AS f WHERE {fkey} = q.source_key)"  # nor as gone
    )
    kept = "EXISTS (SELECT FROM {l} AS l WHERE l._deleted_at IS NULL AND {lkey} = q.source_key AND NOT {pending})"  # noqa: E501
    row = connection.execute(
        sql.SQL(
            "SELECT (SELECT count(*) FROM {l} AS l WHERE l._deleted_at IS NULL AND NOT {pending} AND NOT "  # noqa: S608
            + staged
            + "), "
            "(SELECT count(*) FROM {l} AS l WHERE l._deleted_at IS NULL AND {pending} AND NOT "
            + staged
            + "), "
            "(SELECT count(*) " + open_rows + "), (SELECT count(*) " + open_rows + " AND " + kept + ")"
        ).format(**parts)
        if ddl.partition_exists(connection, entity, county_id)
        else sql.SQL("SELECT 0, 0, (SELECT count(*) " + open_rows + "), 0").format(**parts)
    ).fetchone()
    live, pending, quarantined, also_live = row or (0, 0, 0, 0)
    return int(live), int(pending), int(quarantined), int(also_live)


def control(
    connection: Connection, entity: Entity, county_id: str, names: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Control totals of the live rows: group -> column -> sum as text, and `rows`.

    To the sixth digit and below 1e32, as SQL Server sums them: a float has no exact sum.
    """
    if not ddl.partition_exists(connection, entity, county_id):
        return {}
    group = (
        sql.SQL("coalesce({}::text, '')").format(sql.Identifier(entity.money_by))
        if entity.money_by
        else sql.SQL("''")
    )
    sums = sql.Composed(
        [
            sql.SQL(", coalesce(sum(round({0}::numeric, 6)) FILTER (WHERE abs({0}) < 1e32), 0)::text").format(
                sql.Identifier(name)
            )
            for name in names
        ]
    )
    rows = connection.execute(
        sql.SQL(
            "SELECT {group}, count(*)::text{sums} FROM {l} WHERE _deleted_at IS NULL GROUP BY 1 ORDER BY 1"
        ).format(group=group, sums=sums, l=partition(entity, county_id))
    )
    return {grp: dict(zip(("rows", *names), map(_plain, values), strict=True)) for grp, *values in rows}


def _plain(text: str) -> str:
    """A sum without the zeros of its scale."""
    return text.rstrip("0").rstrip(".") if "." in text else text
