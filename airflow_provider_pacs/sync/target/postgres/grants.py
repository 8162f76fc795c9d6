"""Names of logins -> the PostgreSQL statements that give each exactly its part of the platform.

Printed for a DBA, who runs them in the platform's database and may run them again. Functions are named with
their schema: one that somebody made in `public`, with arguments that fit better, would run with the DBA's
rights.
"""

from __future__ import annotations

from psycopg import sql

from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.target.postgres import privileges, roles

LOGIN = "tf_pacs_sync"
MONITOR_LOGIN = "tf_pacs_monitor"


def target_grants(login: str = LOGIN, monitor: str = MONITOR_LOGIN) -> list[str]:
    """One statement a line: the group roles, the owner's right to make the schemas, the sync's login and the
    page's.

    Who runs them becomes a member of `pacs_owner`, so that `pacs migrate` can follow with the same login.
    Passwords are for the DBA to set (psql has a command for it), and go into the connections only.

    Raises:
        ConfigError: a name is longer than PostgreSQL's 63 bytes, or has a line end or NUL in it, or both
            logins have one name.
    """
    for name in (login, monitor):
        if not 0 < len(name.encode("utf-8", "surrogatepass")) <= 63 or not name.isprintable():
            raise ConfigError(
                f"not a PostgreSQL role name: {name!r}", remedy="names have 1 to 63 bytes on one line"
            )
    if login == monitor:
        raise ConfigError(
            "the sync and the page need a login each", remedy="the page's must not be able to write"
        )
    statements: list[sql.Composable] = []
    for role, about in roles.ROLES.items():
        statements.append(roles.role_statement(role) + sql.SQL(f"  -- {about}"))
    statements += [
        roles.membership_statement(roles.SYNC, roles.OWNER),
        roles.membership_statement(roles.MONITOR, roles.OLD_MONITOR),
        sql.SQL(
            "DO $do$ BEGIN IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) "
            "THEN GRANT pacs_owner, pacs_sync TO CURRENT_USER; END IF; END $do$;"
        ),
        _on_database("CONNECT, CREATE", roles.OWNER),
    ]
    for name, role, what in (
        (login, roles.SYNC, "CONNECT, TEMPORARY"),
        (monitor, roles.MONITOR, "CONNECT"),
    ):
        statements += [
            _login(name),
            roles.membership_statement(role, name),
            _on_database(what, name),
        ]
    # what the sync makes belongs to the group, so that another login of it can take over
    statements.append(
        sql.SQL("ALTER ROLE {} SET role = {};").format(sql.Identifier(login), sql.Literal(roles.SYNC))
    )
    statements.append(
        sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on;").format(sql.Identifier(monitor))
    )
    return [statement.as_string(None) for statement in statements]


def role_grants() -> list[str]:
    """One statement a line: the roles of people and their rights in a target that `pacs migrate` has made.

    A login gets a role of these, and the counties that it may read; the last lines show how.
    """
    statements: list[sql.Composable] = [
        roles.role_statement(role) + sql.SQL(f"  -- {about}") for role, about in roles.STAFF.items()
    ]
    statements += [_on_database("CONNECT", role) for role in (*roles.STAFF, roles.AUDITOR)]
    statements += [_where_it_is(grant) for grant in privileges.staff_grants()]
    return [statement.as_string(None) for statement in statements]


def _where_it_is(grant: privileges.Grant) -> sql.Composed:
    """The grant; of a table of the journal, which came and went with versions, where it is there."""
    statement = privileges.grant_statement(grant)
    if grant.schema != "pacs_ops" or grant.kind != "table":
        return statement + sql.SQL(";")
    return sql.SQL(
        "DO $do$ BEGIN IF pg_catalog.to_regclass({}) IS NOT NULL THEN {}; END IF; END $do$;"
    ).format(sql.Literal(f"pacs_ops.{grant.name}"), statement)


def _login(name: str) -> sql.Composed:
    """A login without any attribute of power, unless it is there."""
    return sql.SQL(
        "DO {0} BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {1}) THEN CREATE ROLE "
        "{2} LOGIN; END IF; END {0};"
    ).format(_dollar(name), sql.Literal(name), sql.Identifier(name))


def _on_database(what: str, role: str) -> sql.Composed:
    return sql.SQL(
        "DO {0} BEGIN EXECUTE pg_catalog.format('GRANT {1} ON DATABASE %I TO %I', "
        "pg_catalog.current_database(), {2}); END {0};"
    ).format(_dollar(role), sql.SQL(what), sql.Literal(role))


def _dollar(name: str) -> sql.SQL:
    """A dollar quote that the name does not end, wherever it stands in it."""
    tag = "do"
    while tag in name:
        tag += "_"
    return sql.SQL(f"${tag}$")
