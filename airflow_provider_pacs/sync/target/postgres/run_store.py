"""Runs, plans, cursors and verdicts -> schema `pacs_ops`, and back.

What happened is read from here, not from memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.types.json import Jsonb

from airflow_provider_pacs.sync.quality.model import RuleResult
from airflow_provider_pacs.sync.records import (
    MAPPING_VERSION,
    AuditRow,
    Cursor,
    EntityRun,
    KeyTotals,
    Mode,
    RunPlan,
    RunRecord,
    SourceMoment,
    Turn,
)
from airflow_provider_pacs.sync.runtime.errors import ConfigError, ConflictError, PacsError
from airflow_provider_pacs.sync.target.postgres import audit, checks, run_records, turns
from airflow_provider_pacs.sync.target.postgres.database import Database

Connection = psycopg.Connection[Any]
Record = TypeVar("Record")


class PostgresRunStore:
    """The port `RunStore` over one connection."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def cursors(self, county_id: str) -> dict[str, Cursor]:
        """Stored cursors by entity."""
        with self._db.statements() as connection:
            rows = run_records.read(
                connection, Cursor, "FROM pacs_ops.sync_state WHERE county_id = %s", (county_id,)
            )
        return {row.entity: row for row in rows}

    def last_source_utc(self, county_id: str) -> dict[str, str | None]:
        """By entity the source's clock in UTC when its cursor was made."""
        with self._db.statements() as connection:
            rows = connection.execute(
                "SELECT entity, source_utc FROM pacs_ops.sync_state WHERE county_id = %s", (county_id,)
            )
            return dict(rows.fetchall())

    def source_identity(self, county_id: str) -> dict[str, Any] | None:
        """The database that the county was read from last."""
        with self._db.statements() as connection:
            row = connection.execute(
                "SELECT source_identity FROM pacs_ops.county WHERE county_id = %s", (county_id,)
            ).fetchone()
        return row[0] if row else None

    def accept_source(self, county_id: str) -> None:
        """Forget which database and which columns the cursors were made from."""
        with self._db.transaction() as connection:
            connection.execute(
                "UPDATE pacs_ops.county SET source_identity = NULL WHERE county_id = %s", (county_id,)
            )
            connection.execute(
                "UPDATE pacs_ops.sync_state SET source_columns = '{}', watermark = NULL WHERE county_id = %s",
                (county_id,),
            )
            audit.append(connection, county_id, None, "source.accepted", "", {})

    def distrust_feed(self, county_id: str, entity: str) -> None:
        """The cursor stays, and the feed that it is stored with is none."""
        with self._db.transaction() as connection:
            connection.execute(
                "UPDATE pacs_ops.sync_state SET feed = '', updated_at = now() "
                "WHERE county_id = %s AND entity = %s",
                (county_id, entity),
            )

    def active_run(self, county_id: str, *, minutes: int) -> RunRecord | None:
        """The county's newest run without an end that gave a sign of life within these minutes."""
        with self._db.statements() as connection:
            return turns.active_run(connection, county_id, minutes)

    def in_the_way(self, county_id: str, turn: Turn) -> RunRecord | None:
        """The run at work that a run of this kind must let finish; None where it may begin."""
        with self._db.statements() as connection:
            return turns.in_the_way(connection, county_id, turn)

    def claim(
        self,
        *,
        county_id: str,
        county: str,
        name: str,
        identity: dict[str, Any],
        turn: Turn | None = None,
    ) -> int:
        """Take the county's next epoch; runs without a certificate become superseded.

        Raises:
            ConfigError: the county's slug or FIPS code is already recorded with another partner.
            RetryableError: PACS-008, a run that began meanwhile is in the way; nothing is claimed.
        """
        with self._db.transaction() as connection:
            known = connection.execute(
                "SELECT county_id, county FROM pacs_ops.county WHERE county_id = %s OR county = %s",
                (county_id, county),
            ).fetchone()
            if known and known != (county_id, county):
                raise ConfigError(
                    f"county {county!r} with FIPS {county_id} conflicts with the recorded county "
                    f"{known[1]!r} "
                    f"with FIPS {known[0]}",
                    remedy="correct `county` or `fips` in the county's file",
                )
            row = connection.execute(
                "INSERT INTO pacs_ops.county (county_id, county, name, epoch, source_identity) "
                "VALUES (%s, %s, %s, 1, %s) ON CONFLICT (county_id) DO UPDATE SET "
                "epoch = pacs_ops.county.epoch + 1, name = excluded.name, "
                "source_identity = excluded.source_identity, updated_at = now() RETURNING epoch",
                (county_id, county, name, Jsonb(identity)),
            ).fetchone()
            # The county's row is locked from here on: whoever claims at the same moment waits, and then sees
            # this run, or was first and is seen here.
            if turn is not None and (other := turns.in_the_way(connection, county_id, turn)) is not None:
                raise turns.at_work(county, other.kind, str(other.run_id))
            connection.execute(
                "UPDATE pacs_ops.sync_run SET state = 'superseded', finished_at = clock_timestamp(), "
                "message = 'a later run took over' WHERE county_id = %s AND state IN ('running', "
                "'published')",
                (county_id,),
            )
            return int(row[0]) if row else 0

    def open(
        self,
        plan: RunPlan,
        *,
        trigger: str,
        moment: SourceMoment,
        identity: dict[str, Any],
        config: str,
        code: str,
        one_process: bool = False,
    ) -> None:
        """Record a run and its plans.

        Raises:
            RetryableError: PACS-008, another run has claimed the county since; nothing is recorded.
        """
        with self._db.transaction() as connection:
            row = connection.execute(
                "SELECT epoch, county FROM pacs_ops.county WHERE county_id = %s FOR UPDATE", (plan.county_id,)
            ).fetchone()
            if row is not None and row[0] != plan.epoch:
                raise turns.at_work(row[1], "run", "just claimed")
            connection.execute(
                "INSERT INTO pacs_ops.sync_run (run_id, county_id, epoch, kind, trigger, source_now, "
                "source_utc, "
                "source_year, source_identity, config_fingerprint, code_version, mapping_version, "
                "backend_pid, "
                "backend_start) SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, a.pid, "
                "a.backend_start "
                "FROM (VALUES (1)) AS one(row) LEFT JOIN pg_stat_activity AS a ON %s AND a.pid = "
                "pg_backend_pid()",
                (
                    plan.run_id,
                    plan.county_id,
                    plan.epoch,
                    plan.kind,
                    trigger,
                    moment.now,
                    moment.utc,
                    moment.year,
                    Jsonb(identity),
                    config,
                    code,
                    MAPPING_VERSION,
                    one_process,
                ),
            )
            for position, entity in enumerate(plan.entities):
                connection.execute(
                    "INSERT INTO pacs_ops.run_entity (run_id, entity, position, mode, strategy, reason, "
                    "lower_bound, "
                    "upper_bound, change_type, fingerprint, schema_fingerprint, plan) "
                    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    (
                        plan.run_id,
                        entity.entity,
                        position,
                        entity.mode,
                        entity.strategy,
                        entity.reason,
                        entity.lower,
                        entity.upper,
                        entity.change_type,
                        entity.fingerprint,
                        entity.schema_fingerprint,
                        Jsonb(entity.as_json()),
                    ),
                )
            details = {"kind": plan.kind, "epoch": plan.epoch, "config": config, "code": code}
            audit.append(connection, plan.county_id, plan.run_id, "run.start", trigger, details)

    def rest(self, run_id: str) -> None:
        """Nobody works on the run this moment: a step failed, and may be tried again."""
        with self._db.statements() as connection:
            connection.execute(
                "UPDATE pacs_ops.sync_run SET heartbeat_at = '-infinity' WHERE run_id = %s AND kind <> "
                "'sync' "
                "AND finished_at IS NULL",
                (run_id,),
            )

    def work(self, run_id: str) -> None:
        """A step of the run begins: a sign of life."""
        with self._db.statements() as connection:
            connection.execute(
                "UPDATE pacs_ops.sync_run SET heartbeat_at = clock_timestamp() WHERE run_id = %s", (run_id,)
            )

    def run(self, run_id: str) -> RunRecord:
        """One run."""
        with self._db.statements() as connection:
            return run_records.run(connection, run_id)

    def entities(self, run_id: str) -> list[EntityRun]:
        """The run's entities, parents first."""
        with self._db.statements() as connection:
            return run_records.entities(connection, run_id)

    def begin_extract(self, run_id: str, entity: str, attempt: int) -> None:
        """This try is the one that counts from now on."""
        self._swap(
            "UPDATE pacs_ops.run_entity SET state = 'extracting', attempt = %s, stage_table = NULL, "
            "verdict_table = NULL, verdict_rows = NULL, source_count = NULL, source_key_sum = NULL, message "
            "= '', "
            "updated_at = clock_timestamp() WHERE run_id = %s AND entity = %s AND attempt <= %s",
            (attempt, run_id, entity, attempt),
            entity,
        )

    def end_extract(
        self,
        run_id: str,
        entity: str,
        *,
        attempt: int,
        table: str,
        mode: Mode,
        read: int,
        staged: int,
        seconds: float,
        expected: KeyTotals | None,
        sample_keys: Sequence[str] = (),
    ) -> None:
        """Record what a try staged."""
        self._swap(
            "UPDATE pacs_ops.run_entity SET state = 'staged', stage_table = %s, mode = %s, rows_read = %s, "
            "rows_staged = %s, "
            "extract_seconds = %s, source_count = %s, source_key_sum = %s, sample_keys = %s, message = '', "
            "updated_at = clock_timestamp() WHERE run_id = %s AND entity = %s AND attempt = %s",
            (
                table,
                mode,
                read,
                staged,
                seconds,
                expected.rows if expected else None,
                expected.key_sum if expected else None,
                list(sample_keys),
                run_id,
                entity,
                attempt,
            ),
            entity,
        )

    def record_validation(
        self,
        run_id: str,
        entity: str,
        *,
        table: str,
        attempt: int,
        rows: int,
        results: Sequence[RuleResult],
        blocked: str = "",
    ) -> None:
        """Record what validation said of one staging table."""
        with self._db.transaction() as connection:
            run_records.record_results(connection, run_id, entity, results)
            changed = connection.execute(
                "UPDATE pacs_ops.run_entity SET state = %s, message = %s, verdict_table = %s, verdict_rows "
                "= %s, "
                "updated_at = clock_timestamp() WHERE run_id = %s AND entity = %s AND attempt = %s "
                "AND stage_table = %s AND rows_staged = %s AND state IN ('staged', 'passed', 'blocked')",
                (
                    "blocked" if blocked else "passed",
                    blocked,
                    None if blocked else table,
                    None if blocked else rows,
                    run_id,
                    entity,
                    attempt,
                    table,
                    rows,
                ),
            ).rowcount
            if changed != 1:
                raise _superseded(entity)

    def fail_entity(self, run_id: str, entity: str, message: str) -> None:
        """An entity can't go on in this run."""
        with self._db.statements() as connection:
            run_records.set_entity(connection, run_id, entity, "failed", message)

    def progress(self, run_id: str, entity: str, rows: int, seconds: float) -> None:
        """A sign of life, on a connection of its own: the first one is busy with COPY.

        One that can't be given is left out: it fails no read.
        """
        with suppress(psycopg.Error, PacsError), self._db.aside() as connection:
            connection.execute(
                "UPDATE pacs_ops.run_entity SET rows_read = %s, extract_seconds = %s, updated_at = "
                "clock_timestamp() "
                "WHERE run_id = %s AND entity = %s AND state = 'extracting'",
                (rows, seconds, run_id, entity),
            )

    def event(
        self, county_id: str, run_id: str | None, action: str, what: str, details: dict[str, Any]
    ) -> None:
        """Append an audit row."""
        with self._db.statements() as connection:
            audit.append(connection, county_id, run_id, action, what, details)

    def failure(
        self,
        county_id: str,
        step: str,
        error: PacsError,
        run_id: str | None = None,
        *,
        kind: str = "",
        trigger: str = "",
    ) -> None:
        """Append an audit row for a failed step; nothing where the schemas do not exist yet."""
        details = {
            "code": error.code,
            "class": type(error).__name__,
            "message": error.message,
            "remedy": error.remedy,
        }
        if run_id is None and trigger:
            details |= {"kind": kind, "trigger": trigger}
        with self._db.statements() as connection:
            if audit.is_ready(connection):
                audit.append(connection, county_id, run_id, "run.failed", step, details)

    def end(self, run_id: str, message: str) -> None:
        """Close a run that ends without a certificate; one that has an end is left as it is."""
        with self._db.transaction() as connection:
            row = connection.execute(
                "UPDATE pacs_ops.sync_run SET state = 'failed', message = %s, finished_at = "
                "clock_timestamp() "
                "WHERE run_id = %s AND state IN ('running', 'published') RETURNING county_id",
                (message, run_id),
            ).fetchone()
            if row is not None:
                audit.append(connection, row[0], run_id, "run.failed", "", {"message": message})

    def record_check(self, county_id: str, run_id: str | None, trigger: str, report: dict[str, Any]) -> None:
        """Keep the report of a preflight; nothing where the schemas do not exist yet."""
        with self._db.transaction() as connection:
            checks.note_check(connection, county_id, run_id, trigger, report)

    def read_speeds(self, county_id: str) -> dict[str, float]:
        """Rows per second of each entity's last reads; nothing before the first run."""
        with self._db.statements() as connection:
            return checks.read_speeds(connection, county_id)

    def audit_rows(self, county_id: str, limit: int) -> list[AuditRow]:
        """The latest audit rows, newest first."""
        with self._db.statements() as connection:
            return run_records.read(
                connection,
                AuditRow,
                "FROM pacs_ops.audit WHERE county_id = %s ORDER BY seq DESC LIMIT %s",
                (county_id, limit),
            )

    def _swap(self, statement: LiteralString, values: Sequence[object], entity: str) -> None:
        with self._db.statements() as connection:
            if connection.execute(statement, values).rowcount != 1:
                raise _superseded(entity)


def _superseded(entity: str) -> ConflictError:
    return ConflictError(
        f"another try of {entity} has begun since; this one changes nothing",
        remedy="look at the later try of this task",
    )
