"""The targets that the suite is run against: one line each in `TARGETS`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_pacs.sync.target.port import Target
from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.conformance.county import StagedCounty
from tests.integration.conftest import pg_server as pg_server
from tests.integration.conftest import pg_url as pg_url

Opener = Callable[[], Target]


def postgres(request: pytest.FixtureRequest) -> Opener:
    """Opens PostgreSQL again and again, as tasks in processes of their own do."""
    url = str(request.getfixturevalue("pg_url"))

    def opened() -> Target:
        target = PostgresTarget.from_url(url)
        request.addfinalizer(target.close)
        return target

    return opened


TARGETS: dict[str, Callable[[pytest.FixtureRequest], Opener]] = {"postgres": postgres}
"""Name of a target -> how a test opens it."""


@pytest.fixture(params=sorted(TARGETS))
def open_target(request: pytest.FixtureRequest) -> Opener:
    """Opens the same target once more, on a connection of its own."""
    return TARGETS[str(request.param)](request)


@pytest.fixture
def county(open_target: Opener) -> StagedCounty:
    """A county that no other test has, at a migrated target."""
    target = open_target()
    target.migrate()
    return StagedCounty(target)
