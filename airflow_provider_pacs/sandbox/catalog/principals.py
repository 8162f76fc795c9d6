"""The principals of one database and the permissions they hold, with SQL Server's rules of precedence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

FIXED_ROLES = {
    "public": 0,
    "db_owner": 16384,
    "db_accessadmin": 16385,
    "db_securityadmin": 16386,
    "db_ddladmin": 16387,
    "db_backupoperator": 16389,
    "db_datareader": 16390,
    "db_datawriter": 16391,
    "db_denydatareader": 16392,
    "db_denydatawriter": 16393,
}
_OF_ROLES: dict[tuple[str, str], tuple[str, ...]] = {
    ("db_datareader", "GRANT"): ("SELECT",),
    ("db_datawriter", "GRANT"): ("INSERT", "UPDATE", "DELETE"),
    ("db_denydatareader", "DENY"): ("SELECT",),
    ("db_denydatawriter", "DENY"): ("INSERT", "UPDATE", "DELETE"),
    ("db_ddladmin", "GRANT"): ("ALTER ANY SCHEMA", "CREATE TABLE", "CREATE SCHEMA"),
    ("db_accessadmin", "GRANT"): ("ALTER ANY USER",),
    ("db_securityadmin", "GRANT"): ("ALTER ANY ROLE",),
}
WITH_COLUMNS = ("SELECT", "UPDATE", "REFERENCES")
OF_OBJECTS = (
    "ALTER",
    "CONTROL",
    "DELETE",
    "EXECUTE",
    "INSERT",
    "REFERENCES",
    "SELECT",
    "TAKE OWNERSHIP",
    "UPDATE",
    "VIEW CHANGE TRACKING",
    "VIEW DEFINITION",
)
OF_DATABASES = (
    *OF_OBJECTS,
    "ALTER ANY ROLE",
    "ALTER ANY SCHEMA",
    "ALTER ANY USER",
    "CONNECT",
    "CREATE PROCEDURE",
    "CREATE ROLE",
    "CREATE SCHEMA",
    "CREATE TABLE",
    "CREATE VIEW",
    "SHOWPLAN",
    "UNMASK",
    "VIEW DATABASE PERFORMANCE STATE",
    "VIEW DATABASE STATE",
)
OF_SERVERS = (
    "ALTER ANY LOGIN",
    "CONNECT SQL",
    "CONTROL SERVER",
    "VIEW ANY DATABASE",
    "VIEW ANY DEFINITION",
    "VIEW SERVER PERFORMANCE STATE",
    "VIEW SERVER STATE",
)
# What a permission also gives, beside CONTROL, which gives everything below.
_IMPLIED_BY = {"VIEW CHANGE TRACKING": (), "VIEW DEFINITION": ("ALTER",), "EXECUTE": ()}


@dataclass(frozen=True, slots=True)
class Securable:
    """What a permission is on: a database (both names empty), a schema, an object, or a column of one; names
    in lower case.
    """

    schema: str = ""
    name: str = ""
    column: str = ""

    @property
    def level(self) -> int:
        """0 database, 1 schema, 2 object, 3 column."""
        return 3 if self.column else 2 if self.name else 1 if self.schema else 0


@dataclass(frozen=True, slots=True)
class Permission:
    """One row of sys.database_permissions; `principal` in lower case, `state` GRANT or DENY."""

    principal: str
    action: str
    securable: Securable
    state: str


@dataclass(slots=True)
class User:
    """A database user; `login` in lower case, empty for a user without login."""

    name: str
    login: str
    number: int
    default_schema: str = "dbo"


@dataclass(slots=True)
class Role:
    """A role; `members` are the lower-case names of users and roles."""

    name: str
    number: int
    owner: str = "dbo"
    members: set[str] = field(default_factory=set)


class Principals:
    """Users, roles and permissions of one database."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.roles = {name: Role(name, number) for name, number in FIXED_ROLES.items()}
        self.permissions: list[Permission] = []
        self._next = 5

    def number(self) -> int:
        """The next principal_id."""
        self._next += 1
        return self._next - 1

    def user_of(self, login: str) -> User | None:
        """The user of a login."""
        return next((u for u in self.users.values() if u.login == login.lower()), None)

    def knows(self, name: str) -> bool:
        """Whether a user or role of that name exists."""
        return name.lower() in self.users or name.lower() in self.roles or name.lower() == "dbo"

    def add_role(self, name: str, owner: str = "dbo") -> None:
        """A new role without members."""
        self.roles[name.lower()] = Role(name, self.number(), owner)

    def forget(self, name: str) -> None:
        """Drops a user or role with its memberships and permissions."""
        self.users.pop(name.lower(), None)
        self.roles.pop(name.lower(), None)
        for role in self.roles.values():
            role.members.discard(name.lower())
        self.permissions = [p for p in self.permissions if p.principal != name.lower()]

    def forget_object(self, securable: Securable) -> None:
        """Drops the permissions on an object and its columns."""
        self.permissions = [p for p in self.permissions if not _covers(securable, p.securable)]

    def groups(self, user: str) -> frozenset[str]:
        """A user with every role it is in, directly or through roles."""
        result = {user.lower(), "public"}
        while more := {n for n, role in self.roles.items() if role.members & result and n not in result}:
            result |= more
        return frozenset(result)

    def set(self, state: str, principal: str, action: str, securable: Securable) -> None:
        """GRANT, DENY or REVOKE. A statement on a whole object replaces what its columns had."""
        who = principal.lower()
        self.permissions = [
            p
            for p in self.permissions
            if not (
                p.principal == who
                and p.action == action
                and (
                    p.securable == securable
                    or (
                        securable.level == 2
                        and (p.securable.schema, p.securable.name) == (securable.schema, securable.name)
                    )
                )
            )
        ]
        if state != "REVOKE":
            self.permissions.append(Permission(who, action, securable, state))

    def may(self, user: str, action: str, securable: Securable) -> bool:
        """Whether a user holds a permission: DENY wins, but for a column's own GRANT under its table's DENY."""
        groups = self.groups(user)
        if "db_owner" in groups:
            return True
        granted = denied = False
        for permission in self._granted(groups):
            if (
                permission.state == "DENY"
                and permission.action in (action, "CONTROL")
                and _covers(permission.securable, securable)
            ):
                if not (permission.securable.level == 2 and self._column_granted(groups, action, securable)):
                    denied = True
            elif (
                permission.state == "GRANT"
                and _gives(permission.action, action)
                and _covers(permission.securable, securable)
            ):
                granted = True
        return granted and not denied

    def any_column(self, user: str, action: str, securable: Securable) -> bool:
        """Whether a user holds a permission on at least one column of an object."""
        groups = self.groups(user)
        return any(
            p.state == "GRANT"
            and p.action == action
            and p.securable.column
            and _covers(securable, p.securable)
            for p in self._granted(groups)
        )

    def sees(self, user: str, target: Securable) -> bool:
        """Metadata visibility: any permission on the object, a column of it, or what it is in."""
        groups = self.groups(user)
        if "db_owner" in groups:
            return True
        if any(
            p.state == "DENY" and p.action in ("VIEW DEFINITION", "CONTROL") and _covers(p.securable, target)
            for p in self._granted(groups)
        ):
            return False
        return any(
            p.state == "GRANT"
            and p.action in OF_OBJECTS
            and (_covers(p.securable, target) or _covers(target, p.securable))
            for p in self._granted(groups)
        )

    def effective(self, user: str, actions: Iterable[str], securable: Securable) -> list[str]:
        """The permissions that a user holds on a securable, in order."""
        return [action for action in actions if self.may(user, action, securable)]

    def _column_granted(self, groups: frozenset[str], action: str, securable: Securable) -> bool:
        return bool(securable.column) and any(
            p.state == "GRANT" and p.action == action and p.securable == securable
            for p in self._granted(groups)
        )

    def _granted(self, groups: frozenset[str]) -> Iterator[Permission]:
        for (role, state), actions in _OF_ROLES.items():
            if role in groups:
                yield from (Permission(role, action, Securable(), state) for action in actions)
        yield from (p for p in self.permissions if p.principal in groups)


def _covers(outer: Securable, inner: Securable) -> bool:
    """Whether `inner` is `outer` or inside of it."""
    return (
        (not outer.schema or outer.schema == inner.schema)
        and (not outer.name or outer.name == inner.name)
        and (not outer.column or outer.column == inner.column)
    )


def _gives(granted: str, wanted: str) -> bool:
    return granted in (wanted, "CONTROL") or granted in _IMPLIED_BY.get(wanted, ())
