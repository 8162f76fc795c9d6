"""Runs statements that are no queries: DECLARE, SET, USE, transactions, EXEC, WAITFOR. Unknown ones are
error 102.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

from sqlglot import exp

from airflow_provider_pacs.sandbox.catalog.sqltypes import from_node
from airflow_provider_pacs.sandbox.model import ResultSet, RowCount, SqlError, SqlType
from airflow_provider_pacs.sandbox.tsql import access, change_tracking, ddl, definitions, grants
from airflow_provider_pacs.sandbox.tsql.batch import Statement, Token, pieces
from airflow_provider_pacs.sandbox.tsql.dialect import parse, untranslated
from airflow_provider_pacs.sandbox.tsql.errors import CANCELLED
from airflow_provider_pacs.sandbox.tsql.names import parts
from airflow_provider_pacs.sandbox.tsql.session_state import SessionState
from airflow_provider_pacs.sandbox.tsql.transactions import LEVELS

_log = logging.getLogger(__name__)
_OPTIONS = frozenset(
    "XACT_ABORT LOCK_TIMEOUT ANSI_NULLS ANSI_WARNINGS ANSI_PADDING ARITHABORT ARITHIGNORE QUOTED_IDENTIFIER "
    "CONCAT_NULL_YIELDS_NULL DATEFORMAT "
    "DATEFIRST "
    "LANGUAGE TEXTSIZE ROWCOUNT DEADLOCK_PRIORITY IMPLICIT_TRANSACTIONS NUMERIC_ROUNDABORT FMTONLY "
    "ANSI_NULL_DFLT_ON ANSI_NULL_DFLT_OFF "
    "ANSI_DEFAULTS "
    "CURSOR_CLOSE_ON_COMMIT NOCOUNT STATISTICS CONTEXT_INFO QUERY_GOVERNOR_COST_LIMIT".split()
)
_ISOLATION = re.compile(r"SET\s+TRANSACTION\s+ISOLATION\s+LEVEL\s+(\w+(?:\s+\w+)?)\s*$", re.IGNORECASE)
_DELAY = re.compile(r"WAITFOR\s+DELAY\s+N?'(\d+):(\d+)(?::(\d+(?:\.\d+)?))?'\s*$", re.IGNORECASE)
_DATABASE_OPTION = re.compile(
    r"ALTER\s+DATABASE\s+(\S+)\s+SET\s+(ALLOW_SNAPSHOT_ISOLATION|READ_COMMITTED_SNAPSHOT)\s+(ON|OFF)\s*$",
    re.IGNORECASE,
)


def run(session: SessionState, statement: Statement) -> Iterator[ResultSet | RowCount]:
    """Runs one statement.

    Raises:
        SqlError: 102 with the text for what is not known, and others as SQL Server has them.
    """
    if statement.kind in ("EXEC", "EXECUTE"):
        yield from _execute(session, statement)
        return
    handler = _HANDLERS.get(statement.kind)
    if handler is None:
        _log.warning("unknown statement: %s", " ".join(statement.text.split())[:500])
        raise untranslated(statement.text, "unknown statement")
    handler(session, statement)
    yield RowCount(None)


def _declare(session: SessionState, statement: Statement) -> None:
    for piece in pieces(statement.tokens[1:]):
        equals = next((n for n, t in enumerate(piece) if t.upper == "="), len(piece))
        kind_tokens = [t for t in piece[1:equals] if t.upper != "AS"]
        if (
            not piece
            or not piece[0].text.startswith("@")
            or not kind_tokens
            or kind_tokens[0].upper == "TABLE"
        ):
            raise untranslated(statement.text, "DECLARE of this kind")
        cast = parse(f"SELECT CAST(NULL AS {''.join(t.text for t in kind_tokens)})").find(exp.Cast)
        if cast is None:
            raise untranslated(statement.text, "no type")
        kind = from_node(cast.args["to"], default_length=1)
        value = (
            session.evaluate(_between(statement, piece, equals + 1), kind) if equals < len(piece) else None
        )
        session.variables.declare(piece[0].text[1:], kind, value)


def _between(statement: Statement, piece: list[Token], start: int) -> str:
    """The text of a piece from its token `start` on, exactly as written."""
    base = statement.tokens[0].start
    return statement.text[piece[start].start - base : piece[-1].end - base]


def _set(session: SessionState, statement: Statement) -> None:
    tokens = statement.tokens
    if len(tokens) > 3 and tokens[1].text.startswith("@") and tokens[2].text == "=":
        name = tokens[1].text[1:]
        session.variables.assign(
            name, session.evaluate(_between(statement, list(tokens), 3), session.variables.kind(name))
        )
        return
    level = _ISOLATION.match(statement.text)
    if level:
        wanted = " ".join(level.group(1).upper().split())
        if wanted not in LEVELS:
            raise untranslated(statement.text, "no such isolation level")
        session.transactions.isolation = LEVELS[wanted]
        return
    names = [t.upper for t in tokens[1:-1] if t.upper not in (",", "-", "")]
    if not names or names[0] not in _OPTIONS:
        raise SqlError(
            195,
            f"'{tokens[1].text if len(tokens) > 1 else 'SET'}' is not a recognized SET option.",
            severity=15,
        )
    if "NOCOUNT" in names:
        session.nocount = tokens[-1].upper == "ON"


def _print(session: SessionState, statement: Statement) -> None:
    session.evaluate(statement.text[5:], SqlType("nvarchar", 4000))


def _use(session: SessionState, statement: Statement) -> None:
    name = parts(statement.text[3:].strip())[0]
    database = session.catalog.databases.get(name.lower())
    if database is None:
        raise SqlError(
            911, f"Database '{name}' does not exist. Make sure that the name is entered correctly."
        )
    if not access.may_open(session, database):
        raise SqlError(
            916,
            f'The server principal "{session.login.name}" is not able to access the database "{name}" under '
            "the current security context.",
            severity=14,
        )
    session.database = database.name


def _transaction(session: SessionState, statement: Statement) -> None:
    words = [t.upper for t in statement.tokens]
    if words[0] == "SAVE" or (words[0] == "BEGIN" and words[1:2] not in (["TRAN"], ["TRANSACTION"])):
        raise untranslated(statement.text, "unknown statement")
    if words[0] == "BEGIN":
        session.transactions.begin()
    elif words[0] == "COMMIT":
        session.transactions.commit()
    else:
        if not session.trancount:
            raise SqlError(3903, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        session.transactions.rollback()


def _wait(session: SessionState, statement: Statement) -> None:
    matched = _DELAY.match(statement.text)
    if matched is None:
        raise untranslated(statement.text, "WAITFOR takes DELAY 'hh:mm:ss'")
    hours, minutes, seconds = matched.groups()
    if session.cancelled.wait(int(hours) * 3600 + int(minutes) * 60 + float(seconds or 0)):
        raise SqlError(CANCELLED, "Operation cancelled by user.", severity=11)


def _alter(session: SessionState, statement: Statement) -> None:
    if change_tracking.alter(session, statement):
        return
    words = [token.upper for token in statement.tokens]
    if words[1:2] == ["TABLE"] and "ADD" in words and "CONSTRAINT" not in words:
        ddl.add_column(session, statement)
        return
    if statement.tokens[1:2] and statement.tokens[1].upper in ("TABLE", "ROLE", "LOGIN", "USER"):
        definitions.run(session, statement)
        return
    matched = _DATABASE_OPTION.match(statement.text)
    if matched is None:
        raise untranslated(statement.text, "of ALTER DATABASE only two options are known")
    database = session.catalog.databases.get(
        session.database.lower()
        if matched.group(1).upper() == "CURRENT"
        else parts(matched.group(1))[0].lower()
    )
    if database is None or not session.login.admin:
        raise SqlError(
            5011,
            "User does not have permission to alter this database, the database does not exist, or it is "
            "not in a state that allows this.",
            severity=14,
        )
    enabled = matched.group(3).upper() == "ON"
    if matched.group(2).upper() == "ALLOW_SNAPSHOT_ISOLATION":
        database.snapshot = enabled
    else:
        database.read_committed_snapshot = enabled
    session.engine.refresh()


def _execute(session: SessionState, statement: Statement) -> Iterator[ResultSet | RowCount]:
    tokens = list(statement.tokens[1:])
    end = next(
        (n for n, t in enumerate(tokens) if n and tokens[n - 1].text != "." and t.text != "."), len(tokens)
    )
    name = ".".join(parts("".join(t.text for t in tokens[:end]))).lower()
    procedure = session.engine.procedures.get(name)
    if procedure is None:
        raise SqlError(2812, f"Could not find stored procedure '{name}'.")
    if not session.login.admin:
        raise SqlError(
            229,
            f"The EXECUTE permission was denied on the object '{name}', database '{session.database}', "
            "schema 'sandbox'.",
            severity=14,
            state=5,
        )
    args: dict[str, Any] = {}
    for number, piece in enumerate(pieces(tuple(tokens[end:]))):
        if piece:
            named = len(piece) > 2 and piece[0].text.startswith("@") and piece[1].text == "="
            node = parse("SELECT " + _between(statement, piece, 2 if named else 0)).expressions[0]
            args[piece[0].text[1:].lower() if named else str(number)] = session.constant(node)
    yield from procedure(session, args)


_HANDLERS: dict[str, Callable[[SessionState, Statement], None]] = {
    "DECLARE": _declare,
    "SET": _set,
    "USE": _use,
    **dict.fromkeys(("BEGIN", "COMMIT", "ROLLBACK", "SAVE"), _transaction),
    "WAITFOR": _wait,
    "ALTER": _alter,
    **dict.fromkeys(("CREATE", "DROP"), ddl.run),
    **dict.fromkeys(("GRANT", "DENY", "REVOKE"), grants.run),
    "PRINT": _print,
    "TRUNCATE": change_tracking.truncate,
}
