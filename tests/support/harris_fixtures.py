"""A generated PACS 9.0 that a module's tests share, and a maker of counties over it: import both names into a
test module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.support.county import county_config
from tests.support.harris import HarrisCounty, HarrisPacs
from tests.support.server import only_the_sandbox

Maker = Callable[..., HarrisCounty]


@pytest.fixture(scope="module")
def pacs() -> Iterator[HarrisPacs]:
    """The engine with its tiny county."""
    only_the_sandbox("the generated PACS 9.0 county is made inside the sandbox's engine")
    engine = HarrisPacs()
    yield engine
    engine.close()


@pytest.fixture
def make(pacs: HarrisPacs, pg_url: str, quick_rules: None) -> Iterator[Maker]:
    """`make("property", "owner", options={...})`: a county of its own in the target, over the shared source."""
    with maker(pacs, pg_url) as make_one:
        yield make_one


@contextmanager
def maker(pacs: HarrisPacs, pg_url: str) -> Iterator[Maker]:
    """What `make` is, over any PACS 9.0; closes what it made."""
    made: list[HarrisCounty] = []

    def make_one(
        *entities: str,
        options: dict[str, Any] | None = None,
        source: dict[str, Any] | None = None,
        **sections: Any,
    ) -> HarrisCounty:
        place = {"profile": "harris_pacs_9", "options": options or {}, **(source or {})}
        config = county_config(entities or ("property",), source=place, **sections)
        target = PostgresTarget.from_url(pg_url)
        target.connection.execute("SET synchronous_commit = off")
        made.append(HarrisCounty(pacs, pacs.clock, target, pg_url, config))  # type: ignore[arg-type]
        return made[-1]

    yield make_one
    for county in made:
        county.target.close()
    pacs.end_sessions()
