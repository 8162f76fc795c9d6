"""A county's tables and a login's name -> the least T-SQL that lets it read them.

Printed for a DBA; this package never sends it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_pacs.sync.config import CountyConfig, table_maps
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.joined import render
from airflow_provider_pacs.sync.schema.tables import SourceTable, source_tables
from airflow_provider_pacs.sync.schema.tsql import quote

ROLE = "tf_reader"
LOGIN = "tf_pacs_reader"
_LINE_END = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


OUTAGE_DAYS = 5
"""The longest time that runs may fail, or not be started, unless the county says another: a long weekend
and a repair.
"""
RETENTION_OUTAGES = 3
"""Changes are kept for as many of the longest outages: whoever comes late must find them."""


@dataclass(frozen=True, slots=True)
class OptionalGrant:
    """A statement that nothing depends on, and what it gives."""

    statement: str
    gives: str


@dataclass(frozen=True, slots=True)
class Grants:
    """What to run in the PACS database.

    Attributes:
        login: the login that is to read.
        login_statement: makes the login; its password is for the DBA to choose.
        statements: the user, the role, and the rights, one statement each.
        optional: beyond the least.
    """

    login: str
    login_statement: str
    statements: tuple[str, ...]
    optional: tuple[OptionalGrant, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self, database: str = "") -> list[str]:
        """The script, with what people must know as comments."""
        where = f"the database {database}" if database else "the PACS database"
        return [
            f"-- Run in {where}, as somebody who may create users and grant. Nothing here lets the login "
            "write.",
            "-- Unless the login is there already; choose the password, and put it into the connection only:",
            f"-- {self.login_statement}",
            *self.statements,
            "",
            "-- Optional:",
            *(f"-- {each.statement}  -- {each.gives}" for each in self.optional),
        ]


@dataclass(frozen=True, slots=True)
class ChangeTrackingScript:
    """What switches Change Tracking on for a county's tables and lets the login read it.

    Attributes:
        outage_days: the longest outage that the retention is made for.
        retention_days: how long the server keeps changes.
        statements: for the database, the tables and the role, one statement each.
        optional: beyond the least.
    """

    outage_days: int
    retention_days: int
    statements: tuple[str, ...]
    optional: tuple[OptionalGrant, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """The script, with what people must know as comments."""
        return [
            "-- Change Tracking: the server notes the keys of changed rows, so that a run reads those alone,",
            "-- deletes too. Run in the PACS database after the script above, as a member of db_owner.",
            f"-- Changes are kept for {self.retention_days} days: {RETENTION_OUTAGES} times the longest "
            f"outage, {self.outage_days} days (--outage-days).",
            "-- Error 5088 or 4996: it is on already, for the database or a table; leave the statement out.",
            *self.statements,
            "",
            "-- Optional:",
            *(f"-- {each.statement}  -- {each.gives}" for each in self.optional),
        ]


def change_tracking_script(config: CountyConfig, outage_days: int = OUTAGE_DAYS) -> ChangeTrackingScript:
    """The script for the county's tables as its file and profile name them; no connection is needed.

    Raises:
        ConfigError: a name is no identifier, or has a line end in it.
    """
    role, retention = quote(ROLE), RETENTION_OUTAGES * outage_days
    statements = [
        f"ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON (CHANGE_RETENTION = {retention} DAYS, "
        "AUTO_CLEANUP = ON);"
    ]
    keys = _tracked_keys(config)
    for table in keys:
        statements.append(f"ALTER TABLE {table} ENABLE CHANGE_TRACKING WITH (TRACK_COLUMNS_UPDATED = OFF);")
    for table, key in keys.items():
        statements.append(f"GRANT SELECT ON OBJECT::{table} ({', '.join(key)}) TO {role};")
        statements.append(f"GRANT VIEW CHANGE TRACKING ON OBJECT::{table} TO {role};")
    optional = OptionalGrant(
        "ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON;",
        "changes and rows are read as of one moment; row versions take space in tempdb",
    )
    return ChangeTrackingScript(outage_days, retention, tuple(statements), (optional,))


def _tracked_keys(config: CountyConfig) -> dict[str, tuple[str, ...]]:
    """`[schema].[table]` -> the quoted columns of its primary key, each table once."""
    maps = table_maps(config)
    keys: dict[str, tuple[str, ...]] = {}
    for name in (name for name in load_entities() if name in config.sync.entities):
        table = maps[name]
        places: list[tuple[str, str, tuple[str, ...]]] = [(table.schema, table.table, (table.key,))]
        if table.joined is not None:
            places = [(track.schema, track.table, track.key) for track in render(table).tracks]
        for schema, place, key in places:
            quoted = f"{one_line(schema)}.{one_line(place)}"
            keys.setdefault(quoted, tuple(one_line(column) for column in key))
    return keys


def mapped_tables(config: CountyConfig) -> list[SourceTable]:
    """The county's tables as its file and profile name them; no connection is needed."""
    maps = table_maps(config)
    wanted = [name for name in load_entities() if name in config.sync.entities]
    return [table for name in wanted for table in source_tables(ResolvedTable(maps[name], {}))]


def source_grants(tables: Iterable[SourceTable], login: str = LOGIN) -> Grants:
    """The least that reading these tables needs.

    Raises:
        ConfigError: a name is no identifier, or has a line end in it: a script is a text of lines, and `GO`
            is one.
    """
    user, role, tables = one_line(login), quote(ROLE), list(tables)
    statements = [
        f"CREATE USER {user} FOR LOGIN {user};",
        f"CREATE ROLE {role} AUTHORIZATION [dbo];",
        f"ALTER ROLE {role} ADD MEMBER {user};",
    ]
    for name, columns in _columns_by_table(tables).items():
        statements.append(f"GRANT SELECT ON OBJECT::{name} ({', '.join(columns)}) TO {role};")
        statements.append(f"GRANT VIEW DEFINITION ON OBJECT::{name} TO {role};")
    statements.append(f"DENY INSERT, UPDATE, DELETE, ALTER TO {role};")
    optional = [
        OptionalGrant(
            f"GRANT VIEW CHANGE TRACKING ON OBJECT::{name} TO {role};",
            "only where Change Tracking is on for this table",
        )
        for name in _columns_by_table(tables)
    ]
    optional += [
        OptionalGrant(
            f"GRANT VIEW DATABASE STATE TO {role};",
            "on Azure SQL: shows the oldest open writer, so that a run ends before it",
        ),
        OptionalGrant(
            f"GRANT VIEW SERVER STATE TO {user};",
            "elsewhere, run in master: the same, and whether the connection is encrypted",
        ),
    ]
    return Grants(
        login,
        f"CREATE LOGIN {user} WITH PASSWORD = N'...', CHECK_POLICY = ON;",
        tuple(statements),
        tuple(optional),
    )


def _columns_by_table(tables: Iterable[SourceTable]) -> dict[str, Sequence[str]]:
    """`[schema].[table]` -> its quoted columns, each once: two entities may read one table."""
    columns_of: dict[str, dict[str, None]] = {}
    for table in tables:
        name = f"{one_line(table.schema)}.{one_line(table.name)}"
        columns_of.setdefault(name, {}).update(dict.fromkeys(one_line(column) for column in table.columns))
    return {name: list(columns) for name, columns in columns_of.items()}


def one_line(name: str) -> str:
    """A quoted name that is one line of a script.

    Raises:
        ConfigError: it is no identifier, or has a line end in it.
    """
    if _LINE_END.search(name):
        raise ConfigError(
            f"{name!r} has a line end or a control character in it",
            remedy="grant this one by hand, or rename it",
        )
    return quote(name)
