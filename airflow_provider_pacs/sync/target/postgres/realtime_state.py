"""What realtime keeps of a county beside its data, for an Airflow without an asset state store."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb

from airflow_provider_pacs.sync.target.port import RealtimeKey
from airflow_provider_pacs.sync.target.postgres.database import Database


class PostgresRealtimeState:
    """The port `RealtimeState` over one connection."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def read(self, county_id: str, key: RealtimeKey) -> dict[str, Any] | None:
        """What was kept last."""
        with self._db.statements() as connection:
            known = connection.execute("SELECT to_regclass('pacs_ops.realtime_state') IS NOT NULL").fetchone()
            if not (known and known[0]):
                return None
            row = connection.execute(
                "SELECT value FROM pacs_ops.realtime_state WHERE county_id = %s AND key = %s",
                (county_id, key),
            ).fetchone()
        return row[0] if row else None

    def write(self, county_id: str, key: RealtimeKey, value: dict[str, Any]) -> None:
        """Keep a document in the place of the last one."""
        with self._db.statements() as connection:
            connection.execute(
                "INSERT INTO pacs_ops.realtime_state (county_id, key, value) VALUES (%s, %s, %s) "
                "ON CONFLICT (county_id, key) DO UPDATE SET value = excluded.value, "
                "updated_at = clock_timestamp()",
                (county_id, key, Jsonb(value)),
            )
