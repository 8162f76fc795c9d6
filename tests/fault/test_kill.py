"""A run is killed at every moment that can be told apart from outside; the next run makes up for it (cases 104, 108)."""

from __future__ import annotations

import re
import signal
import time

import pytest

from tests.fault.world import ENDED_SECONDS, IN_COPY, Run, Target, World, until

BEFORE_COPY = "stall@rows=100 match=FROM.\\[dbo\\]\\.\\[Property\\] times=1"
INSIDE_COPY = f"stall@rows={IN_COPY} match=PropertyValue times=1"
COMPARING = "stall@rows=100 match=_late times=1"
HOLD_PUBLISH = "LOCK TABLE pacs_ops.sync_state IN SHARE MODE"
"""Readers of the cursors pass; publish stops at the first cursor it stores, with rows already written."""


def in_copy(world: World, target: Target) -> Run:
    world.sandbox.fault(INSIDE_COPY)
    run = world.sync(target)
    until("COPY is active", target.in_copy, alive=run)
    return run


def assert_ended_by_sigterm(world: World, run: Run, target: Target) -> None:
    started = time.monotonic()
    run.signal(signal.SIGTERM)
    assert run.wait() == 1, run.told()
    took = time.monotonic() - started
    print(f"ended {took:.2f} s after SIGTERM")
    assert took < ENDED_SECONDS
    lines = [line for line in run.err.splitlines() if not re.match(r"\w+: [\d,]+ rows read", line)]
    assert lines == ["Interrupted by sigterm. Run the command again; nothing is left half done."]
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
        with target.held(HOLD_PUBLISH), world.sync(target) as run:
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
        assert target.runs() == [("failed", "interrupted by SIGTERM")]
        assert target.poll() == Target(world.postgres, world.start).poll()
