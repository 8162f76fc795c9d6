"""The server behind all sessions: DuckDB, the catalog, the clock, the logins and who is connected."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb

from airflow_provider_pacs.sandbox.catalog.catalog import Catalog
from airflow_provider_pacs.sandbox.catalog.principals import Securable, User
from airflow_provider_pacs.sandbox.catalog.tables import Database, Table, quoted
from airflow_provider_pacs.sandbox.catalog.tracking import Tracking
from airflow_provider_pacs.sandbox.model import ResultSet, RowCount, SqlError
from airflow_provider_pacs.sandbox.tsql.clock import Clock
from airflow_provider_pacs.sandbox.tsql.convert import MACROS
from airflow_provider_pacs.sandbox.tsql.dml import Change
from airflow_provider_pacs.sandbox.tsql.transactions import Transactions

Procedure = Callable[[Any, dict[str, Any]], Iterator[ResultSet | RowCount]]
"""A stored procedure: the session that calls it and the arguments by name, to its answers."""
Journal = Callable[[Any, Change, int, int], None]
"""Triggers of an application: the session, the change, its transaction, and the place before its first image."""
START = datetime(2026, 1, 15, 6, 0, 0)
"""Where the sandbox's clock starts (local time) unless set otherwise."""


class OpenSession(Protocol):
    """A session, as other sessions see it."""

    @property
    def spid(self) -> int: ...
    @property
    def login(self) -> Login: ...
    @property
    def host(self) -> str: ...
    @property
    def application(self) -> str: ...
    @property
    def database(self) -> str: ...
    @property
    def since(self) -> datetime: ...
    @property
    def encrypted(self) -> bool: ...
    @property
    def transactions(self) -> Transactions: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Login:
    """Who may connect. `databases` empty means all; an admin may write and run the sandbox's procedures."""

    name: str
    password: str
    databases: tuple[str, ...] = ()
    admin: bool = False

    def may_open(self, database: str) -> bool:
        """True where the login has access."""
        return not self.databases or database.lower() in {
            "master",
            "tempdb",
            *(d.lower() for d in self.databases),
        }


class Server:
    """What the sessions of the sandbox PACS share.

    Args:
        directory: where the DuckDB file lives; None keeps everything in memory.
        logins: who may connect.
        start: local time at which the clock starts. A kept database's clock starts no earlier than it had
            come.
        zone: IANA time zone of the server.
        fault: called with the rule of `EXEC sandbox.fault @rule = '...'`.
    """

    def __init__(
        self,
        directory: Path | None = None,
        logins: Sequence[Login] = (
            Login("sa", "Sandbox!Admin1", admin=True),
            Login("pacs_reader", "Sandbox!Reader1", ("PACS", "pacs_oltp")),
        ),
        start: datetime = START,
        zone: str = "America/Los_Angeles",
        fault: Callable[[str], object] | None = None,
    ) -> None:
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
        self.con = duckdb.connect(str(directory / "pacs.duckdb") if directory is not None else ":memory:")
        self._settings()
        self.clock = Clock(max(start, self._kept_clock() or start), zone)
        self.catalog = Catalog(datetime(2019, 3, 1))
        self.fault = fault
        self.procedures: dict[str, Procedure] = {}
        self._server_permissions: dict[str, set[str]] = {
            login.name.lower(): {"CONNECT SQL", "VIEW ANY DATABASE", "VIEW SERVER STATE"} for login in logins
        }
        self.journals: dict[str, Journal] = {}
        self.backups: dict[str, tuple[str, Tracking]] = {}
        self._logins = {login.name.lower(): login for login in logins}
        self._sessions: dict[int, OpenSession] = {}
        self._next_spid = 51
        self._lock = threading.Lock()

    def _settings(self) -> None:
        self.con.execute("SET GLOBAL default_collation = 'NOCASE'")
        self.con.execute("SET GLOBAL arrow_lossless_conversion = true")
        self.con.execute("SET GLOBAL preserve_insertion_order = true")
        self.con.execute("SET TimeZone = 'UTC'")
        for macro in MACROS:
            self.con.execute(macro)
        self.con.execute("CREATE SEQUENCE IF NOT EXISTS tsql.rv START 2001")
        self.con.execute("CREATE TABLE IF NOT EXISTS tsql.kept (name VARCHAR, value VARCHAR)")

    def _kept_clock(self) -> datetime | None:
        row = self.con.execute("SELECT max(value) FROM tsql.kept WHERE name = 'clock'").fetchone()
        return datetime.fromisoformat(row[0]) if row and row[0] else None

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A DuckDB cursor of its own, for what is outside of the sessions' transactions."""
        cursor = self.con.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    def last_rowversion(self) -> int:
        """@@DBTS: the last rowversion given out, by a committed writer or not."""
        cursor = self.con.cursor()
        row = cursor.execute(
            "SELECT last_value FROM duckdb_sequences() WHERE sequence_name = 'rv'"
        ).fetchone()
        cursor.close()
        return int(row[0]) if row and row[0] is not None else 2000

    def publish(self) -> None:
        """Creates the declared tables that do not exist and fills the system tables. Call after declaring."""
        for login in self._logins.values():
            for name in login.databases:
                self._admit_listed(login, name)
        cursor = self.con.cursor()
        self.catalog.create_tables(cursor)
        self.catalog.publish(cursor)
        cursor.close()

    def declare(self, table: Table) -> None:
        """Declares a table, as CREATE TABLE does, and makes it."""
        with self._lock:
            self.catalog.add_table(table)
            self._changed(table.database)

    def undeclare(self, table: Table) -> None:
        """Drops a declared table and its rows."""
        with self._lock:
            self.catalog.drop_table(table)
            self._changed(table.database, f"DROP TABLE {table.stored}")

    def redefine(self, table: Table) -> None:
        """Gives a declared table other indexes or references."""
        with self._lock:
            self.catalog.redefine(table)
            self._changed(table.database)

    def create_database(self, name: str) -> None:
        """Adds an empty database, as CREATE DATABASE does."""
        with self._lock:
            self.catalog.add_database(name, self.clock.local(), snapshot=False)
            self._changed(name)
        self.refresh()

    def drop_database(self, database: Database) -> None:
        """Drops a database that no session uses, with its tables and rows."""
        with self._lock:
            schemas = [*self.catalog.schemas(database.name), "information_schema"]
            for table in list(self.catalog.tables(database.name)):
                self.catalog.drop_table(table)
            del self.catalog.databases[database.name.lower()]
            cursor = self.con.cursor()
            for schema in schemas:
                cursor.execute(f"DROP SCHEMA IF EXISTS {quoted(f'{database.name}.{schema}')} CASCADE")
            cursor.close()
        self.refresh()

    def refresh(self, database: str = "") -> None:
        """Fills the system tables anew: those of one database, or those that tell of all databases."""
        with self._lock:
            if database:
                self._changed(database)
                return
            cursor = self.con.cursor()
            self.catalog.publish_databases(cursor)
            cursor.close()

    def add_login(self, name: str, password: str) -> None:
        """A login that may open no user database yet.

        Raises:
            SqlError: 15025 where the name is taken.
        """
        if name.lower() in self._logins:
            raise SqlError(15025, f"The server principal '{name}' already exists.")
        self._logins[name.lower()] = Login(name, password, ("master",))
        self._server_permissions[name.lower()] = {"CONNECT SQL", "VIEW ANY DATABASE"}

    def set_password(self, name: str, password: str) -> None:
        """ALTER LOGIN ... WITH PASSWORD.

        Raises:
            SqlError: 15151 where there is no such login.
        """
        known = self._logins.get(name.lower())
        if known is None:
            raise SqlError(
                15151,
                f"Cannot alter the login '{name}', because it does not exist or you do not have permission.",
            )
        self._logins[name.lower()] = replace(known, password=password)

    def server_permissions(self, login: str) -> set[str]:
        """The permissions that a login holds on the server."""
        return self._server_permissions.get(login.lower(), set())

    def set_server_permission(self, state: str, login: str, action: str) -> None:
        """GRANT, DENY or REVOKE on the server.

        Raises:
            SqlError: 15151 where there is no such login.
        """
        if login.lower() not in self._logins:
            raise SqlError(
                15151,
                f"Cannot find the login '{login}', because it does not exist or you do not have permission.",
            )
        granted = self._server_permissions.setdefault(login.lower(), set())
        if state == "GRANT":
            granted.add(action)
        else:
            granted.discard(action)

    def _admit_listed(self, login: Login, database: str) -> None:
        """A login that the constructor lets into a database is a user there, who reads everything."""
        known = self.catalog.databases.get(database.lower())
        if login.admin or known is None or known.of_the_system or known.principals.user_of(login.name):
            return
        user = User(login.name, login.name.lower(), known.principals.number())
        known.principals.users[login.name.lower()] = user
        known.principals.roles["db_datareader"].members.add(login.name.lower())
        for action in ("CONNECT", "VIEW DEFINITION"):
            known.principals.set("GRANT", login.name, action, Securable())

    def admit(self, name: str, database: str) -> None:
        """Lets a login read a database.

        Raises:
            SqlError: 15007 where there is no such login.
        """
        known = self._logins.get(name.lower())
        if known is None:
            raise SqlError(15007, f"'{name}' is not a valid login or you do not have permission.")
        self._logins[name.lower()] = replace(known, databases=(*known.databases, database))

    def expel(self, name: str, database: str) -> None:
        """Takes a database from a login, as DROP USER does."""
        known = self._logins.get(name.lower())
        if known is not None:
            left = tuple(d for d in known.databases if d.lower() != database.lower())
            self._logins[name.lower()] = replace(known, databases=left or ("master",))

    def drop_login(self, name: str) -> None:
        """Forgets a login.

        Raises:
            SqlError: 15151 where there is no such login.
        """
        if self._logins.pop(name.lower(), None) is None:
            raise SqlError(
                15151,
                f"Cannot drop the login '{name}', because it does not exist or you do not have permission.",
            )

    def _changed(self, database: str, statement: str = "") -> None:
        cursor = self.con.cursor()
        if statement:
            cursor.execute(statement)
        self.catalog.create_tables(cursor)
        self.catalog.publish(cursor, only=database)
        cursor.close()

    def sessions(self) -> list[OpenSession]:
        """The open sessions."""
        with self._lock:
            return list(self._sessions.values())

    def forget(self, session: OpenSession) -> None:
        """A session has ended."""
        with self._lock:
            self._sessions.pop(session.spid, None)

    def close(self) -> None:
        """Ends every session, keeps the clock and closes the database."""
        for session in self.sessions():
            session.close()
        self.con.execute("DELETE FROM tsql.kept WHERE name = 'clock'")
        self.con.execute(
            "INSERT INTO tsql.kept VALUES ('clock', ?)", [self.clock.local().isoformat(" ", "microseconds")]
        )
        self.con.close()
