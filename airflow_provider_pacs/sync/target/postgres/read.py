"""County ids -> what pacs_ops says of them, for the operations page: read-only, with short time limits, no
row's values.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.target.postgres import read_sql, session
from airflow_provider_pacs.sync.target.postgres.errors import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = dict[str, Any]
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
                row_factory=dict_row,
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

    def __enter__(self) -> OpsReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def is_ready(self) -> bool:
        """Whether the journal's tables exist."""
        found = self._one("SELECT to_regclass('pacs_ops.audit') IS NOT NULL AS ready", {})
        return found is not None and bool(found["ready"])

    def counties(self, county_ids: Sequence[str]) -> dict[str, str]:
        """The county that each recorded FIPS code belongs to."""
        rows = self._all(read_sql.COUNTIES, {"counties": list(county_ids)})
        return {row["county_id"]: row["county"] for row in rows}

    def overview(self, county_ids: Sequence[str]) -> list[Row]:
        """One row per county that this target knows: newest run, last good run, progress, verdicts, held
        deletes, failures.
        """
        return self._all(read_sql.OVERVIEW, {"counties": list(county_ids)})

    def runs(self, county_id: str, kind: str, limit: int) -> list[Row]:
        """The newest runs with their sums, newest first."""
        return self._all(read_sql.RUNS, {"county": county_id, "kind": kind, "limit": limit})

    def run(self, county_id: str, run_id: str) -> Row | None:
        """One run of the county."""
        return self._one(read_sql.RUN, {"county": county_id, "run": run_id})

    def run_entities(self, run_id: str) -> list[Row]:
        """The run's entities, parents first."""
        return self._all(read_sql.RUN_ENTITIES, {"run": run_id})

    def expected_rows(self, county_id: str) -> dict[str, int]:
        """Rows that a full read of each entity will bring, about: the planner's count of the county's
        partitions.
        """
        tables = {f"{entity.table}_{county_id}": entity.name for entity in load_entities().values()}
        rows = self._all(read_sql.LEAF_ROWS, {"tables": list(tables)})
        return {tables[row["relname"]]: int(row["rows"]) for row in rows if row["rows"] > 0}

    def last_full_rows(self, county_id: str) -> dict[str, int]:
        """Rows that the last finished full read of each entity brought."""
        return {
            row["entity"]: int(row["rows_read"])
            for row in self._all(read_sql.LAST_FULL, {"county": county_id})
        }

    def states(self, county_id: str) -> list[Row]:
        """Cursors and schema fingerprints by entity."""
        return self._all(read_sql.STATES, {"county": county_id})

    def quality(self, run_id: str) -> list[Row]:
        """Verdicts of a run, those that did not hold first."""
        return self._all(read_sql.QUALITY, {"run": run_id})

    def last_judged_run(self, county_id: str) -> str | None:
        """The newest run whose rows were judged."""
        found = self._one(read_sql.LAST_JUDGED, {"county": county_id})
        return None if found is None else str(found["run_id"])

    def quarantine_by_rule(self, county_id: str) -> list[Row]:
        """Open quarantine counted by entity and rule, with a few keys of each."""
        return self._all(read_sql.QUARANTINE_BY_RULE, {"county": county_id})

    def quarantine_keys(self, county_id: str, entity: str, rule: str, offset: int, limit: int) -> list[Row]:
        """Keys that wait under one rule, oldest first."""
        return self._all(
            read_sql.QUARANTINE_KEYS,
            {"county": county_id, "entity": entity, "rule": rule, "offset": offset, "limit": limit},
        )

    def rule_titles(self, county_id: str) -> dict[str, str]:
        """Each rule's title as it was last judged for the county."""
        return {
            row["rule_id"]: row["title"] for row in self._all(read_sql.RULE_TITLES, {"county": county_id})
        }

    def certificates(self, county_id: str, limit: int) -> list[Row]:
        """The newest certificates."""
        return self._all(read_sql.CERTIFICATES, {"county": county_id, "limit": limit})

    def last_check(self, county_id: str) -> Row | None:
        """The newest report of a look at both ends; None before the first, and in a target that an older
        version migrated.
        """
        there = self._one("SELECT to_regclass('pacs_ops.check_report') IS NOT NULL AS there", {})
        return self._one(read_sql.LAST_CHECK, {"county": county_id}) if there and there["there"] else None

    def held(self, county_id: str) -> list[Row]:
        """Held mass deletes that wait for a decision."""
        return self._all(read_sql.HELD, {"county": county_id})

    def failures(self, county_id: str, limit: int) -> list[Row]:
        """Recorded failures, newest first."""
        return self._all(read_sql.FAILURES, {"county": county_id, "limit": limit})

    def run_failures(self, run_id: str) -> list[Row]:
        """Recorded failures of one run."""
        return self._all(read_sql.RUN_FAILURES, {"run": run_id})

    def audit(self, county_id: str, before: int | None, limit: int) -> list[Row]:
        """Audit rows, newest first, older than `before`."""
        return self._all(read_sql.AUDIT, {"county": county_id, "before": before, "limit": limit})

    def _all(self, statement: str, values: Mapping[str, Any]) -> list[Row]:
        with self._cursor() as cursor:
            return cursor.execute(statement.encode(), values).fetchall()

    def _one(self, statement: str, values: Mapping[str, Any]) -> Row | None:
        with self._cursor() as cursor:
            return cursor.execute(statement.encode(), values).fetchone()

    @contextmanager
    def _cursor(self) -> Iterator[psycopg.Cursor[Row]]:
        with mapped_errors(), self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute(_SETTINGS.encode())
            yield cursor
