"""A run is killed at every moment that can be told apart from outside; the next run makes up for it (cases
104, 108).
"""

from __future__ import annotations

import re
import signal
import time

import pytest

from tests.fault.processes import Run, until
from tests.fault.source import IN_COPY
from tests.fault.target import Target
from tests.fault.world import World

pytestmark = pytest.mark.timeout(900)  # a machine may be busy

ENDED_SECONDS = 30.0
"""Issue 4 and case 108: SIGTERM to the end of the process."""
BEFORE_COPY = "stall@rows=100 match=dbo.{3}Property] times=1"
INSIDE_COPY = f"stall@rows={IN_COPY} match=PropertyValue times=1"
COMPARING = "stall@rows=100 match=_late times=1"
HOLD_PUBLISH = "LOCK TABLE pacs_ops.sync_state IN SHARE MODE"
"""Readers of the cursors pass; publish stops at the first cursor it stores, with rows already written."""


def in_copy(world: World, target: Target, rule: str = INSIDE_COPY) -> Run:
    world.sandbox.fault(rule)
    run = world.sync(target)
    until("COPY is active", target.in_copy, alive=run)
    return run


def assert_ended_by_sigterm(world: World, run: Run, target: Target) -> None:
    started = time.monotonic()
    run.signal(signal.SIGTERM)
    assert run.wait() == 1, run.output()
    took = time.monotonic() - started
    print(f"ended {took:.2f} s after SIGTERM")
    assert took < ENDED_SECONDS
    lines = [
        line
        for line in run.err.splitlines()
        if not re.match(r"\w+: ([\d,]+ rows read|validated in)|published in", line)
    ]
    assert lines == ["Interrupted by SIGTERM. Run the command again; nothing is left half done."]
    until("the source has let the statement go", lambda: world.sandbox.readers() == 0)
    until("the target has let the transaction go", target.is_left_alone)


def test_sigkill_while_copy_is_active(world: World) -> None:
    """Case 104: kill -9 in COPY; the server rolls back, nothing is published, the next run loads everything."""
    with world.disturbed() as target, in_copy(world, target) as run:
        run.signal(signal.SIGKILL)
        run.wait()
        until("the target has let the transaction go", target.is_left_alone)
        assert target.poll() == Target(world.postgres, world.start).poll()
        assert target.runs() == [("running", "")]


def test_sigkill_while_the_publish_transaction_is_open(world: World) -> None:
    """Case 104: kill -9 between the rows and the cursor, which are one transaction: neither is seen."""
    with world.disturbed() as target:
        with target.locked(HOLD_PUBLISH), world.sync(target) as run:
            until("publish stores a cursor", lambda: target.waits_in("pacs_ops.sync_state"), alive=run)
            run.signal(signal.SIGKILL)
            run.wait()
            assert target.poll() == Target(world.postgres, world.start).poll()
        until("the target has let the transaction go", target.is_left_alone)
        assert target.rows("SELECT * FROM pacs_ops.sync_state") == []


def test_sigterm_while_copy_is_active(world: World) -> None:
    """Case 108: SIGTERM in COPY; both ends let go, one line is told, the journal knows."""
    with world.disturbed() as target, in_copy(world, target) as run:
        assert_ended_by_sigterm(world, run, target)
        assert target.runs() == [("failed", "Interrupted by SIGTERM")]
        assert target.poll() == Target(world.postgres, world.start).poll()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_before_copy(world: World, number: signal.Signals) -> None:
    """Cases 104, 108: the source's statement has begun, and no row has come to the target."""
    with world.disturbed() as target:
        world.sandbox.fault(BEFORE_COPY)
        with world.sync(target) as run:
            until(
                "the bulk read is under way",
                lambda: world.sandbox.readers() == 2 and target.runs(),
                alive=run,
            )
            if number is signal.SIGTERM:
                assert_ended_by_sigterm(world, run, target)
            else:
                run.signal(number)
                run.wait()
        assert target.rows("SELECT DISTINCT state FROM pacs_ops.run_entity") == [("planned",)]
        until("the source has let the statement go", lambda: world.sandbox.readers() == 0)


@pytest.mark.slow
def test_sigterm_while_the_publish_transaction_is_open(night: World) -> None:
    """Case 108: SIGTERM in publish of a night's changes; rows and cursors stay where they were."""
    with night.disturbed() as target:
        before = target.poll()
        cursors = target.rows("SELECT entity, watermark FROM pacs_ops.sync_state ORDER BY entity")
        with target.locked(HOLD_PUBLISH), night.sync(target) as run:
            until("publish stores a cursor", lambda: target.waits_in("pacs_ops.sync_state"), alive=run)
            assert_ended_by_sigterm(night, run, target)
        assert target.poll() == before
        assert target.rows("SELECT entity, watermark FROM pacs_ops.sync_state ORDER BY entity") == cursors
        assert target.runs()[-1] == ("failed", "Interrupted by SIGTERM")


@pytest.mark.slow
def test_sigkill_while_the_publish_of_changes_is_open(night: World) -> None:
    """Case 104: with tables that have rows, the killed worker's transaction leaves no trace."""
    with night.disturbed() as target:
        before = target.poll()
        with target.locked(HOLD_PUBLISH), night.sync(target) as run:
            until("publish stores a cursor", lambda: target.waits_in("pacs_ops.sync_state"), alive=run)
            run.signal(signal.SIGKILL)
            run.wait()
            until("the server noticed, with the lock still held", target.is_left_alone)
        assert target.poll() == before


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_between_publish_and_certificate(world: World, number: signal.Signals) -> None:
    """Cases 104, 108: what is published stays, with its cursors; the next run certifies."""
    with world.disturbed() as target:
        world.sandbox.fault(COMPARING)
        with world.sync(target) as run:
            until(
                "the run is published and compares",
                lambda: target.runs() == [("published", "")] and world.sandbox.readers() == 2,
                alive=run,
            )
            published = target.poll()
            if number is signal.SIGTERM:
                assert_ended_by_sigterm(world, run, target)
            else:
                run.signal(number)
                run.wait()
        assert target.poll() == published
        assert published == world.oracle.poll()


@pytest.mark.slow
def test_staging_of_a_killed_run_is_dropped_by_the_next(world: World) -> None:
    """Case 104: no staging table outlives the next run; nobody can publish from it any more."""
    with world.disturbed() as target:
        with in_copy(world, target) as run:
            run.signal(signal.SIGKILL)
            run.wait()
        until("the target has let the transaction go", target.is_left_alone)
        assert len(target.stages()) == 4
        world.sandbox.clear_faults()
        world.sandbox.pacs("sync", "benton_wa", "--target-url", target.url)
        assert target.stages() == []
        assert [state for state, _ in target.runs()] == ["superseded", "succeeded"]
