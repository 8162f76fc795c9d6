"""A command's county and its two databases, opened: from options, Airflow's variables or our own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_pacs.cli.county_files import county_folder
from airflow_provider_pacs.cli.invocation import ConnectionChoice, Invocation
from airflow_provider_pacs.sync.runtime.errors import ConfigError

if TYPE_CHECKING:
    from airflow_provider_pacs.sync.config import CountyConfig
    from airflow_provider_pacs.sync.config.stored_connection import StoredConnection
    from airflow_provider_pacs.sync.source.address import SourceAddress
    from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader
    from airflow_provider_pacs.sync.target.postgres import PostgresTarget

TARGET_VARIABLE = "PACS_TARGET_URL"
_LONGEST_URL = 64 * 1024
_TARGET_FORM = (
    "write postgresql://user:password@host:5432/database and percent-encode special characters of user and "
    "password (@ is %40, / is %2F, : is %3A, % is %25)"
)


def read_config(invocation: Invocation) -> CountyConfig:
    """The county that the command line names.

    Raises:
        ConfigError: no folder, no such county, or its file is broken.
    """
    from airflow_provider_pacs.sync.config.folder import load_counties

    folder = county_folder(invocation.counties)
    if folder is None:
        raise ConfigError(
            "no folder of county files found",
            remedy="name it with --counties or AIRFLOW__PACS__COUNTIES_PATH",
        )
    counties = load_counties(folder)
    if invocation.county in counties.good:
        return counties.good[invocation.county]
    if invocation.county in counties.reasons:
        raise counties.reasons[invocation.county]
    known = ", ".join(sorted(counties.good)) or "none"
    remedy = f"pacs init {invocation.county} writes {folder / (invocation.county + '.yaml')}"
    raise ConfigError(f"no county {invocation.county!r} in {folder} (there: {known})", remedy=remedy)


def config_where_there_is_one(invocation: Invocation) -> CountyConfig | None:
    """The county's configuration; None where it has no file, for a command that can do without.

    Raises:
        ConfigError: there is a file, and it is broken.
    """
    folder = county_folder(invocation.counties)
    files = [] if folder is None else [folder / f"{invocation.county}{end}" for end in (".yaml", ".yml")]
    return read_config(invocation) if any(file.is_file() for file in files) else None


@contextmanager
def open_source(
    invocation: Invocation, config: CountyConfig, *, attempts: int = 5
) -> Iterator[SqlServerReader]:
    """A reader of the county's PACS, which connects when it is first asked.

    Raises:
        ConfigError: nothing says where it is, or what says it is wrong.
    """
    from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader

    address = source_address(invocation, config.county, config.source.connection)
    with SqlServerReader(address, attempts=attempts) as reader:
        yield reader


def source_address(invocation: Invocation, county: str, connection: str) -> SourceAddress:
    """Where the county's PACS is: options, then the county's connection, then PACS_DB_*, as the hook does it.

    Args:
        invocation: the command.
        county: the county's name.
        connection: the id of its connection in Airflow.

    Raises:
        ConfigError: nothing says where it is, or what says it is wrong.
    """
    from airflow_provider_pacs.sync.config import stored_connection as stored
    from airflow_provider_pacs.sync.source.address import SourceAddress

    choice = invocation.source
    url = _url_of(invocation, choice, "source")
    address: SourceAddress | None
    if url is not None:
        address = SourceAddress.from_url(url)
    elif choice.conn_id:
        address = stored.source_address(_required(choice.conn_id))
    elif (by_default := stored.stored_connection(connection, os.environ)) is not None:
        invocation.secrets.add(by_default.password)
        address = stored.source_address(by_default)
    else:
        address = SourceAddress.from_environment(county, os.environ)
    if address is None:
        raise ConfigError(
            "no source given",
            remedy=f"use --source-conn-id, --source-url-file or --source-url, or set "
            f"{stored.variable_of(connection)}, or PACS_DB_HOST_{county.upper()}_SOURCE and its companions",
        )
    invocation.secrets.add(address.password)
    return address


def open_target(invocation: Invocation, config: CountyConfig | None = None) -> PostgresTarget:
    """The platform's database, connected.

    Raises:
        ConfigError: nothing says where it is, the login was refused, or the connection is weaker than the
            county's file allows.
    """
    from airflow_provider_pacs.sync.target.postgres import PostgresTarget, session, tls

    place = target_place(invocation, config)
    params = session.params_from_url(place) if isinstance(place, str) else place
    if config is not None:
        tls.refuse_weak(params, config.target.tls, county=config.county)
    return PostgresTarget(params)


def target_place(invocation: Invocation, config: CountyConfig | None = None) -> str | dict[str, str]:
    """Where the target is, as a URL or as libpq's keywords: options, PACS_TARGET_URL, then the connection.

    Args:
        invocation: the command.
        config: the county; None where the command does not need its file otherwise, which is then read only
            where nothing else says where the target is.

    Raises:
        ConfigError: nothing says where it is, or what says it is wrong.
    """
    from airflow_provider_pacs.sync.config import stored_connection as stored

    choice = invocation.target
    url = _url_of(invocation, choice, "target")
    if url is None and not choice.conn_id:
        url = os.environ.get(TARGET_VARIABLE) or None
    if url is not None:
        return _checked_target(invocation, url)
    if choice.conn_id:
        connection = _required(choice.conn_id)
    else:
        conn_id = (config or read_config(invocation)).target.connection
        by_default = stored.stored_connection(conn_id, os.environ)
        if by_default is None:
            raise ConfigError(
                "no target given",
                remedy="use --target-conn-id, --target-url-file or --target-url, or set "
                f"{TARGET_VARIABLE} or {stored.variable_of(conn_id)}",
            )
        connection = by_default
    invocation.secrets.add(connection.password)
    return stored.target_keywords(connection)


def _checked_target(invocation: Invocation, url: str) -> str:
    """The URL, refused here where libpq would quote a part of a password that is not percent-encoded."""
    from airflow_provider_pacs.sync.config.stored_connection import split_url

    invocation.secrets.add_url(url)
    if "://" in url:
        parts = split_url(url)
        if parts is None or parts.scheme not in ("postgresql", "postgres"):
            raise ConfigError("the target is not a PostgreSQL URL", remedy=_TARGET_FORM)
    return url


def _required(conn_id: str) -> StoredConnection:
    """The connection that an option names.

    Raises:
        ConfigError: its variable is not set.
    """
    from airflow_provider_pacs.sync.config import stored_connection as stored

    connection = stored.stored_connection(conn_id, os.environ)
    if connection is None:
        raise ConfigError(
            f"there is no connection {conn_id!r} in the environment",
            remedy=f"export {stored.variable_of(conn_id)} as Airflow writes it (JSON or a URI), or name the "
            "database with a URL",
        )
    return connection


def _url_of(invocation: Invocation, choice: ConnectionChoice, name: str) -> str | None:
    """The URL that an option gives, by itself or in a file; None where none does."""
    url = choice.url
    if choice.url_file is not None:
        url = _read_url(choice.url_file, f"--{name}-url-file")
    invocation.secrets.add_url(url)
    return url


def _read_url(file: str, option: str) -> str:
    """The one line of a file, or of standard input for `-`.

    Raises:
        ConfigError: it can't be read, is empty, or holds more than a URL.
    """
    try:
        text = (sys.stdin.read(_LONGEST_URL) if file == "-" else Path(file).read_text("utf-8")).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"{option}: {file} can't be read: {reason}", remedy="name a readable file"
        ) from None
    if not text or "\n" in text:
        what = "is empty" if not text else "holds more than one line"
        raise ConfigError(f"{option}: {file} {what}", remedy="write the URL alone into it")
    return text
