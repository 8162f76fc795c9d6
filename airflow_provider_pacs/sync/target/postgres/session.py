"""libpq parameters -> a connection that states what it relies on and leaves nothing behind.

Encoding, time zone, date style, search path, time-outs and read-write are set here, whatever the environment,
the role or the database have as their defaults. Behind a pooler that hands a server connection to another
client after each transaction (pgbouncer in transaction mode), a setting of the session would reach that
client: there each transaction gets the settings as its own (`SET LOCAL`), single statements become a
transaction of one, and no statement is prepared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import psycopg
import sqlalchemy as sa
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.target.facts import SessionFacts
from airflow_provider_pacs.sync.target.postgres.tls import is_local, refuse_engines, secured, weak_settings

APPLICATION = "airflow-provider-pacs"
TRACKED = (
    "SET timezone = 'UTC'",
    "SET datestyle = 'ISO, YMD'",
)
"""Settings that the server reports to its client, so that every pooler keeps them per client."""
SETTINGS: tuple[tuple[str, str, int], ...] = (
    ("search_path", "pg_catalog, pg_temp", 0),
    ("statement_timeout", "0", 0),
    ("transaction_timeout", "0", 170000),
    ("lock_timeout", "60s", 0),
    # a worker that froze inside publish must not hold its county for ever
    ("idle_in_transaction_session_timeout", "5min", 0),
    ("default_transaction_read_only", "off", 0),
    ("default_transaction_isolation", "read committed", 0),
    ("client_min_messages", "warning", 0),
    ("extra_float_digits", "1", 0),
    ("bytea_output", "hex", 0),
    # A few large statements over whole tables: sorts and hashes in memory, indexes built by two, nothing
    # compiled.
    ("work_mem", "64MB", 0),
    ("maintenance_work_mem", "256MB", 0),
    ("jit", "off", 0),
    # a worker that was killed must not hold its county until its last statement is through
    ("client_connection_check_interval", "5s", 0),
)
"""(setting, value, the server version that first knows it)."""
_ONLY_AT_START = frozenset({"default_transaction_read_only", "default_transaction_isolation"})
"""Inside a transaction these come too late; `SET TRANSACTION` says the same there."""
_IF_THE_PLATFORM_CAN = "client_connection_check_interval"


class TargetCursor(psycopg.Cursor[Any]):
    """A cursor whose single statements behind a pooler are transactions of their own, with the settings."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        connection = self.connection
        if not isinstance(connection, TargetConnection) or not connection.needs_transaction:
            return super().execute(query, params, **options)
        with connection.transaction():
            return super().execute(query, params, **options)


class TargetConnection(psycopg.Connection[Any]):
    """A connection of the sync. `pooled` is True behind a pooler; `prepare` knows."""

    pooled = False
    local_settings = ""

    @property
    def needs_transaction(self) -> bool:
        """Whether a statement now would run without the settings."""
        return self.pooled and self.info.transaction_status == TransactionStatus.IDLE

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[psycopg.Transaction]:
        """As psycopg's; the outermost behind a pooler begins with the settings."""
        outermost = self.needs_transaction
        with super().transaction(savepoint_name, force_rollback) as current:
            if outermost:
                self.execute(self.local_settings.encode())
            yield current


def connect(
    params: Mapping[str, str], *, application: str = APPLICATION, settings: bool = True
) -> TargetConnection:
    """Open an autocommit connection with TLS verified and the session prepared.

    Raises:
        psycopg.Error: as libpq raises it; `mapped_errors` turns it into ours.
    """
    connection = TargetConnection.connect(
        **connect_arguments(params),
        autocommit=True,
        application_name=application,
        cursor_factory=TargetCursor,
        prepare_threshold=None,  # a pooler's next client has other statements under the same names
    )
    if settings:
        try:
            prepare(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def params_from_url(url: str) -> dict[str, str]:
    """Libpq keywords of `postgresql://user:password@host:5432/database?sslmode=verify-full`.

    A user or password with an unencoded `/`, `@` or `?` is refused before libpq sees it: libpq would take a
    piece of the password for a host, look that up in the network's DNS, and print it.

    Raises:
        ConfigError: not a PostgreSQL URL, or one that can be read in two ways; no part of it is repeated.
    """
    remedy = "write postgresql://user:password@host:5432/database"
    scheme, separator, rest = url.partition("://")
    if separator:
        if scheme not in ("postgresql", "postgres"):
            raise ConfigError("the target is not a PostgreSQL URL", remedy=remedy)
        place, _, options = rest.partition("?")
        user, at, _ = place.rpartition("@")
        names = [item.partition("=")[0] for item in options.split("&")]
        if "/" in user or "@" in user or "@" in "".join(names) or ("@" in options and not at):
            raise ConfigError(
                "the target's URL has an unencoded sign in its user or password",
                remedy="write / as %2F, @ as %40, ? as %3F, : as %3A and % as %25 there",
            )
    try:
        stated = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise ConfigError("the target is not a PostgreSQL URL", remedy=remedy) from None
    return {name: str(value) for name, value in stated.items() if value is not None}


def connect_arguments(params: Mapping[str, str]) -> dict[str, Any]:
    """The keywords for libpq: what was stated, with TLS verified and UTF-8 in both directions.

    Raises:
        ConfigError: a keyword would load code.
    """
    stated = {name: str(value) for name, value in params.items() if value not in (None, "")}
    refuse_engines(stated)
    return secured(stated) | {"client_encoding": "UTF8"}


def prepare(connection: psycopg.Connection[Any]) -> None:
    """State what the session relies on; a database that can't hold UTF-8 is left for `require_utf8`.

    Behind a pooler a `TargetConnection` remembers the settings for its transactions; a plain connection
    can't, and gets only those that every pooler keeps per client.
    """
    for statement in TRACKED:
        connection.execute(statement.encode())
    pooled = is_pooled(connection)
    known = [(name, value) for name, value, since in SETTINGS if connection.info.server_version >= since]
    if not _checks_the_client(connection):
        known = [(name, value) for name, value in known if name != _IF_THE_PLATFORM_CAN]
    if not pooled:
        connection.execute("; ".join(f"SET {name} = {_value(value)}" for name, value in known).encode())
        return
    if isinstance(connection, TargetConnection):
        lines = ["SET TRANSACTION READ WRITE"]
        lines += [
            f"SET LOCAL {name} = {_value(value)}" for name, value in known if name not in _ONLY_AT_START
        ]
        connection.local_settings = "; ".join(lines)
        connection.pooled = True


def _value(value: str) -> str:
    """A list of names stays a list; everything else is quoted."""
    return value if "," in value else f"'{value}'"


def is_pooled(connection: psycopg.Connection[Any]) -> bool:
    """Whether a pooler stands in between: the process that answers is not the one that accepted us."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return row is None or int(row[0]) != connection.info.backend_pid


def _checks_the_client(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server's platform can notice a client that went away; macOS and Windows can't before 15."""
    row = connection.execute(
        "SELECT max_val::bigint > 0 FROM pg_settings WHERE name = 'client_connection_check_interval'"
    ).fetchone()
    return bool(row and row[0])


def require_utf8(connection: psycopg.Connection[Any]) -> None:
    """Refuse a database in which a name may not survive.

    Raises:
        ConfigError: the database's encoding is not UTF8; both sides of a certificate would share the damage.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise ConfigError(
            f"the target database has encoding {encoding}, which can't hold every name and address",
            remedy="make a database with ENCODING 'UTF8' (CREATE DATABASE ... TEMPLATE template0 ENCODING "
            "'UTF8') and name it in the target's connection",
            code="PACS-003",
        )


def facts(connection: psycopg.Connection[Any]) -> SessionFacts:
    """What a check says about the connection."""
    parameters = connection.info.get_parameters()
    network = not is_local(parameters) and not connection.info.host.startswith("/")
    return SessionFacts(
        encoding=connection.info.parameter_status("server_encoding") or "",
        client_encoding=connection.info.parameter_status("client_encoding") or "",
        local=not network,
        encrypted=bool(connection.pgconn.ssl_in_use),
        weak=tuple(str(weak) for weak in weak_settings(parameters)) if network else (),
        pooled=is_pooled(connection),
    )


def sqlalchemy_url(params: Mapping[str, str]) -> sa.URL:
    """The same database for SQLAlchemy on psycopg 3, with several hosts, sockets and TLS as `connect` has
    them.

    Hosts and ports travel in the query, where libpq's own lists (`h1,h2` and `5432,5433`) fit.
    """
    stated = connect_arguments(params)
    query = {name: str(value) for name, value in stated.items() if name not in ("user", "password", "dbname")}
    return sa.URL.create(
        "postgresql+psycopg",
        username=stated.get("user"),
        password=stated.get("password"),
        database=stated.get("dbname"),
        query=query,
    )
