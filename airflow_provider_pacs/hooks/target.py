"""A connection id of type `postgres` comes in, an open `PostgresTarget` goes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from airflow_provider_pacs.sync.target.postgres import PostgresTarget

# libpq keywords that a connection's extra may carry; anything else in the extra is for other readers and
# stays there.
_FROM_EXTRA = (
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


def target_params(connection: Any) -> dict[str, str]:
    """Read libpq keywords from an Airflow connection.

    The host may be a socket directory; what isn't set is left to libpq and to the target.
    """
    extra = connection.extra_dejson
    stated = {
        "host": connection.host,
        "port": connection.port,
        "dbname": connection.schema,
        "user": connection.login,
        "password": connection.password,
    }
    stated |= {keyword: extra[keyword] for keyword in _FROM_EXTRA if keyword in extra}
    return {keyword: str(value) for keyword, value in stated.items() if value not in (None, "")}


def open_target(conn_id: str) -> PostgresTarget:
    """Give the target behind a connection id, to be used as a context manager."""
    from airflow_provider_pacs.sync.target.postgres import PostgresTarget

    return PostgresTarget(target_params(BaseHook.get_connection(conn_id)))
