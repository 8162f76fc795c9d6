"""A connection id of type `postgres` comes in, an open `PostgresTarget` goes out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from airflow_provider_pacs.sync.target.postgres import PostgresTarget

log = logging.getLogger(__name__)
_FROM_EXTRA = frozenset(
    {
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "sslpassword",
        "sslcrl",
        "sslcrldir",
        "sslnegotiation",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
        "channel_binding",
        "require_auth",
        "gssencmode",
        "krbsrvname",
        "hostaddr",
        "target_session_attrs",
        "load_balance_hosts",
        "connect_timeout",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
        "options",
        "passfile",
        "service",
    }
)
"""libpq keywords that a connection's extra may carry."""
_OF_OTHERS = frozenset(
    {"cursor", "iam", "aws_conn_id", "region_name", "redshift", "application_name", "sqlalchemy_scheme"}
    | {"sqlalchemy_query", "sqlalchemy_engine_kwargs", "client_encoding", "log_sql", "azure_conn_id"}
    | {"cluster-identifier", "workgroup-name", "serverless-work-group", "serverless-token-duration-seconds"}
)
"""Extras of Airflow's own PostgresHook, which mean nothing here and weaken nothing."""


def target_params(connection: Any) -> dict[str, str]:
    """Read libpq keywords from an Airflow connection.

    The host may be a socket directory, or several hosts as in libpq (`h1,h2`); what isn't set is left to
    libpq and to the target.
    """
    extra = connection.extra_dejson
    stated = {
        "host": connection.host,
        "port": connection.port,
        "dbname": connection.schema,
        "user": connection.login,
        "password": connection.password,
    }
    stated |= {keyword: extra[keyword] for keyword in sorted(_FROM_EXTRA) if keyword in extra}
    return {keyword: str(value) for keyword, value in stated.items() if value not in (None, "")}


def unknown_extras(connection: Any) -> tuple[str, ...]:
    """Names in a connection's extra that neither this provider nor Airflow's own hook knows: a misspelt
    security setting must not pass in silence.
    """
    return tuple(sorted(set(connection.extra_dejson) - _FROM_EXTRA - _OF_OTHERS))


def open_target(conn_id: str, tls: str = "warn", county: str = "") -> PostgresTarget:
    """Give the target behind a connection id, to be used as a context manager.

    Args:
        conn_id: of a connection of type `postgres`.
        tls: the county's `target.tls`; under `strict` nothing is sent over a weaker connection.
        county: named in the refusal.

    Raises:
        ConfigError: the connection is weaker than the county allows.
    """
    from airflow_provider_pacs.sync.target.postgres import PostgresTarget
    from airflow_provider_pacs.sync.target.postgres.tls import refuse_weak

    connection = BaseHook.get_connection(conn_id)
    if unknown := unknown_extras(connection):
        log.warning("The connection %s has extras that nobody reads: %s", conn_id, ", ".join(unknown))
    params = target_params(connection)
    for weak in refuse_weak(params, tls, county=county):
        log.warning("The connection %s is weaker than the default: %s", conn_id, weak)
    return PostgresTarget(params)
