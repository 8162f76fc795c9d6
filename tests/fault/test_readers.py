"""Readers during a publish: everything before or everything after, and no lock to wait for (issue 4, "Done
when").
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fault.conftest import make_world
from tests.fault.processes import until
from tests.fault.target import Postgres
from tests.fault.test_kill import HOLD_PUBLISH
from tests.fault.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def benton(postgres: Postgres) -> Iterator[World]:
    with make_world(postgres, "benton", night=True) as made:
        yield made


def read_through_publish(world: World) -> None:
    with world.disturbed() as target, target.observer() as reader:
        with world.sync(target) as run:
            with target.locked(HOLD_PUBLISH):
                until(
                    "publish stores a cursor, rows of the parent are written",
                    lambda: target.waits_in("pacs_ops.sync_state"),
                    alive=run,
                )
                looks = reader.polls
                until(
                    "the reader looked while publish was open", lambda: reader.polls >= looks + 3, alive=run
                )
                assert len(reader.seen) == 1
            assert run.wait() == 0, run.output()
        looks = reader.polls
        until("the reader looked afterwards", lambda: reader.polls >= looks + 2)
    print(
        f"{reader.polls} looks saw {len(reader.seen)} states; the longest took {reader.longest * 1000:.0f} "
        "ms; "
        f"waiting for a lock in {reader.waited} of {reader.samples} samples"
    )
    assert not reader.errors
    assert not reader.waited
    assert len(reader.seen) == 2


def test_reader_through_a_first_load(world: World) -> None:
    """Case 104: the tables of a county appear at one moment."""
    read_through_publish(world)


def test_reader_through_a_night_of_changes(night: World) -> None:
    """Case 104: counts, contents and orphans of all tables change at one moment."""
    read_through_publish(night)


@pytest.mark.timeout(1800)
def test_reader_through_a_night_of_changes_at_full_size(benton: World) -> None:
    """Case 104: the same with a county's full size."""
    read_through_publish(benton)
