"""The PostgreSQL target: migrations, staging, apply, comparison and the journal. psycopg lives only here."""

from __future__ import annotations

from airflow_provider_pacs.sync.target.postgres.target import PostgresTarget

__all__ = ["PostgresTarget"]
