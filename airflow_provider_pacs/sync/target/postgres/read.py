"""County ids -> what pacs_ops says of them, for the operations page: read-only, with short time limits, no
row's values.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import psycopg
from psycopg.rows import class_row, dict_row
from pydantic import TypeAdapter

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.records import (
    AuditRow,
    Certificate,
    Hold,
    PendingDeletes,
    QuarantinedRow,
    RowChange,
)
from airflow_provider_pacs.sync.reports import ReportRows, ReportView, Row
from airflow_provider_pacs.sync.target.postgres import certifier, read_sql, session
from airflow_provider_pacs.sync.target.postgres.breakdown import SetBreakdown, break_down
from airflow_provider_pacs.sync.target.postgres.errors import mapped_errors
from airflow_provider_pacs.sync.target.postgres.read_records import (
    CertificateRow,
    CheckFinding,
    CheckRow,
    CountyFacts,
    CountyStanding,
    CursorRow,
    EntityRow,
    FailureRow,
    QualityRow,
    QuarantineExportRow,
    QuarantineRow,
    RealtimeRow,
    RefusedRun,
    RunRow,
)
from airflow_provider_pacs.sync.target.postgres.report_reader import open_report

if TYPE_CHECKING:
    from collections.abc import Iterator

Record = TypeVar("Record")
_FINDINGS = TypeAdapter(list[CheckFinding])
CONNECT_SECONDS = 2
STATEMENT_MILLISECONDS = 1_900
_SETTINGS = (
    f"SET LOCAL statement_timeout = {STATEMENT_MILLISECONDS}; SET LOCAL lock_timeout = 1000; "
    "SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL timezone = 'UTC'"
)


class OpsReader:
    """One short connection to a target's journal. Nothing can be written through it: each statement is a
    read-only transaction with time limits of its own, also behind a pooler.

    Args:
        params: libpq keywords, as for `PostgresTarget`.

    Raises:
        ConfigError: the login was refused, or a keyword is unknown.
        RetryableError: the server can't be reached now.
    """

    def __init__(self, params: Mapping[str, str]) -> None:
        wanted = session.connect_arguments(params)
        wanted["connect_timeout"] = str(
            min(int(wanted.get("connect_timeout", CONNECT_SECONDS)), CONNECT_SECONDS)
        )
        with mapped_errors():
            self._connection = psycopg.connect(
                autocommit=True,
                application_name="airflow-provider-pacs-page",
                prepare_threshold=None,
                **wanted,
            )
            self._connection.read_only = True

    def abort(self) -> None:
        """Close the socket from another thread: a server that hangs keeps nobody waiting, and is asked for
        nothing, not even to cancel.
        """
        descriptor = self._connection.fileno() if not self._connection.closed else -1
        if descriptor >= 0:
            with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as line:
                line.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def is_ready(self) -> bool:
        """Whether the journal's tables exist."""
        row = self._one("SELECT to_regclass('pacs_ops.audit') IS NOT NULL AS ready", {})
        return row is not None and bool(row["ready"])

    def counties(self, county_ids: Sequence[str]) -> dict[str, str]:
        """The county that each recorded FIPS code belongs to."""
        return dict(self._pairs(read_sql.COUNTIES, {"counties": list(county_ids)}))

    def overview(self, county_ids: Sequence[str]) -> list[CountyStanding]:
        """What this target knows of each county, in the order of the codes."""
        values = {"counties": list(county_ids)}
        facts = {row.county_id: row for row in self._all(CountyFacts, read_sql.OVERVIEW, values)}
        runs = {row.county_id: row for row in self._all(RunRow, read_sql.NEWEST_RUNS, values)}
        failures = {row.county_id: row for row in self._all(FailureRow, read_sql.NEWEST_FAILURES, values)}
        others = {row.county_id: row for row in self._all(RunRow, read_sql.OTHER_RUNS, values)}
        decisions = {row.county_id: row for row in self._all(FailureRow, read_sql.FAILED_DECISIONS, values)}
        refused: dict[str, list[RefusedRun]] = {}
        for row in self._all(RefusedRun, read_sql.REFUSED, values):
            refused.setdefault(row.county_id, []).append(row)
        realtime = {row.county_id: row for row in self._realtime(values)}
        return [
            CountyStanding(
                facts[county_id],
                runs.get(county_id),
                failures.get(county_id),
                tuple(refused.get(county_id, ())),
                realtime.get(county_id),
                others.get(county_id),
                decisions.get(county_id),
            )
            for county_id in sorted(facts)
        ]

    def _realtime(self, values: Mapping[str, Any]) -> list[RealtimeRow]:
        """Of each county; nothing before the next run has brought the journal up to date."""
        known = self._one("SELECT to_regclass('pacs_ops.realtime_state') IS NOT NULL AS ready", {})
        return self._all(RealtimeRow, read_sql.REALTIME, values) if known and known["ready"] else []

    def runs(self, county_id: str, kind: str, limit: int) -> list[RunRow]:
        """The newest runs with their sums, newest first."""
        return self._all(RunRow, read_sql.RUNS, {"county": county_id, "kind": kind, "limit": limit})

    def refused(self, county_id: str) -> list[RefusedRun]:
        """Runs that never started, newest first."""
        return self._all(RefusedRun, read_sql.REFUSED, {"counties": [county_id]})

    def run(self, county_id: str, run_id: str) -> RunRow | None:
        """One run of the county."""
        return self._first(RunRow, read_sql.RUN, {"county": county_id, "run": run_id})

    def run_entities(self, run_id: str) -> list[EntityRow]:
        """The run's entities, parents first."""
        return self._all(EntityRow, read_sql.RUN_ENTITIES, {"run": run_id})

    def expected_rows(self, county_id: str) -> dict[str, int]:
        """Rows that a full read of each entity will bring, about: the planner's count of the county's
        partitions.
        """
        tables = {f"{entity.table}_{county_id}": entity.name for entity in load_entities().values()}
        rows = self._pairs(read_sql.PARTITION_ROWS, {"tables": list(tables)})
        return {tables[name]: int(count) for name, count in rows if count > 0}

    def last_full_rows(self, county_id: str) -> dict[str, int]:
        """Rows that the last finished full read of each entity brought."""
        return {name: int(count) for name, count in self._pairs(read_sql.LAST_FULL, {"county": county_id})}

    def states(self, county_id: str) -> list[CursorRow]:
        """Cursors and schema fingerprints by entity."""
        return self._all(CursorRow, read_sql.STATES, {"county": county_id})

    def quality(self, run_id: str) -> list[QualityRow]:
        """What the rules said in a run, those that did not hold first."""
        return self._all(QualityRow, read_sql.QUALITY, {"run": run_id})

    def last_validated_run(self, county_id: str) -> str | None:
        """The newest run whose rows were validated."""
        row = self._one(read_sql.LAST_VALIDATED, {"county": county_id})
        return None if row is None else str(row["run_id"])

    def quarantine_by_rule(self, county_id: str) -> list[QuarantineRow]:
        """Open quarantine counted by entity and rule, with a few keys of each."""
        return self._all(QuarantineRow, read_sql.QUARANTINE_BY_RULE, {"county": county_id})

    def quarantine_keys(
        self, county_id: str, entity: str, rule: str, offset: int, limit: int
    ) -> list[QuarantinedRow]:
        """Keys that wait under one rule, oldest first."""
        return self._all(
            QuarantinedRow,
            read_sql.QUARANTINE_KEYS,
            {"county": county_id, "entity": entity, "rule": rule, "offset": offset, "limit": limit},
        )

    def rule_titles(self, county_id: str) -> dict[str, str]:
        """Each rule's title as it was last validated for the county."""
        return dict(self._pairs(read_sql.RULE_TITLES, {"county": county_id}))

    def certificates(self, county_id: str, limit: int) -> list[CertificateRow]:
        """The entities of the newest certificates, newest first."""
        rows = self._all(CertificateRow, read_sql.CERTIFICATES, {"county": county_id, "limit": limit})
        return [replace(row, sample_keys=tuple(row.sample_keys)) for row in rows]

    def certificate(self, county_id: str, run_id: str) -> Certificate | None:
        """The certificate of one run of the county; None where there is none."""
        with self._statements() as connection:
            issued = certifier.stored(connection, run_id)
        return issued if issued is not None and issued.county_id == county_id else None

    def last_check(self, county_id: str) -> CheckRow | None:
        """The newest report of a look at both ends; None before the first, and in a target that an older
        version migrated.
        """
        there = self._one("SELECT to_regclass('pacs_ops.check_report') IS NOT NULL AS there", {})
        row = self._one(read_sql.LAST_CHECK, {"county": county_id}) if there and there["there"] else None
        if row is None:
            return None
        return CheckRow(**row | {"findings": _FINDINGS.validate_python(row["findings"])})

    def pending(self, county_id: str) -> list[PendingDeletes]:
        """Sets of deletes that wait for a person, newest first."""
        return self._all(PendingDeletes, read_sql.PENDING, {"county": county_id})

    def pending_breakdown(self, county_id: str, pending_id: int) -> SetBreakdown | None:
        """One undecided set of the county, with a sample of its rows and what they are."""
        deletes = next((each for each in self.pending(county_id) if each.pending_id == pending_id), None)
        if deletes is None:
            return None
        with self._statements() as connection:
            return break_down(connection, deletes)

    def quarantine_export(self, county_id: str) -> list[QuarantineExportRow]:
        """Open quarantine rows with what somebody noted of them: keys, rules, times; no values."""
        return self._all(QuarantineExportRow, read_sql.QUARANTINE_EXPORT, {"county": county_id})

    def failures(self, county_id: str, limit: int) -> list[FailureRow]:
        """Recorded failures, newest first."""
        return self._all(FailureRow, read_sql.FAILURES, {"county": county_id, "limit": limit})

    def run_failures(self, run_id: str) -> list[FailureRow]:
        """Recorded failures of one run, newest first."""
        return self._all(FailureRow, read_sql.RUN_FAILURES, {"run": run_id})

    def audit(self, county_id: str, before: int | None, limit: int) -> list[AuditRow]:
        """Audit rows, newest first, older than `before`."""
        return self._all(AuditRow, read_sql.AUDIT, {"county": county_id, "before": before, "limit": limit})

    def row_history(self, county_id: str, key: str, limit: int) -> list[RowChange]:
        """Changes of the rows that a key means, newest first; columns, no values."""
        return self._all(RowChange, read_sql.ROW_HISTORY, {"county": county_id, "key": key, "limit": limit})

    def hold(self, county_id: str) -> Hold | None:
        """The county's open hold."""
        return self._first(Hold, read_sql.HOLD, {"county": county_id})

    def report(
        self, report: ReportView, county_ids: Sequence[str], limit: int
    ) -> tuple[ReportRows, list[Row]]:
        """A report of sums for these counties, at most `limit` rows.

        Raises:
            ConfigError: the page's login may not read it, or one of the counties.
        """
        with mapped_errors(), self._connection.transaction():
            self._connection.execute(_SETTINGS.encode())
            with open_report(self._connection, report, county_ids) as report_rows:
                return report_rows, list(islice(report_rows.rows, limit))

    def _all(self, record: type[Record], statement: str, values: Mapping[str, Any]) -> list[Record]:
        with self._statements() as connection, connection.cursor(row_factory=class_row(record)) as cursor:
            return cursor.execute(statement.encode(), values).fetchall()

    def _first(self, record: type[Record], statement: str, values: Mapping[str, Any]) -> Record | None:
        return next(iter(self._all(record, statement, values)), None)

    def _pairs(self, statement: str, values: Mapping[str, Any]) -> list[tuple[Any, Any]]:
        with self._statements() as connection:
            return connection.execute(statement.encode(), values).fetchall()

    def _one(self, statement: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
        with self._statements() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement.encode(), values).fetchone()

    @contextmanager
    def _statements(self) -> Iterator[psycopg.Connection[Any]]:
        """A read-only transaction with time limits of its own."""
        with mapped_errors(), self._connection.transaction():
            self._connection.execute(_SETTINGS.encode())
            yield self._connection
