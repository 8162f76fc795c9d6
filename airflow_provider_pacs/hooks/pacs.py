"""The hook: an Airflow connection of type `pacs` or `mssql` comes in, a pyodbc connection, a SQLAlchemy
engine or a bulk reader goes out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.providers.common.compat.sdk import AirflowNotFoundException, Connection
from airflow.providers.microsoft.mssql.hooks.mssql import MsSqlHook
from airflow.sdk.log import mask_secret

from airflow_provider_pacs.sync import entity_streams as records
from airflow_provider_pacs.sync.runtime.errors import ConfigError, FatalError, PacsError
from airflow_provider_pacs.sync.runtime.secrets import describe_foreign
from airflow_provider_pacs.sync.source.address import (
    OPTIONS,
    SourceAddress,
    named_options,
    quote,
    read_options,
)
from airflow_provider_pacs.sync.source.drivers import listed, with_allowed_driver

if TYPE_CHECKING:
    import pyarrow as pa
    import pyodbc
    from sqlalchemy.engine import URL, Engine

    from airflow_provider_pacs.sync.source.async_reader import AsyncReader
    from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader

UNKNOWN = "unknown"
_CHECKS = {
    "server_version": "SELECT CAST(SERVERPROPERTY('ProductVersion') AS varchar(128)) AS v",
    "edition": "SELECT CAST(SERVERPROPERTY('Edition') AS varchar(128)) AS v",
    "database": "SELECT DB_NAME() AS v",
    "login": "SELECT ORIGINAL_LOGIN() AS v",
    "encrypted": "SELECT encrypt_option AS v FROM sys.dm_exec_connections WHERE session_id = @@SPID",
    "authentication": "SELECT auth_scheme AS v FROM sys.dm_exec_connections WHERE session_id = @@SPID",
}
_ENGINE = {"pool_pre_ping": True, "pool_recycle": 1800}


class PacsHook(MsSqlHook):
    """A county's PACS over Microsoft's ODBC driver.

    The connection's extras are read by name: see `SourceAddress`. Without a stored connection the variables
    PACS_DB_HOST_<COUNTY>_SOURCE and its siblings are read.

    Args:
        pacs_conn_id: the connection; `pacs_<county>` by convention.
        county: the county of the variables; by default the connection's id without `pacs_`.
        schema: a database other than the connection's.
        application_name: what the server's administrator sees; by default the connection's option.
        kwargs: passed to DbApiHook.
    """

    conn_name_attr = "pacs_conn_id"
    default_conn_name = "pacs_default"
    conn_type = "pacs"
    hook_name = "PACS (SQL Server)"
    supports_autocommit = True
    supports_executemany = True
    DEFAULT_SQLALCHEMY_SCHEME = "mssql+pyodbc"
    _placeholder = "?"
    _test_connection_sql = "SELECT 1"

    def __init__(
        self, *args: Any, county: str | None = None, application_name: str | None = None, **kwargs: Any
    ) -> None:
        self._stored: Any = None
        super().__init__(*args, **kwargs)
        self.county = county or str(self.get_conn_id()).removeprefix("pacs_")
        self._application_name = application_name
        self._address: SourceAddress | None = None

    @property  # type: ignore[misc]  # the parent's setter does nothing but warn
    def connection(self) -> Any:
        """The stored connection, or one made of the environment's variables.

        Raises:
            AirflowNotFoundException: neither is there.
            ConfigError: the variables are incomplete.
        """
        if self._stored is None:
            try:
                self._stored = self._connection or self.get_connection(self.get_conn_id())
            except AirflowNotFoundException as error:
                self._stored = self._from_environment(error)
        return self._stored

    def _from_environment(self, error: AirflowNotFoundException) -> Connection:
        address = SourceAddress.from_environment(self.county, os.environ)
        if address is None:
            variable = f"PACS_DB_HOST_{self.county.upper()}_SOURCE"
            raise AirflowNotFoundException(
                f"{error} Store it as a connection of type pacs, or set {variable} and its siblings."
            ) from None
        return _as_connection(self.get_conn_id(), address)

    async def get_async_reader(self) -> AsyncReader:
        """Returns a reader for small questions on the event loop: for triggers.

        Raises:
            ConfigError: as `address`.
            AirflowNotFoundException: there is no such connection.
        """
        from airflow_provider_pacs.sync.source.async_reader import AsyncReader

        if self._stored is None:
            try:
                self._stored = self._connection or await self.aget_connection(str(self.get_conn_id()))
            except AirflowNotFoundException as error:
                self._stored = self._from_environment(error)
        return AsyncReader(self.address())

    def address(self) -> SourceAddress:
        """Returns where the connection points; its secrets are masked in Airflow's logs from here on.

        Raises:
            ConfigError: a field or an extra is wrong, or the connection has another type.
        """
        if self._address is None:
            self._address = self._read_address()
        return self._address

    def _read_address(self) -> SourceAddress:
        conn = self.connection
        if conn.conn_type not in ("pacs", "mssql"):
            raise ConfigError(
                f"Connection {conn.conn_id} has type {conn.conn_type!r}.",
                remedy="Use a connection of type pacs or mssql.",
            )
        if conn.password:
            mask_secret(conn.password)
            mask_secret(quote(conn.password))
        options = read_options(named_options(conn.extra_dejson, f"Connection {conn.conn_id}"))
        options["allowed_drivers"] = listed(conf.get("pacs", "odbc_drivers", fallback=""))
        if self._application_name:
            options["application_name"] = self._application_name
        try:
            address = SourceAddress(
                conn.host or "",
                conn.port,
                self.schema or conn.schema or "",
                conn.login or None,
                conn.password or None,
                **options,
            )
        except ConfigError as error:
            raise ConfigError(f"Connection {conn.conn_id}: {error.message}", remedy=error.remedy) from None
        mask_secret(address.connection_string())
        return address

    def get_conn(self) -> pyodbc.Connection:
        """Returns a pyodbc connection in autocommit mode.

        Raises:
            PacsError: the login failed, the host cannot be reached, the driver is missing, ...
        """
        from airflow_provider_pacs.sync.source.sqlserver import open_connection

        return open_connection(self.address())

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        """Sets pyodbc's attribute; the parent calls pymssql's method."""
        conn.autocommit = bool(autocommit)

    def get_autocommit(self, conn: Any) -> bool:
        """Reads pyodbc's attribute."""
        return bool(conn.autocommit)

    @property
    def sqlalchemy_url(self) -> URL:
        """The `mssql+pyodbc` URL with all options; it holds the password, so prefer
        `get_sqlalchemy_engine`.
        """
        return with_allowed_driver(self.address()).sqlalchemy_url()

    def get_sqlalchemy_engine(self, engine_kwargs: dict[str, Any] | None = None) -> Engine:
        """Returns a pooled engine that checks connections before use. Its URL and `repr` hold no secret."""
        from sqlalchemy import create_engine
        from sqlalchemy.engine import URL

        address = self.address()
        url = URL.create(
            "mssql+pyodbc",
            host=address.host,
            port=address.port,
            database=address.database,
            query={"driver": address.odbc_driver},
        )

        def connect() -> pyodbc.Connection:
            connection = self.get_conn()
            connection.autocommit = False  # SQLAlchemy begins and ends transactions itself
            return connection

        return create_engine(url, **{**_ENGINE, "creator": connect, **(engine_kwargs or {})})

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Runs statements as DbApiHook does.

        Raises:
            PacsError: as `source/errors.py` maps the driver's error.
        """
        from airflow_provider_pacs.sync.source.errors import mapped_errors

        with mapped_errors(self.address().text):
            return super().run(*args, **kwargs)

    def _make_common_data_structure(self, result: Any) -> Any:
        """Turns pyodbc's rows into tuples, which XCom can carry."""
        if isinstance(result, list):
            return [tuple(row) for row in result]
        return None if result is None else tuple(result)

    def get_reader(self, batch_rows: int | None = None, *, attempts: int = 5) -> SqlServerReader:
        """Returns a reader for queries and bulk streams; close it, or use it in a `with`."""
        from airflow_provider_pacs.sync.source.sqlserver import BATCH_ROWS, SqlServerReader

        return SqlServerReader(self.address(), batch_rows=batch_rows or BATCH_ROWS, attempts=attempts)

    def get_all_records(
        self, entity: str, *, profile: str = "generic", batch_rows: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Stream every row of an entity, inactive ones too.

        Args:
            entity: a canonical entity, e.g. `property`.
            profile: the source profile that names its table and columns.
            batch_rows: most rows in a batch.

        Yields:
            Record batches with the entity's canonical column names, and `_source_version`: the change stamp
            as SQL Server writes it.

        Raises:
            ConfigError: unknown entity or profile, or a table or column that is not there (PACS-003).
            RetryableError: the connection failed; batches handed out so far are not the whole.
        """
        with self.get_reader(batch_rows) as reader:
            yield from records.all_records(reader, entity, profile)

    def get_changed_records(
        self, entity: str, since: str, *, profile: str = "generic", batch_rows: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Stream the rows of an entity that changed at `since` or later.

        Args:
            entity: a canonical entity.
            since: a `_source_version` or another text in style 121 (`2026-01-31 08:15:00.003`); SQL Server
                converts it to the column's own type.
            profile: the source profile.
            batch_rows: most rows in a batch.

        Yields:
            As `get_all_records`. Hard deletes leave no row: a full comparison finds them.

        Raises:
            ConfigError: as `get_all_records`, or the entity has no change column of a date type.
        """
        with self.get_reader(batch_rows) as reader:
            yield from records.changed_records(reader, entity, since, profile)

    def get_related_records(
        self,
        entity: str,
        keys: Iterable[str],
        relation: str,
        *,
        profile: str = "generic",
        batch_rows: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Stream the rows of `relation` that belong to rows of `entity`: a statement per 500 keys, never one
        per row.

        Args:
            entity: the parent entity, e.g. `property`.
            keys: its keys, as text.
            relation: a child entity, e.g. `owner`.
            profile: the source profile.
            batch_rows: most rows in a batch.

        Yields:
            As `get_all_records`, of the child entity.

        Raises:
            ConfigError: `relation` is not a child of `entity`; or as `get_all_records`.
        """
        with self.get_reader(batch_rows) as reader:
            yield from records.related_records(reader, entity, list(keys), relation, profile)

    def check_connection(self) -> dict[str, Any]:
        """Connects once and returns what the server says of itself; `unknown` for what it lacks or does not
        permit.

        Raises:
            PacsError: there is no connection.
        """
        answers: dict[str, Any] = {"address": self.address().text}
        with self.get_reader(attempts=1) as reader:
            reader.query("SELECT 1 AS one")
            for name, sql in _CHECKS.items():
                try:
                    rows: Iterable[dict[str, Any]] = reader.query(sql)
                except (ConfigError, FatalError):
                    rows = ()
                answers[name] = next(
                    (value for row in rows for value in row.values() if value is not None), UNKNOWN
                )
        if answers["encrypted"] != UNKNOWN:
            answers["encrypted"] = str(answers["encrypted"]).upper() == "TRUE"
        return answers

    def test_connection(self) -> tuple[bool, str]:  # type: ignore[override]  # the parent has no annotation but returns the same
        """Returns whether the connection works, and one line for Airflow's form."""
        try:
            answers = self.check_connection()
        except (PacsError, AirflowNotFoundException) as error:
            return False, str(error)
        except Exception as error:  # Airflow's form would show its whole text
            return False, describe_foreign(error)
        encrypted = {True: "encrypted", False: "not encrypted"}.get(
            answers["encrypted"], "encryption unknown"
        )
        return (
            True,
            f"{answers['address']}: SQL Server {answers['server_version']}, login {answers['login']}, "
            f"{encrypted}.",
        )


def _as_connection(conn_id: str, address: SourceAddress) -> Connection:
    """Returns an Airflow connection that reads back as the address."""
    defaults = {option.name: option.default for option in fields(SourceAddress)}
    extra = {name: getattr(address, name) for name in OPTIONS if getattr(address, name) != defaults[name]}
    return Connection(
        conn_id=conn_id,
        conn_type="pacs",
        host=address.host,
        port=address.port,
        schema=address.database,
        login=address.user,
        password=address.password,
        extra=json.dumps(extra),
    )
