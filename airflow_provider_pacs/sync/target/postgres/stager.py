"""What a load asks of a target: staging tables, what is in them, and what a county has that they lack."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.target.postgres import ddl, stage

if TYPE_CHECKING:
    import psycopg


class Stager(ABC):
    """The part of a PostgreSQL target that stages."""

    @abstractmethod
    def statements(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """Single statements."""

    def write_stage(
        self,
        entity: Entity,
        table: str,
        names: Sequence[str],
        payloads: Iterable[bytes],
        *,
        county_id: str,
        append: bool = False,
    ) -> None:
        """Fill a staging table with CSV payloads of the named columns; a new one unless `append`."""
        with self.statements() as connection:
            if not append:
                stage.create(connection, entity, table, county_id=county_id, keyed="_source_key" in names)
            stage.copy(connection, table, names, payloads)

    def rows_view(self, table: str) -> str:
        """The relation beside a staging table that holds its rows without the keys that are gone."""
        return stage.rows_view(table)

    def stage_was_emptied(self, row: dict[str, Any]) -> bool:
        """Whether a crash of the server took the rows that were staged for an entity's row of the run."""
        with self.statements() as connection:
            return stage.was_emptied(connection, row)

    def settle_stage(self, entity: Entity, table: str) -> int:
        """One row per key (the last read wins); returns the rows that went."""
        with self.statements() as connection:
            return stage.settle(connection, entity, table)

    def staged_rows(self, table: str) -> int:
        """Rows in a staging table, those marked as gone included."""
        with self.statements() as connection:
            return stage.count(connection, table)

    def missing_keys(self, entity: Entity, county_id: str, table: str) -> list[str]:
        """Live keys that a complete staging table does not have; none before the first load."""
        with self.statements() as connection:
            return (
                stage.missing_keys(connection, entity, county_id, table)
                if ddl.leaf_exists(connection, entity, county_id)
                else []
            )

    def vanished_keys(self, entity: Entity, county_id: str, table: str) -> list[str]:
        """Keys in quarantine that a complete staging table does not have."""
        with self.statements() as connection:
            return stage.vanished_keys(connection, entity, county_id, table)

    def mark_gone(self, entity: Entity, table: str, keys: Sequence[str]) -> None:
        """Record in the staging table which of these keys, absent there, are gone at the source."""
        with self.statements() as connection:
            stage.add_gone(connection, entity, table, keys)

    def mark_rejects(self, table: str, assignments: Sequence[tuple[str, str]]) -> int:
        """Write broken rules into `_reject`; returns the rows that carry one."""
        with self.statements() as connection:
            return stage.mark_rejects(connection, table, assignments)

    def mapping_rejects(self, table: str) -> tuple[int, dict[str, int]]:
        """(staged rows, rows per `MAP.<column>`: those whose value did not fit the column's type)."""
        with self.statements() as connection:
            return stage.mapping_rejects(connection, table)

    def drop_stages(self, tables: Iterable[str]) -> None:
        with self.statements() as connection:
            stage.drop(connection, tables)

    def drop_abandoned_stages(self, county_id: str) -> None:
        with self.statements() as connection:
            stage.drop_idle(connection, stage.abandoned(connection, county_id))
