"""Answers metadata functions and dynamic views as SQL Server would for the session's login."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_pacs.sandbox.catalog.principals import OF_DATABASES, Securable
from airflow_provider_pacs.sandbox.catalog.system_rows import SCHEMA_IDS
from airflow_provider_pacs.sandbox.catalog.system_tables import LIVE, columns
from airflow_provider_pacs.sandbox.catalog.tables import COLLATION, Database, Table
from airflow_provider_pacs.sandbox.model import Column
from airflow_provider_pacs.sandbox.tsql import access, change_tracking
from airflow_provider_pacs.sandbox.tsql.names import parts
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
_SERVER_ROLES = frozenset(
    "sysadmin serveradmin securityadmin processadmin setupadmin bulkadmin diskadmin dbcreator public".split()
)

_SERVER_ROLES_OF_AN_ADMINISTRATOR = frozenset({"sysadmin", "serveradmin", "securityadmin"})
_ROLES_OF_DBO = frozenset({"db_owner", "db_datareader", "db_datawriter", "db_ddladmin"})

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
TRACKING_DATABASES = columns(
    "database_id int!, is_auto_cleanup_on bit, retention_period int, retention_period_units tinyint"
)
INTERNAL_TABLES = columns(
    "name sysname!, object_id int!, parent_object_id int!, type char(2)!, internal_type tinyint, "
    "internal_type_desc nvarchar(60)"
)
TRACKING_TABLES = columns(
    "object_id int!, is_track_columns_updated_on bit!, min_valid_version bigint, begin_version bigint, "
    "cleanup_version bigint"
)
SCANS = columns(
    "session_id int!, start_time datetime!, end_time datetime, duration int!, scan_phase nvarchar(200), error_count int!, "
    "tran_count bigint!, latency int!, empty_scan_count int!, last_commit_time datetime"
)
CDC_ERRORS = columns(
    "session_id int, phase_number int, entry_time datetime, error_number int, error_severity int, error_state int, "
    "error_message nvarchar(1024), start_lsn nvarchar(23), begin_lsn nvarchar(23), sequence_value nvarchar(23)"
)
View = tuple[tuple[Column, ...], list[tuple[Any, ...]]]


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
    return table.object_id if table and access.sees(session, table) else None


def _schema_name(session: SessionState, first: str, args: list[Any]) -> Any:
    return {str(v): k for k, v in SCHEMA_IDS.items()}.get(first) if args else "dbo"


def _schema_id(session: SessionState, first: str, args: list[Any]) -> Any:
    return {k.lower(): v for k, v in SCHEMA_IDS.items()}.get(first.lower()) if args else 1


def _server_role(session: SessionState, first: str, args: list[Any]) -> Any:
    role = first.lower()
    if role not in _SERVER_ROLES:
        return None
    return int(role == "public" or (session.login.admin and role in _SERVER_ROLES_OF_AN_ADMINISTRATOR))


def _database_role(session: SessionState, first: str, args: list[Any]) -> Any:
    member = access.in_role(session, first, str(args[1]) if len(args) > 1 and args[1] is not None else "")
    return None if member is None else int(member or (session.login.admin and first.lower() in _ROLES_OF_DBO))


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
    return access.user_name(session)


def _login(session: SessionState, first: str, args: list[Any]) -> Any:
    return session.login.name


def _table(session: SessionState, name: str) -> Table | None:
    named = parts(name)
    if not named:
        return None
    schema = named[-2] if len(named) > 1 and named[-2] else "dbo"
    return session.catalog.table(named[-3] if len(named) > 2 else session.database, schema, named[-1])


def _has_permission(session: SessionState, first: str, args: list[Any]) -> int | None:
    """HAS_PERMS_BY_NAME(securable, class, permission [, sub-securable, sub-class])."""
    action, kind = (str(args[n]).upper() if len(args) > n and args[n] is not None else "" for n in (2, 1))
    if not kind or kind == "SERVER":
        return int(access.may_on_server(session, action))
    if kind == "DATABASE":
        return int(
            action in OF_DATABASES and access.may(session, action, Securable(), first or session.database)
        )
    if kind == "SCHEMA":
        return int(access.may(session, action, Securable(parts(first)[-1].lower())))
    table = _table(session, first) if kind == "OBJECT" else None
    if table is None or not access.sees(session, table):
        return None
    if len(args) > 3 and args[3] is not None:
        name = parts(str(args[3]))[-1].lower()
        column = next((c for c in table.columns if c.name.lower() == name), None)
        return None if column is None else int(access.may_column(session, action, table, column))
    return int(access.may(session, action, table.securable, table.database))


def _has_database_access(session: SessionState, first: str, args: list[Any]) -> int | None:
    database = session.catalog.databases.get(first.lower())
    return None if database is None else int(access.may_open(session, database))


_FUNCTIONS: dict[str, Callable[[SessionState, str, list[Any]], Any]] = {
    "SERVERPROPERTY": _server_property,
    "DB_NAME": _db_name,
    "DB_ID": _db_id,
    "OBJECT_ID": _object_id,
    "SCHEMA_NAME": _schema_name,
    "SCHEMA_ID": _schema_id,
    "IS_SRVROLEMEMBER": _server_role,
    **dict.fromkeys(("IS_MEMBER", "IS_ROLEMEMBER"), _database_role),
    "HAS_PERMS_BY_NAME": _has_permission,
    "DATABASEPROPERTYEX": _database_property,
    "HAS_DBACCESS": _has_database_access,
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
    if name == "change_tracking_databases":
        return TRACKING_DATABASES, change_tracking.rows_of_databases(session)
    if name == "change_tracking_tables":
        return TRACKING_TABLES, change_tracking.rows_of_tables(session)
    if name == "internal_tables":
        return INTERNAL_TABLES, change_tracking.rows_of_internal_tables(session)
    if spec := LIVE.get(f"sys.{name}"):
        database = session.catalog.databases[session.database.lower()]
        return spec.columns, list(spec.rows(session.catalog, database))
    return _of_the_sessions(session, name)


def _of_the_sessions(session: SessionState, name: str) -> View | None:
    sessions = session.engine.sessions()
    if name == "dm_exec_sessions" and not access.may_on_server(session, "VIEW SERVER STATE"):
        sessions = [s for s in sessions if s is session]
    match name:
        case "dm_tran_database_transactions":
            access.need_server_state(session)
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
        case "dm_cdc_log_scan_sessions":
            access.need_server_state(session)
            return SCANS, _scans(session)
        case "dm_cdc_errors":
            access.need_server_state(session)
            return CDC_ERRORS, _capture_errors(session)
        case "dm_exec_connections":
            access.need_server_state(session)
            return CONNECTIONS, [
                (s.spid, "TCP", "TSQL", 0x74000004, "TRUE" if s.encrypted else "FALSE", "SQL")
                for s in sessions
            ]
    return None


def _scans(session: SessionState) -> list[tuple[Any, ...]]:
    """The last scan of the capture job; none while it is stopped."""
    tracking = session.catalog.databases[session.database.lower()].tracking
    if not tracking.captures or not tracking.running:
        return []
    now, errors = session.engine.clock.local(), int(tracking.error is not None)
    return [(1, now, None, 0, "Aggregate", errors, tracking.captured, int(tracking.lag), 0, now)]


def _capture_errors(session: SessionState) -> list[tuple[Any, ...]]:
    """What the capture process fails with; nothing where it works."""
    error = session.catalog.databases[session.database.lower()].tracking.error
    if error is None:
        return []
    moment, number, message = error
    return [(1, 7, moment, number, 16, 1, message, None, None, None)]


def _my_permissions(session: SessionState, args: list[Any]) -> list[tuple[str, str, str]]:
    kind = str(args[1]).upper() if len(args) > 1 else "DATABASE"
    table = _table(session, str(args[0])) if kind == "OBJECT" else None
    if kind == "OBJECT" and table is None:
        return []
    name = str(args[0]) if table is not None else kind.lower()
    return [(name, column, action) for action, column in access.permissions_of(session, kind, table)]
