"""The one place where PostgreSQL's errors become ours: an error of psycopg comes in, a PacsError that says what to do next goes out.

Classified by SQLSTATE (PostgreSQL's appendix "Error Codes"), never by the driver's exception class; a failed connection has no SQLSTATE and is told by
libpq's text. Only the primary message is kept: DETAIL and CONTEXT hold row values, and even the primary message of class 22 quotes one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_pacs.sync.errors import ConfigError, DataError, FatalError, PacsError, RetryableError

RETRY_STATES = frozenset({"25006", "25P03", "25P04", "55006", "55P03", "57014", "57P01", "57P02", "57P03", "57P05", "72000"})
"""Read-only after a failover, a lock or statement that took too long, a server that stops or starts."""
RETRY_CLASSES = frozenset({"08", "40", "53", "58"})
LOGIN_CLASSES = frozenset({"28"})
CONFIG_STATES = frozenset({"3D000", "3F000", "42501", "57P04", "0A000", "55000"})
SCHEMA_CLASSES = frozenset({"42"})
"""A table, column or function that is not there, or not as expected."""
STATEMENT_STATES = frozenset({"42601", "42P02", "42P18"})
"""The statement itself is wrong."""
DATA_CLASSES = frozenset({"21", "22", "23"})
AMBIGUOUS_STATES = frozenset({"08007", "40003"})
"""The commit may have happened: whoever tries again looks up the recorded run first (publish does)."""

INIT = "Run `pacs init` with the owner's connection; it creates and upgrades the schemas."
GRANT = "Grant the target's login what `pacs init` prints, or connect as the owner of the schemas."
REACH = "Check host, port and firewall of the target, and that PostgreSQL runs; an unreachable host is tried again."
_LOGIN_TEXT = re.compile(r"authentication failed|no password supplied|pg_hba\.conf|role .* (does not exist|is not permitted)|GSSAPI", re.IGNORECASE)
_DATABASE_TEXT = re.compile(r'database "[^"]*" does not exist', re.IGNORECASE)
_TLS_TEXT = re.compile(r"certificate|SSL (error|was required)|does not support SSL|sslmode", re.IGNORECASE)
_OPTION_TEXT = re.compile(r"connection (info|option)|conninfo|invalid (port|sslmode|integer value)", re.IGNORECASE)
_SECRET = re.compile(r"\b(password|passfile|sslpassword|oauth_client_secret)\s*=\s*('(?:[^'\\]|\\.)*'|\S*)", re.IGNORECASE)
_URL_SECRET = re.compile(r"://[^/\s@]*@")
_QUOTED = re.compile(r"['\"].*['\"]|['\"].*$", re.DOTALL)
_TAIL = re.compile(r"\n?\s*\b(DETAIL|CONTEXT|HINT|QUERY|WHERE|LINE \d+):.*", re.DOTALL)
_LONGEST = 200


def scrub(text: str, *, names: bool) -> str:
    """Returns the text short and on one line, without DETAIL, CONTEXT and secrets; without anything quoted unless `names`."""
    text = _URL_SECRET.sub("://", _SECRET.sub(r"\1=***", _TAIL.sub("", text)))
    text = " ".join((text if names else _QUOTED.sub('"…"', text)).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def classify(error: BaseException, *, where: str = "") -> PacsError:
    """Returns the PacsError for an error of psycopg, with the error as its `__cause__`; the cause's own text is scrubbed too, as a traceback prints it.

    Args:
        error: an error of psycopg; a PacsError is returned as it is; anything else is fatal, except lost connections.
        where: host:port/database, named in the message.
    """
    if isinstance(error, PacsError):
        return error
    state = str(getattr(error, "sqlstate", None) or "")
    primary = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
    kind, code, remedy, names = _by_state(state) if state else _by_text(primary, error)
    what = scrub(str(primary), names=names).rstrip(".") or type(error).__name__
    mapped = kind(f"{f'{where}: ' if where else ''}{what}{f' (SQLSTATE {state})' if state else ''}.", remedy=remedy, code=code)
    if _is_psycopg(error):
        error.args = (what,)
    mapped.__cause__ = error
    return mapped


def _by_state(state: str) -> tuple[type[PacsError], str | None, str, bool]:
    """Returns the class, its code (None for the class's own), the remedy, and whether quoted text in the message is a name and may stay."""
    group = state[:2]
    if state in RETRY_STATES or group in RETRY_CLASSES:
        full = "Free space or connections on the target's server." if group == "53" else ""
        return RetryableError, None, full, False
    if group in LOGIN_CLASSES:
        return ConfigError, "PACS-002", "Check user and password of the target's connection.", True
    if state in STATEMENT_STATES:
        return FatalError, None, "PostgreSQL 15 or later is needed; if it is that, report the entity.", False
    if state == "42501":
        return ConfigError, "PACS-003", GRANT, True
    if state in CONFIG_STATES:
        return ConfigError, None, "Check the database's name and settings of the target's connection.", True
    if group in SCHEMA_CLASSES:
        return ConfigError, "PACS-003", INIT, True
    if group in DATA_CLASSES:
        return DataError, None, "", group == "23"
    return FatalError, None, "", False


def _by_text(text: str, error: BaseException) -> tuple[type[PacsError], str | None, str, bool]:
    """The same for an error without SQLSTATE: libpq could not connect, or the connection went away."""
    kinds = {kind.__name__ for kind in type(error).__mro__} if _is_psycopg(error) else set()
    if "OperationalError" in kinds:
        if _LOGIN_TEXT.search(text):
            return ConfigError, "PACS-002", "Check user, password and pg_hba.conf of the target.", True
        if _DATABASE_TEXT.search(text):
            return ConfigError, None, "Check the database's name in the target's connection, or create it.", True
        if _TLS_TEXT.search(text):
            return ConfigError, None, "Trust the CA of the target's certificate (sslrootcert) and name the host as the certificate does.", True
        return RetryableError, None, REACH, True
    if "ProgrammingError" in kinds and _OPTION_TEXT.search(text):
        return ConfigError, None, "Write the target as postgresql://user:password@host:5432/database.", False
    if "DataError" in kinds:
        return DataError, None, "", False
    if isinstance(error, (ConnectionError, TimeoutError)):
        return RetryableError, None, REACH, False
    return FatalError, None, "", False


def _is_psycopg(error: BaseException) -> bool:
    return any(kind.__module__.partition(".")[0].startswith("psycopg") for kind in type(error).__mro__)


@contextmanager
def mapped_errors(where: str = "") -> Iterator[None]:
    """Turns psycopg's errors in the block into PacsErrors; every other error passes unchanged.

    Raises:
        PacsError: as `classify` says.
    """
    try:
        yield
    except Exception as error:
        if not _is_psycopg(error):
            raise
        raise classify(error, where=where) from error
