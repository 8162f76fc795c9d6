"""What a joined entity's load asks of a target: which scopes changed, what they no longer have, whose rows
must be silent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.target.postgres import scopes, stage

if TYPE_CHECKING:
    import psycopg


class ScopeKeeper(ABC):
    """The part of a PostgreSQL target that keeps scopes."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """One transaction."""

    @abstractmethod
    def statements(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """Single statements."""

    def start_scopes(self, stage_table: str) -> None:
        """Make the table of scopes beside a staging table, empty."""
        with self.statements() as connection:
            scopes.create(connection, stage_table)

    def fold_watch(self, stage_table: str, watch: str, payloads: Iterable[bytes]) -> None:
        """Take in what one watched table holds now: CSV of `scope, line`."""
        with self.statements() as connection:
            scopes.fold(connection, stage_table, watch, payloads)

    def changed_scopes(self, county_id: str, entity: Entity, stage_table: str) -> list[str]:
        """Scopes whose watched contents are not those of the last published run."""
        with self.statements() as connection:
            return scopes.changed(connection, county_id, entity, stage_table)

    def note_scopes(self, stage_table: str, found: Sequence[str]) -> None:
        """Record which scopes the run reads again."""
        with self.statements() as connection:
            scopes.note(connection, stage_table, found)

    def noted_scopes(self, stage_table: str) -> list[str]:
        """The scopes that the run read again; none where the entity was not read by scopes."""
        with self.statements() as connection:
            return scopes.noted(connection, stage_table) if scopes.exists(connection, stage_table) else []

    def missing_in_scopes(self, entity: Entity, county_id: str, table: str, scopes_of: str) -> list[str]:
        """Live source keys of the noted scopes that a staging table does not have."""
        with self.statements() as connection:
            return scopes.missing_keys(connection, entity, county_id, table, scopes_of)

    def drop_scopes(self, stage_tables: Iterable[str]) -> None:
        """Drop the tables of scopes beside staging tables."""
        with self.statements() as connection:
            stage.drop(connection, [scopes.table_of(table) for table in stage_tables])

    def redact(
        self,
        run_id: str,
        entity: Entity,
        by: str,
        parties: Sequence[str],
        values: Mapping[str, str | bool | None],
    ) -> int:
        """Give all rows of these parties, tombstones too, these values, in one transaction; returns how many
        rows said more.
        """
        with self.transaction() as connection:
            return scopes.redact(connection, run_id, entity, by, parties, values)
