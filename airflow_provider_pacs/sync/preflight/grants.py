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
from airflow_provider_pacs.sync.schema.tables import SourceTable, source_tables
from airflow_provider_pacs.sync.schema.tsql import quote

ROLE = "tf_reader"
LOGIN = "tf_pacs_reader"
_LINE_END = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


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
    user, role, tables = _one_line(login), quote(ROLE), list(tables)
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
        name = f"{_one_line(table.schema)}.{_one_line(table.name)}"
        columns_of.setdefault(name, {}).update(dict.fromkeys(_one_line(column) for column in table.columns))
    return {name: list(columns) for name, columns in columns_of.items()}


def _one_line(name: str) -> str:
    if _LINE_END.search(name):
        raise ConfigError(
            f"{name!r} has a line end or a control character in it",
            remedy="grant this one by hand, or rename it",
        )
    return quote(name)
