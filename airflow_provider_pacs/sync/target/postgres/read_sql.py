"""The page's statements.

Each reaches the newest rows of a county by an index of migration 0003, so a long history costs nothing.
"""

from __future__ import annotations

_SUMS = """SELECT count(*) AS entities, coalesce(sum(e.rows_read), 0)::bigint AS rows_read,
    coalesce(sum(e.rows_inserted), 0)::bigint AS rows_inserted,
    coalesce(sum(e.rows_updated), 0)::bigint AS rows_updated, coalesce(sum(e.rows_deleted), 0)::bigint AS
      rows_deleted,
    coalesce(sum(e.rows_quarantined), 0)::bigint AS rows_quarantined, coalesce(sum(e.extract_seconds), 0) AS
      read_seconds,
    count(*) FILTER (WHERE e.state IN ('blocked', 'failed')) AS entities_held_back, max(e.updated_at) AS
      progress_at,
    coalesce(string_agg(e.entity || ': ' || e.message, '; ' ORDER BY e.position) FILTER (WHERE e.message <>
      ''), '') AS messages
  FROM pacs_ops.run_entity AS e WHERE e.run_id = r.run_id"""

COUNTIES = "SELECT county_id, county FROM pacs_ops.county WHERE county_id = ANY(%(counties)s::text[])"

OVERVIEW = f"""
SELECT c.county_id,
  r.run_id, r.state, r.trigger, r.message, r.started_at, r.finished_at, r.published_at, s.*,
  good.finished_at AS good_at, good.started_at AS good_started_at,
  coalesce(recent.runs, 0) AS recent_runs, coalesce(recent.failed, 0) AS recent_failed, recent.trend,
  coalesce(q.rows, 0) AS quarantined_open,
  judged.rules, judged.broken, judged.warned,
  cert.issued_at AS certified_at, cert.scope AS certificate_scope, cert.clean AS certificate_clean,
  coalesce(h.rows, 0) AS held_rows,
  f.at AS failure_at, f.details AS failure, f.object AS failure_step
FROM unnest(%(counties)s::text[]) AS c(county_id)
LEFT JOIN LATERAL (SELECT * FROM pacs_ops.sync_run AS x WHERE x.county_id = c.county_id AND x.kind = 'sync'
  ORDER BY x.started_at DESC LIMIT 1) AS r ON true
LEFT JOIN LATERAL ({_SUMS}) AS s ON r.run_id IS NOT NULL
LEFT JOIN LATERAL (SELECT x.started_at, x.finished_at FROM pacs_ops.sync_run AS x WHERE x.county_id =
  c.county_id AND x.kind = 'sync'
  AND x.state IN ('succeeded', 'held') ORDER BY x.started_at DESC LIMIT 1) AS good ON true
LEFT JOIN LATERAL (SELECT count(*) AS runs, count(*) FILTER (WHERE x.state = 'failed') AS failed,
  array_agg(x.rows ORDER BY x.started_at) AS trend
  FROM (SELECT y.state, y.started_at, (SELECT coalesce(sum(e.rows_read), 0)::bigint FROM pacs_ops.run_entity
    AS e WHERE e.run_id = y.run_id) AS rows
    FROM pacs_ops.sync_run AS y WHERE y.county_id = c.county_id AND y.kind = 'sync' AND y.state <> 'running'
    ORDER BY y.started_at DESC LIMIT 20) AS x) AS recent ON true
LEFT JOIN (SELECT o.county_id, count(*) AS rows FROM pacs_ops.quarantine AS o WHERE o.state = 'open' AND
  o.county_id = ANY(%(counties)s::text[])
  GROUP BY o.county_id) AS q ON q.county_id = c.county_id
LEFT JOIN LATERAL (SELECT x.run_id FROM pacs_ops.sync_run AS x WHERE x.county_id = c.county_id AND x.kind =
  'sync' AND x.state <> 'running'
  ORDER BY x.started_at DESC LIMIT 1) AS ended ON true
LEFT JOIN LATERAL (SELECT count(*) AS rules, count(*) FILTER (WHERE NOT j.success AND (j.severity <> 'warn' OR
  j.blocks)) AS broken,
  count(*) FILTER (WHERE NOT j.success AND j.severity = 'warn' AND NOT j.blocks) AS warned
  FROM pacs_ops.quality_result AS j WHERE j.run_id = coalesce(ended.run_id, r.run_id)) AS judged ON true
LEFT JOIN LATERAL (SELECT x.run_id FROM pacs_ops.certificate AS x WHERE x.county_id = c.county_id ORDER BY
  x.issued_at DESC LIMIT 1) AS newest ON true
LEFT JOIN LATERAL (SELECT max(x.issued_at) AS issued_at, CASE WHEN bool_and(x.scope = 'full') THEN 'full' ELSE
  'delta' END AS scope,
  bool_and(x.clean) AS clean FROM pacs_ops.certificate AS x WHERE x.run_id = newest.run_id) AS cert ON
    newest.run_id IS NOT NULL
LEFT JOIN (SELECT o.county_id, sum(o.row_count)::bigint AS rows FROM pacs_ops.held_delete AS o WHERE o.state =
  'held'
  AND o.county_id = ANY(%(counties)s::text[]) GROUP BY o.county_id) AS h ON h.county_id = c.county_id
LEFT JOIN LATERAL (SELECT a.at, a.details, a.object FROM pacs_ops.audit AS a WHERE a.county_id = c.county_id
  AND a.action = 'run.failed'
  ORDER BY a.seq DESC LIMIT 1) AS f ON true
ORDER BY c.county_id
"""  # noqa: S608 - put together from constants

_RUN_COLUMNS = (
    "r.run_id, r.kind, r.state, r.trigger, r.message, r.started_at, r.published_at, "
    "r.finished_at, "
    "r.code_version, r.config_fingerprint"
)

RUNS = f"""
SELECT r.*, s.* FROM (SELECT {_RUN_COLUMNS} FROM pacs_ops.sync_run AS r WHERE r.county_id = %(county)s AND
  r.kind = %(kind)s
  ORDER BY r.started_at DESC LIMIT %(limit)s) AS r, LATERAL ({_SUMS}) AS s ORDER BY r.started_at DESC
"""  # noqa: S608

RUN = f"""
SELECT {_RUN_COLUMNS}, r.source_identity, r.source_now, s.* FROM pacs_ops.sync_run AS r, LATERAL ({_SUMS}) AS
  s
WHERE r.run_id = %(run)s::uuid AND r.county_id = %(county)s
"""  # noqa: S608

RUN_ENTITIES = """
SELECT entity, mode, family, reason, lower_bound, upper_bound, change_type, state, attempt, rows_read,
  rows_inserted, rows_updated, rows_deleted,
  rows_quarantined, rows_released, rows_held, extract_seconds, message, updated_at, schema_fingerprint
FROM pacs_ops.run_entity WHERE run_id = %(run)s::uuid ORDER BY position
"""

LEAF_ROWS = """
SELECT c.relname, c.reltuples::bigint AS rows FROM pg_class AS c JOIN pg_namespace AS n ON n.oid =
  c.relnamespace
WHERE n.nspname = 'pacs_part' AND c.relname = ANY(%(tables)s::text[])
"""

LAST_FULL = """
SELECT DISTINCT ON (e.entity) e.entity, e.rows_read
FROM (SELECT run_id, started_at FROM pacs_ops.sync_run WHERE county_id = %(county)s ORDER BY started_at DESC
  LIMIT 60) AS r
JOIN pacs_ops.run_entity AS e USING (run_id) WHERE e.mode = 'full' AND e.state IN ('published', 'passed') AND
  e.rows_read > 0
ORDER BY e.entity, r.started_at DESC
"""

STATES = """
SELECT entity, family, watermark, watermark_type, schema_fingerprint, map_fingerprint, updated_at, run_id
FROM pacs_ops.sync_state WHERE county_id = %(county)s ORDER BY entity
"""

QUALITY = """
SELECT entity, rule_id, severity, title, success, evaluated, unexpected, blocks, detail, judged_at FROM
  pacs_ops.quality_result
WHERE run_id = %(run)s::uuid ORDER BY success, NOT blocks, array_position(ARRAY['block', 'quarantine',
  'warn'], severity), entity, rule_id
"""

LAST_JUDGED = """
SELECT r.run_id FROM (SELECT run_id, started_at FROM pacs_ops.sync_run WHERE county_id = %(county)s ORDER BY
  started_at DESC LIMIT 30) AS r
WHERE EXISTS (SELECT FROM pacs_ops.quality_result AS q WHERE q.run_id = r.run_id) ORDER BY r.started_at DESC
  LIMIT 1
"""

QUARANTINE_BY_RULE = """
SELECT o.entity, rule, count(*) AS rows, min(o.first_seen_at) AS first_seen_at, max(o.last_seen_at) AS
  last_seen_at,
  (array_agg(o.source_key ORDER BY o.first_seen_at, o.source_key))[1:5] AS keys
FROM pacs_ops.quarantine AS o, unnest(o.rules) AS rule WHERE o.county_id = %(county)s AND o.state = 'open'
GROUP BY o.entity, rule ORDER BY count(*) DESC, o.entity, rule
"""

QUARANTINE_KEYS = """
SELECT o.source_key, o.rules, o.attempts, o.first_seen_at, o.last_seen_at FROM pacs_ops.quarantine AS o
WHERE o.county_id = %(county)s AND o.entity = %(entity)s AND o.state = 'open' AND %(rule)s = ANY(o.rules)
ORDER BY o.first_seen_at, o.source_key OFFSET %(offset)s LIMIT %(limit)s
"""

RULE_TITLES = """
SELECT DISTINCT ON (q.rule_id) q.rule_id, q.title
FROM (SELECT run_id, started_at FROM pacs_ops.sync_run WHERE county_id = %(county)s ORDER BY started_at DESC
  LIMIT 30) AS r
JOIN pacs_ops.quality_result AS q USING (run_id) ORDER BY q.rule_id, r.started_at DESC
"""

CERTIFICATES = """
SELECT run_id, entity, scope, clean, upper_bound, source_rows, target_rows, quarantined_rows, late_rows,
  missing, differing, ghosts, repaired, held,
  remaining, encode(source_digest, 'hex') AS source_digest, encode(target_digest, 'hex') AS target_digest,
    sample_keys, issued_at
FROM pacs_ops.certificate WHERE county_id = %(county)s ORDER BY issued_at DESC, certificate_id DESC LIMIT
  %(limit)s
"""

HELD = """
SELECT held_id, entity, run_id, row_count, live_count, reason, held_at FROM pacs_ops.held_delete
WHERE county_id = %(county)s AND state = 'held' ORDER BY held_at DESC
"""

_FAILURE = (
    "SELECT a.at, a.run_id, a.object AS step, a.details, r.trigger FROM pacs_ops.audit AS a LEFT JOIN "
    "pacs_ops.sync_run AS r USING (run_id)"
)
FAILURES = (
    f"{_FAILURE} WHERE a.county_id = %(county)s AND a.action = 'run.failed' ORDER BY a.seq DESC LIMIT "
    "%(limit)s"
)
RUN_FAILURES = (
    f"{_FAILURE} WHERE a.run_id = %(run)s::uuid AND a.action = 'run.failed' ORDER BY a.seq DESC LIMIT 50"
)

AUDIT = """
SELECT seq, at, run_id, actor, action, object, details FROM pacs_ops.audit
WHERE county_id = %(county)s AND (%(before)s::bigint IS NULL OR seq < %(before)s::bigint) ORDER BY seq DESC
  LIMIT %(limit)s
"""

LAST_CHECK = """
SELECT run_id, trigger, state, report, checked_at FROM pacs_ops.check_report
WHERE county_id = %(county)s ORDER BY checked_at DESC, check_id DESC LIMIT 1
"""
