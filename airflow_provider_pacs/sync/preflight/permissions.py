"""The login's effective rights -> findings: what it could do beyond reading, and whether it may read every
mapped column.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_pacs.sync.preflight.context import PreflightContext
from airflow_provider_pacs.sync.preflight.report import Finding, State, in_words
from airflow_provider_pacs.sync.preflight.resolve import ReadChoice
from airflow_provider_pacs.sync.schema.permissions import (
    SourcePermissions,
    TablePermissions,
    read_permissions,
)
from airflow_provider_pacs.sync.schema.tables import SourceTable
from airflow_provider_pacs.sync.schema.tsql import quote


def check_permissions(context: PreflightContext) -> Iterator[Finding]:
    """Beyond reading first, then one finding per table."""
    tables = [table for entity in context.entities for table in context.tables(entity)]
    permissions = read_permissions(context.source, tables)
    yield _beyond(context, permissions)
    for table in tables:
        name = context.name("permissions", table).replace("permissions.", "permissions.read.", 1)
        yield _reads(context, name, table, permissions.tables[table.entity, table.text])


def _beyond(context: PreflightContext, permissions: SourcePermissions) -> Finding:
    name = "permissions.beyond_reading"
    if more := permissions.beyond_reading:
        strict = context.config.source.read_only == "strict"
        state: State = "fail" if strict else "warn"
        text = f"The login could do more than read: {more}."
        return Finding(
            name,
            "permissions",
            state,
            text,
            f"Use a login that only reads: pacs grants {context.config.county}.",
        )
    if not permissions.is_known:
        text = (
            "Nothing beyond reading was found, but the server did not answer every question about the "
            "login's rights."
        )
        return Finding(
            name,
            "permissions",
            "unknown",
            text,
            f"Compare the login's rights with pacs grants {context.config.county}.",
        )
    return Finding(name, "permissions", "ok", "The login can read, and nothing else.")


def _reads(
    context: PreflightContext, name: str, table: SourceTable, permissions: TablePermissions
) -> Finding:
    if permissions.unreadable is None:
        text = f"The server does not say what the login may do with {table.text}."
        grant = f"GRANT VIEW DEFINITION ON OBJECT::{table.quoted} TO {context.grantee};"
        return Finding(name, "permissions", "unknown", text, grant)
    if permissions.unreadable and not isinstance(context.read_choice(table.entity), ReadChoice):
        text = (
            f"{table.text} has no {in_words(permissions.unreadable)}, or the login may not read it: see "
            f"schema.{table.entity}."
        )
        return Finding(name, "permissions", "unknown", text)
    if permissions.unreadable:
        columns = ", ".join(quote(column) for column in permissions.unreadable)
        text = f"The login may not read {in_words(permissions.unreadable)} of {table.text}."
        return Finding(
            name,
            "permissions",
            "fail",
            text,
            f"GRANT SELECT ON OBJECT::{table.quoted} ({columns}) TO {context.grantee};",
        )
    return Finding(
        name, "permissions", "ok", f"{len(table.columns)} mapped columns of {table.text} may be read."
    )
