"""Runs CREATE, ALTER and DROP of logins, users and roles."""

from __future__ import annotations

import re
from collections.abc import Callable

from airflow_provider_pacs.sandbox.catalog.principals import FIXED_ROLES, Principals, Securable, User
from airflow_provider_pacs.sandbox.model import SqlError
from airflow_provider_pacs.sandbox.tsql.access import refuse_definition
from airflow_provider_pacs.sandbox.tsql.batch import Statement
from airflow_provider_pacs.sandbox.tsql.names import parts
from airflow_provider_pacs.sandbox.tsql.session_state import SessionState

_NAME = r"(\[(?:[^\]]|\]\])*\]|\w+)"
_TEXT = r"N?('(?:[^']|'')*')"
_OPTIONS = r"((?:\s*,\s*\w+\s*=\s*(?:\[(?:[^\]]|\]\])*\]|\w+))*)"
_RULES: tuple[tuple[str, str], ...] = (
    ("create_login", rf"CREATE\s+LOGIN\s+{_NAME}\s+WITH\s+PASSWORD\s*=\s*{_TEXT}{_OPTIONS}"),
    ("alter_login", rf"ALTER\s+LOGIN\s+{_NAME}\s+WITH\s+PASSWORD\s*=\s*{_TEXT}{_OPTIONS}"),
    ("drop_login", rf"DROP\s+LOGIN\s+{_NAME}"),
    (
        "create_user",
        rf"CREATE\s+USER\s+{_NAME}(?:\s+(?:FOR|FROM)\s+LOGIN\s+{_NAME}|\s+(WITHOUT\s+LOGIN))?"
        rf"(?:\s+WITH\s+DEFAULT_SCHEMA\s*=\s*{_NAME})?",
    ),
    ("drop_user", rf"DROP\s+USER\s+(IF\s+EXISTS\s+)?{_NAME}"),
    ("create_role", rf"CREATE\s+ROLE\s+{_NAME}(?:\s+AUTHORIZATION\s+{_NAME})?"),
    ("alter_role", rf"ALTER\s+ROLE\s+{_NAME}\s+(ADD|DROP)\s+MEMBER\s+{_NAME}"),
    ("drop_role", rf"DROP\s+ROLE\s+(IF\s+EXISTS\s+)?{_NAME}"),
)
_NEEDS = {"USER": ("ALTER ANY USER",), "ROLE": ("ALTER ANY ROLE", "CREATE ROLE"), "LOGIN": ()}


def run(session: SessionState, statement: Statement) -> bool:
    """Runs one statement; False for a statement that is about something else.

    Raises:
        SqlError: 262 without the right, 15007, 15023, 15025, 15144, 15151 as SQL Server has them.
    """
    for name, rule in _RULES:
        matched = re.fullmatch(rule, statement.text.strip().rstrip(";").strip(), re.IGNORECASE)
        if matched is not None:
            verb, kind = name.upper().split("_")
            refuse_definition(session, f"{verb} {kind}", _NEEDS[kind])
            _ACTIONS[name](session, [group or "" for group in matched.groups()])
            return True
    return False


def _last(name: str) -> str:
    return parts(name)[-1]


def _principals(session: SessionState) -> Principals:
    return session.catalog.databases[session.database.lower()].principals


def _new_name(session: SessionState, name: str) -> str:
    plain = _last(name)
    if _principals(session).knows(plain):
        raise SqlError(
            15023, f"User, group, or role '{plain}' already exists in the current database.", severity=16
        )
    return plain


def _create_login(session: SessionState, groups: list[str]) -> None:
    session.engine.add_login(_last(groups[0]), groups[1][1:-1].replace("''", "'"))


def _alter_login(session: SessionState, groups: list[str]) -> None:
    session.engine.set_password(_last(groups[0]), groups[1][1:-1].replace("''", "'"))


def _drop_login(session: SessionState, groups: list[str]) -> None:
    session.engine.drop_login(_last(groups[0]))


def _create_user(session: SessionState, groups: list[str]) -> None:
    name = _new_name(session, groups[0])
    login = "" if groups[2] else _last(groups[1] or groups[0])
    principals = _principals(session)
    if login:
        if taken := principals.user_of(login):
            raise SqlError(
                15063, f"The login already has an account under a different user name '{taken.name}'."
            )
        session.engine.admit(login, session.database)
    schema = _last(groups[3]) if groups[3] else "dbo"
    principals.users[name.lower()] = User(name, login.lower(), principals.number(), schema)
    if login:
        principals.set("GRANT", name, "CONNECT", Securable())


def _drop_user(session: SessionState, groups: list[str]) -> None:
    user = _principals(session).users.get(_last(groups[1]).lower())
    if user is None:
        if groups[0]:
            return
        raise _missing("user", _last(groups[1]))
    _principals(session).forget(user.name)
    if user.login:
        session.engine.expel(user.login, session.database)


def _create_role(session: SessionState, groups: list[str]) -> None:
    name, principals = _new_name(session, groups[0]), _principals(session)
    owner = _last(groups[1]) if groups[1] else "dbo"
    if not principals.knows(owner):
        raise _missing("user", owner)
    principals.add_role(name, owner)


def _alter_role(session: SessionState, groups: list[str]) -> None:
    principals = _principals(session)
    role, member = principals.roles.get(_last(groups[0]).lower()), _last(groups[2])
    if role is None or role.name == "public":
        raise _missing("role", _last(groups[0]))
    if not principals.knows(member):
        raise SqlError(15410, f"User or role '{member}' does not exist in this database.", severity=11)
    if member.lower() == "dbo":
        raise SqlError(15405, "Cannot use the special principal 'dbo'.", severity=11)
    if groups[1].upper() == "ADD":
        if member.lower() in principals.roles and role.name.lower() in principals.groups(member):
            role_cycle = role.name.lower() == member.lower() or member.lower() in principals.groups(role.name)
            if role_cycle:
                raise SqlError(15413, "Cannot make a role a member of itself.", severity=11)
        role.members.add(member.lower())
    else:
        role.members.discard(member.lower())


def _drop_role(session: SessionState, groups: list[str]) -> None:
    principals = _principals(session)
    role = principals.roles.get(_last(groups[1]).lower())
    if role is None or role.name in FIXED_ROLES:
        if groups[0] and role is None:
            return
        raise _missing("role", _last(groups[1]))
    if role.members:
        raise SqlError(15144, "The role has members. It must be empty before it can be dropped.")
    principals.forget(role.name)


def _missing(kind: str, name: str) -> SqlError:
    verb = "drop" if kind in ("user", "role") else "find"
    return SqlError(
        15151, f"Cannot {verb} the {kind} '{name}', because it does not exist or you do not have permission."
    )


_ACTIONS: dict[str, Callable[[SessionState, list[str]], None]] = {
    "create_login": _create_login,
    "alter_login": _alter_login,
    "drop_login": _drop_login,
    "create_user": _create_user,
    "drop_user": _drop_user,
    "create_role": _create_role,
    "alter_role": _alter_role,
    "drop_role": _drop_role,
}
