"""A session and the name of a property, permission or dynamic view in; what SQL Server would tell that login out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_provider_pacs.sandbox.model import Column
from airflow_provider_pacs.sandbox.systables import columns

if TYPE_CHECKING:
    from airflow_provider_pacs.sandbox.statements import SqlSession

VERSION = "16.0.4135.4"
SERVER = "PACS-SANDBOX"
BANNER = f"Sandbox PACS (not Microsoft SQL Server) - answers as version {VERSION}"
_PROPERTIES: dict[str, str | int] = {
    "productversion": VERSION, "productlevel": "RTM", "edition": "Developer Edition (64-bit)", "engineedition": 3, "servername": SERVER, "machinename": SERVER,
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
    {"sysadmin", "serveradmin", "securityadmin", "public", "db_owner", "db_datareader", "db_datawriter", "db_ddladmin", "db_denydatawriter"}
)

DATABASE_TRANSACTIONS = columns(
    "transaction_id bigint!, database_id int!, database_transaction_begin_time datetime, database_transaction_type int!, database_transaction_state int!, "
    "database_transaction_begin_lsn numeric(25)"
)
SESSIONS = columns(
    "session_id smallint!, login_time datetime!, host_name nvarchar(128), program_name nvarchar(128), login_name nvarchar(128)!, status nvarchar(30)!, "
    "database_id smallint!, transaction_isolation_level smallint!, open_transaction_count int!"
)
CONNECTIONS = columns(
    "session_id int, net_transport nvarchar(40)!, protocol_type nvarchar(40), protocol_version int, encrypt_option nvarchar(40)!, auth_scheme nvarchar(40)!"
)
PERMISSIONS = columns("entity_name sysname!, subentity_name sysname!, permission_name nvarchar(60)")
EXTENDED = columns("objtype sysname, objname sysname, name sysname!, value nvarchar(4000)")
View = tuple[tuple[Column, ...], list[tuple[Any, ...]]]


def parts(name: str) -> list[str]:
    """`[dbo].[we]]ird]` to its parts."""
    found = re.findall(r"\[((?:[^\]]|\]\])*)\]|\"((?:[^\"]|\"\")*)\"|([^.\[\]\"]+)", name)
    return [a.replace("]]", "]") or b.replace('""', '"') or c.strip() for a, b, c in found]


def information(session: SqlSession, name: str, args: list[Any]) -> Any:
    """The value of a metadata function with constant arguments."""
    first = str(args[0]) if args and args[0] is not None else ""
    catalog, admin = session.catalog, session.login.admin
    match name:
        case "SERVERPROPERTY":
            return _PROPERTIES.get(first.lower())
        case "DB_NAME" | "DB_ID":
            if args:
                found = [d for d in catalog.databases.values() if d.name.lower() == first.lower() or str(d.database_id) == first]
            else:
                found = [catalog.databases[session.database.lower()]]
            return (found[0].name if name == "DB_NAME" else found[0].database_id) if found else None
        case "OBJECT_ID":
            table = _table(session, first)
            return table.object_id if table else None
        case "SCHEMA_NAME" | "SCHEMA_ID":
            known = {"dbo": 1, "guest": 2, "information_schema": 3, "sys": 4}
            if name == "SCHEMA_ID":
                return known.get(first.lower()) if args else 1
            return {str(v): k for k, v in known.items()}.get(first) if args else "dbo"
        case "IS_SRVROLEMEMBER" | "IS_MEMBER" | "IS_ROLEMEMBER":
            if first.lower() not in _MEMBERSHIPS:
                return None
            return int(first.lower() in ("public", "db_datareader") or (admin and not first.lower().startswith("db_deny")))
        case "HAS_PERMS_BY_NAME":
            return _has_permission(session, args)
        case "DATABASEPROPERTYEX":
            database = catalog.databases.get(first.lower())
            known_values: dict[str, Any] = {
                "updateability": "READ_WRITE",
                "status": "ONLINE",
                "collation": "SQL_Latin1_General_CP1_CI_AS",
                "recovery": "FULL",
            }
            if database is not None and database.read_only:
                known_values["updateability"] = "READ_ONLY"
            return known_values.get(str(args[1]).lower()) if database is not None else None
        case "HAS_DBACCESS":
            return int(first.lower() in catalog.databases)
        case "HOST_NAME" | "APP_NAME":
            return session.host if name == "HOST_NAME" else session.application
        case "USER_NAME" | "CURRENT_USER" | "SESSION_USER" | "USER":
            return "dbo" if admin else session.login.name
        case "SUSER_SNAME" | "SUSER_NAME" | "ORIGINAL_LOGIN" | "SYSTEM_USER":
            return session.login.name
        case "XACT_STATE":
            return int(session.trancount > 0)
    return None


def _table(session: SqlSession, name: str) -> Any:
    named = parts(name)
    if not named:
        return None
    schema = named[-2] if len(named) > 1 and named[-2] else "dbo"
    return session.catalog.table(named[-3] if len(named) > 2 else session.database, schema, named[-1])


def _has_permission(session: SqlSession, args: list[Any]) -> int | None:
    permission = str(args[2]).upper() if len(args) > 2 else ""
    if args[0] is not None and str(args[1]).upper() == "OBJECT" and _table(session, str(args[0])) is None:
        return None
    return int(session.login.admin or permission in _READS or permission == "VIEW DEFINITION")


def virtual(session: SqlSession, schema: str, name: str, args: list[Any] | None) -> View | None:
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
                (1000 + s.spid, databases[s.database.lower()].database_id, s.writing_since, 1, 4, 37000000000 + s.spid)
                for s in sessions
                if s.writing_since
            ]
        case "dm_exec_sessions":
            return SESSIONS, [
                (s.spid, s.since, s.host, s.application, s.login.name, "running" if s is session else "sleeping",
                 session.catalog.databases[s.database.lower()].database_id, s.isolation, s.trancount) for s in sessions
            ]  # fmt: skip
        case "dm_exec_connections":
            return CONNECTIONS, [(s.spid, "TCP", "TSQL", 0x74000004, "TRUE" if s.encrypted else "FALSE", "SQL") for s in sessions]
    return None


def _my_permissions(session: SqlSession, args: list[Any]) -> list[tuple[str, str, str]]:
    granted = _READS + ((*_WRITES, *_OWNER) if session.login.admin else ())
    if len(args) > 1 and str(args[1]).upper() == "OBJECT":
        table = _table(session, str(args[0]))
        if table is None:
            return []
        rows = [(str(args[0]), "", p) for p in granted if p != "CONNECT"]
        return rows + [(str(args[0]), c.name, "SELECT") for c in table.columns]
    return [("database", "", p) for p in granted]
