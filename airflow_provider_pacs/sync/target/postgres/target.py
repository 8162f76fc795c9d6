"""libpq parameters -> a target that the steps of a run call.

One connection, autocommit, explicit transactions; every foreign error is mapped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

import psycopg

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.quality.model import Rule, RuleResult
from airflow_provider_pacs.sync.records import CertificateOutcome, RunOutcome, RunPlan
from airflow_provider_pacs.sync.runtime.errors import PacsError
from airflow_provider_pacs.sync.target.port import Comparison, DeleteBounds, Kind
from airflow_provider_pacs.sync.target.postgres import (
    apply,
    certify,
    compare,
    ddl,
    journal,
    publish,
    session,
    whole,
)
from airflow_provider_pacs.sync.target.postgres.desk import Desk
from airflow_provider_pacs.sync.target.postgres.errors import mapped_errors
from airflow_provider_pacs.sync.target.postgres.retry import retry_on_deadlock
from airflow_provider_pacs.sync.target.postgres.scope_keeper import ScopeKeeper
from airflow_provider_pacs.sync.target.postgres.sql import leaf
from airflow_provider_pacs.sync.target.postgres.stager import Stager

if TYPE_CHECKING:
    import sqlalchemy as sa


class PostgresTarget(Desk, Stager, ScopeKeeper):
    """The platform database.

    Args:
        params: libpq keywords (host, port, dbname, user, password, sslmode ...); `host` may be a socket
            directory.

    Raises:
        ConfigError: libpq does not know a keyword, or the login was refused.
        RetryableError: the server can't be reached now.
    """

    def __init__(self, params: Mapping[str, str]) -> None:
        self._params = {name: str(value) for name, value in params.items() if value not in (None, "")}
        self._seen: dict[str, whole.Sides] = {}
        self._teller: psycopg.Connection[Any] | None = None
        port = f":{self._params['port']}" if "port" in self._params else ""
        self.place = f"{self._params.get('host', '')}{port}/{self._params.get('dbname', '')}"
        with mapped_errors(f"target {self.place}"):
            self._connection = self._connect()

    def _connect(self) -> psycopg.Connection[Any]:
        return session.connect(self._params)

    @classmethod
    def from_url(cls, url: str) -> PostgresTarget:
        """A target from `postgresql://user:password@host:5432/database?sslmode=verify-full`.

        Raises:
            ConfigError: not a PostgreSQL URL.
        """
        return cls(session.params_from_url(url))

    def __enter__(self) -> PostgresTarget:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()
        if self._teller is not None:
            self._teller.close()

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """For the modules of this folder and tests."""
        return self._connection

    @property
    def sqlalchemy_url(self) -> sa.URL:
        """The same database for SQLAlchemy (Great Expectations), on psycopg 3."""
        return session.sqlalchemy_url(self._params)

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[Any]]:
        """One transaction; foreign errors leave it mapped, and rolled back."""
        with mapped_errors(f"target {self.place}"), self._connection.transaction():
            yield self._connection

    @contextmanager
    def statements(self) -> Iterator[psycopg.Connection[Any]]:
        """Single statements, each its own transaction; foreign errors leave mapped."""
        with mapped_errors(f"target {self.place}"):
            yield self._connection

    def migrate(self) -> list[str]:
        """Bring schemas and tables up to date; returns what was applied."""
        with self.statements() as connection:
            return ddl.migrate(connection)

    def quarantined_keys(self, entity: Entity, county_id: str, rule: str, limit: int) -> list[str]:
        """Keys that wait in quarantine under a rule, those looked at longest ago first."""
        with self.statements() as connection:
            return compare.quarantined_keys(connection, entity, county_id, rule, limit)

    def differences(
        self, entity: Entity, county_id: str, table: str, *, complete: bool
    ) -> list[tuple[str, Kind]]:
        """(key, kind) of every row in which the county's partition differs from a staging table."""
        with self.statements() as connection:
            if not complete:
                return compare.differences(connection, entity, county_id, table)
            self._seen[table] = sides = whole.compare(connection, entity, county_id, table)
            return sides.differences

    def leaf_name(self, entity: Entity, county_id: str) -> str | None:
        """The county's partition, qualified and quoted; None before the first load."""
        with self.statements() as connection:
            return (
                leaf(entity, county_id).as_string(connection)
                if ddl.leaf_exists(connection, entity, county_id)
                else None
            )

    def states(self, county_id: str) -> dict[str, dict[str, Any]]:
        """Stored cursors by entity."""
        with self.statements() as connection:
            return journal.states(connection, county_id)

    def source_identity(self, county_id: str) -> dict[str, Any] | None:
        """The database that the county was read from last, or None."""
        with self.statements() as connection:
            return journal.source_identity(connection, county_id)

    def sync_at_work(self, county_id: str, minutes: int) -> str | None:
        """The county's sync run that is still at work, if it did something within these minutes."""
        with self.statements() as connection:
            return journal.sync_at_work(connection, county_id, minutes)

    def accept_source(self, county_id: str) -> None:
        """Forget which database and columns the county's cursors were made from."""
        with self.transaction() as connection:
            journal.accept_source(connection, county_id)

    def claim(self, *, county_id: str, county: str, name: str, identity: dict[str, Any]) -> int:
        """Take the county's next epoch; earlier runs of it can no longer write."""
        with self.transaction() as connection:
            return journal.claim(connection, county_id=county_id, county=county, name=name, identity=identity)

    def open_run(
        self,
        plan: RunPlan,
        *,
        trigger: str,
        source_now: str,
        identity: dict[str, Any],
        config: str,
        code: str,
    ) -> None:
        """Record a claimed run and its plan."""
        with self.transaction() as connection:
            journal.open_run(
                connection,
                plan,
                trigger=trigger,
                source_now=source_now,
                identity=identity,
                config=config,
                code=code,
            )

    def note_event(
        self, county_id: str, run_id: str, action: str, what: str, details: dict[str, Any]
    ) -> None:
        """One audit row of a run."""
        with self.statements() as connection:
            journal.audit(connection, county_id, run_id, action, what, details)

    def note_failure(self, county_id: str, step: str, error: PacsError, run_id: str | None = None) -> None:
        """An audit row for a step that failed, maybe before its run had a row; nothing where the schemas do
        not exist yet.
        """
        details = {
            "code": error.code,
            "class": type(error).__name__,
            "message": error.message,
            "remedy": error.remedy,
        }
        with self.statements() as connection:
            if journal.is_ready(connection):
                journal.audit(connection, county_id, run_id, "run.failed", step, details)

    def end_run(self, run_id: str, message: str) -> None:
        """Record that a run ended without its verdict; a run that has one, or that was superseded, is left as
        it is.
        """
        with self.transaction() as connection:
            journal.end_run(connection, run_id, message)

    def run(self, run_id: str) -> dict[str, Any]:
        with self.statements() as connection:
            return journal.run(connection, run_id)

    def run_entities(self, run_id: str) -> list[dict[str, Any]]:
        with self.statements() as connection:
            return journal.entities(connection, run_id)

    def note_entity(self, run_id: str, entity: str, **values: Any) -> None:
        with self.statements() as connection:
            journal.note_entity(connection, run_id, entity, **values)

    def close_run(self, run_id: str, state: str) -> None:
        """End a run that publishes nothing."""
        with self.transaction() as connection:
            journal.note_run(connection, run_id, state, finished=True)

    def note_progress(self, run_id: str, entity: str, rows: int, seconds: float) -> None:
        """Say how far a read is, on a connection of its own: this one is busy with the COPY.

        What can't be said is left unsaid.
        """
        with suppress(psycopg.Error):
            if self._teller is None:
                self._teller = self._connect()
            journal.note_entity(self._teller, run_id, entity, rows_read=rows, extract_seconds=seconds)

    def record_quality(self, run_id: str, entity: str, results: Sequence[RuleResult]) -> None:
        with self.statements() as connection:
            journal.record_quality(connection, run_id, entity, results)

    def publish(self, run_id: str, bounds: DeleteBounds, relations: dict[str, Rule]) -> RunOutcome:
        """Publish the run's passed entities in one transaction; a run that is recorded already is left as it
        is.
        """

        def once() -> RunOutcome:
            with self.transaction() as connection:
                return publish.publish(
                    connection, run_id, apply.Guard(bounds.max_rows, bounds.max_percent), relations
                )

        return retry_on_deadlock(once)

    def certify(
        self, run_id: str, bounds: DeleteBounds, relations: dict[str, Rule], found: list[Comparison]
    ) -> CertificateOutcome:
        """Repair, compare again and certify in one transaction."""

        def once() -> CertificateOutcome:
            with self.transaction() as connection:
                return certify.certify(
                    connection,
                    run_id,
                    apply.Guard(bounds.max_rows, bounds.max_percent),
                    relations,
                    found,
                    self._seen,
                )

        return retry_on_deadlock(once)
