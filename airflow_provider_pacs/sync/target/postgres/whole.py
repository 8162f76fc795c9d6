"""A complete staging table and the county's partition -> how they differ, and counts, digests and sums of
both sides, from one statement.

One statement is one snapshot: all of the evidence speaks of the same moment. Both tables are read once and
joined by key. Rows are compared by their images, byte by byte, so a row whose image equals its partner's
needs to be hashed once only: both sides' digests hold that hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.target.port import Kind
from airflow_provider_pacs.sync.target.postgres import ddl
from airflow_provider_pacs.sync.target.postgres.sql import differs, key_text, leaf, root, row_hash, stage

Connection = psycopg.Connection[Any]

_OURS = "(s._op IS NOT NULL AND coalesce(s._late, 0) = 0 AND s._reject IS NULL AND q.source_key IS NULL)"
"""A row at the source that the target must hold as it is: not late, not quarantined."""
_PAIRS = """
SELECT coalesce(s.{k}, l.{k}) AS k, {key} AS key,
  CASE WHEN s._op IS NULL THEN 'ghost' WHEN NOT {ours} THEN NULL WHEN l.county_id IS NULL THEN 'missing' WHEN
    {differs} THEN 'differing' END AS kind,
  s._late = 1 AS late,
  CASE WHEN {ours} THEN {source_hash} END AS source_hash,
  CASE WHEN l.county_id IS NULL THEN NULL
    WHEN s._op IS NULL THEN CASE WHEN q.source_key IS NULL THEN {target_hash} END
    WHEN {ours} AND {differs} THEN {target_hash} END AS target_hash{money}
FROM (SELECT * FROM {s} WHERE _op = 'U') AS s
FULL JOIN (SELECT * FROM {l} WHERE _deleted_at IS NULL) AS l ON l.{k} = s.{k}
LEFT JOIN (SELECT source_key FROM pacs_ops.quarantine WHERE county_id = {county} AND entity = {entity} AND
  state = 'open') AS q
  ON q.source_key = {key}
"""
_AT_SOURCE = "source_hash IS NOT NULL"
_IN_TARGET = "(target_hash IS NOT NULL OR (source_hash IS NOT NULL AND kind IS NULL))"
_DIGEST = """(SELECT sha256(string_agg(digest, ''::bytea ORDER BY bucket)) FROM (
  SELECT get_byte(h, 0) AS bucket, sha256(string_agg(h, ''::bytea ORDER BY k)) AS digest
  FROM (SELECT k, {hash} AS h FROM pairs WHERE {where}) AS hashed GROUP BY 1) AS buckets)"""
"""Hashes are folded per first byte of the hash, so that no string outgrows memory."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Both sides of a comparison, the excused rows (late, quarantined) left out on both.

    Attributes:
        differences: (key, kind) of every row that differs.
        source_rows: comparable rows at the source.
        target_rows: comparable live rows in the target.
        late: rows stamped after the upper bound.
        source_digest: SHA-256 over the rows in key order.
        target_digest: the same of the target.
        source_sums: money sums as JSON, by the entity's `money_by`.
        target_sums: the same of the target.
    """

    differences: list[tuple[str, Kind]]
    source_rows: int
    target_rows: int
    late: int
    source_digest: bytes | None
    target_digest: bytes | None
    source_sums: dict[str, Any] | None
    target_sums: dict[str, Any] | None

    @property
    def equal(self) -> bool:
        """Whether nothing differs, by any of the measures."""
        counts = self.source_rows == self.target_rows and not self.differences
        return counts and self.source_digest == self.target_digest and self.source_sums == self.target_sums


def compare(connection: Connection, entity: Entity, county_id: str, table: str) -> Sides:
    """Compare a complete staging table with the county's partition; before the first load all is missing."""
    there = leaf(entity, county_id)
    empty = sql.SQL("(SELECT * FROM {} WHERE false)").format(root(entity))
    pairs = sql.SQL(_PAIRS).format(
        s=stage(table),
        l=there if ddl.leaf_exists(connection, entity, county_id) else sql.SQL("{} AS nobody").format(empty),
        k=sql.Identifier(entity.key),
        ours=sql.SQL(_OURS),
        county=sql.Literal(county_id),
        entity=sql.Literal(entity.name),
        differs=differs(entity),
        key=key_text(entity, "s", "l"),
        source_hash=row_hash(entity, "s"),
        target_hash=row_hash(entity, "l"),
        money=_money(entity),
    )
    source, target = (
        _digest("source_hash", _AT_SOURCE),
        _digest("coalesce(target_hash, source_hash)", _IN_TARGET),
    )
    statement = sql.SQL(
        "WITH pairs AS MATERIALIZED ({pairs}), "
        "told AS (SELECT array_agg(key) FILTER (WHERE kind IS NOT NULL) AS keys, array_agg(kind) FILTER "
        "(WHERE kind IS NOT NULL) AS kinds, "
        "count(*) FILTER (WHERE {at_source}) AS source_rows, count(*) FILTER (WHERE {in_target}) AS "
        "target_rows, "
        "count(*) FILTER (WHERE late) AS late FROM pairs), "
        "source AS MATERIALIZED (SELECT {source} AS digest) "
        # Where no pair differs, every row of either side is the byte-equal partner of one of the other: the
        # digests are the same by construction.
        "SELECT keys, kinds, source_rows, target_rows, late, source.digest, CASE WHEN kinds IS NULL THEN "
        "source.digest ELSE {target} END, {sums} "
        "FROM told CROSS JOIN source"
    ).format(
        pairs=pairs,
        at_source=sql.SQL(_AT_SOURCE),
        in_target=sql.SQL(_IN_TARGET),
        source=source,
        target=target,
        sums=_sums(entity),
    )
    row = connection.execute(statement).fetchone()
    keys, kinds, source_rows, target_rows, late, source_digest, target_digest, source_sums, target_sums = (
        row or (None,) * 9
    )
    found = list(zip(keys or (), kinds or (), strict=True))
    return Sides(
        found,
        source_rows or 0,
        target_rows or 0,
        late or 0,
        source_digest,
        target_digest,
        source_sums,
        target_sums,
    )


def _digest(value: str, where: str) -> sql.Composed:
    return sql.SQL(_DIGEST).format(hash=sql.SQL(value), where=sql.SQL(where))


def _money(entity: Entity) -> sql.Composed:
    """The money columns and what they are grouped by, of both sides."""
    wanted = [name for name in (entity.money_by, *entity.money) if name] if entity.money else []
    parts = [
        sql.SQL(", {}.{} AS {}").format(
            sql.Identifier(side), sql.Identifier(name), sql.Identifier(f"{side}_{name}")
        )
        for side in ("s", "l")
        for name in wanted
    ]
    return sql.Composed(parts)


def _sums(entity: Entity) -> sql.Composed:
    """Two expressions: the sums of the source and of the target."""
    if not entity.money:
        return sql.Composed([sql.SQL("NULL::jsonb, NULL::jsonb")])
    return sql.SQL(", ").join([_side_sums(entity, "s", _AT_SOURCE), _side_sums(entity, "l", _IN_TARGET)])


def _side_sums(entity: Entity, side: str, where: str) -> sql.Composed:
    group = (
        sql.SQL("coalesce({}::text, '')").format(sql.Identifier(f"{side}_{entity.money_by}"))
        if entity.money_by
        else sql.SQL("''")
    )
    totals = sql.SQL(", ").join(
        sql.SQL("{}, coalesce(sum({}), 0)::text").format(sql.Literal(name), sql.Identifier(f"{side}_{name}"))
        for name in entity.money
    )
    return sql.SQL(
        "(SELECT coalesce(jsonb_object_agg(grp, totals), '{{}}') FROM (SELECT {group} AS grp, "
        "jsonb_build_object({totals}) AS totals FROM pairs "
        "WHERE {where} GROUP BY 1) AS t)"
    ).format(group=group, totals=totals, where=sql.SQL(where))
