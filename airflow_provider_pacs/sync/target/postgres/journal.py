"""Runs, plans, states and verdicts -> schema `pacs_ops`, and back.

What happened is told from here, not from memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from airflow_provider_pacs.sync.quality.model import RuleResult
from airflow_provider_pacs.sync.records import EntityCertificate, RunPlan
from airflow_provider_pacs.sync.runtime.errors import ConfigError, ConflictError
from airflow_provider_pacs.sync.target.postgres.audit import append

Connection = psycopg.Connection[Any]


def claim(connection: Connection, *, county_id: str, county: str, name: str, identity: dict[str, Any]) -> int:
    """Take the county's next epoch: any earlier run of it can no longer publish or certify.

    Those without a verdict become superseded.

    Raises:
        ConfigError: the county's slug or FIPS code is already recorded with another partner.
    """
    known = connection.execute(
        "SELECT county_id, county FROM pacs_ops.county WHERE county_id = %s OR county = %s",
        (county_id, county),
    ).fetchone()
    if known and known != (county_id, county):
        raise ConfigError(
            f"county {county!r} with FIPS {county_id} conflicts with the recorded county {known[1]!r} with "
            f"FIPS {known[0]}",
            remedy="correct `county` or `fips` in the county's file",
        )
    row = connection.execute(
        "INSERT INTO pacs_ops.county (county_id, county, name, epoch, source_identity) VALUES (%s, %s, %s, "
        "1, %s) "
        "ON CONFLICT (county_id) DO UPDATE SET epoch = pacs_ops.county.epoch + 1, name = excluded.name, "
        "source_identity = excluded.source_identity, updated_at = now() RETURNING epoch",
        (county_id, county, name, Jsonb(identity)),
    ).fetchone()
    connection.execute(
        "UPDATE pacs_ops.sync_run SET state = 'superseded', finished_at = clock_timestamp(), message = 'a "
        "later run took over' "
        "WHERE county_id = %s AND state IN ('running', 'published')",
        (county_id,),
    )
    return int(row[0]) if row else 0


def open_run(
    connection: Connection,
    plan: RunPlan,
    *,
    trigger: str,
    source_now: str,
    identity: dict[str, Any],
    config: str,
    code: str,
) -> None:
    """Record a run and its plan."""
    connection.execute(
        "INSERT INTO pacs_ops.sync_run (run_id, county_id, epoch, kind, trigger, source_now, "
        "source_identity, config_fingerprint, code_version) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            plan.run_id,
            plan.county_id,
            plan.epoch,
            plan.kind,
            trigger,
            source_now,
            Jsonb(identity),
            config,
            code,
        ),
    )
    for position, entity in enumerate(plan.entities):
        connection.execute(
            "INSERT INTO pacs_ops.run_entity (run_id, entity, position, mode, family, reason, lower_bound, "
            "upper_bound, change_type, "
            "map_fingerprint, schema_fingerprint, source_columns, added_columns) VALUES (%s, %s, %s, %s, "
            "%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (plan.run_id, entity.entity, position, entity.mode, entity.family, entity.reason, entity.lower, entity.upper,  # noqa: E501
             entity.change_type, entity.map_fingerprint, entity.schema_fingerprint, Jsonb(entity.source_columns),  # noqa: E501
             list(entity.added_columns)),
        )  # fmt: skip
    audit(
        connection,
        plan.county_id,
        plan.run_id,
        "run.start",
        trigger,
        {"kind": plan.kind, "epoch": plan.epoch, "config": config, "code": code},
    )


def run(connection: Connection, run_id: str) -> dict[str, Any]:
    """The run's row.

    Raises:
        ConflictError: there is no such run.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute("SELECT * FROM pacs_ops.sync_run WHERE run_id = %s", (run_id,)).fetchone()
    if row is None:
        raise ConflictError(
            f"run {run_id} is not recorded in this target",
            remedy="clear the preflight task, so that a new run is planned",
        )
    return row


def entities(connection: Connection, run_id: str) -> list[dict[str, Any]]:
    """The run's entity rows, parents first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT * FROM pacs_ops.run_entity WHERE run_id = %s ORDER BY position", (run_id,)
        ).fetchall()


def note_entity(connection: Connection, run_id: str, entity: str, **values: Any) -> None:
    """Set columns of one entity's row."""
    names = sorted(values)
    assignments = psycopg.sql.SQL(", ").join(
        psycopg.sql.SQL("{} = %s").format(psycopg.sql.Identifier(name)) for name in names
    )
    connection.execute(
        psycopg.sql.SQL(
            "UPDATE pacs_ops.run_entity SET {}, updated_at = clock_timestamp() WHERE run_id = %s AND entity "
            "= %s"
        ).format(assignments),
        (*[values[name] for name in names], run_id, entity),
    )


def note_run(
    connection: Connection,
    run_id: str,
    state: str,
    message: str = "",
    *,
    published: bool = False,
    finished: bool = False,
) -> None:
    """Move a run to a state."""
    connection.execute(
        "UPDATE pacs_ops.sync_run SET state = %s, message = %s, published_at = CASE WHEN %s THEN "
        "clock_timestamp() ELSE published_at END, "
        "finished_at = CASE WHEN %s THEN clock_timestamp() ELSE finished_at END WHERE run_id = %s",
        (state, message, published, finished, run_id),
    )


def end_run(connection: Connection, run_id: str, message: str) -> None:
    """Close a run that ends without its verdict. What it had published stays, and its cursors with it."""
    row = connection.execute(
        "UPDATE pacs_ops.sync_run SET state = 'failed', message = %s, finished_at = clock_timestamp() "
        "WHERE run_id = %s AND state IN ('running', 'published') RETURNING county_id",
        (message, run_id),
    ).fetchone()
    if row is not None:
        audit(connection, row[0], run_id, "run.failed", "", {"message": message})


def hold_epoch(connection: Connection, county_id: str, epoch: int) -> None:
    """Lock the county's row for the transaction and check that the run still owns the county (case 107).

    Raises:
        ConflictError: a later run has taken the epoch.
    """
    row = connection.execute(
        "SELECT epoch FROM pacs_ops.county WHERE county_id = %s FOR UPDATE", (county_id,)
    ).fetchone()
    if row is None or row[0] != epoch:
        raise ConflictError(
            f"county {county_id}: this run holds epoch {epoch}, the county is at {row[0] if row else 'none'}",
            remedy="nothing was written; the later run carries on",
        )


def sync_at_work(connection: Connection, county_id: str, minutes: int) -> str | None:
    """The county's sync run without a verdict that did something within these minutes; None where there is
    none.
    """
    row = connection.execute(
        "SELECT r.run_id::text FROM pacs_ops.sync_run AS r WHERE r.county_id = %s AND r.kind = 'sync' AND "
        "r.finished_at IS NULL "
        "AND r.state IN ('running', 'published') AND greatest(r.started_at, r.published_at, "
        "(SELECT max(e.updated_at) FROM pacs_ops.run_entity AS e WHERE e.run_id = r.run_id)) > "
        "clock_timestamp() - make_interval(mins => %s) "
        "ORDER BY r.started_at DESC LIMIT 1",
        (county_id, minutes),
    ).fetchone()
    return row[0] if row else None


def source_identity(connection: Connection, county_id: str) -> dict[str, Any] | None:
    """The database that the county was read from last; None before its first run, or after
    `accept_source`.
    """
    row = connection.execute(
        "SELECT source_identity FROM pacs_ops.county WHERE county_id = %s", (county_id,)
    ).fetchone()
    return row[0] if row else None


def accept_source(connection: Connection, county_id: str) -> None:
    """Forget which database and which columns the cursors were made from: the next run reads everything and
    compares, guarded.
    """
    connection.execute("UPDATE pacs_ops.county SET source_identity = NULL WHERE county_id = %s", (county_id,))
    connection.execute(
        "UPDATE pacs_ops.sync_state SET source_columns = '{}', watermark = NULL WHERE county_id = %s",
        (county_id,),
    )
    audit(connection, county_id, None, "source.accepted", "", {})


def states(connection: Connection, county_id: str) -> dict[str, dict[str, Any]]:
    """Stored cursors by entity."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "SELECT * FROM pacs_ops.sync_state WHERE county_id = %s", (county_id,)
        ).fetchall()
    return {row["entity"]: row for row in rows}


def store_state(connection: Connection, county_id: str, epoch: int, run_id: str, row: dict[str, Any]) -> None:
    """Move an entity's cursor, in the transaction of its rows. `row` is the entity's row of the run."""
    connection.execute(
        "INSERT INTO pacs_ops.sync_state (county_id, entity, family, watermark, watermark_type, "
        "map_fingerprint, schema_fingerprint, "
        "source_columns, added_columns, epoch, "
        "run_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (county_id, entity) DO "
        "UPDATE SET family = excluded.family, "
        "watermark = excluded.watermark, watermark_type = excluded.watermark_type, map_fingerprint = "
        "excluded.map_fingerprint, "
        "schema_fingerprint = excluded.schema_fingerprint, source_columns = excluded.source_columns, "
        "added_columns = excluded.added_columns, epoch = excluded.epoch, run_id = excluded.run_id, "
        "updated_at = now()",
        (
            county_id,
            row["entity"],
            row["family"],
            row["upper_bound"],
            row["change_type"],
            row["map_fingerprint"],
            row["schema_fingerprint"],
            Jsonb(row["source_columns"]),
            row["added_columns"],
            epoch,
            run_id,
        ),
    )


def record_quality(connection: Connection, run_id: str, entity: str, results: Sequence[RuleResult]) -> None:
    """Store verdicts; a later judgement of the same rule in the same run replaces the earlier one."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO pacs_ops.quality_result (run_id, entity, rule_id, severity, title, success, "
            "evaluated, unexpected, blocks, detail) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (run_id, entity, rule_id) DO "
            "UPDATE SET success = excluded.success, "
            "evaluated = excluded.evaluated, unexpected = excluded.unexpected, blocks = excluded.blocks, "
            "detail = excluded.detail, "
            "judged_at = clock_timestamp()",
            [
                (
                    run_id,
                    entity,
                    r.rule_id,
                    r.severity,
                    r.title,
                    r.success,
                    r.evaluated,
                    r.unexpected,
                    r.blocks,
                    r.detail,
                )
                for r in results
            ],
        )


def failed_rules(connection: Connection, run_id: str) -> dict[str, tuple[str, ...]]:
    """Per entity the rules that did not hold."""
    rows = connection.execute(
        "SELECT entity, array_agg(rule_id ORDER BY rule_id) FROM pacs_ops.quality_result WHERE run_id = %s "
        "AND NOT success GROUP BY entity",
        (run_id,),
    )
    return {entity: tuple(rules) for entity, rules in rows}


def issue_certificate(
    connection: Connection,
    run_id: str,
    county_id: str,
    certificate: EntityCertificate,
    *,
    config: str,
    code: str,
) -> None:
    """Store one entity's certificate; a repeated reconcile of the same run replaces it."""
    c = certificate
    connection.execute(
        "INSERT INTO pacs_ops.certificate (run_id, county_id, entity, scope, clean, "
        "upper_bound, source_rows, target_rows, quarantined_rows, late_rows, "
        "missing, differing, ghosts, repaired, held, remaining, sums, source_digest, target_digest, "
        "sample_keys, config_fingerprint, code_version) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "ON CONFLICT (run_id, entity, scope) DO UPDATE SET clean = excluded.clean, upper_bound = "
        "excluded.upper_bound, "
        "source_rows = excluded.source_rows, target_rows = excluded.target_rows, quarantined_rows = "
        "excluded.quarantined_rows, "
        "late_rows = excluded.late_rows, missing = excluded.missing, differing = excluded.differing, ghosts "
        "= excluded.ghosts, "
        "repaired = excluded.repaired, held = excluded.held, remaining = excluded.remaining, sums = "
        "excluded.sums, "
        "source_digest = excluded.source_digest, target_digest = excluded.target_digest, sample_keys = "
        "excluded.sample_keys, "
        "issued_at = clock_timestamp()",
        (run_id, county_id, c.entity, c.scope, c.clean, c.upper, c.source_rows, c.target_rows, c.quarantined, c.late, c.missing,  # noqa: E501
         c.differing, c.ghosts, c.repaired, c.held, c.remaining, Jsonb(c.sums) if c.sums is not None else None, c.source_digest,  # noqa: E501
         c.target_digest, list(c.sample_keys), config, code),
    )  # fmt: skip


def audit(
    connection: Connection,
    county_id: str | None,
    run_id: str | None,
    action: str,
    target: str,
    details: dict[str, Any],
) -> None:
    """Append one audit row: counts, fingerprints and decisions, never values of rows."""
    append(connection, county_id, run_id, action, target, details)


def is_ready(connection: Connection) -> bool:
    """Whether audit rows can be appended: the function is there, so the tables are too."""
    found = connection.execute("SELECT to_regprocedure('pacs_ops.append_audit(text,uuid,text,text,jsonb)')")
    return found.fetchone() != (None,)


def list_quarantine(connection: Connection, county_id: str) -> list[dict[str, Any]]:
    """Open quarantine rows: keys, rules, when; no values."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT entity, source_key, rules, attempts, first_seen_at, last_seen_at, run_id FROM "
            "pacs_ops.quarantine "
            "WHERE county_id = %s AND state = 'open' ORDER BY entity, first_seen_at, source_key",
            (county_id,),
        ).fetchall()


def list_left_behind(connection: Connection, county_id: str) -> list[dict[str, Any]]:
    """Live children of deleted parents, oldest deletion first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT entity, source_key, parent, parent_key, parent_deleted_at FROM "
            "pacs_report.children_of_deleted "
            "WHERE county_id = %s ORDER BY parent_deleted_at, entity, source_key",
            (county_id,),
        ).fetchall()


def list_audit(connection: Connection, county_id: str, limit: int) -> list[dict[str, Any]]:
    """The latest audit rows, newest first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT * FROM pacs_ops.audit WHERE county_id = %s ORDER BY seq DESC LIMIT %s", (county_id, limit)
        ).fetchall()
