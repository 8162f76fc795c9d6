"""What realtime keeps of a county beside its data, for an Airflow without an asset state store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from airflow_provider_pacs.sync.target.port import RealtimeKey
from airflow_provider_pacs.sync.target.postgres.database import Database

if TYPE_CHECKING:
    import psycopg


class PostgresRealtimeState:
    """The port `RealtimeState` over one connection."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def read(self, county_id: str, key: RealtimeKey) -> dict[str, Any] | None:
        """What was kept last; also None before the schemas exist."""
        with self._db.statements() as connection:
            if not _is_ready(connection):
                return None
            row = connection.execute(
                "SELECT value FROM pacs_ops.realtime_state WHERE county_id = %s AND key = %s",
                (county_id, key),
            ).fetchone()
        return row[0] if row else None

    def write(self, county_id: str, key: RealtimeKey, value: dict[str, Any]) -> None:
        """Keep a document in the place of the last one; nothing before the schemas exist."""
        with self._db.statements() as connection:
            if not _is_ready(connection):
                return
            connection.execute(
                "INSERT INTO pacs_ops.realtime_state (county_id, key, value) VALUES (%s, %s, %s) "
                "ON CONFLICT (county_id, key) DO UPDATE SET value = excluded.value, "
                "updated_at = clock_timestamp()",
                (county_id, key, Jsonb(value)),
            )


def _is_ready(connection: psycopg.Connection[Any]) -> bool:
    """Whether a run has made the table yet: the trigger comes before the first one."""
    row = connection.execute("SELECT to_regclass('pacs_ops.realtime_state') IS NOT NULL").fetchone()
    return bool(row and row[0])
