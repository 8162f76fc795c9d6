"""Who may do what in the target: one table of grants, made after every migration and proven by `check`.

Roles without login; a DBA grants them to logins (`pacs grants --target` prints how):

* `pacs_owner` owns schemas, tables and functions. Nobody logs in as it; `pacs migrate` acts for it.
* `pacs_sync` is what a run needs: it writes the journal without deleting evidence, writes the counties'
  partitions, owns the staging tables, and makes partitions and appends to the audit through functions.
* `pacs_monitor` reads the journal and the reports of sums for the page: no staging, no rows, no
  before-images.
* `pacs_auditor` reads the journal, the audit and who was granted which county.
* `pacs_read` reads schema `pacs`, by county (row-level security).

Roles of people, which `pacs grants --roles` makes and `migrate` only grants to where they are there; each
sees the counties that it or its login was granted:

* `pacs_assessor` reads schema `pacs`, owners too, and every report.
* `pacs_valuation` reads schema `pacs` without owners, and every report.
* `pacs_reporting` reads the reports: no row of schema `pacs`, no personal data.
* `pacs_it_admin` reads the journal for operations and decides, audited, who reads which county; it reads no
  row.

Everything here can be repeated at any time (docs/adr/0020-roles-and-audit.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import sql

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.reports import load_reports
from airflow_provider_pacs.sync.target.postgres import history_reports
from airflow_provider_pacs.sync.target.postgres.roles import (
    ASSESSOR,
    AUDITOR,
    IT_ADMIN,
    MONITOR,
    OLD_MONITOR,
    OWNER,
    READ,
    REPORTING,
    SCHEMAS,
    STAFF,
    SYNC,
    VALUATION,
    existing_roles,
    hand_over,
    make_roles,
    may_become,
)

Connection = psycopg.Connection[Any]

EVIDENCE = frozenset(
    {
        "county",
        "sync_run",
        "run_entity",
        "quality_result",
        "certificate",
        "quarantine",
        "held_delete",
        "held_delete_key",
        "pending_delete",
        "pending_delete_key",
        "county_hold",
    }
)
"""Journal tables that the sync fills and changes, but never deletes from."""
APPENDED = frozenset({"change_log", "change_log_state", "change_set"})
"""Tables that the sync adds to and reads, and changes or removes by function only."""
OWNERS_ONLY = frozenset(
    {"audit", "audit_head", "county_grant", "promoted_column", "quarantine_dismissal", "schema_migration"}
)
"""Tables that only the owner writes; the audit and what people do on the page by function."""
HIDDEN_FROM_SYNC = frozenset({"county_grant"})
JOURNAL = frozenset(
    {
        "county",
        "sync_run",
        "run_entity",
        "sync_state",
        "quarantine",
        "quarantine_dismissal",
        "quality_result",
        "certificate",
        "control_total",
        "held_delete",
        "pending_delete",
        "check_report",
        "county_hold",
        "realtime_state",
        "audit",
        "audit_head",
        "change_set",
        "history_span",
        "schema_migration",
        "promoted_column",
    }
)
"""What the page and an auditor read. A new table is named here, or neither sees it."""

MONTHS = "change_log_2"
"""How the partitions of the change log begin: `change_log_2026_11`."""

Kind = Literal["schema", "table", "sequence", "function"]


@dataclass(frozen=True, slots=True)
class Grant:
    """A privilege of a role on one object; a function's name carries its argument types."""

    role: str
    privilege: str
    kind: Kind
    schema: str
    name: str = ""

    def __str__(self) -> str:
        what = f"schema {self.schema}" if self.kind == "schema" else f"{self.schema}.{self.name}"
        return f"{self.privilege} on {what}"


_ON_PARTITIONS = ("SELECT", "INSERT", "UPDATE", "DELETE")
_SCHEMA_PRIVILEGES: tuple[tuple[str, str, str], ...] = (
    (READ, "USAGE", "pacs"),
    (READ, "USAGE", "pacs_report"),
    (SYNC, "USAGE", "pacs"),
    (SYNC, "USAGE", "pacs_ops"),
    (SYNC, "USAGE", "pacs_report"),
    (SYNC, "USAGE", "pacs_part"),
    (SYNC, "CREATE", "pacs_part"),
    (SYNC, "USAGE", "pacs_stage"),
    (SYNC, "CREATE", "pacs_stage"),
    (MONITOR, "USAGE", "pacs_ops"),
    (MONITOR, "USAGE", "pacs_report"),
    (AUDITOR, "USAGE", "pacs_ops"),
    (ASSESSOR, "USAGE", "pacs"),
    (ASSESSOR, "USAGE", "pacs_report"),
    (VALUATION, "USAGE", "pacs"),
    (VALUATION, "USAGE", "pacs_report"),
    (REPORTING, "USAGE", "pacs_report"),
    (IT_ADMIN, "USAGE", "pacs_ops"),
)
_NOT_FOR_VALUATION = frozenset({"owner"})
_FUNCTION_PRIVILEGES: tuple[tuple[str, str, str], ...] = (
    (SYNC, "pacs_ops", "append_audit(text,uuid,text,text,jsonb)"),
    (SYNC, "pacs_ops", "attach_partition(text,text)"),
    (SYNC, "pacs_ops", "readable_counties()"),
    (SYNC, "pacs_ops", "open_change_log_months()"),
    (SYNC, "pacs_ops", "redact_change_log(text,text,text[],jsonb)"),
    (SYNC, "pacs_ops", "redact_change_log_rows(text,text,uuid[],jsonb[])"),
    (SYNC, "pacs_ops", "prune_change_log(text,text,timestamptz)"),
    (SYNC, "pacs_ops", "drop_empty_change_log_months()"),
    (SYNC, "pacs_ops", "row_images(text,text,integer)"),
    (SYNC, "pacs_ops", "row_history(text,text,integer)"),
    (MONITOR, "pacs_ops", "row_history(text,text,integer)"),
    (AUDITOR, "pacs_ops", "row_history(text,text,integer)"),
    (READ, "pacs_ops", "readable_counties()"),
    (MONITOR, "pacs_ops", "readable_counties()"),
    *((role, "pacs_ops", "readable_counties()") for role in (ASSESSOR, VALUATION, REPORTING)),
    (IT_ADMIN, "pacs_ops", "grant_county(name,text)"),
    (IT_ADMIN, "pacs_ops", "revoke_county(name,text)"),
    (READ, "pacs_report", "changes_since(timestamptz,text)"),
    *(
        (READ, "pacs_report", f"{history_reports.as_of_name(entity)}(timestamptz,text)")
        for entity in load_entities().values()
    ),
    *(
        (role, "pacs_ops", function)
        for role in (SYNC, MONITOR)
        for function in (
            "page_action(text,text,text,jsonb)",
            "dismiss_quarantine(text,text,text[],text,text)",
        )
    ),
)
_OWNED = (
    ("pacs_ops", "audit_is_append_only"),
    ("pacs_ops", "audit_text"),
    ("pacs_ops", "chain_audit"),
    *history_reports.function_names(),
    *((schema, function.partition("(")[0]) for _, schema, function in _FUNCTION_PRIVILEGES),
)
"""(schema, name) of the functions that the owner's role gets."""


def wanted(connection: Connection) -> list[Grant]:
    """Every grant of the group roles on what is there now; of objects that are missing, none."""
    schemas = {
        name
        for (name,) in connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname = ANY(%s)", (list(SCHEMAS),)
        )
    }
    grants = [
        Grant(role, privilege, "schema", schema)
        for role, privilege, schema in _SCHEMA_PRIVILEGES
        if schema in schemas
    ]
    for schema, name, kind in connection.execute(
        "SELECT n.nspname, c.relname, c.relkind::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = "
        "c.relnamespace WHERE n.nspname IN ('pacs', 'pacs_ops', 'pacs_report') AND c.relkind IN ('r', 'p', "
        "'v', 'S') OR n.nspname = 'pacs_part' AND c.relispartition AND c.relkind = 'r' ORDER BY 1, 2"
    ).fetchall():
        if schema == "pacs_part":
            grants += [Grant(SYNC, privilege, "table", schema, name) for privilege in _ON_PARTITIONS]
        else:
            grants += _of_relation(schema, name, kind)
    functions = set(
        connection.execute(
            "SELECT n.nspname, p.proname FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace "
            "WHERE n.nspname IN ('pacs_ops', 'pacs_report')"
        ).fetchall()
    )
    grants += [
        Grant(role, "EXECUTE", "function", schema, function)
        for role, schema, function in _FUNCTION_PRIVILEGES
        if (schema, function.partition("(")[0]) in functions
    ]
    return grants


def _of_relation(schema: str, name: str, kind: str) -> Iterator[Grant]:
    if schema != "pacs_ops":
        if kind != "S":
            yield from (Grant(role, "SELECT", "table", schema, name) for role in _readers(schema, name))
    elif not name.startswith(MONTHS):  # they are reached through the change log alone
        yield from _of_journal(schema, name, kind)


def _of_journal(schema: str, name: str, kind: str) -> Iterator[Grant]:
    if kind == "S":
        if not name.startswith(("audit_", "county_grant_", "schema_migration_")):
            yield Grant(SYNC, "USAGE", "sequence", schema, name)
        return
    if name not in HIDDEN_FROM_SYNC:
        yield Grant(SYNC, "SELECT", "table", schema, name)
    if name not in OWNERS_ONLY:
        yield Grant(SYNC, "INSERT", "table", schema, name)
    if name not in OWNERS_ONLY | APPENDED:
        yield Grant(SYNC, "UPDATE", "table", schema, name)
        if name not in EVIDENCE:
            yield Grant(SYNC, "DELETE", "table", schema, name)
    readers = {
        MONITOR: name in JOURNAL,
        IT_ADMIN: name in JOURNAL | {"county_grant"},
        AUDITOR: name in JOURNAL or name in EVIDENCE or name in OWNERS_ONLY,
    }
    for role in (role for role, reads in readers.items() if reads):
        yield Grant(role, "SELECT", "table", schema, name)


def _readers(schema: str, name: str) -> tuple[str, ...]:
    """Who reads a table of schema `pacs` or a view of `pacs_report`."""
    if schema == "pacs":
        return (READ, ASSESSOR) if name in _NOT_FOR_VALUATION else (READ, ASSESSOR, VALUATION)
    if (report := load_reports().get(name)) is None:
        return (READ,)
    return (READ, ASSESSOR, VALUATION, REPORTING, *(() if report.per_row else (MONITOR,)))


def staff_grants() -> list[Grant]:
    """What people's roles get, without asking a database: of a migrated target of this version."""
    grants = [Grant(role, privilege, "schema", schema) for role, privilege, schema in _SCHEMA_PRIVILEGES]
    grants += [
        grant for entity in load_entities().values() for grant in _of_relation("pacs", entity.table, "p")
    ]
    grants += [grant for name in load_reports() for grant in _of_relation("pacs_report", name, "v")]
    grants += [
        grant for name in sorted(JOURNAL | OWNERS_ONLY) for grant in _of_relation("pacs_ops", name, "r")
    ]
    grants += [
        Grant(role, "EXECUTE", "function", schema, name) for role, schema, name in _FUNCTION_PRIVILEGES
    ]
    return [grant for grant in grants if grant.role in STAFF]


def missing(connection: Connection) -> list[str]:
    """Privileges that a group role should have and effectively lacks, in words; of missing roles, none."""
    there = existing_roles(connection)
    asked = [grant for grant in wanted(connection) if grant.role in there]
    return [f"{grant} for {grant.role}" for grant in _absent(connection, asked)]


def lacking(connection: Connection) -> list[str]:
    """What the present login may not do and a run must, in words: effective ones, whatever gave them."""
    row = connection.execute("SELECT current_user").fetchone()
    needed = [grant for grant in wanted(connection) if grant.role == SYNC]
    return [str(grant) for grant in _absent(connection, needed, str(row[0]) if row else None)]


_EFFECTIVE = """SELECT coalesce(CASE r.kind
  WHEN 'schema' THEN has_schema_privilege(r.role, n.oid, r.privilege)
  WHEN 'function' THEN (SELECT bool_and(has_function_privilege(r.role, p.oid, r.privilege)) FROM pg_proc AS p
    WHERE p.pronamespace = n.oid AND p.proname = split_part(r.name, '(', 1))
  WHEN 'sequence' THEN has_sequence_privilege(r.role, c.oid, r.privilege)
  ELSE has_table_privilege(r.role, c.oid, r.privilege) END, false)
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[]) WITH ORDINALITY
  AS r(role, privilege, kind, schema, name, place)
JOIN pg_namespace AS n ON n.nspname = r.schema
LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = r.name AND r.kind IN ('table', 'sequence')
ORDER BY r.place"""
"""By OID: a name in a schema that the login may not use can't be looked up by it."""


def _absent(connection: Connection, asked: list[Grant], role: str | None = None) -> list[Grant]:
    """Which of the privileges that their roles, or one role for all, effectively lack."""
    columns = [
        [role or grant.role for grant in asked],
        [grant.privilege for grant in asked],
        [grant.kind for grant in asked],
        [grant.schema for grant in asked],
        [grant.name for grant in asked],
    ]
    has = connection.execute(_EFFECTIVE, columns).fetchall()
    return [grant for grant, (there,) in zip(asked, has, strict=True) if not there]


def owns(connection: Connection, schema: str = "pacs_ops") -> bool:
    """Whether the login may act as the schema's owner: it migrates, and grants."""
    row = connection.execute(
        "SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = %s", (schema,)
    ).fetchone()
    return bool(row and row[0])


def apply(connection: Connection) -> None:
    """Make the roles that may be made, hand everything to the owner's role, grant and revoke. In the caller's
    transaction; repeatable.

    Where the login may not create roles or hand objects over, everything stays with it, and `check` says so.
    """
    make_roles(connection)
    there = existing_roles(connection)
    hand_over(connection, there, set(_OWNED))
    _revoke_strangers(connection, there)
    for grant in wanted(connection):
        if grant.role in there:
            connection.execute(grant_statement(grant))
    _keep_readers(connection)
    if OWNER in there and may_become(connection, OWNER):
        connection.execute(_DEFAULTS.encode())


_DEFAULTS = """
ALTER DEFAULT PRIVILEGES FOR ROLE pacs_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE pacs_owner IN SCHEMA pacs_ops
  GRANT SELECT, INSERT, UPDATE ON TABLES TO pacs_sync;
ALTER DEFAULT PRIVILEGES FOR ROLE pacs_owner IN SCHEMA pacs_ops GRANT USAGE ON SEQUENCES TO pacs_sync;
"""
"""Tables of later versions are granted by their migration; this covers what a DBA makes in between."""


def _revoke_strangers(connection: Connection, there: set[str]) -> None:
    """Grants that earlier versions gave, and everything on partitions and staging that is not the sync's: a
    grant on a partition bypasses row-level security, also where it came from a DBA's default privileges.
    """
    for role in sorted(there & {SYNC, MONITOR, AUDITOR, OLD_MONITOR, *STAFF}):
        who = sql.Identifier(role)
        for schema in ("pacs", "pacs_ops", "pacs_report"):
            connection.execute(
                sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA {0} FROM {1}").format(sql.Identifier(schema), who)
            )
            connection.execute(
                sql.SQL("REVOKE ALL ON SCHEMA {0} FROM {1}").format(sql.Identifier(schema), who)
            )
        connection.execute(sql.SQL("REVOKE ALL ON ALL SEQUENCES IN SCHEMA pacs_ops FROM {}").format(who))
    for schema, name, grantee in connection.execute(
        "SELECT n.nspname, c.relname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END "
        "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace, aclexplode(c.relacl) AS a "
        "WHERE n.nspname IN ('pacs_part', 'pacs_stage') AND a.grantee <> c.relowner AND "
        "(a.grantee = 0 OR pg_get_userbyid(a.grantee) <> 'pacs_sync') "
        "UNION SELECT n.nspname, NULL, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END "
        "FROM pg_namespace AS n, aclexplode(n.nspacl) AS a WHERE n.nspname IN ('pacs_part', 'pacs_stage') "
        "AND a.grantee <> n.nspowner AND a.grantee::regrole::text <> 'pacs_sync'"
    ).fetchall():
        thing = (
            sql.SQL("SCHEMA {}").format(sql.Identifier(schema))
            if name is None
            else sql.SQL("TABLE {}").format(sql.Identifier(schema, name))
        )
        connection.execute(sql.SQL("REVOKE ALL ON {} FROM {}").format(thing, sql.SQL(grantee)))


def grant_statement(grant: Grant) -> sql.Composed:
    """The statement that gives the grant; repeatable."""
    thing: sql.Composable
    if grant.kind == "schema":
        thing = sql.SQL("SCHEMA {}").format(sql.Identifier(grant.schema))
    elif grant.kind == "function":
        name, _, arguments = grant.name.partition("(")
        thing = sql.SQL("FUNCTION {}({}").format(sql.Identifier(grant.schema, name), sql.SQL(arguments))
    else:
        thing = sql.SQL(f"{grant.kind.upper()} {{}}").format(sql.Identifier(grant.schema, grant.name))
    return sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(grant.privilege), thing, sql.Identifier(grant.role))


def _keep_readers(connection: Connection) -> None:
    """Who was granted a table of schema `pacs` directly reads on: its policy asks a function that PUBLIC may
    no longer call.
    """
    for (grantee,) in connection.execute(
        "SELECT DISTINCT a.grantee::regrole::text FROM pg_class AS c, aclexplode(c.relacl) AS a WHERE "
        "c.relnamespace = 'pacs'::regnamespace AND a.privilege_type = 'SELECT' AND a.grantee <> 0 AND "
        "a.grantee <> c.relowner"
    ).fetchall():
        connection.execute(f"GRANT EXECUTE ON FUNCTION pacs_ops.readable_counties() TO {grantee}".encode())


def tidy_partition(connection: Connection, table: str) -> None:
    """A table that is to be a partition belongs to `pacs_sync` and to nobody else, whoever ran the load;
    `pacs_ops.attach_partition` takes it over.
    """
    if SYNC in existing_roles(connection) and may_become(connection, SYNC):
        connection.execute(
            sql.SQL("ALTER TABLE {} OWNER TO {}").format(
                sql.Identifier("pacs_part", table), sql.Identifier(SYNC)
            )
        )
    for (grantee,) in connection.execute(
        "SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END FROM pg_class AS c, "
        "aclexplode(c.relacl) AS a WHERE c.relnamespace = 'pacs_part'::regnamespace AND c.relname = %s AND "
        "a.grantee <> c.relowner",
        (table,),
    ).fetchall():
        connection.execute(
            sql.SQL("REVOKE ALL ON {} FROM {}").format(sql.Identifier("pacs_part", table), sql.SQL(grantee))
        )
