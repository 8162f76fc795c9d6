"""libpq parameters -> a target that the steps of a run call: the ports over one connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from airflow_provider_pacs.sync.entities import EntityColumn
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.target.facts import Readiness
from airflow_provider_pacs.sync.target.postgres import audit, checks, ddl, promotion, session, tls
from airflow_provider_pacs.sync.target.postgres.approvals import PostgresApprovals
from airflow_provider_pacs.sync.target.postgres.certifier import PostgresCertifier
from airflow_provider_pacs.sync.target.postgres.database import Database
from airflow_provider_pacs.sync.target.postgres.holds import PostgresHolds
from airflow_provider_pacs.sync.target.postgres.publisher import PostgresPublisher
from airflow_provider_pacs.sync.target.postgres.realtime_state import PostgresRealtimeState
from airflow_provider_pacs.sync.target.postgres.rollbacks import PostgresHistory
from airflow_provider_pacs.sync.target.postgres.run_store import PostgresRunStore
from airflow_provider_pacs.sync.target.postgres.staging import PostgresStaging

if TYPE_CHECKING:
    import psycopg
    import sqlalchemy as sa


class PostgresTarget:
    """The platform database.

    Args:
        params: libpq keywords (host, port, dbname, user, password, sslmode ...); `host` may be a socket
            folder.

    Attributes:
        runs: runs, plans, cursors and verdicts.
        staging: staging tables.
        publisher: the only way into the tables of schema `pacs`.
        certifier: comparisons and certificates.
        approvals: what waits for a person.
        holds: whether runs of a county may publish.
        realtime: what realtime keeps of a county.
        history: what rows were before, and the way back.

    Raises:
        ConfigError: libpq does not know a keyword, or the login was refused.
        RetryableError: the server can't be reached now.
    """

    def __init__(self, params: Mapping[str, str]) -> None:
        self._db = Database(params)
        self.runs = PostgresRunStore(self._db)
        self.staging = PostgresStaging(self._db)
        self.publisher = PostgresPublisher(self._db)
        self.certifier = PostgresCertifier(self._db)
        self.approvals = PostgresApprovals(self._db)
        self.holds = PostgresHolds(self._db)
        self.realtime = PostgresRealtimeState(self._db)
        self.history = PostgresHistory(self._db)

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
        """Close the connections."""
        self._db.close()

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """For tests."""
        return self._db.connection

    @property
    def place(self) -> str:
        """host:port/database, for messages."""
        return self._db.place

    @property
    def sqlalchemy_url(self) -> sa.URL:
        """The same database for SQLAlchemy (Great Expectations), on psycopg 3."""
        return self._db.sqlalchemy_url

    def migrate(self) -> list[str]:
        """Bring schemas and tables up to date; returns what was applied.

        Raises:
            ConfigError: the database's encoding can't hold every name.
        """
        with self._db.statements() as connection:
            session.require_utf8(connection)
            return ddl.migrate(connection)

    def promote(self, promoted: Mapping[str, Sequence[EntityColumn]]) -> list[str]:
        """Add columns that a county's file promotes out of `extra`, as a member of `pacs_owner`.

        Args:
            promoted: columns by entity.

        Returns:
            What was applied.

        Raises:
            ConfigError: this login may not, or a column of the name has another type.
        """
        with self._db.statements() as connection:
            return ddl.promote(connection, promoted)

    def promoted(self) -> dict[str, tuple[EntityColumn, ...]]:
        """The promoted columns of each entity."""
        with self._db.statements() as connection:
            return promotion.installed(connection)

    @property
    def weak_settings(self) -> tuple[str, ...]:
        """Settings of the connection that are weaker than the default, each with the reason."""
        return tuple(map(str, tls.weak_settings(self._db.params)))

    def verify_audit(self, county_id: str, heads: Sequence[str] = ()) -> audit.AuditVerification:
        """Compute the county's audit chain again.

        Args:
            county_id: FIPS code.
            heads: `<position>:<hash>` texts that were kept outside.

        Raises:
            ConfigError: a head is not written that way.
        """
        try:
            known = [audit.AuditHead.parse(county_id, head) for head in heads]
        except ValueError as error:
            raise ConfigError(f"{error}", remedy="copy the head as a certificate prints it") from None
        with self._db.statements() as connection:
            return audit.verify(connection, county_id, known)

    def export_audit(self, county_id: str) -> Iterator[str]:
        """The county's audit chain as JSON lines, oldest first."""
        with self._db.statements() as connection:
            yield from audit.export(connection, county_id)

    def readiness(self) -> Readiness:
        """Whether the target can take a run; nothing is changed."""
        with self._db.statements() as connection:
            return checks.readiness(connection, self._db.place)
