"""Answers metadata functions and dynamic views as SQL Server would for the session's login."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from airflow_provider_pacs.sandbox.catalog.system_rows import SCHEMA_IDS
from airflow_provider_pacs.sandbox.catalog.system_tables import columns
from airflow_provider_pacs.sandbox.catalog.tables import COLLATION, Database, Table
from airflow_provider_pacs.sandbox.model import Column
from airflow_provider_pacs.sandbox.tsql.session_state import SessionState

VERSION = "16.0.4135.4"
SERVER = "PACS-SANDBOX"
BANNER = f"Sandbox PACS (not Microsoft SQL Server) - answers as version {VERSION}"
_PROPERTIES: dict[str, str | int] = {
    "productversion": VERSION, "productlevel": "RTM", "edition": "Developer Edition (64-bit)", "engineedition": 3, "servername": SERVER,
    "machinename": SERVER,
    "collation": "SQL_Latin1_General_CP1_CI_AS", "ishadrenabled": 0, "isclustered": 0, "productmajorversion": "16", "productminorversion": "0",
    "isintegratedsecurityonly": 0, "lcid": 1033, "sqlcharsetname": "iso_1",
}  # fmt: skip
_READS = ("CONNECT", "SELECT")
_WRITES = ("INSERT", "UPDATE", "DELETE")
_OWNER = (
    "ALTER",
    "CONTROL",
    "EXECUTE",
    "ALTER ANY SCHEMA",
    "CREATE TABLE",
    "TAKE OWNERSHIP",
    "ALTER ANY USER",
    "ALTER ANY ROLE",
    "VIEW CHANGE TRACKING",
    "VIEW DEFINITION",
)
_MEMBERSHIPS = frozenset(
    {
        "sysadmin",
        "serveradmin",
        "securityadmin",
        "public",
        "db_owner",
        "db_datareader",
        "db_datawriter",
        "db_ddladmin",
        "db_denydatawriter",
    }
)

DATABASE_TRANSACTIONS = columns(
    "transaction_id bigint!, database_id int!, database_transaction_begin_time datetime, "
    "database_transaction_type int!, "
    "database_transaction_state int!, "
    "database_transaction_begin_lsn numeric(25)"
)
SESSIONS = columns(
    "session_id smallint!, login_time datetime!, host_name nvarchar(128), program_name nvarchar(128), "
    "login_name nvarchar(128)!, status "
    "nvarchar(30)!, "
    "database_id smallint!, transaction_isolation_level smallint!, open_transaction_count int!"
)
CONNECTIONS = columns(
    "session_id int, net_transport nvarchar(40)!, protocol_type nvarchar(40), protocol_version int, "
    "encrypt_option nvarchar(40)!, auth_scheme "
    "nvarchar(40)!"
)
PERMISSIONS = columns("entity_name sysname!, subentity_name sysname!, permission_name nvarchar(60)")
EXTENDED = columns("objtype sysname, objname sysname, name sysname!, value nvarchar(4000)")
View = tuple[tuple[Column, ...], list[tuple[Any, ...]]]


def parts(name: str) -> list[str]:
    """`[dbo].[we]]ird]` to its parts."""
    result = re.findall(r"\[((?:[^\]]|\]\])*)\]|\"((?:[^\"]|\"\")*)\"|([^.\[\]\"]+)", name)
    return [a.replace("]]", "]") or b.replace('""', '"') or c.strip() for a, b, c in result]


def information(session: SessionState, name: str, args: list[Any]) -> Any:
    """The value of a metadata function with constant arguments; None for what it does not know."""
    first = str(args[0]) if args and args[0] is not None else ""
    handler = _FUNCTIONS.get(name)
    return handler(session, first, args) if handler else None


def _server_property(session: SessionState, first: str, args: list[Any]) -> Any:
    return _PROPERTIES.get(first.lower())


def _database(session: SessionState, first: str, args: list[Any]) -> Database | None:
    databases = session.catalog.databases
    if not args:
        return databases[session.database.lower()]
    return next(
        (d for d in databases.values() if d.name.lower() == first.lower() or str(d.database_id) == first),
        None,
    )


def _db_name(session: SessionState, first: str, args: list[Any]) -> Any:
    result = _database(session, first, args)
    return result.name if result else None


def _db_id(session: SessionState, first: str, args: list[Any]) -> Any:
    result = _database(session, first, args)
    return result.database_id if result else None


def _object_id(session: SessionState, first: str, args: list[Any]) -> Any:
    table = _table(session, first)
    return table.object_id if table else None


def _schema_name(session: SessionState, first: str, args: list[Any]) -> Any:
    return {str(v): k for k, v in SCHEMA_IDS.items()}.get(first) if args else "dbo"


def _schema_id(session: SessionState, first: str, args: list[Any]) -> Any:
    return {k.lower(): v for k, v in SCHEMA_IDS.items()}.get(first.lower()) if args else 1


def _membership(session: SessionState, first: str, args: list[Any]) -> Any:
    role = first.lower()
    if role not in _MEMBERSHIPS:
        return None
    return int(
        role in ("public", "db_datareader") or (session.login.admin and not role.startswith("db_deny"))
    )


def _database_property(session: SessionState, first: str, args: list[Any]) -> Any:
    database = session.catalog.databases.get(first.lower())
    if database is None:
        return None
    known = {
        "status": "ONLINE",
        "collation": COLLATION,
        "recovery": "FULL",
        "updateability": "READ_ONLY" if database.read_only else "READ_WRITE",
    }
    return known.get(str(args[1]).lower())


def _min_active_rowversion(session: SessionState, first: str, args: list[Any]) -> Any:
    open_writers = [
        s.transactions.first_rowversion
        for s in session.engine.sessions()
        if s.transactions.first_rowversion is not None
    ]
    return min(open_writers, default=session.engine.last_rowversion() + 1)


def _user(session: SessionState, first: str, args: list[Any]) -> Any:
    return "dbo" if session.login.admin else session.login.name


def _login(session: SessionState, first: str, args: list[Any]) -> Any:
    return session.login.name


def _table(session: SessionState, name: str) -> Table | None:
    named = parts(name)
    if not named:
        return None
    schema = named[-2] if len(named) > 1 and named[-2] else "dbo"
    return session.catalog.table(named[-3] if len(named) > 2 else session.database, schema, named[-1])


def _has_permission(session: SessionState, first: str, args: list[Any]) -> int | None:
    permission = str(args[2]).upper() if len(args) > 2 else ""
    if args[0] is not None and str(args[1]).upper() == "OBJECT" and _table(session, str(args[0])) is None:
        return None
    return int(session.login.admin or permission in _READS or permission == "VIEW DEFINITION")


_FUNCTIONS: dict[str, Callable[[SessionState, str, list[Any]], Any]] = {
    "SERVERPROPERTY": _server_property,
    "DB_NAME": _db_name,
    "DB_ID": _db_id,
    "OBJECT_ID": _object_id,
    "SCHEMA_NAME": _schema_name,
    "SCHEMA_ID": _schema_id,
    **dict.fromkeys(("IS_SRVROLEMEMBER", "IS_MEMBER", "IS_ROLEMEMBER"), _membership),
    "HAS_PERMS_BY_NAME": _has_permission,
    "DATABASEPROPERTYEX": _database_property,
    "HAS_DBACCESS": lambda session, first, args: int(first.lower() in session.catalog.databases),
    "HOST_NAME": lambda session, first, args: session.host,
    "APP_NAME": lambda session, first, args: session.application,
    **dict.fromkeys(("USER_NAME", "CURRENT_USER", "SESSION_USER", "USER"), _user),
    **dict.fromkeys(("SUSER_SNAME", "SUSER_NAME", "ORIGINAL_LOGIN", "SYSTEM_USER"), _login),
    "MIN_ACTIVE_ROWVERSION": _min_active_rowversion,
    "XACT_STATE": lambda session, first, args: int(session.trancount > 0),
}


def virtual(session: SessionState, schema: str, name: str, args: list[Any] | None) -> View | None:
    """The rows of a dynamic view, or of a table function when there are `args`."""
    if args is not None:
        if name == "fn_my_permissions":
            return PERMISSIONS, _my_permissions(session, args)
        return (EXTENDED, []) if name == "fn_listextendedproperty" else None
    if schema != "sys":
        return None
    sessions = session.engine.sessions()
    match name:
        case "dm_tran_database_transactions":
            databases = session.catalog.databases
            return DATABASE_TRANSACTIONS, [
                (
                    1000 + s.spid,
                    databases[s.database.lower()].database_id,
                    s.transactions.writing_since,
                    1,
                    4,
                    37000000000 + s.spid,
                )
                for s in sessions
                if s.transactions.writing_since
            ]
        case "dm_exec_sessions":
            return SESSIONS, [
                (s.spid, s.since, s.host, s.application, s.login.name, "running" if s is session else "sleeping",
                 session.catalog.databases[s.database.lower()].database_id, s.transactions.isolation, s.transactions.count) for s in sessions
            ]  # fmt: skip
        case "dm_exec_connections":
            return CONNECTIONS, [
                (s.spid, "TCP", "TSQL", 0x74000004, "TRUE" if s.encrypted else "FALSE", "SQL")
                for s in sessions
            ]
    return None


def _my_permissions(session: SessionState, args: list[Any]) -> list[tuple[str, str, str]]:
    granted = _READS + ((*_WRITES, *_OWNER) if session.login.admin else ())
    if len(args) > 1 and str(args[1]).upper() == "OBJECT":
        table = _table(session, str(args[0]))
        if table is None:
            return []
        rows = [(str(args[0]), "", p) for p in granted if p != "CONNECT"]
        return rows + [(str(args[0]), c.name, "SELECT") for c in table.columns]
    return [("database", "", p) for p in granted]
