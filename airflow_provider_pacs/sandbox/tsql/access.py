"""What a session's login may do: the permission checks of statements, and what of the catalog it sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from airflow_provider_pacs.sandbox.catalog.principals import (
    OF_DATABASES,
    OF_OBJECTS,
    OF_SERVERS,
    WITH_COLUMNS,
    Principals,
    Securable,
)
from airflow_provider_pacs.sandbox.catalog.tables import Database, Source, Table
from airflow_provider_pacs.sandbox.model import Column, SqlError
from airflow_provider_pacs.sandbox.tsql.session_state import SessionState

_OBJECT_COLUMNS = ("parent_object_id", "object_id", "major_id", "parent_id")


def user_name(session: SessionState, database: str = "") -> str:
    """The session's user in a database: `dbo` for an administrator, `guest` where it has none."""
    if session.login.admin:
        return "dbo"
    user = _principals(session, database).user_of(session.login.name)
    return user.name if user is not None else "guest"


def _principals(session: SessionState, database: str = "") -> Principals:
    return session.catalog.databases[(database or session.database).lower()].principals


def may_open(session: SessionState, database: Database) -> bool:
    """Whether the session may use a database: it has a user there, or the database is the system's."""
    return (
        session.login.may_open(database.name) or database.principals.user_of(session.login.name) is not None
    )


def may(session: SessionState, action: str, securable: Securable, database: str = "") -> bool:
    """Whether the session holds a permission."""
    if session.login.admin:
        return True
    return _principals(session, database).may(user_name(session, database), action, securable)


def may_on_server(session: SessionState, action: str) -> bool:
    """Whether the session's login holds a permission on the server."""
    return session.login.admin or action in session.engine.server_permissions(session.login.name)


def require(session: SessionState, action: str, table: Table, columns: Iterable[str]) -> None:
    """The check of one statement on one table.

    Raises:
        SqlError: 229 without any permission on the object, 230 where it lacks that of a column.
    """
    if session.login.admin:
        return
    user, principals = user_name(session, table.database), _principals(session, table.database)
    on_table = principals.may(user, action, table.securable)
    if not on_table and not (action in WITH_COLUMNS and principals.any_column(user, action, table.securable)):
        raise SqlError(
            229,
            f"The {action} permission was denied on the object '{table.name}', database "
            f"'{table.database}', schema '{table.schema}'.",
            severity=14,
            state=5,
        )
    if action not in WITH_COLUMNS:
        return
    for name in sorted(columns, key=table.position):
        if not principals.may(user, action, replace(table.securable, column=name.lower())):
            raise SqlError(
                230,
                f"The {action} permission was denied on the column '{name}' of the object '{table.name}', "
                f"database '{table.database}', schema '{table.schema}'.",
                severity=14,
                state=1,
            )


def sees(session: SessionState, table: Table) -> bool:
    """Whether the catalog shows a table to the session."""
    if session.login.admin:
        return True
    user = user_name(session, table.database)
    return _principals(session, table.database).sees(user, table.securable)


def visible(session: SessionState, database: str, source: Source) -> Source:
    """A system table with the rows that the session may see."""
    names = {c.name.lower() for c in source.columns}
    tables = list(session.catalog.tables(database))
    seen = [t for t in tables if sees(session, t)]
    if session.login.admin or len(seen) == len(tables) or source.table is not None:
        return source
    if "table_name" in names:
        pairs = ", ".join(f"({_text(t.schema)}, {_text(t.name)})" for t in seen)
        condition = f"(TABLE_SCHEMA, TABLE_NAME) IN ({pairs})" if seen else "FALSE"
    elif by := [name for name in _OBJECT_COLUMNS if name in names]:
        ids = ", ".join(str(t.object_id) for t in seen) or "-1"
        condition = " OR ".join(f"{name} IN ({ids})" for name in by)
    else:
        return source
    return replace(source, sql=f"(SELECT * FROM {source.sql} WHERE {condition})")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def permissions_of(session: SessionState, kind: str, table: Table | None) -> list[tuple[str, str]]:
    """The effective permissions on the database, the server or a table, each with a column's name or nothing."""
    if kind == "SERVER":
        return [(action, "") for action in OF_SERVERS if may_on_server(session, action)]
    if table is None:
        return [(action, "") for action in OF_DATABASES if may(session, action, Securable())]
    whole = [(a, "") for a in OF_OBJECTS if may(session, a, table.securable, table.database)]
    return whole + [
        (action, column.name)
        for column in table.columns
        for action in WITH_COLUMNS
        if may_column(session, action, table, column)
    ]


def may_column(session: SessionState, action: str, table: Table, column: Column) -> bool:
    """Whether the session holds a permission on one column."""
    return may(session, action, replace(table.securable, column=column.name.lower()), table.database)


def in_role(session: SessionState, role: str, user: str = "") -> bool | None:
    """Membership of a database role; None for a role that does not exist."""
    principals = _principals(session)
    if role.lower() not in principals.roles:
        return None
    name = user or user_name(session)
    if name.lower() == "dbo":
        return (
            role.lower() in ("public", "db_owner") or name.lower() in principals.roles[role.lower()].members
        )
    return role.lower() in principals.groups(name)


def need_server_state(session: SessionState) -> None:
    """The check of the dynamic views about all sessions.

    Raises:
        SqlError: 300 without VIEW SERVER STATE.
    """
    if not may_on_server(session, "VIEW SERVER STATE"):
        raise SqlError(
            300,
            "VIEW SERVER STATE permission was denied on object 'server', database 'master'.",
            severity=14,
        )


def refuse_definition(session: SessionState, what: str, actions: Sequence[str] = ()) -> None:
    """The check of a statement that defines something: an administrator, an owner, or one of `actions`.

    Raises:
        SqlError: 262 without the permission.
    """
    if not session.login.admin and not any(may(session, a, Securable()) for a in ("CONTROL", *actions)):
        raise SqlError(262, f"{what} permission denied in database '{session.database}'.", severity=14)
