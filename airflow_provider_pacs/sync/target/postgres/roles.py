"""Roles without login: who is a member of which, what the owner's owns. What each may do: privileges.py."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

Connection = psycopg.Connection[Any]
OWNER, SYNC, MONITOR, AUDITOR, READ = "pacs_owner", "pacs_sync", "pacs_monitor", "pacs_auditor", "pacs_read"
ASSESSOR, VALUATION, REPORTING = "pacs_assessor", "pacs_valuation", "pacs_reporting"
IT_ADMIN = "pacs_it_admin"
OLD_MONITOR = "pacs_ops_read"
"""The monitor's name before: its members are members of `pacs_monitor` now."""
ROLES: dict[str, str] = {
    OWNER: "owns the schemas; nobody logs in as it",
    SYNC: "what a run needs",
    MONITOR: "reads the journal for the operations page",
    AUDITOR: "reads the journal, the audit, and who may read which county",
    READ: "reads schema pacs, by county",
    OLD_MONITOR: "an older name of pacs_monitor",
}
STAFF: dict[str, str] = {
    ASSESSOR: "the assessor: every row of the granted counties, and the reports",
    VALUATION: "valuation staff: the same without owners",
    REPORTING: "reporting staff: the reports, which hold no personal data",
    IT_ADMIN: "IT administration: the journal, and who may read which county",
}
"""Roles of people, beside `pacs_auditor`; made by `pacs grants --roles`."""
SCHEMAS = ("pacs", "pacs_part", "pacs_ops", "pacs_report", "pacs_stage")


def existing_roles(connection: Connection) -> set[str]:
    """Which of the group roles the server has."""
    rows = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", ([*ROLES, *STAFF],))
    return {name for (name,) in rows}


def role_statement(role: str) -> sql.Composed:
    """A role without login, unless it is there: other databases of the server share it."""
    return sql.SQL(
        "DO $do$ BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {0}) THEN CREATE ROLE "
        "{1} NOLOGIN; END IF; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $do$;"
    ).format(sql.Literal(role), sql.Identifier(role))


def membership_statement(role: str, member: str) -> sql.Composed:
    """The role for the member, unless it has it."""
    tag = "do"
    while tag in member:
        tag += "_"
    return sql.SQL(
        "DO {0} BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members AS m JOIN pg_catalog.pg_roles AS "
        "r ON r.oid = m.roleid JOIN pg_catalog.pg_roles AS w ON w.oid = m.member WHERE r.rolname = {1} AND "
        "w.rolname = {2}) THEN GRANT {3} TO {4}; END IF; END {0};"
    ).format(
        sql.SQL(f"${tag}$"),
        sql.Literal(role),
        sql.Literal(member),
        sql.Identifier(role),
        sql.Identifier(member),
    )


def make_roles(connection: Connection) -> None:
    """Roles and memberships that are missing; another database of the server may be making them now."""
    statements = [role_statement(role) for role in ROLES]
    statements += [membership_statement(SYNC, OWNER), membership_statement(MONITOR, OLD_MONITOR)]
    for statement in statements:
        try:
            with connection.transaction():
                connection.execute(statement)
        except (
            psycopg.errors.InsufficientPrivilege,  # a DBA runs what `pacs grants --target` prints
            psycopg.errors.UndefinedObject,  # a role of the membership is missing for that reason
            psycopg.errors.UniqueViolation,  # another database of this server did it just now
            psycopg.errors.InternalError_,
        ):
            continue


def may_become(connection: Connection, role: str) -> bool:
    """Whether objects can be handed to the role; PostgreSQL 16 tells SET from other memberships."""
    privilege = "SET" if connection.info.server_version >= 160000 else "MEMBER"
    row = connection.execute("SELECT pg_has_role(%s::name, %s)", (role, privilege)).fetchone()
    return bool(row and row[0])


def hand_over(connection: Connection, there: set[str], functions: set[tuple[str, str]]) -> None:
    """Everything in the schemas and these functions (schema, name) to `pacs_owner`, the staging tables to
    `pacs_sync`.
    """
    if not {OWNER, SYNC} <= there or not (may_become(connection, OWNER) and may_become(connection, SYNC)):
        return
    for schema in SCHEMAS:
        connection.execute(
            sql.SQL("ALTER SCHEMA {} OWNER TO {}").format(sql.Identifier(schema), sql.Identifier(OWNER))
        )
    # creating in a schema is needed before an object of it can be owned
    connection.execute("GRANT USAGE, CREATE ON SCHEMA pacs_part, pacs_stage TO pacs_sync")
    for schema, name, kind in connection.execute(
        "SELECT n.nspname, c.relname, c.relkind::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = "
        "c.relnamespace WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p', 'v') AND (c.relispartition OR "
        "n.nspname <> 'pacs_part') AND c.relowner <> CASE n.nspname WHEN 'pacs_stage' THEN "
        "'pacs_sync'::regrole ELSE 'pacs_owner'::regrole END ORDER BY c.oid",
        (list(SCHEMAS),),
    ).fetchall():
        owner = SYNC if schema == "pacs_stage" else OWNER
        connection.execute(
            sql.SQL("ALTER {} {} OWNER TO {}").format(
                sql.SQL("VIEW" if kind == "v" else "TABLE"),
                sql.Identifier(schema, name),
                sql.Identifier(owner),
            )
        )
    for name in connection.execute(
        "SELECT p.oid::regprocedure::text FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace "
        "JOIN unnest(%s::text[], %s::text[]) AS w(schema, name) ON w.schema = n.nspname AND w.name = "
        "p.proname "
        "WHERE p.prokind = 'f' AND p.proowner <> 'pacs_owner'::regrole",
        ([schema for schema, _ in functions], [name for _, name in functions]),
    ).fetchall():
        connection.execute(f"ALTER FUNCTION {name[0]} OWNER TO pacs_owner".encode())
