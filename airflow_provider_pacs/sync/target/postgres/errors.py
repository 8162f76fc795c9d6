"""The one place where PostgreSQL's errors become ours: an error of psycopg comes in, a PacsError that says
what to do next goes out.

Classified by SQLSTATE (PostgreSQL's appendix "Error Codes"), never by the driver's exception class; a failed
connection has no SQLSTATE and is classified by libpq's text. Only the primary message is kept: DETAIL and
CONTEXT hold row values, and even the primary message of class 22 quotes one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from airflow_provider_pacs.sync.runtime.errors import (
    ConfigError,
    DataError,
    FatalError,
    PacsError,
    RetryableError,
)
from airflow_provider_pacs.sync.runtime.secrets import mask_credentials

RETRY_STATES = frozenset(
    {
        "25006",
        "25P03",
        "25P04",
        "55006",
        "55P03",
        "57014",
        "57P01",
        "57P02",
        "57P03",
        "57P05",
        "72000",
        "40001",
        "40P01",
    }
)
"""Read-only after a failover, deadlock, a lock or statement that took too long, a server that stops or
starts.
"""
AMBIGUOUS_STATES = frozenset({"08007", "40003"})
"""The commit may have happened: whoever tries again looks up the recorded run first (publish does)."""
RIGHT_STATES = frozenset({"42501"})
CONFIG_STATES = frozenset({"0A000", "3D000", "3F000", "55000", "57P04"})
STATEMENT_STATES = frozenset({"42601", "42P02", "42P18"})
"""The statement itself is wrong."""

INIT = "Run `pacs migrate COUNTY` as a member of pacs_owner; it creates and upgrades the schemas."
GRANT = (
    "Grant the target's login what `pacs grants COUNTY --target` prints, then run `pacs migrate COUNTY` as a "
    "member of pacs_owner: it grants what is missing."
)
REACH = (
    "Check host, port and firewall of the target, and that PostgreSQL runs; an unreachable host is "
    "tried again."
)


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """What an error becomes: the class, the remedy, the code (None for the class's own), and whether quoted
    text is a name and may stay.
    """

    kind: type[PacsError]
    remedy: str = ""
    code: str | None = None
    names: bool = False


_SIGN_IN = ErrorRule(
    ConfigError, "Check user, password and pg_hba.conf of the target.", "PACS-002", names=True
)
_NO_DATABASE = ErrorRule(
    ConfigError, "Check the database's name and settings in the target's connection.", names=True
)
_BAD_OPTION = ErrorRule(ConfigError, "Write the target as postgresql://user:password@host:5432/database.")
_SLOTS = ErrorRule(
    RetryableError,
    "All connection slots of the target are taken: it is tried again. Raise max_connections, the pooler's or "
    "the role's limit, or end what holds them.",
    names=True,
)
_SLOT_TEXT = re.compile(
    r"too many (clients|connections)|connection slots|no more connections allowed|max_client_conn|"
    r"query_wait_timeout|server_login_retry",
    re.IGNORECASE,
)
"""PostgreSQL's and pgbouncer's words for a server that is full; a failed connection carries no SQLSTATE."""
_TLS = ErrorRule(
    ConfigError,
    "TLS is verified by default: name the CA of the target's certificate with sslrootcert, and the host as "
    "the certificate does. A weaker sslmode must be named (sslmode=disable where the server has no TLS), is "
    "reported in every run, and refused under target.tls: strict.",
    names=True,
)
_OPTION_TEXT = re.compile(
    r"connection (info|option)|conninfo|invalid (port|sslmode|integer value|URI|percent)|parsing URI",
    re.IGNORECASE,
)
BY_STATE: tuple[tuple[frozenset[str], ErrorRule], ...] = (
    (RETRY_STATES | AMBIGUOUS_STATES | frozenset({"08", "40", "58"}), ErrorRule(RetryableError)),
    (frozenset({"53300"}), _SLOTS),
    (
        frozenset({"53"}),
        ErrorRule(RetryableError, "Free space, memory or connections on the target's server."),
    ),
    (frozenset({"28"}), _SIGN_IN),
    (RIGHT_STATES, ErrorRule(ConfigError, GRANT, "PACS-003", names=True)),
    (
        STATEMENT_STATES,
        ErrorRule(FatalError, "PostgreSQL 15 or later is needed; if it is that, report the entity."),
    ),
    (CONFIG_STATES, _NO_DATABASE),
    (frozenset({"42"}), ErrorRule(ConfigError, INIT, "PACS-003", names=True)),
    (frozenset({"21", "22"}), ErrorRule(DataError)),
    (frozenset({"23"}), ErrorRule(DataError, names=True)),
)
"""Exact states before their class; the first two characters are the class."""
BY_TEXT: tuple[tuple[str, re.Pattern[str], ErrorRule], ...] = (
    ("OperationalError", _SLOT_TEXT, _SLOTS),
    (
        "OperationalError",
        re.compile(
            r"authentication failed|no password supplied|pg_hba\.conf|role .* (does not exist|is not "
            r"permitted)|GSSAPI",
            re.IGNORECASE,
        ),
        _SIGN_IN,
    ),
    ("OperationalError", re.compile(r'database "[^"]*" does not exist', re.IGNORECASE), _NO_DATABASE),
    (
        "OperationalError",
        re.compile(
            r"certificate|SSL (error|was required|connection has been closed)|does not support SSL|sslmode|"
            r"SSL is required",
            re.IGNORECASE,
        ),
        _TLS,
    ),
    ("OperationalError", _OPTION_TEXT, _BAD_OPTION),
    ("OperationalError", re.compile(""), ErrorRule(RetryableError, REACH, names=True)),
    ("ProgrammingError", _OPTION_TEXT, _BAD_OPTION),
    ("DataError", re.compile(""), ErrorRule(DataError)),
)
"""For errors without SQLSTATE, by psycopg's class and libpq's text, in this order."""

_QUOTED = re.compile(r"['\"].*['\"]|['\"].*$", re.DOTALL)
_TAIL = re.compile(r"\n?\s*\b(DETAIL|CONTEXT|HINT|QUERY|WHERE|LINE \d+):.*", re.DOTALL)
_LONGEST = 200


def scrub(text: str, *, names: bool) -> str:
    """Returns the text short and on one line, without DETAIL, CONTEXT and secrets; without anything quoted
    unless `names`.
    """
    text = mask_credentials(_TAIL.sub("", text))
    text = " ".join((text if names else _QUOTED.sub('"…"', text)).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def classify(error: BaseException, *, where: str = "") -> PacsError:
    """Returns the PacsError for an error of psycopg, with the error as its `__cause__`, whose own text is
    scrubbed too.

    Args:
        error: an error of psycopg; a PacsError is returned as it is; anything else is fatal, except lost
            connections.
        where: host:port/database, named in the message.
    """
    if isinstance(error, PacsError):
        return error
    state = str(getattr(error, "sqlstate", None) or "")
    primary = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
    rule = _by_state(state) if state else _by_text(primary, error)
    what = scrub(str(primary), names=rule.names).rstrip(".?") or type(error).__name__
    mapped = rule.kind(
        f"{f'{where}: ' if where else ''}{what}{f' (SQLSTATE {state})' if state else ''}.",
        remedy=rule.remedy,
        code=rule.code,
    )
    if _is_psycopg(error):
        error.args = (what,)
    mapped.__cause__ = error
    return mapped


def _by_state(state: str) -> ErrorRule:
    """Returns the verdict on a SQLSTATE: its own, else its class's, else fatal."""
    for key in (state, state[:2]):
        for states, rule in BY_STATE:
            if key in states:
                return rule
    return ErrorRule(FatalError)


def _by_text(text: str, error: BaseException) -> ErrorRule:
    """The same for an error without SQLSTATE: libpq could not connect, or the connection went away."""
    kinds = {kind.__name__ for kind in type(error).__mro__} if _is_psycopg(error) else set()
    for kind, pattern, rule in BY_TEXT:
        if kind in kinds and pattern.search(text):
            return rule
    return (
        ErrorRule(RetryableError, REACH)
        if isinstance(error, (ConnectionError, TimeoutError))
        else ErrorRule(FatalError)
    )


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
