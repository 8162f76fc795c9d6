"""Runs that meet: one county has one writer, and two counties do not know of each other (cases 107, 116,
120).
"""

from __future__ import annotations

import json
import signal

import pytest

from tests.fault.processes import Run, until
from tests.fault.test_kill import in_copy
from tests.fault.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def assert_conflict(run: Run) -> None:
    """The one line of a run that lost its county."""
    assert run.wait() == 1, run.output()
    assert run.err.splitlines()[-1].startswith("PACS-007: "), run.output()


def test_zombie_is_fenced(night: World) -> None:
    """Case 107: a run that froze before publish wakes up after a second run has finished: it writes nothing."""
    with night.disturbed() as target, night.sync(target) as zombie:
        with target.locked("LOCK TABLE pacs_ops.quality_result IN SHARE MODE"):
            until("the first verdict waits", lambda: target.waits_in("pacs_ops.quality_result"), alive=zombie)
            zombie.signal(signal.SIGSTOP)
        night.sandbox.pacs("sync", "benton_wa", "--target-url", target.url)
        after = (
            target.rows("SELECT epoch FROM pacs_ops.county"),
            target.rows("SELECT * FROM pacs_ops.sync_state ORDER BY entity"),
            target.poll(),
        )
        zombie.signal(signal.SIGCONT)
        assert_conflict(zombie)
        assert after == (
            target.rows("SELECT epoch FROM pacs_ops.county"), target.rows("SELECT * FROM pacs_ops.sync_state ORDER BY entity"), target.poll()
        )  # fmt: skip
        assert [state for state, _ in target.runs()][-2:] == ["superseded", "succeeded"]


def test_zombie_in_copy_is_not_waited_for(world: World) -> None:
    """Case 107: the later run neither waits for the staging table that a frozen run still fills, nor stumbles
    over it.
    """
    with world.disturbed() as target, in_copy(world, target) as zombie:
        zombie.signal(signal.SIGSTOP)
        world.sandbox.clear_faults()
        world.sandbox.pacs("sync", "benton_wa", "--target-url", target.url)
        assert len(target.stages()) == 1
        zombie.signal(signal.SIGCONT)
        zombie.signal(signal.SIGTERM)
        assert zombie.wait() == 1, zombie.output()
        assert [state for state, _ in target.runs()] == ["superseded", "succeeded"]


def test_publish_by_an_overtaken_run(world: World) -> None:
    """Case 107: prepared by one process, published by another, and a whole run in between."""
    with world.disturbed() as target:
        with world.step(target, "prepare") as step:
            assert step.wait() == 0, step.output()
            run_id = json.loads(step.out)["run_id"]
        world.sandbox.pacs("sync", "benton_wa", "--target-url", target.url)
        for name in ("publish", "validate", "certify"):
            with world.step(target, name, run_id) as step:
                assert_conflict(step)


def test_publish_again_does_nothing(night: World) -> None:
    """Case 120: a recorded run is not applied a second time, and says so."""
    with night.disturbed() as target:
        with night.step(target, "prepare") as step:
            assert step.wait() == 0, step.output()
            run_id = json.loads(step.out)["run_id"]
        outcomes = []
        for _ in range(2):
            with night.step(target, "publish", run_id) as step:
                assert step.wait() == 0, step.output()
                outcomes.append(json.loads(step.out))
            written = target.rows("SELECT property_id, xmin::text FROM pacs.property ORDER BY 1")
            outcomes[-1]["written"] = written
        assert [outcome["already_published"] for outcome in outcomes] == [False, True]
        assert outcomes[0]["written"] == outcomes[1]["written"]
        assert (
            target.value(
                "SELECT count(*) FROM pacs_ops.audit WHERE action = 'run.publish' AND run_id = %s", run_id
            )
            == 1
        )


def test_two_runs_of_one_county(world: World) -> None:
    """Case 107: started together, at least one succeeds; the other succeeds before or after, or is told that
    it lost the county.
    """
    with world.disturbed() as target, world.sync(target) as first, world.sync(target) as second:
        statuses = [first.wait(), second.wait()]
        assert 0 in statuses, (first.output(), second.output())
        for run in (first, second):
            if run.process.returncode:
                assert_conflict(run)
        assert target.poll() == world.oracle.poll()


def test_another_county_publishes_meanwhile(world: World) -> None:
    """Case 116: one county's first publish is held open with all its rows written; another county's first run
    does not wait for it.
    """
    with world.disturbed() as target:
        with world.step(target, "prepare") as step:
            assert step.wait() == 0, step.output()
            run_id = json.loads(step.out)["run_id"]
        last = f"SELECT FROM pacs_ops.run_entity WHERE run_id = '{run_id}' AND position = 3 FOR UPDATE"
        with world.step(target, "publish", run_id) as stopped:
            with target.locked(last):
                until(
                    "the last entity is written and waits to be noted",
                    lambda: target.waits_in("pacs_ops.run_entity"),
                    alive=stopped,
                )
                world.sandbox.pacs("sync", "franklin_wa", "--target-url", target.url)
                assert target.waits_in("pacs_ops.run_entity"), stopped.output()
            assert stopped.wait() == 0, stopped.output()
        assert target.poll("53005") == target.poll("53021") == world.oracle.poll()
