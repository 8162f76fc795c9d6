"""Each source state is prepared once per session: the county as it is, and (for slow tests) the county after
a night's changes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fault.source import SIZE, Sandbox
from tests.fault.target import Postgres
from tests.fault.world import World


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Not in pytest's own temporary folder: under root the server runs as another user, who loses his rights
    there when another pytest starts.
    """
    with tempfile.TemporaryDirectory(prefix="pacs-fault-pg-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder))
        yield server
        server.stop()


@pytest.fixture(scope="session")
def base(postgres: Postgres) -> Iterator[World]:
    with make_world(postgres, SIZE, night=False) as made:
        yield made


@pytest.fixture
def world(base: World) -> Iterator[World]:
    """Tests begin from an empty target."""
    yield base
    base.sandbox.clear_faults()


@pytest.fixture(scope="session")
def after_night(postgres: Postgres) -> Iterator[World]:
    with make_world(postgres, SIZE, night=True) as made:
        yield made


@pytest.fixture
def night(after_night: World) -> Iterator[World]:
    """Tests begin from a target that lacks a night's changes."""
    yield after_night
    after_night.sandbox.clear_faults()


@contextmanager
def make_world(postgres: Postgres, size: str, *, night: bool) -> Iterator[World]:
    """A source of that size and its undisturbed target; with `night`, tests begin before a night's changes."""
    with tempfile.TemporaryDirectory(prefix="pacs-fault-", ignore_cleanup_errors=True) as folder:
        sandbox = Sandbox(Path(folder) / "site", size)
        try:
            empty = postgres.create()
            sandbox.pacs("migrate", "benton_wa", "--target-url", postgres.url(empty))
            made = World(postgres, sandbox, empty)
            made.learn(night=night)
            yield made
        finally:
            sandbox.stop()
