"""A connection as Airflow writes it into AIRFLOW_CONN_<ID> (URI or JSON) -> its parts, without Airflow.

The command line reads connections through this where no Airflow is installed; the hook layer hands in what
Airflow gave it. No message holds a value of the text: it may be a password.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.source.address import SourceAddress, named_options, read_options

VARIABLE_PREFIX = "AIRFLOW_CONN_"
SOURCE_TYPES = ("pacs", "mssql")
TARGET_TYPES = ("postgres", "postgresql")
TARGET_KEYWORDS = (
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslcrl",
    "sslnegotiation",
    "channel_binding",
    "gssencmode",
    "krbsrvname",
    "target_session_attrs",
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "options",
    "passfile",
    "service",
)
"""The libpq keywords that a connection's extra may carry; anything else in the extra is for other readers."""

_EXTRA_KEY = "__extra__"
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class StoredConnection:
    """One connection of Airflow.

    Attributes:
        conn_id: its id.
        conn_type: `pacs`, `mssql`, `postgres`, ...
        host: name, address or socket directory; "" where it is not set.
        port: TCP port.
        schema: Airflow's word for the database; "" where it is not set.
        login: the user; "" where it is not set.
        password: never shown by `repr`.
        extra: the options.
    """

    conn_id: str
    conn_type: str
    host: str = ""
    port: int | None = None
    schema: str = ""
    login: str = ""
    password: str = field(default="", repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


def variable_of(conn_id: str) -> str:
    """The environment variable in which Airflow looks for a connection."""
    return f"{VARIABLE_PREFIX}{conn_id.upper()}"


def stored_connection(conn_id: str, environ: Mapping[str, str]) -> StoredConnection | None:
    """The connection that AIRFLOW_CONN_<ID> holds; None where the variable is not set.

    Raises:
        ConfigError: the variable holds neither a URI nor JSON.
    """
    text = environ.get(variable_of(conn_id), "").strip()
    if not text:
        return None
    return _from_json(conn_id, text) if text.startswith("{") else _from_uri(conn_id, text)


def source_address(connection: StoredConnection) -> SourceAddress:
    """Where the county's PACS is, by a connection of type `pacs` or `mssql`.

    Raises:
        ConfigError: the connection has another type, or a field or an extra is wrong.
    """
    _require_type(connection, SOURCE_TYPES)
    options = read_options(named_options(connection.extra, f"Connection {connection.conn_id}"))
    try:
        return SourceAddress(
            connection.host,
            connection.port,
            connection.schema,
            connection.login or None,
            connection.password or None,
            **options,
        )
    except ConfigError as error:
        raise ConfigError(f"Connection {connection.conn_id}: {error.message}", remedy=error.remedy) from None


def target_keywords(connection: StoredConnection) -> dict[str, str]:
    """The libpq keywords of a connection of type `postgres`; what is not set is left to libpq.

    Raises:
        ConfigError: the connection has another type.
    """
    _require_type(connection, TARGET_TYPES)
    stated: dict[str, Any] = {
        "host": connection.host,
        "port": connection.port,
        "dbname": connection.schema,
        "user": connection.login,
        "password": connection.password,
    }
    extra = connection.extra
    stated |= {keyword: extra[keyword] for keyword in TARGET_KEYWORDS if keyword in extra}
    return {keyword: str(value) for keyword, value in stated.items() if value not in (None, "")}


def _require_type(connection: StoredConnection, types: tuple[str, ...]) -> None:
    if connection.conn_type not in types:
        raise ConfigError(
            f"Connection {connection.conn_id} has type {connection.conn_type!r}",
            remedy=f"use a connection of type {' or '.join(types)}",
        )


def _from_json(conn_id: str, text: str) -> StoredConnection:
    try:
        raw = json.loads(text)
    except ValueError:
        raise _unreadable(conn_id, "is not valid JSON") from None
    extra = raw.get("extra") or {}
    port = raw.get("port")
    if isinstance(extra, str):
        extra = _extra(conn_id, extra)
    if not isinstance(extra, dict):
        raise _unreadable(conn_id, "has an extra that is no mapping")
    if port not in (None, "") and not str(port).isdecimal():
        raise _unreadable(conn_id, "has a port that is no number")
    return StoredConnection(
        conn_id,
        str(raw.get("conn_type") or "").replace("-", "_"),
        str(raw.get("host") or ""),
        int(port) if port not in (None, "") else None,
        str(raw.get("schema") or ""),
        str(raw.get("login") or ""),
        str(raw.get("password") or ""),
        extra,
    )


def _from_uri(conn_id: str, text: str) -> StoredConnection:
    parts = split_url(text)
    if parts is None or not parts.scheme:
        raise _unreadable(conn_id, "is not a URI")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    extra = _extra(conn_id, options[_EXTRA_KEY]) if _EXTRA_KEY in options else options
    return StoredConnection(
        conn_id,
        parts.scheme.replace("-", "_"),
        unquote(host_of(parts)),
        parts.port,
        unquote(parts.path.removeprefix("/")),
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        extra,
    )


def _extra(conn_id: str, text: str) -> dict[str, Any]:
    try:
        extra = json.loads(text)
    except ValueError:
        raise _unreadable(conn_id, "has an extra that is not valid JSON") from None
    if not isinstance(extra, dict):
        raise _unreadable(conn_id, "has an extra that is no mapping")
    return extra


def _unreadable(conn_id: str, problem: str) -> ConfigError:
    return ConfigError(
        f"{variable_of(conn_id)} {problem}",
        remedy="write it as Airflow does: JSON, or conn-type://user:password@host:port/schema with special "
        "characters percent-encoded",
    )


def split_url(url: str) -> SplitResult | None:
    """The parts of a URL; None where it can't be one.

    A `/`, `@`, `?`, `#` or `[` in a password that is not percent-encoded moves the rest of the password to
    another part of the URL, from where a message would quote it. A second `@`, or one outside the place of
    the host, gives that away; so does a port that is no number and a `%` that begins no character.
    """
    try:
        parts = urlsplit(url)
        ports = [host.rpartition(":")[2] for host in host_list(parts).split(",") if _has_port(host)]
    except ValueError:
        return None
    misplaced = "@" in parts.path + parts.query + parts.fragment or parts.netloc.count("@") > 1
    if misplaced or parts.fragment or _BAD_PERCENT.search(url) or any(c.isspace() for c in url):
        return None
    return parts if all(port.isdecimal() or not port for port in ports) else None


def host_list(parts: SplitResult) -> str:
    """What stands where a URL's host stands: `host`, `host:port`, or several with commas between them."""
    return parts.netloc.rpartition("@")[2]


def host_of(parts: SplitResult) -> str:
    """The host as it is written: urlsplit's own is in small letters."""
    return re.sub(r":\d*$", "", host_list(parts)).strip("[]")


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]
