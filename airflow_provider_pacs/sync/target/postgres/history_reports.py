"""Canonical entities -> the functions that tell what a county's tables said, and who changed them.

`pacs_report.<table>_as_of` and `pacs_report.changes_since` are for tenant readers. They run as their owner,
because readers may not see the change log, and show the counties that row-level security would show.
`pacs_ops.row_images` is for the sync's login, `pacs_ops.row_history` for the page: it tells columns, never
values.
"""

from __future__ import annotations

from psycopg import sql

from airflow_provider_pacs.sync.entities import Entity, load_entities
from airflow_provider_pacs.sync.target.postgres.sql import root

_AS_OF = """
CREATE OR REPLACE FUNCTION {name}(ts timestamptz, county text DEFAULT NULL) RETURNS SETOF {table}
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  lacking text;
BEGIN
  IF $1 IS NULL THEN
    RAISE EXCEPTION 'as of which moment?' USING ERRCODE = '22004';
  END IF;
  SELECT string_agg(r.id || coalesce(' (since ' || to_char(h.since, 'YYYY-MM-DD HH24:MI:SSOF') || ')', ''), ', ' ORDER BY r.id)
    INTO lacking FROM pacs_ops.readable_counties() AS r(id)
    LEFT JOIN pacs_ops.history_span AS h ON h.county_id = r.id AND h.entity = {entity}
    WHERE ($2 IS NULL OR r.id = $2) AND (h.since IS NULL OR h.since > $1)
      AND EXISTS (SELECT FROM {table} AS t WHERE t.county_id = r.id);
  IF lacking IS NOT NULL THEN
    RAISE EXCEPTION 'the history of {shown} does not reach back to % in county %', $1, lacking
      USING ERRCODE = '22023', HINT = 'Name one county as the second argument, or ask for a later moment.';
  END IF;
  RETURN QUERY
    WITH readable AS MATERIALIZED (SELECT r.id FROM pacs_ops.readable_counties() AS r(id) WHERE $2 IS NULL OR r.id = $2),
    since AS MATERIALIZED (SELECT DISTINCT ON (c.county_id, c.row_key) c.county_id, c.row_key, c.before
      FROM pacs_ops.change_log AS c WHERE c.county_id IN (SELECT id FROM readable) AND c.entity = {entity} AND c.at > $1
      ORDER BY c.county_id, c.row_key, c.at)
    SELECT t.* FROM {table} AS t WHERE t.county_id IN (SELECT id FROM readable) AND t._first_seen_at <= $1
      AND NOT EXISTS (SELECT FROM since AS s WHERE s.county_id = t.county_id AND s.row_key = t.{key})
    UNION ALL
    SELECT i.* FROM since AS s, jsonb_populate_record(NULL::{table}, s.before) AS i
      WHERE s.before IS NOT NULL AND i._first_seen_at <= $1;
END $$;
COMMENT ON FUNCTION {name} IS {comment};
REVOKE ALL ON FUNCTION {name} FROM PUBLIC;
"""  # noqa: E501
_CHANGES_SINCE = """
CREATE OR REPLACE FUNCTION pacs_report.changes_since(ts timestamptz, county text DEFAULT NULL)
RETURNS TABLE (county_id text, entity text, row_key uuid, source_key text, at timestamptz, change text, run_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.county_id, c.entity, c.row_key, c.source_key, c.at,
    CASE c.op WHEN 'I' THEN 'inserted' WHEN 'U' THEN 'updated' WHEN 'D' THEN 'deleted' ELSE 'removed' END, c.run_id
  FROM pacs_ops.change_log AS c WHERE c.at > $1 AND c.county_id IN (SELECT pacs_ops.readable_counties())
    AND ($2 IS NULL OR c.county_id = $2)
$$;
COMMENT ON FUNCTION pacs_report.changes_since IS 'Keys that changed since a moment, by rollbacks too, which put a row''s earlier _changed_at back.';
REVOKE ALL ON FUNCTION pacs_report.changes_since FROM PUBLIC;
"""  # noqa: E501
_IMAGES = """
CREATE OR REPLACE FUNCTION pacs_ops.row_images(county_id text, key text, most int)
RETURNS TABLE (entity text, row_key uuid, source_key text, property_id uuid, run_id uuid, at timestamptz, op text,
  actor text, before jsonb, after jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH candidate AS MATERIALIZED ({candidates}),
  meant AS MATERIALIZED (
    {meant}
    UNION SELECT c.entity, c.row_key FROM pacs_ops.change_log AS c JOIN candidate AS k ON k.entity = c.entity
      AND k.row_key = c.row_key WHERE c.county_id = $1),
  wanted AS MATERIALIZED (
    SELECT m.entity, m.row_key FROM meant AS m
    {children}
    UNION SELECT c.entity, c.row_key FROM pacs_ops.change_log AS c JOIN meant AS m ON m.entity = {root}
      AND c.property_id = m.row_key WHERE c.county_id = $1),
  standing AS MATERIALIZED ({standing}),
  logged AS (
    SELECT c.entity, c.row_key, c.source_key, c.property_id, c.run_id, c.at, c.op, c.before,
      lead(c.before) OVER w AS next_before, lead(c.at) OVER w IS NOT NULL AS has_next,
      row_number() OVER w = 1 AS is_first
    FROM pacs_ops.change_log AS c JOIN wanted AS n ON n.entity = c.entity AND n.row_key = c.row_key
    WHERE c.county_id = $1 WINDOW w AS (PARTITION BY c.entity, c.row_key ORDER BY c.at)),
  firsts AS (
    SELECT n.entity, n.row_key, coalesce(l.before, s.image) AS image FROM wanted AS n
    LEFT JOIN logged AS l ON l.entity = n.entity AND l.row_key = n.row_key AND l.is_first
    LEFT JOIN standing AS s ON s.entity = n.entity AND s.row_key = n.row_key
    WHERE l.op IS DISTINCT FROM 'I'),
  entries AS (
    SELECT l.entity, l.row_key, l.source_key, l.property_id, l.run_id, l.at, l.op, l.before,
      CASE WHEN l.has_next THEN l.next_before ELSE s.image END AS after
    FROM logged AS l LEFT JOIN standing AS s ON s.entity = l.entity AND s.row_key = l.row_key
    UNION ALL
    SELECT f.entity, f.row_key, f.image ->> '_source_key', NULL,
      CASE WHEN f.image ->> '_changed_at' = f.image ->> '_first_seen_at' THEN (f.image ->> '_run_id')::uuid END,
      (f.image ->> '_first_seen_at')::timestamptz, 'I', NULL, f.image
    FROM firsts AS f WHERE f.image IS NOT NULL)
  SELECT e.entity, e.row_key, coalesce(e.source_key, e.row_key::text),
    coalesce(e.property_id, (coalesce(e.after, e.before) ->> 'property_id')::uuid), e.run_id, e.at, e.op,
    coalesce((SELECT t.actor FROM pacs_ops.change_set AS t WHERE t.county_id = $1 AND t.at = e.at
      AND t.entity = e.entity), ''), e.before, e.after
  FROM entries AS e ORDER BY e.at DESC, e.entity, e.row_key LIMIT $3
$$;
COMMENT ON FUNCTION pacs_ops.row_images IS 'Every change of the rows that a key means, newest first, with the row before and after: a row''s own key, a source''s key, or a property''s parcel number, with what belongs to the property.';
REVOKE ALL ON FUNCTION pacs_ops.row_images FROM PUBLIC;

CREATE OR REPLACE FUNCTION pacs_ops.row_history(county_id text, key text, most int)
RETURNS TABLE (entity text, row_key uuid, source_key text, property_id uuid, at timestamptz, op text, changed text[],
  source_version text, pacs_user text, actor text, run_id uuid, run_kind text, run_state text, trigger text,
  strategy text, lower_bound text, upper_bound text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT i.entity, i.row_key, i.source_key, i.property_id, i.at,
    CASE WHEN i.op = 'U' AND (i.before ->> '_deleted_at' IS NULL) <> (i.after ->> '_deleted_at' IS NULL)
      THEN CASE WHEN i.after ->> '_deleted_at' IS NULL THEN 'R' ELSE 'D' END ELSE i.op END,
    ARRAY(SELECT a.key FROM jsonb_each(i.after) AS a(key, value) WHERE i.before IS NOT NULL
      AND NOT starts_with(a.key, '_') AND a.value IS DISTINCT FROM i.before -> a.key ORDER BY a.key),
    i.after ->> '_source_version',
    coalesce(i.after -> 'extra' ->> 'pacs_user', ''), i.actor, i.run_id, r.kind, r.state, r.trigger,
    e.strategy, e.lower_bound, e.upper_bound
  FROM pacs_ops.row_images($1, $2, $3) AS i
  LEFT JOIN pacs_ops.sync_run AS r ON r.run_id = i.run_id AND r.county_id = $1
  LEFT JOIN pacs_ops.run_entity AS e ON e.run_id = i.run_id AND e.entity = i.entity
  ORDER BY i.at DESC, i.entity, i.row_key
$$;
COMMENT ON FUNCTION pacs_ops.row_history IS 'Who saw which change when: run, feed position, PACS user where the row carries it as extra.pacs_user. Names of columns, no values.';
REVOKE ALL ON FUNCTION pacs_ops.row_history FROM PUBLIC;
"""  # noqa: E501


def as_of_name(entity: Entity) -> str:
    """The function's name in schema `pacs_report`."""
    return f"{entity.table}_as_of"


def function_names() -> list[tuple[str, str]]:
    """(schema, name) of every function made here."""
    made = [("pacs_report", as_of_name(entity)) for entity in load_entities().values()]
    return [
        *made,
        ("pacs_report", "changes_since"),
        ("pacs_ops", "row_images"),
        ("pacs_ops", "row_history"),
    ]


def functions() -> dict[str, sql.Composed]:
    """Name -> the statements that make the function anew; after the tables, whose rows they return."""
    made = {as_of_name(entity): _as_of(entity) for entity in load_entities().values()}
    return made | {
        "changes_since": sql.Composed([sql.SQL(_CHANGES_SINCE)]),
        "row_history": _row_history(),
    }


def _as_of(entity: Entity) -> sql.Composed:
    comment = (
        f"The rows of pacs.{entity.table} as they were at a moment, tombstones included, of the counties "
        "that the session may read, or of one of them. A moment that the history does not reach is an "
        "error."
    )
    return sql.SQL(_AS_OF).format(
        name=sql.Identifier("pacs_report", as_of_name(entity)),
        table=root(entity),
        entity=sql.Literal(entity.name),
        shown=sql.SQL(entity.name),
        key=sql.Identifier(entity.key),
        comment=sql.Literal(comment),
    )


def _row_history() -> sql.Composed:
    entities = list(load_entities().values())
    top = load_entities()["property"]
    candidates = sql.SQL(
        "SELECT e.entity, k.row_key FROM (VALUES {}) AS e(entity), LATERAL (SELECT "
        "pacs_ops.surrogate_key($1, e.entity, $2) UNION SELECT CASE WHEN $2 ~* "
        "'^[0-9a-f]{{8}}-([0-9a-f]{{4}}-){{3}}[0-9a-f]{{12}}$' THEN lower($2)::uuid END) AS k(row_key)"
    ).format(sql.SQL(", ").join(sql.SQL("({})").format(sql.Literal(entity.name)) for entity in entities))
    own = [
        sql.SQL(
            "SELECT {entity}::text AS entity, t.{key} AS row_key FROM {table} AS t JOIN candidate AS k ON "
            "k.entity = {entity} AND k.row_key = t.{key} WHERE t.county_id = $1"
        ).format(entity=sql.Literal(entity.name), key=sql.Identifier(entity.key), table=root(entity))
        for entity in entities
    ]
    if "parcel_number" in top.column_names:
        own.append(
            sql.SQL(
                "SELECT {}::text, t.{} FROM {} AS t WHERE t.county_id = $1 AND t.parcel_number = $2"
            ).format(sql.Literal(top.name), sql.Identifier(top.key), root(top))
        )
    children = [
        sql.SQL(
            "UNION SELECT {entity}::text, t.{key} FROM {table} AS t JOIN meant AS m ON m.entity = {root} "
            "AND m.row_key = t.{parent} WHERE t.county_id = $1"
        ).format(
            entity=sql.Literal(entity.name),
            key=sql.Identifier(entity.key),
            table=root(entity),
            root=sql.Literal(top.name),
            parent=sql.Identifier(str(entity.parent_key)),
        )
        for entity in entities
        if entity.parent == top.name
    ]
    standing = [
        sql.SQL(
            "SELECT {entity}::text AS entity, t.{key} AS row_key, to_jsonb(t) AS image FROM {table} AS t "
            "JOIN wanted AS n ON n.entity = {entity} AND n.row_key = t.{key} WHERE t.county_id = $1"
        ).format(entity=sql.Literal(entity.name), key=sql.Identifier(entity.key), table=root(entity))
        for entity in entities
    ]
    return sql.SQL(_IMAGES).format(
        candidates=candidates,
        meant=sql.SQL(" UNION ").join(own),
        children=sql.SQL(" ").join(children),
        standing=sql.SQL(" UNION ALL ").join(standing),
        root=sql.Literal(top.name),
    )
