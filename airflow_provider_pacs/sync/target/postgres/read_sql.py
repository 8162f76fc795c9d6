"""The page's statements.

Each reaches the newest rows of a county by an index, so a long history costs nothing. A select list is made
from the fields of the record that takes the rows.
"""

from __future__ import annotations

from dataclasses import fields

from airflow_provider_pacs.sync.records import (
    AuditRow,
    Hold,
    PendingDeletes,
    QuarantinedRow,
    RowChange,
    RunRecord,
)
from airflow_provider_pacs.sync.target.postgres.certifier import COLUMNS as CERTIFICATE_COLUMNS
from airflow_provider_pacs.sync.target.postgres.read_records import CursorRow, EntityRow, QualityRow


def _list(record: type, table: str, **expressions: str) -> str:
    """The select list of a record; `expressions` for fields that are no column of their name."""
    named = ((each.name, expressions.get(each.name)) for each in fields(record))
    return ", ".join(f"{text} AS {name}" if text else f"{table}.{name}" for name, text in named)


_SUMS = """SELECT count(*) AS entities,
    count(*) FILTER (WHERE e.state IN ('blocked', 'failed')) AS entities_blocked,
    coalesce(sum(e.rows_read), 0)::bigint AS rows_read,
    coalesce(sum(e.rows_inserted), 0)::bigint AS rows_inserted,
    coalesce(sum(e.rows_updated), 0)::bigint AS rows_updated,
    coalesce(sum(e.rows_deleted), 0)::bigint AS rows_deleted,
    coalesce(sum(e.rows_quarantined), 0)::bigint AS rows_quarantined,
    coalesce(sum(e.rows_pending), 0)::bigint AS rows_pending,
    coalesce(sum(e.extract_seconds), 0) AS read_seconds,
    max(e.updated_at) AS progress_at,
    coalesce(string_agg(e.entity || ': ' || e.message, '; ' ORDER BY e.position)
      FILTER (WHERE e.message <> ''), '') AS messages
  FROM pacs_ops.run_entity AS e WHERE e.run_id = r.run_id"""

COUNTIES = "SELECT county_id, county FROM pacs_ops.county WHERE county_id = ANY(%(counties)s::text[])"

OVERVIEW = """
SELECT c.county_id,
  good.finished_at AS good_at, good.started_at AS good_started_at,
  coalesce(recent.states, '{}') AS recent_states, coalesce(recent.started, '{}') AS recent_started,
  coalesce(recent.rows, '{}') AS recent_rows,
  coalesce(q.rows, 0) AS quarantined_open,
  coalesce(validated.rules, 0) AS rules, coalesce(validated.broken, 0) AS rules_broken,
  coalesce(validated.warned, 0) AS rules_warned,
  newest.run_id AS certificate_run_id, cert.state AS certificate_state, cert.covered AS certificate_covered,
  cert.issued_at AS certified_at,
  coalesce(p.rows, 0) AS pending_rows, hold.text AS hold
FROM unnest(%(counties)s::text[]) AS c(county_id)
LEFT JOIN LATERAL (SELECT x.started_at, x.finished_at FROM pacs_ops.sync_run AS x
  WHERE x.county_id = c.county_id AND x.kind = 'sync' AND x.state IN ('succeeded', 'pending')
  ORDER BY x.started_at DESC LIMIT 1) AS good ON true
LEFT JOIN LATERAL (SELECT array_agg(x.state ORDER BY x.started_at DESC) AS states,
  array_agg(x.started_at ORDER BY x.started_at DESC) AS started,
  array_agg(x.rows ORDER BY x.started_at DESC) AS rows
  FROM (SELECT y.state, y.started_at, (SELECT coalesce(sum(e.rows_read), 0)::bigint
    FROM pacs_ops.run_entity AS e WHERE e.run_id = y.run_id) AS rows
    FROM pacs_ops.sync_run AS y WHERE y.county_id = c.county_id AND y.kind = 'sync'
    AND y.state NOT IN ('running', 'published')
    ORDER BY y.started_at DESC LIMIT 20) AS x) AS recent ON true
LEFT JOIN (SELECT o.county_id, count(*) AS rows FROM pacs_ops.quarantine AS o WHERE o.state = 'open'
  AND o.county_id = ANY(%(counties)s::text[]) GROUP BY o.county_id) AS q ON q.county_id = c.county_id
LEFT JOIN LATERAL (SELECT x.run_id FROM pacs_ops.sync_run AS x
  WHERE x.county_id = c.county_id AND x.kind = 'sync' AND x.state <> 'running'
  ORDER BY x.started_at DESC LIMIT 1) AS ended ON true
LEFT JOIN LATERAL (SELECT count(*) AS rules,
  count(*) FILTER (WHERE NOT j.success AND (j.severity <> 'warn' OR j.blocks)) AS broken,
  count(*) FILTER (WHERE NOT j.success AND j.severity = 'warn' AND NOT j.blocks) AS warned
  FROM pacs_ops.quality_result AS j WHERE j.run_id = ended.run_id) AS validated ON true
LEFT JOIN LATERAL (SELECT x.run_id FROM pacs_ops.certificate AS x
  JOIN pacs_ops.sync_run AS y ON y.run_id = x.run_id AND y.kind IN ('sync', 'reconcile', 'rollback')
  WHERE x.county_id = c.county_id ORDER BY x.issued_at DESC LIMIT 1) AS newest ON true
LEFT JOIN LATERAL (SELECT max(x.issued_at) AS issued_at,
  CASE WHEN bool_or(x.covered = 'keys') THEN 'keys' WHEN bool_or(x.covered = 'window') THEN 'window'
    ELSE 'all_rows' END AS covered,
  (array_agg(x.state ORDER BY
    array_position(ARRAY['blocked', 'drift', 'pending', 'rolled_back', 'clean'], x.state)))[1] AS state
  FROM pacs_ops.certificate AS x WHERE x.run_id = newest.run_id) AS cert ON newest.run_id IS NOT NULL
LEFT JOIN (SELECT o.county_id, sum(o.row_count)::bigint AS rows FROM pacs_ops.pending_delete AS o
  WHERE o.state = 'pending' AND o.county_id = ANY(%(counties)s::text[]) GROUP BY o.county_id) AS p
  ON p.county_id = c.county_id
LEFT JOIN LATERAL (SELECT 'since ' || to_char(x.held_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') ||
  ' UTC by ' || x.held_by || ': ' || x.reason AS text FROM pacs_ops.county_hold AS x
  WHERE x.county_id = c.county_id
  AND x.resumed_at IS NULL) AS hold ON true
ORDER BY c.county_id
"""

REALTIME = """
SELECT c.county_id, h.reason AS held, r.published_at AS run_at, f.value AS followed, p.value AS polled
FROM unnest(%(counties)s::text[]) AS c(county_id)
LEFT JOIN pacs_ops.county_hold AS h ON h.county_id = c.county_id AND h.resumed_at IS NULL
LEFT JOIN LATERAL (SELECT x.published_at FROM pacs_ops.sync_run AS x WHERE x.county_id = c.county_id
  AND x.kind = 'realtime' AND x.published_at IS NOT NULL ORDER BY x.started_at DESC LIMIT 1) AS r ON true
LEFT JOIN pacs_ops.realtime_state AS f ON f.county_id = c.county_id AND f.key = 'followed'
LEFT JOIN pacs_ops.realtime_state AS p ON p.county_id = c.county_id AND p.key = 'polled'
"""

_RUN = _list(RunRecord, "r")

NEWEST_RUNS = f"""
SELECT {_RUN}, s.* FROM unnest(%(counties)s::text[]) AS c(county_id),
LATERAL (SELECT x.* FROM pacs_ops.sync_run AS x WHERE x.county_id = c.county_id AND x.kind = 'sync'
  ORDER BY x.started_at DESC LIMIT 1) AS r,
LATERAL ({_SUMS}) AS s
"""  # noqa: S608 - put together from constants

OTHER_RUNS = f"""
SELECT {_RUN}, s.* FROM unnest(%(counties)s::text[]) AS c(county_id),
LATERAL (SELECT x.* FROM pacs_ops.sync_run AS x WHERE x.county_id = c.county_id
  AND x.state IN ('running', 'published') AND x.finished_at IS NULL AND x.kind NOT IN ('sync', 'realtime')
  ORDER BY x.started_at DESC LIMIT 1) AS r,
LATERAL ({_SUMS}) AS s
"""  # noqa: S608

RUNS = f"""
SELECT {_RUN}, s.* FROM (SELECT x.* FROM pacs_ops.sync_run AS x WHERE x.county_id = %(county)s
  AND x.kind = %(kind)s ORDER BY x.started_at DESC LIMIT %(limit)s) AS r,
LATERAL ({_SUMS}) AS s ORDER BY r.started_at DESC
"""  # noqa: S608

RUN = f"""
SELECT {_RUN}, s.* FROM pacs_ops.sync_run AS r, LATERAL ({_SUMS}) AS s
WHERE r.run_id = %(run)s::uuid AND r.county_id = %(county)s
"""  # noqa: S608

RUN_ENTITIES = f"""
SELECT {_list(EntityRow, "e")} FROM pacs_ops.run_entity AS e
WHERE e.run_id = %(run)s::uuid ORDER BY e.position
"""  # noqa: S608

PARTITION_ROWS = """
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

STATES = f"""
SELECT {_list(CursorRow, "s")} FROM pacs_ops.sync_state AS s WHERE s.county_id = %(county)s ORDER BY s.entity
"""  # noqa: S608

QUALITY = f"""
SELECT {_list(QualityRow, "q")} FROM pacs_ops.quality_result AS q
WHERE q.run_id = %(run)s::uuid ORDER BY q.success, NOT q.blocks,
  array_position(ARRAY['block', 'quarantine', 'warn'], q.severity), q.entity, q.rule_id
"""  # noqa: S608

LAST_VALIDATED = """
SELECT r.run_id FROM (SELECT run_id, started_at FROM pacs_ops.sync_run WHERE county_id = %(county)s ORDER BY
  started_at DESC LIMIT 30) AS r
WHERE EXISTS (SELECT FROM pacs_ops.quality_result AS q WHERE q.run_id = r.run_id) ORDER BY r.started_at DESC
  LIMIT 1
"""

_DISMISSED = """LEFT JOIN pacs_ops.quarantine_dismissal AS d ON d.county_id = o.county_id
  AND d.entity = o.entity AND d.source_key = o.source_key AND d.payload_digest = o.payload_digest"""
# Another image of the row is another question.

QUARANTINE_BY_RULE = f"""
SELECT o.entity, rule, count(*) AS rows, count(d.source_key) AS dismissed,
  min(o.first_seen_at) AS first_seen_at, max(o.last_seen_at) AS last_seen_at,
  (array_agg(o.source_key ORDER BY o.first_seen_at, o.source_key))[1:5] AS keys
FROM pacs_ops.quarantine AS o {_DISMISSED} CROSS JOIN unnest(o.rules) AS rule
WHERE o.county_id = %(county)s AND o.state = 'open'
GROUP BY o.entity, rule ORDER BY count(*) DESC, o.entity, rule
"""  # noqa: S608

QUARANTINE_EXPORT = f"""
SELECT o.entity, o.source_key, o.rules, o.first_seen_at, o.last_seen_at, d.dismissed_by, d.reason
FROM pacs_ops.quarantine AS o {_DISMISSED}
WHERE o.county_id = %(county)s AND o.state = 'open' ORDER BY o.entity, o.first_seen_at, o.source_key
"""  # noqa: S608

QUARANTINE_KEYS = f"""
SELECT {_list(QuarantinedRow, "o")} FROM pacs_ops.quarantine AS o
WHERE o.county_id = %(county)s AND o.entity = %(entity)s AND o.state = 'open' AND %(rule)s = ANY(o.rules)
ORDER BY o.first_seen_at, o.source_key OFFSET %(offset)s LIMIT %(limit)s
"""  # noqa: S608

RULE_TITLES = """
SELECT DISTINCT ON (q.rule_id) q.rule_id, q.title
FROM (SELECT run_id, started_at FROM pacs_ops.sync_run WHERE county_id = %(county)s ORDER BY started_at DESC
  LIMIT 30) AS r
JOIN pacs_ops.quality_result AS q USING (run_id) ORDER BY q.rule_id, r.started_at DESC
"""

CERTIFICATES = f"""
SELECT c.entity, {", ".join(f"c.{column} AS {name}" for name, column in CERTIFICATE_COLUMNS.items())},
  c.run_id, r.kind, c.issued_at, c.code_version, c.mapping_version, c.config_fingerprint, c.source_now,
  c.audit_head
FROM (SELECT * FROM pacs_ops.certificate WHERE county_id = %(county)s
  ORDER BY issued_at DESC, certificate_id DESC LIMIT %(limit)s) AS c
JOIN pacs_ops.sync_run AS r USING (run_id) ORDER BY c.issued_at DESC, c.certificate_id DESC
"""  # noqa: S608

PENDING = f"""
SELECT {_list(PendingDeletes, "p", digest="encode(p.digest, 'hex')")} FROM pacs_ops.pending_delete AS p
WHERE p.county_id = %(county)s AND p.state = 'pending' ORDER BY p.created_at DESC
"""  # noqa: S608

_FAILURE = """SELECT a.seq, a.at, a.county_id, a.run_id, a.object AS step,
  coalesce(a.details ->> 'code', '') AS code, coalesce(a.details ->> 'class', '') AS error_class,
  coalesce(a.details ->> 'message', '') AS message, coalesce(a.details ->> 'remedy', '') AS remedy,
  coalesce(r.kind, a.details ->> 'kind') AS kind, coalesce(r.trigger, a.details ->> 'trigger') AS trigger,
  r.state AS run_state, e.entity, e.state AS entity_state, e.attempt AS entity_attempt,
  e.updated_at AS entity_updated_at
FROM {} AS a LEFT JOIN pacs_ops.sync_run AS r ON r.run_id = a.run_id
LEFT JOIN pacs_ops.run_entity AS e ON e.run_id = a.run_id
  AND a.object IN ('extract_' || e.entity, 'validate_' || e.entity)
ORDER BY a.seq DESC"""
_NOT_TWICE = """(b.object <> '' OR NOT EXISTS (SELECT FROM pacs_ops.audit AS x
  WHERE x.run_id = b.run_id AND x.action = 'run.failed' AND x.object <> ''))"""
# A run of one process notes its failed step, and then its own end with the same words.
_NO_MISTAKE = "NOT (b.run_id IS NULL AND coalesce(b.details ->> 'trigger', '') = 'cli')"
# A command that was mistyped, or could not begin, told so to who typed it: no run came of it (case F12).

_FAILED = (
    f"SELECT * FROM pacs_ops.audit AS b WHERE b.action = 'run.failed' AND {_NOT_TWICE} AND {_NO_MISTAKE}"  # noqa: S608
)
FAILURES = _FAILURE.format(f"({_FAILED} AND b.county_id = %(county)s ORDER BY b.seq DESC LIMIT %(limit)s)")
RUN_FAILURES = _FAILURE.format(f"({_FAILED} AND b.run_id = %(run)s::uuid ORDER BY b.seq DESC LIMIT 50)")
_NEWEST = f"{_FAILED} AND b.county_id = c.county_id ORDER BY b.seq DESC LIMIT 1"
NEWEST_FAILURES = _FAILURE.format(
    f"(SELECT f.* FROM unnest(%(counties)s::text[]) AS c(county_id), LATERAL ({_NEWEST}) AS f)"  # noqa: S608
)

_DECISION = """SELECT b.* FROM (SELECT x.* FROM pacs_ops.audit AS x WHERE x.action = 'run.failed'
    AND x.county_id = c.county_id ORDER BY x.seq DESC LIMIT 60) AS b
  WHERE b.object IN ('approve', 'reject') AND NOT EXISTS (SELECT FROM pacs_ops.pending_delete AS p
    WHERE p.county_id = b.county_id AND p.decided_at > b.at)
  ORDER BY b.seq DESC LIMIT 1"""
FAILED_DECISIONS = _FAILURE.format(
    f"(SELECT f.* FROM unnest(%(counties)s::text[]) AS c(county_id), LATERAL ({_DECISION}) AS f)"  # noqa: S608
)

REFUSED = """
SELECT f.county_id, f.kind, f.trigger, max(f.at) AS at,
  (array_agg(f.message ORDER BY f.at DESC))[1] AS message, (array_agg(f.code ORDER BY f.at DESC))[1] AS code
FROM unnest(%(counties)s::text[]) AS c(county_id), LATERAL (
  SELECT b.county_id, b.at, b.details ->> 'kind' AS kind, b.details ->> 'trigger' AS trigger,
    coalesce(b.details ->> 'message', '') AS message, coalesce(b.details ->> 'code', '') AS code, b.run_id,
    b.object
  FROM pacs_ops.audit AS b WHERE b.county_id = c.county_id AND b.action = 'run.failed'
  ORDER BY b.seq DESC LIMIT 60) AS f
WHERE f.run_id IS NULL AND f.object = 'plan' AND f.kind IN ('sync', 'reconcile') AND f.trigger <> 'cli'
  AND NOT EXISTS (SELECT FROM pacs_ops.sync_run AS r WHERE r.county_id = f.county_id AND r.started_at >= f.at
    AND r.trigger = f.trigger AND r.kind = f.kind)
GROUP BY f.county_id, f.kind, f.trigger ORDER BY at DESC
"""
# Airflow's tries of one run count once, and not at all where a later try has planned it.

AUDIT = f"""
SELECT {_list(AuditRow, "a")} FROM pacs_ops.audit AS a
WHERE a.county_id = %(county)s AND (%(before)s::bigint IS NULL OR a.seq < %(before)s::bigint)
ORDER BY a.seq DESC LIMIT %(limit)s
"""  # noqa: S608

LAST_CHECK = """
SELECT run_id, trigger, state, checked_at, report -> 'findings' AS findings FROM pacs_ops.check_report
WHERE county_id = %(county)s ORDER BY checked_at DESC, check_id DESC LIMIT 1
"""

ROW_HISTORY = f"""
SELECT {_list(RowChange, "h")} FROM pacs_ops.row_history(%(county)s, %(key)s, %(limit)s) AS h
ORDER BY h.at DESC, h.entity, h.row_key
"""  # noqa: S608

HOLD = f"""
SELECT {_list(Hold, "h")} FROM pacs_ops.county_hold AS h WHERE h.county_id = %(county)s AND h.resumed_at IS
NULL
"""  # noqa: S608
