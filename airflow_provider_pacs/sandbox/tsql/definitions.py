"""Runs CREATE and DROP of databases, schemas and indexes, and ALTER TABLE ADD; `logins` has the principals.

Only what a test sends that makes a county of its own, here or on a genuine server. The rest of T-SQL's DDL is
error 102.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from airflow_provider_pacs.sandbox.catalog.tables import COLLATION, Database, ForeignKey, Index, Table
from airflow_provider_pacs.sandbox.model import SqlError
from airflow_provider_pacs.sandbox.tsql import logins
from airflow_provider_pacs.sandbox.tsql.access import refuse_definition
from airflow_provider_pacs.sandbox.tsql.batch import Statement
from airflow_provider_pacs.sandbox.tsql.dialect import untranslated
from airflow_provider_pacs.sandbox.tsql.names import parts
from airflow_provider_pacs.sandbox.tsql.session_state import SessionState

_NAME = r"(\[(?:[^\]]|\]\])*\]|\w+)"
_NAMES = rf"({_NAME}(?:\s*\.\s*{_NAME})*)"
_NEEDS = {"create_schema": ("CREATE SCHEMA", "ALTER ANY SCHEMA"), "create_index": ("ALTER ANY SCHEMA",)}
_LIST = r"\(([^()]*)\)"
_RULES: tuple[tuple[str, str], ...] = (
    ("create_database", rf"CREATE\s+DATABASE\s+{_NAME}(?:\s+COLLATE\s+(\w+))?"),
    ("drop_database", rf"DROP\s+DATABASE\s+{_NAME}"),
    ("create_schema", rf"CREATE\s+SCHEMA\s+{_NAME}"),
    ("create_index", rf"CREATE\s+(UNIQUE\s+)?INDEX\s+{_NAME}\s+ON\s+{_NAMES}\s*{_LIST}"),
    (
        "add_reference",
        rf"ALTER\s+TABLE\s+{_NAMES}\s+ADD\s+CONSTRAINT\s+{_NAME}\s+FOREIGN\s+KEY\s*{_LIST}\s*REFERENCES\s+{_NAMES}\s*{_LIST}",
    ),
)


def run(session: SessionState, statement: Statement) -> None:
    """Runs one statement.

    Raises:
        SqlError: 102 for what is not known, 262 without the right, and others as SQL Server has them.
    """
    if logins.run(session, statement):
        return
    for name, rule in _RULES:
        result = re.fullmatch(rule, statement.text.strip(), re.IGNORECASE)
        if result is not None:
            refuse_definition(session, name.replace("_", " ").upper(), _NEEDS.get(name, ()))
            _ACTIONS[name](session, [group or "" for group in result.groups()])
            return
    raise untranslated(statement.text, "no such definition is known")


def _last(name: str) -> str:
    return parts(name)[-1]


def _create_database(session: SessionState, result: list[str]) -> None:
    name = _last(result[0])
    if name.lower() in session.catalog.databases:
        raise SqlError(1801, f"Database '{name}' already exists. Choose a different database name.", state=3)
    if result[1] and result[1].upper() != COLLATION.upper():
        raise SqlError(448, f"Invalid collation '{result[1]}'. (Sandbox: it knows {COLLATION} only)")
    session.engine.create_database(name)


def _drop_database(session: SessionState, result: list[str]) -> None:
    database = session.catalog.databases.get(_last(result[0]).lower())
    if database is None:
        raise SqlError(
            3701,
            f"Cannot drop the database '{_last(result[0])}', because it does not exist or you do not have "
            "permission.",
            severity=11,
        )
    if any(other.database == database.name for other in session.engine.sessions()):
        raise SqlError(
            3702, f'Cannot drop database "{database.name}" because it is currently in use.', state=4
        )
    session.engine.drop_database(database)


def _create_schema(session: SessionState, result: list[str]) -> None:
    name = _last(result[0])
    database = _here(session)
    if name.lower() in (known.lower() for known in session.catalog.schemas(database.name)):
        raise SqlError(2714, f"There is already an object named '{name}' in the database.", state=6)
    database.schemas.append(name)
    session.engine.refresh(database.name)


def _create_index(session: SessionState, result: list[str]) -> None:
    unique, name, table, *_, columns = result
    owner = _table(session, table)
    session.engine.redefine(
        replace(owner, indexes=(*owner.indexes, Index(_last(name), _columns(owner, columns), bool(unique))))
    )


def _add_reference(session: SessionState, result: list[str]) -> None:
    table, name, columns, other, references = result[0], result[3], result[4], result[5], result[8]
    owner, referred = _table(session, table), _table(session, other)
    key = ForeignKey(_last(name), _columns(owner, columns), referred.name, _columns(referred, references))
    session.engine.redefine(replace(owner, foreign_keys=(*owner.foreign_keys, key)))


def _here(session: SessionState) -> Database:
    return session.catalog.databases[session.database.lower()]


def _table(session: SessionState, name: str) -> Table:
    *schema, table = parts(name)
    result = session.catalog.table(session.database, schema[-1] if schema else "dbo", table)
    if result is None:
        raise SqlError(
            4902, f"Cannot find the object '{name}' because it does not exist or you do not have permissions."
        )
    return result


def _columns(table: Table, listed: str) -> tuple[str, ...]:
    return tuple(table.column(_last(name)).name for name in listed.split(","))


_ACTIONS: dict[str, Callable[[SessionState, list[str]], None]] = {
    "create_database": _create_database,
    "drop_database": _drop_database,
    "create_schema": _create_schema,
    "create_index": _create_index,
    "add_reference": _add_reference,
}
