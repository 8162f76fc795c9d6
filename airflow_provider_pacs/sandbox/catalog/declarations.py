"""The declarations of a server: its databases and their tables, by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from airflow_provider_pacs.sandbox.catalog.tables import Database, Table


class Declarations:
    """Databases and tables of the server."""

    def __init__(self, created: datetime) -> None:
        self.databases: dict[str, Database] = {}
        self._tables: dict[tuple[str, str, str], Table] = {}
        self._declared = -1
        for number, name in enumerate(("master", "tempdb", "model", "msdb"), start=1):
            self.databases[name] = Database(name, number, created, snapshot=name in ("master", "msdb"))

    def add_database(self, name: str, created: datetime, **options: Any) -> Database:
        """A user database; `options` as the attributes of `Database`."""
        database = Database(
            name, max(known.database_id for known in self.databases.values()) + 1, created, **options
        )
        self.databases[name.lower()] = database
        return database

    def add_table(self, table: Table) -> Table:
        """Declares a table and gives it its object_id."""
        self._declared += 1
        number = 581577110 + 16 * 1000 * self._declared
        declared = replace(table, object_id=number)
        self.redefine(declared)
        return declared

    def redefine(self, table: Table) -> None:
        """The same table with other indexes or references; its object_id stays."""
        self._tables[(table.database.lower(), table.schema.lower(), table.name.lower())] = table

    def drop_table(self, table: Table) -> None:
        """Forgets a declared table with the permissions on it; its object_id is never used again."""
        self.databases[table.database.lower()].principals.forget_object(table.securable)
        self.databases[table.database.lower()].tracking.forget(table.object_id)
        del self._tables[(table.database.lower(), table.schema.lower(), table.name.lower())]

    def tables(self, database: str) -> Iterator[Table]:
        """The tables of a database in the order of their declaration."""
        return (t for t in self._tables.values() if t.database.lower() == database.lower())

    def schemas(self, database: str) -> list[str]:
        """The schemas of a database, system schemas last."""
        return list(
            dict.fromkeys(
                [
                    "dbo",
                    *self.databases[database.lower()].schemas,
                    *(t.schema for t in self.tables(database)),
                    "guest",
                    "INFORMATION_SCHEMA",
                    "sys",
                ]
            )
        )

    def table(self, database: str, schema: str, name: str) -> Table | None:
        """A declared table, or None."""
        return self._tables.get((database.lower(), schema.lower(), name.lower()))
