"""Runs GRANT, DENY and REVOKE on the server, a database, a schema, an object or columns of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from airflow_provider_pacs.sandbox.catalog.principals import (
    FIXED_ROLES,
    OF_DATABASES,
    OF_OBJECTS,
    OF_SERVERS,
    WITH_COLUMNS,
    Securable,
)
from airflow_provider_pacs.sandbox.catalog.tables import Table
from airflow_provider_pacs.sandbox.model import SqlError
from airflow_provider_pacs.sandbox.tsql.access import may
from airflow_provider_pacs.sandbox.tsql.batch import Statement, Token, pieces
from airflow_provider_pacs.sandbox.tsql.dialect import untranslated
from airflow_provider_pacs.sandbox.tsql.names import parts
from airflow_provider_pacs.sandbox.tsql.session_state import SessionState

_CLASSES = ("OBJECT", "SCHEMA", "DATABASE")


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A statement's parts: permissions with their columns, the class and name of the securable with columns,
    and the principals.
    """

    state: str
    actions: tuple[tuple[str, tuple[str, ...]], ...]
    kind: str
    securable: tuple[str, ...]
    columns: tuple[str, ...]
    principals: tuple[str, ...]


def run(session: SessionState, statement: Statement) -> None:
    """Runs one statement.

    Raises:
        SqlError: 102 for another form; 15151 for an unknown securable or principal, or without the right to
            grant; 1020, 4606 and 4621 for a permission that the securable does not have.
    """
    parsed = _parse(statement)
    if any(action in OF_SERVERS and action not in OF_DATABASES for action, _ in parsed.actions):
        _on_server(session, parsed)
        return
    securable, table = _securable(session, parsed)
    if not may(session, "CONTROL", securable):
        name = parsed.securable[-1] if parsed.securable else session.database
        raise _missing(parsed.kind.lower() or "database", name)
    principals = session.catalog.databases[session.database.lower()].principals
    for who in parsed.principals:
        if who.lower() in FIXED_ROLES and who.lower() != "public":
            raise SqlError(4617, "Cannot grant, deny or revoke permissions to or from special roles.")
        if not principals.knows(who):
            raise _missing("user", who)
        for action, own_columns in parsed.actions:
            columns = own_columns or parsed.columns
            _check(action, securable, columns, table)
            for each in [replace(securable, column=c.lower()) for c in columns] or [securable]:
                principals.set(parsed.state, who, action, each)


def _parse(statement: Statement) -> _Parsed:
    words = [token.upper for token in statement.tokens]
    state = words[0]
    link = "FROM" if state == "REVOKE" and "FROM" in words else "TO"
    if link not in words:
        raise untranslated(statement.text, f"{state} of another form")
    to = len(words) - 1 - words[::-1].index(link)
    on = words.index("ON") if "ON" in words[:to] else to
    start = 4 if words[1:4] == ["GRANT", "OPTION", "FOR"] else 1
    actions = tuple(_action(statement, piece) for piece in pieces(statement.tokens[start:on]))
    kind, securable, columns = _target(statement, statement.tokens[on + 1 : to])
    end = next((n for n in range(to + 1, len(words)) if words[n] in ("WITH", "CASCADE", "AS")), len(words))
    rest = words[end:]
    if rest not in ([], ["WITH", "GRANT", "OPTION"], ["CASCADE"], ["AS", "DBO"]):
        raise untranslated(statement.text, f"{state} ... {' '.join(rest)}")
    principals = tuple(_joined(piece)[-1] for piece in pieces(statement.tokens[to + 1 : end]) if piece)
    if not principals or not actions:
        raise untranslated(statement.text, f"{state} names permissions and principals")
    return _Parsed(state, actions, kind, securable, columns, principals)


def _action(statement: Statement, piece: Sequence[Token]) -> tuple[str, tuple[str, ...]]:
    """`SELECT (a, b)` to its name and columns."""
    opening = next((n for n, token in enumerate(piece) if token.upper == "("), len(piece))
    name = " ".join(token.upper for token in piece[:opening])
    if name not in OF_DATABASES and name not in OF_SERVERS:
        raise untranslated(statement.text, f"no permission {name or '?'} is known")
    return name, _listed(piece[opening + 1 : -1])


def _target(statement: Statement, tokens: Sequence[Token]) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    if not tokens:
        return "DATABASE", (), ()
    kind = "OBJECT"
    if len(tokens) > 2 and tokens[1].text == tokens[2].text == ":":
        kind, tokens = tokens[0].upper, tokens[3:]
    if kind not in _CLASSES:
        raise untranslated(statement.text, f"permissions ON {kind}::")
    opening = next((n for n, token in enumerate(tokens) if token.upper == "("), len(tokens))
    return kind, _joined(tokens[:opening]), _listed(tokens[opening + 1 : -1])


def _joined(piece: Sequence[Token]) -> tuple[str, ...]:
    return tuple(parts("".join(token.text for token in piece)))


def _listed(inner: Sequence[Token]) -> tuple[str, ...]:
    return tuple(_joined(piece)[-1] for piece in pieces(inner) if piece)


def _securable(session: SessionState, parsed: _Parsed) -> tuple[Securable, Table | None]:
    if parsed.kind == "DATABASE":
        if parsed.securable and parsed.securable[-1].lower() != session.database.lower():
            raise _missing("database", parsed.securable[-1])
        return Securable(), None
    if parsed.kind == "SCHEMA":
        schema = parsed.securable[-1]
        if schema.lower() not in (s.lower() for s in session.catalog.schemas(session.database)):
            raise _missing("schema", schema)
        return Securable(schema.lower()), None
    schema = parsed.securable[-2] if len(parsed.securable) > 1 else "dbo"
    table = session.catalog.table(session.database, schema, parsed.securable[-1])
    if table is None:
        raise _missing("object", parsed.securable[-1])
    return table.securable, table


def _check(action: str, securable: Securable, columns: Sequence[str], table: Table | None) -> None:
    if action not in (OF_DATABASES if securable.level == 0 else OF_OBJECTS):
        raise SqlError(4606, f"Granted or revoked privilege {action} is not compatible with object.")
    if columns and (table is None or action not in WITH_COLUMNS):
        raise SqlError(
            1020,
            "Sub-entity lists (such as column or security expressions) cannot be specified for entity-level "
            "permissions.",
            severity=15,
        )
    known = {c.name.lower() for c in table.columns} if table is not None else set()
    for column in columns:
        if column.lower() not in known:
            raise SqlError(1911, f"Column name '{column}' does not exist in the target table or view.")


def _on_server(session: SessionState, parsed: _Parsed) -> None:
    if session.database.lower() != "master":
        raise SqlError(
            4621, "Permissions at the server scope can only be granted when the current database is master"
        )
    if not session.login.admin:
        raise SqlError(4613, "Grantor does not have GRANT permission.", severity=14)
    for who in parsed.principals:
        for action, _ in parsed.actions:
            session.engine.set_server_permission(parsed.state, who, action)


def _missing(kind: str, name: str) -> SqlError:
    return SqlError(
        15151, f"Cannot find the {kind} '{name}', because it does not exist or you do not have permission."
    )
