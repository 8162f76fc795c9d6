"""A login's effective rights, as SQL Server tells them to the login itself -> what it could do beyond
reading, and which columns it may read.

Nothing is tried: no statement here writes, and none would if it were allowed to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from airflow_provider_pacs.sync.schema.columns import optional_query
from airflow_provider_pacs.sync.schema.tables import SourceTable
from airflow_provider_pacs.sync.source.port import SourceReader

_ROLES = """SELECT IS_SRVROLEMEMBER('sysadmin') AS [sysadmin],
       IS_SRVROLEMEMBER('securityadmin') AS [securityadmin],
       IS_SRVROLEMEMBER('serveradmin') AS [serveradmin], IS_SRVROLEMEMBER('setupadmin') AS [setupadmin],
       IS_SRVROLEMEMBER('processadmin') AS [processadmin], IS_SRVROLEMEMBER('diskadmin') AS [diskadmin],
       IS_SRVROLEMEMBER('dbcreator') AS [dbcreator], IS_SRVROLEMEMBER('bulkadmin') AS [bulkadmin],
       IS_MEMBER('db_owner') AS [db_owner], IS_MEMBER('db_datawriter') AS [db_datawriter],
         IS_MEMBER('db_ddladmin') AS [db_ddladmin],
       IS_MEMBER('db_securityadmin') AS [db_securityadmin], IS_MEMBER('db_accessadmin') AS [db_accessadmin],
       IS_MEMBER('db_backupoperator') AS [db_backupoperator]"""
_SERVER = "SELECT p.permission_name AS permission FROM sys.fn_my_permissions(NULL, 'SERVER') AS p"
_DATABASE = "SELECT p.permission_name AS permission FROM sys.fn_my_permissions(NULL, 'DATABASE') AS p"
_TABLE = (
    "SELECT p.subentity_name AS [column], p.permission_name AS permission FROM sys.fn_my_permissions(?, "
    "'OBJECT') AS p"
)

_READS = frozenset(
    "CONNECT, CONNECT SQL, CONNECT ANY DATABASE, CONNECT REPLICATION, SELECT, SELECT ALL USER SECURABLES, "
    "REFERENCES, SHOWPLAN, UNMASK, "
    "SUBSCRIBE QUERY NOTIFICATIONS".split(", ")
)
"""Permissions that change nothing, beside all that begin with VIEW.

Any other counts as more than reading, also one that we do not know.
"""


@dataclass(frozen=True, slots=True)
class TablePermissions:
    """What the login may do with one table; None where the server does not say.

    Attributes:
        beyond: permissions that could change it.
        unreadable: columns that the mapping reads and the login may not.
    """

    beyond: tuple[str, ...] | None
    unreadable: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class SourcePermissions:
    """What the login could do beyond reading; None where the server does not say.

    Attributes:
        roles: fixed roles of the server and the database.
        server: permissions on the server.
        database: permissions on the database.
        tables: by entity and `schema.name`: two entities may read different columns of one table.
    """

    roles: tuple[str, ...] | None
    server: tuple[str, ...] | None
    database: tuple[str, ...] | None
    tables: dict[tuple[str, str], TablePermissions]

    @property
    def beyond_reading(self) -> str:
        """All of it in one line; empty where nothing is known."""
        parts = []
        if self.roles:
            parts.append(f"member of {_some(self.roles)}")
        if self.server:
            parts.append(f"on the server {_some(self.server)}")
        if self.database:
            parts.append(f"in the database {_some(self.database)}")
        parts += [
            f"on {name} {_some(beyond)}"
            for name, beyond in {name: table.beyond for (_, name), table in self.tables.items()}.items()
            if beyond
        ]
        return "; ".join(parts)

    @property
    def is_known(self) -> bool:
        """Whether every question was answered."""
        return None not in (self.roles, self.server, self.database) and all(
            table.beyond is not None for table in self.tables.values()
        )


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def read_permissions(reader: SourceReader, tables: Iterable[SourceTable]) -> SourcePermissions:
    """Ask for the login's rights on the server, the database and these tables.

    Raises:
        PacsError: there is no connection.
    """
    roles = optional_query(reader, _ROLES)
    member = None if roles is None else tuple(name for name, is_member in roles[0].items() if is_member == 1)
    return SourcePermissions(
        member,
        _beyond(reader, _SERVER),
        _beyond(reader, _DATABASE),
        {(table.entity, table.text): _table(reader, table) for table in tables},
    )


def _beyond(reader: SourceReader, sql: str) -> tuple[str, ...] | None:
    rows = optional_query(reader, sql)
    return (
        tuple(sorted({str(row["permission"]) for row in rows if _is_more(str(row["permission"]))}))
        if rows
        else None
    )


def _is_more(permission: str) -> bool:
    return permission not in _READS and not permission.startswith("VIEW ")


def _table(reader: SourceReader, table: SourceTable) -> TablePermissions:
    rows = optional_query(reader, _TABLE, (table.quoted,))
    if not rows:
        return TablePermissions(None, None)
    beyond = tuple(sorted({str(row["permission"]) for row in rows if _is_more(str(row["permission"]))}))
    readable = {str(row["column"] or "").lower() for row in rows if row["permission"] == "SELECT"}
    unreadable = (
        ()
        if "" in readable and len(readable) == 1
        else tuple(column for column in table.columns if column.lower() not in readable)
    )
    return TablePermissions(beyond, unreadable)
