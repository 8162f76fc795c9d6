"""Counties that cannot work, each wrong in one way: what its file, its connections and its certificates say,
and what must be said about it.

The same list goes through the command line and through a DAG. Everything is real but the county: Microsoft's
driver, TLS, PostgreSQL.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import psycopg
import pytest
import yaml
from psycopg import sql

from airflow_provider_pacs.sandbox.catalog.tables import Table
from airflow_provider_pacs.sandbox.counties import generic_tables as county
from airflow_provider_pacs.sandbox.counties.generic_rows import build
from airflow_provider_pacs.sandbox.driver import odbc_environment
from airflow_provider_pacs.sandbox.tsql.engine import Login, SandboxEngine
from airflow_provider_pacs.sandbox.wire.certificates import make_authority, make_certificate
from airflow_provider_pacs.sandbox.wire.faults import FaultPlan
from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from airflow_provider_pacs.sync.source.address import SourceAddress
from tests.support.generated import generated_county, reading_login
from tests.support.server import MssqlServer, named_server
from tests.wire.scripted import AUTHORITY, CERTIFICATE, DIRECTORY

READER, PASSWORD = f"pacs_reader_{uuid4().hex[:8]}", "R3cognisable}Secret;1"
"""A login is the whole server's: another test run may be at work there."""
GUARDED, GUARDED_PASSWORD = "pacs_writer", "Gu4rded}Secret;4"
"""A role of the target that needs its password; the embedded server trusts the others."""
LONG = "a column whose name has seventy characters, as one county's vendor did"
ODD_SCHEMA, ODD_TABLE = "dbo] o'clock", 'Select "the" \'Property] -- table'
ODD_COLUMNS = {
    "property_id": "Primary Key",
    "parcel_number": "Parcel]Number",
    "address": "BulkQuery",
    "city": 'it\'s a "city"',
    "state": "from",
    "zip_code": "Zip;Code--",
    "legal_description": LONG,
    "acreage": "100%",
    "year_built": "[Year]",
    "last_modified": "Zeitstempel (geändert)",
    "is_active": "?",
}
assert len(LONG) == 70


@dataclass(frozen=True)
class Source:
    """How the county's connection says where the source is."""

    host: str = "127.0.0.1"
    port: int = 0
    database: str = "PACS"
    user: str = READER
    password: str = PASSWORD
    options: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        options = f"?{urlencode(self.options)}" if self.options else ""
        return f"mssql://{self.user}:{quote(self.password, safe='')}@{self.host}:{self.port}/{self.database}{options}"


@dataclass(frozen=True)
class World:
    """A tiny county with an empty and an oddly named table beside the usual ones, on the sandbox or on the
    server that is named.

    Attributes:
        source: how its reader, who may do nothing but read, gets there.
        ports: of the sandbox: the same county behind certificates that must not be trusted.
        faults: of the sandbox.
    """

    source: Source
    admin: MssqlServer
    ports: dict[str, int] | None = None
    faults: FaultPlan | None = None

    def behind(self, certificate: str) -> Source:
        """The county behind a certificate that is wrong in one way."""
        if self.ports is None:
            pytest.skip(
                f"only with the sandbox: a server shows one certificate, and not an {certificate} one"
            )
        return replace(self.source, port=self.ports[certificate])

    def breaks(self, rule: str) -> bool:
        """The server fails by that rule until `mend`; False where it is a named one, which no test can make
        fail.
        """
        if self.faults is not None:
            self.faults.add(rule)
        return self.faults is not None

    def mend(self) -> None:
        """No fault any more."""
        if self.faults is not None:
            self.faults.clear()

    def execute(self, statement: str, *params: object) -> None:
        """What the county's software does."""
        self.rows(statement, *params)

    def rows(self, statement: str, *params: object) -> list[tuple[Any, ...]]:
        """A statement by an administrator; its rows."""
        connection = self.admin.connect()
        try:
            cursor = connection.execute(statement, *params)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description is not None else []
        finally:
            connection.close()


def odd_tables() -> tuple[Table, Table]:
    """The table without rows, and the one whose names are odd."""
    rows = county.TABLES[0]
    empty = replace(rows, name="EmptyProperty", indexes=())
    names = dict(zip((column.name for column in rows.columns), ODD_COLUMNS.values(), strict=True))
    odd = replace(
        rows,
        schema=ODD_SCHEMA,
        name=ODD_TABLE,
        columns=tuple(replace(column, name=names[column.name]) for column in rows.columns),
        primary_key=(names["PropertyID"],),
        indexes=(),
        defaults={},
    )
    return empty, odd


@contextmanager
def county_world() -> Iterator[World]:
    """The county of these tests, for as long as they last."""
    named = named_server()
    with named_world(named) if named else served_world() as made:
        yield made


@contextmanager
def named_world(server: MssqlServer) -> Iterator[World]:
    """Make it on a named server, in a database and for a login of its own."""
    address = server.address
    with generated_county(server, more=odd_tables()) as made, reading_login(made, READER, PASSWORD):
        options = {"trust_server_certificate": "yes"} if address.trust_server_certificate else {}
        yield World(
            Source(
                address.host,
                address.port or 1433,
                made.address.database,
                options=options | {"encrypt": address.encrypt},
            ),
            made,
        )


@contextmanager
def served_world() -> Iterator[World]:
    """Serve it from a sandbox in this process."""
    engine = SandboxEngine(logins=(Login(READER, PASSWORD, ("PACS",)), Login("sa", PASSWORD, admin=True)))
    build(engine, "tiny")
    empty, odd = odd_tables()
    for table in (empty, odd):
        engine.catalog.add_table(table)
    engine.publish()
    engine.con.execute(f"INSERT INTO {odd.stored} SELECT * FROM {county.TABLES[0].stored}")
    old = dt.datetime.now(dt.UTC) - dt.timedelta(days=60)
    certificates = {
        "good": CERTIFICATE,
        "expired": make_certificate(AUTHORITY, days=30, valid_from=old),
        "wrong-name": make_certificate(AUTHORITY, names=("pacs.example.org",)),
        "untrusted": make_certificate(make_authority("Another CA")),
    }
    faults = FaultPlan()
    with ExitStack() as open_ends:
        ports = {
            name: open_ends.enter_context(SandboxServer(engine, certificate=made, faults=faults)).port
            for name, made in certificates.items()
        }
        address = SourceAddress("127.0.0.1", ports["good"], "PACS", "sa", PASSWORD)
        yield World(Source(port=ports["good"]), MssqlServer(address, genuine=False), ports, faults)


@dataclass(frozen=True)
class Bad:
    """One wrong thing.

    Attributes:
        name: what is wrong.
        code: the error's code.
        words: what the line must name, and a word of its remedy.
        source: changes the source's address.
        settings: of the county's file, beside its name.
        target: libpq keywords that differ from the target's.
        status: the command's exit status.
        retried: Airflow may try again.
    """

    name: str
    code: str
    words: tuple[str, ...]
    source: Callable[[World], Source] = lambda world: world.source
    settings: dict[str, Any] = field(default_factory=dict)
    target: dict[str, str] = field(default_factory=dict)
    status: int = 2
    retried: bool = False

    def __str__(self) -> str:
        return self.name


def _certificate(name: str) -> Callable[[World], Source]:
    return lambda world: world.behind(name)


def _changed(**changes: Any) -> Callable[[World], Source]:
    return lambda world: replace(world.source, **changes)


def _columns(**columns: str) -> dict[str, Any]:
    return {"tables": {"property": {"columns": columns}}}


REFUSED = (
    Bad(
        "wrong password",
        "PACS-002",
        (READER, "18456", "Check user, password"),
        _changed(password="Wr0ng}Secret;2"),
    ),
    Bad(
        "unknown database",
        "PACS-006",
        ('"PAX"', "4060", "Check the database's name"),
        _changed(database="PAX"),
    ),
    Bad(
        "unreachable host",
        "PACS-001",
        ("127.0.0.1:1/PACS", "port 1 is closed", "Check the port"),
        _changed(host="127.0.0.1", port=1, database="PACS", options={"login_timeout": "1"}),
        status=1,
        retried=True,
    ),
    Bad("expired certificate", "PACS-006", ("127.0.0.1", "expired", "renew"), _certificate("expired")),
    Bad(
        "wrong-name certificate",
        "PACS-006",
        ("127.0.0.1", "host_name_in_certificate"),
        _certificate("wrong-name"),
    ),
    Bad("untrusted CA", "PACS-006", ("127.0.0.1", "Trust the CA"), _certificate("untrusted")),
    Bad(
        "missing table",
        "PACS-003",
        ("dbo.Parcels", "'property'", "tables.property.table"),
        settings={"tables": {"property": {"table": "Parcels"}}},
    ),
    Bad(
        "missing column",
        "PACS-003",
        ("dbo.Property", "'Acreags'", "'acreage'", "tables.property.columns"),
        settings=_columns(acreage="Acreags"),
    ),
    Bad(
        "wrong type",
        "PACS-003",
        ("dbo.Property", "'LastModified'", "datetime", "acreage", "tables.property.columns"),
        settings=_columns(acreage="LastModified"),
    ),
    Bad(
        "text that is no number",
        "PACS-004",
        ("property", "year_built", "mapping"),
        settings=_columns(year_built="Address"),
        status=1,
    ),
    Bad(
        "wrong target password",
        "PACS-002",
        (GUARDED, "Check user, password"),
        target={"user": GUARDED, "password": "Wr0ng}Secret;3"},
    ),
    Bad(
        "unknown target database",
        "PACS-006",
        ("nowhere_db", "Check the database's name"),
        target={"dbname": "nowhere_db"},
    ),
    Bad(
        "unreachable target",
        "PACS-001",
        ("127.0.0.1:1/", "Check host, port and firewall"),
        target={"host": "127.0.0.1", "port": "1"},
        status=1,
        retried=True,
    ),
)
FILES = (
    Bad(
        "a typo",
        "PACS-006",
        ("benton_wa.yaml", "sync.batch_sise", "batch_size", "line"),
        settings={"sync": {"batch_sise": 5}},
    ),
    Bad(
        "unknown entity",
        "PACS-006",
        ("benton_wa.yaml", "sync.entities", "'ownr'", "'owner'"),
        settings={"sync": {"entities": ["ownr"]}},
    ),
    Bad(
        "batch_size: 0",
        "PACS-006",
        ("benton_wa.yaml", "sync.batch_size", "greater than or equal to 1"),
        settings={"sync": {"batch_size": 0}},
    ),
    Bad(
        "duplicate county", "PACS-006", ("benton_wa.yaml", "benton_wa.yml", "'benton_wa'", "Keep one of them")
    ),
)


ODD_NAMES = {"tables": {"property": {"schema": ODD_SCHEMA, "table": ODD_TABLE, "columns": ODD_COLUMNS}}}
NO_ROWS = {"tables": {"property": {"table": "EmptyProperty"}}}


def write_county(folder: Path, settings: dict[str, Any], *, twice: bool = False, **sync: Any) -> Path:
    """Write a county's file for one entity; twice for the duplicate."""
    folder.mkdir(exist_ok=True)
    county = {"county": "benton_wa", **settings}
    county["sync"] = {"entities": ["property"], **sync, **county.get("sync", {})}
    slug = county["county"]
    for name in (f"{slug}.yaml", f"{slug}.yml") if twice else (f"{slug}.yaml",):
        (folder / name).write_text(yaml.safe_dump(county, allow_unicode=True), "utf-8")
    return folder


def target_url(params: dict[str, str]) -> str:
    """The target's URL of libpq keywords."""
    user, host = quote(params.get("user", "postgres"), safe=""), params["host"]
    password = f":{quote(params['password'], safe='')}" if "password" in params else ""
    rest = urlencode({"host": host, **({"port": params["port"]} if "port" in params else {})})
    return f"postgresql://{user}{password}@/{params['dbname']}?{rest}"


def guard_role(url: str) -> None:
    """Make the role that needs its password; its line goes before those that trust everybody."""
    with psycopg.connect(url, autocommit=True) as connection:
        known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (GUARDED,)).fetchone()
        if known is None:
            statement = sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}").format(
                sql.Identifier(GUARDED), sql.Literal(GUARDED_PASSWORD)
            )
            connection.execute(statement)
        ((file,),) = connection.execute("SHOW hba_file").fetchall()
        line = f"local all {GUARDED} scram-sha-256\n"
        before = Path(file).read_text("utf-8")
        if not before.startswith(line):
            Path(file).write_text(line + before, "utf-8")
            connection.execute("SELECT pg_reload_conf()")


def published(url: str) -> int:
    """Rows in all tables of schema `pacs`."""
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'pacs'").fetchall()
        counts = [
            connection.execute(
                sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("pacs", name))
            ).fetchone()
            for (name,) in tables
        ]
    return sum(count[0] for count in counts if count)


@pytest.fixture
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow one another at once."""
    monkeypatch.setattr("airflow_provider_pacs.sync.source.retry.SHORTEST", 0.0)
    monkeypatch.setattr("airflow_provider_pacs.sync.source.retry.LONGEST", 0.0)


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process's driver finds itself and trusts the sandbox's authority, whatever tests ran before."""
    for name, value in odbc_environment(DIRECTORY, DIRECTORY / "ca.pem").items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with county_world() as made:
        yield made
