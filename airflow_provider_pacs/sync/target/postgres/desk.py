"""What people ask of a target and decide there: the quarantine, the audit trail, held deletes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.target.port import Readiness
from airflow_provider_pacs.sync.target.postgres import checks, held, journal

if TYPE_CHECKING:
    import psycopg


class Desk(ABC):
    """The part of a PostgreSQL target that answers people. `place` is host:port/database, for messages."""

    place: str

    @abstractmethod
    def transaction(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """One transaction."""

    @abstractmethod
    def statements(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """Single statements."""

    def readiness(self) -> Readiness:
        """Whether the target can take a run; nothing is changed."""
        with self.statements() as connection:
            return checks.readiness(connection, self.place)

    def read_speeds(self, county_id: str) -> dict[str, float]:
        """Rows per second of each entity's last reads; nothing before the first run."""
        with self.statements() as connection:
            return checks.read_speeds(connection, county_id)

    def note_check(self, county_id: str, run_id: str | None, trigger: str, report: dict[str, Any]) -> None:
        """Keep the report of a look at both ends; nothing where the schemas do not exist yet."""
        with self.transaction() as connection:
            checks.note_check(connection, county_id, run_id, trigger, report)

    def held_sets(self, county_id: str) -> list[dict[str, Any]]:
        """Undecided sets of held deletes."""
        with self.statements() as connection:
            return held.list_held(connection, county_id)

    def held_set(self, county_id: str, held_id: int, digest: str) -> dict[str, Any]:
        """One undecided set with its keys."""
        with self.statements() as connection:
            return held.load(connection, county_id, held_id, digest)

    def apply_held(
        self, run_id: str, entity: Entity, held_id: int, digest: str, table: str, actor: str
    ) -> int:
        """Tombstone a held set as far as the staging table confirms it, in one transaction; returns the
        rows.
        """
        with self.transaction() as connection:
            return held.apply_held(connection, run_id, entity, held_id, digest, table, actor)

    def reject_held(self, county_id: str, held_id: int, digest: str, actor: str) -> str:
        """Let a held set go; returns its entity."""
        with self.transaction() as connection:
            return held.reject(connection, county_id, held_id, digest, actor)

    def list_quarantine(self, county_id: str) -> list[dict[str, Any]]:
        """Open quarantine rows: keys, rules, when; no values."""
        with self.statements() as connection:
            return journal.list_quarantine(connection, county_id)

    def list_left_behind(self, county_id: str) -> list[dict[str, Any]]:
        """Live children of deleted parents: keys, no values."""
        with self.statements() as connection:
            return journal.list_left_behind(connection, county_id)

    def list_audit(self, county_id: str, limit: int) -> list[dict[str, Any]]:
        """The latest audit rows, newest first."""
        with self.statements() as connection:
            return journal.list_audit(connection, county_id, limit)
