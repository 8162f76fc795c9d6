"""The names of the DuckDB tables that keep the changes of tracked tables."""

from __future__ import annotations

from airflow_provider_pacs.sandbox.catalog.tables import Table, quoted, stored_name


def kept(database: str, name: str) -> str:
    """A DuckDB table of a database's tracking: `commits`, `tables`, or the changes of one table."""
    return stored_name(database, "tracking", name)


def changes_of(table: Table) -> str:
    """Where a table's changes are kept."""
    return kept(table.database, f"changes_{table.object_id}")


def recorded(table: Table) -> list[str]:
    """The quoted columns of which images are kept: computed ones have none."""
    return [quoted(c.name) for c in table.columns if c.name not in table.computed]
